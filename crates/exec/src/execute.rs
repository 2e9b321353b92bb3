//! A short command from its start to its end, with its whole process group.
//!
//! Nothing here outlives the call: whoever drops the future ends the group.

use crate::{Command, CommandError, ExitStatus, Output, ready};
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Where programs are looked up when the environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long a killed group leader may take to be gone before the caller gets its answer anyway.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// What is read from a pipe at most after the leader is gone: somebody may hold it open and write.
const DRAIN: usize = 1 << 20;

/// Runs a command to its end.
pub(crate) async fn execute(command: &Command) -> Result<Output, CommandError> {
    match execute_keeping(command, 0).await? {
        Ended { in_time: true, output } => Ok(output),
        Ended { in_time: false, .. } => {
            Err(CommandError::TimedOut { program: command.program.clone(), after: command.timeout })
        }
    }
}

/// A command that came to its end, or was brought to it.
#[derive(Debug)]
pub struct Ended {
    /// Whether it ended before its time was over. If not, it was killed.
    pub in_time: bool,
    /// What it printed, and how it ended.
    pub output: Output,
}

/// Runs a command to its end and keeps, beside the first bytes of each stream, this many of its last.
pub(crate) async fn execute_keeping(command: &Command, keep_end: usize) -> Result<Ended, CommandError> {
    let mut group = Group::spawn(command).map_err(|source| {
        let program = command.program.clone();
        // The system says the same of both.
        if source.kind() == io::ErrorKind::NotFound && !command.dir.is_dir() {
            CommandError::NoFolder { program, dir: command.dir.clone() }
        } else {
            CommandError::Spawn { program, source }
        }
    })?;
    let broke = |source| CommandError::Streams { program: command.program.clone(), source };
    let mut output = Sink::new(group.child.stdout.take().map(OwnedFd::from), command.keep, keep_end).map_err(broke)?;
    let mut error = Sink::new(group.child.stderr.take().map(OwnedFd::from), command.keep, keep_end).map_err(broke)?;
    let stdin = group.child.stdin.take().map(OwnedFd::from);

    let work = async {
        tokio::select! {
            // Reading all three at once, or a full pipe on one side would block the other.
            streams = async { tokio::try_join!(feed(stdin, &command.stdin), output.fill(), error.fill()) } => {
                streams?;
                group.over().await
            }
            over = group.over() => over,
        }
    };
    let in_time = match tokio::time::timeout(command.timeout, work).await {
        Ok(over) => {
            over.map_err(broke)?;
            true
        }
        Err(_) => {
            group.kill().map_err(broke)?;
            if tokio::time::timeout(LAST_BREATH, group.over()).await.is_err() {
                return Err(CommandError::TimedOut { program: command.program.clone(), after: command.timeout });
            }
            false
        }
    };
    // The leader is over but not reaped: its number still names its group and no other.
    group.kill().map_err(broke)?;
    output.drain().map_err(broke)?;
    error.drain().map_err(broke)?;
    let status = group.reap().map_err(broke)?;
    let truncated = output.truncated() || error.truncated();
    Ok(Ended { in_time, output: Output { status, truncated, stdout: output.whole(), stderr: error.whole() } })
}

/// Finds the file of a program on this machine in the `PATH` of an environment; the error names both.
pub fn find_program(program: &str, env: &[(String, String)]) -> io::Result<PathBuf> {
    let file = resolve(program, Path::new("/"), env)?;
    rustix::fs::access(&file, Access::EXEC_OK)
        .map_err(|fault| io::Error::new(io::Error::from(fault).kind(), format!("`{program}` is not a program")))?;
    Ok(file)
}

/// Finds the file of a program as `execvp` would, with the `PATH` of the environment it is to get.
///
/// With an absolute path the standard library spawns without forking, however large this process is.
pub(crate) fn resolve(program: &str, dir: &Path, env: &[(String, String)]) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(dir.join(program));
    }
    let path = env.iter().rev().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let mut denied = false;
    for folder in path.split(':').filter(|_| !program.is_empty()) {
        let file = dir.join(folder).join(program);
        if file.is_file() {
            if rustix::fs::access(&file, Access::EXEC_OK).is_ok() {
                return Ok(file);
            }
            denied = true;
        }
    }
    let kind = if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NotFound };
    Err(io::Error::new(kind, format!("`{program}` is not a program in PATH `{path}`")))
}

/// A process group with its unreaped leader. Dropping it kills the group.
struct Group {
    child: std::process::Child,
    /// Readable when the leader is over. Taken only when the group is dropped.
    handle: Option<AsyncFd<OwnedFd>>,
    reaped: bool,
}

impl Group {
    fn spawn(command: &Command) -> io::Result<Self> {
        let program = resolve(&command.program, &command.dir, &command.env)?;
        let mut child = std::process::Command::new(program)
            .arg0(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(command.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&command.dir)
            .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        match watch(&child) {
            Ok(handle) => Ok(Self { child, handle: Some(handle), reaped: false }),
            Err(error) => {
                kill_group(&child)?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Waits until the leader is over, without reaping it. Cancel-safe.
    async fn over(&self) -> io::Result<()> {
        if let Some(handle) = &self.handle {
            handle.readable().await?.retain_ready();
        }
        Ok(())
    }

    fn kill(&self) -> io::Result<()> {
        kill_group(&self.child)
    }

    /// Takes the status of a leader that is over.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = true;
        match (status.code(), status.signal()) {
            (Some(code), _) => Ok(ExitStatus::Code(code)),
            (None, Some(signal)) => Ok(ExitStatus::Signal(signal)),
            (None, None) => Err(io::Error::from(Errno::CHILD)),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if let Err(error) = self.kill() {
            tracing::warn!(%error, pid = self.child.id(), "an abandoned process group could not be killed: {error}");
        }
        reap_later(&mut self.child, self.handle.take());
    }
}

/// Leaves no zombie of a process that was told to die.
fn reap_later(child: &mut std::process::Child, handle: Option<AsyncFd<OwnedFd>>) {
    let pid = child.id();
    let report = move |error: io::Error| tracing::warn!(%error, pid, "process {pid} could not be reaped: {error}");
    match (child.try_wait(), handle, tokio::runtime::Handle::try_current()) {
        (Ok(Some(_)), _, _) => {}
        (Ok(None), Some(handle), Ok(runtime)) => {
            runtime.spawn(async move {
                let reaped = async {
                    handle.readable().await?.retain_ready();
                    // The standard handle is gone with its owner; the pidfd names the same process.
                    rustix::process::waitid(
                        rustix::process::WaitId::PidFd(handle.get_ref().as_fd()),
                        rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG,
                    )?;
                    io::Result::Ok(())
                };
                if let Err(error) = reaped.await {
                    report(error);
                }
            });
        }
        // Without a runtime nobody else could do it; it has been killed, so this is short.
        (Ok(None), _, _) => {
            if let Err(error) = child.wait() {
                report(error);
            }
        }
        (Err(error), _, _) => report(error),
    }
}

/// Opens a handle on a child that becomes readable when it is over.
pub(crate) fn watch(child: &std::process::Child) -> io::Result<AsyncFd<OwnedFd>> {
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    ready::register(handle, Interest::READABLE)
}

fn kill_group(leader: &std::process::Child) -> io::Result<()> {
    match rustix::process::kill_process_group(Pid::from_child(leader), Signal::KILL) {
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn feed(pipe: Option<OwnedFd>, bytes: &[u8]) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let pipe = ready::register(pipe, Interest::WRITABLE)?;
    let mut done = 0;
    while done < bytes.len() {
        let mut ready = pipe.writable().await?;
        match ready.try_io(|pipe| Ok(rustix::io::write(pipe, &bytes[done..])?)) {
            Ok(Ok(n)) => done += n,
            // It does not want to read the rest: its own affair.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
    Ok(())
}

/// Keeps the first bytes of a stream and the last ones, and drops those between.
struct Sink {
    pipe: Option<AsyncFd<OwnedFd>>,
    kept: Vec<u8>,
    keep: usize,
    end: VecDeque<u8>,
    keep_end: usize,
    dropped: u64,
}

impl Sink {
    fn new(pipe: Option<OwnedFd>, keep: usize, keep_end: usize) -> io::Result<Self> {
        let pipe = match pipe {
            Some(pipe) => {
                rustix::io::ioctl_fionbio(&pipe, true)?;
                Some(ready::register(pipe, Interest::READABLE)?)
            }
            None => None,
        };
        Ok(Self { pipe, kept: Vec::new(), keep, end: VecDeque::new(), keep_end, dropped: 0 })
    }

    /// Reads to the end of the stream. Cancel-safe: what was read is kept.
    async fn fill(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while let Some(pipe) = &self.pipe {
            let mut ready = pipe.readable().await?;
            match ready.try_io(|pipe| Ok(rustix::io::read(pipe, &mut *buffer)?)) {
                Ok(Ok(0)) => self.pipe = None,
                Ok(Ok(n)) => self.take(&buffer[..n]),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Reads what is in the pipe now.
    fn drain(&mut self) -> io::Result<()> {
        let Some(pipe) = self.pipe.take() else { return Ok(()) };
        let mut buffer = vec![0; 16 << 10];
        let mut drained = 0;
        while drained < DRAIN {
            match rustix::io::read(&pipe, &mut *buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(n) => {
                    self.take(&buffer[..n]);
                    drained += n;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = self.keep.saturating_sub(self.kept.len());
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        self.kept.extend_from_slice(first);
        self.end.extend(rest);
        let over = self.end.len().saturating_sub(self.keep_end);
        self.end.drain(..over);
        self.dropped += over as u64;
    }

    fn truncated(&self) -> bool {
        self.dropped > 0
    }

    /// Returns what was kept; where bytes are missing between two parts, a line says how many.
    fn whole(mut self) -> Vec<u8> {
        if self.dropped > 0 && self.keep_end > 0 {
            self.kept.extend_from_slice(format!("\n[… {} bytes left out …]\n", self.dropped).as_bytes());
        }
        self.kept.extend(self.end);
        self.kept
    }
}
