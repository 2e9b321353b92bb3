//! What exactly is delivered, from the snapshot alone: which texts, which commit, to which branch.
//!
//! Nothing is made here; see `orch::execute::deliver_result`.

use crate::{World, brief};
use orcha_model::Workflow;
use orcha_model::contract::Output;
use orcha_model::delivery::{Action, Document, Settings, main_text};
use orcha_model::effect::{Content, Source, Take};

/// Says what is delivered, and where it lies; or why there is nothing to deliver.
pub fn parcel(world: &World, workflow: &Workflow, action: Action) -> Result<(Content, Option<Source>), String> {
    let Some(Output::Finish(finish)) = brief::output(world, workflow.left.finish) else {
        return Err("nobody has written what people read of it".to_owned());
    };
    let source = source(world, workflow, action)?;
    let documents = match source {
        // What was committed is what counts.
        Some(_) => Vec::new(),
        None => brief::artifacts(world).into_iter().map(|(path, text)| Document { path, text }).collect(),
    };
    let draft = matches!(action, Action::BlogDraft | Action::DocDraft);
    let body = match main_text(&documents).filter(|_| draft) {
        Some(text) => text.text.clone(),
        None => brief::delivery_body(world, workflow, finish),
    };
    let content = Content {
        title: finish.title.clone(),
        summary: finish.summary.clone(),
        body,
        vision: brief::vision(world),
        documents,
    };
    Ok((content, source))
}

fn source(world: &World, workflow: &Workflow, action: Action) -> Result<Option<Source>, String> {
    let session = workflow.left.result.and_then(|id| world.sessions.get(&id));
    let workspace = session.and_then(|it| world.workspaces.get(&it.workspace?));
    let repo = workspace.and_then(|it| it.repo.clone());
    let (Some(session), Some(workspace), Some(repo)) = (session, workspace, repo) else {
        if action.needs_repository() {
            return Err("there is no checkout to deliver".to_owned());
        }
        return Ok(None);
    };
    let checkout = workspace.checkout.as_ref();
    // Nothing leaves that was not looked at.
    let commit = workflow.left.checked.clone().ok_or("no commit of it was checked")?;
    let branch = match &workflow.wish.delivery {
        Settings::DirectCommit { branch: Some(branch) } => Some(branch.clone()),
        _ => checkout.and_then(|it| it.base.clone()),
    };
    let branch = branch.ok_or("the branch that the work is based on is not known")?;
    let outcome = brief::outcome(world, workflow);
    if action == Action::DirectCommit && outcome.is_some_and(|it| it.files.is_empty()) {
        return Err("the work changes no file".to_owned());
    }
    let take = match action {
        Action::ArtifactBundle => Take::Tree,
        Action::MarkdownExport | Action::BlogDraft | Action::DocDraft => {
            Take::Texts { files: outcome.map(|it| it.changed.clone()).unwrap_or_default() }
        }
        Action::PullRequest | Action::DirectCommit | Action::Webhook | Action::Answer => Take::Nothing,
    };
    Ok(Some(Source {
        session: session.id,
        workspace: workspace.id,
        target: workspace.target,
        repo,
        branch,
        commit,
        take,
    }))
}
