//! The headless modes of Gemini CLI, opencode and Qwen Code: one prompt in one process, for where their protocol cannot
//! be used.
//!
//! Pure: nothing here starts a process or reads the environment. Nobody can be asked in these modes: what would be a
//! question is a no. Their errors come as prose or as a bare status; the table beside each reader is the only place that
//! reads it.

mod gemini;
mod opencode;
mod qwen;

use crate::text::{clean, short};
use crate::{Dialect, Dialogue, Event, Launch, LaunchError, Mcp, Permissions, RunnerError, Say, Utterance, once, spec};
use orcha_exec::RunSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A program with a headless mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `gemini -o stream-json`.
    Gemini,
    /// `opencode run --format json`.
    Opencode,
    /// `qwen -o stream-json`.
    Qwen,
}

impl Program {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Gemini, Self::Opencode, Self::Qwen];

    /// Returns the name of the kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Gemini => "gemini-headless",
            Self::Opencode => "opencode-run",
            Self::Qwen => "qwen-headless",
        }
    }

    /// Returns what is started when nothing else is said.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Qwen => "qwen",
        }
    }

    /// Returns what it keeps for itself, and must be able to change in a sandbox.
    const fn keeps(self) -> &'static [&'static str] {
        match self {
            Self::Gemini => &[".gemini/"],
            Self::Opencode => &[
                "$XDG_DATA_HOME/opencode/",
                "$XDG_CONFIG_HOME/opencode/",
                ".local/share/opencode/",
                ".local/state/opencode/",
                ".config/opencode/",
                ".cache/opencode/",
            ],
            Self::Qwen => &[".qwen/"],
        }
    }

    /// Returns what it may see of the daemon's environment, besides what every program needs.
    pub const fn sees(self) -> &'static [&'static str] {
        match self {
            Self::Gemini => &["GEMINI_", "GOOGLE_"],
            Self::Opencode => &["OPENCODE_", "OPENAI_", "ANTHROPIC_", "OPENROUTER_", "GEMINI_"],
            Self::Qwen => &["QWEN_", "OPENAI_", "DASHSCOPE_"],
        }
    }
}

/// A program in its headless mode.
#[derive(Clone, Debug)]
pub struct Headless {
    /// Which one.
    pub program: Program,
    /// The program with its leading arguments, unless a launch names another.
    pub command: Vec<String>,
    /// The environment that every launch starts from; `PATH` and `HOME` belong here. A launch's own variables win.
    pub base_env: Vec<(String, String)>,
}

/// What the launch of one program adds.
#[derive(Default)]
struct Words {
    args: Vec<String>,
    env: Vec<(String, String)>,
    file: Option<(&'static str, Value)>,
}

impl Dialect for Headless {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        self.program.keeps().iter().map(|it| (*it).to_owned()).collect()
    }

    /// The others have no word for it.
    fn takes_effort(&self) -> bool {
        self.program == Program::Opencode
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let (program, mut args) = spec::command(launch, &self.command)?;
        let prompt = once::prompt(launch)?;
        let words = match self.program {
            Program::Gemini => gemini::words(launch),
            Program::Opencode => opencode::words(launch),
            Program::Qwen => qwen::words(launch),
        };
        args.extend(words.args);
        let env = spec::layered(self.base_env.iter().chain(&words.env).chain(&launch.env));
        let mut files = vec![prompt.brief];
        files.extend(words.file.map(|(name, content)| (name.to_owned(), content.to_string())));
        Ok(RunSpec { files, input: prompt.input, ..spec::run(launch, (program, args), env) })
    }

    fn program(&self) -> crate::Program {
        crate::Program { command: self.command.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        match self.program {
            Program::Gemini => Box::new(gemini::Reader::remembering(memory)),
            Program::Opencode => Box::new(opencode::Reader::remembering(memory)),
            Program::Qwen => Box::new(qwen::Reader::remembering(memory)),
        }
    }

    fn utter(&self, say: &Say, _memory: &Value) -> Result<Utterance, RunnerError> {
        once::refuse(say)
    }

    fn hears_once(&self) -> bool {
        true
    }
}

/// What every reader remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Turn {
    /// The conversation, once it was named.
    conversation: Option<String>,
    /// Whether the brief was taken.
    briefed: bool,
    /// The key of the prompt, until the program took it up.
    key: Option<String>,
    /// Whether the conversation was there before.
    resumed: bool,
    /// Whether the turn is over.
    over: bool,
}

impl Turn {
    fn brief(&mut self, brief: &str) {
        self.briefed = true;
        if let Ok(once::Brief { key, resumed }) = serde_json::from_str(brief) {
            (self.key, self.resumed) = (Some(key), resumed);
        }
    }

    /// Tells the name of the conversation, once.
    fn named(&mut self, conversation: Option<&str>, model: Option<&str>) -> Option<Event> {
        let conversation = short(conversation.filter(|it| !it.is_empty())?);
        if self.conversation.as_ref() == Some(&conversation) {
            return None;
        }
        self.conversation = Some(conversation.clone());
        Some(Event::Ready { conversation, model: model.map(short), tools_connected: None })
    }

    /// What the program does shows that it took up the prompt.
    fn active(&mut self) -> Option<Event> {
        Some(Event::Accepted { key: clean(self.key.take()?) })
    }
}

/// Our tools as Gemini CLI and Qwen Code read them in their settings.
fn servers(mcp: &Mcp) -> Value {
    let bearer = format!("Bearer {}", mcp.token.expose());
    // The server knows which tools its caller may use; asking once more would end turns.
    let server = json!({"httpUrl": mcp.url, "headers": {"Authorization": bearer}, "trust": !mcp.tools.is_empty()});
    json!({&mcp.name: server})
}

/// One word for an option and its value, so that a value beginning with a dash stays one.
fn option(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const fn level(permissions: Permissions, [everything, edits, ask]: [&str; 3]) -> &str {
    match permissions {
        Permissions::Everything => everything,
        Permissions::Edits => edits,
        Permissions::Ask => ask,
    }
}
