//! Ring 4: the real wheel over a real store, with agents that are functions and a clock that the test moves.

mod guards;
mod life;
mod stage;
