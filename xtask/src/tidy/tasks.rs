//! The rule that only few rooms start tasks and threads.
//!
//! What outlives a request belongs to `orch`; a task anywhere else is one that nobody ends or waits
//! for. Tests are left out: they own what they start.

use super::{Finding, Source};

/// What starts a task or a thread, or holds many of them.
const STARTS: [&str; 9] = [
    "tokio::spawn",
    "task::spawn",
    "spawn_blocking",
    "spawn_local",
    "thread::spawn",
    "thread::Builder",
    "runtime::Builder",
    "JoinSet",
    "TaskTracker",
];

/// Where tasks may be started, and why.
const MAY: &[(&str, &str)] = &[
    ("crates/orch/", "it owns all the work that outlives a request"),
    ("crates/api/", "a stream to a client lives as long as its connection"),
    ("crates/exec/", "the streams and ends of processes are watched beside them"),
    ("crates/store/", "SQLite blocks: one writer thread, and readers on the blocking pool"),
    ("crates/local-tools/", "files are touched on the blocking pool, and each call waits for its own"),
    ("crates/delivery/", "files are touched on the blocking pool, and each call waits for its own"),
    ("crates/client/", "it is the other side: it reads a stream while it draws"),
    ("crates/llm-agent/", "it is a program of its own, on the agent's side"),
    ("crates/scripted-agent/", "it is a program of its own, on the agent's side"),
    ("crates/scripted-model/", "it is a server of its own, on the model's side"),
    ("crates/testkit/", "it only serves tests"),
    ("crates/bench/", "it is a program of its own, and puts load on the others"),
    ("bins/", "a program starts its runtime and listens for signals"),
    ("xtask/", "its commands are programs of their own"),
];

/// Finds tasks that are started outside the rooms that may.
pub fn check(source: &Source) -> Vec<Finding> {
    if MAY.iter().any(|(place, _)| source.path.starts_with(place)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for name in source.names().iter().filter(|name| !name.test) {
        if STARTS.iter().any(|start| name.has(start)) {
            findings.push(Finding {
                rule: "tasks",
                place: format!("{}:{}", source.path, name.line),
                what: format!("`{}` outside `orch`, `api` and `exec`", name.parts.join("::")),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::read(path, text)).into_iter().map(|it| it.to_string()).collect()
    }

    #[test]
    fn a_task_in_another_room_is_found() {
        let text = "fn f() {\n  tokio::spawn(g());\n}";
        let expected = ["tasks: crates/forge/src/a.rs:2: `tokio::spawn` outside `orch`, `api` and `exec`"];
        assert_eq!(found("crates/forge/src/a.rs", text), expected);
    }

    #[test]
    fn each_way_to_start_one_is_known() {
        for start in STARTS {
            assert_eq!(found("crates/dashboard/src/a.rs", &format!("let a = {start}(x);")).len(), 1, "{start}");
        }
        assert_eq!(found("crates/agent/src/a.rs", "use tokio::{io, task::{JoinSet, spawn}};").len(), 2);
        assert_eq!(found("crates/agent/src/a.rs", "let a = runtime.spawn_blocking(x);").len(), 1);
    }

    #[test]
    fn the_rooms_that_may_and_tests_are_left_alone() {
        for (place, _) in MAY {
            assert!(found(&format!("{place}src/a.rs"), "tokio::spawn(g());").is_empty(), "{place}");
        }
        assert!(found("crates/forge/src/a.rs", "#[cfg(test)] mod tests { fn f() { tokio::spawn(g()); } }").is_empty());
        assert!(found("crates/forge/tests/a.rs", "tokio::spawn(g());").is_empty());
        // To start a process is another matter.
        assert!(found("crates/forge/src/a.rs", "command.spawn(); host.spawn(x);").is_empty());
    }
}
