//! Bringing a snapshot back: into its workspace, or into a folder of its own.
//!
//! What was not committed then is not committed again: the head is the commit of that instant, and the files
//! are as they were. Files that the ignore rules name stay as they are, unless a restored file needs the path.

use crate::capture::on_files;
use crate::checkout::{Build, Seen, head_ref};
use crate::files::text;
use crate::mirror::Mirror;
use crate::{Label, RestoreInto, Restored, Snapshot, WorkspaceError, Workspaces};
use std::path::Path;

impl Workspaces {
    pub(crate) async fn restore_locked(
        &self,
        workspace: &Label,
        number: u32,
        into: &RestoreInto,
    ) -> Result<Restored, WorkspaceError> {
        let missing = || WorkspaceError::MissingSnapshot { workspace: workspace.clone(), number };
        let record = self.record(workspace).await?.ok_or_else(missing)?;
        let mirror = self.mirror(&record.repo);
        let known = self.snapshots_in(&mirror, workspace).await?;
        let snapshot = known.into_iter().find(|it| it.number == number).ok_or_else(missing)?;
        let build_at = |into| Build {
            into,
            mirror: &mirror,
            branch: &record.branch,
            base_branch: &record.ready.base_branch,
            head: &snapshot.head,
            identity: &record.identity,
            also: &[],
        };
        let head = snapshot.head.clone();
        match into {
            RestoreInto::Folder(dir) => {
                if self.files.kind(dir).await?.is_some() {
                    return Err(WorkspaceError::Occupied { dir: dir.clone() });
                }
                let making = self.ours("making").join(format!("{workspace}.restored"));
                self.build_with_repair(&build_at(&making)).await?;
                self.lay_out(&mirror, &making, &snapshot).await?;
                self.files.rename(&making, dir).await?;
                Ok(Restored { dir: dir.clone(), head, before: None })
            }
            RestoreInto::Workspace if self.files.kind(&self.dir(workspace)).await?.is_none() => {
                let making = self.ours("making").join(workspace.as_str());
                self.build_with_repair(&build_at(&making)).await?;
                self.lay_out(&mirror, &making, &snapshot).await?;
                mirror.set_ref(&head_ref(workspace), &head, false).await?;
                self.finish(&record, &making).await?;
                Ok(Restored { dir: self.dir(workspace), head, before: None })
            }
            RestoreInto::Workspace => {
                let seen = self.look(workspace).await?;
                let before = self.snapshot_locked(&seen, &format!("before snapshot {number} is restored")).await?;
                self.go_back(&seen, &before.capture.tree, &snapshot).await?;
                Ok(Restored { dir: seen.dir, head, before: Some(before.snapshot) })
            }
        }
    }

    /// Lays the files of a snapshot over a fresh checkout of its head, whose index stays at the head.
    async fn lay_out(&self, mirror: &Mirror, dir: &Path, snapshot: &Snapshot) -> Result<(), WorkspaceError> {
        let index = self.ours("making").join(format!("{}.index", dir.file_name().unwrap_or_default().display()));
        self.files.copy(&dir.join(".git/index"), &index).await?;
        let change = self.files.git.on_work_tree(&mirror.dir, dir, "read-tree").env("GIT_INDEX_FILE", text(&index));
        let change = change.args(["-m", "-u"]).transfer().end_of_options();
        mirror.write(change.arg(snapshot.head.as_str()).arg(snapshot.sha.as_str())).await?;
        self.files.delete(&[index]).await
    }

    /// Takes a living checkout back: files first, then its branch, then its index.
    async fn go_back(&self, seen: &Seen, now: &orcha_base::Sha, to: &Snapshot) -> Result<(), WorkspaceError> {
        let workspace = &seen.record.workspace;
        let index = self.index(workspace);
        let change = on_files(seen, &index, "read-tree").args(["-m", "-u"]).transfer().end_of_options();
        seen.mirror.write(change.arg(now.as_str()).arg(to.sha.as_str())).await?;

        let git_dir = seen.dir.join(".git");
        let branch = seen.record.branch.full_ref();
        let update =
            self.files.git.at(&git_dir, "update-ref").args(["-m", "restore"]).identity(&seen.record.identity, None);
        update.end_of_options().arg(&branch).arg(to.head.as_str()).run(&*self.files.host).await?;
        let attach =
            self.files.git.at(&git_dir, "symbolic-ref").args(["-m", "restore"]).identity(&seen.record.identity, None);
        attach.end_of_options().arg("HEAD").arg(&branch).run(&*self.files.host).await?;

        let fresh = self.state_dir(workspace).join("index.fresh");
        self.files.copy(&index, &fresh).await?;
        let reset = on_files(seen, &fresh, "read-tree").arg("--reset").end_of_options().arg(to.head.as_str());
        seen.mirror.write(reset).await?;
        self.files.rename(&fresh, &git_dir.join("index")).await?;
        let begun = [
            "MERGE_HEAD",
            "MERGE_MODE",
            "MERGE_MSG",
            "CHERRY_PICK_HEAD",
            "REVERT_HEAD",
            "rebase-merge",
            "rebase-apply",
        ];
        self.files.delete(&begun.map(|name| git_dir.join(name))).await?;
        seen.mirror.set_ref(&head_ref(workspace), &to.head, false).await
    }
}
