//! The agents of a workflow: each hands in what its step asks for, and a person does the rest over HTTP.

use crate::stage::{Stage, bare, text};
use axum::body::Body;
use http::Method;
use orcha_agent::fake::{FakeAgent, FakeRunner};
use orcha_agent::{Say, TurnEnd};
use orcha_base::{Attempt, ObjectiveId, SessionId};
use orcha_exec::ExitStatus;
use orcha_model::Session;
use orcha_model::workflow::Phase;
use orcha_orch::Orch;
use orcha_plan::World;
use orcha_store::CredentialOwner;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The kind of these agents.
pub const KIND: &str = "roles";

/// Agents that play the roles of workflows.
#[derive(Clone)]
pub struct Roles {
    pub orch: Arc<OnceLock<Orch>>,
    /// While it is held, nobody works off a task.
    pub held: watch::Sender<bool>,
}

impl Default for Roles {
    fn default() -> Self {
        Self { orch: Arc::default(), held: watch::Sender::new(false) }
    }
}

impl Roles {
    pub fn runner(&self) -> FakeRunner {
        let roles = self.clone();
        FakeRunner::new(move |agent| roles.clone().play(agent))
    }

    async fn play(self, mut agent: FakeAgent) -> ExitStatus {
        let label = agent.launch().label.as_str().to_owned();
        let (session, attempt): (SessionId, _) = (label[..36].parse().unwrap(), Attempt(label[37..].parse().unwrap()));
        agent.ready();
        while let Some(say) = agent.hear().await {
            let Say::Prompt { .. } = say else { continue };
            let orch = self.orch.wait();
            let (objective, it) = find(orch, session).await;
            let part = it.part.unwrap();
            if part.task.is_some() {
                self.held.subscribe().wait_for(|held| !held).await.unwrap();
            }
            let owner =
                CredentialOwner { tenant: it.tenant, scope: it.scope, objective, session, attempt, role: it.role };
            // Who was canceled meanwhile is not heard any more.
            drop(orch.hand_in(&owner, document(part.phase)).await);
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    }
}

async fn find(orch: &Orch, id: SessionId) -> (ObjectiveId, Session) {
    for objective in orch.store().live_objectives().await.unwrap() {
        let look = move |world: &World| world.sessions.get(&id).cloned();
        if let Some(session) = orch.view(objective, look).await.unwrap() {
            return (objective, session);
        }
    }
    panic!("there is no session {id}");
}

fn plan(tasks: &[&str]) -> Value {
    let task = |it: &&str| json!({"title": it, "description": format!("Do {it}."), "depends_on": []});
    let tasks: Vec<Value> = tasks.iter().map(task).collect();
    json!({"design": {"overview": "One text."}, "tasks": tasks, "summary": "planned"})
}

fn charter(vision: &str) -> Value {
    json!({
        "constitution": {"vision": vision, "goals": ["a text"], "acceptance_criteria": ["it is there"]},
        "requirements": {"functional": [{"title": "A text", "priority": "must"}]},
        "summary": "chartered",
    })
}

fn document(phase: Phase) -> Value {
    match phase {
        Phase::Digest => json!({"files": [{"name": "big.log", "summary": "a long record"}], "summary": "read"}),
        Phase::Direct => json!({"mode": "content", "title": "A text", "rationale": "text", "summary": "a text"}),
        Phase::Charter => charter("Theirs"),
        Phase::Design => plan(&["Theirs"]),
        Phase::Implement => json!({"summary": "written", "artifacts": [{"path": "post.md", "content": "# A post"}]}),
        Phase::Verify => json!({"passed": true, "blocking_issues": [], "summary": "good"}),
        Phase::Finalize => json!({"title": "A post", "body": "It is written.", "summary": "A post is there."}),
        _ => json!({"improvements": [], "health_score": 90, "overall_assessment": "well", "summary": "went well"}),
    }
}

fn tasks(workflow: &Value) -> Vec<(String, String)> {
    let all = workflow["tasks"].as_array().unwrap().iter();
    all.map(|it| (text(&it["title"]), text(&it["status"]))).collect()
}

fn named(tasks: &[(&str, &str)]) -> Vec<(String, String)> {
    tasks.iter().map(|(title, status)| ((*title).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn files_come_with_a_request_are_listed_read_back_and_summed_up() {
    let stage = Stage::open().await;
    stage.roles.held.send_replace(true);
    let big = "all is well, nothing to see here\n".repeat(40_000);
    let latin = data_encoding::BASE64.encode(b"gr\xfcn");
    let wish = json!({
        "request": "Write a post", "provider": KIND, "attachments": [
            {"name": "notes.md", "text": "# Notes"},
            {"name": "big.log", "text": big},
            {"name": "old.txt", "base64": latin},
        ],
    });
    let id = text(&stage.post("/workflows", wish).await.ok(201)["id"]);
    let mut stream = stage.stream(&format!("/workflows/{id}/stream"), None).await;
    let mut told = Vec::new();
    loop {
        let event = stream.next().await.unwrap().data;
        let kind = text(&event["type"]);
        if kind.starts_with("attachment.") {
            told.push((kind.clone(), event["payload"]["filename"].as_str().unwrap_or_default().to_owned()));
        }
        if kind == "task.started" {
            break;
        }
    }
    let expected = [
        ("attachment.processed", "notes.md"),
        ("attachment.processed", "old.txt"),
        ("attachment.processing.started", ""),
        ("attachment.processed", "big.log"),
        ("attachment.processing.completed", ""),
    ];
    assert_eq!(told, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));

    let listed = stage.get(&format!("/workflows/{id}/attachments")).await.ok(200);
    assert_eq!(listed, stage.get(&format!("/api/objectives/{id}/attachments")).await.ok(200));
    let of = |key: &str| listed.as_array().unwrap().iter().map(|it| it[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("filename"), ["notes.md", "big.log", "old.txt"]);
    assert_eq!(of("status"), ["completed", "completed", "completed"]);
    assert_eq!(of("encoding"), ["utf-8", "utf-8", "iso-8859-1"]);
    assert_eq!(listed[1]["summary"], "a long record");
    assert_eq!((&listed[0]["whole"], &listed[1]["whole"]), (&json!(true), &json!(false)));
    let read = stage.get(&format!("/api/attachments/{}", text(&listed[2]["id"]))).await.ok(200);
    assert_eq!((&read["base64"], &read["size_bytes"]), (&json!(latin), &json!(4)));

    // Made once more, it comes with the same files.
    let again = text(&stage.verb(&format!("/workflows/{id}/clone")).await.ok(201)["id"]);
    let same = stage.get(&format!("/workflows/{again}/attachments")).await.ok(200);
    assert_eq!((&same[1]["sha256"], &same[1]["size_bytes"]), (&listed[1]["sha256"], &listed[1]["size_bytes"]));
    assert_ne!(same[1]["id"], listed[1]["id"]);
    for id in [id, again] {
        stage.verb(&format!("/workflows/{id}/cancel")).await.ok(200);
    }
}

#[tokio::test]
async fn files_that_are_none_are_refused_and_nothing_is_made() {
    let stage = Stage::open().await;
    let huge = data_encoding::BASE64.encode(&vec![b'x'; 2 * 1024 * 1024 + 1]);
    let named = |name: &str| json!({"name": name, "text": "x"});
    for wrong in [
        json!([named("../x")]),
        json!([named("/etc/passwd")]),
        json!([named("")]),
        json!([named("a\u{0}.txt")]),
        json!([named(".env")]),
        json!([named("picture.png")]),
        json!([named("a.txt"), named("A.txt")]),
        json!([{"name": "a.txt", "text": ""}]),
        json!([{"name": "a.txt", "base64": huge}]),
        json!([{"name": "a.txt", "base64": "AAECAw=="}]),
        json!([{"name": "a.txt", "base64": "no base64"}]),
        json!([{"name": "a.txt"}]),
        json!([{"name": "a.txt", "text": "x", "base64": "eA=="}]),
        json!((0..21).map(|n| named(&format!("{n}.txt"))).collect::<Vec<_>>()),
    ] {
        for (path, body) in [
            ("/workflows", json!({"request": "Write a post", "attachments": wrong})),
            ("/api/objectives", json!({"prompt": "Write a post", "attachments": wrong})),
        ] {
            let refused = stage.post(path, body).await;
            assert_eq!(
                (refused.problem(), refused.json()["field"].as_str()),
                ((422, "invalid".into()), Some("attachments"))
            );
        }
    }
    assert_eq!(stage.get("/api/objectives").await.ok(200), json!([]));
    // Other bodies stay as short as they were.
    let long = json!({"message": "x".repeat(3 * 1024 * 1024)});
    assert_eq!(stage.post("/api/sessions/deadbeef/messages", long).await.problem(), (413, "too_large".into()));
}

#[tokio::test]
async fn a_person_looks_edits_skips_adds_sends_back_and_gets_the_delivery() {
    let stage = Stage::open().await;
    stage.roles.held.send_replace(true);
    let wish = json!({
        "request": "Write a post", "provider": KIND, "approvals": {"plan": true, "delivery": true},
        "delivery": {"action": "blog-draft", "config": {"slug": "my-post"}},
    });
    let id = text(&stage.post("/workflows", wish).await.ok(201)["id"]);
    let (path, at) = (format!("/workflows/{id}"), |verb: &str| format!("/workflows/{id}/{verb}"));
    let waits = |step: &'static str| {
        move |it: &Value| {
            it["step"] == step && it["execution"]["waits_for"].as_str().is_some_and(|it| it.contains("Shall"))
        }
    };

    // The plan: written anew by a person, sent back with words, and written anew once more while it rests.
    stage.until(&path, waits("approve_plan")).await;
    stage.post(&at("edit"), json!({"step": "charter", "document": charter("Mine")})).await.ok(200);
    assert_eq!(stage.get(&path).await.ok(200)["constitution"]["vision"], "Mine");
    let back = stage.post(&at("approve"), json!({"approve": false, "reason": "Smaller, please."})).await.ok(200);
    assert_eq!(back["step"], "design");
    stage.until(&path, waits("approve_plan")).await;
    assert_eq!(stage.verb(&at("pause")).await.ok(200)["status"], "paused");
    let edited = stage.post(&at("edit"), json!({"step": "design", "document": plan(&["One", "Two"])})).await.ok(200);
    assert_eq!(edited["step"], "approve_plan");
    stage.verb(&at("resume")).await.ok(200);
    assert_eq!(stage.post(&at("approve"), json!({"approve": true})).await.ok(200)["step"], "implement");

    // The tasks.
    stage.until(&path, |it| it["tasks"].as_array().is_some_and(|all| all.len() == 2)).await;
    stage.post(&at("skip"), json!({"task": "2", "reason": "not needed"})).await.ok(200);
    stage
        .post(&at("tasks"), json!({"title": "Three", "description": "Do three.", "specialty": "writer"}))
        .await
        .ok(200);
    let now = stage.get(&path).await.ok(200);
    assert_eq!(tasks(&now)[1..], named(&[("Two", "skipped"), ("Three", "pending")]));
    stage.roles.held.send_replace(false);

    // The result: judged anew, then agreed to.
    stage.until(&path, waits("approve_delivery")).await;
    let back = stage.post(&at("retry"), json!({"from": "verify", "reason": "Look again."})).await.ok(200);
    assert_eq!(back["step"], "verify");
    stage.until(&path, waits("approve_delivery")).await;
    stage.post(&at("approve"), json!({"approve": true})).await.ok(200);
    let done = stage.until(&path, |it| it["status"] == "completed").await;
    assert_eq!(tasks(&done), named(&[("One", "completed"), ("Two", "skipped"), ("Three", "completed")]));
    let made = &done["finalization"]["delivered"][0];
    let written = std::fs::read_to_string(made["target"].as_str().unwrap()).unwrap();
    assert!(text(&made["target"]).ends_with("my-post.md") && written.ends_with("# A post\n"), "{made} {written}");
    assert_eq!(made["bytes"], written.len());

    // Over HTTP, too, as a file with its name; and only to whoever may see the workflow.
    let file = stage.get(&at("delivery")).await;
    assert_eq!((file.status.as_u16(), &file.text), (200, &written));
    let head = |name: &str| file.headers[name].to_str().unwrap().to_owned();
    assert_eq!(head("content-disposition"), "attachment; filename=\"my-post.md\"");
    assert_eq!((head("content-length"), head("etag")), (written.len().to_string(), made["sha256"].to_string()));
    let other = stage.post("/api/tokens", json!({"name": "blue", "tenant": "blue"})).await.ok(201);
    let asked = bare(Method::GET, &at("delivery")).header("authorization", format!("Bearer {}", text(&other["token"])));
    assert_eq!(stage.send(asked.body(Body::empty()).unwrap()).await.problem(), (404, "not_found".into()));
    // What is not what was delivered is not handed out.
    std::fs::write(made["target"].as_str().unwrap(), "another text").unwrap();
    assert_eq!(stage.get(&at("delivery")).await.problem(), (404, "not_found".into()));

    let events = stage.get(&at("events")).await.ok(200);
    let events = events["events"].as_array().unwrap();
    let count = |kind: &str| events.iter().filter(|it| it["type"] == kind).count();
    let counts = ["document.edited", "task.skipped", "delivery.opened", "delivery.completed"].map(count);
    assert_eq!((counts, count("approval.requested") >= 4), ([2, 1, 1, 1], true), "{events:?}");
    assert_eq!(stage.post(&at("retry"), json!({"from": "deliver"})).await.problem(), (409, "over".into()));
}
