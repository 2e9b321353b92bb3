//! The real checks of a workflow's result: in a clean folder at its exact commit, with the project's own commands.
//!
//! The list is read at the base: a change does not choose its own judge. Commands that were asked for are added to it
//! and never take its place.

use crate::checker::{CheckFault, CheckSaid, CheckWish, Checker};
use crate::execute::chain;
use crate::hands::{Hands, TargetHands};
use async_trait::async_trait;
use orcha_base::{CheckRunId, Retry, TargetId};
use orcha_checks::{Asked, Checker as _, Checks, ChecksError, Command, Order, Outcome, Plan, Settings};
use orcha_exec::{Command as HostCommand, ExitStatus};
use orcha_model::check::{Receipt, Source};
use orcha_workspace::{Exact, Label, WorkspaceError};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Checks of projects, on whichever target their work lies.
#[derive(Clone, Debug)]
pub struct ProjectChecks {
    hands: Hands,
    settings: Settings,
}

impl ProjectChecks {
    /// Takes the hands of the targets, and what checks find around them.
    pub fn new(hands: Hands, settings: Settings) -> Self {
        Self { hands, settings }
    }

    fn on(&self, target: TargetId) -> Result<(TargetHands, Checks), CheckFault> {
        let hands = self.hands.target(target);
        let hands = hands.ok_or_else(|| CheckFault::Passing("the target is not connected".into()))?;
        let checks = Checks::new(Arc::clone(&hands.host), self.settings.clone());
        Ok((hands, checks))
    }

    async fn run(&self, wish: &CheckWish) -> Result<CheckSaid, CheckFault> {
        let (hands, checks) = self.on(wish.target)?;
        let key = key(wish.run);
        let exact = |name: &str, commit| -> Result<Exact, CheckFault> {
            Ok(Exact { key: label(name)?, repo: wish.repo.clone(), from: Some(wish.workspace.clone()), commit })
        };
        let result = hands.checkouts.exact(&exact(&key, wish.sha.clone())?).await.map_err(|it| of_workspace(&it))?;
        let base = hands.checkouts.exact(&exact(&of_base(wish.run), wish.base.clone())?).await;
        let base = base.map_err(|it| of_workspace(&it))?;
        let mut plan = checks.plan(&result.dir, Some(&base.dir), &[]).await.map_err(|it| of_checks(&it))?;
        let n_found = plan.checks.len();
        self.add(&mut plan, wish);
        let found: Vec<String> = plan.checks.iter().take(n_found).map(|it| it.name.clone()).collect();
        let order = Order { key: key.clone(), dir: result.dir.clone(), plan };
        let report = checks.run(&order).await.map_err(|it| of_checks(&it))?;
        if let Some(it) = report.receipts.iter().find(|it| it.outcome == Outcome::Infrastructure) {
            // The same round is never run twice: another try needs another one.
            checks.end(&key).await.map_err(|it| of_checks(&it))?;
            let why = it.note.clone().unwrap_or_else(|| it.output_tail.clone());
            return Err(CheckFault::Passing(format!("`{}`: {why}", it.command)));
        }
        let receipts = report.receipts.into_iter().filter(|it| it.outcome != Outcome::NotRun).map(|it| Receipt {
            source: if found.contains(&it.name) { Source::Detected } else { Source::Asked },
            name: it.name,
            command: vec![it.command],
            code: match it.outcome {
                Outcome::Passed => Some(0),
                Outcome::Failed => code(it.exit),
                Outcome::TimedOut | Outcome::Infrastructure | Outcome::NotRun => None,
            },
            failing: it.failing,
            tail: it.output_tail,
            millis: it.duration_ms,
        });
        Ok(CheckSaid {
            receipts: receipts.collect(),
            gone: gone(&hands, &result.dir, &wish.look_for).await?,
            emptied: report.hollow.into_iter().map(|it| (it.name, it.why)).collect(),
        })
    }

    /// Adds what was asked for. What is no check is left out: it could only have been green.
    fn add(&self, plan: &mut Plan, wish: &CheckWish) {
        for (at, it) in wish.asked.iter().enumerate() {
            let mut name: String = it.name.chars().filter(|c| !c.is_control()).take(60).collect();
            if name.trim().is_empty() || plan.checks.iter().any(|known| known.name == name.trim()) {
                name = format!("{} (asked {})", name.trim(), at + 1);
            }
            let asked = Asked {
                name,
                kind: None,
                command: Command::Argv(it.command.clone()),
                dir: None,
                timeout_s: None,
                env: std::collections::BTreeMap::new(),
            };
            match orcha_checks::read_asked(std::slice::from_ref(&asked)) {
                Ok(checks) => plan.checks.extend(checks),
                Err(fault) => warn!(check = %it.name, %fault, "a check that was asked for is none and is left out"),
            }
        }
    }
}

#[async_trait]
impl Checker for ProjectChecks {
    async fn check(&self, wish: &CheckWish, cancel: &CancellationToken) -> Result<CheckSaid, CheckFault> {
        tokio::select! {
            () = cancel.cancelled() => Err(CheckFault::Canceled),
            said = self.run(wish) => said,
        }
    }

    async fn forget(&self, run: CheckRunId, target: TargetId) -> Result<(), CheckFault> {
        let (hands, checks) = self.on(target)?;
        checks.end(&key(run)).await.map_err(|it| of_checks(&it))?;
        for name in [key(run), of_base(run)] {
            hands.checkouts.discard_exact(&label(&name)?).await.map_err(|it| of_workspace(&it))?;
        }
        Ok(())
    }

    async fn left(&self, target: TargetId) -> Result<BTreeSet<CheckRunId>, CheckFault> {
        let (hands, _) = self.on(target)?;
        let runs = hands.host.runs().await.map_err(|it| sorted(&it, it.retry()))?;
        let folders = hands.checkouts.list_exact().await.map_err(|it| of_workspace(&it))?;
        let of_runs = runs.iter().filter_map(|it| orcha_checks::round_of(&it.label));
        Ok(of_runs.chain(folders.iter().map(Label::as_str)).filter_map(run_of).collect())
    }
}

/// Tells which files of a folder are gone.
async fn gone(hands: &TargetHands, dir: &Path, files: &[String]) -> Result<Vec<String>, CheckFault> {
    let mut gone = Vec::new();
    for file in files {
        let path = dir.join(file).display().to_string();
        // A link that leads nowhere is there as well: it is what was committed.
        let command = HostCommand::new("test", "/").args(["-e", &path, "-o", "-L", &path]).env("PATH", "/usr/bin:/bin");
        let there = hands.host.run(&command).await.map_err(|it| sorted(&it, it.retry()))?;
        if !there.status.success() {
            gone.push(file.clone());
        }
    }
    Ok(gone)
}

/// Returns the code of what ended by itself.
fn code(exit: Option<ExitStatus>) -> Option<i32> {
    match exit {
        Some(ExitStatus::Code(code)) => Some(code),
        Some(ExitStatus::Signal(_)) | None => None,
    }
}

fn key(run: CheckRunId) -> String {
    run.to_string()
}

fn of_base(run: CheckRunId) -> String {
    format!("{run}-base")
}

/// Takes a name apart that `key` or `of_base` made.
fn run_of(name: &str) -> Option<CheckRunId> {
    name.strip_suffix("-base").unwrap_or(name).parse().ok()
}

fn label(name: &str) -> Result<Label, CheckFault> {
    Label::new(name).map_err(|it| CheckFault::Lasting(chain(&it)))
}

fn of_workspace(fault: &WorkspaceError) -> CheckFault {
    sorted(fault, fault.retry())
}

fn of_checks(fault: &ChecksError) -> CheckFault {
    sorted(fault, fault.retry())
}

fn sorted(fault: &dyn Error, retry: Retry) -> CheckFault {
    match retry {
        Retry::Later => CheckFault::Passing(chain(fault)),
        Retry::AskHuman | Retry::Never => CheckFault::Lasting(chain(fault)),
    }
}
