//! The wheel with agents that are functions: commits, decisions, pipelines, workflows and transcript lines per second.
//!
//! Everything runs in this process on the real disk; each round begins in an empty folder, floor and daemon by
//! turns.

use crate::figure::{Aim, Figure, Times};
use crate::floor;
use crate::processor;
use crate::scale::Size;
use crate::stage::{STEPS, Stage};
use anyhow::{Context, Result};
use orcha_agent::fake::{FakeAgent, FakeRunner};
use orcha_agent::{Runner, TurnEnd};
use orcha_base::{ObjectiveId, SessionId, TenantId};
use orcha_exec::ExitStatus;
use orcha_model::{Role, objective};
use orcha_plan::{NewSession, Stimulus};
use orcha_store::{Span, Viewer};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the floor of single steps is.
const BY_HAND: &str = "one SQLite writer thread in groups, FULL: one row and one event per transaction";
/// How many lines an agent writes at once.
const AT_ONCE: usize = 100;
/// How many sessions write transcripts.
const WRITERS: usize = 64;

/// Measures all of it.
pub async fn run(root: &Path, size: &Size) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for callers in [1, 64] {
        figures.extend(steps(root, size, callers).await?);
    }
    figures.push(lines(root, size).await?);
    Ok(figures)
}

/// What one round of the daemon's side came to.
struct Round {
    rate: f64,
    times: Times,
    commits: f64,
    groups: f64,
    /// What one of them took of the processors, in microseconds.
    cpu: f64,
}

#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    commits: Vec<f64>,
    groups: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, round: &Round) {
        self.rate.push(round.rate);
        self.p50.push(round.times.at(0.5));
        self.p99.push(round.times.at(0.99));
        self.commits.push(round.commits);
        self.groups.push(round.groups);
        self.cpu.push(round.cpu);
    }
}

/// What a caller does again and again until it is told that it is enough.
#[derive(Clone, Copy)]
enum Work {
    /// Sessions that follow one another.
    Chain,
    /// The six roles of the pipeline, with documents.
    Workflow,
}

async fn steps(root: &Path, size: &Size, callers: usize) -> Result<Vec<Figure>> {
    let (mut floor, mut floor_p50, mut floor_p99) = (Vec::new(), Vec::new(), Vec::new());
    let mut floor_cpu = Vec::new();
    let (mut decisions, mut pipelines, mut workflows) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir_in(root)?;
        let by_hand = floor::steps(folder.path(), callers, size.floor_round).await?;
        floor.push(by_hand.rate);
        floor_p50.push(by_hand.times.at(0.5));
        floor_p99.push(by_hand.times.at(0.99));
        floor_cpu.push(by_hand.cpu);
        let folder = tempfile::tempdir_in(root)?;
        decisions.add(&decide(folder.path(), callers, size.round).await?);
        for (work, rounds) in [(Work::Chain, &mut pipelines), (Work::Workflow, &mut workflows)] {
            let folder = tempfile::tempdir_in(root)?;
            rounds.add(&objectives(folder.path(), work, callers, size.round).await?);
        }
    }
    let aim = |figure: Figure| match callers {
        1 => figure,
        _ => figure.aim(Aim::RatioAtLeast { number: 0.4 }, size.judged),
    };
    let with = |figure: Figure, it: &Rounds| {
        figure
            .detail("p50_ms", &it.p50)
            .detail("p99_ms", &it.p99)
            .detail("commits_per_second", &it.commits)
            .detail("transactions_per_second", &it.groups)
            .detail("cpu_us", &it.cpu)
    };
    let decided = Figure::new(
        &format!("decisions_c{callers}"),
        &format!("durable decisions, {callers} at once"),
        "1/s",
        &decisions.rate,
    )
    .over(BY_HAND, &floor, &decisions.rate)
    .detail("floor_p50_ms", &floor_p50)
    .detail("floor_p99_ms", &floor_p99)
    .detail("floor_cpu_us", &floor_cpu);
    let chained: Vec<f64> = floor.iter().map(|it| it / STEPS as f64).collect();
    let six = format!("{BY_HAND}; six of them, one after another");
    let piped = Figure::new(
        &format!("pipelines_c{callers}"),
        &format!("6-step pipelines, {callers} at once, agents are functions"),
        "1/s",
        &pipelines.rate,
    )
    .over(&six, &chained, &pipelines.rate);
    let worked = Figure::new(
        &format!("workflows_c{callers}"),
        &format!("workflows of six roles, {callers} at once, roles are functions"),
        "1/s",
        &workflows.rate,
    )
    .over(&six, &chained, &workflows.rate);
    // What the wheel commits for its pipelines, beside as many of the floor's transactions.
    let commits = Figure::new(
        &format!("pipeline_commits_c{callers}"),
        &format!("commits answered while {callers} pipelines run"),
        "1/s",
        &pipelines.commits,
    )
    .over(BY_HAND, &floor, &pipelines.commits);
    Ok(vec![aim(with(decided, &decisions)), aim(with(piped, &pipelines)), commits, aim(with(worked, &workflows))])
}

/// Each caller edits an objective of its own, again and again: one decision, one row, one journal line.
async fn decide(folder: &Path, callers: usize, time: Duration) -> Result<Round> {
    let stage = Arc::new(Stage::pretended(folder, Arc::new(listening())).await?);
    let mut objectives = Vec::new();
    for _ in 0..callers {
        objectives.push(started(&stage, 1).await?);
    }
    let before = Before::look(&stage);
    let begin = before.begin;
    let mut tasks = JoinSet::new();
    for id in objectives {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move {
            let mut times = Times::default();
            let mut priority = 0;
            while begin.elapsed() < time {
                priority += 1;
                let asked = Instant::now();
                let edit = objective::Edit { priority: Some(priority), ..objective::Edit::default() };
                let input = objective::Input::Edit(Box::new(edit));
                stage.orch.submit(id, Stimulus::Objective(input)).await?;
                times.add(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    finish(stage, tasks, before).await
}

/// Each caller makes objectives, one after another, and waits until each has succeeded.
async fn objectives(folder: &Path, work: Work, callers: usize, time: Duration) -> Result<Round> {
    let stage = Arc::new(match work {
        Work::Chain => Stage::pretended(folder, Arc::new(speaking())).await?,
        Work::Workflow => Stage::of_roles(folder).await?,
    });
    let before = Before::look(&stage);
    let begin = before.begin;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move {
            let mut times = Times::default();
            while begin.elapsed() < time {
                let asked = Instant::now();
                match work {
                    Work::Chain => stage.pipeline(STEPS).await?,
                    Work::Workflow => stage.workflow().await?,
                };
                times.add(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    finish(stage, tasks, before).await
}

/// How things stood when a round began.
struct Before {
    begin: Instant,
    written: orcha_store::Written,
    cpu: Duration,
}

impl Before {
    fn look(stage: &Stage) -> Self {
        Self { begin: Instant::now(), written: stage.orch.store().written(), cpu: processor::used() }
    }
}

async fn finish(stage: Arc<Stage>, mut tasks: JoinSet<Result<Times>>, before: Before) -> Result<Round> {
    let mut times = Times::default();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let took = before.begin.elapsed().as_secs_f64();
    let cpu = processor::used().saturating_sub(before.cpu);
    let after = stage.orch.store().written();
    Arc::into_inner(stage).context("the stage is still in use")?.close().await;
    Ok(Round {
        rate: times.len() as f64 / took,
        cpu: processor::each(cpu, times.len()),
        times,
        commits: (after.commits - before.written.commits) as f64 / took,
        groups: (after.transactions - before.written.transactions) as f64 / took,
    })
}

/// Sessions that write as fast as they are read; what counts is what is stored.
async fn lines(root: &Path, size: &Size) -> Result<Figure> {
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir_in(root)?;
        floor.push(floor::lines(folder.path(), WRITERS, AT_ONCE, size.floor_round).await?.rate);
        let folder = tempfile::tempdir_in(root)?;
        ours.push(transcripts(folder.path(), size.round).await?);
    }
    let what = format!("one SQLite writer thread in groups, FULL: {AT_ONCE} lines per transaction, numbered rows");
    Ok(Figure::new("transcript_lines", "transcript lines stored, 64 sessions", "1/s", &ours)
        .over(&what, &floor, &ours)
        .aim(Aim::ValueAtLeast { number: 20_000.0 }, size.judged))
}

async fn transcripts(folder: &Path, time: Duration) -> Result<f64> {
    let (go, going) = watch::channel(false);
    let stage = Stage::pretended(folder, Arc::new(writing(going))).await?;
    let mut sessions = Vec::new();
    for _ in 0..WRITERS {
        let id = started(&stage, 1).await?;
        sessions.extend(stage.orch.view(id, |world| world.sessions.keys().copied().collect::<Vec<_>>()).await?);
    }
    // All of them run before the first one writes.
    go.send_replace(true);
    let begin = Instant::now();
    let before = stored(&stage, &sessions).await?;
    tokio::time::sleep(time).await;
    let took = begin.elapsed().as_secs_f64();
    let after = stored(&stage, &sessions).await?;
    go.send_replace(false);
    stage.close().await;
    Ok((after - before) as f64 / took)
}

/// Counts the stored lines of sessions.
async fn stored(stage: &Stage, sessions: &[SessionId]) -> Result<i64> {
    let viewer = Viewer::of(TenantId::default());
    let mut all = 0;
    for session in sessions {
        let last = stage.orch.store().transcript(&viewer, *session, Span::Latest, 1).await?;
        all += last.last().map_or(0, |it| it.seq);
    }
    Ok(all)
}

/// Makes an objective of sessions that do not end, and waits until they run.
async fn started(stage: &Stage, sessions: usize) -> Result<ObjectiveId> {
    let mut journal = stage.orch.journal();
    let all = (0..sessions).map(|at| (NewSession::new(Role::Researcher, format!("Session {at}"), "Stay."), Vec::new()));
    let id = stage.begin(all.collect()).await?;
    loop {
        let running = |world: &orcha_plan::World| world.sessions.values().all(|it| it.state.name() == "running");
        if stage.orch.view(id, running).await? {
            return Ok(id);
        }
        // Lagging behind is as good as hearing something: it is looked again.
        drop(journal.recv().await);
    }
}

/// Agents that say a word and end their turn at once.
fn speaking() -> impl Runner {
    FakeRunner::new(|mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {
            agent.text("Done.");
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    })
}

/// Agents that hear and never end their turn.
fn listening() -> impl Runner {
    FakeRunner::new(|mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
}

/// Agents that write as fast as they are read, while they may.
fn writing(going: watch::Receiver<bool>) -> impl Runner {
    FakeRunner::new(move |mut agent: FakeAgent| {
        let mut going = going.clone();
        async move {
            agent.ready();
            drop(agent.hear().await);
            let line = "z".repeat(200);
            while going.wait_for(|going| *going).await.is_ok() {
                (0..AT_ONCE).for_each(|_| agent.text(line.clone()));
                tokio::task::yield_now().await;
            }
            ExitStatus::Code(0)
        }
    })
}

/// Runs pipelines for a while with nothing beside them: for profilers.
pub async fn profile(root: &Path, what: &str, seconds: f64) -> Result<String> {
    let folder = tempfile::tempdir_in(root)?;
    let time = Duration::from_secs_f64(seconds);
    if what == "transcripts" {
        return Ok(format!("transcripts: {:.0} lines/s", transcripts(folder.path(), time).await?));
    }
    let round = match what {
        "pipelines" => objectives(folder.path(), Work::Chain, 64, time).await?,
        "workflows" => objectives(folder.path(), Work::Workflow, 64, time).await?,
        "decisions" => decide(folder.path(), 64, time).await?,
        _ => {
            anyhow::bail!(
                "`{what}` cannot be profiled: expected `pipelines`, `workflows`, `decisions` or `transcripts`"
            )
        }
    };
    Ok(format!(
        "{what}: {:.0}/s, {:.0} commits/s in {:.0} transactions/s, {:.0} us of the processors each, p50 {:.2} ms, p99 {:.2} ms",
        round.rate,
        round.commits,
        round.groups,
        round.cpu,
        round.times.at(0.5),
        round.times.at(0.99)
    ))
}
