//! Which ids end with the digits that a person typed.
//!
//! The last eight digits of an id are what lists show. Nothing is indexed by them: a person asks now and then, and
//! one pass over the ids in an index is quick. Programs use full ids.

use super::optional;
use crate::conn::{Value, rows};
use crate::{ReadError, Store, Viewer};

/// The nouns whose ids people shorten and of which there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the nouns")]
pub enum Shortened {
    Objective,
    Session,
    Workspace,
    PullRequest,
    Question,
    Text,
    Proposal,
    Attachment,
}

impl Shortened {
    /// Every noun.
    pub const ALL: [Self; 8] = [
        Self::Objective,
        Self::Session,
        Self::Workspace,
        Self::PullRequest,
        Self::Question,
        Self::Text,
        Self::Proposal,
        Self::Attachment,
    ];

    const fn sql(self) -> &'static str {
        match self {
            Self::Objective => OBJECTIVES,
            Self::Session => SESSIONS,
            Self::Workspace => WORKSPACES,
            Self::PullRequest => PULL_REQUESTS,
            Self::Question => QUESTIONS,
            Self::Text => TEXTS,
            Self::Proposal => PROPOSALS,
            Self::Attachment => ATTACHMENTS,
        }
    }
}

macro_rules! ending {
    ($table:literal) => {
        concat!(
            "SELECT id FROM ",
            $table,
            " WHERE tenant = ?1 AND substr(id, 29) = ?3 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) LIMIT 20"
        )
    };
}
const OBJECTIVES: &str = ending!("objectives");
const SESSIONS: &str = ending!("sessions");
const WORKSPACES: &str = ending!("workspaces");
const PULL_REQUESTS: &str = ending!("pull_requests");
const TEXTS: &str = ending!("texts");
const PROPOSALS: &str = ending!("proposals");
const ATTACHMENTS: &str = ending!("attachments");
// Questions are found by their objectives: there is no index over all of them.
const QUESTIONS: &str = "SELECT q.id FROM objectives o CROSS JOIN questions q ON q.objective_id = o.id \
    WHERE o.tenant = ?1 AND substr(q.id, 29) = ?3 AND (CAST(?2 AS TEXT) IS NULL OR q.scope = ?2) LIMIT 20";

#[cfg(test)]
pub(super) const PLANNED: &[&str] =
    &[OBJECTIVES, SESSIONS, WORKSPACES, PULL_REQUESTS, QUESTIONS, TEXTS, PROPOSALS, ATTACHMENTS];

impl Store {
    /// Returns the ids of a noun that end with eight hexadecimal digits in lower case: at most twenty of them.
    pub async fn ids_ending(&self, viewer: &Viewer, noun: Shortened, digits: &str) -> Result<Vec<String>, ReadError> {
        let (viewer, digits) = (viewer.clone(), digits.to_owned());
        self.read(move |conn| {
            let scope = optional(viewer.scope.as_ref().map(|it| it.as_str()));
            let values = [Value::Text(viewer.tenant.as_str()), scope, Value::Text(&digits)];
            rows(conn, noun.sql(), &values, |row| Ok(row.text(0)?.to_owned()))
        })
        .await
    }
}
