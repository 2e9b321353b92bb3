//! Errors by class: how each one looks in each dialect.
//!
//! The words that programs look for are in the messages, because some of them decide by prose. Nothing here picks an
//! error; a scenario does.

use crate::server::ask::Api;
use crate::server::scenario::{Fail, Kind};
use serde_json::{Value, json};
use std::time::SystemTime;

/// An error as it is sent.
#[derive(Debug)]
pub struct Fault {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

struct Words {
    /// Of Anthropic, OpenAI and Google, in this order; an OpenAI error has a type and perhaps a code.
    messages: (u16, &'static str),
    openai: (u16, &'static str, Option<&'static str>),
    gemini: (u16, &'static str),
    text: &'static str,
}

const fn words(
    messages: (u16, &'static str),
    openai: (u16, &'static str, Option<&'static str>),
    gemini: (u16, &'static str),
    text: &'static str,
) -> Words {
    Words { messages, openai, gemini, text }
}

const INVALID: &str = "invalid_request_error";

impl Kind {
    fn words(self) -> Words {
        match self {
            Self::RateLimit => words(
                (429, "rate_limit_error"),
                (429, "rate_limit_error", Some("rate_limit_exceeded")),
                (429, "RESOURCE_EXHAUSTED"),
                "Too many requests for now: rate limit reached.",
            ),
            Self::UsageLimit => words(
                (429, "rate_limit_error"),
                (429, "usage_limit_reached", None),
                (429, "RESOURCE_EXHAUSTED"),
                "The usage limit has been reached",
            ),
            Self::Billing => words(
                (400, INVALID),
                (429, "insufficient_quota", Some("insufficient_quota")),
                (400, "FAILED_PRECONDITION"),
                "Your credit balance is too low for this request.",
            ),
            Self::Payment => words(
                (402, "billing_error"),
                (402, "insufficient_quota", Some("insufficient_credits")),
                (402, "FAILED_PRECONDITION"),
                "Payment required: no credits are left.",
            ),
            Self::Overloaded => words(
                (529, "overloaded_error"),
                (503, "service_unavailable_error", Some("server_is_overloaded")),
                (503, "UNAVAILABLE"),
                "Overloaded",
            ),
            Self::Auth => words(
                (401, "authentication_error"),
                (401, INVALID, Some("invalid_api_key")),
                (401, "UNAUTHENTICATED"),
                "invalid x-api-key",
            ),
            Self::Forbidden => words(
                (403, "permission_error"),
                (403, "permission_error", None),
                (403, "PERMISSION_DENIED"),
                "This key may not do that.",
            ),
            Self::NotFound => words(
                (404, "not_found_error"),
                (404, INVALID, Some("model_not_found")),
                (404, "NOT_FOUND"),
                "model: there is no such model",
            ),
            Self::Server => words(
                (500, "api_error"),
                (500, "server_error", Some("server_error")),
                (500, "INTERNAL"),
                "Internal server error",
            ),
            Self::ContextLength => words(
                (400, INVALID),
                (400, INVALID, Some("context_length_exceeded")),
                (400, "INVALID_ARGUMENT"),
                "prompt is too long: 250000 tokens > 200000 maximum",
            ),
            Self::BadRequest => words(
                (400, INVALID),
                (400, INVALID, Some("invalid_value")),
                (400, "INVALID_ARGUMENT"),
                "The request makes no sense.",
            ),
        }
    }
}

/// Writes an error in a dialect; `now` is what reset times count from.
pub fn fault(fail: &Fail, api: Api, now: SystemTime) -> Fault {
    let words = fail.kind.words();
    let message = fail.message.as_deref().unwrap_or(words.text);
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let reset = since_epoch.saturating_add(fail.resets_in);
    let exhausted = fail.kind == Kind::UsageLimit;
    let mut headers = Vec::new();
    let mut header = |name: &str, value: String| headers.push((name.to_owned(), value));
    if let Some(seconds) = fail.retry_after {
        header("retry-after", seconds.to_string());
    }
    let (status, body) = match api {
        Api::Messages => {
            if exhausted {
                // What the end of a subscription's window looks like.
                let unified = |rest: &str| format!("anthropic-ratelimit-unified-{rest}");
                for (name, value) in [
                    ("status", "rejected"),
                    ("representative-claim", "five_hour"),
                    ("5h-status", "rejected"),
                    ("5h-utilization", "1.0"),
                ] {
                    header(&unified(name), value.to_owned());
                }
                header(&unified("reset"), reset.to_string());
                header(&unified("5h-reset"), reset.to_string());
                header("x-should-retry", "false".to_owned());
                if fail.retry_after.is_none() {
                    header("retry-after", fail.resets_in.to_string());
                }
            }
            let (status, kind) = words.messages;
            (
                status,
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}),
            )
        }
        Api::Ollama => {
            // It has statuses and prose, and nothing else.
            let (status, text) = match fail.kind {
                Kind::NotFound => (404, "model \"scripted\" not found, try pulling it first"),
                Kind::Overloaded => (503, "server busy, please try again. maximum pending requests exceeded"),
                Kind::ContextLength => (400, "the input length exceeds the context length"),
                Kind::Auth => (401, "unauthorized"),
                _ => (words.openai.0, words.text),
            };
            (status, json!({"error": fail.message.as_deref().unwrap_or(text)}))
        }
        Api::Responses | Api::Chat | Api::Copilot => {
            let (status, kind, code) = words.openai;
            let mut error = json!({"message": message, "type": kind, "code": code, "param": null});
            if exhausted {
                error["plan_type"] = json!("plus");
                error["resets_at"] = json!(reset);
                error["resets_in_seconds"] = json!(fail.resets_in);
                header("x-codex-primary-used-percent", "100".to_owned());
                header("x-codex-primary-window-minutes", "300".to_owned());
                header("x-codex-primary-reset-at", reset.to_string());
            }
            if fail.kind == Kind::RateLimit {
                header("x-ratelimit-remaining-requests", "0".to_owned());
                header("x-ratelimit-reset-requests", format!("{}s", fail.retry_after.unwrap_or(1)));
            }
            (status, json!({"error": error}))
        }
        Api::Gemini => {
            let (status, name) = words.gemini;
            let details = match fail.kind {
                Kind::RateLimit => json!([{
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}s", fail.retry_after.unwrap_or(1)),
                }]),
                Kind::UsageLimit => json!([{
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{
                        "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_day",
                        "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
                    }],
                }]),
                _ => json!([]),
            };
            let code = fail.status.unwrap_or(status);
            (status, json!({"error": {"code": code, "message": message, "status": name, "details": details}}))
        }
    };
    headers.retain(|(name, _)| !fail.headers.contains_key(name));
    headers.extend(fail.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    Fault { status: fail.status.unwrap_or(status), headers, body: fail.body.clone().unwrap_or(body) }
}
