//! Reads the lines of one Claude Code run. All that it remembers between lines fits in a small JSON value.

use super::turn_end::turn_end;
use super::{HELLO, refuse};
use crate::text::{clean, count, micros, object, raw, remember, short, small, str_of};
use crate::{Dialogue, Event, Heard, Limit, ToolCall, ToolResult, Usage};
use orcha_base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The reader of one run.
pub(super) struct ClaudeDialogue {
    memory: Memory,
}

/// What is remembered between lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// What was last reported as ready: the program says it before every turn.
    ready: Option<Ready>,
    /// The money of the conversation so far.
    spent: Option<u64>,
    /// The answers of the model in this turn, by message id.
    messages: Vec<String>,
    /// How many answers there were.
    calls: u32,
    /// Inputs that were reported as taken up.
    accepted: Vec<String>,
    /// Background tasks that run.
    tasks: Vec<String>,
    /// Permission requests that wait for an answer.
    asked: Vec<String>,
    /// What the last message of this turn said of an error.
    fault: Fault,
    /// When a window that refused in this turn opens again.
    until: Option<i64>,
    /// Whether a turn runs, as far as was heard.
    turn: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ready {
    conversation: String,
    model: Option<String>,
    tools: Option<bool>,
}

/// The typed error of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fault {
    /// `error`: the program's own class.
    pub(super) class: Option<String>,
    /// `api_error`: its narrower name, where there is one.
    pub(super) error: Option<String>,
    /// `api_error_type`: the provider's type.
    pub(super) kind: Option<String>,
}

impl ClaudeDialogue {
    /// Goes on from a memory; one that is not ours counts as none.
    pub(super) fn remembering(memory: &Value) -> Self {
        Self { memory: Memory::deserialize(memory).unwrap_or_default() }
    }
}

impl Dialogue for ClaudeDialogue {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        match object(line, truncated) {
            None => Heard::default(),
            Some(Ok(message)) if message.get("type").is_some_and(Value::is_string) => self.message(&message),
            Some(Ok(_)) => Heard { events: vec![raw(line.trim_ascii_end(), truncated)], replies: Vec::new() },
            Some(Err(raw)) => Heard { events: vec![raw], replies: Vec::new() },
        }
    }

    fn memory(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(&self.memory).unwrap_or(Value::Null)
    }

    fn in_turn(&self) -> bool {
        self.memory.turn
    }
}

impl ClaudeDialogue {
    fn message(&mut self, message: &Value) -> Heard {
        let events = match str_of(message, "type").unwrap_or_default() {
            "system" => self.system(message),
            "assistant" => self.assistant(message),
            "user" => self.user(message),
            "result" => self.result(message),
            "command_lifecycle" if str_of(message, "state") == Some("started") => {
                self.accept(str_of(message, "command_uuid"))
            }
            "rate_limit_event" => self.limits(message),
            "control_request" => return self.asked(message),
            "control_cancel_request" => self.withdrawn(message),
            "control_response" => self.answered(message),
            // Newer programs say more than we know; what we do not know changes nothing.
            _ => Vec::new(),
        };
        Heard { events, replies: Vec::new() }
    }

    fn system(&mut self, message: &Value) -> Vec<Event> {
        let task = str_of(message, "task_id");
        match str_of(message, "subtype").unwrap_or_default() {
            "init" => self.init(message),
            "api_retry" => vec![Event::Retrying {
                attempt: message.get("attempt").and_then(Value::as_u64).map_or(1, small),
                class: clean(str_of(message, "error").unwrap_or("unknown").to_owned()),
            }],
            "task_started" => self.task(task, true),
            "task_notification" => self.task(task, false),
            _ => Vec::new(),
        }
    }

    fn init(&mut self, message: &Value) -> Vec<Event> {
        let servers = message.get("mcp_servers").and_then(Value::as_array);
        let connected = |it: &Value| str_of(it, "status") == Some("connected");
        let ready = Ready {
            conversation: short(str_of(message, "session_id").unwrap_or_default()),
            model: str_of(message, "model").map(short),
            tools: servers.filter(|it| !it.is_empty()).map(|it| it.iter().all(connected)),
        };
        if self.memory.ready.as_ref() == Some(&ready) {
            return Vec::new();
        }
        self.memory.ready = Some(ready.clone());
        vec![Event::Ready { conversation: ready.conversation, model: ready.model, tools_connected: ready.tools }]
    }

    fn task(&mut self, task: Option<&str>, running: bool) -> Vec<Event> {
        let Some(task) = task else { return Vec::new() };
        let known = self.memory.tasks.iter().any(|it| it == task);
        if known == running {
            return Vec::new();
        }
        if running {
            remember(&mut self.memory.tasks, task);
        } else {
            self.memory.tasks.retain(|it| it != task);
        }
        vec![Event::Background { task: clean(task.to_owned()), running }]
    }

    fn assistant(&mut self, message: &Value) -> Vec<Event> {
        let inner = &message["message"];
        self.memory.turn = true;
        let failed = str_of(message, "error").is_some();
        if let Some(id) = str_of(inner, "id").filter(|_| !failed)
            && !self.memory.messages.iter().any(|it| it == id)
        {
            remember(&mut self.memory.messages, id);
            self.memory.calls = self.memory.calls.saturating_add(1);
        }
        let own = |field| str_of(message, field).map(short);
        self.memory.fault = Fault { class: own("error"), error: own("api_error"), kind: own("api_error_type") };
        let window = &message["api_error_params"]["rate_limit_info"];
        if str_of(window, "status") == Some("rejected") {
            self.memory.until = window.get("resetsAt").and_then(Value::as_i64).or(self.memory.until);
        }
        blocks(inner).filter_map(block).collect()
    }

    fn user(&mut self, message: &Value) -> Vec<Event> {
        let inner = &message["message"];
        // A replay without blocks is the echo of a command of the program itself.
        if message.get("isReplay").and_then(Value::as_bool) == Some(true) {
            return if inner["content"].is_array() { self.accept(str_of(message, "uuid")) } else { Vec::new() };
        }
        blocks(inner).filter_map(tool_result).collect()
    }

    /// Reports an input as taken up, once, whichever of its two signs comes first.
    fn accept(&mut self, key: Option<&str>) -> Vec<Event> {
        match key {
            Some(key) if !self.memory.accepted.iter().any(|it| it == key) => {
                remember(&mut self.memory.accepted, key);
                self.memory.turn = true;
                vec![Event::Accepted { key: clean(key.to_owned()) }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn result(&mut self, message: &Value) -> Vec<Event> {
        let until = self.memory.until.map(Timestamp::from_secs);
        let end = turn_end(message, &self.memory.fault, until);
        let usage = self.usage(message);
        self.memory.messages.clear();
        self.memory.calls = 0;
        self.memory.asked.clear();
        self.memory.turn = false;
        self.memory.fault = Fault::default();
        self.memory.until = None;
        vec![Event::Usage(usage), Event::TurnEnded(end)]
    }

    /// Takes what this turn alone cost. Totals are of the whole conversation, also over a resume.
    fn usage(&mut self, message: &Value) -> Usage {
        let model_calls = self.memory.calls;
        let total = message.get("total_cost_usd").and_then(micros);
        let before = self.memory.spent;
        if total.is_some() {
            self.memory.spent = total;
        }
        if let Some(models) = message.get("model_usage_since_last_result").and_then(Value::as_object) {
            let tokens = sum_models(models);
            let cost = models.values().filter_map(|it| it.get("costUSD").and_then(micros)).sum();
            return Usage { micro_usd: Some(cost), model_calls, ..tokens };
        }
        let tokens = turn_tokens(&message["usage"]);
        // Without memory a total is this turn's only if no tokens were counted before it.
        let first = || message["modelUsage"].as_object().is_some_and(|all| sum_models(all) == tokens);
        let micro_usd = match (total, before) {
            (Some(now), Some(then)) => Some(now.saturating_sub(then)),
            (Some(now), None) if first() => Some(now),
            (Some(_) | None, _) => None,
        };
        Usage { micro_usd, model_calls, ..tokens }
    }

    fn limits(&mut self, message: &Value) -> Vec<Event> {
        let info = &message["rate_limit_info"];
        let mut limits: Vec<Limit> = match info.get("unifiedWindows").and_then(Value::as_object) {
            Some(windows) => windows.iter().map(|(name, window)| limit(name, window)).collect(),
            None => Vec::new(),
        };
        if limits.is_empty() {
            limits.push(limit(str_of(info, "rateLimitType").unwrap_or("unknown"), info));
        }
        if str_of(info, "status") == Some("rejected") {
            self.memory.until = info.get("resetsAt").and_then(Value::as_i64).or(self.memory.until);
        }
        limits.into_iter().map(Event::Limit).collect()
    }

    fn asked(&mut self, message: &Value) -> Heard {
        let Some(request) = str_of(message, "request_id") else { return Heard::default() };
        let body = &message["request"];
        match str_of(body, "subtype").unwrap_or_default() {
            "can_use_tool" => {
                remember(&mut self.memory.asked, request);
                let event = Event::PermissionRequest {
                    request: clean(request.to_owned()),
                    tool: clean(str_of(body, "tool_name").unwrap_or_default().to_owned()),
                    input: body.get("input").map_or_else(|| "{}".to_owned(), Value::to_string),
                };
                Heard { events: vec![event], replies: Vec::new() }
            }
            other => Heard { events: Vec::new(), replies: vec![refuse(request, other)] },
        }
    }

    fn withdrawn(&mut self, message: &Value) -> Vec<Event> {
        match str_of(message, "request_id") {
            Some(request) if self.memory.asked.iter().any(|it| it == request) => {
                self.memory.asked.retain(|it| it != request);
                vec![Event::PermissionWithdrawn { request: request.to_owned() }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Takes the answer to a request of ours; only its refusal is worth a line for people.
    fn answered(&mut self, message: &Value) -> Vec<Event> {
        let response = &message["response"];
        let request = str_of(response, "request_id");
        if str_of(response, "subtype") == Some("success") {
            return if request == Some(HELLO) { Vec::new() } else { self.accept(request) };
        }
        vec![Event::Raw { text: clean(message.to_string()), truncated: false }]
    }
}

pub(crate) fn blocks(inner: &Value) -> impl Iterator<Item = &Value> {
    inner.get("content").and_then(Value::as_array).into_iter().flatten()
}

pub(crate) fn block(block: &Value) -> Option<Event> {
    let text = |field| str_of(block, field).filter(|it| !it.is_empty()).map(|it| clean(it.to_owned()));
    match str_of(block, "type")? {
        "text" => text("text").map(|text| Event::Text { text }),
        "thinking" => text("thinking").map(|text| Event::Thinking { text }),
        "tool_use" => Some(Event::ToolCall(ToolCall {
            id: text("id").unwrap_or_default(),
            tool: text("name").unwrap_or_default(),
            input: block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string),
        })),
        _ => None,
    }
}

pub(crate) fn tool_result(block: &Value) -> Option<Event> {
    if str_of(block, "type")? != "tool_result" {
        return None;
    }
    let output = match block.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Some(Event::ToolResult(ToolResult {
        id: clean(str_of(block, "tool_use_id").unwrap_or_default().to_owned()),
        output: clean(output),
        failed: block.get("is_error").and_then(Value::as_bool).unwrap_or(false),
    }))
}

/// Takes the text of a part; of pictures and files only their kind is kept.
fn part(part: &Value) -> String {
    match str_of(part, "text") {
        Some(text) => text.to_owned(),
        None => format!("[{}]", str_of(part, "type").unwrap_or("unknown")),
    }
}

fn limit(name: &str, window: &Value) -> Limit {
    Limit {
        window: clean(name.to_owned()),
        used_percent: window.get("utilization").and_then(Value::as_f64).map(|share| share * 100.0),
        resets_at: window.get("resetsAt").and_then(Value::as_i64).map(Timestamp::from_secs),
        rejected: str_of(window, "status") == Some("rejected"),
    }
}

fn sum_models(models: &Map<String, Value>) -> Usage {
    let sum = |field| models.values().map(|it| count(it, field)).fold(0u64, u64::saturating_add);
    Usage {
        input: sum("inputTokens"),
        output: sum("outputTokens"),
        cache_read: sum("cacheReadInputTokens"),
        cache_write: sum("cacheCreationInputTokens"),
        reasoning: 0,
        micro_usd: None,
        model_calls: 0,
    }
}

fn turn_tokens(usage: &Value) -> Usage {
    Usage {
        input: count(usage, "input_tokens"),
        output: count(usage, "output_tokens"),
        cache_read: count(usage, "cache_read_input_tokens"),
        cache_write: count(usage, "cache_creation_input_tokens"),
        reasoning: 0,
        micro_usd: None,
        model_calls: 0,
    }
}
