//! Floor 2: where the work lies. Mirror cache, checkouts, snapshots, reclaim.
//!
//! ```text
//! <work_root>/
//!   checkouts/<label>/            the checkout of one workspace: the only place agents write to
//!   .orcha/
//!     mirrors/<name>-<hash>.git   one bare repository per origin, ours alone; checkouts borrow its objects
//!       refs/remotes/origin/*       what the origin has, as of the last fetch
//!       refs/orcha/ws/<label>/*     what a checkout has, as of the last look at it
//!       refs/orcha/snapshots/<label>/<n>   its whole work tree, kept for ever
//!     workspaces/<label>/         record and index of ours for one workspace
//!     making/ trash/ kept/        half-made, half-deleted, and found where nothing should be
//! ```
//!
//! Agents own their checkout, its configuration included, so nothing here runs git *in* it. Commits are
//! fetched from it into the mirror; its files are read through the mirror's git directory and an index of
//! ours. Filters, hooks, monitors and diff programs that a checkout names are therefore never started.
//! The price: files that only make sense through a filter (git-lfs) are treated as the bytes they are.
//!
//! *Work* is what is on a branch, stashed, changed or untracked; of a file that was staged and changed again
//! the newest state counts. Files that the ignore rules name are not work, unless they were added by force:
//! no snapshot holds them and reclaim does not ask for them. Nor are commits that only a reflog still knows.
//!
//! Files are touched through the host's own small programs (`find`, `mv`, `rm`, `flock`), so that a host
//! may be another machine. This room knows nothing of sessions, pull requests or objectives.

mod capture;
mod checkout;
mod checkouts;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod files;
mod mirror;
mod push;
mod reclaim;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;
mod types;
mod workspaces;

pub use checkouts::Checkouts;
pub use error::WorkspaceError;
pub use orcha_exec::git::Identity;
pub use types::{
    Conflict, Diff, Expected, FileChange, Kept, Label, Leftovers, Listed, Operation, Predecessor, Prepare, Push,
    PushSource, Pushed, Ready, Reclaim, RestoreInto, Restored, Snapshot, Start, Status,
};
pub use workspaces::Workspaces;
