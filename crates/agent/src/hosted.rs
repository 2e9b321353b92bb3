//! Agent programs on a host: a pure dialect per program, and the reading and writing around it.

use crate::{Event, Launch, LaunchError, Say};
use orcha_exec::{InputLine, RunSpec};
use serde_json::Value;
use std::fmt;

/// How one kind of agent program is launched and understood. Pure.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// Builds the run: program, arguments, environment, private files and the first input lines.
    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError>;

    /// Goes on with a dialogue from its memory (`Value::Null` at the beginning).
    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue>;

    /// Frames something to say.
    fn utter(&self, say: &Say) -> Result<Utterance, LaunchError>;
}

/// The lines that say something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// In order.
    pub lines: Vec<InputLine>,
}

/// One conversation as it is read. Pure; all state is in `memory`.
pub trait Dialogue: Send {
    /// Understands one line of standard output, given without its line break; `truncated` when its tail was cut.
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard;

    /// Returns what must be remembered between lines.
    fn memory(&self) -> Value;
}

/// What a line meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The events.
    pub events: Vec<Event>,
    /// Lines that the protocol wants in return, with keys of their own.
    pub replies: Vec<InputLine>,
}

/// Agent programs on a host.
#[derive(Debug)]
pub struct HostedRunner {}
