//! Who gets in, and what the protocol's clients see.

use super::stage::Stage;
use orcha_forge::fake::{Fault, Op};
use orcha_model::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

#[tokio::test]
async fn promise_15_nobody_gets_in_without_a_good_credential() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    let upper = agent.token.to_uppercase();
    for token in [None, Some(""), Some("nonsense"), Some(&upper[..]), Some(&agent.token[1..])] {
        for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS] {
            let reply = stage.client(token).send(method.clone(), "{}").await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} with {token:?}: {}", reply.text);
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
    let basic = stage.client(None).with("authorization", &format!("Basic {}", agent.token));
    assert_eq!(basic.request("tools/list", json!({})).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(agent.client.request("tools/list", json!({})).await.status, StatusCode::OK);
    let lower = stage.client(None).with("authorization", &format!("bearer {}", agent.token));
    assert_eq!(lower.request("tools/list", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_credential_dies_with_its_session() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let worker = stage.worker(manager.objective, Role::Researcher).await;
    assert_eq!(worker.client.tools().await, ["report_result", "create_note", "ask_user"]);
    manager.get("cancel_session", json!({"session_id": worker.id})).await;
    let reply = worker.client.request("tools/list", json!({})).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.text);
}

#[tokio::test]
async fn a_credential_dies_with_its_attempt() {
    let stage = Stage::open().await;
    let first = stage.manager().await;
    stage.runner.end(&first.label, orcha_agent::Ended::Lost).unwrap();
    let second = stage.launched(first.objective, first.id).await;
    assert_ne!(first.token, second.token);
    assert_eq!(first.client.request("tools/list", json!({})).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(second.client.request("tools/list", json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_host_and_any_origin_are_turned_away() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    for (header, value) in [("host", "evil.example"), ("origin", "http://evil.example"), ("origin", "null")] {
        let reply = agent.client.clone().with(header, value).request("tools/list", json!({})).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{header}: {value}: {}", reply.text);
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]"] {
        let reply = agent.client.clone().with("host", host).request("tools/list", json!({})).await;
        assert_eq!(reply.status, StatusCode::OK, "{host}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_client_of_the_sessions_era_is_greeted_and_needs_no_session() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        // The real program asks this first, without the metadata that the newest protocol wants.
        let discover = agent.client.request("server/discover", json!({})).await;
        assert_eq!(discover.status, StatusCode::BAD_REQUEST, "{}", discover.text);
        assert_eq!(discover.json()["error"]["code"], -32602, "{}", discover.text);

        let hello = agent.client.initialize(version).await;
        assert_eq!(hello.status, StatusCode::OK, "{}", hello.text);
        assert_eq!(hello.json()["result"]["protocolVersion"], version);
        assert_eq!(hello.json()["result"]["serverInfo"]["name"], "orcha");
        assert_eq!(hello.headers["content-type"], "application/json");
        assert!(!hello.headers.contains_key("mcp-session-id"));

        let client = agent.client.clone().with("mcp-protocol-version", version);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        assert_eq!(client.send(Method::POST, ready).await.status, StatusCode::ACCEPTED);
        assert_eq!(client.tools().await.len(), 11);
        assert_eq!(client.request("ping", json!({})).await.json()["result"], json!({}));
    }
}

#[tokio::test]
async fn a_client_of_the_newest_protocol_discovers_and_calls() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    let client =
        |method: &str| agent.client.clone().with("mcp-protocol-version", "2026-07-28").with("mcp-method", method);
    let found = client("server/discover").request("server/discover", json!({"_meta": meta})).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    let versions = &found.json()["result"]["supportedVersions"];
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(versions.as_array().unwrap().contains(&json!(version)), "{versions}");
    }
    let params = json!({"name": "list_children", "arguments": {}, "_meta": meta});
    let called = client("tools/call").with("mcp-name", "list_children").request("tools/call", params).await;
    assert_eq!(called.status, StatusCode::OK, "{}", called.text);
    assert_eq!(called.json()["result"]["structuredContent"]["sessions"], json!([]));
}

#[tokio::test]
async fn a_restarted_daemon_serves_whoever_comes_with_an_old_session_and_no_greeting() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    let stage = stage.restart().await;
    // The agent lives on in reality; here its credential does.
    let client = stage.client(Some(&agent.token)).with("mcp-session-id", "of-the-daemon-before");
    let called = client.with("mcp-protocol-version", "2025-11-25").call("list_children", json!({}), None).await;
    assert!(!called.said().1, "{}", called.text);
}

#[tokio::test]
async fn there_is_no_stream_to_open_and_no_session_to_close() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let reply = agent.client.send(method.clone(), "").await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}: {}", reply.text);
    }
}

#[tokio::test]
async fn promise_17_what_is_no_request_is_refused_and_the_server_stays() {
    let stage = Stage::open().await;
    let agent = stage.manager().await;
    let send = |body: String| agent.client.send(Method::POST, body);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_args = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"create_note","arguments":{{"title":{deep}}}}}}}"#
    );
    for (body, expected) in [
        (String::new(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("garbage".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("[]".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (deep_args, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("x".repeat(2 << 20), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let reply = send(body.clone()).await;
        assert_eq!(reply.status, expected, "{} bytes: {}", body.len(), reply.text);
    }
    let unknown = agent.client.request("no/such/method", json!({})).await;
    assert_eq!(unknown.json()["error"]["code"], -32601, "{}", unknown.text);
    let plain = agent.client.clone().with("content-type", "text/plain").request("tools/list", json!({})).await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(agent.client.tools().await.len(), 11);
}

#[tokio::test]
async fn a_session_that_calls_without_end_is_slowed_down_and_others_are_not() {
    let stage = Stage::open().await;
    let one = stage.manager().await;
    let other = stage.manager().await;
    let refused = async {
        loop {
            let reply = one.client.request("ping", Value::Null).await;
            if reply.status != StatusCode::OK {
                return reply;
            }
        }
    };
    let refused = refused.await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() <= 61);
    assert_eq!(other.client.tools().await.len(), 11);
}

#[tokio::test]
async fn a_daemon_that_goes_down_answers_nothing_that_looks_like_an_answer() {
    let stage = Stage::open().await;
    let manager = stage.manager().await;
    let worker = stage.worker(manager.objective, Role::Implementer).await;
    stage.commit(&worker, "src/it.rs").await;
    worker.get("report_result", json!({"summary": "Did it."})).await;
    stage.finish(&worker).await;
    for _ in 0..6 {
        stage.forge.fail(Op::Open, Fault::Before);
    }
    let client = manager.client.clone();
    let wish = json!({"session_id": worker.id, "title": "Do it", "body": ""});
    let pending = tokio::spawn(async move { client.call("publish_pr", wish, None).await });
    let forge = stage.forge.clone();
    stage.until(manager.objective, move |_| forge.calls().iter().any(|it| it.op == Op::Open)).await;
    stage.orch.shut_down().await;
    // Whoever asks again is served by the next daemon; an error of the tool would be believed.
    assert_eq!(pending.await.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);

    let late = http::Request::post("/").header("authorization", format!("Bearer {}", manager.token));
    let late = late.body(axum::body::Body::empty()).unwrap();
    let late = crate::mcp::routes(stage.orch.clone(), Vec::new()).oneshot(late).await.unwrap();
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
}
