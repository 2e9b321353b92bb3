//! A model as an agent, from the wish to the end: a real daemon, a real checkout, real processes, and a model server
//! that says what its scenario says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use futures::StreamExt;
use orcha_base::{ObjectiveId, Redacted, RepoUrl};
use orcha_client::Client;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use orcha_wire::{
    CreateObjective, IdRef, ListMessages, ListPullRequests, ListSessions, MergePr, PullRequestStatus, Strategy,
    StreamEvents,
};
use orchad::demo::daemon::{Daemon, end_runs, last_words};
use orchad::demo::sample::Sample;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_orchad");

/// How long the whole way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads, edits, tries it out, commits, reports, and ends its turn.
fn scenario() -> Value {
    let step = |seen: &str, not_yet: &str, name: &str, args: Value| json!({"when": {"history": seen}, "unless": {"history": not_yet}, "repeat": "forever", "tools": [{"name": name, "args": args}]});
    let edit = json!({"path": "greet.sh", "old": "Hello, %s!", "new": "Good day, %s!"});
    let commit = "git -c user.name=m -c user.email=m@localhost commit -qam 'feat: be polite' && echo committed";
    json!({
        "count": "conversation",
        "require_key": "sesame",
        "model_names": ["m-1"],
        "replies": [
            step("user: ", "call: read", "read", json!({"path": "greet.sh"})),
            step("result: .*Hello, %s!", "call: edit", "edit", edit),
            step("call: edit", "call: run", "run", json!({"command": "sh greet.sh you"})),
            step("Good day, you!", "git -c", "run", json!({"command": commit})),
            step("committed", "report_result", "mcp__orcha__report_result", json!({"summary": "It says good day."})),
        ],
        "otherwise": {"text": "It is done."},
    })
}

fn settings(model: &ScriptedModel, api: &str) -> String {
    let base = if api.starts_with("openai") { format!("{}/v1", model.url()) } else { model.url().to_owned() };
    let token =
        if api == "copilot" { format!("token_url = \"{base}/copilot_internal/v2/token\"") } else { String::new() };
    format!(
        "[providers.mine]\napi = \"{api}\"\nbase_url = \"{base}\"\nkey_env = \"MY_KEY\"\nmodel = \"m-1\"\n{token}\n[prices.m-1]\ninput = 2.0\noutput = 10.0\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_a_model_edits_a_file_runs_it_commits_and_reports() {
    for api in ["openai-responses", "anthropic"] {
        let folder = tempfile::tempdir().unwrap();
        let sample = Sample::make(folder.path()).unwrap();
        let model =
            ScriptedModel::start(Scenario::parse(&scenario().to_string()).unwrap(), Options::default()).unwrap();
        std::fs::create_dir_all(&sample.data).unwrap();
        let key = format!("{}\n", settings(&model, api));
        std::fs::write(sample.data.join("orchad.toml"), key).unwrap();
        let program = with_key(folder.path());
        let mut daemon = Daemon::start_as(&program, &sample).await.unwrap();
        let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
        let wish = CreateObjective {
            title: Some("Be polite".into()),
            prompt: "Say good day instead of hello.".into(),
            agent: Some("mine".into()),
            agent_program: None,
            model: None,
            effort: None,
            project_id: None,
            repo: Some(sample.origin.display().to_string().parse::<RepoUrl>().unwrap()),
            base_branch: None,
            priority: None,
            limits: None,
            strategy: Some(Strategy::Direct),
            fallback: None,
            attachments: Vec::new(),
        };
        let objective = client.create_objective(&wish).await.unwrap().objective.id;
        let mut story = String::new();
        let went = tokio::time::timeout(PATIENCE, go_the_whole_way(&client, objective, &mut story)).await;
        let log = last_words(&sample.log(), 40);
        assert!(went == Ok(true), "{api}: {went:?}\n{story}\n{log}");
        // The commit is in the repository, under the branch of its pull request.
        let branches = sample.git(&sample.origin, &["log", "--all", "--format=%s"]).unwrap();
        assert!(branches.contains("feat: be polite"), "{branches}");
        let session = client.sessions(&ListSessions::default()).await.unwrap().items.remove(0);
        let all = ListMessages { limit: Some(500), ..ListMessages::default() };
        let transcript = client.transcript(session.id, &all).await.unwrap().items;
        let transcript = serde_json::to_string(&transcript).unwrap();
        assert!(transcript.contains("Good day, you!") && transcript.contains("It is done."), "{transcript}");
        let session = serde_json::to_value(client.session(session.id).await.unwrap()).unwrap().to_string();
        let calls = u64::try_from(model.requests().iter().filter(|it| it.asked.is_some()).count()).unwrap();
        // 100 tokens read and 20 written with each call: 400 millionths of a dollar.
        assert!(calls >= 5 && session.contains(&format!("\"micro_usd\":{}", calls * 400)), "{calls}: {session}");
        // The key is nowhere but in the daemon's environment.
        daemon.stop().await.unwrap();
        end_runs(&sample).await.unwrap();
        let found = Command::new("grep").args(["-rlE", "sesame"]).arg(&sample.data).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{api}: the key was written down");
    }
}

/// Follows an objective to its end, and merges its pull request as a person would. Returns whether it succeeded.
async fn go_the_whole_way(client: &Client, objective: ObjectiveId, story: &mut String) -> bool {
    let id = IdRef::from(objective);
    let mut events = client.follow_events(StreamEvents { after: Some(0), objective_id: Some(id.clone()) });
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        story.push_str(&format!("{}: {}\n", event.kind, event.summary));
        match event.kind.as_str() {
            "objective_done" => return true,
            "objective_failed" | "objective_canceled" | "session_failed" => return false,
            "pr_observed" => {
                let query = ListPullRequests { objective_id: Some(id.clone()), ..ListPullRequests::default() };
                for pr in client.pull_requests(&query).await.unwrap().items {
                    if pr.status == PullRequestStatus::Open {
                        client.merge_pull_request(IdRef::from(pr.id), &MergePr::default()).await.unwrap();
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// Makes a program that is the daemon with a key in its environment.
fn with_key(folder: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("daemon.sh");
    std::fs::write(&path, format!("#!/bin/sh\nMY_KEY=sesame exec '{PROGRAM}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_models_of_a_provider_are_listed_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let model = ScriptedModel::start(Scenario::parse(&scenario().to_string()).unwrap(), Options::default()).unwrap();
    let config = folder.path().join("orchad.toml");
    std::fs::write(&config, settings(&model, "openai-chat")).unwrap();
    let models = |key: &str, args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("models").args(args).arg("--config").arg(&config).arg("--data").arg(folder.path());
        command.env_clear().env("MY_KEY", key).output().unwrap()
    };
    let listed = models("sesame", &[]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "mine  m-1  $2 in, $10 out\n");
    let listed: Value = serde_json::from_slice(&models("sesame", &["mine", "--json"]).stdout).unwrap();
    assert_eq!(listed["mine"]["models"][0]["id"], "m-1");
    let unset = models("", &[]);
    assert!(String::from_utf8_lossy(&unset.stdout).contains("the variable MY_KEY is not set"));
    assert_eq!(unset.status.code(), Some(1));
}
