//! Deliveries to the end: a real daemon, real checkouts, a real archive, and a server that is called; the daemon is
//! killed while that one thinks about its answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use futures::StreamExt;
use orcha_base::{ObjectiveId, Redacted};
use orcha_client::Client;
use orcha_delivery::{DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
use orcha_wire::workflow::Delivery;
use orcha_wire::{CreateWorkflow, Workflow, WorkflowStatus};
use orchad::demo::daemon::{Daemon, end_runs, last_words};
use orchad::demo::pipeline::{request_for, start_models};
use orchad::demo::sample::Sample;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchad");
const SECRET: &str = "canary-0123456789abcdef";

/// How long the whole way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Reads one request: its head and its body.
async fn hear(stream: &mut TcpStream) -> (String, String) {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the caller hung up");
        text.extend_from_slice(&buffer[..n]);
        let said = String::from_utf8_lossy(&text);
        let Some((head, body)) = said.split_once("\r\n\r\n") else { continue };
        if body.len() >= header(head, "content-length").parse().unwrap() {
            return (head.to_owned(), body.to_owned());
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let named = |line: &&str| line.split_once(':').is_some_and(|(it, _)| it.eq_ignore_ascii_case(name));
    head.lines().find(named).unwrap().split_once(':').unwrap().1.trim()
}

fn wish(sample: &Sample, action: &str, config: Value) -> CreateWorkflow {
    let Value::Object(config) = config else { panic!("{config}") };
    let delivery = Delivery { action: action.to_owned(), config: Some(config), merge: false };
    CreateWorkflow { delivery: Some(delivery), ..request_for(Path::new(PROGRAM), sample).unwrap() }
}

async fn end_of(client: &Client, id: ObjectiveId) -> Workflow {
    let mut events = client.follow_workflow(id);
    while let Some(event) = events.next().await {
        event.unwrap();
    }
    client.workflow(id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_real_and_a_server_is_called_under_one_id_although_the_daemon_is_killed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::make_for_pipeline(folder.path()).unwrap();
    let _models = start_models(&sample).unwrap();
    let mut settings = std::fs::File::options().append(true).open(sample.data.join("orchad.toml")).unwrap();
    settings.write_all(b"\n[delivery]\nallow_hosts = [\"127.0.0.1\"]\n").unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in/secret-path", listener.local_addr().unwrap());

    let went = tokio::time::timeout(PATIENCE, async {
        let mut daemon = Daemon::start_as(Path::new(PROGRAM), &sample).await.unwrap();
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
        let hook = wish(&sample, "webhook", json!({"url": url, "secret": {"file": secret}}));
        let hooked = client.create_workflow(&hook).await.unwrap().row.id;
        let bundle = wish(&sample, "artifact-bundle", json!({"name": "greeter"}));
        let bundled = client.create_workflow(&bundle).await.unwrap().row.id;

        // It is called, and killed before it hears an answer.
        let (mut first, _) = listener.accept().await.unwrap();
        let (head, body) = hear(&mut first).await;
        daemon.kill().await.unwrap();
        drop(first);
        let mut daemon = Daemon::start_as(Path::new(PROGRAM), &sample).await.unwrap();
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        let (again, same) = hear(&mut second).await;
        second.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();

        // A receiver can tell that it is the same, and whose.
        assert_eq!(same, body);
        for head in [&head, &again] {
            assert_eq!(header(head, DELIVERY_HEADER), header(&again, "idempotency-key"));
            let seconds = header(head, TIMESTAMP_HEADER).parse().unwrap();
            let signed = signature(SECRET.as_bytes(), seconds, header(head, DELIVERY_HEADER), body.as_bytes());
            assert_eq!(header(head, SIGNATURE_HEADER), signed);
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["workflow_id"], &body["status"]), (&json!(hooked.to_string()), &json!("completed")));

        let done = end_of(&client, hooked).await;
        assert_eq!(done.row.status, WorkflowStatus::Completed, "{:?}", done.row.error_message);
        let shown = serde_json::to_string(&done).unwrap();
        assert!(!shown.contains("secret-path") && !shown.contains("canary"), "{shown}");
        let made = done.finalization.unwrap().delivered;
        assert_eq!((made[0].kind.as_str(), url.starts_with(&made[0].target)), ("webhook", true));

        let done = end_of(&client, bundled).await;
        assert_eq!(done.row.status, WorkflowStatus::Completed, "{:?}", done.row.error_message);
        let made = done.finalization.unwrap().delivered.remove(0);
        let said = std::process::Command::new("sha256sum").arg(&made.target).output().unwrap();
        assert!(String::from_utf8(said.stdout).unwrap().starts_with(made.sha256.as_deref().unwrap()));
        assert_eq!(std::fs::metadata(&made.target).unwrap().len(), made.bytes.unwrap());
        let mut download = client.delivery(bundled).await.unwrap();
        assert_eq!(
            (download.name.as_str(), download.bytes, download.sha256.clone()),
            ("greeter.zip", made.bytes, made.sha256.clone())
        );
        let mut fetched = Vec::new();
        while let Some(piece) = download.piece().await.unwrap() {
            fetched.extend(piece);
        }
        assert_eq!(fetched, std::fs::read(&made.target).unwrap());
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&made.target).unwrap()).unwrap();
        let names: Vec<String> = zip.file_names().map(|it| it.unwrap().into_owned()).collect();
        for name in ["greet.sh", "docs/USAGE.md", "check.sh", "orcha-manifest.json"] {
            assert!(names.iter().any(|it| it == name), "{name} is not among {names:?}");
        }
        assert!(names.iter().all(|it| !it.starts_with(".git/")), "{names:?}");
        let manifest: Value = serde_json::from_reader(zip.by_name("orcha-manifest.json").unwrap()).unwrap();
        let checked = done.execution.validation_runs.last().unwrap().commit_sha.clone().unwrap();
        assert_eq!(manifest["commit"], checked.as_str());
        daemon.stop().await.unwrap();
    });
    let went = went.await;
    end_runs(&sample).await.unwrap();
    assert!(went.is_ok(), "it took too long\n{}", last_words(&sample.log(), 40));
    // Nobody was called a third time, and the secret is nowhere.
    let third = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(third.is_err(), "it was called a third time");
    let found = std::process::Command::new("grep").args(["-rlE", "canary-"]).arg(&sample.data).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the secret was written down");
}
