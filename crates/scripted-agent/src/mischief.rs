//! What agents do when they go wrong: they vanish, hang on, leave children behind and fill pipes.

use crate::input;
use crate::script::{Crash, Fork};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getpid, kill_process, setsid};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The hidden first argument of a process that leaves its parent.
pub(crate) const STRAY: &str = "--become-a-stray";

/// Ends this process at once.
pub(crate) fn crash(how: &Crash) -> Result<()> {
    match how {
        Crash::Exit(code) => std::process::exit(*code),
        Crash::Abort => std::process::abort(),
        Crash::Kill => kill_process(getpid(), Signal::KILL).context("killing myself"),
    }
}

/// Closes the pipe of standard output; what is written later goes nowhere.
pub(crate) fn close_output() -> Result<()> {
    let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere).context("closing standard output")
}

/// Starts children that leave: own session, and their parent is gone when this returns. Returns their ids.
pub(crate) fn fork(fork: &Fork, leading: &[String]) -> Result<Vec<i32>> {
    let mut strays = Vec::new();
    for _ in 0..fork.count {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(leading).args([STRAY, "leave", &fork.seconds.to_string()]);
        command.args(fork.ignore_signals.then_some("deaf")).args(fork.hold_output.then_some("holding"));
        // Its standard output tells the id; the output that it holds open for us is its standard input.
        command.stdout(Stdio::piped());
        if fork.hold_output {
            command.stdin(std::io::stdout().as_fd().try_clone_to_owned()?);
        } else {
            command.stdin(Stdio::null()).stderr(Stdio::null());
        }
        let mut child = command.spawn().context("starting a stray")?;
        let mut line = String::new();
        let output = child.stdout.take().context("a stray has no pipe")?;
        BufReader::new(output).read_line(&mut line)?;
        child.wait()?;
        match line.trim().parse() {
            Ok(pid) => strays.push(pid),
            Err(_) => bail!("a stray did not tell its id: `{}`", line.trim()),
        }
    }
    Ok(strays)
}

/// The life of a stray: first the one that leaves and starts another, then that other.
pub(crate) fn stray(words: &[String]) -> ExitCode {
    match live(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("stray: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn live(words: &[String]) -> Result<()> {
    let has = |word: &str| words.iter().any(|it| it == word);
    if has("leave") {
        setsid().context("leaving the session")?;
        let all: Vec<String> = std::env::args().skip(1).collect();
        let own = all.iter().position(|it| it == STRAY).context("not a stray")?;
        let rest = words.iter().filter(|it| *it != "leave");
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(&all[..=own]).args(rest).stdout(Stdio::piped()).spawn()?;
        let mut settled = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut settled)?;
        // Not waited for: we end, and it belongs to whoever collects orphans.
        println!("{}", child.id());
        return Ok(());
    }
    input::watch_signals(None)?;
    if has("deaf") && !["TERM", "INT", "HUP"].into_iter().all(input::ignore) {
        bail!("a signal cannot be ignored");
    }
    println!("settled");
    let seconds: u64 = words.iter().find_map(|it| it.parse().ok()).context("how long?")?;
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(())
}

/// Kills the process group of a command when it is dropped before its end.
pub(crate) struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// Takes the group of a child that leads one.
    pub(crate) fn of(child: Option<u32>) -> Self {
        Self { leader: child.and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw) }
    }

    /// Lets go of the group: its leader has ended.
    pub(crate) fn release(&mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader
            && let Err(fault) = rustix::process::kill_process_group(leader, Signal::KILL)
        {
            eprintln!("orcha-scripted-agent: killing a command: {fault}");
        }
    }
}
