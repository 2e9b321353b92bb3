//! A model server that says what a scenario says, so that real agent programs run without a real model.
//!
//! It listens on loopback, in a thread of its own, and speaks four dialects: Anthropic Messages, OpenAI Responses,
//! OpenAI Chat Completions and Gemini; and it can be an MCP server beside them. It keeps what it was asked. It will
//! not think, reach another machine, check a real key or judge what an agent did. The words of a scenario are in
//! this crate's `README.md`. [`programs`] says which agent programs are known to run against it, and how; [`isolation`]
//! gives a test of them a place without a network. [`tool_server`] is an MCP server as a process.
//!
//! Without the feature `server` the model is left out, and with it all that is heavy.

pub mod isolation;
pub mod programs;
pub mod tool_server;

#[cfg(feature = "server")]
mod server;

#[cfg(feature = "server")]
pub use server::{
    Api, Asked, Credential, Options, Record, Said, Scenario, ScenarioError, ScriptedModel, StartError, State, Usage,
};
