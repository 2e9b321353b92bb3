//! Files to the end: a real daemon, agents that can do their step only if the files stand in what they are told, and a
//! summary that is made once although the daemon is killed.

use futures::StreamExt;
use orcha_base::Redacted;
use orcha_client::Client;
use orcha_wire::{AttachmentStatus, CreateWorkflow, NewAttachment, Persona, WorkflowStatus};
use orchad::demo::daemon::{Daemon, end_runs, last_words};
use orchad::demo::pipeline::request_for;
use orchad::demo::sample::Sample;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchad");
/// How long the whole way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const READER: &str = "You read the files that came";

fn play(role: &str, contains: &[&str], lacks: &[&str], steps: Value) -> Value {
    json!({
        "name": format!("{role} {contains:?}"),
        "when": {"env": {"ORCHA_ROLE": role}, "contains": contains, "lacks": lacks},
        "turns": [{"on": "opening", "steps": steps}, {"on": "any", "steps": [{"say": "Understood."}]}],
    })
}

fn hands_in(output: Value) -> Value {
    json!({"call": {"tool": "hand_in", "args": {"output": output}}})
}

/// Every role plays only if it was told what stands in the small file, and the summary of the big one.
fn script() -> Value {
    let digest = json!({"files": [{"name": "record.log", "summary": "A record; canary-summary."}], "summary": "read"});
    let reads = json!({"call": {"tool": "read_attachment", "args": {"name": "record.log", "part": 2}}});
    let knows = |role: &str, output: Value| {
        play(role, &["canary-small", "canary-summary"], &[READER], json!([hands_in(output)]))
    };
    let charter = json!({
        "constitution": {"vision": "A post.", "goals": ["a post"], "acceptance_criteria": ["it is there"]},
        "requirements": {"functional": [{"title": "A post", "priority": "must"}]}, "summary": "chartered",
    });
    let task = json!({"title": "Write it", "description": "Write the post.", "depends_on": []});
    json!({
        "about": "Roles that know what came with the request.",
        "plays": [
            play("director", &[READER, "entry 0:"], &[], json!([reads, hands_in(digest)])),
            knows("director", json!({"mode": "content", "title": "A post", "delivery": "answer", "rationale": "text", "summary": "a text"})),
            knows("project_manager", charter),
            knows("architect", json!({"design": {"overview": "One text."}, "tasks": [task], "summary": "planned"})),
            knows("implementer", json!({"summary": "written", "artifacts": [{"path": "post.md", "description": "it", "content": "# A post"}]})),
            knows("qa", json!({"passed": true, "blocking_issues": [], "summary": "good"})),
            knows("finalizer", json!({"title": "A post", "body": "It is written.", "summary": "A post is there."})),
            knows("refiner", json!({"improvements": [], "health_score": 90, "overall_assessment": "well", "summary": "well"})),
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_reach_every_role_and_are_summed_up_once_although_the_daemon_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::make_for_pipeline(folder.path()).unwrap();
    std::fs::write(&sample.script, script().to_string()).unwrap();
    let big: String = (0..9000).map(|n| format!("entry {n}: nothing happened\n")).collect();
    let file = |name: &str, text: &str| NewAttachment { name: name.into(), text: Some(text.into()), base64: None };
    let request = request_for(Path::new(PROGRAM), &sample).unwrap();
    let scripted = request.personas[&Persona::Implementer].clone();
    let wish = CreateWorkflow {
        request: "Write a post.".into(),
        personas: request.personas.keys().map(|it| (*it, scripted.clone())).collect(),
        repo: None,
        delivery: None,
        attachments: vec![file("rules.md", "Every post says canary-small.\n"), file("record.log", &big)],
        ..request
    };
    let went = tokio::time::timeout(PATIENCE, async {
        let mut daemon = Daemon::start_as(Path::new(PROGRAM), &sample).await.unwrap();
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
        let id = client.create_workflow(&wish).await.unwrap().row.id;
        let mut events = client.follow_workflow(id);
        while events.next().await.unwrap().unwrap().kind.as_str() != "attachment.processing.completed" {}
        daemon.kill().await.unwrap();
        let mut daemon = Daemon::start_as(Path::new(PROGRAM), &sample).await.unwrap();
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
        let mut events = client.follow_workflow(id);
        let mut started = 0;
        while let Some(event) = events.next().await {
            started += usize::from(event.unwrap().kind.as_str() == "attachment.processing.started");
        }
        let done = client.workflow(id).await.unwrap();
        assert_eq!(done.row.status, WorkflowStatus::Completed, "{:?}", done.row.error_message);
        assert_eq!(started, 1, "the file was summed up more than once");
        assert!(done.summaries.contains_key(Persona::Qa.as_str()), "{:?}", done.summaries);
        let files = client.attachments(id).await.unwrap();
        assert_eq!(files[1].summary.as_deref(), Some("A record; canary-summary."));
        assert!(files.iter().all(|it| it.status == AttachmentStatus::Completed));
        let read = client.attachment(files[1].id).await.unwrap();
        assert_eq!(data_encoding::BASE64.decode(read.base64.as_bytes()).unwrap(), big.as_bytes());
        daemon.stop().await.unwrap();
    });
    let went = went.await;
    end_runs(&sample).await.unwrap();
    assert!(went.is_ok(), "it took too long\n{}", last_words(&sample.log(), 40));
}
