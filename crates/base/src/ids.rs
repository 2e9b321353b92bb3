//! Typed ids: one newtype per noun, so that a session cannot stand where an objective is meant.
//!
//! Every id is a UUID and travels as its 36-character text, in JSON, SQL and URLs alike. New ids are
//! version 7 (they sort by the time of their making); any other UUID is accepted when read.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of {noun}: expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
pub struct InvalidId {
    noun: &'static str,
    text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $noun:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The name of the noun that this id belongs to.
            pub const NOUN: &'static str = $noun;

            /// Takes the UUID as it is.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Makes a fixed id for tests and examples: the number is its last 64 bits.
            pub const fn fixed(n: u64) -> Self {
                Self(Uuid::from_u64_pair(0, n))
            }

            /// Returns the UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// Returns the last eight hexadecimal digits: for branch names and for people.
            ///
            /// The first digits of a version 7 UUID are its time and are shared by all ids of a minute.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text[text.len() - 8..].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($noun, ":{}"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidId { noun: $noun, text: text.chars().take(80).collect() })
            }
        }
    )*};
}

ids! {
    /// Names an objective.
    ObjectiveId = "objective";
    /// Names a session.
    SessionId = "session";
    /// Names a target: a machine that runs sessions.
    TargetId = "target";
    /// Names a workspace: one checkout on one target.
    WorkspaceId = "workspace";
    /// Names a pull request; not the number that its code host gave it.
    PullRequestId = "pull_request";
    /// Names one piece of feedback on a pull request.
    FeedbackId = "feedback";
    /// Names a question to the user.
    QuestionId = "question";
    /// Names a steering message.
    MessageId = "message";
    /// Names an artifact.
    ArtifactId = "artifact";
    /// Names a file that came with a request.
    AttachmentId = "attachment";
    /// Names a project: a repository with its settings.
    ProjectId = "project";
    /// Names a token of the API; not the token itself.
    TokenId = "token";
    /// Names a workflow: the pipeline run of one objective. It is the same UUID as the objective's.
    WorkflowId = "workflow";
    /// Names a task of a workflow.
    TaskId = "task";
    /// Names one run of a workflow's checks.
    CheckRunId = "check_run";
    /// Names one hand-in: what a role gave to the next.
    HandInId = "hand_in";
    /// Names one version of a text that steers roles.
    TextId = "text";
    /// Names a proposal to change such a text.
    ProposalId = "proposal";
}

/// Counts the starts of one session, from 1. A fact carries the attempt that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first start.
    pub const FIRST: Self = Self(1);

    /// Returns the attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the changes of one row, from 0 for a row that was never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Returns the revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident, default $default:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a name; the border has checked it.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }
            /// Returns the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_ids! {
    /// Names a tenant. A row of another tenant does not exist for the asker.
    TenantId, default "default";
    /// Names a scope inside a tenant.
    ScopeId, default "global";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = SessionId::fixed(0xdead_beef);
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        assert_eq!(id.short(), "deadbeef");
    }

    #[test]
    fn a_wrong_id_is_refused_with_the_noun_and_the_rule() {
        let error = "nonsense".parse::<SessionId>().unwrap_err().to_string();
        assert!(error.contains("`nonsense`") && error.contains("session") && error.contains("UUID"), "{error}");
    }
}
