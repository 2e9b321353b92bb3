//! Tests of the planning mind: each pass by example, and what holds for every world.

#![expect(clippy::unwrap_used, reason = "a test says what must be there")]

mod asking;
mod briefs;
mod passes;
mod properties;
mod stage;
