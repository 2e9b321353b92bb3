//! The life of one piece of feedback on a pull request: a comment, a red check, a conflict.
//!
//! Its text comes from outside: it is data, and carries how far its author is trusted.

use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{FeedbackId, ObjectiveId, PullRequestId, Revision, ScopeId, SessionId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// One piece of feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The pull request.
    pub pull_request: PullRequestId,
    /// The code host's name of it, unique within the pull request; an edited comment has a new one.
    pub external: String,
    /// What it is.
    pub kind: Kind,
    /// Who said it.
    pub author: String,
    /// How far that author is trusted.
    pub trust: Trust,
    /// The text.
    pub body: String,
    /// How often somebody was sent to work it off.
    pub tries: u32,
    /// Where it stands.
    pub state: State,
    /// When it came in.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a piece of feedback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A comment on the whole.
    IssueComment,
    /// A comment on a line, or the text of a review.
    ReviewComment,
    /// A review that asks for changes.
    ChangesRequested,
    /// A check is red.
    CheckFailure,
    /// It cannot be merged.
    MergeConflict,
    /// An instruction by tool or by a person.
    Instruction,
}

/// How far an author is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The user, the manager, or somebody who may push.
    Trusted,
    /// Anybody.
    Outside,
}

/// Where a piece of feedback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nobody works on it.
    New,
    /// A session works on it.
    Routed {
        /// Which.
        session: SessionId,
    },
    /// It was worked off.
    Handled,
    /// Nobody will work on it.
    Dropped,
}

/// Something that happens to a piece of feedback.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A session works on it now.
    Route {
        /// Which.
        session: SessionId,
    },
    /// That session succeeded.
    Handled,
    /// That session failed.
    Unrouted,
    /// It is of no use any more.
    Drop {
        /// Why.
        why: &'static str,
    },
}

/// After so many failed follow-ups the feedback is dropped and the manager told.
pub const TRIES: u32 = 2;

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Routed { .. } => "routed",
            Self::Handled => "handled",
            Self::Dropped => "dropped",
        }
    }
}

/// Decides what a piece of feedback becomes.
pub fn decide(feedback: &Feedback, input: Input, now: Timestamp) -> Result<Decision<Feedback>, Refusal> {
    let enter = |state: State| {
        let mut next = feedback.clone();
        next.state = state;
        next.updated_at = now;
        Decision::become_(next)
    };
    let note = |kind, summary: &str| Note::new(kind, summary.to_owned()).with("pr_id", feedback.pull_request);
    match (input, feedback.state) {
        (Input::Route { session }, State::New) => {
            let mut decision = enter(State::Routed { session });
            decision.next.tries = feedback.tries.saturating_add(1);
            Ok(decision)
        }
        (Input::Route { .. }, State::Routed { .. } | State::Handled | State::Dropped) => Err(Refusal::State {
            noun: "feedback",
            id: feedback.id.to_string(),
            state: feedback.state.name(),
            rule: "only new feedback is routed",
        }),
        (Input::Handled, State::New | State::Routed { .. }) => {
            Ok(enter(State::Handled).note(note(NoteKind::FeedbackHandled, "feedback was worked off")))
        }
        (Input::Unrouted, State::Routed { .. }) if feedback.tries < TRIES => Ok(enter(State::New)),
        (Input::Unrouted, State::Routed { .. }) => Ok(enter(State::Dropped)
            .note(note(NoteKind::FeedbackDropped, "feedback was given up after failed follow-ups"))),
        (Input::Drop { why }, State::New | State::Routed { .. }) => {
            Ok(enter(State::Dropped).note(note(NoteKind::FeedbackDropped, why)))
        }
        (Input::Unrouted, State::New)
        | (Input::Handled | Input::Unrouted | Input::Drop { .. }, State::Handled | State::Dropped) => {
            Ok(Decision::ignore(feedback.clone(), "nothing to do"))
        }
    }
}
