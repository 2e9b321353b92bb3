//! From an agent's error to the cause of a turn's end, by tables.
//!
//! Where an agent says its causes in typed fields, rules match those. Where it has nothing but prose, prose is
//! matched in these tables and nowhere else; each rule is tested on recordings.

use crate::TurnEnd;
use crate::text::detail;
use orcha_base::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A cause as a table names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    Interrupted,
    Refused,
    RateLimited,
    UsageExhausted,
    Overloaded,
    Auth,
    Billing,
    ModelMissing,
    ContextFull,
    ConversationMissing,
    Network,
    OverBudget,
}

impl Cause {
    /// Makes the turn's end of it; `until` when a window that refuses opens again.
    pub(crate) const fn turn_end(self, until: Option<Timestamp>) -> TurnEnd {
        match self {
            Self::Interrupted => TurnEnd::Interrupted,
            Self::Refused => TurnEnd::Refused,
            Self::RateLimited => TurnEnd::RateLimited { until },
            Self::UsageExhausted => TurnEnd::UsageExhausted { until },
            Self::Overloaded => TurnEnd::Overloaded,
            Self::Auth => TurnEnd::Auth,
            Self::Billing => TurnEnd::Billing,
            Self::ModelMissing => TurnEnd::ModelMissing,
            Self::ContextFull => TurnEnd::ContextFull,
            Self::ConversationMissing => TurnEnd::ConversationMissing,
            Self::Network => TurnEnd::Network,
            Self::OverBudget => TurnEnd::OverBudget,
        }
    }
}

/// One line of a table. Everything that it names must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rule {
    /// The error's `code`.
    pub(crate) code: Option<i64>,
    /// A JSON pointer into the error.
    pub(crate) at: Option<String>,
    /// The text that stands there; without it, that anything does.
    pub(crate) is: Option<String>,
    /// What any text in the error contains. The last resort.
    pub(crate) says: Option<String>,
    /// What it means.
    pub(crate) cause: Option<Cause>,
}

impl Rule {
    fn holds(&self, error: &Value) -> bool {
        self.code.is_none_or(|code| error.get("code").and_then(Value::as_i64) == Some(code))
            && self.at.as_ref().is_none_or(|at| match (error.pointer(at), &self.is) {
                (Some(Value::String(found)), Some(is)) => found == is,
                (Some(_), None) => true,
                (Some(_) | None, _) => false,
            })
            && self.says.as_ref().is_none_or(|words| says(error, words))
    }
}

/// Tells whether any text in a value contains the words.
fn says(value: &Value, words: &str) -> bool {
    match value {
        Value::String(text) => text.contains(words),
        Value::Array(items) => items.iter().any(|it| says(it, words)),
        Value::Object(fields) => fields.values().any(|it| says(it, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Finds the first rule that holds.
pub(crate) fn look_up(rules: &[Rule], error: &Value) -> Option<Cause> {
    rules.iter().find(|rule| rule.holds(error))?.cause
}

/// Reads an HTTP status; `None` for one that says nothing about the cause.
pub(crate) const fn by_status(status: u64) -> Option<Cause> {
    match status {
        429 => Some(Cause::RateLimited),
        401 | 403 => Some(Cause::Auth),
        402 => Some(Cause::Billing),
        404 => Some(Cause::ModelMissing),
        // A fault of the provider is waited out, whichever it is.
        500..=599 => Some(Cause::Overloaded),
        _ => None,
    }
}

/// Makes the turn's end of an error that no table knows, in the agent's own words.
pub(crate) fn unknown(error: &Value) -> TurnEnd {
    let words = ["/data/details", "/data/message", "/message"].iter().find_map(|at| error.pointer(at)?.as_str());
    TurnEnd::Failed { detail: detail(&words.map_or_else(|| error.to_string(), str::to_owned)) }
}
