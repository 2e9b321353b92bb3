//! A conversation in words that all providers share.
//!
//! Data only. How it looks on the wire is in `backend`, how it is kept in `shelf`.

use orcha_agent::Usage;
use orcha_agent::llm::Api;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub(crate) enum Message {
    /// What the user said.
    User { text: String },
    /// What the model said.
    Model(Said),
    /// What a tool gave.
    Tool(Given),
}

/// What the model said in one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolUse>,
    /// The answer as the provider wants it back: with signatures and sealed reasoning.
    pub(crate) own: Option<Own>,
}

/// An answer in the words of one API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) api: Api,
    pub(crate) items: Vec<Value>,
}

/// A call that the model makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToolUse {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) args: Value,
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) output: String,
    pub(crate) failed: bool,
}

/// A tool as it is offered to a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
}

/// The form in which an answer is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) system: &'a str,
    pub(crate) messages: &'a [Message],
    pub(crate) offers: &'a [Offer],
    /// The form of the answer, by the API's own parameter.
    pub(crate) form: Option<&'a Form>,
    /// The one tool that must be called.
    pub(crate) must_call: Option<&'a str>,
    /// The name of the conversation: providers cache by it.
    pub(crate) conversation: &'a str,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    pub(crate) usage: Usage,
    pub(crate) stop: Stop,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was done, or it calls tools.
    #[default]
    Natural,
    /// The answer is as long as it may be.
    Length,
    /// The conversation is as long as it may be.
    ContextFull,
    /// It refused.
    Refused,
}
