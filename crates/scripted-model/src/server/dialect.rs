//! The dialects: what a request says in each, and how a reply is written in it.
//!
//! Pure: values in, values out. When the frames of a stream are sent is decided in `http`.

mod chat;
mod gemini;
mod messages;
pub mod ollama;
mod responses;

use crate::server::ask::{Api, Ask};
use crate::server::plan::Plan;
use axum::http::HeaderMap;
use serde_json::{Value, json};

/// One event of a stream.
#[derive(Debug)]
pub struct Frame {
    name: Option<String>,
    data: String,
    /// Whether it is a line by itself and no server-sent event.
    is_line: bool,
    /// Whether it carries a piece of the answer's text.
    pub is_piece: bool,
}

impl Frame {
    /// An event without a name.
    fn plain(data: &Value) -> Self {
        Self { name: None, data: data.to_string(), is_line: false, is_piece: false }
    }

    /// A line of a stream that knows no events.
    fn line(data: &Value) -> Self {
        Self { is_line: true, ..Self::plain(data) }
    }

    /// An event whose name is its `type`.
    fn typed(data: &Value) -> Self {
        let name = data.get("type").and_then(Value::as_str).map(str::to_owned);
        Self { name, ..Self::plain(data) }
    }

    fn piece(self) -> Self {
        Self { is_piece: true, ..self }
    }

    /// Writes it as it is sent.
    pub fn to_wire(&self) -> String {
        if self.is_line {
            return format!("{}\n", self.data);
        }
        let name = self.name.as_ref().map(|name| format!("event: {name}\n")).unwrap_or_default();
        format!("{name}data: {}\n\n", self.data)
    }
}

/// Reads what a request asks.
pub fn read(api: Api, path: &str, headers: &HeaderMap, body: &Value) -> Ask {
    let mut ask = match api {
        Api::Messages => messages::read(body),
        Api::Responses => responses::read(body),
        Api::Chat => chat::read(body),
        Api::Copilot => Ask { api, ..chat::read(body) },
        Api::Ollama => ollama::read(body),
        Api::Gemini => gemini::read(path, body),
    };
    if ask.conversation.is_none() {
        let named = CONVERSATION_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
        ask.conversation = named.map(str::to_owned);
    }
    ask
}

/// Headers in which Claude Code, Codex and opencode name their conversation.
const CONVERSATION_HEADERS: [&str; 3] = ["x-claude-code-session-id", "session-id", "x-session-affinity"];

/// Writes a reply as a stream.
pub fn frames(api: Api, plan: &Plan) -> Vec<Frame> {
    match api {
        Api::Messages => messages::frames(plan),
        Api::Responses => responses::frames(plan),
        Api::Chat | Api::Copilot => chat::frames(plan),
        Api::Ollama => ollama::frames(plan),
        Api::Gemini => gemini::frames(plan),
    }
}

/// Writes a reply in one piece.
pub fn whole(api: Api, plan: &Plan) -> Value {
    match api {
        Api::Messages => messages::whole(plan),
        Api::Responses => responses::whole(plan),
        Api::Chat | Api::Copilot => chat::whole(plan),
        Api::Ollama => ollama::whole(plan),
        Api::Gemini => gemini::whole(plan),
    }
}

/// Writes an error that comes after the stream has begun.
pub fn failed(api: Api, body: &Value) -> Frame {
    match api {
        Api::Messages => Frame::typed(body),
        Api::Responses => responses::failed(body),
        Api::Chat | Api::Copilot | Api::Gemini => Frame::plain(body),
        Api::Ollama => Frame::line(body),
    }
}

/// Returns the smallest value that fits a schema, for those who want their answer in JSON.
pub fn sample(schema: &Value) -> Value {
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|it| it.first()) {
        return first.clone();
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or("object").to_ascii_lowercase();
    match kind.as_str() {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array);
            let names: Vec<&str> = match (required, properties) {
                (Some(required), _) => required.iter().filter_map(Value::as_str).collect(),
                (None, Some(properties)) => properties.keys().map(String::as_str).collect(),
                (None, None) => Vec::new(),
            };
            let text = json!({"type": "string"});
            let inner = |name: &str| sample(properties.and_then(|it| it.get(name)).unwrap_or(&text));
            Value::Object(names.into_iter().map(|name| (name.to_owned(), inner(name))).collect())
        }
        "array" => json!([]),
        "string" => json!("ok"),
        "boolean" => json!(false),
        "null" => Value::Null,
        _ => schema.get("minimum").cloned().unwrap_or(json!(1)),
    }
}

/// Returns the arguments of a call as text, whether they came as text or as JSON.
fn raw(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_fits_its_schema() {
        let schema = json!({"type": "OBJECT", "required": ["a", "b", "c"], "properties": {
            "a": {"type": "string", "enum": ["x", "y"]}, "b": {"type": "integer", "minimum": 3}, "d": {"type": "array"}}});
        assert_eq!(sample(&schema).to_string(), r#"{"a":"x","b":3,"c":"ok"}"#);
        assert_eq!(
            sample(&json!({"type": "object", "properties": {"d": {"type": "array"}}})).to_string(),
            r#"{"d":[]}"#
        );
    }
}
