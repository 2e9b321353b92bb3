//! The HTTP side: which path is what, and how replies, errors and streams go out.
//!
//! Waiting, cutting off and noticing that a client went away happen here; what is said is decided elsewhere.

use crate::server::ask::{Api, Ask};
use crate::server::dialect::{self, Frame};
use crate::server::fault::fault;
use crate::server::plan::Plan;
use crate::server::record::{Asked, Credential, Record, Said, credential, open_headers, open_path};
use crate::server::scenario::{Act, Kind, Reply, Say};
use crate::server::stage::{Choice, Stage};
use crate::server::{control, mcp};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The longest request body; contexts of a million tokens fit.
const BODY: usize = 64 * 1024 * 1024;

/// The header by which a request is one to Copilot.
const INTEGRATION: &str = "copilot-integration-id";

pub fn router(stage: Arc<Stage>) -> Router {
    Router::new().fallback(serve).with_state(stage)
}

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Model(Api),
    Count,
    /// Ollama's list of models, one of them, and its version.
    Tags,
    Show,
    Version,
    /// Where GitHub's token is exchanged for one of Copilot.
    Exchange,
    Models,
    Mcp,
    Unknown,
}

/// Paths are known by their end, because programs put prefixes of their own before it.
fn route(path: &str) -> Route {
    let ends = |end: &str| path.ends_with(end);
    let last = path.rsplit('/').next().unwrap_or_default();
    match () {
        () if ends("/messages/count_tokens") || ends(":countTokens") || ends("/responses/input_tokens") => Route::Count,
        () if ends("/messages") => Route::Model(Api::Messages),
        () if ends("/responses") => Route::Model(Api::Responses),
        () if ends("/chat/completions") => Route::Model(Api::Chat),
        () if ends(":generateContent") || ends(":streamGenerateContent") => Route::Model(Api::Gemini),
        () if path == "/api/chat" => Route::Model(Api::Ollama),
        () if path == "/api/tags" => Route::Tags,
        () if path == "/api/show" => Route::Show,
        () if path == "/api/version" => Route::Version,
        () if path == "/copilot_internal/v2/token" => Route::Exchange,
        () if ends("/models") || (path.contains("/models/") && !last.contains(':')) => Route::Models,
        () if path == "/mcp" => Route::Mcp,
        () => Route::Unknown,
    }
}

async fn serve(State(stage): State<Arc<Stage>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let raw = match to_bytes(body, BODY).await {
        Ok(raw) => raw,
        Err(fault) => return complaint(StatusCode::PAYLOAD_TOO_LARGE, &format!("could not read the body: {fault}")),
    };
    if let Some(rest) = parts.uri.path().strip_prefix("/_scripted/") {
        return control::serve(&stage, &parts.method, rest, &raw).await;
    }
    let desk = Desk { stage, parts, raw };
    let read = if desk.raw.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&desk.raw) };
    let Ok(body) = read else {
        desk.record(Value::Null, None, Said::Unknown);
        return complaint(StatusCode::BAD_REQUEST, "the body is no plain JSON");
    };
    match (&desk.parts.method, route(desk.parts.uri.path())) {
        (&Method::POST, Route::Model(Api::Chat)) if desk.parts.headers.contains_key(INTEGRATION) => {
            desk.model(Api::Copilot, body).await
        }
        (&Method::POST, Route::Model(api)) => desk.model(api, body).await,
        (&Method::GET, Route::Exchange) => desk.exchange(body),
        (&Method::GET, Route::Tags) => {
            let tags = dialect::ollama::tags(&desk.stage.model_names());
            desk.aside(body, &tags)
        }
        (&Method::POST, Route::Show) => desk.aside(body, &dialect::ollama::show()),
        (&Method::GET, Route::Version) => desk.aside(body, &json!({"version": "0.0.0-scripted"})),
        (&Method::POST, Route::Count) => {
            let tokens = (desk.raw.len() / 4).max(1);
            desk.aside(body, &json!({"input_tokens": tokens, "totalTokens": tokens}))
        }
        (&Method::POST, Route::Mcp) => {
            let bearer = credential(&desk.parts.headers, &desk.parts.uri).map(|(_, key)| key);
            let (said, answer) = mcp::answer(&desk.stage, bearer.as_deref(), &body).await;
            desk.record(body, None, said);
            answer
        }
        (&Method::GET, Route::Mcp) => {
            desk.record(body, None, Said::Aside);
            let mut answer = complaint(StatusCode::METHOD_NOT_ALLOWED, "this server has no stream of its own");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE"));
            answer
        }
        (&Method::GET, Route::Model(Api::Responses)) if desk.parts.headers.contains_key(header::UPGRADE) => {
            // Codex asks for a WebSocket first; by this status it uses HTTP at once.
            desk.record(body, None, Said::Aside);
            complaint(StatusCode::UPGRADE_REQUIRED, "there is no WebSocket here")
        }
        (&Method::GET, Route::Models) => {
            let names = desk.stage.model_names();
            let list = models(desk.parts.uri.path(), &names);
            desk.aside(body, &list)
        }
        (&Method::HEAD, _) | (&Method::DELETE, Route::Mcp) => desk.aside(body, &json!({})),
        _ => {
            desk.record(body, None, Said::Unknown);
            let what = format!("there is nothing at {} {}", desk.parts.method, desk.parts.uri.path());
            let error = json!({"type": "error", "error": {"type": "not_found_error", "message": what}});
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
    }
}

fn models(path: &str, names: &[String]) -> Value {
    if path.contains("/v1beta") {
        let model = |name| json!({"name": format!("models/{name}"), "supportedGenerationMethods": ["generateContent"]});
        return json!({"models": names.iter().map(model).collect::<Vec<_>>()});
    }
    let model = |name| json!({"id": name, "object": "model", "type": "model", "display_name": name, "created": 0, "owned_by": "scripted"});
    json!({"object": "list", "has_more": false, "data": names.iter().map(model).collect::<Vec<_>>()})
}

fn complaint(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({"error": {"message": what}}))).into_response()
}

/// One request that is being answered.
struct Desk {
    stage: Arc<Stage>,
    parts: Parts,
    raw: Bytes,
}

impl Desk {
    /// Keeps the request, and watches whether its client stays for the answer.
    fn record(&self, body: Value, ask: Option<&Ask>, said: Said) -> u64 {
        let found = credential(&self.parts.headers, &self.parts.uri);
        let credential = found.map(|(place, key)| Credential { place, fits: self.stage.accepts(Some(&key)) });
        let record = Record {
            number: 0,
            at_ms: 0,
            method: self.parts.method.to_string(),
            path: open_path(&self.parts.uri),
            headers: open_headers(&self.parts.headers),
            credential,
            body,
            asked: ask.map(Asked::from),
            said,
            hung_up: false,
        };
        self.stage.record(record, self.raw.len())
    }

    fn aside(&self, body: Value, answer: &Value) -> Response {
        self.record(body, None, Said::Aside);
        Json(answer).into_response()
    }

    /// Gives a token for Copilot's models to whoever shows GitHub's.
    fn exchange(&self, body: Value) -> Response {
        let key = credential(&self.parts.headers, &self.parts.uri).map(|(_, key)| key);
        if key.is_none() || !self.stage.accepts(key.as_deref()) {
            self.record(body, None, Said::Error { main: false, status: 401 });
            return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"}))).into_response();
        }
        let host = self.parts.headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
        let token = self.stage.issue_token();
        let answer = json!({
            "token": token, "expires_at": since_epoch + 1500, "refresh_in": 1200,
            "endpoints": {"api": format!("http://{host}")},
        });
        self.aside(body, &answer)
    }

    async fn model(self, api: Api, body: Value) -> Response {
        let path = self.parts.uri.path();
        let ask = dialect::read(api, path, &self.parts.headers, &body);
        let key = credential(&self.parts.headers, &self.parts.uri).map(|(_, key)| key);
        let is_known = match api {
            // GitHub's token is none of Copilot's.
            Api::Copilot => self.stage.has_issued(key.as_deref()),
            _ => self.stage.accepts(key.as_deref()),
        };
        let choice = if is_known {
            self.stage.choose(&ask)
        } else {
            Choice { reply: Reply::failing(Kind::Auth), main: false, names: self.stage.names() }
        };
        let delay = Duration::from_millis(choice.reply.delay_ms);
        match choice.reply.act {
            Act::Fail(fail) => {
                let fault = fault(&fail, api, SystemTime::now());
                let number = self.record(body, Some(&ask), Said::Error { main: choice.main, status: fault.status });
                let mut presence = Presence { stage: self.stage, number, stays: true };
                tokio::time::sleep(delay).await;
                presence.stays = false;
                let headers = header_map(&fault.headers);
                if fail.in_stream && ask.stream {
                    let frame = dialect::failed(api, &fault.body).to_wire();
                    return (event_stream(api, headers), frame).into_response();
                }
                let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, headers, Json(fault.body)).into_response()
            }
            Act::Say(say) => {
                let plan = Plan::new(&ask, &say, &choice.names);
                let said = Said::Reply {
                    main: choice.main,
                    text: plan.text(),
                    calls: plan.calls.iter().map(|call| call.tool.name.clone()).collect(),
                    usage: plan.usage,
                    script_error: plan.script_error.clone(),
                };
                let number = self.record(body, Some(&ask), said);
                let presence = Presence { stage: self.stage, number, stays: true };
                tokio::time::sleep(delay).await;
                let headers = header_map(&say.headers.clone().into_iter().collect::<Vec<_>>());
                if ask.stream {
                    let frames = dialect::frames(api, &plan);
                    return (event_stream(api, headers), Show::new(frames, &say, presence).into_body()).into_response();
                }
                whole(api, &plan, &say, headers, presence).await
            }
        }
    }
}

/// Answers in one piece; one that is cut breaks off in its middle.
async fn whole(api: Api, plan: &Plan, say: &Say, headers: HeaderMap, mut presence: Presence) -> Response {
    if let Some(gate) = &say.hold {
        presence.stage.wait_at(gate).await;
    }
    presence.stays = false;
    let answer = dialect::whole(api, plan);
    if !say.cut {
        return (headers, Json(answer)).into_response();
    }
    let raw = answer.to_string();
    let half = Bytes::copy_from_slice(&raw.as_bytes()[..raw.len() / 2]);
    let pieces = futures::stream::unfold(Some(half), |half| async move {
        match half {
            Some(half) => Some((Ok(half), None)),
            None => Some((Err(broken_off().await), None)),
        }
    });
    let mut answer = (headers, Body::from_stream(pieces)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn header_map(headers: &[(String, String)]) -> HeaderMap {
    let pairs = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    pairs.collect()
}

fn event_stream(api: Api, mut headers: HeaderMap) -> HeaderMap {
    let kind = if api == Api::Ollama { "application/x-ndjson" } else { "text/event-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}

/// Notices by its end that a client went away: whoever is dropped while the client should stay tells the stage.
struct Presence {
    stage: Arc<Stage>,
    number: u64,
    stays: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.stays {
            self.stage.hung_up(self.number);
        }
    }
}

/// A stream on its way to the client.
struct Show {
    frames: std::vec::IntoIter<Frame>,
    has_pieces: bool,
    sent_pieces: usize,
    next: Next,
    chunk_delay: Duration,
    hold: Option<String>,
    cut: bool,
    presence: Presence,
}

/// What stands before the next frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Frame,
    /// The place where a reply is held or cut: behind the first piece of text, or at once where there is none.
    Turning,
}

impl Show {
    fn new(frames: Vec<Frame>, say: &Say, presence: Presence) -> Self {
        let has_pieces = frames.iter().any(|frame| frame.is_piece);
        Self {
            frames: frames.into_iter(),
            has_pieces,
            sent_pieces: 0,
            next: if has_pieces { Next::Frame } else { Next::Turning },
            chunk_delay: Duration::from_millis(say.chunk_delay_ms),
            hold: say.hold.clone(),
            cut: say.cut,
            presence,
        }
    }

    fn into_body(self) -> Body {
        Body::from_stream(futures::stream::unfold(self, Self::step))
    }

    async fn step(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if self.next == Next::Turning {
            self.next = Next::Frame;
            if self.cut {
                self.presence.stays = false;
                return Some((Err(broken_off().await), self));
            }
            if let Some(gate) = self.hold.take() {
                self.presence.stage.wait_at(&gate).await;
            }
        }
        let Some(frame) = self.frames.next() else {
            self.presence.stays = false;
            return None;
        };
        if frame.is_piece {
            if self.sent_pieces > 0 {
                tokio::time::sleep(self.chunk_delay).await;
            }
            self.sent_pieces += 1;
            if self.sent_pieces == 1 && self.has_pieces {
                self.next = Next::Turning;
            }
        }
        Some((Ok(Bytes::from(frame.to_wire())), self))
    }
}

/// The error by which the connection is closed without an end; what was written before goes out first.
async fn broken_off() -> std::io::Error {
    tokio::task::yield_now().await;
    std::io::ErrorKind::ConnectionAborted.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_with_and_without_a_prefix() {
        for (path, expected) in [
            ("/v1/messages", Route::Model(Api::Messages)),
            ("/anthropic/v1/messages", Route::Model(Api::Messages)),
            ("/v1/messages/count_tokens", Route::Count),
            ("/v1/responses", Route::Model(Api::Responses)),
            ("/v1/responses/input_tokens", Route::Count),
            ("/v1/chat/completions", Route::Model(Api::Chat)),
            ("/v1beta/models/gemini-2.5-pro:generateContent", Route::Model(Api::Gemini)),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", Route::Model(Api::Gemini)),
            ("/v1beta/models/gemini-2.5-pro:countTokens", Route::Count),
            ("/v1beta/models", Route::Models),
            ("/v1/models/some-model", Route::Models),
            ("/api/chat", Route::Model(Api::Ollama)),
            ("/api/tags", Route::Tags),
            ("/copilot_internal/v2/token", Route::Exchange),
            ("/mcp", Route::Mcp),
            ("/v1/embeddings", Route::Unknown),
            ("/v1beta/models/m:embedContent", Route::Unknown),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
