//! `qwen -o stream-json`: how it is started, and what it says. Its lines look like those of Claude Code; its errors
//! look like success.

use super::{Turn, Words, level, option, pairs, servers};
use crate::causes::Cause;
use crate::claude::{block, blocks, tool_result};
use crate::text::{count, detail, object, raw, str_of};
use crate::{Dialogue, Event, Heard, Launch, TurnEnd, Usage};
use orcha_exec::ExitStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How an error begins that stands where an answer should.
const ERROR: &str = "[API Error: ";

/// What stands behind that, and what it means.
const SAYS: [(&str, Cause); 8] = [
    ("401", Cause::Auth),
    ("403", Cause::Auth),
    ("404", Cause::ModelMissing),
    ("429", Cause::RateLimited),
    ("500", Cause::Overloaded),
    ("503", Cause::Overloaded),
    ("529", Cause::Overloaded),
    ("Connection error", Cause::Network),
];

pub(super) fn words(launch: &Launch) -> Words {
    let mode = level(launch.permissions, ["yolo", "auto-edit", "default"]);
    let mut args = vec![option("--output-format", "stream-json"), option("--approval-mode", mode)];
    args.push(match &launch.resume {
        Some(known) => option("--resume", known),
        None => option("--session-id", &of_an_older_version(&launch.conversation)),
    });
    args.extend(launch.model.as_ref().map(|model| option("--model", model)));
    let mut settings = json!({
        "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false},
    });
    if let Some(mcp) = &launch.mcp {
        settings["mcpServers"] = servers(mcp);
        let tools: Vec<String> = mcp.tools.iter().map(|tool| format!("mcp__{}__{tool}", mcp.name)).collect();
        settings["permissions"] = json!({"allow": tools});
    }
    let env = pairs(&[
        // Its launcher would stand between us and the program.
        ("QWEN_CODE_NO_RELAUNCH", "true"),
        ("QWEN_CODE_SYSTEM_SETTINGS_PATH", "{run_dir}/qwen.json"),
    ]);
    Words { args, env, file: Some(("qwen.json", settings)) }
}

/// Makes a UUID one of version 4: it knows none of a newer version. By which id the conversation is gone on with it says
/// itself.
fn of_an_older_version(id: &str) -> String {
    /// Where the version stands.
    const VERSION: usize = 14;
    id.chars().enumerate().map(|(at, it)| if at == VERSION { '4' } else { it }).collect()
}

/// The reader of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    turn: Turn,
    /// What the answers of this turn said of tokens.
    told: Tokens,
    /// The total of the conversation when it was last said.
    total: Option<Tokens>,
    /// How many answers of a model this turn had.
    calls: u32,
    /// Whether the last answer cost nothing, as words do that no model said.
    free: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tokens {
    input: u64,
    output: u64,
    cached: u64,
}

impl Tokens {
    fn of(usage: &Value) -> Self {
        let cached = count(usage, "cache_read_input_tokens");
        let input = count(usage, "input_tokens").saturating_sub(cached);
        Self { input, output: count(usage, "output_tokens"), cached }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            input: self.input.saturating_sub(before.input),
            output: self.output.saturating_sub(before.output),
            cached: self.cached.saturating_sub(before.cached),
        }
    }

    const fn and(self, more: Self) -> Self {
        Self {
            input: self.input.saturating_add(more.input),
            output: self.output.saturating_add(more.output),
            cached: self.cached.saturating_add(more.cached),
        }
    }
}

impl Reader {
    pub(super) fn remembering(memory: &Value) -> Self {
        Self::deserialize(memory).unwrap_or_default()
    }

    fn said(&mut self, message: &Value) -> Vec<Event> {
        let inner = &message["message"];
        let tokens = Tokens::of(&inner["usage"]);
        self.free = tokens == Tokens::default();
        self.told = self.told.and(tokens);
        self.calls = self.calls.saturating_add(u32::from(!self.free));
        self.turn.active().into_iter().chain(blocks(inner).filter_map(block)).collect()
    }

    fn ended(&mut self, message: &Value) -> Vec<Event> {
        let words = str_of(message, "result").unwrap_or_default();
        let failed = message.get("is_error").and_then(Value::as_bool).unwrap_or(true);
        let end = match words.strip_prefix(ERROR) {
            Some(fault) if failed || self.free => broken(fault),
            Some(_) | None if failed => TurnEnd::Failed { detail: detail(words) },
            Some(_) | None => TurnEnd::Completed,
        };
        let total = Tokens::of(&message["usage"]);
        // Totals are of the whole conversation: the first one of a resumed one says nothing about this turn.
        let tokens = match self.total.replace(total) {
            Some(before) => total.since(before),
            None if self.turn.resumed => self.told,
            None => total,
        };
        let usage = Usage {
            input: tokens.input,
            output: tokens.output,
            cache_read: tokens.cached,
            model_calls: self.calls.max(1),
            ..Usage::default()
        };
        self.turn.over = true;
        (self.told, self.calls, self.free) = (Tokens::default(), 0, false);
        vec![Event::Usage(usage), Event::TurnEnded(end)]
    }
}

impl Dialogue for Reader {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let message = match object(line, truncated) {
            None => return Heard::default(),
            Some(Err(raw)) => return Heard { events: vec![raw], replies: Vec::new() },
            Some(Ok(message)) => message,
        };
        let events = match str_of(&message, "type") {
            None => vec![raw(line, truncated)],
            Some("system") if str_of(&message, "subtype") == Some("init") => {
                self.turn.over = false;
                let named = self.turn.named(str_of(&message, "session_id"), str_of(&message, "model"));
                named.into_iter().chain(self.turn.active()).collect()
            }
            Some("assistant") => self.said(&message),
            Some("user") => blocks(&message["message"]).filter_map(tool_result).collect(),
            Some("result") => self.ended(&message),
            // Of what we do not know nothing changes.
            Some(_) => Vec::new(),
        };
        Heard { events, replies: Vec::new() }
    }

    fn memory(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    fn wants_brief(&self) -> bool {
        !self.turn.briefed
    }

    fn brief(&mut self, brief: &str) {
        self.turn.brief(brief);
    }

    fn finish(&mut self, _status: Option<ExitStatus>) -> Vec<Event> {
        Vec::new()
    }

    fn in_turn(&self) -> bool {
        !self.turn.over
    }
}

fn broken(fault: &str) -> TurnEnd {
    let cause = if fault.contains("prompt is too long") {
        Some(Cause::ContextFull)
    } else {
        SAYS.iter().find(|(says, _)| fault.starts_with(says)).map(|(_, cause)| *cause)
    };
    cause.map_or_else(|| TurnEnd::Failed { detail: detail(fault) }, |cause| cause.turn_end(None))
}
