//! Makes a checkout, or an empty folder.

use super::{Executed, Facts, chain, fatal, sorted, workspace_label};
use crate::hands::TargetHands;
use crate::orch::Shared;
use orcha_base::{ObjectiveId, SessionId, WorkspaceId};
use orcha_exec::Command;
use orcha_model::effect::{self, CheckoutStart};
use orcha_model::session::Input;
use orcha_model::workspace::{Conflict, Facts as WorkspaceFacts};
use orcha_plan::{Stimulus, World, handover};
use orcha_store::{ReadError, Span, Viewer};
use orcha_workspace::{Predecessor, Prepare, Ready, Start};
use std::path::PathBuf;
use std::sync::Arc;

/// How many lines of a transcript are looked at for whoever takes over.
const HERITAGE: u32 = 400;
/// How many messages are.
const TOLD: u32 = 5;

pub(super) async fn run(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    it: &effect::Prepare,
) -> Result<Executed, Executed> {
    let hands = shared
        .hands
        .target(it.target)
        .ok_or_else(|| Executed::Failed { detail: "the target is not connected".into() })?;
    let facts = match &it.checkout {
        None => WorkspaceFacts { dir: folder(&hands, it.workspace).await?, base: None, base_sha: None, conflict: None },
        Some(checkout) => {
            let start = start_of(shared, &hands, &checkout.start).await?;
            let prepare = Prepare {
                workspace: workspace_label(it.workspace)?,
                repo: checkout.repo.clone(),
                base: checkout.base.clone(),
                branch: checkout.branch.clone(),
                start,
                identity: shared.settings.identity.clone(),
            };
            let ready = hands.checkouts.prepare(&prepare).await.map_err(|fault| sorted(&fault, fault.retry()))?;
            facts_of(&ready, &prepare.start)
        }
    };
    let prepared = Stimulus::Prepared { session: it.session, attempt: it.attempt, workspace: it.workspace, facts };
    Ok(Facts::of(inherit(shared, objective, it.session).await?.into_iter().chain([prepared])))
}

/// Writes down what the agent before did and said, for the one that takes over. The run of that one has ended, and all
/// of its words are stored: its stop stood before this in the same row.
async fn inherit(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    session: SessionId,
) -> Result<Option<Stimulus>, Executed> {
    let look = move |world: &World| {
        let it = world.sessions.get(&session)?;
        it.handover.as_ref().filter(|it| it.brief.is_none())?;
        Some(Viewer::of(it.tenant.clone()))
    };
    let viewer = shared.view(objective, look).await.map_err(|fault| Executed::Again { detail: chain(&fault) })?;
    let Some(viewer) = viewer else { return Ok(None) };
    let again = |fault: ReadError| Executed::Again { detail: chain(&fault) };
    let lines = shared.store.transcript(&viewer, session, Span::Latest, HERITAGE).await.map_err(again)?;
    let lines: Vec<_> =
        lines.into_iter().map(|it| handover::Line { source: it.source, kind: it.kind, content: it.content }).collect();
    let told = shared.store.heard_messages(session, TOLD).await.map_err(again)?;
    let brief = handover::brief(&lines, &told);
    Ok(Some(Stimulus::Session(session, Input::Inherit { brief })))
}

async fn start_of(shared: &Shared, hands: &TargetHands, start: &CheckoutStart) -> Result<Start, Executed> {
    match start {
        CheckoutStart::Base => Ok(Start::Fresh),
        CheckoutStart::Branch => Ok(Start::PrBranch),
        CheckoutStart::After { workspaces } => {
            let mut before = Vec::with_capacity(workspaces.len());
            for (workspace, branch) in workspaces {
                let label = workspace_label(*workspace)?;
                // What the predecessor left uncommitted belongs to what its successor goes on with.
                let message = "Keep what was left uncommitted";
                let left = hands.checkouts.commit_leftovers(&label, message, &shared.settings.identity).await;
                let left = left.map_err(|fault| sorted(&fault, fault.retry()))?;
                before.push(Predecessor { workspace: label, branch: branch.clone(), head: left.head });
            }
            Ok(Start::Continue(before))
        }
    }
}

fn facts_of(ready: &Ready, start: &Start) -> WorkspaceFacts {
    let began = match start {
        // A follow-up has to move the head that it found.
        Start::PrBranch => &ready.head_sha,
        Start::Fresh | Start::Continue(_) => &ready.base_sha,
    };
    WorkspaceFacts {
        dir: ready.dir.display().to_string(),
        base: Some(ready.base_branch.clone()),
        base_sha: Some(began.clone()),
        conflict: ready.conflict.as_ref().map(|it| Conflict { with: it.name.clone(), files: it.files.clone() }),
    }
}

/// Where the folder of a workspace without a repository lies.
pub(super) fn folder_path(hands: &TargetHands, workspace: WorkspaceId) -> PathBuf {
    hands.host.work_root().join("folders").join(workspace.to_string())
}

async fn folder(hands: &TargetHands, workspace: WorkspaceId) -> Result<String, Executed> {
    let path = folder_path(hands, workspace).display().to_string();
    let command = Command::new("mkdir", "/").args(["-p", "--", &path]).env("PATH", "/usr/bin:/bin");
    let output = hands.host.run(&command).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    if !output.status.success() {
        return Err(fatal(&FolderError { path, complaint: output.complaint() }));
    }
    Ok(path)
}

/// The folder could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the folder {path} could not be made: {complaint}")]
struct FolderError {
    path: String,
    complaint: String,
}
