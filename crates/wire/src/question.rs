//! Questions to the user, and their answers.

use crate::names::names;
use orcha_base::{ObjectiveId, QuestionId, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Where a question stands. `delivered`: the answer reached whoever asked.
    QuestionStatus, "question status":
    Open = "open",
    Answered = "answered",
    Delivered = "delivered",
    Canceled = "canceled",
}

/// A question to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Its id.
    pub id: QuestionId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The session that asked, or that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Where it stands.
    pub status: QuestionStatus,
    /// Higher is more urgent.
    pub priority: i32,
    /// The question.
    pub question: String,
    /// What one should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Answers to choose from; any other text may be given too, except where an agent asks for permission.
    #[serde(default)]
    pub options: Vec<String>,
    /// What it is about: `asked`, `guard`, `objective_guard`, `help`, `managers`, `closed_pull_request` or `permission`.
    #[serde(default)]
    pub about: String,
    /// When the question is settled with a no because nobody answered; only where an agent's turn waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
}

/// Answers a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The answer.
    #[schemars(length(min = 1, max = 65_536), regex(pattern = r"\S"))]
    pub answer: String,
}
