//! Everything that a code host can say no with.

use crate::{CommentId, PrNumber, PrStatus};
use orcha_base::{BranchName, RepoUrl, Retry, Sha};
use orcha_exec::git::GitError;
use std::time::Duration;

/// A call that a code host refused or could not carry out.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// There is no such repository.
    #[error("there is no repository `{repo}`")]
    RepoAbsent {
        /// The repository.
        repo: RepoUrl,
    },
    /// The address does not belong to this kind of code host.
    #[error("`{repo}` is not {expected}")]
    Foreign {
        /// The address.
        repo: RepoUrl,
        /// What this code host can serve.
        expected: &'static str,
    },
    /// The repository has no branch that could be its default.
    #[error("`{repo}` has no default branch yet")]
    NoDefaultBranch {
        /// The repository.
        repo: RepoUrl,
    },
    /// There is no such branch.
    #[error("there is no branch `{branch}`")]
    BranchAbsent {
        /// The branch.
        branch: BranchName,
    },
    /// There is no such pull request.
    #[error("there is no pull request {number} in `{repo}`")]
    PrAbsent {
        /// The repository.
        repo: RepoUrl,
        /// The number that was asked for.
        number: PrNumber,
    },
    /// There is no such comment.
    #[error("pull request {number} has no comment `{id}`")]
    CommentAbsent {
        /// The pull request.
        number: PrNumber,
        /// The comment that was asked for.
        id: CommentId,
    },
    /// A text breaks a rule; nothing was changed.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which argument.
        field: &'static str,
        /// What would be right.
        rule: &'static str,
    },
    /// The head branch has no commit that its base lacks.
    #[error("`{head}` has no commit that `{base}` lacks")]
    NothingToMerge {
        /// The head branch.
        head: BranchName,
        /// The base branch.
        base: BranchName,
    },
    /// Head and base share no history.
    #[error("the head of the pull request and `{base}` share no history")]
    Unrelated {
        /// The base branch.
        base: BranchName,
    },
    /// The pull request is in a state that does not allow this.
    #[error("pull request {number} is {status}")]
    NotNow {
        /// The pull request.
        number: PrNumber,
        /// Its state.
        status: PrStatus,
    },
    /// The head is not the commit that the caller has judged.
    #[error("the head of pull request {number} is {}, not {}", found.short(), expected.short())]
    HeadMoved {
        /// The pull request.
        number: PrNumber,
        /// What the caller expected.
        expected: Sha,
        /// What it is.
        found: Sha,
    },
    /// Head and base changed the same things differently.
    #[error("pull request {number} conflicts with its base in {} files", files.len())]
    Conflict {
        /// The pull request.
        number: PrNumber,
        /// The files, by their paths in the repository; a hundred at most.
        files: Vec<String>,
    },
    /// A rebase would have to replay too many commits.
    #[error("a rebase of {count} commits is refused; at most {limit} are replayed: squash or merge instead")]
    TooManyCommits {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The branch is checked out in a work tree, which a move would leave behind.
    #[error("`{branch}` is checked out in {path}; a merge would pull it away from under that work tree")]
    CheckedOut {
        /// The branch.
        branch: BranchName,
        /// The work tree.
        path: String,
    },
    /// Another open pull request stands in the way.
    #[error("open pull request {by} uses `{branch}`")]
    BranchInUse {
        /// The branch.
        branch: BranchName,
        /// The pull request.
        by: PrNumber,
    },
    /// The branch is the default one, which nobody deletes through a pull request.
    #[error("`{branch}` is the default branch")]
    DefaultBranch {
        /// The branch.
        branch: BranchName,
    },
    /// Other writers were faster, too many times.
    #[error("{step} lost against other writers {attempts} times")]
    Busy {
        /// What was being done.
        step: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// What is stored cannot be read: written by a newer version, or damaged.
    #[error("{what} of pull request {number} cannot be read")]
    Corrupt {
        /// The pull request.
        number: PrNumber,
        /// Which part.
        what: &'static str,
        /// Why, if the reader said.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// Git of a local repository failed, and it is none of the known refusals.
    #[error("git could not do its part")]
    Git {
        /// Which step, and why.
        #[from]
        source: GitError,
    },
    /// The code host cannot be reached or refused to serve; nothing is known of the outcome.
    #[error("{step}: the code host is not available")]
    Unavailable {
        /// What was being done.
        step: &'static str,
    },
    /// The code host did not answer in time; the call may have taken effect.
    #[error("{step}: no answer within {} s", after.as_secs())]
    TimedOut {
        /// What was being done.
        step: &'static str,
        /// The limit.
        after: Duration,
    },
}

impl ForgeError {
    /// A line of a file was named that the pull request does not change.
    pub(crate) fn not_in_pr() -> Self {
        Self::Invalid { field: "path", rule: "must be a file that the pull request changes" }
    }

    /// Tells whether the same call may succeed later. Every call of a [`crate::Forge`] may be repeated.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy { .. } | Self::Unavailable { .. } | Self::TimedOut { .. } => Retry::Later,
            Self::Git { source } => source.retry(),
            Self::RepoAbsent { .. }
            | Self::NoDefaultBranch { .. }
            | Self::Unrelated { .. }
            | Self::Conflict { .. }
            | Self::CheckedOut { .. }
            | Self::TooManyCommits { .. }
            | Self::BranchInUse { .. }
            | Self::Corrupt { .. } => Retry::AskHuman,
            Self::Foreign { .. }
            | Self::BranchAbsent { .. }
            | Self::PrAbsent { .. }
            | Self::CommentAbsent { .. }
            | Self::Invalid { .. }
            | Self::NothingToMerge { .. }
            | Self::DefaultBranch { .. }
            | Self::NotNow { .. }
            | Self::HeadMoved { .. } => Retry::Never,
        }
    }
}
