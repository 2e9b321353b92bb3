//! The stage: a wheel, its fakes, and a clock. Tests wait for what happens, never for time to pass.

use orcha_agent::fake::{FakeAgent, FakeRunner};
use orcha_agent::{Event, Runner, Say, TurnEnd, Usage};
use orcha_base::{BranchName, CheckRunId, ObjectiveId, RepoUrl, SessionId, TargetId, TenantId, Timestamp};
use orcha_delivery::fake::FakeDeliverer;
use orcha_delivery::{Delivered, Deliverer, Delivery, DeliveryError, Invalid, Link, Order};
use orcha_exec::{ExitStatus, fake::FakeHost};
use orcha_forge::fake::FakeForge;
use orcha_model::casting::{Catalog, OfferedModel};
use orcha_model::check::{Receipt, Source};
use orcha_model::guard::Limits;
use orcha_model::objective::Strategy;
use orcha_model::{Role, Session, Workspace, message, question};
use orcha_orch::{
    Actor, CheckFault, CheckSaid, CheckWish, Checker, Clock, Hands, Models, NewObjective, NoModels, Orch, Settings,
    TargetHands,
};
use orcha_plan::{NewSession, Stimulus, World};
use orcha_store::{Store, StoreOptions};
use orcha_workspace::Label;
use orcha_workspace::fake::FakeCheckouts;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long anything may take in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct StillClock {
    state: Mutex<Still>,
}

#[derive(Debug, Default)]
struct Still {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    counted: u64,
}

impl StillClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now += by;
        let now = state.now;
        let later = state.sleepers.split_off(&(now + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut state.sleepers, later);
        for (_, sleeper) in due {
            // Whoever slept may have been cut off meanwhile.
            sleeper.send(()).unwrap_or_default();
        }
    }
}

#[async_trait::async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_700_000_000) + self.state.lock().unwrap().now
    }

    async fn sleep(&self, for_: Duration) {
        if for_.is_zero() {
            return;
        }
        let woken = {
            let mut state = self.state.lock().unwrap();
            let (wake, woken) = oneshot::channel();
            state.counted += 1;
            let key = (state.now + for_, state.counted);
            state.sleepers.insert(key, wake);
            woken
        };
        drop(woken.await);
    }
}

/// The repository of all tests.
pub fn repo() -> RepoUrl {
    "/srv/origin.git".parse().unwrap()
}

/// What the checkout of a workspace is called.
pub fn workspace_label(workspace: &Workspace) -> Label {
    Label::new(&workspace.id.to_string()).unwrap()
}

/// A running wheel with its fakes.
pub struct Stage {
    pub orch: Orch,
    pub clock: Arc<StillClock>,
    pub runner: FakeRunner,
    /// The agents of every kind; those of `runner` are `claude`.
    pub kinds: Vec<(&'static str, FakeRunner)>,
    pub settings: Settings,
    pub forge: FakeForge,
    pub checkouts: Arc<FakeCheckouts>,
    /// The machine of the one target.
    pub host: FakeHost,
    /// Says what the checks of workflows say.
    pub checker: FakeChecker,
    /// Makes the deliveries of workflows.
    pub deliverer: HeldDeliverer,
    /// Says which models there are.
    pub models: FakeModels,
    /// Lets the agents of some tests end their turns.
    pub go: Option<watch::Sender<bool>>,
    folder: Arc<tempfile::TempDir>,
}

impl Stage {
    /// Opens a stage whose agents behave as the function says.
    pub async fn open<F, L>(settings: Settings, behaviour: F) -> Self
    where
        F: Fn(FakeAgent) -> L + Send + Sync + 'static,
        L: Future<Output = ExitStatus> + Send + 'static,
    {
        Self::open_with(settings, vec![("claude", FakeRunner::new(behaviour))], Arc::default()).await
    }

    /// Opens a stage with several kinds of agents, and a clock that they can look at.
    pub async fn open_with(settings: Settings, kinds: Vec<(&'static str, FakeRunner)>, clock: Arc<StillClock>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let runner = kinds[0].1.clone();
        let forge = FakeForge::new();
        let main: BranchName = "main".parse().unwrap();
        forge.commit(&repo(), &main, "README", "hello");
        forge.add_repo(&repo(), main.clone());
        let checkouts = Arc::new(FakeCheckouts::new());
        checkouts.add_repo(&repo(), &main, &[("README", "hello"), ("tests/code_test", "assert")]);
        let checker = FakeChecker::new(&checkouts);
        let deliverer = HeldDeliverer::default();
        let hands = Hands::new(Arc::new(forge.clone())).with_checker(Arc::new(checker.clone()));
        let models = FakeModels::default();
        let hands = hands.with_deliverer(Arc::new(deliverer.clone())).with_models(Arc::new(models.clone()));
        let host = FakeHost::new("/nowhere");
        let orch = start(&folder, &kinds, &settings, &clock, hands, &checkouts, &host).await;
        Self {
            orch,
            clock,
            runner,
            kinds,
            settings,
            forge,
            checkouts,
            host,
            checker,
            deliverer,
            models,
            go: None,
            folder,
        }
    }

    /// Ends the wheel and starts it anew on what is stored; agents live on.
    pub async fn restart(&mut self) {
        self.orch.shut_down().await;
        let hands = Hands::new(Arc::new(self.forge.clone())).with_checker(Arc::new(self.checker.clone()));
        let hands = hands.with_deliverer(Arc::new(self.deliverer.clone())).with_models(Arc::new(self.models.clone()));
        let host = &self.host;
        self.orch = start(&self.folder, &self.kinds, &self.settings, &self.clock, hands, &self.checkouts, host).await;
    }

    /// Makes an objective without a manager and with one session of a role.
    pub async fn one(&self, role: Role, limits: Limits) -> (ObjectiveId, SessionId) {
        let wish = NewObjective {
            strategy: Strategy::Direct,
            sessions: vec![(NewSession::new(role, "It", "Do it."), vec![])],
            limits: Some(limits),
            ..NewObjective::new("Do it.")
        };
        let (objective, sessions) = self.orch.create_objective(&Actor::default(), wish).await.unwrap();
        (objective.id, sessions[0])
    }

    /// Waits until something holds of an objective, and returns what was seen then.
    pub async fn until<R: Send + 'static>(
        &self,
        objective: ObjectiveId,
        look: impl Fn(&World) -> Option<R> + Clone + Send + 'static,
    ) -> R {
        let mut journal = self.orch.journal();
        let mut transcripts = self.orch.transcripts();
        let waited = async {
            loop {
                if let Some(seen) = self.orch.view(objective, look.clone()).await.unwrap() {
                    return seen;
                }
                // The transcript grows with each batch that an agent's words bring, the journal with what they mean. What
                // has no line in either is looked for again after a moment.
                tokio::select! {
                    _ = journal.recv() => {}
                    _ = transcripts.recv() => {}
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(seen) => seen,
            Err(_) => {
                let world = self.orch.view(objective, |world| format!("{world:?}")).await.unwrap();
                panic!("it did not happen; the world is\n{world}");
            }
        }
    }

    /// Waits until a session is in a state.
    pub async fn until_state(&self, objective: ObjectiveId, session: SessionId, state: &'static str) -> Session {
        self.until(objective, move |world| world.sessions.get(&session).filter(|it| it.state.name() == state).cloned())
            .await
    }

    /// Lets time pass in small steps until something holds: for what waits for a clock that nobody sees.
    pub async fn pass_until<R: Send + 'static>(
        &self,
        objective: ObjectiveId,
        look: impl Fn(&World) -> Option<R> + Clone + Send + 'static,
    ) -> R {
        let passed = async {
            loop {
                if let Some(seen) = self.orch.view(objective, look.clone()).await.unwrap() {
                    return seen;
                }
                self.clock.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, passed).await.unwrap()
    }

    /// Returns the workspace of a session.
    pub async fn workspace(&self, objective: ObjectiveId, session: SessionId) -> Workspace {
        let look = move |world: &World| world.workspaces.get(&world.sessions.get(&session)?.workspace?).cloned();
        self.until(objective, look).await
    }

    /// Answers the one open question.
    pub async fn answer(&self, objective: ObjectiveId, answer: &str) {
        let id = self.until(objective, |world| world.open_questions().next().map(|it| it.id)).await;
        let input = question::Input::Answer { answer: answer.to_owned() };
        self.orch.submit(objective, Stimulus::Question(id, input)).await.unwrap();
    }

    /// Says something to a session.
    pub async fn say(&self, objective: ObjectiveId, session: SessionId, text: &str) {
        self.orch.send_message(objective, session, message::Sender::User, text.to_owned(), false).await.unwrap();
    }

    /// The end of every test: nothing is left to do, and no agent of an ended session is alive.
    pub async fn close(self) {
        let orders = self.orch.store().orders_after(0, 100).await.unwrap();
        let mut journal = self.orch.journal();
        let emptied = async {
            while !self.orch.store().orders_after(0, 100).await.unwrap().is_empty() {
                drop(tokio::time::timeout(Duration::from_millis(50), journal.recv()).await);
            }
        };
        assert!(tokio::time::timeout(PATIENCE, emptied).await.is_ok(), "still to be done: {orders:?}");
        for label in self.kinds.iter().flat_map(|(_, it)| it.running()) {
            let session: SessionId = label.as_str()[..36].parse().unwrap();
            let live = self.orch.store().live_objectives().await.unwrap();
            let mut known = false;
            for objective in live {
                known |= self
                    .orch
                    .view(objective, move |world| world.sessions.get(&session).is_some_and(|it| !it.is_over()))
                    .await
                    .unwrap();
            }
            assert!(known, "{label} outlived its session");
        }
        self.orch.shut_down().await;
    }
}

async fn start(
    folder: &tempfile::TempDir,
    kinds: &[(&'static str, FakeRunner)],
    settings: &Settings,
    clock: &Arc<StillClock>,
    hands: Hands,
    checkouts: &Arc<FakeCheckouts>,
    host: &FakeHost,
) -> Orch {
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    let runners = kinds.iter().map(|(kind, it)| ((*kind).to_owned(), Arc::new(it.clone()) as Arc<dyn Runner>));
    let local = TargetHands {
        host: Arc::new(host.clone()),
        checkouts: Arc::clone(checkouts) as _,
        runners: runners.collect::<HashMap<_, _>>(),
    };
    for target in store.all_targets().await.unwrap() {
        hands.add_target(target.id, local.clone());
    }
    let orch = Orch::start(store, hands, settings.clone(), clock.clone()).await.unwrap();
    let target = orch.register_target(&Actor::default(), "here", "/nowhere", 4, vec![]).await.unwrap();
    orch.connect_target(target.id, local).await.unwrap();
    orch
}

/// An agent that ends each of its turns in the same way, after using so many calls and tokens.
pub async fn turns(mut agent: FakeAgent, end: TurnEnd, calls: u32, tokens: u64) -> ExitStatus {
    agent.ready();
    while let Some(say) = agent.hear().await {
        if let Say::Prompt { .. } = say {
            agent.emit(Event::Usage(Usage { input: tokens, model_calls: calls, ..Usage::default() }));
            agent.end_turn(end.clone());
        }
    }
    ExitStatus::Code(0)
}

/// Checks that look at one file: red while it says `bad`. What is queued is said first.
#[derive(Clone, Debug)]
pub struct FakeChecker {
    checkouts: Arc<FakeCheckouts>,
    queued: Arc<Mutex<VecDeque<Result<CheckSaid, CheckFault>>>>,
    asked: Arc<Mutex<Vec<CheckWish>>>,
    held: watch::Sender<bool>,
    left: watch::Sender<BTreeSet<CheckRunId>>,
}

impl FakeChecker {
    fn new(checkouts: &Arc<FakeCheckouts>) -> Self {
        Self {
            checkouts: Arc::clone(checkouts),
            queued: Arc::default(),
            asked: Arc::default(),
            held: watch::Sender::new(false),
            left: watch::Sender::default(),
        }
    }

    /// Says this the next time.
    pub fn say(&self, said: Result<CheckSaid, CheckFault>) {
        self.queued.lock().unwrap().push_back(said);
    }

    /// Lets all runs wait until they are let go or called off.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Leaves something of a run behind, as a daemon does that dies before it forgets it.
    pub fn leave(&self, run: CheckRunId) {
        self.left.send_if_modified(|left| left.insert(run));
    }

    /// Waits until something is left of these runs and of no other.
    pub async fn until_left(&self, runs: &[CheckRunId]) {
        let mut left = self.left.subscribe();
        left.wait_for(|left| left.iter().eq(runs)).await.unwrap();
    }

    /// Returns what was asked of it.
    pub fn asked(&self) -> Vec<CheckWish> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a check says that ends with a code.
pub fn receipt(name: &str, code: i32) -> Receipt {
    Receipt {
        name: name.into(),
        command: vec!["make".into(), name.into()],
        source: Source::Detected,
        code: Some(code),
        failing: Vec::new(),
        tail: format!("{name} took 0.{code}7 s"),
        millis: 5,
    }
}

#[async_trait::async_trait]
impl Checker for FakeChecker {
    async fn check(&self, wish: &CheckWish, cancel: &CancellationToken) -> Result<CheckSaid, CheckFault> {
        self.asked.lock().unwrap().push(wish.clone());
        let mut held = self.held.subscribe();
        tokio::select! {
            () = cancel.cancelled() => return Err(CheckFault::Canceled),
            _ = held.wait_for(|held| !held) => {}
        }
        if let Some(said) = self.queued.lock().unwrap().pop_front() {
            return said;
        }
        let files = self.checkouts.files(&wish.workspace);
        let bad = files.get("code").is_some_and(|it| it.contains("bad"));
        let gone = wish.look_for.iter().filter(|it| !files.contains_key(*it)).cloned().collect();
        Ok(CheckSaid { receipts: vec![receipt("test", i32::from(bad))], gone, emptied: Vec::new() })
    }

    async fn forget(&self, run: CheckRunId, _: TargetId) -> Result<(), CheckFault> {
        self.left.send_if_modified(|left| left.remove(&run));
        Ok(())
    }

    async fn left(&self, _: TargetId) -> Result<BTreeSet<CheckRunId>, CheckFault> {
        Ok(self.left.borrow().clone())
    }
}

/// Deliveries that are made, and of which nobody hears while they are held.
#[derive(Clone, Debug)]
pub struct HeldDeliverer {
    pub fake: FakeDeliverer,
    held: watch::Sender<bool>,
    made: watch::Sender<usize>,
}

impl Default for HeldDeliverer {
    fn default() -> Self {
        Self { fake: FakeDeliverer::new(), held: watch::Sender::new(false), made: watch::Sender::new(0) }
    }
}

impl HeldDeliverer {
    /// Lets the answers of all deliveries wait, or come.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until so many were made.
    pub async fn made(&self, many: usize) {
        let mut made = self.made.subscribe();
        let waited = tokio::time::timeout(PATIENCE, made.wait_for(|it| *it >= many)).await;
        waited.unwrap().unwrap();
    }

    /// Returns every delivery that was really made, in order.
    pub fn orders(&self) -> Vec<Order> {
        self.fake.orders()
    }
}

#[async_trait::async_trait]
impl Deliverer for HeldDeliverer {
    async fn check(&self, tenant: &TenantId, delivery: &Delivery) -> Result<(), Invalid> {
        self.fake.check(tenant, delivery).await
    }

    async fn deliver(&self, order: &Order) -> Result<Delivered, DeliveryError> {
        let done = self.fake.deliver(order).await?;
        self.made.send_replace(self.fake.orders().len());
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        Ok(done)
    }

    async fn open(&self, workflow: &str, link: &Link) -> Result<Option<std::fs::File>, DeliveryError> {
        self.fake.open(workflow, link).await
    }
}

/// Providers that have the models that a test gives them.
#[derive(Clone, Debug, Default)]
pub struct FakeModels(Arc<Mutex<Catalog>>);

impl FakeModels {
    /// Takes all of them away.
    pub fn forget(&self) {
        self.0.lock().unwrap().values_mut().for_each(Vec::clear);
    }

    /// Gives a kind of agent models, each with what is said of its tools.
    pub fn give(&self, kind: &str, models: &[(&str, Option<bool>)]) {
        let model = |(id, tools): &(&str, _)| OfferedModel { id: (*id).into(), tools: *tools, about: String::new() };
        self.0.lock().unwrap().insert(kind.to_owned(), models.iter().map(model).collect());
    }
}

#[async_trait::async_trait]
impl Models for FakeModels {
    fn kinds(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    async fn models(&self, kind: &str) -> Result<Vec<OfferedModel>, NoModels> {
        let found = self.0.lock().unwrap().get(kind).filter(|it| !it.is_empty()).cloned();
        found.ok_or_else(|| NoModels::Refused("it has none any more".into()))
    }
}
