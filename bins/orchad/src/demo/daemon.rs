//! The demo's own daemon: a real process of the same program, as a user would start it.
//!
//! It ends with whoever holds it; its agents do not.

use super::sample::Sample;
use anyhow::{Context, Result, bail};
use orcha_exec::{Grace, Host, LocalHost, LocalSettings};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a daemon may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that was started and did not say yet that it serves.
#[derive(Debug)]
pub struct Starting {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// A daemon that serves.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    /// The base address of its API.
    pub url: String,
}

impl Starting {
    /// Waits until it serves.
    pub async fn serving(mut self) -> Result<Daemon> {
        match tokio::time::timeout(PATIENCE, self.said.next_line()).await {
            Ok(Ok(Some(line))) => match line.strip_prefix("orchad serves on ") {
                Some(url) => Ok(Daemon { process: self.process, url: url.trim().to_owned() }),
                None => bail!("the daemon said something unexpected: {line}"),
            },
            Ok(Ok(None)) => bail!("the daemon ended before it served:\n{}", last_words(&self.log, 20)),
            Ok(Err(fault)) => Err(fault).context("the daemon's output broke"),
            Err(_) => bail!("the daemon did not serve within {} s", PATIENCE.as_secs()),
        }
    }

    /// Kills it on its way up.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await.context("the daemon could not be killed")
    }
}

impl Daemon {
    /// Starts a daemon on a sample and waits until it serves.
    pub async fn start(sample: &Sample) -> Result<Self> {
        let myself = std::env::current_exe().context("the program does not know its own path")?;
        Self::start_as(&myself, sample).await
    }

    /// Starts a named program as the daemon and waits until it serves.
    pub async fn start_as(program: &Path, sample: &Sample) -> Result<Self> {
        Self::spawn(program, sample)?.serving().await
    }

    /// Starts a named program as the daemon.
    pub fn spawn(program: &Path, sample: &Sample) -> Result<Starting> {
        std::fs::create_dir_all(&sample.data)?;
        let log = sample.log();
        let mut start = Command::new(program);
        if let Some(folder) = &sample.programs {
            let usual = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&usual));
            let path = std::env::join_paths(folders).context("a folder of programs cannot stand in PATH")?;
            start.env_clear().env("PATH", path).env("LANG", "C.UTF-8");
        }
        let mut process = start
            .args(["serve", "--listen", "127.0.0.1:0", "--agent-permissions", "everything", "--data"])
            .arg(&sample.data)
            .env_remove("ORCHA_WORK_ROOT")
            .env("HOME", &sample.home)
            // As root, programs of this kind insist on being told that this is a sandbox.
            .env("IS_SANDBOX", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("the daemon did not start")?;
        let stdout = process.stdout.take().context("the daemon has no output")?;
        Ok(Starting { process, said: BufReader::new(stdout).lines(), log })
    }

    /// Reads the daemon's token.
    pub fn token(sample: &Sample) -> Result<String> {
        Ok(std::fs::read_to_string(sample.data.join("token")).context("the daemon left no token")?.trim().to_owned())
    }

    /// Returns its process id, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Kills the daemon as a power cut would: no warning, no farewell.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("the daemon could not be killed")
    }

    /// Stops the daemon as a user would.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.process.id() {
            let pid = i32::try_from(pid).context("an odd process id")?;
            let kill = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status()?;
            if !kill.success() {
                bail!("the daemon could not be told to stop");
            }
        }
        match tokio::time::timeout(Duration::from_secs(15), self.process.wait()).await {
            Ok(ended) => ended.map(drop).context("the daemon was lost"),
            Err(_) => self.kill().await,
        }
    }

    /// Waits until the daemon ends by itself.
    pub async fn wait(&mut self) -> Result<()> {
        self.process.wait().await.map(drop).context("the daemon was lost")
    }
}

/// Ends every run that a daemon left behind: agents outlive it, but not the demo.
pub async fn end_runs(sample: &Sample) -> Result<()> {
    let work_root = sample.data.join("work");
    if !work_root.is_dir() {
        return Ok(());
    }
    // Nothing is started here, so no keeper is needed.
    let host = LocalHost::new(LocalSettings::detect(&work_root, Vec::new())).context("the runs cannot be seen")?;
    for run in host.runs().await.context("the runs cannot be listed")? {
        host.stop(&run.label, Grace::QUICK).await.with_context(|| format!("the run {} did not end", run.label))?;
    }
    Ok(())
}

/// Returns the last lines of a log, oldest first.
pub fn last_words(log: &Path, lines: usize) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(fault) => format!("{} could not be read: {fault}", log.display()),
    };
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
