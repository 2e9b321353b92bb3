//! What the Claude dialect makes of recorded runs, and that it holds out against anything else.
//!
//! One expected file per recording; `UPDATE_EXPECT=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use expect_test::expect_file;
use orcha_agent::claude::Claude;
use orcha_agent::{Dialect, Event, Heard};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn claude() -> Claude {
    Claude { program: vec!["claude".to_owned()], base_env: Vec::new() }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/agents/claude")
}

/// Reads the recordings: name, and direction with message of each line.
fn recordings() -> Vec<(String, Vec<(String, Value)>)> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|it| it == "ndjson") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                (line["dir"].as_str().unwrap().to_owned(), line["msg"].take())
            });
            all.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), lines.collect()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn output(lines: &[(String, Value)]) -> Vec<String> {
    lines.iter().filter(|(dir, _)| dir == "out").map(|(_, message)| message.to_string()).collect()
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
    assert!(recordings.len() >= 40, "the recordings are gone: {}", folder().display());
    for (name, lines) in recordings {
        let mut dialogue = claude().dialogue(&Value::Null);
        let mut text = String::new();
        for (dir, message) in &lines {
            match dir.as_str() {
                "out" => text += &show(&dialogue.hear(message.to_string().as_bytes(), false)),
                "exit" => writeln!(text, "exit {message}").unwrap(),
                "signal" | "note" => writeln!(text, "-- {message}").unwrap(),
                _ => {}
            }
        }
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/expected/{name}.txt"));
        expect_file![expected].assert_eq(&text);
    }
}

#[test]
fn a_restart_at_every_line_changes_nothing() {
    for (name, lines) in recordings() {
        let lines = output(&lines);
        let mut whole = claude().dialogue(&Value::Null);
        let expected: Vec<Heard> = lines.iter().map(|line| whole.hear(line.as_bytes(), false)).collect();
        let mut memory = Value::Null;
        for (line, expected) in lines.iter().zip(&expected) {
            // As the store keeps it: as text.
            let stored = memory.to_string();
            let mut dialogue = claude().dialogue(&serde_json::from_str(&stored).unwrap());
            assert_eq!(&dialogue.hear(line.as_bytes(), false), expected, "{name}: {line}");
            memory = dialogue.memory();
        }
        assert!(lines.is_empty() || memory == whole.memory(), "{name}: {memory}");
        assert!(memory.to_string().len() < 4096, "{name}: the memory is not small: {memory}");
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut dialogue = claude().dialogue(&Value::Null);
        for line in &lines {
            dialogue.hear(line, false);
        }
        claude().dialogue(&dialogue.memory());
    }

    /// Real lines with a piece cut out or flipped, which is how broken pipes look.
    #[test]
    fn a_damaged_line_is_survived(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        static LINES: LazyLock<Vec<String>> = LazyLock::new(|| recordings().iter().flat_map(|(_, it)| output(it)).collect());
        let mut line = LINES[pick.index(LINES.len())].clone().into_bytes();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        let mut dialogue = claude().dialogue(&Value::Null);
        dialogue.hear(&line, false);
        claude().dialogue(&dialogue.memory());
    }
}
