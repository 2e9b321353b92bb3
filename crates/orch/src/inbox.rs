//! The inbox of one objective: stimuli come in, one is decided at a time, each decision is one transaction. Facts that
//! wait one behind the other share theirs.
//!
//! The task keeps the objective's world in memory. It is the only writer of these rows, so what it keeps is what
//! is stored; whenever a commit fails, the world is thrown away and loaded again.

use crate::feed::Activity;
use crate::orch::Shared;
use crate::purses;
use orcha_base::{ObjectiveId, PullRequestId, SessionId, Timestamp};
use orcha_model::session::{State, Waiting};
use orcha_model::{Artifact, Effect, EffectKey, NounId, PullRequest, Refusal, Session, message};
use orcha_plan::{Changes, Mind, Stimulus, World, finished, passes, step_from};
use orcha_store::{Change, Commit, CommitError, Guard, JournalLine, NewEntry, Order, Row, Said, TranscriptAppend};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, warn};

/// How many stimuli may wait for one objective before whoever brings more has to wait.
const INBOX: usize = 1024;
/// How many letters with facts are decided and stored together at most.
const TOGETHER: usize = 32;
/// How long an inbox without anything to do is kept.
const LINGER: Duration = Duration::from_secs(120);

/// What a stimulus led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The noun that was made on request.
    pub made: Option<NounId>,
    /// The number of the last line of the journal by then; zero if there was nothing to store.
    pub seq: i64,
    /// What it did now, which is not what is remembered of it.
    #[serde(skip, default = "Did::before")]
    pub did: Did,
}

/// What a stimulus did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Did {
    /// There was nothing to do.
    #[default]
    Nothing,
    /// Something was changed or ordered.
    Something,
    /// It was submitted before, and has done then what it does.
    Before,
}

impl Did {
    const fn before() -> Self {
        Self::Before
    }
}

/// Why a stimulus did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store says no.
    #[error("it could not be stored")]
    Store(#[from] CommitError),
    /// The store could not be asked.
    #[error("the store could not be read")]
    Read(#[from] orcha_store::ReadError),
    /// The daemon is going down.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

/// A look at the world of an objective, or at its absence.
pub(crate) type Look = Box<dyn FnOnce(Option<&World>) + Send>;

/// Something for one objective's inbox.
pub(crate) enum Letter {
    /// Something happened or is wanted.
    Stimuli(Box<Stimuli>),
    /// Somebody wants to look.
    View(Look),
    /// Somebody waits until a pull request has answered more than so many requests.
    AwaitPullRequest { id: PullRequestId, above: u64, reply: oneshot::Sender<PullRequest> },
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stimuli(it) => f.debug_tuple("Stimuli").field(&it.stimuli).finish(),
            Self::View(_) => f.write_str("View"),
            Self::AwaitPullRequest { id, .. } => f.debug_tuple("AwaitPullRequest").field(id).finish(),
        }
    }
}

/// What belongs into one transaction.
#[derive(Debug, Default)]
pub(crate) struct Stimuli {
    /// In order. Of an intent there is one; a fact may bring several.
    pub stimuli: Vec<Stimulus>,
    /// The order that is done with it.
    pub done: Option<EffectKey>,
    /// The lines that it was read from.
    pub transcript: Option<TranscriptAppend>,
    /// What it leaves behind.
    pub artifacts: Vec<Artifact>,
    /// What must still hold.
    pub guards: Vec<Guard>,
    /// The key under which it takes effect once.
    pub key: Option<String>,
    /// Whether a refusal is the answer (an intent) or is noted and passed over (a fact).
    pub intent: bool,
    /// Who waits for the answer.
    pub reply: Option<oneshot::Sender<Result<Receipt, SubmitError>>>,
}

impl Stimuli {
    /// Tells whether these are facts without any condition.
    fn are_plain(&self) -> bool {
        !self.intent && self.guards.is_empty() && self.key.is_none()
    }

    /// Tells whether they may be stored in one transaction with those before them. Intents stand alone: each is answered
    /// for itself. So does what has a condition, and a second piece of a transcript.
    fn go_with(&self, letters: &[Self]) -> bool {
        self.are_plain()
            && letters.iter().all(Self::are_plain)
            && (self.transcript.is_none() || letters.iter().all(|it| it.transcript.is_none()))
    }
}

/// The address of one objective's inbox.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    letters: mpsc::Sender<Letter>,
}

impl Inbox {
    /// Starts the task of an objective.
    pub(crate) fn open(shared: &Arc<Shared>, objective: ObjectiveId, world: Option<World>) -> Self {
        let (letters, inbox) = mpsc::channel(INBOX);
        let desk = Desk { shared: Arc::clone(shared), objective, world, waiting: Vec::new(), next_wake: None };
        shared.tasks.spawn(desk.work(inbox));
        Self { letters }
    }

    /// Hands in a letter, waiting while the inbox is full. The letter comes back if the task is gone.
    pub(crate) async fn put(&self, letter: Letter) -> Result<(), Letter> {
        self.letters.send(letter).await.map_err(|returned| returned.0)
    }
}

/// The task of one objective.
struct Desk {
    shared: Arc<Shared>,
    objective: ObjectiveId,
    world: Option<World>,
    waiting: Vec<(PullRequestId, u64, oneshot::Sender<PullRequest>)>,
    next_wake: Option<Timestamp>,
}

impl Desk {
    async fn work(mut self, mut inbox: mpsc::Receiver<Letter>) {
        if self.world.is_none() {
            self.load().await;
        }
        self.tick().await;
        loop {
            let now = self.shared.clock.now();
            let pause = self.next_wake.map_or(LINGER, |at| at.since(now)).min(LINGER);
            let letter = tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return,
                letter = inbox.recv() => letter,
                () = self.shared.clock.sleep(pause) => {
                    if self.next_wake.is_none_or(|at| at > self.shared.clock.now()) && self.may_rest() {
                        if self.shared.retire(self.objective) {
                            inbox.close();
                            // What came in between is still worked off; then the task ends.
                            while let Some(letter) = inbox.recv().await {
                                self.open(letter, &mut inbox).await;
                            }
                            return;
                        }
                    } else {
                        self.tick().await;
                    }
                    continue;
                }
            };
            match letter {
                Some(letter) => self.open(letter, &mut inbox).await,
                None => return,
            }
        }
    }

    /// An objective that has ended and is waited for by nobody needs no task.
    fn may_rest(&self) -> bool {
        self.waiting.is_empty()
            && self.next_wake.is_none()
            && self.world.as_ref().is_none_or(|it| it.objective.is_over())
    }

    /// Opens a letter, and those behind it that go with it.
    async fn open(&mut self, letter: Letter, inbox: &mut mpsc::Receiver<Letter>) {
        let mut next = Some(letter);
        while let Some(letter) = next.take().filter(|_| !self.shared.stop.is_cancelled()) {
            match letter {
                Letter::View(look) => {
                    if self.world.is_none() {
                        self.load().await;
                    }
                    if let Some(world) = &mut self.world {
                        world.outlook = self.shared.outlook(&world.objective);
                    }
                    look(self.world.as_ref());
                }
                Letter::AwaitPullRequest { id, above, reply } => {
                    self.waiting.push((id, above, reply));
                    self.tell_waiting();
                }
                Letter::Stimuli(first) => {
                    let mut letters = vec![*first];
                    while letters[0].are_plain() && letters.len() < TOGETHER && next.is_none() {
                        match inbox.try_recv() {
                            Ok(Letter::Stimuli(it)) if it.go_with(&letters) => letters.push(*it),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.answer(letters).await;
                }
            }
        }
    }

    /// Decides letters as one, and answers each. What cannot be stored together is tried one by one: what is wrong
    /// with one of them is nobody else's.
    async fn answer(&mut self, mut letters: Vec<Stimuli>) {
        let mut replies: Vec<_> = letters.iter_mut().map(|it| it.reply.take()).collect();
        let facts = letters.iter().all(|it| !it.intent);
        let outcome = if facts { self.turn_of_facts(&letters).await } else { self.turn(&letters).await };
        match outcome {
            Ok(receipt) => replies.into_iter().for_each(|reply| self.reply(reply, Ok(receipt.clone()))),
            Err(fault) if letters.len() == 1 => self.reply(replies.pop().flatten(), Err(fault)),
            Err(fault) => {
                debug!(objective.id = %self.objective, error = %fault, "facts are stored one by one");
                for (letter, reply) in letters.iter().zip(replies) {
                    let outcome = self.turn_of_facts(std::slice::from_ref(letter)).await;
                    self.reply(reply, outcome);
                }
            }
        }
    }

    fn reply(
        &self,
        reply: Option<oneshot::Sender<Result<Receipt, SubmitError>>>,
        outcome: Result<Receipt, SubmitError>,
    ) {
        match (reply, outcome) {
            (Some(reply), outcome) => {
                if reply.send(outcome).is_err() {
                    debug!(objective.id = %self.objective, "nobody waited for the answer");
                }
            }
            (None, Ok(_)) => {}
            (None, Err(fault)) => error!(objective.id = %self.objective, error = %fault, "a stimulus was lost"),
        }
    }

    /// Lets time pass for the passes.
    async fn tick(&mut self) {
        let stimuli = Stimuli { stimuli: vec![Stimulus::Tick], intent: true, ..Stimuli::default() };
        if let Err(fault) = self.turn(&[stimuli]).await {
            warn!(objective.id = %self.objective, error = %fault, "the passes could not be run; trying again");
            self.next_wake = Some(self.shared.clock.now() + Duration::from_secs(2));
        }
    }

    /// Facts are the world's own word: they are brought again until they are stored.
    async fn turn_of_facts(&mut self, letters: &[Stimuli]) -> Result<Receipt, SubmitError> {
        let mut delay = Duration::from_millis(50);
        loop {
            match self.turn(letters).await {
                Err(SubmitError::Store(CommitError::StorageFull) | SubmitError::Read(_)) => {
                    warn!(objective.id = %self.objective, "a fact cannot be stored yet; trying again in {delay:?}");
                    tokio::select! {
                        () = self.shared.stop.cancelled() => return Err(SubmitError::ShuttingDown),
                        () = self.shared.clock.sleep(delay) => {}
                    }
                    delay = (delay * 2).min(Duration::from_secs(5));
                }
                other => return other,
            }
        }
    }

    async fn load(&mut self) {
        self.world = match self.shared.load_world(self.objective).await {
            Ok(world) => world,
            Err(fault) => {
                warn!(objective.id = %self.objective, error = %fault, "the objective could not be loaded");
                None
            }
        };
    }

    /// One turn of the wheel: one decision after another, and one transaction.
    async fn turn(&mut self, letters: &[Stimuli]) -> Result<Receipt, SubmitError> {
        for second in [false, true] {
            if self.world.is_none() {
                self.world = self.shared.load_world(self.objective).await?;
            }
            let Some(mut before) = self.world.take() else {
                return Err(Refusal::Unknown {
                    noun: "objective",
                    id: self.objective.to_string(),
                    hint: String::new(),
                }
                .into());
            };
            let now = self.shared.clock.now();
            before.outlook = self.shared.outlook(&before.objective);
            let (world, changes) = match self.decide(&before, letters, now) {
                Ok(decided) => decided,
                Err(refusal) => {
                    self.world = Some(before);
                    return Err(refusal.into());
                }
            };
            if !self.shared.purses.take(&world, second) {
                // Another objective took what was left of a budget that they share: look again, once.
                self.world = Some(before);
                continue;
            }
            let commit = self.commit_of(&world, &changes, letters, now);
            if commit.is_empty() {
                self.settle(world, now);
                return Ok(Receipt { made: changes.made, ..Receipt::default() });
            }
            let did = if changes.did { Did::Something } else { Did::Nothing };
            let ended = !commit.runs.is_empty();
            let stored = self.shared.store(commit).await;
            if stored.is_err() {
                self.shared.purses.take(&before, true);
            }
            match stored {
                Ok(committed) => {
                    purses::released(&self.shared, &before, &world);
                    let moved = may_free_somebody(&world, &changes.before);
                    self.tell_activities(&before, &world, &changes, now);
                    self.settle(world, now);
                    self.shared.lanes.push(&self.shared, self.objective, changes.effects);
                    if moved {
                        self.shared.fleet.nudge();
                    }
                    if ended {
                        self.shared.learning.nudge();
                    }
                    let seq = committed.journal.end.saturating_sub(1);
                    return Ok(Receipt { made: changes.made, seq, did });
                }
                // Somebody else wrote these rows: look again, once.
                Err(CommitError::Conflict { noun, .. }) if !second => {
                    warn!(objective.id = %self.objective, ?noun, "the rows had moved; deciding again");
                }
                Err(CommitError::Guard(refusal)) => {
                    self.world = Some(before);
                    return Err(refusal.into());
                }
                Err(CommitError::AlreadyAnswered { body }) => {
                    self.world = Some(before);
                    return serde_json::from_value(body).map_err(|source| {
                        CommitError::Encode { what: "the receipt", source: Arc::new(source) }.into()
                    });
                }
                Err(fault @ CommitError::StorageFull) => {
                    self.world = Some(before);
                    return Err(fault.into());
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(CommitError::Conflict { noun: NounId::Objective(self.objective), expected: None }.into())
    }

    fn decide(&self, before: &World, letters: &[Stimuli], now: Timestamp) -> Result<(World, Changes), Refusal> {
        let mut ids = || uuid::Uuid::now_v7();
        let mut mind = Mind { now, ids: &mut ids, settings: &self.shared.settings.plan };
        let mut world: Option<World> = None;
        let mut all = Changes::default();
        for letter in letters {
            for stimulus in &letter.stimuli {
                match step_from(world.as_ref().unwrap_or(before), stimulus.clone(), &mut mind) {
                    Ok((next, more)) => {
                        for (noun, before) in more.before {
                            all.before.entry(noun).or_insert(before);
                        }
                        all.effects.extend(more.effects);
                        all.notes.extend(more.notes);
                        all.made = more.made.or(all.made);
                        all.did |= more.did;
                        world = Some(next);
                    }
                    Err(refusal) if letter.intent => return Err(refusal),
                    Err(refusal) => {
                        warn!(objective.id = %self.objective, %refusal, "a fact was refused and passed over");
                    }
                }
            }
        }
        Ok((world.unwrap_or_else(|| before.clone()), all))
    }

    fn settle(&mut self, world: World, now: Timestamp) {
        self.next_wake = passes::next_wake(&world, now, &self.shared.settings.plan);
        self.world = Some(world);
        self.tell_waiting();
    }

    fn tell_activities(&self, before: &World, after: &World, changes: &Changes, now: Timestamp) {
        let changed = changes.before.keys().filter_map(|noun| match noun {
            NounId::Session(id) => after.sessions.get(id),
            _ => None,
        });
        for session in changed {
            if before.sessions.get(&session.id).is_some_and(|it| it.activity == session.activity) {
                continue;
            }
            self.shared.feed.activity(Activity {
                tenant: session.tenant.clone(),
                scope: session.scope.clone(),
                objective: self.objective,
                session: session.id,
                activity: session.activity.clone(),
                tokens: session.counters.used.tokens(),
                at: now,
            });
        }
    }

    fn tell_waiting(&mut self) {
        let Some(world) = &self.world else { return };
        let waiting = std::mem::take(&mut self.waiting);
        for (id, above, reply) in waiting {
            match world.pull_requests.get(&id) {
                Some(it) if it.answered > above => {
                    if reply.send(it.clone()).is_err() {
                        debug!(pull_request.id = %id, "nobody waited for the pull request");
                    }
                }
                Some(_) if !reply.is_closed() => self.waiting.push((id, above, reply)),
                Some(_) | None => {}
            }
        }
    }

    fn commit_of(&self, world: &World, changes: &Changes, letters: &[Stimuli], now: Timestamp) -> Commit {
        let (tenant, scope) = (&world.objective.tenant, &world.objective.scope);
        let mut commit = Commit::at(now);
        commit.changes = rows(world, &changes.before);
        commit.journal = changes
            .notes
            .iter()
            .map(|note| JournalLine {
                tenant: tenant.clone(),
                scope: scope.clone(),
                objective: note.objective,
                session: note.session,
                note: note.clone(),
            })
            .collect();
        commit.orders = changes
            .effects
            .iter()
            .map(|(key, effect)| Order {
                tenant: tenant.clone(),
                scope: scope.clone(),
                objective: Some(self.objective),
                key: *key,
                effect: effect.clone(),
            })
            .collect();
        if changes.before.contains_key(&NounId::Objective(self.objective)) {
            commit.runs.extend(finished(world));
        }
        commit.done = letters.iter().filter_map(|it| it.done).collect();
        commit.guards = letters.iter().flat_map(|it| it.guards.clone()).collect();
        commit.artifacts = letters.iter().flat_map(|it| it.artifacts.clone()).collect();
        commit.transcript = letters.iter().find_map(|it| it.transcript.clone());
        if let Some(append) = &mut commit.transcript {
            append.entries.extend(changes.effects.iter().filter_map(|(_, it)| answered(it, append.session, now)));
        }
        commit.said = changes.effects.iter().filter_map(|(_, it)| said(world, it, now)).collect();
        commit.receipt = letters.iter().find_map(|it| it.key.as_ref()).map(|key| orcha_store::Receipt {
            tenant: tenant.clone(),
            scope: scope.clone(),
            key: key.clone(),
            // The number of the last line is not known before it is stored; whoever asks again does not need it.
            body: serde_json::json!({"made": changes.made, "seq": 0}),
        });
        commit
    }
}

/// The line of a transcript that says how a request of its agent was answered.
fn answered(effect: &Effect, session: SessionId, at: Timestamp) -> Option<NewEntry> {
    let Effect::Permit(it) = effect else { return None };
    (it.session == session).then(|| NewEntry {
        source: "system".into(),
        kind: "status".into(),
        content: if it.allow {
            format!("{} was allowed: {}", it.tool, it.reason)
        } else {
            format!("denied: {}", it.reason)
        },
        metadata: Some(serde_json::json!({"request": it.request, "allowed": it.allow})),
        at,
    })
}

/// The line of a transcript that says what its agent is told: what opens the conversation, and what is steered.
fn said(world: &World, effect: &Effect, at: Timestamp) -> Option<Said> {
    let (session, attempt, source, content, metadata) = match effect {
        Effect::Launch(it) => {
            let opening = it.opening.as_ref()?;
            (it.session, it.attempt, "system", &opening.text, serde_json::json!({"opening": true}))
        }
        Effect::Deliver(it) => {
            let (source, from) = match world.messages.get(&it.message)?.from {
                message::Sender::User => ("user", None),
                message::Sender::Manager { session } => ("system", Some(session)),
                message::Sender::System => ("system", None),
            };
            (it.session, it.attempt, source, &it.text, serde_json::json!({"steer": it.message, "from": from}))
        }
        _ => return None,
    };
    let entry =
        NewEntry { source: source.into(), kind: "text".into(), content: content.clone(), metadata: Some(metadata), at };
    Some(Said { session, attempt, entry })
}

/// Tells whether the schedule has to look again. A session that has a place and keeps it frees nobody else, and
/// neither does what is only said.
fn may_free_somebody(world: &World, before: &BTreeMap<NounId, Option<orcha_base::Revision>>) -> bool {
    before.iter().any(|(noun, was)| match noun {
        NounId::Session(id) => world.sessions.get(id).is_none_or(|it| {
            // Whoever ends a turn holds less of a budget than before.
            it.state.holds().is_none() || (it.counters.reserved.is_none() && waits_for_budget(world))
        }),
        NounId::Workspace(_) => was.is_some(),
        NounId::Objective(_) | NounId::PullRequest(_) | NounId::Target(_) => true,
        NounId::Feedback(_)
        | NounId::Question(_)
        | NounId::Message(_)
        | NounId::Workflow(_)
        | NounId::Task(_)
        | NounId::CheckRun(_)
        | NounId::HandIn(_)
        | NounId::Text(_)
        | NounId::Proposal(_) => false,
    })
}

fn waits_for_budget(world: &World) -> bool {
    let waits = |it: &Session| matches!(it.state, State::WaitingCapacity { why: Waiting::Budget { .. }, .. });
    world.sessions.values().any(waits)
}

/// Picks the changed rows out of a world.
pub(crate) fn rows(world: &World, before: &BTreeMap<NounId, Option<orcha_base::Revision>>) -> Vec<Change> {
    let row = |noun: &NounId| match noun {
        NounId::Objective(_) => Some(Row::Objective(world.objective.clone())),
        NounId::Session(id) => world.sessions.get(id).cloned().map(Row::Session),
        NounId::Workspace(id) => world.workspaces.get(id).cloned().map(Row::Workspace),
        NounId::PullRequest(id) => world.pull_requests.get(id).cloned().map(Row::PullRequest),
        NounId::Feedback(id) => world.feedback.get(id).cloned().map(Row::Feedback),
        NounId::Question(id) => world.questions.get(id).cloned().map(Row::Question),
        NounId::Message(id) => world.messages.get(id).cloned().map(Row::Message),
        NounId::Workflow(_) => world.workflow.clone().map(Row::Workflow),
        NounId::Task(id) => world.tasks.get(id).cloned().map(Row::Task),
        NounId::CheckRun(id) => world.check_runs.get(id).cloned().map(Row::CheckRun),
        NounId::HandIn(id) => world.hand_ins.get(id).cloned().map(Row::HandIn),
        NounId::Target(_) | NounId::Text(_) | NounId::Proposal(_) => None,
    };
    before.iter().filter_map(|(noun, expected)| Some(Change { row: row(noun)?, expected: *expected })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Hands, NewObjective, Orch, Settings, SystemClock};
    use futures::future::join_all;
    use orcha_base::Attempt;
    use orcha_forge::fake::FakeForge;
    use orcha_model::question;
    use orcha_plan::NewQuestion;
    use orcha_store::{Store, StoreOptions};

    type Answer = Result<Receipt, SubmitError>;

    /// A wheel with one objective whose manager waits for a target that never comes.
    struct Stage {
        orch: Orch,
        objective: ObjectiveId,
        manager: SessionId,
        _folder: tempfile::TempDir,
    }

    impl Stage {
        async fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
            let hands = Hands::new(Arc::new(FakeForge::new()));
            let orch = Orch::start(store, hands, Settings::default(), Arc::new(SystemClock)).await.unwrap();
            let mut journal = orch.journal();
            let (objective, _) = orch.create_objective(&Actor::default(), NewObjective::new("Wait.")).await.unwrap();
            // The schedule has said by then that there is no place, and says the same thing once.
            let waits = |it: &&Session| matches!(it.state, State::WaitingCapacity { .. });
            let manager = loop {
                let look = move |world: &World| world.sessions.values().find(waits).map(|it| it.id);
                match orch.view(objective.id, look).await.unwrap() {
                    Some(manager) => break manager,
                    None => drop(journal.recv().await.unwrap()),
                }
            };
            Self { orch, objective: objective.id, manager, _folder: folder }
        }

        /// Puts letters into the inbox while nobody opens any, and returns the answers.
        async fn together<const N: usize>(&self, letters: [Stimuli; N]) -> [Answer; N] {
            let (held, holds) = oneshot::channel();
            let (release, released) = std::sync::mpsc::channel::<()>();
            let (shared, objective) = (Arc::clone(&self.orch.shared), self.objective);
            let looking = tokio::spawn(async move {
                let look = move |_: &World| {
                    held.send(()).unwrap();
                    released.recv().unwrap();
                };
                shared.view(objective, look).await.unwrap();
            });
            holds.await.unwrap();
            let mut answers = Vec::new();
            for letter in letters {
                answers.push(self.orch.shared.hand_over(self.objective, letter).await.unwrap());
            }
            release.send(()).unwrap();
            looking.await.unwrap();
            let heard: Vec<Answer> = join_all(answers).await.into_iter().map(Result::unwrap).collect();
            heard.try_into().unwrap()
        }
    }

    /// Something that leaves a line in the journal: the number of the last line tells transactions apart.
    fn asks(cause: &str) -> Stimuli {
        let question = NewQuestion {
            session: None,
            cause: cause.into(),
            about: question::About::Asked,
            priority: 0,
            text: "Well?".into(),
            context: None,
            options: Vec::new(),
        };
        Stimuli { stimuli: vec![Stimulus::NewQuestion(question)], ..Stimuli::default() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn promise_3_facts_that_wait_together_are_one_transaction_and_an_intent_is_its_own() {
        let stage = Stage::open().await;
        let [one, two, three] = stage.together([asks("1"), asks("2"), asks("3")]).await.map(|it| it.unwrap().seq);
        assert!(one > 0 && one == two && two == three, "{one} {two} {three}");
        let intent = Stimuli { intent: true, ..asks("5") };
        let [one, two, three] = stage.together([asks("4"), intent, asks("6")]).await.map(|it| it.unwrap().seq);
        assert!(one < two && two < three, "{one} {two} {three}");
        let asked = stage.orch.view(stage.objective, |world| world.open_questions().count()).await.unwrap();
        assert_eq!(asked, 6);
        stage.orch.shut_down().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_wrong_with_one_fact_is_nobody_elses() {
        let stage = Stage::open().await;
        let elsewhere = TranscriptAppend {
            session: stage.manager,
            attempt: Attempt(1),
            expected: Some(serde_json::json!("somewhere else")),
            next: serde_json::json!("further on"),
            entries: Vec::new(),
        };
        let wrong = Stimuli { transcript: Some(elsewhere), ..asks("2") };
        let [first, second, third] = stage.together([asks("1"), wrong, asks("3")]).await;
        assert!(first.unwrap().seq < third.unwrap().seq);
        assert!(matches!(second, Err(SubmitError::Store(CommitError::CursorMoved { .. }))), "{second:?}");
        let asked = stage.orch.view(stage.objective, |world| world.open_questions().count()).await.unwrap();
        assert_eq!(asked, 2);
        stage.orch.shut_down().await;
    }
}
