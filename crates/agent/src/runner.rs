//! Where conversations take place: the trait that `orch` drives.

use crate::llm::Server;
use crate::{Event, TurnEnd};
use async_trait::async_trait;
use orcha_base::{Confinement, Effort, Redacted, Retry, Timestamp};
use orcha_exec::{CommandError, ExitStatus, Finding, Grace, RunError, RunLabel, Sandbox};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Everything needed to open a conversation.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The name of the run: session and attempt.
    pub label: RunLabel,
    /// The folder that the agent works in.
    pub dir: PathBuf,
    /// The program instead of the dialect's usual one, with leading arguments.
    pub program: Option<Vec<String>>,
    /// The model, if one is asked for.
    pub model: Option<String>,
    /// How hard it thinks, if that is asked for; only for agents that [take it](Runner::takes_effort).
    pub effort: Option<Effort>,
    /// The conversation to go on with; `None` opens a new one.
    pub resume: Option<String>,
    /// When that conversation was opened last, where it is known: some programs must not go on with one too soon.
    pub begun: Option<Begun>,
    /// The id for a new conversation, where the agent lets us choose it.
    pub conversation: String,
    /// The daemon's tools, with the session's own credential.
    pub mcp: Option<Mcp>,
    /// What the agent may do without asking.
    pub permissions: Permissions,
    /// How its program is confined; what the program keeps for itself is added to what it may change.
    pub sandbox: Sandbox,
    /// Text added to the agent's own system prompt: the rules of the role.
    pub rules: String,
    /// The opening input: its key and text. Not sent again on a run that exists.
    pub opening: Option<Say>,
    /// More environment: settings of the target and the project.
    pub env: Vec<(String, String)>,
    /// The local tools that it may use, by name. Only agents that have none of their own look at it.
    pub local_tools: Vec<String>,
    /// The tool servers that it may use. Only agents over a model's API look at it.
    pub servers: Vec<Server>,
    /// What every turn must end in; agents with a mind of their own are told so in their prompt instead.
    pub output: Option<Output>,
}

/// The typed result that a turn must hand in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The daemon's tool that takes it, by its plain name.
    pub tool: String,
    /// The JSON schema of the tool's argument `output`.
    pub schema: serde_json::Value,
}

/// When a conversation was opened last, and the instant at which it is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When a process last said that it has it.
    pub opened: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// The daemon's tools as the agent reaches them.
#[derive(Clone, Debug)]
pub struct Mcp {
    /// The name that the agent sees.
    pub name: String,
    /// The endpoint.
    pub url: String,
    /// The session's credential: into a private file, never into arguments.
    pub token: Redacted<String>,
    /// The tools that are allowed without asking, by their plain names.
    pub tools: Vec<String>,
}

/// What an agent may do without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Everything inside its own sandbox or machine.
    Everything,
    /// Edits in its folder; anything else becomes a request.
    Edits,
    /// Nothing: each call becomes a request.
    Ask,
}

/// Something to say to a running agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A new turn.
    Prompt {
        /// Its identity: never said twice in one run.
        key: String,
        /// The text.
        text: String,
    },
    /// Stop the turn.
    Interrupt {
        /// Its identity.
        key: String,
    },
    /// The answer to a permission request.
    Permission {
        /// The agent's id of the request.
        request: String,
        /// The input that it asked for, as JSON text: an allowed call is echoed.
        input: String,
        /// Whether it may.
        allow: bool,
        /// The reason for a no.
        reason: String,
    },
}

/// Whether something was said now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was handed over by this call.
    Now,
    /// It had been handed over before.
    Before,
}

/// The answer to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// For people.
    pub pid: Option<i32>,
    /// Whether this very call started it.
    pub fresh: bool,
    /// How its program is confined, where there is one.
    pub confinement: Option<Confinement>,
}

/// How far a run was read; stored in the same transaction as what was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// Bytes of standard output.
    pub output: u64,
    /// Bytes of standard error.
    pub error: u64,
    /// What the dialogue must remember between lines.
    pub memory: serde_json::Value,
}

/// Where a run is seen in a terminal: a session of a tmux server of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The folder of the run, on its target.
    pub folder: PathBuf,
    /// The socket of the server, relative to the folder.
    pub socket: &'static str,
    /// The session's name there.
    pub session: &'static str,
}

/// Which side a transcript entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The agent's protocol stream.
    Agent,
    /// Its standard error.
    Stderr,
}

/// One event with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The side.
    pub source: Source,
    /// The event.
    pub event: Event,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a status.
    Exited(ExitStatus),
    /// Without a trace.
    Lost,
}

impl Ended {
    /// Returns what it means for a turn that was running: a process that is gone is never success.
    pub const fn turn_end(self) -> TurnEnd {
        match self {
            Self::Exited(status) => TurnEnd::Crashed { status: Some(status) },
            Self::Lost => TurnEnd::Crashed { status: None },
        }
    }
}

/// What was new in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The entries in order, each exactly once over all batches of consecutive cursors.
    pub entries: Vec<Entry>,
    /// The cursor after them.
    pub cursor: Cursor,
    /// Set when the run is over and everything was read.
    pub ended: Option<Ended>,
    /// Whether a turn was running after the last entry, as far as the agent says. With `ended` set it was cut
    /// off: [`Ended::turn_end`] is its cause.
    pub in_turn: bool,
}

/// Runs agent conversations.
#[cfg_attr(feature = "fake", mockall::automock)]
#[async_trait]
pub trait Runner: Send + Sync + fmt::Debug {
    /// Looks whether the agent's program is there and somebody is logged in, without asking its provider; `None`
    /// where there is no program. `kind` is its name for people.
    async fn examine(&self, _kind: &str) -> Option<Finding> {
        None
    }

    /// Tells where a person can see a run in a terminal and type there; `None` for agents without one.
    fn window(&self, _label: &RunLabel) -> Option<Window> {
        None
    }

    /// Tells whether it can be told how hard to think.
    fn takes_effort(&self) -> bool {
        false
    }

    /// Opens a conversation, or finds it running: a label is never started twice.
    async fn launch(&self, launch: &Launch) -> Result<Started, LaunchError>;

    /// Waits until there is something new after the cursor and returns it; at most about 1 MiB at once.
    /// Cancel-safe. After `ended` it returns at once with nothing.
    async fn read(&self, label: &RunLabel, after: &Cursor) -> Result<Batch, RunnerError>;

    /// Notes that everything before the cursor is stored.
    async fn stored(&self, label: &RunLabel, cursor: &Cursor) -> Result<(), RunnerError>;

    /// Says something, once per key.
    async fn say(&self, label: &RunLabel, say: &Say) -> Result<Said, RunnerError>;

    /// Tells whether the run exists and is alive.
    async fn alive(&self, label: &RunLabel) -> Result<bool, RunnerError>;

    /// Ends the run and all its descendants. Idempotent.
    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<(), RunnerError>;

    /// Deletes what is kept of a run that is over.
    async fn forget(&self, label: &RunLabel) -> Result<(), RunnerError>;
}

/// A launch that failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run did not start.
    #[error("the agent did not start")]
    Run(#[from] RunError),
    /// The launch asks for what this agent cannot do.
    #[error("this agent cannot be launched so: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// The same launch would do harm now and is right later: nothing was started.
    #[error("this agent is not launched before {until}: {reason}")]
    NotYet {
        /// Why.
        reason: &'static str,
        /// Not before.
        until: Timestamp,
    },
}

impl LaunchError {
    /// Tells whether the same launch may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Run(fault) => fault.retry(),
            Self::NotYet { .. } => Retry::Later,
            Self::Unsupported { .. } => Retry::Never,
        }
    }
}

/// A run that could not be read, spoken to or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The host said no.
    #[error("the run did not answer")]
    Run(#[from] RunError),
    /// The agent has no way to be told this.
    #[error("this agent cannot be told that: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// The agent cannot be told this now: nothing was said, and the same words may be said later.
    #[error("this agent cannot be told that now: {reason}")]
    NotYet {
        /// What must come first.
        reason: &'static str,
    },
    /// What the conversation is to be opened with could not be read on its host.
    #[error("the brief of run `{label}` could not be read")]
    Brief {
        /// The run.
        label: RunLabel,
        /// Why the command did not run; `None` when it said no itself.
        #[source]
        source: Option<CommandError>,
    },
}

impl RunnerError {
    /// Tells whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Run(fault) => fault.retry(),
            Self::NotYet { .. } | Self::Brief { .. } => Retry::Later,
            Self::Unsupported { .. } => Retry::Never,
        }
    }
}

impl From<LaunchError> for RunnerError {
    fn from(fault: LaunchError) -> Self {
        match fault {
            LaunchError::Run(fault) => Self::Run(fault),
            LaunchError::Unsupported { reason } => Self::Unsupported { reason },
            LaunchError::NotYet { reason, .. } => Self::NotYet { reason },
        }
    }
}
