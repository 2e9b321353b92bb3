//! Floor 1: where a process runs.
//!
//! A [`Host`] runs short commands to their end, and starts *runs*: long processes that outlive the
//! daemon. Each run has a directory with its input log, output files, identity and exit status, so that
//! a restarted daemon continues by byte offset where it stopped. This room knows how processes are
//! started, watched and ended, and nothing of agents, sessions or git.

mod cgroup;
mod command;
mod execute;
#[cfg(feature = "fake")]
pub mod fake;
mod foreign;
pub mod git;
mod host;
mod hunt;
pub mod keeper;
mod local;
mod ready;
mod record;
mod run;
mod rundir;
mod sandbox;
mod survey;
mod table;
mod watch;
mod whole;

pub use command::{Command, CommandError, ExitStatus, Output};
pub use execute::{DEFAULT_PATH, Ended, find_program};
pub use foreign::{remind_parent, until_over};
pub use host::Host;
pub use local::{LocalHost, LocalSettings};
pub use run::{
    Chunk, Grace, InputLine, Isolation, RunError, RunLabel, RunReport, RunSpec, RunState, Seen, Sent, Started, Stopped,
    Stream,
};
pub use sandbox::{Offer, Sandbox};
pub use survey::{Finding, Grade, first_line, room, survey};
pub use whole::run_whole;
