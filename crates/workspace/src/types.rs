//! The words of this room: what is asked of workspaces and what they answer.
//!
//! Plain data, shared by the real thing and the fake. No behaviour beyond checking a label.

use crate::WorkspaceError;
use orcha_base::{BranchName, RepoUrl, Sha, Timestamp};
use orcha_exec::git::Identity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The name of one workspace: of its folder and of its refs. The caller makes it unique, also across
/// repositories.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Takes a label of letters, digits, `-` and `_`, at most 100 of them and not starting with `-`.
    pub fn new(text: &str) -> Result<Self, WorkspaceError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !text.is_empty() && text.len() <= 100 && text.bytes().all(plain) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(WorkspaceError::Label { text: text.chars().take(120).collect() })
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Label {
    type Error = WorkspaceError;
    fn try_from(text: String) -> Result<Self, WorkspaceError> {
        Self::new(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

/// A checkout that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// Its name.
    pub workspace: Label,
    /// Where it comes from and goes to.
    pub repo: RepoUrl,
    /// The branch that the work is meant for; the origin's default branch without one.
    pub base: Option<BranchName>,
    /// The branch that is checked out.
    pub branch: BranchName,
    /// Where that branch starts.
    pub start: Start,
    /// Who the checkout commits as.
    pub identity: Identity,
}

/// Where the branch of a new checkout starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the tip of the base branch.
    Fresh,
    /// At the last commit of a predecessor; the work of further ones is merged, in this order.
    Continue(Vec<Predecessor>),
    /// Where the origin has this very branch now: somebody's pull request is worked on.
    PrBranch,
}

/// Finished work of another workspace on the same repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Whose work.
    pub workspace: Label,
    /// The branch it was done on, for the message of the merge.
    pub branch: BranchName,
    /// Its last commit.
    pub head: Sha,
}

/// A checkout that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Where it is.
    pub dir: PathBuf,
    /// The branch that the work is meant for.
    pub base_branch: BranchName,
    /// The tip of that branch at the origin, when the checkout was made.
    pub base_sha: Sha,
    /// The commit that the checkout began with.
    pub head_sha: Sha,
    /// A predecessor whose work could not be merged: the first task of whoever works here.
    pub conflict: Option<Conflict>,
}

/// A merge that a person or an agent has to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What could not be merged.
    pub with: Predecessor,
    /// The name under which the checkout knows it: `git merge <name>`.
    pub name: String,
    /// The files that both sides changed.
    pub files: Vec<String>,
    /// Predecessors after it, not merged either.
    pub left: Vec<Predecessor>,
}

/// What a checkout looks like now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its current commit.
    pub head: Sha,
    /// Its current branch; none on a detached head, or when the name is not one that we use.
    pub branch: Option<BranchName>,
    /// How many commits it has beyond the base.
    pub ahead: u32,
    /// How many tracked files are changed, removed or staged.
    pub changed: u32,
    /// How many files are untracked and not ignored.
    pub untracked: u32,
    /// What was begun and not ended.
    pub unfinished: Option<Operation>,
}

impl Status {
    /// Tells whether there is anything that no commit of the checkout holds.
    pub fn dirty(&self) -> bool {
        self.changed > 0 || self.untracked > 0
    }
}

/// Something that git was told to do and that waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A merge whose conflicts are resolved or never were; it only lacks its commit.
    Merge,
    /// A merge, or anything like one, with open conflicts.
    Conflicts,
    /// A rebase.
    Rebase,
    /// A branch that has no commit yet.
    Unborn,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "a merge",
            Self::Conflicts => "a merge with conflicts",
            Self::Rebase => "a rebase",
            Self::Unborn => "a branch without a commit",
        })
    }
}

/// The whole work tree of a checkout at one instant, kept by a hidden ref of the mirror.
///
/// Its commit has the files as its tree, the head of that instant as its first parent, and everything else
/// that only the checkout knew (other branches, the stash) as further parents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Counts the snapshots of one workspace from 1.
    pub number: u32,
    /// The full name of the ref.
    pub name: String,
    /// The commit of the snapshot.
    pub sha: Sha,
    /// The head of the checkout at that instant.
    pub head: Sha,
    /// Why it was taken.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// What became of work that was not committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// The head of the checkout now.
    pub head: Sha,
    /// Whether there was something to commit.
    pub committed: bool,
}

/// A clean folder at an exact commit that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exact {
    /// Its name; the caller makes it unique. What is in it is nobody's work and is deleted when asked.
    pub key: Label,
    /// The origin that the commit belongs to.
    pub repo: RepoUrl,
    /// The workspace that has the commit, if it may not be known here yet.
    pub from: Option<Label>,
    /// The commit: a head, a snapshot, or any other.
    pub commit: Sha,
}

/// A clean folder at an exact commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactReady {
    /// Where it is.
    pub dir: PathBuf,
    /// Its commit.
    pub commit: Sha,
    /// The tree of that commit.
    pub tree: Sha,
    /// Whether this very call made it. If not, somebody may have worked in it since.
    pub fresh: bool,
}

/// A branch of the origin that should be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The origin.
    pub repo: RepoUrl,
    /// What to push.
    pub source: PushSource,
    /// The branch at the origin.
    pub branch: BranchName,
    /// Where the branch must be for the push to happen.
    pub expected: Expected,
    /// Whether commits of the branch may be dropped. The lease on `expected` holds all the same.
    pub force: bool,
}

/// What is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushSource {
    /// The current head of a workspace.
    Workspace(Label),
    /// A commit that is known already: the head of an earlier status, snapshot or push.
    Commit(Sha),
}

/// Where a branch of the origin is believed to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Nowhere: the push creates it.
    New,
    /// At this commit.
    At(Sha),
}

/// A branch of the origin that is where it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The commit.
    pub sha: Sha,
    /// Whether it was there before.
    pub already: bool,
}

/// What a checkout holds beyond a base: committed, changed and untracked files together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The commit that is compared with: where the work left the base.
    pub base: Sha,
    /// The head of the checkout.
    pub head: Sha,
    /// How many commits lie between.
    pub commits: u32,
    /// The files that differ.
    pub files: Vec<FileChange>,
    /// The patch, cut at the end of a line when it is longer than asked for.
    pub patch: String,
    /// Whether the patch was cut.
    pub truncated: bool,
}

impl Diff {
    /// Tells whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path now, or the last one if it is gone.
    pub path: String,
    /// Its path before, if it was renamed.
    pub from: Option<String>,
    /// Lines added and removed; none for a binary file.
    pub lines: Option<(u32, u32)>,
}

/// Where a snapshot is brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreInto {
    /// The workspace itself, after a snapshot of what is there now; made anew if it was reclaimed.
    Workspace,
    /// A new folder, which must not exist; it is an ordinary checkout that nobody here looks after.
    Folder(PathBuf),
}

/// A snapshot that was brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Where it is.
    pub dir: PathBuf,
    /// Its head.
    pub head: Sha,
    /// What was there before.
    pub before: Option<Snapshot>,
}

/// What became of a checkout that is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reclaim {
    /// It is gone; the snapshot holds all of it. None if it was gone before.
    Reclaimed(Option<Snapshot>),
    /// It stays.
    Kept(Kept),
}

/// Why a checkout is not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Repositories lie inside it whose commits nobody else may have.
    NestedRepositories(Vec<String>),
    /// Submodules were set up in it, and may hold commits of their own.
    Submodules,
    /// Other work trees hang on its repository.
    LinkedWorktrees,
    /// Files in it cannot be kept: unreadable, or of a name that git never takes.
    Unkeepable(Vec<String>),
    /// It changed while it was looked at: somebody is at work.
    Changing,
    /// It is not what was made: its `.git` was replaced.
    Foreign(String),
    /// Somebody else's folder: nothing is recorded of it.
    Unknown,
    /// A commit in it is in no snapshot.
    Unproven(Vec<String>),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NestedRepositories(paths) => write!(f, "repositories lie inside it: {}", paths.join(", ")),
            Self::Submodules => f.write_str("submodules in it may hold commits of their own"),
            Self::LinkedWorktrees => f.write_str("other work trees hang on its repository"),
            Self::Unkeepable(paths) => write!(f, "files in it cannot be kept: {}", some_of(paths)),
            Self::Changing => f.write_str("it changed while it was looked at"),
            Self::Foreign(what) => write!(f, "it is not what was made: {what}"),
            Self::Unknown => f.write_str("nothing is recorded of it"),
            Self::Unproven(refs) => write!(f, "no snapshot holds {}", refs.join(", ")),
        }
    }
}

fn some_of(paths: &[String]) -> String {
    let shown = paths.iter().take(5).map(|path| format!("{path:?}")).collect::<Vec<_>>().join(", ");
    if paths.len() > 5 { format!("{shown} and {} more", paths.len() - 5) } else { shown }
}

/// One workspace that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub workspace: Label,
    /// Its origin.
    pub repo: RepoUrl,
    /// Its branch.
    pub branch: BranchName,
    /// Where it is or was.
    pub dir: PathBuf,
    /// Whether the checkout is on disk.
    pub present: bool,
}
