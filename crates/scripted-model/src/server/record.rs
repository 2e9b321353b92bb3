//! What the server keeps of each request, for the assertions of a test.
//!
//! Secrets do not get in: of a credential only where it stood and whether it was the expected one is kept.

use crate::server::ask::{Api, Ask};
use crate::server::scenario::Usage;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One request and what it was answered.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Counts from 0, in the order of arrival.
    pub number: u64,
    /// Milliseconds since the server started.
    pub at_ms: u64,
    /// The method.
    pub method: String,
    /// The path with its query, without keys.
    pub path: String,
    /// The headers, without those that carry secrets.
    pub headers: BTreeMap<String, String>,
    /// The credential that came along.
    pub credential: Option<Credential>,
    /// The body, or null where it was no JSON.
    pub body: Value,
    /// What the model was asked, in words that all dialects share.
    pub asked: Option<Asked>,
    /// What it was answered.
    pub said: Said,
    /// Whether the client went away before the answer was complete.
    pub hung_up: bool,
}

/// A credential, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The header in which it stood, or `key` for the query.
    pub place: String,
    /// Whether it was the one that the scenario requires; true where it requires none.
    pub fits: bool,
}

/// What the model was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// In which dialect.
    pub api: Api,
    /// Of which model.
    pub model: String,
    /// Whether the answer was wanted as a stream.
    pub stream: bool,
    /// What the user said last.
    pub user: String,
    /// What tools gave since then.
    pub tool_result: String,
    /// The names of the declared tools.
    pub tools: Vec<String>,
}

impl From<&Ask> for Asked {
    fn from(ask: &Ask) -> Self {
        let name = |tool: &crate::server::ask::Tool| match &tool.namespace {
            Some(namespace) => format!("{namespace}/{}", tool.name),
            None => tool.name.clone(),
        };
        Self {
            api: ask.api,
            model: ask.model.clone(),
            stream: ask.stream,
            user: ask.talk.user.clone(),
            tool_result: ask.talk.tool_result(),
            tools: ask.tools.iter().map(name).collect(),
        }
    }
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    /// A reply of the model.
    Reply {
        /// Whether it was one of `replies` or `otherwise`, not an answer to a side request.
        main: bool,
        /// Its text.
        text: String,
        /// The tools that it calls.
        calls: Vec<String>,
        /// What it was said to cost, as far as the dialect has words for it.
        usage: Usage,
        /// Why the script could not be played.
        script_error: Option<String>,
    },
    /// An error of the model.
    Error {
        /// Whether it was one of `replies` or `otherwise`; a refused key is none.
        main: bool,
        /// The status.
        status: u16,
    },
    /// Something beside the model: a list of models, a count of tokens, a probe.
    Aside,
    /// An answer of the MCP server.
    Mcp {
        /// The method that was called.
        method: String,
    },
    /// Nothing that this server knows.
    Unknown,
}

/// How far the scenario is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Requests that used up a reply, or `otherwise`.
    pub main: u64,
    /// Side requests.
    pub aux: u64,
    /// Errors that were sent.
    pub errors: u64,
    /// Requests whose client went away before the answer was complete.
    pub hung_up: u64,
    /// Calls of MCP tools.
    pub mcp_calls: u64,
    /// Requests that this server does not know, and bodies that it cannot read.
    pub unknown: u64,
    /// Replies that could not be played as written.
    pub script_errors: u64,
    /// What is left of the replies that do not repeat for ever; without those that each conversation has.
    pub replies_left: u64,
    /// The gates at which replies are held now.
    pub held: Vec<String>,
    /// Records that were dropped because there were too many.
    pub forgotten: u64,
}

/// Headers that carry secrets.
const SECRET: [&str; 6] = ["authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"];

/// Returns the headers that carry no secret.
pub fn open_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let open = headers.iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
    open.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

/// Returns path and query with keys blotted out.
pub fn open_path(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let open = query.split('&').map(|pair| if pair.starts_with("key=") { "key=…" } else { pair });
    format!("{}?{}", uri.path(), open.collect::<Vec<_>>().join("&"))
}

/// Finds the credential of a request, and where it stood.
pub fn credential(headers: &HeaderMap, uri: &Uri) -> Option<(String, String)> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let keys = ["x-api-key", "x-goog-api-key", "api-key"];
    if let Some(found) = keys.iter().find_map(|name| Some(((*name).to_owned(), text(name)?))) {
        return Some(found);
    }
    if let Some(value) = text("authorization") {
        let bearer =
            value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") || *scheme == "token");
        let key = bearer.map_or(value.as_str(), |(_, key)| key).to_owned();
        return Some(("authorization".to_owned(), key));
    }
    let key = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(("key".to_owned(), key.to_owned()))
}
