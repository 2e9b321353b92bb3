//! The answers of `decide`: a change that leaves nothing to choose, or a typed no.

use crate::{Effect, Note};
use orcha_base::{Attempt, PullRequestId, QuestionId, SessionId, TargetId};

/// What one noun becomes when it meets one input, and what must be done in the world.
///
/// A stale fact changes nothing, orders nothing and says so in its note.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Decision<N> {
    /// The noun after the input.
    pub next: N,
    /// What must be done, in order.
    pub effects: Vec<Effect>,
    /// What the journal says, in order.
    pub notes: Vec<Note>,
    /// Why the input was ignored, if it was.
    pub ignored: Option<&'static str>,
}

impl<N> Decision<N> {
    /// The noun becomes `next`; nothing to do yet.
    pub fn become_(next: N) -> Self {
        Self { next, effects: Vec::new(), notes: Vec::new(), ignored: None }
    }

    /// The input is stale: nothing changes.
    pub fn ignore(same: N, why: &'static str) -> Self {
        Self { next: same, effects: Vec::new(), notes: Vec::new(), ignored: Some(why) }
    }

    /// Adds an effect.
    pub fn then(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Adds effects.
    pub fn then_all(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }

    /// Adds a line to the journal.
    pub fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }
}

/// An intent that cannot be followed, with the reason. Becomes HTTP 409 or 422 and a tool error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The noun has ended; ended work is never revived.
    #[error("{noun} {id} has ended ({state}); ended work is never revived")]
    Over {
        /// The noun's name.
        noun: &'static str,
        /// Its id.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// The state does not allow this.
    #[error("{noun} {id} is {state}: {rule}")]
    State {
        /// The noun's name.
        noun: &'static str,
        /// Its id.
        id: String,
        /// Its state.
        state: &'static str,
        /// What would have to be true.
        rule: &'static str,
    },
    /// A value breaks a rule.
    #[error("`{field}` {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The rule.
        rule: String,
    },
    /// It names something that is not there, or that the asker may not see.
    #[error("there is no {noun} `{id}`{hint}")]
    Unknown {
        /// The noun's name.
        noun: &'static str,
        /// What was asked for.
        id: String,
        /// What there is instead, beginning with a separator, or nothing.
        hint: String,
    },
    /// The role or the asker may not do this.
    #[error("{who} may not {what}")]
    Forbidden {
        /// Who asked.
        who: String,
        /// For what.
        what: String,
    },
    /// The target has no free place, or is not open for new sessions.
    #[error("target {target} has no free place")]
    NoRoom {
        /// The target.
        target: TargetId,
    },
    /// The cap over all targets is reached.
    #[error("all {cap} places for workers are taken")]
    CapReached {
        /// The cap.
        cap: u32,
    },
    /// Somebody else writes in that workspace.
    #[error("the workspace is in use by session {holder}")]
    WorkspaceBusy {
        /// Who writes there.
        holder: SessionId,
    },
    /// Somebody else updates that pull request's branch.
    #[error("pull request {pull_request} is being updated by session {holder}")]
    PullRequestBusy {
        /// The pull request.
        pull_request: PullRequestId,
        /// Who updates it.
        holder: SessionId,
    },
    /// Pull requests are still open.
    #[error("pull requests are still open: {}", list(open))]
    OpenPullRequests {
        /// Their numbers with `#`, or their ids.
        open: Vec<String>,
    },
    /// The merged or closed pull request must not be pushed to.
    #[error("pull request is {state}: {rule}")]
    PushForbidden {
        /// Its state.
        state: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// A question about this is open already.
    #[error("question {question} about this is open already")]
    AlreadyAsked {
        /// The question.
        question: QuestionId,
    },
    /// The edit was made on something older.
    #[error("{noun} {id} was edited since you looked at it; look again and repeat what you still want")]
    Changed {
        /// The noun's name.
        noun: &'static str,
        /// Its id.
        id: String,
    },
    /// The fact or intent belongs to another attempt.
    #[error("attempt {got} is not the current attempt {current}")]
    OtherAttempt {
        /// The attempt that was named.
        got: Attempt,
        /// The attempt that runs.
        current: Attempt,
    },
}

fn list(items: &[String]) -> String {
    items.join(", ")
}

impl Refusal {
    /// Returns the stable code that clients branch on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Over { .. } => "over",
            Self::State { .. } => "state",
            Self::Invalid { .. } => "invalid",
            Self::Unknown { .. } => "not_found",
            Self::Forbidden { .. } => "forbidden",
            Self::NoRoom { .. } => "no_room",
            Self::CapReached { .. } => "cap_reached",
            Self::WorkspaceBusy { .. } => "workspace_busy",
            Self::PullRequestBusy { .. } => "pull_request_busy",
            Self::OpenPullRequests { .. } => "open_pull_requests",
            Self::PushForbidden { .. } => "push_forbidden",
            Self::AlreadyAsked { .. } => "already_asked",
            Self::Changed { .. } => "changed",
            Self::OtherAttempt { .. } => "other_attempt",
        }
    }
}
