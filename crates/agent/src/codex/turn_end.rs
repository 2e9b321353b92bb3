//! Why a turn of Codex failed, from `codexErrorInfo`. Prose is matched in one table only.

use crate::TurnEnd;
use crate::causes::{Cause, by_status, unknown};
use orcha_base::Timestamp;
use serde_json::Value;

/// What it has no class for, and says in `message`.
const SAYS: [(&str, Cause); 1] = [("no rollout found", Cause::ConversationMissing)];

/// Reads the cause of a failed turn; `until` when a window that is used up opens again.
pub(super) fn failed(error: &Value, until: Option<Timestamp>) -> TurnEnd {
    match error.get("codexErrorInfo").and_then(cause) {
        Some(Cause::RateLimited) if until.is_some() => TurnEnd::UsageExhausted { until },
        Some(cause) => cause.turn_end(until),
        None => by_words(error).map_or_else(|| unknown(error), |cause| cause.turn_end(None)),
    }
}

fn by_words(error: &Value) -> Option<Cause> {
    let message = error.get("message").and_then(Value::as_str)?;
    SAYS.iter().find(|(says, _)| message.contains(says)).map(|(_, cause)| *cause)
}

/// Reads the class of an error; the version inside codex-acp writes the same names with underscores.
pub(crate) fn cause(info: &Value) -> Option<Cause> {
    let (name, inner) = match info {
        Value::String(name) => (name.as_str(), None),
        Value::Object(fields) => fields.iter().next().map(|(name, inner)| (name.as_str(), Some(inner)))?,
        _ => return None,
    };
    let status = inner.and_then(|it| it.get("httpStatusCode").or_else(|| it.get("http_status_code")));
    if let Some(status) = status.and_then(Value::as_u64) {
        return by_status(status);
    }
    match name.replace('_', "").to_ascii_lowercase().as_str() {
        "usagelimitexceeded" => Some(Cause::UsageExhausted),
        "ratelimitexceeded" => Some(Cause::RateLimited),
        "contextwindowexceeded" => Some(Cause::ContextFull),
        "modelnotfound" => Some(Cause::ModelMissing),
        "unauthorized" => Some(Cause::Auth),
        "sessionbudgetexceeded" => Some(Cause::OverBudget),
        "cyberpolicy" | "misalignmentpolicyviolation" => Some(Cause::Refused),
        "serveroverloaded" | "internalservererror" | "flexunavailable" | "policycapacityunavailable" => {
            Some(Cause::Overloaded)
        }
        "httpconnectionfailed" | "responsestreamconnectionfailed" | "responsestreamdisconnected" => {
            Some(Cause::Network)
        }
        _ => None,
    }
}

/// The name of an error's class, for people.
pub(super) fn class(error: &Value) -> &str {
    match error.get("codexErrorInfo") {
        Some(Value::String(name)) => name,
        Some(Value::Object(fields)) => fields.keys().next().map_or("unknown", String::as_str),
        _ => "unknown",
    }
}
