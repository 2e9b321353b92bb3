//! The gate before a delivery: what stands against a result, whatever a model says.
//!
//! It fails closed. A red check blocks although QA passed; what QA passed over without evidence blocks; a test that
//! was deleted although no task asked for it blocks.

use crate::check::{Outcome, Receipt, Tampering};
use crate::contract::{Issue, Severity, Verdict};
use crate::workflow::Failing;
use serde::{Deserialize, Serialize};

/// What stands against a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What blocks; nothing else decides whether the result is delivered.
    pub blocking: Vec<Issue>,
    /// What blocks, by identity.
    pub failing: Failing,
    /// What does not block.
    pub warnings: Vec<Issue>,
}

/// What the gate goes by.
#[derive(Clone, Debug)]
pub struct GateFacts<'a> {
    /// What the checks said; none where there is no repository.
    pub checks: Option<&'a Outcome>,
    /// What QA said.
    pub verdict: &'a Verdict,
    /// Whether the work needs checks by its kind.
    pub needs_checks: bool,
    /// Whether a person allowed it to go without any.
    pub excused: bool,
    /// All that was asked for, in words: a test that is named here may be deleted.
    pub asked: &'a str,
}

/// Judges a result.
pub fn judge(facts: &GateFacts<'_>) -> Judgement {
    let mut blocking = Vec::new();
    let mut failing = Failing::new();
    let mut block = |identity: String, issue: Issue| {
        if failing.insert(identity) {
            blocking.push(issue);
        }
    };
    match facts.checks {
        Some(outcome) => {
            for receipt in outcome.receipts.iter().filter(|it| !it.passed()) {
                // Other tests that fail than before are another state of the work.
                let name = plain(&receipt.name);
                let mut tests: Vec<&str> = receipt.failing.iter().map(String::as_str).collect();
                tests.sort_unstable();
                block(format!("check:{name}:{}", tests.join(",")), of_receipt(receipt));
            }
            for tampering in outcome.tampering.iter().filter(|it| !it.was_asked_for(facts.asked)) {
                block(format!("tampering:{}", tampering.path()), of_tampering(tampering));
            }
            if outcome.receipts.is_empty() && facts.needs_checks && !facts.excused {
                block("check:none".into(), no_checks());
            }
        }
        None if facts.needs_checks && !facts.excused => block("check:none".into(), no_checks()),
        None => {}
    }
    for issue in &facts.verdict.blocking_issues {
        block(identity(issue), issue.clone());
    }
    if !facts.verdict.passed && blocking.is_empty() {
        // The contract refuses that; a gate does not rely on another door.
        failing.insert("qa:unsaid".into());
        blocking.push(Issue {
            severity: Severity::Blocking,
            component: "qa".into(),
            description: "QA did not pass the result and did not say why.".into(),
            recommendation: "Look at the result again.".into(),
        });
    }
    Judgement { blocking, failing, warnings: facts.verdict.warnings.clone() }
}

/// The identity of an issue: what it is about, without figures and without its words' form.
fn identity(issue: &Issue) -> String {
    format!("qa:{}:{}", plain(&issue.component), plain(&issue.description))
}

/// Lower case, one blank between words, no digits: line numbers and timings are no difference.
fn plain(text: &str) -> String {
    let letters: String =
        text.chars().map(|c| if c.is_alphabetic() || c == '_' { c.to_ascii_lowercase() } else { ' ' }).collect();
    let words: Vec<&str> = letters.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

fn of_receipt(receipt: &Receipt) -> Issue {
    let how = receipt.code.map_or_else(|| "was ended".to_owned(), |code| format!("ended with {code}"));
    Issue {
        severity: Severity::Blocking,
        component: receipt.name.clone(),
        description: format!("The check `{}` {how}:\n{}", receipt.command.join(" "), receipt.tail),
        recommendation: "Change the code so that this check passes. Do not change what the check looks at.".into(),
    }
}

fn of_tampering(tampering: &Tampering) -> Issue {
    let description = match tampering {
        Tampering::TestDeleted { path } => {
            format!("The test file `{path}` was deleted, although no task asked for that.")
        }
        Tampering::CheckEmptied { path, command } => {
            format!("`{path}` was changed so that the check `{command}` does nothing.")
        }
    };
    Issue {
        severity: Severity::Blocking,
        component: tampering.path().to_owned(),
        description,
        recommendation: "Bring it back as it was, and change the code instead.".into(),
    }
}

fn no_checks() -> Issue {
    Issue {
        severity: Severity::Blocking,
        component: "checks".into(),
        description: "Nothing checks this work: no commands were found in the project, and none were given.".into(),
        recommendation: "Add a test with the build file that runs it.".into(),
    }
}
