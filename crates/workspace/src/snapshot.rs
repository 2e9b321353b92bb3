//! Keeping what is in a checkout: snapshots in hidden refs, leftovers in a commit, and diffs of both.
//!
//! Snapshots never touch the checkout. Leftovers move its branch and its index, with its configuration
//! outruled; nothing of it runs.

use crate::capture::{Capture, unfinished};
use crate::checkout::{Seen, head_ref};
use crate::mirror::{Mirror, durable, sha};
use crate::{Diff, FileChange, Identity, Label, Leftovers, Operation, Snapshot, WorkspaceError, Workspaces};
use orcha_base::{Sha, Timestamp};
use orcha_exec::git::GitError;

/// A snapshot, and what was seen when it was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) snapshot: Snapshot,
    pub(crate) capture: Capture,
}

impl Workspaces {
    pub(crate) async fn snapshot_locked(&self, seen: &Seen, why: &str) -> Result<Taken, WorkspaceError> {
        let workspace = &seen.record.workspace;
        let mirror = &seen.mirror;
        let capture = self.capture(seen).await?;
        let parents = self.parents(seen).await?;
        let known = self.snapshots_in(mirror, workspace).await?;
        if let Some(last) = known.last()
            && mirror.tree_of(&last.sha).await? == capture.tree
            && parents_of(mirror, &last.sha).await? == parents
        {
            return Ok(Taken { snapshot: last.clone(), capture });
        }
        let why = one_line(why);
        let mut message = format!("{why}\n");
        if !capture.left_out.is_empty() {
            message.push_str("\nCould not be kept:\n");
            capture.left_out.iter().for_each(|path| message.push_str(&format!("  {path:?}\n")));
        }
        let mut commit = durable(mirror.git("commit-tree")).args(["-F", "-"]).stdin(message);
        for parent in &parents {
            commit = commit.args(["-p", parent.as_str()]);
        }
        let commit = commit.arg(capture.tree.as_str()).identity(&keeper(), None);
        let sha = sha("commit-tree", &mirror.write(commit).await?.text())?;
        let number = known.last().map_or(1, |last| last.number + 1);
        let name = format!("refs/orcha/snapshots/{workspace}/{number}");
        mirror.set_ref(&name, &sha, true).await?;
        let missing = || WorkspaceError::MissingSnapshot { workspace: workspace.clone(), number };
        let snapshot = self.snapshots_in(mirror, workspace).await?.into_iter().find(|it| it.number == number);
        Ok(Taken { snapshot: snapshot.ok_or_else(missing)?, capture })
    }

    pub(crate) async fn snapshots_in(
        &self,
        mirror: &Mirror,
        workspace: &Label,
    ) -> Result<Vec<Snapshot>, WorkspaceError> {
        let list = mirror
            .git("for-each-ref")
            .arg("--format=%(refname)%00%(objectname)%00%(parent)%00%(committerdate:unix)%00%(contents:subject)");
        let said = list.arg(format!("refs/orcha/snapshots/{workspace}")).text(&*self.files.host).await?;
        let mut snapshots = Vec::new();
        for line in said.lines() {
            let odd = || WorkspaceError::from(GitError::answer("for-each-ref", line));
            let fields: Vec<&str> = line.splitn(5, '\0').collect();
            let [name, at, parents, time, why] = fields[..] else { return Err(odd()) };
            snapshots.push(Snapshot {
                number: name.rsplit('/').next().and_then(|n| n.parse().ok()).ok_or_else(odd)?,
                name: name.to_owned(),
                sha: sha("for-each-ref", at)?,
                head: sha("for-each-ref", parents.split(' ').next().unwrap_or_default())?,
                why: why.to_owned(),
                at: Timestamp::from_secs(time.parse().map_err(|_| odd())?),
            });
        }
        snapshots.sort_by_key(|it| it.number);
        Ok(snapshots)
    }

    pub(crate) async fn commit_leftovers_locked(
        &self,
        workspace: &Label,
        message: &str,
        identity: &Identity,
    ) -> Result<Leftovers, WorkspaceError> {
        let seen = self.look(workspace).await?;
        let capture = self.capture(&seen).await?;
        let merging = match unfinished(&seen, &capture) {
            Some(operation @ (Operation::Rebase | Operation::Conflicts | Operation::Unborn)) => {
                return Err(WorkspaceError::Unfinished { workspace: workspace.clone(), operation });
            }
            Some(Operation::Merge) => true,
            None => false,
        };
        if !capture.left_out.is_empty() {
            return Err(WorkspaceError::Unkeepable { workspace: workspace.clone(), paths: capture.left_out });
        }
        if !capture.dirty() && !merging {
            return Ok(Leftovers { head: seen.head, committed: false });
        }
        let mirror = &seen.mirror;
        let mut commit =
            durable(mirror.git("commit-tree")).args(["-F", "-"]).stdin(format!("{}\n", message.trim_end()));
        commit = commit.args(["-p", seen.head.as_str()]);
        for other in &seen.merging {
            if !mirror.has(other).await? {
                // It merges what only the checkout has fetched; its owner has to end that.
                let operation = Operation::Merge;
                return Err(WorkspaceError::Unfinished { workspace: workspace.clone(), operation });
            }
            commit = commit.args(["-p", other.as_str()]);
        }
        let commit = commit.arg(capture.tree.as_str()).identity(identity, None);
        let head = sha("commit-tree", &mirror.write(commit).await?.text())?;
        mirror.set_ref(&head_ref(workspace), &head, false).await?;
        self.move_head(&seen, &head, identity).await?;
        // Our index holds exactly the tree of the new commit, and becomes the checkout's.
        let fresh = self.state_dir(workspace).join("index.fresh");
        self.files.copy(&self.index(workspace), &fresh).await?;
        self.files.rename(&fresh, &seen.dir.join(".git/index")).await?;
        if merging {
            let done = ["MERGE_HEAD", "MERGE_MODE", "MERGE_MSG"].map(|name| seen.dir.join(".git").join(name));
            self.files.delete(&done).await?;
        }
        Ok(Leftovers { head, committed: true })
    }

    /// Moves what the checkout's `HEAD` stands for, from what was seen to a commit of ours.
    ///
    /// `update-ref` reads the checkout's configuration and executes nothing of it once hooks are outruled.
    async fn move_head(&self, seen: &Seen, to: &Sha, identity: &Identity) -> Result<(), WorkspaceError> {
        let update = self.files.git.at(&seen.dir.join(".git"), "update-ref").args(["-m", "commit: leftovers"]);
        let update = update.end_of_options().arg("HEAD").arg(to.as_str()).arg(seen.head.as_str());
        update.identity(identity, None).run(&*self.files.host).await?;
        Ok(())
    }

    pub(crate) async fn diff_locked(
        &self,
        workspace: &Label,
        base: Option<&Sha>,
        patch_cap: usize,
    ) -> Result<Diff, WorkspaceError> {
        let seen = self.look(workspace).await?;
        let mirror = &seen.mirror;
        let base = base.unwrap_or(&seen.record.ready.base_sha);
        if !mirror.has(base).await? {
            return Err(WorkspaceError::MissingCommit { sha: base.clone(), repo: mirror.repo.clone() });
        }
        let capture = self.capture(&seen).await?;
        let host = &*self.files.host;
        let common =
            mirror.git("merge-base").end_of_options().arg(base.as_str()).arg(seen.head.as_str()).outcome(host).await?;
        // Histories that share nothing are compared as they are.
        let base = if common.status.success() { sha("merge-base", &common.text())? } else { base.clone() };
        let count = mirror.git("rev-list").arg("--count").end_of_options().arg(format!("{base}..{}", seen.head));
        let count = count.text(host).await?;
        let compare = |how: &[&str]| {
            let diff = mirror.git("diff-tree").args(["-r", "-M"]).args(how.iter().copied()).plain_diff();
            diff.end_of_options().arg(base.as_str()).arg(capture.tree.as_str())
        };
        let files = file_changes(&self.paths_with_blanks(compare(&["--numstat", "-z"])).await?)?;
        let patch = compare(&["--patch", "--full-index"]).keep(patch_cap).run(host).await?;
        let mut text = String::from_utf8_lossy(&patch.stdout).into_owned();
        if patch.truncated {
            text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
        }
        Ok(Diff {
            base: base.clone(),
            commits: count.parse().map_err(|_| GitError::answer("rev-list", &count))?,
            files,
            patch: text,
            truncated: patch.truncated,
            head: seen.head,
        })
    }

    async fn paths_with_blanks(&self, command: orcha_exec::git::GitCommand) -> Result<Vec<String>, WorkspaceError> {
        let output = command.keep(64 << 20).run(&*self.files.host).await?;
        if output.truncated {
            return Err(GitError::Cut { step: "diff-tree" }.into());
        }
        Ok(output.stdout.split(|b| *b == 0).map(|item| String::from_utf8_lossy(item).into_owned()).collect())
    }

    /// The head first, then whatever else only the checkout knows: the other side of a merge, other branches,
    /// the stash, and before it is deleted also what its reflogs and other refs name.
    async fn parents(&self, seen: &Seen) -> Result<Vec<Sha>, WorkspaceError> {
        let workspace = &seen.record.workspace;
        let tips = seen.mirror.git("for-each-ref").arg("--format=%(objecttype) %(objectname) %(*objectname)");
        let tips = tips.arg(format!("--no-merged={}", seen.head));
        let tips =
            tips.args(["heads/", "odd/", "lost/", "stash"].map(|part| format!("refs/orcha/ws/{workspace}/{part}")));
        let mut rest: Vec<Sha> = Vec::new();
        for line in tips.text(&*self.files.host).await?.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("commit"), Some(commit), _) | (Some("tag"), _, Some(commit)) => {
                    rest.push(sha("for-each-ref", commit)?)
                }
                // A tag of a file or a tree is no work that a branch could hold.
                _ => {}
            }
        }
        for other in &seen.merging {
            if seen.mirror.has(other).await? {
                rest.push(other.clone());
            }
        }
        rest.sort();
        rest.dedup();
        rest.retain(|it| *it != seen.head);
        Ok(std::iter::once(seen.head.clone()).chain(rest).collect())
    }
}

async fn parents_of(mirror: &Mirror, commit: &Sha) -> Result<Vec<Sha>, WorkspaceError> {
    let list = mirror.git("rev-list").args(["--parents", "--max-count=1"]).end_of_options().arg(commit.as_str());
    let said = list.text(&*mirror.files.host).await?;
    said.split_whitespace().skip(1).map(|it| sha("rev-list", it)).collect()
}

fn file_changes(items: &[String]) -> Result<Vec<FileChange>, WorkspaceError> {
    let mut files = Vec::new();
    let mut items = items.iter();
    while let Some(item) = items.next().filter(|item| !item.is_empty()) {
        let odd = || WorkspaceError::from(GitError::answer("diff-tree", item));
        let fields: Vec<&str> = item.splitn(3, '\t').collect();
        let [added, removed, path] = fields[..] else { return Err(odd()) };
        let lines = added.parse().ok().zip(removed.parse().ok());
        let (from, path) = if path.is_empty() {
            (items.next().cloned(), items.next().cloned().ok_or_else(odd)?)
        } else {
            (None, path.to_owned())
        };
        files.push(FileChange { path, from, lines });
    }
    Ok(files)
}

/// Who snapshots are by.
fn keeper() -> Identity {
    Identity { name: "orcha".to_owned(), email: "orcha@localhost".to_owned() }
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    let line = line.trim();
    if line.is_empty() { "snapshot".to_owned() } else { line.to_owned() }
}
