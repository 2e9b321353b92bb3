//! A data folder with much in it: objectives that have ended, their sessions, transcripts and journal.
//!
//! The rows are copies of what a real wheel left behind, under new ids, and are stored through the store.

use crate::stage::Stage;
use anyhow::{Result, bail};
use futures::stream::TryStreamExt;
use orcha_agent::TurnEnd;
use orcha_agent::fake::FakeRunner;
use orcha_base::{Attempt, ObjectiveId, Revision, SessionId, Timestamp};
use orcha_exec::ExitStatus;
use orcha_model::{Note, NoteKind, Objective, Role, Session};
use orcha_plan::NewSession;
use orcha_store::{Change, Commit, JournalLine, NewEntry, Row, Store, StoreOptions, TranscriptAppend};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many sessions an objective has.
const PER_OBJECTIVE: usize = 20;
/// How many journal lines each session left.
const NOTES: usize = 10;
/// How many sessions are stored at once.
const AT_ONCE: usize = 64;

/// What was stored.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Some sessions, spread over all of them.
    pub sample: Vec<SessionId>,
    /// How many sessions.
    pub sessions: usize,
    /// How many transcript rows.
    pub rows: usize,
    /// How many bytes the database has.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Fills a data folder and closes it again.
pub async fn fill(data: &Path, sessions: usize, rows: usize) -> Result<Filled> {
    let begin = Instant::now();
    let (objective, models) = models().await?;
    let folder = data.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::open(&folder, StoreOptions::default())).await??;
    let objectives: Vec<ObjectiveId> =
        (0..sessions.div_ceil(PER_OBJECTIVE)).map(|_| ObjectiveId::from_uuid(Uuid::now_v7())).collect();
    let ids: Vec<SessionId> = (0..sessions).map(|_| SessionId::from_uuid(Uuid::now_v7())).collect();
    let later = |n: usize| Duration::from_millis(n as u64 * 10);
    for (n, id) in objectives.iter().enumerate() {
        let mut row = objective.clone();
        (row.id, row.revision) = (*id, Revision(1));
        row.title = format!("Objective {n}: as it was wished for, in about so many words");
        row.updated_at = row.updated_at + later(n * PER_OBJECTIVE);
        let commit = Commit {
            changes: vec![Change { row: Row::Objective(row), expected: None }],
            ..Commit::at(objective.updated_at)
        };
        store.commit(commit).await?;
    }
    futures::stream::iter(ids.iter().enumerate().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |(n, id)| {
            let mut row = models[n % models.len()].clone();
            (row.id, row.objective, row.revision) = (*id, objectives[n / PER_OBJECTIVE], Revision(1));
            row.depends_on.clear();
            row.title = format!("Session {n}: one part of what was wished for");
            row.updated_at = row.updated_at + later(n);
            let store = store.clone();
            async move { store.commit(one(row, rows)).await.map(drop).map_err(anyhow::Error::from) }
        })
        .await?;
    store.close().await;
    let bytes = std::fs::metadata(data.join("orcha.db"))?.len();
    let sample = ids.iter().step_by((sessions / 97).max(1)).copied().collect();
    Ok(Filled { sample, sessions, rows: sessions * rows, bytes, took: begin.elapsed() })
}

/// A session with its transcript and its journal.
pub fn one(session: Session, rows: usize) -> Commit {
    let at = session.updated_at;
    let journal = (0..NOTES).map(|n| JournalLine {
        tenant: session.tenant.clone(),
        scope: session.scope.clone(),
        objective: Some(session.objective),
        session: Some(session.id),
        note: Note::new(NoteKind::SessionTurnEnded, format!("turn {n} was completed")).of(session.id).with("turn", n),
    });
    let transcript = TranscriptAppend {
        session: session.id,
        attempt: Attempt::FIRST,
        expected: None,
        next: serde_json::json!({"output": rows, "error": 0, "memory": null}),
        entries: (0..rows).map(|n| entry(n, at)).collect(),
    };
    Commit {
        journal: journal.collect(),
        transcript: Some(transcript),
        changes: vec![Change { row: Row::Session(session), expected: None }],
        ..Commit::at(at)
    }
}

/// Lines as agents write them: mostly a few words, sometimes the output of a tool.
fn entry(n: usize, at: Timestamp) -> NewEntry {
    let (source, kind, length) = match n % 10 {
        0 => ("tool", "tool_call", 180),
        1 => ("tool", "tool_result", 1200),
        _ => ("agent", "text", 160),
    };
    let content = format!("{n}: {}", "what was said ".repeat(length / 14));
    NewEntry { source: source.into(), kind: kind.into(), content, metadata: None, at }
}

/// Lets a real wheel make an objective with sessions, and returns what is left of them.
async fn models() -> Result<(Objective, Vec<Session>)> {
    let folder = tempfile::tempdir()?;
    let agents = FakeRunner::new(|mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {
            agent.text("Looked at it: all is well, and this is the summary of it in one sentence.");
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    });
    let stage = Stage::pretended(folder.path(), Arc::new(agents)).await?;
    let new = |n| (NewSession::new(Role::Researcher, format!("Part {n}"), "Look at one part of it."), Vec::new());
    let id = stage.begin((0..PER_OBJECTIVE).map(new).collect()).await?;
    stage.ended(id).await?;
    let (objective, sessions) = stage
        .orch
        .view(id, |world| (world.objective.clone(), world.sessions.values().cloned().collect::<Vec<_>>()))
        .await?;
    stage.close().await;
    if sessions.iter().any(|it| !it.is_over()) {
        bail!("a session outlived its objective");
    }
    // What is pointed at is left out: checkouts of other ids.
    let sessions = sessions.into_iter().map(|it| Session { workspace: None, parent: None, ..it });
    Ok((objective, sessions.collect()))
}
