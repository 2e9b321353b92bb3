//! A host in memory, for the tests of other rooms: no process, no file, no clock.
//!
//! The test plays the processes: it feeds output, ends runs, and looks at what was sent. Everything
//! happens at once and in order, so the same test always sees the same.

use crate::{
    Chunk, Command, CommandError, ExitStatus, Grace, Host, InputLine, Isolation, Offer, Output, RunError, RunLabel,
    RunReport, RunSpec, RunState, Seen, Sent, Started, Stopped, Stream,
};
use async_trait::async_trait;
use orcha_base::{Confinement, SandboxLevel};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Answer = dyn Fn(&Command) -> Result<Output, CommandError> + Send + Sync;
type OnLine = dyn Fn(&FakeHost, &RunLabel, &InputLine) + Send + Sync;

/// A machine that is only pretended. Clones are the same machine.
#[derive(Clone)]
pub struct FakeHost {
    work_root: PathBuf,
    state: Arc<Mutex<State>>,
    bell: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct State {
    answer: Option<Arc<Answer>>,
    on_line: Option<Arc<OnLine>>,
    commands: Vec<Command>,
    refusals: VecDeque<RunError>,
    started: Vec<RunSpec>,
    runs: BTreeMap<RunLabel, Run>,
    sandboxes: Vec<SandboxLevel>,
}

struct Run {
    pid: i32,
    output: Vec<u8>,
    error: Vec<u8>,
    sent: Vec<InputLine>,
    input_closed: bool,
    consumed: u64,
    stops: Vec<Grace>,
    life: Life,
    confinement: Confinement,
}

#[derive(Clone, Copy)]
enum Life {
    Running,
    Ended(ExitStatus),
    Lost,
}

impl FakeHost {
    /// Makes a machine on which nothing runs and every command succeeds silently.
    pub fn new(work_root: impl Into<PathBuf>) -> Self {
        let (state, bell) = (Arc::default(), Arc::new(watch::Sender::new(())));
        Self { work_root: work_root.into(), state, bell }
    }

    /// Answers every short command from now on.
    pub fn answer(&self, answer: impl Fn(&Command) -> Result<Output, CommandError> + Send + Sync + 'static) {
        self.state().answer = Some(Arc::new(answer));
    }

    /// Calls `react` for every input line of every run, in order, the first ones of a start included.
    pub fn on_line(&self, react: impl Fn(&Self, &RunLabel, &InputLine) + Send + Sync + 'static) {
        self.state().on_line = Some(Arc::new(react));
    }

    /// Lets runs be confined by these levels from now on; at first by none.
    pub fn confines_by(&self, levels: &[SandboxLevel]) {
        self.state().sandboxes = levels.to_vec();
    }

    /// Lets the next start fail; called twice, the next two.
    pub fn refuse_start(&self, error: RunError) {
        self.state().refusals.push_back(error);
    }

    /// Lets a process write to one of its streams.
    pub fn feed(&self, label: &RunLabel, stream: Stream, bytes: &[u8]) {
        self.with(label, |run| match stream {
            Stream::Output => run.output.extend_from_slice(bytes),
            Stream::Error => run.error.extend_from_slice(bytes),
        });
    }

    /// Lets a process write a line to standard output.
    pub fn say(&self, label: &RunLabel, line: &str) {
        self.feed(label, Stream::Output, format!("{line}\n").as_bytes());
    }

    /// Lets a process end.
    pub fn end(&self, label: &RunLabel, status: ExitStatus) {
        self.with(label, |run| run.life = Life::Ended(status));
    }

    /// Lets a process vanish together with its keeper.
    pub fn lose(&self, label: &RunLabel) {
        self.with(label, |run| run.life = Life::Lost);
    }

    /// Returns every short command so far.
    pub fn commands(&self) -> Vec<Command> {
        self.state().commands.clone()
    }

    /// Returns the spec of every run that was really started, in order.
    pub fn started(&self) -> Vec<RunSpec> {
        self.state().started.clone()
    }

    /// Returns the input lines that a run was given.
    pub fn sent(&self, label: &RunLabel) -> Vec<InputLine> {
        self.with(label, |run| run.sent.clone())
    }

    /// Waits until a run was given so many input lines, and returns them.
    pub async fn sent_at_least(&self, label: &RunLabel, lines: usize) -> Vec<InputLine> {
        let mut changes = self.bell.subscribe();
        loop {
            if let Some(run) = self.state().runs.get(label)
                && run.sent.len() >= lines
            {
                return run.sent.clone();
            }
            wait(&mut changes).await;
        }
    }

    /// Tells whether the input of a run was closed.
    pub fn input_closed(&self, label: &RunLabel) -> bool {
        self.with(label, |run| run.input_closed)
    }

    /// Returns how far the output of a run was said to be stored.
    pub fn consumed_to(&self, label: &RunLabel) -> u64 {
        self.with(label, |run| run.consumed)
    }

    /// Returns every stop that a run was asked for while it was there.
    pub fn stops(&self, label: &RunLabel) -> Vec<Grace> {
        self.with(label, |run| run.stops.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes or reads a run for the test, which must have started it.
    fn with<T>(&self, label: &RunLabel, work: impl FnOnce(&mut Run) -> T) -> T {
        let answer = self.find(label, work);
        answer.unwrap_or_else(|error| panic!("the test asks for a run that it did not start: {error}"))
    }

    fn find<T>(&self, label: &RunLabel, work: impl FnOnce(&mut Run) -> T) -> Result<T, RunError> {
        let answer = match self.state().runs.get_mut(label) {
            Some(run) => work(run),
            None => return Err(RunError::Absent { label: label.clone() }),
        };
        self.bell.send_replace(());
        Ok(answer)
    }

    /// Gives new lines to a run and then, outside the lock, to the test.
    fn deliver(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError> {
        if let Some(line) = lines.iter().find(|line| line.text.contains('\n')) {
            let detail = format!("input line `{}` holds a line break", line.key);
            return Err(RunError::Refused { label: label.clone(), detail });
        }
        let new = self.find(label, |run| {
            let mut new: Vec<InputLine> = Vec::new();
            for line in lines {
                if !run.sent.iter().chain(&new).any(|it| it.key == line.key) {
                    new.push(line.clone());
                }
            }
            if !new.is_empty() && (run.input_closed || !matches!(run.life, Life::Running)) {
                return Err(RunError::Over { label: label.clone() });
            }
            run.sent.extend(new.iter().cloned());
            Ok(new)
        })??;
        let react = self.state().on_line.clone();
        for line in &new {
            if let Some(react) = &react {
                react(self, label, line);
            }
        }
        Ok(if new.is_empty() { Sent::AlreadyThere } else { Sent::Appended })
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").field("work_root", &self.work_root).finish_non_exhaustive()
    }
}

impl Run {
    fn started(&self, fresh: bool) -> Started {
        Started { pid: self.pid, fresh, isolation: Isolation::Subreaper, confinement: Some(self.confinement.clone()) }
    }

    fn state(&self) -> RunState {
        match self.life {
            Life::Running => RunState::Running(self.started(false)),
            Life::Ended(status) => RunState::Ended(status),
            Life::Lost => RunState::Lost,
        }
    }
}

async fn wait(changes: &mut watch::Receiver<()>) {
    if changes.changed().await.is_err() {
        // The machine is gone, and its runs with it.
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Host for FakeHost {
    fn work_root(&self) -> &Path {
        &self.work_root
    }

    async fn sandboxes(&self) -> Vec<Offer> {
        let there = self.state().sandboxes.clone();
        [SandboxLevel::Landlock, SandboxLevel::Bubblewrap]
            .map(|level| Offer {
                level,
                there: if there.contains(&level) { Ok("pretended".into()) } else { Err("not pretended".into()) },
            })
            .to_vec()
    }

    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let answer = {
            let mut state = self.state();
            state.commands.push(command.clone());
            state.answer.clone()
        };
        match answer {
            Some(answer) => answer(command),
            None => {
                Ok(Output { status: ExitStatus::Code(0), stdout: Vec::new(), stderr: Vec::new(), truncated: false })
            }
        }
    }

    async fn start(&self, spec: &RunSpec) -> Result<Started, RunError> {
        let started = {
            let mut state = self.state();
            if let Some(run) = state.runs.get(&spec.label) {
                return Ok(run.started(false));
            }
            if let Some(error) = state.refusals.pop_front() {
                return Err(error);
            }
            state.started.push(spec.clone());
            let run = Run {
                // Beyond what the kernel gives out, so that nobody signals a real process by mistake.
                pid: i32::MAX - i32::try_from(state.started.len()).unwrap_or(0),
                output: Vec::new(),
                error: Vec::new(),
                sent: Vec::new(),
                input_closed: false,
                consumed: 0,
                stops: Vec::new(),
                life: Life::Running,
                confinement: Confinement {
                    level: spec.sandbox.level,
                    read_only: spec.sandbox.read_only,
                    detail: "pretended".into(),
                },
            };
            let started = run.started(true);
            state.runs.insert(spec.label.clone(), run);
            started
        };
        self.deliver(&spec.label, &spec.input)?;
        Ok(started)
    }

    async fn look(&self, label: &RunLabel) -> Result<RunState, RunError> {
        Ok(self.state().runs.get(label).map_or(RunState::Absent, Run::state))
    }

    async fn runs(&self) -> Result<Vec<RunReport>, RunError> {
        let report = |(label, run): (&RunLabel, &Run)| RunReport { label: label.clone(), state: run.state() };
        Ok(self.state().runs.iter().map(report).collect())
    }

    async fn read(&self, label: &RunLabel, stream: Stream, from: u64, max: usize) -> Result<Chunk, RunError> {
        let state = self.state();
        let run = state.runs.get(label).ok_or_else(|| RunError::Absent { label: label.clone() })?;
        let all = match stream {
            Stream::Output => &run.output,
            Stream::Error => &run.error,
        };
        let rest = usize::try_from(from).ok().and_then(|from| all.get(from..)).unwrap_or_default();
        Ok(Chunk { from, bytes: rest[..rest.len().min(max)].to_vec() })
    }

    async fn changed(&self, label: &RunLabel, seen: Seen) -> Result<(), RunError> {
        let mut changes = self.bell.subscribe();
        loop {
            match self.state().runs.get(label) {
                None => return Err(RunError::Absent { label: label.clone() }),
                Some(run) => {
                    let grown = run.output.len() as u64 > seen.output || run.error.len() as u64 > seen.error;
                    if grown || !matches!(run.life, Life::Running) {
                        return Ok(());
                    }
                }
            }
            wait(&mut changes).await;
        }
    }

    async fn consumed(&self, label: &RunLabel, offset: u64) -> Result<(), RunError> {
        self.find(label, |run| run.consumed = offset)
    }

    async fn send(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError> {
        self.deliver(label, lines)
    }

    async fn close_input(&self, label: &RunLabel) -> Result<(), RunError> {
        self.find(label, |run| run.input_closed = true)
    }

    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<Stopped, RunError> {
        /// SIGTERM.
        const TERM: i32 = 15;
        let stopped = self.find(label, |run| {
            run.stops.push(grace);
            let exit = match run.life {
                Life::Running => {
                    run.life = Life::Ended(ExitStatus::Signal(TERM));
                    Some(ExitStatus::Signal(TERM))
                }
                Life::Ended(status) => Some(status),
                Life::Lost => None,
            };
            Stopped { exit, strays: 0 }
        });
        match stopped {
            Err(RunError::Absent { .. }) => Ok(Stopped { exit: None, strays: 0 }),
            other => other,
        }
    }

    async fn forget(&self, label: &RunLabel) -> Result<(), RunError> {
        let mut state = self.state();
        if state.runs.get(label).is_some_and(|run| matches!(run.life, Life::Running)) {
            return Err(RunError::Alive { label: label.clone() });
        }
        state.runs.remove(label);
        drop(state);
        self.bell.send_replace(());
        Ok(())
    }
}
