//! How the daemon fares, and who is asking. Never a secret, except for the one link that is asked for.

use crate::names::names;
use orcha_base::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// How the daemon fares.
    HealthStatus, "health status":
    Ok = "ok",
    StorageFull = "storage_full",
    Stopping = "stopping",
}

/// How the daemon fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// In a word.
    pub status: HealthStatus,
    /// The daemon's version.
    pub version: String,
    /// The revision that it was built from, or `unstamped`.
    pub build: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// Its clock.
    pub time: Timestamp,
    /// Its process.
    #[serde(default)]
    pub pid: u32,
    /// Objectives that have not ended.
    #[serde(default)]
    pub active_objectives: u64,
    /// Sessions that take a place.
    #[serde(default)]
    pub running_sessions: u64,
    /// Questions that wait for a person.
    #[serde(default)]
    pub open_questions: u64,
    /// Effects that are ordered and not done.
    #[serde(default)]
    pub pending_effects: u64,
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Whoami {
    /// The address; empty without accounts.
    pub email: String,
    /// The name of the asker: that of its token, or `operator` with the daemon's own.
    #[serde(rename = "userId")]
    pub user_id: String,
    /// The tenant whose rows are seen.
    #[serde(default)]
    pub tenant: String,
    /// The only scope of it whose rows are seen; left out if all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A link that logs a browser in, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginLink {
    /// The link.
    pub url: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}
