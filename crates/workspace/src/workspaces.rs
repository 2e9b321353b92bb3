//! The real workspaces of one host.
//!
//! Holds what the operations share: paths, locks, records. The operations themselves are in the modules
//! named after them.

use crate::checkout::Record;
use crate::files::Files;
use crate::mirror::{Clutter, Mirror, Mirrors};
use crate::{
    Checkouts, Diff, Exact, ExactReady, FileChange, Identity, Label, Leftovers, Listed, Prepare, Push, Pushed, Ready,
    Reclaim, RestoreInto, Restored, Snapshot, Status, WorkspaceError,
};
use async_trait::async_trait;
use orcha_base::{RepoUrl, Sha};
use orcha_exec::Host;
use orcha_exec::git::{Git, GitError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::warn;

/// The workspaces of one host.
#[derive(Debug)]
pub struct Workspaces {
    pub(crate) files: Files,
    mirrors: Mirrors,
    locks: std::sync::Mutex<HashMap<Label, Weak<Mutex<()>>>>,
}

impl Workspaces {
    /// Takes a host: checks its git, makes our folders, and ends deletions that a crash interrupted.
    pub async fn open(host: Arc<dyn Host>, git: Git) -> Result<Self, WorkspaceError> {
        let files = Files::new(host.clone(), git.clone());
        let root = host.work_root();
        let ours =
            ["mirrors", "workspaces", "making", "trash", "kept", "exact"].map(|name| root.join(".orcha").join(name));
        let [checkouts, exact] = ["checkouts", "exact"].map(|name| root.join(name));
        let folders: Vec<&Path> =
            ours.iter().map(PathBuf::as_path).chain([checkouts.as_path(), exact.as_path()]).collect();
        files.make_folders(&folders).await?;
        git.check_version(&*host).await?;
        files.empty_trash().await?;
        Ok(Self { mirrors: Mirrors::new(files.clone()), files, locks: std::sync::Mutex::default() })
    }

    /// Waits until nobody else works on this workspace.
    pub(crate) async fn lock(&self, workspace: &Label) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(workspace).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(Mutex::new(()));
                    locks.insert(workspace.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    pub(crate) fn mirror(&self, repo: &RepoUrl) -> Mirror {
        self.mirrors.of(repo)
    }

    /// Where the checkout of a workspace is.
    pub fn dir(&self, workspace: &Label) -> PathBuf {
        self.files.host.work_root().join("checkouts").join(workspace.as_str())
    }

    /// Our own things about a workspace.
    pub(crate) fn state_dir(&self, workspace: &Label) -> PathBuf {
        self.ours("workspaces").join(workspace.as_str())
    }

    pub(crate) fn index(&self, workspace: &Label) -> PathBuf {
        self.state_dir(workspace).join("index")
    }

    pub(crate) fn ours(&self, name: &str) -> PathBuf {
        self.files.host.work_root().join(".orcha").join(name)
    }
}

#[async_trait]
impl Checkouts for Workspaces {
    async fn prepare(&self, prepare: &Prepare) -> Result<Ready, WorkspaceError> {
        let _guard = self.lock(&prepare.workspace).await;
        self.prepare_locked(prepare).await
    }

    async fn status(&self, workspace: &Label) -> Result<Status, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        self.status_locked(workspace).await
    }

    async fn snapshot(&self, workspace: &Label, why: &str) -> Result<Snapshot, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        let seen = self.look(workspace).await?;
        Ok(self.snapshot_locked(&seen, why).await?.snapshot)
    }

    async fn snapshots(&self, workspace: &Label) -> Result<Vec<Snapshot>, WorkspaceError> {
        let Some(record) = self.record(workspace).await? else { return Ok(Vec::new()) };
        self.snapshots_in(&self.mirror(&record.repo), workspace).await
    }

    async fn commit_leftovers(
        &self,
        workspace: &Label,
        message: &str,
        identity: &Identity,
    ) -> Result<Leftovers, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        self.commit_leftovers_locked(workspace, message, identity).await
    }

    async fn push(&self, push: &Push) -> Result<Pushed, WorkspaceError> {
        self.push_now(push).await
    }

    async fn diff(&self, workspace: &Label, base: Option<&Sha>, patch_cap: usize) -> Result<Diff, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        self.diff_locked(workspace, base, patch_cap).await
    }

    async fn changes(&self, workspace: &Label) -> Result<Vec<FileChange>, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        let absent = || WorkspaceError::Absent { workspace: workspace.clone() };
        let made = self.record(workspace).await?.ok_or_else(absent)?.ready.head_sha;
        Ok(self.diff_locked(workspace, Some(&made), 0).await?.files)
    }

    fn lends(&self, repo: &RepoUrl) -> Option<PathBuf> {
        Some(self.mirror(repo).dir.join("objects"))
    }

    async fn restore(&self, workspace: &Label, number: u32, into: &RestoreInto) -> Result<Restored, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        self.restore_locked(workspace, number, into).await
    }

    async fn reclaim(&self, workspace: &Label) -> Result<Reclaim, WorkspaceError> {
        let _guard = self.lock(workspace).await;
        let done = self.reclaim_locked(workspace).await?;
        if let Some(record) = self.record(workspace).await?
            && let Err(error) = self.mirror(&record.repo).tidy(Clutter::BEARABLE).await
        {
            // The checkout is gone all the same; the next one tries again.
            warn!(repo = %record.repo, error = &error as &dyn std::error::Error, "the mirror could not be packed");
        }
        Ok(done)
    }

    async fn exact(&self, exact: &Exact) -> Result<ExactReady, WorkspaceError> {
        let _guard = self.lock(&exact_lock(&exact.key)?).await;
        self.exact_locked(exact).await
    }

    async fn discard_exact(&self, key: &Label) -> Result<(), WorkspaceError> {
        let _guard = self.lock(&exact_lock(key)?).await;
        self.discard_exact_locked(key).await
    }

    async fn list_exact(&self) -> Result<Vec<Label>, WorkspaceError> {
        self.exact_keys().await
    }

    async fn list(&self) -> Result<Vec<Listed>, WorkspaceError> {
        let find = self.files.tool("find").arg(self.ours("workspaces").display().to_string());
        let find =
            find.args(["-mindepth", "2", "-maxdepth", "2", "-name", "record.json", "-exec", "cat", "--", "{}", "+"]);
        let records = self.files.run("listing workspaces", find).await?;
        let mut listed = Vec::new();
        for line in records.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let record: Record = serde_json::from_slice(line)
                .map_err(|_| GitError::answer("list of workspaces", &String::from_utf8_lossy(line)))?;
            listed.push(Listed {
                dir: self.dir(&record.workspace),
                workspace: record.workspace,
                repo: record.repo,
                branch: record.branch,
                present: false,
            });
        }
        listed.sort_by(|a, b| a.workspace.cmp(&b.workspace));
        let find = self.files.tool("find").arg(self.files.host.work_root().join("checkouts").display().to_string());
        let find = find.args(["-mindepth", "1", "-maxdepth", "1", "-type", "d", "-printf", "%f\\n"]);
        let present = self.files.run("listing checkouts", find).await?.text();
        let present: std::collections::HashSet<&str> = present.lines().collect();
        for it in &mut listed {
            it.present = present.contains(it.workspace.as_str());
        }
        Ok(listed)
    }

    async fn disk(&self, workspace: &Label) -> Result<u64, WorkspaceError> {
        let dir = self.dir(workspace);
        if self.files.kind(&dir).await?.is_none() {
            return Err(WorkspaceError::Absent { workspace: workspace.clone() });
        }
        let du = self.files.tool("du").args(["-s", "-k", "-x", "--"]).arg(dir.display().to_string());
        // Folders that it may not look into make `du` complain; it counts the others.
        let said = self.files.outcome("measuring a checkout", du).await?.text();
        let kib: Option<u64> = said.split_whitespace().next().and_then(|n| n.parse().ok());
        Ok(kib.ok_or_else(|| GitError::answer("du", &said))? * 1024)
    }
}

/// The lock of an exact checkout: a workspace may have the same name.
fn exact_lock(key: &Label) -> Result<Label, WorkspaceError> {
    Label::new(&format!("x-{key}"))
}
