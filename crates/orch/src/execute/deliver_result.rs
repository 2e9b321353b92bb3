//! Delivers the result of a workflow: an archive, a document, a signed call, a commit on a branch.
//!
//! Twice is once: what is made is made under a key, and found under it; a branch that is at the commit is not pushed
//! again. So it may also be cut off at any instant: when the workflow is paused or canceled in the middle of it.

use super::{Executed, Facts, chain, workspace_label};
use crate::delivery::{delivered, made, texts};
use crate::hands::TargetHands;
use crate::orch::Shared;
use orcha_base::{ObjectiveId, Retry, WorkflowId};
use orcha_delivery::{Content, Document, Order};
use orcha_model::delivery::{Action, Delivered, main_text};
use orcha_model::effect::{DeliverResult, Source, Take};
use orcha_model::objective;
use orcha_model::workflow::{Input, Phase};
use orcha_plan::{OfWorkflow, Stimulus, World};
use orcha_workspace::{Exact, Expected, Label, Push, PushSource, WorkspaceError};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

/// Why a result was not delivered.
struct Fault {
    detail: String,
    retry: Retry,
}

/// Whether somebody still wants a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Now,
    /// The workflow rests: it is ordered anew when it goes on.
    Later,
    No,
}

pub(super) async fn run(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    it: &DeliverResult,
) -> Result<Executed, Executed> {
    // From here on whatever changes is heard of.
    let mut journal = shared.feed.journal();
    let order = it.order;
    if let Some(instead) = instead(shared, objective, order).await? {
        return Ok(instead);
    }
    let called_off = async {
        loop {
            match journal.recv().await {
                Ok(line) if line.event.objective != Some(objective) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    if let Some(instead) = instead(shared, objective, order).await? {
                        return Ok(instead);
                    }
                }
                // The daemon goes down, and with it this.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let delivered = tokio::select! {
        instead = called_off => return instead,
        delivered = deliver(shared, objective, it) => delivered,
    };
    match delivered {
        Ok(delivered) => Ok(fact(Input::Delivered { order: Some(order), delivered })),
        Err(Fault { detail, retry: Retry::Later }) => Err(Executed::Again { detail }),
        Err(Fault { detail, retry: Retry::AskHuman }) => {
            Ok(fact(Input::DeliveryFaulted { order, detail, lasting: false }))
        }
        Err(Fault { detail, retry: Retry::Never }) => Ok(fact(Input::DeliveryFaulted { order, detail, lasting: true })),
    }
}

fn fact(input: Input) -> Executed {
    Facts::of([Stimulus::Workflow(Box::new(OfWorkflow::It(input)))])
}

/// Returns what is heard instead of a delivery that is not wanted any more, or not now.
async fn instead(shared: &Arc<Shared>, objective: ObjectiveId, order: u32) -> Result<Option<Executed>, Executed> {
    let seen = shared.view(objective, move |world| wanted(world, order)).await;
    Ok(match seen.map_err(|fault| Executed::Again { detail: chain(&fault) })? {
        Wanted::Now => None,
        Wanted::Later => Some(fact(Input::DeliverAgain { order })),
        Wanted::No => Some(Facts::none()),
    })
}

fn wanted(world: &World, order: u32) -> Wanted {
    let ordered = world.workflow.as_ref().is_some_and(|it| it.phase == Phase::Deliver && it.is_under_way(Some(order)));
    match &world.objective.state {
        objective::State::Active | objective::State::WaitingUser if ordered => Wanted::Now,
        objective::State::Paused if ordered => Wanted::Later,
        _ => Wanted::No,
    }
}

async fn deliver(shared: &Arc<Shared>, objective: ObjectiveId, it: &DeliverResult) -> Result<Delivered, Fault> {
    match (&it.source, it.action) {
        (Some(source), Action::DirectCommit) => push(shared, source).await,
        (None, Action::DirectCommit) | (_, Action::PullRequest | Action::Answer) => {
            Err(Fault { detail: format!("`{}` is not made here", it.action), retry: Retry::Never })
        }
        (
            _,
            Action::ArtifactBundle | Action::MarkdownExport | Action::BlogDraft | Action::DocDraft | Action::Webhook,
        ) => make(shared, objective, it).await,
    }
}

async fn make(shared: &Arc<Shared>, objective: ObjectiveId, it: &DeliverResult) -> Result<Delivered, Fault> {
    let deliverer = shared.hands.deliverer();
    let deliverer = deliverer.ok_or_else(|| never("nobody here delivers that"))?;
    let action = made(it.action, &it.settings).map_err(|invalid| never(&invalid.to_string()))?;
    let said = &it.content;
    let document = |it: &orcha_model::delivery::Document| Document { path: it.path.clone(), text: it.text.clone() };
    let mut content = Content {
        title: said.title.clone(),
        summary: said.summary.clone(),
        body: said.body.clone(),
        vision: said.vision.clone(),
        documents: said.documents.iter().map(document).collect(),
        tree: None,
        commit: it.source.as_ref().map(|it| it.commit.clone()),
    };
    match it.source.as_ref().map(|source| (source, &source.take)) {
        Some((source, Take::Tree)) => content.tree = Some(folder(shared, it, source).await?),
        Some((source, Take::Texts { files })) => {
            let (dir, files) = (folder(shared, it, source).await?, files.clone());
            let read = tokio::task::spawn_blocking(move || texts(&dir, &files)).await;
            let read = read.map_err(|fault| sorted(&fault, Retry::Later))?;
            let read = read.map_err(|fault| match fault.kind() {
                std::io::ErrorKind::FileTooLarge => sorted(&fault, Retry::Never),
                _ => sorted(&fault, Retry::Later),
            })?;
            if let (Action::BlogDraft | Action::DocDraft, Some(text)) = (it.action, main_text(&read)) {
                content.body.clone_from(&text.text);
            }
            content.documents = read.iter().map(document).collect();
        }
        Some((_, Take::Nothing)) | None => {}
    }
    let tenant = shared.view(objective, |world| world.objective.tenant.clone()).await;
    let order = Order {
        tenant: tenant.map_err(|fault| sorted(&fault, Retry::Later))?,
        // What a person sends back is delivered anew; the same order given again is not.
        key: format!("round-{}", it.round),
        workflow: it.workflow.to_string(),
        action,
        content,
        at: it.at,
    };
    let done = deliverer.deliver(&order).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    Ok(delivered(done))
}

/// Makes a clean folder at the exact commit.
async fn folder(shared: &Shared, it: &DeliverResult, source: &Source) -> Result<std::path::PathBuf, Fault> {
    let exact = Exact {
        key: label(it)?,
        repo: source.repo.clone(),
        from: Some(workspace_label(source.workspace).map_err(|_| never("the workspace has no name"))?),
        commit: source.commit.clone(),
    };
    let ready = hands(shared, source)?.checkouts.exact(&exact).await;
    Ok(ready.map_err(|fault| sorted(&fault, fault.retry()))?.dir)
}

/// Moves a branch to the commit, if that drops nothing that is on it.
async fn push(shared: &Shared, source: &Source) -> Result<Delivered, Fault> {
    let hands = hands(shared, source)?;
    let mut push = Push {
        repo: source.repo.clone(),
        source: PushSource::Commit(source.commit.clone()),
        branch: source.branch.clone(),
        expected: Expected::New,
        force: false,
    };
    let pushed = match hands.checkouts.push(&push).await {
        // It is there: then only what goes on from it is taken, never by force.
        Err(WorkspaceError::RemoteMoved { actual: Some(actual), .. }) => {
            push.expected = Expected::At(actual);
            hands.checkouts.push(&push).await
        }
        other => other,
    };
    let pushed = pushed.map_err(|fault| {
        let retry = match &fault {
            // Somebody else has worked on it meanwhile; a person says what comes of that.
            WorkspaceError::RemoteMoved { .. } | WorkspaceError::NotFastForward { .. } => Retry::AskHuman,
            other => other.retry(),
        };
        sorted(&fault, retry)
    })?;
    Ok(Delivered::Commit { repo: source.repo.clone(), branch: source.branch.clone(), commit: pushed.sha })
}

/// Deletes the folder that was made for a delivery whose outcome is stored.
pub(super) async fn forget(shared: &Shared, it: &DeliverResult) {
    let Some(source) = it.source.as_ref().filter(|source| source.take != Take::Nothing) else { return };
    let (Ok(hands), Ok(label)) = (hands(shared, source), label(it)) else { return };
    if let Err(fault) = hands.checkouts.discard_exact(&label).await {
        warn!(workflow.id = %it.workflow, error = %fault, "what is left of a delivery could not be deleted");
    }
}

fn hands(shared: &Shared, source: &Source) -> Result<TargetHands, Fault> {
    let gone = || Fault { detail: "the target is not connected".to_owned(), retry: Retry::Later };
    shared.hands.target(source.target).ok_or_else(gone)
}

fn label(it: &DeliverResult) -> Result<Label, Fault> {
    label_of(it.workflow, it.round).map_err(|fault| sorted(&fault, Retry::Never))
}

/// The name of the folder that is made for a delivery.
fn label_of(workflow: WorkflowId, round: u32) -> Result<Label, WorkspaceError> {
    Label::new(&format!("deliver-{workflow}-{round}"))
}

/// Tells whose delivery a folder was made for; none for any other folder.
pub(crate) fn delivery_of(folder: &Label) -> Option<WorkflowId> {
    let (workflow, round) = folder.as_str().strip_prefix("deliver-")?.rsplit_once('-')?;
    round.parse::<u32>().ok()?;
    workflow.parse().ok()
}

fn never(detail: &str) -> Fault {
    Fault { detail: detail.to_owned(), retry: Retry::Never }
}

fn sorted(fault: &dyn Error, retry: Retry) -> Fault {
    Fault { detail: chain(fault), retry }
}
