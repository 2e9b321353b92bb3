//! Anthropic Messages. The system prompt, the tools and the conversation so far are marked for the cache.

use super::{Backend, Piece, Reader, arguments, count_at, put, text_at};
use crate::conversation::{Answer, Message, Offer, Own, Request, Said, Stop, ToolUse};
use crate::fault::Fault;
use crate::http::now;
use orcha_agent::Usage;
use orcha_agent::llm::{Api, Call};
use serde_json::{Value, json};

/// How long an answer may become where nobody says: the API wants to be told.
const MAX_TOKENS: u64 = 16_384;

#[derive(Debug)]
pub(super) struct Anthropic;

impl Backend for Anthropic {
    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn headers(&self, key: Option<&str>, _user: bool) -> Vec<(&'static str, String)> {
        let version = ("anthropic-version", "2023-06-01".to_owned());
        let key = key.map(|key| ("x-api-key", key.to_owned()));
        std::iter::once(version).chain(key).collect()
    }

    fn body(&self, call: &Call, request: &Request<'_>) -> Value {
        let mut messages: Vec<Value> = Vec::new();
        let mut gave_before = false;
        for message in request.messages {
            let (role, blocks) = blocks(message);
            let gives = matches!(message, Message::Tool(_));
            // The results of one answer stand in one message.
            let last = messages.last_mut().filter(|_| gives && gave_before);
            match last.and_then(|it| it["content"].as_array_mut()) {
                Some(content) => content.extend(blocks),
                None => messages.push(json!({"role": role, "content": blocks})),
            }
            gave_before = gives;
        }
        let cached = json!({"type": "ephemeral"});
        if let Some(block) =
            messages.last_mut().and_then(|it| it["content"].as_array_mut()).and_then(|it| it.last_mut())
        {
            block["cache_control"] = cached.clone();
        }
        let max_tokens = call.behaviour.max_output_tokens.unwrap_or(MAX_TOKENS);
        let mut body = json!({"model": call.model, "max_tokens": max_tokens, "messages": messages, "stream": true});
        if !request.system.is_empty() {
            body["system"] = json!([{"type": "text", "text": request.system, "cache_control": cached}]);
        }
        if !request.offers.is_empty() {
            let tool = |it: &Offer| json!({"name": it.name, "description": it.description, "input_schema": it.schema});
            body["tools"] = request.offers.iter().map(tool).collect();
        }
        if let Some(name) = request.must_call {
            body["tool_choice"] = json!({"type": "tool", "name": name});
        }
        let mut config = json!({});
        put(&mut config, "effort", call.behaviour.effort.clone());
        if let Some(form) = request.form {
            config["format"] = json!({"type": "json_schema", "schema": form.schema});
        }
        if config != json!({}) {
            body["output_config"] = config;
        }
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(AnthropicReader::default())
    }
}

fn blocks(message: &Message) -> (&'static str, Vec<Value>) {
    match message {
        Message::User { text } => ("user", vec![json!({"type": "text", "text": text})]),
        Message::Model(Said { own: Some(Own { api: Api::Anthropic, items }), .. }) if !items.is_empty() => {
            ("assistant", items.clone())
        }
        Message::Model(said) => {
            let mut blocks = Vec::new();
            if !said.text.trim().is_empty() {
                blocks.push(json!({"type": "text", "text": said.text}));
            }
            let call = |it: &ToolUse| json!({"type": "tool_use", "id": it.id, "name": it.name, "input": it.args});
            blocks.extend(said.calls.iter().map(call));
            if blocks.is_empty() {
                // The API takes no empty message.
                blocks.push(json!({"type": "text", "text": "(nothing)"}));
            }
            ("assistant", blocks)
        }
        Message::Tool(given) => {
            let result = json!({
                "type": "tool_result", "tool_use_id": given.id, "content": given.output, "is_error": given.failed,
            });
            ("user", vec![result])
        }
    }
}

#[derive(Default)]
struct AnthropicReader {
    blocks: Vec<Value>,
    /// The arguments of the running call, as they come.
    args: String,
    usage: Usage,
    stop: Stop,
}

impl Reader for AnthropicReader {
    fn hear(&mut self, event: &Value, pieces: &mut Vec<Piece>) -> Result<bool, Fault> {
        match text_at(event, "type") {
            "message_start" => self.spent(&event["message"]["usage"], pieces),
            "content_block_start" => {
                self.args.clear();
                self.blocks.push(event["content_block"].clone());
            }
            "content_block_delta" => self.delta(&event["delta"], pieces),
            "content_block_stop" => {
                if let Some(block) = self.blocks.last_mut()
                    && text_at(block, "type") == "tool_use"
                    && !self.args.is_empty()
                {
                    block["input"] = arguments(&self.args);
                }
            }
            "message_delta" => {
                self.spent(&event["usage"], pieces);
                self.stop = match event.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    Some("max_tokens") => Stop::Length,
                    Some("refusal") => Stop::Refused,
                    Some("model_context_window_exceeded") => Stop::ContextFull,
                    _ => self.stop,
                };
            }
            "message_stop" => return Ok(true),
            "error" => return Err(Fault::in_stream(event, now())),
            // Newer servers say more than we know; what we do not know changes nothing.
            _ => {}
        }
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Answer {
        let mut said = Said::default();
        for block in &self.blocks {
            match text_at(block, "type") {
                "text" => said.text.push_str(text_at(block, "text")),
                "tool_use" => said.calls.push(ToolUse {
                    id: text_at(block, "id").to_owned(),
                    name: text_at(block, "name").to_owned(),
                    args: block["input"].clone(),
                }),
                _ => {}
            }
        }
        // An empty text is not taken back.
        let is_empty = |it: &Value| text_at(it, "type") == "text" && text_at(it, "text").trim().is_empty();
        let items = self.blocks.into_iter().filter(|it| !is_empty(it)).collect();
        said.own = Some(Own { api: Api::Anthropic, items });
        Answer { said, usage: Usage { model_calls: 1, ..self.usage }, stop: self.stop }
    }
}

impl AnthropicReader {
    fn delta(&mut self, delta: &Value, pieces: &mut Vec<Piece>) {
        let (field, text) = match text_at(delta, "type") {
            "text_delta" => ("text", text_at(delta, "text")),
            "thinking_delta" => ("thinking", text_at(delta, "thinking")),
            "signature_delta" => ("signature", text_at(delta, "signature")),
            "input_json_delta" => {
                self.args.push_str(text_at(delta, "partial_json"));
                return;
            }
            _ => return,
        };
        match field {
            "text" => pieces.push(Piece::Text(text.to_owned())),
            "thinking" => pieces.push(Piece::Thinking(text.to_owned())),
            _ => {}
        }
        if let Some(block) = self.blocks.last_mut() {
            let whole = format!("{}{text}", text_at(block, field));
            block[field] = whole.into();
        }
    }

    /// Takes a cost. Later ones replace earlier ones, and may leave out what did not change.
    fn spent(&mut self, usage: &Value, pieces: &mut Vec<Piece>) {
        for (field, place) in [
            ("/input_tokens", &mut self.usage.input),
            ("/output_tokens", &mut self.usage.output),
            ("/cache_read_input_tokens", &mut self.usage.cache_read),
            ("/cache_creation_input_tokens", &mut self.usage.cache_write),
        ] {
            *place = count_at(usage, field).max(*place);
        }
        pieces.push(Piece::Usage(self.usage));
    }
}
