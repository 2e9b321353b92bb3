//! The keeper: the small process that is the session leader of one run and outlives the daemon.
//!
//! It starts the program once, forwards input records to it, copies its output to files, ends it with
//! every descendant, and writes down how it ended. It is plain and synchronous: one `poll` loop, fixed
//! buffers, no threads but for the moment in which a confined process is started. It takes no decision of its
//! own: everything it does is asked for by a file in the run directory or by the end of the program. It never
//! starts a second program for one directory.

mod confine;
mod feed;
mod tap;

use crate::record::{self, Durability, ExitRecord, FailRecord, ProcessRecord, SpecFile};
use crate::table::{self, Hunt, Identity};
use crate::{ExitStatus, Grace, cgroup, execute};
use feed::Feed;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
pub use tap::CUT_MARK;
use tap::Tap;

/// The run directory, seen from the keeper: it works there, so that a directory that was deleted and
/// made anew under the same name is never taken for its own.
const HERE: &str = ".";

/// How long the keeper goes on killing descendants that do not die before it reports them.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the keeper waits before it tries a full disk again: nothing tells when space is back.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(500);

/// Keeps one run until it is over.
///
/// The caller is a program that does nothing else: `orcha-keeper RUN_DIR`, or a subcommand of the daemon.
pub fn main(run_dir: &Path) -> ExitCode {
    match keep(run_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            // Nobody listens to this process; the file is for people, and its absence changes nothing.
            let text = format!("{}: {}\n", trouble.step, trouble.source);
            match fs::write(record::TROUBLE, text) {
                Ok(()) => ExitCode::from(1),
                Err(_) => ExitCode::from(2),
            }
        }
    }
}

/// What the keeper itself could not do.
struct Trouble {
    step: &'static str,
    source: io::Error,
}

/// Names the step that failed.
trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Trouble>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, Trouble> {
        self.map_err(|error| Trouble { step, source: error.into() })
    }
}

fn keep(run_dir: &Path) -> Result<(), Trouble> {
    const EARLIER: &str = "looking for an earlier keeper";
    std::env::set_current_dir(run_dir).step("entering the run directory")?;
    match rustix::process::setsid() {
        // EPERM: whoever started us made us a leader already.
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error).step("leaving the daemon's session"),
    }
    // A dump of an agent would hold its credentials. It may raise the limit again.
    let cores = rustix::process::getrlimit(Resource::Core);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), ..cores }).step("forbidding core dumps")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("becoming the subreaper")?;

    let lock = OpenOptions::new().write(true).open(record::LOCK).step("opening the lock")?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(()),
        Err(error) => return Err(error).step("taking the lock"),
    }
    let earlier = [
        record::read_json::<ProcessRecord>(Path::new(record::PROCESS)).step(EARLIER)?.is_some(),
        record::read_json::<FailRecord>(Path::new(record::FAILED)).step(EARLIER)?.is_some(),
        Path::new(record::EXIT).try_exists().step(EARLIER)?,
    ];
    if earlier.contains(&true) {
        return Ok(());
    }
    // Opened before anything is read: whatever is written from now on rings.
    let bell = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblock())
        .open(record::BELL)
        .step("opening the bell")?;
    let spec: SpecFile = record::read_json(Path::new(record::SPEC))
        .step("reading the spec")?
        .ok_or(Errno::NOENT)
        .step("reading the spec")?;

    match record::create_private(Path::new(record::STARTING), b"") {
        Ok(()) => {}
        // A keeper died after this point and before `process`: whatever it started got no input yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => end_leftovers(&spec)?,
        Err(error) => return Err(error).step("noting the start"),
    }

    match Keeper::start(spec, bell, lock.try_clone().step("holding the lock")?)? {
        Begun::Running(keeper) => keeper.serve()?,
        Begun::Failed(failed) => {
            let text = serde_json::to_vec(&failed).step("wording the failure")?;
            record::replace(Path::new(HERE), record::FAILED, &text, Durability::Cache).step("writing the failure")?;
        }
    }
    drop(lock);
    Ok(())
}

/// Ends what an earlier keeper of this run may have started.
fn end_leftovers(spec: &SpecFile) -> Result<(), Trouble> {
    if let Some(path) = &spec.cgroup {
        cgroup::kill(path).step("ending the leftovers of an earlier keeper")?;
    }
    let find = || {
        let mut rows = Vec::new();
        for row in table::rows()? {
            if row.alive && table::marked(row.identity.pid, record::MARK, &spec.mark)? {
                rows.push(row);
            }
        }
        Ok(rows)
    };
    let hunt = table::end(0, KILL_PATIENCE, find, || Ok(())).step("ending the leftovers of an earlier keeper")?;
    match hunt.left {
        0 => Ok(()),
        left => Err(io::Error::other(format!("{left} processes outlived KILL")))
            .step("ending the leftovers of an earlier keeper"),
    }
}

enum Begun {
    Running(Box<Keeper>),
    Failed(FailRecord),
}

/// The keeper of a program that runs.
struct Keeper {
    spec: SpecFile,
    child: Pid,
    handle: OwnedFd,
    cgroup: Option<PathBuf>,
    lock: File,
    bell: File,
    consumed: File,
    input: Feed,
    output: Tap,
    error: Tap,
    stopping: Option<Stopping>,
}

/// How far a stop has got.
struct Stopping {
    grace: Grace,
    phase: Phase,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Termed,
    Killed,
}

impl Stopping {
    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed => self.since.checked_add(self.grace.after_close),
            Phase::Termed => self.since.checked_add(self.grace.after_term),
            Phase::Killed => None,
        }
    }
}

impl Keeper {
    /// Starts the program and writes `process`.
    fn start(spec: SpecFile, bell: File, lock: File) -> Result<Begun, Trouble> {
        let failed = |detail: String| Ok(Begun::Failed(FailRecord { program: spec.program.clone(), detail }));
        if !spec.dir.is_dir() {
            return failed(format!("the working directory `{}` is not there", spec.dir.display()));
        }
        let program = match execute::resolve(&spec.program, &spec.dir, &spec.env) {
            Ok(program) => program,
            Err(error) => return failed(error.to_string()),
        };
        let append = |name| OpenOptions::new().append(true).create(true).mode(0o600).open(name);
        let output = append(record::OUTPUT).step("opening the output file")?;
        let error = append(record::ERROR).step("opening the error file")?;
        let log = File::open(record::INPUT).step("opening the input log")?;
        let consumed = File::open(record::CONSUMED).step("opening `consumed`")?;

        let (spawned, group) = within(spec.cgroup.as_deref(), || confine::spawn(&spec, &program))?;
        let (mut process, confinement) = match spawned {
            Ok(started) => started,
            Err(error) => {
                if let Some(path) = &group {
                    cgroup::remove(path).step("removing the unused cgroup")?;
                }
                return failed(error.to_string());
            }
        };
        let child = Pid::from_child(&process);
        offer_when_memory_ends(child);
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(Errno::BADF).step("taking the pipes");
        };
        // From here on a trouble ends the keeper, and with it the pipes; the host ends what is left.
        let handle = rustix::process::pidfd_open(child, PidfdFlags::empty()).step("opening the child")?;
        let facts = ProcessRecord {
            keeper: Identity::of(rustix::process::getpid().as_raw_nonzero().get()).step("reading our start time")?,
            child: Identity::of(child.as_raw_nonzero().get()).step("reading the child's start time")?,
            boot: table::boot_id().step("reading the boot id")?,
            cgroup: group.clone(),
            mark: spec.mark.clone(),
            confinement: Some(confinement),
        };
        let text = serde_json::to_vec(&facts).step("wording `process`")?;
        record::replace(Path::new(HERE), record::PROCESS, &text, Durability::Cache).step("writing `process`")?;

        Ok(Begun::Running(Box::new(Self {
            input: Feed::new(stdin.into(), log).step("preparing standard input")?,
            output: Tap::output(stdout.into(), output, spec.line_cap).step("preparing standard output")?,
            error: Tap::error(stderr.into(), error, spec.line_cap, spec.backlog_cap)
                .step("preparing standard error")?,
            spec,
            child,
            handle,
            cgroup: group,
            lock,
            bell,
            consumed,
            stopping: None,
        })))
    }

    /// Serves the run until it is over and `exit` is written. In trouble it ends the program first.
    fn serve(mut self) -> Result<(), Trouble> {
        // The daemon has its answer already, but the process gets no input before a power cut can no
        // longer make this run look as if it had never begun.
        let settled = when_there_is_space(|| record::settle(Path::new(HERE), record::PROCESS));
        let served = settled.step("flushing `process`").and_then(|()| self.until_exit());
        if served.is_err() {
            // Without its keeper the program would hang on full pipes; `exit` stays unwritten: lost.
            self.end_descendants()?;
            return served;
        }
        self.finish()
    }

    fn until_exit(&mut self) -> Result<(), Trouble> {
        self.look_around()?;
        loop {
            self.check_home()?;
            self.advance_stop()?;
            self.input.pump().step("forwarding input")?;
            let now = Instant::now();
            let disk_full = self.output.is_stuck() || self.error.is_stuck();
            let retry = disk_full.then(|| now + FULL_DISK_PAUSE);
            let deadline = self.stopping.as_ref().and_then(Stopping::deadline).into_iter().chain(retry).min();

            let output_open = if self.held_back()? { None } else { self.output.wants() };
            let error_open = self.error.wants();
            let mut polled = vec![PollFd::new(&self.handle, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
            let output_at = output_open.map(|fd| push(&mut polled, PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let error_at = error_open.map(|fd| push(&mut polled, PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            if let Some(fd) = self.input.wants() {
                push(&mut polled, PollFd::from_borrowed_fd(fd, PollFlags::OUT));
            }
            let timeout = deadline.map(table::until);
            match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).step("waiting"),
            }
            let ready = |at: usize| !polled[at].revents().is_empty();
            let (over, rang) = (ready(0), ready(1));
            let (output_ready, error_ready) = (output_at.is_some_and(ready), error_at.is_some_and(ready));

            if rang {
                self.look_around()?;
            }
            if output_ready || self.output.is_stuck() {
                self.output.pump().step("copying standard output")?;
            }
            if error_ready || self.error.is_stuck() {
                self.error.pump().step("copying standard error")?;
            }
            if over {
                return Ok(());
            }
        }
    }

    /// Makes sure that the run directory was not deleted: nobody could read, stop or find such a run again, and
    /// a second one may be started in its place.
    fn check_home(&self) -> Result<(), Trouble> {
        const STEP: &str = "looking at the lock";
        match self.lock.metadata().step(STEP)?.nlink() {
            0 => Err(Errno::NOENT).step("finding the run directory"),
            _ => Ok(()),
        }
    }

    /// Looks at everything that the daemon may have written since the bell was last heard.
    fn look_around(&mut self) -> Result<(), Trouble> {
        let mut rings = [0; 512];
        loop {
            match self.bell.read(&mut rings) {
                Ok(n) if n == rings.len() => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).step("hearing the bell"),
            }
        }
        self.input.more();
        if Path::new(record::INPUT_END).try_exists().step("looking for the end of input")? {
            self.input.end();
        }
        if let Some(grace) = record::read_json::<Grace>(Path::new(record::STOP)).step("reading `stop`")? {
            match &mut self.stopping {
                Some(stopping) => {
                    // A second stop may only be more urgent.
                    stopping.grace.after_close = stopping.grace.after_close.min(grace.after_close);
                    stopping.grace.after_term = stopping.grace.after_term.min(grace.after_term);
                }
                None => {
                    self.input.close();
                    self.stopping = Some(Stopping { grace, phase: Phase::Closed, since: Instant::now() });
                }
            }
        }
        Ok(())
    }

    /// Tells whether output has run too far ahead of what the daemon has stored.
    fn held_back(&self) -> Result<bool, Trouble> {
        let ahead_of = |consumed| self.output.written().saturating_sub(consumed) > self.spec.backlog_cap;
        if !ahead_of(0) {
            return Ok(false);
        }
        let mut text = [0; 20];
        match self.consumed.read_exact_at(&mut text, 0) {
            Ok(()) => {}
            // It is being written; the bell follows.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => return Err(error).step("reading `consumed`"),
        }
        let consumed = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        Ok(consumed.is_none_or(ahead_of))
    }

    /// Takes the next step of a stop when its time has come.
    fn advance_stop(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        let Some(stopping) = &mut self.stopping else { return Ok(()) };
        while stopping.deadline().is_some_and(|deadline| deadline <= now) {
            stopping.since = now;
            match stopping.phase {
                Phase::Closed => {
                    stopping.phase = Phase::Termed;
                    signal_group(self.child, Signal::TERM).step("sending TERM")?;
                    // One that was halted hears nothing before it goes on.
                    signal_group(self.child, Signal::CONT).step("sending CONT")?;
                }
                Phase::Termed => {
                    stopping.phase = Phase::Killed;
                    signal_group(self.child, Signal::KILL).step("sending KILL")?;
                    if let Some(path) = &self.cgroup {
                        cgroup::kill(path).step("killing the cgroup")?;
                    }
                }
                Phase::Killed => {}
            }
        }
        Ok(())
    }

    /// Ends what is left, empties the pipes, and writes `exit`.
    fn finish(mut self) -> Result<(), Trouble> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let ended = rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), options).step("reading the status")?;
        let ended = ended.ok_or(Errno::CHILD).step("reading the status")?;
        let status = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, Some(signal)) => ExitStatus::Signal(signal),
            (None, None) => return Err(Errno::CHILD).step("reading the status"),
        };
        let hunt = self.end_descendants()?;
        // Nobody is left to write, so what the pipes hold now is all there will ever be.
        for (tap, step) in [(&mut self.output, "copying the last output"), (&mut self.error, "copying the last errors")]
        {
            tap.drain().step(step)?;
            when_there_is_space(|| tap.flush()).step(step)?;
        }
        if let Some(path) = &self.cgroup {
            cgroup::remove(path).step("removing the cgroup")?;
        }
        let facts = ExitRecord { status, strays: hunt.strays.len(), left: hunt.left };
        let text = serde_json::to_vec(&facts).step("wording `exit`")?;
        when_there_is_space(|| record::replace(Path::new(HERE), record::EXIT, &text, Durability::Disk))
            .step("writing `exit`")
    }

    /// Ends the process group, the cgroup, and every other descendant.
    ///
    /// As the subreaper this process is an ancestor of all of them for as long as they live: when it has
    /// no child any more, none is left.
    fn end_descendants(&mut self) -> Result<Hunt, Trouble> {
        const STEP: &str = "ending the descendants";
        // The child is not reaped yet, so its number still names its group and no other.
        signal_group(self.child, Signal::KILL).step(STEP)?;
        let me = Identity::of(rustix::process::getpid().as_raw_nonzero().get()).step(STEP)?;
        let group = self.child.as_raw_nonzero().get();
        let find = || if reap()? { Ok(table::descendants(&table::rows()?, me)) } else { Ok(Vec::new()) };
        let mut hunt = table::end(group, KILL_PATIENCE, find, || Ok(())).step(STEP)?;
        if let Some(path) = &self.cgroup {
            cgroup::kill(path).step(STEP)?;
            if !cgroup::wait_empty(path, Instant::now() + KILL_PATIENCE).step(STEP)? {
                hunt.left = hunt.left.max(cgroup::members(path).step(STEP)?.len());
            }
        }
        Ok(hunt)
    }
}

/// Reaps every child that has ended, and tells whether there are others.
fn reap() -> io::Result<bool> {
    loop {
        match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(true),
            Err(Errno::CHILD) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Lets the kernel take the agent before anybody else when memory ends: without its keeper a run is lost,
/// and without the daemon all wait. What it starts from now on inherits this.
fn offer_when_memory_ends(child: Pid) {
    match fs::write(format!("/proc/{}/oom_score_adj", child.as_raw_nonzero()), "300") {
        // Where it cannot be said the run is kept all the same.
        Ok(()) | Err(_) => {}
    }
}

fn signal_group(leader: Pid, signal: Signal) -> io::Result<()> {
    match rustix::process::kill_process_group(leader, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        // Somebody in it changed the user; the others got the signal.
        Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs `spawn` inside a new cgroup, and returns that cgroup if there is one.
fn within<T>(path: Option<&Path>, spawn: impl FnOnce() -> T) -> Result<(T, Option<PathBuf>), Trouble> {
    let Some(path) = path else { return Ok((spawn(), None)) };
    let entered = cgroup::own().and_then(|origin| match origin {
        None => Ok(None),
        Some(origin) => {
            cgroup::make(path)?;
            cgroup::enter(path)?;
            Ok(Some(origin))
        }
    });
    match entered {
        Ok(Some(origin)) => {
            let spawned = spawn();
            // Inside, we would die by our own `cgroup.kill` before `exit` is written.
            cgroup::enter(&origin).step("leaving the cgroup of the process")?;
            Ok((spawned, Some(path.to_owned())))
        }
        // No right to it after all: the subreaper serves as well, and `process` says so.
        Ok(None) | Err(_) => Ok((spawn(), None)),
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> usize {
    list.push(item);
    list.len() - 1
}

/// Repeats a write that found the disk full until there is space.
fn when_there_is_space(mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match write() {
            Err(error) if record::is_full(&error) => std::thread::sleep(FULL_DISK_PAUSE),
            other => return other,
        }
    }
}

fn nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits().cast_signed()
}
