//! The journal: what happened, one line each, in order.

use orcha_base::{ObjectiveId, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of the journal. Its id counts up and is the `id` of its server-sent event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// The objective that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The session that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// What kind of thing happened: `session_started`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// When.
    pub created_at: Timestamp,
}

/// What a session's agent is doing now: a server-sent event of the name [`crate::ACTIVITY`], without an id. It is told
/// once a second at the most and is not kept: the session's row says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// The objective.
    pub objective_id: ObjectiveId,
    /// The session.
    pub session_id: SessionId,
    /// What it is doing, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_activity: Option<String>,
    /// The tokens that it used so far.
    pub used_tokens: u64,
    /// Since when.
    pub at: Timestamp,
}
