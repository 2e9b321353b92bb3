//! Agents without processes: for tests of `orch`, for embedders' examples and for benchmarks.
//!
//! An agent is an async function. Nothing here spawns a task or reads a clock: an agent goes on while
//! somebody reads its run, so whoever reads decides when it runs, and tests with virtual time stay exact.

use crate::{
    Batch, Cursor, Ended, Entry, Event, Launch, LaunchError, Runner, RunnerError, Said, Say, Source, Started, TurnEnd,
};
use async_trait::async_trait;
use orcha_exec::{ExitStatus, Grace, RunError, RunLabel};
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

type Life = Pin<Box<dyn Future<Output = ExitStatus> + Send>>;
type Behaviour = dyn Fn(FakeAgent) -> Life + Send + Sync;

/// How many entries a batch holds at most.
const BATCH: usize = 1000;

/// Runs conversations with agents that are functions.
#[derive(Clone)]
pub struct FakeRunner {
    behaviour: Arc<Behaviour>,
    takes_effort: bool,
    runs: Arc<Mutex<HashMap<RunLabel, Arc<Run>>>>,
}

/// The side of one conversation that the agent's function holds.
pub struct FakeAgent {
    launch: Launch,
    run: Arc<Run>,
}

/// One run: what was said to it and what it did. A past run stays until it is forgotten.
#[derive(Default)]
struct Run {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` while it is being polled and when it is over.
    life: Option<Life>,
    entries: Vec<Entry>,
    said: Vec<Say>,
    keys: HashSet<String>,
    unheard: VecDeque<Say>,
    ended: Option<Ended>,
    /// The agent's task and its readers', woken by anything new.
    waiting: Vec<Waker>,
}

impl FakeRunner {
    /// Makes a runner whose agents all behave as the function says.
    pub fn new<F, L>(behaviour: F) -> Self
    where
        F: Fn(FakeAgent) -> L + Send + Sync + 'static,
        L: Future<Output = ExitStatus> + Send + 'static,
    {
        Self { behaviour: Arc::new(move |agent| Box::pin(behaviour(agent))), takes_effort: false, runs: Arc::default() }
    }

    /// Lets its agents be told how hard to think.
    pub fn with_effort(self) -> Self {
        Self { takes_effort: true, ..self }
    }

    /// Makes a runner whose agents complete every turn at once and do nothing.
    pub fn idle() -> Self {
        Self::new(|mut agent| async move {
            agent.ready();
            while agent.hear().await.is_some() {
                agent.end_turn(TurnEnd::Completed);
            }
            ExitStatus::Code(0)
        })
    }

    /// Returns everything that was said to a run, its opening included.
    pub fn said(&self, label: &RunLabel) -> Vec<Say> {
        self.find(label).map(|run| run.state().said.clone()).unwrap_or_default()
    }

    /// Returns the labels of the runs that are alive, in order.
    pub fn running(&self) -> Vec<RunLabel> {
        let runs = lock(&self.runs);
        let mut labels: Vec<_> =
            runs.iter().filter(|(_, run)| run.state().ended.is_none()).map(|(label, _)| label.clone()).collect();
        labels.sort();
        labels
    }

    /// Adds an event to a run from outside.
    pub fn emit(&self, label: &RunLabel, event: Event) -> Result<(), RunError> {
        self.run(label)?.push(Source::Agent, event);
        Ok(())
    }

    /// Ends a run from outside: exited, or [`Ended::Lost`] as after a power cut.
    pub fn end(&self, label: &RunLabel, ended: Ended) -> Result<(), RunError> {
        self.run(label)?.end(ended);
        Ok(())
    }

    fn find(&self, label: &RunLabel) -> Option<Arc<Run>> {
        lock(&self.runs).get(label).cloned()
    }

    fn run(&self, label: &RunLabel) -> Result<Arc<Run>, RunError> {
        self.find(label).ok_or_else(|| RunError::Absent { label: label.clone() })
    }
}

impl FakeAgent {
    /// Returns the launch that opened this conversation.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Waits for the next thing that is said, beginning with the opening; `None` when the run was ended.
    pub async fn hear(&mut self) -> Option<Say> {
        let run = Arc::clone(&self.run);
        let say = poll_fn(move |context| run.poll_hear(context)).await;
        if let Some(Say::Prompt { key, .. } | Say::Interrupt { key }) = &say {
            self.emit(Event::Accepted { key: key.clone() });
        }
        say
    }

    /// Adds an event to the transcript.
    pub fn emit(&self, event: Event) {
        self.run.push(Source::Agent, event);
    }

    /// Reports that the agent is up, with the conversation of its launch.
    pub fn ready(&self) {
        let conversation = self.launch.resume.clone().unwrap_or_else(|| self.launch.conversation.clone());
        let tools_connected = self.launch.mcp.as_ref().map(|_| true);
        self.emit(Event::Ready { conversation, model: self.launch.model.clone(), tools_connected });
    }

    /// Says something to the reader of the transcript.
    pub fn text(&self, text: impl Into<String>) {
        self.emit(Event::Text { text: text.into() });
    }

    /// Writes a line to the run's standard error.
    pub fn complain(&self, text: impl Into<String>) {
        self.run.push(Source::Stderr, Event::Raw { text: text.into(), truncated: false });
    }

    /// Ends the turn.
    pub fn end_turn(&self, end: TurnEnd) {
        self.emit(Event::TurnEnded(end));
    }
}

#[async_trait]
impl Runner for FakeRunner {
    fn takes_effort(&self) -> bool {
        self.takes_effort
    }

    async fn launch(&self, launch: &Launch) -> Result<Started, LaunchError> {
        let mut runs = lock(&self.runs);
        if runs.contains_key(&launch.label) {
            return Ok(Started { pid: None, fresh: false, confinement: None });
        }
        let run = Arc::new(Run::default());
        if let Some(opening) = &launch.opening {
            run.say(opening);
        }
        let life = (self.behaviour)(FakeAgent { launch: launch.clone(), run: Arc::clone(&run) });
        run.state().life = Some(life);
        runs.insert(launch.label.clone(), run);
        Ok(Started { pid: None, fresh: true, confinement: None })
    }

    async fn read(&self, label: &RunLabel, after: &Cursor) -> Result<Batch, RunnerError> {
        let run = self.run(label)?;
        let (entries, ended) = poll_fn(|context| run.poll_read(context, after.output)).await;
        let output = after.output + entries.len() as u64;
        let in_turn = run.in_turn(output);
        Ok(Batch { entries, cursor: Cursor { output, error: 0, memory: Value::Null }, ended, in_turn })
    }

    async fn stored(&self, label: &RunLabel, _cursor: &Cursor) -> Result<(), RunnerError> {
        self.run(label)?;
        Ok(())
    }

    async fn say(&self, label: &RunLabel, say: &Say) -> Result<Said, RunnerError> {
        let run = self.run(label)?;
        if run.state().keys.contains(&key(say)) {
            return Ok(Said::Before);
        }
        if run.state().ended.is_some() {
            return Err(RunError::Over { label: label.clone() }.into());
        }
        Ok(run.say(say))
    }

    async fn alive(&self, label: &RunLabel) -> Result<bool, RunnerError> {
        Ok(self.find(label).is_some_and(|run| run.state().ended.is_none()))
    }

    async fn stop(&self, label: &RunLabel, _grace: Grace) -> Result<(), RunnerError> {
        if let Some(run) = self.find(label) {
            run.end(Ended::Exited(ExitStatus::Signal(15)));
        }
        Ok(())
    }

    async fn forget(&self, label: &RunLabel) -> Result<(), RunnerError> {
        lock(&self.runs).remove(label);
        Ok(())
    }
}

impl Run {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn push(&self, source: Source, event: Event) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.entries.push(Entry { source, event });
            wake(state);
        }
    }

    fn say(&self, say: &Say) -> Said {
        let mut state = self.state();
        if !state.keys.insert(key(say)) {
            return Said::Before;
        }
        state.said.push(say.clone());
        state.unheard.push_back(say.clone());
        wake(state);
        Said::Now
    }

    /// Ends it, once. Its function is dropped where it waits.
    fn end(&self, ended: Ended) {
        let mut state = self.state();
        state.ended.get_or_insert(ended);
        // Dropped after the lock is released: what the agent holds may call back.
        let life = state.life.take();
        wake(state);
        drop(life);
    }

    fn poll_hear(&self, context: &Context<'_>) -> Poll<Option<Say>> {
        let mut state = self.state();
        if state.ended.is_some() {
            return Poll::Ready(None);
        }
        match state.unheard.pop_front() {
            Some(say) => Poll::Ready(Some(say)),
            None => {
                wait(&mut state, context);
                Poll::Pending
            }
        }
    }

    /// Tells whether the last thing of a turn before that entry was its beginning.
    fn in_turn(&self, upto: u64) -> bool {
        let state = self.state();
        let upto = usize::try_from(upto).unwrap_or(usize::MAX).min(state.entries.len());
        let told = state.entries[..upto].iter().rev().find_map(|it| match it.event {
            Event::Accepted { .. } => Some(true),
            Event::TurnEnded(_) => Some(false),
            _ => None,
        });
        told.unwrap_or(false)
    }

    /// Lets the agent go on as far as it can, then takes what is new.
    fn poll_read(&self, context: &mut Context<'_>, after: u64) -> Poll<(Vec<Entry>, Option<Ended>)> {
        let life = self.state().life.take();
        if let Some(mut life) = life {
            match life.as_mut().poll(context) {
                Poll::Ready(status) => self.end(Ended::Exited(status)),
                Poll::Pending => {
                    let mut state = self.state();
                    if state.ended.is_none() {
                        state.life = Some(life);
                    }
                }
            }
        }
        let mut state = self.state();
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(state.entries.len());
        let upto = state.entries.len().min(from + BATCH);
        if from < upto {
            let ended = state.ended.filter(|_| upto == state.entries.len());
            return Poll::Ready((state.entries[from..upto].to_vec(), ended));
        }
        match state.ended {
            Some(ended) => Poll::Ready((Vec::new(), Some(ended))),
            None => {
                wait(&mut state, context);
                Poll::Pending
            }
        }
    }
}

/// Names what is said, as the run directory of a real agent would.
fn key(say: &Say) -> String {
    match say {
        Say::Prompt { key, .. } | Say::Interrupt { key } => key.clone(),
        Say::Permission { request, .. } => format!("answer:{request}"),
    }
}

fn wait(state: &mut State, context: &Context<'_>) {
    if !state.waiting.iter().any(|known| known.will_wake(context.waker())) {
        state.waiting.push(context.waker().clone());
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

/// Locks; a panic of another test's agent leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FakeRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRunner").field("running", &self.running()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permissions;
    use expect_test::expect;

    fn launch(name: &str) -> Launch {
        Launch {
            label: RunLabel::new(name).unwrap(),
            dir: "/".into(),
            program: None,
            model: None,
            effort: None,
            resume: None,
            begun: None,
            conversation: "c".to_owned(),
            mcp: None,
            permissions: Permissions::Everything,
            sandbox: Default::default(),
            rules: String::new(),
            opening: Some(prompt("1")),
            env: Vec::new(),
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        }
    }

    fn prompt(key: &str) -> Say {
        Say::Prompt { key: key.to_owned(), text: format!("text {key}") }
    }

    fn show(batch: &Batch) -> String {
        let events: Vec<String> = batch.entries.iter().map(|it| format!("{:?}", it.event)).collect();
        format!("{} | ended: {:?}", events.join("; "), batch.ended)
    }

    #[tokio::test]
    async fn an_idle_agent_completes_each_turn_and_is_launched_once() {
        let runner = FakeRunner::idle();
        let launch = launch("a");
        assert!(runner.launch(&launch).await.unwrap().fresh);
        assert!(!runner.launch(&launch).await.unwrap().fresh);
        let first = runner.read(&launch.label, &Cursor::default()).await.unwrap();
        assert_eq!(runner.say(&launch.label, &prompt("2")).await.unwrap(), Said::Now);
        assert_eq!(runner.say(&launch.label, &prompt("2")).await.unwrap(), Said::Before);
        let second = runner.read(&launch.label, &first.cursor).await.unwrap();
        runner.stop(&launch.label, Grace::QUICK).await.unwrap();
        let third = runner.read(&launch.label, &second.cursor).await.unwrap();
        expect![[r#"
            Ready { conversation: "c", model: None, tools_connected: None }; Accepted { key: "1" }; TurnEnded(Completed) | ended: None
            Accepted { key: "2" }; TurnEnded(Completed) | ended: None
             | ended: Some(Exited(Signal(15)))"#]]
        .assert_eq(&[&first, &second, &third].map(show).join("\n"));
        assert_eq!(runner.said(&launch.label).len(), 2);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_what_is_said() {
        let runner = FakeRunner::idle();
        let launch = launch("a");
        runner.launch(&launch).await.unwrap();
        let seen = runner.read(&launch.label, &Cursor::default()).await.unwrap().cursor;
        let next = prompt("2");
        let (batch, said) = tokio::join!(runner.read(&launch.label, &seen), runner.say(&launch.label, &next));
        assert_eq!(said.unwrap(), Said::Now);
        assert_eq!(batch.unwrap().entries.len(), 2);
    }

    #[tokio::test]
    async fn a_cancelled_read_loses_nothing_and_a_new_reader_goes_on() {
        let runner = FakeRunner::new(|mut agent: FakeAgent| async move {
            agent.ready();
            while agent.hear().await.is_some() {
                tokio::task::yield_now().await;
                agent.text("after a pause");
            }
            ExitStatus::Code(0)
        });
        let launch = launch("a");
        runner.launch(&launch).await.unwrap();
        let first = runner.read(&launch.label, &Cursor::default()).await.unwrap();
        let again = runner.read(&launch.label, &Cursor::default()).await.unwrap();
        assert_eq!(first.entries[0], again.entries[0]);
        let mut cursor = first.cursor;
        let mut events = first.entries.len();
        while events < 3 {
            tokio::select! {
                biased;
                batch = runner.read(&launch.label, &cursor) => {
                    let batch = batch.unwrap();
                    (cursor, events) = (batch.cursor, events + batch.entries.len());
                }
                () = std::future::ready(()) => tokio::task::yield_now().await,
            }
        }
        assert_eq!(events, 3);
    }

    #[tokio::test]
    async fn a_lost_run_says_so_and_takes_no_more_words() {
        let runner = FakeRunner::idle();
        let launch = launch("a");
        runner.launch(&launch).await.unwrap();
        runner.end(&launch.label, Ended::Lost).unwrap();
        assert_eq!(runner.read(&launch.label, &Cursor::default()).await.unwrap().ended, Some(Ended::Lost));
        assert!(!runner.alive(&launch.label).await.unwrap());
        assert!(matches!(runner.say(&launch.label, &prompt("2")).await, Err(RunnerError::Run(RunError::Over { .. }))));
        runner.forget(&launch.label).await.unwrap();
        assert!(matches!(
            runner.read(&launch.label, &Cursor::default()).await,
            Err(RunnerError::Run(RunError::Absent { .. }))
        ));
    }
}
