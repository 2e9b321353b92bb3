//! Workspaces: the folders that sessions work in, and their snapshots.

use crate::names::names;
use orcha_base::{BranchName, ObjectiveId, SessionId, Sha, TargetId, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// What a workspace is.
    WorkspaceKind, "workspace kind":
    Isolated = "isolated",
    Shared = "shared",
    PrBranch = "pr_branch",
}

names! {
    /// Where a workspace stands.
    WorkspaceStatus, "workspace status":
    Preparing = "preparing",
    Ready = "ready",
    Archived = "archived",
    Failed = "failed",
}

names! {
    /// What keeps the history of a workspace.
    Vcs, "version control system":
    Git = "git",
    None = "none",
}

/// One folder on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The one session that writes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Where it lies.
    pub target_id: TargetId,
    /// What it is.
    pub kind: WorkspaceKind,
    /// The repository; empty for an empty folder.
    pub project_path: String,
    /// What keeps its history.
    pub vcs: Vcs,
    /// The folder; empty until it is made.
    pub path: String,
    /// The base branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_ref: Option<String>,
    /// The commit that the work started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_sha: Option<Sha>,
    /// The branch that is worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_name: Option<BranchName>,
    /// Where it stands.
    pub status: WorkspaceStatus,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Sha>,
    /// Why it was kept when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_because: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A workspace with everything that was kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceDetail {
    /// The workspace.
    pub workspace: Workspace,
    /// Its snapshots, oldest first.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
}

/// Everything that stood in a workspace at one instant, as a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Counts the snapshots of one workspace from 1.
    pub number: u32,
    /// The commit.
    pub sha: Sha,
    /// The head of the checkout at that instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Sha>,
    /// Why it was taken.
    pub why: String,
    /// When.
    pub created_at: Timestamp,
}

/// Puts a snapshot back into a folder of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreWorkspace {
    /// Which; the newest if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Sha>,
}

/// The answer to a restoration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The workspace.
    pub workspace: Workspace,
    /// The folder that holds the snapshot now; left out while the work is still under way, and then told by the
    /// event `workspace_restored`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
}
