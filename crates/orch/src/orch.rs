//! The handle of the wheel: what the API, the tools and embedders call.
//!
//! Each call translates a wish into one stimulus and waits for the answer. Nothing is decided here.

use crate::attachments::{self, Files};
use crate::catalog::{self, NoModels};
use crate::clock::Clock;
use crate::execute::RunningChecks;
use crate::feed::{self, Activity, Feed};
use crate::fleet::{self, Fleet};
use crate::hands::Hands;
use crate::inbox::{Did, Inbox, Letter, Receipt, Stimuli, SubmitError, rows};
use crate::ingest::Ingests;
use crate::lanes::Lanes;
use crate::learning::{self, Learning};
use crate::providers::Providers;
use crate::purses::Purses;
use crate::relics;
use crate::settings::Settings;
use crate::watch::{self, Watch};
use orcha_base::{
    ArtifactId, ObjectiveId, ProjectId, PullRequestId, QuestionId, Revision, ScopeId, SessionId, TargetId, TenantId,
    Timestamp,
};
use orcha_model::casting::{Catalog, OfferedModel};
use orcha_model::guard::{CallWindow, Limits, Usage};
use orcha_model::objective::{self, Managers, Strategy};
use orcha_model::policy::Policy;
use orcha_model::pull_request::{self, UpdateWork};
use orcha_model::session::{AgentChoice, RepoChoice};
use orcha_model::{
    Artifact, ArtifactKind, Note, NoteKind, NounId, Objective, Project, Provider, PullRequest, Refusal, Role, Target,
    Visibility, feedback, message, question, session, target, workflow,
};
use orcha_plan::{
    Mind, NewFeedback, NewMessage, NewPublication, NewQuestion, NewSession, OfWorkflow, Outlook, Published, Stimulus,
    World, published, step,
};
use orcha_store::{
    Change, Commit, CommitError, Committed, CredentialOwner, Guard, JournalLine, Owned, ReadError, Row, Store,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use uuid::Uuid;

/// How many orders are read at once when the daemon starts.
const ORDERS: u32 = 1000;
/// How long a request to a code host is waited for before the asker is told to look later.
const PATIENCE: Duration = Duration::from_secs(120);

/// The running wheel. Clones share it.
#[derive(Clone, Debug)]
pub struct Orch {
    pub(crate) shared: Arc<Shared>,
    once: Option<Arc<Once>>,
}

/// A request that must not take effect twice: its intents are numbered in the order in which it hands them in.
#[derive(Debug)]
struct Once {
    key: String,
    handed_in: AtomicU32,
}

/// What all tasks of the wheel share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub store: Store,
    pub hands: Hands,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub lanes: Lanes,
    pub fleet: Fleet,
    pub ingests: Ingests,
    pub watch: Watch,
    pub providers: Providers,
    pub purses: Purses,
    pub feed: Feed,
    pub checks: RunningChecks,
    pub targets_turn: tokio::sync::Mutex<()>,
    pub texts_turn: tokio::sync::Mutex<()>,
    pub looking_turn: tokio::sync::Mutex<()>,
    pub learning: Learning,
    pub catalog: catalog::Known,
    inboxes: Mutex<HashMap<ObjectiveId, Inbox>>,
}

/// On whose behalf something is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The tenant.
    pub tenant: TenantId,
    /// The scope.
    pub scope: ScopeId,
}

/// An objective that is wanted.
#[derive(Clone, Debug)]
pub struct NewObjective {
    /// Its title; the first line of the prompt if there is none.
    pub title: Option<String>,
    /// The wish.
    pub prompt: String,
    /// How it is run.
    pub strategy: Strategy,
    /// The repository.
    pub repo: Option<RepoChoice>,
    /// The project whose repository and base it takes.
    pub project: Option<ProjectId>,
    /// The agent of its sessions.
    pub agent: Option<AgentChoice>,
    /// Higher goes first.
    pub priority: i32,
    /// The limits of its guards.
    pub limits: Option<Limits>,
    /// Its first sessions when nobody steers; dependencies are given by their place in this list.
    pub sessions: Vec<(NewSession, Vec<usize>)>,
    /// What is asked of the workflow besides the prompt, if the pipeline runs it.
    pub workflow: workflow::Wish,
    /// Files that come with it.
    pub files: Files,
}

impl NewObjective {
    /// An objective with a prompt, steered by a manager, and nothing else said about it.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            title: None,
            prompt: prompt.into(),
            strategy: Strategy::Manager,
            repo: None,
            project: None,
            agent: None,
            priority: 0,
            limits: None,
            sessions: Vec::new(),
            workflow: workflow::Wish::default(),
            files: Files::default(),
        }
    }
}

/// A pull request that is wanted for a session's work.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The session whose work it is.
    pub session: SessionId,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The message of a commit for what is left uncommitted.
    pub commit_message: Option<String>,
}

/// A change of a pull request that is wanted.
#[derive(Clone, Debug)]
pub struct UpdateRequest {
    /// The pull request.
    pub pull_request: PullRequestId,
    /// The session from whose checkout is pushed; none edits the text only.
    pub session: Option<SessionId>,
    /// A new title.
    pub title: Option<String>,
    /// A new text.
    pub body: Option<String>,
    /// The message of a commit for what is left uncommitted.
    pub commit_message: Option<String>,
    /// Whether history is rewritten.
    pub force: bool,
    /// Why.
    pub force_reason: Option<String>,
}

/// Why the wheel could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("what is stored could not be read")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("the start could not be noted")]
    Commit(#[from] orcha_store::CommitError),
}

impl Shared {
    /// Brings stimuli to an objective's inbox and waits for the answer.
    pub(crate) async fn bring(
        self: &Arc<Self>,
        objective: ObjectiveId,
        stimuli: Stimuli,
    ) -> Result<Receipt, SubmitError> {
        self.hand_over(objective, stimuli).await?.await.map_err(|_| SubmitError::ShuttingDown)?
    }

    /// Puts stimuli into an objective's inbox. What is put there later is decided later; the answer comes when they are
    /// stored.
    pub(crate) async fn hand_over(
        self: &Arc<Self>,
        objective: ObjectiveId,
        mut stimuli: Stimuli,
    ) -> Result<oneshot::Receiver<Result<Receipt, SubmitError>>, SubmitError> {
        let (reply, answer) = oneshot::channel();
        stimuli.reply = Some(reply);
        self.put(objective, Letter::Stimuli(Box::new(stimuli))).await?;
        Ok(answer)
    }

    /// Looks at an objective's world.
    pub(crate) async fn view<R: Send + 'static>(
        self: &Arc<Self>,
        objective: ObjectiveId,
        look: impl FnOnce(&World) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let look = move |world: Option<&World>| {
            // Whoever asked may be gone; then nobody misses the answer.
            drop(reply.send(world.map(look)));
        };
        self.put(objective, Letter::View(Box::new(look))).await?;
        let unknown = || Refusal::Unknown { noun: "objective", id: objective.to_string(), hint: String::new() };
        Ok(answer.await.map_err(|_| SubmitError::ShuttingDown)?.ok_or_else(unknown)?)
    }

    /// Stores a commit and announces it.
    pub(crate) async fn store(&self, commit: Commit) -> Result<Committed, CommitError> {
        let session = commit.transcript.as_ref().map(|it| it.session);
        let committed = self.store.commit(commit).await?;
        if !committed.journal.is_empty() {
            self.feed.stored();
        }
        if let Some(session) = session.filter(|_| !committed.transcript.is_empty()) {
            self.feed.transcript(session, committed.transcript.end - 1);
        }
        for (session, seq) in &committed.said {
            self.feed.transcript(*session, *seq);
        }
        Ok(committed)
    }

    async fn put(self: &Arc<Self>, objective: ObjectiveId, letter: Letter) -> Result<(), SubmitError> {
        let mut letter = letter;
        loop {
            if self.stop.is_cancelled() {
                return Err(SubmitError::ShuttingDown);
            }
            let inbox =
                self.inboxes.lock().entry(objective).or_insert_with(|| Inbox::open(self, objective, None)).clone();
            match inbox.put(letter).await {
                Ok(()) => return Ok(()),
                Err(returned) => {
                    // The task had just gone to rest: open another one.
                    self.retire(objective);
                    letter = returned;
                }
            }
        }
    }

    /// Forgets an inbox; tells whether there was one.
    pub(crate) fn retire(&self, objective: ObjectiveId) -> bool {
        self.inboxes.lock().remove(&objective).is_some()
    }

    /// Returns what objectives share with each other, as it is now.
    pub(crate) fn outlook(&self, objective: &Objective) -> Outlook {
        Outlook {
            at: self.clock.now(),
            providers: self.providers.all(),
            kinds: self.hands.kinds(),
            catalog: self.catalog.all(),
            purses: self.purses.others(objective),
        }
    }

    /// Returns the agent of an objective that names none.
    fn usual_agent(&self, policy: &Policy) -> AgentChoice {
        let (settings, kinds, providers) = (&self.settings, self.hands.kinds(), self.providers.all());
        let there = settings.equals.iter().filter(|it| kinds.contains(*it) && policy.allows_agent(it));
        let among = there.map(|it| (it.as_str(), providers.get(it)));
        // Nobody in particular asks.
        let nobody = SessionId::from_uuid(Uuid::nil());
        match orcha_model::provider::choose(among, nobody, self.clock.now()) {
            Some(kind) if kind != settings.agent.kind => AgentChoice::of(kind),
            Some(_) | None => settings.agent.clone(),
        }
    }

    /// Loads the world of an objective.
    pub(crate) async fn load_world(&self, objective: ObjectiveId) -> Result<Option<World>, ReadError> {
        let Some(loaded) = self.store.load_world(objective).await? else { return Ok(None) };
        let mut world = World::new(loaded.objective);
        world.sessions = loaded.sessions.into_iter().map(|it| (it.id, it)).collect();
        world.workspaces = loaded.workspaces.into_iter().map(|it| (it.id, it)).collect();
        world.pull_requests = loaded.pull_requests.into_iter().map(|it| (it.id, it)).collect();
        world.feedback = loaded.feedback.into_iter().map(|it| (it.id, it)).collect();
        world.questions = loaded.questions.into_iter().map(|it| (it.id, it)).collect();
        world.messages = loaded.messages.into_iter().map(|it| (it.id, it)).collect();
        world.workflow = loaded.workflow;
        world.tasks = loaded.tasks.into_iter().map(|it| (it.id, it)).collect();
        world.check_runs = loaded.check_runs.into_iter().map(|it| (it.id, it)).collect();
        world.hand_ins = loaded.hand_ins.into_iter().map(|it| (it.id, it)).collect();
        world.texts = loaded.texts.into();
        world.attachments = loaded.attachments.into();
        Ok(Some(world))
    }
}

impl Orch {
    /// Starts the wheel: what was under way goes on, what was ordered is executed.
    pub async fn start(
        store: Store,
        hands: Hands,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let shared = Arc::new(Shared {
            lanes: Lanes::new(settings.parallel_effects),
            purses: Purses::new(settings.shared_caps),
            store,
            hands,
            settings,
            clock,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fleet: Fleet::default(),
            ingests: Ingests::default(),
            watch: Watch::default(),
            providers: Providers::default(),
            feed: Feed::default(),
            checks: RunningChecks::default(),
            targets_turn: tokio::sync::Mutex::default(),
            texts_turn: tokio::sync::Mutex::default(),
            looking_turn: tokio::sync::Mutex::default(),
            learning: Learning::default(),
            catalog: catalog::Known::default(),
            inboxes: Mutex::default(),
        });
        let orch = Self { shared, once: None };
        let end = orch.shared.store.journal_end().await?;
        orch.shared.providers.load(orch.shared.store.providers().await?);
        if orch.shared.purses.any() {
            orch.shared.purses.load(&orch.shared.store.every_objective().await?);
        }
        orch.go_on().await?;
        let shared = &orch.shared;
        shared.tasks.spawn(fleet::run(Arc::clone(shared)));
        shared.tasks.spawn(fleet::probe(Arc::clone(shared)));
        shared.tasks.spawn(catalog::run(Arc::clone(shared)));
        shared.tasks.spawn(watch::run(Arc::clone(shared)));
        shared.tasks.spawn(learning::run(Arc::clone(shared)));
        shared.tasks.spawn(feed::run(Arc::clone(shared), end));
        shared.tasks.spawn(feed::tell_activities(Arc::clone(shared)));
        Ok(orch)
    }

    /// Takes up what a daemon before this one left: worlds, runs, orders.
    async fn go_on(&self) -> Result<(), StartError> {
        let shared = &self.shared;
        let live = shared.store.live_objectives().await?;
        info!(objectives = live.len(), "taking up what was under way");
        let mut wanted = relics::Wanted::default();
        for objective in live {
            let Some(world) = shared.load_world(objective).await? else { continue };
            shared.purses.take(&world, true);
            wanted.live.extend(world.sessions.values().filter(|it| !it.is_over()).map(|it| (it.id, it.attempt)));
            let running = world.sessions.values().filter_map(|it| {
                let session::State::Running { target, attempt, .. } = it.state else { return None };
                Some((it.id, attempt, target, it.agent.kind.clone()))
            });
            let running: Vec<_> = running.collect();
            shared.inboxes.lock().insert(objective, Inbox::open(shared, objective, Some(world)));
            for (session, attempt, target, kind) in running {
                shared.ingests.ensure(shared, objective, session, attempt, target, &kind);
            }
        }
        let mut after = 0;
        loop {
            let orders = shared.store.orders_after(after, ORDERS).await?;
            let Some(last) = orders.last() else { break };
            after = last.seq;
            for order in orders {
                if let NounId::Session(id) = order.effect.lane() {
                    wanted.ordered.insert(id);
                }
                match order.objective {
                    Some(objective) => {
                        // A run that is being ended still has its last words to be read.
                        if let orcha_model::Effect::Stop(stop) = &order.effect {
                            let kind = self
                                .view(objective, {
                                    let id = stop.session;
                                    move |world| world.sessions.get(&id).map(|it| it.agent.kind.clone())
                                })
                                .await;
                            if let Ok(Some(kind)) = kind {
                                shared.ingests.ensure(
                                    shared,
                                    objective,
                                    stop.session,
                                    stop.attempt,
                                    stop.target,
                                    &kind,
                                );
                            }
                        }
                        shared.lanes.push(shared, objective, vec![(order.key, order.effect)]);
                    }
                    None => warn!(effect.key = %order.key, "an order without an objective is passed over"),
                }
            }
        }
        shared.tasks.spawn(relics::forget(Arc::clone(shared), wanted));
        let mut commit = Commit::at(shared.clock.now());
        commit.journal.push(JournalLine {
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            objective: None,
            session: None,
            note: Note::new(NoteKind::DaemonStarted, "the daemon started"),
        });
        shared.store(commit).await?;
        Ok(())
    }

    /// Ends all tasks and closes the store. Agents go on; the next daemon takes them up again.
    pub async fn shut_down(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.shared.tasks.wait()).await.is_err() {
            warn!("not all tasks ended in time");
        }
        self.shared.store.close().await;
    }

    /// Cancelled when the wheel stops: streams end with it.
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Returns the store, for queries.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the present instant.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Returns the code host, for what is only read there.
    pub fn hands(&self) -> &Hands {
        &self.shared.hands
    }

    /// Returns the providers that were heard of, as they are now, by the kind of agent that spends them.
    pub fn providers(&self) -> Arc<BTreeMap<String, Provider>> {
        self.shared.providers.all()
    }

    /// Returns the models of each kind of agent, as their providers said last.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.all()
    }

    /// Asks a provider which models it has now.
    pub async fn ask_models(&self, kind: &str) -> Result<Vec<OfferedModel>, NoModels> {
        let unknown = || NoModels::Unknown(kind.to_owned());
        let models = self.shared.hands.models().filter(|it| it.kinds().iter().any(|it| it == kind));
        catalog::ask(&self.shared, &*models.ok_or_else(unknown)?, kind).await
    }

    /// Tells whether nothing is being executed: for tests and for a shutdown that waits.
    pub fn is_quiet(&self) -> bool {
        self.shared.lanes.busy() == 0
    }

    /// Returns a handle for one request: what it hands in takes effect once, however often the same request is
    /// made; later ones get the answer of the first. Answers are kept for a week.
    #[must_use]
    pub fn once(&self, key: impl Into<String>) -> Self {
        let once = Once { key: key.into(), handed_in: AtomicU32::new(0) };
        Self { shared: Arc::clone(&self.shared), once: Some(Arc::new(once)) }
    }

    fn key(&self) -> Option<String> {
        self.once.as_ref().map(|it| format!("{}#{}", it.key, it.handed_in.fetch_add(1, Ordering::Relaxed)))
    }

    /// Listens to the journal: every line stored from now on, in order. A listener that lags reads the gap from
    /// the store.
    pub fn journal(&self) -> broadcast::Receiver<Arc<Owned>> {
        self.shared.feed.journal()
    }

    /// Listens for grown transcripts: the session, and the number of its last line.
    pub fn transcripts(&self) -> broadcast::Receiver<(SessionId, i64)> {
        self.shared.feed.transcripts()
    }

    /// Listens to what agents are doing: the newest of each session, once a second at the most. It is not stored, and
    /// a listener that lags misses what is old anyway.
    pub fn activities(&self) -> broadcast::Receiver<Arc<Activity>> {
        self.shared.feed.activities()
    }

    /// Tells whose credential this is, while it is good.
    pub async fn authenticate(&self, token: &str) -> Result<Option<CredentialOwner>, ReadError> {
        self.shared.store.credential_owner(Sha256::digest(token.as_bytes()).into()).await
    }

    /// Looks at an objective's world.
    pub async fn view<R: Send + 'static>(
        &self,
        objective: ObjectiveId,
        look: impl FnOnce(&World) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        self.shared.view(objective, look).await
    }

    /// Hands an intent to an objective and waits until it is decided and stored.
    pub async fn submit(&self, objective: ObjectiveId, stimulus: Stimulus) -> Result<Receipt, SubmitError> {
        let stimuli = Stimuli { stimuli: vec![stimulus], key: self.key(), intent: true, ..Stimuli::default() };
        self.shared.bring(objective, stimuli).await
    }

    /// Like `submit`, with an artifact that is left behind in the same transaction.
    pub async fn submit_with(
        &self,
        objective: ObjectiveId,
        stimulus: Stimulus,
        artifact: Artifact,
    ) -> Result<Receipt, SubmitError> {
        let stimuli = Stimuli {
            stimuli: vec![stimulus],
            artifacts: vec![artifact],
            key: self.key(),
            intent: true,
            ..Stimuli::default()
        };
        self.shared.bring(objective, stimuli).await
    }

    /// Makes an objective, and the manager that steers it or the sessions that were given.
    pub async fn create_objective(
        &self,
        actor: &Actor,
        new: NewObjective,
    ) -> Result<(Objective, Vec<SessionId>), SubmitError> {
        let shared = &self.shared;
        if new.prompt.trim().is_empty() || new.prompt.len() > 256 * 1024 {
            return Err(
                Refusal::Invalid { field: "prompt", rule: "must have between 1 byte and 256 KiB".into() }.into()
            );
        }
        let title = match new.title {
            Some(title) if title.trim().is_empty() || title.len() > 200 => {
                return Err(
                    Refusal::Invalid { field: "title", rule: "must have between 1 and 200 bytes".into() }.into()
                );
            }
            Some(title) => title,
            None => title_of(&new.prompt),
        };
        let now = shared.clock.now();
        let id = ObjectiveId::from_uuid(Uuid::now_v7());
        let chosen = shared.chosen(actor, id).await?;
        let agent = new.agent.unwrap_or_else(|| shared.usual_agent(&chosen.policy));
        let (mut wish, mut limits) = (new.workflow, new.limits.unwrap_or(shared.settings.limits));
        limits.check()?;
        chosen.policy.admit(&mut wish, &agent, &mut limits)?;
        let objective = Objective {
            id,
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            revision: Revision(1),
            title: title.clone(),
            prompt: new.prompt.clone(),
            strategy: new.strategy,
            repo: new.repo,
            project: new.project,
            agent,
            priority: new.priority,
            limits,
            policy: chosen.policy.clone(),
            managers: Managers::default(),
            calls: CallWindow::default(),
            used: Usage::default(),
            forgiven: (0, 0),
            tripped: None,
            state: objective::State::Active,
            summary: None,
            created_at: now,
            updated_at: now,
            completed_at: None,
        };
        let mut world = World::new(objective);
        world.outlook = shared.outlook(&world.objective);
        let mut commit = Commit::at(now);
        let mut made = Vec::new();
        let mut before = std::collections::BTreeMap::from([(NounId::Objective(id), None)]);
        let mut effects = Vec::new();
        let line = |note: Note| JournalLine {
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            objective: Some(id),
            session: note.session,
            note,
        };
        commit.journal.push(line(Note::new(NoteKind::ObjectiveCreated, format!("{title} was created"))));
        let rows_of_files = new.files.rows(actor, id, now);
        commit.journal.extend(rows_of_files.iter().map(|it| line(attachments::note(it))));
        commit.attached = new.files.into_bytes(&actor.tenant);
        commit.attachments = rows_of_files.clone();
        world.attachments = rows_of_files.into();
        let wanted = match new.strategy {
            Strategy::Manager => vec![(NewSession::new(Role::Manager, "Manager", new.prompt), Vec::new())],
            Strategy::Direct => new.sessions,
            Strategy::Pipeline => Vec::new(),
        };
        let begin = if new.strategy == Strategy::Pipeline {
            Some(Stimulus::Workflow(Box::new(OfWorkflow::Begin { wish, chosen })))
        } else {
            None
        };
        {
            // What the mind is given must not live across an await.
            let mut ids = Uuid::now_v7;
            let mut mind = Mind { now, ids: &mut ids, settings: &shared.settings.plan };
            if let Some(begin) = begin {
                let changes = step(&mut world, begin, &mut mind)?;
                made.extend(changes.before.keys().filter_map(|it| match it {
                    NounId::Session(id) => Some(*id),
                    _ => None,
                }));
                for (noun, was) in changes.before {
                    before.entry(noun).or_insert(was);
                }
                commit.journal.extend(changes.notes.into_iter().map(line));
                effects.extend(changes.effects);
            }
            for (mut session, after) in wanted {
                session.depends_on = after.iter().filter_map(|at| made.get(*at).copied()).collect();
                let changes = step(&mut world, Stimulus::NewSession(Box::new(session)), &mut mind)?;
                if let Some(NounId::Session(session)) = changes.made {
                    made.push(session);
                }
                for (noun, was) in changes.before {
                    before.entry(noun).or_insert(was);
                }
                commit.journal.extend(changes.notes.into_iter().map(line));
                effects.extend(changes.effects);
            }
        }
        commit.changes = rows(&world, &before);
        let objective = world.objective.clone();
        commit.receipt = self.key().map(|key| orcha_store::Receipt {
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            key,
            body: serde_json::json!({"objective": objective.id, "sessions": made}),
        });
        match shared.store(commit).await {
            Ok(_) => {}
            Err(CommitError::AlreadyAnswered { body }) => return self.made_before(&body).await,
            Err(fault) => return Err(fault.into()),
        }
        // The schedule may have been quicker and opened it already: then that one has loaded what is stored.
        shared.inboxes.lock().entry(id).or_insert_with(|| Inbox::open(shared, id, Some(world)));
        shared.lanes.push(shared, id, effects);
        shared.fleet.nudge();
        Ok((objective, made))
    }

    /// Finds the objective that the same request made before.
    async fn made_before(&self, body: &serde_json::Value) -> Result<(Objective, Vec<SessionId>), SubmitError> {
        let objective =
            serde_json::from_value::<ObjectiveId>(body["objective"].clone()).map_err(|_| lost("objective"))?;
        let sessions = serde_json::from_value(body["sessions"].clone()).map_err(|_| lost("session"))?;
        Ok((self.view(objective, |world| world.objective.clone()).await?, sessions))
    }

    /// Lets an objective go on that a person or a guard paused, with everything that rests in it.
    pub async fn resume_objective(&self, id: ObjectiveId) -> Result<Receipt, SubmitError> {
        self.submit(id, Stimulus::Objective(objective::Input::Resume)).await
    }

    /// Tries a failed or canceled session again, as a new one.
    pub async fn retry_session(&self, objective: ObjectiveId, id: SessionId) -> Result<SessionId, SubmitError> {
        match self.submit(objective, Stimulus::TryAgain(id)).await?.made {
            Some(NounId::Session(id)) => Ok(id),
            _ => Err(lost("session")),
        }
    }

    /// Makes a session.
    pub async fn new_session(&self, objective: ObjectiveId, new: NewSession) -> Result<SessionId, SubmitError> {
        let receipt = self.submit(objective, Stimulus::NewSession(Box::new(new))).await?;
        match receipt.made {
            Some(NounId::Session(id)) => Ok(id),
            _ => Err(lost("session")),
        }
    }

    /// Says something to a session, durably.
    pub async fn send_message(
        &self,
        objective: ObjectiveId,
        session: SessionId,
        from: message::Sender,
        text: String,
        interrupt: bool,
    ) -> Result<orcha_base::MessageId, SubmitError> {
        let cause = format!("said:{}", Uuid::now_v7());
        let new = NewMessage { session, from, cause, text, interrupt, answers: None };
        match self.submit(objective, Stimulus::NewMessage(new)).await?.made {
            Some(NounId::Message(id)) => Ok(id),
            _ => Err(lost("message")),
        }
    }

    /// Asks the user on behalf of a session.
    pub async fn ask_user(
        &self,
        owner: &CredentialOwner,
        text: String,
        context: Option<String>,
        options: Vec<String>,
    ) -> Result<QuestionId, SubmitError> {
        let new = NewQuestion {
            session: Some(owner.session),
            // The same question asked twice is one question.
            cause: format!("asked:{}:{}", owner.session, hex(&Sha256::digest(text.as_bytes()))),
            about: question::About::Asked,
            priority: 5,
            text,
            context,
            options,
        };
        match self.submit(owner.objective, Stimulus::NewQuestion(new)).await {
            Ok(Receipt { made: Some(NounId::Question(id)), .. })
            | Err(SubmitError::Refused(Refusal::AlreadyAsked { question: id })) => Ok(id),
            Ok(_) => Err(lost("question")),
            Err(fault) => Err(fault),
        }
    }

    /// Takes what a session hands in for its step of a workflow. What was made is the hand-in, or the question that has
    /// to be answered first.
    pub async fn hand_in(&self, owner: &CredentialOwner, output: serde_json::Value) -> Result<Receipt, SubmitError> {
        let of = OfWorkflow::HandIn { session: owner.session, attempt: owner.attempt, output };
        self.submit(owner.objective, Stimulus::Workflow(Box::new(of))).await
    }

    /// Hands a wish about a workflow to its objective.
    pub async fn of_workflow(&self, objective: ObjectiveId, of: OfWorkflow) -> Result<Receipt, SubmitError> {
        self.submit(objective, Stimulus::Workflow(Box::new(of))).await
    }

    /// Takes a session's result, with the report as an artifact.
    pub async fn report(
        &self,
        owner: &CredentialOwner,
        summary: String,
        verdict: Option<session::Verdict>,
    ) -> Result<Receipt, SubmitError> {
        let title = if verdict.is_some() { "Review" } else { "Report" };
        let artifact = self.artifact(owner, ArtifactKind::Report, title, &summary);
        let input = session::Input::Report { attempt: owner.attempt, summary, verdict };
        self.submit_with(owner.objective, Stimulus::Session(owner.session, input), artifact).await
    }

    /// Keeps a note of a session.
    pub async fn keep_note(&self, owner: &CredentialOwner, title: &str, body: &str) -> Result<ArtifactId, SubmitError> {
        for (field, text, most) in [("title", title, 200), ("body", body, 64 * 1024)] {
            if text.trim().is_empty() || text.len() > most {
                return Err(Refusal::Invalid { field, rule: format!("must have between 1 and {most} bytes") }.into());
            }
        }
        let mut artifact = self.artifact(owner, ArtifactKind::Note, title, body);
        if let Some(once) = &self.once {
            // The same request names the same note, however often it is made.
            let digest = Sha256::digest(format!("note\0{}\0{}\0{}", owner.tenant, owner.session, once.key).as_bytes());
            artifact.id = ArtifactId::from_uuid(id_of(&digest));
        }
        let id = artifact.id;
        self.submit_with(owner.objective, Stimulus::Tick, artifact).await?;
        Ok(id)
    }

    fn artifact(&self, owner: &CredentialOwner, kind: ArtifactKind, title: &str, summary: &str) -> Artifact {
        Artifact {
            id: ArtifactId::from_uuid(Uuid::now_v7()),
            tenant: owner.tenant.clone(),
            scope: owner.scope.clone(),
            objective: owner.objective,
            session: Some(owner.session),
            kind,
            title: title.to_owned(),
            summary: summary.to_owned(),
            uri: None,
            visibility: Visibility::Secondary,
            created_at: self.now(),
        }
    }

    /// Marks an objective as done, unless something stands against it.
    pub async fn mark_done(&self, objective: ObjectiveId, summary: String) -> Result<Receipt, SubmitError> {
        self.submit(objective, Stimulus::Objective(objective::Input::Done { summary })).await
    }

    /// Opens a pull request for a session's work, and waits until it is open or refused.
    pub async fn publish(&self, objective: ObjectiveId, request: PublishRequest) -> Result<PullRequest, SubmitError> {
        let id = request.session;
        match self.view(objective, move |world| published(world, id)).await? {
            Published::Live(live) => {
                let known = self.view(objective, move |world| world.pull_requests.get(&live).cloned()).await?;
                return self.settled(objective, live, 0, known.ok_or_else(|| lost("pull request"))?).await;
            }
            // What was closed is not published a second time behind the user's back: the user is asked.
            Published::Closed(closed) => {
                let request = UpdateRequest {
                    pull_request: closed,
                    session: Some(id),
                    title: Some(request.title),
                    body: Some(request.body),
                    commit_message: request.commit_message,
                    force: false,
                    force_reason: None,
                };
                return self.update_pull_request(objective, request).await;
            }
            Published::Not => {}
        }
        let publication = NewPublication {
            session: id,
            title: request.title,
            body: request.body,
            commit_message: request.commit_message,
            head: None,
            draft: false,
            replaces: None,
        };
        let Some(NounId::PullRequest(made)) = self.submit(objective, Stimulus::Publish(publication)).await?.made else {
            return Err(lost("pull request"));
        };
        let pending = self.view(objective, move |world| world.pull_requests.get(&made).cloned()).await?;
        self.settled(objective, made, 0, pending.ok_or_else(|| lost("pull request"))?).await
    }

    /// Pushes to, or edits, a pull request, and waits until that is done or refused.
    pub async fn update_pull_request(
        &self,
        objective: ObjectiveId,
        request: UpdateRequest,
    ) -> Result<PullRequest, SubmitError> {
        if let Some(title) = &request.title {
            texts(title, request.body.as_deref().unwrap_or_default())?;
        }
        let push = match request.session {
            None => None,
            Some(id) => {
                let workspace = self
                    .view(objective, move |world| {
                        let session = world.sessions.get(&id)?;
                        Some((world.workspaces.get(&session.workspace?)?.clone(), session.clone()))
                    })
                    .await?;
                let refused =
                    || Refusal::Unknown { noun: "checkout of session", id: id.to_string(), hint: String::new() };
                let (workspace, session) = workspace.ok_or_else(refused)?;
                if session.stopping.is_some() {
                    let rule = "its process is being ended and its work kept; try again in a moment";
                    let (id, state) = (id.to_string(), session.state.name());
                    return Err(Refusal::State { noun: "session", id, state, rule }.into());
                }
                Some(UpdateWork {
                    workspace: workspace.id,
                    target: workspace.target,
                    commit_message: request.commit_message.unwrap_or_else(|| "Address feedback".into()),
                    force: request.force,
                    force_reason: request.force_reason,
                })
            }
        };
        self.pull_request_request(
            objective,
            request.pull_request,
            pull_request::Input::Update { push, title: request.title, body: request.body },
        )
        .await
    }

    /// Asks something of a pull request, and waits until it is done or refused.
    pub async fn pull_request_request(
        &self,
        objective: ObjectiveId,
        id: PullRequestId,
        input: pull_request::Input,
    ) -> Result<PullRequest, SubmitError> {
        let before = self.view(objective, move |world| world.pull_requests.get(&id).cloned()).await?;
        let before =
            before.ok_or_else(|| Refusal::Unknown { noun: "pull request", id: id.to_string(), hint: String::new() })?;
        let receipt = self.submit(objective, Stimulus::PullRequest(id, input)).await?;
        let now = || self.view(objective, move |world| world.pull_requests.get(&id).cloned());
        match receipt.did {
            Did::Something => self.settled(objective, id, before.answered, before).await,
            // No answer follows: it is what it has become since.
            Did::Nothing => Ok(now().await?.unwrap_or(before)),
            Did::Before => unless_refused(now().await?.unwrap_or(before)),
        }
    }

    /// Waits until a pull request answered one more request; a refusal becomes an error.
    async fn settled(
        &self,
        objective: ObjectiveId,
        id: PullRequestId,
        above: u64,
        pending: PullRequest,
    ) -> Result<PullRequest, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.shared.put(objective, Letter::AwaitPullRequest { id, above, reply }).await?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(pr)) => unless_refused(pr),
            Ok(Err(_)) => Err(SubmitError::ShuttingDown),
            // It is ordered and goes on; whoever asked sees it as it is.
            Err(_) => Ok(pending),
        }
    }

    /// Sends somebody to work off an instruction on a pull request.
    pub async fn address_feedback(
        &self,
        objective: ObjectiveId,
        id: PullRequestId,
        author: &str,
        instructions: String,
    ) -> Result<(), SubmitError> {
        if instructions.trim().is_empty() || instructions.len() > 64 * 1024 {
            return Err(
                Refusal::Invalid { field: "instructions", rule: "must have between 1 byte and 64 KiB".into() }.into()
            );
        }
        let live = self.view(objective, move |world| world.follow_up_on(id).map(|it| (it.id, it.attempt))).await?;
        if let Some((session, attempt)) = live
            && attempt.0 > 0
        {
            self.send_message(objective, session, message::Sender::System, instructions, false).await?;
            return Ok(());
        }
        let new = NewFeedback {
            pull_request: id,
            external: format!("instruction:{}", Uuid::now_v7()),
            kind: feedback::Kind::Instruction,
            author: author.to_owned(),
            trust: feedback::Trust::Trusted,
            body: instructions,
        };
        self.submit(objective, Stimulus::NewFeedback(new)).await?;
        Ok(())
    }

    /// Asks the code host about a pull request now.
    pub async fn refresh_pull_request(&self, pr: &PullRequest) -> Result<(), orcha_forge::ForgeError> {
        watch::observe(&self.shared, pr).await
    }

    /// Says that something was done on the code host by somebody else than the wheel.
    pub fn nudge_watch(&self) {
        self.shared.watch.nudge();
    }

    /// Registers a target, or finds the one of that name.
    pub async fn register_target(
        &self,
        actor: &Actor,
        name: &str,
        work_root: &str,
        capacity: u32,
        labels: Vec<String>,
    ) -> Result<Target, SubmitError> {
        let _turn = self.shared.targets_turn.lock().await;
        let known =
            self.shared.store.all_targets().await?.into_iter().find(|it| it.name == name && it.tenant == actor.tenant);
        if let Some(known) = known {
            return Ok(known);
        }
        if capacity == 0 {
            return Err(Refusal::Invalid { field: "capacity_sessions", rule: "must be at least 1".into() }.into());
        }
        let now = self.now();
        let row = Target {
            id: TargetId::from_uuid(Uuid::now_v7()),
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            revision: Revision(1),
            name: name.to_owned(),
            kind: target::Kind::Local,
            work_root: work_root.to_owned(),
            labels,
            capacity,
            // Health is probed, not assumed.
            state: target::State::Offline,
            last_seen_at: None,
            problem: None,
            sandboxes: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        let mut commit = Commit::at(now);
        commit.changes.push(Change { row: Row::Target(row.clone()), expected: None });
        let note =
            Note::new(NoteKind::TargetRegistered, format!("target {name} was registered")).with("target_id", row.id);
        commit.journal.push(JournalLine {
            tenant: row.tenant.clone(),
            scope: row.scope.clone(),
            objective: None,
            session: None,
            note,
        });
        self.shared.store(commit).await?;
        Ok(row)
    }

    /// Tells where a person can see a running session in a terminal and type there; `None` if there is no terminal.
    pub fn window(&self, session: &orcha_model::Session) -> Option<orcha_agent::Window> {
        // Before it runs there is nothing to be seen.
        let orcha_model::session::State::Running { target, attempt, .. } = session.state else { return None };
        let label = crate::execute::run_label(session.id, attempt).ok()?;
        self.shared.hands.runner(target, &session.agent.kind)?.window(&label)
    }

    /// Connects the hands of a target and probes it.
    pub async fn connect_target(&self, id: TargetId, hands: crate::TargetHands) -> Result<Target, SubmitError> {
        self.shared.hands.add_target(id, hands);
        self.probe_target(id).await
    }

    /// Probes a target now.
    pub async fn probe_target(&self, id: TargetId) -> Result<Target, SubmitError> {
        let input = fleet::probe_one(&self.shared, id).await;
        self.change_target(id, input).await
    }

    /// Hands an intent to a target.
    pub async fn change_target(&self, id: TargetId, input: target::Input) -> Result<Target, SubmitError> {
        fleet::change_target(&self.shared, id, input, None).await
    }

    /// Stores a new project.
    pub async fn put_project(&self, project: Project) -> Result<(), SubmitError> {
        let mut commit = Commit::at(self.now());
        commit.projects.push(project);
        self.shared.store(commit).await?;
        Ok(())
    }

    /// Stores an edited project, unless somebody changed the old one meanwhile.
    pub async fn edit_project(&self, old: &Project, mut new: Project) -> Result<Project, SubmitError> {
        // Whatever the clock says: each change is told from the one before it.
        new.updated_at = self.now().max(old.updated_at + Duration::from_micros(1));
        let mut commit = Commit::at(new.updated_at);
        commit.guards.push(Guard::ProjectAsOf { project: old.id, updated_at: old.updated_at });
        commit.projects.push(new.clone());
        match self.shared.store(commit).await {
            Ok(_) => Ok(new),
            Err(CommitError::Guard(refusal)) => Err(refusal.into()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Forgets a project; what was made for it stays.
    pub async fn remove_project(&self, id: ProjectId) -> Result<(), SubmitError> {
        let mut commit = Commit::at(self.now());
        commit.removed_projects.push(id);
        self.shared.store(commit).await?;
        Ok(())
    }
}

/// Makes an error of the refusal of the newest request.
fn unless_refused(pr: PullRequest) -> Result<PullRequest, SubmitError> {
    match &pr.refusal {
        Some(reason) => Err(Refusal::Invalid { field: "pull_request", rule: format!("was refused: {reason}") }.into()),
        None => Ok(pr),
    }
}

fn texts(title: &str, body: &str) -> Result<(), Refusal> {
    if title.trim().is_empty() || title.len() > 200 || title.contains('\n') {
        return Err(Refusal::Invalid { field: "title", rule: "must be one line of at most 200 bytes".into() });
    }
    if body.len() > 64 * 1024 {
        return Err(Refusal::Invalid { field: "body", rule: "must have at most 64 KiB".into() });
    }
    Ok(())
}

/// The first line of a prompt that says something, at most 60 characters of it.
fn title_of(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Objective");
    if line.chars().count() <= 60 {
        return line.to_owned();
    }
    let mut title: String = line.chars().take(59).collect();
    title.push('…');
    title
}

/// Makes an id of the beginning of a digest.
fn id_of(digest: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The mind said yes and made nothing: a defect of ours, told as what it is.
pub(crate) fn lost(noun: &'static str) -> SubmitError {
    Refusal::Invalid { field: noun, rule: "was not made; this is a defect of orcha".into() }.into()
}
