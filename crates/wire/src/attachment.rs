//! Files that come with a request.

use crate::names::names;
use orcha_base::{AttachmentId, ObjectiveId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Whether it is said what is in a file. Small ones are shown whole and need no summary.
    AttachmentStatus, "status of an attachment":
    Pending = "pending",
    Processing = "processing",
    Completed = "completed",
    Failed = "failed",
}

/// A file that comes with a request: text of up to 2 MiB, with either `text` or `base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    /// Its name; no path.
    #[schemars(length(min = 1, max = 120))]
    pub name: String,
    /// What stands in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its bytes in base64, if they are not to be sent as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A file that came with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The workflow, or the objective, that it came with.
    pub workflow_id: ObjectiveId,
    /// Whose it is.
    pub tenant_id: String,
    /// Where in the tenant it belongs.
    pub scope_id: String,
    /// Its name.
    pub filename: String,
    /// What it is.
    pub content_type: String,
    /// How its letters are written: `utf-8`, `utf-16` or `iso-8859-1`.
    pub encoding: String,
    /// How long it is.
    pub size_bytes: u64,
    /// The hash of its bytes.
    pub sha256: String,
    /// In how many parts agents read it.
    pub chunk_count: u32,
    /// Whether it is said what is in it.
    pub status: AttachmentStatus,
    /// Whether every role is shown all of it.
    pub whole: bool,
    /// What is in it, once somebody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When it came.
    pub created_at: Timestamp,
}

/// A file with what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentContent {
    /// The file.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// Its bytes in base64, as they came.
    pub base64: String,
}
