//! Runs the checks of a workflow's result, in a clean checkout of its exact commit.

use super::{Executed, Facts, chain, sorted, workspace_label};
use crate::checker::{CheckFault, CheckWish};
use crate::orch::Shared;
use orcha_base::{CheckRunId, ObjectiveId};
use orcha_model::check::{Input, Outcome, State, Tampering, is_test_file};
use orcha_model::effect::Check;
use orcha_plan::{OfWorkflow, Stimulus, World};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The message of a commit for what an Implementer left uncommitted: what is not committed is not checked.
const LEFTOVERS: &str = "chore: what was left uncommitted";
/// The most files of a result that those who judge are told of.
const FILES: usize = 400;

pub(super) async fn run(shared: &Arc<Shared>, objective: ObjectiveId, it: &Check) -> Result<Executed, Executed> {
    let hands = shared
        .hands
        .target(it.target)
        .ok_or_else(|| Executed::Again { detail: "the target is not connected".into() })?;
    let Some(checker) = shared.hands.checker() else {
        return Err(Executed::Failed { detail: "nobody here runs checks".into() });
    };
    let label = workspace_label(it.workspace)?;
    let left = hands.checkouts.commit_leftovers(&label, LEFTOVERS, &shared.settings.identity).await;
    let left = left.map_err(|fault| sorted(&fault, fault.retry()))?;
    let diff = hands.checkouts.diff(&label, None, 0).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    let wish = CheckWish {
        run: it.run,
        repo: it.repo.clone(),
        target: it.target,
        workspace: label,
        sha: left.head.clone(),
        base: diff.base,
        asked: it.asked.clone(),
        look_for: diff.files.iter().map(|it| it.path.clone()).filter(|it| is_test_file(it)).collect(),
    };
    let cancel = shared.checks.begin(it.run, &shared.stop);
    // Whoever calls it off says so in its row first: what came before this line is seen here, what comes later there.
    let (run, now) = (it.run, shared.view(objective, wanted(it.run)).await);
    if !now.map_err(|fault| Executed::Again { detail: chain(&fault) })? {
        shared.checks.end(run);
        return Ok(Facts::none());
    }
    let said = checker.check(&wish, &cancel).await;
    shared.checks.end(run);
    let said = match said {
        Ok(said) => said,
        Err(CheckFault::Passing(detail)) => return Err(Executed::Again { detail }),
        Err(CheckFault::Lasting(detail)) => return Err(Executed::Failed { detail }),
        // Somebody else wanted it to end, and the run is over already; or the daemon goes down, and the next one runs it.
        Err(CheckFault::Canceled) if shared.stop.is_cancelled() => {
            return Err(Executed::Again { detail: "the daemon is shutting down".into() });
        }
        Err(CheckFault::Canceled) => return Ok(Facts::none()),
    };
    let deleted = said.gone.into_iter().map(|path| Tampering::TestDeleted { path });
    let emptied = said.emptied.into_iter().map(|(path, command)| Tampering::CheckEmptied { path, command });
    let files = diff.files.iter().take(FILES).map(|it| match (it.lines, &it.from) {
        (Some((added, removed)), None) => format!("{} +{added} -{removed}", it.path),
        (Some((added, removed)), Some(from)) => format!("{} (was {from}) +{added} -{removed}", it.path),
        (None, _) => format!("{} (binary)", it.path),
    });
    let changed = diff.files.iter().take(FILES).map(|it| it.path.clone()).collect();
    let outcome = Outcome {
        sha: wish.sha,
        receipts: said.receipts,
        tampering: deleted.chain(emptied).collect(),
        files: files.collect(),
        changed,
    };
    Ok(Facts::of([Stimulus::Workflow(Box::new(OfWorkflow::CheckRun(it.run, Input::Ran { outcome })))]))
}

/// Deletes what is left of a run whose outcome is stored.
pub(super) async fn forget(shared: &Arc<Shared>, it: &Check) {
    let Some(checker) = shared.hands.checker() else { return };
    if let Err(fault) = checker.forget(it.run, it.target).await {
        warn!(check_run.id = %it.run, error = %fault, "what is left of a run of checks could not be deleted");
    }
}

/// Tells of a world whether a run is still wanted there.
fn wanted(run: CheckRunId) -> impl FnOnce(&World) -> bool + Send + 'static {
    move |world| world.check_runs.get(&run).is_some_and(|it| it.state == State::Running)
}

/// Calls a run off. One that is not under way here is not run any more: its row says that it is canceled.
pub(super) fn stop(shared: &Arc<Shared>, run: CheckRunId) -> Executed {
    shared.checks.call_off(run);
    Facts::none()
}

/// The runs of checks that are under way, to be called off.
#[derive(Debug, Default)]
pub(crate) struct RunningChecks {
    running: parking_lot::Mutex<std::collections::HashMap<CheckRunId, CancellationToken>>,
}

impl RunningChecks {
    fn begin(&self, run: CheckRunId, stop: &CancellationToken) -> CancellationToken {
        let cancel = stop.child_token();
        self.running.lock().insert(run, cancel.clone());
        cancel
    }

    fn end(&self, run: CheckRunId) {
        self.running.lock().remove(&run);
    }

    fn call_off(&self, run: CheckRunId) {
        if let Some(cancel) = self.running.lock().get(&run) {
            cancel.cancel();
        }
    }
}
