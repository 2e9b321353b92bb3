//! An agent that has nothing but a screen, in a real tmux under the real daemon: a person takes its keyboard, the daemon
//! dies meanwhile, and nothing of it is left when it is over.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

#[path = "crash/leftovers.rs"]
#[expect(dead_code, reason = "what is left is looked for here, and ended by the test of crashes")]
mod leftovers;

mod served;

use orcha_base::SessionId;
use orcha_client::Client;
use orcha_wire::{
    Cancel, CreateObjective, ListSessions, Session, SessionStatus, Steer, SteeringState, Strategy, Terminal, Turn,
};
use served::{Daemon, PATIENCE, serve, until};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A program that takes what is pasted, says what it got, and works on until somebody types a line. Then it shows that it
/// takes words.
const PROGRAM: &str = r#"
printf '\033[?2004hYes, I trust this folder\r\n'
read -r _
printf 'ready for you\n> '
while read -r line; do
  case "$line" in
  *xx-leave*) exit 0 ;;
  *'[201~'*) printf 'I am at work\n' ;;
  *by-hand*) printf 'I heard a person\n> ' ;;
  esac
done
"#;

/// Its lines of the settings. A person gets as much time as the test needs.
fn config(home: &Path, quiet_secs: u32) -> String {
    let program = home.join("program.sh").display().to_string();
    format!(
        "[agents.tui.terminal]\nprogram = ['/bin/sh', '{program}']\nready = '^> $'\nidle_secs = 1\nquiet_secs = {quiet_secs}\n"
    )
}

/// A home with the program and its settings, and the daemon that serves it.
fn stage(quiet_secs: u32) -> (tempfile::TempDir, Daemon) {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("program.sh"), PROGRAM).unwrap();
    fs::write(home.path().join("data/orchad.toml"), config(home.path(), quiet_secs)).unwrap();
    let daemon = serve(home.path(), &[]);
    (home, daemon)
}

async fn begin(client: &Client) -> SessionId {
    let objective = CreateObjective {
        title: Some("Screen".into()),
        prompt: "Do it.\nDo it well.".into(),
        agent: Some("tui".into()),
        agent_program: None,
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
    let objective = client.create_objective(&objective).await.unwrap().objective.id;
    let of = ListSessions { objective_id: Some(objective.into()), ..ListSessions::default() };
    until(client, async || client.sessions(&of).await.unwrap().items.first().map(|it| it.id)).await
}

async fn said(client: &Client, session: SessionId) -> String {
    let said = client.transcript(session, &Default::default()).await.unwrap().items;
    said.into_iter().map(|it| it.content).collect::<Vec<_>>().join("\n")
}

/// Waits until the transcript holds a text.
async fn until_said(client: &Client, session: SessionId, text: &str) {
    use futures::StreamExt;
    let mut entries = client.follow_transcript(session, 0);
    let waited = async { while !entries.next().await.unwrap().unwrap().content.contains(text) {} };
    if tokio::time::timeout(PATIENCE, waited).await.is_err() {
        panic!("`{text}` was not said: {}", said(client, session).await);
    }
}

async fn until_turn(client: &Client, session: SessionId, turn: Turn) -> Session {
    until(client, async || {
        let it = client.session(session).await.unwrap();
        (it.turn == Some(turn)).then_some(it)
    })
    .await
}

/// A person before a real screen, which `script` makes.
struct Person {
    screen: Child,
    keys: ChildStdin,
}

impl Person {
    fn attach(at: &Terminal) -> Self {
        let command = format!("TERM=xterm tmux -S {} attach-session -t {}", at.socket, at.session);
        let mut screen = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .current_dir(&at.folder)
            .env_remove("TMUX")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let keys = screen.stdin.take().unwrap();
        Self { screen, keys }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn goes(mut self) {
        self.screen.wait().unwrap();
    }
}

/// Tells whether the programs are there; says aloud which is not.
fn can_run(test: &str) -> bool {
    for (program, flag) in [("tmux", "-V"), ("script", "--version")] {
        if Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            let reason = format!("{test}: `{program}` is not in PATH");
            eprintln!("SKIPPED {reason}");
            if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
                writeln!(fs::File::options().create(true).append(true).open(log).unwrap(), "{reason}").unwrap();
            }
            return false;
        }
    }
    true
}

/// Waits until nothing but the daemon is alive of what was started for a folder.
async fn until_nothing_is_left(home: &Path) {
    loop {
        let left = leftovers::of(home).into_iter().find(|it| !it.command.contains("orchad serve"));
        let Some(left) = left else { return };
        let over = tokio::time::timeout(PATIENCE, orcha_exec::until_over(left.pid)).await;
        over.unwrap_or_else(|_| panic!("it is still alive: {left:?}")).unwrap();
    }
}

#[tokio::test]
async fn a_person_takes_the_keyboard_over_a_crash_of_the_daemon_and_nobody_else_types_meanwhile() {
    if !can_run("a_person_takes_the_keyboard_over_a_crash_of_the_daemon_and_nobody_else_types_meanwhile") {
        return;
    }
    let (home, mut daemon) = stage(600);
    let session = begin(&daemon.client).await;
    until_said(&daemon.client, session, "I am at work").await;
    let terminal = daemon.client.session_terminal(session).await.unwrap();
    let mut person = Person::attach(&terminal);
    let held = until_turn(&daemon.client, session, Turn::Held).await;
    assert_eq!(held.reason.as_deref(), Some("a person types in its terminal"));
    let steer = Steer { message: "xx-leave".into(), interrupt: false };
    daemon.client.steer_session(session, &steer).await.unwrap();

    // The daemon dies; the program, its screen and the person before it do not.
    drop(daemon);
    daemon = serve(home.path(), &[]);
    let client = daemon.client.clone();
    until_turn(&client, session, Turn::Held).await;
    person.press("by-hand\r");
    until_said(&client, session, "I heard a person").await;
    let waiting = client.session_steering(session, &Default::default()).await.unwrap().items;
    assert_eq!(waiting.iter().map(|it| it.state).collect::<Vec<_>>(), [SteeringState::Queued]);

    // The person leaves; the words are typed, and the exit code of zero is the evidence.
    person.press("\x02d");
    person.goes();
    until(&client, async || {
        let it = client.session(session).await.unwrap();
        assert_ne!(it.status, SessionStatus::Failed, "{it:?}");
        (it.status == SessionStatus::Succeeded).then_some(())
    })
    .await;
    let said = said(&client, session).await;
    assert!(said.contains("a person took the keyboard") && said.contains("gave the keyboard back"), "{said}");
    until_nothing_is_left(home.path()).await;
}

#[tokio::test]
async fn what_is_canceled_leaves_no_terminal_even_while_somebody_is_attached() {
    if !can_run("what_is_canceled_leaves_no_terminal_even_while_somebody_is_attached") {
        return;
    }
    let (home, daemon) = stage(600);
    let session = begin(&daemon.client).await;
    until_said(&daemon.client, session, "I am at work").await;
    let person = Person::attach(&daemon.client.session_terminal(session).await.unwrap());
    until_turn(&daemon.client, session, Turn::Held).await;
    daemon.client.cancel_session(session, &Cancel { reason: None }).await.unwrap();
    person.goes();
    until_nothing_is_left(home.path()).await;
    assert!(daemon.client.session_terminal(session).await.is_err());
}

#[tokio::test]
async fn p5_a_screen_that_stands_still_is_no_success() {
    if !can_run("p5_a_screen_that_stands_still_is_no_success") {
        return;
    }
    let (home, daemon) = stage(1);
    let session = begin(&daemon.client).await;
    let it = until(&daemon.client, async || {
        let it = daemon.client.session(session).await.unwrap();
        let under_way = matches!(
            it.status,
            SessionStatus::Queued | SessionStatus::WaitingCapacity | SessionStatus::Starting | SessionStatus::Running
        );
        (!under_way).then_some(it)
    })
    .await;
    assert_eq!(it.status, SessionStatus::WaitingUser, "{it:?}");
    let said = said(&daemon.client, session).await;
    assert_eq!(said.matches("the turn ended: the screen stands still").count(), 2, "{said}");
    until_nothing_is_left(home.path()).await;
}
