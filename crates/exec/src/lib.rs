//! Floor 1: where a process runs.
//!
//! A [`Host`] runs short commands to their end, and starts *runs*: long processes that outlive the
//! daemon. Each run has a directory with its input log, output files, identity and exit status, so that
//! a restarted daemon continues by byte offset where it stopped. This room knows how processes are
//! started, watched and ended, and nothing of agents, sessions or git.

mod command;
#[cfg(feature = "fake")]
pub mod fake;
pub mod git;
mod host;
pub mod keeper;
mod local;
mod run;

pub use command::{Command, CommandError, ExitStatus, Output};
pub use host::Host;
pub use local::{LocalHost, LocalSettings};
pub use run::{
    Chunk, Grace, InputLine, Isolation, RunError, RunLabel, RunReport, RunSpec, RunState, Sent, Started, Stopped, Stream, Seen,
};
