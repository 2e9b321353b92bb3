//! What an agent over a model's API is told when it starts.
//!
//! It is written into a private file and read once. Data only.

use super::server::Server;
use crate::{Output, Permissions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The settings of one run.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the model is called.
    pub call: Call,
    /// The key, or the token that is exchanged for one.
    pub key: Option<String>,
    /// What a million tokens of the model cost; `None` when nobody knows.
    pub price: Option<Price>,
    /// The rules of the role.
    pub rules: String,
    /// The folder that it works in.
    pub dir: PathBuf,
    /// The name of its conversation.
    pub conversation: String,
    /// Whether the conversation is gone on with.
    pub resume: bool,
    /// What it may do without asking.
    pub permissions: Permissions,
    /// The daemon's tools.
    pub tools: Option<Tools>,
    /// The local tools that it has.
    pub local_tools: Vec<String>,
    /// The tool servers that it may use.
    pub servers: Vec<Server>,
    /// What every turn must end in.
    pub output: Option<Output>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither key nor token.
        f.debug_struct("Settings").field("call", &self.call).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// How a model is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// In which language.
    pub api: Api,
    /// Where, without a slash at the end.
    pub base_url: String,
    /// Where a Copilot token is exchanged; other providers have no such place.
    pub token_url: Option<String>,
    /// The model.
    pub model: String,
    /// More headers of each request.
    pub headers: BTreeMap<String, String>,
    /// How it behaves.
    pub behaviour: Behaviour,
}

/// How an agent behaves towards its provider. Everything is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How hard a reasoning model thinks: `low`, `medium`, `high`.
    pub effort: Option<String>,
    /// How long an answer may become, in tokens.
    pub max_output_tokens: Option<u64>,
    /// How long a conversation may become; only Ollama must be told.
    pub context_tokens: Option<u64>,
    /// How the model is made to answer in a given form; by default as its API does it best.
    pub structured: Option<Structured>,
    /// How many calls a turn may make.
    pub max_calls: u32,
    /// How often a call is tried again that may succeed soon.
    pub retries: u32,
    /// How long the first pause before that is, in milliseconds; each further one is twice as long.
    pub retry_ms: u64,
    /// How long a rate limit is waited out in the process, in seconds; longer ones end the turn.
    pub wait_secs: u64,
    /// How long a connection may take to be made, in seconds.
    pub connect_secs: u64,
    /// How long a stream may be silent, in seconds.
    pub idle_secs: u64,
    /// How long one call may take, in seconds.
    pub call_secs: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            effort: None,
            max_output_tokens: None,
            context_tokens: None,
            structured: None,
            max_calls: 200,
            retries: 3,
            retry_ms: 1000,
            wait_secs: 20,
            connect_secs: 15,
            idle_secs: 300,
            call_secs: 1800,
        }
    }
}

/// The languages of model servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// OpenAI Responses.
    OpenaiResponses,
    /// OpenAI Chat Completions, which most compatible servers speak.
    OpenaiChat,
    /// Anthropic Messages.
    Anthropic,
    /// Ollama's own.
    Ollama,
    /// GitHub Copilot: Chat Completions with a token that is exchanged first.
    Copilot,
}

/// How a model is made to answer in a given form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structured {
    /// By the API's own parameter for a schema.
    Native,
    /// By a tool with that schema.
    Tool,
}

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// Read.
    pub input: f64,
    /// Written, reasoning included.
    pub output: f64,
    /// Read from the cache; without it as much as `input`.
    pub cache_read: Option<f64>,
    /// Written to the cache; without it as much as `input`.
    pub cache_write: Option<f64>,
}

/// The daemon's tools as the agent reaches them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// The name of the server.
    pub name: String,
    /// The endpoint.
    pub url: String,
    /// The session's credential.
    pub token: String,
    /// The tools that are allowed without asking.
    pub allowed: Vec<String>,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}
