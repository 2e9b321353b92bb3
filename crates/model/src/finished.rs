//! What is known of one finished run of the pipeline: how it ended, what it cost, what went wrong on the way.
//!
//! It is kept beside the workflow, small and for good, so that whoever looks over many runs reads no documents.

use crate::text::Surface;
use orcha_base::{HandInId, ObjectiveId, ProposalId, ScopeId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strum::{Display, IntoStaticStr};

/// One finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its objective, which is also the id of its workflow.
    pub id: ObjectiveId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// Its title.
    pub title: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How it ended.
    pub end: End,
    /// How many rounds of repair it took.
    pub repairs: u32,
    /// What it cost, in millionths of a US dollar.
    pub micro_usd: u64,
    /// How many tokens it used.
    pub tokens: u64,
    /// What its Refiner said, from 0 to 100.
    pub health: Option<u8>,
    /// What its Refiner handed in.
    pub retrospective: Option<HandInId>,
    /// What went wrong on the way, each once.
    pub troubles: BTreeSet<Trouble>,
    /// Which version of each text it was run with; a text that is not named was not there.
    pub texts: BTreeMap<Surface, u32>,
    /// The proposals that it tells something about, and from which side.
    pub tried: BTreeMap<ProposalId, Side>,
    /// Which provider played each role.
    pub providers: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum End {
    /// It delivered.
    Completed,
    /// It did not.
    Failed,
    /// A person ended it: that says nothing about the system.
    Canceled,
}

/// What a run is to a proposal.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Side {
    /// It ran as before, while the new text was tried.
    Old,
    /// It ran with the new text, while that was tried.
    New,
    /// It ran with the new text after that was adopted.
    Since,
}

/// Something that went wrong in a run, without what differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trouble {
    /// The role that it happened to.
    pub role: String,
    /// Its class: `check_failed`, `blocking_issue`, `violation`, `retry`, `rejected_output`.
    pub class: String,
    /// What exactly, normalised: the name of a check, a component with a short description.
    pub what: String,
}

impl Run {
    /// Returns how well it went, from 0 (it failed) to 1 (delivered without a repair). Only the order matters.
    pub fn score(&self) -> f64 {
        match self.end {
            End::Completed => 0.5 + 0.5 / f64::from(self.repairs.saturating_add(1)),
            End::Failed | End::Canceled => 0.0,
        }
    }

    /// Tells whether it says something about the system.
    pub fn counts(&self) -> bool {
        matches!(self.end, End::Completed | End::Failed)
    }
}

impl Trouble {
    /// Makes one whose text is the same from run to run: lower case, no numbers, no paths of a machine, one space
    /// between words, at most 120 characters.
    pub fn new(role: &str, class: &str, what: &str) -> Self {
        let mut plain = String::new();
        for word in what.split_whitespace() {
            let word = match word.rsplit_once('/') {
                Some((folder, name)) if folder.starts_with('/') => name,
                _ => word,
            };
            let word: String = word
                .chars()
                .map(|it| if it.is_ascii_digit() { '#' } else { it })
                .flat_map(char::to_lowercase)
                .collect();
            if !plain.is_empty() {
                plain.push(' ');
            }
            plain.push_str(&word);
        }
        // A number is one sign, however long it is.
        while plain.contains("##") {
            plain = plain.replace("##", "#");
        }
        Self { role: role.to_owned(), class: class.to_owned(), what: plain.chars().take(120).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_the_same_whatever_the_run() {
        let one = Trouble::new("qa", "check_failed", "Test  failed in /tmp/run-17/src/lib.rs after 1204 ms");
        let two = Trouble::new("qa", "check_failed", "test failed in /home/x/src/lib.rs after 9 ms");
        assert_eq!(one, two);
        assert_eq!(one.what, "test failed in lib.rs after # ms");
        assert_ne!(one, Trouble::new("architect", "check_failed", "test failed in lib.rs after # ms"));
    }
}
