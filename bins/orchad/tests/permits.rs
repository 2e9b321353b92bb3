//! What a real agent asks before it acts, answered by a person over the API: the real daemon, real processes, and a
//! daemon that dies while the question is open.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod served;

use orcha_client::Client;
use orcha_wire::{Answer, CreateObjective, ListQuestions, ObjectiveStatus, Question, SessionStatus, Strategy};
use served::{serve, until};
use std::fs;
use std::path::PathBuf;

const SCRIPT: &str = r#"{"plays": [{"name": "only", "turns": [{"on": "opening", "steps": [
    {"ask_permission": {"argv": ["git", "push"]}},
    {"ask_permission": {"argv": ["git", "--version"]}},
    {"ask_permission": {"argv": ["touch", "allowed.txt"]}},
    {"ask_permission": {"argv": ["touch", "denied.txt"]}},
    {"ask_permission": {"argv": ["touch", "allowed.txt"]}},
    {"run": {"argv": ["git", "--exec-path"]}},
    {"say": "done"}
]}]}]}"#;

const CONFIG: &str = r#"
[permissions]
allow = [{ command = "git --version" }, { command = "git --exec-path" }]
deny = [{ command = "git push" }]
"#;

async fn question(client: &Client, about: &str) -> Question {
    until(client, async || {
        let open = client.questions(&ListQuestions::default()).await.unwrap().items;
        open.into_iter().find(|it| it.question.contains(about))
    })
    .await
}

fn answer(text: &str) -> Answer {
    Answer { answer: text.to_owned() }
}

#[tokio::test]
async fn what_an_agent_asks_is_answered_by_a_person_once_and_reaches_it_over_a_crash_of_the_daemon() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("data/orchad.toml"), CONFIG).unwrap();
    let script = home.path().join("script.json");
    fs::write(&script, SCRIPT).unwrap();
    let mut daemon = serve(home.path(), &[]);
    let program = [env!("CARGO_BIN_EXE_orchad"), "scripted-agent", "--script", script.to_str().unwrap()];
    let objective = CreateObjective {
        title: Some("Ask".into()),
        prompt: "Ask before you act.".into(),
        agent: Some("claude".into()),
        agent_program: Some(program.map(str::to_owned).to_vec()),
        model: None,
        effort: None,
        fallback: None,
        project_id: None,
        repo: None,
        base_branch: None,
        priority: None,
        limits: None,
        strategy: Some(Strategy::Direct),
        attachments: Vec::new(),
    };
    let objective = daemon.client.create_objective(&objective).await.unwrap().objective.id;

    // The first two were settled by rules.
    let allowed = question(&daemon.client, "touch allowed.txt").await;
    assert_eq!((allowed.about.as_str(), allowed.options.len()), ("permission", 3));
    assert!(allowed.expires_at.is_some());
    let session = daemon.client.session(allowed.session_id.unwrap()).await.unwrap();
    assert_eq!(session.status, SessionStatus::Running);
    assert!(session.reason.unwrap().contains("waits for permission to use Bash: touch allowed.txt"));
    assert!(daemon.client.why(session.id).await.unwrap().way_out.contains("denied at"));
    // No clear answer is none.
    assert!(daemon.client.answer(allowed.id, &answer("why not")).await.is_err());

    // The daemon dies; the agent and its question do not.
    drop(daemon);
    daemon = serve(home.path(), &[]);
    daemon.client.answer(allowed.id, &answer("allow for this session")).await.unwrap();
    assert!(daemon.client.answer(allowed.id, &answer("deny")).await.is_err(), "it is answered once");
    let denied = question(&daemon.client, "touch denied.txt").await;
    daemon.client.answer(denied.id, &answer("deny: it is not needed")).await.unwrap();

    // The rest is allowed for this session, and by a rule.
    let client = daemon.client.clone();
    until(&client, async || {
        let it = client.objective(objective).await.unwrap().objective;
        assert_ne!(it.status, ObjectiveStatus::Failed);
        (it.status == ObjectiveStatus::Succeeded).then_some(())
    })
    .await;
    let said = client.transcript(session.id, &Default::default()).await.unwrap().items;
    let said = said.into_iter().map(|it| it.content).collect::<Vec<_>>().join("\n");
    assert!(
        said.contains("I was not allowed to: `Bash` is not allowed in this session, by the rule `command git push`"),
        "{said}"
    );
    assert!(said.contains("git version"), "{said}");
    assert!(said.contains("I was not allowed to: The user does not allow `Bash`: it is not needed"), "{said}");
    let folders: Vec<PathBuf> =
        fs::read_dir(home.path().join("data/work/folders")).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(folders[0].join("allowed.txt").exists() && !folders[0].join("denied.txt").exists());
    let open = client.questions(&ListQuestions::default()).await.unwrap().items;
    assert!(open.is_empty(), "{open:?}");
}
