//! The program as a process over pipes: what it says, does, remembers, and how it misbehaves.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod stage;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use stage::{Stage, mcp_server, mcp_server_at};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const KEY: &str = "11111111-1111-4111-8111-111111111111";
const FREE: [&str; 4] = ["--session-id", ID, "--permission-mode", "bypassPermissions"];

/// One play for every conversation, with these turns.
fn play(turns: Value) -> Value {
    json!({"plays": [{"name": "only", "turns": turns}]})
}

/// One opening turn with these steps.
fn steps(steps: Value) -> Value {
    play(json!([{"on": "opening", "steps": steps}]))
}

#[test]
fn a_turn_looks_as_in_the_recordings() {
    let stage = Stage::new(&steps(json!([{"think": "Hm."}, {"say": "I was told: {{prompt}}"}])));
    let mut agent = stage.start(&["--session-id", ID, "--model=m1", "--replay-user-messages"]);
    agent.send(&json!({"type": "control_request", "request_id": "r1", "request": {"subtype": "initialize"}}));
    assert_eq!(agent.until("control_response")["response"]["request_id"], "r1");
    agent.prompt(KEY, "hello");
    let seen = agent.until_all("result");
    let kinds: Vec<String> = seen.iter().map(stage::kind).collect();
    let expected = [
        "command_lifecycle/queued",
        "command_lifecycle/started",
        "system/init",
        "user/replay",
        "assistant/thinking",
        "assistant/text",
        "result/success",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(seen[3]["uuid"], KEY);
    assert_eq!(seen[5]["message"]["content"][0]["text"], "I was told: hello");
    let result = &seen[6];
    assert_eq!((result["result"].as_str(), result["is_error"].as_bool()), (Some("I was told: hello"), Some(false)));
    assert_eq!((result["session_id"].as_str(), result["num_turns"].as_u64()), (Some(ID), Some(2)));
    assert_eq!(result["model_usage_since_last_result"]["m1"]["inputTokens"], 200);
    assert_eq!(result["total_cost_usd"], 0.0016);
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn work_is_real_files_and_real_commits() {
    let stage = Stage::new(&steps(json!([
        {"write": {"path": "src/a.txt", "text": "one\n"}},
        {"append": {"path": "src/a.txt", "text": "two\n"}},
        {"write": {"path": "b.txt", "text": "gone"}},
        {"delete": "b.txt"},
        {"run": {"argv": ["cat", "src/a.txt"], "save": "seen"}},
        {"commit": "add a"},
        {"commit": "nothing more"},
        {"say": "{{seen}} {{last}}"},
    ])));
    stage.git_init();
    let mut agent = stage.start(&FREE);
    agent.prompt(KEY, "work");
    let result = agent.until("result");
    assert_eq!(result["result"], format!("one\ntwo {}", stage.git(&["rev-parse", "HEAD"])));
    assert_eq!(stage.git(&["log", "--format=%s"]), "add a");
    assert!(!stage.dir().join("b.txt").exists());
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn tools_are_called_with_the_credential_and_answers_are_kept() {
    let server = mcp_server("sesame");
    let stage = Stage::new(&steps(json!([
        {"call": {"tool": "spawn_session", "args": {"title": "a", "n": 3}, "pick": "uuid", "save": "a"}},
        {"call": {"tool": "list_children", "save": "children"}},
        {"foreach": {
            "in": "{{children.sessions}}",
            "as": "child",
            "where": [{"value": "{{child.status}}", "equals": "succeeded"}],
            "steps": [{"if": {
                "when": [{"value": "{{child.id}}", "not_in": "{{published}}"}],
                "then": [
                    {"call": {"tool": "publish_pr", "args": {"session_id": "{{child.id}}"}}},
                    {"push": {"to": "published", "value": "{{child.id}}"}},
                ],
            }}],
        }},
        {"call": {"tool": "refuse", "allow_error": true}},
        {"say": "{{a}} {{published}} {{last.error}}"},
    ])));
    let config = stage.mcp_config(&server.url, "sesame");
    let args = ["--session-id", ID, "--mcp-config", &config, "--strict-mcp-config", "--allowedTools=mcp__hub__*"];
    let mut agent = stage.start(&args);
    agent.prompt(KEY, "manage");
    let seen = agent.until_all("result");
    let init = seen.iter().find(|it| it["subtype"] == "init").unwrap();
    assert_eq!(init["mcp_servers"][0]["status"], "connected");
    assert!(init["tools"].as_array().unwrap().contains(&json!("mcp__hub__publish_pr")));
    assert_eq!(seen.last().unwrap()["result"], format!("{ID} [\"s2\"] refused as asked"));
    let calls = server.calls();
    let names: Vec<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["spawn_session", "list_children", "publish_pr", "refuse"]);
    assert_eq!(calls[0].1, json!({"title": "a", "n": 3}));
    assert_eq!(calls[2].1, json!({"session_id": "s2"}));
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn the_example_manages_three_workers() {
    let server = mcp_server("sesame");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/scripts/example.json");
    let stage = Stage::new(&serde_json::from_str(&std::fs::read_to_string(example).unwrap()).unwrap());
    let config = stage.mcp_config(&server.url, "sesame");
    let mut agent = stage.start(&[&FREE[..], &["--mcp-config", &config]].concat());
    agent.prompt(KEY, "You are the manager of this objective.");
    agent.until("result");
    let id = |n: u32| format!("01890a5d-ac96-774b-bcce-b302099a80{n}");
    for words in [
        format!("Session {} succeeded.", id(57)),
        format!("Session {} failed.", id(58)),
        format!("Session {} succeeded; session {} succeeded.", id(57), id(59)),
        "Now all pull requests are merged.".to_owned(),
    ] {
        agent.prompt(ID, &words);
        assert_eq!(agent.until("result")["is_error"], false);
    }
    let calls = server.calls();
    assert_eq!(calls[1].1["dependencies"], json!([id(57)]));
    let published: Vec<&Value> = calls[3..].iter().map(|(_, args)| &args["session_id"]).collect();
    assert_eq!(published, [&json!(id(57)), &json!(id(59)), &Value::Null]);
    assert_eq!(calls.last().unwrap().0, "mark_objective_done");
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn a_wrong_credential_is_a_failed_server_and_not_the_end() {
    let server = mcp_server("sesame");
    let call = json!({"call": {"tool": "list_children", "allow_error": true}});
    let stage = Stage::new(&steps(json!([call, {"say": "{{last.error}}"}])));
    let config = stage.mcp_config(&server.url, "wrong");
    let mut agent = stage.start(&[&FREE[..], &["--mcp-config", &config]].concat());
    agent.prompt(KEY, "go");
    let seen = agent.until_all("result");
    assert_eq!(seen.iter().find(|it| it["subtype"] == "init").unwrap()["mcp_servers"][0]["status"], "failed");
    assert_eq!(seen.last().unwrap()["result"], "the server answered with HTTP status 401");
    assert_eq!(server.calls(), []);
}

#[test]
fn a_call_survives_a_server_that_restarts_and_repeats_its_id() {
    let server = mcp_server("sesame");
    let stage = Stage::new(&steps(json!([
        {"call": {"tool": "list_children"}},
        {"call": {"tool": "lose_answer"}},
        {"say": "{{last}}"},
    ])));
    let config = stage.mcp_config(&server.url, "sesame");
    let mut agent = stage.start(&[&FREE[..], &["--mcp-config", &config]].concat());
    agent.prompt(KEY, "go");
    assert_eq!(agent.until("result")["result"], "found again");
    let ids = server.tool_use_ids("lose_answer");
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(server.greetings(), 2);
}

#[test]
fn a_call_waits_for_a_server_that_is_away() {
    let server = mcp_server("sesame");
    let call = json!({"call": {"tool": "list_children"}});
    let stage = Stage::new(&steps(json!([call, {"wait": {}}, call, {"say": "{{last.sessions.1.id}}"}])));
    let config = stage.mcp_config(&server.url, "sesame");
    let mut agent = stage.start(&[&FREE[..], &["--mcp-config", &config]].concat());
    agent.prompt(KEY, "go");
    agent.until("result");
    let address = server.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    drop(server);
    // Somebody who hangs up takes its place, until the agent was seen to knock.
    let away = std::net::TcpListener::bind(&address).unwrap();
    agent.prompt(ID, "again");
    drop(away.accept().unwrap());
    drop(away);
    let server = mcp_server_at(&address, "sesame");
    assert_eq!(agent.until("result")["result"], "s2");
    assert_eq!((server.greetings(), server.calls().len()), (1, 1));
}

#[test]
fn a_resumed_conversation_knows_where_it_was_and_what_it_cost() {
    let opening = json!([{"set": {"word": "plum"}}, {"wait": {"contains": "go on"}}, {"say": "the word was {{word}}"}]);
    let stage = Stage::new(&play(json!([
        {"on": "opening", "steps": opening},
        {"on": {"contains": "aside"}, "steps": [{"say": "an aside"}]},
    ])));
    let mut first = stage.start(&["--session-id", ID]);
    first.prompt(KEY, "begin");
    first.until("result");
    assert_eq!(first.close(), Some(0));

    let mut again = stage.start(&["--session-id", ID]);
    assert_eq!(again.close(), Some(1));
    assert!(again.errors().contains("already in use"));

    let mut second = stage.start(&["--resume", ID]);
    second.prompt(KEY, "an aside, please");
    assert_eq!(second.until("result")["result"], "an aside");
    second.prompt(ID, "now go on");
    let result = second.until("result");
    assert_eq!(result["result"], "the word was plum");
    assert_eq!(result["total_cost_usd"], 0.0016);
    assert_eq!(second.close(), Some(0));
}

#[test]
fn an_unknown_conversation_is_not_resumed() {
    let stage = Stage::new(&steps(json!([])));
    let mut agent = stage.start(&["--resume", ID]);
    let result = agent.until("result");
    assert_eq!((result["is_error"].as_bool(), result["num_turns"].as_u64()), (Some(true), Some(0)));
    assert_eq!(result["subtype"], "error_during_execution");
    assert_eq!(agent.close(), Some(1));
}

#[test]
fn a_crash_goes_on_behind_itself_after_a_resume() {
    for (how, expected) in [(json!("kill"), None), (json!("abort"), None), (json!({"exit": 7}), Some(7))] {
        let stage = Stage::new(&steps(json!([{"say": "before"}, {"crash": how}, {"say": "behind"}])));
        let mut agent = stage.start(&["--session-id", ID]);
        agent.prompt(KEY, "go");
        assert_eq!(agent.close(), expected);
        let mut resumed = stage.start(&["--resume", ID]);
        resumed.prompt(KEY, "you were cut off");
        assert_eq!(resumed.until("result")["result"], "behind");
    }
}

#[test]
fn an_interrupt_ends_the_turn_and_its_command_and_the_next_turn_works() {
    let stage = Stage::new(&play(json!([
        {"on": "opening", "steps": [{"run": {"argv": ["sh", "-c", "echo $$ > pid; sleep 600"]}}]},
        {"on": "any", "steps": [{"say": "here"}]},
    ])));
    let mut agent = stage.start(&FREE);
    agent.prompt(KEY, "go");
    agent.until("assistant");
    let pid = stage.wait_for_file("pid");
    agent.send(&json!({"type": "control_request", "request_id": "i1", "request": {"subtype": "interrupt"}}));
    let seen = agent.until_all("result");
    let kinds: Vec<String> = seen.iter().map(stage::kind).collect();
    assert_eq!(kinds, ["control_response", "user/tool_result", "user/text", "result/error_during_execution"]);
    assert_eq!(seen[3]["terminal_reason"], "aborted_tools");
    stage::wait_until_gone(pid.trim());
    agent.prompt(ID, "next");
    assert_eq!(agent.until("result")["result"], "here");
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn input_that_comes_while_it_works_waits_for_its_turn() {
    let wait = json!({"run": {"argv": ["sh", "-c", "until test -e ready; do sleep 0.01; done"]}});
    let stage = Stage::new(&play(json!([
        {"on": "opening", "steps": [wait, {"say": "one"}]},
        {"on": "any", "steps": [{"say": "two"}]},
    ])));
    let mut agent = stage.start(&FREE);
    agent.prompt(KEY, "first");
    agent.until("assistant");
    agent.prompt(ID, "second");
    agent.close_input();
    assert_eq!(agent.until("command_lifecycle")["command_uuid"], ID);
    std::fs::write(stage.dir().join("ready"), "").unwrap();
    assert_eq!(agent.until("result")["result"], "one");
    assert_eq!(agent.until("result")["result"], "two");
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn permission_is_asked_where_it_is_needed() {
    let stage = Stage::new(&steps(json!([
        {"write": {"path": "a", "text": "x"}},
        {"run": {"argv": ["touch", "b"]}},
        {"run": {"argv": ["touch", "c"]}},
        {"say": "{{last.denied}}"},
    ])));
    let args = ["--session-id", ID, "--permission-mode", "acceptEdits", "--permission-prompt-tool", "stdio"];
    let mut agent = stage.start(&args);
    agent.prompt(KEY, "go");
    let allow = json!({"behavior": "allow", "updatedInput": {}});
    let deny = json!({"behavior": "deny", "message": "no"});
    for (answer, command) in [(allow, "touch b"), (deny, "touch c")] {
        let request = agent.until("control_request");
        assert_eq!(request["request"]["input"]["command"], command);
        let response = json!({"subtype": "success", "request_id": request["request_id"], "response": answer});
        agent.send(&json!({"type": "control_response", "response": response}));
    }
    assert_eq!(agent.until("result")["result"], "no");
    let there = ["a", "b", "c"].map(|it| stage.dir().join(it).exists());
    assert_eq!(there, [true, true, false]);
}

#[test]
fn every_end_has_the_typed_fields_of_its_recording() {
    let exhausted = json!({"usage_exhausted": {"window": "five_hour", "resets_in_s": 60}});
    let ends = [
        (json!("rate_limited"), json!([true, "rate_limit_error", 429, null, "api_error"])),
        (exhausted, json!([true, "rate_limit_error", 429, "usage_limit_reached", "api_error"])),
        (json!("overloaded"), json!([true, "overloaded_error", 529, null, "api_error"])),
        (json!("auth"), json!([true, "authentication_error", 401, null, "api_error"])),
        (json!("context_full"), json!([true, "invalid_request_error", 400, null, "prompt_too_long"])),
        (json!("network"), json!([true, null, null, "connection_failed", "api_error"])),
        (json!("completed"), json!([false, null, null, null, "completed"])),
    ];
    for (end, expected) in ends {
        let stage = Stage::new(&steps(json!([{"end": end}])));
        let mut agent = stage.start(&["--session-id", ID]);
        agent.prompt(KEY, "go");
        let it = agent.until("result");
        let fields = ["is_error", "api_error_type", "api_error_status", "api_error", "terminal_reason"];
        assert_eq!(fields.map(|field| it[field].clone()).to_vec(), *expected.as_array().unwrap());
        assert_eq!(agent.close(), Some(i32::from(expected[0] == true)));
    }
}

#[test]
fn term_ends_it_unless_it_is_ignored() {
    let stage = Stage::new(&steps(json!([{"say": "up"}, "hang"])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    agent.until("assistant");
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), Some(143));

    let stage = Stage::new(&steps(json!([{"ignore_signals": ["TERM"]}, {"say": "up"}, "hang"])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    agent.until("assistant");
    agent.signal(Signal::TERM);
    // INT comes behind TERM; when it ends the process, TERM has been passed over.
    agent.signal(Signal::INT);
    assert_eq!(agent.wait(), Some(0));
}

#[test]
fn strays_leave_the_group_and_outlive_their_parent() {
    let fork = json!({"fork": {"count": 2, "seconds": 600, "ignore_signals": true}});
    let stage = Stage::new(&steps(json!([fork, {"say": "{{last}}"}])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    let result = agent.until("result");
    let strays: Vec<i32> = serde_json::from_str(result["result"].as_str().unwrap()).unwrap();
    assert_eq!(strays.len(), 2);
    assert_eq!(agent.close(), Some(0));
    for stray in strays {
        let pid = Pid::from_raw(stray).unwrap();
        assert_ne!(stage::session_of(&stray.to_string()), stage::session_of("self"));
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(test_kill_process(pid), Ok(()));
        kill_process(pid, Signal::KILL).unwrap();
        stage::wait_until_gone(&stray.to_string());
    }
}

#[test]
fn a_stray_can_hold_the_output_open() {
    let fork = json!({"fork": {"count": 1, "seconds": 600, "hold_output": true}});
    let stage = Stage::new(&steps(json!([fork, {"say": "{{last.0}}"}])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    let stray: i32 = agent.until("result")["result"].as_str().unwrap().parse().unwrap();
    agent.close_input();
    assert_eq!(agent.wait(), Some(0));
    kill_process(Pid::from_raw(stray).unwrap(), Signal::TERM).unwrap();
    // The end of the stream comes only now.
    agent.rest();
}

#[test]
fn it_prints_what_no_protocol_allows() {
    let stage = Stage::new(&steps(json!([
        {"garbage": 2},
        "invalid_utf8",
        {"huge_line": {"bytes": 300_000}},
        {"huge_line": {"bytes": 200_000, "proper": true}},
        {"stderr": "oh"},
        {"flood": {"lines": 100, "bytes": 10}},
        {"half_line": "{\"type\":"},
        {"crash": {"exit": 0}},
    ])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    let output = agent.rest();
    let lines: Vec<&[u8]> = output.split(|it| *it == b'\n').collect();
    assert_eq!(lines.iter().filter(|it| it.starts_with(b"}{ this is no line")).count(), 2);
    assert!(lines.iter().any(|it| std::str::from_utf8(it).is_err()));
    assert!(lines.iter().any(|it| it.len() == 300_000));
    assert!(lines.iter().any(|it| it.len() > 200_000 && it.starts_with(b"{")));
    assert_eq!(lines.iter().filter(|it| String::from_utf8_lossy(it).contains("yyyyyyyyyy")).count(), 100);
    assert_eq!(lines.last(), Some(&&b"{\"type\":"[..]));
    assert_eq!(agent.errors(), "oh\n");
}

#[test]
fn a_closed_output_is_not_the_end_of_the_process() {
    let stage = Stage::new(&steps(json!(["close_output", "hang"])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    agent.rest();
    assert!(agent.is_alive());
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), Some(143));
}

#[test]
fn a_broken_script_is_named_with_its_place() {
    let stage = Stage::new(&steps(json!([{"sya": "x"}])));
    let mut agent = stage.start(&["--session-id", ID]);
    assert_eq!(agent.close(), Some(2));
    let errors = agent.errors();
    assert!(errors.contains("unknown variant `sya`") && errors.contains("line 1"), "{errors}");

    let stage = Stage::new(&steps(json!([{"say": "{{gone}}"}])));
    let mut agent = stage.start(&["--session-id", ID]);
    agent.prompt(KEY, "go");
    assert_eq!(agent.until("result")["errors"][0], "there is no `gone`, which `{{gone}}` asks for");
}

#[test]
fn the_play_is_chosen_by_rules_prompt_and_environment() {
    let play = |when: Value, says: &str| {
        let turn = json!({"on": "opening", "steps": [{"say": says}]});
        json!({"name": says, "when": when, "turns": [turn]})
    };
    let stage = Stage::new(&json!({"plays": [
        play(json!({"env": {"ROLE": "other"}}), "by environment"),
        play(json!({"contains": ["You are the manager"]}), "by rules"),
        play(json!({"contains": ["task"], "lacks": ["easy"]}), "by prompt"),
        play(json!({}), "otherwise"),
    ]}));
    let rules = stage.dir().join("rules.md");
    std::fs::write(&rules, "You are the manager.").unwrap();
    let rules = ["--append-system-prompt-file", rules.to_str().unwrap()];
    let cases =
        [(1, &rules[..], "x", "by rules"), (2, &[], "a task", "by prompt"), (3, &[], "an easy task", "otherwise")];
    for (n, args, prompt, says) in cases {
        let id = format!("33333333-3333-4333-8333-33333333333{n}");
        let mut agent = stage.start(&[&["--session-id", &id], args].concat());
        agent.prompt(KEY, prompt);
        assert_eq!(agent.until("result")["result"], says);
    }
}
