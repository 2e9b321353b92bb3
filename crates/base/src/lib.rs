//! Floor 0: the words that every other room uses.
//!
//! Ids, instants, git names, backoff and redaction. Nothing here reads a clock, draws a random
//! number or touches the world: a new id or the present instant is handed in by the caller.

mod backoff;
mod effort;
mod git;
mod ids;
mod redact;
mod sandbox;
#[cfg(feature = "schema")]
mod schema;
mod time;

pub use backoff::{Backoff, Retry};
pub use effort::{Effort, UnknownEffort};
pub use git::{BranchName, InvalidName, RepoUrl, Sha};
pub use ids::{
    ArtifactId, AttachmentId, Attempt, CheckRunId, FeedbackId, HandInId, InvalidId, MessageId, ObjectiveId, ProjectId,
    ProposalId, PullRequestId, QuestionId, Revision, ScopeId, SessionId, TargetId, TaskId, TenantId, TextId, TokenId,
    WorkflowId, WorkspaceId,
};
pub use redact::Redacted;
pub use sandbox::{Confinement, SandboxLevel};
pub use time::Timestamp;
