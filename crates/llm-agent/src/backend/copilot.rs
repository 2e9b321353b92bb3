//! GitHub Copilot: Chat Completions, with a short-lived token that GitHub's one is exchanged for.

use super::chat::{ChatReader, body};
use super::{Backend, Reader, text_at};
use crate::conversation::Request;
use crate::fault::{Class, Fault};
use crate::http;
use orcha_agent::llm::{Call, Structured};
use orcha_base::Timestamp;
use reqwest::Client;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// What the service wants to know of the editor that asks.
const EDITOR: [(&str, &str); 3] = [
    ("editor-version", concat!("orcha/", env!("CARGO_PKG_VERSION"))),
    ("editor-plugin-version", concat!("orcha/", env!("CARGO_PKG_VERSION"))),
    ("copilot-integration-id", "vscode-chat"),
];

/// A token is exchanged again so long before its end.
const MARGIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Copilot;

impl Backend for Copilot {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn headers(&self, key: Option<&str>, user: bool) -> Vec<(&'static str, String)> {
        let mut headers: Vec<_> = EDITOR.map(|(name, value)| (name, value.to_owned())).into();
        headers.push(("openai-intent", "conversation-panel".to_owned()));
        // What the user starts is counted, what the agent goes on with is not.
        headers.push(("x-initiator", if user { "user" } else { "agent" }.to_owned()));
        headers.extend(key.map(|key| ("authorization", format!("Bearer {key}"))));
        headers
    }

    fn body(&self, call: &Call, request: &Request<'_>) -> Value {
        body(call, request)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ChatReader::default())
    }

    fn structured(&self) -> Structured {
        // Not all models behind it know schemas; all that work here know tools.
        Structured::Tool
    }
}

/// A token for the models.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    /// Where the models are for this account.
    pub(super) url: String,
    expires: Timestamp,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The token that is at hand.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    known: Option<Token>,
}

impl Tokens {
    /// Returns a token that still holds, and whether it is new.
    pub(super) async fn get(&mut self, http: &Client, call: &Call, key: Option<&str>) -> Result<(Token, bool), Fault> {
        if let Some(known) = &self.known
            && known.expires > http::now() + MARGIN
        {
            return Ok((known.clone(), false));
        }
        let url = call.token_url.as_deref().ok_or_else(|| Fault::new(Class::Invalid, "no `token_url` is named"))?;
        let key = key.ok_or_else(|| Fault::new(Class::Auth, "no GitHub token is given"))?;
        let bearer = format!("token {key}");
        let headers = http::headers(EDITOR.into_iter().chain([("authorization", bearer.as_str())]))?;
        let within = Duration::from_secs(call.behaviour.connect_secs.max(30));
        let answer = http::json(http::send(http.get(url).headers(headers), within).await?, within).await?;
        let text = text_at(&answer, "token").to_owned();
        if text.is_empty() {
            return Err(Fault::new(Class::Auth, "GitHub gave no token for its models"));
        }
        let own = answer.pointer("/endpoints/api").and_then(Value::as_str);
        // An address of one's own goes before the one of the account.
        let is_usual = call.base_url == "https://api.githubcopilot.com";
        let url = own.filter(|_| is_usual).unwrap_or(&call.base_url).trim_end_matches('/').to_owned();
        let expires = answer.get("expires_at").and_then(Value::as_i64).map_or(Timestamp::EPOCH, Timestamp::from_secs);
        let token = Token { text, url, expires };
        self.known = Some(token.clone());
        Ok((token, true))
    }

    /// Forgets a token that was refused.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}
