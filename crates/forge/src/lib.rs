//! Floor 2: code hosts, where pull requests live.
//!
//! [`Forge`] is what orcha asks of a code host, in words that none of them owns. [`LocalForge`] keeps pull
//! requests inside the git repository itself, for people who have no code host; the fake, behind the feature
//! `fake`, keeps them in memory. This room knows how pull requests are opened, read, discussed and merged, and
//! nothing of objectives or sessions: who may do it and when is decided elsewhere. It reads no clock and pushes
//! no branch.

mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod forge;
pub mod local;
mod text;
mod types;

pub use error::ForgeError;
pub use forge::Forge;
pub use local::LocalForge;
pub use text::{Key, MAX_BODY, MAX_TITLE, add_marker, clean_title, find_marker, without_markers};
pub use types::{
    Author, ChangesToken, Check, CheckState, Checks, Comment, CommentId, CommentKind, CommentPage, Cursor, Edit,
    Filter, Merge, Mergeable, Merged, Method, Open, Opened, Place, Post, Posted, Pr, PrNumber, PrState, PrStatus,
    Review, ReviewMark, ReviewState, Trust, Verdict, WatchPoint, Which,
};
