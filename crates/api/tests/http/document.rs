//! The OpenAPI document is true: every answer of every test here is held against it.

use crate::stage::{Reply, Stage};
use http::{Method, header};
use jsonschema::Validator;
use orcha_wire::{openapi, routes};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document("test"));
/// One validator for each schema that was needed so far.
static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> = LazyLock::new(Mutex::default);

/// Holds an answer against the document, if its route is in there.
pub fn check(method: &Method, path: &str, reply: &Reply) {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |route: &&routes::Route| {
        let pattern: Vec<&str> = route.path.split('/').collect();
        let same = |(one, other): (&&str, &&str)| *one == "{id}" || one == other;
        pattern.len() == parts.len() && pattern.iter().zip(&parts).all(same)
    };
    let Some(route) = routes::ALL.iter().find(|it| fits(it) && it.method.as_str() == method.as_str()) else { return };
    let operation = &DOCUMENT["paths"][route.path][method.as_str().to_ascii_lowercase()];
    let status = reply.status.as_u16().to_string();
    let (at, answer) = match operation["responses"].get(&status) {
        Some(answer) => (format!("{method} {} {status}", route.path), answer),
        None => {
            assert!(reply.status.as_u16() >= 400, "{method} {path}: {status} is not in the document");
            ("problem".to_owned(), &DOCUMENT["components"]["responses"]["problem"])
        }
    };
    let kind = reply.headers.get(header::CONTENT_TYPE).map(|it| it.to_str().unwrap());
    let Some(content) = answer.get("content") else { return };
    // A file is what it is.
    if content.get("*/*").is_some() {
        return;
    }
    // A person who opens an address is shown a page instead.
    if kind.is_some_and(|it| it.starts_with("text/html")) || reply.text.is_empty() {
        return;
    }
    let schema = content[kind.unwrap_or_default()].get("schema").unwrap_or_else(|| panic!("{at}: {kind:?}"));
    let text: Value = serde_json::from_str(&reply.text).unwrap_or_else(|_| panic!("{at}: {}", reply.text));
    let validator = *VALIDATORS.lock().unwrap().entry(at.clone()).or_insert_with(|| {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": DOCUMENT["components"],
        });
        Box::leak(Box::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap()))
    });
    if let Err(fault) = validator.validate(&text) {
        panic!("{at}: {fault} at {}: {text}", fault.instance_path());
    }
}

#[tokio::test]
async fn the_daemon_hands_out_its_document() {
    let stage = Stage::open().await;
    let document = stage.get("/api/openapi.json").await.ok(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    for route in routes::ALL {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert!(operation["operationId"].is_string(), "{route:?}");
    }
}

#[test]
fn an_answer_that_is_not_as_described_would_be_seen() {
    let reply = |text: &str| Reply {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]),
        text: text.to_owned(),
    };
    check(&Method::GET, "/api/whoami", &reply(r#"{"email": "", "userId": "x", "tenant": "y"}"#));
    for wrong in [r#"{"email": "", "userId": 5, "tenant": "y"}"#, r#"{"email": ""}"#, "[]"] {
        let seen = std::panic::catch_unwind(|| check(&Method::GET, "/api/whoami", &reply(wrong)));
        assert!(seen.is_err(), "{wrong}");
    }
}
