//! `opencode run --format json`: how it is started, and what it says.
//!
//! It has no word for the end of its turn: that is the end of the process, and its exit code is the evidence.

use super::{Turn, Words, level, option, pairs};
use crate::causes::{Cause, by_status};
use crate::text::{clean, count, detail, micros, object, raw, short, str_of};
use crate::{Dialogue, Event, Heard, Launch, ToolCall, ToolResult, TurnEnd, Usage};
use orcha_exec::ExitStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the names of its errors mean; for the others there is the status of the provider's answer.
const NAMES: [(&str, Cause); 3] = [
    ("ContextOverflowError", Cause::ContextFull),
    ("ProviderAuthError", Cause::Auth),
    ("MessageAbortedError", Cause::Interrupted),
];

pub(super) fn words(launch: &Launch) -> Words {
    let mut args = vec!["run".to_owned(), option("--format", "json"), "--thinking".to_owned()];
    // Without this a call that its rules want to be asked for is rejected, and the turn stops.
    args.extend((level(launch.permissions, ["--auto", "", ""]) == "--auto").then(|| "--auto".to_owned()));
    args.extend(launch.resume.as_ref().map(|known| option("--session", known)));
    args.extend(launch.model.as_ref().map(|model| option("--model", model)));
    args.extend(launch.effort.map(|it| option("--variant", it.name())));
    let mut env = pairs(&[
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
        ("OPENCODE_DISABLE_SHARE", "1"),
    ]);
    let edits = r#"{"bash":"ask","webfetch":"ask","external_directory":"ask"}"#;
    let ask = r#"{"bash":"ask","edit":"ask","webfetch":"ask","external_directory":"ask"}"#;
    match level(launch.permissions, ["", edits, ask]) {
        "" => {}
        rules => env.extend(pairs(&[("OPENCODE_PERMISSION", rules)])),
    }
    let mut file = None;
    if let Some(mcp) = &launch.mcp {
        let headers = json!({"Authorization": format!("Bearer {}", mcp.token.expose())});
        let server = json!({"type": "remote", "url": mcp.url, "headers": headers, "oauth": false, "enabled": true});
        file = Some(("opencode.json", json!({"mcp": {&mcp.name: server}})));
        env.extend(pairs(&[("OPENCODE_CONFIG", "{run_dir}/opencode.json")]));
    }
    Words { args, env, file }
}

/// How often in one turn a conversation may be too long. The program makes it shorter and tries again, without end.
const TOO_LONG: u32 = 3;

/// The reader of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    turn: Turn,
    /// Why the last request to its model gave an end to its message.
    reason: Option<Reason>,
    /// An error that is either a try that failed or, when nothing follows, the cause of the turn's end.
    fault: Option<Fault>,
    retries: u32,
    /// How often the conversation was too long.
    full: u32,
}

/// Why a message of the model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// It wants to use tools; another message follows, unless one of them was denied.
    Tools,
    /// It had no more to say.
    Stop,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fault {
    name: String,
    status: Option<u64>,
    words: String,
}

impl Reader {
    pub(super) fn remembering(memory: &Value) -> Self {
        Self::deserialize(memory).unwrap_or_default()
    }

    /// Something follows an error: it was tried again.
    fn retried(&mut self) -> Option<Event> {
        let fault = self.fault.take()?;
        self.retries = self.retries.saturating_add(1);
        Some(Event::Retrying { attempt: self.retries, class: short(&fault.name) })
    }

    fn step(&mut self, kind: &str, part: &Value) -> Vec<Event> {
        let text = || str_of(part, "text").filter(|it| !it.is_empty()).map(|it| clean(it.to_owned()));
        // What it tells its model in the user's name is nothing that the agent says.
        let own = part.get("synthetic").and_then(Value::as_bool) != Some(true);
        match kind {
            "step_start" => {
                self.reason = None;
                Vec::new()
            }
            "text" if own => text().map(|text| Event::Text { text }).into_iter().collect(),
            "reasoning" => text().map(|text| Event::Thinking { text }).into_iter().collect(),
            "tool_use" => used(part),
            "step_finish" => {
                self.reason = Some(match str_of(part, "reason") {
                    Some("tool-calls") => Reason::Tools,
                    Some(_) | None => Reason::Stop,
                });
                vec![Event::Usage(usage(part))]
            }
            // Of what we do not know nothing changes.
            _ => Vec::new(),
        }
    }

    /// Says how the turn ended, from the code of the process and what came last.
    fn end(&self, status: ExitStatus) -> Option<TurnEnd> {
        match (status, &self.fault, self.reason) {
            (ExitStatus::Code(_), Some(fault), _) => Some(fault.turn_end()),
            (ExitStatus::Code(0), None, Some(Reason::Stop)) => Some(TurnEnd::Completed),
            // A call was denied, and nobody was there to be asked.
            (ExitStatus::Code(0), None, Some(Reason::Tools)) => Some(TurnEnd::Refused),
            (ExitStatus::Code(_) | ExitStatus::Signal(_), _, _) => None,
        }
    }
}

impl Dialogue for Reader {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let message = match object(line, truncated) {
            None => return Heard::default(),
            Some(Err(raw)) => return Heard { events: vec![raw], replies: Vec::new() },
            Some(Ok(message)) => message,
        };
        let Some(kind) = str_of(&message, "type") else {
            return Heard { events: vec![raw(line, truncated)], replies: Vec::new() };
        };
        let mut events: Vec<Event> = self.turn.named(str_of(&message, "sessionID"), None).into_iter().collect();
        events.extend(self.retried());
        events.extend(self.turn.active());
        match kind {
            "error" => {
                let error = &message["error"];
                let fault = Fault {
                    name: short(str_of(error, "name").unwrap_or_default()),
                    status: error.pointer("/data/statusCode").and_then(Value::as_u64),
                    words: detail(error.pointer("/data/message").and_then(Value::as_str).unwrap_or_default()),
                };
                let end = fault.turn_end();
                self.full += u32::from(end == TurnEnd::ContextFull && !self.turn.over);
                if self.full == TOO_LONG {
                    (self.full, self.turn.over) = (0, true);
                    events.push(Event::TurnEnded(end));
                } else {
                    self.fault = Some(fault);
                }
            }
            kind => events.extend(self.step(kind, &message["part"])),
        }
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

    fn finish(&mut self, status: Option<ExitStatus>) -> Vec<Event> {
        if self.turn.over {
            return Vec::new();
        }
        let end = status.and_then(|status| self.end(status));
        self.turn.over = end.is_some();
        end.map(Event::TurnEnded).into_iter().collect()
    }

    fn in_turn(&self) -> bool {
        !self.turn.over
    }
}

impl Fault {
    fn turn_end(&self) -> TurnEnd {
        let named = NAMES.iter().find(|(name, _)| *name == self.name).map(|(_, cause)| *cause);
        match named.or_else(|| by_status(self.status?)) {
            Some(cause) => cause.turn_end(None),
            None => TurnEnd::Failed { detail: self.words.clone() },
        }
    }
}

/// A call is told when it is over, with what came of it.
fn used(part: &Value) -> Vec<Event> {
    let state = &part["state"];
    let text = |value: &Value, field: &str| clean(str_of(value, field).unwrap_or_default().to_owned());
    let id = text(part, "callID");
    let input = state.get("input").map_or_else(|| "{}".to_owned(), Value::to_string);
    let failed = str_of(state, "status") != Some("completed");
    let output = text(state, if failed { "error" } else { "output" });
    vec![
        Event::ToolCall(ToolCall { id: id.clone(), tool: text(part, "tool"), input: clean(input) }),
        Event::ToolResult(ToolResult { id, output, failed }),
    ]
}

fn usage(part: &Value) -> Usage {
    let tokens = &part["tokens"];
    Usage {
        input: count(tokens, "input"),
        output: count(tokens, "output"),
        cache_read: count(&tokens["cache"], "read"),
        cache_write: count(&tokens["cache"], "write"),
        reasoning: count(tokens, "reasoning"),
        micro_usd: part.get("cost").and_then(micros),
        model_calls: 1,
    }
}
