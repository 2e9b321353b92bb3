//! The lines that go out: Claude Code's stream-json, with the fields that recordings of it show.

use crate::script::{Again, Cost, End, Window};
use anyhow::{Context, Result};
use orcha_base::Timestamp;
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};
use uuid::Uuid;

/// What one answer of the pretended model costs: tokens read and written, and millionths of a dollar.
const ANSWER: (u64, u64, u64) = (100, 20, 800);

/// The side of the agent that speaks.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) session: String,
    pub(crate) model: String,
    pub(crate) mode: String,
    pub(crate) dir: PathBuf,
    /// The answers of this turn.
    answers: Cell<u64>,
    /// What this turn costs, if its script says so.
    cost: Cell<Option<Cost>>,
    /// The last text of this turn.
    said: RefCell<String>,
    /// The tool that is in use.
    using: RefCell<Option<String>>,
    began: Cell<Instant>,
    results: Cell<u64>,
}

/// What a conversation cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) micros: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Voice {
    pub(crate) fn new(session: String, model: String, mode: String, dir: PathBuf) -> Self {
        Self {
            session,
            model,
            mode,
            dir,
            answers: Cell::new(0),
            cost: Cell::new(None),
            said: RefCell::default(),
            using: RefCell::default(),
            began: Cell::new(Instant::now()),
            results: Cell::new(0),
        }
    }

    /// Writes one line, at once.
    pub(crate) fn line(&self, message: &Value) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut output = std::io::stdout().lock();
        output.write_all(bytes).and_then(|()| output.flush()).context("writing standard output")
    }

    /// Begins a turn with the line that every turn begins with.
    pub(crate) fn init(&self, tools: &[String], servers: &[(String, bool)]) -> Result<()> {
        self.answers.set(0);
        self.cost.set(None);
        self.said.borrow_mut().clear();
        self.using.borrow_mut().take();
        self.began.set(Instant::now());
        let own = ["Bash", "Edit", "Read", "Write"].map(str::to_owned);
        let tools: Vec<&String> = own.iter().chain(tools).collect();
        let state = |connected: &bool| if *connected { "connected" } else { "failed" };
        let server =
            |(name, connected): &(String, bool)| json!({"name": name, "status": state(connected), "source": "dynamic"});
        self.system(
            "init",
            json!({
                "cwd": self.dir, "tools": tools, "mcp_servers": servers.iter().map(server).collect::<Vec<_>>(),
                "model": self.model, "permissionMode": self.mode, "slash_commands": [], "apiKeySource": "none",
                "claude_code_version": "scripted", "output_style": "default",
            }),
        )
    }

    pub(crate) fn system(&self, subtype: &str, fields: Value) -> Result<()> {
        let mut message = json!({"type": "system", "subtype": subtype});
        merge(&mut message, fields);
        self.sign(message)
    }

    /// Tells what becomes of an input.
    pub(crate) fn lifecycle(&self, uuid: Option<&String>, state: &str) -> Result<()> {
        match uuid {
            Some(uuid) => self.sign(json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state})),
            None => Ok(()),
        }
    }

    /// Echoes an input that is taken up.
    pub(crate) fn replay(&self, uuid: Option<&String>, text: &str) -> Result<()> {
        let content = json!([{"type": "text", "text": text}]);
        self.line(&json!({
            "type": "user", "message": {"role": "user", "content": content}, "session_id": self.session,
            "parent_tool_use_id": null, "uuid": uuid.cloned().unwrap_or_else(fresh), "timestamp": now(), "isReplay": true,
        }))
    }

    pub(crate) fn text(&self, text: &str) -> Result<()> {
        text.clone_into(&mut self.said.borrow_mut());
        self.assistant(json!({"type": "text", "text": text}), Value::Null)
    }

    pub(crate) fn think(&self, text: &str) -> Result<()> {
        self.assistant(json!({"type": "thinking", "thinking": text, "signature": "c2NyaXB0ZWQ="}), Value::Null)
    }

    /// Begins to use a tool; returns the id of the use.
    pub(crate) fn use_tool(&self, name: &str, input: &Value) -> Result<String> {
        let id = format!("toolu_{}", &Uuid::new_v4().simple().to_string()[..24]);
        *self.using.borrow_mut() = Some(id.clone());
        self.assistant(json!({"type": "tool_use", "id": id, "name": name, "input": input}), Value::Null)?;
        Ok(id)
    }

    pub(crate) fn tool_result(&self, id: &str, output: &str, failed: bool) -> Result<()> {
        self.using.borrow_mut().take();
        self.user(json!([{"tool_use_id": id, "type": "tool_result", "content": output, "is_error": failed}]))
    }

    pub(crate) fn spend(&self, cost: Cost) {
        self.cost.set(Some(cost));
    }

    pub(crate) fn limit(&self, window: &Window) -> Result<()> {
        let resets = resets_at(window.resets_in_s);
        let (state, detail) = match window {
            Window { rejected: true, .. } => ("rejected", "rejected"),
            Window { used, .. } if *used >= 0.9 => ("allowed", "allowed_warning"),
            Window { .. } => ("allowed", "allowed"),
        };
        self.sign(json!({"type": "rate_limit_event", "rate_limit_info": {
            "status": state, "resetsAt": resets, "rateLimitType": window.window, "isUsingOverage": false,
            "unifiedWindows": {&window.window: {"utilization": window.used, "resetsAt": resets, "status": detail}},
        }}))
    }

    pub(crate) fn retry(&self, again: &Again) -> Result<()> {
        let fields = json!({"attempt": again.attempt, "max_retries": 10, "retry_delay_ms": 500, "error_status": null, "error": again.error});
        self.system("api_retry", fields)
    }

    /// Asks whether a tool may be used.
    pub(crate) fn ask(&self, request: &str, tool: &str, input: &Value, id: &str) -> Result<()> {
        self.line(&json!({"type": "control_request", "request_id": request, "request": {
            "subtype": "can_use_tool", "tool_name": tool, "display_name": tool, "input": input,
            "permission_suggestions": [], "tool_use_id": id,
        }}))
    }

    pub(crate) fn answer(&self, request: &str, response: Value) -> Result<()> {
        let response = json!({"subtype": "success", "request_id": request, "response": response});
        self.line(&json!({"type": "control_response", "response": response}))
    }

    pub(crate) fn refuse(&self, request: &str, subtype: &str) -> Result<()> {
        let error = format!("Unsupported control request subtype: {subtype}");
        self.line(&json!({"type": "control_response", "response": {
            "subtype": "error", "request_id": request, "error": error, "error_code": "unsupported_request",
        }}))
    }

    /// Ends the turn; the spent amounts go on.
    pub(crate) fn end(&self, end: &End, spent: &mut Spent) -> Result<()> {
        if let End::UsageExhausted { window, resets_in_s } = end {
            let window = Window { window: window.clone(), used: 1.0, resets_in_s: *resets_in_s, rejected: true };
            self.limit(&window)?;
        }
        let fault = Fault::of(end);
        if let Some(fault) = &fault {
            self.assistant(json!({"type": "text", "text": fault.text}), fault.fields())?;
            fault.text.clone_into(&mut self.said.borrow_mut());
        }
        let mut ending = match end {
            End::Failed(words) => json!({"subtype": "error_during_execution", "is_error": true, "errors": [words]}),
            _ => json!({
                "subtype": "success", "is_error": fault.is_some(), "result": *self.said.borrow(),
                "terminal_reason": fault.as_ref().map_or("completed", |it| it.reason), "api_error_status": null,
            }),
        };
        merge(
            &mut ending,
            fault.as_ref().map_or(Value::Null, |it| {
                let mut fields = it.fields();
                fields.as_object_mut().and_then(|it| it.remove("error"));
                fields
            }),
        );
        let stop = match end {
            End::Refused => "refusal",
            _ if fault.is_some() => "stop_sequence",
            _ => "end_turn",
        };
        merge(&mut ending, json!({"stop_reason": stop}));
        self.result(ending, spent)
    }

    /// Ends the turn because the client, or a person, wanted it so.
    pub(crate) fn interrupted(&self, spent: &mut Spent) -> Result<()> {
        let using = self.using.borrow_mut().take();
        let (reason, words) = match &using {
            Some(_) => ("aborted_tools", "[Request interrupted by user for tool use]"),
            None => ("aborted_streaming", "[Request interrupted by user]"),
        };
        if let Some(id) = using {
            self.tool_result(&id, "The use of this tool was stopped by the user; it may have run in part.", true)?;
        }
        self.user(json!([{"type": "text", "text": words}]))?;
        let ending = json!({"subtype": "error_during_execution", "is_error": true, "errors": [], "stop_reason": null, "terminal_reason": reason});
        self.result(ending, spent)
    }

    /// Says that there is no such conversation to resume.
    pub(crate) fn unknown(&self) -> Result<()> {
        let words = format!("No conversation found with session ID: {}", self.session);
        let ending =
            json!({"subtype": "error_during_execution", "is_error": true, "errors": [words], "stop_reason": null});
        self.result(ending, &mut Spent::default())
    }

    fn result(&self, ending: Value, spent: &mut Spent) -> Result<()> {
        let answers = self.answers.get();
        let usual = Cost {
            input: ANSWER.0 * answers,
            output: ANSWER.1 * answers,
            usd: dollars(ANSWER.2 * answers),
            ..Cost::default()
        };
        let cost = self.cost.get().unwrap_or(usual);
        spent.micros += (cost.usd * 1e6).round() as u64;
        spent.input += cost.input;
        spent.output += cost.output;
        let models = |input: u64, output: u64, usd: f64| -> Value {
            if input + output == 0 {
                return json!({});
            }
            json!({&self.model: {
                "inputTokens": input, "outputTokens": output, "cacheReadInputTokens": cost.cache_read,
                "cacheCreationInputTokens": cost.cache_write, "webSearchRequests": 0, "costUSD": usd,
            }})
        };
        let took = u64::try_from(self.began.get().elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut message = json!({
            "type": "result", "duration_ms": took, "duration_api_ms": took, "num_turns": answers,
            "total_cost_usd": dollars(spent.micros), "permission_denials": [], "result_index": self.results.get(),
            "usage": {
                "input_tokens": cost.input, "output_tokens": cost.output,
                "cache_read_input_tokens": cost.cache_read, "cache_creation_input_tokens": cost.cache_write,
            },
            "modelUsage": models(spent.input, spent.output, dollars(spent.micros)),
            "model_usage_since_last_result": models(cost.input, cost.output, cost.usd),
        });
        self.results.set(self.results.get() + 1);
        merge(&mut message, ending);
        self.sign(message)
    }

    fn assistant(&self, block: Value, fields: Value) -> Result<()> {
        if fields.is_null() {
            self.answers.set(self.answers.get() + 1);
        }
        let id = format!("msg_{}", &Uuid::new_v4().simple().to_string()[..24]);
        let model = if fields.is_null() { self.model.as_str() } else { "<synthetic>" };
        let mut message = json!({"type": "assistant", "parent_tool_use_id": null, "timestamp": now(), "message": {
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [block],
            "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": ANSWER.0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1},
        }});
        merge(&mut message, fields);
        self.sign(message)
    }

    fn user(&self, content: Value) -> Result<()> {
        self.sign(json!({
            "type": "user", "message": {"role": "user", "content": content}, "parent_tool_use_id": null, "timestamp": now(),
        }))
    }

    /// Adds what every line of a conversation carries, and writes it.
    fn sign(&self, mut message: Value) -> Result<()> {
        merge(&mut message, json!({"session_id": self.session, "uuid": fresh()}));
        self.line(&message)
    }
}

/// How an error of the provider looks.
struct Fault {
    class: &'static str,
    status: Option<u16>,
    error: Option<&'static str>,
    kind: Option<&'static str>,
    reason: &'static str,
    text: &'static str,
}

impl Fault {
    fn of(end: &End) -> Option<Self> {
        let fault = |class, status, kind, text| Self { class, status, error: None, kind, reason: "api_error", text };
        Some(match end {
            End::Completed | End::Failed(_) | End::Refused => return None,
            End::RateLimited => {
                fault("rate_limit", Some(429), Some("rate_limit_error"), "API Error: Request rejected (429)")
            }
            End::UsageExhausted { .. } => Self {
                error: Some("usage_limit_reached"),
                ..fault("rate_limit", Some(429), Some("rate_limit_error"), "You've hit your limit")
            },
            End::Overloaded => fault("server_error", Some(529), Some("overloaded_error"), "API Error: 529 Overloaded"),
            End::Auth => fault("authentication_failed", Some(401), Some("authentication_error"), "Invalid API key"),
            End::Billing => {
                fault("billing_error", Some(400), Some("invalid_request_error"), "Credit balance is too low")
            }
            End::ModelMissing => fault("model_not_found", Some(404), Some("not_found_error"), "There is no such model"),
            End::ContextFull => Self {
                reason: "prompt_too_long",
                ..fault("invalid_request", Some(400), Some("invalid_request_error"), "Prompt is too long")
            },
            End::Network => Self {
                error: Some("connection_failed"),
                ..fault("server_error", None, None, "API Error: Connection refused")
            },
        })
    }

    fn fields(&self) -> Value {
        let mut fields = json!({"error": self.class, "is_api_error_message": true, "api_error_status": self.status});
        if let Some(error) = self.error {
            merge(&mut fields, json!({"api_error": error}));
        }
        if let Some(kind) = self.kind {
            merge(&mut fields, json!({"api_error_type": kind}));
        }
        fields
    }
}

fn merge(message: &mut Value, fields: Value) {
    if let (Value::Object(message), Value::Object(fields)) = (message, fields) {
        message.extend::<Map<String, Value>>(fields);
    }
}

fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

fn now() -> String {
    Timestamp::from(SystemTime::now()).to_string()
}

fn resets_at(in_s: i64) -> i64 {
    Timestamp::from(SystemTime::now()).as_micros() / 1_000_000 + in_s
}
