//! Sessions that run: what each of them costs the daemon in memory, and what it costs to take them up again after the
//! daemon was killed.
//!
//! Real agents as real processes. Each says a word, waits, says another one while no daemon is there to hear it, and
//! ends its turn: it is taken up again when that word and that end are stored.

use crate::agents::Place;
use crate::daemon::{Daemon, memory};
use crate::figure::{Aim, Figure};
use crate::floor;
use crate::http;
use crate::lists;
use crate::scale::Size;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the agents say at last.
const LAST_WORDS: &str = "Nobody heard this.";

/// Measures memory and the way back.
pub async fn run(root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    let mut rounds = Rounds::default();
    for _ in 0..size.footprint_rounds {
        let folder = tempfile::tempdir_in(root)?;
        round(folder.path(), program, size.running, &mut rounds).await?;
    }
    let n = size.running;
    Ok(vec![
        Figure::new("running_rss", &format!("daemon's memory with {n} sessions running"), "MB", &rounds.all)
            .aim(Aim::ValueAtMost { number: 120.0 }, size.judged_size)
            .detail("with_none_mb", &rounds.none)
            .detail("with_one_mb", &rounds.one)
            .detail("each_more_kb", &rounds.each)
            .detail("keeper_mb", &rounds.keeper),
        Figure::new(
            "adopt_serving",
            &format!("killed with {n} sessions running: start to first answer"),
            "ms",
            &rounds.serving,
        )
        .over(lists::VERSION, &rounds.version, &rounds.serving)
        .aim(Aim::ValueAtMost { number: 300.0 }, size.judged_size),
        Figure::new(
            "adopt_all",
            &format!("start until all {n} are taken up and what they said is stored"),
            "ms",
            &rounds.adopted,
        )
        .over("the same output read and stored by hand, one transaction each, FULL", &rounds.by_hand, &rounds.adopted)
        .detail("each_ms", &rounds.adopted.iter().map(|it| it / n as f64).collect::<Vec<_>>()),
    ])
}

#[derive(Default)]
struct Rounds {
    none: Vec<f64>,
    one: Vec<f64>,
    all: Vec<f64>,
    each: Vec<f64>,
    keeper: Vec<f64>,
    version: Vec<f64>,
    serving: Vec<f64>,
    adopted: Vec<f64>,
    by_hand: Vec<f64>,
}

async fn round(folder: &Path, program: &Path, running: usize, rounds: &mut Rounds) -> Result<()> {
    let gate = folder.join("gate");
    // As long as this is locked, the agents wait.
    let closed = File::create(&gate)?;
    closed.lock()?;
    let place = Place::make(folder, program, &script(&gate))?;
    let data = folder.join("data");
    let capacity = u32::try_from(running * 2)?;
    let daemon = Daemon::start(program, &data, capacity).await?;
    let mut events = daemon.http().await?.listen("/api/stream").await?.lines();
    rounds.none.push(daemon.memory()?.now);
    begin(&place, &daemon, 1).await?;
    heard(&mut events, "session_started", 1).await?;
    let one = daemon.memory()?.now;
    rounds.one.push(one);
    begin(&place, &daemon, running - 1).await?;
    heard(&mut events, "session_started", running - 1).await?;
    let all = daemon.memory()?.now;
    rounds.all.push(all);
    rounds.each.push((all - one) * 1000.0 / (running - 1) as f64);
    rounds.keeper.push(keeper(&data)?);

    daemon.kill().await?;
    closed.unlock()?;
    let outputs = all_said(&data.join("work").join(".orcha").join("runs"), running).await?;
    rounds.by_hand.push(floor::read_and_store(folder, &outputs)?.as_secs_f64() * 1000.0);
    rounds.version.push(lists::version(program).await?);

    let begin = Instant::now();
    let daemon = Daemon::start(program, &data, capacity).await?;
    rounds.serving.push(daemon.began.as_secs_f64() * 1000.0);
    let mut events = daemon.http().await?.listen("/api/stream?after=0").await?.lines();
    heard(&mut events, "session_succeeded", running).await?;
    rounds.adopted.push(begin.elapsed().as_secs_f64() * 1000.0);
    daemon.stop().await
}

/// What agents do: the lock is waited for by a program of the system.
fn script(gate: &Path) -> String {
    let wait = serde_json::json!({"run": {"argv": ["flock", "--shared", gate, "true"]}});
    let steps = serde_json::json!([{"say": "Here."}, wait, {"say": LAST_WORDS}]);
    serde_json::json!({"plays": [{"name": "worker", "turns": [{"on": "any", "steps": steps}]}]}).to_string()
}

/// Posts objectives of one session each, in empty folders.
async fn begin(place: &Place, daemon: &Daemon, objectives: usize) -> Result<()> {
    let mut http = daemon.http().await?;
    for _ in 0..objectives {
        http.expect("POST", "/api/objectives", Some(&place.wish().to_string())).await?;
    }
    Ok(())
}

/// Waits until so many events of a kind were told.
async fn heard(events: &mut Lines<BufReader<TcpStream>>, kind: &str, of: usize) -> Result<()> {
    let mut seen = 0;
    let counted = async {
        while seen < of {
            let line = events.next_line().await?.context("the stream of events ended")?;
            let Some(event) = http::told(&line)? else { continue };
            if event.kind == kind {
                seen += 1;
            } else if event.kind == "session_failed" || event.kind == "session_canceled" {
                bail!("an agent did not do what its script says: {line}");
            }
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, counted).await {
        Ok(counted) => counted,
        Err(_) => bail!("only {seen} of {of} times `{kind}` was heard"),
    }
}

/// Waits until each run has said its last words, with no daemon there, and returns where they stand.
async fn all_said(runs: &Path, of: usize) -> Result<Vec<PathBuf>> {
    let begin = Instant::now();
    loop {
        let outputs = std::fs::read_dir(runs)?.map(|it| Ok(it?.path().join("output"))).collect::<Result<Vec<_>>>()?;
        let said = |it: &&PathBuf| {
            std::fs::read(it).is_ok_and(|it| memchr::memmem::find(&it, LAST_WORDS.as_bytes()).is_some())
        };
        if outputs.iter().filter(said).count() == of {
            return Ok(outputs);
        }
        if begin.elapsed() > PATIENCE {
            bail!("not all agents went on while no daemon was there");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says what one keeper holds in memory: the median, in megabytes.
fn keeper(data: &Path) -> Result<f64> {
    let data = data.display().to_string();
    let mut held = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let Ok(pid) = process?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Whatever ended meanwhile is none.
        let Ok(words) = std::fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(" keeper ") && words.contains(&data) {
            held.push(memory(pid)?.now);
        }
    }
    Ok(crate::figure::spread(&held).0)
}
