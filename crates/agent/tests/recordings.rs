//! What the dialects make of recorded runs, and that they hold out against anything else.
//!
//! One expected file per recording, and one with the causes of all turns' ends; `UPDATE_EXPECT=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use expect_test::expect_file;
use orcha_agent::claude::Claude;
use orcha_agent::{Agents, Dialect, Dialogue, Ended, Event, Heard, Say};
use orcha_exec::ExitStatus;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

fn claude() -> Claude {
    Claude { program: vec!["claude".to_owned()], base_env: Vec::new() }
}

/// A recorded run: what was exchanged, each with its direction.
struct Recording {
    program: String,
    name: String,
    lines: Vec<(String, Value)>,
}

/// What happens to a dialogue, in order.
enum Step {
    /// A line of standard output, as our own requests would have been answered.
    Hear(String),
    /// Something was said, with the recording's id of it.
    Say(Say),
    /// An answer to a request of the agent with this id.
    Answer(Value),
    /// For the reader of the snapshot.
    Note(String),
    Exit(i32),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/agents")
}

fn recordings() -> Vec<Recording> {
    let mut all = Vec::new();
    for program in std::fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir()) {
        for path in std::fs::read_dir(&program).unwrap().map(|it| it.unwrap().path()) {
            if path.extension().is_none_or(|it| it != "ndjson") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                (line["dir"].as_str().unwrap().to_owned(), line["msg"].take())
            });
            let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let program = program.file_name().unwrap().to_str().unwrap().to_owned();
            all.push(Recording { program, name: name(&path), lines: lines.collect() });
        }
    }
    all.sort_by(|a, b| (&a.program, &a.name).cmp(&(&b.program, &b.name)));
    all
}

/// Recordings that no dialect reads, and why.
const NO_DIALECT: [(&str, &str); 1] = [(
    "opencode/serve-http",
    "requests and answers of one HTTP server for many sessions: no lines of a process, so nothing for a run to read; \
     opencode is driven by ACP, or by `opencode run`",
)];

impl Recording {
    /// The dialect that the program spoke; `None` for what stands in [`NO_DIALECT`].
    fn dialect(&self) -> Option<Arc<dyn Dialect>> {
        static AGENTS: LazyLock<Agents> = LazyLock::new(|| Agents::new(Vec::new()).unwrap());
        let mode = self.name.split('-').next()?;
        let kind = match (self.program.as_str(), mode) {
            ("codex", "exec") => "codex-exec",
            ("opencode", "serve") => return None,
            ("gemini", "headless") => "gemini-headless",
            ("opencode", "run") => "opencode-run",
            ("qwen", "headless") => "qwen-headless",
            ("qwen-0.24", _) => "qwen",
            ("claude-agent-acp-0.100", _) => "claude-agent-acp",
            (program, _) => program,
        };
        AGENTS.dialect(kind)
    }

    fn is_rpc(&self) -> bool {
        ["acp-", "app-server-"].iter().any(|it| self.name.starts_with(it))
    }

    /// What a launch would have laid down for it.
    fn brief(&self) -> String {
        let opens = |it: &&Value| it["method"].as_str().is_some_and(opens);
        let open = self.lines.iter().filter(|(dir, _)| dir == "in").map(|(_, it)| it).find(opens);
        let params = open.map(|it| it["params"].clone()).unwrap_or_default();
        let brief = match (self.is_rpc(), self.program.as_str()) {
            (true, "codex") => json!({"method": open.map(|it| &it["method"]), "params": params, "opening": null}),
            (true, _) => json!({"cwd": params["cwd"], "servers": params["mcpServers"], "resume": params["sessionId"],
                "rules": "", "opening": null, "mode": null, "login": null, "tools": ["mcp__hub__report_status"]}),
            (false, _) => json!({"key": "k", "resumed": self.name.contains("resume") && !self.name.ends_with('1')}),
        };
        brief.to_string()
    }

    /// Puts the run into words of our own: our requests have ids that say what they are for.
    fn steps(&self) -> Vec<Step> {
        let mut names: Vec<(Value, String)> = Vec::new();
        let mut open = false;
        let mut steps = Vec::new();
        for (dir, message) in &self.lines {
            match (dir.as_str(), self.is_rpc()) {
                ("out", false) => steps.push(Step::Hear(line_of(message))),
                ("out", true) => {
                    let mut message = message.clone();
                    let known = names.iter().find(|(id, _)| message.get("method").is_none() && *id == message["id"]);
                    if let Some((_, name)) = known {
                        open |= name == "open" && message.get("error").is_none();
                        message["id"] = json!(name);
                    }
                    steps.push(Step::Hear(line_of(&message)));
                }
                ("in", true) => {
                    let id = message["id"].clone();
                    let Some(method) = message["method"].as_str() else {
                        steps.push(Step::Answer(id));
                        continue;
                    };
                    let said = format!("k{id}");
                    let name = match method {
                        "initialize" => "initialize".to_owned(),
                        _ if opens(method) && !open => "open".to_owned(),
                        "session/prompt" | "turn/start" | "turn/steer" => {
                            steps.push(Step::Say(Say::Prompt { key: said.clone(), text: String::new() }));
                            format!("prompt:{said}")
                        }
                        "turn/interrupt" => format!("interrupt:{said}"),
                        "session/cancel" => {
                            steps.push(Step::Say(Say::Interrupt { key: said }));
                            continue;
                        }
                        _ => format!("other:{said}"),
                    };
                    names.push((id, name));
                }
                ("exit", _) => steps.extend(message.as_i64().map(|it| Step::Exit(i32::try_from(it).unwrap()))),
                ("signal" | "note", _) => steps.push(Step::Note(message.to_string())),
                _ => {}
            }
        }
        steps
    }
}

fn opens(method: &str) -> bool {
    ["session/new", "session/load", "session/resume", "thread/start", "thread/resume"].contains(&method)
}

/// A recorded line as it was: what was no JSON stands there as text.
fn line_of(message: &Value) -> String {
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

/// Plays a run to dialogues: a new one for each step goes on from the memory of the last, as after a restart, if
/// `restarts`. Gives each step's outcome to the caller.
fn play(recording: &Recording, restarts: bool, mut seen: impl FnMut(&Step, Heard, &dyn Dialogue)) {
    let dialect = recording.dialect().unwrap();
    let brief = recording.brief();
    let start = |memory: &Value| {
        let mut dialogue = dialect.dialogue(memory);
        if dialogue.wants_brief() {
            dialogue.brief(&brief);
        }
        dialogue
    };
    let mut dialogue = start(&Value::Null);
    let mut asked: Vec<String> = Vec::new();
    for step in recording.steps() {
        if restarts {
            // As the store keeps it: as text.
            let stored = dialogue.memory().to_string();
            dialogue = start(&serde_json::from_str(&stored).unwrap());
        }
        let heard = match &step {
            Step::Hear(line) => dialogue.hear(line.as_bytes(), false),
            Step::Say(say) => {
                dialogue.said(say);
                Heard::default()
            }
            Step::Answer(id) => {
                let is_it = |it: &&String| serde_json::from_str::<Value>(it).unwrap()["id"] == *id;
                if let Some(request) = asked.iter().find(is_it) {
                    let (request, input, reason) = (request.clone(), String::new(), String::new());
                    dialogue.said(&Say::Permission { request, input, allow: true, reason });
                }
                Heard::default()
            }
            Step::Exit(code) => Heard { events: dialogue.finish(Some(exit_of(*code))), replies: Vec::new() },
            Step::Note(_) => Heard::default(),
        };
        for event in &heard.events {
            if let Event::PermissionRequest { request, .. } = event
                && recording.is_rpc()
            {
                asked.push(request.clone());
            }
        }
        seen(&step, heard, &*dialogue);
    }
}

fn exit_of(code: i32) -> ExitStatus {
    if code < 0 { ExitStatus::Signal(-code) } else { ExitStatus::Code(code) }
}

fn show(heard: &Heard) -> String {
    let mut text = String::new();
    for event in &heard.events {
        let shown: String = format!("{event:?}").chars().take(400).collect();
        writeln!(text, "{shown}").unwrap();
    }
    for reply in &heard.replies {
        writeln!(text, "  reply {} {}", reply.key, reply.text).unwrap();
    }
    text
}

#[test]
fn every_recording_is_understood() {
    let recordings = recordings();
    assert_eq!(recordings.len(), 253, "recordings came or went: {}", folder().display());
    let expected = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    let (n_recordings, mut n_without) = (recordings.len(), 0);
    let mut causes = String::new();
    for recording in recordings {
        let of = format!("{}/{}", recording.program, recording.name);
        if recording.dialect().is_none() {
            let why = NO_DIALECT.iter().find(|(name, _)| *name == of).map(|(_, why)| why);
            writeln!(causes, "{of}: no dialect: {}", why.unwrap_or_else(|| panic!("{of} has no dialect"))).unwrap();
            n_without += 1;
            continue;
        }
        let mut text = String::new();
        let mut ends = Vec::new();
        play(&recording, false, |step, heard, dialogue| {
            match step {
                Step::Note(note) => writeln!(text, "-- {note}").unwrap(),
                Step::Say(say) => writeln!(text, "> {say:?}").unwrap(),
                Step::Hear(_) | Step::Answer(_) | Step::Exit(_) => {}
            }
            text += &show(&heard);
            ends.extend(heard.events.iter().filter_map(|it| match it {
                Event::TurnEnded(end) => Some(format!("{end:?}")),
                _ => None,
            }));
            if let Step::Exit(code) = step {
                writeln!(text, "exit {code}").unwrap();
                if dialogue.in_turn() {
                    let end = Ended::Exited(exit_of(*code)).turn_end();
                    writeln!(text, "cut off: {end:?}").unwrap();
                    ends.push(format!("cut off: {end:?}"));
                }
            }
        });
        writeln!(causes, "{of}: {}", ends.join(", ")).unwrap();
        expect_file![expected(&format!("{of}.txt"))].assert_eq(&text);
    }
    expect_file![expected("causes.txt")].assert_eq(&causes);
    assert_eq!((causes.lines().count(), n_without), (n_recordings, NO_DIALECT.len()));
}

#[test]
fn a_restart_at_every_line_changes_nothing() {
    for recording in recordings() {
        if recording.dialect().is_none() {
            continue;
        }
        let of = format!("{}/{}", recording.program, recording.name);
        let mut expected = Vec::new();
        play(&recording, false, |_, heard, _| expected.push(heard));
        let mut expected = expected.into_iter();
        play(&recording, true, |_, heard, dialogue| {
            assert_eq!(Some(heard), expected.next(), "{of}");
            let memory = dialogue.memory().to_string();
            assert!(memory.len() < 10_000, "{of}: the memory is not small: {memory}");
        });
    }
}

fn hear(lines: &[Value]) -> Vec<Event> {
    let mut dialogue = claude().dialogue(&Value::Null);
    lines.iter().flat_map(|line| dialogue.hear(line.to_string().as_bytes(), false).events).collect()
}

fn raw(line: &[u8], truncated: bool) -> Vec<Event> {
    claude().dialogue(&Value::Null).hear(line, truncated).events
}

#[test]
fn what_is_not_of_the_protocol_is_kept_as_it_was() {
    let deep = "[".repeat(100_000);
    let wide = format!("{{\"type\":{}", "{\"a\":".repeat(50_000));
    let cases: [&[u8]; 8] = [
        b"plain words",
        b"[1,2]",
        b"{}",
        b"{\"type\":7}",
        b"\xff\xfe{",
        b"nul \0 byte",
        deep.as_bytes(),
        wide.as_bytes(),
    ];
    for case in cases {
        let text = String::from_utf8_lossy(case).replace('\0', "\u{fffd}");
        assert_eq!(raw(case, false), [Event::Raw { text, truncated: false }]);
    }
    assert_eq!(raw(b"{\"type\":\"sys", true), [Event::Raw { text: "{\"type\":\"sys".to_owned(), truncated: true }]);
    assert_eq!(raw(b"  \r", false), []);
    assert_eq!(raw(b"{\"type\":\"of_next_year\"}", false), []);
}

#[test]
fn a_request_that_we_do_not_understand_is_refused_and_not_left_waiting() {
    let line = json!({"type": "control_request", "request_id": "r9", "request": {"subtype": "hook_callback"}});
    let heard = claude().dialogue(&Value::Null).hear(line.to_string().as_bytes(), false);
    assert_eq!(heard.events, []);
    let reply: Value = serde_json::from_str(&heard.replies[0].text).unwrap();
    assert_eq!(heard.replies[0].key, "answer:r9");
    assert_eq!(reply["response"]["subtype"], "error");
    assert_eq!(reply["response"]["request_id"], "r9");
}

#[test]
fn a_withdrawn_permission_request_says_so_once() {
    let cancel = json!({"type": "control_cancel_request", "request_id": "r1"});
    let ask = json!({"type": "control_request", "request_id": "r1",
        "request": {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}}});
    let events = hear(&[cancel.clone(), ask, cancel.clone(), cancel]);
    let expected = [
        Event::PermissionRequest {
            request: "r1".to_owned(),
            tool: "Bash".to_owned(),
            input: "{\"command\":\"ls\"}".to_owned(),
        },
        Event::PermissionWithdrawn { request: "r1".to_owned() },
    ];
    assert_eq!(events, expected);
}

fn cost(lines: &[Value]) -> Vec<Option<u64>> {
    let usage = |event| match event {
        Event::Usage(usage) => Some(usage.micro_usd),
        _ => None,
    };
    hear(lines).into_iter().filter_map(usage).collect()
}

/// A result of an older program: totals of the conversation, and no deltas.
fn total(usd: f64, turn: u64, all: u64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "total_cost_usd": usd,
        "usage": {"input_tokens": turn}, "modelUsage": {"m": {"inputTokens": all, "costUSD": usd}}})
}

#[test]
fn totals_become_deltas() {
    assert_eq!(cost(&[total(0.5, 10, 10), total(0.75, 5, 15)]), [Some(500_000), Some(250_000)]);
}

#[test]
fn the_first_total_after_a_resume_is_not_charged_again() {
    assert_eq!(cost(&[total(2.5, 10, 400), total(2.75, 5, 405)]), [None, Some(250_000)]);
}

#[test]
fn an_input_is_accepted_once_whichever_sign_comes_first() {
    let started = json!({"type": "command_lifecycle", "command_uuid": "k", "state": "started"});
    let replay =
        json!({"type": "user", "uuid": "k", "isReplay": true, "message": {"content": [{"type": "text", "text": "x"}]}});
    let accepted = [Event::Accepted { key: "k".to_owned() }];
    assert_eq!(hear(&[started.clone(), replay.clone()]), accepted);
    assert_eq!(hear(&[replay, started]), accepted);
}

/// Every line of every recording that a dialect reads, with the dialect.
fn lines() -> Vec<(Arc<dyn Dialect>, String)> {
    let mut all = Vec::new();
    for recording in recordings() {
        if let Some(dialect) = recording.dialect() {
            let lines = recording.steps().into_iter().filter_map(|it| match it {
                Step::Hear(line) => Some((Arc::clone(&dialect), line)),
                _ => None,
            });
            all.extend(lines);
        }
    }
    all
}

fn survive(dialect: &dyn Dialect, line: &[u8]) {
    let mut dialogue = dialect.dialogue(&Value::Null);
    dialogue.brief("{}");
    dialogue.hear(line, false);
    dialogue.finish(Some(ExitStatus::Code(0)));
    dialect.dialogue(&dialogue.memory());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let agents = Agents::new(Vec::new()).unwrap();
        for kind in agents.kinds() {
            survive(&*agents.dialect(kind).unwrap(), &line);
        }
    }

    /// Real lines with a piece cut out or flipped, which is how broken pipes look.
    #[test]
    fn a_damaged_line_is_survived(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        static LINES: LazyLock<Vec<(Arc<dyn Dialect>, String)>> = LazyLock::new(lines);
        let (dialect, line) = &LINES[pick.index(LINES.len())];
        let mut line = line.clone().into_bytes();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        survive(&**dialect, &line);
    }
}
