//! Nouns without a life: plain rows. And the one name for all rows.

use crate::permission::Rules;
use orcha_base::{
    ArtifactId, BranchName, CheckRunId, FeedbackId, HandInId, MessageId, ObjectiveId, ProjectId, ProposalId,
    PullRequestId, QuestionId, RepoUrl, ScopeId, SessionId, TargetId, TaskId, TenantId, TextId, Timestamp, WorkflowId,
    WorkspaceId,
};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// The name of any row that has a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "noun", content = "id", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the nouns")]
pub enum NounId {
    Objective(ObjectiveId),
    Session(SessionId),
    Workspace(WorkspaceId),
    PullRequest(PullRequestId),
    Feedback(FeedbackId),
    Question(QuestionId),
    Message(MessageId),
    Target(TargetId),
    Workflow(WorkflowId),
    Task(TaskId),
    CheckRun(CheckRunId),
    HandIn(HandInId),
    Text(TextId),
    Proposal(ProposalId),
}

impl NounId {
    /// Returns the noun's name and its id as text.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Objective(id) => ("objective", id.to_string()),
            Self::Session(id) => ("session", id.to_string()),
            Self::Workspace(id) => ("workspace", id.to_string()),
            Self::PullRequest(id) => ("pull_request", id.to_string()),
            Self::Feedback(id) => ("feedback", id.to_string()),
            Self::Question(id) => ("question", id.to_string()),
            Self::Message(id) => ("message", id.to_string()),
            Self::Target(id) => ("target", id.to_string()),
            Self::Workflow(id) => ("workflow", id.to_string()),
            Self::Task(id) => ("task", id.to_string()),
            Self::CheckRun(id) => ("check_run", id.to_string()),
            Self::HandIn(id) => ("hand_in", id.to_string()),
            Self::Text(id) => ("text", id.to_string()),
            Self::Proposal(id) => ("proposal", id.to_string()),
        }
    }
}

/// A repository with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// Its name for people.
    pub name: String,
    /// Where it is cloned from; unique within the tenant.
    pub repo: RepoUrl,
    /// The base branch; the repository's default branch if there is none.
    pub base_branch: Option<BranchName>,
    /// What is said of the requests of agents that work on it.
    #[serde(default)]
    pub permissions: Rules,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Something that a session left for people: a report, a note, a pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its id.
    pub id: ArtifactId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session that left it.
    pub session: Option<SessionId>,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its title.
    pub title: String,
    /// Its text.
    pub summary: String,
    /// Where it can be opened.
    pub uri: Option<String>,
    /// Who should see it.
    pub visibility: Visibility,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ArtifactKind {
    /// A pull request was opened.
    PullRequest,
    /// A session handed in its result, or a review.
    Report,
    /// A note.
    Note,
}

/// Who should see an artifact first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Visibility {
    /// Everybody.
    Primary,
    /// Who looks closer.
    Secondary,
}
