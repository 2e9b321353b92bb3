//! Dev only: what tests of several rooms share. Nouns to begin with, and the explorer.
//!
//! Nothing here is ever a normal dependency.

#![allow(clippy::unwrap_used, reason = "tests may say what must be there")]

pub mod explore;
pub mod make;
