//! A workflow in the published shape, from the nouns that it is made of. Field by field, and nothing is decided.

use crate::problem::{ApiError, chain};
use crate::translate;
use orcha_base::{HandInId, TaskId};
use orcha_model::contract::{Issue, Output};
use orcha_model::delivery::{Delivered, Settings};
use orcha_model::hand_in::HandIn;
use orcha_model::session::AgentChoice;
use orcha_model::workflow::Phase;
use orcha_model::{Objective, Role, Workflow, check, objective, task};
use orcha_store::Loaded;
use orcha_wire::workflow::{
    DeliveredLink, Execution, Finalization, PULL_REQUEST_ID, Receipt, ReviewEntry, ValidationRun, WorkflowArtifact,
};
use orcha_wire::{Code, Persona, Step, TaskStatus, WorkflowRow, WorkflowStatus};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tracing::warn;

/// Returns the role's name in the pipeline; none for one that plays no part in it.
pub(crate) const fn persona(role: Role) -> Option<Persona> {
    match role {
        Role::Director => Some(Persona::Director),
        Role::ProjectManager => Some(Persona::ProjectManager),
        Role::Architect => Some(Persona::Architect),
        Role::Implementer => Some(Persona::Implementer),
        Role::Qa => Some(Persona::Qa),
        Role::Finalizer => Some(Persona::Finalizer),
        Role::Refiner => Some(Persona::Refiner),
        Role::Manager
        | Role::Reviewer
        | Role::Validator
        | Role::Researcher
        | Role::PrFollowup
        | Role::CiFollowup
        | Role::Custom => None,
    }
}

/// Returns the role of a part.
pub(crate) const fn role(persona: Persona) -> Role {
    match persona {
        Persona::Director => Role::Director,
        Persona::ProjectManager => Role::ProjectManager,
        Persona::Architect => Role::Architect,
        Persona::Implementer => Role::Implementer,
        Persona::Qa => Role::Qa,
        Persona::Finalizer => Role::Finalizer,
        Persona::Refiner => Role::Refiner,
    }
}

pub(crate) const fn step(phase: Phase) -> Step {
    match phase {
        Phase::Digest => Step::Digest,
        Phase::Direct => Step::Direct,
        Phase::Charter => Step::Charter,
        Phase::Design => Step::Design,
        Phase::ApprovePlan => Step::ApprovePlan,
        Phase::Implement => Step::Implement,
        Phase::Check => Step::Check,
        Phase::Verify => Step::Verify,
        Phase::Repair => Step::Repair,
        Phase::Finalize => Step::Finalize,
        Phase::ApproveDelivery => Step::ApproveDelivery,
        Phase::Deliver => Step::Deliver,
        Phase::Refine => Step::Refine,
        Phase::Done => Step::Done,
        Phase::Exhausted => Step::Exhausted,
        Phase::Stagnated => Step::Stagnated,
    }
}

pub(crate) const fn phase(step: Step) -> Phase {
    match step {
        Step::Digest => Phase::Digest,
        Step::Direct => Phase::Direct,
        Step::Charter => Phase::Charter,
        Step::Design => Phase::Design,
        Step::ApprovePlan => Phase::ApprovePlan,
        Step::Implement => Phase::Implement,
        Step::Check => Phase::Check,
        Step::Verify => Phase::Verify,
        Step::Repair => Phase::Repair,
        Step::Finalize => Phase::Finalize,
        Step::ApproveDelivery => Phase::ApproveDelivery,
        Step::Deliver => Phase::Deliver,
        Step::Refine => Phase::Refine,
        Step::Done => Phase::Done,
        Step::Exhausted => Phase::Exhausted,
        Step::Stagnated => Phase::Stagnated,
    }
}

pub(crate) fn status(workflow: &Workflow, objective: &Objective, begun: bool) -> WorkflowStatus {
    use orcha_model::workflow::Status;
    match workflow.status(objective, begun) {
        Status::Pending => WorkflowStatus::Pending,
        Status::Running => WorkflowStatus::Running,
        Status::Paused => WorkflowStatus::Paused,
        Status::Completed => WorkflowStatus::Completed,
        Status::Failed => WorkflowStatus::Failed,
        Status::Cancelled => WorkflowStatus::Cancelled,
    }
}

/// A blocking issue in one line, as it was published.
pub(crate) fn issue(it: &Issue) -> String {
    let line = format!("[{}] {}", it.component, it.description);
    if it.recommendation.trim().is_empty() { line } else { format!("{line}: {}", it.recommendation) }
}

/// A workflow as a line of a list.
pub(crate) fn row(workflow: &Workflow, objective: &Objective, begun: bool) -> WorkflowRow {
    WorkflowRow {
        id: objective.id,
        tenant_id: workflow.tenant.to_string(),
        scope_id: workflow.scope.to_string(),
        status: status(workflow, objective, begun),
        step: step(workflow.phase),
        mode: workflow.mode.map(|it| it.to_string()).unwrap_or_default(),
        title: objective.title.clone(),
        request: objective.prompt.clone(),
        created_at: objective.created_at,
        updated_at: objective.updated_at.max(workflow.updated_at),
        completed_at: objective.completed_at,
        error_message: match &objective.state {
            objective::State::Failed { reason } | objective::State::Canceled { reason } => Some(reason.clone()),
            objective::State::Active
            | objective::State::WaitingUser
            | objective::State::Paused
            | objective::State::Succeeded => None,
        },
    }
}

/// Tells whether anybody has begun with it.
pub(crate) fn begun(world: &Loaded) -> bool {
    world.sessions.iter().any(|it| it.started_at.is_some())
}

/// A workflow, whole.
pub(crate) fn whole(world: &Loaded, workflow: &Workflow) -> Result<orcha_wire::Workflow, ApiError> {
    let documents = Documents { world, workflow };
    let (wish, agents) = (&workflow.wish, workflow.agents());
    fn of_roles<T>(
        agents: &BTreeMap<Role, AgentChoice>,
        of: impl Fn(&AgentChoice) -> Option<T>,
    ) -> BTreeMap<String, T> {
        agents.iter().filter_map(|(role, agent)| Some((role.name().to_owned(), of(agent)?))).collect()
    }
    Ok(orcha_wire::Workflow {
        row: row(workflow, &world.objective, begun(world)),
        started_at: world.sessions.iter().filter_map(|it| it.started_at).min(),
        constitution: documents.charter().map(|it| object(&it.constitution)).transpose()?,
        requirements: documents.charter().map(|it| object(&it.requirements)).transpose()?,
        design: match documents.output(workflow.left.design) {
            Some(Output::Design(it)) => Some(object(&it.design)?),
            _ => None,
        },
        tasks: world.tasks.iter().map(|it| documents.task(it)).collect(),
        artifacts: documents.artifacts(),
        finalization: documents.finalization()?,
        summaries: documents.summaries(),
        review_thread: documents.thread(),
        blocking_issues: workflow.judged.iter().flat_map(|it| &it.blocking).map(issue).collect(),
        all_suggestions: documents.suggestions(),
        required_personas: Persona::ALL
            .iter()
            .copied()
            .filter(|it| *it != Persona::Refiner || !wish.skip_refiner)
            .collect(),
        provider_name: world.objective.agent.kind.clone(),
        model_name: world.objective.agent.model.clone(),
        effort: world.objective.agent.effort,
        persona_models: of_roles(&agents, |it| it.model.clone()),
        persona_efforts: of_roles(&agents, |it| it.effort),
        persona_providers: of_roles(&agents, |it| Some(it.kind.clone())),
        delivery_action: workflow.action.map(|it| it.to_string()).unwrap_or_default(),
        delivery_config: delivery_config(&wish.delivery),
        execution: documents.execution(),
        used: translate::usage(&world.objective.used),
        health_score: documents.retrospective().map(|it| it.health_score),
        deadline: world.objective.deadline(),
        policy: translate::policy(&world.objective.policy),
        violations: workflow.violations,
    })
}

/// The documents that a workflow is made of.
struct Documents<'w> {
    world: &'w Loaded,
    workflow: &'w Workflow,
}

impl<'w> Documents<'w> {
    fn hand_in(&self, id: Option<HandInId>) -> Option<&'w HandIn> {
        let id = id?;
        self.world.hand_ins.iter().find(|it| it.id == id)
    }

    fn output(&self, id: Option<HandInId>) -> Option<&'w Output> {
        self.hand_in(id).map(|it| &it.output)
    }

    fn charter(&self) -> Option<&'w orcha_model::contract::Charter> {
        match self.output(self.workflow.left.charter)? {
            Output::Charter(it) => Some(it),
            _ => None,
        }
    }

    fn retrospective(&self) -> Option<&'w orcha_model::contract::Retrospective> {
        match self.output(self.workflow.left.retrospective)? {
            Output::Retrospective(it) => Some(it),
            _ => None,
        }
    }

    fn task(&self, it: &task::Task) -> orcha_wire::Task {
        let (status, session, output) = match &it.state {
            task::State::Pending => (TaskStatus::Pending, None, None),
            task::State::Running { session } => (TaskStatus::Running, Some(*session), None),
            task::State::Completed { session, hand_in } => {
                let said = self.output(Some(*hand_in)).map(|it| it.summary().to_owned());
                (TaskStatus::Completed, Some(*session), said)
            }
            task::State::Failed { reason } => (TaskStatus::Failed, None, Some(reason.clone())),
            task::State::Skipped { reason } => (TaskStatus::Skipped, None, Some(reason.clone())),
        };
        orcha_wire::Task {
            id: it.id,
            workflow_id: it.objective,
            number: it.number,
            title: it.title.clone(),
            description: it.description.clone(),
            status,
            depends_on: it.depends_on.clone(),
            assigned_to: Persona::Implementer,
            specialty: it.specialty.map(|it| it.to_string()),
            attempt: it.cycle,
            source: it.source.to_string(),
            remediation_source: (it.source == task::Source::Repair).then(|| "qa_remediation".to_owned()),
            tries: it.tries,
            session_id: session,
            output,
            created_at: it.created_at,
            completed_at: it.completed_at,
        }
    }

    /// The newest revision of each path, in the order in which they first came.
    fn artifacts(&self) -> Vec<WorkflowArtifact> {
        let mut all: Vec<WorkflowArtifact> = Vec::new();
        for hand_in in self.world.hand_ins.iter().filter(|it| it.round >= self.workflow.work_since) {
            let Output::Change(change) = &hand_in.output else { continue };
            for it in &change.artifacts {
                let artifact = WorkflowArtifact {
                    task_id: hand_in.task,
                    name: it.path.rsplit('/').next().unwrap_or(&it.path).to_owned(),
                    description: it.description.clone(),
                    path: it.path.clone(),
                    content: it.content.clone(),
                    created_by: Persona::Implementer,
                    created_at: hand_in.created_at,
                };
                match all.iter_mut().find(|known| known.path == artifact.path) {
                    Some(known) => *known = artifact,
                    None => all.push(artifact),
                }
            }
        }
        all
    }

    fn summaries(&self) -> BTreeMap<String, String> {
        let said = self.world.hand_ins.iter().filter_map(|it| Some((it.phase.role()?, it.output.summary())));
        said.map(|(role, summary)| (role.name().to_owned(), summary.to_owned())).collect()
    }

    fn thread(&self) -> Vec<ReviewEntry> {
        let mut thread = Vec::new();
        for it in &self.world.hand_ins {
            let Some(persona) = it.phase.role().and_then(persona) else { continue };
            let mut say = |kind: &str, message: String| {
                thread.push(ReviewEntry {
                    persona,
                    kind: kind.to_owned(),
                    message,
                    qa_cycle: it.cycle,
                    created_at: it.created_at,
                });
            };
            say("summary", it.output.summary().to_owned());
            if let Output::Verdict(verdict) = &it.output {
                verdict.blocking_issues.iter().for_each(|it| say("blocking_issue", issue(it)));
            }
            it.output.questions().iter().for_each(|it| say("question", it.clone()));
        }
        thread
    }

    fn suggestions(&self) -> Vec<String> {
        let warnings = self.workflow.judged.iter().flat_map(|it| &it.warnings);
        let mut all: Vec<String> = warnings.map(|it| format!("[warning]{}", issue(it))).collect();
        for hand_in in [self.workflow.left.verdict, self.workflow.left.finish] {
            match self.output(hand_in) {
                Some(Output::Verdict(it)) => all.extend(it.suggestions.iter().cloned()),
                Some(Output::Finish(it)) => all.extend(it.suggestions.iter().cloned()),
                _ => {}
            }
        }
        all
    }

    fn finalization(&self) -> Result<Option<Finalization>, ApiError> {
        let finish = match self.output(self.workflow.left.finish) {
            Some(Output::Finish(it)) => Some(it),
            _ => None,
        };
        let delivered = self.workflow.left.delivered.as_ref();
        if finish.is_none() && delivered.is_none() {
            return Ok(None);
        }
        let retrospective = self.retrospective();
        let mut metadata = Map::new();
        let mut links = Vec::new();
        if let Some(finish) = finish {
            metadata.insert("title".into(), finish.title.clone().into());
            metadata.insert("body".into(), finish.body.clone().into());
        }
        if let Some(sha) = &self.workflow.left.checked {
            metadata.insert("commit_sha".into(), sha.to_string().into());
        }
        let mut made = Vec::new();
        match delivered {
            Some(Delivered::PullRequest { pull_request, url }) => {
                metadata.insert(PULL_REQUEST_ID.into(), pull_request.to_string().into());
                links.extend(url.clone());
            }
            Some(Delivered::Commit { repo, branch, commit }) => {
                metadata.insert("branch".into(), branch.to_string().into());
                metadata.insert("commit_sha".into(), commit.to_string().into());
                links.push(format!("{repo}#{branch}"));
            }
            Some(Delivered::Made { links: all, summary }) => {
                metadata.insert("delivery".into(), summary.clone().into());
                links.extend(all.iter().map(|it| it.target.clone()));
                made.extend(all.iter().map(|it| DeliveredLink {
                    kind: it.kind.to_string(),
                    target: it.target.clone(),
                    bytes: it.bytes,
                    sha256: it.sha256.clone(),
                }));
            }
            Some(Delivered::Answer) | None => {}
        }
        let improvements = retrospective.iter().flat_map(|it| &it.improvements);
        Ok(Some(Finalization {
            action: self.workflow.action.map(|it| it.to_string()).unwrap_or_default(),
            summary: finish.map(|it| it.summary.clone()).unwrap_or_default(),
            links,
            delivered: made,
            metadata,
            suggestions: finish.map(|it| it.suggestions.clone()).unwrap_or_default(),
            refiner_improvements: improvements.map(object).collect::<Result<_, _>>()?,
            overall_assessment: retrospective.map(|it| it.overall_assessment.clone()),
            completed_at: self.world.objective.completed_at.filter(|_| delivered.is_some()),
        }))
    }

    fn execution(&self) -> Execution {
        let workflow = self.workflow;
        let running = |it: &&task::Task| matches!(it.state, task::State::Running { .. });
        let active: Vec<&task::Task> = self.world.tasks.iter().filter(running).collect();
        let waiting = self.world.questions.iter().find(|it| it.state == orcha_model::question::State::Open);
        Execution {
            current_persona: workflow.phase.role().and_then(persona),
            active_tasks: active.iter().map(|it| it.id).collect::<Vec<TaskId>>(),
            active_task_id: active.first().map(|it| it.id),
            active_task_title: active.first().map(|it| it.title.clone()),
            qa_cycle: workflow.cycle,
            max_qa_retries: workflow.wish.max_repairs,
            round: workflow.round,
            waits_for: waiting.map(|it| it.text.clone()),
            validation_runs: self.world.check_runs.iter().map(validation).collect(),
        }
    }
}

/// What was said of a delivery, as it may be shown: the path of an address may be a secret.
fn delivery_config(settings: &Settings) -> Map<String, Value> {
    let mut config = match settings {
        Settings::Nothing => Map::new(),
        Settings::PullRequest(it) => {
            let head = it.head.as_ref().map(ToString::to_string);
            let named = [("title", it.title.clone()), ("body", it.body.clone()), ("head_branch", head)];
            let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
            named.chain(it.draft.then(|| ("draft".to_owned(), true.into()))).collect()
        }
        Settings::DirectCommit { branch } => {
            branch.iter().map(|it| ("branch".to_owned(), it.to_string().into())).collect()
        }
        Settings::Made { config } => config.clone(),
    };
    if let Some(url) = config.get("url").and_then(Value::as_str) {
        let server = url.split('/').take(3).collect::<Vec<_>>().join("/");
        config.insert("url".into(), format!("{server}/…").into());
    }
    config
}

fn validation(run: &check::CheckRun) -> ValidationRun {
    let outcome = match &run.state {
        check::State::Done { outcome } => Some(outcome),
        check::State::Running | check::State::Faulted { .. } | check::State::Canceled => None,
    };
    let over = run.state != check::State::Running;
    let summary = match (&run.state, outcome) {
        (check::State::Faulted { detail }, _) => detail.clone(),
        (_, Some(outcome)) if outcome.receipts.is_empty() => "there was nothing to run".to_owned(),
        (_, Some(outcome)) => {
            let red = outcome.receipts.iter().filter(|it| !it.passed()).count();
            format!("{} of {} are green", outcome.receipts.len() - red, outcome.receipts.len())
        }
        _ => String::new(),
    };
    ValidationRun {
        id: run.id.to_string(),
        phase: match run.cycle {
            0 => "implementation".to_owned(),
            cycle => format!("remediation-{cycle}"),
        },
        commit_sha: outcome.map(|it| it.sha.clone()),
        state: run.state.name().to_owned(),
        passed: outcome.is_some_and(check::Outcome::is_green),
        steps: outcome.iter().flat_map(|it| &it.receipts).map(receipt).collect(),
        summary,
        started_at: run.created_at,
        completed_at: over.then_some(run.updated_at),
    }
}

fn receipt(it: &check::Receipt) -> Receipt {
    Receipt {
        capability: it.name.clone(),
        tool: it.command.join(" "),
        passed: it.passed(),
        exit_code: it.code,
        output: it.tail.clone(),
        duration_ms: it.millis,
    }
}

/// Writes a document as an object.
fn object(it: &impl Serialize) -> Result<Map<String, Value>, ApiError> {
    let odd = |why: String| {
        warn!(error = %why, "a document of a workflow could not be written");
        ApiError::new(Code::Internal, "a document of this workflow could not be written; this is a defect of orcha")
    };
    match serde_json::to_value(it) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(odd(format!("it is no object: {other}"))),
        Err(fault) => Err(odd(chain(&fault))),
    }
}
