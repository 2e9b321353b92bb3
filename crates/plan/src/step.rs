//! One turn of the mind: a stimulus meets the world, and the passes run until nothing is left to propose.
//!
//! Everything that one turn changes belongs into one transaction. A refusal leaves the world as it was.

mod again;
mod asking;

use crate::budget::{Estimates, room};
use crate::{World, passes, prompt};
use orcha_base::{
    BranchName, FeedbackId, MessageId, PullRequestId, QuestionId, RepoUrl, Revision, SessionId, TargetId, Timestamp,
    WorkspaceId,
};
use orcha_model::budget::{Room, Scope};
use orcha_model::delivery::Action;
use orcha_model::effect::{Checkout, CheckoutStart};
use orcha_model::guard::Counters;
use orcha_model::push::{PushFacts, PushVerdict, push_verdict};
use orcha_model::session::{AgentChoice, RepoChoice};
use orcha_model::{
    Decision, Effect, EffectKey, Feedback, Message, Note, NoteKind, NounId, PullRequest, Question, Refusal, Role,
    Session, Trip, Workspace, feedback, message, objective, pull_request, question, role, session, workflow, workspace,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// What supervision, triage and reclaim go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a manager may be idle before it is poked, and between two pokes or managers.
    pub manager_idle: Duration,
    /// How many managers that had their chance an objective may use up.
    pub managers_genuine: u32,
    /// How many managers it may use up in all.
    pub managers_total: u32,
    /// How many pokes in a row may lead to nothing.
    pub pokes: u32,
    /// How long feedback is collected before somebody is sent.
    pub feedback_debounce: Duration,
    /// How long a finished workspace is left alone.
    pub reclaim_after: Duration,
    /// Which kinds of agents take over from which while its provider refuses, where a session says nothing of that.
    pub fallback: BTreeMap<String, Vec<String>>,
    /// A wait for a provider that is shorter is sat out by whoever has a conversation.
    pub fallback_after: Duration,
    /// What turns are expected to take.
    pub estimates: Estimates,
    /// How many tasks one plan of a workflow may have.
    pub most_tasks: usize,
    /// How many tasks of one workflow are worked on side by side.
    pub parallel_tasks: usize,
    /// How many sessions may try one step of a workflow, or one task.
    pub step_tries: usize,
    /// The kinds of agents that hear one prompt in each process: the next one opens the next attempt.
    pub hears_once: BTreeSet<String>,
}

impl Default for Settings {
    /// 90 s, 4 and 16 are the figures of the published supervisor; the others are ours.
    fn default() -> Self {
        Self {
            manager_idle: Duration::from_secs(90),
            managers_genuine: 4,
            managers_total: 16,
            pokes: 3,
            feedback_debounce: Duration::from_secs(2),
            reclaim_after: Duration::from_secs(600),
            fallback: BTreeMap::new(),
            fallback_after: Duration::from_secs(60),
            estimates: Estimates::default(),
            most_tasks: 40,
            parallel_tasks: 3,
            step_tries: 3,
            hears_once: BTreeSet::new(),
        }
    }
}

/// What the mind is given besides the world: the instant, new ids, the settings.
pub struct Mind<'a> {
    /// The instant of this turn.
    pub now: Timestamp,
    /// Makes a new id; the caller draws it.
    pub ids: &'a mut dyn FnMut() -> Uuid,
    /// What the passes go by.
    pub settings: &'a Settings,
}

impl std::fmt::Debug for Mind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mind").field("now", &self.now).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Something that meets the world: an intent, a fact, or a proposal of a pass.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "a noun and its input")]
pub enum Stimulus {
    Objective(objective::Input),
    Session(SessionId, session::Input),
    Workspace(WorkspaceId, workspace::Input),
    PullRequest(PullRequestId, pull_request::Input),
    Feedback(FeedbackId, feedback::Input),
    Question(QuestionId, question::Input),
    Message(MessageId, message::Input),
    /// The schedule found a target: a workspace is made or taken, and the session placed.
    Place {
        session: SessionId,
        target: TargetId,
    },
    /// A session is wanted.
    NewSession(Box<NewSession>),
    /// A failed or canceled session is wanted once more, as a new one.
    TryAgain(SessionId),
    /// Something is to be said.
    NewMessage(NewMessage),
    /// Something is to be asked.
    NewQuestion(NewQuestion),
    /// Feedback came in.
    NewFeedback(NewFeedback),
    /// A pull request is wanted for a session's work.
    Publish(NewPublication),
    /// A turn ended, or a process: the surroundings are filled in here.
    TurnEnded {
        session: SessionId,
        attempt: orcha_base::Attempt,
        end: session::TurnEnd,
    },
    Exited {
        session: SessionId,
        attempt: orcha_base::Attempt,
        exit: session::Exit,
    },
    /// A checkout is there: what to say first is filled in here.
    Prepared {
        session: SessionId,
        attempt: orcha_base::Attempt,
        workspace: WorkspaceId,
        facts: workspace::Facts,
    },
    /// An agent used tokens: the session and the objective count them.
    Used {
        session: SessionId,
        attempt: orcha_base::Attempt,
        usage: orcha_model::guard::Usage,
    },
    /// Something about the workflow of the objective.
    Workflow(Box<OfWorkflow>),
    /// Nothing but time passed.
    Tick,
}

/// A session that is wanted.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a session")]
pub struct NewSession {
    pub parent: Option<SessionId>,
    pub role: Role,
    pub agent: Option<AgentChoice>,
    pub title: String,
    pub goal: String,
    pub depends_on: Vec<SessionId>,
    pub priority: Option<i32>,
    pub pin: Option<TargetId>,
    pub labels: Vec<String>,
    pub repo: Option<RepoChoice>,
    pub pull_request: Option<PullRequestId>,
    pub reviews: Option<SessionId>,
    pub retries: Option<SessionId>,
    pub part: Option<workflow::Part>,
}

impl NewSession {
    /// A session of a role with a title and a goal, and nothing special about it.
    pub fn new(role: Role, title: impl Into<String>, goal: impl Into<String>) -> Self {
        Self {
            parent: None,
            role,
            agent: None,
            title: title.into(),
            goal: goal.into(),
            depends_on: Vec::new(),
            priority: None,
            pin: None,
            labels: Vec::new(),
            repo: None,
            pull_request: None,
            reviews: None,
            retries: None,
            part: None,
        }
    }
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a message")]
pub struct NewMessage {
    pub session: SessionId,
    pub from: message::Sender,
    pub cause: String,
    pub text: String,
    pub interrupt: bool,
    pub answers: Option<QuestionId>,
}

/// Something to be asked.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a question")]
pub struct NewQuestion {
    pub session: Option<SessionId>,
    pub cause: String,
    pub about: question::About,
    pub priority: i32,
    pub text: String,
    pub context: Option<String>,
    pub options: Vec<String>,
}

/// Feedback that came in.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of feedback")]
pub struct NewFeedback {
    pub pull_request: PullRequestId,
    pub external: String,
    pub kind: feedback::Kind,
    pub author: String,
    pub trust: feedback::Trust,
    pub body: String,
}

/// A pull request that is wanted for a session's work.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPublication {
    /// The session whose work it is.
    pub session: SessionId,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The message of a commit for what is left uncommitted; the title if there is none.
    pub commit_message: Option<String>,
    /// The branch that it comes from; that of the checkout if none is named.
    pub head: Option<BranchName>,
    /// Whether it is opened as a draft.
    pub draft: bool,
    /// The closed pull request whose place it takes, because the user decided so, and the checkout with the work.
    pub replaces: Option<(PullRequestId, WorkspaceId)>,
}

/// Everything that one turn changed, for one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The nouns that changed, with the revision that they had before: `None` for new ones.
    pub before: BTreeMap<NounId, Option<Revision>>,
    /// What must be done, with the key and in the order of deciding.
    pub effects: Vec<(EffectKey, Effect)>,
    /// What the journal says.
    pub notes: Vec<Note>,
    /// The newest noun made on request: what the asker wants to know.
    pub made: Option<NounId>,
    /// Whether the stimulus itself changed or ordered something, whatever the passes did behind it.
    pub did: bool,
}

/// How many rounds of passes one turn may take; more means that two passes undo each other.
const ROUNDS: usize = 100;

/// Lets a stimulus meet the world and runs the passes. On a refusal the world is as it was.
pub fn step(world: &mut World, stimulus: Stimulus, mind: &mut Mind<'_>) -> Result<Changes, Refusal> {
    let (next, changes) = step_from(world, stimulus, mind)?;
    *world = next;
    Ok(changes)
}

/// Lets a stimulus meet a world, and returns the world that follows: the one before stays as it is.
pub fn step_from(world: &World, stimulus: Stimulus, mind: &mut Mind<'_>) -> Result<(World, Changes), Refusal> {
    let mut next = world.clone();
    let mut turn = Turn { world: &mut next, mind, changes: Changes::default() };
    turn.meet(stimulus)?;
    let made = turn.changes.made;
    let did = !turn.changes.before.is_empty() || !turn.changes.effects.is_empty();
    for _ in 0..ROUNDS {
        let proposals = passes::propose(turn.world, turn.mind.now, turn.mind.settings);
        let mut taken = false;
        for proposal in proposals {
            match turn.meet(proposal) {
                Ok(()) => taken = true,
                Err(refusal) => {
                    let note = Note::new(NoteKind::StaleFactIgnored, format!("a proposal was refused: {refusal}"));
                    turn.changes.notes.push(note);
                }
            }
        }
        // What was refused would be proposed again, and refused again.
        if !taken {
            break;
        }
    }
    let mut changes = turn.changes;
    (changes.made, changes.did) = (made, did);
    for note in &mut changes.notes {
        note.objective = Some(next.objective.id);
    }
    Ok((next, changes))
}

struct Turn<'w, 'm, 'a> {
    world: &'w mut World,
    mind: &'m mut Mind<'a>,
    changes: Changes,
}

/// Takes what a decision came to: a noun that changed is put back, with its revision.
///
/// The row as it was is not touched: it is shared with the world that the turn began with.
macro_rules! settle {
    ($turn:ident, $id:expr, $before:expr, $decision:expr, |$next:ident| $put:expr) => {{
        let Decision { next: mut $next, effects, notes, ignored } = $decision;
        let (id, before): (NounId, Revision) = ($id, $before);
        let revision = if ignored.is_none() {
            // One turn raises a noun's revision once, whatever happens to it in between.
            let first = *$turn.changes.before.entry(id).or_insert(Some(before));
            let revision = first.map_or(before, Revision::next);
            $next.revision = revision;
            $put;
            revision
        } else {
            before.next()
        };
        for effect in effects {
            $turn.order(id, revision, effect);
        }
        $turn.changes.notes.extend(notes);
    }};
}

mod pipeline;

pub use again::{Published, first_sessions, published};
pub use pipeline::{AddTask, OfWorkflow, Play};

impl Turn<'_, '_, '_> {
    fn meet(&mut self, stimulus: Stimulus) -> Result<(), Refusal> {
        let now = self.mind.now;
        match stimulus {
            Stimulus::Tick => Ok(()),
            Stimulus::Workflow(of) => self.of_workflow(*of),
            Stimulus::Objective(objective::Input::Resume) => self.resume_objective(),
            Stimulus::Workspace(id, workspace::Input::Restore { .. }) if self.worker_in(id).is_some() => {
                // Nothing is changed under the hands of an agent.
                self.worker_in(id).map_or(Ok(()), |holder| Err(Refusal::WorkspaceBusy { holder }))
            }
            Stimulus::Objective(objective::Input::Done { .. }) if self.world.has_live_pull_request() => {
                // Asked here, in the turn that would end it: one may have been opened since somebody looked.
                let open = self.world.pull_requests.values().filter(|it| it.state.is_live());
                Err(Refusal::OpenPullRequests { open: open.map(PullRequest::label).collect() })
            }
            Stimulus::Objective(input) => self.objective(input),
            Stimulus::Session(id, session::Input::PermissionAsked { attempt, asked }) => {
                self.permission_asked(id, attempt, asked)
            }
            Stimulus::Session(id, input @ session::Input::Trespassed { .. }) => self.trespassed(id, input),
            Stimulus::Session(id, input) => self.session(id, input),
            Stimulus::Workspace(id, input) => {
                let it = self.world.workspaces.get(&id).ok_or_else(|| unknown("workspace", id))?;
                let (before, decision) = (it.revision, workspace::decide(it, input, now)?);
                settle!(self, NounId::Workspace(id), before, decision, |next| self.world.workspaces.insert(id, next));
                Ok(())
            }
            Stimulus::PullRequest(id, input) => {
                let it = self.world.pull_requests.get(&id).ok_or_else(|| unknown("pull request", id))?;
                let (before, decision) = (it.revision, pull_request::decide(it, input, now)?);
                settle!(self, NounId::PullRequest(id), before, decision, |next| self
                    .world
                    .pull_requests
                    .insert(id, next));
                Ok(())
            }
            Stimulus::Feedback(id, input) => {
                let it = self.world.feedback.get(&id).ok_or_else(|| unknown("feedback", id))?;
                let (before, decision) = (it.revision, feedback::decide(it, input, now)?);
                settle!(self, NounId::Feedback(id), before, decision, |next| self.world.feedback.insert(id, next));
                Ok(())
            }
            Stimulus::Question(id, input) => {
                let it = self.world.questions.get(&id).ok_or_else(|| unknown("question", id))?;
                let (before, decision) = (it.revision, question::decide(it, input, now)?);
                settle!(self, NounId::Question(id), before, decision, |next| self.world.questions.insert(id, next));
                Ok(())
            }
            Stimulus::Message(id, input) => {
                // A message that was settled long ago is no longer in the world; what is said of it is stale.
                let Some(it) = self.world.messages.get(&id) else { return Ok(()) };
                let to = it.session;
                let taken_up = match input {
                    message::Input::Accepted { attempt } if it.state == message::State::Sent { attempt } => {
                        Some(attempt)
                    }
                    _ => None,
                };
                let (before, decision) = (it.revision, message::decide(it, input, now)?);
                settle!(self, NounId::Message(id), before, decision, |next| self.world.messages.insert(id, next));
                // An agent that takes something up is at work, whatever was read of it before.
                match taken_up.filter(|attempt| self.world.holds(to, *attempt)) {
                    Some(attempt) => self.session(to, session::Input::Spoken { attempt, message: id }),
                    None => Ok(()),
                }
            }
            Stimulus::Place { session, target } => self.place(session, target),
            Stimulus::NewSession(new) => self.new_session(*new),
            Stimulus::TryAgain(id) => self.try_again(id),
            Stimulus::NewMessage(new) => self.new_message(new),
            Stimulus::NewQuestion(new) => self.new_question(new),
            Stimulus::NewFeedback(new) => self.new_feedback(new),
            Stimulus::Publish(new) => self.publish(new),
            Stimulus::TurnEnded { session, attempt, end } => {
                let around = self.world.around(session);
                self.session(session, session::Input::TurnEnded { attempt, end, around })
            }
            Stimulus::Exited { session, attempt, exit } => {
                let around = self.world.around(session);
                self.session(session, session::Input::Exited { attempt, exit, around })
            }
            Stimulus::Prepared { session, attempt, workspace, facts } => {
                let dir = facts.dir.clone();
                self.meet(Stimulus::Workspace(workspace, workspace::Input::Prepared(facts)))?;
                let it = self.world.sessions.get(&session).ok_or_else(|| unknown("session", session))?;
                let opening = prompt::opening(self.world, it, attempt);
                let conversation = (self.mind.ids)().to_string();
                // Said a second time, a folder starts nothing.
                let awaited = it.state.is_preparing(attempt);
                let opens = opening.as_ref().filter(|_| awaited).and_then(|it| it.message);
                self.session(session, session::Input::Prepared { attempt, dir, conversation, opening })?;
                match opens {
                    Some(id) => self.meet(Stimulus::Message(id, message::Input::Opens { attempt })),
                    None => Ok(()),
                }
            }
            Stimulus::Used { session, attempt, usage } => {
                self.meet(Stimulus::Objective(objective::Input::Used { usage }))?;
                self.session(session, session::Input::Used { attempt, usage })
            }
        }
    }

    /// Returns the session whose process may be writing in a workspace.
    fn worker_in(&self, workspace: WorkspaceId) -> Option<SessionId> {
        let holds = |it: &&Session| it.workspace == Some(workspace) && it.state.holds().is_some();
        self.world.sessions.values().find(holds).map(|it| it.id)
    }

    fn order(&mut self, noun: NounId, revision: Revision, effect: Effect) {
        let ordinal =
            self.changes.effects.iter().filter(|(key, _)| key.noun == noun && key.revision == revision).count();
        let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
        self.changes.effects.push((EffectKey { noun, revision, ordinal }, effect));
    }

    fn objective(&mut self, input: objective::Input) -> Result<(), Refusal> {
        let it = &self.world.objective;
        let (id, before) = (NounId::Objective(it.id), it.revision);
        let decision = objective::decide(it, input, self.mind.now)?;
        settle!(self, id, before, decision, |next| self.world.objective = next);
        Ok(())
    }

    fn session(&mut self, id: SessionId, input: session::Input) -> Result<(), Refusal> {
        let limits = self.world.objective.limits;
        let it = self.world.sessions.get(&id).ok_or_else(|| unknown("session", id))?;
        // An ignored fact may still order something (end a stray process): the row then counts one change on.
        let (before, decision) = (it.revision, touch(session::decide(it, input, &limits, self.mind.now)?));
        settle!(self, NounId::Session(id), before, decision, |next| self.world.sessions.insert(id, next));
        Ok(())
    }

    /// What a looker changed counts like anything else that a role hands in and that is not its own.
    fn trespassed(&mut self, id: SessionId, input: session::Input) -> Result<(), Refusal> {
        let known = |turn: &Self| turn.world.sessions.get(&id).map_or(0, |it| it.trespasses.len());
        let before = known(self);
        self.session(id, input)?;
        let things = u32::try_from(known(self).saturating_sub(before)).unwrap_or(u32::MAX);
        let plays = self.world.sessions.get(&id).is_some_and(|it| it.part.is_some());
        if things > 0 && plays && self.world.workflow.is_some() {
            let violated = orcha_model::workflow::Input::Violated { things };
            self.of_workflow(OfWorkflow::It(violated))?;
        }
        Ok(())
    }

    fn place(&mut self, id: SessionId, target: TargetId) -> Result<(), Refusal> {
        let session = self.world.sessions.get(&id).ok_or_else(|| unknown("session", id))?.clone();
        if self.world.objective.tripped.is_some() {
            let rule = "a guard paused its objective";
            return Err(Refusal::State { noun: "session", id: id.to_string(), state: session.state.name(), rule });
        }
        let reserved = match room(self.world, &session, self.mind.settings) {
            Room::Fits(amount) => session::Input::Reserve { amount },
            Room::Later(trip) => {
                let why = session::Waiting::Budget { detail: trip.to_string() };
                return self.session(id, session::Input::Held { why, until: None });
            }
            Room::Never(trip @ Trip::Budget { scope: Scope::Session, .. }) => {
                return self.session(id, session::Input::Trip { trip });
            }
            Room::Never(trip) => return self.objective(objective::Input::Trip { trip }),
        };
        let checkout = self.checkout_for(&session, target)?;
        let known = session
            .workspace
            .and_then(|it| self.world.workspaces.get(&it))
            .filter(|it| it.target == target)
            .map(|it| it.id);
        let workspace = match known {
            Some(workspace) => {
                self.meet(Stimulus::Workspace(workspace, workspace::Input::PrepareAgain))?;
                workspace
            }
            None => self.new_workspace(&session, target, checkout.as_ref()),
        };
        self.session(id, reserved)?;
        self.session(id, session::Input::Place { target, workspace, checkout })
    }

    fn checkout_for(&self, session: &Session, target: TargetId) -> Result<Option<Checkout>, Refusal> {
        if let role::Checkout::PullRequest = session.role.traits().checkout {
            let id = session
                .pull_request
                .ok_or(Refusal::Invalid { field: "pull_request", rule: "a follow-up needs one".into() })?;
            let pr = self.world.pull_requests.get(&id).ok_or_else(|| unknown("pull request", id))?;
            return Ok(Some(Checkout {
                repo: pr.repo.clone(),
                base: Some(pr.base.clone()),
                branch: pr.branch.clone(),
                start: CheckoutStart::Branch,
            }));
        }
        if let role::Checkout::Nothing = session.role.traits().checkout {
            return Ok(None);
        }
        let Some(repo) = session.repo.clone().or_else(|| self.world.objective.repo.clone()) else {
            return Ok(None);
        };
        let workspaces: Vec<(WorkspaceId, BranchName)> = self
            .world
            .goes_on_with(session)
            .filter_map(|it| self.world.workspaces.get(&it.workspace?))
            .filter(|it| it.target == target && it.repo.as_ref() == Some(&repo.url) && it.checkout.is_some())
            .filter_map(|it| Some((it.id, it.branch.clone()?)))
            .collect();
        let start = if workspaces.is_empty() { CheckoutStart::Base } else { CheckoutStart::After { workspaces } };
        let name = format!("orcha/{}-{}", session.role.name(), session.id.short());
        let branch: BranchName = name
            .parse()
            .map_err(|_| Refusal::Invalid { field: "branch", rule: format!("`{name}` is not a branch name") })?;
        Ok(Some(Checkout { repo: repo.url, base: repo.base, branch, start }))
    }

    fn new_workspace(&mut self, session: &Session, target: TargetId, checkout: Option<&Checkout>) -> WorkspaceId {
        let id = WorkspaceId::from_uuid((self.mind.ids)());
        let kind = match checkout.map(|it| &it.start) {
            Some(CheckoutStart::Branch) => workspace::Kind::PrBranch,
            Some(CheckoutStart::Base | CheckoutStart::After { .. }) | None => workspace::Kind::Isolated,
        };
        let row = Workspace {
            id,
            tenant: session.tenant.clone(),
            scope: session.scope.clone(),
            revision: Revision(1),
            objective: session.objective,
            session: session.id,
            target,
            kind,
            repo: checkout.map(|it| it.repo.clone()),
            branch: checkout.map(|it| it.branch.clone()),
            checkout: None,
            state: workspace::State::Preparing,
            snapshot: None,
            kept_because: None,
            reclaim_asked_at: None,
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        self.made(NounId::Workspace(id));
        self.world.workspaces.insert(id, row);
        self.changes.notes.push(
            Note::new(NoteKind::WorkspacePreparing, format!("making a workspace for {}", session.title)).of(session.id),
        );
        id
    }

    fn made(&mut self, id: NounId) {
        self.changes.before.insert(id, None);
        self.changes.made = Some(id);
    }

    fn new_session(&mut self, new: NewSession) -> Result<(), Refusal> {
        let world = &*self.world;
        if world.objective.is_over() {
            let id = world.objective.id.to_string();
            return Err(Refusal::Over { noun: "objective", id, state: world.objective.state.name() });
        }
        for text in [("title", &new.title, 200), ("goal", &new.goal, 256 * 1024)] {
            if text.1.trim().is_empty() || text.1.len() > text.2 {
                return Err(Refusal::Invalid {
                    field: text.0,
                    rule: format!("must have between 1 and {} bytes", text.2),
                });
            }
        }
        for id in &new.depends_on {
            let Some(it) = world.sessions.get(id) else {
                let known: Vec<String> =
                    world.sessions.values().filter(|it| it.role != Role::Manager).map(|it| it.id.to_string()).collect();
                let hint = if known.is_empty() {
                    "; there are no sessions yet".to_owned()
                } else {
                    format!("; there are {}", known.join(", "))
                };
                return Err(Refusal::Unknown { noun: "session (dependency)", id: id.to_string(), hint });
            };
            if matches!(it.state, session::State::Failed { .. } | session::State::Canceled { .. }) {
                let rule = format!("must not name {id}, which is {}", it.state.name());
                return Err(Refusal::Invalid { field: "dependencies", rule });
            }
        }
        if new.role == Role::Manager && world.live_manager().is_some() {
            return Err(Refusal::Invalid { field: "role", rule: "must not be manager: the objective has one".into() });
        }
        let objective = &world.objective;
        objective.policy.agent("agent", &new.agent.as_ref().unwrap_or(&objective.agent).kind)?;
        let id = SessionId::from_uuid((self.mind.ids)());
        let row = Session {
            id,
            tenant: objective.tenant.clone(),
            scope: objective.scope.clone(),
            revision: Revision(1),
            objective: objective.id,
            parent: new.parent,
            role: new.role,
            agent: new.agent.unwrap_or_else(|| objective.agent.clone()),
            title: new.title,
            goal: new.goal,
            priority: new.priority.unwrap_or(objective.priority),
            pin: new.pin,
            labels: new.labels,
            repo: new.repo,
            pull_request: new.pull_request,
            reviews: new.reviews,
            retries: new.retries,
            workspace: None,
            conversation: None,
            handover: None,
            attempt: orcha_base::Attempt(0),
            faults: 0,
            report: None,
            activity: None,
            latest_summary: None,
            told: false,
            part: new.part,
            counters: Counters::default(),
            stopping: None,
            opened_at: None,
            asks: Vec::new(),
            asked: 0,
            grants: Vec::new(),
            confinement: None,
            trespasses: Vec::new(),
            // Whoever goes on with the work of others is released by the cascade.
            state: session::State::Queued { released: new.depends_on.is_empty() && new.reviews.is_none() },
            depends_on: new.depends_on,
            created_at: self.mind.now,
            started_at: None,
            updated_at: self.mind.now,
            completed_at: None,
        };
        let note = Note::new(NoteKind::SessionCreated, format!("{} ({}) was created", row.title, row.role)).of(id);
        let manager = row.role == Role::Manager;
        self.world.sessions.insert(id, row);
        self.changes.notes.push(note);
        let input = if manager { objective::Input::ManagerMade } else { objective::Input::Moved };
        self.meet(Stimulus::Objective(input))?;
        self.made(NounId::Session(id));
        Ok(())
    }

    fn new_message(&mut self, new: NewMessage) -> Result<(), Refusal> {
        let session = self.world.sessions.get(&new.session).ok_or_else(|| unknown("session", new.session))?;
        if session.is_over() {
            return Err(Refusal::Over { noun: "session", id: session.id.to_string(), state: session.state.name() });
        }
        if new.text.trim().is_empty() || new.text.len() > 256 * 1024 {
            return Err(Refusal::Invalid { field: "message", rule: "must have between 1 byte and 256 KiB".into() });
        }
        if let Some(same) = self.world.messages.values().find(|it| it.session == new.session && it.cause == new.cause) {
            self.changes.made = Some(NounId::Message(same.id));
            return Ok(());
        }
        let id = MessageId::from_uuid((self.mind.ids)());
        let row = Message {
            id,
            tenant: session.tenant.clone(),
            scope: session.scope.clone(),
            revision: Revision(1),
            objective: session.objective,
            session: session.id,
            from: new.from,
            cause: new.cause,
            text: new.text,
            interrupt: new.interrupt,
            answers: new.answers,
            state: message::State::Queued { interrupted: None },
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        self.changes.notes.push(
            Note::new(NoteKind::MessageQueued, format!("a message for {}", session.title))
                .of(session.id)
                .with("message_id", id),
        );
        self.world.messages.insert(id, row);
        self.made(NounId::Message(id));
        Ok(())
    }

    fn new_question(&mut self, new: NewQuestion) -> Result<(), Refusal> {
        if let Some(open) = self.world.open_questions().find(|it| it.cause == new.cause) {
            return Err(Refusal::AlreadyAsked { question: open.id });
        }
        if new.text.trim().is_empty() || new.text.len() > 64 * 1024 {
            return Err(Refusal::Invalid { field: "question", rule: "must have between 1 byte and 64 KiB".into() });
        }
        let id = QuestionId::from_uuid((self.mind.ids)());
        let objective = &self.world.objective;
        let mut note = Note::new(NoteKind::AskUser, new.text.clone()).with("question_id", id);
        note.session = new.session;
        let row = Question {
            id,
            tenant: objective.tenant.clone(),
            scope: objective.scope.clone(),
            revision: Revision(1),
            objective: objective.id,
            session: new.session,
            cause: new.cause,
            about: new.about,
            priority: new.priority,
            text: new.text,
            context: new.context,
            options: new.options,
            state: question::State::Open,
            created_at: self.mind.now,
            updated_at: self.mind.now,
            answered_at: None,
        };
        self.world.questions.insert(id, row);
        self.changes.notes.push(note);
        self.made(NounId::Question(id));
        Ok(())
    }

    fn new_feedback(&mut self, new: NewFeedback) -> Result<(), Refusal> {
        let pr =
            self.world.pull_requests.get(&new.pull_request).ok_or_else(|| unknown("pull request", new.pull_request))?;
        if let Some(same) =
            self.world.feedback.values().find(|it| it.pull_request == new.pull_request && it.external == new.external)
        {
            self.changes.made = Some(NounId::Feedback(same.id));
            return Ok(());
        }
        let id = FeedbackId::from_uuid((self.mind.ids)());
        let note = Note::new(NoteKind::PrFeedbackIngested, format!("{} on {} by {}", new.kind, pr.label(), new.author))
            .with("pr_id", pr.id);
        let row = Feedback {
            id,
            tenant: pr.tenant.clone(),
            scope: pr.scope.clone(),
            revision: Revision(1),
            objective: pr.objective,
            pull_request: pr.id,
            external: new.external,
            kind: new.kind,
            author: new.author,
            trust: new.trust,
            body: new.body,
            tries: 0,
            state: feedback::State::New,
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        self.world.feedback.insert(id, row);
        self.changes.notes.push(note);
        self.made(NounId::Feedback(id));
        Ok(())
    }

    /// Makes the pull request for a session's work and orders it to be opened.
    fn publish(&mut self, new: NewPublication) -> Result<(), Refusal> {
        if self.world.objective.is_over() {
            let id = self.world.objective.id.to_string();
            return Err(Refusal::Over { noun: "objective", id, state: self.world.objective.state.name() });
        }
        self.world.objective.policy.delivery("pull_request", Action::PullRequest)?;
        if new.title.trim().is_empty() || new.title.len() > 200 || new.title.contains('\n') {
            return Err(Refusal::Invalid { field: "title", rule: "must be one line of at most 200 bytes".into() });
        }
        if new.body.len() > 64 * 1024 {
            return Err(Refusal::Invalid { field: "body", rule: "must have at most 64 KiB".into() });
        }
        let session = self.world.sessions.get(&new.session).ok_or_else(|| unknown("session", new.session))?.clone();
        let refuse =
            |rule| Refusal::State { noun: "session", id: session.id.to_string(), state: session.state.name(), rule };
        if new.replaces.is_none() && !matches!(session.state, session::State::Succeeded { .. }) {
            return Err(refuse("only the work of a session that succeeded is published"));
        }
        let workspace = new.replaces.map(|(_, workspace)| workspace).or(session.workspace);
        let workspace = workspace.and_then(|it| self.world.workspaces.get(&it)).cloned();
        let workspace = workspace.ok_or_else(|| refuse("it has no workspace"))?;
        let (Some(repo), Some(mut branch), Some(base)) = (
            workspace.repo.clone(),
            workspace.branch.clone(),
            workspace.checkout.as_ref().and_then(|it| it.base.clone()),
        ) else {
            return Err(refuse("it has no checkout of a repository"));
        };
        if let Some(head) = new.head {
            branch = head;
        }
        if new.replaces.is_some() {
            branch = self.free_branch(&repo, &branch)?;
        }
        for other in self.world.pull_requests.values().filter(|it| it.repo == repo && it.branch == branch) {
            may_publish_beside(other)?;
        }
        let commit_message = new.commit_message.unwrap_or_else(|| new.title.clone());
        let row = PullRequest {
            id: PullRequestId::from_uuid((self.mind.ids)()),
            tenant: session.tenant.clone(),
            scope: session.scope.clone(),
            revision: Revision(1),
            objective: session.objective,
            session: session.id,
            workspace: workspace.id,
            repo,
            number: None,
            url: None,
            branch,
            base,
            head: None,
            title: new.title,
            body: new.body,
            checks: pull_request::Checks::Unknown,
            review: pull_request::Review::None,
            mergeable: None,
            refusal: None,
            answered: 0,
            told: false,
            closing: pull_request::Closing::default(),
            state: pull_request::State::Opening { since: self.mind.now },
            synced_at: None,
            created_at: self.mind.now,
            updated_at: self.mind.now,
        };
        let made = row.id;
        self.new_pull_request(row, workspace.target, commit_message, new.draft)?;
        if let Some((replaced, _)) = new.replaces {
            self.meet(Stimulus::PullRequest(replaced, pull_request::Input::Replaced))?;
            if !session.is_over() && session.pull_request == Some(replaced) {
                self.session(session.id, session::Input::Follow { pull_request: made })?;
            }
            self.changes.made = Some(NounId::PullRequest(made));
        }
        Ok(())
    }

    /// Finds a name beside a branch that was published before: the old one belongs to the closed pull request.
    fn free_branch(&self, repo: &RepoUrl, branch: &BranchName) -> Result<BranchName, Refusal> {
        let taken =
            |name: &str| self.world.pull_requests.values().any(|it| it.repo == *repo && it.branch.as_str() == name);
        let free = (2..100).map(|n| format!("{branch}-{n}")).find(|name| !taken(name));
        let rule = || Refusal::Invalid { field: "branch", rule: format!("`{branch}` was published too often") };
        free.and_then(|name| name.parse().ok()).ok_or_else(rule)
    }

    fn new_pull_request(
        &mut self,
        new: PullRequest,
        target: TargetId,
        commit_message: String,
        draft: bool,
    ) -> Result<(), Refusal> {
        let id = NounId::PullRequest(new.id);
        let effect = new.publish(target, commit_message, draft);
        self.changes.notes.push(
            Note::new(NoteKind::PrPublishing, format!("publishing {}", new.title))
                .of(new.session)
                .with("pr_id", new.id),
        );
        let revision = new.revision;
        self.world.pull_requests.insert(new.id, new);
        self.meet(Stimulus::Objective(objective::Input::Moved))?;
        self.made(id);
        self.order(id, revision, effect);
        Ok(())
    }
}

/// Judges whether a branch that has a pull request may be published once more: promise 6.
fn may_publish_beside(other: &PullRequest) -> Result<(), Refusal> {
    if other.state.is_live() {
        let rule = "its branch is published already; use update_pr";
        return Err(Refusal::State { noun: "pull request", id: other.label(), state: other.state.name(), rule });
    }
    // What never came to be stands in nobody's way.
    if other.number.is_none() {
        return Ok(());
    }
    match push_verdict(PushFacts { state: Some(&other.state), force: false, reason: None }) {
        PushVerdict::Allowed | PushVerdict::ReasonMissing => Ok(()),
        PushVerdict::Never { rule } | PushVerdict::AskFirst { rule } => {
            Err(Refusal::PushForbidden { state: other.state.name(), rule })
        }
    }
}

/// A fact that is ignored but orders something counts as a change, so that its effects get a key of their own.
fn touch<N>(mut decision: Decision<N>) -> Decision<N> {
    if !decision.effects.is_empty() {
        decision.ignored = None;
    }
    decision
}

fn unknown(noun: &'static str, id: impl std::fmt::Display) -> Refusal {
    Refusal::Unknown { noun, id: id.to_string(), hint: String::new() }
}
