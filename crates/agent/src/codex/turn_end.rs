//! Why a turn of Codex failed, from `codexErrorInfo`. Prose is shown, never matched.

use crate::TurnEnd;
use crate::causes::{Cause, by_status, unknown};
use orcha_base::Timestamp;
use serde_json::Value;

/// Reads the cause of a failed turn; `until` when a window that is used up opens again.
pub(super) fn failed(error: &Value, until: Option<Timestamp>) -> TurnEnd {
    match error.get("codexErrorInfo").and_then(cause) {
        Some(Cause::RateLimited) if until.is_some() => TurnEnd::UsageExhausted { until },
        Some(cause) => cause.turn_end(until),
        None => unknown(error),
    }
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
