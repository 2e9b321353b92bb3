//! Reads the lines of one ACP agent. All that it remembers between lines fits in a small JSON value.

use super::call::Call;
use super::recipe::Recipe;
use super::schema::{Choice, ChoiceKind, Chunk, Hello, Notice, Piece, Request, Status, Stop, Update};
use super::{Brief, FRAME, Token, prompt, selected};
use crate::causes::unknown;
use crate::rpc::{self, HELLO, Message, OPEN};
use crate::text::{Flow, clean, count, counted, micros, remember, short, str_of};
use crate::{Dialogue, Event, Heard, RunnerError, Say, TurnEnd, Usage};
use orcha_exec::{ExitStatus, InputLine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// The error code for a method that the agent does not have.
const NO_METHOD: i64 = -32601;

/// The protocol's error code for something that is not there.
const NOT_FOUND: i64 = -32002;

/// How many calls are remembered while they run.
const CALLS: usize = 16;

/// The reader of one run.
pub(super) struct AcpDialogue {
    recipe: Arc<Recipe>,
    memory: Memory,
    brief: Option<Brief>,
    run_dir: String,
}

/// What of a memory is needed to say something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Open {
    session: Option<String>,
    pub(super) turn: Option<String>,
    pub(super) asked: Vec<String>,
}

impl Open {
    pub(super) fn of(memory: &Value) -> Self {
        Self::deserialize(memory).unwrap_or_default()
    }

    pub(super) fn session(&self) -> Result<&str, RunnerError> {
        self.session.as_deref().ok_or(RunnerError::NotYet { reason: "the conversation is not open" })
    }
}

/// What is remembered between lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// The conversation, once it is open and in its mode.
    session: Option<String>,
    /// The conversation while it is being opened, so that its history is told from news.
    opening: Option<String>,
    /// Whether it could not be opened.
    shut: bool,
    /// Whether what it says now is still its history: some agents tell that after they are open.
    quiet: bool,
    /// The methods by which a conversation is gone on with, the best one first.
    resumes: Vec<String>,
    /// The tools that are allowed without asking.
    tools: Vec<String>,
    /// Whether it was logged in once: the second refusal counts.
    logged_in: bool,
    /// The prompt of the turn that runs; empty when it is not known.
    turn: Option<String>,
    /// Inputs that were reported as taken up.
    accepted: Vec<String>,
    /// Permission requests that wait for an answer, as we name them.
    asked: Vec<String>,
    calls: Vec<Call>,
    flow: Flow,
    /// Whether tokens of this turn were reported already, request by request.
    counted: bool,
    /// The money of the conversation when it was last reported.
    spent: Option<u64>,
    /// The money of the conversation as it was last said.
    money: Option<u64>,
}

impl AcpDialogue {
    /// Goes on from a memory; one that is not ours counts as none.
    pub(super) fn remembering(recipe: Arc<Recipe>, memory: &Value) -> Self {
        Self { recipe, memory: Memory::deserialize(memory).unwrap_or_default(), brief: None, run_dir: String::new() }
    }
}

impl Dialogue for AcpDialogue {
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard {
        match rpc::read(line, truncated) {
            None => Heard::default(),
            Some(Err(raw)) => self.tell([raw]),
            Some(Ok(Message::Notice { method, params })) if method == "session/update" => {
                // What the schema does not know changes nothing.
                match serde_json::from_value::<Notice>(params) {
                    Ok(notice) => Heard { events: self.update(notice.update), replies: Vec::new() },
                    Err(_) => Heard::default(),
                }
            }
            Some(Ok(Message::Notice { .. } | Message::Stray)) => Heard::default(),
            Some(Ok(Message::Request { id, method, params })) => match permission(&method, params) {
                Some(request) => self.asked(id, &request),
                None => Heard { events: Vec::new(), replies: vec![FRAME.refuse(&id, &method)] },
            },
            Some(Ok(Message::Answer { to, result })) => self.answered(&to, result),
        }
    }

    fn memory(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(&self.memory).unwrap_or(Value::Null)
    }

    fn wants_brief(&self) -> bool {
        self.memory.session.is_none() && !self.memory.shut
    }

    fn folder(&mut self, run_dir: &Path) {
        self.run_dir = run_dir.display().to_string();
    }

    fn brief(&mut self, brief: &str) {
        self.brief = serde_json::from_str(brief).ok();
    }

    fn said(&mut self, say: &Say) {
        match say {
            Say::Prompt { key, .. } => {
                self.memory.turn = Some(short(key));
                self.memory.quiet = false;
            }
            Say::Permission { request, .. } => self.memory.asked.retain(|it| it != request),
            Say::Interrupt { .. } => self.memory.asked.clear(),
        }
    }

    fn finish(&mut self, _status: Option<ExitStatus>) -> Vec<Event> {
        self.memory.flow.flush().into_iter().collect()
    }

    fn in_turn(&self) -> bool {
        self.memory.turn.is_some()
    }
}

impl AcpDialogue {
    /// Tells events after the text that came before them.
    fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> Heard {
        let events = self.memory.flow.flush().into_iter().chain(events).collect();
        Heard { events, replies: Vec::new() }
    }

    fn reply(reply: InputLine) -> Heard {
        Heard { events: Vec::new(), replies: vec![reply] }
    }

    fn answered(&mut self, to: &str, result: Result<Value, Value>) -> Heard {
        match (rpc::purpose(to), result) {
            ((HELLO, _), Ok(result)) => self.hello(result),
            (("login", _), Ok(_)) => self.open("open:again"),
            ((OPEN, _), Ok(result)) => self.opened(&result),
            ((OPEN, _), Err(error)) => self.closed(&error),
            ((HELLO | "login", _), Err(error)) => self.shut(self.cause(&error)),
            (("mode", _), Ok(_)) => self.begin(),
            (("mode", _), Err(error)) => {
                // It stays in the mode it has: then it asks more, not less, and says so.
                let mut heard = self.begin();
                heard.events.insert(0, Event::Raw { text: clean(error.to_string()), truncated: false });
                heard
            }
            (("prompt", key), result) => self.ended(key, result),
            (_, Err(error)) => self.tell([Event::Raw { text: clean(error.to_string()), truncated: false }]),
            (_, Ok(_)) => Heard::default(),
        }
    }

    /// Learns what the agent can do, and opens the conversation.
    fn hello(&mut self, result: Value) -> Heard {
        let Ok(hello) = serde_json::from_value::<Hello>(result) else {
            return self.shut(TurnEnd::Failed { detail: "its greeting is not of the protocol".to_owned() });
        };
        let able = hello.agent_capabilities;
        let methods =
            [(able.session_capabilities.resume.is_some(), "session/resume"), (able.load_session, "session/load")];
        self.memory.resumes = methods.iter().filter(|(can, _)| *can).map(|(_, method)| (*method).to_owned()).collect();
        let Some(brief) = &self.brief else { return Heard::default() };
        if brief.servers.as_array().is_some_and(|it| !it.is_empty()) && !able.mcp_capabilities.http {
            return self.shut(TurnEnd::Failed { detail: "this agent cannot reach tools over HTTP".to_owned() });
        }
        self.open(OPEN)
    }

    fn open(&mut self, key: &str) -> Heard {
        let Some(brief) = &self.brief else { return Heard::default() };
        let mut params = self.recipe.opening(&self.run_dir);
        params.insert("cwd".to_owned(), json!(brief.cwd));
        params.insert("mcpServers".to_owned(), brief.servers.clone());
        let method = match (&brief.resume, self.memory.resumes.first()) {
            (Some(session), Some(method)) => {
                params.insert("sessionId".to_owned(), json!(session));
                method.clone()
            }
            (Some(_), None) => {
                return self.shut(TurnEnd::Failed { detail: "this agent cannot resume a conversation".to_owned() });
            }
            (None, _) => "session/new".to_owned(),
        };
        Self::reply(FRAME.request(key, &method, &Value::Object(params)))
    }

    fn opened(&mut self, result: &Value) -> Heard {
        let Some(brief) = &self.brief else { return Heard::default() };
        let session = str_of(result, "sessionId").or(brief.resume.as_deref()).unwrap_or_default();
        let session = short(session);
        if brief.resume.is_none() {
            self.memory.spent = Some(0);
        }
        let modes = &result["modes"];
        let has = |mode: &str| {
            let all = modes.get("availableModes").and_then(Value::as_array);
            all.is_some_and(|all| all.iter().any(|it| str_of(it, "id") == Some(mode)))
        };
        // To set the mode that it has costs one exchange, behind which a late history has come to its end.
        self.memory.quiet = brief.resume.is_some() && self.recipe.late_history;
        let needed = |mode: &str| self.memory.quiet || str_of(modes, "currentModeId") != Some(mode);
        let mode = brief.mode.clone().filter(|it| has(it) && needed(it));
        let ready = Event::Ready { conversation: session.clone(), model: model(result), tools_connected: None };
        self.memory.opening = Some(session.clone());
        self.memory.tools = brief.tools.clone();
        let mut heard = match mode {
            Some(mode) => {
                let params = json!({"sessionId": session, "modeId": mode});
                Self::reply(FRAME.request("mode", "session/set_mode", &params))
            }
            None => self.begin(),
        };
        heard.events.insert(0, ready);
        heard
    }

    /// The conversation is open: from here on it can be spoken to, and what it says is news.
    fn begin(&mut self) -> Heard {
        let Some(session) = self.memory.opening.take() else { return Heard::default() };
        let mut heard = Heard::default();
        if let Some(Brief { opening: Some(opening), rules, resume, .. }) = self.brief.take() {
            let rules = (resume.is_none() && !rules.is_empty()).then_some(rules.as_str());
            let texts: Vec<&str> = rules.into_iter().chain([opening.text.as_str()]).collect();
            heard.replies.push(prompt(&session, &opening.key, &texts));
            self.memory.turn = Some(short(&opening.key));
            self.memory.quiet = false;
        }
        self.memory.session = Some(session);
        heard
    }

    /// The conversation was refused. For want of a login that is tried, once.
    fn closed(&mut self, error: &Value) -> Heard {
        let resumed = self.brief.as_ref().is_some_and(|it| it.resume.is_some());
        let code = error.get("code").and_then(Value::as_i64).filter(|_| resumed);
        if code == Some(NOT_FOUND) {
            return self.shut(TurnEnd::ConversationMissing);
        }
        if self.memory.resumes.len() > 1 && code == Some(NO_METHOD) {
            // Some say that they can, and cannot.
            self.memory.resumes.remove(0);
            return self.open("open:other");
        }
        let cause = self.cause(error);
        let login = self.brief.as_ref().and_then(|it| it.login.clone());
        match login {
            Some(method) if cause == TurnEnd::Auth && !self.memory.logged_in => {
                self.memory.logged_in = true;
                Self::reply(FRAME.request("login", "authenticate", &json!({"methodId": method})))
            }
            Some(_) | None => self.shut(cause),
        }
    }

    fn shut(&mut self, end: TurnEnd) -> Heard {
        self.memory.shut = true;
        self.tell([Event::TurnEnded(end)])
    }

    fn cause(&self, error: &Value) -> TurnEnd {
        self.recipe.cause(error).map_or_else(|| unknown(error), |cause| cause.turn_end(None))
    }

    fn ended(&mut self, key: &str, result: Result<Value, Value>) -> Heard {
        let mut events: Vec<Event> = self.memory.flow.flush().into_iter().collect();
        events.extend(self.accept(key));
        let (end, counts) = match &result {
            Ok(result) => (stop(result), self.tokens(result)),
            Err(error) => (self.cause(error), Usage::default()),
        };
        let usage = Usage { micro_usd: self.cost(), ..counts };
        if counted(&usage) {
            events.push(Event::Usage(usage));
        }
        // An older turn that ends because of a newer one leaves that running.
        if self.memory.turn.as_deref().is_none_or(|turn| turn.is_empty() || turn == key) {
            self.memory.turn = None;
        }
        self.memory.counted = false;
        self.memory.calls.clear();
        self.memory.asked.clear();
        events.push(Event::TurnEnded(end));
        Heard { events, replies: Vec::new() }
    }

    fn accept(&mut self, key: &str) -> Option<Event> {
        if key.is_empty() || self.memory.accepted.iter().any(|it| it == key) {
            return None;
        }
        remember(&mut self.memory.accepted, key);
        Some(Event::Accepted { key: clean(key.to_owned()) })
    }

    /// What the agent does shows that it took up the prompt.
    fn active(&mut self) -> Option<Event> {
        let turn = self.memory.turn.get_or_insert_default().clone();
        self.accept(&turn)
    }

    fn update(&mut self, update: Update) -> Vec<Event> {
        if let Update::Usage(usage) = &update {
            let dollars = usage.cost.as_ref().filter(|it| it.currency == "USD");
            self.memory.money = dollars.and_then(|it| micros(&it.amount)).or(self.memory.money);
            return Vec::new();
        }
        // Before it is open a conversation tells its history.
        let history = |piece: &Piece| piece.status.is_some_and(|it| it != Status::Open);
        match &update {
            _ if self.memory.session.is_none() => return Vec::new(),
            Update::ToolCall(piece) | Update::ToolCallAgain(piece) if self.memory.quiet && !history(piece) => {
                self.memory.quiet = false;
            }
            _ if self.memory.quiet => return Vec::new(),
            _ => {}
        }
        match update {
            Update::AgentMessageChunk(chunk) => self.chunk(false, &chunk),
            Update::AgentThoughtChunk(chunk) => self.chunk(true, &chunk),
            Update::ToolCall(piece) | Update::ToolCallAgain(piece) => self.call(&piece),
            Update::Usage(_) | Update::Other => Vec::new(),
        }
    }

    fn chunk(&mut self, thinking: bool, chunk: &Chunk) -> Vec<Event> {
        let mut events: Vec<Event> = self.active().into_iter().collect();
        if let Some(text) = chunk.content.text().filter(|it| !it.is_empty()) {
            events.extend(self.memory.flow.push(thinking, chunk.message_id.as_deref(), text));
        }
        if let Some(usage) = chunk.meta.as_ref().and_then(|it| it.get("usage")) {
            self.memory.counted = true;
            events.extend(self.memory.flow.flush());
            events.push(Event::Usage(tokens(usage)));
        }
        events
    }

    fn call(&mut self, piece: &Piece) -> Vec<Event> {
        let mut events: Vec<Event> = self.active().into_iter().chain(self.memory.flow.flush()).collect();
        let calls = &mut self.memory.calls;
        let id = short(&piece.tool_call_id);
        let at = calls.iter().position(|it| it.id == id).unwrap_or_else(|| {
            if calls.len() >= CALLS {
                calls.remove(0);
            }
            calls.push(Call::new(&id));
            calls.len() - 1
        });
        let (news, over) = calls[at].update(piece, self.recipe.mcp_calls);
        events.extend(news);
        if over {
            calls.remove(at);
        }
        events
    }

    fn asked(&mut self, id: Value, request: &Request) -> Heard {
        self.memory.quiet = false;
        let mut events = self.call(&request.tool_call);
        let given = request.tool_call.raw_input.as_ref();
        let id_of_call = short(&request.tool_call.tool_call_id);
        let call = self.memory.calls.iter().find(|it| it.id == id_of_call);
        let ours = call.is_some_and(|it| it.is_one_of(&self.memory.tools, self.recipe.mcp_calls));
        let (tool, input) = call.map(|it| (it.tool(), it.input(given, true))).unwrap_or_default();
        let allow = option(&request.options, &[ChoiceKind::AllowOnce]);
        let reject = option(&request.options, &[ChoiceKind::RejectOnce, ChoiceKind::RejectAlways]);
        if let (true, Some(option)) = (ours, &allow) {
            return Heard { events, replies: vec![FRAME.answer(&id, &selected(option))] };
        }
        let request = json!(Token { id, allow, reject }).to_string();
        if self.memory.asked.len() < CALLS {
            self.memory.asked.push(request.clone());
        }
        events.push(Event::PermissionRequest { request, tool, input });
        Heard { events, replies: Vec::new() }
    }

    /// Takes what an answer says of the whole turn, unless each request was counted already.
    fn tokens(&mut self, result: &Value) -> Usage {
        if self.memory.counted {
            return Usage::default();
        }
        let quota = result.pointer("/_meta/quota/token_count");
        match result.get("usage").filter(|it| it.is_object()).or(quota) {
            Some(usage) => tokens(usage),
            // That a model was asked is all that can be told.
            None => Usage { model_calls: 1, ..Usage::default() },
        }
    }

    /// Takes what was spent since it was last reported. Amounts are of the whole conversation: the first one after
    /// a resume says nothing about the turn.
    fn cost(&mut self) -> Option<u64> {
        let now = self.memory.money.take()?;
        let before = self.memory.spent.replace(now)?;
        Some(now.saturating_sub(before))
    }
}

fn permission(method: &str, params: Value) -> Option<Request> {
    if method != "session/request_permission" {
        return None;
    }
    serde_json::from_value(params).ok()
}

/// Chooses by kind: the ids are the agent's own. The first of its kind is the plain one.
fn option(options: &[Choice], kinds: &[ChoiceKind]) -> Option<String> {
    let of = |kind| options.iter().find(|it| it.kind == kind).map(|it| short(&it.option_id));
    kinds.iter().find_map(|kind| of(*kind))
}

fn stop(result: &Value) -> TurnEnd {
    match Stop::deserialize(&result["stopReason"]) {
        Ok(Stop::EndTurn) => TurnEnd::Completed,
        Ok(Stop::Cancelled) => TurnEnd::Interrupted,
        Ok(Stop::Refusal) => TurnEnd::Refused,
        Ok(Stop::MaxTokens) => TurnEnd::ContextFull,
        Ok(Stop::MaxTurnRequests) => TurnEnd::OverBudget,
        Ok(Stop::Other) | Err(_) => {
            TurnEnd::Failed { detail: "the turn ended for a reason that is not of the protocol".to_owned() }
        }
    }
}

fn model(result: &Value) -> Option<String> {
    let options = result.get("configOptions").and_then(Value::as_array).into_iter().flatten();
    let chosen = options.filter(|it| str_of(it, "id") == Some("model")).find_map(|it| str_of(it, "currentValue"));
    result.pointer("/models/currentModelId").and_then(Value::as_str).or(chosen).map(short)
}

/// Reads tokens under the names that are in use.
fn tokens(usage: &Value) -> Usage {
    let empty = Map::new();
    let fields = usage.as_object().unwrap_or(&empty);
    let one_of = |names: &[&str]| names.iter().find(|it| fields.contains_key(**it)).map_or(0, |it| count(usage, it));
    let (input, output) = (one_of(&["inputTokens", "input_tokens"]), one_of(&["outputTokens", "output_tokens"]));
    let cached = one_of(&["cachedReadTokens", "cached_input_tokens"]);
    // Some count what was read from the cache as input; then it is not in the total a second time.
    let within = cached > 0 && one_of(&["totalTokens", "total_tokens"]) == input.saturating_add(output);
    Usage {
        input: if within { input.saturating_sub(cached) } else { input },
        output,
        cache_read: cached,
        cache_write: one_of(&["cachedWriteTokens"]),
        reasoning: one_of(&["thoughtTokens", "reasoningOutputTokens"]),
        micro_usd: None,
        model_calls: 1,
    }
}
