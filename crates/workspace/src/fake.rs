//! Workspaces in memory: the same promises, without git, files or processes.
//!
//! A commit is a map of paths to texts. Tests play the agent (`write`, `commit`) and the rest of the world
//! (`add_repo`, `origin_commit`). It passes the same conformance suite as the real thing; it does not know
//! submodules, nested repositories, stashes or anything else of git that the trait does not speak of.

use crate::{
    Checkouts, Conflict, Diff, Exact, ExactReady, Expected, FileChange, Identity, Kept, Label, Leftovers, Listed,
    Predecessor, Prepare, Push, PushSource, Pushed, Ready, Reclaim, RestoreInto, Restored, Snapshot, Start, Status,
    WorkspaceError,
};
use async_trait::async_trait;
use orcha_base::{BranchName, RepoUrl, Sha, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Paths and what stands in them.
pub type Files = BTreeMap<String, String>;

/// Workspaces in memory.
#[derive(Debug, Default)]
pub struct FakeCheckouts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    repos: BTreeMap<String, Origin>,
    commits: BTreeMap<Sha, Commit>,
    workspaces: BTreeMap<Label, Workspace>,
    exacts: BTreeMap<Label, (RepoUrl, Sha)>,
    faults: VecDeque<WorkspaceError>,
}

#[derive(Debug)]
struct Origin {
    default: BranchName,
    branches: BTreeMap<BranchName, Sha>,
}

#[derive(Clone, Debug)]
struct Commit {
    parents: Vec<Sha>,
    files: Files,
}

#[derive(Debug)]
struct Workspace {
    repo: RepoUrl,
    branch: BranchName,
    ready: Ready,
    head: Sha,
    files: Files,
    present: bool,
    locked: bool,
    snapshots: Vec<Snapshot>,
}

impl FakeCheckouts {
    /// Makes an empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an origin whose default branch has one commit with these files.
    pub fn add_repo(&self, repo: &RepoUrl, default: &BranchName, files: &[(&str, &str)]) -> Sha {
        let mut state = self.state();
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let first = state.commit(Vec::new(), files, &format!("first commit of {repo}"));
        let branches = BTreeMap::from([(default.clone(), first.clone())]);
        state.repos.insert(repo.to_string(), Origin { default: default.clone(), branches });
        first
    }

    /// Lets somebody else commit to a branch of an origin; a new branch starts at the default one.
    ///
    /// # Panics
    /// If there is no such origin: the test is wrong.
    pub fn origin_commit(&self, repo: &RepoUrl, branch: &BranchName, path: &str, text: &str) -> Sha {
        let mut state = self.state();
        let origin = state.repos.get(repo.as_str()).unwrap_or_else(|| panic!("no repository {repo}"));
        let at = origin.branches.get(branch).or_else(|| origin.branches.get(&origin.default)).cloned();
        let mut files = at.as_ref().map(|at| state.commits[at].files.clone()).unwrap_or_default();
        files.insert(path.to_owned(), text.to_owned());
        let sha = state.commit(at.into_iter().collect(), files, &format!("somebody changed {path}"));
        state.set_branch(repo, branch, &sha);
        sha
    }

    /// Returns where a branch of an origin is.
    pub fn origin_branch(&self, repo: &RepoUrl, branch: &BranchName) -> Option<Sha> {
        self.state().repos.get(repo.as_str())?.branches.get(branch).cloned()
    }

    /// Changes a file of a checkout, or removes it.
    ///
    /// # Panics
    /// If there is no such checkout: the test is wrong.
    pub fn write(&self, workspace: &Label, path: &str, text: Option<&str>) {
        let mut state = self.state();
        let files = &mut state.known(workspace).files;
        match text {
            Some(text) => files.insert(path.to_owned(), text.to_owned()),
            None => files.remove(path),
        };
    }

    /// Commits everything in a checkout, as its agent would.
    ///
    /// # Panics
    /// If there is no such checkout: the test is wrong.
    pub fn commit(&self, workspace: &Label, message: &str) -> Sha {
        let mut state = self.state();
        let it = state.known(workspace);
        let (head, files) = (it.head.clone(), it.files.clone());
        let sha = state.commit(vec![head], files, message);
        state.known(workspace).head = sha.clone();
        sha
    }

    /// Returns the files of a checkout.
    ///
    /// # Panics
    /// If there is no such checkout: the test is wrong.
    pub fn files(&self, workspace: &Label) -> Files {
        self.state().known(workspace).files.clone()
    }

    /// Lets the next call fail; several of these queue up.
    pub fn fail_next(&self, error: WorkspaceError) {
        self.state().faults.push_back(error);
    }

    /// Makes reclaim keep a checkout, as if a repository lay inside it.
    ///
    /// # Panics
    /// If there is no such checkout: the test is wrong.
    pub fn keep(&self, workspace: &Label) {
        self.state().known(workspace).locked = true;
    }

    /// Returns the files of an exact checkout, if it is there.
    pub fn exact_files(&self, key: &Label) -> Option<Files> {
        let state = self.state();
        let (_, commit) = state.exacts.get(key)?;
        Some(state.commits[commit].files.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, WorkspaceError> {
        let mut state = self.state();
        match state.faults.pop_front() {
            Some(fault) => Err(fault),
            None => Ok(state),
        }
    }
}

impl State {
    fn known(&mut self, workspace: &Label) -> &mut Workspace {
        self.workspaces.get_mut(workspace).unwrap_or_else(|| panic!("no workspace {workspace}"))
    }

    fn present(&mut self, workspace: &Label) -> Result<&mut Workspace, WorkspaceError> {
        let absent = || WorkspaceError::Absent { workspace: workspace.clone() };
        self.workspaces.get_mut(workspace).filter(|it| it.present).ok_or_else(absent)
    }

    fn commit(&mut self, parents: Vec<Sha>, files: Files, message: &str) -> Sha {
        let digest = Sha256::digest(format!("{parents:?}{files:?}{message}").as_bytes());
        let mut hex = String::new();
        for byte in &digest[..20] {
            // Writing to a string cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
        }
        let sha: Sha = hex.parse().unwrap_or_else(|_| panic!("{hex} is no sha"));
        self.commits.insert(sha.clone(), Commit { parents, files });
        sha
    }

    fn set_branch(&mut self, repo: &RepoUrl, branch: &BranchName, to: &Sha) {
        if let Some(origin) = self.repos.get_mut(repo.as_str()) {
            origin.branches.insert(branch.clone(), to.clone());
        }
    }

    fn ancestors(&self, of: &Sha) -> BTreeSet<Sha> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![of.clone()]);
        while let Some(it) = open.pop() {
            if let Some(commit) = self.commits.get(&it)
                && seen.insert(it)
            {
                open.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    fn common_ancestor(&self, a: &Sha, b: &Sha) -> Option<Sha> {
        let (a, b) = (self.ancestors(a), self.ancestors(b));
        let common: Vec<&Sha> = a.intersection(&b).collect();
        let newest = |it: &&&Sha| common.iter().all(|other| other == *it || !self.ancestors(other).contains(**it));
        common.iter().find(newest).map(|it| (**it).clone())
    }

    fn origin(&self, repo: &RepoUrl) -> Result<&Origin, WorkspaceError> {
        let unreachable = || WorkspaceError::Unreachable {
            repo: repo.clone(),
            source: orcha_exec::git::GitError::Failed {
                step: "ls-remote",
                status: orcha_exec::ExitStatus::Code(128),
                complaint: "no such repository".to_owned(),
            },
        };
        self.repos.get(repo.as_str()).ok_or_else(unreachable)
    }

    fn branch_or_missing(&self, repo: &RepoUrl, branch: &BranchName) -> Result<Sha, WorkspaceError> {
        let origin = self.origin(repo)?;
        origin.branches.get(branch).cloned().ok_or_else(|| WorkspaceError::MissingBase {
            repo: repo.clone(),
            wanted: branch.to_string(),
            exist: origin.branches.keys().take(10).map(ToString::to_string).collect(),
        })
    }

    fn merge_all(&mut self, prepare: &Prepare, mut head: Sha, rest: &[Predecessor]) -> (Sha, Option<Conflict>) {
        for (at, it) in rest.iter().enumerate() {
            if self.ancestors(&head).contains(&it.head) {
                continue;
            }
            if self.ancestors(&it.head).contains(&head) {
                head = it.head.clone();
                continue;
            }
            let base =
                self.common_ancestor(&head, &it.head).map(|it| self.commits[&it].files.clone()).unwrap_or_default();
            let (ours, theirs) = (self.commits[&head].files.clone(), self.commits[&it.head].files.clone());
            let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let (mut merged, mut clash) = (Files::new(), Vec::new());
            for path in paths {
                let (old, a, b) = (base.get(path), ours.get(path), theirs.get(path));
                let chosen = if a == b || b == old { a } else { b };
                if a != b && a != old && b != old {
                    clash.push(path.clone());
                } else if let Some(text) = chosen {
                    merged.insert(path.clone(), text.clone());
                }
            }
            if !clash.is_empty() {
                let (with, name) = (it.clone(), format!("predecessor/{}", it.workspace));
                return (head, Some(Conflict { with, name, files: clash, left: rest[at + 1..].to_vec() }));
            }
            let message = format!("Merge branch '{}' into {}", it.branch, prepare.branch);
            head = self.commit(vec![head, it.head.clone()], merged, &message);
        }
        (head, None)
    }

    fn snapshot(&mut self, workspace: &Label, why: &str) -> Result<Snapshot, WorkspaceError> {
        let it = self.present(workspace)?;
        let (head, files) = (it.head.clone(), it.files.clone());
        if let Some(last) = it.snapshots.last().cloned()
            && last.head == head
            && self.commits[&last.sha].files == files
        {
            return Ok(last);
        }
        let number = self.known(workspace).snapshots.last().map_or(1, |last| last.number + 1);
        let sha = self.commit(vec![head.clone()], files, &format!("{why} {number}"));
        let name = format!("refs/orcha/snapshots/{workspace}/{number}");
        let snapshot = Snapshot { number, name, sha, head, why: why.to_owned(), at: Timestamp::EPOCH };
        self.known(workspace).snapshots.push(snapshot.clone());
        Ok(snapshot)
    }

    fn differing(&self, base: &Files, files: &Files) -> Vec<FileChange> {
        let paths: BTreeSet<&String> = base.keys().chain(files.keys()).collect();
        let differs = |path: &&&String| base.get(**path) != files.get(**path);
        let lines = |files: &Files, path: &str| {
            files.get(path).map_or(0, |text| u32::try_from(text.lines().count()).unwrap_or(0))
        };
        let change = |path: &String| FileChange {
            path: path.clone(),
            from: None,
            lines: Some((lines(files, path), lines(base, path))),
        };
        paths.iter().filter(differs).map(|path| change(path)).collect()
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[async_trait]
impl Checkouts for FakeCheckouts {
    async fn prepare(&self, prepare: &Prepare) -> Result<Ready, WorkspaceError> {
        let mut state = self.call()?;
        let workspace = &prepare.workspace;
        if let Some(it) = state.workspaces.get(workspace).filter(|it| it.present) {
            if it.repo == prepare.repo && it.branch == prepare.branch {
                return Ok(it.ready.clone());
            }
            let (repo, branch) = (it.repo.clone(), it.branch.clone());
            return Err(WorkspaceError::Taken { workspace: workspace.clone(), repo, branch });
        }
        let origin = state.origin(&prepare.repo)?;
        let base_branch = prepare.base.clone().unwrap_or_else(|| origin.default.clone());
        let base_sha = state.branch_or_missing(&prepare.repo, &base_branch)?;
        let (head, conflict) = match &prepare.start {
            Start::Fresh => (base_sha.clone(), None),
            Start::PrBranch => (state.branch_or_missing(&prepare.repo, &prepare.branch)?, None),
            Start::Continue(predecessors) => {
                if let Some(lost) = predecessors.iter().find(|it| !state.commits.contains_key(&it.head)) {
                    return Err(WorkspaceError::MissingPredecessor {
                        workspace: lost.workspace.clone(),
                        head: lost.head.clone(),
                        repo: prepare.repo.clone(),
                    });
                }
                match predecessors.split_first() {
                    None => (base_sha.clone(), None),
                    Some((first, rest)) => state.merge_all(prepare, first.head.clone(), rest),
                }
            }
        };
        let dir = PathBuf::from("/fake/checkouts").join(workspace.as_str());
        let ready = Ready { dir, base_branch, base_sha, head_sha: head.clone(), conflict };
        let snapshots = state.workspaces.remove(workspace).map(|it| it.snapshots).unwrap_or_default();
        let files = state.commits[&head].files.clone();
        let (repo, branch) = (prepare.repo.clone(), prepare.branch.clone());
        let made =
            Workspace { repo, branch, ready: ready.clone(), head, files, present: true, locked: false, snapshots };
        state.workspaces.insert(workspace.clone(), made);
        Ok(ready)
    }

    async fn status(&self, workspace: &Label) -> Result<Status, WorkspaceError> {
        let mut state = self.call()?;
        let it = state.present(workspace)?;
        let (head, branch, base, files) =
            (it.head.clone(), it.branch.clone(), it.ready.base_sha.clone(), it.files.clone());
        let committed = &state.commits[&head].files;
        let untracked = files.keys().filter(|path| !committed.contains_key(*path)).count();
        let changed = state.differing(committed, &files).len() - untracked;
        let ahead = state.ancestors(&head).difference(&state.ancestors(&base)).count();
        Ok(Status {
            head,
            branch: Some(branch),
            ahead: count(ahead),
            changed: count(changed),
            untracked: count(untracked),
            unfinished: None,
        })
    }

    async fn snapshot(&self, workspace: &Label, why: &str) -> Result<Snapshot, WorkspaceError> {
        self.call()?.snapshot(workspace, why)
    }

    async fn snapshots(&self, workspace: &Label) -> Result<Vec<Snapshot>, WorkspaceError> {
        Ok(self.call()?.workspaces.get(workspace).map(|it| it.snapshots.clone()).unwrap_or_default())
    }

    async fn commit_leftovers(
        &self,
        workspace: &Label,
        message: &str,
        _identity: &Identity,
    ) -> Result<Leftovers, WorkspaceError> {
        let mut state = self.call()?;
        let it = state.present(workspace)?;
        let (head, files) = (it.head.clone(), it.files.clone());
        if state.commits[&head].files == files {
            return Ok(Leftovers { head, committed: false });
        }
        let head = state.commit(vec![head], files, message);
        state.known(workspace).head = head.clone();
        Ok(Leftovers { head, committed: true })
    }

    async fn push(&self, push: &Push) -> Result<Pushed, WorkspaceError> {
        let mut state = self.call()?;
        let sha = match &push.source {
            PushSource::Workspace(workspace) => state.present(workspace)?.head.clone(),
            PushSource::Commit(sha) => sha.clone(),
        };
        if !state.commits.contains_key(&sha) {
            return Err(WorkspaceError::MissingCommit { sha, repo: push.repo.clone() });
        }
        let actual = state.origin(&push.repo)?.branches.get(&push.branch).cloned();
        if actual.as_ref() == Some(&sha) {
            return Ok(Pushed { sha, already: true });
        }
        match (&push.expected, actual) {
            (Expected::New, None) => {}
            (Expected::At(old), Some(actual)) if *old == actual => {
                if !push.force && !state.ancestors(&sha).contains(old) {
                    let (branch, old) = (push.branch.clone(), old.clone());
                    return Err(WorkspaceError::NotFastForward { branch, old, sha });
                }
            }
            (Expected::New | Expected::At(_), actual) => {
                return Err(WorkspaceError::RemoteMoved { branch: push.branch.clone(), actual });
            }
        }
        state.set_branch(&push.repo, &push.branch, &sha);
        Ok(Pushed { sha, already: false })
    }

    async fn diff(&self, workspace: &Label, base: Option<&Sha>, patch_cap: usize) -> Result<Diff, WorkspaceError> {
        let mut state = self.call()?;
        let it = state.present(workspace)?;
        let (head, files, repo) = (it.head.clone(), it.files.clone(), it.repo.clone());
        let base = base.unwrap_or(&it.ready.base_sha).clone();
        if !state.commits.contains_key(&base) {
            return Err(WorkspaceError::MissingCommit { sha: base, repo });
        }
        let base = state.common_ancestor(&base, &head).unwrap_or(base);
        let changes = state.differing(&state.commits[&base].files, &files);
        let mut patch = String::new();
        for change in &changes {
            let text = files.get(&change.path).map_or("", String::as_str);
            patch.push_str(&format!("+++ {}\n{text}\n", change.path));
        }
        let truncated = patch.len() > patch_cap;
        if truncated {
            let end = (0..=patch_cap).rev().find(|at| patch.is_char_boundary(*at)).unwrap_or(0);
            patch.truncate(end);
            patch.truncate(patch.rfind('\n').map_or(0, |at| at + 1));
        }
        let commits = count(state.ancestors(&head).difference(&state.ancestors(&base)).count());
        Ok(Diff { base, head, commits, files: changes, patch, truncated })
    }

    async fn changes(&self, workspace: &Label) -> Result<Vec<FileChange>, WorkspaceError> {
        let made = self.call()?.present(workspace)?.ready.head_sha.clone();
        Ok(self.diff(workspace, Some(&made), 0).await?.files)
    }

    async fn restore(&self, workspace: &Label, number: u32, into: &RestoreInto) -> Result<Restored, WorkspaceError> {
        let mut state = self.call()?;
        let missing = || WorkspaceError::MissingSnapshot { workspace: workspace.clone(), number };
        let it = state.workspaces.get(workspace).ok_or_else(missing)?;
        let snapshot = it.snapshots.iter().find(|it| it.number == number).cloned().ok_or_else(missing)?;
        let (dir, present) = (it.ready.dir.clone(), it.present);
        if let RestoreInto::Folder(dir) = into {
            return Ok(Restored { dir: dir.clone(), head: snapshot.head, before: None });
        }
        let before = if present {
            Some(state.snapshot(workspace, &format!("before snapshot {number} is restored"))?)
        } else {
            None
        };
        let files = state.commits[&snapshot.sha].files.clone();
        let it = state.known(workspace);
        (it.head, it.files, it.present) = (snapshot.head.clone(), files, true);
        Ok(Restored { dir, head: snapshot.head, before })
    }

    async fn reclaim(&self, workspace: &Label) -> Result<Reclaim, WorkspaceError> {
        let mut state = self.call()?;
        match state.workspaces.get(workspace) {
            None => return Ok(Reclaim::Reclaimed(None)),
            Some(it) if !it.present => return Ok(Reclaim::Reclaimed(None)),
            Some(it) if it.locked => {
                return Ok(Reclaim::Kept(Kept::NestedRepositories(vec!["nested/".to_owned()])));
            }
            Some(_) => {}
        }
        let snapshot = state.snapshot(workspace, "before the checkout is deleted")?;
        state.known(workspace).present = false;
        Ok(Reclaim::Reclaimed(Some(snapshot)))
    }

    async fn exact(&self, exact: &Exact) -> Result<ExactReady, WorkspaceError> {
        let mut state = self.call()?;
        let Exact { key, repo, from: _, commit } = exact;
        let dir = PathBuf::from(format!("/fake/exact/{key}"));
        let fresh = match state.exacts.get(key) {
            Some((of, at)) if of == repo && at == commit => false,
            Some((_, at)) => return Err(WorkspaceError::ExactTaken { key: key.clone(), commit: at.clone() }),
            None => true,
        };
        if !state.commits.contains_key(commit) {
            return Err(WorkspaceError::MissingCommit { sha: commit.clone(), repo: repo.clone() });
        }
        state.exacts.insert(key.clone(), (repo.clone(), commit.clone()));
        Ok(ExactReady { dir, commit: commit.clone(), tree: commit.clone(), fresh })
    }

    async fn discard_exact(&self, key: &Label) -> Result<(), WorkspaceError> {
        self.call()?.exacts.remove(key);
        Ok(())
    }

    async fn list_exact(&self) -> Result<Vec<Label>, WorkspaceError> {
        Ok(self.call()?.exacts.keys().cloned().collect())
    }

    async fn list(&self) -> Result<Vec<Listed>, WorkspaceError> {
        let state = self.call()?;
        let listed = |(workspace, it): (&Label, &Workspace)| Listed {
            workspace: workspace.clone(),
            repo: it.repo.clone(),
            branch: it.branch.clone(),
            dir: it.ready.dir.clone(),
            present: it.present,
        };
        Ok(state.workspaces.iter().map(listed).collect())
    }

    async fn disk(&self, workspace: &Label) -> Result<u64, WorkspaceError> {
        let mut state = self.call()?;
        Ok(state.present(workspace)?.files.values().map(|text| text.len() as u64).sum())
    }
}
