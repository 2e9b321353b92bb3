//! Whether a push to a pull request's branch is allowed: promise 6.

use crate::pull_request::State;

/// The answer to "may I push?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushVerdict {
    /// Yes.
    Allowed,
    /// No, and nobody can change that.
    Never {
        /// Why.
        rule: &'static str,
    },
    /// Not before a person says so.
    AskFirst {
        /// What to ask about.
        rule: &'static str,
    },
    /// Not without a reason that goes on record.
    ReasonMissing,
}

/// What the verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct PushFacts<'a> {
    /// Where the pull request stands; `None` before it exists.
    pub state: Option<&'a State>,
    /// Whether history would be rewritten.
    pub force: bool,
    /// The reason given for that.
    pub reason: Option<&'a str>,
}

/// Judges a push.
pub fn push_verdict(facts: PushFacts<'_>) -> PushVerdict {
    let open = match facts.state {
        None | Some(State::Opening { .. } | State::Draft | State::Open) => PushVerdict::Allowed,
        Some(State::Merged { .. }) => {
            PushVerdict::Never { rule: "a merged pull request is never pushed to; open a new one" }
        }
        Some(State::Closed { .. }) => {
            PushVerdict::AskFirst { rule: "it was closed; the user decides whether it is reopened" }
        }
    };
    let has_reason = facts.reason.is_some_and(|reason| !reason.trim().is_empty());
    match open {
        // Nobody is asked about a push that could not be made afterwards.
        PushVerdict::Allowed | PushVerdict::AskFirst { .. } if facts.force && !has_reason => PushVerdict::ReasonMissing,
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::Timestamp;

    fn verdict(state: Option<&State>, force: bool, reason: Option<&str>) -> PushVerdict {
        push_verdict(PushFacts { state, force, reason })
    }

    #[test]
    fn a_merged_pull_request_is_never_pushed_to_and_a_closed_one_asks() {
        let merged = State::Merged { sha: None };
        let closed = State::Closed { why: "not wanted".into() };
        assert!(matches!(verdict(Some(&merged), false, None), PushVerdict::Never { .. }));
        assert!(matches!(verdict(Some(&merged), true, Some("rebase")), PushVerdict::Never { .. }));
        assert!(matches!(verdict(Some(&closed), false, None), PushVerdict::AskFirst { .. }));
        assert_eq!(verdict(Some(&closed), true, None), PushVerdict::ReasonMissing);
        assert_eq!(verdict(Some(&State::Open), false, None), PushVerdict::Allowed);
        assert_eq!(verdict(Some(&State::Draft), false, None), PushVerdict::Allowed);
        assert_eq!(verdict(Some(&State::Opening { since: Timestamp::EPOCH }), false, None), PushVerdict::Allowed);
    }

    #[test]
    fn a_force_push_needs_a_reason() {
        assert_eq!(verdict(Some(&State::Open), true, None), PushVerdict::ReasonMissing);
        assert_eq!(verdict(Some(&State::Open), true, Some("  ")), PushVerdict::ReasonMissing);
        assert_eq!(verdict(Some(&State::Open), true, Some("rebased on main")), PushVerdict::Allowed);
    }
}
