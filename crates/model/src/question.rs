//! The life of a question to the user. An answer reaches whoever asked.

use crate::guard::Trip;
use crate::permission::{self, Wish};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{
    Attempt, CheckRunId, ObjectiveId, PullRequestId, QuestionId, Revision, ScopeId, SessionId, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

/// A question to the user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its id.
    pub id: QuestionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session that it is about, or that asked.
    pub session: Option<SessionId>,
    /// Its cause: while a question with this cause is open, there is no second one.
    pub cause: String,
    /// What it is about, for whoever handles the answer.
    pub about: About,
    /// Higher is more urgent.
    pub priority: i32,
    /// The question.
    pub text: String,
    /// What one should know.
    pub context: Option<String>,
    /// Answers to choose from; any other text may be given too.
    pub options: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum About {
    /// An agent asked by tool.
    Asked,
    /// A guard paused a session.
    Guard {
        /// Which.
        trip: Trip,
    },
    /// A guard paused the whole objective.
    ObjectiveGuard {
        /// Which.
        trip: Trip,
    },
    /// A session cannot go on without help.
    Help {
        /// The class of the trouble.
        class: String,
    },
    /// The managers' budget is spent.
    Managers,
    /// A workflow cannot go on without a person.
    Workflow {
        /// What for.
        gate: Gate,
    },
    /// A pull request was closed without merging.
    ClosedPullRequest {
        /// Which.
        pull_request: PullRequestId,
    },
    /// An agent wants to do something and its turn stands still until it is told.
    Permission(Box<Request>),
}

/// A request of an agent that a person decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The attempt that asks.
    pub attempt: Attempt,
    /// Which request of its session.
    pub number: u64,
    /// What it wants.
    pub wish: Wish,
    /// What it would do, as JSON text.
    pub input: String,
    /// When it is denied because nobody answered.
    pub until: Timestamp,
}

/// What a workflow needs a person for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum Gate {
    /// The plan waits for a yes.
    Plan,
    /// The result waits for a yes.
    Delivery,
    /// Nothing was found that could check the work.
    NoChecks {
        /// The run that found nothing.
        run: CheckRunId,
    },
    /// The checks could not be run: the machine was in the way.
    CheckFault {
        /// The run.
        run: CheckRunId,
    },
    /// The result could not be delivered.
    DeliveryFault {
        /// The number of the order.
        order: u32,
    },
}

/// Where a question stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for a person.
    Open,
    /// Has its answer.
    Answered {
        /// The answer.
        answer: String,
    },
    /// The answer took effect.
    Delivered {
        /// The answer.
        answer: String,
    },
    /// Nobody needs the answer any more.
    Canceled,
}

/// Something that happens to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A person answers.
    Answer {
        /// The answer.
        answer: String,
    },
    /// The answer took effect.
    Delivered,
    /// Nobody needs the answer any more.
    Cancel,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered { .. } => "answered",
            Self::Delivered { .. } => "delivered",
            Self::Canceled => "canceled",
        }
    }

    /// Returns the answer, if there is one.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Answered { answer } | Self::Delivered { answer } => Some(answer),
            Self::Open | Self::Canceled => None,
        }
    }
}

/// Decides what a question becomes.
pub fn decide(question: &Question, input: Input, now: Timestamp) -> Result<Decision<Question>, Refusal> {
    match input {
        Input::Answer { answer } => given(question, answer, now),
        Input::Delivered => Ok(match &question.state {
            State::Answered { answer } => enter(
                question,
                State::Delivered { answer: answer.clone() },
                NoteKind::QuestionDelivered,
                "the answer arrived",
                now,
            ),
            State::Open | State::Delivered { .. } | State::Canceled => {
                Decision::ignore(question.clone(), "no answer is on its way")
            }
        }),
        Input::Cancel => Ok(match question.state {
            State::Open | State::Answered { .. } => {
                enter(question, State::Canceled, NoteKind::QuestionCanceled, "nobody needs the answer any more", now)
            }
            State::Delivered { .. } | State::Canceled => Decision::ignore(question.clone(), "over already"),
        }),
    }
}

fn given(question: &Question, answer: String, now: Timestamp) -> Result<Decision<Question>, Refusal> {
    if answer.trim().is_empty() || answer.len() > 64 * 1024 {
        return Err(Refusal::Invalid { field: "answer", rule: "must have between 1 byte and 64 KiB".into() });
    }
    if let (About::Permission(_), State::Open, None) = (&question.about, &question.state, permission::said(&answer)) {
        let rule = "must be `allow once`, `allow for this session`, `allow for this session: WORDS` (what a plain \
                    command begins with), `deny` or `deny: WHY`";
        return Err(Refusal::Invalid { field: "answer", rule: rule.into() });
    }
    match question.state {
        State::Open => {
            let mut decision =
                enter(question, State::Answered { answer }, NoteKind::QuestionAnswered, "the user answered", now);
            decision.next.answered_at = Some(now);
            Ok(decision)
        }
        State::Answered { .. } | State::Delivered { .. } | State::Canceled => Err(Refusal::State {
            noun: "question",
            id: question.id.to_string(),
            state: question.state.name(),
            rule: "only an open question is answered",
        }),
    }
}

fn enter(question: &Question, state: State, kind: NoteKind, summary: &str, now: Timestamp) -> Decision<Question> {
    let mut next = question.clone();
    next.state = state;
    next.updated_at = now;
    let mut note = Note::new(kind, summary).with("question_id", question.id);
    note.session = question.session;
    Decision::become_(next).note(note)
}
