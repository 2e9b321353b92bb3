//! The parts of the daemon's program: serving, and showing itself in a demo. Tests play the demo with faults.

pub mod config;
pub mod demo;
mod files;
pub mod models;
pub mod serve;
mod signals;
