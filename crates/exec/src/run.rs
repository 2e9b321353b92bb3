//! A run: one long process with a directory of its own, and the words to speak of it.
//!
//! ```text
//! <work_root>/.orcha/runs/<label>/
//!   spec.json   what to start; written before the keeper
//!   input       append-only lines for the process; the keeper forwards complete lines only
//!   input.end   present: close the process's standard input after the last line
//!   output      what it wrote to standard output, byte for byte, long lines cut and marked
//!   error       what it wrote to standard error
//!   consumed    how far the daemon has stored `output`: back-pressure, not a cursor
//!   process     keeper and child: pid, start time, boot id, cgroup; written once, atomically
//!   stop        present: end the whole tree; holds the grace periods
//!   exit        how it ended; written last, atomically, and flushed
//!   bell        a FIFO: one byte makes the keeper look at `input`, `input.end`, `consumed` and `stop`
//!   lock        held by the keeper for as long as it lives
//!   starting    present: a keeper got as far as spawning the process
//!   failed      why the process could not be spawned; the directory is removed by whoever reads it
//!   trouble     why the keeper itself gave up, for people
//!   tmp/        temporary files of a confined process
//! ```

use crate::{ExitStatus, Sandbox};
use orcha_base::{Confinement, Retry};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The name of one run: session and attempt. Also the name of its directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunLabel(String);

impl RunLabel {
    /// Takes a label of letters, digits, `-` and `_`.
    pub fn new(text: &str) -> Result<Self, RunError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !text.is_empty() && text.len() <= 100 && text.bytes().all(plain) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(RunError::Label { text: text.chars().take(120).collect() })
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunLabel {
    type Error = RunError;
    fn try_from(text: String) -> Result<Self, RunError> {
        Self::new(&text)
    }
}

impl From<RunLabel> for String {
    fn from(label: RunLabel) -> String {
        label.0
    }
}

/// Everything that is needed to start a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// Its name.
    pub label: RunLabel,
    /// The program: absolute, or looked up in `PATH` of `env`.
    pub program: String,
    /// The arguments.
    pub args: Vec<String>,
    /// The working directory; must exist.
    pub dir: PathBuf,
    /// The whole environment; the host adds `ORCHA_RUN=<label>:<random>` as the mark of descendants.
    pub env: Vec<(String, String)>,
    /// Private files (0600) written beside the run before it starts: name and content. The text
    /// `{run_dir}` in `args` and `env` values becomes the directory.
    pub files: Vec<(String, String)>,
    /// The first input lines.
    pub input: Vec<InputLine>,
    /// A line of output longer than this is cut and marked. 16 MiB unless a test says less.
    pub line_cap: u64,
    /// How far output may run ahead of `consumed` before the process is held back. 64 MiB by default.
    pub backlog_cap: u64,
    /// How the process is confined.
    #[serde(default)]
    pub sandbox: Sandbox,
}

/// One line for a process's standard input, without the line break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputLine {
    /// The identity of the line within its run: the same key is never written twice.
    pub key: String,
    /// The text; must not contain a line break.
    pub text: String,
}

/// One of the two output files of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Bytes of a stream from an offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where the bytes begin.
    pub from: u64,
    /// The bytes; empty at the end of what there is.
    pub bytes: Vec<u8>,
}

/// How much of a run its reader has seen; `Host::changed` waits for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes of standard output.
    pub output: u64,
    /// Bytes of standard error.
    pub error: u64,
}

/// Which means keep a run's descendants together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A cgroup of its own: nothing escapes.
    Cgroup,
    /// The keeper is the subreaper, and a mark in the environment finds the rest.
    Subreaper,
}

/// The answer to a start: the process runs, whether now or already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The process id of the child (not of its keeper) for people; never used to signal.
    pub pid: i32,
    /// Whether this very call started it.
    pub fresh: bool,
    /// How its descendants are kept together.
    pub isolation: Isolation,
    /// How the process is confined, where that was written down.
    #[serde(default)]
    pub confinement: Option<Confinement>,
}

/// What is known of a run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// There is no directory of that name, or nothing was ever started in it.
    Absent,
    /// Keeper and process are alive.
    Running(Started),
    /// It ended and left its status.
    Ended(ExitStatus),
    /// It has no status and its keeper is dead: killed, or the machine restarted. Descendants may still
    /// be alive without it; `Host::stop` ends them.
    Lost,
}

/// One run that the host knows, with its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Its name.
    pub label: RunLabel,
    /// Its state.
    pub state: RunState,
}

/// What became of input lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// They are in the input log now.
    Appended,
    /// They were there already.
    AlreadyThere,
}

/// How patiently a run is ended: close input, wait, TERM, wait, KILL everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// How long to wait after closing its input; zero skips the step.
    pub after_close: Duration,
    /// How long to wait after TERM; zero kills at once.
    pub after_term: Duration,
}

impl Grace {
    /// For an agent that should put its things in order: 2 s and 5 s.
    pub const PATIENT: Self = Self { after_close: Duration::from_secs(2), after_term: Duration::from_secs(5) };
    /// For one that must stop now: TERM and half a second.
    pub const QUICK: Self = Self { after_close: Duration::ZERO, after_term: Duration::from_millis(500) };
}

/// What a stop found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How the process ended, if its keeper could still say so.
    pub exit: Option<ExitStatus>,
    /// How many descendants had left the process group and were ended one by one.
    pub strays: usize,
}

/// A run that could not be started, read, fed or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The label is not one.
    #[error("`{text}` is not a run label: letters, digits, `-` and `_` only")]
    Label {
        /// The text.
        text: String,
    },
    /// There is no such run.
    #[error("there is no run `{label}`")]
    Absent {
        /// The run.
        label: RunLabel,
    },
    /// The run is over and takes no input.
    #[error("run `{label}` is over")]
    Over {
        /// The run.
        label: RunLabel,
    },
    /// The folder of the runs could not be listed.
    #[error("listing the runs")]
    List {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The run still lives and keeps its directory.
    #[error("run `{label}` is not over")]
    Alive {
        /// The run.
        label: RunLabel,
    },
    /// An input line holds a line break, or a private file has a name that it may not have.
    #[error("run `{label}`: {detail}")]
    Refused {
        /// The run.
        label: RunLabel,
        /// What is wrong with which line or file.
        detail: String,
    },
    /// The program could not be started: missing, not executable, or the folder is gone.
    #[error("`{program}` did not start in run `{label}`: {detail}")]
    Spawn {
        /// The run.
        label: RunLabel,
        /// The program.
        program: String,
        /// What the keeper reported.
        detail: String,
    },
    /// The keeper said nothing in time.
    #[error("the keeper of run `{label}` did not report within {} s", after.as_secs())]
    Silent {
        /// The run.
        label: RunLabel,
        /// The limit.
        after: Duration,
    },
    /// Processes of the run are still alive after KILL.
    #[error("{left} processes of run `{label}` outlived KILL")]
    Survivors {
        /// The run.
        label: RunLabel,
        /// How many.
        left: usize,
    },
    /// A file of the run directory could not be read or written.
    #[error("{step} of run `{label}`")]
    Files {
        /// The run.
        label: RunLabel,
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl RunError {
    /// Tells whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Label { .. } | Self::Absent { .. } | Self::Over { .. } | Self::Refused { .. } => Retry::Never,
            Self::Spawn { .. } => Retry::AskHuman,
            Self::Silent { .. }
            | Self::Survivors { .. }
            | Self::Files { .. }
            | Self::Alive { .. }
            | Self::List { .. } => Retry::Later,
        }
    }
}
