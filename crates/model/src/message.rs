//! The life of a steering message: durable until the agent took it up.

use crate::effect::{Deliver, Effect};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{
    Attempt, MessageId, ObjectiveId, QuestionId, Revision, ScopeId, SessionId, TargetId, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Something to be said to a session's agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id; also the key under which it is handed to the agent.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// Who shall hear it.
    pub session: SessionId,
    /// Who says it.
    pub from: Sender,
    /// Its cause: within a session there is one message per cause.
    pub cause: String,
    /// The text.
    pub text: String,
    /// Whether the running turn is cut off for it.
    pub interrupt: bool,
    /// The question that it answers.
    pub answers: Option<QuestionId>,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Sender {
    /// A person.
    User,
    /// The session's manager.
    Manager {
        /// Which.
        session: SessionId,
    },
    /// The system: somebody finished, something was merged.
    System,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for the agent's turn to end.
    Queued {
        /// Whether the running turn was asked to end for it.
        interrupted: Option<Attempt>,
    },
    /// Is being said; whether it was heard is not known yet.
    Sent {
        /// To which attempt.
        attempt: Attempt,
    },
    /// The agent took it up.
    Acknowledged,
    /// The session ended before.
    Undeliverable,
}

/// Something that happens to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The agent is free: say it.
    Send {
        /// To which attempt.
        attempt: Attempt,
        /// Where that runs.
        target: TargetId,
    },
    /// An attempt begins with it: it stands in the launch.
    Opens {
        /// Which attempt.
        attempt: Attempt,
    },
    /// The agent is busy and the message cannot wait.
    CutOff {
        /// The attempt whose turn it is.
        attempt: Attempt,
        /// Where that runs.
        target: TargetId,
    },
    /// The agent took it up.
    Accepted {
        /// Which attempt.
        attempt: Attempt,
    },
    /// The attempt ended without having taken it up.
    Lost {
        /// Which attempt.
        attempt: Attempt,
    },
    /// The session ended.
    SessionOver,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Sent { .. } => "sent",
            Self::Acknowledged => "acknowledged",
            Self::Undeliverable => "undeliverable",
        }
    }

    /// Tells whether it was not said yet.
    pub const fn is_queued(&self) -> bool {
        match self {
            Self::Queued { .. } => true,
            Self::Sent { .. } | Self::Acknowledged | Self::Undeliverable => false,
        }
    }

    /// Tells whether it still has to be heard.
    pub const fn is_waiting(&self) -> bool {
        match self {
            Self::Queued { .. } | Self::Sent { .. } => true,
            Self::Acknowledged | Self::Undeliverable => false,
        }
    }
}

/// Decides what a message becomes.
pub fn decide(message: &Message, input: Input, now: Timestamp) -> Result<Decision<Message>, Refusal> {
    match input {
        Input::Send { attempt, target } => send(message, attempt, target, now),
        Input::Opens { attempt } => Ok(opens(message, attempt, now)),
        Input::CutOff { attempt, target } => Ok(cut_off(message, attempt, target, now)),
        Input::Accepted { attempt } => Ok(accepted(message, attempt, now)),
        Input::Lost { attempt } => Ok(match message.state {
            State::Sent { attempt: of } if of == attempt => {
                enter(message, State::Queued { interrupted: None }, None, now)
            }
            State::Queued { .. } | State::Sent { .. } | State::Acknowledged | State::Undeliverable => {
                Decision::ignore(message.clone(), "it was not on its way to that attempt")
            }
        }),
        Input::SessionOver => Ok(match message.state {
            State::Queued { .. } | State::Sent { .. } => enter(
                message,
                State::Undeliverable,
                Some((NoteKind::MessageUndeliverable, "the session ended before it heard a message")),
                now,
            ),
            State::Acknowledged | State::Undeliverable => Decision::ignore(message.clone(), "over already"),
        }),
    }
}

fn send(message: &Message, attempt: Attempt, target: TargetId, now: Timestamp) -> Result<Decision<Message>, Refusal> {
    match message.state {
        State::Queued { .. } => {
            // Marked before it is said: after a crash the run's input log tells whether it was.
            let deliver =
                Deliver { message: message.id, session: message.session, attempt, target, text: message.text.clone() };
            let note = Some((NoteKind::MessageSent, "a message was handed to the agent"));
            Ok(enter(message, State::Sent { attempt }, note, now).then(Effect::Deliver(deliver)))
        }
        State::Sent { .. } | State::Acknowledged | State::Undeliverable => Err(Refusal::State {
            noun: "message",
            id: message.id.to_string(),
            state: message.state.name(),
            rule: "only a queued message is sent",
        }),
    }
}

fn opens(message: &Message, attempt: Attempt, now: Timestamp) -> Decision<Message> {
    match message.state {
        State::Queued { .. } => {
            let note = Some((NoteKind::MessageSent, "an agent is started with a message"));
            enter(message, State::Sent { attempt }, note, now)
        }
        State::Sent { .. } | State::Acknowledged | State::Undeliverable => {
            Decision::ignore(message.clone(), "it does not wait")
        }
    }
}

fn cut_off(message: &Message, attempt: Attempt, target: TargetId, now: Timestamp) -> Decision<Message> {
    match message.state {
        State::Queued { interrupted } if interrupted != Some(attempt) => {
            let effect = Effect::Interrupt { session: message.session, attempt, target, on_behalf_of: message.id };
            enter(message, State::Queued { interrupted: Some(attempt) }, None, now).then(effect)
        }
        State::Queued { .. } | State::Sent { .. } | State::Acknowledged | State::Undeliverable => {
            Decision::ignore(message.clone(), "nothing to cut off")
        }
    }
}

fn accepted(message: &Message, attempt: Attempt, now: Timestamp) -> Decision<Message> {
    match message.state {
        State::Sent { attempt: of } if of == attempt => enter(
            message,
            State::Acknowledged,
            Some((NoteKind::MessageAcknowledged, "the agent took up a message")),
            now,
        ),
        // The attempt that heard it was given up before we read of it: it was heard all the same.
        State::Queued { .. } | State::Sent { .. } => enter(message, State::Acknowledged, None, now),
        State::Acknowledged | State::Undeliverable => Decision::ignore(message.clone(), "over already"),
    }
}

fn enter(message: &Message, state: State, note: Option<(NoteKind, &str)>, now: Timestamp) -> Decision<Message> {
    let mut next = message.clone();
    next.state = state;
    next.updated_at = now;
    let decision = Decision::become_(next);
    match note {
        Some((kind, summary)) => {
            decision.note(Note::new(kind, summary).of(message.session).with("message_id", message.id))
        }
        None => decision,
    }
}
