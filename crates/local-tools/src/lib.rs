//! Floor 2: the tools of an agent that brings none along: files and commands below one folder, pages of the web.
//!
//! A model asks by name and arguments, and gets text back. Whatever it says is data: paths are resolved by the
//! kernel beneath the root and never leave it, links included; text is bounded; a command ends with everything
//! that it started; an address is fetched only if it is public. Which role has which tool is not known here:
//! the caller hands in the names. A refusal is an answer for the model, not an error of the program.

mod arguments;
mod command;
mod edit;
mod error;
mod page;
mod patch;
mod root;
mod text;
mod tools;
mod walk;

pub use error::SetupError;
pub use tools::{Limits, LocalTools, Surroundings, ToolDefinition, ToolOutcome};
