//! What is said in a session: the transcript, and what was said to its agent from outside.

use crate::names::names;
use orcha_base::{Attempt, MessageId, ObjectiveId, QuestionId, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

names! {
    /// Who speaks.
    MessageSource, "message source":
    User = "user",
    Agent = "agent",
    System = "system",
    Tool = "tool",
    Stdout = "stdout",
    Stderr = "stderr",
}

names! {
    /// What is said.
    MessageKind, "message kind":
    Text = "text",
    Thinking = "thinking",
    ToolCall = "tool_call",
    ToolResult = "tool_result",
    Status = "status",
    Error = "error",
    Usage = "usage",
}

names! {
    /// How far a steering message has come.
    SteeringState, "delivery state":
    Queued = "queued",
    Sent = "sent",
    Acknowledged = "acknowledged",
    Undeliverable = "undeliverable",
}

/// One entry of a session's transcript: a message of the published API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptEntry {
    /// Its id.
    pub id: String,
    /// The session.
    pub session_id: SessionId,
    /// Its number within the session, from 1, and the `id` of its server-sent event.
    pub seq: u64,
    /// Who speaks.
    pub source: MessageSource,
    /// What is said.
    pub kind: MessageKind,
    /// The text.
    pub content: String,
    /// Details: `tool`, `call`, `input`, `failed`, `tokens`, `question_id`, `steer`, …
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The attempt that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// When.
    pub created_at: Timestamp,
}

/// Something that was said to a session's agent from outside, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SteeringMessage {
    /// Its id.
    pub id: MessageId,
    /// The objective.
    pub objective_id: ObjectiveId,
    /// Who shall hear it.
    pub session_id: SessionId,
    /// Who says it: `user`, `agent` (the manager) or `system`.
    pub source: MessageSource,
    /// The text.
    pub content: String,
    /// Whether the running turn is cut off for it.
    pub interrupt: bool,
    /// How far it has come.
    pub state: SteeringState,
    /// The question that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question_id: Option<QuestionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// Says something to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steer {
    /// The text.
    #[schemars(length(min = 1, max = 262_144), regex(pattern = r"\S"))]
    pub message: String,
    /// Whether the running turn is cut off for it; otherwise it waits for the turn's end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupt: bool,
}

/// The answer to a steering message: it is stored and will be delivered, whatever happens to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steered {
    /// `sent` for a session, `steered` for an objective or a pull request, as published.
    pub status: String,
    /// Who shall hear it.
    pub session_id: SessionId,
    /// The message.
    pub message: SteeringMessage,
}
