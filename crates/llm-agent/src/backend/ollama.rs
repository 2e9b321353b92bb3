//! Ollama's own language: a stream of lines.

use super::{Backend, Piece, Reader, count_at, put, text_at};
use crate::conversation::{Answer, Message, Offer, Request, Said, Stop, ToolUse};
use crate::fault::Fault;
use crate::http::now;
use orcha_agent::Usage;
use orcha_agent::llm::Call;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Ollama;

impl Backend for Ollama {
    fn path(&self) -> &'static str {
        "/api/chat"
    }

    fn headers(&self, key: Option<&str>, _user: bool) -> Vec<(&'static str, String)> {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn body(&self, call: &Call, request: &Request<'_>) -> Value {
        let mut messages = vec![json!({"role": "system", "content": request.system})];
        if request.system.is_empty() {
            messages.clear();
        }
        messages.extend(request.messages.iter().map(message));
        let mut body = json!({"model": call.model, "messages": messages, "stream": true});
        if !request.offers.is_empty() {
            let tool = |it: &Offer| json!({"type": "function", "function": {"name": it.name, "description": it.description, "parameters": it.schema}});
            body["tools"] = request.offers.iter().map(tool).collect();
        }
        if let Some(form) = request.form {
            body["format"] = form.schema.clone();
        }
        let think = |word: &String| if word == "none" { json!(false) } else { json!(word) };
        put(&mut body, "think", call.behaviour.effort.as_ref().map(think));
        let mut options = json!({});
        put(&mut options, "num_ctx", call.behaviour.context_tokens);
        put(&mut options, "num_predict", call.behaviour.max_output_tokens);
        if options != json!({}) {
            body["options"] = options;
        }
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OllamaReader::default())
    }

    fn speaks_lines(&self) -> bool {
        true
    }
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Model(said) => {
            let mut message = json!({"role": "assistant", "content": said.text});
            if !said.calls.is_empty() {
                let call = |it: &ToolUse| json!({"id": it.id, "function": {"name": it.name, "arguments": it.args}});
                message["tool_calls"] = said.calls.iter().map(call).collect();
            }
            message
        }
        Message::Tool(given) => {
            json!({"role": "tool", "tool_name": given.name, "tool_call_id": given.id, "content": given.output})
        }
    }
}

#[derive(Default)]
struct OllamaReader {
    said: Said,
    usage: Usage,
    stop: Stop,
}

impl Reader for OllamaReader {
    fn hear(&mut self, line: &Value, pieces: &mut Vec<Piece>) -> Result<bool, Fault> {
        if line.get("error").is_some() {
            return Err(Fault::in_stream(line, now()));
        }
        let message = &line["message"];
        let thinking = text_at(message, "thinking");
        if !thinking.is_empty() {
            pieces.push(Piece::Thinking(thinking.to_owned()));
        }
        let text = text_at(message, "content");
        if !text.is_empty() {
            self.said.text.push_str(text);
            pieces.push(Piece::Text(text.to_owned()));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let args = match &function["arguments"] {
                Value::String(text) => super::arguments(text),
                Value::Null => json!({}),
                args => args.clone(),
            };
            let known = text_at(call, "id");
            // Older servers give no ids; ours only have to be different within the conversation.
            let id = if known.is_empty() { format!("call_{:08x}", rand::random::<u32>()) } else { known.to_owned() };
            self.said.calls.push(ToolUse { id, name: text_at(function, "name").to_owned(), args });
        }
        if line.get("done") != Some(&Value::Bool(true)) {
            return Ok(false);
        }
        self.usage = Usage {
            input: count_at(line, "/prompt_eval_count"),
            output: count_at(line, "/eval_count"),
            ..Usage::default()
        };
        pieces.push(Piece::Usage(self.usage));
        if text_at(line, "done_reason") == "length" {
            self.stop = Stop::Length;
        }
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Answer {
        Answer { said: self.said, usage: Usage { model_calls: 1, ..self.usage }, stop: self.stop }
    }
}
