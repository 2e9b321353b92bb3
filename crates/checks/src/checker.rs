//! The trait that `orch` uses: checks, real or fake.

use crate::{Asked, ChecksError, Plan, Report};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Checks that should be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The name of this very round: letters, digits, `-` and `_`, at most 60. The same key is never run twice.
    pub key: String,
    /// The clean folder to run in.
    pub dir: PathBuf,
    /// What to run.
    pub plan: Plan,
}

/// Whoever runs checks on one target. Every call may be repeated, and may be cut off at any instant.
#[async_trait]
pub trait Checker: Send + Sync + fmt::Debug {
    /// Says which checks a folder has. What is asked for counts first, then the project's own list, then what
    /// its files show. With a `base` (a folder as it was before the change) the list is read there, and what
    /// the change took away or hollowed out is named.
    async fn plan(&self, dir: &Path, base: Option<&Path>, asked: &[Asked]) -> Result<Plan, ChecksError>;

    /// Runs checks one after the other and returns their receipts. A round that is under way is waited for,
    /// also by a daemon that did not start it; one that is over is read again.
    async fn run(&self, order: &Order) -> Result<Report, ChecksError>;

    /// Ends what a round still runs and forgets it. For when its report is stored, or nobody wants it any more.
    async fn end(&self, key: &str) -> Result<(), ChecksError>;
}
