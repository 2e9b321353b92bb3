//! The tools over real HTTP, with a real store and agents, checkouts and a code host in memory.

mod protocol;
mod stage;
mod surface;
mod wishes;
