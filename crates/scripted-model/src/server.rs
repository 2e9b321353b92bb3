//! The model server.
//!
//! From the wire inwards: `http` takes requests, `dialect` reads them into an `ask`, `stage` chooses a reply of the
//! `scenario`, `plan` and `call` make it ready, and `dialect` or `fault` write it.

mod ask;
mod call;
mod control;
mod dialect;
mod fault;
mod handle;
mod http;
mod mcp;
mod plan;
mod record;
mod scenario;
mod stage;

pub use ask::Api;
pub use handle::{Options, ScriptedModel, StartError};
pub use record::{Asked, Credential, Record, Said, State};
pub use scenario::{Scenario, ScenarioError, Usage};
