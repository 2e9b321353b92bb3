//! What the wheel asks of whoever runs the checks of a workflow's result.
//!
//! A red check is an answer; only what says nothing about the work is a fault.

use async_trait::async_trait;
use orcha_base::{CheckRunId, RepoUrl, Sha, TargetId};
use orcha_model::check::Receipt;
use orcha_model::contract::CheckCommand;
use orcha_workspace::Label;
use std::collections::BTreeSet;
use std::fmt;
use tokio_util::sync::CancellationToken;

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct CheckWish {
    /// The run; each has a name of its own.
    pub run: CheckRunId,
    /// The repository.
    pub repo: RepoUrl,
    /// Where it lies.
    pub target: TargetId,
    /// The workspace.
    pub workspace: Label,
    /// The exact commit.
    pub sha: Sha,
    /// Where the work left the base.
    pub base: Sha,
    /// The commands that are run besides those that are found in the project.
    pub asked: Vec<CheckCommand>,
    /// Files that the work touched; those that are gone are named in the answer.
    pub look_for: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSaid {
    /// What each command said, in the order in which they ran.
    pub receipts: Vec<Receipt>,
    /// Files of those that were looked for that are gone.
    pub gone: Vec<String>,
    /// Files that were changed so that a check does nothing, with what the check is now.
    pub emptied: Vec<(String, String)>,
}

/// Why nothing can be said about the work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckFault {
    /// It passes by itself.
    #[error("{0}")]
    Passing(String),
    /// Somebody has to mend it.
    #[error("{0}")]
    Lasting(String),
    /// It was called off.
    #[error("it was called off")]
    Canceled,
}

/// Runs checks in a clean checkout of an exact commit. Twice is once: what the first time left is thrown away.
#[async_trait]
pub trait Checker: Send + Sync + fmt::Debug {
    /// Runs all checks.
    async fn check(&self, wish: &CheckWish, cancel: &CancellationToken) -> Result<CheckSaid, CheckFault>;

    /// Ends and deletes whatever is left of a run: what it said is stored, or nobody wants to know.
    async fn forget(&self, run: CheckRunId, target: TargetId) -> Result<(), CheckFault>;

    /// Lists the runs of which something is left on a target.
    async fn left(&self, target: TargetId) -> Result<BTreeSet<CheckRunId>, CheckFault>;
}
