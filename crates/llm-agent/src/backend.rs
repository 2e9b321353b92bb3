//! The languages of model servers behind one trait: what is sent, and what the messages of a stream mean.
//!
//! Each [`Backend`] is pure; the sending, the waiting and the cutting of streams are shared and stand here too.

mod anthropic;
mod chat;
mod copilot;
mod ollama;
mod responses;

use crate::conversation::{Answer, Request};
use crate::fault::{Class, Fault};
use crate::http;
use orcha_agent::Usage;
use orcha_agent::llm::{Api, Call, Structured};
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// One language. Pure.
pub(crate) trait Backend: Send + Sync + fmt::Debug {
    /// Returns the path below the base address.
    fn path(&self) -> &'static str;

    /// Returns the headers beside the ones of the configuration. `user` tells whether the user spoke last.
    fn headers(&self, key: Option<&str>, user: bool) -> Vec<(&'static str, String)>;

    /// Writes a request.
    fn body(&self, call: &Call, request: &Request<'_>) -> Value;

    /// Begins to read an answer.
    fn reader(&self) -> Box<dyn Reader>;

    /// Tells whether its streams are lines and not server-sent events.
    fn speaks_lines(&self) -> bool {
        false
    }

    /// Returns how it is best made to answer in a given form.
    fn structured(&self) -> Structured {
        Structured::Native
    }
}

/// One answer as it comes in. Pure.
pub(crate) trait Reader: Send {
    /// Understands one message of the stream; `true` when the answer is whole.
    fn hear(&mut self, message: &Value, pieces: &mut Vec<Piece>) -> Result<bool, Fault>;

    /// Tells whether the answer counts as whole when the stream ends here.
    fn ended(&self) -> bool {
        false
    }

    /// Returns the whole answer.
    fn finish(self: Box<Self>) -> Answer;
}

/// A piece of an answer that is not yet whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text.
    Text(String),
    /// Reasoning.
    Thinking(String),
    /// What it costs so far.
    Usage(Usage),
}

/// What takes the pieces.
pub(crate) type Sink<'a> = dyn FnMut(Piece) + Send + 'a;

/// A provider that is called.
#[derive(Debug)]
pub(crate) struct Provider {
    call: Call,
    backend: Box<dyn Backend>,
    http: Client,
    key: Option<String>,
    tokens: copilot::Tokens,
}

impl Provider {
    pub(crate) fn new(call: Call, key: Option<String>) -> Result<Self, reqwest::Error> {
        let backend: Box<dyn Backend> = match call.api {
            Api::OpenaiResponses => Box::new(responses::Responses),
            Api::OpenaiChat => Box::new(chat::Chat),
            Api::Anthropic => Box::new(anthropic::Anthropic),
            Api::Ollama => Box::new(ollama::Ollama),
            Api::Copilot => Box::new(copilot::Copilot),
        };
        let http = http::client(&call.base_url, Duration::from_secs(call.behaviour.connect_secs))?;
        Ok(Self { call, backend, http, key, tokens: copilot::Tokens::default() })
    }

    /// Returns how a form is asked for.
    pub(crate) fn structured(&self) -> Structured {
        self.call.behaviour.structured.unwrap_or_else(|| self.backend.structured())
    }

    /// Calls the model once. Dropped in the middle, it closes the connection.
    pub(crate) async fn call(&mut self, request: &Request<'_>, sink: &mut Sink<'_>) -> Result<Answer, Fault> {
        let whole = Duration::from_secs(self.call.behaviour.call_secs);
        match tokio::time::timeout(whole, self.attempt(request, sink)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::network("the call took too long")),
        }
    }

    async fn attempt(&mut self, request: &Request<'_>, sink: &mut Sink<'_>) -> Result<Answer, Fault> {
        if self.call.api != Api::Copilot {
            let (url, key) = (self.call.base_url.clone(), self.key.clone());
            return self.exchange(&url, key.as_deref(), request, sink).await;
        }
        let (token, is_fresh) = self.tokens.get(&self.http, &self.call, self.key.as_deref()).await?;
        match self.exchange(&token.url, Some(&token.text), request, sink).await {
            // It may have been withdrawn before its time.
            Err(fault) if fault.class == Class::Auth && !is_fresh => {
                self.tokens.forget();
                let (token, _) = self.tokens.get(&self.http, &self.call, self.key.as_deref()).await?;
                self.exchange(&token.url, Some(&token.text), request, sink).await
            }
            other => other,
        }
    }

    /// Asks for something beside a model's answer.
    pub(crate) async fn get(&mut self, path: &str, within: Duration) -> Result<Value, Fault> {
        let (url, key) = if self.call.api == Api::Copilot {
            let (token, _) = self.tokens.get(&self.http, &self.call, self.key.as_deref()).await?;
            (token.url, Some(token.text))
        } else {
            (self.call.base_url.clone(), self.key.clone())
        };
        let request = self.http.get(format!("{url}{path}")).headers(self.headers(key.as_deref(), false)?);
        http::json(http::send(request, within).await?, within).await
    }

    /// Asks for something beside a model's answer, with a body.
    pub(crate) async fn post(&self, path: &str, body: &Value, within: Duration) -> Result<Value, Fault> {
        let request = self.http.post(format!("{}{path}", self.call.base_url));
        let request = request.headers(self.headers(self.key.as_deref(), false)?).json(body);
        http::json(http::send(request, within).await?, within).await
    }

    fn headers(&self, key: Option<&str>, user: bool) -> Result<HeaderMap, Fault> {
        let own = self.backend.headers(key, user);
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let more = self.call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        http::headers(own.chain(more))
    }

    async fn exchange(
        &self,
        base_url: &str,
        key: Option<&str>,
        request: &Request<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Answer, Fault> {
        let idle = Duration::from_secs(self.call.behaviour.idle_secs);
        let user = matches!(request.messages.last(), Some(crate::conversation::Message::User { .. }));
        let post = self.http.post(format!("{base_url}{}", self.backend.path())).headers(self.headers(key, user)?);
        let response = http::send(post.json(&self.backend.body(&self.call, request)), idle).await?;
        let mut messages = if self.backend.speaks_lines() { http::lines(response) } else { http::events(response) };
        let mut reader = self.backend.reader();
        let mut pieces = Vec::new();
        while let Some(message) = http::next(&mut messages, idle).await? {
            // OpenAI's last word is no JSON, and says nothing that is not known.
            let Ok(message) = serde_json::from_str::<Value>(&message) else { continue };
            let is_whole = reader.hear(&message, &mut pieces)?;
            pieces.drain(..).for_each(&mut *sink);
            if is_whole {
                return Ok(reader.finish());
            }
        }
        if reader.ended() {
            return Ok(reader.finish());
        }
        Err(Fault::network("the stream ended before the answer was whole"))
    }
}

/// Returns text at a field, nothing where there is none.
fn text_at<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a count at a pointer; anything else is zero.
fn count_at(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Reads the arguments of a call. What is no object is kept under `_raw`, so that the tool can say what is wrong.
fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(args)) => Value::Object(args),
        Ok(_) | Err(_) if text.trim().is_empty() => Value::Object(Map::new()),
        Ok(_) | Err(_) => serde_json::json!({"_raw": text}),
    }
}

/// Puts a field into a body when there is something to put.
fn put(body: &mut Value, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[field] = value.into();
    }
}
