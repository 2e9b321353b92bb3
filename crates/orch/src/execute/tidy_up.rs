//! Lets go of finished workspaces, and brings snapshots back.

use super::{Executed, Facts, prepare, sorted, workspace_label};
use crate::orch::Shared;
use orcha_base::{Sha, TargetId, WorkspaceId};
use orcha_exec::Command;
use orcha_model::workspace::Input;
use orcha_plan::Stimulus;
use orcha_workspace::{Reclaim, RestoreInto, WorkspaceError};
use std::sync::Arc;

pub(super) async fn reclaim(
    shared: &Arc<Shared>,
    workspace: WorkspaceId,
    target: TargetId,
    checkout: bool,
) -> Result<Executed, Executed> {
    let hands =
        shared.hands.target(target).ok_or_else(|| Executed::Failed { detail: "the target is not connected".into() })?;
    let input = if checkout {
        let label = workspace_label(workspace)?;
        match hands.checkouts.reclaim(&label).await {
            Ok(Reclaim::Reclaimed(snapshot)) => Input::Reclaimed { snapshot: snapshot.map(|it| it.sha) },
            Ok(Reclaim::Kept(kept)) => Input::Kept { reason: kept.to_string() },
            // It was never made: there is nothing that could be lost.
            Err(WorkspaceError::Absent { .. }) => Input::Reclaimed { snapshot: None },
            Err(fault) => return Err(sorted(&fault, fault.retry())),
        }
    } else {
        // Nothing proves what files outside a repository are worth: only an empty folder goes.
        let path = prepare::folder_path(&hands, workspace).display().to_string();
        let command =
            Command::new("rmdir", "/").args(["--ignore-fail-on-non-empty", "--", &path]).env("PATH", "/usr/bin:/bin");
        hands.host.run(&command).await.map_err(|fault| sorted(&fault, fault.retry()))?;
        let look = Command::new("test", "/").args(["-e", &path]).env("PATH", "/usr/bin:/bin");
        let look = hands.host.run(&look).await.map_err(|fault| sorted(&fault, fault.retry()))?;
        if look.status.success() {
            Input::Kept { reason: "it holds files that no repository keeps".into() }
        } else {
            Input::Reclaimed { snapshot: None }
        }
    };
    Ok(Facts::of([Stimulus::Workspace(workspace, input)]))
}

pub(super) async fn restore(
    shared: &Arc<Shared>,
    workspace: WorkspaceId,
    target: TargetId,
    sha: &Sha,
) -> Result<Executed, Executed> {
    let hands =
        shared.hands.target(target).ok_or_else(|| Executed::Failed { detail: "the target is not connected".into() })?;
    let label = workspace_label(workspace)?;
    let snapshots = hands.checkouts.snapshots(&label).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    let Some(snapshot) = snapshots.iter().find(|it| it.sha == *sha) else {
        return Err(Executed::Failed { detail: format!("there is no snapshot {}", sha.short()) });
    };
    let restored = hands.checkouts.restore(&label, snapshot.number, &RestoreInto::Workspace).await;
    let restored = restored.map_err(|fault| sorted(&fault, fault.retry()))?;
    let dir = restored.dir.display().to_string();
    Ok(Facts::of([Stimulus::Workspace(workspace, Input::Restored { snapshot: sha.clone(), dir })]))
}
