//! A daemon that says what a test tells it to: fixed answers per route, a journal that can be streamed, and a
//! switch that cuts every connection. It checks the token and remembers what it was asked.

pub mod sample;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use orcha_base::Redacted;
use orcha_wire::{Code, LAST_EVENT_ID, NEXT_CURSOR, Problem};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The token that the fake accepts.
pub const TOKEN: &str = "fake-token";

/// One request that the fake got.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Method and path with query: `GET /api/events?limit=1`.
    pub line: String,
    /// The body as JSON, or null.
    pub body: Value,
    /// The place to go on that a stream was asked for: header first, then parameter.
    pub after: Option<u64>,
}

/// A daemon on a loopback port, until it is dropped.
#[derive(Debug)]
pub struct FakeDaemon {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Answers>,
    /// Counts up with everything that a stream should look at.
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Answers {
    fixed: HashMap<String, (u16, Vec<u8>, Option<String>)>,
    files: HashMap<String, (String, String, Vec<u8>)>,
    streams: HashMap<String, Log>,
    asked: Vec<Asked>,
    cuts: u64,
    away: u32,
}

#[derive(Clone, Debug, Default)]
struct Log {
    items: Vec<(u64, String)>,
    ended: bool,
}

/// Writes an event that is kept.
fn numbered(number: u64, item: &str) -> String {
    format!("id: {number}\ndata: {item}\n\n")
}

impl FakeDaemon {
    /// Starts a fake on a free port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { state: Mutex::default(), moved: watch::channel(0).0 });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It runs until the test drops it; that it ended otherwise shows in the test's requests.
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the fake daemon ended: {error}");
            }
        });
        Ok(Self { addr, shared, server })
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Makes a client of it.
    pub fn client(&self) -> Result<crate::Client, crate::ClientError> {
        crate::Client::new(&self.url(), Redacted::new(TOKEN.to_owned()))
    }

    /// Fixes the answer to a request line without query: `GET /api/health`.
    pub fn answers(&self, line: &str, status: u16, body: &impl Serialize) {
        self.fix(line, status, body, None);
    }

    /// Fixes the answer to a request line with its query: the first page of a list that goes on.
    pub fn answers_page(&self, line: &str, body: &impl Serialize, next: Option<&str>) {
        self.fix(line, 200, body, next.map(str::to_owned));
    }

    /// Hands out a file at a path, under a name and with the SHA-256 that it says it has.
    pub fn hands_out(&self, path: &str, name: &str, sha256: &str, bytes: &[u8]) {
        let file = (name.to_owned(), sha256.to_owned(), bytes.to_vec());
        self.shared.state.lock().files.insert(format!("GET {path}"), file);
    }

    /// Adds an item to the stream at a path, and sends it to whoever reads that.
    pub fn streams(&self, path: &str, number: u64, item: &impl Serialize) {
        self.sends(path, number, numbered(number, &String::from_utf8_lossy(&json(item))));
    }

    /// Sends an event with a name, which is not kept. The number is only its place among the others.
    pub fn tells(&self, path: &str, number: u64, name: &str, item: &impl Serialize) {
        self.sends(path, number, format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(&json(item))));
    }

    fn sends(&self, path: &str, number: u64, text: String) {
        self.shared.state.lock().streams.entry(path.to_owned()).or_default().items.push((number, text));
        self.moved();
    }

    /// Ends the stream at a path properly.
    pub fn ends(&self, path: &str) {
        self.shared.state.lock().streams.entry(path.to_owned()).or_default().ended = true;
        self.moved();
    }

    /// Cuts every open stream in the middle of an event, and answers the next few requests as a daemon that starts.
    pub fn restarts(&self, requests: u32) {
        let mut state = self.shared.state.lock();
        state.cuts += 1;
        state.away = requests;
        drop(state);
        self.moved();
    }

    /// Returns everything that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state.lock().asked.clone()
    }

    /// Waits until it was asked for a line so many times.
    pub async fn was_asked(&self, line: &str, times: usize) {
        let mut moved = self.shared.moved.subscribe();
        while self.asked().iter().filter(|it| it.line.starts_with(line)).count() < times {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    fn fix(&self, line: &str, status: u16, body: &impl Serialize, next: Option<String>) {
        self.shared.state.lock().fixed.insert(line.to_owned(), (status, json(body), next));
    }

    fn moved(&self) {
        self.shared.moved.send_modify(|it| *it += 1);
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| format!("\"cannot be JSON: {error}\"").into_bytes())
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let whole = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |it| it.as_str()));
    let plain = format!("{} {path}", parts.method);
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let after = place(&parts.headers, parts.uri.query().unwrap_or_default());
    let asked = Asked { line: whole.clone(), body: serde_json::from_slice(&body).unwrap_or(Value::Null), after };
    shared.state.lock().asked.push(asked);
    shared.moved.send_modify(|it| *it += 1);

    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) {
        return problem(&Problem::new(Code::Unauthorized, "the token is wrong"));
    }
    let mut state = shared.state.lock();
    if state.away > 0 {
        state.away -= 1;
        return problem(&Problem::new(Code::Unavailable, "the daemon is starting"));
    }
    if let Some((status, body, next)) = state.fixed.get(&whole).or_else(|| state.fixed.get(&plain)) {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body.clone()).into_response();
        if let Some(next) = next.as_deref().and_then(|it| it.parse().ok()) {
            response.headers_mut().insert(NEXT_CURSOR, next);
        }
        return response;
    }
    if let Some((name, sha256, bytes)) = state.files.get(&plain) {
        let name = format!("attachment; filename=\"{name}\"");
        return ([(header::CONTENT_DISPOSITION, name), (header::ETAG, format!("\"{sha256}\""))], bytes.clone())
            .into_response();
    }
    if state.streams.contains_key(&path) {
        let cuts = state.cuts;
        drop(state);
        return stream(shared, path, after.unwrap_or(0), cuts);
    }
    problem(&Problem::new(Code::NotFound, format!("the fake has no answer to `{whole}`")))
}

fn place(headers: &HeaderMap, query: &str) -> Option<u64> {
    let header = headers.get(LAST_EVENT_ID).and_then(|it| it.to_str().ok());
    let parameter = query.split('&').find_map(|it| it.strip_prefix("after="));
    header.or(parameter)?.parse().ok()
}

fn stream(shared: Arc<Shared>, path: String, after: u64, cuts: u64) -> Response {
    let moved = shared.moved.subscribe();
    let parts = futures::stream::unfold(Some((shared, moved, after)), move |state| {
        let path = path.clone();
        async move {
            let (shared, mut moved, after) = state?;
            loop {
                moved.borrow_and_update();
                let (log, now) = {
                    let state = shared.state.lock();
                    (state.streams.get(&path).cloned().unwrap_or_default(), state.cuts)
                };
                if now != cuts {
                    let torn = Bytes::from_static(b"id: 999999\ndata: {\"torn\":");
                    return Some((Ok(torn), None));
                }
                if let Some((number, item)) = log.items.iter().find(|(number, _)| *number > after) {
                    let text = format!(": heartbeat\n\n{item}");
                    return Some((Ok::<_, std::io::Error>(text.into()), Some((shared, moved, *number))));
                }
                if log.ended {
                    return Some((Ok("event: end\ndata: {}\n\n".into()), None));
                }
                if moved.changed().await.is_err() {
                    return None;
                }
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(parts.boxed())).into_response()
}

fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, orcha_wire::problem::CONTENT_TYPE)], json(problem)).into_response()
}
