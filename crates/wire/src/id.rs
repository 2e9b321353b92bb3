//! How people and programs point at a noun: by its full id, or by the last eight digits of it.

use orcha_base::{
    ArtifactId, AttachmentId, MessageId, ObjectiveId, ProjectId, ProposalId, PullRequestId, QuestionId, SessionId,
    TargetId, TextId, WorkspaceId,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A full id, or a short one that the daemon looks up and refuses when it is not unique.
///
/// It holds nothing but hexadecimal digits and hyphens, so it can stand in a path as it is.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdRef(String);

/// The text can be neither a full nor a short id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: expected a UUID, or the eight hexadecimal digits that lists show")]
pub struct InvalidIdRef {
    text: String,
}

impl IdRef {
    /// How many digits a short id has.
    pub const SHORT: usize = 8;

    /// Returns the text: a UUID with hyphens, or eight digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it is a short id.
    pub fn is_short(&self) -> bool {
        self.0.len() == Self::SHORT
    }
}

impl FromStr for IdRef {
    type Err = InvalidIdRef;
    fn from_str(text: &str) -> Result<Self, InvalidIdRef> {
        let short = text.len() == Self::SHORT && text.bytes().all(|it| it.is_ascii_hexdigit());
        let full = text.len() == 36 && text.parse::<ObjectiveId>().is_ok();
        if short || full {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidIdRef { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for IdRef {
    type Error = InvalidIdRef;
    fn try_from(text: String) -> Result<Self, InvalidIdRef> {
        text.parse()
    }
}

impl From<IdRef> for String {
    fn from(id: IdRef) -> Self {
        id.0
    }
}

impl fmt::Display for IdRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IdRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from_ids {
    ($($id:ident),+) => {$(
        impl From<$id> for IdRef {
            fn from(id: $id) -> Self {
                Self(id.to_string())
            }
        }
    )+};
}

impl JsonSchema for IdRef {
    fn schema_name() -> Cow<'static, str> {
        "IdRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A full id, or the last eight digits of one that no other has.",
            "type": "string",
            "pattern": "^([0-9A-Fa-f]{8}|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})$",
        })
    }
}

from_ids!(
    ArtifactId,
    MessageId,
    ObjectiveId,
    ProjectId,
    AttachmentId,
    ProposalId,
    PullRequestId,
    QuestionId,
    SessionId,
    TargetId,
    TextId,
    WorkspaceId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_full_or_a_short_id_and_nothing_else() {
        let full: IdRef = SessionId::fixed(0xdead_beef).into();
        assert_eq!(full.as_str().parse::<IdRef>(), Ok(full.clone()));
        assert!(!full.is_short());
        assert!("DEADBEEF".parse::<IdRef>().unwrap().is_short());
        for bad in ["", "deadbee", "deadbeef0", "../../et", "dead/eef", "{deadbeef}"] {
            assert!(bad.parse::<IdRef>().is_err(), "{bad:?} was accepted");
        }
    }
}
