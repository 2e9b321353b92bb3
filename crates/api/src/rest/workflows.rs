//! Workflows: made, looked at, and moved by a person. A workflow has the id of its objective.

use super::{Wheel, objectives, templates};
use crate::auth::Asker;
use crate::input::{Id, Json, Nothing, OptionalJson, Query};
use crate::list;
use crate::problem::ApiError;
use crate::shared::Api;
use crate::told::{Known, Place, Teller};
use crate::workflow as project;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use orcha_base::{ObjectiveId, TaskId};
use orcha_model::contract::{CheckCommand, Specialty};
use orcha_model::delivery::Settings;
use orcha_model::objective;
use orcha_model::question::{self, About, Gate};
use orcha_model::session::AgentChoice;
use orcha_model::workflow::{Action, Input, Mode, Wish, Workflow};
use orcha_model::{task, workflow};
use orcha_orch::Files;
use orcha_plan::{OfWorkflow, Stimulus};
use orcha_store::{EventFilter, Loaded, Page, Span, Viewer, WorkflowFilter};
use orcha_wire::{
    AddTask, Approve, Cancel, Code, CreateObjective, CreateWorkflow, EditDocument, IdRef, ListWorkflowEvents,
    ListWorkflows, RetryWorkflow, SkipTask, WorkflowEvent, WorkflowEvents, WorkflowList, WorkflowMoved, WorkflowStatus,
};

/// How many workflows are listed when nothing is said, and at most.
const LIMITS: (u32, u32) = (20, 100);
/// How many may be passed over.
const OFFSET: u32 = 10_000;
/// How often a result may be repaired at most.
const REPAIRS: u32 = 20;
/// How long a request may be.
const REQUEST: usize = 256 * 1024;
/// How many commands may check a result besides the project's own.
const CHECKS: usize = 20;
/// How many events are listed when nothing is said, and at most.
const EVENTS: u32 = 1000;
/// How many lines of a journal are read at once.
const LINES: u32 = Page::MAX;

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListWorkflows>,
) -> Result<Answer<WorkflowList>, ApiError> {
    let (usual, most) = LIMITS;
    let limit = query.limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        return Err(ApiError::invalid("limit", &format!("must be between 1 and {most}")));
    }
    let offset = query.offset.unwrap_or(0);
    if offset > OFFSET {
        return Err(ApiError::invalid("offset", &format!("must be at most {OFFSET}")));
    }
    let after = list::cursor(query.after)?;
    if after.is_some() && query.offset.is_some() {
        return Err(ApiError::invalid("offset", "must not stand beside `after`"));
    }
    let states: &'static [&'static str] = match query.status {
        None => &[],
        Some(WorkflowStatus::Pending | WorkflowStatus::Running) => &["active", "waiting_user"],
        Some(WorkflowStatus::Paused) => &["paused"],
        Some(WorkflowStatus::Completed) => &["succeeded"],
        Some(WorkflowStatus::Failed) => &["failed"],
        Some(WorkflowStatus::Cancelled) => &["canceled"],
    };
    let begun = match query.status {
        Some(WorkflowStatus::Pending) => Some(false),
        Some(WorkflowStatus::Running) => Some(true),
        _ => None,
    };
    let filter = WorkflowFilter { states, begun };
    let found = api.orch.store().workflows(&asker.viewer, filter, Page { after, limit }, offset).await?;
    let workflows = found.items.iter().map(|it| project::row(&it.workflow, &it.objective, it.begun)).collect();
    let next = found.next.map(|it| it.to_string());
    Ok(Answer(WorkflowList { workflows, limit, offset, next }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Json(body): Json<CreateWorkflow>,
) -> Result<Response, ApiError> {
    let mut body = templates::fill(body)?;
    body.request = text("request", body.request, REQUEST)?;
    if body.title.as_ref().is_some_and(|it| it.trim().is_empty() || it.len() > 200 || it.contains('\n')) {
        return Err(ApiError::invalid("title", "must be one line of 1 to 200 bytes"));
    }
    let (wish, base) = wish(&api, &asker, &body).await?;
    match (&body.base_branch, base) {
        (Some(one), Some(other)) if *one != other => {
            return Err(ApiError::invalid("delivery.config.base_branch", "must be `base_branch`, if both are named"));
        }
        (None, Some(base)) => body.base_branch = Some(base),
        (_, _) => {}
    }
    let mut new = objectives::wish(
        &api,
        &asker,
        CreateObjective {
            title: body.title,
            prompt: body.request,
            agent: body.provider,
            model: body.model,
            effort: body.effort,
            project_id: body.project_id,
            repo: body.repo,
            base_branch: body.base_branch,
            priority: body.priority,
            limits: body.limits,
            attachments: body.attachments,
            strategy: Some(orcha_wire::Strategy::Pipeline),
            ..CreateObjective::default()
        },
    )
    .await
    .map_err(|it| if it.problem().field.as_deref() == Some("agent") { it.at("provider") } else { it })?;
    new.workflow = Wish { titled: new.title.is_some(), ..wish };
    let (objective, _) = wheel.orch.create_objective(&asker.actor, new).await?;
    let (world, workflow) = load(&api, &asker, &objective.id.into()).await?;
    let mut response = (StatusCode::CREATED, Answer(project::whole(&world, &workflow)?)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/workflows/{}", objective.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Translates what is asked for besides the prompt.
async fn wish(
    api: &Api,
    asker: &Asker,
    body: &CreateWorkflow,
) -> Result<(Wish, Option<orcha_base::BranchName>), ApiError> {
    let mut wish = Wish::default();
    let mut base = None;
    if let Some(words) = body.mode.as_deref().filter(|it| !matches!(*it, "" | "auto")) {
        let rule = "must be software, content, docs, research, ops or mixed; or auto, to let the Director say";
        wish.mode = Some(Mode::said(words).ok_or_else(|| ApiError::invalid("mode", rule))?);
    }
    if let Some(delivery) = &body.delivery {
        let rule = format!("names no action that there is; there are {}", Action::names());
        let action = Action::said(&delivery.action).ok_or_else(|| ApiError::invalid("delivery", &rule))?;
        if action.needs_repository() && body.repo.is_none() && body.project_id.is_none() {
            let rule = format!("is a {}, which needs a repository or a project", action.to_string().replace('_', " "));
            return Err(ApiError::invalid("delivery", &rule));
        }
        let config = delivery.config.clone().unwrap_or_default();
        let of_tenant = |secret: &serde_json::Value| secret.get("name").is_some();
        if config.get("secret").is_some_and(|it| !of_tenant(it)) && asker.operates().is_err() {
            // The variables and files of the daemon are not those of its tenants.
            let rule = "only the operator may name a variable or a file of the daemon; name a secret of the tenant";
            return Err(ApiError::new(Code::Forbidden, rule).at("delivery.config.secret"));
        }
        let refused = |it: orcha_orch::InvalidDelivery| ApiError::new(Code::Invalid, it.to_string()).at(it.field);
        let wished = api.orch.wished_delivery(&asker.actor.tenant, action, config).await.map_err(refused)?;
        if delivery.merge && action != Action::PullRequest {
            return Err(ApiError::invalid("delivery.merge", "is for a pull request"));
        }
        let draft = matches!(&wished.settings, Settings::PullRequest(it) if it.draft);
        if delivery.merge && draft {
            return Err(ApiError::invalid("delivery.merge", "a draft is not merged by itself"));
        }
        wish.action = Some(action);
        wish.delivery = wished.settings;
        wish.merge = delivery.merge || wished.merge;
        base = wished.base;
    }
    if body.checks.len() > CHECKS {
        return Err(ApiError::invalid("checks", &format!("must be at most {CHECKS}")));
    }
    for it in &body.checks {
        let fits = |text: &str, most: usize| !text.trim().is_empty() && text.len() <= most;
        let program = it.command.first().is_some_and(|it| fits(it, 1000));
        if !fits(&it.name, 100) || !program || it.command.len() > 100 || it.command.iter().any(|it| it.len() > 10_000) {
            let rule = "must each have a name of 1 to 100 bytes, and a program with at most 99 arguments";
            return Err(ApiError::invalid("checks", rule));
        }
        wish.checks.push(CheckCommand { name: it.name.clone(), command: it.command.clone() });
    }
    wish.without_checks = body.without_checks;
    if let Some(most) = body.max_qa_retries {
        if most > REPAIRS {
            return Err(ApiError::invalid("max_qa_retries", &format!("must be at most {REPAIRS}")));
        }
        wish.max_repairs = most;
    }
    let approvals = body.approvals.unwrap_or_default();
    (wish.approve_plan, wish.approve_delivery) = (approvals.plan, approvals.delivery);
    wish.skip_refiner = body.skip_refiner;
    let usual = &api.orch.settings().agent;
    for (persona, choice) in &body.personas {
        let kind = choice.provider.clone().or_else(|| body.provider.clone()).unwrap_or_else(|| usual.kind.clone());
        let program = choice.program.clone().or_else(|| usual.program.clone().filter(|_| kind == usual.kind));
        let same = *kind == *body.provider.as_ref().unwrap_or(&usual.kind);
        let model = choice.model.clone().or_else(|| body.model.clone().filter(|_| same));
        let effort = choice.effort.or(body.effort.filter(|_| same));
        let agent = AgentChoice { kind, program, model, effort, fallback: None };
        objectives::check_agent(api, asker, &agent).await.map_err(|it| it.at("personas"))?;
        wish.agents.insert(project::role(*persona), agent);
    }
    Ok((wish, base))
}

/// Loads a workflow that the asker may see, with everything that belongs to it.
pub(crate) async fn load(api: &Api, asker: &Asker, id: &IdRef) -> Result<(Loaded, Workflow), ApiError> {
    let unknown = || ApiError::unknown("workflow", id);
    let found = api.objective(asker, id).await.map_err(|it| match it.problem().known() {
        Some(Code::NotFound) => unknown(),
        _ => it,
    })?;
    let world = api.orch.store().load_world(found.id).await?.ok_or_else(unknown)?;
    let workflow = world.workflow.clone().ok_or_else(unknown)?;
    Ok((world, workflow))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<orcha_wire::Workflow>, ApiError> {
    let (world, workflow) = load(&api, &asker, &id).await?;
    Ok(Answer(project::whole(&world, &workflow)?))
}

pub(crate) async fn events(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Query(query): Query<ListWorkflowEvents>,
) -> Result<Answer<WorkflowEvents>, ApiError> {
    let (world, workflow) = load(&api, &asker, &id).await?;
    let after = query.after.as_deref().map(place).transpose()?.unwrap_or_default();
    let most = query.limit.unwrap_or(EVENTS);
    if !(1..=EVENTS).contains(&most) {
        return Err(ApiError::invalid("limit", &format!("must be between 1 and {EVENTS}")));
    }
    let known = Known::of(&world);
    let mut teller = teller(&api, &asker.viewer, &workflow, after).await?;
    let mut events: Vec<WorkflowEvent> = Vec::new();
    // The line of the place itself is read again: it may be several events.
    let mut last = after.seq - 1;
    let most = most as usize;
    while events.len() <= most {
        let filter = EventFilter::Objective(workflow.objective);
        let page = api.orch.store().events(&asker.viewer, filter, Span::After(last), LINES).await?;
        let Some(end) = page.last() else { break };
        last = end.seq;
        events.extend(page.iter().flat_map(|it| teller.tell(it, &known)).filter(|(it, _)| *it > after).map(|it| it.1));
    }
    let more = events.len() > most;
    events.truncate(most);
    let next = events.last().filter(|_| more).map(|it| it.id.clone());
    let count = events.len() as u64;
    Ok(Answer(WorkflowEvents { events, count, next }))
}

/// Returns who tells the events behind a place, without having told those before it.
pub(crate) async fn teller(
    api: &Api,
    viewer: &Viewer,
    workflow: &Workflow,
    after: Place,
) -> Result<Teller, orcha_store::ReadError> {
    let mut teller = Teller::new(workflow.objective, workflow.tenant.clone(), workflow.scope.clone());
    if after.seq > 0 {
        let store = api.orch.store();
        let of = workflow.objective;
        let begun = store.events_of_kinds(viewer, of, Teller::BEGINS, Span::After(0), 1).await?;
        let moved = store.events_of_kinds(viewer, of, Teller::MOVES, Span::Before(after.seq), LINES).await?;
        teller.catch_up(begun.iter().filter(|it| it.seq < after.seq).chain(&moved));
    }
    Ok(teller)
}

/// Reads the place that a reader goes on from.
pub(crate) fn place(text: &str) -> Result<Place, ApiError> {
    text.trim().parse().map_err(|_| ApiError::invalid("after", "must be the `id` of an event of this workflow"))
}

/// Answers with where a workflow stands now.
async fn moved(api: &Api, asker: &Asker, id: ObjectiveId) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (world, workflow) = load(api, asker, &id.into()).await?;
    let status = project::status(&workflow, &world.objective, project::begun(&world));
    Ok(Answer(WorkflowMoved { status, id, step: project::step(workflow.phase) }))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<Cancel>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    let input = objective::Input::Cancel { reason: objectives::reason(body)? };
    wheel.orch.submit(workflow.objective, Stimulus::Objective(input)).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn pause(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    wheel.orch.submit(workflow.objective, Stimulus::Objective(objective::Input::Pause)).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn resume(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    wheel.orch.resume_objective(workflow.objective).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn retry(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<RetryWorkflow>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    let words = body.reason.map(|it| text("reason", it, 10_000)).transpose()?;
    let input = Input::Back { to: project::phase(body.from), words };
    wheel.orch.of_workflow(workflow.objective, OfWorkflow::It(input)).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn skip(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<SkipTask>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (world, workflow) = load(&api, &asker, &id).await?;
    let reason = text("reason", body.reason, 1000)?;
    let task = task_of(&world, &body.task)?;
    wheel.orch.of_workflow(workflow.objective, OfWorkflow::Task(task, task::Input::Skip { reason })).await?;
    moved(&api, &asker, workflow.objective).await
}

/// Finds a task by its number, or by its id.
fn task_of(world: &Loaded, named: &str) -> Result<TaskId, ApiError> {
    let named = named.trim();
    let by_number = named.parse::<u32>().ok().filter(|_| named.len() < 8);
    let fits = |it: &&task::Task| match by_number {
        Some(number) => it.number == number,
        None => it.id.to_string() == named || it.id.short() == named,
    };
    let found = world.tasks.iter().rev().find(fits).map(|it| it.id);
    found.ok_or_else(|| ApiError::unknown("task", named.chars().take(80).collect::<String>()))
}

pub(crate) async fn add_task(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<AddTask>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    let title = text("title", body.title, 200)?;
    if title.contains('\n') {
        return Err(ApiError::invalid("title", "must be one line"));
    }
    let specialty = body
        .specialty
        .map(|it| {
            it.parse::<Specialty>()
                .map_err(|_| ApiError::invalid("specialty", "must be backend, frontend, writer, ops or data"))
        })
        .transpose()?;
    let task = orcha_plan::AddTask { title, description: text("description", body.description, 20_000)?, specialty };
    wheel.orch.of_workflow(workflow.objective, OfWorkflow::AddTask(task)).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn clone(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<(StatusCode, Answer<WorkflowMoved>), ApiError> {
    let (world, workflow) = load(&api, &asker, &id).await?;
    let (actor, mut new) = objectives::anew(world.objective);
    new.files = Files::again(&world.attachments);
    new.title = new.title.filter(|_| workflow.wish.titled);
    new.workflow = workflow.wish;
    let (made, _) = wheel.orch.create_objective(&actor, new).await?;
    Ok((StatusCode::CREATED, moved(&api, &asker, made.id).await?))
}

pub(crate) async fn approve(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<Approve>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (world, workflow) = load(&api, &asker, &id).await?;
    let waits = |it: &&orcha_model::Question| {
        it.state == question::State::Open && matches!(it.about, About::Workflow { gate: Gate::Plan | Gate::Delivery })
    };
    let open = world.questions.iter().find(waits).map(|it| it.id);
    let open = open.ok_or_else(|| ApiError::new(Code::State, "the workflow does not wait for anybody's agreement"))?;
    let answer = match (body.approve, body.reason) {
        (true, None) => "approve".to_owned(),
        (true, Some(_)) => return Err(ApiError::invalid("reason", "is for a no: it says what is to be different")),
        (false, Some(reason)) => text("reason", reason, 10_000)?,
        (false, None) => return Err(ApiError::invalid("reason", "must say what is to be different")),
    };
    let input = question::Input::Answer { answer };
    wheel.orch.submit(workflow.objective, Stimulus::Question(open, input)).await?;
    moved(&api, &asker, workflow.objective).await
}

pub(crate) async fn edit(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<EditDocument>,
) -> Result<Answer<WorkflowMoved>, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    let phase = project::phase(body.step);
    if !matches!(phase, workflow::Phase::Charter | workflow::Phase::Design) {
        return Err(ApiError::invalid("step", "must be charter or design"));
    }
    let edit = OfWorkflow::Edit { phase, output: serde_json::Value::Object(body.document) };
    wheel.orch.of_workflow(workflow.objective, edit).await?;
    moved(&api, &asker, workflow.objective).await
}

fn text(field: &str, text: String, most: usize) -> Result<String, ApiError> {
    if text.trim().is_empty() || text.len() > most {
        return Err(ApiError::invalid(field, &format!("must have between 1 and {most} bytes")));
    }
    Ok(text)
}
