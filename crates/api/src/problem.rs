//! What a request is answered with when it is not done: a problem document, and a line in the log where the fault
//! is ours. Nothing of our insides reaches the client.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use orcha_forge::ForgeError;
use orcha_model::Refusal;
use orcha_orch::SubmitError;
use orcha_store::{CommitError, ReadError};
use orcha_wire::{Code, Problem, problem};
use tracing::error;

/// A problem on its way to a client.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Problem>);

impl ApiError {
    /// Describes one request that was not done.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    /// A value of the request breaks a rule.
    pub fn invalid(field: &str, rule: &str) -> Self {
        Self::new(Code::Invalid, format!("`{field}` {rule}")).at(field)
    }

    /// Names the field that is wrong.
    pub fn at(self, field: impl Into<String>) -> Self {
        Self(Box::new(self.0.at(field)))
    }

    /// Returns the problem.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// There is no such noun, or the asker may not see it.
    pub fn unknown(noun: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {noun} `{id}`"))
    }

    /// The fault is ours: the log has the causes, the client only learns that there is one.
    fn internal(fault: &dyn std::error::Error) -> Self {
        error!(error = %chain(fault), "a request could not be answered");
        Self::new(Code::Internal, "the daemon could not answer; its log says why")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        respond(&self.0)
    }
}

/// Makes the answer of a problem.
pub(crate) fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"orcha\""));
    }
    response
}

/// Writes an error with its causes on one line.
pub(crate) fn chain(fault: &dyn std::error::Error) -> String {
    let mut line = fault.to_string();
    let mut cause = fault.source();
    while let Some(it) = cause {
        let text = it.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = it.source();
    }
    line
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let refused = Self::new(code_of(&refusal), refusal.to_string());
        match refusal {
            Refusal::Invalid { field, .. } => refused.at(field),
            Refusal::Changed { .. } => refused.at(header::IF_MATCH.as_str()),
            _ => refused,
        }
    }
}

const fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Over { .. } => Code::Over,
        Refusal::State { .. } => Code::State,
        Refusal::Invalid { .. } => Code::Invalid,
        Refusal::Unknown { .. } => Code::NotFound,
        Refusal::Forbidden { .. } => Code::Forbidden,
        Refusal::NoRoom { .. } => Code::NoRoom,
        Refusal::CapReached { .. } => Code::CapReached,
        Refusal::WorkspaceBusy { .. } => Code::WorkspaceBusy,
        Refusal::PullRequestBusy { .. } => Code::PullRequestBusy,
        Refusal::OpenPullRequests { .. } => Code::OpenPullRequests,
        Refusal::PushForbidden { .. } => Code::PushForbidden,
        Refusal::AlreadyAsked { .. } => Code::AlreadyAsked,
        Refusal::Changed { .. } => Code::Changed,
        Refusal::OtherAttempt { .. } => Code::OtherAttempt,
    }
}

impl From<SubmitError> for ApiError {
    fn from(fault: SubmitError) -> Self {
        match fault {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::Store(fault) => fault.into(),
            SubmitError::Read(fault) => fault.into(),
            SubmitError::ShuttingDown => stopping(),
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(fault: CommitError) -> Self {
        match fault {
            CommitError::Guard(refusal) => refusal.into(),
            CommitError::StorageFull => Self::new(Code::StorageFull, fault.to_string()),
            CommitError::Duplicate { what } => Self::new(Code::Conflict, format!("{what} is taken")),
            CommitError::Conflict { .. } => {
                Self::new(Code::Conflict, "somebody else changed it at the same moment; look at it and try again")
            }
            CommitError::Closed => stopping(),
            CommitError::Missing { .. }
            | CommitError::CursorMoved { .. }
            | CommitError::AlreadyAnswered { .. }
            | CommitError::Broken(_)
            | CommitError::Encode { .. }
            | CommitError::Database(_) => Self::internal(&fault),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(fault: ReadError) -> Self {
        match fault {
            ReadError::Closed => stopping(),
            ReadError::NoReader(_) => {
                error!(error = %chain(&fault), "a request found no reader");
                Self::new(Code::Unavailable, "the daemon is too busy to answer; try again")
            }
            ReadError::Database(_) => Self::internal(&fault),
        }
    }
}

impl From<ForgeError> for ApiError {
    fn from(fault: ForgeError) -> Self {
        match &fault {
            ForgeError::Invalid { field, rule } => Self::invalid(field, &format!("is refused: {rule}")),
            ForgeError::RepoAbsent { .. }
            | ForgeError::BranchAbsent { .. }
            | ForgeError::PrAbsent { .. }
            | ForgeError::CommentAbsent { .. }
            | ForgeError::Foreign { .. }
            | ForgeError::NoDefaultBranch { .. }
            | ForgeError::NothingToMerge { .. }
            | ForgeError::Unrelated { .. }
            | ForgeError::NotNow { .. }
            | ForgeError::HeadMoved { .. }
            | ForgeError::Conflict { .. }
            | ForgeError::TooManyCommits { .. }
            | ForgeError::CheckedOut { .. }
            | ForgeError::BranchInUse { .. }
            | ForgeError::DefaultBranch { .. } => Self::new(Code::State, fault.to_string()),
            ForgeError::Busy { .. }
            | ForgeError::Corrupt { .. }
            | ForgeError::Git { .. }
            | ForgeError::Unavailable { .. }
            | ForgeError::TimedOut { .. } => {
                error!(error = %chain(&fault), "the code host did not do what was asked");
                Self::new(Code::Forge, fault.to_string())
            }
        }
    }
}

/// The daemon is on its way down.
pub(crate) fn stopping() -> ApiError {
    ApiError::new(Code::Unavailable, "the daemon is shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::SessionId;

    #[test]
    fn the_codes_of_the_mind_are_those_of_the_wire() {
        let refusals = [
            Refusal::Over { noun: "session", id: "1".into(), state: "failed" },
            Refusal::State { noun: "session", id: "1".into(), state: "failed", rule: "no" },
            Refusal::Invalid { field: "title", rule: "is long".into() },
            Refusal::Unknown { noun: "session", id: "1".into(), hint: String::new() },
            Refusal::Forbidden { who: "it".into(), what: "that".into() },
            Refusal::CapReached { cap: 1 },
            Refusal::WorkspaceBusy { holder: SessionId::fixed(1) },
            Refusal::OpenPullRequests { open: vec!["#1".into()] },
            Refusal::PushForbidden { state: "merged", rule: "no" },
            Refusal::Changed { noun: "target", id: "1".into() },
        ];
        for refusal in refusals {
            assert_eq!(code_of(&refusal).as_str(), refusal.code());
        }
    }
}
