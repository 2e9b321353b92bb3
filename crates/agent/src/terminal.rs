//! Any program that has nothing better than a terminal: how it is launched, spoken to and understood.
//!
//! The run is a *bridge*, a small process of ours. It keeps a tmux server of its own in the run directory, shows the
//! program in it, types what it is told, and says in lines what it sees. So everything that holds for runs holds
//! here: found before it is started, read by byte offset, ended with everything that it started, and nobody's
//! tmux but its own. A screen that stands still is no success, and neither is one that is gone: only the agent's own
//! report, or an exit code, ends work well.

mod behaviour;
mod bridge;
mod control;
mod mind;
mod screen;

pub use behaviour::{Behaviour, Dialog};
pub use bridge::{SESSION, SOCKET, serve};

use crate::acp::Levels;
use crate::spec::{self, MCP_FILE, unsupported};
use crate::text::{clean, object, raw, str_of};
use crate::{Dialect, Dialogue, Event, Heard, Launch, LaunchError, Program, RunnerError, Say, TurnEnd, Utterance};
use orcha_exec::{ExitStatus, InputLine, RunSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The private file that tells the bridge what to do.
const ORDERS: &str = "terminal.json";
/// The session's credential alone.
const TOKEN_FILE: &str = "mcp.token";

/// How one program is run in a terminal. Data: a table of the settings file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalRecipe {
    /// The program with its arguments. `{run_dir}` is the folder of the run's private files.
    pub program: Vec<String>,
    /// Arguments for a level of permissions.
    #[serde(default)]
    pub args_for: Levels<Vec<String>>,
    /// Arguments that choose a model: `{model}` stands for its name.
    #[serde(default)]
    pub model_args: Vec<String>,
    /// Arguments that say how hard it thinks: `{effort}` stands for the word. Without them nobody can choose that.
    #[serde(default)]
    pub effort_args: Vec<String>,
    /// What it may see of the daemon's environment, besides what every program needs: prefixes of names.
    #[serde(default)]
    pub sees: Vec<String>,
    /// What it keeps for itself and must be able to change in a sandbox: names below the home folder, or below the folder
    /// that a variable names. What ends in `/` is a folder, and made where it is not there.
    #[serde(default)]
    pub keeps: Vec<String>,
    /// Variables that are always set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The variable that gets the credential of our tools, for programs that take it in no other way.
    #[serde(default)]
    pub token_env: Option<String>,
    /// How its screen is understood.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

/// What the bridge reads when it starts.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    dir: String,
    program: Vec<String>,
    behaviour: Behaviour,
}

/// A program in a terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    recipe: Arc<TerminalRecipe>,
    bridge: Vec<String>,
    base_env: Vec<(String, String)>,
}

impl Terminal {
    /// Takes the recipe of a program, the program that is the bridge with its leading arguments, and the environment
    /// that every launch starts from.
    pub fn new(recipe: TerminalRecipe, bridge: Vec<String>, base_env: Vec<(String, String)>) -> Self {
        Self { recipe: Arc::new(recipe), bridge, base_env }
    }
}

impl Dialect for Terminal {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        self.recipe.keeps.clone()
    }

    fn uses_run_dir(&self) -> bool {
        true
    }

    fn takes_effort(&self) -> bool {
        !self.recipe.effort_args.is_empty()
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let recipe = &self.recipe;
        let mut program = launch.program.clone().unwrap_or_else(|| recipe.program.clone());
        if program.first().is_none_or(|it| it.is_empty() || it.contains('=')) {
            return Err(unsupported("no program is named"));
        }
        if let Some(model) = &launch.model {
            program.extend(recipe.model_args.iter().map(|it| it.replace("{model}", model)));
        }
        if let Some(effort) = launch.effort {
            program.extend(recipe.effort_args.iter().map(|it| it.replace("{effort}", effort.name())));
        }
        program.extend(recipe.args_for.get(launch.permissions).iter().cloned());
        let own = recipe.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>();
        let mut env = spec::layered(self.base_env.iter().chain(&own).chain(&launch.env));
        let mut files = Vec::new();
        if let Some(mcp) = &launch.mcp {
            files.push((MCP_FILE.to_owned(), spec::mcp_file(mcp)));
            files.push((TOKEN_FILE.to_owned(), mcp.token.expose().clone()));
            env.push(("ORCHA_MCP_URL".to_owned(), mcp.url.clone()));
            env.push(("ORCHA_MCP_CONFIG".to_owned(), format!("{{run_dir}}/{MCP_FILE}")));
            env.push(("ORCHA_MCP_TOKEN_FILE".to_owned(), format!("{{run_dir}}/{TOKEN_FILE}")));
            if let Some(name) = &recipe.token_env {
                env.push((name.clone(), mcp.token.expose().clone()));
            }
        }
        let dir = spec::folder(launch)?.to_owned();
        let orders = Orders { dir, program, behaviour: recipe.behaviour.clone() };
        files.push((ORDERS.to_owned(), json!(orders).to_string()));
        let mut input = Vec::new();
        if let Some(opening) = spec::opening(launch)? {
            let text = match launch.rules.as_str() {
                "" => opening.text,
                rules => format!("{rules}\n\n{}", opening.text),
            };
            input.push(prompt(&opening.key, &text));
        }
        let mut words = self.bridge.iter().cloned();
        let bridge = words.next().ok_or_else(|| unsupported("this daemon has no bridge to terminals"))?;
        let args = words.chain([format!("{{run_dir}}/{ORDERS}")]).collect();
        Ok(RunSpec { files, input, ..spec::run(launch, (bridge, args), env) })
    }

    fn program(&self) -> Program {
        Program { command: self.recipe.program.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(Reader { memory: Memory::deserialize(memory).unwrap_or_default() })
    }

    fn utter(&self, say: &Say, memory: &Value) -> Result<Utterance, RunnerError> {
        let memory = Memory::deserialize(memory).unwrap_or_default();
        let line = match say {
            // Words would end up in the middle of a turn. While a person types it is the bridge that waits.
            Say::Prompt { .. } if memory.turn => return Err(RunnerError::NotYet { reason: "a turn is running" }),
            Say::Prompt { key, text } => prompt(key, text),
            Say::Interrupt { key } => {
                InputLine { key: key.clone(), text: json!(Order::Interrupt { key: key.clone() }).to_string() }
            }
            Say::Permission { .. } => return Err(unsupported("a program in a terminal asks on its own screen").into()),
        };
        Ok(Utterance { lines: vec![line] })
    }

    fn shows_terminal(&self) -> bool {
        true
    }
}

/// What the bridge is told, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Type a text and send it off.
    Prompt { key: String, text: String },
    /// Cut the turn off.
    Interrupt { key: String },
}

/// What the bridge says, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
enum Word {
    /// Lines that came to stand on the screen.
    Lines { text: String },
    /// A text was typed and sent off.
    Accepted { key: String },
    /// The screen stands still. That is all that is known.
    Quiet,
    /// It stands still after it was cut off.
    Interrupted,
    /// A person came to type, or left.
    Held { by_person: bool },
    /// The program ended; without code or signal its screen is just gone.
    Over { code: Option<i32>, signal: Option<i32> },
}

fn prompt(key: &str, text: &str) -> InputLine {
    let order = Order::Prompt { key: key.to_owned(), text: text.to_owned() };
    InputLine { key: key.to_owned(), text: json!(order).to_string() }
}

/// The reader of one run.
struct Reader {
    memory: Memory,
}

/// What is remembered between lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    turn: bool,
}

impl Dialogue for Reader {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let message = match object(line, truncated) {
            None => return Heard::default(),
            Some(Err(raw)) => return Heard { events: vec![raw], replies: Vec::new() },
            Some(Ok(message)) => message,
        };
        let Ok(word) = Word::deserialize(&message) else {
            // What a newer bridge says and this daemon does not know changes nothing.
            let events = if str_of(&message, "said").is_some() { Vec::new() } else { vec![raw(line, truncated)] };
            return Heard { events, replies: Vec::new() };
        };
        let event = match word {
            Word::Lines { text } => Some(Event::Text { text: clean(text) }),
            Word::Accepted { key } => {
                self.memory.turn = true;
                Some(Event::Accepted { key })
            }
            Word::Quiet => self.end(TurnEnd::Quiet),
            Word::Interrupted => self.end(TurnEnd::Interrupted),
            Word::Held { by_person } => Some(Event::Held { by_person }),
            Word::Over { code: Some(0), signal: None } => self.end(TurnEnd::Completed),
            Word::Over { code, signal } => {
                let status = signal.map(ExitStatus::Signal).or(code.map(ExitStatus::Code));
                self.end(TurnEnd::Crashed { status })
            }
        };
        Heard { events: event.into_iter().collect(), replies: Vec::new() }
    }

    fn memory(&self) -> Value {
        // A switch always serialises.
        serde_json::to_value(&self.memory).unwrap_or(Value::Null)
    }

    fn in_turn(&self) -> bool {
        self.memory.turn
    }
}

impl Reader {
    fn end(&mut self, end: TurnEnd) -> Option<Event> {
        std::mem::take(&mut self.memory.turn).then_some(Event::TurnEnded(end))
    }
}
