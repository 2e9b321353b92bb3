//! The arguments of every tool. Their doc comments are what agents read, their limits what is checked.

use orcha_model::session::Verdict;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpawnSession {
    /// What the worker is for: implementer and custom change the project, reviewer judges work, validator builds and
    /// tests, researcher finds something out.
    pub role: WorkerRole,
    /// One line that people see.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// What it shall do. It knows nothing else of the objective: name files, behaviour, and how to check it.
    #[schemars(length(min = 1, max = 60_000))]
    pub goal: String,
    /// Ids of sessions of this objective that must succeed first; the worker goes on with their commits.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 60)))]
    pub dependencies: Vec<String>,
    /// For a reviewer: the id of the session whose work it judges.
    #[schemars(length(min = 1, max = 60))]
    pub reviews: Option<String>,
    /// The kind of agent, if it shall be another than the objective's.
    #[schemars(length(min = 1, max = 60))]
    pub agent_hint: Option<String>,
    /// Where the repository is cloned from, if it is another than the objective's.
    #[schemars(length(min = 1, max = 2000))]
    pub repo: Option<String>,
    /// The branch that the work is meant for, if it is another than the objective's.
    #[schemars(length(min = 1, max = 200))]
    pub base_branch: Option<String>,
    /// The name or id of the target that it must run on.
    #[schemars(length(min = 1, max = 200))]
    pub target: Option<String>,
    /// Labels that its target must have.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub target_labels: Vec<String>,
}

/// The roles that a manager may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WorkerRole {
    Implementer,
    Reviewer,
    Validator,
    Researcher,
    Custom,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskUser {
    /// The question, one that can be answered without knowing your conversation.
    #[schemars(length(min = 1, max = 8000))]
    pub question: String,
    /// What one should know to answer it.
    #[schemars(length(max = 20_000))]
    pub context: Option<String>,
    /// Answers to choose from; the user may give another one too.
    #[serde(default)]
    #[schemars(length(max = 10), inner(length(min = 1, max = 200)))]
    pub options: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishPr {
    /// The id of the session whose work is published. It must have succeeded.
    #[schemars(length(min = 1, max = 60))]
    pub session_id: String,
    /// The title, in one line.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The description: what changes, why, and how it was checked.
    #[schemars(length(max = 60_000))]
    pub body: String,
    /// The message of a commit for what the session left uncommitted; the title by default.
    #[schemars(length(min = 1, max = 4000))]
    pub commit_message: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdatePr {
    /// The pull request: its id or its number.
    pub pr_id: PrRef,
    /// The session from whose checkout is pushed; by default your own, if you work on that pull request.
    #[schemars(length(min = 1, max = 60))]
    pub session_id: Option<String>,
    /// A new title.
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// A new description.
    #[schemars(length(max = 60_000))]
    pub body: Option<String>,
    /// The message of a commit for what is uncommitted in the checkout.
    #[schemars(length(min = 1, max = 4000))]
    pub commit_message: Option<String>,
    /// Whether the branch's history may be rewritten, as after a rebase. Needs `force_reason`.
    #[serde(default)]
    pub force: bool,
    /// Why history is rewritten; it is recorded.
    #[schemars(length(min = 1, max = 1000))]
    pub force_reason: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommentPr {
    /// The pull request: its id or its number.
    pub pr_id: PrRef,
    /// The comment. The same comment is posted once.
    #[schemars(length(min = 1, max = 60_000))]
    pub body: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressPrFeedback {
    /// The pull request: its id or its number.
    pub pr_id: PrRef,
    /// What shall be done on it.
    #[schemars(length(min = 1, max = 20_000))]
    pub instructions: String,
    /// Who is sent if nobody works on it yet: `pr_followup` by default, `ci_followup` to repair red checks.
    pub role: Option<FollowUpRole>,
}

/// The roles that work on a pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FollowUpRole {
    #[default]
    PrFollowup,
    CiFollowup,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListChildren {
    /// Whether sessions that have ended are listed too.
    #[serde(default)]
    pub include_finished: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageSession {
    /// The session, one of your objective that has not ended.
    #[schemars(length(min = 1, max = 60))]
    pub session_id: String,
    /// What it shall hear.
    #[schemars(length(min = 1, max = 60_000))]
    pub message: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateNote {
    /// The title, in one line.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The text.
    #[schemars(length(min = 1, max = 60_000))]
    pub body: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkObjectiveDone {
    /// What was reached, for the user.
    #[schemars(length(min = 1, max = 6000))]
    pub summary: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelSession {
    /// The session, a worker of your objective.
    #[schemars(length(min = 1, max = 60))]
    pub session_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportResult {
    /// What you did or found, and how you checked it. Long material belongs into notes.
    #[schemars(length(min = 1, max = 6000))]
    pub summary: String,
    /// Whether the list of files that you changed is added.
    #[serde(default)]
    pub include_diff: bool,
    /// Ids of notes whose beginnings are added.
    #[serde(default)]
    #[schemars(length(max = 10), inner(length(min = 1, max = 60)))]
    pub notes: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitReview {
    /// Whether the work is good as it is.
    pub verdict: ReviewVerdict,
    /// Your judgement in a few sentences.
    #[schemars(length(min = 1, max = 6000))]
    pub summary: String,
    /// What you found, each with its place. `request_changes` needs at least one.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 4000)))]
    pub findings: Vec<String>,
}

/// What a reviewer may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReviewVerdict {
    Approve,
    RequestChanges,
}

impl From<ReviewVerdict> for Verdict {
    fn from(verdict: ReviewVerdict) -> Self {
        match verdict {
            ReviewVerdict::Approve => Self::Approve,
            ReviewVerdict::RequestChanges => Self::RequestChanges,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandIn {
    /// What you hand in: one object, as it is asked for.
    #[schemars(schema_with = "anything")]
    pub output: serde_json::Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadAttachment {
    /// The name of the file.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Which part of it, from 1; the first if none is named.
    #[schemars(range(min = 1, max = 10_000))]
    pub part: Option<u32>,
}

/// What is handed in is read by the contract of the session's step, which takes more shapes than its schema tells.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["object", "string"], "maxLength": 900_000})
}

/// How an agent names a pull request: by the id that we gave it, or by the number that it saw on the code host.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PrRef {
    Number(u64),
    Text(String),
}

impl JsonSchema for PrRef {
    fn schema_name() -> Cow<'static, str> {
        "PrRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "maxLength": 60})
    }
}
