//! Why a call to a model failed, by class.
//!
//! Causes are taken from typed fields and headers. Where a provider has nothing but prose, prose is matched in the
//! one table here and nowhere else.

use orcha_agent::TurnEnd;
use orcha_base::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    /// The provider's words, for people.
    pub(crate) detail: String,
}

/// The classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    RateLimited {
        until: Option<Timestamp>,
    },
    UsageExhausted {
        until: Option<Timestamp>,
    },
    Overloaded {
        until: Option<Timestamp>,
    },
    Auth,
    Billing,
    ModelMissing,
    ContextFull,
    /// It could not be reached, or the stream was cut or silent.
    Network,
    /// The provider does not take the request as it is.
    Invalid,
}

/// Prose of errors that have no type of their own: words, and what they mean.
const PROSE: [(&str, Class); 7] = [
    ("prompt is too long", Class::ContextFull),
    ("context length", Class::ContextFull),
    ("context window", Class::ContextFull),
    ("exceed context", Class::ContextFull),
    ("credit balance is too low", Class::Billing),
    // Ollama has no types at all.
    ("try pulling it first", Class::ModelMissing),
    ("server busy", Class::Overloaded { until: None }),
];

/// How much of a provider's words is kept.
const DETAIL: usize = 1000;

impl Fault {
    pub(crate) fn new(class: Class, detail: impl Into<String>) -> Self {
        let detail: String = detail.into().chars().take(DETAIL).collect();
        Self { class, detail: detail.replace('\0', "\u{fffd}") }
    }

    pub(crate) fn network(detail: impl Into<String>) -> Self {
        Self::new(Class::Network, detail)
    }

    /// Reads an answer that is no success.
    pub(crate) fn of_answer(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
        let until = until(headers, &body, now);
        let spent = text(headers, "anthropic-ratelimit-unified-status") == Some("rejected");
        let class = match typed(&body, until) {
            // A window that refuses is a quota, whatever its type says.
            Some(Class::RateLimited { until }) if spent => Class::UsageExhausted { until },
            Some(class) => class,
            None => by_status(status, until),
        };
        Self::new(class, format!("HTTP {status}: {}", words(&body)))
    }

    /// Reads an error that came inside a stream.
    pub(crate) fn in_stream(body: &Value, now: Timestamp) -> Self {
        let until = until(&HeaderMap::new(), body, now);
        let class = typed(body, until).unwrap_or(Class::Overloaded { until });
        Self::new(class, words(body))
    }

    /// Returns the name of the class.
    pub(crate) const fn name(&self) -> &'static str {
        match self.class {
            Class::RateLimited { .. } => "rate_limited",
            Class::UsageExhausted { .. } => "usage_exhausted",
            Class::Overloaded { .. } => "overloaded",
            Class::Auth => "auth",
            Class::Billing => "billing",
            Class::ModelMissing => "model_missing",
            Class::ContextFull => "context_full",
            Class::Network => "network",
            Class::Invalid => "invalid",
        }
    }

    /// Returns how long to wait before the same call may succeed: `None` when that is not worth waiting for here.
    /// `usual` is the pause where the provider names none.
    pub(crate) fn pause(&self, usual: Duration, longest: Duration, now: Timestamp) -> Option<Duration> {
        match self.class {
            Class::RateLimited { until } | Class::Overloaded { until } => {
                let named = until.map(|until| until.since(now));
                let pause = named.map_or(usual, |named| named.max(usual));
                (pause <= longest.max(usual)).then_some(pause)
            }
            Class::Network => Some(usual),
            Class::UsageExhausted { .. }
            | Class::Auth
            | Class::Billing
            | Class::ModelMissing
            | Class::ContextFull
            | Class::Invalid => None,
        }
    }

    /// Returns how a turn ends by it.
    pub(crate) fn turn_end(self) -> TurnEnd {
        match self.class {
            Class::RateLimited { until } => TurnEnd::RateLimited { until },
            Class::UsageExhausted { until } => TurnEnd::UsageExhausted { until },
            Class::Overloaded { .. } => TurnEnd::Overloaded,
            Class::Auth => TurnEnd::Auth,
            Class::Billing => TurnEnd::Billing,
            Class::ModelMissing => TurnEnd::ModelMissing,
            Class::ContextFull => TurnEnd::ContextFull,
            Class::Network => TurnEnd::Network,
            Class::Invalid => TurnEnd::Failed { detail: self.detail },
        }
    }
}

/// Finds the error in a body: most providers put it into `error`.
fn error(body: &Value) -> &Value {
    match &body["error"] {
        Value::Null => body,
        error => error,
    }
}

fn words(body: &Value) -> String {
    let error = error(body);
    match (error.get("message").and_then(Value::as_str), error) {
        (Some(message), _) => message.to_owned(),
        (None, Value::String(text)) => text.clone(),
        (None, other) => other.to_string(),
    }
}

/// Reads the class from code, prose and type, in this order: some types hold several causes.
fn typed(body: &Value, until: Option<Timestamp>) -> Option<Class> {
    let error = error(body);
    let field = |name: &str| error.get(name).and_then(Value::as_str);
    let prose = || {
        let words = words(body).to_ascii_lowercase();
        PROSE.iter().find(|(it, _)| words.contains(it)).map(|(_, class)| *class)
    };
    by_name(field("code"), until).or_else(prose).or_else(|| by_name(field("type"), until))
}

fn by_name(name: Option<&str>, until: Option<Timestamp>) -> Option<Class> {
    match name? {
        "rate_limit_error" | "rate_limit_exceeded" => Some(Class::RateLimited { until }),
        "usage_limit_reached" => Some(Class::UsageExhausted { until }),
        "overloaded_error"
        | "api_error"
        | "timeout_error"
        | "server_error"
        | "server_is_overloaded"
        | "slow_down"
        | "service_unavailable_error" => Some(Class::Overloaded { until }),
        "authentication_error" | "permission_error" | "invalid_api_key" => Some(Class::Auth),
        "billing_error" | "insufficient_quota" | "insufficient_credits" | "billing_hard_limit_reached" => {
            Some(Class::Billing)
        }
        "not_found_error" | "model_not_found" => Some(Class::ModelMissing),
        // The last one is llama.cpp's.
        "context_length_exceeded" | "request_too_large" | "exceed_context_size_error" => Some(Class::ContextFull),
        _ => None,
    }
}

const fn by_status(status: u16, until: Option<Timestamp>) -> Class {
    match status {
        429 => Class::RateLimited { until },
        401 | 403 => Class::Auth,
        402 => Class::Billing,
        404 => Class::ModelMissing,
        413 => Class::ContextFull,
        408 | 502 | 504 => Class::Network,
        // A fault of the provider is waited out, whichever it is.
        500..=599 => Class::Overloaded { until },
        _ => Class::Invalid,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Finds when the provider will listen again: the body first, then the headers, the plainest first.
fn until(headers: &HeaderMap, body: &Value, now: Timestamp) -> Option<Timestamp> {
    let error = error(body);
    let secs = |secs: f64| (0.0..1e9).contains(&secs).then(|| now + Duration::from_secs_f64(secs));
    let epoch = |at: i64| (at > 0).then(|| Timestamp::from_secs(at));
    let number = |name| text(headers, name)?.parse::<f64>().ok();
    let by_body = || epoch(error.get("resets_at")?.as_i64()?);
    let by_body_secs = || secs(error.get("resets_in_seconds")?.as_f64()?);
    let by_unified = || epoch(text(headers, "anthropic-ratelimit-unified-reset")?.parse().ok()?);
    let by_millis = || secs(number("retry-after-ms")? / 1000.0);
    let by_retry_after = || {
        let value = text(headers, "retry-after")?;
        value.parse().map_or_else(|_| http_date(value), secs)
    };
    let by_windows = || {
        let spent = |window: &str| {
            let remaining = text(headers, &format!("anthropic-ratelimit-{window}-remaining"))?;
            (remaining == "0").then(|| text(headers, &format!("anthropic-ratelimit-{window}-reset")))??.parse().ok()
        };
        ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(spent).max()
    };
    let by_openai = || {
        let spent = |what: &str| {
            let remaining = text(headers, &format!("x-ratelimit-remaining-{what}"))?;
            (remaining == "0").then(|| text(headers, &format!("x-ratelimit-reset-{what}")))?.and_then(duration)
        };
        ["requests", "tokens"].into_iter().filter_map(spent).max().map(|it| now + it)
    };
    by_body()
        .or_else(by_body_secs)
        .or_else(by_unified)
        .or_else(by_millis)
        .or_else(by_retry_after)
        .or_else(by_windows)
        .or_else(by_openai)
}

/// Reads a date as HTTP has it.
fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

/// Reads a duration as OpenAI writes it: `1s`, `6m0s`, `20ms`, `1h2m3.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        sum += number * factor;
        rest = &rest[unit.len()..];
    }
    (0.0..1e9).contains(&sum).then(|| Duration::from_secs_f64(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn read(status: u16, headers: &[(&'static str, &'static str)], body: &Value) -> Class {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Fault::of_answer(status, &headers, body.to_string().as_bytes(), NOW).class
    }

    fn after(secs: u64) -> Option<Timestamp> {
        Some(NOW + Duration::from_secs(secs))
    }

    #[test]
    fn the_reset_is_found_wherever_a_provider_says_it() {
        let limited = json!({"error": {"type": "rate_limit_error", "message": "x"}});
        for (headers, expected) in [
            (vec![("retry-after", "7")], after(7)),
            (vec![("retry-after-ms", "1500")], Some(NOW + Duration::from_millis(1500))),
            (vec![("retry-after", "Mon, 12 Jan 1970 13:46:50 GMT")], after(10)),
            (vec![("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m1s")], after(361)),
            (vec![("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "6m1s")], None),
            (
                vec![
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "1970-01-12T13:47:00Z"),
                ],
                after(20),
            ),
            (vec![], None),
        ] {
            assert_eq!(read(429, &headers, &limited), Class::RateLimited { until: expected }, "{headers:?}");
        }
        let spent = [
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-reset", "1000060"),
            ("retry-after", "1"),
        ];
        assert_eq!(read(429, &spent, &limited), Class::UsageExhausted { until: after(60) });
        let body = json!({"error": {"type": "usage_limit_reached", "resets_in_seconds": 30}});
        assert_eq!(read(429, &[], &body), Class::UsageExhausted { until: after(30) });
    }

    #[test]
    fn causes_are_told_apart_by_code_then_prose_then_type_then_status() {
        for (status, body, expected) in [
            (429, json!({"error": {"type": "x", "code": "insufficient_quota"}}), Class::Billing),
            (
                400,
                json!({"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}),
                Class::Billing,
            ),
            (
                400,
                json!({"error": {"type": "invalid_request_error", "message": "prompt is too long: 2 > 1"}}),
                Class::ContextFull,
            ),
            (400, json!({"error": {"code": "context_length_exceeded"}}), Class::ContextFull),
            (
                400,
                json!({"error": {
                    "code": 400, "message": "request (33020 tokens) exceeds the available context size (4096 tokens), try increasing it",
                    "type": "exceed_context_size_error", "n_prompt_tokens": 33020, "n_ctx": 4096,
                }}),
                Class::ContextFull,
            ),
            (404, json!({"error": "model \"x\" not found, try pulling it first"}), Class::ModelMissing),
            (404, json!("nothing here"), Class::ModelMissing),
            (529, json!({"error": {"type": "overloaded_error"}}), Class::Overloaded { until: None }),
            (503, json!({}), Class::Overloaded { until: None }),
            (504, json!({}), Class::Network),
            (401, json!({"error": {"type": "invalid_request_error", "code": "invalid_api_key"}}), Class::Auth),
            (400, json!({"error": {"type": "invalid_request_error", "message": "no such field"}}), Class::Invalid),
        ] {
            assert_eq!(read(status, &[], &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_what_passes_soon_is_waited_for() {
        let (usual, longest) = (Duration::from_secs(1), Duration::from_secs(20));
        let pause = |class| Fault::new(class, "").pause(usual, longest, NOW);
        assert_eq!(pause(Class::RateLimited { until: after(7) }), Some(Duration::from_secs(7)));
        assert_eq!(pause(Class::RateLimited { until: after(21) }), None);
        assert_eq!(pause(Class::RateLimited { until: None }), Some(usual));
        assert_eq!(pause(Class::Overloaded { until: None }), Some(usual));
        assert_eq!(pause(Class::Network), Some(usual));
        for class in [Class::Auth, Class::Billing, Class::ModelMissing, Class::ContextFull, Class::Invalid] {
            assert_eq!(pause(class), None);
        }
        assert_eq!(pause(Class::UsageExhausted { until: after(1) }), None);
    }
}
