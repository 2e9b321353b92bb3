//! The life of a session: one agent conversation with a role, on a target, in a workspace.
//!
//! Attempts are inside: each start of a process is one, facts carry theirs, and a fact of another attempt
//! is ignored aloud. Nothing here starts a process or writes to one; see the effects.

mod asking;

pub use asking::{Asked, Asking, Permitted};

use crate::budget::{Amount, HandBack, Reservation};
use crate::effect::{self, Checkout, Effect, Opening, Patience};
use crate::guard::{Counters, Limits, Trip, Usage};
use crate::permission::Grant;
use crate::workflow::Part;
use crate::{Decision, Note, NoteKind, Refusal, Role};
use orcha_base::{
    Attempt, Backoff, BranchName, Confinement, Effort, HandInId, MessageId, ObjectiveId, PullRequestId, RepoUrl,
    Revision, ScopeId, SessionId, TargetId, TenantId, Timestamp, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One agent conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session that created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// What it is for.
    pub role: Role,
    /// Which agent plays it.
    pub agent: AgentChoice,
    /// Its title for people.
    pub title: String,
    /// What it shall do.
    pub goal: String,
    /// The sessions that must succeed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<SessionId>,
    /// Higher goes first.
    pub priority: i32,
    /// The target that it must run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<TargetId>,
    /// The labels that its target must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The repository that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoChoice>,
    /// The pull request that it follows up on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestId>,
    /// The session whose work it reviews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviews: Option<SessionId>,
    /// The failed session that it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<SessionId>,
    /// Its workspace, once placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// The conversation that can be resumed, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// What it takes along from the agent that played it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// When a process last said that it has the conversation open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// The newest attempt; zero before the first.
    pub attempt: Attempt,
    /// Infrastructure faults in a row.
    pub faults: u32,
    /// What it handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What it is doing, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The tail of the last thing that it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_summary: Option<String>,
    /// Whether its parent was told how it ended.
    pub told: bool,
    /// The attempt whose process is being ended and whose folder is being kept; none once both are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Attempt>,
    /// The step of a workflow that it plays, if it plays one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// What its agent asks and waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Asking>,
    /// How often a person was asked on its agent's behalf.
    #[serde(default)]
    pub asked: u64,
    /// What a person allowed for the rest of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// How its newest attempt is confined, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
    /// The files that it changed although it may only look; nothing goes on with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trespasses: Vec<String>,
    /// Counters of the loop guards.
    pub counters: Counters,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// When an agent first ran for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// Which agent plays a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentChoice {
    /// The kind: `claude`.
    pub kind: String,
    /// Another program than the kind's usual one, with leading arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Vec<String>>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; none: as the kind usually does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The kinds that may take over while this one's provider refuses; `None`: those of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<String>>,
}

impl AgentChoice {
    /// An agent of a kind, and nothing else said about it.
    pub fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), program: None, model: None, effort: None, fallback: None }
    }
}

/// What a session takes along from a conversation that nobody goes on with: its provider refuses, or it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Who played it before.
    pub from: AgentChoice,
    /// The attempt that was its last.
    pub attempt: Attempt,
    /// What it did, in brief, once that is written.
    pub brief: Option<String>,
}

/// Which repository a session or an objective works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoChoice {
    /// Where it is cloned from.
    pub url: RepoUrl,
    /// The base branch; the repository's default branch if there is none.
    pub base: Option<BranchName>,
}

/// What a session handed in by a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In its own words.
    pub summary: String,
    /// A reviewer's verdict.
    pub verdict: Option<Verdict>,
    /// When.
    pub at: Timestamp,
}

/// A reviewer's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// The work is good.
    Approve,
    /// It is not.
    RequestChanges,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued {
        /// Set once its dependencies succeeded.
        released: bool,
    },
    /// Could not run, and tries again by itself.
    WaitingCapacity {
        /// Why.
        why: Waiting,
        /// Not before; `None`: as soon as there is room.
        until: Option<Timestamp>,
    },
    /// On its way.
    Starting {
        /// Where.
        target: TargetId,
        /// Which attempt.
        attempt: Attempt,
        /// How far.
        phase: Phase,
    },
    /// An agent process is up.
    Running {
        /// Where.
        target: TargetId,
        /// Which attempt.
        attempt: Attempt,
        /// Whether the agent is at work.
        turn: Turn,
        /// Since when this attempt runs.
        since: Timestamp,
    },
    /// Waits for a person; no process is kept.
    WaitingUser {
        /// What for.
        why: UserWait,
        /// Set once the answer is there.
        answered: bool,
    },
    /// A person paused it; no process is kept.
    Paused,
    /// Ended well.
    Succeeded {
        /// How we know.
        evidence: Evidence,
    },
    /// Ended badly.
    Failed {
        /// Why, for people.
        reason: String,
        /// Whether the agent or the infrastructure failed.
        fault: FaultClass,
    },
    /// Was ended.
    Canceled {
        /// Why, for people.
        reason: String,
    },
}

/// Why a session waits for capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Waiting {
    /// No target takes it.
    NoTarget {
        /// What every target lacks, for people.
        detail: String,
    },
    /// The infrastructure failed; it backs off.
    Fault {
        /// What happened, for people.
        detail: String,
    },
    /// The provider refuses for now.
    Provider {
        /// The class of the refusal.
        class: String,
    },
    /// Others hold what is left of a budget; it goes on when they use less.
    Budget {
        /// What is left and what it needs, for people.
        detail: String,
    },
    /// It stays, has nothing to do, and its process ended: the next message wakes it.
    Parked,
    /// A person let it go on.
    Resumed,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its folder is being made.
    Preparing,
    /// Its process is being started.
    Launching,
}

/// Whether an agent is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "turn", rename_all = "snake_case")]
pub enum Turn {
    /// A turn is under way.
    Busy {
        /// Since when nothing was heard.
        heard_at: Timestamp,
    },
    /// It waits for something to be said.
    Idle {
        /// Since when.
        since: Timestamp,
    },
    /// A person types in its terminal: nobody else says anything meanwhile.
    Held {
        /// Since when.
        since: Timestamp,
        /// Whether a turn was under way when the person came.
        busy: bool,
    },
}

/// What a session waits for a person for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum UserWait {
    /// It asked something and has nothing else to do.
    Question,
    /// A loop guard tripped.
    Guard {
        /// Which, with its figure.
        trip: Trip,
    },
    /// Something that only a person can mend: a login, a model, a full conversation.
    Help {
        /// The class of the trouble.
        class: String,
    },
}

/// How success is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It reported by tool.
    Report,
    /// Its protocol said that the turn was completed.
    TurnEnd,
    /// It marked the objective as done.
    ObjectiveDone,
}

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The agent had its chance.
    Genuine,
    /// It never had one.
    Infrastructure,
}

/// How a turn ended, as far as the mind cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// It finished.
    Completed,
    /// Its screen stands still, and nothing else is known.
    Quiet,
    /// It was interrupted.
    Interrupted,
    /// It did not get through to its model: wait and go on.
    Provider {
        /// The class.
        class: &'static str,
        /// Not before.
        until: Option<Timestamp>,
    },
    /// Only a person can mend that.
    Help {
        /// The class.
        class: &'static str,
    },
    /// The conversation that it was to go on with is not there: it begins anew.
    ConversationMissing,
    /// Something else went wrong.
    Failed {
        /// The class, for the same-error guard.
        class: String,
    },
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with code zero.
    Clean,
    /// In any other way; the text is for people.
    Crashed {
        /// What is known.
        detail: String,
    },
}

/// What surrounds a session at the moment of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Messages wait to be delivered to it.
    pub messages_wait: bool,
    /// One of them asks it to hand back what it has.
    pub hand_back_waits: bool,
    /// Its own questions are open.
    pub questions_open: bool,
    /// It steers, and others are at work: it is right to wait for them.
    pub others_at_work: bool,
    /// Its attempt was cut off for one of the messages that wait.
    pub cut_off: bool,
    /// Its pull request's head moved since it was created; `None` where that does not matter.
    pub head_moved: Option<bool>,
}

/// Something that happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Its dependencies succeeded, and what they left is kept.
    Release {
        /// Where the work lies that it goes on with.
        pin: Option<TargetId>,
    },
    /// The schedule found a place.
    Place {
        /// Where.
        target: TargetId,
        /// Its workspace.
        workspace: WorkspaceId,
        /// The checkout; `None` for an empty folder.
        checkout: Option<Checkout>,
    },
    /// The schedule found none.
    NoPlace {
        /// What every target lacks.
        detail: String,
    },
    /// It has to wait before it may begin.
    Held {
        /// What for.
        why: Waiting,
        /// Not before; `None`: as soon as that changes.
        until: Option<Timestamp>,
    },
    /// Another agent takes over while its provider refuses.
    Move {
        /// Which.
        agent: AgentChoice,
    },
    /// What the agent before it did was written down.
    Inherit {
        /// In brief.
        brief: String,
    },
    /// Something is set aside for its next turn.
    Reserve {
        /// How much.
        amount: Amount,
    },
    /// There is nothing left for it but to hand back what it has.
    HandBack,
    /// A person or a rule ends it.
    Cancel {
        /// Why.
        reason: String,
    },
    /// A person pauses it.
    Pause,
    /// A person lets it go on.
    Resume,
    /// A guard outside the session's own counters tripped.
    Trip {
        /// Which.
        trip: Trip,
    },
    /// The answer that it waited for is there.
    Answered,
    /// It has something to do again.
    Wake,
    /// It hands in its result by tool.
    Report {
        /// The attempt whose credential was used.
        attempt: Attempt,
        /// In its own words.
        summary: String,
        /// A reviewer's verdict.
        verdict: Option<Verdict>,
    },
    /// It hands in what its step of a workflow asks for.
    HandedIn {
        /// The attempt whose credential was used.
        attempt: Attempt,
        /// The document.
        hand_in: HandInId,
        /// In its own words.
        summary: String,
    },
    /// It marked the objective as done.
    ObjectiveDone,
    /// Its parent was told how it ended.
    Told,
    /// Its folder is there.
    Prepared {
        /// The attempt that waited for it.
        attempt: Attempt,
        /// The folder.
        dir: String,
        /// The id for a new conversation.
        conversation: String,
        /// What to say first.
        opening: Option<Opening>,
    },
    /// Its folder could not be made.
    PrepareFailed {
        /// The attempt that waited for it.
        attempt: Attempt,
        /// What happened, after every try that made sense.
        detail: String,
    },
    /// Its process runs.
    Started {
        /// The attempt.
        attempt: Attempt,
        /// Whether something was said at the start.
        spoken_to: bool,
    },
    /// Its process could not be started.
    LaunchFailed {
        /// The attempt.
        attempt: Attempt,
        /// What happened, after every try that made sense.
        detail: String,
    },
    /// The agent named its conversation.
    Conversation {
        /// The attempt.
        attempt: Attempt,
        /// The id.
        conversation: String,
    },
    /// Something was said to it.
    Spoken {
        /// The attempt.
        attempt: Attempt,
        /// The message.
        message: MessageId,
    },
    /// The agent did something.
    Heard {
        /// The attempt.
        attempt: Attempt,
        /// What it is doing, in a line, if that changed.
        activity: Option<String>,
        /// The tail of what it said, if it said something.
        summary: Option<String>,
        /// Whether it acted: a tool call or its result.
        acted: bool,
    },
    /// A person took its keyboard, or gave it back.
    Keyboard {
        /// The attempt.
        attempt: Attempt,
        /// Whether a person has it now.
        by_person: bool,
    },
    /// The agent used tokens.
    Used {
        /// The attempt.
        attempt: Attempt,
        /// How much.
        usage: Usage,
    },
    /// Its turn is over.
    TurnEnded {
        /// The attempt.
        attempt: Attempt,
        /// How.
        end: TurnEnd,
        /// What surrounds it.
        around: Around,
    },
    /// Its process ended.
    Exited {
        /// The attempt.
        attempt: Attempt,
        /// How.
        exit: Exit,
        /// What surrounds it.
        around: Around,
    },
    /// Its process was ended by us, and what is in its folder was kept.
    Stopped {
        /// The attempt.
        attempt: Attempt,
    },
    /// Its process could not be ended, or what is in its folder could not be kept.
    StopFailed {
        /// The attempt.
        attempt: Attempt,
        /// What happened, after every try that made sense.
        detail: String,
    },
    /// The agent asks whether it may do something, and waits.
    PermissionAsked {
        /// The attempt.
        attempt: Attempt,
        /// For what, and what is said of it.
        asked: Box<Asked>,
    },
    /// A person answered what the agent asked, or nobody did in time.
    PermissionAnswered {
        /// The attempt that asked.
        attempt: Attempt,
        /// Which request of the session.
        number: u64,
        /// The answer.
        answer: Permitted,
    },
    /// The agent no longer waits for an answer.
    PermissionWithdrawn {
        /// The attempt.
        attempt: Attempt,
        /// The agent's own id of its request.
        request: String,
    },
    /// It is known how its process is confined.
    Confined {
        /// The attempt.
        attempt: Attempt,
        /// How.
        confinement: Confinement,
    },
    /// It does not get the tools of a server, or no longer.
    ToolsWithheld {
        /// The attempt.
        attempt: Attempt,
        /// The server.
        server: String,
        /// Why.
        why: String,
    },
    /// It changed files although it may only look.
    Trespassed {
        /// The attempt.
        attempt: Attempt,
        /// Which, by path.
        files: Vec<String>,
    },
    /// Another pull request took the place of the one that it follows up on.
    Follow {
        /// Which.
        pull_request: PullRequestId,
    },
}

/// How infrastructure faults are waited out: 1 s, doubled, at most a minute; the sixth in a row is one too many.
const FAULT_BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
const FAULTS_ALLOWED: u32 = 5;
/// How many files that a looker changed are named in a line, and how many are remembered.
const TRESPASSES_NAMED: usize = 5;
const TRESPASSES_KEPT: usize = 100;
/// How often an agent whose screen stands still is asked for a report before a person is.
const QUIET_ASKED: u32 = 1;
/// How an overloaded provider is waited out when it names no time.
const PROVIDER_BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(600) };

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::WaitingCapacity { .. } => "waiting_capacity",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::WaitingUser { .. } => "waiting_user",
            Self::Paused => "paused",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
        }
    }

    /// Tells whether there is no way out.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Canceled { .. } => true,
            Self::Queued { .. }
            | Self::WaitingCapacity { .. }
            | Self::Starting { .. }
            | Self::Running { .. }
            | Self::WaitingUser { .. }
            | Self::Paused => false,
        }
    }

    /// Tells whether an attempt waits for its folder.
    pub fn is_preparing(&self, of: Attempt) -> bool {
        matches!(self, Self::Starting { attempt, phase: Phase::Preparing, .. } if *attempt == of)
    }

    /// Returns the target and attempt whose place is taken: from placement to the end of the process.
    pub const fn holds(&self) -> Option<(TargetId, Attempt)> {
        match self {
            Self::Starting { target, attempt, .. } | Self::Running { target, attempt, .. } => Some((*target, *attempt)),
            Self::Queued { .. }
            | Self::WaitingCapacity { .. }
            | Self::WaitingUser { .. }
            | Self::Paused
            | Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Canceled { .. } => None,
        }
    }
}

impl Session {
    /// Tells whether it has ended.
    pub const fn is_over(&self) -> bool {
        self.state.is_over()
    }

    /// Tells whether the schedule should look for a place now.
    pub fn wants_place(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Queued { released } => *released,
            State::WaitingCapacity { why: Waiting::Parked, .. } => false,
            State::WaitingCapacity { until, .. } => until.is_none_or(|until| until <= now),
            State::WaitingUser { answered, .. } => *answered,
            State::Starting { .. } | State::Running { .. } | State::Paused => false,
            State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => false,
        }
    }

    /// Returns when it should be looked at again without any input.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::WaitingCapacity { until, .. } => *until,
            State::Queued { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::WaitingUser { .. }
            | State::Paused
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Canceled { .. } => None,
        }
    }

    /// Tells whether the agent waits to be spoken to.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Running { turn: Turn::Idle { .. }, .. })
    }

    fn over(&self) -> Refusal {
        Refusal::Over { noun: "session", id: self.id.to_string(), state: self.state.name() }
    }

    fn refuse(&self, rule: &'static str) -> Refusal {
        Refusal::State { noun: "session", id: self.id.to_string(), state: self.state.name(), rule }
    }

    fn stale(&self, why: &'static str) -> Decision<Self> {
        let note =
            Note::new(NoteKind::StaleFactIgnored, format!("{why}; session is {}", self.state.name())).of(self.id);
        Decision::ignore(self.clone(), why).note(note)
    }

    /// Moves to a state that keeps no process; whatever runs is ended.
    fn leave_for(&self, state: State, patience: Patience, now: Timestamp) -> Decision<Self> {
        let ends = state.is_over();
        let stop = self.stop(patience);
        let mut next = self.clone();
        next.counters.reserved = None;
        if stop.is_some() {
            next.stopping = self.state.holds().map(|(_, attempt)| attempt);
        }
        let unheard = asking::drop_all(&mut next);
        next.state = state;
        next.updated_at = now;
        if ends {
            next.completed_at = Some(now);
        }
        let mut decision = Decision::become_(next).then_all(stop);
        decision.notes = unheard;
        decision
    }

    /// The effect that ends what this session holds in the world, if it holds anything.
    fn stop(&self, patience: Patience) -> Option<Effect> {
        let (target, attempt) = self.state.holds()?;
        Some(Effect::Stop(effect::Stop { session: self.id, attempt, target, patience, snapshot: self.workspace }))
    }

    fn said(&self, kind: NoteKind, summary: impl Into<String>) -> Note {
        Note::new(kind, summary).of(self.id)
    }

    fn fail(&self, reason: String, fault: FaultClass, now: Timestamp) -> Decision<Self> {
        let note = self.said(NoteKind::SessionFailed, format!("{} failed: {reason}", self.title));
        self.leave_for(State::Failed { reason, fault }, Patience::Quick, now).note(note)
    }

    fn succeed(&self, evidence: Evidence, now: Timestamp) -> Decision<Self> {
        let note = self
            .said(NoteKind::SessionSucceeded, format!("{} succeeded", self.title))
            .with("evidence", format!("{evidence:?}"));
        self.leave_for(State::Succeeded { evidence }, Patience::Patient, now).note(note)
    }

    fn trip(&self, trip: Trip, now: Timestamp) -> Decision<Self> {
        let note = self.said(NoteKind::GuardPause, format!("{} paused: {trip}", self.title)).with("guard", trip.name());
        self.leave_for(State::WaitingUser { why: UserWait::Guard { trip }, answered: false }, Patience::Patient, now)
            .note(note)
    }

    /// Backs off after a fault of the infrastructure, or gives up after too many in a row.
    fn back_off(&self, detail: String, now: Timestamp) -> Decision<Self> {
        let faults = self.faults.saturating_add(1);
        if faults > FAULTS_ALLOWED {
            return self.fail(
                format!("gave up after {faults} faults in a row; the last: {detail}"),
                FaultClass::Infrastructure,
                now,
            );
        }
        let until = now + FAULT_BACKOFF.delay(faults);
        let note = self.said(NoteKind::SessionRetrying, format!("{}: {detail}; trying again at {until}", self.title));
        let mut decision = self.leave_for(
            State::WaitingCapacity { why: Waiting::Fault { detail }, until: Some(until) },
            Patience::Quick,
            now,
        );
        decision.next.faults = faults;
        decision.note(note)
    }

    /// Finishes after its last turn, if the evidence allows.
    fn finish(&self, evidence: Evidence, around: Around, now: Timestamp) -> Decision<Self> {
        if self.role.traits().must_move_head && around.head_moved == Some(false) {
            return self.fail("it ended without moving the head of its pull request".into(), FaultClass::Genuine, now);
        }
        self.succeed(evidence, now)
    }
}

/// Decides what a session becomes.
pub fn decide(session: &Session, input: Input, limits: &Limits, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match input {
        Input::Release { pin } => release(session, pin, now),
        Input::Place { target, workspace, checkout } => place(session, target, workspace, checkout, now),
        Input::NoPlace { detail } => no_place(session, detail, now),
        Input::Held { why, until } => held(session, why, until, now),
        Input::Move { agent } => move_on(session, agent, now),
        Input::Inherit { brief } => Ok(inherit(session, brief)),
        Input::Reserve { amount } => Ok(reserve(session, amount)),
        Input::HandBack => Ok(hand_back(session)),
        Input::Cancel { reason } => cancel(session, reason, now),
        Input::Pause => pause(session, now),
        Input::Resume => resume(session, limits, now),
        Input::Trip { trip } => tripped(session, trip, now),
        Input::Answered => Ok(answered(session, now)),
        Input::Wake => Ok(wake(session, now)),
        Input::Report { attempt, summary, verdict } => report(session, attempt, summary, verdict, now),
        Input::HandedIn { attempt, hand_in, summary } => handed_in(session, attempt, hand_in, summary, now),
        Input::ObjectiveDone => objective_done(session, now),
        Input::Told => Ok(told(session)),
        Input::Prepared { attempt, dir, conversation, opening } => {
            Ok(prepared(session, attempt, dir, conversation, opening, now))
        }
        Input::PrepareFailed { attempt, detail } => Ok(start_failed(session, attempt, detail, now)),
        Input::Started { attempt, spoken_to } => Ok(started(session, attempt, spoken_to, now)),
        Input::LaunchFailed { attempt, detail } => Ok(start_failed(session, attempt, detail, now)),
        Input::Conversation { attempt, conversation } => Ok(named(session, attempt, conversation, now)),
        Input::Spoken { attempt, message } => Ok(spoken(session, attempt, message, now)),
        Input::Heard { attempt, activity, summary, acted } => {
            Ok(heard(session, attempt, activity, summary, acted, now))
        }
        Input::Keyboard { attempt, by_person } => Ok(keyboard(session, attempt, by_person, now)),
        Input::Used { attempt, usage } => Ok(used(session, attempt, usage, limits, now)),
        Input::TurnEnded { attempt, end, around } => {
            Ok(asking::at_the_end(session, attempt, |it| turn_ended(it, attempt, end, around, limits, now)))
        }
        Input::Exited { attempt, exit, around } => Ok(exited(session, attempt, exit, around, now)),
        Input::Stopped { attempt } => Ok(stopped(session, attempt)),
        Input::StopFailed { attempt, detail } => Ok(stop_failed(session, attempt, &detail)),
        Input::PermissionAsked { attempt, asked } => Ok(asking::asked(session, attempt, *asked, limits, now)),
        Input::PermissionAnswered { attempt, number, answer } => {
            Ok(asking::answered(session, attempt, number, answer, limits, now))
        }
        Input::PermissionWithdrawn { attempt, request } => Ok(asking::withdrawn(session, attempt, &request, now)),
        Input::Confined { attempt, confinement } => Ok(confined(session, attempt, confinement)),
        Input::ToolsWithheld { attempt, server, why } => Ok(tools_withheld(session, attempt, &server, &why)),
        Input::Trespassed { attempt, files } => Ok(trespassed(session, attempt, files)),
        Input::Follow { pull_request } => follow(session, pull_request, now),
    }
}

fn release(session: &Session, pin: Option<TargetId>, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Queued { released: false } => {
            let mut next = session.clone();
            next.state = State::Queued { released: true };
            // Work goes on where it lies: a checkout does not travel between targets.
            next.pin = pin.or(next.pin);
            next.updated_at = now;
            Ok(Decision::become_(next))
        }
        State::Queued { released: true } => Ok(Decision::ignore(session.clone(), "released already")),
        State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused => Err(session.refuse("only a queued session is released")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn place(
    session: &Session,
    target: TargetId,
    workspace: WorkspaceId,
    checkout: Option<Checkout>,
    now: Timestamp,
) -> Result<Decision<Session>, Refusal> {
    match &session.state {
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. }
            if session.wants_place(now) =>
        {
            let attempt = session.attempt.next();
            let mut next = session.clone();
            next.attempt = attempt;
            next.counters.quiet = 0;
            next.confinement = None;
            next.workspace = Some(workspace);
            next.state = State::Starting { target, attempt, phase: Phase::Preparing };
            next.activity = Some("preparing its workspace".into());
            next.updated_at = now;
            let prepare = effect::Prepare { workspace, session: session.id, attempt, target, checkout };
            let note = session
                .said(NoteKind::SessionPlaced, format!("{} was placed (attempt {attempt})", session.title))
                .with("target_id", target);
            Ok(Decision::become_(next).then(Effect::Prepare(prepare)).note(note))
        }
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            Err(session.refuse("it does not want a place now"))
        }
        State::Starting { .. } | State::Running { .. } => Err(session.refuse("it has its place")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn no_place(session: &Session, detail: String, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match &session.state {
        // What it waits for is something else than a place, and is not forgotten for the want of one.
        State::Queued { .. } | State::WaitingCapacity { .. } if !session.wants_place(now) => {
            Ok(Decision::ignore(session.clone(), "it does not look for a place now"))
        }
        State::Queued { .. } => {
            let note = session.said(NoteKind::SessionWaiting, format!("{} waits: {detail}", session.title));
            let state = State::WaitingCapacity { why: Waiting::NoTarget { detail }, until: None };
            Ok(session.leave_for(state, Patience::Quick, now).note(note))
        }
        State::WaitingCapacity { why: Waiting::NoTarget { detail: same }, .. } if *same == detail => {
            Ok(Decision::ignore(session.clone(), "nothing new"))
        }
        State::WaitingCapacity { .. } => {
            let state = State::WaitingCapacity { why: Waiting::NoTarget { detail }, until: None };
            Ok(session.leave_for(state, Patience::Quick, now))
        }
        // It keeps saying what it waited for; it is looked at again with the next change of capacity.
        State::WaitingUser { .. } => Ok(Decision::ignore(session.clone(), "it keeps its own reason")),
        State::Starting { .. } | State::Running { .. } | State::Paused => {
            Err(session.refuse("it does not look for a place"))
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn held(
    session: &Session,
    why: Waiting,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Decision<Session>, Refusal> {
    match &session.state {
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. }
            if !session.wants_place(now) =>
        {
            Ok(Decision::ignore(session.clone(), "it does not look for a place now"))
        }
        State::WaitingCapacity { why: same, until: then } if *same == why && *then == until => {
            Ok(Decision::ignore(session.clone(), "nothing new"))
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::WaitingUser { .. }
        | State::Starting { .. }
        | State::Running { .. } => {
            let text = match (&why, until) {
                (Waiting::Provider { class }, Some(until)) => {
                    format!("{} waits for {} ({class}) until {until}", session.title, session.agent.kind)
                }
                (Waiting::Budget { detail }, _) => format!("{} waits: {detail}", session.title),
                _ => format!("{} waits", session.title),
            };
            let note = session.said(NoteKind::SessionWaiting, text);
            Ok(session.leave_for(State::WaitingCapacity { why, until }, Patience::Patient, now).note(note))
        }
        State::Paused => Err(session.refuse("it does not look for a place")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn move_on(session: &Session, agent: AgentChoice, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match &session.state {
        // Whatever is said of the run before is told to the agent that it belongs to: that one has ended first.
        State::WaitingCapacity { why: Waiting::Provider { class }, .. } if session.stopping.is_none() => {
            let text = format!("{} goes from {} to {} ({class})", session.title, session.agent.kind, agent.kind);
            let note = session
                .said(NoteKind::SessionMoved, text)
                .with("from", &session.agent.kind)
                .with("to", &agent.kind)
                .with("class", class);
            let mut decision =
                session.leave_for(State::WaitingCapacity { why: Waiting::Resumed, until: None }, Patience::Quick, now);
            let next = &mut decision.next;
            // A conversation cannot be moved. What it came to is told instead, by whoever began it.
            if next.conversation.take().is_some() {
                next.handover = Some(Handover { from: session.agent.clone(), attempt: session.attempt, brief: None });
            }
            next.agent = agent;
            Ok(decision.note(note))
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused => Err(session.refuse("only a session that waits for its provider is moved to another one")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn inherit(session: &Session, brief: String) -> Decision<Session> {
    let mut next = session.clone();
    match &mut next.handover {
        Some(handover) if handover.brief.is_none() => handover.brief = Some(brief),
        Some(_) | None => return Decision::ignore(session.clone(), "nothing is handed over"),
    }
    Decision::become_(next)
}

fn reserve(session: &Session, amount: Amount) -> Decision<Session> {
    if session.is_over() {
        return Decision::ignore(session.clone(), "it has ended");
    }
    let mut next = session.clone();
    next.counters.reserved = Some(Reservation { amount, from: Amount::of(&session.counters.used) });
    if next.counters.hand_back == HandBack::Done {
        next.counters.hand_back = HandBack::NotYet;
    }
    Decision::become_(next)
}

fn hand_back(session: &Session) -> Decision<Session> {
    match (&session.state, session.counters.hand_back) {
        (State::Running { .. }, HandBack::NotYet) => {
            let mut next = session.clone();
            next.counters.hand_back = HandBack::Wanted;
            Decision::become_(next)
        }
        _ => Decision::ignore(session.clone(), "it hands back nothing more"),
    }
}

fn cancel(session: &Session, reason: String, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused => {
            let note = session.said(NoteKind::SessionCanceled, format!("{} was canceled: {reason}", session.title));
            Ok(session.leave_for(State::Canceled { reason }, Patience::Quick, now).note(note))
        }
        State::Canceled { .. } => Ok(Decision::ignore(session.clone(), "canceled already")),
        State::Succeeded { .. } | State::Failed { .. } => Err(session.over()),
    }
}

fn pause(session: &Session, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. } => {
            let note = session.said(NoteKind::SessionPaused, format!("{} was paused", session.title));
            Ok(session.leave_for(State::Paused, Patience::Patient, now).note(note))
        }
        State::Paused => Ok(Decision::ignore(session.clone(), "paused already")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn resume(session: &Session, limits: &Limits, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match &session.state {
        State::Paused => {
            let note = session.said(NoteKind::SessionResumed, format!("{} goes on", session.title));
            let state = if session.attempt == Attempt(0) {
                State::Queued { released: session.depends_on.is_empty() && session.reviews.is_none() }
            } else {
                State::WaitingCapacity { why: Waiting::Resumed, until: None }
            };
            let mut decision = session.leave_for(state, Patience::Quick, now);
            decision.next.faults = 0;
            // It was paused while a guard had stopped it: without this the same guard would stop it again at once.
            if session.counters.verdict(limits, now).is_some() {
                decision.next.counters.forgive();
            }
            Ok(decision.note(note))
        }
        State::WaitingUser { answered: false, .. } => Ok(answered(session, now)),
        State::WaitingUser { answered: true, .. } => Ok(Decision::ignore(session.clone(), "going on already")),
        State::Queued { .. } | State::WaitingCapacity { .. } | State::Starting { .. } | State::Running { .. } => {
            Ok(Decision::ignore(session.clone(), "not paused"))
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn tripped(session: &Session, trip: Trip, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Queued { released: true }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. } => Ok(session.trip(trip, now)),
        // It uses nothing up, and an answer must not let it overtake what it depends on.
        State::Queued { released: false } => Ok(Decision::ignore(session.clone(), "it waits for others anyway")),
        State::WaitingUser { .. } | State::Paused => Ok(Decision::ignore(session.clone(), "it rests already")),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

fn answered(session: &Session, now: Timestamp) -> Decision<Session> {
    match &session.state {
        State::WaitingUser { why, answered: false } => {
            let mut next = session.clone();
            next.state = State::WaitingUser { why: why.clone(), answered: true };
            next.counters.forgive();
            next.faults = 0;
            next.updated_at = now;
            Decision::become_(next).note(session.said(NoteKind::SessionResumed, format!("{} may go on", session.title)))
        }
        State::WaitingUser { answered: true, .. } => Decision::ignore(session.clone(), "answered already"),
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::Paused => Decision::ignore(session.clone(), "it does not wait for an answer"),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            session.stale("an answer for ended work")
        }
    }
}

fn wake(session: &Session, now: Timestamp) -> Decision<Session> {
    match session.state {
        State::WaitingCapacity { why: Waiting::Parked, .. } => {
            session.leave_for(State::WaitingCapacity { why: Waiting::Resumed, until: None }, Patience::Quick, now)
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Decision::ignore(session.clone(), "not parked"),
    }
}

fn report(
    session: &Session,
    attempt: Attempt,
    summary: String,
    verdict: Option<Verdict>,
    now: Timestamp,
) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Running { attempt: current, .. } | State::Starting { attempt: current, .. } if current == attempt => {
            let kind = if verdict.is_some() { NoteKind::ReviewSubmitted } else { NoteKind::WorkerReported };
            let note = session.said(kind, format!("{} reported", session.title));
            let mut next = session.clone();
            next.report = Some(Report { summary, verdict, at: now });
            next.counters.acted = true;
            next.updated_at = now;
            Ok(Decision::become_(next).note(note))
        }
        State::Running { attempt: current, .. } | State::Starting { attempt: current, .. } => {
            Err(Refusal::OtherAttempt { got: attempt, current })
        }
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            Err(session.refuse("only a running session reports"))
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => Err(session.over()),
    }
}

/// What was handed in is its report; handed in again, the newer one counts.
fn handed_in(
    session: &Session,
    attempt: Attempt,
    hand_in: HandInId,
    summary: String,
    now: Timestamp,
) -> Result<Decision<Session>, Refusal> {
    let Some(part) = &session.part else {
        return Err(session.refuse("only a step of a workflow hands in"));
    };
    let mut decision = report(session, attempt, summary, None, now)?;
    decision.next.part = Some(Part { hand_in: Some(hand_in), ..part.clone() });
    Ok(decision)
}

fn objective_done(session: &Session, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    match session.state {
        State::Running { .. } => Ok(session.succeed(Evidence::ObjectiveDone, now)),
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::WaitingUser { .. }
        | State::Paused => cancel(session, "its objective is done".into(), now),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            Ok(Decision::ignore(session.clone(), "over already"))
        }
    }
}

fn told(session: &Session) -> Decision<Session> {
    if session.told {
        return Decision::ignore(session.clone(), "told already");
    }
    let mut next = session.clone();
    next.told = true;
    Decision::become_(next)
}

fn prepared(
    session: &Session,
    of: Attempt,
    dir: String,
    conversation: String,
    opening: Option<Opening>,
    now: Timestamp,
) -> Decision<Session> {
    match &session.state {
        State::Starting { target, attempt, phase: Phase::Preparing } if *attempt == of => {
            let launch = effect::Launch {
                session: session.id,
                attempt: *attempt,
                target: *target,
                role: session.role,
                part: session.part.clone(),
                agent: session.agent.clone(),
                dir,
                resume: session.conversation.clone(),
                conversation,
                opening,
            };
            let mut next = session.clone();
            next.state = State::Starting { target: *target, attempt: *attempt, phase: Phase::Launching };
            next.activity = Some("starting its agent".into());
            next.updated_at = now;
            Decision::become_(next).then(Effect::Launch(launch))
        }
        State::Starting { .. } | State::Running { .. } => session.stale("a workspace for another attempt"),
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            session.stale("a workspace that nobody waits for")
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            session.stale("a workspace for ended work")
        }
    }
}

fn start_failed(session: &Session, of: Attempt, detail: String, now: Timestamp) -> Decision<Session> {
    match &session.state {
        State::Starting { attempt, phase, .. } if *attempt == of => {
            // Whatever may pass by itself was tried again by the executor; `starting` has no way back.
            let step = match phase {
                Phase::Preparing => "its workspace could not be prepared",
                Phase::Launching => "its agent could not be started",
            };
            session.fail(format!("{step}: {detail}"), FaultClass::Infrastructure, now)
        }
        State::Starting { .. } | State::Running { .. } => session.stale("a failed start of another attempt"),
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            session.stale("a failed start that nobody waits for")
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            session.stale("a failed start of ended work")
        }
    }
}

fn started(session: &Session, of: Attempt, spoken_to: bool, now: Timestamp) -> Decision<Session> {
    match &session.state {
        State::Starting { target, attempt, phase: Phase::Launching } if *attempt == of => {
            let turn = if spoken_to { Turn::Busy { heard_at: now } } else { Turn::Idle { since: now } };
            let mut next = session.clone();
            next.state = State::Running { target: *target, attempt: *attempt, turn, since: now };
            next.started_at = next.started_at.or(Some(now));
            next.activity = Some("its agent is up".into());
            next.updated_at = now;
            let note =
                session.said(NoteKind::SessionStarted, format!("{} is running (attempt {attempt})", session.title));
            Decision::become_(next).note(note)
        }
        State::Running { attempt, .. } if *attempt == of => Decision::ignore(session.clone(), "running already"),
        State::Starting { target, .. } | State::Running { target, .. } => kill_stray(session, of, *target),
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => {
            // The stop that was ordered with leaving stands behind the launch in the same lane and ends it.
            session.stale("a process that came too late")
        }
    }
}

/// A process of another attempt is ended, whatever the session does now.
fn kill_stray(session: &Session, attempt: Attempt, target: TargetId) -> Decision<Session> {
    session.stale("a process of another attempt").then(Effect::Stop(effect::Stop {
        session: session.id,
        attempt,
        target,
        patience: Patience::Quick,
        snapshot: None,
    }))
}

fn named(session: &Session, of: Attempt, conversation: String, now: Timestamp) -> Decision<Session> {
    if session.state.holds().is_none_or(|(_, attempt)| attempt != of) {
        return Decision::ignore(session.clone(), "the conversation of another attempt");
    }
    let mut next = session.clone();
    next.conversation = Some(conversation);
    next.opened_at = Some(now);
    Decision::become_(next)
}

fn spoken(session: &Session, of: Attempt, _message: MessageId, now: Timestamp) -> Decision<Session> {
    match &session.state {
        State::Running { target, attempt, turn, since } if *attempt == of => {
            let mut next = session.clone();
            let turn = match *turn {
                Turn::Busy { .. } | Turn::Idle { .. } => Turn::Busy { heard_at: now },
                // They were on their way when the person came, and are typed when the person leaves.
                Turn::Held { since, .. } => Turn::Held { since, busy: true },
            };
            next.state = State::Running { target: *target, attempt: *attempt, turn, since: *since };
            next.updated_at = now;
            Decision::become_(next)
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => session.stale("words for another attempt"),
    }
}

fn heard(
    session: &Session,
    of: Attempt,
    activity: Option<String>,
    summary: Option<String>,
    acted: bool,
    now: Timestamp,
) -> Decision<Session> {
    match &session.state {
        State::Running { target, attempt, turn, since } if *attempt == of => {
            let mut next = session.clone();
            if let Turn::Busy { .. } = turn {
                next.state = State::Running {
                    target: *target,
                    attempt: *attempt,
                    turn: Turn::Busy { heard_at: now },
                    since: *since,
                };
            }
            next.activity = activity.or(next.activity);
            next.latest_summary = summary.or(next.latest_summary);
            next.counters.acted |= acted;
            next.updated_at = now;
            Decision::become_(next)
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Decision::ignore(session.clone(), "the last words of another attempt"),
    }
}

/// A person and the daemon never type at once: while a person has the keyboard the session is neither busy nor idle.
fn keyboard(session: &Session, of: Attempt, by_person: bool, now: Timestamp) -> Decision<Session> {
    let (target, attempt, turn, since) = match &session.state {
        State::Running { target, attempt, turn, since } if *attempt == of => (*target, *attempt, *turn, *since),
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => return Decision::ignore(session.clone(), "the keyboard of another attempt"),
    };
    let (turn, words) = match (turn, by_person) {
        (Turn::Busy { .. }, true) => (Turn::Held { since: now, busy: true }, "a person types in its terminal"),
        (Turn::Idle { .. }, true) => (Turn::Held { since: now, busy: false }, "a person types in its terminal"),
        (Turn::Held { busy: true, .. }, false) => (Turn::Busy { heard_at: now }, "the person left its terminal"),
        (Turn::Held { busy: false, .. }, false) => (Turn::Idle { since: now }, "the person left its terminal"),
        (Turn::Held { .. }, true) => return Decision::ignore(session.clone(), "held already"),
        (Turn::Busy { .. } | Turn::Idle { .. }, false) => return Decision::ignore(session.clone(), "not held"),
    };
    let mut next = session.clone();
    next.state = State::Running { target, attempt, turn, since };
    next.activity = Some(words.into());
    next.updated_at = now;
    let kind = if by_person { NoteKind::SessionHeld } else { NoteKind::SessionHandedBack };
    Decision::become_(next).note(session.said(kind, format!("{}: {words}", session.title)))
}

fn used(session: &Session, of: Attempt, usage: Usage, limits: &Limits, now: Timestamp) -> Decision<Session> {
    // What was used is counted whatever became of the session: the money is gone.
    let mut next = session.clone();
    next.counters.used.add(&usage);
    next.counters.calls.add(usage.model_calls, now);
    match &session.state {
        State::Running { attempt, .. } if *attempt == of => match next.counters.verdict(limits, now) {
            Some(trip) => next.trip(trip, now),
            None => Decision::become_(next),
        },
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Decision::become_(next),
    }
}

fn turn_ended(
    session: &Session,
    of: Attempt,
    end: TurnEnd,
    around: Around,
    limits: &Limits,
    now: Timestamp,
) -> Decision<Session> {
    let (target, attempt, since) = match &session.state {
        State::Running { target, attempt, since, .. } if *attempt == of => (*target, *attempt, *since),
        State::Starting { .. } | State::Running { .. } => return session.stale("the end of a turn of another attempt"),
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            return session.stale("the end of a turn that was cut off");
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            return session.stale("the end of a turn of ended work");
        }
    };
    let mut now_idle = session.clone();
    now_idle.counters.reserved = None;
    now_idle.state = State::Running { target, attempt, turn: Turn::Idle { since: now }, since };
    now_idle.updated_at = now;
    match end {
        TurnEnd::Quiet => {
            now_idle.faults = 0;
            let stays = session.role.traits().stays;
            // What it handed in is the evidence; that it rests now only says when.
            let handed_in = session.part.as_ref().map_or(session.report.is_some(), |it| it.hand_in.is_some());
            if handed_in && !stays && !around.messages_wait {
                return now_idle.finish(Evidence::Report, around, now);
            }
            now_idle.counters.turn_done(around.others_at_work);
            if let Some(trip) = now_idle.counters.verdict(limits, now) {
                return now_idle.trip(trip, now);
            }
            if around.questions_open && !stays && !around.messages_wait {
                let note = session.said(NoteKind::SessionWaiting, format!("{} waits for an answer", session.title));
                let state = State::WaitingUser { why: UserWait::Question, answered: false };
                return now_idle.leave_for(state, Patience::Patient, now).note(note);
            }
            // Words that wait are new work; only where none are it is asked for its report.
            now_idle.counters.quiet = if around.messages_wait { 0 } else { session.counters.quiet.saturating_add(1) };
            if !stays && now_idle.counters.quiet > QUIET_ASKED {
                let note = session
                    .said(NoteKind::SessionWaiting, format!("{} stands still and reports nothing", session.title));
                let state = State::WaitingUser { why: UserWait::Help { class: "quiet".into() }, answered: false };
                return now_idle.leave_for(state, Patience::Patient, now).note(note);
            }
            now_idle.activity = Some("its screen stands still".into());
            let note =
                session.said(NoteKind::SessionTurnEnded, format!("the screen of {} stands still", session.title));
            Decision::become_(now_idle).note(note)
        }
        TurnEnd::Completed => {
            now_idle.faults = 0;
            now_idle.counters.turn_done(around.others_at_work);
            if let Some(trip) = now_idle.counters.verdict(limits, now) {
                return now_idle.trip(trip, now);
            }
            // What it handed back is no end of its task: a person says whether it goes on.
            let handed_back = session.counters.hand_back == HandBack::Wanted && !around.hand_back_waits;
            if handed_back {
                now_idle.counters.hand_back = HandBack::Done;
            } else {
                let began = session.counters.reserved.map_or(Amount::ZERO, |it| it.from);
                let took = Amount::of(&session.counters.used).less(began);
                now_idle.counters.turns = now_idle.counters.turns.saturating_add(1);
                now_idle.counters.turns_used = now_idle.counters.turns_used.plus(took);
            }
            if around.messages_wait || session.role.traits().stays || handed_back {
                now_idle.activity = Some("waits".into());
                let note = session.said(NoteKind::SessionTurnEnded, format!("{} ended its turn", session.title));
                return Decision::become_(now_idle).note(note);
            }
            if around.questions_open {
                let note = session.said(NoteKind::SessionWaiting, format!("{} waits for an answer", session.title));
                let state = State::WaitingUser { why: UserWait::Question, answered: false };
                return now_idle.leave_for(state, Patience::Patient, now).note(note);
            }
            if let Some(part) = session.part.as_ref().filter(|it| it.hand_in.is_none()) {
                return without_hand_in(&now_idle, part, now);
            }
            let evidence = if session.report.is_some() { Evidence::Report } else { Evidence::TurnEnd };
            now_idle.finish(evidence, around, now)
        }
        TurnEnd::Interrupted => {
            now_idle.activity = Some("was interrupted".into());
            Decision::become_(now_idle)
        }
        TurnEnd::Provider { class, until } => {
            // A named time is the provider's own; only a guess grows with each refusal.
            let faults = if until.is_some() { session.faults } else { session.faults.saturating_add(1) };
            let until = until.unwrap_or(now + PROVIDER_BACKOFF.delay(faults)).max(now + Duration::from_secs(1));
            let note = session.said(
                NoteKind::SessionWaiting,
                format!("{} waits for its provider ({class}) until {until}", session.title),
            );
            let state = State::WaitingCapacity { why: Waiting::Provider { class: class.into() }, until: Some(until) };
            let mut decision = now_idle.leave_for(state, Patience::Patient, now);
            decision.next.faults = faults;
            decision.note(note)
        }
        TurnEnd::Help { class } => {
            let note = session.said(NoteKind::SessionWaiting, format!("{} needs help: {class}", session.title));
            let state = State::WaitingUser { why: UserWait::Help { class: class.into() }, answered: false };
            now_idle.leave_for(state, Patience::Patient, now).note(note)
        }
        // Nothing is lost by beginning anew: what it came to is told, and what it did lies in its folder.
        TurnEnd::ConversationMissing if session.conversation.is_some() => {
            let words = "the conversation that it was to go on with is not there".to_owned();
            let mut decision = now_idle.back_off(words, now);
            decision.next.conversation = None;
            decision.next.handover =
                Some(Handover { from: session.agent.clone(), attempt: session.attempt, brief: None });
            decision
        }
        TurnEnd::ConversationMissing => {
            let end = TurnEnd::Failed { class: "conversation_missing".into() };
            turn_ended(session, of, end, around, limits, now)
        }
        TurnEnd::Failed { class } => {
            now_idle.counters.fail(&class);
            if let Some(trip) = now_idle.counters.verdict(limits, now) {
                return now_idle.trip(trip, now);
            }
            let mut decision = now_idle.back_off(format!("its turn failed ({class})"), now);
            // An agent's own error is counted by the same-error guard, not by the faults of the infrastructure.
            decision.next.faults = session.faults;
            decision
        }
    }
}

/// A step that hands in nothing has done nothing. It is told so once.
fn without_hand_in(idle: &Session, part: &Part, now: Timestamp) -> Decision<Session> {
    if part.reminded {
        let reason = "it ended its turn twice without handing in what was asked for".to_owned();
        return idle.fail(reason, FaultClass::Genuine, now);
    }
    let mut next = idle.clone();
    next.part = Some(Part { reminded: true, ..part.clone() });
    next.activity = Some("ended its turn with nothing handed in".into());
    let note = idle.said(NoteKind::SessionTurnEnded, format!("{} ended its turn with nothing handed in", idle.title));
    Decision::become_(next).note(note)
}

fn exited(session: &Session, of: Attempt, exit: Exit, around: Around, now: Timestamp) -> Decision<Session> {
    let turn = match &session.state {
        State::Running { attempt, turn, .. } if *attempt == of => *turn,
        // Its start is not known yet, and will never be more than the start of something that is gone.
        State::Starting { attempt, phase: Phase::Launching, .. } if *attempt == of => {
            let reason = "its agent ended before it was seen to run".into();
            return session.fail(reason, FaultClass::Infrastructure, now);
        }
        State::Starting { .. } | State::Running { .. } => {
            return Decision::ignore(session.clone(), "the exit of another attempt");
        }
        State::Queued { .. } | State::WaitingCapacity { .. } | State::WaitingUser { .. } | State::Paused => {
            return Decision::ignore(session.clone(), "the exit that we asked for");
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            return Decision::ignore(session.clone(), "the exit of ended work");
        }
    };
    let stays = session.role.traits().stays;
    match (turn, exit) {
        // It had no other way to be cut off, or it ended instead: either way the message is what comes next.
        (_, Exit::Clean | Exit::Crashed { .. }) if around.cut_off => go_on_with_message(session, now),
        // An agent of one turn hears the next words in a new process.
        (Turn::Idle { .. } | Turn::Held { busy: false, .. }, Exit::Clean) if around.messages_wait => {
            go_on_with_message(session, now)
        }
        (Turn::Idle { .. } | Turn::Held { busy: false, .. }, Exit::Clean) if stays => {
            let note =
                session.said(NoteKind::SessionWaiting, format!("{} is parked until it is needed", session.title));
            let why = Waiting::Parked;
            session.leave_for(State::WaitingCapacity { why, until: None }, Patience::Quick, now).note(note)
        }
        (_, Exit::Clean | Exit::Crashed { .. }) if session.report.is_some() && !stays && !around.messages_wait => {
            session.finish(Evidence::Report, around, now)
        }
        (_, Exit::Clean) => session.back_off("its agent exited in the middle of its work".into(), now),
        (_, Exit::Crashed { detail }) => session.back_off(format!("its agent ended: {detail}"), now),
    }
}

/// Starts the next attempt, which opens with the message that waits.
fn go_on_with_message(session: &Session, now: Timestamp) -> Decision<Session> {
    let note = session.said(NoteKind::SessionWaiting, format!("{} goes on with a message", session.title));
    let state = State::WaitingCapacity { why: Waiting::Resumed, until: None };
    session.leave_for(state, Patience::Quick, now).note(note)
}

fn stopped(session: &Session, of: Attempt) -> Decision<Session> {
    if session.stopping != Some(of) {
        return Decision::ignore(session.clone(), "its process is gone");
    }
    let mut next = session.clone();
    next.stopping = None;
    Decision::become_(next)
}

fn stop_failed(session: &Session, of: Attempt, detail: &str) -> Decision<Session> {
    // Whoever waits for it goes on: what is in the folder is still there, and is kept before it is ever deleted.
    let text = format!("the end of {} (attempt {of}) was not clean: {detail}", session.title);
    stopped(session, of).note(session.said(NoteKind::EffectFailed, text))
}

fn confined(session: &Session, of: Attempt, confinement: Confinement) -> Decision<Session> {
    if session.attempt != of || session.confinement.as_ref() == Some(&confinement) {
        return Decision::ignore(session.clone(), "known already, or of another attempt");
    }
    let mut next = session.clone();
    next.confinement = Some(confinement);
    Decision::become_(next)
}

/// It goes on without; that it does is told.
fn tools_withheld(session: &Session, of: Attempt, server: &str, why: &str) -> Decision<Session> {
    if session.attempt != of || session.state.is_over() {
        return Decision::ignore(session.clone(), "of another attempt, or over");
    }
    let note = crate::tool_server::withheld(&session.title, server, why).of(session.id).with("attempt", of);
    Decision::become_(session.clone()).note(note)
}

/// Whatever it was, nobody goes on with it; that it happened is kept and told.
fn trespassed(session: &Session, of: Attempt, mut files: Vec<String>) -> Decision<Session> {
    files.retain(|it| !session.trespasses.contains(it));
    if files.is_empty() {
        return Decision::ignore(session.clone(), "told already");
    }
    let names = files.iter().take(TRESPASSES_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match files.len().saturating_sub(TRESPASSES_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let words = format!(
        "{} ({}) may only look and changed {names}{more}; nothing goes on with that",
        session.title, session.role
    );
    let mut next = session.clone();
    next.trespasses.extend(files);
    next.trespasses.truncate(TRESPASSES_KEPT);
    let note = session.said(NoteKind::RoleViolation, words).with("fields", names).with("attempt", of);
    Decision::become_(next).note(note)
}

fn follow(session: &Session, pull_request: PullRequestId, now: Timestamp) -> Result<Decision<Session>, Refusal> {
    if session.is_over() {
        return Err(session.over());
    }
    let mut next = session.clone();
    next.pull_request = Some(pull_request);
    next.updated_at = now;
    Ok(Decision::become_(next))
}
