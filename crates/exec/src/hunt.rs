//! Ends what a run has left behind when its keeper is no longer there to do it.
//!
//! Signals only processes whose identity is recorded, that descend from such a one, that carry the mark
//! of the run, or that are in its cgroup. Synchronous; the host calls it off the async threads.

use crate::record::{self, ProcessRecord};
use crate::table::{self, Hunt, Row};
use crate::{Grace, cgroup};
use rustix::process::Signal;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Ends every process of a run whose keeper is dead.
pub(crate) fn orphans(process: &ProcessRecord, grace: Grace) -> io::Result<Hunt> {
    if process.boot != table::boot_id()? {
        // Whoever has these numbers today is a stranger.
        return Ok(Hunt::default());
    }
    if let Some(child) = process.child.open()? {
        // Its input went with its keeper, so the first step of the grace is done.
        if !grace.after_term.is_zero() {
            table::signal(&child, Signal::TERM)?;
            let deadline = Instant::now().checked_add(grace.after_term).unwrap_or_else(|| Instant::now() + PATIENCE);
            table::wait_any(&[child], deadline)?;
        }
    }
    let find = || kin(process.cgroup.as_deref(), &process.mark, Some(process));
    end(process.cgroup.as_deref(), process.child.pid, find)
}

/// Ends what carries a mark or lives in a cgroup, of a start that was never recorded.
pub(crate) fn unrecorded(cgroup: Option<&Path>, mark: &str) -> io::Result<Hunt> {
    end(cgroup, 0, || kin(cgroup, mark, None))
}

fn end(path: Option<&Path>, group: i32, mut find: impl FnMut() -> io::Result<Vec<Row>>) -> io::Result<Hunt> {
    let found = find()?;
    let settle = || match path {
        Some(path) => cgroup::kill(path),
        None => Ok(()),
    };
    let mut hunt = table::end(group, PATIENCE, find, settle)?;
    hunt.strays.extend(found.iter().filter(|row| row.group != group).map(|row| row.identity));
    if let (0, Some(path)) = (hunt.left, path) {
        // A zombie may hold it for a moment more; then it goes when the run is forgotten.
        cgroup::remove(path)?;
    }
    Ok(hunt)
}

/// Finds the live processes of a run.
fn kin(path: Option<&Path>, mark: &str, process: Option<&ProcessRecord>) -> io::Result<Vec<Row>> {
    let rows = table::rows()?;
    let members = match path {
        Some(path) => cgroup::members(path)?,
        None => Vec::new(),
    };
    let descendants = match process {
        Some(process) => table::descendants(&rows, process.child),
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for row in rows.into_iter().filter(|row| row.alive) {
        let ours = process.is_some_and(|process| process.child == row.identity)
            || members.contains(&row.identity.pid)
            || descendants.iter().any(|it| it.identity == row.identity)
            || table::marked(row.identity.pid, record::MARK, mark)?;
        if ours {
            found.push(row);
        }
    }
    Ok(found)
}
