//! Agents as real processes: from the request to the running process, and pipelines with a process per step.
//!
//! The agent is the scripted one, as the `claude` kind with another binary; the keeper is the daemon's own. The
//! floors start the very same program by `posix_spawn`, without keeper, run directory, journal or checkout.

use crate::daemon::Daemon;
use crate::figure::{Aim, Figure, Times};
use crate::http;
use crate::scale::Size;
use crate::stage::{STEPS, Stage};
use crate::sweep;
use anyhow::{Context, Result, bail, ensure};
use orcha_agent::claude::Claude;
use orcha_agent::{Dialect, HostedRunner, Launch, Permissions, Runner, Say};
use orcha_base::Timestamp;
use orcha_exec::{Grace, Host, RunLabel, RunSpec};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::Command;
use uuid::Uuid;

/// The script: one word, and the turn is over.
const SCRIPT: &str = r#"{"plays": [{"name": "worker", "turns": [{"on": "any", "steps": [{"say": "Done."}]}]}]}"#;
/// How long one objective may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures all of it.
pub async fn run(root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(root)?;
    let place = Place::make(folder.path(), program, SCRIPT)?;
    let mut figures = vec![starts(&place, size).await.context("starting runs")?];
    figures.extend(posts(&place, size).await.context("posting objectives")?);
    figures.push(pipelines(root, &place, size).await.context("pipelines with processes")?);
    Ok(figures)
}

/// What agents need: the program, its script, a home, and a repository.
pub struct Place {
    folder: PathBuf,
    program: PathBuf,
    script: PathBuf,
    origin: PathBuf,
}

impl Place {
    /// Makes what agents of this script need, in a folder.
    pub fn make(folder: &Path, program: &Path, script: &str) -> Result<Self> {
        let place = Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            script: folder.join("script.json"),
            origin: folder.join("origin.git"),
        };
        std::fs::write(&place.script, script)?;
        let first = folder.join("first");
        std::fs::create_dir(&first)?;
        for n in 0..20 {
            std::fs::write(first.join(format!("file-{n}.txt")), format!("{n}\n").repeat(100))?;
        }
        let origin = place.origin.display().to_string();
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", &origin])?;
        git(&first, &["init", "--quiet", "--initial-branch=main"])?;
        git(&first, &["add", "--all"])?;
        git(&first, &["commit", "--quiet", "--message=first"])?;
        git(&first, &["push", "--quiet", &origin, "HEAD:refs/heads/main"])?;
        Ok(place)
    }

    /// What is posted for an objective of one session in an empty folder.
    pub fn wish(&self) -> serde_json::Value {
        serde_json::json!({
            "prompt": "Do nothing.", "strategy": "direct", "agent": "claude", "agent_program": self.agent(),
        })
    }

    /// The words that start the agent.
    fn agent(&self) -> Vec<String> {
        let words = [self.program.display().to_string(), "scripted-agent".into(), "--script".into()];
        words.into_iter().chain([self.script.display().to_string()]).collect()
    }

    fn claude(&self) -> Claude {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let base_env = vec![("PATH".to_owned(), path), ("HOME".to_owned(), self.folder.display().to_string())];
        Claude { program: self.agent(), base_env }
    }

    /// What a launch of the agent starts.
    fn spec(&self) -> Result<RunSpec> {
        let launch = Launch {
            label: RunLabel::new(&Uuid::now_v7().to_string())?,
            dir: self.folder.clone(),
            program: None,
            model: None,
            effort: None,
            resume: None,
            begun: None,
            conversation: Uuid::now_v7().to_string(),
            mcp: None,
            permissions: Permissions::Everything,
            sandbox: Default::default(),
            rules: String::new(),
            opening: Some(Say::Prompt { key: Uuid::now_v7().to_string(), text: "Do nothing.".into() }),
            env: Vec::new(),
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        };
        Ok(self.claude().run_spec(&launch)?)
    }
}

fn git(dir: &Path, args: &[&str]) -> Result<()> {
    let output = std::process::Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Bench")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "bench@localhost")))
        .output()
        .context("git did not start; is it installed?")?;
    ensure!(output.status.success(), "git {args:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Starts the program of a run by hand; it reads its input as it comes.
fn by_hand(spec: &RunSpec) -> Result<tokio::process::Child> {
    Command::new(&spec.program)
        .args(&spec.args)
        .current_dir(&spec.dir)
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the agent could not be started by hand")
}

/// Gives the program its input, reads what it says, and waits for its end.
async fn converse(spec: &RunSpec, mut child: tokio::process::Child) -> Result<()> {
    let (mut stdin, mut stdout) = (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
    for line in &spec.input {
        stdin.write_all(format!("{}\n", line.text).as_bytes()).await?;
    }
    drop(stdin);
    let mut said = Vec::new();
    stdout.read_to_end(&mut said).await?;
    let status = child.wait().await?;
    ensure!(
        memchr::memmem::find(&said, b"\"result\"").is_some(),
        "the agent ended with {status} and without a result: {}",
        String::from_utf8_lossy(&said)
    );
    Ok(())
}

/// A run through the keeper, beside the same program started by hand.
async fn starts(place: &Place, size: &Size) -> Result<Figure> {
    let host = sweep::host(&place.program, &place.folder.join("starts"))?;
    let (mut floor, mut ours) = (Times::default(), Times::default());
    for _ in 0..size.posts {
        let spec = place.spec()?;
        let begin = Instant::now();
        let child = by_hand(&spec)?;
        floor.add(begin.elapsed());
        converse(&spec, child).await?;
        let spec = place.spec()?;
        let begin = Instant::now();
        let started = host.start(&spec).await?;
        ours.add(begin.elapsed());
        ensure!(started.fresh, "a run was there already");
        host.stop(&spec.label, Grace::QUICK).await?;
        host.forget(&spec.label).await?;
    }
    let p50 = [ours.at(0.5)];
    Ok(Figure::new("run_start", "run directory, keeper and agent started, median", "ms", &p50)
        .over("posix_spawn of the same agent, median", &[floor.at(0.5)], &p50)
        .detail("p99_ms", &[ours.at(0.99)])
        .detail("floor_p99_ms", &[floor.at(0.99)]))
}

/// From the request to the running agent, on the real daemon.
async fn posts(place: &Place, size: &Size) -> Result<Vec<Figure>> {
    let daemon = Daemon::start(&place.program, &place.folder.join("posts"), 8).await?;
    let mut figures = Vec::new();
    for (name, title, repo) in [
        ("post_to_running", "POST of an objective to its agent running, with a checkout", true),
        ("post_to_running_folder", "POST of an objective to its agent running, empty folder", false),
    ] {
        let mut steps = Steps::default();
        let mut floor = Times::default();
        let mut events = daemon.http().await?.listen("/api/stream").await?.lines();
        for n in 0..=size.posts {
            let spec = place.spec()?;
            let begin = Instant::now();
            let child = by_hand(&spec)?;
            let spawned = begin.elapsed();
            converse(&spec, child).await?;
            let seen = post(place, &daemon, &mut events, repo).await?;
            // The first one clones the mirror; it is told apart.
            if n == 0 {
                steps.first = seen.running;
            } else {
                floor.add(spawned);
                steps.add(&seen);
            }
        }
        let p50 = [steps.running.at(0.5)];
        figures.push(
            Figure::new(name, &format!("{title}, median"), "ms", &p50)
                .over("posix_spawn of the same agent, median", &[floor.at(0.5)], &p50)
                .detail("p99_ms", &[steps.running.at(0.99)])
                .detail("first_ms", &[steps.first])
                .detail("part_1_created_ms", &[steps.created.at(0.5)])
                .detail("part_2_placed_ms", &[steps.placed.at(0.5)])
                .detail("part_3_prepared_ms", &[steps.prepared.at(0.5)])
                .detail("part_4_launched_ms", &[steps.launched.at(0.5)])
                .detail("part_5_told_ms", &[steps.told.at(0.5)]),
        );
    }
    daemon.stop().await?;
    Ok(figures)
}

/// What one post came to, in milliseconds.
struct Seen {
    created: f64,
    placed: f64,
    prepared: f64,
    launched: f64,
    told: f64,
    running: f64,
}

#[derive(Default)]
struct Steps {
    first: f64,
    created: Times,
    placed: Times,
    prepared: Times,
    launched: Times,
    told: Times,
    running: Times,
}

impl Steps {
    fn add(&mut self, seen: &Seen) {
        self.created.add_ms(seen.created);
        self.placed.add_ms(seen.placed);
        self.prepared.add_ms(seen.prepared);
        self.launched.add_ms(seen.launched);
        self.told.add_ms(seen.told);
        self.running.add_ms(seen.running);
    }
}

/// Posts an objective, follows it by the event stream, and waits for its end.
async fn post(place: &Place, daemon: &Daemon, events: &mut Lines<BufReader<TcpStream>>, repo: bool) -> Result<Seen> {
    let mut wish = place.wish();
    if repo {
        wish["repo"] = place.origin.display().to_string().into();
    }
    let mut http = daemon.http().await?;
    let wish = wish.to_string();
    let posted = Timestamp::from(SystemTime::now());
    let answer = http.expect("POST", "/api/objectives", Some(&wish)).await?;
    let made: orcha_wire::CreatedObjective = serde_json::from_slice(&answer.body)?;
    let id = made.objective.id;
    let mut at: HashMap<String, Timestamp> = HashMap::new();
    let mut told = None;
    let followed = async {
        while let Some(line) = events.next_line().await? {
            let Some(event) = http::told(&line)?.filter(|it| it.objective_id == Some(id)) else { continue };
            let Some(decided) = event.created_at else { continue };
            if event.kind == "session_started" {
                told.get_or_insert_with(|| Timestamp::from(SystemTime::now()));
            }
            let over = event.kind.starts_with("objective_") && event.kind != "objective_created";
            at.entry(event.kind).or_insert(decided);
            if over {
                return anyhow::Ok(());
            }
        }
        bail!("the stream of events ended");
    };
    match tokio::time::timeout(PATIENCE, followed).await {
        Ok(followed) => followed?,
        Err(_) => bail!("an objective did not end; heard of it: {:?}", at.keys().collect::<Vec<_>>()),
    }
    let of = |kind: &str| at.get(kind).copied().with_context(|| format!("no `{kind}` was heard of"));
    let ms = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64() * 1000.0;
    let (created, placed) = (of("objective_created")?, of("session_placed")?);
    let (ready, started) = (of("workspace_ready")?, of("session_started")?);
    let told = told.context("the agent never ran")?;
    Ok(Seen {
        created: ms(posted, created),
        placed: ms(created, placed),
        prepared: ms(placed, ready),
        launched: ms(ready, started),
        told: ms(started, told),
        running: ms(posted, told),
    })
}

/// Pipelines whose steps are processes, beside the same processes started by hand.
async fn pipelines(root: &Path, place: &Place, size: &Size) -> Result<Figure> {
    let callers = size.process_callers;
    let (mut floor, mut ours, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds.min(3) {
        plain.push(rate(callers, size.floor_round, nothing).await?);
        let steps = rate(callers, size.process_round / 2, || async {
            let spec = place.spec()?;
            converse(&spec, by_hand(&spec)?).await
        });
        floor.push(steps.await? / STEPS as f64);
        let folder = tempfile::tempdir_in(root)?;
        let work = folder.path().join("work");
        let host: Arc<dyn Host> = Arc::new(sweep::host(&place.program, &work)?);
        let agents: Arc<dyn Runner> = Arc::new(HostedRunner::new(Arc::clone(&host), Arc::new(place.claude())));
        let stage = Stage::open(&folder.path().join("data"), host, agents).await?;
        let ran = rate(callers, size.process_round, || async { stage.pipeline(STEPS).await.map(drop) }).await;
        stage.close().await;
        sweep::sweep(&place.program, &work).await?;
        ours.push(ran?);
    }
    let title = format!("6-step pipelines with a process per step, {callers} at once");
    let what = "the spawn limit: the same agent, started by hand with the same prompt, as many at once, divided by 6";
    Ok(Figure::new("pipelines_process", &title, "1/s", &ours)
        .over(what, &floor, &ours)
        .aim(Aim::RatioAtLeast { number: 0.6 }, size.judged)
        .detail("true_spawns_per_second", &plain))
}

/// The least that a process can do.
async fn nothing() -> Result<()> {
    let status = Command::new("/bin/true").status().await?;
    ensure!(status.success(), "/bin/true failed");
    Ok(())
}

/// Does something again and again, so many at once; returns how often a second.
async fn rate<F: Future<Output = Result<()>>>(callers: usize, time: Duration, act: impl Fn() -> F) -> Result<f64> {
    let begin = Instant::now();
    let caller = async || {
        let mut done = 0_usize;
        while begin.elapsed() < time {
            act().await?;
            done += 1;
        }
        anyhow::Ok(done)
    };
    let done = futures::future::try_join_all((0..callers).map(|_| caller())).await?;
    Ok(done.iter().sum::<usize>() as f64 / begin.elapsed().as_secs_f64())
}
