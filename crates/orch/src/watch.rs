//! Asks the code host about open pull requests: at once when something of ours was done there, otherwise by a
//! cheap question per repository; and not at all while no pull request is open.

use crate::execute::chain;
use crate::inbox::Stimuli;
use crate::orch::Shared;
use orcha_base::{RepoUrl, Timestamp};
use orcha_forge::{
    ChangesToken, Comment, CommentKind, ForgeError, PrNumber, PrState, PrStatus, ReviewState, Trust, Verdict,
};
use orcha_model::PullRequest;
use orcha_model::feedback::{Kind, Trust as Trusted};
use orcha_model::pull_request::{Checks, Input, Observed, Review, Status};
use orcha_plan::{NewFeedback, Stimulus};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::warn;

/// How many open pull requests are looked at in one go.
const LOOK: u32 = 1000;

/// Wakes the watcher.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    nudged: Notify,
}

impl Watch {
    /// Says that something was done on the code host.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }
}

/// Watches until the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut seen: HashMap<RepoUrl, ChangesToken> = HashMap::new();
    loop {
        let watched = match shared.store.watched_pull_requests(Timestamp::from_micros(i64::MAX), LOOK).await {
            Ok(watched) => watched,
            Err(fault) => {
                warn!(error = %chain(&fault), "open pull requests could not be listed");
                Vec::new()
            }
        };
        let mut by_repo: HashMap<RepoUrl, Vec<PullRequest>> = HashMap::new();
        for pr in watched.into_iter().filter(|it| it.number.is_some()) {
            by_repo.entry(pr.repo.clone()).or_default().push(pr);
        }
        seen.retain(|repo, _| by_repo.contains_key(repo));
        for (repo, prs) in &by_repo {
            if let Err(fault) = look(&shared, repo, prs, &mut seen).await {
                warn!(repo = %repo, error = %chain(&fault), "the code host could not be asked");
            }
        }
        let nothing_open = by_repo.is_empty();
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.watch.nudged.notified() => {}
            () = shared.clock.sleep(shared.settings.watch_every), if !nothing_open => {}
        }
    }
}

/// Looks at the pull requests of a repository, if anything changed there.
async fn look(
    shared: &Arc<Shared>,
    repo: &RepoUrl,
    prs: &[PullRequest],
    seen: &mut HashMap<RepoUrl, ChangesToken>,
) -> Result<(), ForgeError> {
    let token = shared.hands.forge().changes_token(repo).await?;
    // The books are compared too: a pull request may have been opened after the last look at its repository.
    if seen.get(repo) == Some(&token) && prs.iter().all(|it| it.synced_at.is_some()) {
        return Ok(());
    }
    for pr in prs {
        observe(shared, pr).await?;
    }
    seen.insert(repo.clone(), token);
    Ok(())
}

/// Looks at one pull request and brings what is there.
pub(crate) async fn observe(shared: &Arc<Shared>, pr: &PullRequest) -> Result<(), ForgeError> {
    let Some(number) = pr.number.map(PrNumber) else { return Ok(()) };
    let state = shared.hands.forge().state(&pr.repo, number).await?;
    let mut stimuli = vec![Stimulus::PullRequest(pr.id, Input::Observed(observed(&state)))];
    let mut cursor = None;
    loop {
        let page = shared.hands.forge().comments(&pr.repo, number, cursor.as_ref()).await?;
        stimuli.extend(page.comments.iter().filter_map(|it| feedback(pr, it)).map(Stimulus::NewFeedback));
        if !page.more {
            break;
        }
        cursor = Some(page.next);
    }
    if let Err(fault) = shared.bring(pr.objective, Stimuli { stimuli, ..Stimuli::default() }).await {
        warn!(pull_request.id = %pr.id, error = %chain(&fault), "what the code host said could not be stored");
    }
    Ok(())
}

pub(crate) fn observed(state: &PrState) -> Observed {
    let pr = &state.pr;
    Observed {
        status: match pr.status {
            PrStatus::Draft => Status::Draft,
            PrStatus::Open => Status::Open,
            PrStatus::Merged => Status::Merged(pr.merged_sha.clone()),
            PrStatus::Closed => Status::Closed,
        },
        head: pr.head_sha.clone(),
        checks: match pr.checks {
            orcha_forge::Checks::Unknown => Checks::Unknown,
            orcha_forge::Checks::Pending => Checks::Pending,
            orcha_forge::Checks::Passing => Checks::Passing,
            orcha_forge::Checks::Failing => Checks::Failing,
        },
        review: match pr.review {
            ReviewState::None => Review::None,
            ReviewState::Approved => Review::Approved,
            ReviewState::ChangesRequested => Review::ChangesRequested,
        },
        mergeable: match state.mergeable {
            orcha_forge::Mergeable::Unknown => None,
            orcha_forge::Mergeable::Yes => Some(true),
            orcha_forge::Mergeable::Conflicting => Some(false),
        },
        title: pr.title.clone(),
    }
}

/// Turns a comment into feedback. Our own words are none, and neither is an approval.
fn feedback(pr: &PullRequest, comment: &Comment) -> Option<NewFeedback> {
    if comment.ours() || comment.body.trim().is_empty() {
        return None;
    }
    let (kind, body) = match &comment.kind {
        CommentKind::Issue => (Kind::IssueComment, comment.body.clone()),
        CommentKind::Review { verdict: Verdict::Approve, .. } => return None,
        CommentKind::Review { verdict: Verdict::Comment, .. } => (Kind::ReviewComment, comment.body.clone()),
        CommentKind::Review { verdict: Verdict::RequestChanges, .. } => (Kind::ChangesRequested, comment.body.clone()),
        CommentKind::Inline { path, line } => (Kind::ReviewComment, format!("On {path}:{line}:\n{}", comment.body)),
    };
    Some(NewFeedback {
        pull_request: pr.id,
        external: format!("{}@{}", comment.id, comment.revision),
        kind,
        author: comment.author.name.clone(),
        trust: match comment.author.trust {
            Trust::System | Trust::Member => Trusted::Trusted,
            Trust::Outside => Trusted::Outside,
        },
        body,
    })
}
