//! Our own agent over a model's API: how the program `orchad llm-agent` is launched, spoken to and understood.
//!
//! Pure. What the agent does is in the crate `llm-agent`; here stands what both sides must agree on: the settings in
//! the run's private file, the lines of its input, and that each line of its output is one [`Event`].

mod provider;
mod server;
mod settings;

pub use provider::{Provider, ProviderError, Providers};
pub use server::{
    Definition, Definitions, LONGEST_TOOLS, MOST_TOOLS, Reach, Server, Unusable, hash_of, is_of_a_server,
};
pub use settings::{Api, Behaviour, Call, Price, Settings, Structured, Tools};

use crate::spec::{self, unsupported};
use crate::text::{object, raw};
use crate::{Dialect, Dialogue, Event, Heard, Launch, LaunchError, Program, RunnerError, Say, Utterance};
use orcha_exec::{InputLine, RunSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The private file of a run with its [`Settings`]. The agent deletes it once it is read: it holds keys.
pub const SETTINGS: &str = "llm.json";

/// Where conversations lie, seen from the directory of a run: beside the runs, not in a checkout. Each has a folder there.
const CONVERSATIONS: &str = "{run_dir}/../../conversations";

/// One line of the agent's input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// A new turn, or more words for the running one.
    Prompt {
        /// Its identity.
        key: String,
        /// The text.
        text: String,
    },
    /// Stop the turn.
    Interrupt {
        /// Its identity.
        key: String,
    },
    /// The answer to a permission request.
    Permission {
        /// The request.
        request: String,
        /// Whether it may.
        allow: bool,
        /// The reason for a no.
        reason: String,
    },
}

/// An agent over a model's API.
#[derive(Clone, Debug)]
pub struct Llm {
    /// The program with its leading arguments, unless a launch names another.
    pub program: Vec<String>,
    /// Whose model it is.
    pub provider: Provider,
    /// The environment that every launch starts from; no key is in it.
    pub base_env: Vec<(String, String)>,
}

impl Dialect for Llm {
    fn keeps(&self, launch: &Launch) -> Vec<String> {
        let name = launch.resume.as_ref().unwrap_or(&launch.conversation);
        vec![format!("{CONVERSATIONS}/{name}/")]
    }

    /// It deletes its settings once they are read.
    fn uses_run_dir(&self) -> bool {
        true
    }

    fn takes_effort(&self) -> bool {
        true
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let (program, mut args) = spec::command(launch, &self.program)?;
        let settings = self.provider.settings(launch).map_err(unsupported)?;
        for name in [launch.resume.as_ref(), Some(&launch.conversation)].into_iter().flatten() {
            // It becomes the name of a file.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
                return Err(unsupported("the name of a conversation is letters, digits, `-` and `_`"));
            }
        }
        args.extend(["--settings".to_owned(), format!("{{run_dir}}/{SETTINGS}")]);
        args.extend(["--conversations", CONVERSATIONS].map(str::to_owned));
        let text = serde_json::to_string(&settings).map_err(|fault| unsupported(fault.to_string()))?;
        let files = vec![(SETTINGS.to_owned(), text)];
        let mut input = Vec::new();
        if let Some(opening) = spec::opening(launch)? {
            input.push(line(&opening.key.clone(), &Line::Prompt { key: opening.key, text: opening.text })?);
        }
        let env = spec::layered(self.base_env.iter().chain(&launch.env));
        Ok(RunSpec { files, input, ..spec::run(launch, (program, args), env) })
    }

    fn program(&self) -> Program {
        Program { command: self.program.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(LlmDialogue { turn: memory.get("turn").and_then(Value::as_bool).unwrap_or_default() })
    }

    fn utter(&self, say: &Say, _memory: &Value) -> Result<Utterance, RunnerError> {
        let line = match say.clone() {
            Say::Prompt { key, text } => line(&key.clone(), &Line::Prompt { key, text })?,
            Say::Interrupt { key } => line(&key.clone(), &Line::Interrupt { key })?,
            Say::Permission { request, allow, reason, .. } => {
                line(&format!("answer:{request}"), &Line::Permission { request, allow, reason })?
            }
        };
        Ok(Utterance { lines: vec![line] })
    }
}

fn line(key: &str, line: &Line) -> Result<InputLine, LaunchError> {
    let text = serde_json::to_string(line).map_err(|fault| unsupported(fault.to_string()))?;
    Ok(InputLine { key: key.to_owned(), text })
}

/// Reads the lines of one run: they are events already.
struct LlmDialogue {
    turn: bool,
}

impl Dialogue for LlmDialogue {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let event = match object(line, truncated) {
            None => return Heard::default(),
            Some(Err(raw)) => raw,
            Some(Ok(message)) => match Event::deserialize(&message) {
                Ok(event) => event,
                Err(_) => raw(line.trim_ascii_end(), truncated),
            },
        };
        match &event {
            Event::Accepted { .. } => self.turn = true,
            Event::TurnEnded(_) => self.turn = false,
            _ => {}
        }
        Heard { events: vec![event], replies: Vec::new() }
    }

    fn memory(&self) -> Value {
        serde_json::json!({"turn": self.turn})
    }

    fn in_turn(&self) -> bool {
        self.turn
    }
}
