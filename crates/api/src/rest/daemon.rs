//! The daemon itself: how it fares, who is asking, how a browser logs in, and its end.

use crate::auth::{Asker, set_cookie};
use crate::gate;
use crate::input::{Nothing, OptionalJson, Query};
use crate::page;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use orcha_wire::{Health, HealthStatus, LoginLink, LoginTicket, Whoami};
use tracing::info;

/// How many orders are counted.
const ORDERS: u32 = 1000;

pub(crate) async fn health(State(api): State<Api>, asker: Asker) -> Result<Answer<Health>, ApiError> {
    Ok(Answer(fares(&api, &asker).await?))
}

async fn fares(api: &Api, asker: &Asker) -> Result<Health, ApiError> {
    let store = api.orch.store();
    let figures = store.overview(&asker.viewer).await?;
    let mut pending = store.orders_after(0, ORDERS).await?;
    let scope = asker.viewer.scope.as_ref();
    // The operator is told of everything that is to be done before the daemon can rest.
    pending.retain(|it| {
        asker.operates().is_ok() || (it.tenant == asker.viewer.tenant && scope.is_none_or(|scope| it.scope == *scope))
    });
    let stored = *store.health().borrow();
    let status = if api.orch.stopping().is_cancelled() {
        HealthStatus::Stopping
    } else {
        match stored {
            orcha_store::Health::Ok => HealthStatus::Ok,
            // Nothing can be stored; in the second case not even once there is room.
            orcha_store::Health::StorageFull | orcha_store::Health::Broken => HealthStatus::StorageFull,
        }
    };
    Ok(Health {
        status,
        version: api.settings.version.clone(),
        build: api.settings.build.clone(),
        started: api.started,
        time: api.orch.now(),
        pid: std::process::id(),
        active_objectives: u64::from(figures.active_objectives),
        running_sessions: u64::from(figures.running_sessions),
        open_questions: u64::from(figures.open_questions),
        pending_effects: pending.len() as u64,
    })
}

pub(crate) async fn whoami(asker: Asker) -> Answer<Whoami> {
    Answer(Whoami {
        email: String::new(),
        user_id: asker.name,
        tenant: asker.viewer.tenant.to_string(),
        scope: asker.viewer.scope.map(|it| it.to_string()),
    })
}

pub(crate) async fn openapi(State(api): State<Api>, _: Asker) -> Answer<serde_json::Value> {
    Answer(orcha_wire::openapi::document(&api.settings.version))
}

pub(crate) async fn login_link(
    State(api): State<Api>,
    asker: Asker,
    request: Request,
) -> Result<Answer<LoginLink>, ApiError> {
    let host = gate::host(&request).or(api.settings.hosts.first().map(String::as_str)).unwrap_or_default();
    let (ticket, expires_at) = api.keys.ticket(asker.holder, api.orch.now());
    Ok(Answer(LoginLink { url: format!("http://{host}/login?ticket={ticket}"), expires_at }))
}

/// The one route without a token: the ticket is one.
pub(crate) async fn login(State(api): State<Api>, Query(query): Query<LoginTicket>, request: Request) -> Response {
    let cookie = query.ticket.and_then(|it| api.keys.redeem(&it, api.orch.now()));
    let Some(cookie) = cookie else { return page::log_in() };
    let Ok(cookie) = HeaderValue::try_from(set_cookie(&request, &cookie)) else { return page::log_in() };
    info!("a browser was logged in");
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

pub(crate) async fn shutdown(
    State(api): State<Api>,
    asker: Asker,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Health>, ApiError> {
    asker.operates()?;
    let mut health = fares(&api, &asker).await?;
    health.status = HealthStatus::Stopping;
    info!("{} ends the daemon", asker.name);
    api.orch.stopping().cancel();
    Ok(Answer(health))
}
