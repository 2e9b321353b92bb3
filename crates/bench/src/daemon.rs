//! The daemon under test: the real program in a process of its own, with a folder of its own.

use crate::http::Http;
use crate::sweep::sweep;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a daemon may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon that serves.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    program: PathBuf,
    work: PathBuf,
    /// The base address of its API.
    pub url: String,
    /// Its token.
    pub token: String,
    /// From the start of the process to the first answer of `/api/health`.
    pub began: Duration,
}

/// What a process holds, in megabytes of 10^6 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: f64,
    /// The most that it ever held.
    pub peak: f64,
}

impl Daemon {
    /// Starts the daemon on a data folder and waits until it has answered.
    pub async fn start(program: &Path, data: &Path, capacity: u32) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let log = std::fs::File::create(data.join("daemon.log"))?;
        let begin = Instant::now();
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--agent-permissions", "everything", "--data"])
            .arg(data)
            .args(["--capacity", &capacity.to_string(), "--max-concurrent", &capacity.to_string()]);
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("ORCHA_")) {
            command.env_remove(key);
        }
        let mut process = command
            .env("HOME", data)
            .env("XDG_CONFIG_HOME", data.join("config"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("IS_SANDBOX", "1")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let stdout = process.stdout.take().context("the daemon has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("the daemon did not begin")??;
        let Some(url) = line.as_deref().and_then(|it| it.strip_prefix("orchad serves on ")) else {
            let log = std::fs::read_to_string(data.join("daemon.log")).unwrap_or_default();
            bail!("the daemon did not serve: {}", log.trim_end());
        };
        let url = url.trim().to_owned();
        let token = std::fs::read_to_string(data.join("token")).context("the daemon left no token")?.trim().to_owned();
        Http::connect(&url, &token).await?.expect("GET", "/api/health", None).await?;
        Ok(Self { process, program: program.to_owned(), work: data.join("work"), url, token, began: begin.elapsed() })
    }

    /// Connects to it.
    pub async fn http(&self) -> Result<Http> {
        Http::connect(&self.url, &self.token).await
    }

    /// Says how much memory it holds.
    pub fn memory(&self) -> Result<Memory> {
        memory(self.process.id().context("the daemon has ended")?)
    }

    /// Kills it, and leaves its agents alone.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await.context("the daemon could not be killed")
    }

    /// Ends it as a user would, by its API, and then the agents that it left running.
    pub async fn stop(mut self) -> Result<()> {
        self.http().await?.expect("POST", "/api/shutdown", None).await?;
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(ended) => ended.map(drop).context("the daemon was lost")?,
            Err(_) => self.process.kill().await.context("the daemon did not end and could not be killed")?,
        }
        sweep(&self.program, &self.work).await
    }
}

/// Says how much memory a process holds.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(PathBuf::from("/proc").join(pid.to_string()).join("status"))
        .context("this system does not say how much memory a process holds")?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|it| it.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
    };
    let missing = || format!("no memory figures in /proc/{pid}/status");
    Ok(Memory { now: field("VmRSS:").with_context(missing)?, peak: field("VmHWM:").with_context(missing)? })
}
