//! Ends a run with everything that belongs to it, hears its last words, and keeps what is in its checkout.

use super::{Executed, Facts, run_label, runner_of, sorted, workspace_label};
use crate::orch::Shared;
use orcha_base::ObjectiveId;
use orcha_exec::Grace;
use orcha_model::effect::{Patience, Stop};
use orcha_model::{session, workspace};
use orcha_plan::Stimulus;
use orcha_workspace::WorkspaceError;
use std::sync::Arc;
use tracing::warn;

pub(super) async fn run(shared: &Arc<Shared>, objective: ObjectiveId, it: &Stop) -> Result<Executed, Executed> {
    let label = run_label(it.session, it.attempt)?;
    let runner = runner_of(shared, objective, it.session, it.target).await?;
    let grace = match it.patience {
        Patience::Patient => Grace::PATIENT,
        Patience::Quick => Grace::QUICK,
    };
    runner.stop(&label, grace).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    shared.ingests.drained(&label).await;
    let mut stimuli = vec![Stimulus::Session(it.session, session::Input::Stopped { attempt: it.attempt })];
    if let Some(workspace) = it.snapshot {
        stimuli.extend(snapshot(shared, it, workspace).await?);
    }
    Ok(Facts::of(stimuli))
}

async fn snapshot(
    shared: &Shared,
    it: &Stop,
    workspace: orcha_base::WorkspaceId,
) -> Result<Option<Stimulus>, Executed> {
    let Some(hands) = shared.hands.target(it.target) else {
        return Err(Executed::Failed { detail: "the target is not connected".into() });
    };
    let label = workspace_label(workspace)?;
    match hands.checkouts.snapshot(&label, "the session ended").await {
        Ok(snapshot) => Ok(Some(Stimulus::Workspace(workspace, workspace::Input::Snapshotted { sha: snapshot.sha }))),
        // A folder without a repository, or a checkout that was never made: there is nothing to keep.
        Err(WorkspaceError::Absent { .. }) => Ok(None),
        Err(fault) => Err(sorted(&fault, fault.retry())),
    }
}

/// What is stored of a run that is over need not be kept on the target as well; its directory holds a credential.
pub(super) async fn forget(shared: &Arc<Shared>, objective: ObjectiveId, it: &Stop) {
    let (Ok(label), Ok(runner)) =
        (run_label(it.session, it.attempt), runner_of(shared, objective, it.session, it.target).await)
    else {
        return;
    };
    if !shared.ingests.reads(&label)
        && let Err(fault) = runner.forget(&label).await
    {
        warn!(run = %label, error = %fault, "the run directory could not be deleted");
    }
}
