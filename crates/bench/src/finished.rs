//! A folder with thousands of workflows that have ended: what the daemon holds in memory over it, and how long it takes
//! to begin.
//!
//! The rows are copies of what a real wheel left of one workflow, under new ids, and are stored through the store.

use crate::daemon::Daemon;
use crate::figure::{Aim, Figure, Times};
use crate::fill;
use crate::lists;
use crate::scale::Size;
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use futures::stream::TryStreamExt;
use orcha_base::Timestamp;
use orcha_model::finished::Run;
use orcha_model::{HandIn, Objective, Session, Task, Workflow, Workspace};
use orcha_plan::{World, finished};
use orcha_store::{Change, Commit, Row, Store, StoreOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many workflows are stored at once.
const AT_ONCE: usize = 64;
/// How many lines each session said.
const LINES: usize = 5;
/// Workflows of a page.
const ROWS: usize = 100;
/// How many pages are looked at before memory is.
const PAGES: usize = 20;

/// Measures memory and starts.
pub async fn run(root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(root)?;
    let data = folder.path().join("data");
    let begin = Instant::now();
    fill(&data, size.workflows).await?;
    let bytes = std::fs::metadata(data.join("orcha.db"))?.len();
    eprintln!(
        "bench: filled {} workflows ({} MB) in {:.1} s",
        size.workflows,
        bytes / 1_000_000,
        begin.elapsed().as_secs_f64()
    );
    let (mut floor, mut starts) = (Vec::new(), Vec::new());
    let (mut idle, mut after, mut peak) = (Vec::new(), Vec::new(), Vec::new());
    let mut pages = Times::default();
    for _ in 0..size.starts {
        floor.push(lists::version(program).await?);
        let daemon = Daemon::start(program, &data, 4).await?;
        starts.push(daemon.began.as_secs_f64() * 1000.0);
        idle.push(daemon.memory()?.now);
        look(&daemon, size.workflows, &mut pages).await?;
        let memory = daemon.memory()?;
        after.push(memory.now);
        peak.push(memory.peak);
        daemon.stop().await?;
    }
    let title = format!("start to first answer, {} finished workflows", size.workflows);
    Ok(vec![
        Figure::new("workflows_start", &title, "ms", &starts)
            .over(lists::VERSION, &floor, &starts)
            .aim(Aim::ValueAtMost { number: 100.0 }, size.judged_size),
        Figure::new("workflows_rss", "daemon's memory over them, after their pages", "MB", &after)
            .aim(Aim::ValueAtMost { number: 120.0 }, size.judged_size)
            .detail("idle_mb", &idle)
            .detail("peak_mb", &peak)
            .detail("page_p50_ms", &[pages.at(0.5)])
            .detail("page_p99_ms", &[pages.at(0.99)])
            .detail("database_mb", &[bytes as f64 / 1e6]),
    ])
}

/// Looks at the first pages of the list of workflows, and at the last one.
async fn look(daemon: &Daemon, workflows: usize, pages: &mut Times) -> Result<()> {
    let mut http = daemon.http().await?;
    let last = workflows.saturating_sub(1) / ROWS;
    for page in (0..PAGES.min(last)).chain([last]) {
        let begin = Instant::now();
        let path = format!("/workflows?limit={ROWS}&offset={}", page * ROWS);
        let answer = http.expect("GET", &path, None).await?;
        pages.add(begin.elapsed());
        ensure!(answer.body.len() > 100, "{path} was answered with an empty page");
    }
    Ok(())
}

/// What is left of a workflow that has ended.
#[derive(Serialize, Deserialize)]
struct Left {
    objective: Objective,
    sessions: Vec<Session>,
    workspaces: Vec<Workspace>,
    workflow: Workflow,
    tasks: Vec<Task>,
    hand_ins: Vec<HandIn>,
    run: Run,
}

/// One workflow as text, and every id in it.
struct Model {
    text: String,
    ids: Vec<String>,
}

async fn fill(data: &Path, workflows: usize) -> Result<()> {
    let model = model().await?;
    let folder = data.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::open(&folder, StoreOptions::default())).await??;
    futures::stream::iter((0..workflows).map(Ok))
        .try_for_each_concurrent(AT_ONCE, |n| {
            let (model, store) = (&model, store.clone());
            async move {
                let left = model.again()?;
                let (first, sessions) = commits(left, n);
                store.commit(first).await?;
                for session in sessions {
                    store.commit(session).await?;
                }
                anyhow::Ok(())
            }
        })
        .await?;
    store.close().await;
    Ok(())
}

/// Lets a real wheel run one workflow, and takes what is left of it.
async fn model() -> Result<Model> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::of_roles(folder.path()).await?;
    let id = stage.workflow().await?;
    let world = stage.orch.view(id, World::clone).await?;
    stage.close().await;
    let left = Left {
        run: finished(&world).context("the workflow has not ended")?,
        objective: world.objective,
        sessions: world.sessions.values().cloned().collect(),
        workspaces: world.workspaces.values().cloned().collect(),
        workflow: world.workflow.context("the objective has no workflow")?,
        tasks: world.tasks.values().cloned().collect(),
        hand_ins: world.hand_ins.values().cloned().collect(),
    };
    ensure!(left.sessions.len() == crate::stage::STEPS, "the workflow took {} sessions", left.sessions.len());
    let ids = [left.objective.id.to_string()]
        .into_iter()
        .chain(left.sessions.iter().map(|it| it.id.to_string()))
        .chain(left.workspaces.iter().map(|it| it.id.to_string()))
        .chain(left.tasks.iter().map(|it| it.id.to_string()))
        .chain(left.hand_ins.iter().map(|it| it.id.to_string()));
    let ids = ids.collect();
    Ok(Model { text: serde_json::to_string(&left)?, ids })
}

impl Model {
    /// Makes another workflow like it: each id is another one, wherever it stands.
    fn again(&self) -> Result<Left> {
        let text = self.ids.iter().fold(self.text.clone(), |text, id| text.replace(id, &Uuid::now_v7().to_string()));
        Ok(serde_json::from_str(&text)?)
    }
}

/// The rows of a workflow, and then each session with what it said.
fn commits(left: Left, n: usize) -> (Commit, Vec<Commit>) {
    let later = |at: Timestamp| at + Duration::from_millis(n as u64 * 10);
    let new = |row: Row| Change { row, expected: None };
    let (mut objective, mut workflow) = (left.objective, left.workflow);
    (objective.created_at, objective.updated_at) = (later(objective.created_at), later(objective.updated_at));
    workflow.created_at = later(workflow.created_at);
    objective.title = format!("Workflow {n}: as it was wished for, in about so many words");
    let sessions = left.sessions.into_iter().map(|it| Session { updated_at: later(it.updated_at), ..it });
    let at = objective.updated_at;
    let mut first = Commit::at(at);
    first.changes.extend([new(Row::Objective(objective)), new(Row::Workflow(workflow))]);
    first.changes.extend(left.workspaces.into_iter().map(|it| new(Row::Workspace(it))));
    first.changes.extend(left.tasks.into_iter().map(|it| new(Row::Task(it))));
    first.changes.extend(left.hand_ins.into_iter().map(|it| new(Row::HandIn(it))));
    first.taken_in.push(left.run.id);
    first.runs.push(left.run);
    (first, sessions.map(|it| fill::one(it, LINES)).collect())
}
