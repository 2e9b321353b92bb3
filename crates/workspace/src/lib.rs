//! Floor 2: where the work lies. Mirror cache, checkouts, snapshots, reclaim.
//!
//! ```text
//! <work_root>/
//!   checkouts/<label>/            the checkout of one workspace: the only place agents write to
//!   exact/<key>/                  a clean folder at an exact commit, for checks; nobody's work lies in it
//!   .orcha/
//!     mirrors/<name>-<hash>.git   one bare repository per origin, ours alone; checkouts borrow its objects
//!       refs/remotes/origin/*       what the origin has, as of the last fetch
//!       refs/orcha/ws/<label>/*     what a checkout has, as of the last look at it
//!       refs/orcha/snapshots/<label>/<n>   its whole work tree, kept for ever
//!     workspaces/<label>/         record, index and view of ours for one workspace
//!     making/ trash/ kept/        half-made, half-deleted, and found where nothing should be
//! ```
//!
//! Agents own their checkout, its configuration included, so nothing here runs git *in* it, but for listing
//! names. Commits are fetched into the mirror through a view of ours on the checkout's objects (see `refs`);
//! its files are read through the mirror's git directory and an index of ours. Filters, hooks, monitors and
//! diff programs that a checkout names are therefore never started, and what it says about its own history
//! (`shallow`, grafts, hidden refs) is not believed. The price: files that only make sense through a filter
//! (git-lfs) are treated as the bytes they are.
//!
//! *Work* is every commit that a branch, stash, reflog, tag, note or other ref of the checkout names, and
//! every file that is changed or untracked; of a file that was staged and changed again the newest state
//! counts. Files that the ignore rules name are not work, unless they were added by force: no snapshot holds
//! them and reclaim does not ask for them. But a repository among them with commits of its own is. What the
//! checkout has fetched from remotes other than `origin` is theirs.
//!
//! Files are touched through the host's own small programs (`find`, `mv`, `rm`, `flock`), so that a host
//! may be another machine. This room knows nothing of sessions, pull requests or objectives.

mod capture;
mod checkout;
mod checkouts;
mod error;
mod exact;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod files;
mod mirror;
mod push;
mod reclaim;
mod refs;
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
    Conflict, Diff, Exact, ExactReady, Expected, FileChange, Kept, Label, Leftovers, Listed, Operation, Predecessor,
    Prepare, Push, PushSource, Pushed, Ready, Reclaim, RestoreInto, Restored, Snapshot, Start, Status,
};
pub use workspaces::Workspaces;
