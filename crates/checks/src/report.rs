//! Receipts, and what follows from them. Pure.

use crate::plan::{Hollow, Kind, Source};
use orcha_exec::ExitStatus;
use serde::{Deserialize, Serialize};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ended with exit code zero.
    Passed,
    /// It ended with another code, or a signal of its own making.
    Failed,
    /// It was ended because its time was over.
    TimedOut,
    /// The machine failed, not the code: a program is missing, no space or memory is left, a registry is away.
    Infrastructure,
    /// It was not run, because of one before it.
    NotRun,
}

/// How many tests a check says that it has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tests {
    /// That passed.
    pub passed: u32,
    /// That failed.
    pub failed: u32,
    /// That were left out.
    pub skipped: u32,
}

/// What is known of one check: the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// What was run.
    pub command: String,
    /// Where, relative to the project.
    pub dir: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code or signal, if there was one.
    pub exit: Option<ExitStatus>,
    /// How long it took.
    pub duration_ms: u64,
    /// The last bytes of what it printed.
    pub output_tail: String,
    /// How many bytes it printed.
    pub output_bytes: u64,
    /// The SHA-256 of everything that it printed.
    pub output_sha256: String,
    /// The tests that failed, as far as they can be read from the output.
    pub failing: Vec<String>,
    /// How many tests were run, if the output says so.
    pub tests: Option<Tests>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// What all checks together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Each check was run and passed.
    Passed,
    /// A check failed, ran out of time, or is hollow.
    Failed,
    /// No check failed, but the machine did.
    Infrastructure,
    /// There was nothing to check. Not a pass.
    Nothing,
}

/// The receipts of one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// One for each check of the plan, in order.
    pub receipts: Vec<Receipt>,
    /// Checks that are none.
    pub hollow: Vec<Hollow>,
    /// Where the list of checks came from.
    pub source: Source,
    /// What follows.
    pub verdict: Verdict,
}

impl Report {
    /// Draws the conclusion from receipts.
    pub fn new(receipts: Vec<Receipt>, hollow: Vec<Hollow>, source: Source) -> Self {
        let any = |outcome| receipts.iter().any(|it| it.outcome == outcome);
        let verdict = if !hollow.is_empty() || any(Outcome::Failed) || any(Outcome::TimedOut) {
            Verdict::Failed
        } else if any(Outcome::Infrastructure) {
            Verdict::Infrastructure
        } else if !receipts.is_empty() && receipts.iter().all(|it| it.outcome == Outcome::Passed) {
            Verdict::Passed
        } else {
            Verdict::Nothing
        };
        Self { receipts, hollow, source, verdict }
    }

    /// Names what is wrong so that two rounds can be compared: without texts and without times.
    pub fn failing_set(&self) -> Vec<String> {
        let mut set: Vec<String> = self.hollow.iter().map(|it| format!("{}: hollow", it.name)).collect();
        for it in &self.receipts {
            match it.outcome {
                Outcome::Failed if it.failing.is_empty() => set.push(format!("{}: failed", it.name)),
                Outcome::Failed => set.extend(it.failing.iter().map(|test| format!("{}: {test}", it.name))),
                Outcome::TimedOut => set.push(format!("{}: timed out", it.name)),
                Outcome::Passed | Outcome::Infrastructure | Outcome::NotRun => {}
            }
        }
        set.sort();
        set.dedup();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(name: &str, outcome: Outcome, failing: &[&str]) -> Receipt {
        Receipt {
            name: name.into(),
            kind: Kind::Test,
            command: "make test".into(),
            dir: String::new(),
            outcome,
            exit: None,
            duration_ms: 1,
            output_tail: String::new(),
            output_bytes: 0,
            output_sha256: String::new(),
            failing: failing.iter().map(|&it| it.to_owned()).collect(),
            tests: None,
            note: None,
        }
    }

    fn verdict(outcomes: &[Outcome]) -> Verdict {
        let receipts = outcomes.iter().map(|it| receipt("x", *it, &[])).collect();
        Report::new(receipts, Vec::new(), Source::Asked).verdict
    }

    #[test]
    fn c06_nothing_to_check_is_no_pass() {
        assert_eq!(verdict(&[]), Verdict::Nothing);
        assert_eq!(verdict(&[Outcome::NotRun]), Verdict::Nothing);
        assert_eq!(verdict(&[Outcome::Passed, Outcome::NotRun]), Verdict::Nothing);
    }

    #[test]
    fn a_red_check_weighs_more_than_a_broken_machine_and_both_more_than_green() {
        assert_eq!(verdict(&[Outcome::Passed]), Verdict::Passed);
        assert_eq!(verdict(&[Outcome::Passed, Outcome::Infrastructure]), Verdict::Infrastructure);
        assert_eq!(verdict(&[Outcome::Infrastructure, Outcome::Failed]), Verdict::Failed);
        assert_eq!(verdict(&[Outcome::Passed, Outcome::TimedOut]), Verdict::Failed);
        let hollow = Hollow { name: "test".into(), why: "it does nothing".into() };
        let report = Report::new(vec![receipt("x", Outcome::Passed, &[])], vec![hollow], Source::Asked);
        assert_eq!(report.verdict, Verdict::Failed);
    }

    #[test]
    fn c08_the_failing_set_has_no_texts_and_no_times() {
        let mut first = receipt("test", Outcome::Failed, &["b", "a"]);
        let report = |it: &Receipt| Report::new(vec![it.clone()], Vec::new(), Source::Asked).failing_set();
        let before = report(&first);
        assert_eq!(before, ["test: a", "test: b"]);
        first.duration_ms = 99;
        first.output_tail = "took 3 s".into();
        assert_eq!(report(&first), before);
        assert_eq!(report(&receipt("build", Outcome::Failed, &[])), ["build: failed"]);
    }
}
