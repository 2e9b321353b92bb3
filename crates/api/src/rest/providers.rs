//! Providers: which may be called, who waits for those that may not, and which models they have.

use crate::auth::Asker;
use crate::input::Name;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::State;
use orcha_model::casting::OfferedModel;
use orcha_model::provider;
use orcha_model::session::{State as Stands, Waiting};
use orcha_orch::NoModels;
use orcha_store::{Page, SessionFilter, SessionRow, Which};
use orcha_wire::problem::Code;
use orcha_wire::{
    AgentKind, AgentKinds, MAX_LIMIT, Provider, ProviderModel, ProviderModels, ProviderStatus, ProviderTest,
    ProviderWaiting, ProviderWindow,
};

pub(crate) async fn list(State(api): State<Api>, asker: Asker) -> Result<Answer<Vec<Provider>>, ApiError> {
    let filter =
        SessionFilter { which: Which::Live, state: Some("waiting_capacity".into()), ..SessionFilter::default() };
    let page = Page::first(MAX_LIMIT);
    let waiting = api.orch.store().sessions(&asker.viewer, filter, page).await?.items;
    Ok(Answer(api.orch.providers().values().map(|it| shown(it, &waiting)).collect()))
}

pub(crate) async fn kinds(State(api): State<Api>, _: Asker) -> Answer<AgentKinds> {
    let catalog = api.orch.catalog();
    let kind = |name: &String| {
        let models = catalog.contains_key(name).then_some("models");
        let capabilities = ["tools", "streaming"].into_iter().chain(models).map(str::to_owned).collect();
        AgentKind { name: name.clone(), capabilities }
    };
    Answer(AgentKinds { providers: api.orch.hands().kinds().iter().map(kind).collect() })
}

pub(crate) async fn models(
    State(api): State<Api>,
    _: Asker,
    Name(name): Name,
) -> Result<Answer<ProviderModels>, ApiError> {
    let models = api.orch.ask_models(&name).await.map_err(|fault| match fault {
        NoModels::Unknown(_) => ApiError::new(Code::NotFound, fault.to_string()),
        NoModels::Refused(said) => ApiError::new(Code::Unavailable, format!("the provider `{name}` said: {said}")),
    })?;
    Ok(Answer(ProviderModels { provider: name, models: models.into_iter().map(model).collect() }))
}

fn model(it: OfferedModel) -> ProviderModel {
    ProviderModel { id: it.id, tools: it.tools, description: it.about }
}

pub(crate) async fn test(State(api): State<Api>, _: Asker, Name(name): Name) -> Result<Answer<ProviderTest>, ApiError> {
    match api.orch.ask_models(&name).await {
        Ok(_) => Ok(Answer(ProviderTest { healthy: true, error: None })),
        Err(NoModels::Refused(said)) => Ok(Answer(ProviderTest { healthy: false, error: Some(said) })),
        Err(fault @ NoModels::Unknown(_)) => Err(ApiError::new(Code::NotFound, fault.to_string())),
    }
}

fn shown(it: &provider::Provider, sessions: &[SessionRow]) -> Provider {
    let (status, parked) = match &it.state {
        provider::State::Open => (ProviderStatus::Open, None),
        provider::State::Parked { since, until, class, .. } => (ProviderStatus::Parked, Some((*since, *until, class))),
    };
    let mut waiting: Vec<ProviderWaiting> = sessions.iter().filter_map(|row| waits_for(row, &it.name)).collect();
    waiting.sort_by_key(|it| (it.until, it.session_id));
    Provider {
        name: it.name.clone(),
        status,
        reason: parked.map(|(_, _, class)| class.to_string()),
        parked_at: parked.map(|(since, _, _)| since),
        until: parked.map(|(_, until, _)| until),
        windows: it
            .windows
            .iter()
            .map(|it| ProviderWindow {
                name: it.name.clone(),
                used_percent: it.used_permille.map(|it| f64::from(it) / 10.0),
                resets_at: it.resets_at,
                seen_at: it.seen_at,
            })
            .collect(),
        waiting,
        updated_at: it.updated_at,
    }
}

fn waits_for(row: &SessionRow, provider: &str) -> Option<ProviderWaiting> {
    let Stands::WaitingCapacity { why: Waiting::Provider { .. }, until } = &row.stands else { return None };
    (row.agent == provider).then(|| ProviderWaiting {
        session_id: row.id,
        objective_id: row.objective,
        title: row.title.clone(),
        until: *until,
    })
}
