//! Real agent programs against the scripted model: each one says hello, writes a file and commits it.
//!
//! Each run stands in a namespace of its own: it reaches nothing but its loopback, and all its processes end with it.
//! Nothing is installed here (`cargo xtask agents` does that); a program that is not there is skipped, aloud.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, also in its helpers")]

use orcha_scripted_model::isolation::{self, Place};
use orcha_scripted_model::programs::{self, Program};
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The longest silence of a program; the slowest need a few seconds to start on an idle machine.
const PATIENCE: Duration = Duration::from_secs(240);

macro_rules! real_programs {
    ($($test:ident: $name:literal,)*) => { $(
        #[test]
        fn $test() {
            run($name, stringify!($test));
        }
    )* };
}

real_programs! {
    codex_says_hello_and_commits: "codex",
    gemini_says_hello_and_commits: "gemini",
    opencode_says_hello_and_commits: "opencode",
    qwen_says_hello_and_commits: "qwen",
    codex_acp_says_hello_and_commits: "codex-acp",
    claude_says_hello_and_commits: "claude",
    claude_agent_acp_says_hello_and_commits: "claude-agent-acp",
}

fn run(name: &str, test: &str) {
    let program = programs::named(name).unwrap();
    match isolation::usable(program) {
        Err(reason) => isolation::skip(test, &reason).unwrap(),
        Ok(command) => match isolation::isolated(test).unwrap() {
            Place::Here => play(program, &command),
            Place::There(status) => assert!(status.success(), "{status}; see above"),
            Place::Nowhere(reason) => isolation::skip(test, reason).unwrap(),
        },
    }
}

fn play(program: &Program, command: &[OsString]) {
    let root = tempfile::tempdir().unwrap();
    let workspace = root.path().join("checkout");
    fs::create_dir(&workspace).unwrap();
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["config", "user.name", "Test"],
        &["config", "user.email", "test@example.com"],
        &["commit", "-q", "--allow-empty", "-m", "begin"],
    ] {
        git(&workspace, words);
    }
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios/commit.json");
    let vars = [("ws".to_owned(), workspace.display().to_string())].into();
    let model =
        ScriptedModel::start(Scenario::read(&scenario).unwrap(), Options { vars, ..Options::default() }).unwrap();
    let env = program.settle(root.path(), model.url(), &std::env::var_os("PATH").unwrap()).unwrap();

    let prompt = "Say hello, write a.txt and commit it.";
    let mut start = Command::new(&command[0]);
    start.args(&command[1..]).env_clear().envs(&env).current_dir(&workspace);
    let errors = root.path().join("errors");
    start.stderr(File::create(&errors).unwrap());
    let said = match program.headless(&workspace, prompt) {
        Some(args) => headless(start.args(args)),
        None => by_protocol(start.args(program.acp().unwrap()), program, &workspace, prompt),
    };

    let seen = || {
        let errors = fs::read_to_string(&errors).unwrap();
        format!(
            "{said:#?}\nerrors: {errors}\nmodel: {:#?}",
            model.requests().iter().map(|it| &it.said).collect::<Vec<_>>()
        )
    };
    let said_all = |text: &str| said.iter().any(|line| line.contains(text));
    assert!(said_all("First the file."), "{}", seen());
    assert!(said_all("It is committed"), "{}", seen());
    assert_eq!(fs::read_to_string(workspace.join("a.txt")).unwrap().trim_end(), "from the script", "{}", seen());
    assert_eq!(git(&workspace, &["log", "--format=%s"]), "add a.txt\nbegin", "{}", seen());
    let state = model.state();
    assert_eq!((state.main, state.errors, state.unknown, state.script_errors), (3, 0, 0, 0), "{}", seen());
    for request in model.requests().iter().filter(|it| it.asked.is_some()) {
        assert!(request.credential.is_some(), "a request without its key: {request:#?}");
    }
}

fn git(workspace: &Path, words: &[&str]) -> String {
    // No settings of whoever runs the test.
    let (none, off) = (Path::new("/dev/null"), "commit.gpgsign=false");
    let mut git = Command::new("git");
    git.env("GIT_CONFIG_GLOBAL", none).env("GIT_CONFIG_SYSTEM", none).args(["-c", off]).args(words);
    let output = git.current_dir(workspace).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs one turn to its end, and returns the lines that it said.
fn headless(start: &mut Command) -> Vec<String> {
    let mut child = start.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = lines(&mut child);
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => said.push(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it said nothing for {PATIENCE:?} after {said:#?}"),
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status} after {said:#?}");
    said
}

/// Hands on each line of a program's output, until there are no more.
fn lines(child: &mut Child) -> Receiver<String> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in output.lines() {
            if send.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// Runs one turn by the Agent Client Protocol, and returns what it said, as one line.
fn by_protocol(start: &mut Command, program: &Program, workspace: &Path, prompt: &str) -> Vec<String> {
    let mut child = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (input, lines) = (child.stdin.take().unwrap(), lines(&mut child));
    let mut talk = Talk { input, lines, last: 0, said: String::new() };
    let nothing = json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
    talk.ask("initialize", json!({"protocolVersion": 1, "clientCapabilities": nothing}));
    let place: PathBuf = workspace.canonicalize().unwrap();
    let session = talk.ask("session/new", json!({"cwd": place, "mcpServers": []}))["sessionId"].clone();
    if program.name == "codex-acp" {
        // Its usual sandbox does not let it write to `.git`.
        talk.ask("session/set_mode", json!({"sessionId": session, "modeId": "full-access"}));
    }
    let prompt = json!([{"type": "text", "text": prompt}]);
    let end = talk.ask("session/prompt", json!({"sessionId": session, "prompt": prompt}));
    assert_eq!(end["stopReason"], "end_turn");
    // It may go on listening; it ends with the namespace.
    vec![talk.said]
}

struct Talk {
    input: ChildStdin,
    lines: Receiver<String>,
    last: u64,
    said: String,
}

impl Talk {
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|fault| panic!("{method}: {fault}"));
            let message: Value = serde_json::from_str(&line).unwrap();
            match (message["method"].as_str(), message.get("id")) {
                (None, Some(answered)) if *answered == id => {
                    assert!(message.get("error").is_none(), "{method}: {message}");
                    return message["result"].clone();
                }
                (Some("session/request_permission"), Some(id)) => {
                    let options = message["params"]["options"].as_array().unwrap();
                    let once = options.iter().find(|it| it["kind"] == "allow_once").unwrap();
                    let outcome = json!({"outcome": {"outcome": "selected", "optionId": once["optionId"]}});
                    self.send(&json!({"jsonrpc": "2.0", "id": id, "result": outcome}));
                }
                (Some(_), Some(id)) => {
                    let error = json!({"code": -32601, "message": "there is no such method"});
                    self.send(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
                }
                (Some("session/update"), None) => {
                    let update = &message["params"]["update"];
                    if update["sessionUpdate"] == "agent_message_chunk" {
                        self.said.push_str(update["content"]["text"].as_str().unwrap_or_default());
                    }
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }
}

/// The programs are found by the words that the table has for them, whatever is installed.
#[test]
fn a_program_that_is_not_there_is_no_surprise() {
    let empty = tempfile::tempdir().unwrap();
    for program in &programs::PROGRAMS {
        assert_eq!(program.command(empty.path()), None);
        assert!(program.entry(empty.path()).starts_with(program.folder(empty.path())));
        let refused = program.settle(&empty.path().join("no\0place"), "http://127.0.0.1:9", OsStr::new(""));
        assert!(refused.is_err(), "{}", program.name);
    }
}
