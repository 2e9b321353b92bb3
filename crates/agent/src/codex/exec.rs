//! `codex exec --json`: one turn in one process, for where the app-server cannot be used.
//!
//! It hears its prompt on standard input and nothing after it: a next turn is a new run that resumes the
//! conversation. Errors come as prose only; the table below is the only place that reads it.

use super::items::{self, Stage};
use super::{OWN_SANDBOX, freedom, git_folder, keeps, settings};
use crate::causes::Cause;
use crate::once::{self, Brief};
use crate::spec::{self, unsupported};
use crate::text::{count, detail, object, raw, remember, short, str_of};
use crate::{
    Dialect, Dialogue, Event, Heard, Launch, LaunchError, Program, RunnerError, Say, TurnEnd, Usage, Utterance,
};
use orcha_exec::RunSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The variable that holds the credential of our tools. Commands of the agent do not see it.
const TOKEN: &str = "ORCHA_MCP_TOKEN";

/// What the program says, and what it means.
const SAYS: [(&str, Cause); 13] = [
    ("hit your usage limit", Cause::UsageExhausted),
    ("Quota exceeded", Cause::UsageExhausted),
    ("429 Too Many Requests", Cause::RateLimited),
    ("rate limit exceeded", Cause::RateLimited),
    ("model is at capacity", Cause::Overloaded),
    ("experiencing high demand", Cause::Overloaded),
    ("401 Unauthorized", Cause::Auth),
    ("Missing environment variable", Cause::Auth),
    ("no such model", Cause::ModelMissing),
    ("ran out of room in the model's context window", Cause::ContextFull),
    ("waiting for network", Cause::Network),
    ("Connection failed", Cause::Network),
    ("stream disconnected", Cause::Network),
];

/// `codex exec`.
#[derive(Clone, Debug)]
pub struct CodexExec {
    /// The program with its leading arguments, unless a launch names another.
    pub program: Vec<String>,
    /// The environment that every launch starts from; `PATH` and `HOME` belong here. A launch's own variables win.
    pub base_env: Vec<(String, String)>,
}

impl Dialect for CodexExec {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        keeps()
    }

    fn leans_on_sandbox(&self, launch: &Launch) -> bool {
        spec::is_confined(launch)
    }

    fn takes_effort(&self) -> bool {
        true
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let (program, mut args) = spec::command(launch, &self.program)?;
        let prompt = once::prompt(launch)?;
        args.push("exec".to_owned());
        if launch.resume.is_some() {
            args.push("resume".to_owned());
        }
        args.push("--json".to_owned());
        // A session without a repository works in an empty folder of its own.
        args.push("--skip-git-repo-check".to_owned());
        args.extend(settings());
        let (approval, sandbox) = freedom(launch);
        let quoted = |text: &str| json!(text).to_string();
        let mut setting = |setting: String| args.extend(["-c".to_owned(), setting]);
        // Nobody can be asked: what would be a question is a no.
        setting(format!("approval_policy={}", quoted(if approval == "on-request" { "never" } else { approval })));
        setting(format!("sandbox_mode={}", quoted(sandbox)));
        if sandbox == OWN_SANDBOX {
            setting(format!("sandbox_workspace_write.writable_roots=[{}]", quoted(&git_folder(launch)?)));
        }
        let mut env = spec::layered(self.base_env.iter().chain(&launch.env));
        if let Some(mcp) = &launch.mcp {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if mcp.name.is_empty() || !mcp.name.bytes().all(plain) {
                return Err(unsupported("the name of the tools must be letters, digits, `-` and `_`"));
            }
            let at = format!("mcp_servers.{}", mcp.name);
            setting(format!("{at}.url={}", quoted(&mcp.url)));
            setting(format!("{at}.bearer_token_env_var={}", quoted(TOKEN)));
            if !mcp.tools.is_empty() {
                setting(format!("{at}.default_tools_approval_mode=\"approve\""));
            }
            setting(format!("shell_environment_policy.exclude=[{}]", quoted(TOKEN)));
            env.push((TOKEN.to_owned(), mcp.token.expose().clone()));
        }
        if let Some(model) = &launch.model {
            setting(format!("model={}", quoted(model)));
        }
        if let Some(effort) = launch.effort {
            setting(format!("model_reasoning_effort={}", quoted(effort.name())));
        }
        args.extend(launch.resume.clone());
        args.push("-".to_owned());
        Ok(RunSpec { files: vec![prompt.brief], input: prompt.input, ..spec::run(launch, (program, args), env) })
    }

    fn program(&self) -> Program {
        Program { command: self.program.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(ExecDialogue { memory: Memory::deserialize(memory).unwrap_or_default(), brief: None })
    }

    fn utter(&self, say: &Say, _memory: &Value) -> Result<Utterance, RunnerError> {
        once::refuse(say)
    }

    fn hears_once(&self) -> bool {
        true
    }
}

/// The reader of one run.
struct ExecDialogue {
    memory: Memory,
    brief: Option<Brief>,
}

/// What is remembered between lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    turn: bool,
    /// Whether the turn has begun once: there is no other.
    begun: bool,
    resumed: bool,
    calls: Vec<String>,
    /// An error that is either a try that failed or, when the turn's end follows, its cause.
    error: Option<String>,
    retries: u32,
}

impl Dialogue for ExecDialogue {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let message = match object(line, truncated) {
            None => return Heard::default(),
            Some(Err(raw)) => return Heard { events: vec![raw], replies: Vec::new() },
            Some(Ok(message)) => message,
        };
        let Some(kind) = str_of(&message, "type") else {
            return Heard { events: vec![raw(line, truncated)], replies: Vec::new() };
        };
        let mut events = Vec::new();
        if kind != "turn.failed" {
            events.extend(self.retried());
        }
        match kind {
            "thread.started" => events.push(Event::Ready {
                conversation: short(str_of(&message, "thread_id").unwrap_or_default()),
                model: None,
                tools_connected: None,
            }),
            "turn.started" => {
                (self.memory.turn, self.memory.begun) = (true, true);
                if let Some(brief) = self.brief.take() {
                    self.memory.resumed = brief.resumed;
                    events.push(Event::Accepted { key: brief.key });
                }
            }
            "item.started" | "item.updated" => events.extend(self.item(&message["item"], Stage::Running)),
            "item.completed" => events.extend(self.item(&message["item"], Stage::Done)),
            "error" => self.memory.error = Some(detail(str_of(&message, "message").unwrap_or_default())),
            "turn.completed" => {
                events.push(Event::Usage(self.usage(&message["usage"])));
                events.push(self.end(TurnEnd::Completed));
            }
            "turn.failed" => {
                let words = message.pointer("/error/message").and_then(Value::as_str);
                let words = words.map(str::to_owned).or(self.memory.error.take()).unwrap_or_default();
                events.push(self.end(failed(&words)));
            }
            // Of what we do not know nothing changes.
            _ => {}
        }
        Heard { events, replies: Vec::new() }
    }

    fn memory(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(&self.memory).unwrap_or(Value::Null)
    }

    fn wants_brief(&self) -> bool {
        !self.memory.begun
    }

    fn brief(&mut self, brief: &str) {
        self.brief = serde_json::from_str(brief).ok();
    }

    fn in_turn(&self) -> bool {
        self.memory.turn
    }
}

impl ExecDialogue {
    fn retried(&mut self) -> Option<Event> {
        let words = self.memory.error.take()?;
        self.memory.retries = self.memory.retries.saturating_add(1);
        Some(Event::Retrying { attempt: self.memory.retries, class: short(&words) })
    }

    fn item(&mut self, item: &Value, stage: Stage) -> Vec<Event> {
        let id = str_of(item, "id").unwrap_or_default();
        let known = self.memory.calls.iter().any(|it| it == id);
        let events = items::events(item, stage, known);
        if !known && events.iter().any(|it| matches!(it, Event::ToolCall(_))) {
            remember(&mut self.memory.calls, id);
        }
        events
    }

    fn end(&mut self, end: TurnEnd) -> Event {
        self.memory.turn = false;
        self.memory.error = None;
        Event::TurnEnded(end)
    }

    /// Its totals are of the whole conversation: those of a resumed one say nothing about this turn.
    fn usage(&self, total: &Value) -> Usage {
        if self.memory.resumed {
            return Usage { model_calls: 1, ..Usage::default() };
        }
        let cached = count(total, "cached_input_tokens");
        let written = count(total, "cache_write_input_tokens");
        Usage {
            input: count(total, "input_tokens").saturating_sub(cached).saturating_sub(written),
            output: count(total, "output_tokens"),
            cache_read: cached,
            cache_write: written,
            reasoning: count(total, "reasoning_output_tokens"),
            micro_usd: None,
            model_calls: 1,
        }
    }
}

fn failed(words: &str) -> TurnEnd {
    match SAYS.iter().find(|(says, _)| words.contains(says)) {
        Some((_, cause)) => cause.turn_end(None),
        None => TurnEnd::Failed { detail: detail(words) },
    }
}
