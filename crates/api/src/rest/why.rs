//! Why something does not move. Sessions and objectives are explained by the mind; what has no reasons of its own is
//! explained by its state.

use crate::auth::Asker;
use crate::find::ambiguous;
use crate::input::Id;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::State;
use orcha_base::{ObjectiveId, ProposalId, PullRequestId, QuestionId, SessionId, TargetId, WorkspaceId};
use orcha_model::{
    Proposal, PullRequest, Question, Target, Workspace, proposal, pull_request, question, target, workspace,
};
use orcha_plan::why as explain;
use orcha_store::Shortened;
use orcha_wire::{IdRef, Why};

pub(crate) async fn why(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<Why>, ApiError> {
    let (noun, id) = which(&api, &asker, &id).await?;
    let answer = match noun {
        Noun::Many(Shortened::Objective) => {
            let it = api.objective(&asker, &id).await?;
            let said = api.orch.view(it.id, |world| explain(world, None)).await?;
            from_mind(ObjectiveId::NOUN, it.id.to_string(), it.state.name(), said)
        }
        Noun::Many(Shortened::Session) => {
            let it = api.session(&asker, &id).await?;
            let session = it.id;
            let said = api.orch.view(it.objective, move |world| explain(world, Some(session))).await?;
            from_mind(SessionId::NOUN, it.id.to_string(), it.state.name(), said)
        }
        Noun::Many(Shortened::PullRequest) => Some(of_pull_request(&api.pull_request(&asker, &id).await?)),
        Noun::Many(Shortened::Question) => Some(of_question(&api.question(&asker, &id).await?)),
        Noun::Many(Shortened::Workspace) => Some(of_workspace(&api.workspace(&asker, &id).await?)),
        Noun::Many(Shortened::Proposal) => Some(of_proposal(&api.proposal(&asker, &id).await?)),
        Noun::Many(Shortened::Text | Shortened::Attachment) => None,
        Noun::Target => Some(of_target(&api.target(&asker, &id).await?.target)),
    };
    answer.map(Answer).ok_or_else(|| ApiError::unknown("noun", id))
}

#[derive(Clone, Copy)]
enum Noun {
    Many(Shortened),
    Target,
}

/// Finds out which noun an id belongs to.
async fn which(api: &Api, asker: &Asker, id: &IdRef) -> Result<(Noun, IdRef), ApiError> {
    let mut found = Vec::new();
    for noun in Shortened::ALL {
        for full in api.candidates(asker, noun, id).await? {
            if is_there(api, asker, noun, &full).await? {
                found.push((Noun::Many(noun), full));
            }
        }
    }
    for row in api.orch.store().targets(&asker.viewer).await? {
        let full = row.target.id.to_string();
        if full.ends_with(id.as_str()) {
            found.push((Noun::Target, full));
        }
    }
    match found.as_slice() {
        [] => Err(ApiError::unknown("noun", id)),
        [(noun, full)] => Ok((*noun, full.parse().map_err(|_| ApiError::unknown("noun", id))?)),
        several => Err(ambiguous(id, &several.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>())),
    }
}

async fn is_there(api: &Api, asker: &Asker, noun: Shortened, full: &str) -> Result<bool, ApiError> {
    let (store, viewer) = (api.orch.store(), &asker.viewer);
    macro_rules! ask {
        ($find:ident, $id:ty) => {
            match full.parse::<$id>() {
                Ok(id) => store.$find(viewer, id).await?.is_some(),
                Err(_) => false,
            }
        };
    }
    Ok(match noun {
        Shortened::Objective => ask!(objective, ObjectiveId),
        Shortened::Session => ask!(session, SessionId),
        Shortened::Workspace => ask!(workspace, WorkspaceId),
        Shortened::PullRequest => ask!(pull_request, PullRequestId),
        Shortened::Question => ask!(question, QuestionId),
        Shortened::Proposal => ask!(proposal, ProposalId),
        // These have no life of their own that anybody waits for.
        Shortened::Text | Shortened::Attachment => false,
    })
}

fn from_mind(noun: &str, id: String, state: &str, said: Option<orcha_plan::Why>) -> Option<Why> {
    said.map(|said| Why {
        id,
        noun: noun.to_owned(),
        state: state.to_owned(),
        reason: said.reason,
        since: said.since,
        way_out: said.way_out,
    })
}

fn of_proposal(it: &Proposal) -> Why {
    let id = it.id.short();
    let (reason, way_out) = match &it.state {
        proposal::State::Proposed if it.body.is_none() => {
            ("it is advice for people".to_owned(), format!("`orcha proposals decline {id}` once it is settled"))
        }
        proposal::State::Proposed => (
            "a person decides whether it is tried".to_owned(),
            format!("`orcha proposals approve {id}`, or decline it"),
        ),
        proposal::State::OnTrial { .. } => (
            "runs are split between the old text and the new one".to_owned(),
            "it is decided when enough workflows have ended, or when the budget of the trial is spent".to_owned(),
        ),
        proposal::State::Adopted { .. } => {
            ("its text is in use".to_owned(), "it goes back by itself if runs go worse".to_owned())
        }
        proposal::State::Declined { reason, .. } | proposal::State::Reverted { reason, .. } => {
            (reason.clone(), "nothing: it is over".to_owned())
        }
    };
    Why {
        id: it.id.to_string(),
        noun: ProposalId::NOUN.to_owned(),
        state: it.state.name().to_owned(),
        reason,
        since: it.updated_at,
        way_out,
    }
}

fn of_pull_request(it: &PullRequest) -> Why {
    let (reason, way_out) = match &it.state {
        pull_request::State::Opening { .. } => {
            ("it is being opened".to_owned(), "it opens, or is refused with the reason".to_owned())
        }
        pull_request::State::Draft => ("it is a draft".to_owned(), "somebody marks it as ready".to_owned()),
        pull_request::State::Open => {
            let conflict = if it.mergeable == Some(false) { ", conflicts with its base" } else { "" };
            (
                format!("its checks are {}, its review is {}{conflict}", it.checks, it.review),
                format!("`orcha pr merge {}`, or a comment that sends somebody", it.id.short()),
            )
        }
        pull_request::State::Merged { .. } => ("merged".to_owned(), "nothing: it has ended".to_owned()),
        pull_request::State::Closed { why } => {
            (format!("closed: {why}"), format!("`orcha pr reopen {}`", it.id.short()))
        }
    };
    Why {
        id: it.id.to_string(),
        noun: PullRequestId::NOUN.to_owned(),
        state: it.state.name().to_owned(),
        reason,
        since: it.updated_at,
        way_out,
    }
}

fn of_question(it: &Question) -> Why {
    let (reason, way_out) = match &it.state {
        question::State::Open => {
            let answer = format!("`orcha answer {} …`", it.id.short());
            let way_out = match &it.about {
                question::About::Permission(request) => {
                    format!("{answer}, or: without an answer it is denied at {}", request.until)
                }
                _ => answer,
            };
            ("it waits for the user", way_out)
        }
        question::State::Answered { .. } => {
            ("its answer is on its way", "it is delivered again until it is heard".to_owned())
        }
        question::State::Delivered { .. } => ("it is settled", "nothing: it has ended".to_owned()),
        question::State::Canceled => ("nobody needs the answer any more", "nothing: it has ended".to_owned()),
    };
    Why {
        id: it.id.to_string(),
        noun: QuestionId::NOUN.to_owned(),
        state: it.state.name().to_owned(),
        reason: reason.to_owned(),
        since: it.answered_at.unwrap_or(it.created_at),
        way_out,
    }
}

fn of_workspace(it: &Workspace) -> Why {
    let (reason, way_out) = match &it.state {
        workspace::State::Preparing => {
            ("it is being made".to_owned(), "it is ready then, or failed with the reason".to_owned())
        }
        workspace::State::Ready => match &it.kept_because {
            Some(kept) => (
                format!("it is kept: {kept}"),
                "it goes when that is no longer so; it is asked again by itself".to_owned(),
            ),
            None => (
                "its session works in it, or it has not been long enough".to_owned(),
                "it goes some time after its session, if that loses nothing".to_owned(),
            ),
        },
        workspace::State::Archived => (
            "it was let go; everything is kept elsewhere".to_owned(),
            format!("`orcha workspace restore {}`", it.id.short()),
        ),
        workspace::State::Failed { reason } => {
            (reason.clone(), "the next attempt of its session makes it again".to_owned())
        }
    };
    Why {
        id: it.id.to_string(),
        noun: WorkspaceId::NOUN.to_owned(),
        state: it.state.name().to_owned(),
        reason,
        since: it.updated_at,
        way_out,
    }
}

fn of_target(it: &Target) -> Why {
    let (reason, way_out) = match it.state {
        target::State::Online => ("it takes sessions".to_owned(), "nothing to wait for".to_owned()),
        target::State::Offline => (
            it.problem.clone().unwrap_or_else(|| "it was not reached yet".to_owned()),
            "it is asked again by itself".to_owned(),
        ),
        target::State::Draining => {
            ("a person wants nothing new on it".to_owned(), format!("`orcha target enable {}`", it.id.short()))
        }
        target::State::Disabled => {
            ("a person switched it off".to_owned(), format!("`orcha target enable {}`", it.id.short()))
        }
    };
    Why {
        id: it.id.to_string(),
        noun: TargetId::NOUN.to_owned(),
        state: it.state.name().to_owned(),
        reason,
        since: it.updated_at,
        way_out,
    }
}
