//! The process table: who is alive, who descends from whom, and signals that cannot hit a stranger.
//!
//! Reads `/proc`. It knows nothing of run directories.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// One process in the history of this boot: a pid alone comes round again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks between boot and its start.
    pub(crate) start: u64,
}

impl Identity {
    /// Returns the identity of a live or unreaped process.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        match row(pid)? {
            Some(row) => Ok(row.identity),
            None => Err(io::Error::from(Errno::SRCH)),
        }
    }

    /// Tells whether exactly this process is alive; a zombie is not.
    pub(crate) fn alive(self) -> io::Result<bool> {
        Ok(row(self.pid)?.is_some_and(|row| row.identity == self && row.alive))
    }

    /// Opens a handle on exactly this process; `None` when it is gone or someone else has its pid.
    pub(crate) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // EINVAL: the pid is a mere thread today.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The handle pins the process, so a match now is a match for every later use of the handle.
        Ok(self.alive()?.then_some(handle))
    }
}

/// Sends a signal through a handle; a process that has just ended is no error.
pub(crate) fn signal(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One row of the process table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) identity: Identity,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Not a zombie.
    pub(crate) alive: bool,
}

/// Reads one row; `None` when there is no such process.
pub(crate) fn row(pid: i32) -> io::Result<Option<Row>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => parse(pid, &text).map(Some),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the whole table.
pub(crate) fn rows() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        rows.extend(row(pid)?);
    }
    Ok(rows)
}

/// Returns the live descendants of `root` in `rows`, without `root` itself.
pub(crate) fn descendants(rows: &[Row], root: Identity) -> Vec<Row> {
    if !rows.iter().any(|row| row.identity == root) {
        return Vec::new();
    }
    let mut children: HashMap<i32, Vec<&Row>> = HashMap::new();
    for row in rows {
        children.entry(row.parent).or_default().push(row);
    }
    let mut found = Vec::new();
    let mut seen = HashSet::from([root.pid]);
    let mut open = vec![root.pid];
    while let Some(parent) = open.pop() {
        for row in children.get(&parent).into_iter().flatten() {
            if seen.insert(row.identity.pid) {
                open.push(row.identity.pid);
                found.push(**row);
            }
        }
    }
    found.retain(|row| row.alive);
    found
}

/// Tells whether a process was started with `variable=value` in its environment. One that may not be
/// looked at belongs to another user and so is not ours.
pub(crate) fn marked(pid: i32, variable: &str, value: &str) -> io::Result<bool> {
    let environment = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environment) => environment,
        Err(error) if gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_mark = |entry: &[u8]| {
        entry.strip_prefix(variable.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) == Some(value.as_bytes())
    };
    Ok(environment.split(|byte| *byte == 0).any(is_mark))
}

/// What [`end`] did.
#[derive(Debug, Default)]
pub(crate) struct Hunt {
    /// Those that were killed outside the given group.
    pub(crate) strays: BTreeSet<Identity>,
    /// How many were still alive at the end of its patience.
    pub(crate) left: usize,
}

/// Kills what `find` returns, again and again until it finds none or patience ends. `settle` runs after
/// each round: a keeper reaps there.
pub(crate) fn end(
    group: i32,
    patience: Duration,
    mut find: impl FnMut() -> io::Result<Vec<Row>>,
    mut settle: impl FnMut() -> io::Result<()>,
) -> io::Result<Hunt> {
    /// Enough to notice that killing works; a fork bomb must not cost a descriptor for each process.
    const WATCHED: usize = 32;
    let deadline = Instant::now() + patience;
    let mut hunt = Hunt::default();
    loop {
        settle()?;
        let alive = find()?;
        if alive.is_empty() {
            return Ok(hunt);
        }
        if Instant::now() >= deadline {
            hunt.left = alive.len();
            return Ok(hunt);
        }
        let mut dying = Vec::new();
        for row in &alive {
            if row.group != group {
                hunt.strays.insert(row.identity);
            }
            if let Some(handle) = row.identity.open()? {
                match signal(&handle, Signal::KILL) {
                    Ok(()) => {}
                    // Another user's by now (set-uid): it will be counted among those left.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    Err(error) => return Err(error),
                }
                if dying.len() < WATCHED {
                    dying.push(handle);
                }
            }
        }
        wait_any(&dying, deadline)?;
    }
}

/// Waits until one of the processes ends or the deadline passes.
pub(crate) fn wait_any(handles: &[OwnedFd], deadline: Instant) -> io::Result<()> {
    if handles.is_empty() {
        return Ok(());
    }
    let mut polled: Vec<_> = handles.iter().map(|handle| PollFd::new(handle, PollFlags::IN)).collect();
    match rustix::event::poll(&mut polled, Some(&until(deadline))) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns the time left until a deadline, for `poll`.
pub(crate) fn until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
}

/// Returns the id of this boot.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn parse(pid: i32, text: &[u8]) -> io::Result<Row> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not as proc(5) says"));
    // The name in parentheses may hold anything, also parentheses.
    let after = text.iter().rposition(|byte| *byte == b')').ok_or_else(broken)?;
    let fields = std::str::from_utf8(&text[after + 1..]).map_err(|_| broken())?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Field 3 of proc(5) is the first here.
    let field = |number: usize| fields.get(number - 3).copied().ok_or_else(broken);
    Ok(Row {
        identity: Identity { pid, start: field(22)?.parse().map_err(|_| broken())? },
        parent: field(4)?.parse().map_err(|_| broken())?,
        group: field(5)?.parse().map_err(|_| broken())?,
        alive: !matches!(field(3)?, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_the_fields() {
        let text = b"7 (a) S 1 (b) R 5 6 6 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        let row = parse(7, text).unwrap();
        assert_eq!((row.parent, row.group, row.identity.start, row.alive), (5, 6, 4242, true));
    }

    #[test]
    fn this_very_process_is_alive_and_another_start_is_not() {
        let me = Identity::of(std::process::id().try_into().unwrap()).unwrap();
        assert!(me.alive().unwrap());
        let other = Identity { start: me.start + 1, ..me };
        assert!(!other.alive().unwrap());
        assert!(other.open().unwrap().is_none());
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let row = |pid, parent, alive| Row { identity: Identity { pid, start: 1 }, parent, group: 0, alive };
        let rows = [row(1, 0, true), row(2, 1, true), row(3, 2, false), row(4, 3, true), row(5, 1, true)];
        let pids: Vec<_> = descendants(&rows, rows[1].identity).iter().map(|row| row.identity.pid).collect();
        assert_eq!(pids, [4]);
        assert!(descendants(&rows, Identity { pid: 2, start: 9 }).is_empty());
    }
}
