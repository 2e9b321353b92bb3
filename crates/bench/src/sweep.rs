//! Leaves nothing behind: a run has a folder of its own, agents that outlive those who started them are ended, and what
//! a killed run left goes with the next one.

use anyhow::{Context, Result};
use orcha_exec::{Grace, Host, LocalHost, LocalSettings};
use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// How the folders of all runs begin.
const PREFIX: &str = "orcha-bench-";
/// Locked for as long as its run lives.
const LOCK: &str = "lock";

/// The folder of one run; it goes when this is dropped.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    /// Dropped behind the folder: until then the folder is nobody else's to remove.
    _lock: File,
}

impl Folder {
    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Makes a folder for a run, and removes those of runs that were killed.
pub fn folder(dir: &Path) -> Result<Folder> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One without a lock is being made, or is none of ours.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            std::fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(dir).context("no folder could be made")?;
    let lock = File::create(folder.path().join(LOCK))?;
    lock.lock()?;
    Ok(Folder { folder, _lock: lock })
}

/// Opens the runs below a work folder, as the daemon does.
pub fn host(program: &Path, work: &Path) -> Result<LocalHost> {
    let keeper = vec![program.display().to_string(), "keeper".to_owned()];
    LocalHost::new(LocalSettings::detect(work, keeper)).context("this machine cannot keep runs")
}

/// Ends every run below a work folder. Nobody else may start any there meanwhile.
pub async fn sweep(program: &Path, work: &Path) -> Result<()> {
    let host = host(program, work)?;
    for run in host.runs().await? {
        host.stop(&run.label, Grace::QUICK).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_with_the_next_one_and_a_living_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let living = folder(dir.path()).unwrap();
        let killed = dir.path().join(format!("{PREFIX}killed"));
        std::fs::create_dir(&killed).unwrap();
        std::fs::write(killed.join(LOCK), "").unwrap();
        let strange = dir.path().join(format!("{PREFIX}without-a-lock"));
        std::fs::create_dir(&strange).unwrap();
        let next = folder(dir.path()).unwrap();
        assert!(living.path().is_dir() && next.path().is_dir() && strange.is_dir());
        assert!(!killed.exists());
        drop((living, next));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
