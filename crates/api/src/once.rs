//! Requests with an idempotency key: one that is made again is answered as it was the first time, and one with the
//! same key and another body is refused.
//!
//! The answer is kept for a week. What the wheel did for a request is remembered with what it did (see
//! `rest::Wheel`), so a daemon that dies between the two does nothing twice either.

use crate::auth::Asker;
use crate::input;
use crate::problem::{ApiError, chain};
use crate::shared::Api;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use orcha_store::{Commit, CommitError, Receipt, Requested};
use orcha_wire::openapi::IDEMPOTENCY_KEY;
use orcha_wire::{Code, routes};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use tracing::warn;

/// The longest answer that is kept, in bytes.
const KEPT: usize = 1 << 20;
/// The headers of an answer that are kept with it.
const HEADERS: [HeaderName; 2] = [header::CONTENT_TYPE, header::LOCATION];
/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What was asked for under a key, and how it was answered.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    /// The hash of the request's body.
    asked: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The keys of requests that are being answered.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<String>>);

/// One of them.
struct Turn<'a> {
    of: &'a UnderWay,
    name: String,
}

impl UnderWay {
    fn begin(&self, name: &str) -> Option<Turn<'_>> {
        self.0.lock().insert(name.to_owned()).then(|| Turn { of: self, name: name.to_owned() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.name);
    }
}

/// Reads a key.
pub(crate) fn key(value: &HeaderValue) -> Result<&str, ApiError> {
    let key = value.to_str().ok().filter(|it| (1..=200).contains(&it.len()));
    key.ok_or_else(|| ApiError::invalid(IDEMPOTENCY_KEY, "must be between 1 and 200 letters or digits"))
}

/// Answers a request with a key as it was answered before, or for the first time.
pub(crate) async fn enter(State(api): State<Api>, asker: Asker, request: Request, next: Next) -> Response {
    if *request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    answer(&api, &asker, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, asker: &Asker, request: Request, next: Next) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let name = name(asker, &head)?;
    // A secret is made anew each time and never stored.
    if [routes::LOGIN_LINK.path, routes::CREATE_TOKEN.path, routes::SHUTDOWN.path].contains(&head.uri.path()) {
        return Ok(next.run(Request::from_parts(head, body)).await);
    }
    let body = input::body(Request::from_parts(head.clone(), body), api).await?;
    let asked = HEXLOWER.encode(&Sha256::digest(&body));
    let Some(_turn) = api.under_way.begin(&format!("{}\n{name}", asker.actor.tenant)) else {
        let rule = "a request with this key is under way; wait for its answer";
        return Err(ApiError::new(Code::Conflict, rule).at(IDEMPOTENCY_KEY));
    };
    if let Requested::Answered(kept) = api.orch.store().requested(&asker.actor.tenant, &name).await? {
        return again(kept, &asked);
    }
    let answered = next.run(Request::from_parts(head, Body::from(body))).await;
    if !answered.status().is_success() {
        // It had no effect: the same request may go well later.
        return Ok(answered);
    }
    if answered.body().size_hint().upper().is_none_or(|it| it > KEPT as u64) {
        // It is given once; what the wheel did for the request is done once all the same.
        return Ok(answered);
    }
    keep(api, asker, name, asked, answered).await
}

/// Who asks, among all of a tenant: an answer is for nobody else.
pub(crate) fn of(asker: &Asker) -> String {
    let scope = asker.viewer.scope.as_ref().map_or("*", |it| it.as_str());
    format!("{}@{scope}", asker.name)
}

/// The name of a request among all of its tenant: the same key at another place is another request.
fn name(asker: &Asker, head: &Parts) -> Result<String, ApiError> {
    let mut keys = head.headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(only), None) => Ok(format!("answer\n{}\n{}\n{}", of(asker), head.uri.path(), key(only)?)),
        _ => Err(ApiError::invalid(IDEMPOTENCY_KEY, "must be given once")),
    }
}

fn again(kept: serde_json::Value, asked: &str) -> Result<Response, ApiError> {
    let unreadable =
        || ApiError::new(Code::Conflict, "the request was made before; its answer cannot be read any more");
    let kept: Kept = serde_json::from_value(kept).map_err(|_| unreadable())?;
    if kept.asked != asked {
        return Err(ApiError::invalid(IDEMPOTENCY_KEY, "was used for another body; a new request needs a new key"));
    }
    let status = StatusCode::from_u16(kept.status).map_err(|_| unreadable())?;
    let mut response = (status, kept.body).into_response();
    let headers = response.headers_mut();
    for name in HEADERS {
        let value = kept.headers.iter().find(|(it, _)| name == it.as_str()).map(|(_, it)| HeaderValue::from_str(it));
        if let Some(value) = value {
            headers.insert(name, value.map_err(|_| unreadable())?);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Remembers an answer. It was given already: that it cannot be kept is no reason to take it back.
async fn keep(api: &Api, asker: &Asker, key: String, asked: String, answer: Response) -> Result<Response, ApiError> {
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, KEPT)
        .await
        .map_err(|_| ApiError::new(Code::Conflict, "it is done; the answer could not be read"))?;
    let again = Response::from_parts(head, Body::from(Bytes::clone(&body)));
    let headers = HEADERS.iter().filter_map(|name| {
        let value = again.headers().get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    let kept = Kept {
        asked,
        status: again.status().as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let kept = match serde_json::to_value(kept) {
        Ok(kept) => kept,
        Err(fault) => {
            warn!(error = %fault, "an answer could not be written down");
            return Ok(again);
        }
    };
    let mut commit = Commit::at(api.orch.now());
    let (tenant, scope) = (asker.actor.tenant.clone(), asker.actor.scope.clone());
    commit.receipt = Some(Receipt { tenant, scope, key, body: kept });
    match api.orch.store().commit(commit).await {
        Ok(_) | Err(CommitError::AlreadyAnswered { .. }) => {}
        Err(fault) => warn!(error = %chain(&fault), "an answer could not be kept for a repetition"),
    }
    Ok(again)
}
