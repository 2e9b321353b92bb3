//! Proves by the database's own plans that no question of a hot path reads or sorts a whole table.

use super::{attachments, lists, overview, short, stream, texts, tokens, wheel, workflows};
use crate::{apply, open};

/// Holds a handful of rows whatever happens, or only what is still to be done.
const SMALL: &[&str] = &["targets", "tokens", "outbox", "wanted", "rounds"];
/// Indexes of what is live or waits: as long as what is going on, not as what ever went on.
const SHORT: &[&str] = &[
    "objectives_live",
    "sessions_live",
    "sessions_that_hold_a_place",
    "sessions_that_want_a_place",
    "sessions_that_wake",
    "pull_requests_live",
    "questions_open",
    "outbox_of_objective",
    "finished_runs_not_taken_in",
    "proposals_open",
    "projects_that_confine",
];

#[test]
fn no_question_reads_or_sorts_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let conn = open::open(folder.path(), &Default::default()).unwrap().conn;
    let questions = [
        apply::PLANNED,
        attachments::PLANNED,
        wheel::PLANNED,
        lists::PLANNED,
        overview::PLANNED,
        short::PLANNED,
        stream::PLANNED,
        texts::PLANNED,
        tokens::PLANNED,
        workflows::PLANNED,
    ]
    .concat();
    let mut bad = Vec::new();
    for sql in &questions {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![rusqlite::types::Null; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let short = |step: &str| step.split_whitespace().any(|word| SHORT.contains(&word));
        let sorts_little = plan.first().is_some_and(|step| short(step));
        for step in &plan {
            let words: Vec<&str> = step.split_whitespace().collect();
            // Values that stand in the question itself are no table.
            let given = step.contains(" CONSTANT ROW");
            let scans = words[0] == "SCAN" && !given && !SMALL.contains(&words[1]) && !short(step);
            let sorts = step.contains("USE TEMP B-TREE FOR ORDER BY") && !sorts_little;
            if scans || sorts {
                bad.push(format!("{sql}\n    {step}\n"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(questions.len() > 60, "only {} questions were looked at", questions.len());
}

/// What lists and pages ask: everything but the transcript's own questions.
#[test]
fn promise_13_no_list_and_no_page_reads_a_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let conn = open::open(folder.path(), &Default::default()).unwrap().conn;
    let questions = [lists::PLANNED, overview::PLANNED, short::PLANNED].concat();
    let mut bad = Vec::new();
    for sql in &questions {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![rusqlite::types::Null; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        if plan.iter().any(|step| step.split_whitespace().any(|word| word == "transcript")) {
            bad.push((sql, plan));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
    assert!(questions.len() > 20, "only {} questions were looked at", questions.len());
}

#[test]
fn a_scan_would_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let conn = open::open(folder.path(), &Default::default()).unwrap().conn;
    let plan: String = conn
        .query_row("EXPLAIN QUERY PLAN SELECT body FROM sessions WHERE title = 'x'", [], |row| row.get("detail"))
        .unwrap();
    assert_eq!(plan, "SCAN sessions");
}
