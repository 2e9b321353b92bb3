//! The life of a task: one piece of a workflow's work, for one Implementer at a time.

use crate::contract::{PlannedTask, Specialty};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{HandInId, ObjectiveId, Revision, ScopeId, SessionId, TaskId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// One piece of a workflow's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// Its place among all tasks of the workflow, from 1.
    pub number: u32,
    /// The round that it belongs to.
    pub round: u32,
    /// The repair that it belongs to; zero for the first plan.
    pub cycle: u32,
    /// Where it comes from.
    pub source: Source,
    /// Its title for people.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// What it needs somebody to be good at.
    pub specialty: Option<Specialty>,
    /// The tasks whose work it goes on with.
    pub depends_on: Vec<TaskId>,
    /// How often somebody tried.
    pub tries: u32,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// Where a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// The Architect's plan.
    Plan,
    /// The Architect's repair of what blocks.
    Repair,
    /// The house: parts that were made side by side are brought together.
    Join,
    /// A person.
    Person,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for the tasks that it depends on, or for somebody.
    Pending,
    /// Somebody works on it.
    Running {
        /// Who.
        session: SessionId,
    },
    /// It is done.
    Completed {
        /// By whom.
        session: SessionId,
        /// What was handed in.
        hand_in: HandInId,
    },
    /// Nobody got it done.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// It is not done, and that is wanted.
    Skipped {
        /// Why, for people.
        reason: String,
    },
}

/// Something that happens to a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Somebody works on it.
    Started {
        /// Who.
        session: SessionId,
    },
    /// It is done.
    Completed {
        /// What was handed in.
        hand_in: HandInId,
    },
    /// Who worked on it did not get it done; somebody else may.
    Lost {
        /// Why.
        reason: String,
    },
    /// Nobody will get it done.
    Fail {
        /// Why.
        reason: String,
    },
    /// A person does without it, or it was planned anew.
    Skip {
        /// Why.
        reason: String,
    },
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running { .. } => "running",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Tells whether there is no way out.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Completed { .. } | Self::Failed { .. } | Self::Skipped { .. } => true,
            Self::Pending | Self::Running { .. } => false,
        }
    }
}

/// A task before it has a place.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a task")]
pub struct NewTask {
    pub source: Source,
    pub planned: PlannedTask,
    /// Tasks that are there already and whose work it goes on with.
    pub after: Vec<TaskId>,
}

impl Task {
    fn with(&self, state: State, now: Timestamp) -> Decision<Self> {
        let mut next = self.clone();
        next.state = state;
        next.updated_at = now;
        if next.state.is_over() {
            next.completed_at = Some(now);
        }
        Decision::become_(next)
    }

    fn said(&self, kind: NoteKind, words: impl std::fmt::Display) -> Note {
        Note::new(kind, format!("task {} \"{}\" {words}", self.number, self.title))
            .with("task_id", self.id)
            .with("title", &self.title)
    }

    fn over(&self) -> Refusal {
        Refusal::Over { noun: "task", id: self.id.to_string(), state: self.state.name() }
    }
}

/// Decides what a task becomes.
pub fn decide(task: &Task, input: Input, now: Timestamp) -> Result<Decision<Task>, Refusal> {
    let stale = |why| Ok(Decision::ignore(task.clone(), why));
    match input {
        Input::Started { session } => match &task.state {
            State::Pending => {
                let mut decision = task.with(State::Running { session }, now);
                decision.next.tries = task.tries.saturating_add(1);
                Ok(decision.note(task.said(NoteKind::TaskStarted, "is being worked on").of(session)))
            }
            State::Running { .. } => stale("somebody works on it already"),
            State::Completed { .. } | State::Failed { .. } | State::Skipped { .. } => Err(task.over()),
        },
        Input::Completed { hand_in } => match &task.state {
            State::Running { session } => {
                let note = task.said(NoteKind::TaskCompleted, "is done").of(*session);
                Ok(task.with(State::Completed { session: *session, hand_in }, now).note(note))
            }
            State::Pending | State::Completed { .. } | State::Failed { .. } | State::Skipped { .. } => {
                stale("nobody works on it")
            }
        },
        Input::Lost { reason } => match &task.state {
            State::Running { session } => {
                let note = task.said(NoteKind::TaskRetrying, format!("was not done and is tried again: {reason}"));
                Ok(task.with(State::Pending, now).note(note.of(*session).with("attempt", task.tries)))
            }
            State::Pending | State::Completed { .. } | State::Failed { .. } | State::Skipped { .. } => {
                stale("nobody works on it")
            }
        },
        Input::Fail { reason } => match &task.state {
            State::Pending | State::Running { .. } => {
                let note = task.said(NoteKind::TaskFailed, format!("failed: {reason}"));
                Ok(task.with(State::Failed { reason }, now).note(note))
            }
            State::Completed { .. } | State::Failed { .. } | State::Skipped { .. } => stale("it has ended"),
        },
        Input::Skip { reason } => match &task.state {
            State::Pending | State::Running { .. } => {
                let note = task.said(NoteKind::TaskSkipped, format!("is skipped: {reason}"));
                Ok(task.with(State::Skipped { reason }, now).note(note))
            }
            State::Skipped { .. } => stale("skipped already"),
            State::Completed { .. } | State::Failed { .. } => Err(task.over()),
        },
    }
}
