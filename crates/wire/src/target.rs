//! Targets: the machines that run sessions.

use crate::names::names;
use orcha_base::{SandboxLevel, TargetId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// How a target is reached.
    TargetKind, "target kind":
    Local = "local",
}

names! {
    /// Where a target stands. Only an online one takes new sessions.
    TargetStatus, "target status":
    Online = "online",
    Offline = "offline",
    Draining = "draining",
    Disabled = "disabled",
}

/// A machine that runs sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub kind: TargetKind,
    /// Where it stands.
    pub status: TargetStatus,
    /// The folder below which everything of ours lies.
    pub work_root: String,
    /// What it offers to sessions that ask for it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How many workers it takes at once.
    pub capacity_sessions: u32,
    /// How many more it takes now.
    pub available_sessions: u32,
    /// What the last probe found wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// By what it can confine sessions, as the last probe found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sandboxes: Vec<SandboxLevel>,
    /// When it was last reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A target with what was found when it was looked at just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// What is wrong with it, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Registers a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTarget {
    /// Its name; unique.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    pub name: String,
    /// How it is reached; `local` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
    /// The folder below which everything of ours shall lie, absolute; a folder of the daemon's if nothing is said.
    #[schemars(regex(pattern = "^/"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_root: Option<String>,
    /// What it offers: words.
    #[schemars(length(max = 50), inner(length(min = 1, max = 60), regex(pattern = r"^\S+$")))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How many workers it takes at once.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_sessions: Option<u32>,
}

/// Changes a target; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditTarget {
    /// A new name.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New labels: words.
    #[schemars(length(max = 50), inner(length(min = 1, max = 60), regex(pattern = r"^\S+$")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// A new capacity.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_sessions: Option<u32>,
}
