//! Workflows: the pipeline run of an objective, in the shapes of the published pipeline API, with what this system
//! knows more.
//!
//! A workflow has the id of its objective: everything that can be asked about the one can be asked about the other.

use crate::names::names;
use crate::{IdRef, Usage};
use orcha_base::{BranchName, Effort, ObjectiveId, PullRequestId, RepoUrl, SessionId, Sha, TaskId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

names! {
    /// Where a workflow stands.
    WorkflowStatus, "workflow status":
    Pending = "pending",
    Running = "running",
    Paused = "paused",
    Completed = "completed",
    Failed = "failed",
    Cancelled = "cancelled",
}

impl WorkflowStatus {
    /// Tells whether there is no way out.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Pending | Self::Running | Self::Paused => false,
        }
    }
}

names! {
    /// Who plays a step of a workflow.
    Persona, "persona":
    Director = "director",
    ProjectManager = "project_manager",
    Architect = "architect",
    Implementer = "implementer",
    Qa = "qa",
    Finalizer = "finalizer",
    Refiner = "refiner",
}

names! {
    /// A step of a workflow.
    Step, "step of a workflow":
    Digest = "digest",
    Direct = "direct",
    Charter = "charter",
    Design = "design",
    ApprovePlan = "approve_plan",
    Implement = "implement",
    Check = "check",
    Verify = "verify",
    Repair = "repair",
    Finalize = "finalize",
    ApproveDelivery = "approve_delivery",
    Deliver = "deliver",
    Refine = "refine",
    Done = "done",
    Exhausted = "exhausted",
    Stagnated = "stagnated",
}

names! {
    /// Where a task stands.
    TaskStatus, "task status":
    Pending = "pending",
    Running = "running",
    Completed = "completed",
    Failed = "failed",
    Skipped = "skipped",
}

/// A workflow as a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowRow {
    /// Its id: that of its objective.
    pub id: ObjectiveId,
    /// Whose it is.
    pub tenant_id: String,
    /// Where in the tenant it belongs.
    pub scope_id: String,
    /// Where it stands.
    pub status: WorkflowStatus,
    /// The step that it stands at.
    pub step: Step,
    /// What kind of work it is; empty while nobody has said.
    pub mode: String,
    /// Its title.
    pub title: String,
    /// What was asked for.
    pub request: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// A part of the list of workflows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowList {
    /// The workflows, newest first.
    pub workflows: Vec<WorkflowRow>,
    /// How many were wanted.
    pub limit: u32,
    /// How many were passed over.
    pub offset: u32,
    /// Where the list goes on, if it does: the `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A workflow, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workflow {
    /// What stands in a list, too.
    #[serde(flatten)]
    pub row: WorkflowRow,
    /// When its first role began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// What everything is measured by; the Project Manager's, or a person's in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constitution: Option<Map<String, Value>>,
    /// What is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Map<String, Value>>,
    /// How it is built; the Architect's, or a person's in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<Map<String, Value>>,
    /// The tasks, in the order of their making.
    pub tasks: Vec<Task>,
    /// Texts that tasks left where there is no repository, the newest of each path.
    pub artifacts: Vec<WorkflowArtifact>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalization: Option<Finalization>,
    /// The newest summary of each role.
    pub summaries: BTreeMap<String, String>,
    /// What the roles said to each other, oldest first.
    pub review_thread: Vec<ReviewEntry>,
    /// What blocks the result, as of the last verdict.
    pub blocking_issues: Vec<String>,
    /// What else was noticed, as of the last verdict, and what was suggested.
    pub all_suggestions: Vec<String>,
    /// Who plays a part.
    pub required_personas: Vec<Persona>,
    /// The kind of agent that plays what no other is named for.
    pub provider_name: String,
    /// Its model, if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// How hard it thinks, if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The models of roles that have their own.
    pub persona_models: BTreeMap<String, String>,
    /// How hard the agents of roles think that are told so.
    pub persona_efforts: BTreeMap<String, Effort>,
    /// The kinds of agents of roles that have their own.
    pub persona_providers: BTreeMap<String, String>,
    /// How the result is delivered; empty while nobody has said.
    pub delivery_action: String,
    /// What else was said of the delivery. A secret is a reference, and an address is left out but for its server.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub delivery_config: Map<String, Value>,
    /// Where its work stands in particular.
    pub execution: Execution,
    /// What all its sessions used.
    pub used: Usage,
    /// How well it went, from 0 to 100, by its Refiner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_score: Option<u8>,
    /// When it ends with what stands, if its time is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What its scope let it do when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<crate::PolicyRule>,
    /// How often a role handed in what it may not.
    pub violations: u32,
}

/// A piece of a workflow's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The workflow.
    pub workflow_id: ObjectiveId,
    /// Its place among all tasks, from 1.
    pub number: u32,
    /// Its title.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// The tasks whose work it goes on with.
    pub depends_on: Vec<TaskId>,
    /// Who works it off.
    pub assigned_to: Persona,
    /// What it needs somebody to be good at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialty: Option<String>,
    /// The repair that it belongs to; zero for the first plan.
    pub attempt: u32,
    /// Where it comes from: `plan`, `repair`, `join` or `person`.
    pub source: String,
    /// The published name of its source, for a task that repairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_source: Option<String>,
    /// How often somebody tried.
    pub tries: u32,
    /// The session that works on it, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// What came of it, or why nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// A text that a task left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowArtifact {
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The last part of its path.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Where it belongs.
    pub path: String,
    /// The whole text.
    pub content: String,
    /// Who wrote it.
    pub created_by: Persona,
    /// When.
    pub created_at: Timestamp,
}

/// What came of a workflow. Only what was seen to be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finalization {
    /// How it was delivered.
    pub action: String,
    /// The Finalizer's summary.
    pub summary: String,
    /// Where the result can be seen.
    pub links: Vec<String>,
    /// What was made, each looked at afterwards: a file with its size and hash, a server that has confirmed a call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<DeliveredLink>,
    /// Facts about the delivery.
    pub metadata: Map<String, Value>,
    /// What the Finalizer suggests.
    pub suggestions: Vec<String>,
    /// What the Refiner proposes.
    pub refiner_improvements: Vec<Map<String, Value>>,
    /// What the Refiner thinks of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_assessment: Option<String>,
    /// When the result was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// Something that exists because of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredLink {
    /// What it is: `file` or `webhook`.
    pub kind: String,
    /// Where: a path on the daemon's machine, or the server that was called.
    pub target: String,
    /// How many bytes it has, if it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The SHA-256 of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Something that a role said to those after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewEntry {
    /// Who.
    pub persona: Persona,
    /// What it is: `summary`, `blocking_issue` or `question`.
    pub kind: String,
    /// What was said.
    pub message: String,
    /// The repair that it belongs to.
    pub qa_cycle: u32,
    /// When.
    pub created_at: Timestamp,
}

/// Where the work of a workflow stands in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Execution {
    /// Who is at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_persona: Option<Persona>,
    /// The tasks that are being worked on.
    pub active_tasks: Vec<TaskId>,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_task_id: Option<TaskId>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_task_title: Option<String>,
    /// How many repairs were planned.
    pub qa_cycle: u32,
    /// How many there may be.
    pub max_qa_retries: u32,
    /// How often a person sent it back.
    pub round: u32,
    /// What stands in its way now, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Runs of the checks, oldest first.
    pub validation_runs: Vec<ValidationRun>,
}

/// A run of the checks in a clean checkout of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationRun {
    /// Its id.
    pub id: String,
    /// The repair that it belongs to, in the published words: `implementation`, `remediation-1`.
    pub phase: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<Sha>,
    /// Where it stands: `running`, `done`, `faulted` or `canceled`.
    pub state: String,
    /// Whether everything is green, and there was something.
    pub passed: bool,
    /// What each command said: the receipts.
    pub steps: Vec<Receipt>,
    /// In a sentence.
    pub summary: String,
    /// When it was ordered.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// What one command said about a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// What people call the check.
    pub capability: String,
    /// The program with its arguments.
    pub tool: String,
    /// Whether it is green.
    pub passed: bool,
    /// How it ended; left out if it had to be ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The end of what it printed.
    pub output: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// Makes a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkflow {
    /// What is asked for.
    #[schemars(length(min = 1, max = 262_144), regex(pattern = r"\S"))]
    pub request: String,
    /// Its title, in one line; the Director finds one if there is none.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What kind of work it is: `software`, `content`, `docs`, `research`, `ops` or `mixed`, or a word that is used for
    /// one of them; the Director says so if nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The kind of agent that plays what no other is named for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; as its kind usually does if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Other agents, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub personas: BTreeMap<Persona, PersonaChoice>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoUrl>,
    /// The project, instead of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<IdRef>,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// How the result is delivered.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Commands that check the work, besides those that the project has.
    #[schemars(length(max = 20))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Lets the work be called good although nothing checks it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_checks: bool,
    /// How often the result is repaired before the workflow gives up; 2 if nothing is said.
    #[schemars(range(max = 20))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_qa_retries: Option<u32>,
    /// What a person has to agree to.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// Ends without looking back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_refiner: bool,
    /// A template, which supplies what the request leaves open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_id: Option<String>,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Limits other than the usual ones.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub limits: Option<crate::Limits>,
    /// Files that come with it: at most 20, and 8 MiB together.
    #[schemars(length(max = 20))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<crate::NewAttachment>,
}

/// Who plays a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonaChoice {
    /// The kind of agent; the workflow's if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Another program than the kind's usual one, with leading arguments. For the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Vec<String>>,
    /// The model; the workflow's if none is named and the kind is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; as in the workflow if nothing is said and the kind is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
}

/// How a result is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The action: `pull_request` (published as `github-pr`), `direct_commit` (`repo-commit-only`), `artifact_bundle`
    /// (`artifact-bundle`), `markdown_export`, `blog_draft`, `doc_draft`, `webhook` (`webhook-dispatch`) or `answer`
    /// (`api-response`).
    pub action: String,
    /// What it takes: for a pull request `title`, `body`, `base_branch`, `head_branch`, `draft` and `merge`; for a direct
    /// commit `branch`; for an archive and an export `name`; for a draft `slug` and `tags`; for a webhook `url`, and
    /// `secret` as a reference: `{"name": "…"}` for one of the tenant, and for the operator `{"env": "NAME"}` or
    /// `{"file": "/path"}`.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// Merges the pull request without asking anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
}

/// A command that checks the work: it is good if it ends with zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What people call it.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The program and its arguments; no shell takes part.
    #[schemars(length(min = 1, max = 100))]
    pub command: Vec<String>,
}

/// What a person has to agree to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// The plan, before anything is written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plan: bool,
    /// The result, before it is delivered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivery: bool,
}

/// Which workflows are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkflows {
    /// At most so many; 20 if nothing is said.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the page before. Unlike `offset` it misses nothing and repeats nothing, whatever is made meanwhile.
    #[schemars(regex(pattern = "^-?[0-9]{1,19}~.{1,64}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// So many are passed over; not beside `after`.
    #[schemars(range(max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Only those that stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkflowStatus>,
}

/// Sends a workflow back to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryWorkflow {
    /// The step that is done anew, and all after it.
    pub from: Step,
    /// What whoever plays it shall hear.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Does without a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipTask {
    /// The task: its id, or its number.
    pub task: String,
    /// Why.
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Adds a task by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTask {
    /// Its title, in one line.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    pub title: String,
    /// What is to be done.
    #[schemars(length(min = 1, max = 20_000), regex(pattern = r"\S"))]
    pub description: String,
    /// What it needs somebody to be good at: `backend`, `frontend`, `writer`, `ops` or `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialty: Option<String>,
}

/// Writes a document in a role's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditDocument {
    /// Whose: that of the step `charter`, or `design`.
    pub step: Step,
    /// The whole document, as the role would hand it in.
    pub document: Map<String, Value>,
}

/// Agrees to what a workflow waits with, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Whether it may go on.
    pub approve: bool,
    /// What is to be different, if not.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to a verb, in the published shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowMoved {
    /// Where the workflow stands now.
    pub status: WorkflowStatus,
    /// Which it is: for a clone, the new one.
    pub id: ObjectiveId,
    /// The step that it stands at.
    pub step: Step,
}

/// Which events of a workflow are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkflowEvents {
    /// Only those behind this one: an `id`, or the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many; 1000 if nothing is said.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How events of a workflow are streamed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamWorkflow {
    /// Only those behind this one; the header `Last-Event-ID` goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// After so many seconds the stream ends by itself; never, if nothing is said.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Where the events come from, for published clients that say so: there is the journal, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<StreamSource>,
}

names! {
    /// Where the events of a stream come from. All of them mean the journal.
    StreamSource, "source of a stream":
    Auto = "auto",
    Database = "database",
    Db = "db",
}

/// The events of a workflow, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowEvents {
    /// They.
    pub events: Vec<WorkflowEvent>,
    /// How many.
    pub count: u64,
    /// Where the journal goes on, if there was more than was wanted: the `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that happened to a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowEvent {
    /// Its place: what comes later has a later one. Two numbers, the second of which is left out if it is zero: `41`,
    /// `41.1`.
    pub id: String,
    /// The workflow.
    pub workflow_id: ObjectiveId,
    /// Whose it is.
    pub tenant_id: String,
    /// Where in the tenant it belongs.
    pub scope_id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Who it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona: Option<Persona>,
    /// The session that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// In particular.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub payload: Map<String, Value>,
    /// Why a stream is closed: `workflow_terminal` or `timeout`; with that type alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub occurred_at: Timestamp,
}

names! {
    /// What can happen to a workflow: the published types, those among them that were never sent, and ours.
    EventType, "event type":
    WorkflowCreated = "workflow.created",
    WorkflowStarted = "workflow.started",
    WorkflowPaused = "workflow.paused",
    WorkflowResumed = "workflow.resumed",
    WorkflowCompleted = "workflow.completed",
    WorkflowFailed = "workflow.failed",
    WorkflowCancelled = "workflow.cancelled",
    StateTransition = "state.transition",
    StepChanged = "step.changed",
    PersonaStarted = "persona.started",
    PersonaCompleted = "persona.completed",
    PersonaFailed = "persona.failed",
    PersonaRetrying = "persona.retrying",
    RoleViolation = "role.violation",
    AgentSubstituted = "agent.substituted",
    ToolsWithheld = "tools.withheld",
    TaskCreated = "task.created",
    TaskStarted = "task.started",
    TaskCompleted = "task.completed",
    TaskRetrying = "task.retrying",
    TaskFailed = "task.failed",
    TaskSkipped = "task.skipped",
    ArtifactProduced = "artifact.produced",
    AttachmentProcessingStarted = "attachment.processing.started",
    AttachmentProcessed = "attachment.processed",
    AttachmentProcessingCompleted = "attachment.processing.completed",
    AttachmentProcessingFailed = "attachment.processing.failed",
    AttachmentProcessingCancelled = "attachment.processing.cancelled",
    ProviderCall = "provider.call",
    ValidationStarted = "validation.started",
    ValidationRun = "validation.run",
    ValidationFaulted = "validation.faulted",
    ImplementationReady = "implementation.ready",
    QaExhausted = "qa.exhausted",
    QaStagnated = "qa.stagnated",
    ApprovalRequested = "approval.requested",
    QuestionAsked = "question.asked",
    QuestionAnswered = "question.answered",
    DocumentEdited = "document.edited",
    DeliveryOpened = "delivery.opened",
    DeliveryFaulted = "delivery.faulted",
    DeliveryAgain = "delivery.again",
    DeliveryCompleted = "delivery.completed",
    RefinerSuggestion = "refiner.suggestion",
    StreamClosed = "stream.closed",
}

/// A template: what a request may leave open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowTemplate {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a workflow that names it gets where its request is silent.
    pub fills: TemplateFills,
}

/// What a template supplies. Everything that stands here has its effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateFills {
    /// What kind of work it is.
    pub mode: String,
    /// How the result is delivered; nothing if the Director says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// How often the result is repaired.
    pub max_qa_retries: u32,
    /// Whether a person looks at the plan.
    pub approve_plan: bool,
    /// Whether a person looks at the result.
    pub approve_delivery: bool,
}

/// The templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowTemplates {
    /// They.
    pub templates: Vec<WorkflowTemplate>,
}

/// The pull request of a workflow, in the metadata of its [`Finalization`].
pub const PULL_REQUEST_ID: &str = "pull_request_id";

/// Returns the id of a workflow's pull request, if it was delivered as one.
pub fn pull_request_of(finalization: &Finalization) -> Option<PullRequestId> {
    finalization.metadata.get(PULL_REQUEST_ID)?.as_str()?.parse().ok()
}
