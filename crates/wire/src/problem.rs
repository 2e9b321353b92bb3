//! Refusals and faults as problem details (RFC 9457), with a code that programs branch on.
//!
//! The field `error` repeats the text for clients of the published API, which knew nothing else.

use crate::names::names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A name for the kind of problem: `urn:orcha:problem:` and the code.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind of problem for people; the same for every problem of a code.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong with this very request, and what would be right.
    #[serde(default)]
    pub detail: String,
    /// The name that programs branch on: a [`Code`], or one that a newer daemon added.
    #[serde(default)]
    pub code: String,
    /// The field of the request that is wrong, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The same as `detail`, where clients of the published API look for it.
    #[serde(default)]
    pub error: String,
}

names! {
    /// The kinds of problems. The names of refusals are those of the mind.
    Code, "problem code":
    BadRequest = "bad_request",
    Invalid = "invalid",
    Unauthorized = "unauthorized",
    Forbidden = "forbidden",
    ForeignOrigin = "foreign_origin",
    NotFound = "not_found",
    AmbiguousId = "ambiguous_id",
    MethodNotAllowed = "method_not_allowed",
    Conflict = "conflict",
    Changed = "changed",
    TooLarge = "too_large",
    UnsupportedMediaType = "unsupported_media_type",
    Over = "over",
    State = "state",
    NoRoom = "no_room",
    CapReached = "cap_reached",
    WorkspaceBusy = "workspace_busy",
    PullRequestBusy = "pull_request_busy",
    OpenPullRequests = "open_pull_requests",
    PushForbidden = "push_forbidden",
    AlreadyAsked = "already_asked",
    OtherAttempt = "other_attempt",
    Forge = "forge",
    StorageFull = "storage_full",
    Unavailable = "unavailable",
    Internal = "internal",
}

impl Code {
    /// Returns the HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::ForeignOrigin => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::AmbiguousId
            | Self::Conflict
            | Self::Over
            | Self::State
            | Self::NoRoom
            | Self::CapReached
            | Self::WorkspaceBusy
            | Self::PullRequestBusy
            | Self::OpenPullRequests
            | Self::PushForbidden
            | Self::AlreadyAsked
            | Self::OtherAttempt => 409,
            Self::Changed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::Internal => 500,
            Self::Forge => 502,
            Self::Unavailable => 503,
            Self::StorageFull => 507,
        }
    }

    /// Returns the kind of problem for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request could not be read",
            Self::Invalid => "A value breaks a rule",
            Self::Unauthorized => "The token is missing or wrong",
            Self::Forbidden => "This may not be done by you",
            Self::ForeignOrigin => "The request comes from another site",
            Self::NotFound => "There is no such thing",
            Self::AmbiguousId => "The short id fits more than one thing",
            Self::MethodNotAllowed => "This cannot be done here",
            Self::Conflict => "There is one already",
            Self::Changed => "Somebody else edited it in between",
            Self::TooLarge => "The request is too large",
            Self::UnsupportedMediaType => "The request is not JSON",
            Self::Over => "It has ended, and ended work is never revived",
            Self::State => "The present state does not allow this",
            Self::NoRoom => "The target has no free place",
            Self::CapReached => "All places for workers are taken",
            Self::WorkspaceBusy => "Somebody else writes in the workspace",
            Self::PullRequestBusy => "Somebody else updates the pull request",
            Self::OpenPullRequests => "Pull requests are still open",
            Self::PushForbidden => "The pull request must not be pushed to",
            Self::AlreadyAsked => "A question about this is open already",
            Self::OtherAttempt => "It belongs to another attempt",
            Self::Forge => "The code host did not do it",
            Self::StorageFull => "The disk is full",
            Self::Unavailable => "The daemon cannot do this right now",
            Self::Internal => "Something is wrong with the daemon",
        }
    }
}

impl Problem {
    /// Describes one request that was not done.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind: format!("urn:orcha:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            error: detail.clone(),
            detail,
            code: code.as_str().to_owned(),
            field: None,
        }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Returns the code if this release knows it.
    pub fn known(&self) -> Option<Code> {
        self.code.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_find_the_text_where_they_look() {
        let problem = Problem::new(Code::Invalid, "`priority` is at most 100").at("priority");
        expect_test::expect![[r#"{"type":"urn:orcha:problem:invalid","title":"A value breaks a rule","status":422,"detail":"`priority` is at most 100","code":"invalid","field":"priority","error":"`priority` is at most 100"}"#]]
            .assert_eq(&serde_json::to_string(&problem).unwrap());
    }

    #[test]
    fn a_problem_of_a_newer_daemon_is_still_read() {
        let problem: Problem = serde_json::from_str(r#"{"code":"eclipse","detail":"dark","moon":1}"#).unwrap();
        assert_eq!((problem.known(), problem.detail.as_str()), (None, "dark"));
    }
}
