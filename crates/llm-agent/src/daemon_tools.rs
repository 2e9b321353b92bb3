//! The daemon's tools over MCP, as patient with a daemon that restarts as any agent must be.
//!
//! A call is made again after a broken connection with the same id in its `_meta`, by which the daemon tells a
//! repetition from a second wish.

use crate::conversation::Offer;
use crate::http;
use orcha_agent::llm::Tools;
use rmcp::model::{CallToolRequestParams, CallToolResult, MetaObject, RequestMetaObject};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ServiceExt};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Where the daemon looks for the id of a call.
const CALL_ID: &str = "claudecode/toolUseId";

/// How long the daemon may be away.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one call may take: some wait for a person.
const CALL: Duration = Duration::from_secs(1800);

/// The daemon's tools.
#[derive(Debug)]
pub(crate) struct DaemonTools {
    tools: Tools,
    client: reqwest::Client,
    service: Option<RunningService<RoleClient, Guest>>,
}

/// What we are to the daemon.
#[derive(Clone, Debug, Default)]
struct Guest;

impl ClientHandler for Guest {}

/// Why the daemon's tools cannot be used. For the model and for people.
#[derive(Debug, thiserror::Error)]
#[error("the daemon's tools are not there: {0}")]
pub(crate) struct Away(String);

impl DaemonTools {
    pub(crate) fn new(tools: Tools) -> Result<Self, reqwest::Error> {
        let client = http::client(&tools.url, Duration::from_secs(5))?;
        Ok(Self { tools, client, service: None })
    }

    /// Returns the name under which a model knows one of its tools.
    pub(crate) fn spelt(&self, tool: &str) -> String {
        format!("mcp__{}__{tool}", self.tools.name)
    }

    /// Returns the plain name of one of its tools, if it is one.
    pub(crate) fn plain<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&format!("mcp__{}__", self.tools.name))
    }

    /// Tells whether a tool may be called without asking.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.tools.allowed.iter().any(|it| it == tool)
    }

    /// Asks for the tools; waits for a daemon that is away.
    pub(crate) async fn offers(&mut self) -> Result<Vec<Offer>, Away> {
        let mut waiting = Waiting::new();
        loop {
            let outcome = match self.service().await {
                Ok(service) => service.list_all_tools().await.map_err(|fault| crate::chain(&fault)),
                Err(fault) => Err(fault),
            };
            match outcome {
                Ok(tools) => {
                    let offer = |tool: rmcp::model::Tool| Offer {
                        name: self.spelt(&tool.name),
                        description: tool.description.unwrap_or_default().into_owned(),
                        schema: Value::Object((*tool.input_schema).clone()),
                    };
                    return Ok(tools.into_iter().map(offer).collect());
                }
                Err(fault) => {
                    self.service = None;
                    waiting.on(fault).await?;
                }
            }
        }
    }

    /// Calls a tool. Returns what it said, and whether it failed.
    pub(crate) async fn call(&mut self, tool: &str, args: &Map<String, Value>, id: &str) -> (String, bool) {
        let mut meta = MetaObject::default();
        meta.0.insert(CALL_ID.to_owned(), json!(id));
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(args.clone());
        params.meta = Some(RequestMetaObject(meta));
        let mut waiting = Waiting::new();
        loop {
            let fault = match self.service().await {
                Ok(service) => match tokio::time::timeout(CALL, service.call_tool(params.clone())).await {
                    Ok(Ok(result)) => return said(&result),
                    // The daemon understood, and said no.
                    Ok(Err(ServiceError::McpError(refusal))) => return (refusal.message.into_owned(), true),
                    Ok(Err(fault)) => crate::chain(&fault),
                    Err(_) => return ("the tool did not answer in time; its outcome is unknown".to_owned(), true),
                },
                Err(fault) => fault,
            };
            self.service = None;
            if let Err(away) = waiting.on(fault).await {
                return (away.to_string(), true);
            }
        }
    }

    async fn service(&mut self) -> Result<&RunningService<RoleClient, Guest>, String> {
        if self.service.as_ref().is_none_or(|it| it.is_closed()) {
            let config =
                StreamableHttpClientTransportConfig::with_uri(self.tools.url.clone()).auth_header(&self.tools.token);
            let transport = StreamableHttpClientTransport::with_client(self.client.clone(), config);
            let connecting = tokio::time::timeout(Duration::from_secs(30), Guest.serve(transport)).await;
            let connected = connecting.map_err(|_| "it does not answer".to_owned())?;
            self.service = Some(connected.map_err(|fault| crate::chain(&fault))?);
        }
        self.service.as_ref().ok_or_else(|| "there is no connection".to_owned())
    }
}

/// How long a daemon has been away.
struct Waiting {
    since: Instant,
    pause: Duration,
    tries: u32,
}

impl Waiting {
    fn new() -> Self {
        Self { since: Instant::now(), pause: Duration::from_millis(50), tries: 0 }
    }

    /// Waits a while after a failure, or gives up.
    async fn on(&mut self, fault: String) -> Result<(), Away> {
        self.tries += 1;
        if self.since.elapsed() + self.pause > PATIENCE || self.tries > 400 {
            return Err(Away(fault));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(1));
        Ok(())
    }
}

/// Returns what a tool said, and whether it failed.
pub(crate) fn said(result: &CallToolResult) -> (String, bool) {
    let texts = result.content.iter().filter_map(|it| it.as_text()).map(|it| it.text.as_str());
    let mut text = texts.collect::<Vec<_>>().join("\n");
    if let Some(structured) = &result.structured_content
        && text.is_empty()
    {
        text = structured.to_string();
    }
    (text, result.is_error == Some(true))
}
