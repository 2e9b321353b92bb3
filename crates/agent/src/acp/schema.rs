//! The part of the Agent Client Protocol, version 1, that a client without files and terminals of its own reads.
//!
//! Written down here and not taken from the official crate: that one switches on an ordered `serde_json` for the
//! whole program, and brings ten times more than is read. Every type forgives: what an agent leaves out or adds
//! changes nothing, a kind that is not known is `Other`.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The answer to `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Hello {
    pub(super) agent_capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Capabilities {
    pub(super) load_session: bool,
    pub(super) mcp_capabilities: McpCapabilities,
    pub(super) session_capabilities: SessionCapabilities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct McpCapabilities {
    pub(super) http: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionCapabilities {
    pub(super) resume: Option<Value>,
}

/// The parameters of `session/update`.
#[derive(Debug, Deserialize)]
pub(super) struct Notice {
    pub(super) update: Update,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "sessionUpdate", rename_all = "snake_case")]
pub(super) enum Update {
    AgentMessageChunk(Chunk),
    AgentThoughtChunk(Chunk),
    ToolCall(Piece),
    #[serde(rename = "tool_call_update")]
    ToolCallAgain(Piece),
    #[serde(rename = "usage_update")]
    Usage(Spending),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    pub(super) content: Block,
    #[serde(default)]
    pub(super) message_id: Option<String>,
    #[serde(default, rename = "_meta")]
    pub(super) meta: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    /// Pictures, sounds, files: nothing of them is kept.
    #[serde(other)]
    Other,
}

impl Block {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            Self::Other => None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spending {
    pub(super) cost: Option<Cost>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cost {
    pub(super) amount: Value,
    pub(super) currency: String,
}

/// What is said of a tool call at once: all of it, or what changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Piece {
    pub(super) tool_call_id: String,
    pub(super) title: Option<String>,
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) content: Option<Vec<Content>>,
    pub(super) locations: Option<Vec<Place>>,
    pub(super) raw_input: Option<Value>,
    pub(super) raw_output: Option<Value>,
    #[serde(rename = "_meta")]
    pub(super) meta: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Completed,
    Failed,
    /// Pending, in progress, or something newer: not over.
    #[serde(other)]
    Open,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    #[serde(rename = "content")]
    Plain {
        content: Block,
    },
    Diff(Diff),
    #[serde(other)]
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Diff {
    pub(super) path: String,
    pub(super) old_text: Option<String>,
    pub(super) new_text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    pub(super) path: String,
}

/// The parameters of `session/request_permission`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    #[serde(default)]
    pub(super) tool_call: Piece,
    pub(super) options: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Choice {
    pub(super) option_id: String,
    pub(super) kind: ChoiceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChoiceKind {
    AllowOnce,
    RejectOnce,
    RejectAlways,
    /// To allow for ever, or something newer: never chosen.
    #[serde(other)]
    Other,
}

/// Why a prompt was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stop {
    EndTurn,
    MaxTokens,
    MaxTurnRequests,
    Refusal,
    Cancelled,
    #[serde(other)]
    Other,
}
