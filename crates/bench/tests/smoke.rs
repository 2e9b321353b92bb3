//! The benchmarks run to their end and say everything that they promise. How the figures turn out is no test's business.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

use serde_json::Value;
use std::process::Command;

/// Every figure that a run must have.
const FIGURES: [&str; 33] = [
    "decisions_c1",
    "pipelines_c1",
    "pipeline_commits_c1",
    "workflows_c1",
    "decisions_c64",
    "pipelines_c64",
    "pipeline_commits_c64",
    "workflows_c64",
    "transcript_lines",
    "run_start",
    "post_to_running",
    "post_to_running_folder",
    "pipelines_process",
    "sse_paced_p50",
    "sse_paced_p99",
    "sse_burst",
    "sse_rss",
    "list_objectives_c1",
    "list_objectives_c16",
    "list_sessions_c1",
    "list_sessions_c16",
    "list_transcript_c1",
    "list_transcript_c16",
    "list_walk",
    "daemon_rss",
    "cold_start_empty",
    "cold_start_large",
    "daemon_rss_idle",
    "workflows_start",
    "workflows_rss",
    "running_rss",
    "adopt_serving",
    "adopt_all",
];

#[test]
fn a_run_has_every_figure_with_its_floor_and_finite_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let bench = env!("CARGO_BIN_EXE_orcha-bench");
    // The program plays the daemon itself, so that no other package needs to be built.
    let output = Command::new(bench)
        .args(["--scale", "tiny", "--json", "--orchad", bench, "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "orcha-bench/1");
    assert_eq!(report["skipped"], Value::Array(vec![]), "{said}");
    let figures = report["figures"].as_array().unwrap();
    for name in FIGURES {
        let figure = figures.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name} is missing"));
        for number in ["value", "min", "max"] {
            assert!(figure[number].as_f64().is_some_and(|it| it > 0.0), "{name}: {number} is {}", figure[number]);
        }
        for (detail, number) in figure["details"].as_object().unwrap() {
            assert!(number.as_f64().is_some_and(f64::is_finite), "{name}: {detail} is {number}");
        }
        if !figure["floor"].is_null() {
            assert!(figure["floor"]["value"].as_f64().is_some_and(|it| it > 0.0), "{name}: {}", figure["floor"]);
            assert!(figure["ratio"].as_f64().is_some_and(|it| it > 0.0), "{name}: {}", figure["ratio"]);
        }
        assert!(figure["met"].is_null(), "{name} was judged by a run that is too small");
    }
    let left = processes_that_name(folder.path());
    assert_eq!(left, Vec::<String>::new(), "processes were left behind");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

/// Returns the command lines of processes that have to do with a folder.
fn processes_that_name(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    // A process that ends meanwhile has no command line any more.
    let lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.map(|it| String::from_utf8_lossy(&it).replace('\0', " ")).filter(|it| it.contains(&folder)).collect()
}
