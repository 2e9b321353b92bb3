//! Tool servers that the settings lend to roles, and what they say of their tools.

use crate::SessionRole;
use crate::names::names;
use orcha_base::{TextId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Whether a server's tools are offered: a person approved of them, the settings name their hash, or neither.
    McpServerStatus, "status of a tool server":
    Pinned = "pinned",
    PinnedBySettings = "pinned_by_settings",
    Unpinned = "unpinned",
}

names! {
    /// How a tool server is spoken to.
    McpTransport, "transport":
    Stdio = "stdio",
    Http = "http",
}

/// A tool server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// The scope whose sessions get it, with those below.
    pub scope: String,
    /// How it is spoken to.
    pub transport: McpTransport,
    /// The program or the address.
    pub place: String,
    /// Which roles get it.
    pub roles: Vec<SessionRole>,
    /// Whether a call may change something.
    pub writes: bool,
    /// Whether its tools are offered.
    pub status: McpServerStatus,
    /// The hash of what it must say of its tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The text that was approved of: a customization of the kind `tool_server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customization_id: Option<TextId>,
    /// Who approved of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Timestamp>,
}

/// What a tool server says of its tools now, beside what was approved of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct McpServerLook {
    /// The server.
    pub server: McpServer,
    /// What it says: JSON with name, description and schema of each tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<String>,
    /// The hash of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Tools that no session gets, because no model could name them.
    pub left_out: Vec<String>,
    /// Why it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What was approved of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// Approves of what a tool server says of its tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinMcpServer {
    /// The hash of what was seen. A server that says something else by then is not approved of.
    #[schemars(length(min = 1, max = 100))]
    pub hash: String,
}
