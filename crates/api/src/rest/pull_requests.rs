//! Pull requests: looked at, and what a person does with them. Merging, closing and opening again go through the
//! wheel; comments, reviews and checks go to the code host under the user's name, and come back as any others do.

use super::Wheel;
use crate::auth::Asker;
use crate::input::{Id, Json, Nothing, OptionalJson, Query};
use crate::list::{Wanted, answer, whole};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_base::{PullRequestId, Sha};
use orcha_forge::{Author, Check, CheckState, Key, Place, Post, PrNumber, Review, Trust, Verdict};
use orcha_model::effect::MergeMethod;
use orcha_model::pull_request::Input;
use orcha_model::{PullRequest, Refusal};
use orcha_store::Cursor;
use orcha_wire::{
    CheckPr, CheckVerdict, ClosePr, CommentPr, ListPullRequests, MergePr, PullRequestDetail, ReviewPr, ReviewVerdict,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The name under which a person speaks on a code host that has no accounts.
const USER: &str = "user";

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListPullRequests>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::new(query.after, query.limit)?;
    let keep = |it: &PullRequest| query.state.is_none_or(|state| translate::pull_request(it).status == state);
    let (store, viewer) = (api.orch.store(), &asker.viewer);
    let key = |it: &PullRequest| Cursor { at: it.created_at, id: it.id.to_string() };
    let page = match &query.objective_id {
        Some(id) => {
            let objective = api.objective(&asker, id).await?.id;
            wanted.pages(|page| store.pull_requests_of(viewer, objective, page), keep, key).await?
        }
        None => wanted.pages(|page| store.pull_requests(viewer, page), keep, key).await?,
    };
    Ok(answer(page, |it| translate::pull_request(&it)))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<PullRequestDetail>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    let feedback = whole(|page| api.orch.store().feedback_of(&asker.viewer, pr.id, page)).await?;
    let mut comments: Vec<orcha_forge::Comment> = Vec::new();
    if let Some(number) = pr.number {
        let mut after = None;
        loop {
            let page = api.orch.hands().forge().comments(&pr.repo, PrNumber(number), after.as_ref()).await?;
            for comment in page.comments {
                // An edited comment comes again; it keeps its place.
                match comments.iter_mut().find(|it| it.id == comment.id) {
                    Some(known) => *known = comment,
                    None => comments.push(comment),
                }
            }
            if !page.more {
                break;
            }
            after = Some(page.next);
        }
    }
    let pending = feedback.iter().map(translate::feedback).filter(|it| it.actionable && !it.handled);
    Ok(Answer(PullRequestDetail {
        pull_request: translate::pull_request(&pr),
        pending_feedback: pending.collect(),
        comments: comments.iter().map(translate::comment).collect(),
    }))
}

pub(crate) async fn refresh(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    observed(&api, &asker, &pr).await
}

/// Asks the code host about a pull request and answers with what the books say then.
async fn observed(api: &Api, asker: &Asker, pr: &PullRequest) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    api.orch.refresh_pull_request(pr).await?;
    let now = api.orch.store().pull_request(&asker.viewer, pr.id).await?;
    let now = now.ok_or_else(|| ApiError::unknown(PullRequestId::NOUN, pr.id))?;
    Ok(Answer(translate::pull_request(&now)))
}

pub(crate) async fn merge(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<MergePr>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let method = match body.method.unwrap_or(orcha_wire::MergeMethod::Merge) {
        orcha_wire::MergeMethod::Merge => MergeMethod::Merge,
        orcha_wire::MergeMethod::Squash => MergeMethod::Squash,
        orcha_wire::MergeMethod::Rebase => MergeMethod::Rebase,
    };
    let pr = api.pull_request(&asker, &id).await?;
    request(&wheel, &pr, Input::Merge { method }).await
}

pub(crate) async fn close(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<ClosePr>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    if let Some(reason) = body.reason.filter(|_| pr.state.is_live()) {
        let post = post(&api, &wheel, reason, Place::Conversation)?;
        api.orch.hands().forge().comment(&pr.repo, number(&pr)?, &post).await?;
    }
    request(&wheel, &pr, Input::Close).await
}

pub(crate) async fn reopen(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    request(&wheel, &pr, Input::Reopen).await
}

async fn request(wheel: &Wheel, pr: &PullRequest, input: Input) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let now = wheel.orch.pull_request_request(pr.objective, pr.id, input).await?;
    Ok(Answer(translate::pull_request(&now)))
}

pub(crate) async fn comment(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<CommentPr>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let place = match (body.path, body.line) {
        (Some(path), Some(line)) => Place::Line { path, line },
        (None, None) => Place::Conversation,
        (Some(_), None) => return Err(ApiError::invalid("line", "must be given together with `path`")),
        (None, Some(_)) => return Err(ApiError::invalid("path", "must be given together with `line`")),
    };
    let pr = api.pull_request(&asker, &id).await?;
    let post = post(&api, &wheel, body.body, place)?;
    api.orch.hands().forge().comment(&pr.repo, number(&pr)?, &post).await?;
    told(&api, &asker, &pr).await
}

pub(crate) async fn review(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<ReviewPr>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    let review = Review {
        key: key(&wheel)?,
        author: author(),
        verdict: match body.verdict {
            ReviewVerdict::Approve => Verdict::Approve,
            ReviewVerdict::RequestChanges => Verdict::RequestChanges,
            ReviewVerdict::Comment => Verdict::Comment,
        },
        sha: head(&pr)?,
        body: body.body,
        at: api.orch.now(),
    };
    api.orch.hands().forge().review(&pr.repo, number(&pr)?, &review).await?;
    told(&api, &asker, &pr).await
}

pub(crate) async fn check(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Json(body): Json<CheckPr>,
) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    let pr = api.pull_request(&asker, &id).await?;
    let check = Check {
        name: body.name,
        sha: head(&pr)?,
        state: match body.state {
            CheckVerdict::Pending => CheckState::Pending,
            CheckVerdict::Passing => CheckState::Passing,
            CheckVerdict::Failing => CheckState::Failing,
        },
        url: body.url,
        at: api.orch.now(),
    };
    api.orch.hands().forge().set_check(&pr.repo, number(&pr)?, &check).await?;
    told(&api, &asker, &pr).await
}

/// Something was said on the code host: the books learn of it at once.
async fn told(api: &Api, asker: &Asker, pr: &PullRequest) -> Result<Answer<orcha_wire::PullRequest>, ApiError> {
    api.orch.nudge_watch();
    observed(api, asker, pr).await
}

fn post(api: &Api, wheel: &Wheel, body: String, place: Place) -> Result<Post, ApiError> {
    Ok(Post { key: key(wheel)?, author: author(), place, body, at: api.orch.now() })
}

fn author() -> Author {
    Author::new(USER, Trust::Member)
}

/// The key under which the code host does it once: that of the request, or a new one.
fn key(wheel: &Wheel) -> Result<Key, ApiError> {
    let text = match &wheel.key {
        Some(key) => format!("user:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes()))),
        None => format!("user:{}", Uuid::now_v7()),
    };
    Ok(Key::new(&text)?)
}

fn number(pr: &PullRequest) -> Result<PrNumber, ApiError> {
    pr.number.map(PrNumber).ok_or_else(|| not_yet(pr))
}

fn head(pr: &PullRequest) -> Result<Sha, ApiError> {
    pr.head.clone().ok_or_else(|| not_yet(pr))
}

fn not_yet(pr: &PullRequest) -> ApiError {
    let rule = "it is not on the code host yet";
    Refusal::State { noun: "pull request", id: pr.label(), state: pr.state.name(), rule }.into()
}
