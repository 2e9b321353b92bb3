//! OpenAI Responses. Nothing is stored at the provider: reasoning comes sealed, and is handed back as it came.

use super::{Backend, Piece, Reader, arguments, count_at, put, text_at};
use crate::conversation::{Answer, Message, Offer, Own, Request, Said, Stop, ToolUse};
use crate::fault::Fault;
use crate::form::is_strict;
use crate::http::now;
use orcha_agent::Usage;
use orcha_agent::llm::{Api, Call};
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Responses;

impl Backend for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn headers(&self, key: Option<&str>, _user: bool) -> Vec<(&'static str, String)> {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn body(&self, call: &Call, request: &Request<'_>) -> Value {
        let input: Vec<Value> = request.messages.iter().flat_map(items).collect();
        let mut body = json!({
            "model": call.model, "input": input, "stream": true, "store": false,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": request.conversation,
        });
        put(&mut body, "instructions", (!request.system.is_empty()).then_some(request.system));
        if !request.offers.is_empty() {
            let tool = |it: &Offer| json!({"type": "function", "name": it.name, "description": it.description, "parameters": it.schema, "strict": false});
            body["tools"] = request.offers.iter().map(tool).collect();
        }
        if let Some(name) = request.must_call {
            body["tool_choice"] = json!({"type": "function", "name": name});
        }
        if let Some(form) = request.form {
            let strict = is_strict(&form.schema);
            body["text"] =
                json!({"format": {"type": "json_schema", "name": form.name, "schema": form.schema, "strict": strict}});
        }
        if let Some(effort) = &call.behaviour.effort {
            body["reasoning"] = json!({"effort": effort, "summary": "auto"});
        }
        put(&mut body, "max_output_tokens", call.behaviour.max_output_tokens);
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ResponsesReader::default())
    }
}

fn items(message: &Message) -> Vec<Value> {
    match message {
        Message::User { text } => {
            vec![json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})]
        }
        Message::Model(Said { own: Some(Own { api: Api::OpenaiResponses, items }), .. }) => items.clone(),
        Message::Model(said) => {
            let mut items = Vec::new();
            if !said.text.is_empty() {
                let content = json!([{"type": "output_text", "text": said.text}]);
                items.push(json!({"type": "message", "role": "assistant", "content": content}));
            }
            items.extend(said.calls.iter().map(|it| {
                json!({"type": "function_call", "call_id": it.id, "name": it.name, "arguments": it.args.to_string()})
            }));
            items
        }
        Message::Tool(given) => {
            vec![json!({"type": "function_call_output", "call_id": given.id, "output": given.output})]
        }
    }
}

#[derive(Default)]
struct ResponsesReader {
    items: Vec<Value>,
    usage: Usage,
    stop: Stop,
}

impl Reader for ResponsesReader {
    fn hear(&mut self, event: &Value, pieces: &mut Vec<Piece>) -> Result<bool, Fault> {
        match text_at(event, "type") {
            "response.output_text.delta" | "response.refusal.delta" => {
                pieces.push(Piece::Text(text_at(event, "delta").to_owned()));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                pieces.push(Piece::Thinking(text_at(event, "delta").to_owned()));
            }
            "response.output_item.done" => self.items.push(event["item"].clone()),
            "response.completed" => {
                self.spent(event, pieces);
                return Ok(true);
            }
            "response.incomplete" => {
                self.spent(event, pieces);
                self.stop = match event.pointer("/response/incomplete_details/reason").and_then(Value::as_str) {
                    Some("content_filter") => Stop::Refused,
                    _ => Stop::Length,
                };
                return Ok(true);
            }
            "response.failed" => return Err(Fault::in_stream(&event["response"], now())),
            "error" => return Err(Fault::in_stream(event, now())),
            // Newer servers say more than we know; what we do not know changes nothing.
            _ => {}
        }
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Answer {
        let mut said = Said::default();
        let mut stop = self.stop;
        for item in &self.items {
            match text_at(item, "type") {
                "message" => {
                    for part in item["content"].as_array().into_iter().flatten() {
                        said.text.push_str(text_at(part, "text"));
                        if text_at(part, "type") == "refusal" {
                            said.text.push_str(text_at(part, "refusal"));
                            stop = Stop::Refused;
                        }
                    }
                }
                "function_call" => said.calls.push(ToolUse {
                    id: text_at(item, "call_id").to_owned(),
                    name: text_at(item, "name").to_owned(),
                    args: arguments(text_at(item, "arguments")),
                }),
                _ => {}
            }
        }
        said.own = Some(Own { api: Api::OpenaiResponses, items: self.items });
        Answer { said, usage: Usage { model_calls: 1, ..self.usage }, stop }
    }
}

impl ResponsesReader {
    fn spent(&mut self, event: &Value, pieces: &mut Vec<Piece>) {
        let usage = &event["response"]["usage"];
        let cached = count_at(usage, "/input_tokens_details/cached_tokens");
        self.usage = Usage {
            input: count_at(usage, "/input_tokens").saturating_sub(cached),
            output: count_at(usage, "/output_tokens"),
            cache_read: cached,
            reasoning: count_at(usage, "/output_tokens_details/reasoning_tokens"),
            ..Usage::default()
        };
        pieces.push(Piece::Usage(self.usage));
    }
}
