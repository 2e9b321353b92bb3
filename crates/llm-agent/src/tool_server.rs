//! Tool servers that the operator names: MCP over the streams of a process, or over HTTP.
//!
//! A process runs where this one does, so it is confined as the session is, and it ends with it. A server whose tools
//! are not those that a person approved of is not used. What it says is cut, its secrets are blotted out, and a call
//! that goes wrong is an answer for the model. Who may use which server is not known here.

use crate::bounded::{Bounded, Excess};
use crate::conversation::Offer;
use crate::daemon_tools::said;
use orcha_agent::llm::{Definition, Definitions, MOST_TOOLS, Reach, Server, Unusable};
use orcha_outbound::{InvalidAllowed, Outbound, OutboundError};
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{CallToolRequestParams, PaginatedRequestParams, Tool};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ServiceExt};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The longest message of a server. One that sends a longer one is cut off.
const MESSAGE: usize = 4 << 20;

/// How many pages a list of tools may have.
const PAGES: usize = 20;

/// What is kept of what a process said last on its standard error.
const LAST_WORDS: usize = 2000;

/// How long those words are waited for once it is dead.
const BREATH: Duration = Duration::from_secs(1);

/// A shorter secret is not blotted out: it would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// A tool server of this session.
#[derive(Debug)]
pub(crate) struct ToolServer {
    server: Server,
    dir: PathBuf,
    env: Vec<(String, String)>,
    connection: Option<Connection>,
    /// What it offers: the tools that a person approved of, and that a model can name.
    tools: Vec<(Offer, Definition)>,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) text: String,
    pub(crate) failed: bool,
    /// Why the server is not used any more.
    pub(crate) withheld: Option<String>,
}

/// What we are to a server: somebody with no model, no files and no person behind him.
#[derive(Clone, Debug, Default)]
struct Guest;

impl ClientHandler for Guest {}

/// A connection. A process ends with it.
#[derive(Debug)]
struct Connection {
    service: RunningService<RoleClient, Guest>,
    /// Whether a message of a process was too long.
    excess: Excess,
    /// Held for its end.
    _process: Option<Process>,
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("`{program}` did not start")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no program is named")]
    NoProgram,
    #[error("its address may not be gone to")]
    Address(#[from] OutboundError),
    #[error("a host that is allowed is none")]
    Host(#[from] InvalidAllowed),
    #[error("the header `{0}` cannot be sent")]
    Header(String),
    #[error("it does not speak the protocol: {0}")]
    Protocol(String),
    #[error("it did not say which tools it has within {0} s")]
    Late(u64),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error(
        "its tools are not those that were approved: {approved} was approved, {now} is there; look at the difference \
         with `orcha mcp show {server}`"
    )]
    Changed { server: String, approved: String, now: String },
}

/// Returns what a server says of its tools. It is not used for anything.
pub(crate) async fn look(server: Server, dir: PathBuf, env: Vec<(String, String)>) -> Result<Definitions, String> {
    let server = ToolServer::new(server, dir, env);
    server.open().await.map(|(_, definitions)| definitions).map_err(|fault| server.told(&fault))
}

impl ToolServer {
    pub(crate) fn new(server: Server, dir: PathBuf, env: Vec<(String, String)>) -> Self {
        Self { server, dir, env, connection: None, tools: Vec::new() }
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.server.name
    }

    /// Tells whether its calls may change something.
    pub(crate) fn writes(&self) -> bool {
        self.server.writes
    }

    /// Returns what a model is told of it.
    pub(crate) fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.tools.iter().map(|(offer, _)| offer)
    }

    /// Tells whether a tool is one of its.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.offers().any(|it| it.name == name)
    }

    /// Connects to it, if its tools are those that were approved. Returns why it is not used.
    pub(crate) async fn connect(&mut self) -> Option<String> {
        match self.open().await {
            Ok((connection, definitions)) => {
                self.connection = Some(connection);
                let offer = |it: &Definition| {
                    let (description, schema) = (it.description.clone(), it.input_schema.clone());
                    Some((Offer { name: it.spelt(&self.server.name)?, description, schema }, it.clone()))
                };
                self.tools = definitions.iter().filter_map(offer).collect();
                None
            }
            Err(fault) => Some(self.told(&fault)),
        }
    }

    /// Calls a tool. A connection that is lost is made once more; only what changes nothing is asked for again then.
    /// One that is dropped in the middle of a call is gone, and its process with it.
    pub(crate) async fn call(&mut self, name: &str, args: &Map<String, Value>) -> Called {
        let failed = |text: String| Called { text, failed: true, withheld: None };
        let Some((_, tool)) = self.tools.iter().find(|(offer, _)| offer.name == name) else {
            return failed(format!("`{}` has no such tool", self.server.name));
        };
        let params = CallToolRequestParams::new(tool.name.clone()).with_arguments(args.clone());
        let mut reopened = false;
        loop {
            let connection = match self.connection.take().filter(Connection::is_open) {
                Some(connection) => connection,
                None => match self.open().await {
                    Ok((connection, _)) => {
                        reopened = true;
                        connection
                    }
                    Err(fault) => {
                        let why = self.told(&fault);
                        let withheld = matches!(fault, Fault::Changed { .. }).then(|| why.clone());
                        if withheld.is_some() {
                            self.tools.clear();
                        }
                        return Called { withheld, ..failed(format!("`{}` is not there: {why}", self.server.name)) };
                    }
                },
            };
            let within = Duration::from_secs(self.server.call_secs);
            match tokio::time::timeout(within, connection.service.call_tool(params.clone())).await {
                Ok(Ok(result)) => {
                    self.connection = Some(connection);
                    let (mut text, failed) = said(&result);
                    if result.content.iter().any(|it| it.as_text().is_none()) {
                        text.push_str("\n[what is no text is left out]");
                    }
                    return Called { text: self.veiled(text), failed, withheld: None };
                }
                // It understood, and said no.
                Ok(Err(ServiceError::McpError(refusal))) => {
                    self.connection = Some(connection);
                    return failed(self.veiled(refusal.message.into_owned()));
                }
                // It was done, and would come to the same again.
                Ok(Err(_)) if connection.excess.is_there() => {
                    return failed(format!(
                        "`{}` answered with more than {} MiB at once, which is not taken in: ask it for less",
                        self.server.name,
                        MESSAGE >> 20
                    ));
                }
                Ok(Err(_)) if !self.server.writes && !reopened => {}
                Ok(Err(fault)) => {
                    let why = self.veiled(crate::chain(&fault));
                    return failed(format!("the connection was lost ({why}); whether it was done is not known"));
                }
                Err(_) => {
                    let seconds = self.server.call_secs;
                    return failed(format!("there was no answer within {seconds} s; whether it was done is not known"));
                }
            }
        }
    }

    /// Makes a connection and looks whether its tools are those that were approved.
    async fn open(&self) -> Result<(Connection, Definitions), Fault> {
        let within = Duration::from_secs(self.server.connect_secs);
        let opened = tokio::time::timeout(within, async {
            let connection = self.reach().await?;
            match listed(&connection.service).await {
                Ok(definitions) => Ok((connection, definitions)),
                Err(_) if connection.excess.is_there() => Err(Unusable::TooLong.into()),
                Err(fault) => Err(fault),
            }
        });
        let (connection, definitions) = opened.await.unwrap_or(Err(Fault::Late(self.server.connect_secs)))?;
        let now = definitions.hash();
        match &self.server.hash {
            Some(approved) if *approved != now => {
                Err(Fault::Changed { server: self.server.name.clone(), approved: approved.clone(), now })
            }
            Some(_) | None => Ok((connection, definitions)),
        }
    }

    async fn reach(&self) -> Result<Connection, Fault> {
        match &self.server.reach {
            Reach::Stdio { command, env } => {
                let (program, args) = command.split_first().ok_or(Fault::NoProgram)?;
                let mut command = Command::new(program);
                let env = self.env.iter().chain(env).map(|(name, value)| (name, value));
                command.args(args).env_clear().envs(env).current_dir(&self.dir);
                let spawned = Process::spawn(command);
                let (mut process, read, write) =
                    spawned.map_err(|source| Fault::Spawn { program: program.clone(), source })?;
                let (read, excess) = Bounded::new(read, MESSAGE);
                match Guest.serve(AsyncRwTransport::new(read, write)).await {
                    Ok(service) => Ok(Connection { service, excess, _process: Some(process) }),
                    Err(fault) => {
                        let why = crate::chain(&fault);
                        let words = process.last_words().await;
                        Err(Fault::Protocol(if words.is_empty() { why } else { format!("{why}; it said: {words}") }))
                    }
                }
            }
            Reach::Http { url, headers, allow_hosts } => {
                let allowed = allow_hosts.iter().map(|it| it.parse()).collect::<Result<Vec<_>, _>>()?;
                let client = Outbound::new(allowed).client_for(url)?;
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.clone());
                config.max_sse_event_size = MESSAGE;
                config.custom_headers = headers.iter().map(header).collect::<Result<HashMap<_, _>, _>>()?;
                let transport = StreamableHttpClientTransport::with_client(client, config);
                let service = Guest.serve(transport).await.map_err(|fault| Fault::Protocol(crate::chain(&fault)))?;
                Ok(Connection { service, excess: Excess::default(), _process: None })
            }
        }
    }

    fn told(&self, fault: &Fault) -> String {
        self.veiled(crate::chain(fault)).chars().take(LAST_WORDS).collect()
    }

    /// Blots out what a server was given and must not be shown, and of a header's value also what stands behind its scheme.
    fn veiled(&self, mut text: String) -> String {
        for secret in self.server.reach.secrets() {
            let behind = secret.split_once(' ').map(|(_, behind)| behind);
            for it in [Some(secret), behind].into_iter().flatten().filter(|it| it.len() >= SHORTEST_SECRET) {
                if text.contains(it) {
                    text = text.replace(it, "[redacted]");
                }
            }
        }
        text
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.is_transport_closed()
    }
}

/// Asks for all tools, but not for ever.
async fn listed(service: &RunningService<RoleClient, Guest>) -> Result<Definitions, Fault> {
    let definition = |it: Tool| Definition {
        name: it.name.into_owned(),
        description: it.description.unwrap_or_default().into_owned(),
        input_schema: Value::Object((*it.input_schema).clone()),
    };
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let page = service.list_tools(Some(page)).await.map_err(|fault| Fault::Protocol(crate::chain(&fault)))?;
        all.extend(page.tools.into_iter().map(definition));
        cursor = page.next_cursor;
        if cursor.is_none() || all.len() > MOST_TOOLS {
            return Ok(Definitions::new(all)?);
        }
    }
    Err(Unusable::TooMany.into())
}

fn header((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), Fault> {
    let wrong = || Fault::Header(name.clone());
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// The process of a server, with its whole group. Dropping it ends both.
#[derive(Debug)]
struct Process {
    child: Child,
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    fn spawn(mut command: Command) -> std::io::Result<(Self, ChildStdout, ChildStdin)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let lost = || std::io::Error::other("its standard streams are not there");
        let (read, write) = (child.stdout.take().ok_or_else(lost)?, child.stdin.take().ok_or_else(lost)?);
        let words = child.stderr.take().map(|it| tokio::spawn(listen(it)));
        Ok((Self { child, words }, read, write))
    }

    /// Ends it, and returns what it said last.
    async fn last_words(&mut self) -> String {
        self.kill();
        let Some(words) = self.words.take() else { return String::new() };
        // Whoever left the group may hold the stream open: then there are no words.
        let words = tokio::time::timeout(BREATH, words).await.ok().and_then(Result::ok).unwrap_or_default();
        String::from_utf8_lossy(&words).trim().to_owned()
    }

    fn kill(&self) {
        // Nobody has waited for it, so its number is still its own, and that of its group.
        let Some(pid) = self.child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw) else { return };
        match kill_process_group(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH | rustix::io::Errno::PERM) => {}
            Err(fault) => eprintln!("orchad llm-agent: the process of a tool server could not be ended: {fault}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the standard error of a process to its end, and keeps the end of it.
async fn listen(mut stream: ChildStderr) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), vec![0; 8 << 10]);
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return kept,
            Ok(n) => {
                kept.extend_from_slice(&piece[..n]);
                kept.drain(..kept.len().saturating_sub(LAST_WORDS));
            }
            Err(fault) => {
                eprintln!("orchad llm-agent: the standard error of a tool server broke: {fault}");
                return kept;
            }
        }
    }
}
