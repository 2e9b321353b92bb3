//! Why a turn of Claude Code ended, from the typed fields of its `result` line. Prose is matched in one table only.

use super::dialogue::Fault;
use crate::TurnEnd;
use crate::causes::Cause;
use crate::text;
use orcha_base::Timestamp;
use serde_json::Value;

/// What it has no field for, and says in `errors`.
const SAYS: [(&str, Cause); 1] = [("No conversation found with session ID", Cause::ConversationMissing)];

/// Reads the cause: the narrowest field first, the HTTP status last.
///
/// `fault` is what the last message of the turn said of an error, `until` when a window that refused opens again.
pub(super) fn turn_end(result: &Value, fault: &Fault, until: Option<Timestamp>) -> TurnEnd {
    let text = |field: &str| result.get(field).and_then(Value::as_str);
    let failed = result.get("is_error").and_then(Value::as_bool).unwrap_or(true);
    let ended = text("terminal_reason").unwrap_or_default();
    if matches!(ended, "aborted_streaming" | "aborted_tools") {
        return TurnEnd::Interrupted;
    }
    if ended == "prompt_too_long" {
        return TurnEnd::ContextFull;
    }
    if text("stop_reason") == Some("refusal") {
        return TurnEnd::Refused;
    }
    if !failed && text("subtype") == Some("success") {
        return TurnEnd::Completed;
    }
    let status = result.get("api_error_status").and_then(Value::as_u64);
    by_error(text("api_error").or(fault.error.as_deref()), until)
        .or_else(|| by_class(fault.class.as_deref(), until))
        .or_else(|| by_type(text("api_error_type").or(fault.kind.as_deref()), until))
        .or_else(|| by_status(status, until))
        .or_else(|| by_words(result))
        .unwrap_or_else(|| TurnEnd::Failed { detail: detail(result) })
}

fn by_error(error: Option<&str>, until: Option<Timestamp>) -> Option<TurnEnd> {
    match error? {
        "usage_limit_reached" => Some(TurnEnd::UsageExhausted { until }),
        "connection_failed" => Some(TurnEnd::Network),
        _ => None,
    }
}

/// `server_error` and `invalid_request` hold several causes; a later field tells them apart.
fn by_class(class: Option<&str>, until: Option<Timestamp>) -> Option<TurnEnd> {
    match class? {
        "rate_limit" => Some(limited(until)),
        "authentication_failed" => Some(TurnEnd::Auth),
        "billing_error" => Some(TurnEnd::Billing),
        "model_not_found" => Some(TurnEnd::ModelMissing),
        _ => None,
    }
}

fn by_type(kind: Option<&str>, until: Option<Timestamp>) -> Option<TurnEnd> {
    match kind? {
        "overloaded_error" | "api_error" | "timeout_error" => Some(TurnEnd::Overloaded),
        "rate_limit_error" => Some(limited(until)),
        "authentication_error" | "permission_error" => Some(TurnEnd::Auth),
        "billing_error" => Some(TurnEnd::Billing),
        "not_found_error" => Some(TurnEnd::ModelMissing),
        _ => None,
    }
}

fn by_status(status: Option<u64>, until: Option<Timestamp>) -> Option<TurnEnd> {
    match status? {
        429 => Some(limited(until)),
        401 | 403 => Some(TurnEnd::Auth),
        402 => Some(TurnEnd::Billing),
        404 => Some(TurnEnd::ModelMissing),
        // A fault of the provider is waited out, whichever it is.
        500..=599 => Some(TurnEnd::Overloaded),
        _ => None,
    }
}

fn by_words(result: &Value) -> Option<TurnEnd> {
    let words = || result.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let (_, cause) = SAYS.iter().find(|(says, _)| words().any(|it| it.starts_with(says)))?;
    Some(cause.turn_end(None))
}

/// A refusing window with a reset time is a spent quota; without one it is a burst.
fn limited(until: Option<Timestamp>) -> TurnEnd {
    match until {
        Some(_) => TurnEnd::UsageExhausted { until },
        None => TurnEnd::RateLimited { until: None },
    }
}

fn detail(result: &Value) -> String {
    let errors = result.get("errors").and_then(Value::as_array);
    let words = match (result.get("result").and_then(Value::as_str), errors) {
        (Some(text), _) if !text.is_empty() => text.to_owned(),
        (_, Some(errors)) => errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    let words = if words.is_empty() {
        result.get("subtype").and_then(Value::as_str).unwrap_or("no reason was given").to_owned()
    } else {
        words
    };
    text::detail(&words)
}
