//! A client for one MCP server over Streamable HTTP, as patient with a restarting server as a real agent is.
//!
//! A call is tried again after a broken connection with the same `claudecode/toolUseId` in its `_meta`, by which a
//! server can tell a repetition from a second wish.

use crate::args::Server;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The protocol that we ask for; the server may name an older one.
const PROTOCOL: &str = "2025-11-25";

/// How long a server may be away before a call fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a refused credential is shown again: a server that starts may not know it yet.
const DENIALS: u32 = 3;

/// One server.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) server: Server,
    http: reqwest::Client,
    /// What every request carries: credential, session, protocol.
    headers: HeaderMap,
    /// The tools, while there is a connection.
    tools: Option<Vec<String>>,
    next: u64,
}

/// Why a request failed.
#[derive(Debug)]
enum Trouble {
    /// Nobody listens, or the connection broke.
    Away(String),
    /// An HTTP status that is no success.
    Status(u16),
    /// The server said no.
    Refused(String),
    /// The answer is not one.
    Garbled(String),
}

impl Client {
    /// Makes a client; it connects when it is needed.
    pub(crate) fn new(server: Server) -> anyhow::Result<Self> {
        // No proxy of the environment: the server is on loopback.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
        let headers = own_headers(&server)?;
        Ok(Self { server, http, headers, tools: None, next: 0 })
    }

    /// Connects if that is possible now. Returns the tools, or `None` when the server is not there.
    pub(crate) async fn tools(&mut self) -> Option<&[String]> {
        if self.tools.is_none() && self.connect().await.is_err() {
            return None;
        }
        self.tools.as_deref()
    }

    /// Calls a tool. An error is what the agent is told of it.
    pub(crate) async fn call(&mut self, tool: &str, args: &Map<String, Value>, id: &str) -> Result<Value, String> {
        let params = json!({"name": tool, "arguments": args, "_meta": {"claudecode/toolUseId": id}});
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(20);
        let mut denied = 0;
        loop {
            let trouble = match self.attempt(&params).await {
                Ok(answer) => return answered(&answer),
                Err(trouble) => trouble,
            };
            let again = match trouble {
                Trouble::Away(_) | Trouble::Status(404 | 408 | 429 | 500..=599) => true,
                Trouble::Status(401 | 403) => {
                    denied += 1;
                    denied < DENIALS
                }
                Trouble::Status(_) | Trouble::Refused(_) | Trouble::Garbled(_) => false,
            };
            if !again || Instant::now() + pause > deadline {
                return Err(trouble.in_words());
            }
            self.tools = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    async fn attempt(&mut self, params: &Value) -> Result<Value, Trouble> {
        if self.tools.is_none() {
            self.connect().await?;
        }
        self.request("tools/call", params).await
    }

    /// Says hello as the real program does, and asks for the tools.
    async fn connect(&mut self) -> Result<(), Trouble> {
        self.headers = own_headers(&self.server).map_err(|fault| Trouble::Garbled(fault.to_string()))?;
        // The real program asks for this first; what is answered does not matter, only that somebody is there.
        match self.request("server/discover", &json!({})).await {
            Ok(_) | Err(Trouble::Refused(_) | Trouble::Garbled(_) | Trouble::Status(400 | 404 | 405 | 406 | 422)) => {}
            Err(trouble) => return Err(trouble),
        }
        let hello = json!({
            "protocolVersion": PROTOCOL,
            "capabilities": {},
            "clientInfo": {"name": "orcha-scripted-agent", "version": env!("CARGO_PKG_VERSION")},
        });
        let answer = self.request("initialize", &hello).await?;
        let protocol = answer["protocolVersion"].as_str().unwrap_or(PROTOCOL);
        let protocol = HeaderValue::from_str(protocol).map_err(|fault| Trouble::Garbled(fault.to_string()))?;
        self.headers.insert(HeaderName::from_static("mcp-protocol-version"), protocol);
        self.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        let listed = self.request("tools/list", &json!({})).await?;
        let names = listed["tools"].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str());
        self.tools = Some(names.map(str::to_owned).collect());
        Ok(())
    }

    async fn request(&mut self, method: &str, params: &Value) -> Result<Value, Trouble> {
        self.next += 1;
        let id = self.next;
        let mut response = self.post(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        if method == "initialize"
            && let Some(session) = response.headers().get("mcp-session-id")
        {
            self.headers.insert(HeaderName::from_static("mcp-session-id"), session.clone());
        }
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .is_some_and(|it| it.starts_with("text/event-stream"));
        let message = if is_stream {
            let mut bytes = Vec::new();
            loop {
                if let Some(found) = in_stream(&bytes, id) {
                    break found;
                }
                match response.chunk().await {
                    Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                    Ok(None) => return Err(Trouble::Away("the stream ended without an answer".to_owned())),
                    Err(fault) => return Err(Trouble::Away(causes(&fault))),
                }
            }
        } else {
            let bytes = response.bytes().await.map_err(|fault| Trouble::Away(causes(&fault)))?;
            serde_json::from_slice(&bytes).map_err(|fault| Trouble::Garbled(fault.to_string()))?
        };
        match &message["error"] {
            Value::Null => Ok(message["result"].clone()),
            error => Err(Trouble::Refused(error["message"].as_str().unwrap_or("no reason was given").to_owned())),
        }
    }

    async fn post(&self, message: &Value) -> Result<reqwest::Response, Trouble> {
        let request = self.http.post(&self.server.url).headers(self.headers.clone());
        let request = request.header(ACCEPT, "application/json, text/event-stream").json(message);
        let response = request.send().await.map_err(|fault| Trouble::Away(causes(&fault)))?;
        if response.status().is_success() { Ok(response) } else { Err(Trouble::Status(response.status().as_u16())) }
    }
}

impl Trouble {
    fn in_words(self) -> String {
        match self {
            Self::Away(why) => format!("the server is not there: {why}"),
            Self::Status(status) => format!("the server answered with HTTP status {status}"),
            Self::Refused(why) => why,
            Self::Garbled(why) => format!("the server's answer is not understood: {why}"),
        }
    }
}

fn own_headers(server: &Server) -> anyhow::Result<HeaderMap> {
    let header = |(key, value): (&String, &String)| Ok((key.parse::<HeaderName>()?, value.parse::<HeaderValue>()?));
    server.headers.iter().map(header).collect()
}

/// Takes what a tool said: its structured answer, or its text, as JSON where it is JSON.
fn answered(result: &Value) -> Result<Value, String> {
    let parts = result["content"].as_array().into_iter().flatten().filter_map(|it| it["text"].as_str());
    let text = parts.collect::<Vec<_>>().join("\n");
    if result["isError"].as_bool() == Some(true) {
        return Err(text);
    }
    match &result["structuredContent"] {
        Value::Null => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
        structured => Ok(structured.clone()),
    }
}

/// Looks for the answer among the events that have come whole.
fn in_stream(bytes: &[u8], id: u64) -> Option<Value> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let whole = &text[..text.rfind("\n\n")?];
    whole.split("\n\n").find_map(|event| {
        let data: Vec<&str> = event.lines().filter_map(|it| it.strip_prefix("data:")).map(str::trim_start).collect();
        let message: Value = serde_json::from_str(&data.join("\n")).ok()?;
        (message["id"].as_u64() == Some(id)).then_some(message)
    })
}

fn causes(fault: &reqwest::Error) -> String {
    let mut words = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
}
