//! List pages over a large data folder, and what the daemon holds in memory meanwhile; and how long it takes to begin.

use crate::daemon::Daemon;
use crate::figure::{Aim, Figure, Times};
use crate::fill::{Filled, fill};
use crate::floor::{List, Pages};
use crate::http::Http;
use crate::scale::Size;
use anyhow::{Context, Result, ensure};
use orcha_wire::IdRef;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use tokio::task::JoinSet;

/// Rows of a page of sessions or objectives.
const ROWS: u32 = 100;
/// Rows of a page of a transcript: all that a session has.
const LINES: u32 = 100;
/// What is listed.
const KINDS: [(List, &str, &str); 3] = [
    (List::Objectives, "list_objectives", "page of 100 objectives"),
    (List::Sessions, "list_sessions", "page of 100 sessions"),
    (List::Transcript, "list_transcript", "page of 100 transcript rows"),
];

/// What the floor of starts is.
pub const VERSION: &str = "the same program, started to print its version";

/// Measures lists and cold starts.
pub async fn run(root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(root)?;
    let data = folder.path().join("data");
    let filled = fill(&data, size.sessions, size.rows_per_session).await?;
    eprintln!(
        "bench: filled {} sessions and {} transcript rows ({} MB) in {:.1} s",
        filled.sessions,
        filled.rows,
        filled.bytes / 1_000_000,
        filled.took.as_secs_f64()
    );
    let mut figures = pages(program, &data, &filled, size).await?;
    figures.extend(starts(root, program, &data, &filled, size).await?);
    Ok(figures)
}

async fn pages(program: &Path, data: &Path, filled: &Filled, size: &Size) -> Result<Vec<Figure>> {
    let daemon = Daemon::start(program, data, 4).await?;
    let raw = Pages::open(data)?;
    let begun = daemon.memory()?;
    let mut figures = Vec::new();
    for (list, name, title) in KINDS {
        for callers in [1, 16] {
            let (mut p50, mut p99, mut rate) = (Vec::new(), Vec::new(), Vec::new());
            let (mut floor_p50, mut floor_p99) = (Vec::new(), Vec::new());
            for _ in 0..size.rounds {
                let floor = by_hand(&raw, list, filled, size.pages)?;
                floor_p50.push(floor.at(0.5));
                floor_p99.push(floor.at(0.99));
                let begin = Instant::now();
                let times = over_http(&daemon, list, filled, callers, size.pages).await?;
                rate.push(times.len() as f64 / begin.elapsed().as_secs_f64());
                p50.push(times.at(0.5));
                p99.push(times.at(0.99));
            }
            figures.push(
                Figure::new(&format!("{name}_c{callers}"), &format!("{title}, {callers} at once, p99"), "ms", &p99)
                    .over("the same rows read from SQLite by key in this process, one at a time, p99", &floor_p99, &p99)
                    .detail("p50_ms", &p50)
                    .detail("floor_p50_ms", &floor_p50)
                    .detail("pages_per_second", &rate),
            );
        }
    }
    // A walk over the whole list: what keyset pages are for. The last page must cost no more than the first.
    let walk = walk(&daemon, filled).await?;
    figures.push(
        Figure::new("list_walk", "all sessions page by page, p99 of a page", "ms", &[walk.at(0.99)])
            .detail("p50_ms", &[walk.at(0.5)])
            .detail("pages", &[walk.len() as f64]),
    );
    let memory = daemon.memory()?;
    figures.push(
        Figure::new(
            "daemon_rss",
            &format!("daemon's memory after these pages ({} transcript rows)", filled.rows),
            "MB",
            &[memory.now],
        )
        .aim(Aim::ValueAtMost { number: 120.0 }, size.judged_size)
        .detail("peak_mb", &[memory.peak])
        .detail("before_pages_mb", &[begun.now])
        .detail("database_mb", &[filled.bytes as f64 / 1e6]),
    );
    daemon.stop().await?;
    Ok(figures)
}

fn by_hand(raw: &Pages, list: List, filled: &Filled, pages: usize) -> Result<Times> {
    let mut times = Times::default();
    for at in 0..pages {
        let session = filled.sample[at % filled.sample.len()].to_string();
        let begin = Instant::now();
        let rows = raw.read(list, &session, if list == List::Transcript { LINES } else { ROWS })?;
        times.add(begin.elapsed());
        ensure!(rows > 0, "the floor found an empty page");
    }
    Ok(times)
}

async fn over_http(daemon: &Daemon, list: List, filled: &Filled, callers: usize, pages: usize) -> Result<Times> {
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let mut http = daemon.http().await?;
        let paths: Vec<String> = (0..pages.div_ceil(callers))
            .map(|at| match list {
                List::Objectives => format!("/api/objectives?limit={ROWS}"),
                List::Sessions => format!("/api/sessions?limit={ROWS}"),
                List::Transcript => {
                    let session = filled.sample[(caller + at * callers) % filled.sample.len()];
                    format!("/api/sessions/{}/messages?tail={LINES}", IdRef::from(session).as_str())
                }
            })
            .collect();
        tasks.spawn(async move {
            let mut times = Times::default();
            for path in paths {
                times.add(ask(&mut http, &path).await?);
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Times::default();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

async fn ask(http: &mut Http, path: &str) -> Result<std::time::Duration> {
    let begin = Instant::now();
    let answer = http.expect("GET", path, None).await?;
    let took = begin.elapsed();
    ensure!(answer.body.len() > 100, "{path} was answered with an empty page");
    Ok(took)
}

async fn walk(daemon: &Daemon, filled: &Filled) -> Result<Times> {
    let mut http = daemon.http().await?;
    let (mut times, mut after, mut rows) = (Times::default(), None::<String>, 0);
    loop {
        let path = match &after {
            None => format!("/api/sessions?limit={ROWS}"),
            Some(cursor) => format!("/api/sessions?limit={ROWS}&after={cursor}"),
        };
        let begin = Instant::now();
        let answer = http.expect("GET", &path, None).await?;
        times.add(begin.elapsed());
        rows += serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&answer.body)?.len();
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    ensure!(rows == filled.sessions, "the walk saw {rows} sessions of {}", filled.sessions);
    Ok(times)
}

/// Starts the daemon again and again: in an empty folder, and in the filled one.
async fn starts(root: &Path, program: &Path, data: &Path, filled: &Filled, size: &Size) -> Result<Vec<Figure>> {
    let (mut floor, mut empty, mut full, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.starts {
        floor.push(version(program).await?);
        let folder = tempfile::tempdir_in(root)?;
        let daemon = Daemon::start(program, folder.path(), 4).await.context("in an empty folder")?;
        empty.push(daemon.began.as_secs_f64() * 1000.0);
        memory.push(daemon.memory()?.now);
        daemon.stop().await?;
        let daemon = Daemon::start(program, data, 4).await.context("in the filled folder")?;
        full.push(daemon.began.as_secs_f64() * 1000.0);
        daemon.stop().await?;
    }
    let figure = |name: &str, title: &str, rounds: &[f64], at_most: f64, judged: bool| {
        Figure::new(name, title, "ms", rounds)
            .over(VERSION, &floor, rounds)
            .aim(Aim::ValueAtMost { number: at_most }, judged)
    };
    let large = format!("start to first answer, {} sessions and {} transcript rows", filled.sessions, filled.rows);
    Ok(vec![
        figure("cold_start_empty", "start to first answer, empty folder", &empty, 100.0, size.judged),
        figure("cold_start_large", &large, &full, 100.0, size.judged_size),
        Figure::new("daemon_rss_idle", "memory of a daemon that just began, empty folder", "MB", &memory)
            .aim(Aim::ValueAtMost { number: 30.0 }, size.judged),
    ])
}

/// Starts a program to print its version, and says how many milliseconds that took.
pub async fn version(program: &Path) -> Result<f64> {
    let begin = Instant::now();
    let status = tokio::process::Command::new(program).arg("--version").stdout(Stdio::null()).status().await?;
    ensure!(status.success(), "`--version` failed");
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}
