//! Deleting a checkout, with proof.
//!
//! The proof is a snapshot: everything that only this checkout had is reachable from it, and looking a second
//! time finds nothing new. What a snapshot cannot hold keeps the checkout alive, with the reason.

use crate::capture::on_files;
use crate::checkout::Seen;
use crate::files::Kind;
use crate::mirror::Mirror;
use crate::{Kept, Label, Reclaim, WorkspaceError, Workspaces};

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
        let tags = [format!("+refs/tags/*:refs/orcha/ws/{workspace}/tags/*")];
        let seen = match self.look_and(workspace, &tags).await {
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
        if seen.parts.stashes > 1 {
            return kept(Kept::Stashes(seen.parts.stashes));
        }
        let first = self.snapshot_locked(&seen, "before the checkout is deleted").await?;
        let mut nested = first.capture.nested.clone();
        nested.extend(self.linked_repositories(&seen).await?);
        if !nested.is_empty() {
            return kept(Kept::NestedRepositories(nested));
        }
        let again = self.look_and(workspace, &tags).await?;
        let second = self.snapshot_locked(&again, "before the checkout is deleted").await?;
        if first.snapshot != second.snapshot {
            return kept(Kept::Changing);
        }
        let unproven = self.unproven(&again.mirror, workspace).await?;
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
            let path =
                entry.iter().position(|b| *b == b'\t').map(|at| String::from_utf8_lossy(&entry[at + 1..]).into_owned());
            links.extend(path.filter(|_| entry.starts_with(b"160000 ")));
        }
        if links.is_empty() {
            return Ok(links);
        }
        let inside = |path: &String| seen.dir.join(path).join(".git");
        let found = self.files.look(&links.iter().map(inside).collect::<Vec<_>>()).await?;
        links.retain(|path| found.contains_key(&inside(path)));
        Ok(links)
    }

    /// Lists commits that the checkout has and no snapshot of it.
    async fn unproven(&self, mirror: &Mirror, workspace: &Label) -> Result<Vec<String>, WorkspaceError> {
        let walk = mirror.git("rev-list").args(["--max-count=5", "--abbrev-commit"]);
        let walk = walk.arg(format!("--glob=refs/orcha/ws/{workspace}/*")).arg("--not");
        let walk = walk.arg(format!("--glob=refs/orcha/snapshots/{workspace}/*"));
        Ok(walk.text(&*self.files.host).await?.lines().map(str::to_owned).collect())
    }

    /// The snapshot holds what these refs held; without them the list of refs stays short.
    async fn forget_tips(&self, mirror: &Mirror, workspace: &Label) -> Result<(), WorkspaceError> {
        let list =
            mirror.git("for-each-ref").arg("--format=delete %(refname)").arg(format!("refs/orcha/ws/{workspace}/"));
        let mut commands = list.text(&*self.files.host).await?;
        if commands.is_empty() {
            return Ok(());
        }
        commands.push('\n');
        mirror.write(mirror.git("update-ref").arg("--stdin").stdin(commands)).await.map(|_| ())
    }
}
