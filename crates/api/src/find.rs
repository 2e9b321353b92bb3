//! Finds what an id in a path or a query means: the full id, or the last eight digits of exactly one.
//!
//! Whatever the asker may not see is not there.

use crate::auth::Asker;
use crate::problem::ApiError;
use crate::shared::Api;
use orcha_base::{
    AttachmentId, ObjectiveId, ProjectId, ProposalId, PullRequestId, QuestionId, SessionId, TargetId, TextId,
    WorkspaceId,
};
use orcha_model::{Attachment, Objective, Project, Proposal, PullRequest, Question, Session, Text, Workspace};
use orcha_store::{Shortened, TargetRow};
use orcha_wire::{Code, IdRef};
use std::str::FromStr;

macro_rules! finders {
    ($($(#[$doc:meta])* $name:ident -> $noun:ty, $id:ty, $short:ident;)+) => {
        impl Api {$(
            $(#[$doc])*
            pub async fn $name(&self, asker: &Asker, id: &IdRef) -> Result<$noun, ApiError> {
                let id: $id = self.full(asker, Shortened::$short, <$id>::NOUN, id).await?;
                let found = self.orch.store().$name(&asker.viewer, id).await?;
                found.ok_or_else(|| ApiError::unknown(<$id>::NOUN, id))
            }
        )+}
    };
}

finders! {
    /// Finds an objective.
    objective -> Objective, ObjectiveId, Objective;
    /// Finds a session.
    session -> Session, SessionId, Session;
    /// Finds a workspace.
    workspace -> Workspace, WorkspaceId, Workspace;
    /// Finds a pull request.
    pull_request -> PullRequest, PullRequestId, PullRequest;
    /// Finds a question.
    question -> Question, QuestionId, Question;
    /// Finds a version of a text.
    text -> Text, TextId, Text;
    /// Finds a proposal.
    proposal -> Proposal, ProposalId, Proposal;
    /// Finds a file that came with an objective.
    attachment -> Attachment, AttachmentId, Attachment;
}

impl Api {
    /// Finds a target.
    pub async fn target(&self, asker: &Asker, id: &IdRef) -> Result<TargetRow, ApiError> {
        let all = self.orch.store().targets(&asker.viewer).await?;
        only(all, id, TargetId::NOUN, |it| it.target.id.to_string())
    }

    /// Finds a project.
    pub async fn project(&self, asker: &Asker, id: &IdRef) -> Result<Project, ApiError> {
        let all = self.orch.store().projects(&asker.viewer).await?;
        only(all, id, ProjectId::NOUN, |it| it.id.to_string())
    }

    /// Finds the full ids of all nouns of a kind that an id may mean.
    pub async fn candidates(&self, asker: &Asker, noun: Shortened, id: &IdRef) -> Result<Vec<String>, ApiError> {
        if id.is_short() {
            Ok(self.orch.store().ids_ending(&asker.viewer, noun, id.as_str()).await?)
        } else {
            Ok(vec![id.to_string()])
        }
    }

    async fn full<T: FromStr>(&self, asker: &Asker, noun: Shortened, name: &str, id: &IdRef) -> Result<T, ApiError> {
        let full = match self.candidates(asker, noun, id).await?.as_slice() {
            [] => return Err(ApiError::unknown(name, id)),
            [one] => one.parse(),
            several => return Err(ambiguous(id, several)),
        };
        full.map_err(|_| ApiError::unknown(name, id))
    }
}

/// Says that a short id fits several, and which.
pub(crate) fn ambiguous(id: &IdRef, several: &[String]) -> ApiError {
    ApiError::new(Code::AmbiguousId, format!("`{id}` fits {}: {}", several.len(), several.join(", ")))
}

/// Finds the one of a list that an id means.
pub(crate) fn only<T>(all: Vec<T>, id: &IdRef, name: &str, id_of: impl Fn(&T) -> String) -> Result<T, ApiError> {
    let mut fitting: Vec<T> = all.into_iter().filter(|it| id_of(it).ends_with(id.as_str())).collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(one), false) => {
            fitting.push(one);
            Err(ambiguous(id, &fitting.iter().map(id_of).collect::<Vec<_>>()))
        }
        (None, _) => Err(ApiError::unknown(name, id)),
    }
}
