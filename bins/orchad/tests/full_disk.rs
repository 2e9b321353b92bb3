//! The disk becomes full under a daemon at work: it says so, loses nothing, and goes on by itself.
//!
//! The daemon, its agent and git are real, on a small disk in a mount namespace of their own that ends with the test.
//! Where no such disk can be mounted the test says so, is counted as skipped, and passes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use orcha_base::Redacted;
use orcha_client::Client;
use orcha_wire::{Cancel, CreateObjective, HealthStatus, ListMessages, ListSessions};
use orchad::demo::daemon::{Daemon, last_words};
use orchad::demo::sample::Sample;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder for the half of the test that runs on the small disk.
const FOLDER: &str = "ORCHAD_TEST_SMALL_DISK";

/// What the agent says first; nobody says this to it.
const GREETING: &str = "the agent has begun to speak";

/// How many lines the agent says while nothing can be stored.
const LINES: usize = 30;

#[test]
fn a_full_disk_stops_nothing_for_longer_than_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Command::new("unshare");
    script.arg("--mount");
    // Only root may mount without a user namespace of its own.
    if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) != 0) {
        script.arg("--map-root-user");
    }
    script.args(["sh", "-c", r#"mount -t tmpfs -o size=48m tmpfs "$1" || exit 77; shift; exec "$@""#, "sh"]);
    script.arg(folder.path()).arg(std::env::current_exe().unwrap());
    script.args(["--exact", "the_half_on_the_small_disk", "--nocapture"]).env(FOLDER, folder.path());
    match script.output() {
        Ok(output) if output.status.code() == Some(77) || (output.stdout.is_empty() && !output.status.success()) => {
            eprintln!("SKIPPED: no small disk can be mounted here: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
            assert!(text.contains("RECOVERED"), "{text}");
        }
        Err(error) => eprintln!("SKIPPED: `unshare` does not start: {error}"),
    }
}

/// Not a test by itself: see above.
#[tokio::test(flavor = "multi_thread")]
async fn the_half_on_the_small_disk() {
    let Some(disk) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let gates = tempfile::tempdir().unwrap();
    let sample = Sample::make(&disk).unwrap();
    std::fs::write(&sample.script, script(gates.path())).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_orchad"));
    let mut daemon = Daemon::start_as(program, &sample).await.unwrap();
    let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
    let wish = orchad::demo::objective_for(program, &sample).unwrap();
    let told =
        tokio::task::LocalSet::new()
            .run_until({
                let (client, disk) = (client.clone(), disk.clone());
                async move {
                    tokio::task::spawn_local(async move { story(&client, &wish, &disk, gates.path()).await }).await
                }
            })
            .await;
    // Whatever came of it, nothing goes on.
    std::fs::write(disk.join("ballast"), "").unwrap();
    eventually("there is room", async || client.health().await.unwrap().status == HealthStatus::Ok).await;
    for it in client.objectives(&Default::default()).await.unwrap().items {
        if it.status.to_string() != "succeeded" {
            client.cancel_objective(it.id, &Cancel::default()).await.unwrap();
        }
    }
    daemon.stop().await.unwrap();
    if let Err(fault) = told {
        eprintln!("{}", last_words(&sample.log(), 60));
        std::panic::resume_unwind(fault.into_panic());
    }
}

/// A manager that starts, speaks while the disk is full, and ends when there is room.
fn script(gates: &Path) -> String {
    let wait = |gate: &str| {
        let command = format!("until [ -e {}/{gate} ]; do sleep 0.05; done", gates.display());
        serde_json::json!({"run": {"argv": ["sh", "-c", command]}})
    };
    let mut steps = vec![serde_json::json!({"say": GREETING}), wait("full")];
    steps.extend((0..LINES).map(|n| serde_json::json!({"say": format!("line <{n}> of the full disk")})));
    steps.push(wait("room"));
    let done = serde_json::json!({"tool": "mark_objective_done", "args": {"summary": "It was full, and is no more."}});
    steps.push(serde_json::json!({"call": done}));
    let turns = serde_json::json!([{"on": "opening", "steps": steps}, {"on": "any", "steps": [{"say": "Noted."}]}]);
    let manager = serde_json::json!({"name": "manager", "when": {"env": {"ORCHA_ROLE": "manager"}}, "turns": turns});
    serde_json::json!({"plays": [manager]}).to_string()
}

async fn story(client: &Client, wish: &CreateObjective, disk: &Path, gates: &Path) {
    let objective = client.create_objective(wish).await.unwrap().objective.id;
    eventually("the manager speaks", async || said(client).await.contains(GREETING)).await;

    // Somebody else takes the rest of the disk, to the last byte.
    let ballast = disk.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file);
    let mut stored = 1;
    let refused = loop {
        match client
            .create_objective(&CreateObjective { agent_program: Some(vec!["/bin/false".into()]), ..wish.clone() })
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.problem().map(|it| it.status), Some(507), "{refused}");
    assert_eq!(client.health().await.unwrap().status, HealthStatus::StorageFull);
    assert_eq!(client.objectives(&Default::default()).await.unwrap().items.len(), stored, "reads go on");
    std::fs::write(gates.join("full"), "").unwrap();
    // The agent speaks now; what it says must wait somewhere.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.health().await.unwrap().status, HealthStatus::StorageFull);

    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    eventually("it is well again", async || client.health().await.unwrap().status == HealthStatus::Ok).await;
    let took = freed.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    std::fs::write(gates.join("room"), "").unwrap();
    let over = async || client.objective(objective).await.unwrap().objective.status.to_string() == "succeeded";
    eventually("the objective succeeds", over).await;
    let said = said(client).await;
    for n in 0..LINES {
        assert_eq!(said.matches(&format!("line <{n}> of the full disk")).count(), 1, "line {n}");
    }
    println!("RECOVERED after {took:?}");
}

/// Everything that the managers have said, as their transcripts have it.
async fn said(client: &Client) -> String {
    let mut text = String::new();
    for session in client.sessions(&ListSessions::default()).await.unwrap().items {
        let all = ListMessages { limit: Some(500), ..ListMessages::default() };
        for entry in client.transcript(session.id, &all).await.unwrap().items {
            text.push_str(&serde_json::to_string(&entry).unwrap());
        }
    }
    text
}

async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
