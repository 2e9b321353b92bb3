//! A program in a real tmux, under a real keeper: what the runner makes of it, and above all of its lies. Every batch
//! is read by a runner that has just been made, as after a restart.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use orcha_agent::{
    Agents, Batch, Cursor, Ended, Event, HostedRunner, Launch, Mcp, Permissions, Runner, Said, Say, TurnEnd,
};
use orcha_base::Redacted;
use orcha_exec::{ExitStatus, Grace, Host, LocalHost, LocalSettings, RunLabel};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Asks for trust, then takes lines after a prompt. What it is told decides how it ends.
const PROGRAM: &str = r#"
printf 'Yes, I trust this folder\n'
read -r _
printf 'hello from the program, tools at %s\n' "$ORCHA_MCP_URL"
while printf '> ' && read -r line; do
  case "$line" in
  *leave*) exit 0 ;;
  *break*) exit 3 ;;
  *die*) kill -9 $$ ;;
  *"mind the end"*) trap 'echo clean > left; exit 7' HUP; printf 'I will\n' ;;
  *paste*)
    stty raw -echo
    printf '\033[?2004h> \r\n'
    head -c 25 | cat -v
    printf '|'
    stty sane
    ;;
  *token*) printf 'token %s\n' "$(cat "$ORCHA_MCP_TOKEN_FILE" | wc -c)" ;;
  *) printf 'All done! Everything is finished.\n' ;;
  esac
done
"#;

/// Tells whether tmux is there; says aloud when it is not.
fn tmux_is_there(test: &str) -> bool {
    let there = Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !there {
        eprintln!("SKIPPED {test}: tmux is not in PATH");
        if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
            let mut log = std::fs::File::options().create(true).append(true).open(log).unwrap();
            writeln!(log, "{test}: tmux is not in PATH").unwrap();
        }
    }
    there
}

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        std::fs::write(folder.path().join("program.sh"), PROGRAM).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn runner(&self) -> HostedRunner {
        let test = std::env::current_exe().unwrap();
        let example = |name: &str| {
            let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
            vec![path.to_str().unwrap().to_owned()]
        };
        let settings =
            LocalSettings { cgroup_parent: None, ..LocalSettings::detect(self.path("root"), example("keeper")) };
        let host: Arc<dyn Host> = Arc::new(LocalHost::new(settings).unwrap());
        let path = ("PATH".to_owned(), std::env::var("PATH").unwrap());
        let home = ("HOME".to_owned(), self.folder.path().display().to_string());
        let mut agents = Agents::new(vec![path, home]).unwrap();
        agents.bridge_by(example("bridge"));
        let program = self.path("program.sh").display().to_string();
        let text = format!(
            "[tui.terminal]\nprogram = ['/bin/sh', '{program}']\nready = '^> $'\nidle_secs = 1\nquiet_secs = 2\nstart_secs = 30\n"
        );
        agents.configure(&text).unwrap();
        HostedRunner::new(host, agents.dialect("tui").unwrap())
    }

    fn launch(&self, words: &str) -> Launch {
        Launch {
            begun: None,
            label: label(),
            dir: self.path("work"),
            program: None,
            model: None,
            effort: None,
            resume: None,
            conversation: "c".to_owned(),
            mcp: Some(Mcp {
                name: "orcha".to_owned(),
                url: "http://127.0.0.1:1/mcp".to_owned(),
                token: Redacted::new("sesame".to_owned()),
                tools: Vec::new(),
            }),
            permissions: Permissions::Edits,
            sandbox: Default::default(),
            rules: String::new(),
            opening: Some(prompt("p1", words)),
            env: Vec::new(),
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        }
    }

    async fn until(&self, cursor: &mut Cursor, enough: impl Fn(&Batch) -> bool) -> (Vec<Event>, Batch) {
        let mut events = Vec::new();
        loop {
            let runner = self.runner();
            let read = tokio::time::timeout(Duration::from_secs(60), runner.read(&label(), cursor)).await;
            let batch = read.unwrap_or_else(|_| panic!("nothing more after {events:?}")).unwrap();
            *cursor = batch.cursor.clone();
            events.extend(batch.entries.iter().map(|it| it.event.clone()));
            if enough(&batch) {
                return (events, batch);
            }
            assert_eq!(batch.ended, None, "it ended too early: {events:?}");
        }
    }

    /// Asks the run's own tmux server, as a person would.
    fn tmux(&self, args: &[&str]) -> String {
        let run = self.path("root/.orcha/runs").join(label().as_str());
        let mut command = Command::new("tmux");
        command.args(["-S", orcha_agent::terminal::SOCKET]).args(args).current_dir(run).env_remove("TMUX");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

fn label() -> RunLabel {
    RunLabel::new("s-1").unwrap()
}

fn prompt(key: &str, text: &str) -> Say {
    Say::Prompt { key: key.to_owned(), text: text.to_owned() }
}

fn turn_ended(batch: &Batch) -> bool {
    batch.entries.iter().any(|it| matches!(it.event, Event::TurnEnded(_)))
}

fn ended(batch: &Batch) -> bool {
    batch.ended.is_some()
}

fn ends(events: &[Event]) -> Vec<TurnEnd> {
    let end = |it: &Event| match it {
        Event::TurnEnded(end) => Some(end.clone()),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

fn texts(events: &[Event]) -> String {
    let text = |it: &Event| match it {
        Event::Text { text } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect::<Vec<_>>().join("\n")
}

/// Names the processes of the run: all of them inherit its `HOME`. Its keeper, which writes down how it ended, has an empty
/// environment.
fn alive_of(folder: &Path) -> Vec<String> {
    let wanted = folder.to_str().unwrap().to_owned();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let named = |it: std::fs::DirEntry| {
        let read = |name: &str| std::fs::read(it.path().join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).replace('\0', " ");
        let numbered = it.file_name().to_string_lossy().bytes().all(|it| it.is_ascii_digit());
        (numbered && text("environ").contains(&wanted)).then(|| text("cmdline"))
    };
    processes.filter_map(named).collect()
}

/// Kills a process of the run whose command line holds a text.
fn kill(folder: &Path, text: &str) {
    let found = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find(|it| {
        let command = std::fs::read(it.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        command.contains(text) && command.contains(folder.to_str().unwrap())
    });
    let pid = found.unwrap_or_else(|| panic!("no {text} is alive")).file_name();
    assert!(Command::new("kill").arg("-9").arg(pid).status().unwrap().success());
}

#[tokio::test]
async fn p5_a_screen_that_says_done_and_stands_still_is_no_success() {
    if !tmux_is_there("p5_a_screen_that_says_done_and_stands_still_is_no_success") {
        return;
    }
    let stage = Stage::new();
    let launch = stage.launch("work");
    assert!(stage.runner().launch(&launch).await.unwrap().fresh);
    // Whoever starts it again finds it.
    assert!(!stage.runner().launch(&launch).await.unwrap().fresh);
    let mut cursor = Cursor::default();
    let (events, _) = stage.until(&mut cursor, turn_ended).await;
    assert_eq!(ends(&events), [TurnEnd::Quiet]);
    let said = texts(&events);
    assert!(said.contains("hello from the program, tools at http://127.0.0.1:1/mcp"), "{said}");
    assert!(said.contains("All done!") && !said.contains("sesame"), "{said}");
    assert!(events.contains(&Event::Accepted { key: "p1".into() }));

    // The same conversation goes on, and its tools' credential lies in a file.
    let runner = stage.runner();
    assert_eq!(runner.say(&label(), &prompt("p2", "token")).await.unwrap(), Said::Now);
    assert_eq!(runner.say(&label(), &prompt("p2", "token")).await.unwrap(), Said::Before);
    let (events, _) = stage.until(&mut cursor, turn_ended).await;
    assert!(texts(&events).contains("token 6"), "{events:?}");

    assert!(alive_of(stage.folder.path()).len() > 2);
    runner.stop(&label(), Grace::QUICK).await.unwrap();
    assert_eq!(alive_of(stage.folder.path()), [""; 0]);
}

#[tokio::test]
async fn an_exit_code_of_zero_is_evidence_and_another_is_a_crash() {
    if !tmux_is_there("an_exit_code_of_zero_is_evidence_and_another_is_a_crash") {
        return;
    }
    for (words, end, status) in [
        ("leave", TurnEnd::Completed, ExitStatus::Code(0)),
        ("break", TurnEnd::Crashed { status: Some(ExitStatus::Code(3)) }, ExitStatus::Code(3)),
        ("die", TurnEnd::Crashed { status: Some(ExitStatus::Signal(9)) }, ExitStatus::Code(137)),
    ] {
        let stage = Stage::new();
        stage.runner().launch(&stage.launch(words)).await.unwrap();
        let (events, batch) = stage.until(&mut Cursor::default(), ended).await;
        assert_eq!(ends(&events), [end], "{words}: {events:?}");
        assert_eq!(batch.ended, Some(Ended::Exited(status)), "{words}");
        assert_eq!(alive_of(stage.folder.path()), [""; 0], "{words}");
    }
}

#[tokio::test]
async fn p5_a_pane_that_is_killed_is_no_success() {
    if !tmux_is_there("p5_a_pane_that_is_killed_is_no_success") {
        return;
    }
    let stage = Stage::new();
    stage.runner().launch(&stage.launch("work")).await.unwrap();
    let mut cursor = Cursor::default();
    let taken_up = |it: &Batch| it.entries.iter().any(|it| matches!(it.event, Event::Accepted { .. }));
    stage.until(&mut cursor, taken_up).await;
    stage.tmux(&["kill-pane", "-t", orcha_agent::terminal::SESSION]);
    let (events, batch) = stage.until(&mut cursor, ended).await;
    let gone = TurnEnd::Crashed { status: None };
    assert!(ends(&events).iter().all(|it| *it == gone || *it == TurnEnd::Quiet), "{events:?}");
    assert!(matches!(batch.ended, Some(Ended::Exited(status)) if !status.success()), "{batch:?}");
    assert_eq!(alive_of(stage.folder.path()), [""; 0]);
}

#[tokio::test]
async fn whoever_of_them_is_killed_takes_the_tmux_server_along() {
    if !tmux_is_there("whoever_of_them_is_killed_takes_the_tmux_server_along") {
        return;
    }
    for (victim, end) in [("examples/bridge", Ended::Exited(ExitStatus::Signal(9))), ("examples/keeper", Ended::Lost)] {
        let stage = Stage::new();
        stage.runner().launch(&stage.launch("work")).await.unwrap();
        let mut cursor = Cursor::default();
        stage.until(&mut cursor, turn_ended).await;
        kill(stage.folder.path(), victim);
        let (events, batch) = stage.until(&mut cursor, ended).await;
        assert_eq!(batch.ended, Some(end), "{victim}: {events:?}");
        assert_eq!(ends(&events), [], "{victim}");
        stage.runner().stop(&label(), Grace::QUICK).await.unwrap();
        assert_eq!(alive_of(stage.folder.path()), [""; 0], "{victim}");
    }
}

#[tokio::test]
async fn a_program_that_is_stopped_hears_that_its_terminal_closes() {
    if !tmux_is_there("a_program_that_is_stopped_hears_that_its_terminal_closes") {
        return;
    }
    let stage = Stage::new();
    stage.runner().launch(&stage.launch("mind the end")).await.unwrap();
    let mut cursor = Cursor::default();
    stage.until(&mut cursor, turn_ended).await;
    stage.runner().stop(&label(), Grace::PATIENT).await.unwrap();
    assert_eq!(std::fs::read_to_string(stage.path("work/left")).unwrap(), "clean\n");
    let (events, batch) = stage.until(&mut cursor, ended).await;
    assert_eq!((ends(&events), batch.ended), (vec![], Some(Ended::Exited(ExitStatus::Code(7)))));
    assert_eq!(alive_of(stage.folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_text_of_several_lines_is_one_paste_where_the_program_knows_pastes() {
    if !tmux_is_there("a_text_of_several_lines_is_one_paste_where_the_program_knows_pastes") {
        return;
    }
    let stage = Stage::new();
    stage.runner().launch(&stage.launch("paste")).await.unwrap();
    let mut cursor = Cursor::default();
    stage.until(&mut cursor, turn_ended).await;
    stage.runner().say(&label(), &prompt("p2", "one\ntwo\x1b[201~")).await.unwrap();
    let (events, _) = stage.until(&mut cursor, turn_ended).await;
    assert!(texts(&events).contains("^[[200~one^Mtwo[201~^[[201~^M|"), "{events:?}");
    stage.runner().stop(&label(), Grace::QUICK).await.unwrap();
}

#[tokio::test]
async fn while_a_person_is_attached_words_wait() {
    if !tmux_is_there("while_a_person_is_attached_words_wait") {
        return;
    }
    let stage = Stage::new();
    stage.runner().launch(&stage.launch("work")).await.unwrap();
    let mut cursor = Cursor::default();
    stage.until(&mut cursor, turn_ended).await;
    let run = stage.path("root/.orcha/runs").join(label().as_str());
    // A terminal that speaks control mode is a person's as well, and needs no screen of its own.
    let mut person = Command::new("tmux")
        .args(["-S", orcha_agent::terminal::SOCKET, "-C", "attach", "-t", orcha_agent::terminal::SESSION])
        .current_dir(run)
        .env_remove("TMUX")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held =
        |wanted: bool| move |it: &Batch| it.entries.iter().any(|it| it.event == Event::Held { by_person: wanted });
    stage.until(&mut cursor, held(true)).await;
    assert_eq!(stage.runner().say(&label(), &prompt("p2", "leave")).await.unwrap(), Said::Now);
    let screen = stage.tmux(&["capture-pane", "-p", "-t", "main"]);
    assert!(!screen.contains("leave"), "{screen}");
    drop(person.stdin.take());
    person.wait().unwrap();
    let (events, batch) = stage.until(&mut cursor, ended).await;
    assert_eq!(batch.ended, Some(Ended::Exited(ExitStatus::Code(0))), "{events:?}");
    assert_eq!(ends(&events), [TurnEnd::Completed]);
}
