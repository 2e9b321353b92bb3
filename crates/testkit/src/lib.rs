//! Dev only: what tests of several rooms share. Nouns to begin with, and the explorer.
//!
//! Nothing here is ever a normal dependency.

#![expect(clippy::unwrap_used, reason = "a test says what must be there")]

pub mod explore;
pub mod make;
