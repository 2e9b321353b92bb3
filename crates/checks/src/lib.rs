//! Floor 2: the checks of a project: which there are, what they say, and receipts of it.
//!
//! A plan comes from whoever asks, from the project's own `.orcha/checks.toml`, or from what its folder shows.
//! The commands run as runs of `exec`, so that they outlive the daemon and end with everything that they
//! start. A receipt says how a command ended; nothing here believes a model, and an empty list is never a
//! pass. A script that does nothing (`"test": "exit 0"`) is hollow: it is named, not run. This room knows
//! nothing of commits, sessions or workflows; the caller hands in a clean folder.

mod asked;
mod checker;
mod checks;
mod detect;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod follow;
mod plan;
mod reading;
mod report;
mod tree;

pub use asked::{Asked, Command, PlanError, read_asked};
pub use checker::{Checker, Order};
pub use checks::{Checks, Settings, round_of};
pub use detect::tests_taken_away;
pub use error::ChecksError;
pub use plan::{Check, Hollow, Kind, Line, Plan, Source};
pub use report::{Outcome, Receipt, Report, Tests, Verdict};
