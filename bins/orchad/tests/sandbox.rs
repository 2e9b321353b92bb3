//! Agents in sandboxes: the real daemon, real processes, and the levels that this machine has.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod served;

use orcha_base::SandboxLevel;
use orcha_wire::{CreateObjective, ListEvents, Session, SessionStatus, Strategy};
use served::{Daemon, serve, until};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Serves with settings and a script in a home folder, where an origin and somebody's key lie too.
fn serve_with(home: &Path, config: &str, script: &str) -> Daemon {
    let data = home.join("data");
    for folder in [&data, &home.join("seed"), &home.join(".ssh")] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(home.join(".ssh/id"), "private-words").unwrap();
    fs::write(data.join("orchad.toml"), config).unwrap();
    fs::write(home.join("script.json"), script).unwrap();
    let git = |dir: &Path, args: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args).current_dir(dir);
        assert!(git.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success(), "{args:?}");
    };
    git(&home.join("seed"), &["init", "-q", "-b", "main"]);
    git(&home.join("seed"), &["commit", "-q", "--allow-empty", "-m", "Begin"]);
    git(home, &["clone", "-q", "--bare", "seed", "origin.git"]);
    serve(home, &["--agent-permissions", "everything"])
}

/// Lets an agent follow the script, and returns its session once that has ended well.
async fn played(daemon: &Daemon, home: &Path, strategy: Strategy) -> Session {
    let script = home.join("script.json").display().to_string();
    let program = [env!("CARGO_BIN_EXE_orchad"), "scripted-agent", "--script", &script];
    let client = &daemon.client;
    let wish = CreateObjective {
        title: Some("Try".into()),
        prompt: "Try what you can do.".into(),
        agent: Some("claude".into()),
        agent_program: Some(program.map(str::to_owned).to_vec()),
        repo: Some(home.join("origin.git").display().to_string().parse().unwrap()),
        strategy: Some(strategy),
        ..CreateObjective::default()
    };
    let objective = client.create_objective(&wish).await.unwrap().objective.id;
    let session = until(client, async || {
        let session = client.objective(objective).await.unwrap().sessions.first()?.clone();
        assert_ne!(session.status, SessionStatus::Failed, "{session:?}");
        (session.status == SessionStatus::Succeeded).then_some(session.id)
    });
    client.session(session.await).await.unwrap()
}

async fn said(daemon: &Daemon, session: &Session) -> String {
    let lines = daemon.client.transcript(session.id, &Default::default()).await.unwrap().items;
    lines.into_iter().map(|it| it.content).collect::<Vec<_>>().join("\n")
}

/// Tells whether this machine has a level; a test that must do without it says so.
async fn has(daemon: &Daemon, level: SandboxLevel, test: &str) -> bool {
    let targets = daemon.client.targets().await.unwrap();
    let has = targets[0].sandboxes.contains(&level);
    if !has {
        eprintln!("SKIPPED {test}: no {level} here");
        if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
            let mut log = fs::File::options().append(true).create(true).open(log).unwrap();
            writeln!(log, "{test}: no {level} here").unwrap();
        }
    }
    has
}

const COMMITS: &str = r#"{"plays": [{"name": "only", "turns": [{"on": "opening", "steps": [
    {"write": {"path": "made.txt", "text": "made in a sandbox"}},
    {"commit": "Make a file"},
    {"run": {"argv": ["git", "log", "--format=%s", "-2"]}},
    {"run": {"argv": ["sh", "-c", "cat ../../../token ../../../orcha.db ~/.ssh/id"], "allow_failure": true}},
    {"run": {"argv": ["sh", "-c", "echo x > ~/outside"], "allow_failure": true}},
    {"say": "done"}
]}]}]}"#;

async fn commits_and_sees_nothing(level: SandboxLevel, test: &str) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let config = format!("[permissions.sandbox]\nlevel = \"{level}\"\nstrict = true\n");
    let daemon = serve_with(&home, &config, COMMITS);
    if !has(&daemon, level, test).await {
        return;
    }
    let session = played(&daemon, &home, Strategy::Direct).await;
    let by = session.sandbox.clone().unwrap();
    assert_eq!((by.level, by.read_only), (level, false), "{by}");
    let said = said(&daemon, &session).await;
    assert!(said.contains("Make a file\nBegin"), "{said}");
    let token = fs::read_to_string(home.join("data/token")).unwrap();
    for secret in [token.trim(), "SQLite format", "private-words"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(!home.join("outside").exists(), "{said}");
}

#[tokio::test]
async fn an_agent_under_landlock_commits_and_sees_nothing_of_the_daemon() {
    commits_and_sees_nothing(SandboxLevel::Landlock, "an_agent_under_landlock_commits").await;
}

#[tokio::test]
async fn an_agent_under_bubblewrap_commits_and_sees_nothing_of_the_daemon() {
    commits_and_sees_nothing(SandboxLevel::Bubblewrap, "an_agent_under_bubblewrap_commits").await;
}

const MEDDLES: &str = r#"{"plays": [{"name": "only", "turns": [{"on": "opening", "steps": [
    {"run": {"argv": ["sh", "-c", "echo x > meddled.txt"], "allow_failure": true}},
    {"call": {"tool": "mark_objective_done", "args": {"summary": "Looked."}}},
    {"say": "done"}
]}]}]}"#;

#[tokio::test]
async fn a_manager_cannot_change_its_checkout_and_where_it_can_that_is_told() {
    for level in [SandboxLevel::Landlock, SandboxLevel::None] {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let daemon = serve_with(&home, &format!("[permissions.sandbox]\nlevel = \"{level}\"\n"), MEDDLES);
        if level == SandboxLevel::Landlock && !has(&daemon, level, "a_manager_cannot_change_its_checkout").await {
            continue;
        }
        let session = played(&daemon, &home, Strategy::Manager).await;
        let by = session.sandbox.clone().unwrap();
        let confined = level == SandboxLevel::Landlock;
        assert_eq!((by.level, by.read_only), (level, confined), "{by}");
        let workspace = session.workspace_id.unwrap();
        let meddled = home.join("data/work/checkouts").join(workspace.to_string()).join("meddled.txt");
        assert_eq!(meddled.exists(), !confined);
        let told = async || {
            let events = daemon.client.events(&ListEvents::default()).await.unwrap().items;
            events.into_iter().find(|it| it.summary.contains("may only look and changed meddled.txt"))
        };
        if confined {
            assert_eq!(told().await.map(|it| it.summary), None);
        } else {
            until(&daemon.client, told).await;
        }
    }
}
