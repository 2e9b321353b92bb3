//! JSON-RPC 2.0 over lines, as Codex (which leaves the version out) and every ACP agent speak it.
//!
//! Our own requests have ids that say what they were for (`prompt:<key>`), so that an answer is understood
//! without remembering the question, also after a restart. Ids of the agent's requests are passed on as they are.

use crate::Event;
use crate::text::{object, raw};
use orcha_exec::InputLine;
use serde_json::{Value, json};

/// The id and key of the first request.
pub(crate) const HELLO: &str = "initialize";
/// The id and key of the request that opens or resumes the conversation.
pub(crate) const OPEN: &str = "open";

/// The error code for a method that the receiver does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// The agent wants an answer.
    Request { id: Value, method: String, params: Value },
    /// It tells something.
    Notice { method: String, params: Value },
    /// It answers one of our requests.
    Answer { to: String, result: Result<Value, Value> },
    /// It answers a request that is not ours.
    Stray,
}

/// Reads a line: `None` is blank, an event is one that is not of the protocol.
pub(crate) fn read(line: &[u8], truncated: bool) -> Option<Result<Message, Event>> {
    let mut message = match object(line, truncated)? {
        Ok(message) => message,
        Err(event) => return Some(Err(event)),
    };
    let id = message.get("id").filter(|it| it.is_number() || it.is_string()).cloned();
    let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
    let mut take = |field: &str| message.get_mut(field).map(Value::take);
    Some(Ok(match (id, method) {
        (Some(id), Some(method)) => Message::Request { id, method, params: take("params").unwrap_or_default() },
        (None, Some(method)) => Message::Notice { method, params: take("params").unwrap_or_default() },
        (Some(id), None) => {
            let result = match (take("error"), take("result")) {
                (Some(error), _) => Err(error),
                (None, Some(result)) => Ok(result),
                (None, None) => return Some(Err(raw(line, truncated))),
            };
            match id {
                Value::String(to) => Message::Answer { to, result },
                _ => Message::Stray,
            }
        }
        (None, None) => return Some(Err(raw(line, truncated))),
    }))
}

/// Frames requests, notices and answers, with or without the version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) version: bool,
}

impl Frame {
    /// Frames a request; its id is its key.
    pub(crate) fn request(self, key: &str, method: &str, params: &Value) -> InputLine {
        self.line(key, json!({"id": key, "method": method, "params": params}))
    }

    /// Frames a notice.
    pub(crate) fn notice(self, key: &str, method: &str, params: Option<&Value>) -> InputLine {
        let mut message = json!({"method": method});
        if let Some(params) = params {
            message["params"] = params.clone();
        }
        self.line(key, message)
    }

    /// Frames the answer to a request of the agent.
    pub(crate) fn answer(self, id: &Value, result: &Value) -> InputLine {
        self.line(&answer_key(id), json!({"id": id, "result": result}))
    }

    /// Says that we have no such method, so that the agent does not wait for ever.
    pub(crate) fn refuse(self, id: &Value, method: &str) -> InputLine {
        let method: String = method.chars().take(100).collect();
        let error = json!({"code": METHOD_NOT_FOUND, "message": format!("method not found: {method}")});
        self.line(&answer_key(id), json!({"id": id, "error": error}))
    }

    fn line(self, key: &str, mut message: Value) -> InputLine {
        if self.version {
            message["jsonrpc"] = json!("2.0");
        }
        InputLine { key: key.to_owned(), text: message.to_string() }
    }
}

fn answer_key(id: &Value) -> String {
    format!("answer:{id}")
}

/// Returns what an id of ours was for, and the key.
pub(crate) fn purpose(id: &str) -> (&str, &str) {
    id.split_once(':').unwrap_or((id, ""))
}
