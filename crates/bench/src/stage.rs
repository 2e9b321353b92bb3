//! A wheel in this process: the real store on the real disk, and hands that are handed in.
//!
//! Who waits for objectives waits for their journal lines; nobody asks again and again.

use crate::roles::{self, Roles};
use anyhow::{Context, Result};
use orcha_agent::Runner;
use orcha_base::ObjectiveId;
use orcha_exec::Host;
use orcha_exec::fake::FakeHost;
use orcha_forge::fake::FakeForge;
use orcha_model::objective::Strategy;
use orcha_model::workflow::Wish;
use orcha_model::{NoteKind, Role};
use orcha_orch::{Actor, Hands, NewObjective, Orch, Settings, SystemClock, TargetHands};
use orcha_plan::NewSession;
use orcha_store::{Owned, Store, StoreOptions};
use orcha_workspace::fake::FakeCheckouts;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;

/// How many steps a pipeline has.
pub const STEPS: usize = 6;
/// Room enough that no session waits for a place.
const ROOM: u32 = 10_000;

/// A running wheel.
#[derive(Debug)]
pub struct Stage {
    /// The wheel.
    pub orch: Orch,
    ends: Arc<Ends>,
    listener: JoinHandle<()>,
    roles: Arc<Roles>,
}

/// Which objectives ended, and who waits for one.
#[derive(Debug, Default)]
struct Ends {
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    over: HashSet<ObjectiveId>,
    waiting: HashMap<ObjectiveId, oneshot::Sender<()>>,
    missed: bool,
}

impl Stage {
    /// Opens a wheel whose agents are functions and whose machine is only pretended.
    pub async fn pretended(folder: &Path, agents: Arc<dyn Runner>) -> Result<Self> {
        Self::open(folder, Arc::new(FakeHost::new("/nowhere")), agents).await
    }

    /// Opens a wheel whose agents play the roles of workflows, each by a document that is handed in at once.
    pub async fn of_roles(folder: &Path) -> Result<Self> {
        let roles = Arc::new(Roles::default());
        let mut stage = Self::pretended(folder, Arc::new(roles::playing(Arc::clone(&roles)))).await?;
        roles.go_to(&stage.orch);
        stage.roles = roles;
        Ok(stage)
    }

    /// Opens a wheel in a data folder with a host and the agents on it. Checkouts are only pretended.
    pub async fn open(folder: &Path, host: Arc<dyn Host>, agents: Arc<dyn Runner>) -> Result<Self> {
        let data = folder.to_owned();
        let store = tokio::task::spawn_blocking(move || Store::open(&data, StoreOptions::default())).await??;
        let hands = Hands::new(Arc::new(FakeForge::new()));
        let settings = Settings { cap: ROOM, ..Settings::default() };
        let orch = Orch::start(store, hands, settings, Arc::new(SystemClock)).await?;
        let root = host.work_root().display().to_string();
        let target = orch.register_target(&Actor::default(), "here", &root, ROOM, Vec::new()).await?;
        let runners = HashMap::from([("claude".to_owned(), agents)]);
        orch.connect_target(target.id, TargetHands { host, checkouts: Arc::new(FakeCheckouts::new()), runners })
            .await?;
        let ends = Arc::new(Ends::default());
        let listener = tokio::spawn(Arc::clone(&ends).listen(orch.journal()));
        Ok(Self { orch, ends, listener, roles: Arc::default() })
    }

    /// Makes an objective of sessions that follow one another and waits until it has ended well.
    pub async fn pipeline(&self, steps: usize) -> Result<ObjectiveId> {
        let id = self.begin(chain(steps)).await?;
        self.ended(id).await?;
        Ok(id)
    }

    /// Makes an objective of sessions.
    pub async fn begin(&self, sessions: Vec<(NewSession, Vec<usize>)>) -> Result<ObjectiveId> {
        self.make(NewObjective { strategy: Strategy::Direct, sessions, ..NewObjective::new("Do nothing, durably.") })
            .await
    }

    /// Makes an objective that the pipeline runs, without looking back at its end, and waits until it has ended well.
    pub async fn workflow(&self) -> Result<ObjectiveId> {
        let workflow = Wish { skip_refiner: true, ..Wish::default() };
        let wish =
            NewObjective { strategy: Strategy::Pipeline, workflow, ..NewObjective::new("Write nothing, durably.") };
        let id = self.make(wish).await?;
        self.ended(id).await?;
        Ok(id)
    }

    async fn make(&self, wish: NewObjective) -> Result<ObjectiveId> {
        let (objective, _) = self.orch.create_objective(&Actor::default(), wish).await?;
        Ok(objective.id)
    }

    /// Waits until an objective has ended well.
    pub async fn ended(&self, id: ObjectiveId) -> Result<()> {
        let told = self.ends.wait_for(id);
        if let Some(told) = told {
            told.await.context("the wheel stopped before the objective ended")?;
        }
        let succeeded = self.orch.view(id, |world| world.objective.state.name()).await?;
        anyhow::ensure!(succeeded == "succeeded", "an objective of the benchmark became `{succeeded}`");
        Ok(())
    }

    /// Ends the wheel.
    pub async fn close(self) {
        self.orch.shut_down().await;
        self.listener.abort();
        self.roles.go_home();
    }
}

/// Sessions, each of which depends on the one before it.
pub fn chain(steps: usize) -> Vec<(NewSession, Vec<usize>)> {
    (0..steps)
        .map(|at| {
            (
                NewSession::new(Role::Researcher, format!("Step {}", at + 1), "Do nothing."),
                at.checked_sub(1).into_iter().collect(),
            )
        })
        .collect()
}

impl Ends {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self: Arc<Self>, mut journal: broadcast::Receiver<Arc<Owned>>) {
        loop {
            match journal.recv().await {
                Ok(line) => self.hear(&line),
                // Whoever waits cannot know any more: the round is given up, not guessed.
                Err(RecvError::Lagged(_)) => {
                    let mut state = self.state();
                    state.missed = true;
                    state.waiting.clear();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn hear(&self, line: &Owned) {
        let ended = matches!(
            line.event.kind,
            NoteKind::ObjectiveDone | NoteKind::ObjectiveFailed | NoteKind::ObjectiveCanceled
        );
        let Some(id) = line.event.objective.filter(|_| ended) else { return };
        let mut state = self.state();
        match state.waiting.remove(&id) {
            Some(waiting) => drop(waiting.send(())),
            None => {
                state.over.insert(id);
            }
        }
    }

    /// Returns what to wait for; nothing if it is over already.
    fn wait_for(&self, id: ObjectiveId) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        if state.over.remove(&id) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        if !state.missed {
            state.waiting.insert(id, tell);
        }
        Some(told)
    }
}
