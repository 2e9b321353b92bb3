//! Ends a run with everything that belongs to it, hears its last words, and keeps what is in its checkout.

use super::{Executed, Facts, chain, run_label, runner_of, sorted, workspace_label};
use crate::orch::Shared;
use orcha_base::{ObjectiveId, WorkspaceId};
use orcha_exec::Grace;
use orcha_model::effect::{Patience, Stop};
use orcha_model::{Role, session, workspace};
use orcha_plan::{Stimulus, World};
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
        stimuli.extend(trespasses(shared, objective, it, workspace).await?);
    }
    Ok(Facts::of(stimuli))
}

async fn snapshot(shared: &Shared, it: &Stop, workspace: WorkspaceId) -> Result<Option<Stimulus>, Executed> {
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

/// Finds what a session changed that may only look: where no sandbox kept its hands off. Nothing goes on with it, and the
/// snapshot keeps it.
async fn trespasses(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    it: &Stop,
    workspace: WorkspaceId,
) -> Result<Option<Stimulus>, Executed> {
    let session = it.session;
    let role = move |world: &World| world.sessions.get(&session).map(|it| it.role);
    let role = shared.view(objective, role).await.map_err(|fault| Executed::Again { detail: chain(&fault) })?;
    if !role.is_some_and(Role::only_looks) {
        return Ok(None);
    }
    let hands = shared.hands.target(it.target);
    let hands = hands.ok_or_else(|| Executed::Failed { detail: "the target is not connected".into() })?;
    let files = match hands.checkouts.changes(&workspace_label(workspace)?).await {
        Ok(files) => files,
        // A folder without a repository, or a checkout that was never made.
        Err(WorkspaceError::Absent { .. }) => return Ok(None),
        Err(fault) => return Err(sorted(&fault, fault.retry())),
    };
    let files: Vec<String> = files.into_iter().map(|it| it.path).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let trespassed = session::Input::Trespassed { attempt: it.attempt, files };
    Ok(Some(Stimulus::Session(it.session, trespassed)))
}

/// What is stored of a run that is over need not be kept on the target as well; its directory holds a credential.
pub(super) async fn forget(shared: &Arc<Shared>, objective: ObjectiveId, it: &Stop) {
    let (Ok(label), Ok(runner)) =
        (run_label(it.session, it.attempt), runner_of(shared, objective, it.session, it.target).await)
    else {
        return;
    };
    if shared.ingests.over(&label).await
        && let Err(fault) = runner.forget(&label).await
    {
        warn!(run = %label, error = %fault, "the run directory could not be deleted");
    }
}
