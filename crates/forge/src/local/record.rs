//! What is stored of a pull request, and how its row is read from it.
//!
//! Pure. The files are small JSON, so that `git show <ref>:pr.json` tells a person everything.

use crate::Trust;
use crate::{
    Author, Check, Checks, Comment, CommentId, CommentKind, Key, Pr, PrNumber, PrStatus, ReviewMark, ReviewState,
    Verdict, find_marker, without_markers,
};
use orcha_base::{BranchName, Sha, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The layout that this code writes and reads.
pub(super) const FORMAT: u32 = 1;

/// `pr.json`: everything of a pull request but its description and its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub format: u32,
    pub number: PrNumber,
    pub key: Key,
    pub title: String,
    pub head: BranchName,
    pub base: BranchName,
    pub life: Life,
    pub checks: BTreeMap<String, Check>,
    pub reviews: BTreeMap<String, Judgement>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// How many lines the log has, this change included.
    pub lines: u64,
}

/// Where a pull request stands, with what only that state has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Life {
    Draft,
    Open,
    Merged { head: Sha, sha: Sha },
    Closed { was_draft: bool },
}

impl Life {
    pub(super) const fn status(&self) -> PrStatus {
        match self {
            Self::Draft => PrStatus::Draft,
            Self::Open => PrStatus::Open,
            Self::Merged { .. } => PrStatus::Merged,
            Self::Closed { .. } => PrStatus::Closed,
        }
    }
}

/// The latest judgement of one reviewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Judgement {
    pub trust: Trust,
    pub verdict: Verdict,
    pub sha: Sha,
    pub at: Timestamp,
}

/// `index.json`: where things are in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The line that each key wrote.
    pub keys: BTreeMap<Key, u64>,
    /// The line of the latest revision of each edited comment, by its first line.
    pub edits: BTreeMap<u64, u64>,
}

/// One line of the log: the message of one commit of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub line: u64,
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Opened,
    Edited,
    Comment(Box<StoredComment>),
    Checked,
    Closed,
    Reopened,
    Merged,
}

impl Entry {
    /// Returns the word for the first line of the commit message.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Edited => "edited",
            Self::Comment(_) => "comment",
            Self::Checked => "check",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Merged => "merged",
        }
    }
}

/// One revision of a comment as it is stored: the text still carries its marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredComment {
    pub id: u64,
    pub revision: u32,
    pub author: Author,
    pub on: CommentKind,
    pub text: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl StoredComment {
    pub(super) fn into_comment(self) -> Comment {
        let key = match self.author.trust {
            Trust::System => find_marker(&self.text),
            Trust::Member | Trust::Outside => None,
        };
        Comment {
            id: CommentId(self.id.to_string()),
            revision: self.revision,
            body: without_markers(&self.text),
            author: self.author,
            kind: self.on,
            created_at: self.created_at,
            updated_at: self.updated_at,
            key,
        }
    }
}

impl Record {
    /// Returns the head: frozen in a merged one, kept in a closed one, otherwise what the branch says.
    pub(super) fn head_sha<'a>(&'a self, branch: Option<&'a Sha>, tracked: &'a Sha) -> &'a Sha {
        match &self.life {
            Life::Merged { head, .. } => head,
            Life::Closed { .. } => tracked,
            Life::Draft | Life::Open => branch.unwrap_or(tracked),
        }
    }

    /// Returns the checks of a head, by name.
    pub(super) fn checks_of(&self, head: &Sha) -> impl Iterator<Item = &Check> {
        self.checks.values().filter(move |check| check.sha == *head)
    }

    /// Returns the latest judgement of each reviewer, seen from a head.
    pub(super) fn marks(&self, head: &Sha) -> Vec<ReviewMark> {
        let mark = |(name, it): (&String, &Judgement)| ReviewMark {
            author: Author::new(name.clone(), it.trust),
            verdict: it.verdict,
            sha: it.sha.clone(),
            stale: it.sha != *head,
            at: it.at,
        };
        self.reviews.iter().map(mark).collect()
    }

    /// Returns the row of a list.
    pub(super) fn row(&self, url: String, head: &Sha) -> Pr {
        Pr {
            number: self.number,
            url,
            key: Some(self.key.clone()),
            title: self.title.clone(),
            head_branch: self.head.clone(),
            base_branch: self.base.clone(),
            head_sha: head.clone(),
            status: self.life.status(),
            checks: Checks::of(self.checks_of(head)),
            review: ReviewState::of(&self.marks(head)),
            merged_sha: match &self.life {
                Life::Merged { sha, .. } => Some(sha.clone()),
                Life::Draft | Life::Open | Life::Closed { .. } => None,
            },
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
