//! What a person says to agents: durable messages with a delivery state.

use super::Wheel;
use crate::auth::Asker;
use crate::input::{Id, Json, Query};
use crate::list::{Wanted, answer};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_base::{ObjectiveId, SessionId};
use orcha_model::{Message, Refusal, Session, message};
use orcha_store::Cursor;
use orcha_wire::{ListSteering, Steer, Steered};

pub(crate) async fn session(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<Steer>,
) -> Result<Answer<Steered>, ApiError> {
    let Session { id, objective, .. } = api.session(&asker, &id).await?;
    say(&api, &wheel, objective, id, body, "sent").await
}

pub(crate) async fn objective(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<Steer>,
) -> Result<Answer<Steered>, ApiError> {
    let objective = api.objective(&asker, &id).await?;
    let id = objective.id;
    let manager = api.orch.view(id, |world| world.live_manager().map(|it| it.id)).await?;
    let manager = manager.ok_or_else(|| Refusal::State {
        noun: ObjectiveId::NOUN,
        id: id.to_string(),
        state: objective.state.name(),
        rule: "it has no manager that could be told; steer one of its sessions",
    })?;
    say(&api, &wheel, id, manager, body, "steered").await
}

pub(crate) async fn pull_request(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<Steer>,
) -> Result<Answer<Steered>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    let id = pr.id;
    let worker = api.orch.view(pr.objective, move |world| world.follow_up_on(id).map(|it| it.id)).await?;
    let worker = worker.ok_or_else(|| Refusal::State {
        noun: "pull request",
        id: pr.label(),
        state: pr.state.name(),
        rule: "nobody works on it now; a comment on it sends somebody",
    })?;
    say(&api, &wheel, pr.objective, worker, body, "steered").await
}

async fn say(
    api: &Api,
    wheel: &Wheel,
    objective: ObjectiveId,
    session: SessionId,
    body: Steer,
    status: &str,
) -> Result<Answer<Steered>, ApiError> {
    let id = wheel.orch.send_message(objective, session, message::Sender::User, body.message, body.interrupt).await?;
    let known = api.orch.view(objective, move |world| world.messages.get(&id).map(translate::message)).await?;
    let message = known.ok_or_else(|| ApiError::unknown("message", id))?;
    Ok(Answer(Steered { status: status.to_owned(), session_id: message.session_id, message }))
}

pub(crate) async fn of_session(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Query(query): Query<ListSteering>,
) -> Result<Response, ApiError> {
    if query.session_id.is_some() {
        return Err(ApiError::invalid("session_id", "stands in the path already"));
    }
    messages(&api, &asker, ListSteering { session_id: Some(id), ..query }).await
}

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListSteering>,
) -> Result<Response, ApiError> {
    messages(&api, &asker, query).await
}

async fn messages(api: &Api, asker: &Asker, query: ListSteering) -> Result<Response, ApiError> {
    let (store, viewer) = (api.orch.store(), &asker.viewer);
    let wanted = Wanted::new(query.after, query.limit)?;
    let key = |it: &Message| Cursor { at: it.created_at, id: it.id.to_string() };
    let page = match (&query.session_id, &query.objective_id) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("objective_id", "is that of the session, which is named already"));
        }
        (Some(id), None) => {
            let session = api.session(asker, id).await?.id;
            wanted.pages(|page| store.messages_to(viewer, session, page), |_| true, key).await?
        }
        (None, Some(id)) => {
            let objective = api.objective(asker, id).await?.id;
            wanted.pages(|page| store.messages_in(viewer, objective, page), |_| true, key).await?
        }
        (None, None) => wanted.pages(|page| store.messages(viewer, page), |_| true, key).await?,
    };
    Ok(answer(page, |it| translate::message(&it)))
}
