//! Measures durable commits per second beside the least that a program could do by hand on the same disk.
//!
//! A commit of ours changes a session, adds a journal line and an order, and takes the order before it
//! away. The floor replaces one row and adds another in plain tables, in groups, with the same durability.
//! Prints figures; judges nothing. `cargo run --release -p orcha-store --example group_commit [SECONDS]`

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

#[path = "../tests/support/mod.rs"]
mod support;

use orcha_base::SessionId;
use orcha_store::{Commit, NewEntry, Row, Store, TranscriptAppend};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::*;
use tokio::sync::oneshot;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(2.0, |text| text.parse().unwrap());
    let time = Duration::from_secs_f64(seconds);
    for callers in [1, 64] {
        let floor = floor(i64::try_from(callers).unwrap(), time).await;
        let ours = ours(callers, time).await;
        println!(
            "c={callers}: floor {:.0}/s p50 {:?} p99 {:?}; store {:.0}/s p50 {:?} p99 {:?}; {:.0} %",
            floor.rate,
            floor.p50,
            floor.p99,
            ours.rate,
            ours.p50,
            ours.p99,
            100.0 * ours.rate / floor.rate
        );
    }
    transcripts(64, time).await;
}

struct Measured {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

fn measured(mut all: Vec<Duration>, took: Duration) -> Measured {
    all.sort_unstable();
    let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize];
    Measured { rate: all.len() as f64 / took.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
}

async fn ours(callers: u64, time: Duration) -> Measured {
    let folder = tempfile::tempdir_in(".").unwrap();
    let store = open(folder.path());
    let sessions = (1..=callers).map(|n| Row::Session(session(n, 1)));
    store.commit(rows(sessions.chain([Row::Objective(objective(1))]))).await.unwrap();
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=callers {
        tasks.spawn(caller(store.clone(), n, begin + time));
    }
    let all = tasks.join_all().await.concat();
    let took = begin.elapsed();
    store.close().await;
    measured(all, took)
}

async fn caller(store: Store, n: u64, until: Instant) -> Vec<Duration> {
    let mut current = session(n, 1);
    let mut all = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        let before = current.revision.0;
        current.revision = current.revision.next();
        current.updated_at = at(i64::try_from(before).unwrap());
        let commit = Commit {
            changes: vec![changed(Row::Session(current.clone()))],
            journal: vec![line(1, n, "a step was made")],
            orders: vec![order(1, n, before + 1, 200)],
            done: vec![order(1, n, before, 0).key],
            ..Commit::at(at(1))
        };
        store.commit(commit).await.unwrap();
        all.push(begin.elapsed());
    }
    all
}

type Step = (i64, String, String, oneshot::Sender<()>);

async fn floor(callers: i64, time: Duration) -> Measured {
    let folder = tempfile::tempdir_in(".").unwrap();
    let conn = rusqlite::Connection::open(folder.path().join("floor.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE steps (id INTEGER PRIMARY KEY, body TEXT);
         CREATE TABLE events (seq INTEGER PRIMARY KEY, step INTEGER, body TEXT);
         CREATE INDEX events_by_step ON events (step, seq);",
    )
    .unwrap();
    let (send, steps) = mpsc::channel::<Step>();
    let writer = std::thread::spawn(move || {
        while let Ok(first) = steps.recv() {
            let group: Vec<Step> = std::iter::once(first).chain(steps.try_iter().take(511)).collect();
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            for (id, body, event, _) in &group {
                let mut put = conn
                    .prepare_cached(
                        "INSERT INTO steps (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = ?2",
                    )
                    .unwrap();
                put.execute(rusqlite::params![id, body]).unwrap();
                let mut add = conn.prepare_cached("INSERT INTO events (step, body) VALUES (?1, ?2)").unwrap();
                add.execute(rusqlite::params![id, event]).unwrap();
            }
            conn.execute_batch("COMMIT").unwrap();
            for (.., answer) in group {
                answer.send(()).unwrap();
            }
        }
    });
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=callers {
        let send = send.clone();
        tasks.spawn(async move {
            let mut all = Vec::new();
            while begin.elapsed() < time {
                let begin = Instant::now();
                let (answer, answered) = oneshot::channel();
                send.send((n, "x".repeat(200), "y".repeat(200), answer)).unwrap();
                answered.await.unwrap();
                all.push(begin.elapsed());
            }
            all
        });
    }
    let all = tasks.join_all().await.concat();
    let took = begin.elapsed();
    drop(send);
    writer.join().unwrap();
    measured(all, took)
}

/// Lines per second when each session hands in a few lines at a time.
async fn transcripts(sessions: u64, time: Duration) {
    const AT_ONCE: usize = 16;
    let folder = tempfile::tempdir_in(".").unwrap();
    let store = open(folder.path());
    let all = (1..=sessions).map(|n| Row::Session(session(n, 1)));
    store.commit(rows(all.chain([Row::Objective(objective(1))]))).await.unwrap();
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=sessions {
        let store = store.clone();
        tasks.spawn(async move {
            let session = SessionId::fixed(n);
            let (mut cursor, mut lines) = (None, 0_usize);
            while begin.elapsed() < time {
                let next = serde_json::json!({ "bytes": lines * 200 });
                let entry = NewEntry {
                    source: "agent".into(),
                    kind: "text".into(),
                    content: "z".repeat(200),
                    metadata: None,
                    at: at(1),
                };
                let append = TranscriptAppend {
                    session,
                    attempt: orcha_base::Attempt(1),
                    expected: cursor.replace(next.clone()),
                    next,
                    entries: vec![entry; AT_ONCE],
                };
                store.commit(Commit { transcript: Some(append), ..Commit::at(at(1)) }).await.unwrap();
                lines += AT_ONCE;
            }
            lines
        });
    }
    let lines: usize = tasks.join_all().await.into_iter().sum();
    println!("transcripts: {:.0} lines/s from {sessions} sessions", lines as f64 / begin.elapsed().as_secs_f64());
    store.close().await;
}
