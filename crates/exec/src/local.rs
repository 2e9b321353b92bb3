//! Runs on this machine.
//!
//! The host writes the files of a run directory, starts keepers and waits for what they write. It never
//! touches the process of a run while its keeper lives. File work happens off the async threads; waiting
//! is by the kernel's notices (inotify, pidfd), never by a timer.

use crate::hunt;
use crate::record;
use crate::rundir::{self, Ledger, RunDir, Step, View};
use crate::sandbox;
use crate::table::{self, Identity};
use crate::watch::{Subscription, Watcher};
use crate::{
    Chunk, Command, CommandError, DEFAULT_PATH, Grace, Host, InputLine, Isolation, Offer, Output, RunError, RunLabel,
    RunReport, RunSpec, RunState, Seen, Sent, Started, Stopped, Stream, cgroup, execute, ready,
};
use async_trait::async_trait;
use rustix::process::Signal;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long a keeper may take to report the process or the failure.
const REPORT_LIMIT: Duration = Duration::from_secs(10);

const STOP_SLACK: Duration = Duration::from_secs(15);

/// A half made directory that is older belongs to a dead daemon.
const SWEEP_AGE: Duration = Duration::from_secs(3600);

/// How runs are kept on this machine.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// The folder below which everything of ours lies; absolute.
    pub work_root: PathBuf,
    /// The program that keeps a run, absolute, and its leading arguments; the run directory follows.
    pub keeper: Vec<String>,
    /// A folder in cgroup version 2 below which each run gets a cgroup of its own. Without it the keeper
    /// finds descendants as their subreaper.
    pub cgroup_parent: Option<PathBuf>,
    /// What a keeper may take beyond the grace of a stop to kill, flush and write down the end. After
    /// that it is killed and the host does its work.
    pub stop_slack: Duration,
    /// Where programs of ours are looked up.
    pub search_path: String,
}

impl LocalSettings {
    /// Uses cgroups where this machine lets us make and kill them.
    pub fn detect(work_root: impl Into<PathBuf>, keeper: Vec<String>) -> Self {
        Self {
            work_root: work_root.into(),
            keeper,
            cgroup_parent: cgroup::detect(),
            stop_slack: STOP_SLACK,
            search_path: DEFAULT_PATH.to_owned(),
        }
    }
}

/// This machine as a host. Clones share everything.
#[derive(Clone, Debug)]
pub struct LocalHost {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: LocalSettings,
    runs: PathBuf,
    memos: Mutex<HashMap<RunLabel, Arc<Memo>>>,
    watcher: Mutex<Option<Arc<Watcher>>>,
    bubblewrap: sandbox::Shown,
}

/// What the host remembers of a run; all of it can be read from the directory again.
#[derive(Debug, Default)]
struct Memo {
    /// Held while the directory is made or removed, or its input log is written.
    ledger: Arc<tokio::sync::Mutex<Ledger>>,
    /// The handle of the keeper, readable when it is gone.
    keeper: Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
    told: Arc<Mutex<Told>>,
}

/// What was last said about stored output.
#[derive(Clone, Copy, Debug, Default)]
enum Told {
    /// Nothing by this daemon.
    #[default]
    Nothing,
    UpTo {
        offset: u64,
        backlog_cap: u64,
    },
}

impl LocalHost {
    /// Makes the host; the work folder is created when the first run needs it.
    pub fn new(settings: LocalSettings) -> io::Result<Self> {
        if !settings.work_root.is_absolute() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the work folder must be absolute"));
        }
        let runs = settings.work_root.join(".orcha").join("runs");
        rundir::sweep(&runs, SWEEP_AGE)?;
        if let Some(parent) = &settings.cgroup_parent {
            cgroup::make(parent)?;
        }
        let inner = Inner {
            settings,
            runs,
            memos: Mutex::default(),
            watcher: Mutex::default(),
            bubblewrap: sandbox::Shown::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn dir(&self, label: &RunLabel) -> RunDir {
        RunDir::new(&self.inner.runs, label)
    }

    fn memo(&self, label: &RunLabel) -> Arc<Memo> {
        Arc::clone(lock(&self.inner.memos).entry(label.clone()).or_default())
    }

    fn watcher(&self) -> io::Result<Arc<Watcher>> {
        let mut slot = lock(&self.inner.watcher);
        if let Some(watcher) = &*slot {
            return Ok(Arc::clone(watcher));
        }
        let names = &[record::OUTPUT, record::ERROR, record::PROCESS, record::FAILED, record::EXIT];
        let watcher = Arc::new(Watcher::new(names)?);
        *slot = Some(Arc::clone(&watcher));
        Ok(watcher)
    }

    fn subscribe(&self, dir: &RunDir) -> Result<Subscription, RunError> {
        match self.watcher().and_then(|watcher| watcher.subscribe(&dir.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RunError::Absent { label: dir.label.clone() }),
            other => other.step(&dir.label, "watching the directory"),
        }
    }

    async fn view(&self, dir: &RunDir) -> Result<View, RunError> {
        let at = dir.clone();
        blocking(&dir.label, move || at.view()).await
    }

    /// Starts a keeper in a complete directory; the task that is returned reaps it.
    fn spawn_keeper(&self, dir: &RunDir) -> io::Result<Keeper> {
        let (program, leading) = self
            .inner
            .settings
            .keeper
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no keeper program is set"))?;
        // No closure and no user change: the standard library spawns without forking this process.
        let mut child = std::process::Command::new(program)
            .args(leading)
            .arg(&dir.path)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = child.id();
        let handle = execute::watch(&child);
        let over = tokio::spawn(async move {
            if let Ok(handle) = handle
                && let Ok(mut ready) = handle.readable().await
            {
                ready.retain_ready();
                return child.wait();
            }
            // No handle to wait on, so a thread does; out of descriptors, most likely.
            tokio::task::spawn_blocking(move || child.wait()).await.map_err(io::Error::other)?
        });
        Ok(Keeper { pid, over })
    }

    /// Waits until the keeper has reported, and says what.
    async fn await_report(&self, dir: &RunDir, changes: &mut Subscription, keeper: Keeper) -> Result<View, RunError> {
        let Keeper { mut over, .. } = keeper;
        let mut ended = None;
        let reported = async {
            loop {
                match self.view(dir).await? {
                    View::Made => {}
                    view => return Ok(view),
                }
                if let Some(status) = ended.take() {
                    // Not by losing the lock to another keeper: that is a success, and the other reports.
                    let detail = format!("the keeper itself ended with {status}");
                    let program = self.inner.settings.keeper.join(" ");
                    return Err(RunError::Spawn { label: dir.label.clone(), program, detail });
                }
                tokio::select! {
                    () = changes.changed() => {}
                    status = &mut over => {
                        let status = status.map_err(io::Error::other).and_then(|status| status);
                        let status = status.step(&dir.label, "waiting for the keeper")?;
                        if status.success() {
                            return self.await_other(dir, changes).await;
                        }
                        ended = Some(status);
                    }
                }
            }
        };
        match tokio::time::timeout(REPORT_LIMIT, reported).await {
            Ok(view) => view,
            Err(_) => Err(RunError::Silent { label: dir.label.clone(), after: REPORT_LIMIT }),
        }
    }

    /// Waits for the report of a keeper that another daemon started.
    async fn await_other(&self, dir: &RunDir, changes: &mut Subscription) -> Result<View, RunError> {
        loop {
            match self.view(dir).await? {
                View::Made => changes.changed().await,
                view => return Ok(view),
            }
        }
    }

    /// Returns the keeper's handle, or `None` when that keeper is gone.
    fn keeper_handle(&self, memo: &Memo, keeper: Identity) -> io::Result<Option<Arc<AsyncFd<OwnedFd>>>> {
        let mut slot = lock(&memo.keeper);
        if let Some(handle) = &*slot {
            return Ok(Some(Arc::clone(handle)));
        }
        let Some(handle) = keeper.open()? else { return Ok(None) };
        let handle = Arc::new(ready::register(handle, Interest::READABLE)?);
        *slot = Some(Arc::clone(&handle));
        Ok(Some(handle))
    }

    /// Ends what a dead keeper left behind.
    async fn end_orphans(&self, dir: &RunDir, process: record::ProcessRecord, grace: Grace) -> Result<usize, RunError> {
        let label = dir.label.clone();
        let hunt = blocking(&dir.label, move || hunt::orphans(&process, grace).step(&label, "ending what was left"));
        let hunt = hunt.await?;
        match hunt.left {
            0 => Ok(hunt.strays.len()),
            left => Err(RunError::Survivors { label: dir.label.clone(), left }),
        }
    }

    /// Waits until the run is over, however that comes about.
    async fn await_end(&self, dir: &RunDir, changes: &mut Subscription, keeper: Identity) -> Result<(), RunError> {
        let memo = self.memo(&dir.label);
        let handle = self.keeper_handle(&memo, keeper).step(&dir.label, "watching the keeper")?;
        let Some(handle) = handle else { return Ok(()) };
        while !dir.has_exit()? {
            tokio::select! {
                () = changes.changed() => {}
                gone = handle.readable() => {
                    gone.step(&dir.label, "watching the keeper")?.retain_ready();
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A keeper that this daemon started.
struct Keeper {
    pid: u32,
    over: tokio::task::JoinHandle<io::Result<std::process::ExitStatus>>,
}

#[async_trait]
impl Host for LocalHost {
    fn work_root(&self) -> &Path {
        &self.inner.settings.work_root
    }

    fn search_path(&self) -> &str {
        &self.inner.settings.search_path
    }

    fn isolation(&self) -> Isolation {
        if self.inner.settings.cgroup_parent.is_some() { Isolation::Cgroup } else { Isolation::Subreaper }
    }

    async fn sandboxes(&self) -> Vec<Offer> {
        sandbox::offers(&self.inner.settings.search_path, &self.inner.bubblewrap).await
    }

    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        execute::execute(command).await
    }

    async fn start(&self, spec: &RunSpec) -> Result<Started, RunError> {
        let label = &spec.label;
        let dir = self.dir(label);
        let memo = self.memo(label);
        // Also the one start of this label at a time.
        let mut ledger = memo.ledger.lock().await;

        match self.view(&dir).await? {
            View::Live(process) | View::Lost(process) => return Ok(process.started(false)),
            View::Ended(_, Some(process)) => return Ok(process.started(false)),
            View::Ended(_, None) => return Err(RunError::Over { label: label.clone() }),
            View::Made => {}
            View::Absent | View::Failed(_) => {
                let (at, spec, parent) = (dir.clone(), spec.clone(), self.inner.settings.cgroup_parent.clone());
                blocking(label, move || {
                    at.clear()?;
                    at.make(&spec, parent.as_deref())
                })
                .await?;
                *ledger = Ledger::default();
                *lock(&memo.keeper) = None;
                *lock(&memo.told) = Told::Nothing;
            }
        }
        let mut changes = self.subscribe(&dir)?;
        let keeper = self.spawn_keeper(&dir).map_err(|error| RunError::Spawn {
            label: label.clone(),
            program: self.inner.settings.keeper.join(" "),
            detail: error.to_string(),
        })?;
        let ours = keeper.pid;
        match self.await_report(&dir, &mut changes, keeper).await? {
            View::Live(process) | View::Lost(process) | View::Ended(_, Some(process)) => {
                let fresh = u32::try_from(process.keeper.pid) == Ok(ours);
                Ok(process.started(fresh))
            }
            View::Failed(failed) => {
                let at = dir.clone();
                blocking(label, move || at.clear()).await?;
                Err(RunError::Spawn { label: label.clone(), program: failed.program, detail: failed.detail })
            }
            View::Absent | View::Made | View::Ended(_, None) => Err(RunError::Absent { label: label.clone() }),
        }
    }

    async fn look(&self, label: &RunLabel) -> Result<RunState, RunError> {
        Ok(state(self.view(&self.dir(label)).await?))
    }

    async fn runs(&self) -> Result<Vec<RunReport>, RunError> {
        let runs = self.inner.runs.clone();
        tokio::task::spawn_blocking(move || {
            let labels = rundir::labels(&runs).map_err(|source| RunError::List { source })?;
            let report = |label| Ok(RunReport { state: state(RunDir::new(&runs, &label).view()?), label });
            labels.into_iter().map(report).collect()
        })
        .await
        .map_err(|error| RunError::List { source: io::Error::other(error) })?
    }

    async fn read(&self, label: &RunLabel, stream: Stream, from: u64, max: usize) -> Result<Chunk, RunError> {
        let dir = self.dir(label);
        let name = match stream {
            Stream::Output => record::OUTPUT,
            Stream::Error => record::ERROR,
        };
        let bytes = blocking(label, move || dir.read(name, from, max)).await?;
        Ok(Chunk { from, bytes })
    }

    async fn changed(&self, label: &RunLabel, seen: Seen) -> Result<(), RunError> {
        let dir = self.dir(label);
        // The usual case when much is written costs two looks at file lengths and nothing else.
        if dir.grown(seen)? {
            return Ok(());
        }
        let mut changes = self.subscribe(&dir)?;
        loop {
            if dir.grown(seen)? {
                return Ok(());
            }
            match self.view(&dir).await? {
                View::Absent | View::Failed(_) => return Err(RunError::Absent { label: label.clone() }),
                View::Lost(_) | View::Ended(..) => return Ok(()),
                View::Made => changes.changed().await,
                View::Live(process) => {
                    let memo = self.memo(label);
                    let handle = self.keeper_handle(&memo, process.keeper).step(label, "watching the keeper")?;
                    let Some(handle) = handle else { return Ok(()) };
                    loop {
                        if dir.grown(seen)? || dir.has_exit()? {
                            return Ok(());
                        }
                        tokio::select! {
                            () = changes.changed() => {}
                            gone = handle.readable() => {
                                gone.step(label, "watching the keeper")?.retain_ready();
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
    }

    async fn consumed(&self, label: &RunLabel, offset: u64) -> Result<(), RunError> {
        let dir = self.dir(label);
        let told = Arc::clone(&self.memo(label).told);
        // The keeper needs to know before it holds the process back, not for every line: it compares with
        // the whole backlog, so a quarter of that may stay unsaid.
        if let Told::UpTo { offset: last, backlog_cap } = *lock(&told)
            && offset.saturating_sub(last) <= backlog_cap / 4
        {
            return Ok(());
        }
        blocking(label, move || {
            let Some(spec) = dir.spec()? else { return Err(RunError::Absent { label: dir.label.clone() }) };
            let mut told = lock(&told);
            dir.tell_consumed(offset)?;
            *told = Told::UpTo { offset, backlog_cap: spec.backlog_cap };
            Ok(())
        })
        .await
    }

    async fn send(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError> {
        let dir = self.dir(label);
        // Owned by the work, so that a caller who gives up does not let a second writer in.
        let mut ledger = Arc::clone(&self.memo(label).ledger).lock_owned().await;
        let lines = lines.to_vec();
        blocking(label, move || ledger.append(&dir, &lines, || rundir::takes_input(&dir))).await
    }

    async fn close_input(&self, label: &RunLabel) -> Result<(), RunError> {
        let dir = self.dir(label);
        let ledger = Arc::clone(&self.memo(label).ledger).lock_owned().await;
        blocking(label, move || {
            let _held = ledger;
            match dir.view()? {
                View::Absent | View::Failed(_) => Err(RunError::Absent { label: dir.label.clone() }),
                View::Lost(_) | View::Ended(..) => Ok(()),
                View::Made | View::Live(_) => dir.end_input(),
            }
        })
        .await
    }

    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<Stopped, RunError> {
        let dir = self.dir(label);
        let process = {
            // A start of this daemon comes to its end first.
            let ledger = Arc::clone(&self.memo(label).ledger).lock_owned().await;
            match self.view(&dir).await? {
                View::Absent | View::Failed(_) => return Ok(Stopped { exit: None, strays: 0 }),
                View::Ended(exit, process) => return self.ended(&dir, exit, process).await,
                View::Lost(process) => {
                    let strays = self.end_orphans(&dir, process, grace).await?;
                    return Ok(Stopped { exit: None, strays });
                }
                View::Live(process) => process,
                View::Made => match self.unmake(&dir, ledger).await? {
                    Unmade::Gone { strays } => return Ok(Stopped { exit: None, strays }),
                    Unmade::Started(process) => process,
                },
            }
        };
        let mut changes = self.subscribe(&dir)?;
        let at = dir.clone();
        match blocking(label, move || at.ask_stop(grace)).await {
            Ok(()) => {
                let limit = grace.after_close.saturating_add(grace.after_term);
                let limit = limit.saturating_add(self.inner.settings.stop_slack);
                match tokio::time::timeout(limit, self.await_end(&dir, &mut changes, process.keeper)).await {
                    Ok(ended) => ended?,
                    Err(_) => end_keeper(label, process.keeper).await?,
                }
            }
            // The disk is too full to ask, and the keeper could not answer.
            Err(RunError::Files { source, .. }) if record::is_full(&source) => {
                end_keeper(label, process.keeper).await?
            }
            Err(error) => return Err(error),
        }
        match self.view(&dir).await? {
            View::Ended(exit, process) => self.ended(&dir, exit, process).await,
            View::Lost(process) | View::Live(process) => {
                let strays = self.end_orphans(&dir, process, grace).await?;
                Ok(Stopped { exit: None, strays })
            }
            View::Absent | View::Failed(_) | View::Made => Ok(Stopped { exit: None, strays: 0 }),
        }
    }

    async fn forget(&self, label: &RunLabel) -> Result<(), RunError> {
        let dir = self.dir(label);
        let ledger = Arc::clone(&self.memo(label).ledger).lock_owned().await;
        match self.view(&dir).await? {
            View::Live(_) => return Err(RunError::Alive { label: label.clone() }),
            View::Made => match self.unmake(&dir, ledger).await? {
                Unmade::Gone { .. } => {}
                Unmade::Started(_) => return Err(RunError::Alive { label: label.clone() }),
            },
            View::Lost(process) => {
                // With the directory goes the only record of whom to look for.
                self.end_orphans(&dir, process, Grace::QUICK).await?;
            }
            View::Ended(_, Some(process)) => {
                if let Some(path) = process.cgroup {
                    cgroup::remove(&path).step(label, "removing the cgroup")?;
                }
            }
            View::Ended(_, None) | View::Absent | View::Failed(_) => {}
        }
        blocking(label, move || dir.remove()).await?;
        lock(&self.inner.memos).remove(label);
        Ok(())
    }
}

/// What became of a directory without a recorded process that was to go.
enum Unmade {
    Gone { strays: usize },
    Started(record::ProcessRecord),
}

impl LocalHost {
    /// Removes a directory in which nothing was started yet, or waits for the keeper that is at it.
    async fn unmake(&self, dir: &RunDir, ledger: tokio::sync::OwnedMutexGuard<Ledger>) -> Result<Unmade, RunError> {
        let mut changes = self.subscribe(dir)?;
        let at = dir.clone();
        let gone = blocking(&dir.label, move || {
            let _held = ledger;
            let Some(_lock) = at.lock()? else { return Ok(None) };
            // With the lock in hand no keeper can begin; one may have finished before.
            if !matches!(at.view()?, View::Made) {
                return Ok(None);
            }
            let mut strays = 0;
            if at.was_starting()?
                && let Some(spec) = at.spec()?
            {
                let hunt = hunt::unrecorded(spec.cgroup.as_deref(), &spec.mark);
                let hunt = hunt.step(&at.label, "ending what was left")?;
                if hunt.left > 0 {
                    return Err(RunError::Survivors { label: at.label.clone(), left: hunt.left });
                }
                strays = hunt.strays.len();
            }
            at.remove()?;
            Ok(Some(strays))
        });
        if let Some(strays) = gone.await? {
            return Ok(Unmade::Gone { strays });
        }
        match tokio::time::timeout(REPORT_LIMIT, self.await_other(dir, &mut changes)).await {
            Ok(Ok(View::Live(process) | View::Lost(process) | View::Ended(_, Some(process)))) => {
                Ok(Unmade::Started(process))
            }
            Ok(Ok(View::Failed(_) | View::Absent | View::Made | View::Ended(_, None))) => {
                Ok(Unmade::Gone { strays: 0 })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RunError::Silent { label: dir.label.clone(), after: REPORT_LIMIT }),
        }
    }

    /// Answers a stop of a run that has its status; what its keeper could not kill is tried again.
    async fn ended(
        &self,
        dir: &RunDir,
        exit: record::ExitRecord,
        process: Option<record::ProcessRecord>,
    ) -> Result<Stopped, RunError> {
        if exit.left > 0
            && let Some(process) = process
        {
            self.end_orphans(dir, process, Grace::QUICK).await?;
        }
        Ok(Stopped { exit: Some(exit.status), strays: exit.strays })
    }
}

/// Kills a keeper that does not do its work, so that it is not there when the host does it.
async fn end_keeper(label: &RunLabel, keeper: Identity) -> Result<(), RunError> {
    let of = label.clone();
    blocking(label, move || {
        const STEP: &str = "ending the keeper";
        if let Some(handle) = keeper.open().step(&of, STEP)? {
            table::signal(&handle, Signal::KILL).step(&of, STEP)?;
            table::wait_any(&[handle], Instant::now() + STOP_SLACK).step(&of, STEP)?;
        }
        Ok(())
    })
    .await
}

fn state(view: View) -> RunState {
    match view {
        View::Absent | View::Made | View::Failed(_) => RunState::Absent,
        View::Live(process) => RunState::Running(process.started(false)),
        View::Lost(_) => RunState::Lost,
        View::Ended(exit, _) => RunState::Ended(exit.status),
    }
}

/// Does file work off the async threads.
async fn blocking<T: Send + 'static>(
    label: &RunLabel,
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)).step(label, "working on files"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
