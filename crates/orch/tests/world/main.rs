//! Ring 4: the real wheel over a real store, with agents that are functions and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod attachments;
mod confine;
mod deadlines;
mod guarantees;
mod guards;
mod keyboard;
mod learning;
mod life;
mod limits;
mod permits;
mod pipeline;
mod planted;
mod policies;
mod promises;
mod stage;
mod talk;
mod tool_servers;
mod work;
