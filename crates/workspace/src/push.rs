//! Moving a branch of the origin, from the mirror and never from a checkout.
//!
//! Whether a push is allowed at all is decided elsewhere; this only makes sure that it moves the branch from
//! where it was believed to be to one exact commit, or not at all.

use crate::mirror::Mirror;
use crate::{Expected, Push, PushSource, Pushed, WorkspaceError, Workspaces};
use orcha_base::Sha;
use orcha_exec::git::GitError;

impl Workspaces {
    pub(crate) async fn push_now(&self, push: &Push) -> Result<Pushed, WorkspaceError> {
        let mirror = self.mirror(&push.repo);
        let sha = match &push.source {
            PushSource::Workspace(workspace) => {
                let _guard = self.lock(workspace).await;
                self.look(workspace).await?.head
            }
            PushSource::Commit(sha) => sha.clone(),
        };
        if self.files.kind(&mirror.dir).await?.is_none() || !mirror.has(&sha).await? {
            return Err(WorkspaceError::MissingCommit { sha, repo: push.repo.clone() });
        }
        let actual = mirror.branch_at_origin(&push.branch).await?;
        if actual.as_ref() == Some(&sha) {
            return Ok(Pushed { sha, already: true });
        }
        let lease = match (&push.expected, &actual) {
            (Expected::New, None) => "",
            (Expected::At(old), Some(actual)) if old == actual => old.as_str(),
            (Expected::New | Expected::At(_), _) => {
                return Err(WorkspaceError::RemoteMoved { branch: push.branch.clone(), actual });
            }
        };
        if let (false, Expected::At(old)) = (push.force, &push.expected) {
            self.check_fast_forward(&mirror, push, old, &sha).await?;
        }
        let name = push.branch.full_ref();
        let command = mirror.git("push").args(["--quiet", "--no-verify", "--recurse-submodules=no"]).transfer();
        let command = command.arg(format!("--force-with-lease={name}:{lease}")).end_of_options();
        let command = command.arg("origin").arg(format!("{sha}:{name}"));
        match mirror.write(command).await {
            Ok(_) => Ok(Pushed { sha, already: false }),
            Err(WorkspaceError::Git(error @ GitError::Failed { .. })) => self.judge(&mirror, push, sha, error).await,
            Err(error) => Err(error),
        }
    }

    /// Asks the origin what a failed push means.
    async fn judge(&self, mirror: &Mirror, push: &Push, sha: Sha, error: GitError) -> Result<Pushed, WorkspaceError> {
        let actual = mirror.branch_at_origin(&push.branch).await?;
        let as_believed = match &push.expected {
            Expected::New => actual.is_none(),
            Expected::At(old) => actual.as_ref() == Some(old),
        };
        if actual.as_ref() == Some(&sha) {
            Ok(Pushed { sha, already: false })
        } else if as_believed {
            let complaint = error.to_string();
            Err(WorkspaceError::Refused { branch: push.branch.clone(), complaint })
        } else {
            Err(WorkspaceError::RemoteMoved { branch: push.branch.clone(), actual })
        }
    }

    async fn check_fast_forward(
        &self,
        mirror: &Mirror,
        push: &Push,
        old: &Sha,
        sha: &Sha,
    ) -> Result<(), WorkspaceError> {
        if !mirror.has(old).await? {
            mirror.refresh().await?;
        }
        // What is not here even after a fetch cannot be part of what is pushed.
        if mirror.has(old).await? && mirror.is_ancestor(old, sha).await? {
            return Ok(());
        }
        Err(WorkspaceError::NotFastForward { branch: push.branch.clone(), old: old.clone(), sha: sha.clone() })
    }
}
