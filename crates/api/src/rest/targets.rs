//! Targets: the machines that run sessions. Everybody sees those that serve it; only the operator changes them.

use crate::auth::Asker;
use crate::input::{Id, Json, Nothing, OptionalJson};
use crate::list::array;
use crate::problem::ApiError;
use crate::shared::Api;
use crate::tag::{Tag, Tagged};
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use orcha_base::TargetId;
use orcha_model::target::{Edit, Input};
use orcha_store::TargetRow;
use orcha_wire::{Code, CreateTarget, EditTarget, IdRef, Target, TargetReport};

/// How many workers a target takes at once when nothing is said.
const CAPACITY: u32 = 4;

pub(crate) async fn list(State(api): State<Api>, asker: Asker) -> Result<Response, ApiError> {
    let all = api.orch.store().targets(&asker.viewer).await?;
    Ok(array(all.iter().map(translate::target).collect(), None))
}

pub(crate) async fn show(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Tagged<Target>, ApiError> {
    Ok(tagged(&api.target(&asker, &id).await?))
}

pub(crate) async fn create(
    State(api): State<Api>,
    asker: Asker,
    Json(body): Json<CreateTarget>,
) -> Result<(StatusCode, Answer<TargetReport>), ApiError> {
    asker.operates()?;
    checked_name(&body.name)?;
    checked_labels(&body.labels)?;
    if body.capacity_sessions == Some(0) {
        return Err(ApiError::invalid("capacity_sessions", "must be at least 1"));
    }
    if body.work_root.as_ref().is_some_and(|it| !it.starts_with('/')) {
        return Err(ApiError::invalid("work_root", "must be an absolute path"));
    }
    let known = api.orch.store().targets(&asker.viewer).await?;
    if known.iter().any(|it| it.target.name == body.name) {
        return Err(ApiError::new(Code::Conflict, format!("there is a target named `{}` already", body.name)));
    }
    let Some(connect) = &api.settings.connect else {
        return Err(ApiError::new(Code::State, "this daemon runs on the targets that it was started with"));
    };
    let (root, hands) = connect
        .local(&body.name, body.work_root.as_deref())
        .await
        .map_err(|rule| ApiError::invalid("work_root", &rule))?;
    let capacity = body.capacity_sessions.unwrap_or(CAPACITY);
    let made = api.orch.register_target(&asker.actor, &body.name, &root, capacity, body.labels).await?;
    api.orch.connect_target(made.id, hands).await?;
    Ok((StatusCode::CREATED, Answer(report(&api, &asker, made.id).await?)))
}

pub(crate) async fn edit(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    headers: HeaderMap,
    Json(body): Json<EditTarget>,
) -> Result<Tagged<Target>, ApiError> {
    asker.operates()?;
    let old = api.target(&asker, &id).await?.target;
    let on = Tag::target(&old).is_named(&headers)?.then(|| old.editable());
    checked_labels(body.labels.as_deref().unwrap_or_default())?;
    body.name.as_deref().map_or(Ok(()), checked_name)?;
    let edit = Edit { name: body.name, labels: body.labels, capacity: body.capacity_sessions, on };
    api.orch.change_target(old.id, Input::Edit(edit)).await?;
    Ok(tagged(&api.target(&asker, &old.id.into()).await?))
}

fn tagged(it: &TargetRow) -> Tagged<Target> {
    Tag::target(&it.target).with(translate::target(it))
}

fn checked_name(name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name", "must have between 1 and 100 bytes and no control characters"));
    }
    Ok(())
}

fn checked_labels(labels: &[String]) -> Result<(), ApiError> {
    let good =
        |it: &String| (1..=60).contains(&it.len()) && !it.chars().any(|it| it.is_control() || it.is_whitespace());
    if labels.len() <= 50 && labels.iter().all(good) {
        Ok(())
    } else {
        Err(ApiError::invalid("labels", "must be at most 50 words of 1 to 60 bytes"))
    }
}

pub(crate) async fn drain(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Target>, ApiError> {
    change(&api, &asker, &id, Input::Drain).await
}

pub(crate) async fn enable(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Target>, ApiError> {
    change(&api, &asker, &id, Input::Enable).await
}

pub(crate) async fn disable(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Target>, ApiError> {
    change(&api, &asker, &id, Input::Disable).await
}

async fn change(api: &Api, asker: &Asker, id: &IdRef, input: Input) -> Result<Answer<Target>, ApiError> {
    asker.operates()?;
    let id = api.target(asker, id).await?.target.id;
    api.orch.change_target(id, input).await?;
    Ok(Answer(translate::target(&api.target(asker, &id.into()).await?)))
}

pub(crate) async fn check(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<TargetReport>, ApiError> {
    asker.operates()?;
    let id = api.target(&asker, &id).await?.target.id;
    api.orch.probe_target(id).await?;
    Ok(Answer(report(&api, &asker, id).await?))
}

async fn report(api: &Api, asker: &Asker, id: TargetId) -> Result<TargetReport, ApiError> {
    let target = translate::target(&api.target(asker, &id.into()).await?);
    Ok(TargetReport { error: target.problem.clone(), target })
}
