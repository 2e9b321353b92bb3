//! OpenAI Chat Completions, which most compatible servers speak.

use super::{Backend, Piece, Reader, arguments, count_at, put, text_at};
use crate::conversation::{Answer, Message, Request, Said, Stop, ToolUse};
use crate::fault::Fault;
use crate::form::is_strict;
use crate::http::now;
use orcha_agent::Usage;
use orcha_agent::llm::Call;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Chat;

impl Backend for Chat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn headers(&self, key: Option<&str>, _user: bool) -> Vec<(&'static str, String)> {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn body(&self, call: &Call, request: &Request<'_>) -> Value {
        body(call, request)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ChatReader::default())
    }
}

pub(super) fn body(call: &Call, request: &Request<'_>) -> Value {
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    if request.system.is_empty() {
        messages.clear();
    }
    messages.extend(request.messages.iter().map(message));
    let mut body = json!({
        "model": call.model, "messages": messages, "stream": true, "stream_options": {"include_usage": true},
    });
    if !request.offers.is_empty() {
        let tool = |it: &crate::conversation::Offer| json!({"type": "function", "function": {"name": it.name, "description": it.description, "parameters": it.schema}});
        body["tools"] = request.offers.iter().map(tool).collect();
    }
    if let Some(name) = request.must_call {
        body["tool_choice"] = json!({"type": "function", "function": {"name": name}});
    }
    if let Some(form) = request.form {
        let schema = json!({"name": form.name, "schema": form.schema, "strict": is_strict(&form.schema)});
        body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    }
    put(&mut body, "max_completion_tokens", call.behaviour.max_output_tokens);
    put(&mut body, "reasoning_effort", call.behaviour.effort.clone());
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Model(said) => {
            let mut message = json!({"role": "assistant", "content": said.text});
            if !said.calls.is_empty() {
                let function = |it: &ToolUse| json!({"name": it.name, "arguments": it.args.to_string()});
                let call = |it: &ToolUse| json!({"id": it.id, "type": "function", "function": function(it)});
                message["tool_calls"] = said.calls.iter().map(call).collect();
            }
            message
        }
        Message::Tool(given) => json!({"role": "tool", "tool_call_id": given.id, "content": given.output}),
    }
}

#[derive(Default)]
pub(super) struct ChatReader {
    text: String,
    calls: BTreeMap<u64, (String, String, String)>,
    usage: Option<Usage>,
    stop: Option<Stop>,
}

impl Reader for ChatReader {
    fn hear(&mut self, chunk: &Value, pieces: &mut Vec<Piece>) -> Result<bool, Fault> {
        if chunk.get("error").is_some_and(|it| !it.is_null()) {
            return Err(Fault::in_stream(chunk, now()));
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        for field in ["reasoning_content", "reasoning"] {
            if let Some(text) = delta.get(field).and_then(Value::as_str).filter(|it| !it.is_empty()) {
                pieces.push(Piece::Thinking(text.to_owned()));
            }
        }
        for field in ["content", "refusal"] {
            if let Some(text) = delta.get(field).and_then(Value::as_str).filter(|it| !it.is_empty()) {
                self.text.push_str(text);
                pieces.push(Piece::Text(text.to_owned()));
            }
        }
        for (at, part) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
            // Some servers leave the index out when there is one call a chunk.
            let index = part.get("index").and_then(Value::as_u64).unwrap_or(at as u64);
            let (id, name, args) = self.calls.entry(index).or_default();
            // Said once by most, with every piece by some.
            if id.is_empty() {
                text_at(part, "id").clone_into(id);
            }
            if name.is_empty() {
                text_at(&part["function"], "name").clone_into(name);
            }
            args.push_str(text_at(&part["function"], "arguments"));
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.stop = Some(match reason {
                "length" => Stop::Length,
                "content_filter" => Stop::Refused,
                _ => Stop::Natural,
            });
        }
        if chunk.get("usage").is_some_and(Value::is_object) {
            let usage = usage(&chunk["usage"]);
            self.usage = Some(usage);
            pieces.push(Piece::Usage(usage));
        }
        // The cost comes behind the last word. A server that never says it ends its stream: see `ended`.
        Ok(self.stop.is_some() && self.usage.is_some())
    }

    fn ended(&self) -> bool {
        self.stop.is_some()
    }

    fn finish(self: Box<Self>) -> Answer {
        let calls = self.calls.into_iter().filter(|(_, (_, name, _))| !name.is_empty());
        let calls = calls.map(|(at, (id, name, args))| {
            let id = if id.is_empty() { format!("call_{at}") } else { id };
            ToolUse { id, name, args: arguments(&args) }
        });
        Answer {
            said: Said { text: self.text, calls: calls.collect(), own: None },
            usage: Usage { model_calls: 1, ..self.usage.unwrap_or_default() },
            stop: self.stop.unwrap_or_default(),
        }
    }
}

fn usage(usage: &Value) -> Usage {
    let cached = count_at(usage, "/prompt_tokens_details/cached_tokens");
    Usage {
        input: count_at(usage, "/prompt_tokens").saturating_sub(cached),
        output: count_at(usage, "/completion_tokens"),
        cache_read: cached,
        cache_write: 0,
        reasoning: count_at(usage, "/completion_tokens_details/reasoning_tokens"),
        micro_usd: None,
        model_calls: 0,
    }
}
