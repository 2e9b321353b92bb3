//! Tests of the planning mind: each pass by example, and what holds for every world.

mod passes;
mod properties;
mod stage;
