//! The one normalised transcript: what agents do, whichever program they are.

use orcha_base::Timestamp;
use orcha_exec::ExitStatus;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that an agent did or said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The agent is up and has named its conversation.
    Ready {
        /// The id by which the conversation can be resumed.
        conversation: String,
        /// The model, where the agent says so.
        model: Option<String>,
        /// Whether our tools answered the agent; `None` when it does not say.
        tools_connected: Option<bool>,
    },
    /// Text for the reader.
    Text {
        /// The text.
        text: String,
    },
    /// Reasoning that the agent shows.
    Thinking {
        /// The text.
        text: String,
    },
    /// A tool call began or got more detail; same id: same call.
    ToolCall(ToolCall),
    /// A tool call came back.
    ToolResult(ToolResult),
    /// A tool call changed a file.
    FileChange(FileChange),
    /// The agent took up an input of ours; `key` is the key that it was sent with.
    Accepted {
        /// The key.
        key: String,
    },
    /// It asks whether it may do something.
    PermissionRequest {
        /// The agent's own id of the request.
        request: String,
        /// The tool.
        tool: String,
        /// What it would do, as JSON text.
        input: String,
    },
    /// The agent no longer waits for the answer to a permission request.
    PermissionWithdrawn {
        /// The agent's own id of the request.
        request: String,
    },
    /// What a turn cost, as a delta.
    Usage(Usage),
    /// A window of its provider.
    Limit(Limit),
    /// It tries again by itself.
    Retrying {
        /// The how-manieth try.
        attempt: u32,
        /// Why, as the agent's class of error.
        class: String,
    },
    /// Work in the background began (`true`) or ended.
    Background {
        /// The agent's id of the task.
        task: String,
        /// Whether it is running now.
        running: bool,
    },
    /// A person took the keyboard (`true`), or gave it back: meanwhile nothing of ours is said.
    Held {
        /// Whether a person has it now.
        by_person: bool,
    },
    /// The tools of a server are not offered, or no longer.
    ToolsWithheld {
        /// The server.
        server: String,
        /// Why, for people.
        why: String,
    },
    /// The turn is over.
    TurnEnded(TurnEnd),
    /// A line that is not of the protocol; kept as it was, broken UTF-8 replaced.
    Raw {
        /// The text.
        text: String,
        /// Whether the line was longer than the cap and lost its tail.
        truncated: bool,
    },
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The agent's id of the call.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its input as JSON text.
    pub input: String,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// The answer as text.
    pub output: String,
    /// Whether the tool reported a failure.
    pub failed: bool,
}

/// A file that a tool call made, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The id of the call.
    pub id: String,
    /// The file, as the agent names it: mostly absolute.
    pub path: String,
    /// What became of it.
    pub change: Change,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It has other content.
    Modified,
    /// It is gone.
    Deleted,
}

/// Tokens and money of one turn, or of a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// Tokens written that were reasoning; they are part of `output`.
    pub reasoning: u64,
    /// Money in millionths of a US dollar, where the agent reports it.
    pub micro_usd: Option<u64>,
    /// Requests made to a model, where it can be told.
    pub model_calls: u32,
}

/// The state of a provider's window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The window's name: `five_hour`, `seven_day`.
    pub window: String,
    /// How much of it is used, in per cent.
    pub used_percent: Option<f64>,
    /// When it starts anew.
    pub resets_at: Option<Timestamp>,
    /// Whether the provider refuses now.
    pub rejected: bool,
}

/// Why a turn is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The agent finished what it wanted to do.
    Completed,
    /// Its screen stands still, and that is all that is known: no success without the agent's own report.
    Quiet,
    /// We, or a person, interrupted it.
    Interrupted,
    /// The model refused.
    Refused,
    /// Too many requests; try again then.
    RateLimited {
        /// When, where it is said.
        until: Option<Timestamp>,
    },
    /// The quota is spent until then.
    UsageExhausted {
        /// When, where it is said.
        until: Option<Timestamp>,
    },
    /// The provider is overloaded.
    Overloaded,
    /// The key or the login is wrong.
    Auth,
    /// The account has no credit.
    Billing,
    /// The model does not exist for this account.
    ModelMissing,
    /// The conversation is too long.
    ContextFull,
    /// The conversation that it was to go on with is not there.
    ConversationMissing,
    /// The provider could not be reached.
    Network,
    /// The agent's process ended in the middle of it; `None`: without a trace.
    Crashed {
        /// How.
        status: Option<ExitStatus>,
    },
    /// Nothing came from the agent for too long. The supervisor's verdict.
    Stalled,
    /// A budget was spent: the agent's own, or one of the supervisor's.
    OverBudget,
    /// Anything else, in the agent's own words.
    Failed {
        /// The words.
        detail: String,
    },
}

impl fmt::Display for TurnEnd {
    /// Says how the turn ended, for people: "was …" or "ended: …", to stand behind "the turn".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = |f: &mut fmt::Formatter<'_>, what: &str, until: &Option<Timestamp>| match until {
            Some(until) => write!(f, "ended: {what} until {until}"),
            None => write!(f, "ended: {what}"),
        };
        match self {
            Self::Completed => f.write_str("was completed"),
            Self::Quiet => f.write_str("ended: the screen stands still"),
            Self::Interrupted => f.write_str("was interrupted"),
            Self::Refused => f.write_str("ended: the model refused"),
            Self::RateLimited { until: at } => until(f, "too many requests", at),
            Self::UsageExhausted { until: at } => until(f, "the quota is spent", at),
            Self::Overloaded => f.write_str("ended: the provider is overloaded"),
            Self::Auth => f.write_str("ended: the key or the login is wrong"),
            Self::Billing => f.write_str("ended: the account has no credit"),
            Self::ModelMissing => f.write_str("ended: this account has no such model"),
            Self::ContextFull => f.write_str("ended: the conversation is too long"),
            Self::ConversationMissing => f.write_str("ended: its conversation is not there"),
            Self::Network => f.write_str("ended: the provider could not be reached"),
            Self::Crashed { status: Some(status) } => write!(f, "was cut off: the agent ended with {status}"),
            Self::Crashed { status: None } => f.write_str("was cut off: the agent vanished"),
            Self::Stalled => f.write_str("was cut off: nothing came for too long"),
            Self::OverBudget => f.write_str("ended: its budget is spent"),
            Self::Failed { detail } => write!(f, "failed: {detail}"),
        }
    }
}
