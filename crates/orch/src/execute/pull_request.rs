//! Pushes, and speaks to the code host.

use super::{Executed, Facts, chain, sorted, workspace_label};
use crate::orch::Shared;
use crate::watch;
use orcha_base::{ArtifactId, ObjectiveId, PullRequestId, RepoUrl, Sha};
use orcha_forge::{
    Author, Edit, ForgeError, Key, Merge, Method, Open, Place, Post, PrNumber, PrStatus, Trust, clean_title,
};
use orcha_model::effect::{MergeMethod, Publish, PushWork, UpdatePr};
use orcha_model::pull_request::{HeldPush, Input, UpdateWork};
use orcha_model::{Artifact, ArtifactKind, Visibility};
use orcha_plan::Stimulus;
use orcha_workspace::{Expected, Push, PushSource, Pushed};
use std::sync::Arc;

pub(super) async fn publish(shared: &Arc<Shared>, objective: ObjectiveId, it: &Publish) -> Result<Executed, Executed> {
    let hands = shared.hands.target(it.target).ok_or_else(gone)?;
    let label = workspace_label(it.workspace)?;
    let left = hands.checkouts.commit_leftovers(&label, &it.commit_message, &shared.settings.identity).await;
    left.map_err(|fault| sorted(&fault, fault.retry()))?;
    let diff = hands.checkouts.diff(&label, None, 0).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    if diff.is_empty() {
        let detail =
            format!("there is nothing to publish: branch `{}` changes no file compared with `{}`", it.branch, it.base);
        return Ok(empty(it, detail));
    }
    let push = Push {
        repo: it.repo.clone(),
        source: PushSource::Workspace(label),
        branch: it.branch.clone(),
        expected: Expected::New,
        force: false,
    };
    hands.checkouts.push(&push).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    let open = Open {
        key: key(&it.pull_request.to_string())?,
        head: it.branch.clone(),
        base: it.base.clone(),
        title: clean_title(&it.title),
        body: it.body.clone(),
        draft: it.draft,
        at: shared.clock.now(),
    };
    let opened = match shared.hands.forge().open(&it.repo, &open).await {
        Ok(opened) => opened,
        Err(fault @ ForgeError::NothingToMerge { .. }) => return Ok(empty(it, chain(&fault))),
        Err(fault) => return Err(refused(fault)),
    };
    let pr = opened.pr;
    let owner = shared.view(objective, |world| (world.objective.tenant.clone(), world.objective.scope.clone())).await;
    let (tenant, scope) = owner.map_err(|fault| Executed::Again { detail: chain(&fault) })?;
    let artifact = Artifact {
        // The same pull request is the same artifact, however often this is executed.
        id: ArtifactId::from_uuid(it.pull_request.uuid()),
        tenant,
        scope,
        objective,
        session: None,
        kind: ArtifactKind::PullRequest,
        title: pr.title.clone(),
        summary: it.body.clone(),
        uri: Some(pr.url.clone()),
        visibility: Visibility::Primary,
        created_at: shared.clock.now(),
    };
    let input = Input::Opened { number: pr.number.0, url: pr.url, head: pr.head_sha };
    Ok(Executed::Facts(Facts {
        stimuli: vec![Stimulus::PullRequest(it.pull_request, input)],
        artifacts: vec![artifact],
    }))
}

fn empty(it: &Publish, reason: String) -> Executed {
    Facts::of([Stimulus::PullRequest(it.pull_request, Input::Empty { reason })])
}

/// Looks at the code host right before a push: it may have been merged or closed since the last look, and neither is
/// pushed to. Returns what must be heard instead of a push.
async fn ended_meanwhile(shared: &Shared, it: &UpdatePr, work: &PushWork) -> Result<Option<Executed>, Executed> {
    let state = shared.hands.forge().state(&it.repo, PrNumber(it.number)).await.map_err(refused)?;
    let instead = match state.pr.status {
        PrStatus::Draft | PrStatus::Open => return Ok(None),
        PrStatus::Merged => {
            Input::Refused { reason: "it was merged meanwhile, and a merged pull request is never pushed to".into() }
        }
        PrStatus::Closed => {
            let work = UpdateWork {
                workspace: work.workspace,
                target: work.target,
                commit_message: work.commit_message.clone(),
                force: work.force.is_some(),
                force_reason: work.force.clone(),
            };
            Input::NotPushed { held: HeldPush { work, title: it.title.clone(), body: it.body.clone() } }
        }
    };
    let seen = Input::Observed(watch::observed(&state));
    Ok(Some(Facts::of([seen, instead].map(|input| Stimulus::PullRequest(it.pull_request, input)))))
}

pub(super) async fn update(shared: &Arc<Shared>, it: &UpdatePr) -> Result<Executed, Executed> {
    let number = PrNumber(it.number);
    let mut head = None;
    if let Some(work) = &it.push {
        if let Some(instead) = ended_meanwhile(shared, it, work).await? {
            return Ok(instead);
        }
        head = Some(push(shared, &it.repo, work).await?.sha);
    }
    if it.title.is_some() || it.body.is_some() {
        let edit = Edit {
            title: it.title.as_deref().map(clean_title),
            body: it.body.clone(),
            draft: None,
            at: shared.clock.now(),
        };
        shared.hands.forge().edit(&it.repo, number, &edit).await.map_err(refused)?;
    }
    let head = match head {
        Some(head) => head,
        None => shared.hands.forge().state(&it.repo, number).await.map_err(refused)?.pr.head_sha,
    };
    Ok(Facts::of([Stimulus::PullRequest(it.pull_request, Input::Updated { head })]))
}

async fn push(shared: &Shared, repo: &RepoUrl, work: &PushWork) -> Result<Pushed, Executed> {
    let hands = shared.hands.target(work.target).ok_or_else(gone)?;
    let label = workspace_label(work.workspace)?;
    let left = hands.checkouts.commit_leftovers(&label, &work.commit_message, &shared.settings.identity).await;
    let left = left.map_err(|fault| sorted(&fault, fault.retry()))?;
    if left.head == work.expected {
        return Err(Executed::Failed {
            detail: "there is nothing to push: the checkout has no commit that the pull request lacks".into(),
        });
    }
    let push = Push {
        repo: repo.clone(),
        source: PushSource::Workspace(label),
        branch: work.branch.clone(),
        expected: Expected::At(work.expected.clone()),
        force: work.force.is_some(),
    };
    hands.checkouts.push(&push).await.map_err(|fault| sorted(&fault, fault.retry()))
}

pub(super) async fn comment(
    shared: &Arc<Shared>,
    id: PullRequestId,
    repo: &RepoUrl,
    number: u64,
    key_text: &str,
    body: &str,
) -> Result<Executed, Executed> {
    let post = Post {
        key: key(key_text)?,
        author: Author::new("orcha", Trust::System),
        place: Place::Conversation,
        body: body.to_owned(),
        at: shared.clock.now(),
    };
    shared.hands.forge().comment(repo, PrNumber(number), &post).await.map_err(refused)?;
    Ok(Facts::of([Stimulus::PullRequest(id, Input::Commented)]))
}

pub(super) async fn merge(
    shared: &Arc<Shared>,
    id: PullRequestId,
    repo: &RepoUrl,
    number: u64,
    method: MergeMethod,
    expected_head: &Sha,
) -> Result<Executed, Executed> {
    let state = shared.hands.forge().state(repo, PrNumber(number)).await.map_err(refused)?;
    let merge = Merge {
        method: match method {
            MergeMethod::Merge => Method::Merge,
            MergeMethod::Squash => Method::Squash,
            MergeMethod::Rebase => Method::Rebase,
        },
        expected_head: expected_head.clone(),
        identity: shared.settings.identity.clone(),
        message: format!("{} (#{number})", state.pr.title),
        at: shared.clock.now(),
    };
    let merged = shared.hands.forge().merge(repo, PrNumber(number), &merge).await.map_err(refused)?;
    Ok(Facts::of([Stimulus::PullRequest(id, Input::Merged { sha: merged.sha })]))
}

pub(super) async fn close(
    shared: &Arc<Shared>,
    id: PullRequestId,
    repo: &RepoUrl,
    number: u64,
) -> Result<Executed, Executed> {
    shared.hands.forge().close(repo, PrNumber(number), shared.clock.now()).await.map_err(refused)?;
    Ok(Facts::of([Stimulus::PullRequest(id, Input::Closed)]))
}

pub(super) async fn reopen(
    shared: &Arc<Shared>,
    id: PullRequestId,
    repo: &RepoUrl,
    number: u64,
) -> Result<Executed, Executed> {
    shared.hands.forge().reopen(repo, PrNumber(number), shared.clock.now()).await.map_err(refused)?;
    Ok(Facts::of([Stimulus::PullRequest(id, Input::Reopened)]))
}

fn key(text: &str) -> Result<Key, Executed> {
    Key::new(text).map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn refused(fault: ForgeError) -> Executed {
    sorted(&fault, fault.retry())
}

fn gone() -> Executed {
    Executed::Failed { detail: "the target is not connected".into() }
}
