//! Processes that somebody else started: their end is waited for, and whoever must reap them is reminded.
//!
//! Nothing here ends a process.

use crate::ready;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io;
use tokio::io::Interest;

/// Waits until a process of this machine is over, whether it was reaped or not. One that is not there is over.
pub async fn until_over(pid: u32) -> io::Result<()> {
    let handle = match pidfd_open(named(pid)?, PidfdFlags::empty()) {
        Ok(handle) => ready::register(handle, Interest::READABLE)?,
        Err(Errno::SRCH) => return Ok(()),
        Err(fault) => return Err(fault.into()),
    };
    handle.readable().await?.retain_ready();
    Ok(())
}

/// Tells a process once more that one of its children has ended. To one that knows already it means nothing.
pub fn remind_parent(pid: u32) -> io::Result<()> {
    match kill_process(named(pid)?, Signal::CHILD) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

fn named(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().filter(|it| *it > 1).and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is the number of no process of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_before_anybody_reaps_it() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let end = tokio::spawn(until_over(pid));
        drop(child.stdin.take());
        end.await.unwrap().unwrap();
        remind_parent(std::process::id()).unwrap();
        assert!(child.wait().unwrap().success());
        until_over(pid).await.unwrap();
        assert!(until_over(0).await.is_err() && remind_parent(1).is_err());
    }
}
