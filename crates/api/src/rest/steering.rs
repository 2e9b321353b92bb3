//! What a person says to agents: durable messages with a delivery state.

use super::Wheel;
use crate::auth::Asker;
use crate::input::{Id, Json, Query};
use crate::list::{Wanted, answer, whole};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_base::{ObjectiveId, SessionId};
use orcha_model::{Refusal, Session, message};
use orcha_wire::{IdRef, ListSteering, Steer, Steered};

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
    messages(&api, &asker, &id, query).await
}

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListSteering>,
) -> Result<Response, ApiError> {
    match query.session_id.clone() {
        Some(id) => messages(&api, &asker, &id, query).await,
        None => Err(ApiError::invalid("session_id", "must be given")),
    }
}

async fn messages(api: &Api, asker: &Asker, session: &IdRef, query: ListSteering) -> Result<Response, ApiError> {
    let wanted = Wanted::new(query.after, query.limit)?;
    let session = api.session(asker, session).await?.id;
    let all = whole(|page| api.orch.store().messages_of(&asker.viewer, session, page)).await?;
    Ok(answer(wanted.newest_first(all, |it| (it.created_at, it.id.to_string())), |it| translate::message(&it)))
}
