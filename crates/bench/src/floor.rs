//! The floors in SQLite: what a hand-written program does on the same disk with the same durability.
//!
//! One thread writes; it takes whatever waits into one transaction and answers after the commit, as the store
//! does. It checks nothing, keeps no order of effects and knows no state: that is what the daemon adds.

use crate::figure::Times;
use crate::processor;
use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// So many go into one transaction at most: as many as in the store.
const GROUP: usize = 512;
/// How many bytes a body has.
const BODY: usize = 200;

/// What a floor came to.
#[derive(Clone, Debug)]
pub struct Floor {
    /// How many per second were answered.
    pub rate: f64,
    /// How long each caller waited.
    pub times: Times,
    /// What one of them took of the processors, in microseconds.
    pub cpu: f64,
}

/// What a caller wants to have written.
enum Wish {
    /// A step's row is replaced and an event added.
    Step { id: i64, body: String, event: String },
    /// Lines are added to a transcript.
    Lines { session: i64, first: i64, lines: Vec<String> },
}

type Waiting = (Wish, oneshot::Sender<()>);

/// Makes durable steps: so many callers, each waits for its answer before it goes on.
pub async fn steps(folder: &Path, callers: usize, time: Duration) -> Result<Floor> {
    let wish = |caller: usize, _: i64| Wish::Step {
        id: i64::try_from(caller).unwrap_or(i64::MAX),
        body: "x".repeat(BODY),
        event: "y".repeat(BODY),
    };
    run(folder, callers, time, 1, wish).await
}

/// Makes durable transcript lines: so many sessions, each hands in so many lines at once.
pub async fn lines(folder: &Path, sessions: usize, at_once: usize, time: Duration) -> Result<Floor> {
    let step = i64::try_from(at_once).unwrap_or(i64::MAX);
    let wish = move |session: usize, turn: i64| Wish::Lines {
        session: i64::try_from(session).unwrap_or(i64::MAX),
        first: turn * step,
        lines: vec!["z".repeat(BODY); at_once],
    };
    run(folder, sessions, time, at_once, wish).await
}

/// Reads files and stores their lines, one transaction for each file.
pub fn read_and_store(folder: &Path, files: &[PathBuf]) -> Result<Duration> {
    let conn = open(&folder.join("read.db"))?;
    let begin = Instant::now();
    for (session, file) in (0_i64..).zip(files) {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut add = conn.prepare_cached("INSERT INTO lines (session, seq, body) VALUES (?1, ?2, ?3)")?;
        for (seq, line) in (0_i64..).zip(text.lines()) {
            add.execute(params![session, seq, line])?;
        }
        conn.execute_batch("COMMIT")?;
    }
    Ok(begin.elapsed())
}

async fn run(
    folder: &Path,
    callers: usize,
    time: Duration,
    weight: usize,
    wish: impl Fn(usize, i64) -> Wish + Clone + Send + 'static,
) -> Result<Floor> {
    let conn = open(&folder.join("floor.db"))?;
    let (send, wishes) = mpsc::channel::<Waiting>();
    let writer = std::thread::spawn(move || write(&conn, &wishes));
    let (begin, cpu) = (Instant::now(), processor::used());
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (send, wish) = (send.clone(), wish.clone());
        tasks.spawn(async move {
            let mut times = Times::default();
            let mut turn = 0;
            while begin.elapsed() < time {
                let asked = Instant::now();
                let (answer, answered) = oneshot::channel();
                if send.send((wish(caller, turn), answer)).is_err() || answered.await.is_err() {
                    break;
                }
                times.add(asked.elapsed());
                turn += 1;
            }
            times
        });
    }
    let mut times = Times::default();
    tasks.join_all().await.into_iter().for_each(|it| times.extend(it));
    let (took, cpu) = (begin.elapsed(), processor::used().saturating_sub(cpu));
    drop(send);
    writer.join().map_err(|_| anyhow!("the floor's writer panicked"))??;
    let done = times.len() * weight;
    Ok(Floor { rate: done as f64 / took.as_secs_f64(), times, cpu: processor::each(cpu, done) })
}

fn open(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path).context("the floor's database could not be made")?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 4000;
         CREATE TABLE steps (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
         CREATE TABLE events (seq INTEGER PRIMARY KEY, step INTEGER NOT NULL, body TEXT NOT NULL);
         CREATE INDEX events_by_step ON events (step, seq);
         CREATE TABLE lines (session INTEGER, seq INTEGER, body TEXT NOT NULL, PRIMARY KEY (session, seq));",
    )?;
    Ok(conn)
}

fn write(conn: &Connection, wishes: &mpsc::Receiver<Waiting>) -> Result<()> {
    while let Ok(first) = wishes.recv() {
        let group: Vec<Waiting> = std::iter::once(first).chain(wishes.try_iter().take(GROUP - 1)).collect();
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for (wish, _) in &group {
            match wish {
                Wish::Step { id, body, event } => {
                    conn.prepare_cached(
                        "INSERT INTO steps (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = ?2",
                    )?
                    .execute(params![id, body])?;
                    conn.prepare_cached("INSERT INTO events (step, body) VALUES (?1, ?2)")?
                        .execute(params![id, event])?;
                }
                Wish::Lines { session, first, lines } => {
                    let mut add = conn.prepare_cached("INSERT INTO lines (session, seq, body) VALUES (?1, ?2, ?3)")?;
                    for (seq, line) in (*first..).zip(lines) {
                        add.execute(params![session, seq, line])?;
                    }
                }
            }
        }
        conn.execute_batch("COMMIT")?;
        for (_, answer) in group {
            // A caller whose time is up does not listen any more.
            answer.send(()).unwrap_or_default();
        }
    }
    Ok(())
}

/// Reads pages of one list by key, straight from the daemon's database.
#[derive(Debug)]
pub struct Pages {
    conn: Connection,
}

/// A list that the daemon answers page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Objectives, newest change first.
    Objectives,
    /// Sessions, newest change first.
    Sessions,
    /// A part of one session's transcript.
    Transcript,
}

impl Pages {
    /// Opens a connection that only reads.
    pub fn open(data: &Path) -> Result<Self> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self { conn: Connection::open_with_flags(data.join("orcha.db"), flags)? })
    }

    /// Reads one page and returns how many rows it had. Every column that a list shows is taken out.
    pub fn read(&self, list: List, session: &str, limit: u32) -> Result<usize> {
        let sql = match list {
            List::Objectives => {
                "SELECT id, state, title, repo, priority, created_at, updated_at FROM objectives \
                 WHERE tenant = ?1 AND (updated_at, id) < (?2, 'z') ORDER BY updated_at DESC, id DESC LIMIT ?3"
            }
            List::Sessions => {
                "SELECT id, state, title, activity, tokens, created_at, updated_at, objective_id, role, agent \
                 FROM sessions \
                 WHERE tenant = ?1 AND (updated_at, id) < (?2, 'z') ORDER BY updated_at DESC, id DESC LIMIT ?3"
            }
            List::Transcript => {
                "SELECT seq, attempt, source, kind, content, metadata, created_at FROM transcript \
                 WHERE session_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
            }
        };
        let of = if list == List::Transcript { session } else { "default" };
        let mut statement = self.conn.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params![of, i64::MAX, limit])?;
        let mut page: Vec<Vec<rusqlite::types::Value>> = Vec::new();
        while let Some(row) = rows.next()? {
            page.push((0..columns).map(|at| row.get(at)).collect::<Result<_, _>>()?);
        }
        Ok(page.len())
    }
}
