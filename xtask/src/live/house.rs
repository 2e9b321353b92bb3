//! Where the tour takes place: a folder with a home, an origin and a data folder, the daemon, and one `orcha` that follows.
//!
//! It starts and ends processes, and reads what they write; what is right is for the tour to say.

use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a daemon may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder, and what runs in it. Everything ends with it.
pub struct House {
    bin: PathBuf,
    root: PathBuf,
    /// The bare repository that the tour works on.
    pub origin: PathBuf,
    own_home: bool,
    daemon: Option<Child>,
    follower: Option<Follower>,
}

struct Follower {
    process: Child,
    events: Receiver<String>,
    beside: Receiver<String>,
}

impl House {
    /// Makes the folder and the origin, whose greeter can only say hello.
    pub fn make(bin: &Path, own_home: bool) -> Result<Self> {
        let root = std::env::temp_dir().join(format!("orcha-live-{}", std::process::id()));
        let first = root.join("first");
        for dir in [&root.join("home"), &first] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let origin = root.join("greeter.git");
        let house = Self { bin: bin.to_owned(), root, origin, own_home, daemon: None, follower: None };
        let there = house.origin.display().to_string();
        house.git_in(&house.root, &["init", "--quiet", "--bare", "--initial-branch=main", &there])?;
        fs::write(first.join("greet.sh"), "#!/bin/sh\necho Hello\n")?;
        house.git_in(&first, &["init", "--quiet", "--initial-branch=main"])?;
        house.git_in(&first, &["add", "--all"])?;
        house.git_in(&first, &["commit", "--quiet", "--message=feat: greet"])?;
        house.git_in(&first, &["push", "--quiet", &there, "HEAD:refs/heads/main"])?;
        Ok(house)
    }

    /// Starts the daemon and waits until it serves.
    pub fn serve(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.root.join("daemon.log"))?;
        let mut command = self.command("orchad");
        command.args(["serve", "--listen", "127.0.0.1:0", "--agent-permissions", "everything"]);
        let mut daemon = command.stdout(Stdio::piped()).stderr(log).spawn().context("orchad did not start")?;
        let stdout = daemon.stdout.take().context("orchad has no output")?;
        self.daemon = Some(daemon);
        match lines(stdout).recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with("orchad serves on ") => Ok(()),
            Ok(line) => bail!("orchad said `{line}`"),
            Err(_) => bail!("orchad did not serve within {} s", PATIENCE.as_secs()),
        }
    }

    /// Runs a command of `orcha` to its end and returns what it printed.
    pub fn orcha(&self, args: &[&str]) -> Result<String> {
        let output = self.command("orcha").args(args).output().context("orcha did not start")?;
        let beside = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`orcha {}` ended with {}: {}", args.join(" "), output.status, beside.trim());
        ensure!(beside.is_empty(), "`orcha {}` also said: {}", args.join(" "), beside.trim());
        String::from_utf8(output.stdout).context("orcha printed something that is no text")
    }

    /// Runs a command of `orcha` that may also answer "something stops work", and returns what it printed.
    pub fn orcha_asks(&self, args: &[&str]) -> Result<String> {
        let output = self.command("orcha").args(args).output().context("orcha did not start")?;
        let beside = String::from_utf8_lossy(&output.stderr);
        let answered = matches!(output.status.code(), Some(0 | 1));
        ensure!(answered, "`orcha {}` ended with {}: {}", args.join(" "), output.status, beside.trim());
        String::from_utf8(output.stdout).context("orcha printed something that is no text")
    }

    /// Starts the command of `orcha` that goes on beside the others.
    pub fn follow(&mut self, args: &[String]) -> Result<()> {
        let mut command = self.command("orcha");
        let mut process = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let events = lines(process.stdout.take().context("orcha has no output")?);
        let beside = lines(process.stderr.take().context("orcha has no error stream")?);
        self.follower = Some(Follower { process, events, beside });
        Ok(())
    }

    /// Reads what the follower prints until something fits.
    pub fn until(&mut self, patience: Duration, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let follower = self.follower.as_ref().context("nothing is followed")?;
        let end = Instant::now() + patience;
        loop {
            match follower.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event = serde_json::from_str(&line).with_context(|| format!("this is no JSON: {line}"))?;
                    if fits(&event) {
                        return Ok(event);
                    }
                    ensure!(event["type"] != "summary", "the objective ended without {what}: {event}");
                }
                Err(RecvTimeoutError::Timeout) => bail!("{what} did not come within {} s", patience.as_secs()),
                Err(RecvTimeoutError::Disconnected) => {
                    let beside: Vec<String> = follower.beside.try_iter().collect();
                    bail!("orcha ended without {what}: {}", beside.join("; "));
                }
            }
        }
    }

    /// Waits until the follower said something on its error stream.
    pub fn was_said_beside(&self, words: &str, patience: Duration) -> Result<()> {
        let follower = self.follower.as_ref().context("nothing is followed")?;
        let end = Instant::now() + patience;
        loop {
            match follower.beside.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(words) => return Ok(()),
                Ok(_) => {}
                Err(_) => bail!("orcha run did not say `{words}`"),
            }
        }
    }

    /// Waits for the follower's end, which must be a good one.
    pub fn follower_succeeded(&mut self) -> Result<()> {
        let mut follower = self.follower.take().context("nothing is followed")?;
        let status = follower.process.wait()?;
        ensure!(status.success(), "orcha run ended with {status}");
        Ok(())
    }

    /// Kills the daemon as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        daemon.kill()?;
        daemon.wait().map(drop).context("the daemon was lost")
    }

    /// Waits for the daemon's end, which it was asked for.
    pub fn has_ended(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        let (told, ended) = channel();
        std::thread::spawn(move || told.send(daemon.wait()));
        let status = ended.recv_timeout(PATIENCE).context("the daemon did not end")??;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    /// Looks for processes that belong here, and grants them a moment: an agent's keeper ends after its last word.
    pub fn is_empty(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("still running: {}", left.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join(" | "));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs git in the origin.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        self.git_in(&self.origin, args)
    }

    /// Returns the command line of the agent that follows the tour's script.
    pub fn scripted_agent(&self) -> Vec<String> {
        let script = shell::root().join("fixtures/scripts/tour.json");
        let program = self.bin.join("orchad").display().to_string();
        [&program, "scripted-agent", "--script", &script.display().to_string()].map(str::to_owned).to_vec()
    }

    /// Returns the end of the daemon's log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.root.join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
    }

    /// Ends whatever still runs here, and removes the folder.
    pub fn clear(&mut self) -> Result<()> {
        if let Some(mut follower) = self.follower.take() {
            follower.process.kill()?;
            follower.process.wait()?;
        }
        if self.daemon.is_some() {
            self.kill()?;
        }
        for (process, _) in self.processes() {
            shell::ask(Command::new("kill").args(["-KILL", &process.to_string()]));
        }
        fs::remove_dir_all(&self.root).with_context(|| format!("cannot remove {}", self.root.display()))
    }

    /// Returns the processes whose command line or environment names the folder.
    fn processes(&self) -> Vec<(u32, String)> {
        let root = self.root.display().to_string();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|it| *it != std::process::id())
            .filter_map(|id| {
                // One that has just ended can no longer be read.
                let of = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
                let line = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ");
                let here = line.contains(&root) || String::from_utf8_lossy(&of("environ")).contains(&root);
                (here && !line.is_empty()).then_some((id, line))
            })
            .collect()
    }

    /// Prepares one of our programs, with an environment that has nothing of the caller's but the path.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(&self.root).stdin(Stdio::null());
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("ORCHA_")) {
            command.env_remove(key);
        }
        if self.own_home {
            command.env("HOME", self.root.join("home")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        command.env("ORCHA_DATA", self.root.join("data"));
        // As root, agents of this kind insist on being told that this is a sandbox.
        command.env("IS_SANDBOX", "1").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
        command
    }

    fn git_in(&self, dir: &Path, args: &[&str]) -> Result<String> {
        let who = ["AUTHOR", "COMMITTER"];
        let output = Command::new("git")
            .args(args)
            .current_dir(dir)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs(who.map(|it| (format!("GIT_{it}_NAME"), "Live")))
            .envs(who.map(|it| (format!("GIT_{it}_EMAIL"), "live@localhost")))
            .output()
            .context("git did not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {} failed: {}", args.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Reads a stream to its end, line by line, in a thread of its own.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}
