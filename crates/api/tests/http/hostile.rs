//! Promises 15 to 17 against a client that wants to hurt: whatever comes in, nothing breaks, and each refusal is a
//! problem that says what is wrong and tells nothing of our insides.
//!
//! The requests are drawn from a fixed seed, so a failure comes again; `PROPTEST_CASES` draws more.

use crate::stage::{HOST, Reply, Stage, TOKEN, bare, request, text};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Method, StatusCode, header};
use orcha_wire::{openapi, routes};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// A request that somebody may make.
#[derive(Clone, Debug)]
struct Hostile {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

const FIELDS: [&str; 41] = [
    "title",
    "prompt",
    "agent",
    "agent_program",
    "model",
    "project_id",
    "repo",
    "base_branch",
    "priority",
    "limits",
    "strategy",
    "message",
    "interrupt",
    "reason",
    "answer",
    "name",
    "kind",
    "work_root",
    "labels",
    "capacity_sessions",
    "method",
    "body",
    "path",
    "line",
    "verdict",
    "state",
    "url",
    "snapshot",
    "same_error",
    "session_tokens",
    "deadline_secs",
    "id",
    "status",
    "tenant",
    "__proto__",
    "",
    "Prompt",
    "prompt ",
    "$ref",
    "objective_id",
    "options",
];

fn nasty_text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "",
            " ",
            "\0",
            "-x",
            "--upload-pack=x",
            "ext::sh -c x",
            "../../etc/passwd",
            "/etc/passwd",
            "file:///etc",
            "refs/heads/x",
            "HEAD",
            "main",
            "\u{202e}evil",
            "\u{feff}",
            "a\nb",
            "a\r\nx: y",
            "<script>",
            "' OR 1=1 --",
            "%00",
            "%2e%2e%2f",
            "00000000",
            "deadbeef",
            "manager",
            "direct",
            "claude",
            "merge",
            "approve",
            "passing",
            "1",
            "-1",
            "18446744073709551616",
            "NaN",
            "1~x",
            "9223372036854775807~\u{0}",
            "~",
            "null",
            "wait",
        ])
        .prop_map(str::to_owned),
        (1_usize..20_000).prop_map(|n| "x".repeat(n)),
        any::<String>(),
    ]
}

fn nasty_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        select(vec![json!(0), json!(-1), json!(1.5), json!(1e308), json!(u32::MAX), json!(i64::MIN)]),
        nasty_text().prop_map(Value::from),
        nasty_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((select(FIELDS.to_vec()), inner), 0..4)
                .prop_map(|all| all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// The fields that a request takes, each with its schema.
fn fields(route: &routes::Route, document: &Value) -> Vec<(String, Value)> {
    let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
    let schema = resolved(&operation["requestBody"]["content"]["application/json"]["schema"], document);
    let all = schema["properties"].as_object().into_iter().flatten();
    all.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

/// Follows a reference to what it stands for.
fn resolved<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let named = schema["$ref"].as_str().and_then(|it| document.pointer(it.strip_prefix('#')?));
    named.map_or(schema, |it| resolved(it, document))
}

/// What is there to be named in a request.
#[derive(Clone)]
struct There {
    objective: String,
    session: String,
    pull_request: String,
    target: String,
    project: String,
    workflow: String,
}

impl There {
    /// The id that fits the path of a route.
    fn for_path(&self, path: &str) -> &str {
        match path.split('/').find(|it| !matches!(*it, "" | "api")) {
            Some("sessions" | "messages") => &self.session,
            Some("pull-requests") => &self.pull_request,
            Some("targets") => &self.target,
            Some("projects") => &self.project,
            Some("workflows") => &self.workflow,
            Some("workflow-templates") => "software-default",
            Some("providers") => "listed",
            _ => &self.objective,
        }
    }

    /// A value that fits a field: what its schema says, and for some names more than a schema can say.
    fn fitting(&self, field: &str, schema: &Value, document: &Value) -> Value {
        let named = match field {
            "repo" => Some(json!("/srv/site.git")),
            "project_id" => Some(json!(self.project)),
            "base_branch" => Some(json!("main")),
            "agent" | "provider" => Some(json!("claude")),
            "agent_program" => Some(json!(["/bin/true"])),
            "work_root" => Some(json!("/srv/work")),
            "mode" => Some(json!("software")),
            "action" => Some(json!("answer")),
            "template_id" => Some(json!("software-default")),
            "specialty" => Some(json!("backend")),
            "step" => Some(json!("charter")),
            // Only with `line`, and of a file that is there.
            "path" => Some(json!("README.md")),
            _ => None,
        };
        named.unwrap_or_else(|| self.by_schema(schema, document))
    }

    fn by_schema(&self, schema: &Value, document: &Value) -> Value {
        let schema = resolved(schema, document);
        let choices = ["anyOf", "oneOf"].iter().find_map(|it| schema[it].as_array());
        if let Some(first) = choices.and_then(|it| it.iter().find(|it| it["type"] != "null")) {
            return self.by_schema(first, document);
        }
        if let Some(only) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return only.clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|it| *it != "null").unwrap_or(&Value::Null),
            kind => kind,
        };
        match kind.as_str() {
            Some("integer" | "number") => json!(3),
            Some("boolean") => json!(false),
            Some("array") => json!([]),
            Some("object") => {
                let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                needed.map(|it| (it.to_owned(), self.fitting(it, &schema["properties"][it], document))).collect()
            }
            _ => json!("wait"),
        }
    }
}

fn body(route: &routes::Route, there: &There, document: &Value) -> impl Strategy<Value = Vec<u8>> + use<> {
    let known = fields(route, document);
    let names = known.iter().map(|(name, _)| name.clone());
    let names: Vec<String> = FIELDS.iter().map(|it| (*it).to_owned()).chain(names).collect();
    // Besides what it needs, a request says where the work is: there is a repository in the stage.
    let always = ["prompt", "message", "answer", "name", "body", "verdict", "state", "repo", "request", "reason"];
    let mostly: Vec<(String, Value)> =
        known.iter().map(|(name, schema)| (name.clone(), there.fitting(name, schema, document))).collect();
    let count = mostly.len();
    // A request that is right but for one thing gets further than one that is wrong everywhere.
    let nearly = (
        prop::collection::vec(prop::bool::weighted(0.3), count),
        any::<prop::sample::Index>(),
        nasty_value(),
        any::<bool>(),
    );
    let nearly = nearly.prop_map(move |(takes, at, value, spoils)| {
        let wanted = mostly.iter().zip(takes).filter(|((name, _), takes)| *takes || always.contains(&name.as_str()));
        let mut all: serde_json::Map<String, Value> = wanted.map(|(it, _)| it.clone()).collect();
        if spoils && !mostly.is_empty() {
            all.insert(mostly[at.index(mostly.len())].0.clone(), value);
        }
        Value::Object(all).to_string().into_bytes()
    });
    let object = prop::collection::vec((select(names), nasty_value()), 0..5);
    prop_oneof![
        12 => nearly,
        4 => object.prop_map(|all| {
            // Written by hand, so that keys come twice.
            let all: Vec<String> = all.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
            format!("{{{}}}", all.join(",")).into_bytes()
        }),
        2 => nasty_value().prop_map(|it| it.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => select(vec![200, 100_000]).prop_map(|n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes()),
        1 => Just(br#"{"prompt": "\xff\xfe"}"#.to_vec()),
        1 => Just(b"{\"prompt\": \"\xff\xfe\"}".to_vec()),
        1 => Just(br#"{"prompt": "\ud800"}"#.to_vec()),
        1 => Just(vec![b' '; 2 << 20]),
        2 => Just(Vec::new()),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let names = vec![
        "limit",
        "after",
        "before",
        "tail",
        "state",
        "objective_id",
        "session_id",
        "ticket",
        "x",
        "limit[]",
        "%00",
    ];
    let value = prop_oneof![
        select(vec![
            "0",
            "-1",
            "1",
            "1000",
            "1001",
            "4294967296",
            "x",
            "",
            "%ff",
            "%00",
            "1~x",
            "1~01890a5d-ac96-774b-bcce-b302099a8057",
            "-9223372036854775808~%7e",
            "99999999999999999999~x",
            "active",
            "open",
            "queued",
            "deadbeef",
            "1e3",
            "+1",
            "%",
        ])
        .prop_map(str::to_owned),
        "[0-9a-f~%-]{0,80}",
    ];
    prop::collection::vec((select(names), value), 0..4)
        .prop_map(|all| all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

fn hostile(there: &There) -> impl Strategy<Value = Hostile> + use<> {
    let tricks = [
        "00000000",
        "deadbeef",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "x",
        "%00",
        "%ff",
        "..",
        "%2e%2e",
        "%2f..%2f",
        "..%2fhealth",
        "{id}",
        "%7Bid%7D",
        "'",
        "%27%20OR%201=1",
        "%F0%9F%92%A9",
        "0x1",
        "-",
        "*",
        ".%00.",
    ];
    let mut places: Vec<String> = tricks.map(str::to_owned).to_vec();
    // What is there, and belongs elsewhere.
    places.extend(
        [&there.objective, &there.session, &there.pull_request, &there.target, &there.project].map(Clone::clone),
    );
    places.push("a".repeat(5000));
    // Mostly the id of what the route is about.
    let place = prop_oneof![2 => Just(None), 1 => select(places).prop_map(Some)];
    let header = prop_oneof![
        (Just("if-match"), select(vec![&b"*"[..], b"\"x\"", b"\xff", b"W/\"1\"", b""])),
        (Just("idempotency-key"), select(vec![&b"k"[..], b"\xff", b"", b"a b", &[b'k'; 300]])),
        (Just("last-event-id"), select(vec![&b"0"[..], b"-1", b"\xff", b"99999999999999999999", b"x"])),
        (Just("content-type"), select(vec![&b"text/plain"[..], b"\xff", b"application/json;charset=utf-7", b""])),
        (Just("accept"), select(vec![&b"text/html"[..], b"*/*", b"\xff"])),
        (Just("cookie"), select(vec![&b"orcha_7420=1.2.3"[..], b"\xff", b";;;=", b"orcha_7420="])),
        (Just("range"), select(vec![&b"bytes=0-"[..], b"bytes=5-1"])),
        (Just("x-http-method-override"), select(vec![&b"DELETE"[..]])),
    ];
    let method = prop_oneof![
        12 => Just(None),
        1 => select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]).prop_map(Some),
    ];
    let document = openapi::document("0");
    let routes = routes::ALL.iter().filter(|it| **it != routes::SHUTDOWN);
    let bodies: Vec<_> = routes.map(|it| (Just(it), body(it, there, &document)).boxed()).collect();
    let there = there.clone();
    let query = prop_oneof![2 => Just(String::new()), 1 => query()];
    (prop::strategy::Union::new(bodies), method, place, query, prop::collection::vec(header, 0..3)).prop_map(
        move |((route, body), method, place, query, mut headers)| {
            let path = route.path.replace("{id}", place.as_deref().unwrap_or_else(|| there.for_path(route.path)));
            let path = if query.is_empty() { path } else { format!("{path}?{query}") };
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                headers.push(("content-type", b"application/json"));
            }
            let headers = headers.into_iter().map(|(name, value)| (name, value.to_vec())).collect();
            Hostile { method: method.unwrap_or(route.method.as_str()), path, headers, body }
        },
    )
}

/// Says what is wrong with an answer, if something is.
fn judged(reply: &Reply, stage: &Stage, it: &Hostile) -> Result<(), String> {
    let head = it.method == "HEAD";
    // The doctor tells the operator where the data lies; nobody else does.
    let examined = reply.status.is_success() && it.path.contains("/doctor");
    let folder = stage.folder.path().to_str().filter(|_| !examined);
    let insides = ["panicked", ".rs:", "SQLITE", "rusqlite", "no such column", TOKEN, "RUST_BACKTRACE"];
    if let Some(inside) = insides.into_iter().chain(folder).find(|it| reply.text.contains(it)) {
        return Err(format!("it tells of `{inside}`"));
    }
    let status = reply.status.as_u16();
    if status == 500 || status == 502 {
        return Err("it broke".into());
    }
    if status < 400
        || head
        || reply.headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "text/html; charset=utf-8")
    {
        return Ok(());
    }
    if reply.headers.get(header::CONTENT_TYPE).is_none_or(|it| it != "application/problem+json") {
        return Err("it is no problem document".into());
    }
    let problem = reply.json();
    let filled = |name: &str| problem[name].as_str().is_some_and(|it| !it.is_empty());
    let whole = filled("type") && filled("title") && filled("detail") && filled("code") && problem["status"] == status;
    if whole && reply.text.len() < 4000 { Ok(()) } else { Err("it does not say enough, or too much".into()) }
}

#[tokio::test]
async fn promise_17_whatever_comes_in_is_done_or_refused_with_a_reason() {
    let stage = Stage::open().await;
    let (objective, session) = stage.one("wait", "running").await;
    let (_, pull_request) = stage.pull_request().await;
    let target = text(&stage.get("/api/targets").await.ok(200)[0]["id"]);
    let project = text(&stage.get("/api/projects").await.ok(200)[0]["id"]);
    let workflow = text(&stage.post("/workflows", json!({"request": "wait"})).await.ok(201)["id"]);
    let strategy = hostile(&There { objective, session, pull_request, target, project, workflow });
    let mut runner = TestRunner::deterministic();
    let cases: usize = std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(1500);
    let mut tally = std::collections::BTreeMap::<u16, usize>::new();
    let mut bad = Vec::new();
    for _ in 0..cases {
        let it = strategy.new_tree(&mut runner).unwrap().current();
        let Ok(uri) = it.path.parse::<http::Uri>() else { continue };
        let mut wish = request(it.method.parse().unwrap(), "/").uri(uri);
        for (name, value) in &it.headers {
            wish = wish.header(*name, value.as_slice());
        }
        let Ok(wish) = wish.body(Body::from(it.body.clone())) else { continue };
        let reply = stage.send_unseen(wish).await;
        *tally.entry(reply.status.as_u16()).or_default() += 1;
        if let Err(wrong) = judged(&reply, &stage, &it) {
            let body = String::from_utf8_lossy(&it.body[..it.body.len().min(300)]).into_owned();
            let path: String = it.path.chars().take(200).collect();
            let said: String = reply.text.chars().take(300).collect();
            bad.push(format!("{wrong}: {} {path} {:?} {body}\n    {} {said}", it.method, it.headers, reply.status));
        }
    }
    assert!(bad.is_empty(), "{} of {cases}, such as\n{}", bad.len(), bad[..bad.len().min(8)].join("\n"));
    // It is no test if everything is refused at the door.
    for status in [200, 201, 400, 404, 405, 409, 413, 415, 422] {
        assert!(tally.contains_key(&status), "{status} never came: {tally:?}");
    }
    assert_eq!(stage.get("/api/health").await.ok(200)["status"], "ok");
}

#[tokio::test]
async fn promise_15_no_spelling_of_a_path_is_a_way_in() {
    let page = get(|| async { "secret" });
    let stage = Stage::open_with(Router::new().route("/page", page.clone()).route("/assets/{file}", page)).await;
    for path in [
        "//api/health",
        "/api//health",
        "/api/health/",
        "/./api/health",
        "/login/../api/health",
        "/login/..%2fapi/health",
        "/login%2f..%2fapi%2fhealth",
        "/%61pi/health",
        "/api/%68ealth",
        "/API/health",
        "/api/health%00",
        "/api/health;x=1",
        "/api/health%3f",
        "/page/",
        "/%70age",
        "/assets/x",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/login/",
        "/login%20",
        "/mcp/",
        "/mcp/../api/health",
        "/mcp/%2e%2e/api/health",
        "/mcp%2f..%2fapi%2fhealth",
        "*",
        "/mcp/x",
        "/api/openapi.json",
        "/favicon.ico",
        "/robots.txt",
    ] {
        for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
            let Ok(wish) = bare(method.clone(), path).body(Body::empty()) else { continue };
            let reply = stage.send_unseen(wish).await;
            let known = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            assert!(known.contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.text);
            assert!(!reply.text.contains("secret") && !reply.text.contains("pid"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn promise_15_hosts_and_origins_are_ours_to_the_letter() {
    let stage = Stage::open().await;
    let ask = |host: &str, origin: Option<&str>| {
        let mut wish = http::Request::builder().uri("/api/whoami").header(header::HOST, host);
        wish = wish.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        if let Some(origin) = origin {
            wish = wish.header(header::ORIGIN, origin);
        }
        wish.body(Body::empty()).unwrap()
    };
    for host in [
        "localhost.evil.com:7420",
        "127.0.0.1.nip.io:7420",
        "127.0.0.1:7420@evil.com",
        "evil.com:7420",
        "127.0.0.1:07420",
        "127.0.0.1:7420 ",
        "127.0.0.1:7420,evil.com",
        "127.1:7420",
        "2130706433:7420",
        "0.0.0.0:7420",
        "[::1]",
        "[::]:7420",
        "[::ffff:127.0.0.1]:7420",
        "[::1]:7420.evil.com",
        "127.0.0.1:80",
        "127.0.0.1:",
        ":7420",
        "user@127.0.0.1:7420",
    ] {
        assert_eq!(stage.send(ask(host, None)).await.problem(), (403, "foreign_origin".into()), "{host}");
    }
    for origin in [
        "http://127.0.0.1:7420/",
        "http://127.0.0.1:7420@evil.com",
        "http://evil.com#127.0.0.1:7420",
        "HTTP://127.0.0.1:7420",
        "file://",
        "http://127.0.0.1",
        "https://[::1]:7420",
        "chrome-extension://x",
        "",
        " http://127.0.0.1:7420",
    ] {
        assert_eq!(stage.send(ask(HOST, Some(origin))).await.problem(), (403, "foreign_origin".into()), "{origin}");
    }
    assert_eq!(stage.send(ask(HOST, Some(&format!("http://{HOST}")))).await.status, StatusCode::OK);
    assert_eq!(stage.send(ask("[::1]:7420", Some("http://[::1]:7420"))).await.status, StatusCode::OK);
}
