//! Objectives: made, looked at, edited, ended, and given another chance.

use super::{Wheel, attachments};
use crate::auth::Asker;
use crate::input::{Id, Json, Nothing, OptionalJson, Query};
use crate::list::{Wanted, answer, whole};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::tag::{Tag, Tagged};
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use orcha_base::{ObjectiveId, ProjectId};
use orcha_model::objective::{Edit, Input, Strategy};
use orcha_model::session::{AgentChoice, RepoChoice};
use orcha_model::{Objective, Project, Role};
use orcha_orch::{Actor, Files, NewObjective, SubmitError};
use orcha_plan::{NewSession, Stimulus};
use orcha_store::{CommitError, Cursor, Loaded, Page, Unique, Which};
use orcha_wire::{Cancel, Code, CreateObjective, CreatedObjective, EditObjective, ListObjectives, ObjectiveDetail};
use uuid::Uuid;

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListObjectives>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::new(query.after, query.limit)?;
    let which = if query.state.is_some_and(|it| !it.is_over()) { Which::Live } else { Which::All };
    let page = wanted
        .pages(
            |page: Page| api.orch.store().objectives(&asker.viewer, which, page),
            |it| query.state.is_none_or(|state| it.state == state.as_str()),
            |it| Cursor { at: it.updated_at, id: it.id.to_string() },
        )
        .await?;
    Ok(answer(page, translate::objective_row))
}

pub(crate) async fn create(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Json(body): Json<CreateObjective>,
) -> Result<Response, ApiError> {
    let wish = wish(&api, &asker, body).await?;
    let (objective, sessions) = wheel.orch.create_objective(&asker.actor, wish).await?;
    let manager = match sessions.first() {
        Some(first) => api.orch.store().session(&asker.viewer, *first).await?,
        None => None,
    };
    let location = HeaderValue::try_from(format!("/api/objectives/{}", objective.id));
    let body = CreatedObjective {
        objective: translate::objective(&objective, &manager),
        manager: manager.as_ref().map(|it| translate::session(it, None)),
    };
    let mut response = (StatusCode::CREATED, Answer(body)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Translates a request: the project supplies what the request leaves open.
pub(super) async fn wish(api: &Api, asker: &Asker, body: CreateObjective) -> Result<NewObjective, ApiError> {
    let settings = api.orch.settings();
    let mut new = NewObjective::new(body.prompt);
    new.files = attachments::taken(body.attachments)?;
    new.title = body.title;
    new.priority = body.priority.unwrap_or(0);
    new.limits = body.limits.map(|it| settings.limits.with(&translate::limit_changes(&it)));
    let chosen = body.agent.is_some() || body.agent_program.is_some() || body.model.is_some() || body.effort.is_some();
    if chosen || body.fallback.is_some() {
        let kind = body.agent.unwrap_or_else(|| settings.agent.kind.clone());
        let usual = settings.agent.program.clone().filter(|_| kind == settings.agent.kind);
        let program = body.agent_program.or(usual);
        let agent = AgentChoice { kind, program, model: body.model, effort: body.effort, fallback: body.fallback };
        check_agent(api, asker, &agent).await?;
        new.agent = Some(agent);
    }
    if let Some(repo) = &body.repo {
        asker.may_name(repo)?;
    }
    let project = match &body.project_id {
        Some(id) => Some(api.project(asker, id).await?),
        None => None,
    };
    new.repo = match (body.repo, &project) {
        (Some(url), _) => Some(RepoChoice { url, base: body.base_branch }),
        (None, Some(project)) => Some(RepoChoice {
            url: project.repo.clone(),
            base: body.base_branch.or_else(|| project.base_branch.clone()),
        }),
        (None, None) if body.base_branch.is_some() => {
            return Err(ApiError::invalid("base_branch", "needs a repository or a project"));
        }
        (None, None) => None,
    };
    new.project = match (project, &new.repo) {
        (Some(project), _) => Some(project.id),
        (None, Some(repo)) if !new.prompt.trim().is_empty() => known_project(api, asker, repo).await?,
        (None, _) => None,
    };
    if body.strategy == Some(orcha_wire::Strategy::Pipeline) {
        new.strategy = Strategy::Pipeline;
        new.workflow.titled = new.title.is_some();
    }
    if body.strategy == Some(orcha_wire::Strategy::Direct) {
        new.strategy = Strategy::Direct;
        let title = new.title.clone().unwrap_or_else(|| "Do it".to_owned());
        new.sessions = vec![(NewSession::new(Role::Implementer, title, new.prompt.clone()), Vec::new())];
    }
    Ok(new)
}

/// An agent that no target has would wait for ever.
pub(super) async fn check_agent(api: &Api, asker: &Asker, agent: &AgentChoice) -> Result<(), ApiError> {
    let usual = api.orch.settings().agent.program.as_ref();
    if agent.program.is_some() && agent.program.as_ref() != usual && asker.operates().is_err() {
        return Err(ApiError::new(Code::Forbidden, "only the operator may name a program").at("agent_program"));
    }
    if let Some(program) = &agent.program
        && !program.first().is_some_and(|it| it.starts_with('/'))
    {
        return Err(ApiError::invalid("agent_program", "must begin with the absolute path of a program"));
    }
    let targets = api.orch.store().targets(&asker.viewer).await?;
    let offered = |kind: &str| targets.iter().any(|it| api.orch.hands().runner(it.target.id, kind).is_some());
    let others = agent.fallback.iter().flatten().map(|kind| ("fallback", kind));
    for (field, kind) in std::iter::once(("agent", &agent.kind)).chain(others) {
        if !targets.is_empty() && !offered(kind) {
            let kind: String = kind.chars().take(80).collect();
            return Err(ApiError::invalid(field, &format!("names `{kind}`, a kind of agent that no target has")));
        }
    }
    let mut players = targets.iter().filter_map(|it| api.orch.hands().runner(it.target.id, &agent.kind)).peekable();
    if agent.effort.is_some() && players.peek().is_some() && !players.any(|it| it.takes_effort()) {
        return Err(ApiError::invalid("effort", &format!("is nothing that `{}` can be told", agent.kind)));
    }
    Ok(())
}

/// A repository that is named without a project becomes one, unless another scope has one for it already.
async fn known_project(api: &Api, asker: &Asker, repo: &RepoChoice) -> Result<Option<ProjectId>, ApiError> {
    if let Some(known) = api.orch.store().project_by_repo(&asker.viewer, &repo.url).await? {
        return Ok(Some(known.id));
    }
    let now = api.orch.now();
    let project = Project {
        id: ProjectId::from_uuid(Uuid::now_v7()),
        tenant: asker.actor.tenant.clone(),
        scope: asker.actor.scope.clone(),
        name: translate::repo_name(&repo.url),
        repo: repo.url.clone(),
        base_branch: None,
        permissions: Default::default(),
        created_at: now,
        updated_at: now,
    };
    let id = project.id;
    match api.orch.put_project(project).await {
        Ok(()) => Ok(Some(id)),
        Err(SubmitError::Store(CommitError::Duplicate { what: Unique::ProjectRepo })) => {
            // Somebody else was faster, or it belongs to a scope that the asker does not see.
            Ok(api.orch.store().project_by_repo(&asker.viewer, &repo.url).await?.map(|it| it.id))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Loads an objective that the asker may see, with what belongs to it.
pub(super) async fn load(api: &Api, asker: &Asker, Id(id): &Id) -> Result<Loaded, ApiError> {
    let found = api.objective(asker, id).await?.id;
    api.orch.store().load_world(found).await?.ok_or_else(|| ApiError::unknown(ObjectiveId::NOUN, found))
}

/// Answers with an objective as it is now.
async fn shown(api: &Api, id: ObjectiveId) -> Result<Answer<orcha_wire::Objective>, ApiError> {
    let world = api.orch.store().load_world(id).await?.ok_or_else(|| ApiError::unknown(ObjectiveId::NOUN, id))?;
    Ok(Answer(translate::objective(&world.objective, &world.sessions)))
}

pub(crate) async fn show(State(api): State<Api>, asker: Asker, id: Id) -> Result<Tagged<ObjectiveDetail>, ApiError> {
    let world = load(&api, &asker, &id).await?;
    let (store, of) = (api.orch.store(), world.objective.id);
    let questions = whole(|page| store.questions_of(&asker.viewer, of, page)).await?;
    let artifacts = whole(|page| store.artifacts_of(&asker.viewer, of, page)).await?;
    let ran_on = |it: &orcha_model::Session| {
        world.workspaces.iter().find(|place| Some(place.id) == it.workspace).map(|place| place.target)
    };
    Ok(Tag::objective(&world.objective).with(ObjectiveDetail {
        objective: translate::objective(&world.objective, &world.sessions),
        sessions: world.sessions.iter().map(|it| translate::full_session_row(it, ran_on(it))).collect(),
        pull_requests: world.pull_requests.iter().map(translate::pull_request).collect(),
        questions: questions.iter().rev().map(translate::question).collect(),
        artifacts: artifacts.iter().map(translate::artifact).collect(),
        usage: translate::objective_usage(&world.objective, &world.sessions),
    }))
}

pub(crate) async fn usage(
    State(api): State<Api>,
    asker: Asker,
    id: Id,
) -> Result<Answer<orcha_wire::ObjectiveUsage>, ApiError> {
    let world = load(&api, &asker, &id).await?;
    Ok(Answer(translate::objective_usage(&world.objective, &world.sessions)))
}

pub(crate) async fn edit(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    headers: HeaderMap,
    Json(body): Json<EditObjective>,
) -> Result<Tagged<orcha_wire::Objective>, ApiError> {
    let old = api.objective(&asker, &id).await?;
    let on = Tag::objective(&old).is_named(&headers)?.then(|| old.editable());
    let limits = translate::limit_changes(&body.limits.unwrap_or_default());
    let edit = Edit { title: body.title, priority: body.priority, limits, on };
    let id = old.id;
    wheel.orch.submit(id, Stimulus::Objective(Input::Edit(Box::new(edit)))).await?;
    let now = shown(&api, id).await?;
    let new = api.objective(&asker, &id.into()).await?;
    Ok(Tag::objective(&new).with(now.0))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<Cancel>,
) -> Result<Answer<orcha_wire::Objective>, ApiError> {
    let id = api.objective(&asker, &id).await?.id;
    let input = Input::Cancel { reason: reason(body)? };
    wheel.orch.submit(id, Stimulus::Objective(input)).await?;
    shown(&api, id).await
}

/// Returns why something is ended.
pub(super) fn reason(body: Cancel) -> Result<String, ApiError> {
    let reason = body.reason.unwrap_or_else(|| "the user canceled it".to_owned());
    if reason.trim().is_empty() || reason.len() > 1000 {
        return Err(ApiError::invalid("reason", "must have between 1 and 1000 bytes"));
    }
    Ok(reason)
}

pub(crate) async fn pause(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Objective>, ApiError> {
    let id = api.objective(&asker, &id).await?.id;
    wheel.orch.submit(id, Stimulus::Objective(Input::Pause)).await?;
    shown(&api, id).await
}

pub(crate) async fn resume(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Objective>, ApiError> {
    let id = api.objective(&asker, &id).await?.id;
    wheel.orch.resume_objective(id).await?;
    shown(&api, id).await
}

pub(crate) async fn retry(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    id: Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Objective>, ApiError> {
    let world = load(&api, &asker, &id).await?;
    let old = world.objective;
    if !old.is_over() {
        wheel.orch.submit(old.id, Stimulus::Objective(Input::Deescalate)).await?;
        return shown(&api, old.id).await;
    }
    let (actor, mut new) = anew(old);
    new.files = Files::again(&world.attachments);
    if let Some(workflow) = world.workflow {
        new.workflow = workflow.wish;
    }
    if new.strategy == Strategy::Direct {
        new.sessions = orcha_plan::first_sessions(&world.sessions);
    }
    let (made, _) = wheel.orch.create_objective(&actor, new).await?;
    shown(&api, made.id).await
}

/// The wish of an objective once more, where it was made: whoever sees several scopes does not take it out of reach of
/// the texts and the policy of its own.
pub(super) fn anew(old: Objective) -> (Actor, NewObjective) {
    let mut new = NewObjective::new(old.prompt);
    new.title = Some(old.title);
    new.strategy = old.strategy;
    new.repo = old.repo;
    new.project = old.project;
    new.agent = Some(old.agent);
    new.priority = old.priority;
    new.limits = Some(old.limits);
    (Actor { tenant: old.tenant, scope: old.scope }, new)
}
