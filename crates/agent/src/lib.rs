//! Floor 2: agent programs. How each is launched, steered and resumed, and what its raw stream means.
//!
//! A [`Dialect`] is pure: it turns lines into [`Event`]s and wishes into lines. A [`Runner`] is where
//! conversations take place: [`HostedRunner`] runs agent programs on an `exec::Host`. This room knows
//! nothing of objectives or of what should happen next.

pub mod acp;
mod agents;
mod causes;
pub mod claude;
pub mod codex;
mod event;
mod examine;
#[cfg(feature = "fake")]
pub mod fake;
pub mod headless;
mod hosted;
pub mod llm;
mod once;
mod rpc;
mod runner;
mod spec;
pub mod terminal;
mod text;
mod wish;

pub use agents::Agents;
pub use event::{Change, Event, FileChange, Limit, ToolCall, ToolResult, TurnEnd, Usage};
pub use examine::Program;
pub use hosted::{Dialect, Dialogue, Heard, HostedRunner, Utterance};
#[cfg(feature = "fake")]
pub use runner::MockRunner;
pub use runner::{
    Batch, Begun, Cursor, Ended, Entry, Launch, LaunchError, Mcp, Output, Permissions, Runner, RunnerError, Said, Say,
    Source, Started, Window,
};
pub use wish::{Wish, wish};
