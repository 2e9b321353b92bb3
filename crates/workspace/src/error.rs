//! What can go wrong with a workspace, and whether to try again.

use crate::{Label, Operation};
use orcha_base::{BranchName, RepoUrl, Retry, Sha};
use orcha_exec::git::GitError;
use orcha_exec::{CommandError, ExitStatus};
use std::path::PathBuf;

/// A workspace operation that did not happen. Nothing was lost by it.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The label is not one.
    #[error("`{text}` is not a workspace label: letters, digits, `-` and `_` only")]
    Label {
        /// The text.
        text: String,
    },
    /// The origin does not answer.
    #[error("the origin {repo} does not answer")]
    Unreachable {
        /// The origin.
        repo: RepoUrl,
        /// What git said.
        #[source]
        source: GitError,
    },
    /// The origin has no branch to start from.
    #[error("{repo} has no branch `{wanted}`; {}", list_of(.exist))]
    MissingBase {
        /// The origin.
        repo: RepoUrl,
        /// The branch that was asked for, or the one its `HEAD` names.
        wanted: String,
        /// Some that it has.
        exist: Vec<String>,
    },
    /// A predecessor's commit is nowhere to be found.
    #[error("the work of workspace `{workspace}` ({}) is not in the mirror of {repo}", .head.short())]
    MissingPredecessor {
        /// The predecessor.
        workspace: Label,
        /// Its commit.
        head: Sha,
        /// The origin of the new checkout.
        repo: RepoUrl,
    },
    /// The name is taken by a workspace on something else.
    #[error("workspace `{workspace}` exists already, on branch `{branch}` of {repo}")]
    Taken {
        /// The name.
        workspace: Label,
        /// What it is.
        repo: RepoUrl,
        /// Its branch.
        branch: BranchName,
    },
    /// The name is taken by an exact checkout of something else.
    #[error("the exact checkout `{key}` exists already, at {}", .commit.short())]
    ExactTaken {
        /// The name.
        key: Label,
        /// Where it is.
        commit: Sha,
    },
    /// There is no checkout of that name.
    #[error("workspace `{workspace}` has no checkout here")]
    Absent {
        /// The name.
        workspace: Label,
    },
    /// The checkout's repository was replaced by something else.
    #[error("the checkout of workspace `{workspace}` is not what was made: {what}")]
    Foreign {
        /// The name.
        workspace: Label,
        /// What is wrong with it.
        what: String,
    },
    /// The checkout is in the middle of something that only its owner can end.
    #[error("workspace `{workspace}` is in the middle of {operation}")]
    Unfinished {
        /// The name.
        workspace: Label,
        /// Of what.
        operation: Operation,
    },
    /// Files of the checkout cannot be committed: unreadable, or of a name that git never takes.
    #[error("files of workspace `{workspace}` cannot be committed: {}", .paths.join(", "))]
    Unkeepable {
        /// The name.
        workspace: Label,
        /// Which.
        paths: Vec<String>,
    },
    /// There is no such snapshot.
    #[error("workspace `{workspace}` has no snapshot {number}")]
    MissingSnapshot {
        /// The name.
        workspace: Label,
        /// The number asked for.
        number: u32,
    },
    /// The folder to restore into exists.
    #[error("{} exists already", .dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// The branch at the origin is not where it was believed to be.
    #[error("branch `{branch}` moved at the origin: {}", .actual.as_ref().map_or("it is gone", Sha::as_str))]
    RemoteMoved {
        /// The branch.
        branch: BranchName,
        /// Where it is; none if it does not exist.
        actual: Option<Sha>,
    },
    /// The push would drop commits, and was not told to.
    #[error("pushing {} to `{branch}` would drop commits that are at {}", .sha.short(), .old.short())]
    NotFastForward {
        /// The branch.
        branch: BranchName,
        /// Where it is.
        old: Sha,
        /// What was to be pushed.
        sha: Sha,
    },
    /// The commit to push, or to compare with, is not known here.
    #[error("commit {} is not in the mirror of {repo}", .sha.short())]
    MissingCommit {
        /// The commit.
        sha: Sha,
        /// The origin.
        repo: RepoUrl,
    },
    /// The origin took the connection and refused the push: rights, rules or a hook of its own.
    #[error("the origin refused the push to `{branch}`: {complaint}")]
    Refused {
        /// The branch.
        branch: BranchName,
        /// What it said, for people.
        complaint: String,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file tool did not come to its end.
    #[error("{step}")]
    Tool {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: CommandError,
    },
    /// A file tool ended with a failure.
    #[error("{step} ended with {status}: {complaint}")]
    ToolFailed {
        /// What was being done.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The tail of its standard error, for people.
        complaint: String,
    },
    /// The record of a workspace cannot be read.
    #[error("the record of workspace `{workspace}` cannot be read")]
    Record {
        /// The name.
        workspace: Label,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl WorkspaceError {
    /// Tells whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Label { .. }
            | Self::MissingPredecessor { .. }
            | Self::Taken { .. }
            | Self::ExactTaken { .. }
            | Self::Absent { .. }
            | Self::MissingSnapshot { .. }
            | Self::MissingCommit { .. }
            | Self::NotFastForward { .. }
            | Self::RemoteMoved { .. } => Retry::Never,
            Self::MissingBase { .. }
            | Self::Foreign { .. }
            | Self::Unfinished { .. }
            | Self::Unkeepable { .. }
            | Self::Occupied { .. }
            | Self::Refused { .. }
            | Self::Record { .. } => Retry::AskHuman,
            Self::Unreachable { source, .. } | Self::Git(source) => source.retry(),
            Self::Tool { source, .. } => source.retry(),
            Self::ToolFailed { .. } => Retry::Later,
        }
    }
}

fn list_of(names: &[String]) -> String {
    if names.is_empty() {
        "it is empty: push a first commit to it".to_owned()
    } else {
        format!("it has {}", names.join(", "))
    }
}
