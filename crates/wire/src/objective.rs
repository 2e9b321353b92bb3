//! Objectives: what people want, with the figures and findings that belong to them.

use crate::names::names;
use crate::{IdRef, PullRequest, Question, Session, SessionRole, SessionRow};
use orcha_base::{ArtifactId, BranchName, Effort, ObjectiveId, ProjectId, RepoUrl, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Where an objective stands.
    ObjectiveStatus, "objective status":
    Active = "active",
    WaitingUser = "waiting_user",
    Paused = "paused",
    Succeeded = "succeeded",
    Failed = "failed",
    Canceled = "canceled",
}

impl ObjectiveStatus {
    /// Tells whether there is no way out.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled => true,
            Self::Active | Self::WaitingUser | Self::Paused => false,
        }
    }
}

names! {
    /// How an objective is run: an agent steers by tools, one session does it, or a fixed row of roles.
    Strategy, "strategy":
    Manager = "manager",
    Direct = "direct",
    Pipeline = "pipeline",
}

/// An objective as a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveRow {
    /// Its id.
    pub id: ObjectiveId,
    /// Where it stands.
    pub status: ObjectiveStatus,
    /// Its title.
    pub title: String,
    /// The repository; empty if there is none.
    pub repo: String,
    /// How many of its sessions have not ended.
    pub active_sessions: u64,
    /// How many pull requests it has.
    pub pr_count: u64,
    /// How many of its questions are open.
    pub open_questions: u64,
    /// Whether it waits for a person.
    pub needs_user: bool,
    /// What the session that moved last is doing; empty if that is not known.
    pub latest_activity: String,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// Its id.
    pub id: ObjectiveId,
    /// Its title.
    pub title: String,
    /// The wish.
    pub prompt: String,
    /// Where it stands.
    pub status: ObjectiveStatus,
    /// Why it failed or was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its newest manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager_session_id: Option<SessionId>,
    /// How it is run.
    pub strategy: Strategy,
    /// The kind of agent that plays its sessions.
    pub agent: String,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; as its kind usually does if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Higher goes first.
    pub priority: i32,
    /// Its limits, all of them.
    pub limits: Limits,
    /// When it ends with what stands, if its time is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The limit that was reached, in words, until a person lets it go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tripped: Option<String>,
    /// What all its sessions used.
    pub used: Usage,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it works.
    #[serde(default)]
    pub metadata: ObjectiveMetadata,
}

/// Where an objective works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveMetadata {
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoUrl>,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// An objective with everything that belongs to it, except for transcripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveDetail {
    /// The objective.
    pub objective: Objective,
    /// Its sessions, oldest first.
    pub sessions: Vec<SessionRow>,
    /// Its pull requests, oldest first.
    pub pull_requests: Vec<PullRequest>,
    /// Its questions, open and answered.
    pub questions: Vec<Question>,
    /// What its sessions left.
    pub artifacts: Vec<Artifact>,
    /// What its sessions used.
    pub usage: ObjectiveUsage,
}

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// Money in millionths of a US dollar, as far as it is known.
    pub micro_usd: u64,
    /// Requests to a model.
    pub model_calls: u64,
}

/// What the sessions of an objective used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveUsage {
    /// The objective.
    pub objective_id: ObjectiveId,
    /// All tokens, cached ones too.
    pub total_tokens: u64,
    /// By session.
    pub sessions: Vec<SessionUsage>,
    /// By provider.
    pub providers: Vec<ProviderUsage>,
    /// The parts of the whole.
    #[serde(default)]
    pub used: Usage,
}

/// What a session used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionUsage {
    /// The session.
    pub session_id: SessionId,
    /// Its title.
    pub title: String,
    /// Its role.
    pub role: SessionRole,
    /// The provider: the kind of agent.
    pub provider: String,
    /// All tokens.
    pub used_tokens: u64,
}

/// What was used of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderUsage {
    /// The provider: the kind of agent.
    pub provider: String,
    /// All tokens.
    pub used_tokens: u64,
}

names! {
    /// What an artifact is.
    ArtifactKind, "artifact kind":
    PullRequest = "pull_request",
    Report = "report",
    Note = "note",
}

names! {
    /// Who should see an artifact first.
    Visibility, "visibility":
    Primary = "primary",
    Secondary = "secondary",
}

/// Something that a session left for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Its id.
    pub id: ArtifactId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The session that left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its title.
    pub title: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it can be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Who should see it first.
    pub visibility: Visibility,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What may be used up before somebody is asked; zero switches a limit off.
///
/// An answer names every limit. A request names those that it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The same class of error so many times in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_error: Option<u32>,
    /// So many turns in a row that ended by an error, whatever their classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_error: Option<u32>,
    /// So many turns in a row without a tool call or a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_progress: Option<u32>,
    /// Model calls of one session in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_calls_per_hour: Option<u32>,
    /// Model calls of the objective in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_calls_per_hour: Option<u32>,
    /// Seconds that one attempt of a worker may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_clock_secs: Option<u64>,
    /// Seconds that a turn may stand without any output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_secs: Option<u64>,
    /// Tokens of one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_tokens: Option<u64>,
    /// Money of one session in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_micro_usd: Option<u64>,
    /// Tokens of the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_tokens: Option<u64>,
    /// Money of the objective in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_micro_usd: Option<u64>,
    /// Seconds from the making of the objective to its end, a year at most: then it ends with what stands, and nobody is
    /// asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_secs: Option<u64>,
}

/// Makes an objective.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateObjective {
    /// Its title, in one line; made from the wish if there is none.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The wish.
    #[schemars(length(min = 1, max = 262_144), regex(pattern = r"\S"))]
    pub prompt: String,
    /// The kind of agent that plays its sessions, one that a target has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Another program than the kind's usual one, with leading arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_program: Option<Vec<String>>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; as its kind usually does if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The kinds of agents that may take over while the provider of this one refuses; those of the daemon's settings if
    /// nothing is said, and an empty list for none.
    #[schemars(length(max = 20), inner(length(min = 1, max = 60)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<String>>,
    /// The project; it supplies repository and base branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<IdRef>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoUrl>,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Limits other than the usual ones.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How it is run; by a manager if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Files that come with it: at most 20, and 8 MiB together.
    #[schemars(length(max = 20))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<crate::NewAttachment>,
}

/// The answer to a new objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedObjective {
    /// The objective.
    pub objective: Objective,
    /// Its first session: the manager, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Session>,
}

/// Changes an objective; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditObjective {
    /// A new title, in one line.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A new priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// New limits.
    #[serde(default, deserialize_with = "crate::object::optional", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Ends an objective or a session. The body may be left out altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why, for people.
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
