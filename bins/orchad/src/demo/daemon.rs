//! The demo's own daemon: a real process of the same program, as a user would start it.

use super::sample::Sample;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a daemon may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that serves.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    /// The base address of its API.
    pub url: String,
}

impl Daemon {
    /// Starts a daemon on a sample and waits until it serves.
    pub async fn start(sample: &Sample) -> Result<Self> {
        let myself = std::env::current_exe().context("the program does not know its own path")?;
        Self::start_as(&myself, sample).await
    }

    /// Starts a named program as the daemon.
    pub async fn start_as(program: &std::path::Path, sample: &Sample) -> Result<Self> {
        std::fs::create_dir_all(&sample.data)?;
        let log = File::options().create(true).append(true).open(sample.data.join("daemon.log"))?;
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--agent-permissions", "everything", "--data"])
            .arg(&sample.data)
            .env_remove("ORCHA_WORK_ROOT")
            .env("HOME", &sample.home)
            // As root, programs of this kind insist on being told that this is a sandbox.
            .env("IS_SANDBOX", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the daemon did not start")?;
        let stdout = process.stdout.take().context("the daemon has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => match line.strip_prefix("orchad serves on ") {
                Some(url) => Ok(Self { process, url: url.trim().to_owned() }),
                None => bail!("the daemon said something unexpected: {line}"),
            },
            Ok(Ok(None)) => {
                let log = std::fs::read_to_string(sample.data.join("daemon.log")).unwrap_or_default();
                bail!(
                    "the daemon ended before it served:\n{}",
                    log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
                )
            }
            Ok(Err(fault)) => Err(fault).context("the daemon's output broke"),
            Err(_) => bail!("the daemon did not serve within {} s", PATIENCE.as_secs()),
        }
    }

    /// Reads the daemon's token.
    pub fn token(sample: &Sample) -> Result<String> {
        Ok(std::fs::read_to_string(sample.data.join("token")).context("the daemon left no token")?.trim().to_owned())
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
