//! Promise 15, locked by default: nothing is told to anybody who does not prove who it is, or comes from elsewhere.

use crate::stage::{HOST, Stage, TOKEN, bare, request, text};
use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use http::{Method, StatusCode, header};
use orcha_api::Asker;
use orcha_wire::routes;
use serde_json::json;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Every route, with an id where one belongs, and one that does not exist.
fn all() -> Vec<(Method, String)> {
    let mut all: Vec<(Method, String)> = routes::ALL
        .iter()
        .map(|it| (it.method.as_str().parse().unwrap(), it.path.replace("{id}", ID)))
        .filter(|(_, path)| path != "/login")
        .collect();
    assert_eq!(all.len() + 1, routes::ALL.len());
    all.push((Method::GET, "/api/nonsense".into()));
    all.push((Method::GET, "/".into()));
    all.push((Method::GET, "/page".into()));
    // No method that a route does not have is a way in either.
    all.push((Method::TRACE, "/api/objectives".into()));
    all
}

async fn stage() -> Stage {
    let page = get(|Extension(asker): Extension<Asker>| async move { asker.name });
    Stage::open_with(Router::new().route("/page", page)).await
}

#[tokio::test]
async fn c14_no_route_answers_without_a_token() {
    let stage = stage().await;
    for (method, path) in all() {
        let reply = stage.send(bare(method.clone(), &path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.problem(), (401, "unauthorized".into()), "{method} {path}");
        assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"orcha\"");
    }
    // The tools have credentials of their own, and the daemon's token is none.
    for token in [None, Some(TOKEN)] {
        let mut request = bare(Method::POST, "/mcp").header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let reply = stage.send(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.text);
    }
}

#[tokio::test]
async fn every_route_is_there_for_who_has_the_token() {
    let stage = stage().await;
    for (method, path) in all().into_iter().filter(|(_, path)| path.starts_with("/api/") && !path.ends_with("shutdown"))
    {
        let streams = path.ends_with("/stream") && !path.contains(ID);
        if streams || path == "/api/nonsense" || method == Method::TRACE {
            continue;
        }
        let reply = stage.send(request(method.clone(), &path).body(Body::empty()).unwrap()).await;
        assert!(!reply.text.contains("nothing at this address"), "{method} {path}: {}", reply.text);
        assert!(![401, 403, 405, 500].contains(&reply.status.as_u16()), "{method} {path}: {}", reply.text);
        if path.contains(ID) && method == Method::GET {
            assert_eq!(reply.problem(), (404, "not_found".into()), "{method} {path}");
        }
    }
    assert_eq!(stage.get("/api/nonsense").await.problem(), (404, "not_found".into()));
    let reply = stage.call(Method::PUT, "/api/health", json!({})).await;
    assert_eq!(reply.problem(), (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn a_token_that_is_not_exactly_right_is_wrong() {
    let stage = stage().await;
    let long = TOKEN.repeat(10_000);
    let swapped: String = TOKEN.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
    let wrong = [
        "Bearer ".to_owned(),
        "Bearer".to_owned(),
        TOKEN.to_owned(),
        format!("Basic {TOKEN}"),
        format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]),
        format!("Bearer {TOKEN}x"),
        format!("Bearer  {TOKEN}"),
        format!("Bearer {TOKEN} {TOKEN}"),
        format!("Bearer {swapped}"),
        format!("Bearer {long}"),
    ];
    for header in wrong {
        let request = bare(Method::GET, "/api/whoami").header(header::AUTHORIZATION, &header).body(Body::empty());
        let shown: String = header.chars().take(80).collect();
        assert_eq!(stage.send(request.unwrap()).await.problem().0, 401, "{shown}");
    }
    let twice = request(Method::GET, "/api/whoami").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    assert_eq!(stage.send(twice.body(Body::empty()).unwrap()).await.problem().0, 401);
    let query = bare(Method::GET, &format!("/api/whoami?token={TOKEN}")).body(Body::empty()).unwrap();
    assert_eq!(stage.send(query).await.problem().0, 401);
    assert_eq!(stage.get("/api/whoami").await.ok(200), json!({"email": "", "userId": "operator", "tenant": "default"}));
    assert_eq!(stage.get("/page").await.text, "operator");
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_everywhere() {
    let stage = stage().await;
    for (method, path) in
        all().into_iter().chain([(Method::GET, "/login?ticket=x".into()), (Method::POST, "/mcp".into())])
    {
        for host in ["evil.example", "127.0.0.1", "127.0.0.1:7421", "127.0.0.1:7420.evil.example", "localhost:7420", ""]
        {
            let request = http::Request::builder().method(method.clone()).uri(&path).header(header::HOST, host);
            let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
            let reply = stage.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.problem(), (403, "foreign_origin".into()), "{method} {path} at {host}");
        }
    }
    let none = http::Request::builder().uri("/api/whoami").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    assert_eq!(stage.send(none.body(Body::empty()).unwrap()).await.problem().0, 403);
    let two = request(Method::GET, "/api/whoami").header(header::HOST, HOST).body(Body::empty()).unwrap();
    assert_eq!(stage.send(two).await.problem().0, 403);
    let other = http::Request::builder().uri("/api/whoami").header(header::HOST, "[::1]:7420");
    let other = other.header(header::AUTHORIZATION, format!("Bearer {TOKEN}")).body(Body::empty()).unwrap();
    other_is_fine(&stage, other).await;
}

async fn other_is_fine(stage: &Stage, request: http::Request<Body>) {
    assert_eq!(stage.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_site_is_refused_everywhere() {
    let stage = stage().await;
    let foreign = [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:7421"),
        ("origin", "http://127.0.0.1:7420.evil.example"),
        ("origin", "ws://127.0.0.1:7420"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for (method, path) in all() {
        for (name, value) in foreign {
            let request = request(method.clone(), &path).header(name, value).body(Body::empty()).unwrap();
            let reply = stage.send(request).await;
            assert_eq!(reply.problem(), (403, "foreign_origin".into()), "{method} {path}, {name}: {value}");
            assert!(!reply.headers.keys().any(|it| it.as_str().starts_with("access-control")));
        }
    }
    let ours = request(Method::GET, "/api/whoami")
        .header(header::ORIGIN, format!("http://{HOST}"))
        .header("sec-fetch-site", "same-origin");
    assert_eq!(stage.send(ours.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_logs_in_once_with_a_ticket_and_changes_things_only_from_our_pages() {
    let stage = stage().await;
    let link = text(&stage.verb("/api/login-link").await.ok(200)["url"]);
    let path = link.strip_prefix(&format!("http://{HOST}")).unwrap().to_owned();
    let open = |path: &str| bare(Method::GET, path).header(header::ACCEPT, "text/html").body(Body::empty()).unwrap();
    let reply = stage.send(open(&path)).await;
    assert_eq!((reply.status, &reply.headers[header::LOCATION]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
    let cookie = reply.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    assert_eq!(stage.send(open(&path)).await.status, StatusCode::UNAUTHORIZED, "a ticket worked twice");

    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with = |method: Method, path: &str| bare(method, path).header(header::COOKIE, format!("a=b; {cookie}"));
    let get = |path: &str| with(Method::GET, path).header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
    assert_eq!(stage.send(get("/page")).await.text, "operator");
    assert_eq!(stage.send(get("/api/whoami")).await.status, StatusCode::OK);

    let origin = format!("http://{HOST}");
    let post = || with(Method::POST, "/api/objectives");
    let wish = || Body::from(json!({"prompt": "Do it."}).to_string());
    let json = "application/json";
    let no_origin = post().header(header::CONTENT_TYPE, json).body(wish()).unwrap();
    assert_eq!(stage.send(no_origin).await.problem(), (403, "foreign_origin".into()));
    let form = post().header(header::ORIGIN, &origin).header(header::CONTENT_TYPE, "text/plain").body(wish()).unwrap();
    assert_eq!(stage.send(form).await.problem(), (403, "foreign_origin".into()));
    let elsewhere = post().header(header::ORIGIN, "http://127.0.0.1:1").header(header::CONTENT_TYPE, json).body(wish());
    assert_eq!(stage.send(elsewhere.unwrap()).await.problem(), (403, "foreign_origin".into()));
    let ours = post().header(header::ORIGIN, &origin).header(header::CONTENT_TYPE, json).body(wish()).unwrap();
    let made = stage.send(ours).await.ok(201);
    let pause = format!("/api/objectives/{}/pause", text(&made["objective"]["id"]));
    let verb = with(Method::POST, &pause).header(header::ORIGIN, &origin);
    assert_eq!(stage.send(verb.body(Body::empty()).unwrap()).await.problem().0, 403);
    let verb = with(Method::POST, &pause).header(header::ORIGIN, &origin).header("x-orcha", "1");
    assert_eq!(stage.send(verb.body(Body::empty()).unwrap()).await.ok(200)["status"], "paused");

    // A wrong token is wrong although the cookie is right.
    let both = with(Method::GET, "/page").header(header::AUTHORIZATION, "Bearer wrong").body(Body::empty()).unwrap();
    assert_eq!(stage.send(both).await.status, StatusCode::UNAUTHORIZED);
    let forged = bare(Method::GET, "/page").header(header::COOKIE, cookie.replace('.', "0.")).body(Body::empty());
    assert_eq!(stage.send(forged.unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let other_port = format!("orcha_7421={}", cookie.split_once('=').unwrap().1);
    let other_port = bare(Method::GET, "/page").header(header::COOKIE, other_port).body(Body::empty()).unwrap();
    assert_eq!(stage.send(other_port).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn people_are_told_how_to_log_in() {
    let stage = stage().await;
    let open = bare(Method::GET, "/").header(header::ACCEPT, "text/html,*/*").header("sec-fetch-mode", "navigate");
    let reply = stage.send(open.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text.contains("orcha login"), "{}", reply.text);
    let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")]
    {
        assert_eq!(reply.headers[name], value);
    }
    let reply = stage.send(bare(Method::GET, "/login").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn c20_a_body_is_json_small_and_known_in_every_field() {
    let stage = stage().await;
    let post = |kind: &str, body: String| {
        request(Method::POST, "/api/objectives").header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap()
    };
    let json = "application/json; charset=utf-8";
    let wish = json!({"prompt": "Do it."}).to_string();
    assert_eq!(stage.send(post("text/plain", wish.clone())).await.problem(), (415, "unsupported_media_type".into()));
    assert_eq!(stage.verb("/api/objectives").await.problem(), (415, "unsupported_media_type".into()));
    assert_eq!(stage.send(post(json, "{".into())).await.problem(), (400, "bad_request".into()));
    let huge = json!({"prompt": "x".repeat(14 << 20)}).to_string();
    assert_eq!(stage.send(post(json, huge)).await.problem(), (413, "too_large".into()));
    for (body, field, said) in [
        (json!({"prompt": "x", "sandbox": true}), Some("sandbox"), "sandbox"),
        (json!({"prompt": "x", "priority": "high"}), Some("priority"), "i32"),
        (json!({"prompt": "x", "repo": "--upload-pack=x"}), Some("repo"), "must not start with `-`"),
        (json!({"prompt": " "}), Some("prompt"), "1 byte"),
        (json!({"prompt": "x", "title": ""}), Some("title"), "200"),
        (json!({"prompt": "x", "base_branch": "main"}), Some("base_branch"), "repository"),
        (json!({"prompt": "x", "agent": "hal"}), Some("agent"), "hal"),
        (json!({"prompt": "x", "agent_program": ["sh"]}), Some("agent_program"), "absolute"),
        (json!({"prompt": "x", "limits": [5]}), Some("limits"), "object"),
        (json!({}), None, "prompt"),
        (json!(["title", "prompt"]), None, "object"),
    ] {
        let reply = stage.post("/api/objectives", body.clone()).await;
        assert_eq!(reply.problem(), (422, "invalid".into()), "{body}");
        let problem = reply.json();
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    for (query, field, said) in [
        ("limit=0", "limit", "limit"),
        ("limit=1001", "limit", "limit"),
        ("state=active&limit=x", "limit", "limit"),
        ("state=sleeping&limit=1", "state", "waiting_user"),
        ("after=x", "after", "cursor"),
        ("colour=red", "colour", "colour"),
    ] {
        let reply = stage.get(&format!("/api/objectives?{query}")).await;
        assert_eq!(reply.problem(), (422, "invalid".into()), "{query}");
        assert_eq!(reply.json()["field"], field, "{query}");
        assert!(reply.text.contains(said), "{query}: {}", reply.text);
    }
    // A limit is not silently none where a list has no pages.
    for path in ["/api/targets?limit=1", "/customizations/resolve?limit", "/api/health?limit=1&x=2"] {
        let reply = stage.get(path).await;
        assert_eq!((reply.problem(), &reply.json()["field"]), ((422, "invalid".into()), &json!("limit")), "{path}");
    }
    assert!(stage.get("/api/objectives").await.ok(200).as_array().unwrap().is_empty());
    let reply = stage.post("/api/objectives/nonsense/cancel", json!({"why": 1})).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}
