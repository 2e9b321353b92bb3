//! Sessions: one agent conversation each, with a role, on a target, in a workspace.

use crate::names::names;
use crate::objective::Usage;
use orcha_base::{
    Attempt, BranchName, Confinement, Effort, ObjectiveId, PullRequestId, RepoUrl, SessionId, TargetId, Timestamp,
    WorkspaceId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// What a session is for.
    SessionRole, "role":
    Manager = "manager",
    Implementer = "implementer",
    Reviewer = "reviewer",
    Validator = "validator",
    PrFollowup = "pr_followup",
    CiFollowup = "ci_followup",
    Researcher = "researcher",
    Custom = "custom",
    Director = "director",
    ProjectManager = "project_manager",
    Architect = "architect",
    Qa = "qa",
    Finalizer = "finalizer",
    Refiner = "refiner",
}

names! {
    /// Whether a session stays after a turn to be spoken to again.
    SessionMode, "session mode":
    Interactive = "interactive",
    Noninteractive = "noninteractive",
}

names! {
    /// Where a session stands.
    SessionStatus, "session status":
    Queued = "queued",
    WaitingCapacity = "waiting_capacity",
    Starting = "starting",
    Running = "running",
    WaitingUser = "waiting_user",
    Paused = "paused",
    Succeeded = "succeeded",
    Failed = "failed",
    Canceled = "canceled",
}

impl SessionStatus {
    /// Tells whether there is no way out.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled => true,
            Self::Queued
            | Self::WaitingCapacity
            | Self::Starting
            | Self::Running
            | Self::WaitingUser
            | Self::Paused => false,
        }
    }
}

names! {
    /// How far a start has come.
    Phase, "phase":
    Preparing = "preparing",
    Launching = "launching",
}

names! {
    /// Whether a running agent is at work.
    Turn, "turn":
    Busy = "busy",
    Idle = "idle",
    Held = "held",
}

/// A session as a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// Where it stands.
    pub status: SessionStatus,
    /// While it starts: how far it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// While it runs: whether its agent is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// Why it waits, failed or was canceled, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is for.
    pub role: SessionRole,
    /// The kind of agent.
    pub agent: String,
    /// Whether it stays after a turn.
    pub mode: SessionMode,
    /// Its title.
    pub title: String,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<TargetId>,
    /// What it is doing, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_activity: Option<String>,
    /// All tokens that it used.
    pub used_tokens: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When an agent first ran for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The session that created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<SessionId>,
    /// What it is for.
    pub role: SessionRole,
    /// The kind of agent.
    pub agent: String,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; as its kind usually does if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Whether it stays after a turn.
    pub mode: SessionMode,
    /// Where it stands.
    pub status: SessionStatus,
    /// While it starts: how far it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// While it runs: whether its agent is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// Why it waits, failed or was canceled, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How often it was started.
    pub attempt: u32,
    /// Its title.
    pub title: String,
    /// What it shall do.
    pub goal: String,
    /// Higher goes first.
    pub priority: i32,
    /// What it is doing, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_activity: Option<String>,
    /// The tail of the last thing that it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_summary: Option<String>,
    /// What it handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_summary: Option<String>,
    /// Where it runs, or ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<TargetId>,
    /// Its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// How its newest process is confined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Confinement>,
    /// The provider whose tokens it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_provider: Option<String>,
    /// All tokens that it used.
    pub used_tokens: u64,
    /// Their parts.
    #[serde(default)]
    pub used: Usage,
    /// When it was made.
    pub created_at: Timestamp,
    /// When an agent first ran for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// What it depends on and where it may run.
    #[serde(default)]
    pub metadata: SessionMetadata,
}

/// What a session depends on, works on, and where it may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionMetadata {
    /// The sessions that must succeed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<SessionId>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoUrl>,
    /// The base branch, if it is not the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// The target that it must run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_target: Option<TargetId>,
    /// The labels that its target must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_labels: Vec<String>,
    /// The pull request that it follows up on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr_id: Option<PullRequestId>,
    /// The session whose work it reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviews_session: Option<SessionId>,
    /// A reviewer's verdict: `approve` or `request_changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_verdict: Option<String>,
    /// The failed session that it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<SessionId>,
    /// The conversation that its agent can resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session_id: Option<String>,
    /// The attempt whose process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_attempt: Option<Attempt>,
}

/// Where a session's terminal is: a session of a tmux server of its own, on the session's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Terminal {
    /// The target that it is on.
    pub target_id: TargetId,
    /// The folder from which the socket is named.
    pub folder: String,
    /// The socket of the tmux server.
    pub socket: String,
    /// The session's name there.
    pub session: String,
}
