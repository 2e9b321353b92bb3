//! Workspaces: looked at, brought back, let go.

use super::Wheel;
use crate::auth::Asker;
use crate::input::{Id, Nothing, OptionalJson, Query};
use crate::list::{Wanted, answer};
use crate::problem::{ApiError, chain};
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_base::WorkspaceId;
use orcha_model::workspace::Input;
use orcha_model::{NoteKind, Workspace};
use orcha_plan::Stimulus;
use orcha_store::Cursor;
use orcha_wire::{Code, ListWorkspaces, RestoreWorkspace, Restored, Snapshot, WorkspaceDetail};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

/// How long a restoration is waited for before the asker is told to look later.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListWorkspaces>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::new(query.after, query.limit)?;
    let (store, viewer) = (api.orch.store(), &asker.viewer);
    let key = |it: &Workspace| Cursor { at: it.created_at, id: it.id.to_string() };
    let page = match &query.objective_id {
        Some(id) => {
            let objective = api.objective(&asker, id).await?.id;
            wanted.pages(|page| store.workspaces_of(viewer, objective, page), |_| true, key).await?
        }
        None => wanted.pages(|page| store.workspaces(viewer, page), |_| true, key).await?,
    };
    Ok(answer(page, |it| translate::workspace(&it)))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<WorkspaceDetail>, ApiError> {
    let it = api.workspace(&asker, &id).await?;
    Ok(Answer(WorkspaceDetail { snapshots: snapshots(&api, &it).await?, workspace: translate::workspace(&it) }))
}

/// Asks the target what was kept of a workspace.
async fn snapshots(api: &Api, it: &Workspace) -> Result<Vec<Snapshot>, ApiError> {
    let (Some(hands), true) = (api.orch.hands().target(it.target), it.repo.is_some()) else {
        return Ok(Vec::new());
    };
    // Workspaces are known to their targets by their ids.
    let Ok(label) = it.id.to_string().try_into() else { return Ok(Vec::new()) };
    let kept = hands.checkouts.snapshots(&label).await.map_err(|fault| {
        warn!(workspace.id = %it.id, error = %chain(&fault), "snapshots could not be listed");
        ApiError::new(Code::Unavailable, "the target of the workspace could not list its snapshots")
    })?;
    let kept = kept.into_iter().map(|it| Snapshot {
        number: it.number,
        sha: it.sha,
        head: Some(it.head),
        why: it.why,
        created_at: it.at,
    });
    Ok(kept.collect())
}

pub(crate) async fn restore(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<RestoreWorkspace>,
) -> Result<Answer<Restored>, ApiError> {
    let Workspace { id, objective, .. } = api.workspace(&asker, &id).await?;
    let mut journal = api.orch.journal();
    wheel.orch.submit(objective, Stimulus::Workspace(id, Input::Restore { snapshot: body.snapshot })).await?;
    let text = id.to_string();
    let done = async {
        loop {
            match journal.recv().await {
                Ok(line) if line.event.kind == NoteKind::WorkspaceRestored => {
                    let fact = |key: &str| line.event.data.iter().find(|(it, _)| it == key).map(|(_, it)| it.clone());
                    if fact("workspace_id").as_ref() == Some(&text) {
                        return fact("dir");
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    };
    let dir = tokio::select! {
        dir = done => dir,
        () = tokio::time::sleep(PATIENCE) => None,
        () = api.orch.stopping().cancelled_owned() => None,
    };
    Ok(Answer(Restored { workspace: shown(&api, &asker, id).await?, dir }))
}

pub(crate) async fn reclaim(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Workspace>, ApiError> {
    let Workspace { id, objective, .. } = api.workspace(&asker, &id).await?;
    wheel.orch.submit(objective, Stimulus::Workspace(id, Input::Reclaim)).await?;
    Ok(Answer(shown(&api, &asker, id).await?))
}

async fn shown(api: &Api, asker: &Asker, id: WorkspaceId) -> Result<orcha_wire::Workspace, ApiError> {
    let found = api.orch.store().workspace(&asker.viewer, id).await?;
    Ok(translate::workspace(&found.ok_or_else(|| ApiError::unknown(WorkspaceId::NOUN, id))?))
}
