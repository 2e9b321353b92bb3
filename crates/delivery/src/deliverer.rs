//! The trait that `orch` uses: deliveries, real or fake.

use crate::{Delivery, DeliveryError, Invalid};
use async_trait::async_trait;
use orcha_base::{Sha, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::path::PathBuf;

/// A delivery that should be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// The name of this very delivery within its workflow: letters, digits, `-` and `_`.
    pub key: String,
    /// The workflow, likewise.
    pub workflow: String,
    /// Whose it is: by its secrets a server is told who calls.
    pub tenant: TenantId,
    /// What to do.
    pub action: Delivery,
    /// With what.
    pub content: Content,
    /// When it was ordered.
    pub at: Timestamp,
}

/// A result.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What it is called.
    pub title: String,
    /// What it is, in a few sentences.
    pub summary: String,
    /// The text that is delivered, in Markdown.
    pub body: String,
    /// What it was meant to be.
    pub vision: Option<String>,
    /// Texts that belong to it.
    pub documents: Vec<Document>,
    /// A clean folder with everything that was made, if it is code. Its `.git` is left out.
    pub tree: Option<PathBuf>,
    /// The commit of that folder.
    pub commit: Option<Sha>,
}

/// A text that belongs to a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its path, relative and without `..`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// What a delivery has led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The action.
    pub action: String,
    /// What there is now. Each was looked at after it was made.
    pub links: Vec<Link>,
    /// What was done, in a sentence.
    pub summary: String,
    /// Whether an earlier call has done it.
    #[serde(default)]
    pub already: bool,
}

/// Something that exists because of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Where: a path on the daemon's machine, or the server that was called.
    pub target: String,
    /// How many bytes it has, if it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The SHA-256 of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A file.
    File,
    /// A server that has confirmed a call; without its path, which may be a secret.
    Webhook,
}

/// Whoever makes deliveries. Every call may be repeated, and may be cut off at any instant.
#[async_trait]
pub trait Deliverer: Send + Sync + fmt::Debug {
    /// Says whether a delivery of a tenant could be made now: addresses that are not public and secrets that are not
    /// there are refused when they are wished for, not when the work is done.
    async fn check(&self, tenant: &TenantId, delivery: &Delivery) -> Result<(), Invalid>;

    /// Makes a delivery, or returns what an earlier call with the same key has led to.
    async fn deliver(&self, order: &Order) -> Result<Delivered, DeliveryError>;

    /// Opens a file that a delivery of a workflow has led to. None if it is not there any more, or not what it was.
    async fn open(&self, workflow: &str, link: &Link) -> Result<Option<File>, DeliveryError>;
}

pub(crate) fn check_key(text: &str) -> Result<(), DeliveryError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.is_empty() && text.len() <= 80 && text.bytes().all(plain) && !text.starts_with('-') {
        Ok(())
    } else {
        Err(DeliveryError::Key { text: text.chars().take(100).collect() })
    }
}

/// Refuses what cannot be delivered, whoever delivers it.
pub(crate) fn plausible(order: &Order) -> Result<(), DeliveryError> {
    check_key(&order.key)?;
    check_key(&order.workflow)?;
    let content = &order.content;
    match &order.action {
        action if action.needs_repository() => Err(DeliveryError::Elsewhere { action: action.action() }),
        Delivery::BlogDraft(_) | Delivery::DocDraft(_) if content.body.trim().is_empty() => {
            Err(DeliveryError::Empty { what: "the text is empty" })
        }
        Delivery::MarkdownExport(_) if content.body.trim().is_empty() && content.documents.is_empty() => {
            Err(DeliveryError::Empty { what: "there is no text and no document" })
        }
        Delivery::ArtifactBundle(_) if content.documents.is_empty() && content.tree.is_none() => {
            Err(DeliveryError::Empty { what: "there is no file" })
        }
        _ => Ok(()),
    }
}
