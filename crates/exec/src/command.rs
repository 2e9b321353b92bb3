//! A short command that runs to its end: git, mostly.

use orcha_base::Retry;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A program with everything it needs. Started without a shell; its environment is exactly `env`.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program: a name looked up in `PATH` of `env`, or an absolute path.
    pub program: String,
    /// The arguments, each its own item.
    pub args: Vec<String>,
    /// The working directory.
    pub dir: PathBuf,
    /// The whole environment of the child.
    pub env: Vec<(String, String)>,
    /// Bytes for its standard input, which is closed after them.
    pub stdin: Vec<u8>,
    /// After this long the whole process group is killed.
    pub timeout: Duration,
    /// How many bytes of each output stream are kept; what lies beyond is read and dropped.
    pub keep: usize,
}

impl Command {
    /// Makes a command without arguments, input or environment; 60 seconds, 4 MiB of each stream.
    pub fn new(program: impl Into<String>, dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: dir.into(),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(60),
            keep: 4 << 20,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// Tells whether the exit code is zero.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a command printed and how it ended. A failing exit code is an output, not an error.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The first `keep` bytes of its standard output.
    pub stdout: Vec<u8>,
    /// The first `keep` bytes of its standard error.
    pub stderr: Vec<u8>,
    /// Whether bytes beyond `keep` were dropped.
    pub truncated: bool,
}

impl Output {
    /// Returns standard output as text without the last line break; broken UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches(['\n', '\r']).to_owned()
    }

    /// Returns the last 2,000 bytes or so of standard error for a message to a person.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let text = text.trim();
        let from = text.char_indices().rev().map(|(at, _)| at).take(2000).last().unwrap_or(0);
        text[from..].to_owned()
    }
}

/// A command that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program was not found or could not be started.
    #[error("`{program}` did not start")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder that it is to work in is not there, or not any more.
    #[error("`{program}` did not start: there is no folder {}", dir.display())]
    NoFolder {
        /// The program.
        program: String,
        /// The folder.
        dir: PathBuf,
    },
    /// It ran longer than it may and was killed with its process group.
    #[error("`{program}` was ended after {} s", after.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        after: Duration,
    },
    /// Its streams broke.
    #[error("the streams of `{program}` broke")]
    Streams {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl CommandError {
    /// Tells whether the same command may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Spawn { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Retry::AskHuman,
            // Whoever asks again makes the folder first, or learns that it is gone.
            Self::Spawn { .. } | Self::NoFolder { .. } | Self::TimedOut { .. } | Self::Streams { .. } => Retry::Later,
        }
    }
}
