//! JSON Schemas of what travels in JSON: what a document of the API says about our words.
//!
//! They describe; what is checked is in `FromStr` of each type.

use crate::{
    ArtifactId, AttachmentId, Attempt, BranchName, CheckRunId, FeedbackId, HandInId, MessageId, ObjectiveId, ProjectId,
    ProposalId, PullRequestId, QuestionId, RepoUrl, SessionId, Sha, TargetId, TaskId, TextId, Timestamp, TokenId,
    WorkflowId, WorkspaceId,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! schemas {
    ($($name:ident = $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

schemas! {
    ArtifactId = {"type": "string", "format": "uuid"};
    FeedbackId = {"type": "string", "format": "uuid"};
    MessageId = {"type": "string", "format": "uuid"};
    ObjectiveId = {"type": "string", "format": "uuid"};
    ProjectId = {"type": "string", "format": "uuid"};
    ProposalId = {"type": "string", "format": "uuid"};
    AttachmentId = {"type": "string", "format": "uuid"};
    PullRequestId = {"type": "string", "format": "uuid"};
    QuestionId = {"type": "string", "format": "uuid"};
    SessionId = {"type": "string", "format": "uuid"};
    TargetId = {"type": "string", "format": "uuid"};
    TextId = {"type": "string", "format": "uuid"};
    TokenId = {"type": "string", "format": "uuid"};
    WorkspaceId = {"type": "string", "format": "uuid"};
    WorkflowId = {"type": "string", "format": "uuid"};
    TaskId = {"type": "string", "format": "uuid"};
    CheckRunId = {"type": "string", "format": "uuid"};
    HandInId = {"type": "string", "format": "uuid"};
    Attempt = {"type": "integer", "format": "uint32", "minimum": 0};
    Timestamp = {"type": "string", "format": "date-time"};
    Sha = {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"};
    BranchName = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[0-9A-Za-z][0-9A-Za-z._/-]*$"};
    RepoUrl = {
        "type": "string",
        "minLength": 1,
        "maxLength": 2000,
        "pattern": r"^(/|file:///|(https?|ssh)://[^/\s-]|[^-/:@\s][^/:\s]*@[^/:\s-][^/:\s]*:\S)\S*$",
    };
}
