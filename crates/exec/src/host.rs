//! The trait that every place to run things implements: this machine, a fake, later SSH.

use crate::{
    Chunk, Command, CommandError, DEFAULT_PATH, Grace, InputLine, Isolation, Offer, Output, RunError, RunLabel,
    RunReport, RunSpec, RunState, Seen, Sent, Started, Stopped, Stream,
};
use async_trait::async_trait;
use std::fmt;
use std::path::{Path, PathBuf};

/// One machine, seen from the daemon.
#[async_trait]
pub trait Host: Send + Sync + fmt::Debug {
    /// The folder on that machine below which everything of ours lies.
    fn work_root(&self) -> &Path;

    /// Where programs of ours are looked up there: git, tmux. Agents have an environment of their own.
    fn search_path(&self) -> &str {
        DEFAULT_PATH
    }

    /// How the processes of a run are kept together there.
    fn isolation(&self) -> Isolation {
        Isolation::Subreaper
    }

    /// Says by what runs can be confined there, and what is missing of the rest. It tries.
    async fn sandboxes(&self) -> Vec<Offer> {
        Vec::new()
    }

    /// Names the directory of a run there.
    fn run_dir(&self, label: &RunLabel) -> PathBuf {
        self.work_root().join(".orcha").join("runs").join(label.as_str())
    }

    /// Runs a short command to its end.
    async fn run(&self, command: &Command) -> Result<Output, CommandError>;

    /// Starts a run, or finds it: the same label is never started twice, whoever asks and however often.
    async fn start(&self, spec: &RunSpec) -> Result<Started, RunError>;

    /// Says what is known of a run. A stranger that has its process id today is not taken for it.
    async fn look(&self, label: &RunLabel) -> Result<RunState, RunError>;

    /// Lists every run that has a directory.
    async fn runs(&self) -> Result<Vec<RunReport>, RunError>;

    /// Reads at most `max` bytes of a stream from an offset on, without waiting.
    async fn read(&self, label: &RunLabel, stream: Stream, from: u64, max: usize) -> Result<Chunk, RunError>;

    /// Waits until a stream is longer than what was seen, or the run is over (then at once). Wakes by the
    /// file system's own notice, not by polling. Cancel-safe.
    async fn changed(&self, label: &RunLabel, seen: Seen) -> Result<(), RunError>;

    /// Says that everything of standard output before `offset` is stored: the process may run on.
    async fn consumed(&self, label: &RunLabel, offset: u64) -> Result<(), RunError>;

    /// Appends lines to the input of a run, all or none; a key that is already there is skipped.
    async fn send(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError>;

    /// Closes the standard input of a run after the lines sent so far. Idempotent.
    async fn close_input(&self, label: &RunLabel) -> Result<(), RunError>;

    /// Ends a run and every descendant, and returns when nothing of it is alive. Idempotent; an absent
    /// run counts as ended.
    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<Stopped, RunError>;

    /// Deletes the directory of a run that is over.
    async fn forget(&self, label: &RunLabel) -> Result<(), RunError>;
}
