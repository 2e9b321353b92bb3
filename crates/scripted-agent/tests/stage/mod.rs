//! What a test needs around the program: a folder, pipes, and an MCP server that checks the credential.
#![allow(dead_code, reason = "each test binary uses its part")]

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A folder with a script, a home and a working directory.
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn new(script: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").current_dir(self.dir());
        command
    }

    pub fn start(&self, args: &[&str]) -> Agent {
        let mut command = self.command(env!("CARGO_BIN_EXE_orcha-scripted-agent"));
        command.arg("--script").arg(self.folder.path().join("script.json"));
        command.args(["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Agent { child, input, output, seen: VecDeque::new() }
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn git_init(&self) {
        self.git(&["init", "-q", "-b", "main"]);
    }

    pub fn mcp_config(&self, url: &str, token: &str) -> String {
        let path = self.folder.path().join("mcp.json");
        let headers = json!({"Authorization": format!("Bearer {token}")});
        let config = json!({"mcpServers": {"hub": {"type": "http", "url": url, "headers": headers}}});
        std::fs::write(&path, config.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Waits for a file that a command writes, and for its line to be whole.
    pub fn wait_for_file(&self, name: &str) -> String {
        let path = self.dir().join(name);
        let mut text = String::new();
        eventually(|| {
            text = std::fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n')
        });
        text
    }
}

/// Tries again for a while; for what gives no notice.
pub fn eventually(mut it: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !it() {
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The session of a process as `/proc` tells it: 0 where its leader is outside of this namespace.
pub fn session_of(pid: &str) -> i32 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap();
    // After the name in parentheses: state, parent, group, session.
    stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap()
}

/// Waits until a process is dead, or waits to be collected by somebody else.
pub fn wait_until_gone(pid: &str) {
    let stat = Path::new("/proc").join(pid).join("stat");
    eventually(|| match std::fs::read_to_string(&stat) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|it| it.trim_start().starts_with('Z')),
        Err(_) => true,
    });
}

/// The kind of a line, as a test writes it down.
pub fn kind(line: &Value) -> String {
    let kind = line["type"].as_str().unwrap_or("?");
    let detail = match kind {
        "command_lifecycle" => line["state"].as_str(),
        "user" if line["isReplay"] == true => Some("replay"),
        "user" | "assistant" => line["message"]["content"][0]["type"].as_str(),
        _ => line["subtype"].as_str(),
    };
    detail.map_or_else(|| kind.to_owned(), |detail| format!("{kind}/{detail}"))
}

/// The running program.
pub struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    seen: VecDeque<Value>,
}

impl Agent {
    pub fn send(&mut self, line: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn prompt(&mut self, uuid: &str, text: &str) {
        let content = json!([{"type": "text", "text": text}]);
        self.send(&json!({"type": "user", "message": {"role": "user", "content": content}, "uuid": uuid}));
    }

    /// Reads lines up to one of this type, which comes last.
    pub fn until_all(&mut self, kind: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "no {kind}, but the end: {seen:#?} {}",
                self.errors()
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            // It may come between any two others.
            if kind != "command_lifecycle" && line["state"] == "completed" {
                continue;
            }
            let found = line["type"] == kind && line["state"] != "completed";
            seen.push(line);
            if found {
                return seen;
            }
        }
    }

    pub fn until(&mut self, kind: &str) -> Value {
        self.until_all(kind).pop().unwrap()
    }

    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        rest
    }

    pub fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut text).unwrap();
        }
        text
    }

    pub fn close_input(&mut self) {
        self.input.take();
    }

    /// Closes its input, reads what comes, and returns the exit code; `None` after a signal.
    pub fn close(&mut self) -> Option<i32> {
        self.close_input();
        self.rest();
        self.wait()
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.is_alive() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// An MCP server of one test.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Log>>,
    /// Dropped first, which ends the thread.
    open: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    token: String,
    greetings: usize,
    calls: Vec<(String, Value, String)>,
}

impl Server {
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.log.lock().unwrap().calls.iter().map(|(name, args, _)| (name.clone(), args.clone())).collect()
    }

    pub fn tool_use_ids(&self, tool: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.calls.iter().filter(|(name, ..)| name == tool).map(|(.., id)| id.clone()).collect()
    }

    pub fn greetings(&self) -> usize {
        self.log.lock().unwrap().greetings
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.open.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Starts a server that answers some tools as JSON and some as a stream of events.
pub fn mcp_server(token: &str) -> Server {
    mcp_server_at("127.0.0.1:0", token)
}

/// Starts it at a known address.
pub fn mcp_server_at(address: &str, token: &str) -> Server {
    let log = Arc::new(Mutex::new(Log { token: format!("Bearer {token}"), ..Log::default() }));
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let state = Arc::clone(&log);
    let app = axum::Router::new().route(
        "/mcp",
        axum::routing::post(move |headers: HeaderMap, axum::Json(message): axum::Json<Value>| {
            let state = Arc::clone(&state);
            async move { state.lock().unwrap().answer(&headers, &message) }
        }),
    );
    let (open, closed) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                _ = closed => {}
            }
        });
    });
    Server { url, log, open: Some(open), thread: Some(thread) }
}

impl Log {
    fn answer(&mut self, headers: &HeaderMap, message: &Value) -> Response {
        if headers.get("authorization").and_then(|it| it.to_str().ok()) != Some(&self.token) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let id = &message["id"];
        let session = headers.get("mcp-session-id").is_some();
        match message["method"].as_str().unwrap() {
            "initialize" => {
                self.greetings += 1;
                let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}});
                ([("mcp-session-id", "s1")], axum::Json(result(id, hello))).into_response()
            }
            "notifications/initialized" if session => StatusCode::ACCEPTED.into_response(),
            "tools/list" if session => {
                assert_eq!(headers["mcp-protocol-version"], "2025-06-18");
                stream(&result(id, json!({"tools": [{"name": "spawn_session"}, {"name": "publish_pr"}]})))
            }
            "tools/call" if session => self.call(id, &message["params"]),
            "server/discover" => {
                axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}}))
                    .into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn call(&mut self, id: &Value, params: &Value) -> Response {
        let name = params["name"].as_str().unwrap();
        let used = params["_meta"]["claudecode/toolUseId"].as_str().unwrap().to_owned();
        let before = self.calls.iter().any(|(.., known)| *known == used);
        self.calls.push((name.to_owned(), params["arguments"].clone(), used));
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        match name {
            "spawn_session" => {
                let n = 56 + self.calls.iter().filter(|(name, ..)| name == "spawn_session").count();
                let words = format!("spawned 01890a5d-ac96-774b-bcce-b302099a80{n} (queued)");
                axum::Json(result(id, text(&words))).into_response()
            }
            "list_children" => {
                let children =
                    json!({"sessions": [{"id": "s1", "status": "running"}, {"id": "s2", "status": "succeeded"}]});
                stream(&result(id, json!({"content": [], "structuredContent": children})))
            }
            "refuse" => {
                let mut refusal = text("refused as asked");
                refusal["isError"] = json!(true);
                axum::Json(result(id, refusal)).into_response()
            }
            // As a server that is killed after it did what was wanted, and knows no session when it is back.
            "lose_answer" if !before => StatusCode::NOT_FOUND.into_response(),
            "lose_answer" => stream(&result(id, text("found again"))),
            _ => axum::Json(result(id, text("done"))).into_response(),
        }
    }
}

fn result(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// Answers as a stream in which something else comes first.
fn stream(message: &Value) -> Response {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
    let body = format!(": hello\n\nevent: message\ndata: {note}\n\nid: 7\nevent: message\ndata: {message}\n\n");
    ([("content-type", "text/event-stream")], body).into_response()
}
