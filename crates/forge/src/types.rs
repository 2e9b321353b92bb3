//! The words of a code host: pull requests, comments, reviews, checks.
//!
//! Plain data and the few rules that every code host shares, such as how single checks make one verdict.

use crate::text::{check_body, check_identity, check_link, check_name, check_title, check_words};
use crate::{ForgeError, Key};
use orcha_base::{BranchName, Sha, Timestamp};
use orcha_exec::git::Identity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The number of a pull request within its repository, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrNumber(pub u64);

impl fmt::Display for PrNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Where a pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrStatus {
    /// Open, and not meant to be merged yet.
    Draft,
    /// Open.
    Open,
    /// Merged: the end.
    Merged,
    /// Closed without a merge; it can be opened again.
    Closed,
}

impl PrStatus {
    /// Tells whether it can still become merged as it is.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Open)
    }
}

impl fmt::Display for PrStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "a draft",
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        })
    }
}

/// What all checks of the head say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checks {
    /// Nothing has reported on this head.
    Unknown,
    /// Some are not finished, none has failed.
    Pending,
    /// All have passed.
    Passing,
    /// At least one has failed.
    Failing,
}

impl Checks {
    /// Sums up the checks of one head. Anything that did not pass counts as failed.
    pub fn of<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Self {
        checks.into_iter().fold(Self::Unknown, |so_far, check| match (so_far, check.state) {
            (Self::Failing, _) | (_, CheckState::Failing | CheckState::Canceled) => Self::Failing,
            (Self::Pending, _) | (_, CheckState::Pending) => Self::Pending,
            (Self::Unknown | Self::Passing, CheckState::Passing) => Self::Passing,
        })
    }
}

/// Where one check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Not finished.
    Pending,
    /// It passed.
    Passing,
    /// It failed.
    Failing,
    /// It was stopped before it could say anything.
    Canceled,
}

/// One check of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, which is its identity within the pull request.
    pub name: String,
    /// The commit that it looked at.
    pub sha: Sha,
    /// Where it stands.
    pub state: CheckState,
    /// Where a person can read more.
    pub url: Option<String>,
    /// When it said so.
    pub at: Timestamp,
}

impl Check {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        check_name("check.name", &self.name)?;
        self.url.as_deref().map_or(Ok(()), |url| check_link("check.url", url))
    }
}

/// What all reviews say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Nobody has judged this head.
    None,
    /// Somebody approved exactly this head, and nobody asks for changes.
    Approved,
    /// Somebody asks for changes and has not taken it back.
    ChangesRequested,
}

impl ReviewState {
    /// Sums up the latest verdict of each reviewer. An approval of an older head does not count; a request for
    /// changes stands until the same reviewer approves.
    pub fn of<'a>(marks: impl IntoIterator<Item = &'a ReviewMark>) -> Self {
        marks.into_iter().fold(Self::None, |so_far, mark| match (so_far, mark.verdict) {
            (Self::ChangesRequested, _) | (_, Verdict::RequestChanges) => Self::ChangesRequested,
            (so_far, Verdict::Approve) => {
                if mark.stale {
                    so_far
                } else {
                    Self::Approved
                }
            }
            (so_far, Verdict::Comment) => so_far,
        })
    }
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Remarks without a judgement.
    Comment,
    /// It may be merged.
    Approve,
    /// It may not be merged like this.
    RequestChanges,
}

/// The latest judgement of one reviewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewMark {
    /// The reviewer.
    pub author: Author,
    /// The judgement.
    pub verdict: Verdict,
    /// The commit that was judged.
    pub sha: Sha,
    /// Whether the head has moved on since.
    pub stale: bool,
    /// When it was given.
    pub at: Timestamp,
}

/// Whether a merge would go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mergeable {
    /// Not known, or not a question any more.
    Unknown,
    /// It would.
    Yes,
    /// Head and base conflict.
    Conflicting,
}

/// A pull request as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pr {
    /// Its number.
    pub number: PrNumber,
    /// Where a person finds it.
    pub url: String,
    /// The key under which we opened it; none if somebody else did.
    pub key: Option<Key>,
    /// Its title.
    pub title: String,
    /// The branch to be merged.
    pub head_branch: BranchName,
    /// The branch that it goes into.
    pub base_branch: BranchName,
    /// The newest commit of the head branch; frozen once merged or closed, kept when the branch is gone.
    pub head_sha: Sha,
    /// Where it stands.
    pub status: PrStatus,
    /// What the checks of this head say together.
    pub checks: Checks,
    /// What the reviews say together.
    pub review: ReviewState,
    /// The commit that the merge left at the tip of the base branch.
    pub merged_sha: Option<Sha>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its record last changed. Commits on its branch do not count.
    pub updated_at: Timestamp,
}

/// A pull request with everything but its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrState {
    /// The row.
    pub pr: Pr,
    /// The description, without our marker.
    pub body: String,
    /// The checks of this head, by name.
    pub check_runs: Vec<Check>,
    /// The latest judgement of each reviewer, by name.
    pub reviews: Vec<ReviewMark>,
    /// Whether a merge would go through.
    pub mergeable: Mergeable,
    /// The files that conflict, a hundred at most.
    pub conflicts: Vec<String>,
}

/// How far a text may be trusted, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Orcha itself, or one of its agents.
    System,
    /// Somebody who may write to the repository.
    Member,
    /// Anybody else.
    Outside,
}

/// Who wrote something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name, as the code host shows it.
    pub name: String,
    /// How far to trust it.
    pub trust: Trust,
}

impl Author {
    /// Names an author.
    pub fn new(name: impl Into<String>, trust: Trust) -> Self {
        Self { name: name.into(), trust }
    }
}

/// The name of a comment within its pull request; stays the same when it is edited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommentId(pub String);

impl fmt::Display for CommentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a comment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommentKind {
    /// The conversation.
    Issue,
    /// A review.
    Review {
        /// Its judgement.
        verdict: Verdict,
        /// The commit that was judged.
        sha: Sha,
    },
    /// A place in a file.
    Inline {
        /// The file, by its path in the repository.
        path: String,
        /// The line, from 1.
        line: u32,
    },
}

/// One revision of one comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Which comment.
    pub id: CommentId,
    /// Counts its edits, from 1.
    pub revision: u32,
    /// Who wrote it.
    pub author: Author,
    /// What it belongs to.
    pub kind: CommentKind,
    /// The text, without our marker.
    pub body: String,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When this revision was written.
    pub updated_at: Timestamp,
    /// The key under which we wrote it. Only our own author's marker counts.
    pub key: Option<Key>,
}

impl Comment {
    /// Tells whether orcha wrote it, so that it need not react to itself.
    pub const fn ours(&self) -> bool {
        self.key.is_some()
    }
}

/// A place in the history of a conversation. Opaque; may be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// The next revisions of comments, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentPage {
    /// The revisions. An edited comment appears again under its id with the next revision.
    pub comments: Vec<Comment>,
    /// Where to go on, now or whenever something has changed.
    pub next: Cursor,
    /// Whether there is more right now.
    pub more: bool,
}

/// A pull request to be opened.
#[derive(Clone, Debug)]
pub struct Open {
    /// What it is done under.
    pub key: Key,
    /// The branch to be merged; it must have been pushed.
    pub head: BranchName,
    /// The branch that it goes into.
    pub base: BranchName,
    /// Its title: one line.
    pub title: String,
    /// Its description.
    pub body: String,
    /// Whether it is not meant to be merged yet.
    pub draft: bool,
    /// When.
    pub at: Timestamp,
}

impl Open {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        check_title(&self.title)?;
        check_body("body", &self.body)?;
        if self.head == self.base {
            return Err(ForgeError::Invalid { field: "head", rule: "head and base are the same branch" });
        }
        Ok(())
    }
}

/// The answer to an open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The pull request: new, or the one that was found under the key or the head branch.
    pub pr: Pr,
    /// Whether this very call opened it.
    pub fresh: bool,
}

/// Which pull requests to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// By where they stand.
    pub which: Which,
    /// Only those of this head branch.
    pub head: Option<BranchName>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl Default for Filter {
    /// The hundred newest open ones.
    fn default() -> Self {
        Self { which: Which::Open, head: None, limit: 100 }
    }
}

/// Pull requests by where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Open ones and drafts.
    Open,
    /// All.
    All,
}

/// Where a comment is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the conversation.
    Conversation,
    /// Beside a line of a file.
    Line {
        /// The file, by its path in the repository.
        path: String,
        /// The line, from 1.
        line: u32,
    },
}

/// A comment to be written.
#[derive(Clone, Debug)]
pub struct Post {
    /// What it is done under.
    pub key: Key,
    /// Who writes. A code host with accounts shows its own account instead.
    pub author: Author,
    /// Where.
    pub place: Place,
    /// The text.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

impl Post {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        check_name("author", &self.author.name)?;
        check_words("body", &self.body)?;
        match &self.place {
            Place::Conversation => Ok(()),
            Place::Line { line: 0, .. } => Err(ForgeError::Invalid { field: "line", rule: "lines count from 1" }),
            Place::Line { path, .. } if path.split('/').any(|it| matches!(it, "" | "." | "..")) => {
                Err(ForgeError::Invalid {
                    field: "path",
                    rule: "must be the path of a file from the repository's top on",
                })
            }
            Place::Line { path, .. } => check_name("path", path),
        }
    }

    pub(crate) fn kind(&self) -> CommentKind {
        match &self.place {
            Place::Conversation => CommentKind::Issue,
            Place::Line { path, line } => CommentKind::Inline { path: path.clone(), line: *line },
        }
    }
}

/// A review to be submitted.
#[derive(Clone, Debug)]
pub struct Review {
    /// What it is done under.
    pub key: Key,
    /// Who judges.
    pub author: Author,
    /// The judgement.
    pub verdict: Verdict,
    /// The commit that was looked at.
    pub sha: Sha,
    /// The reasons; only an approval may be silent.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

impl Review {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        check_name("author", &self.author.name)?;
        match self.verdict {
            Verdict::Approve => check_body("body", &self.body),
            Verdict::Comment | Verdict::RequestChanges => check_words("body", &self.body),
        }
    }
}

/// The answer to a comment or a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The comment: new, or the one that was found under the key.
    pub id: CommentId,
    /// Whether this very call wrote it.
    pub fresh: bool,
}

/// What to change of a pull request; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub body: Option<String>,
    /// Whether it is a draft from now on.
    pub draft: Option<bool>,
    /// When.
    pub at: Timestamp,
}

impl Edit {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        self.title.as_deref().map_or(Ok(()), check_title)?;
        self.body.as_deref().map_or(Ok(()), |body| check_body("body", body))
    }
}

/// How the commits of a pull request come into its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By a merge commit.
    Merge,
    /// As one new commit.
    Squash,
    /// One by one on top of the base.
    Rebase,
}

/// A merge to be made.
#[derive(Clone, Debug)]
pub struct Merge {
    /// How.
    pub method: Method,
    /// The head that was judged; another one is refused.
    pub expected_head: Sha,
    /// Whose name stands in the commits.
    pub identity: Identity,
    /// The message of the merge commit or the squashed one.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

impl Merge {
    pub(crate) fn validate(&self) -> Result<(), ForgeError> {
        check_identity(&self.identity)?;
        check_words("message", &self.message)
    }
}

/// The answer to a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The commit at the tip of the base branch after the merge.
    pub sha: Sha,
    /// The head that was merged.
    pub head: Sha,
    /// Whether this very call merged it.
    pub fresh: bool,
}

/// A cheap summary of a repository: as long as it stays the same, no pull request and no branch has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangesToken(pub String);

/// A folder whose changes tell that [`crate::Forge::changes_token`] is worth asking for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchPoint {
    /// Only what lies directly in it.
    Folder(PathBuf),
    /// Everything below it.
    Tree(PathBuf),
}
