//! A command of somebody else's on this machine: nothing of it is left when it is over.
//!
//! Beyond its process group, descendants that left it are found by a mark in their environment. For whoever is
//! inside of a run already (an agent of ours that starts commands for a model); the run's own keeper is the
//! net below this one.

use crate::execute::{Ended, execute_keeping};
use crate::table::{self, Hunt};
use crate::{Command, CommandError, record};
use std::io;
use std::time::Duration;

/// The variable whose value marks the descendants of one command.
const MARK: &str = "ORCHA_COMMAND";

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a command to its end and then ends whatever it left behind. Of each stream the first `keep` and the
/// last `keep_end` bytes are kept, with a line between them that says how many are missing. One that
/// ran out of time is told with what it printed until then.
///
/// Dropping the future ends the command and all of that as well.
pub async fn run_whole(command: &Command, keep_end: usize) -> Result<Ended, CommandError> {
    let program = &command.program;
    let mark = record::token().map_err(|source| CommandError::Spawn { program: program.clone(), source })?;
    let mut strays = Strays { mark: Some(mark.clone()) };
    let result = execute_keeping(&command.clone().env(MARK, mark), keep_end).await;
    let hunted = match strays.mark.take() {
        Some(mark) => tokio::task::spawn_blocking(move || end(&mark)).await.map_err(io::Error::other),
        None => Ok(Ok(Hunt::default())),
    };
    match hunted.and_then(|it| it) {
        Ok(hunt) if hunt.left > 0 => tracing::warn!("{} processes of `{program}` outlived KILL", hunt.left),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "descendants of `{program}` could not be looked for: {error}"),
    }
    result
}

/// Ends the descendants of a command whose caller has gone away.
struct Strays {
    mark: Option<String>,
}

impl Drop for Strays {
    fn drop(&mut self) {
        let Some(mark) = self.mark.take() else { return };
        let hunt = move || {
            if let Err(error) = end(&mark) {
                tracing::warn!(%error, "descendants of an abandoned command could not be ended: {error}");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(hunt)),
            Err(_) => hunt(),
        }
    }
}

fn end(mark: &str) -> io::Result<Hunt> {
    let find = || {
        let mut found = Vec::new();
        for row in table::rows()?.into_iter().filter(|row| row.alive) {
            if table::marked(row.identity.pid, MARK, mark)? {
                found.push(row);
            }
        }
        Ok(found)
    };
    table::end(0, PATIENCE, find, || Ok(()))
}
