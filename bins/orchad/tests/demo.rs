//! The demo as a user starts it: the whole way, and cut off in the middle. It does not look at the screen.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Starts the demo with a place of its own for temporary folders.
fn start(tmp: &Path, strategy: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_orchad"))
        .args(["demo", "--json", "--strategy", strategy])
        .env("TMPDIR", tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(mut demo: Child) -> (ExitStatus, String) {
    let mut errors = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (demo.wait().unwrap(), errors)
}

/// What is still there of a demo: processes that name its folder, and the folder.
fn left_over(tmp: &Path) -> Vec<String> {
    let name = tmp.display().to_string();
    let mentions = |file: &Path| std::fs::read(file).is_ok_and(|it| String::from_utf8_lossy(&it).contains(&name));
    let mut found: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .map(|it| it.unwrap())
        .filter(|it| {
            it.file_name().to_str().is_some_and(|it| it.parse::<u32>().is_ok_and(|it| it != std::process::id()))
        })
        .filter(|it| mentions(&it.path().join("cmdline")) || mentions(&it.path().join("environ")))
        .map(|it| format!("process {}", it.file_name().display()))
        .collect();
    found.extend(std::fs::read_dir(tmp).unwrap().map(|it| it.unwrap().path().display().to_string()));
    found
}

#[test]
fn it_goes_the_whole_way_and_sums_up_in_the_last_line() {
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = start(tmp.path(), "manager");
    let lines: Vec<Value> = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let (status, errors) = end(demo);
    assert!(status.success(), "{status}: {errors}");
    let summary = lines.last().unwrap();
    assert_eq!(summary["objective"]["status"], "succeeded", "{summary}");
    let merged = |it: &&Value| it["status"] == "merged";
    assert_eq!(summary["pull_requests"].as_array().unwrap().iter().filter(merged).count(), 3, "{summary}");
    assert!(!summary["commits"].as_array().unwrap().is_empty());
    assert_eq!(left_over(tmp.path()), [""; 0]);
}

#[test]
fn c23_the_pipeline_repairs_what_its_check_finds_and_delivers_what_was_checked() {
    let tmp = tempfile::tempdir().unwrap();
    let mut demo = start(tmp.path(), "pipeline");
    let lines: Vec<Value> = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let (status, errors) = end(demo);
    assert!(status.success(), "{status}: {errors}\n{:#?}", lines.last());
    let summary = lines.last().unwrap();
    let workflow = &summary["workflow"];
    assert_eq!((&workflow["status"], &workflow["step"]), (&"completed".into(), &"done".into()), "{workflow}");
    let runs = workflow["execution"]["validation_runs"].as_array().unwrap();
    let passed: Vec<bool> = runs.iter().map(|it| it["passed"].as_bool().unwrap()).collect();
    assert_eq!(passed, [false, true], "{runs:#?}");
    assert!(runs[0]["steps"][0]["output"].as_str().unwrap().contains("FAILED: greet.sh --bye Ada"), "{runs:#?}");
    assert_eq!(workflow["execution"]["qa_cycle"], 1);
    let said = workflow["review_thread"].as_array().unwrap();
    assert!(said.iter().any(|it| it["kind"] == "blocking_issue"), "{said:#?}");
    assert_eq!(summary["pull_requests"][0]["status"], "merged", "{summary}");
    assert_eq!(summary["pull_requests"].as_array().unwrap().len(), 1);
    assert_eq!(workflow["finalization"]["refiner_improvements"].as_array().unwrap().len(), 1);
    let proposal = &summary["proposal"];
    assert_eq!((proposal["status"].as_str(), proposal["name"].as_str()), (Some("on_trial"), Some("implementer")));
    assert_eq!(summary["runs"][0]["health_score"], 78);
    assert_eq!(workflow["health_score"], 78);
    let said = summary["answered_for_you"].as_str().unwrap();
    assert!(said.contains("proposals approve"), "{said}");
    let played = |role: &str| {
        let it = |it: &&Value| it["role"] == role;
        let kinds = summary["sessions"].as_array().unwrap().iter().filter(it).map(|it| it["agent"].as_str().unwrap());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!((played("director"), played("project_manager")), (vec!["openai"], vec!["anthropic"]));
    assert_eq!((played("architect"), played("qa")), (vec!["compatible"; 2], vec!["ollama"; 2]));
    assert_eq!((played("finalizer"), played("refiner")), (vec!["anthropic"], vec!["openai"]));
    assert_eq!(played("implementer"), ["claude"; 4]);
    // The Implementers say what they cost, $0.047 together; what the models cost follows from the tokens of each of their
    // answers and from the prices of the sample.
    assert_eq!(workflow["used"]["micro_usd"], 47_000 + 96_948, "{}", workflow["used"]);
    assert_eq!(left_over(tmp.path()), [""; 0]);
}

#[test]
fn cut_off_it_leaves_nothing_behind() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let tmp = tempfile::tempdir().unwrap();
        let mut demo = start(tmp.path(), "manager");
        // An agent runs: there is somebody to be ended. The pipe stays open, as a terminal does.
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("session_started")));
        kill_process(Pid::from_child(&demo), signal).unwrap();
        let (status, errors) = end(demo);
        assert_eq!(status.code(), Some(code), "{errors}");
        assert_eq!(left_over(tmp.path()), [""; 0], "after {signal:?}");
    }
}
