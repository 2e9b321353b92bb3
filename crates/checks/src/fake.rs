//! Checks in memory, for the tests of other rooms: no process, no file.
//!
//! The test says which plan a folder has and how each command ends; everything passes that it does not name.

use crate::checker::{Checker, Order};
use crate::checks::{check_key, held_back, not_run};
use crate::plan::{Check, Plan, Source};
use crate::report::{Outcome, Receipt, Report};
use crate::{Asked, ChecksError, read_asked};
use async_trait::async_trait;
use orcha_exec::ExitStatus;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a command of the fake ends.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The outcome.
    pub outcome: Outcome,
    /// What it prints.
    pub output: String,
    /// The tests that fail.
    pub failing: Vec<String>,
}

/// Checks that are only pretended. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct FakeChecker {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    plans: BTreeMap<PathBuf, Plan>,
    usual: Option<Plan>,
    ends: BTreeMap<String, VecDeque<Ends>>,
    reports: BTreeMap<String, Report>,
    ran: Vec<String>,
}

impl FakeChecker {
    /// Makes checks for folders that have none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which plan a folder has.
    pub fn plan_of(&self, dir: impl Into<PathBuf>, plan: Plan) {
        self.state().plans.insert(dir.into(), plan);
    }

    /// Says which plan every other folder has.
    pub fn usual_plan(&self, plan: Plan) {
        self.state().usual = Some(plan);
    }

    /// Says how the next run of a command ends; called twice, the next two. The last one said goes on to hold.
    pub fn ends(&self, command: &str, ends: Ends) {
        self.state().ends.entry(command.to_owned()).or_default().push_back(ends);
    }

    /// Says that a command fails, naming tests.
    pub fn fails(&self, command: &str, failing: &[&str]) {
        let failing = failing.iter().map(|&it| it.to_owned()).collect();
        self.ends(command, Ends { outcome: Outcome::Failed, output: "it failed\n".to_owned(), failing });
    }

    /// Says that a command passes.
    pub fn passes(&self, command: &str) {
        self.ends(command, Ends { outcome: Outcome::Passed, output: String::new(), failing: Vec::new() });
    }

    /// Returns every command that was really run, in order.
    pub fn ran(&self) -> Vec<String> {
        self.state().ran.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Checker for FakeChecker {
    async fn plan(&self, dir: &Path, _: Option<&Path>, asked: &[Asked]) -> Result<Plan, ChecksError> {
        if !asked.is_empty() {
            return Ok(Plan::ordered(read_asked(asked)?, Vec::new(), Source::Asked));
        }
        let state = self.state();
        let nothing = || Plan { checks: Vec::new(), hollow: Vec::new(), source: Source::Detected(Vec::new()) };
        Ok(state.plans.get(dir).or(state.usual.as_ref()).cloned().unwrap_or_else(nothing))
    }

    async fn run(&self, order: &Order) -> Result<Report, ChecksError> {
        check_key(&order.key)?;
        let mut state = self.state();
        if let Some(report) = state.reports.get(&order.key) {
            return Ok(report.clone());
        }
        let mut receipts: Vec<Receipt> = Vec::new();
        for check in &order.plan.checks {
            let receipt = match held_back(&receipts, check) {
                Some(why) => not_run(check, why),
                None => state.end_of(check),
            };
            receipts.push(receipt);
        }
        let report = Report::new(receipts, order.plan.hollow.clone(), order.plan.source.clone());
        state.reports.insert(order.key.clone(), report.clone());
        Ok(report)
    }

    async fn end(&self, key: &str) -> Result<(), ChecksError> {
        check_key(key)?;
        self.state().reports.remove(key);
        Ok(())
    }
}

impl State {
    fn end_of(&mut self, check: &Check) -> Receipt {
        let command = check.command.to_string();
        self.ran.push(command.clone());
        let said = self.ends.get_mut(&command);
        let ends = said.and_then(|it| if it.len() > 1 { it.pop_front() } else { it.front().cloned() });
        let ends = ends.unwrap_or(Ends { outcome: Outcome::Passed, output: String::new(), failing: Vec::new() });
        let exit = match ends.outcome {
            Outcome::Passed => Some(ExitStatus::Code(0)),
            Outcome::Failed => Some(ExitStatus::Code(1)),
            Outcome::TimedOut | Outcome::Infrastructure | Outcome::NotRun => None,
        };
        Receipt {
            outcome: ends.outcome,
            exit,
            duration_ms: 1,
            output_bytes: ends.output.len() as u64,
            output_tail: ends.output,
            output_sha256: "0".repeat(64),
            failing: ends.failing,
            note: None,
            ..not_run(check, String::new())
        }
    }
}
