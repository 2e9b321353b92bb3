//! The trait that `orch` uses: workspaces, real or fake.

use crate::{
    Diff, Exact, ExactReady, FileChange, Identity, Label, Leftovers, Listed, Prepare, Push, Pushed, Ready, Reclaim,
    RestoreInto, Restored, Snapshot, Status, WorkspaceError,
};
use async_trait::async_trait;
use orcha_base::{RepoUrl, Sha};
use std::fmt;
use std::path::PathBuf;

/// The workspaces of one target. Every call may be repeated, and may be cut off at any instant.
#[async_trait]
pub trait Checkouts: Send + Sync + fmt::Debug {
    /// Makes a checkout from what the origin has now, or finds the one made before.
    async fn prepare(&self, prepare: &Prepare) -> Result<Ready, WorkspaceError>;

    /// Says what a checkout looks like, without changing it.
    async fn status(&self, workspace: &Label) -> Result<Status, WorkspaceError>;

    /// Keeps everything that is in a checkout. When nothing changed since the last snapshot, that one is returned.
    async fn snapshot(&self, workspace: &Label, why: &str) -> Result<Snapshot, WorkspaceError>;

    /// Lists the snapshots of a workspace, oldest first; also of one that is gone.
    async fn snapshots(&self, workspace: &Label) -> Result<Vec<Snapshot>, WorkspaceError>;

    /// Commits whatever is not committed on the checkout's current branch, and takes the checkout along.
    async fn commit_leftovers(
        &self,
        workspace: &Label,
        message: &str,
        identity: &Identity,
    ) -> Result<Leftovers, WorkspaceError>;

    /// Moves a branch of the origin, if it is where it is believed to be.
    async fn push(&self, push: &Push) -> Result<Pushed, WorkspaceError>;

    /// Compares a checkout with a base (its own without one) and returns at most `patch_cap` bytes of patch.
    async fn diff(&self, workspace: &Label, base: Option<&Sha>, patch_cap: usize) -> Result<Diff, WorkspaceError>;

    /// Names the files of a checkout that are not as they were when it was made.
    async fn changes(&self, workspace: &Label) -> Result<Vec<FileChange>, WorkspaceError>;

    /// Names the folder of ours from which checkouts of a repository read what they do not have themselves.
    fn lends(&self, _repo: &RepoUrl) -> Option<PathBuf> {
        None
    }

    /// Brings a snapshot back.
    async fn restore(&self, workspace: &Label, number: u32, into: &RestoreInto) -> Result<Restored, WorkspaceError>;

    /// Deletes a checkout once a snapshot is proven to hold all of it, or says why it stays.
    async fn reclaim(&self, workspace: &Label) -> Result<Reclaim, WorkspaceError>;

    /// Makes a clean folder at an exact commit, or finds the one made before. It has no remote, and nothing of
    /// a workspace but the commit.
    async fn exact(&self, exact: &Exact) -> Result<ExactReady, WorkspaceError>;

    /// Deletes such a folder with whatever was made in it. One that is gone is done.
    async fn discard_exact(&self, key: &Label) -> Result<(), WorkspaceError>;

    /// Lists the keys of such folders that are here.
    async fn list_exact(&self) -> Result<Vec<Label>, WorkspaceError>;

    /// Lists the workspaces that were made here, gone ones included.
    async fn list(&self) -> Result<Vec<Listed>, WorkspaceError>;

    /// Returns how many bytes a checkout takes on disk; what it borrows from the mirror does not count.
    async fn disk(&self, workspace: &Label) -> Result<u64, WorkspaceError>;
}
