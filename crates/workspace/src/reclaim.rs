//! Deleting a checkout, with proof.
//!
//! The proof is a snapshot: every commit that only this checkout had, on a branch or in a reflog, is reachable
//! from it, its tree holds the files, and looking a second time finds nothing new. What a snapshot cannot
//! hold keeps the checkout alive, with the reason.

use crate::capture::on_files;
use crate::checkout::Seen;
use crate::files::{Kind, text};
use crate::{Kept, Label, Reclaim, WorkspaceError, Workspaces};
use std::path::Path;

impl Workspaces {
    pub(crate) async fn reclaim_locked(&self, workspace: &Label) -> Result<Reclaim, WorkspaceError> {
        let kept = |why| Ok(Reclaim::Kept(why));
        let dir = self.dir(workspace);
        match self.files.kind(&dir).await? {
            None => return Ok(Reclaim::Reclaimed(None)),
            Some(Kind::Folder) => {}
            Some(Kind::File | Kind::Link | Kind::Other) => {
                return kept(Kept::Foreign("its folder is a link or a file".to_owned()));
            }
        }
        if self.record(workspace).await?.is_none() {
            return kept(Kept::Unknown);
        }
        let seen = match self.look(workspace).await {
            Ok(seen) => seen,
            Err(WorkspaceError::Foreign { what, .. }) => return kept(Kept::Foreign(what)),
            Err(error) => return Err(error),
        };
        if seen.parts.submodules {
            return kept(Kept::Submodules);
        }
        if seen.parts.worktrees {
            return kept(Kept::LinkedWorktrees);
        }
        self.rescue(&seen.mirror, workspace, &seen.merging).await?;
        let first = self.snapshot_locked(&seen, "before the checkout is deleted").await?;
        if !first.capture.left_out.is_empty() {
            return kept(Kept::Unkeepable(first.capture.left_out));
        }
        let mut nested = first.capture.nested.clone();
        nested.extend(self.linked_repositories(&seen).await?);
        let hidden = self.hidden_repositories(&seen).await?;
        nested.extend(hidden.repositories);
        if !nested.is_empty() {
            nested.sort();
            nested.dedup();
            return kept(Kept::NestedRepositories(nested));
        }
        if !hidden.unreadable.is_empty() {
            return kept(Kept::Unkeepable(hidden.unreadable));
        }
        let again = self.look(workspace).await?;
        self.rescue(&again.mirror, workspace, &again.merging).await?;
        let second = self.snapshot_locked(&again, "before the checkout is deleted").await?;
        if first.snapshot != second.snapshot {
            return kept(Kept::Changing);
        }
        let unproven = self.unproven(&again.mirror, workspace, &again.merging).await?;
        if !unproven.is_empty() {
            return kept(Kept::Unproven(unproven));
        }
        self.files.discard(&dir).await?;
        self.forget_tips(&again.mirror, workspace).await?;
        Ok(Reclaim::Reclaimed(Some(second.snapshot)))
    }

    /// Lists the repositories that the tree only links to and that are really there.
    async fn linked_repositories(&self, seen: &Seen) -> Result<Vec<String>, WorkspaceError> {
        let staged = on_files(seen, &self.index(&seen.record.workspace), "ls-files").args(["-z", "--stage"]);
        let mut links = Vec::new();
        for entry in self.paths(staged).await? {
            let path = entry.iter().position(|b| *b == b'\t').map(|at| entry[at + 1..].to_vec());
            links.extend(path.filter(|_| entry.starts_with(b"160000 ")));
        }
        if links.is_empty() {
            return Ok(Vec::new());
        }
        // A name that is no text cannot be looked at; when in doubt, it is there.
        let inside = |path: &[u8]| std::str::from_utf8(path).ok().map(|path| seen.dir.join(path).join(".git"));
        let found = self.files.look(&links.iter().filter_map(|path| inside(path)).collect::<Vec<_>>()).await?;
        links.retain(|path| inside(path).is_none_or(|path| found.contains_key(&path)));
        Ok(links.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// Finds repositories where ignore rules hide them, and keeps those on the list that have commits of
    /// their own: such as no remote of theirs is known to have.
    async fn hidden_repositories(&self, seen: &Seen) -> Result<Hidden, WorkspaceError> {
        let root = text(&seen.dir);
        let own = text(&seen.dir.join(".git"));
        let mut find = self.files.tool("find").arg(&root).args(["-path", &own, "-prune", "-o"]);
        find = find.args(["-name", ".git", "-printf", "%y %P\\0", "-prune"]);
        find.timeout = self.files.git.settings().transfer_timeout;
        let output = self.files.outcome("looking for repositories", find).await?;
        let mut hidden = Hidden::default();
        if output.truncated || !output.status.success() {
            hidden.unreadable.push("folders that cannot be looked into".to_owned());
        }
        for entry in output.stdout.split(|b| *b == 0).filter(|entry| entry.len() > 2) {
            let shown = String::from_utf8_lossy(&entry[2..]);
            let shown = shown.strip_suffix("/.git").unwrap_or(&shown).to_owned();
            let own_work = match (entry[0], std::str::from_utf8(&entry[2..])) {
                (b'd', Ok(path)) => self.has_work(&seen.dir.join(path)).await?,
                // A pointer to a repository: its commits are deleted only if that lies in here too.
                (b'f', Ok(path)) => {
                    let said = self.files.read(&seen.dir.join(path)).await?;
                    match said.strip_prefix(b"gitdir: ") {
                        Some(to) => !to.starts_with(b"/") || to.starts_with(root.as_bytes()),
                        None => false,
                    }
                }
                _ => true,
            };
            if own_work {
                hidden.repositories.push(shown + "/");
            }
        }
        Ok(hidden)
    }

    /// Tells whether a repository has commits that it knows of no remote for. One that git does not
    /// understand may have.
    async fn has_work(&self, git_dir: &Path) -> Result<bool, WorkspaceError> {
        let walk = self.files.git.at(git_dir, "rev-list").args(["--max-count=1", "--all", "--reflog"]);
        let said = walk.args(["--not", "--remotes"]).outcome(&*self.files.host).await?;
        Ok(!said.status.success() || !said.stdout.is_empty())
    }
}

/// What lies in a checkout beside its files.
#[derive(Debug, Default)]
struct Hidden {
    repositories: Vec<String>,
    unreadable: Vec<String>,
}
