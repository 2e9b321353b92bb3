//! Real connections: served together, and ended with the daemon.

use crate::stage::{PATIENCE, Stage, TOKEN};
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use orcha_api::{ApiSettings, router_with, serve};
use orcha_base::Redacted;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn streams_and_idle_connections_do_not_hold_up_the_end() {
    let stage = Stage::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let settings = ApiSettings::new(Redacted::new(TOKEN.to_owned()), vec![host.clone()]);
    let pages = Router::new().route("/broken", get(|| async { panic!("a defect") as String }));
    let app = router_with(stage.orch.clone(), settings, pages);
    let server = tokio::spawn(serve(listener, app, stage.orch.stopping()));

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |path: &str| client.get(format!("http://{host}{path}")).bearer_auth(TOKEN).send();
    assert_eq!(ask("/api/health").await.unwrap().status(), StatusCode::OK);
    // A defect ends one request.
    let broken = ask("/broken").await.unwrap();
    assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!broken.text().await.unwrap().contains("defect"));
    let mut stream = ask("/api/stream").await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());

    // HTTP/1.1 wants a host, and this one says two.
    let mut raw = TcpStream::connect(&host).await.unwrap();
    let smuggled = format!("GET /api/health HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\nConnection: close\r\n\r\n");
    raw.write_all(smuggled.as_bytes()).await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    let _half = TcpStream::connect(&host).await.unwrap();
    stage.orch.stopping().cancel();
    let rest = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, rest).await.unwrap();
    tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
    assert!(ask("/api/health").await.is_err());
    stage.orch.shut_down().await;
}
