//! One cgroup for each run, where the machine lets us have them: nothing that a process starts escapes.
//!
//! Only the core of version 2 is used (`cgroup.procs`, `cgroup.kill`, `cgroup.events`); no controllers.

use crate::record;
use crate::table::until;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Looks for a folder in which cgroups can be made, and proves it by making one.
pub(crate) fn detect() -> Option<PathBuf> {
    let parent = own().ok()??.join("orcha");
    match prove(&parent) {
        Ok(true) => Some(parent),
        Ok(false) => None,
        Err(error) => {
            tracing::debug!(%error, "no cgroups below {}; runs are kept together by a subreaper", parent.display());
            None
        }
    }
}

/// Tells whether cgroups can be made below `parent` and ended at once.
fn prove(parent: &Path) -> io::Result<bool> {
    make(parent)?;
    let probe = parent.join(format!("probe-{}", record::token()?));
    fs::create_dir(&probe)?;
    let can_kill = probe.join("cgroup.kill").try_exists();
    fs::remove_dir(&probe)?;
    can_kill
}

/// Returns the cgroup of the calling process, if version 2 is mounted.
pub(crate) fn own() -> io::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    Ok(locate(&mounts, &groups))
}

fn locate(mounts: &str, groups: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // In a container the mount may show only a part of the tree.
        let inside = Path::new(group).strip_prefix(root).ok()?;
        Some(Path::new(point).join(inside))
    })
}

/// Makes the folder of a cgroup, or finds it.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Moves the calling process into a cgroup.
pub(crate) fn enter(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

/// Lists the live processes of a cgroup and of those below it; none when it is gone.
pub(crate) fn members(path: &Path) -> io::Result<Vec<i32>> {
    let mut members: Vec<i32> = match fs::read_to_string(path.join("cgroup.procs")) {
        Ok(text) => text.lines().filter_map(|line| line.parse().ok()).collect(),
        Err(error) if gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for below in below(path)? {
        members.extend(self::members(&below)?);
    }
    Ok(members)
}

/// Lists the cgroups that the members of one have made in it.
fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut below = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    Ok(below)
}

/// Kills everything in a cgroup.
pub(crate) fn kill(path: &Path) -> io::Result<()> {
    match fs::write(path.join("cgroup.kill"), "1") {
        Err(error) if !gone(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits until nothing lives in a cgroup, and tells whether that came true before the deadline.
pub(crate) fn wait_empty(path: &Path, deadline: Instant) -> io::Result<bool> {
    let events = match File::open(path.join("cgroup.events")) {
        Ok(events) => events,
        Err(error) if gone(&error) => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut text = [0; 256];
    loop {
        let n = match events.read_at(&mut text, 0) {
            Ok(n) => n,
            Err(error) if gone(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        if text[..n].split(|byte| *byte == b'\n').any(|line| line == b"populated 0") {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        // The kernel raises PRI when the content has changed since it was last read.
        match rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&until(deadline))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes an empty cgroup and those below it; `false` when something still holds it.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    for below in below(path)? {
        if !remove(&below)? {
            return Ok(false);
        }
    }
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if gone(&error) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone(error: &io::Error) -> bool {
    // A file of a removed cgroup that is still open answers ENODEV.
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::locate;
    use std::path::Path;

    #[test]
    fn the_own_cgroup_is_found_on_hybrid_pure_and_partial_mounts() {
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(locate(hybrid, "4:memory:/a\n0::/\n").as_deref(), Some(Path::new("/sys/fs/cgroup/unified/")));
        let pure = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let unit = locate(pure, "0::/user.slice/orchad.service\n");
        assert_eq!(unit.as_deref(), Some(Path::new("/sys/fs/cgroup/user.slice/orchad.service")));
        let partial = "30 23 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(locate(partial, "0::/docker/ab/x\n").as_deref(), Some(Path::new("/sys/fs/cgroup/x")));
        assert_eq!(locate(partial, "0::/elsewhere\n"), None);
        assert_eq!(locate("", "0::/\n"), None);
    }
}
