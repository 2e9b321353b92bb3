//! A model server that says what a scenario says, so that real agent programs run without a real model.
//!
//! It listens on loopback, in a thread of its own, and speaks four dialects: Anthropic Messages, OpenAI Responses,
//! OpenAI Chat Completions and Gemini; and it can be an MCP server beside them. It keeps what it was asked. It will
//! not think, reach another machine, check a real key or judge what an agent did. The words of a scenario are in
//! this crate's `README.md`.

mod ask;
mod call;
mod control;
mod dialect;
mod fault;
mod http;
mod mcp;
mod plan;
mod record;
mod scenario;
mod server;
mod stage;

pub use ask::Api;
pub use record::{Asked, Credential, Record, Said, State};
pub use scenario::{Scenario, ScenarioError};
pub use server::{Options, ScriptedModel, StartError};
