//! Reads the lines of one app-server. All that it remembers between lines fits in a small JSON value.

use super::items::{self, Stage};
use super::turn_end::{class, failed};
use super::{Brief, FRAME, Kind, Token, prompt};
use crate::rpc::{self, HELLO, Message, OPEN};
use crate::text::{clean, count, remember, short, str_of};
use crate::{Dialogue, Event, Heard, Limit, Say, TurnEnd, Usage};
use orcha_base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many changes of files are remembered until they are asked about or done.
const PATCHES: usize = 8;

/// The reader of one run.
pub(super) struct CodexDialogue {
    memory: Memory,
    brief: Option<Brief>,
}

/// What of a memory is needed to say something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Open {
    pub(super) thread: Option<String>,
    pub(super) turn: Option<String>,
}

impl Open {
    pub(super) fn of(memory: &Value) -> Self {
        Self::deserialize(memory).unwrap_or_default()
    }
}

/// What is remembered between lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// The conversation, once it is open.
    thread: Option<String>,
    /// Whether it could not be opened.
    shut: bool,
    model: Option<String>,
    /// Whether the tools answered; asked for only if there are any.
    tools: Option<bool>,
    /// The turn that runs.
    turn: Option<String>,
    /// Inputs that were reported as taken up.
    accepted: Vec<String>,
    /// Tool calls that were reported and are not over.
    calls: Vec<String>,
    /// Changes of files that are not over: item and paths.
    patches: Vec<(String, Vec<String>)>,
    /// Permission requests that wait for an answer: the program's id and our name for it.
    asked: Vec<(String, String)>,
    /// How often it tried again in this turn.
    retries: u32,
    /// What the conversation has cost so far.
    spent: Option<Spent>,
    /// The windows as they were last said.
    windows: Vec<Window>,
}

/// Tokens of the whole conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spent {
    input: u64,
    cached: u64,
    written: u64,
    output: u64,
    reasoning: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Window {
    name: String,
    used: f64,
    resets: Option<i64>,
}

impl CodexDialogue {
    /// Goes on from a memory; one that is not ours counts as none.
    pub(super) fn remembering(memory: &Value) -> Self {
        Self { memory: Memory::deserialize(memory).unwrap_or_default(), brief: None }
    }
}

impl Dialogue for CodexDialogue {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        let (events, replies) = match rpc::read(line, truncated) {
            None => Default::default(),
            Some(Err(raw)) => (vec![raw], Vec::new()),
            Some(Ok(Message::Notice { method, params })) => (self.notice(&method, &params), Vec::new()),
            Some(Ok(Message::Request { id, method, params })) => return self.asked(&id, &method, &params),
            Some(Ok(Message::Answer { to, result })) => return self.answered(&to, result),
            Some(Ok(Message::Stray)) => Default::default(),
        };
        Heard { events, replies }
    }

    fn memory(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(&self.memory).unwrap_or(Value::Null)
    }

    fn wants_brief(&self) -> bool {
        self.memory.thread.is_none() && !self.memory.shut
    }

    fn brief(&mut self, brief: &str) {
        self.brief = serde_json::from_str(brief).ok();
    }

    fn said(&mut self, say: &Say) {
        if let Say::Permission { request, .. } = say {
            self.memory.asked.retain(|(_, token)| token != request);
        }
    }

    fn in_turn(&self) -> bool {
        self.memory.turn.is_some()
    }
}

impl CodexDialogue {
    fn answered(&mut self, to: &str, result: Result<Value, Value>) -> Heard {
        let mut heard = Heard::default();
        match (rpc::purpose(to), result) {
            ((HELLO, _), Ok(_)) => {
                if let Some(brief) = &self.brief {
                    heard.replies.push(FRAME.notice("initialized", "initialized", None));
                    heard.replies.push(FRAME.request(OPEN, &brief.method, &brief.params));
                }
            }
            ((OPEN, _), Ok(result)) => {
                let thread = short(result.pointer("/thread/id").and_then(Value::as_str).unwrap_or_default());
                let model =
                    str_of(&result, "model").or_else(|| result.pointer("/thread/model").and_then(Value::as_str));
                self.memory.model = model.map(short);
                if let Some(opening) = self.brief.take().and_then(|it| it.opening) {
                    heard.replies.push(prompt(&thread, &opening.key, &opening.text));
                }
                self.memory.thread = Some(thread);
                heard.events.extend(self.ready());
            }
            ((HELLO | OPEN, _), Err(error)) => {
                self.memory.shut = true;
                heard.events.push(Event::TurnEnded(failed(&error, None)));
            }
            (("prompt", key), Ok(result)) => {
                heard.events.extend(self.accept(key));
                self.begin(result.pointer("/turn/id").and_then(Value::as_str));
            }
            (("prompt", _), Err(error)) => heard.events.push(Event::TurnEnded(failed(&error, self.until()))),
            (("interrupt", key), Ok(_)) => heard.events.extend(self.accept(key)),
            (_, Err(error)) => heard.events.push(Event::Raw { text: clean(error.to_string()), truncated: false }),
            (_, Ok(_)) => {}
        }
        heard
    }

    fn ready(&self) -> Option<Event> {
        let conversation = self.memory.thread.clone()?;
        Some(Event::Ready { conversation, model: self.memory.model.clone(), tools_connected: self.memory.tools })
    }

    fn accept(&mut self, key: &str) -> Option<Event> {
        if self.memory.accepted.iter().any(|it| it == key) {
            return None;
        }
        remember(&mut self.memory.accepted, key);
        Some(Event::Accepted { key: clean(key.to_owned()) })
    }

    fn begin(&mut self, turn: Option<&str>) {
        if let Some(turn) = turn {
            self.memory.turn = Some(short(turn));
        }
    }

    fn notice(&mut self, method: &str, params: &Value) -> Vec<Event> {
        match method {
            "turn/started" => {
                self.begin(params.pointer("/turn/id").and_then(Value::as_str));
                Vec::new()
            }
            "turn/completed" => self.ended(&params["turn"]),
            "item/started" => self.item(&params["item"], Stage::Running),
            "item/completed" => self.item(&params["item"], Stage::Done),
            "thread/tokenUsage/updated" => self.usage(&params["tokenUsage"]),
            "account/rateLimits/updated" => self.limits(&params["rateLimits"]),
            "mcpServer/startupStatus/updated" => self.tools(params),
            "error" if params.get("willRetry").and_then(Value::as_bool) == Some(true) => {
                self.memory.retries = self.memory.retries.saturating_add(1);
                vec![Event::Retrying { attempt: self.memory.retries, class: short(class(&params["error"])) }]
            }
            "serverRequest/resolved" => self.resolved(&params["requestId"]),
            // The text of deltas comes once more with the finished item; of what we do not know nothing changes.
            _ => Vec::new(),
        }
    }

    fn item(&mut self, item: &Value, stage: Stage) -> Vec<Event> {
        let id = str_of(item, "id").unwrap_or_default();
        match items::plain(str_of(item, "type").unwrap_or_default()).as_str() {
            "usermessage" => return str_of(item, "clientId").and_then(|key| self.accept(key)).into_iter().collect(),
            "filechange" => {
                self.memory.patches.retain(|(known, _)| known != id);
                if stage == Stage::Running && self.memory.patches.len() < PATCHES {
                    self.memory.patches.push((short(id), items::paths(item)));
                }
            }
            _ => {}
        }
        let known = self.memory.calls.iter().any(|it| it == id);
        let events = items::events(item, stage, known);
        if events.iter().any(|it| matches!(it, Event::ToolCall(_))) && !known {
            remember(&mut self.memory.calls, id);
        }
        if stage == Stage::Done {
            self.memory.calls.retain(|it| it != id);
        }
        events
    }

    fn ended(&mut self, turn: &Value) -> Vec<Event> {
        let end = match str_of(turn, "status").unwrap_or_default() {
            "completed" => TurnEnd::Completed,
            "interrupted" => TurnEnd::Interrupted,
            _ => failed(&turn["error"], self.until()),
        };
        let memory = &mut self.memory;
        memory.turn = None;
        memory.retries = 0;
        memory.calls.clear();
        memory.patches.clear();
        memory.asked.clear();
        vec![Event::TurnEnded(end)]
    }

    /// Takes what was added to the total since it was last said; the same total twice costs nothing.
    fn usage(&mut self, usage: &Value) -> Vec<Event> {
        let spent = |it: &Value| Spent {
            input: count(it, "inputTokens"),
            cached: count(it, "cachedInputTokens"),
            written: count(it, "cacheWriteInputTokens"),
            output: count(it, "outputTokens"),
            reasoning: count(it, "reasoningOutputTokens"),
        };
        let (total, last) = (spent(&usage["total"]), spent(&usage["last"]));
        let delta = match self.memory.spent {
            Some(before) => Spent {
                input: total.input.saturating_sub(before.input),
                cached: total.cached.saturating_sub(before.cached),
                written: total.written.saturating_sub(before.written),
                output: total.output.saturating_sub(before.output),
                reasoning: total.reasoning.saturating_sub(before.reasoning),
            },
            // Before a turn a resumed conversation says what it cost before.
            None if self.memory.turn.is_none() => Spent::default(),
            // Its total holds that as well.
            None => last,
        };
        self.memory.spent = Some(total);
        if delta == Spent::default() {
            return Vec::new();
        }
        vec![Event::Usage(Usage {
            // Its input counts cached tokens as well.
            input: delta.input.saturating_sub(delta.cached).saturating_sub(delta.written),
            output: delta.output,
            cache_read: delta.cached,
            cache_write: delta.written,
            reasoning: delta.reasoning,
            micro_usd: None,
            model_calls: 1,
        })]
    }

    fn limits(&mut self, limits: &Value) -> Vec<Event> {
        let reached = limits.get("rateLimitReachedType").is_some_and(|it| !it.is_null());
        let mut events = Vec::new();
        for (slot, window) in ["primary", "secondary"].map(|slot| (slot, &limits[slot])) {
            let Some(used) = window.get("usedPercent").and_then(Value::as_f64) else { continue };
            let name = match window.get("windowDurationMins").and_then(Value::as_u64) {
                Some(300) => "five_hour".to_owned(),
                Some(10_080) => "seven_day".to_owned(),
                Some(minutes) => format!("{minutes}_minutes"),
                None => slot.to_owned(),
            };
            let resets = window.get("resetsAt").and_then(Value::as_i64);
            let now = Window { name: name.clone(), used, resets };
            if self.memory.windows.contains(&now) {
                continue;
            }
            self.memory.windows.retain(|it| it.name != name);
            self.memory.windows.push(now);
            events.push(Event::Limit(Limit {
                window: name,
                used_percent: Some(used),
                resets_at: resets.map(Timestamp::from_secs),
                rejected: used >= 100.0 || (reached && slot == "primary"),
            }));
        }
        events
    }

    /// Returns when every window that is used up has opened again.
    fn until(&self) -> Option<Timestamp> {
        let full = self.memory.windows.iter().filter(|it| it.used >= 100.0);
        full.filter_map(|it| it.resets).max().map(Timestamp::from_secs)
    }

    /// Several servers are up when the last of them is; one that failed stays so.
    fn tools(&mut self, params: &Value) -> Vec<Event> {
        let now = match str_of(params, "status").unwrap_or_default() {
            "ready" if self.memory.tools.is_none() => Some(true),
            "failed" | "cancelled" => Some(false),
            _ => return Vec::new(),
        };
        if self.memory.tools == now {
            return Vec::new();
        }
        self.memory.tools = now;
        self.ready().into_iter().collect()
    }

    fn asked(&mut self, id: &Value, method: &str, params: &Value) -> Heard {
        let (kind, tool, input) = match method {
            "item/commandExecution/requestApproval" => {
                let input = json!({"command": params["command"], "cwd": params["cwd"], "reason": params["reason"]});
                (Kind::Item, items::SHELL.to_owned(), input)
            }
            "item/fileChange/requestApproval" => {
                let item = str_of(params, "itemId").unwrap_or_default();
                let paths = self.memory.patches.iter().find(|(id, _)| id == item).map(|(_, paths)| paths);
                let input = json!({"paths": paths, "reason": params["reason"]});
                (Kind::Item, items::PATCH.to_owned(), input)
            }
            "mcpServer/elicitation/request" if params["_meta"]["codex_approval_kind"] == "mcp_tool_call" => {
                let field = |value: &Value, field| str_of(value, field).unwrap_or_default().to_owned();
                let meta = &params["_meta"];
                let tool = items::mcp_tool(&field(params, "serverName"), &field(meta, "tool_name"));
                (Kind::Mcp, tool, meta["tool_params"].clone())
            }
            _ => return Heard { events: Vec::new(), replies: vec![FRAME.refuse(id, method)] },
        };
        let request = json!(Token { id: id.clone(), kind }).to_string();
        if self.memory.asked.len() < 64 {
            self.memory.asked.push((id.to_string(), request.clone()));
        }
        let event = Event::PermissionRequest { request, tool: short(&tool), input: clean(input.to_string()) };
        Heard { events: vec![event], replies: Vec::new() }
    }

    /// A request that is resolved without a word from us was withdrawn.
    fn resolved(&mut self, id: &Value) -> Vec<Event> {
        let id = id.to_string();
        match self.memory.asked.iter().position(|(known, _)| *known == id) {
            Some(at) => vec![Event::PermissionWithdrawn { request: self.memory.asked.remove(at).1 }],
            None => Vec::new(),
        }
    }
}
