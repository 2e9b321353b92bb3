//! Looking at a checkout without running anything of it.
//!
//! Its commits are brought into the mirror (see `refs`). Its files are read with the mirror as repository, the checkout as work tree,
//! and an index of ours: the checkout's configuration is never in force. Of the checkout's own index only
//! the list of paths is used. Nothing here changes the checkout.

use crate::checkout::{Parts, Seen, head_ref};
use crate::files::{Kind, text};
use crate::mirror::{durable, sha};
use crate::{Label, Operation, Status, WorkspaceError, Workspaces};
use orcha_base::{BranchName, Sha};
use orcha_exec::git::{GitCommand, GitError};
use std::collections::HashSet;
use std::path::Path;

/// The files of a checkout as one tree in the mirror.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) tree: Sha,
    pub(crate) changed: u32,
    pub(crate) untracked: u32,
    pub(crate) nested: Vec<String>,
    /// Files that are there and cannot be kept.
    pub(crate) left_out: Vec<String>,
    pub(crate) conflicts: bool,
}

impl Capture {
    pub(crate) fn dirty(&self) -> bool {
        self.changed > 0 || self.untracked > 0
    }
}

impl Workspaces {
    pub(crate) async fn status_locked(&self, workspace: &Label) -> Result<Status, WorkspaceError> {
        let seen = self.look(workspace).await?;
        let capture = self.capture(&seen).await?;
        let count = seen.mirror.git("rev-list").arg("--count").end_of_options();
        let count = count.arg(format!("{}..{}", seen.record.ready.base_sha, seen.head));
        let said = count.text(&*self.files.host).await?;
        Ok(Status {
            ahead: said.parse().map_err(|_| GitError::answer("rev-list", &said))?,
            unfinished: unfinished(&seen, &capture),
            head: seen.head,
            branch: seen.branch,
            changed: capture.changed,
            untracked: capture.untracked,
        })
    }

    /// Checks that the checkout is what we made, and brings its commits into the mirror.
    pub(crate) async fn look(&self, workspace: &Label) -> Result<Seen, WorkspaceError> {
        let absent = || WorkspaceError::Absent { workspace: workspace.clone() };
        let foreign = |what: &str| WorkspaceError::Foreign { workspace: workspace.clone(), what: what.to_owned() };
        let dir = self.dir(workspace);
        let git_dir = dir.join(".git");
        let at = |name: &str| git_dir.join(name);
        let mut paths = vec![dir.clone(), git_dir.clone()];
        paths.extend(["HEAD", "objects", "refs", "commondir", "index", "info/exclude", "info/sparse-checkout"].map(at));
        paths.extend(["MERGE_HEAD", "rebase-merge", "rebase-apply", "modules", "worktrees"].map(at));
        let found = self.files.look(&paths).await?;
        let kind = |name: &str| found.get(&at(name)).copied();
        if !found.contains_key(&dir) {
            return Err(absent());
        }
        let record = self.record(workspace).await?.ok_or_else(absent)?;
        if found.get(&dir) != Some(&Kind::Folder) {
            return Err(foreign("its folder is a link or a file"));
        }
        if found.get(&git_dir) != Some(&Kind::Folder) {
            return Err(foreign("`.git` is not a folder"));
        }
        if kind("HEAD") != Some(Kind::File) || [kind("objects"), kind("refs")] != [Some(Kind::Folder); 2] {
            return Err(foreign("`.git` is not a repository of its own"));
        }
        if kind("commondir").is_some() {
            return Err(foreign("`.git` belongs to another repository"));
        }

        let mirror = self.mirror(&record.repo);
        let said = self.files.read(&at("HEAD")).await?;
        let born = self.follow(&mirror, workspace, &said).await?;
        let head =
            mirror.commit_at(&head_ref(workspace)).await?.ok_or_else(|| foreign("its `HEAD` names no commit"))?;
        let merging = match kind("MERGE_HEAD") {
            Some(Kind::File) => read_shas(&self.files.read(&at("MERGE_HEAD")).await?),
            Some(Kind::Folder | Kind::Link | Kind::Other) | None => Vec::new(),
        };
        let parts = Parts {
            index: kind("index") == Some(Kind::File),
            exclude: kind("info/exclude") == Some(Kind::File),
            sparse: kind("info/sparse-checkout").is_some(),
            rebase: kind("rebase-merge").is_some() || kind("rebase-apply").is_some(),
            submodules: kind("modules").is_some(),
            worktrees: kind("worktrees").is_some(),
            unborn: !born,
        };
        Ok(Seen { record, mirror, dir, head, branch: branch_in(&said), merging, parts })
    }

    /// Writes the files of a checkout into the mirror as a tree, and leaves our index in step with it.
    pub(crate) async fn capture(&self, seen: &Seen) -> Result<Capture, WorkspaceError> {
        let workspace = &seen.record.workspace;
        let index = self.index(workspace);
        let theirs = self.state_dir(workspace).join("index.theirs");
        self.files
            .delete(&[index.with_extension("lock"), theirs.clone(), theirs.with_extension("theirs.lock")])
            .await?;
        let git = |subcommand| on_files(seen, &index, subcommand);

        let reset = || git("read-tree").arg("--reset").end_of_options().arg(seen.head.as_str());
        match seen.mirror.write(reset()).await {
            Ok(_) => {}
            // Our index only saves time: a broken one is thrown away.
            Err(WorkspaceError::Git(GitError::Failed { .. })) => {
                self.files.delete(std::slice::from_ref(&index)).await?;
                seen.mirror.write(reset()).await?;
            }
            Err(error) => return Err(error),
        }
        let mut conflicts = false;
        let (mut forced, mut refused) = (Vec::new(), Vec::new());
        if seen.parts.index {
            self.files.copy(&seen.dir.join(".git/index"), &theirs).await?;
            let list = |what: &[&str]| on_files(seen, &theirs, "ls-files").arg("-z").args(what.iter().copied());
            // An index that git cannot read lists nothing; the files themselves are what counts.
            let unmerged = list(&["--unmerged"]).outcome(&*self.files.host).await?;
            if unmerged.status.success() {
                conflicts = !unmerged.stdout.is_empty();
                forced = self.paths(list(&["--cached", "--ignored", "--exclude-standard"])).await?;
                if seen.parts.sparse {
                    let tagged = self.paths(list(&["-v", "--cached"])).await?;
                    let absent: Vec<_> =
                        tagged.iter().filter_map(|line| line.strip_prefix(b"S ")).map(<[u8]>::to_vec).collect();
                    refused.extend(self.update(git("update-index").arg("--skip-worktree"), seen, &absent).await?);
                }
            }
        }

        let differing = self
            .paths(git("diff-files").args(["-z", "--name-status", "--no-renames", "--ignore-submodules=all"]))
            .await?;
        let (mut gone, mut present) = (Vec::new(), Vec::new());
        for pair in differing.chunks_exact(2) {
            if pair[0] == b"D" { gone.push(pair[1].clone()) } else { present.push(pair[1].clone()) }
        }
        refused.extend(self.update(git("update-index").arg("--force-remove"), seen, &gone).await?);
        let others = self.paths(git("ls-files").args(["-z", "--others", "--exclude-standard"])).await?;
        let (nested, mut untracked): (Vec<_>, Vec<_>) = others.into_iter().partition(|path| path.ends_with(b"/"));
        let new = untracked.clone();
        untracked.extend(forced.into_iter().filter(|path| !path.ends_with(b"/")));
        present.extend(untracked);
        present.sort();
        present.dedup();
        let add = git("update-index").args(["--add", "--remove", "--replace"]);
        refused.extend(self.update(add, seen, &present).await?);
        if !new.is_empty() {
            // Names that git never takes are passed over in silence: they are still no part of the index.
            let others = self.paths(git("ls-files").args(["-z", "--others", "--exclude-standard"])).await?;
            let others: HashSet<&[u8]> = others.iter().map(Vec::as_slice).collect();
            refused.extend(new.into_iter().filter(|path| others.contains(path.as_slice())));
        }
        refused.sort();
        refused.dedup();

        let tree = sha("write-tree", &seen.mirror.write(durable(git("write-tree"))).await?.text())?;
        let (mut changed, mut untracked) = (0, 0);
        if tree != seen.mirror.tree_of(&seen.head).await? {
            let compare = seen.mirror.git("diff-tree").args(["-r", "-z", "--name-status", "--no-renames"]).plain_diff();
            let compare = compare.end_of_options().arg(seen.head.as_str()).arg(tree.as_str());
            for pair in self.paths(compare).await?.chunks_exact(2) {
                if pair[0] == b"A" { untracked += 1 } else { changed += 1 }
            }
        }
        Ok(Capture { tree, changed, untracked, nested: shown(&nested), left_out: shown(&refused), conflicts })
    }

    /// Runs a listing that ends each item with a zero byte.
    pub(crate) async fn paths(&self, command: GitCommand) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        let output = command.keep(256 << 20).run(&*self.files.host).await?;
        if output.truncated {
            return Err(GitError::Cut { step: "ls-files" }.into());
        }
        Ok(output.stdout.split(|b| *b == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Puts paths into our index, and returns those that cannot be read. One of them makes the whole list
    /// fail, so the list is halved until they stand alone.
    async fn update(
        &self,
        command: GitCommand,
        seen: &Seen,
        paths: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        /// Beyond so many it is not the paths: the rest is not tried one by one.
        const PATIENCE: usize = 64;
        let command = durable(command.args(["-z", "--stdin"])).transfer();
        let mut refused: Vec<Vec<u8>> = Vec::new();
        let mut open = vec![paths];
        while let Some(some) = open.pop().filter(|some| !some.is_empty()) {
            let mut list = some.join(&0);
            list.push(0);
            match seen.mirror.write_once(command.clone().stdin(list)).await {
                Ok(_) => {}
                Err(WorkspaceError::Git(GitError::Failed { .. })) if some.len() == 1 || refused.len() >= PATIENCE => {
                    refused.extend_from_slice(some);
                }
                Err(WorkspaceError::Git(GitError::Failed { .. })) => {
                    let (first, second) = some.split_at(some.len() / 2);
                    open.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }
}

fn shown(paths: &[Vec<u8>]) -> Vec<String> {
    paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

/// Starts a command on the files of a checkout, with the mirror as repository and an index of ours.
pub(crate) fn on_files(seen: &Seen, index: &Path, subcommand: &'static str) -> GitCommand {
    let command = seen.mirror.files.git.on_work_tree(&seen.mirror.dir, &seen.dir, subcommand);
    let excludes = if seen.parts.exclude { text(&seen.dir.join(".git/info/exclude")) } else { "/dev/null".to_owned() };
    command.env("GIT_INDEX_FILE", text(index)).config("core.excludesFile", &excludes)
}

/// Says what the checkout is in the middle of.
pub(crate) fn unfinished(seen: &Seen, capture: &Capture) -> Option<Operation> {
    if seen.parts.unborn {
        return Some(Operation::Unborn);
    }
    match (seen.parts.rebase, capture.conflicts, seen.merging.is_empty()) {
        (true, _, _) => Some(Operation::Rebase),
        (false, true, _) => Some(Operation::Conflicts),
        (false, false, false) => Some(Operation::Merge),
        (false, false, true) => None,
    }
}

fn branch_in(head: &[u8]) -> Option<BranchName> {
    String::from_utf8_lossy(head).trim_end().strip_prefix("ref: refs/heads/")?.parse().ok()
}

fn read_shas(bytes: &[u8]) -> Vec<Sha> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| line.parse().ok()).collect()
}
