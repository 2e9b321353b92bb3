//! The life of an objective: what a person wants, from the wish to the end.
//!
//! Who works on it is not known here; see the session. What happens between them is `orcha-plan`'s.

use crate::budget::Amount;
use crate::guard::{CallWindow, LimitChanges, Limits, Trip, Usage};
use crate::policy::Policy;
use crate::session::{AgentChoice, RepoChoice};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{ObjectiveId, ProjectId, Revision, ScopeId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Its id.
    pub id: ObjectiveId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// Its title.
    pub title: String,
    /// The wish.
    pub prompt: String,
    /// How it is run.
    pub strategy: Strategy,
    /// The repository.
    pub repo: Option<RepoChoice>,
    /// The project it was made for.
    pub project: Option<ProjectId>,
    /// The agent that plays its sessions unless something else is said.
    pub agent: AgentChoice,
    /// Higher goes first.
    pub priority: i32,
    /// The limits of its loop guards.
    pub limits: Limits,
    /// What its scope let it do when it was made.
    #[serde(default)]
    pub policy: Box<Policy>,
    /// How its managers fared.
    pub managers: Managers,
    /// Model calls of all its sessions.
    pub calls: CallWindow,
    /// What all its sessions used.
    pub used: Usage,
    /// What a person allowed beyond the limits: tokens, and millionths of a US dollar.
    pub forgiven: (u64, u64),
    /// The limit that was reached, until a person lets it go on.
    pub tripped: Option<Trip>,
    /// Where it stands.
    pub state: State,
    /// What came of it.
    pub summary: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// How an objective is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Strategy {
    /// An agent steers by tools.
    Manager,
    /// Sessions run one after another as they were given; nobody steers.
    Direct,
    /// A fixed row of roles, from the request to the delivery; see the workflow.
    Pipeline,
}

/// How the managers of an objective fared: the budget of supervision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managers {
    /// How many were made.
    pub made: u32,
    /// How many of them ended because of the infrastructure.
    pub lost: u32,
    /// Pokes in a row that led to nothing.
    pub pokes: u32,
    /// When the last one was made or poked.
    pub last_at: Option<Timestamp>,
    /// Whether the one question was asked.
    pub escalated: bool,
}

/// Where an objective stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Is being worked on.
    Active,
    /// Has open questions.
    WaitingUser,
    /// A person paused it.
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// Was ended.
    Canceled {
        /// Why, for people.
        reason: String,
    },
}

/// Something that happens to an objective.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A question of it is open.
    Asked,
    /// No question of it is open any more.
    AllAnswered,
    /// A person pauses it.
    Pause,
    /// A person lets it go on.
    Resume,
    /// Its manager says that it is done, and nothing stands against it.
    Done {
        /// What came of it.
        summary: String,
    },
    /// It cannot succeed any more.
    Fail {
        /// Why.
        reason: String,
    },
    /// A person ends it.
    Cancel {
        /// Why.
        reason: String,
    },
    /// A manager was made.
    ManagerMade,
    /// A manager was lost to the infrastructure.
    ManagerLost,
    /// The idle manager was poked.
    Poked,
    /// Something happened that supervision waited for.
    Moved,
    /// The one question about its managers was asked.
    Escalated,
    /// A person gave the managers another chance.
    Deescalate,
    /// Its sessions used tokens.
    Used {
        /// How much.
        usage: Usage,
    },
    /// Another turn of it does not fit under a cap.
    Trip {
        /// Which.
        trip: Trip,
    },
    /// A person lets it go on beyond the limit.
    Forgive,
    /// A person edits it.
    Edit(Box<Edit>),
}

/// What of an objective is edited; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// A new title.
    pub title: Option<String>,
    /// A new priority.
    pub priority: Option<i32>,
    /// New limits.
    pub limits: LimitChanges,
    /// What it is made on; it is refused if that is no longer so. `None`: whatever there is by now.
    pub on: Option<Editable>,
}

/// What can be edited of an objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Editable {
    /// Its title.
    pub title: String,
    /// Its priority.
    pub priority: i32,
    /// Its limits.
    pub limits: Limits,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::WaitingUser => "waiting_user",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
        }
    }

    /// Tells whether there is no way out.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Succeeded | Self::Failed { .. } | Self::Canceled { .. } => true,
            Self::Active | Self::WaitingUser | Self::Paused => false,
        }
    }
}

impl Objective {
    /// Tells whether it has ended.
    pub const fn is_over(&self) -> bool {
        self.state.is_over()
    }

    /// Returns what can be edited of it, as it is now.
    pub fn editable(&self) -> Editable {
        Editable { title: self.title.clone(), priority: self.priority, limits: self.limits }
    }

    /// Returns the instant at which it ends with what stands, if its time is bounded.
    pub fn deadline(&self) -> Option<Timestamp> {
        let secs = self.limits.deadline_secs;
        (secs > 0).then(|| self.created_at + Duration::from_secs(secs))
    }

    /// Returns what its sessions used beyond what a person already allowed.
    pub fn spent(&self) -> Amount {
        Amount::of(&self.used).less(Amount { tokens: self.forgiven.0, micro_usd: self.forgiven.1 })
    }

    /// Judges what all its sessions used.
    pub fn verdict(&self, now: Timestamp) -> Option<Trip> {
        let reached = |count: u64, limit: u64| limit > 0 && count >= limit;
        let calls = self.calls.last_hour(now);
        if reached(u64::from(calls), u64::from(self.limits.objective_calls_per_hour)) {
            return Some(Trip::Calls { calls });
        }
        let tokens = self.used.tokens();
        if reached(tokens.saturating_sub(self.forgiven.0), self.limits.objective_tokens) {
            return Some(Trip::Tokens { tokens });
        }
        if reached(self.used.micro_usd.saturating_sub(self.forgiven.1), self.limits.objective_micro_usd) {
            return Some(Trip::Money { micro_usd: self.used.micro_usd });
        }
        None
    }

    fn with(&self, change: impl FnOnce(&mut Self), now: Timestamp) -> Decision<Self> {
        let mut next = self.clone();
        change(&mut next);
        next.updated_at = now;
        Decision::become_(next)
    }

    fn end(&self, state: State, kind: NoteKind, summary: String, now: Timestamp) -> Decision<Self> {
        self.with(
            |next| {
                next.state = state;
                next.completed_at = Some(now);
            },
            now,
        )
        .note(Note::new(kind, summary))
    }

    fn over(&self) -> Refusal {
        Refusal::Over { noun: "objective", id: self.id.to_string(), state: self.state.name() }
    }
}

/// Decides what an objective becomes.
pub fn decide(objective: &Objective, input: Input, now: Timestamp) -> Result<Decision<Objective>, Refusal> {
    match input {
        Input::Asked => Ok(asked(objective, now)),
        Input::AllAnswered => Ok(all_answered(objective, now)),
        Input::Pause => pause(objective, now),
        Input::Resume => resume(objective, now),
        Input::Done { summary } => done(objective, summary, now),
        Input::Fail { reason } => match objective.state {
            State::Active | State::WaitingUser | State::Paused => {
                let summary = format!("{} failed: {reason}", objective.title);
                Ok(objective.end(State::Failed { reason }, NoteKind::ObjectiveFailed, summary, now))
            }
            State::Succeeded | State::Failed { .. } | State::Canceled { .. } => Err(objective.over()),
        },
        Input::Cancel { reason } => match objective.state {
            State::Active | State::WaitingUser | State::Paused => {
                let summary = format!("{} was canceled: {reason}", objective.title);
                Ok(objective.end(State::Canceled { reason }, NoteKind::ObjectiveCanceled, summary, now))
            }
            State::Canceled { .. } => Ok(Decision::ignore(objective.clone(), "canceled already")),
            State::Succeeded | State::Failed { .. } => Err(objective.over()),
        },
        Input::Used { usage } => Ok(used(objective, &usage, now)),
        Input::Trip { trip } => Ok(tripped(objective, trip, now)),
        Input::Edit(edit) => edited(objective, *edit, now),
        Input::ManagerMade
        | Input::ManagerLost
        | Input::Poked
        | Input::Moved
        | Input::Escalated
        | Input::Deescalate
        | Input::Forgive => Ok(count(objective, &input, now)),
    }
}

fn asked(objective: &Objective, now: Timestamp) -> Decision<Objective> {
    match objective.state {
        State::Active => objective.with(|next| next.state = State::WaitingUser, now),
        State::WaitingUser | State::Paused => Decision::ignore(objective.clone(), "it rests already"),
        State::Succeeded | State::Failed { .. } | State::Canceled { .. } => {
            Decision::ignore(objective.clone(), "a question of ended work")
        }
    }
}

fn all_answered(objective: &Objective, now: Timestamp) -> Decision<Objective> {
    match objective.state {
        State::WaitingUser => objective.with(|next| next.state = State::Active, now),
        State::Active | State::Paused => Decision::ignore(objective.clone(), "it does not wait for an answer"),
        State::Succeeded | State::Failed { .. } | State::Canceled { .. } => {
            Decision::ignore(objective.clone(), "it has ended")
        }
    }
}

fn pause(objective: &Objective, now: Timestamp) -> Result<Decision<Objective>, Refusal> {
    match objective.state {
        State::Active | State::WaitingUser => {
            let note = Note::new(NoteKind::ObjectiveChanged, format!("{} was paused", objective.title))
                .with("state", State::Paused.name());
            Ok(objective.with(|next| next.state = State::Paused, now).note(note))
        }
        State::Paused => Ok(Decision::ignore(objective.clone(), "paused already")),
        State::Succeeded | State::Failed { .. } | State::Canceled { .. } => Err(objective.over()),
    }
}

fn resume(objective: &Objective, now: Timestamp) -> Result<Decision<Objective>, Refusal> {
    match objective.state {
        State::Paused => {
            let note = Note::new(NoteKind::ObjectiveChanged, format!("{} goes on", objective.title))
                .with("state", State::Active.name());
            let go_on = |next: &mut Objective| {
                next.state = State::Active;
                // Otherwise the limit that was reached would pause it again at once.
                if next.tripped.is_some() {
                    forgive(next);
                }
            };
            Ok(objective.with(go_on, now).note(note))
        }
        State::Active | State::WaitingUser if objective.tripped.is_some() => {
            let note = Note::new(NoteKind::ObjectiveChanged, format!("{} goes on beyond the limit", objective.title));
            Ok(objective.with(forgive, now).note(note))
        }
        State::Active | State::WaitingUser => Ok(Decision::ignore(objective.clone(), "not paused")),
        State::Succeeded | State::Failed { .. } | State::Canceled { .. } => Err(objective.over()),
    }
}

/// Starts counting anew: a person said "go on".
fn forgive(objective: &mut Objective) {
    objective.tripped = None;
    objective.calls.clear();
    objective.forgiven = (objective.used.tokens(), objective.used.micro_usd);
}

fn done(objective: &Objective, summary: String, now: Timestamp) -> Result<Decision<Objective>, Refusal> {
    match objective.state {
        State::Active | State::WaitingUser => {
            let line = format!("{} is done", objective.title);
            let mut decision = objective.end(State::Succeeded, NoteKind::ObjectiveDone, line, now);
            decision.next.summary = Some(summary);
            Ok(decision)
        }
        State::Paused => Err(Refusal::State {
            noun: "objective",
            id: objective.id.to_string(),
            state: objective.state.name(),
            rule: "resume it first",
        }),
        State::Succeeded | State::Failed { .. } | State::Canceled { .. } => Err(objective.over()),
    }
}

fn used(objective: &Objective, usage: &Usage, now: Timestamp) -> Decision<Objective> {
    // What was used is counted whatever became of the objective: the money is gone.
    let mut next = objective.clone();
    next.used.add(usage);
    next.calls.add(usage.model_calls, now);
    if next.tripped.is_some() || next.is_over() {
        return Decision::become_(next);
    }
    match next.verdict(now) {
        Some(trip) => {
            let note = Note::new(NoteKind::GuardPause, format!("{} paused: {trip}", objective.title))
                .with("guard", trip.name());
            next.tripped = Some(trip);
            Decision::become_(next).note(note)
        }
        None => Decision::become_(next),
    }
}

fn tripped(objective: &Objective, trip: Trip, now: Timestamp) -> Decision<Objective> {
    if objective.is_over() || objective.tripped.is_some() {
        return Decision::ignore(objective.clone(), "it rests already");
    }
    let note =
        Note::new(NoteKind::GuardPause, format!("{} paused: {trip}", objective.title)).with("guard", trip.name());
    objective.with(|next| next.tripped = Some(trip), now).note(note)
}

fn count(objective: &Objective, input: &Input, now: Timestamp) -> Decision<Objective> {
    if objective.is_over() {
        return Decision::ignore(objective.clone(), "it has ended");
    }
    if matches!(input, Input::Moved) && objective.managers.pokes == 0 {
        return Decision::ignore(objective.clone(), "nothing was waited for");
    }
    objective.with(
        |next| match input {
            Input::ManagerMade => {
                next.managers.made = next.managers.made.saturating_add(1);
                next.managers.last_at = Some(now);
            }
            Input::ManagerLost => next.managers.lost = next.managers.lost.saturating_add(1),
            Input::Poked => {
                next.managers.pokes = next.managers.pokes.saturating_add(1);
                next.managers.last_at = Some(now);
            }
            Input::Moved => next.managers.pokes = 0,
            Input::Escalated => next.managers.escalated = true,
            Input::Deescalate => {
                next.managers = Managers { made: 0, lost: 0, pokes: 0, last_at: None, escalated: false }
            }
            Input::Forgive => forgive(next),
            Input::Asked
            | Input::AllAnswered
            | Input::Pause
            | Input::Resume
            | Input::Done { .. }
            | Input::Fail { .. }
            | Input::Cancel { .. }
            | Input::Used { .. }
            | Input::Trip { .. }
            | Input::Edit(_) => {}
        },
        now,
    )
}

fn edited(objective: &Objective, edit: Edit, now: Timestamp) -> Result<Decision<Objective>, Refusal> {
    if objective.is_over() {
        return Err(objective.over());
    }
    if edit.on.is_some_and(|on| on != objective.editable()) {
        return Err(Refusal::Changed { noun: "objective", id: objective.id.to_string() });
    }
    if let Some(title) = &edit.title
        && (title.trim().is_empty() || title.len() > 200)
    {
        return Err(Refusal::Invalid { field: "title", rule: "must have between 1 and 200 bytes".into() });
    }
    let limits = objective.limits.with(&edit.limits);
    limits.check()?;
    objective.policy.limits(&limits)?;
    let past = |secs: u64| secs > 0 && objective.created_at + Duration::from_secs(secs) <= now;
    if edit.limits.deadline_secs.is_some_and(past) {
        let rule = "deadline_secs counts from when it was made, and would be over already; cancel ends it now";
        return Err(Refusal::Invalid { field: "limits", rule: rule.into() });
    }
    let note = Note::new(NoteKind::ObjectiveChanged, format!("{} was edited", objective.title));
    Ok(objective
        .with(
            |next| {
                next.title = edit.title.unwrap_or_else(|| next.title.clone());
                next.priority = edit.priority.unwrap_or(next.priority);
                next.limits = limits;
            },
            now,
        )
        .note(note))
}
