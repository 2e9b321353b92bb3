//! Pull requests, the feedback on them, and what a person does with them.

use crate::names::names;
use orcha_base::{BranchName, FeedbackId, ObjectiveId, PullRequestId, SessionId, Sha, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Where a pull request stands.
    PullRequestStatus, "pull request status":
    Opening = "opening",
    Draft = "draft",
    Open = "open",
    Merged = "merged",
    Closed = "closed",
}

names! {
    /// What the checks of a pull request say together.
    ChecksState, "checks state":
    Unknown = "unknown",
    Pending = "pending",
    Passing = "passing",
    Failing = "failing",
}

names! {
    /// What the reviews of a pull request say together.
    ReviewState, "review state":
    None = "none",
    Approved = "approved",
    ChangesRequested = "changes_requested",
}

names! {
    /// What a piece of feedback is.
    FeedbackKind, "feedback kind":
    IssueComment = "issue_comment",
    ReviewComment = "review_comment",
    ChangesRequested = "changes_requested",
    CheckFailure = "check_failure",
    MergeConflict = "merge_conflict",
    Instruction = "instruction",
}

names! {
    /// Where a piece of feedback stands.
    FeedbackState, "feedback state":
    New = "new",
    Routed = "routed",
    Handled = "handled",
    Dropped = "dropped",
}

names! {
    /// How far an author is trusted.
    Trust, "trust":
    Trusted = "trusted",
    Outside = "outside",
}

names! {
    /// What a comment belongs to: the conversation, a review, or a place in a file.
    CommentKind, "comment kind":
    Issue = "issue",
    Review = "review",
    Inline = "inline",
}

names! {
    /// How a pull request is merged.
    MergeMethod, "merge method":
    Merge = "merge",
    Squash = "squash",
    Rebase = "rebase",
}

names! {
    /// What a review says.
    ReviewVerdict, "review verdict":
    Approve = "approve",
    RequestChanges = "request_changes",
    Comment = "comment",
}

names! {
    /// What one check says.
    CheckVerdict, "check state":
    Pending = "pending",
    Passing = "passing",
    Failing = "failing",
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequest {
    /// Our id.
    pub id: PullRequestId,
    /// The objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_id: Option<ObjectiveId>,
    /// The session whose work it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_session_id: Option<SessionId>,
    /// The repository.
    pub repo: String,
    /// The number on the code host; zero until it is open there.
    pub number: u64,
    /// Where it can be looked at; empty if nowhere.
    pub url: String,
    /// The branch.
    pub branch: BranchName,
    /// The branch to merge into.
    pub base_branch: BranchName,
    /// The newest commit that the code host knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<Sha>,
    /// Where it stands.
    pub status: PullRequestStatus,
    /// Why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit as which it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_sha: Option<Sha>,
    /// What the checks say.
    pub checks_state: ChecksState,
    /// What the reviews say.
    pub review_state: ReviewState,
    /// Whether it can be merged without conflict; left out when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mergeable: Option<bool>,
    /// The last thing that was asked of it and refused, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Its title.
    pub title: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the code host was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A pull request with what was said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequestDetail {
    /// The pull request.
    pub pull_request: PullRequest,
    /// What nobody has worked off yet.
    #[serde(default)]
    pub pending_feedback: Vec<Feedback>,
    /// Everything that was said, oldest first.
    #[serde(default)]
    pub comments: Vec<Comment>,
}

/// One piece of feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// The pull request.
    pub pr_id: PullRequestId,
    /// What it is.
    pub kind: FeedbackKind,
    /// The code host's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The text, as its author wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who said it.
    pub author: String,
    /// How far that author is trusted.
    pub trust: Trust,
    /// Whether somebody should act on it.
    pub actionable: bool,
    /// Whether it was worked off.
    pub handled: bool,
    /// Where it stands.
    pub state: FeedbackState,
    /// The session that works on it, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// How often somebody was sent to work it off.
    pub tries: u32,
    /// When it came in.
    pub created_at: Timestamp,
}

/// Something that was said about a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comment {
    /// The code host's name of it.
    pub id: String,
    /// Who said it.
    pub author: String,
    /// How far that author is trusted.
    pub trust: Trust,
    /// What it belongs to.
    pub kind: CommentKind,
    /// The verdict of a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ReviewVerdict>,
    /// The file of a comment on a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The text, as its author wrote it.
    pub body: String,
    /// Whether orcha itself wrote it.
    pub ours: bool,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Merges a pull request. The body may be left out altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergePr {
    /// How; by a merge commit if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<MergeMethod>,
}

/// Closes a pull request without merging. The body may be left out altogether.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosePr {
    /// Why; posted as a comment first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Comments on a pull request, as a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentPr {
    /// The text.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub body: String,
    /// The file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Reviews a pull request, as a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewPr {
    /// The verdict.
    pub verdict: ReviewVerdict,
    /// The text; may be empty when approving.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// Reports what a check says about the head of a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckPr {
    /// The check's name.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub name: String,
    /// What it says.
    pub state: CheckVerdict,
    /// Where a person can read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
