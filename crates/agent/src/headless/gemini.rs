//! `gemini -o stream-json`: how it is started, and what it says.

use super::{Turn, Words, level, option, pairs, servers};
use crate::causes::Cause;
use crate::text::{Flow, clean, count, detail, object, raw, str_of};
use crate::{Dialogue, Event, Heard, Launch, ToolCall, ToolResult, TurnEnd, Usage};
use orcha_exec::ExitStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the program says of an error, and what it means.
const SAYS: [(&str, Cause); 9] = [
    ("exhausted your daily quota", Cause::UsageExhausted),
    ("exhausted your capacity", Cause::UsageExhausted),
    ("\"code\":429", Cause::RateLimited),
    ("\"code\":401", Cause::Auth),
    ("\"code\":403", Cause::Auth),
    ("\"code\":503", Cause::Overloaded),
    ("\"code\":500", Cause::Overloaded),
    ("prompt is too long", Cause::ContextFull),
    ("no such model", Cause::ModelMissing),
];

/// The settings of a run; ours win over those of the user.
const SETTINGS: &str = "gemini.json";

pub(super) fn words(launch: &Launch) -> Words {
    let mode = level(launch.permissions, ["yolo", "auto_edit", "default"]);
    let mut args = vec![option("--output-format", "stream-json"), "--skip-trust".to_owned()];
    args.push(option("--approval-mode", mode));
    args.push(match &launch.resume {
        Some(known) => option("--resume", known),
        None => option("--session-id", &launch.conversation),
    });
    args.extend(launch.model.as_ref().map(|model| option("--model", model)));
    let mut settings = json!({
        "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false},
    });
    if let Some(mcp) = &launch.mcp {
        settings["mcpServers"] = servers(mcp);
    }
    let env = pairs(&[
        // Its launcher would stand between us and the program.
        ("GEMINI_CLI_NO_RELAUNCH", "true"),
        ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
        ("GEMINI_CLI_SYSTEM_SETTINGS_PATH", "{run_dir}/gemini.json"),
    ]);
    Words { args, env, file: Some((SETTINGS, settings)) }
}

/// The reader of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    turn: Turn,
    flow: Flow,
}

impl Reader {
    pub(super) fn remembering(memory: &Value) -> Self {
        Self::deserialize(memory).unwrap_or_default()
    }

    fn said(&mut self, message: &Value) -> Vec<Event> {
        let mut events: Vec<Event> = self.turn.active().into_iter().collect();
        if str_of(message, "role") == Some("assistant") {
            let text = str_of(message, "content").unwrap_or_default();
            events.extend(self.flow.push(false, None, text));
        }
        events
    }

    fn called(&mut self, message: &Value) -> Vec<Event> {
        let text = |field| clean(str_of(message, field).unwrap_or_default().to_owned());
        let input = message.get("parameters").map_or_else(|| "{}".to_owned(), Value::to_string);
        let call = ToolCall { id: text("tool_id"), tool: text("tool_name"), input: clean(input) };
        self.flow.flush().into_iter().chain([Event::ToolCall(call)]).collect()
    }

    fn came_back(&mut self, message: &Value) -> Vec<Event> {
        let id = clean(str_of(message, "tool_id").unwrap_or_default().to_owned());
        let why = message.pointer("/error/message").and_then(Value::as_str);
        let output = clean(str_of(message, "output").or(why).unwrap_or_default().to_owned());
        let failed = str_of(message, "status") != Some("success");
        let result = ToolResult { id, output, failed };
        self.flow.flush().into_iter().chain([Event::ToolResult(result)]).collect()
    }

    fn ended(&mut self, message: &Value) -> Vec<Event> {
        self.turn.over = true;
        let stats = &message["stats"];
        let usage = Usage {
            input: count(stats, "input"),
            output: count(stats, "output_tokens"),
            cache_read: count(stats, "cached"),
            // How often it asked its model is not said.
            model_calls: 1,
            ..Usage::default()
        };
        let end = match str_of(message, "status") {
            Some("success") => TurnEnd::Completed,
            Some(_) | None => failed(message.pointer("/error/message").and_then(Value::as_str).unwrap_or_default()),
        };
        self.flow.flush().into_iter().chain([Event::Usage(usage), Event::TurnEnded(end)]).collect()
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
            Some("init") => {
                let named = self.turn.named(str_of(&message, "session_id"), str_of(&message, "model"));
                named.into_iter().collect()
            }
            Some("message") => self.said(&message),
            Some("tool_use") => self.called(&message),
            Some("tool_result") => self.came_back(&message),
            Some("result") => self.ended(&message),
            // A warning, or what will stand in the result as well.
            Some("error") => {
                let text = detail(str_of(&message, "message").unwrap_or_default());
                self.flow.flush().into_iter().chain([Event::Raw { text, truncated: false }]).collect()
            }
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
        self.flow.flush().into_iter().collect()
    }

    fn in_turn(&self) -> bool {
        !self.turn.over
    }
}

fn failed(words: &str) -> TurnEnd {
    match SAYS.iter().find(|(says, _)| words.contains(says)) {
        Some((_, cause)) => cause.turn_end(None),
        None => TurnEnd::Failed { detail: detail(words) },
    }
}
