//! Files that come with an objective: hashed on their way in, and read part by part later.
//!
//! What is taken, and in which parts it is read, is said in `model::attachment`. The bytes are stored with the
//! objective, in one commit.

use crate::inbox::SubmitError;
use crate::orch::{Actor, Orch, hex};
use orcha_base::{AttachmentId, ObjectiveId, TenantId, Timestamp};
use orcha_model::attachment::{self, Attachment, File, PART, Part, Raw};
use orcha_model::{Note, NoteKind, Refusal};
use orcha_store::Attached;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Files on their way into the store.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
    /// The hash and the bytes of those that may be new.
    bytes: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Takes the files of one request by name and bytes: all of them, or none.
    pub fn take(uploads: Vec<(String, Vec<u8>)>) -> Result<Self, Refusal> {
        let hashed: Vec<String> = uploads.iter().map(|(_, bytes)| hex(&Sha256::digest(bytes))).collect();
        let raw: Vec<Raw<'_>> = uploads
            .iter()
            .zip(&hashed)
            .map(|((name, bytes), sha256)| Raw { name, bytes, sha256: sha256.clone() })
            .collect();
        let files = attachment::take(&raw)?;
        Ok(Self { files, bytes: hashed.into_iter().zip(uploads.into_iter().map(|(_, bytes)| bytes)).collect() })
    }

    /// Takes the files of an objective that is made once more: their bytes are stored already.
    pub fn again(of: &[Attachment]) -> Self {
        Self { files: of.iter().map(|it| it.file.clone()).collect(), bytes: Vec::new() }
    }

    /// Makes the rows of a new objective.
    pub(crate) fn rows(&self, actor: &Actor, objective: ObjectiveId, now: Timestamp) -> Vec<Attachment> {
        let row = |file: &File| Attachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            objective,
            file: file.clone(),
            created_at: now,
        };
        self.files.iter().map(row).collect()
    }

    /// Returns what stands in them, for the store.
    pub(crate) fn into_bytes(self, tenant: &TenantId) -> Vec<Attached> {
        let of = |(sha256, bytes)| Attached { tenant: tenant.clone(), sha256, bytes };
        self.bytes.into_iter().map(of).collect()
    }
}

/// Says in the journal that a file came.
pub(crate) fn note(it: &Attachment) -> Note {
    Note::new(NoteKind::FileAttached, format!("{} came with it ({} bytes)", it.file.name, it.file.bytes))
        .with("attachment_id", it.id)
        .with("filename", &it.file.name)
        .with("size_bytes", it.file.bytes)
        .with("chunk_count", it.file.parts)
        .with("needs_summary", it.file.needs_summary())
}

impl Orch {
    /// Reads a part of a file; there is none behind the last.
    pub async fn attached_part(&self, it: &Attachment, number: u32) -> Result<Option<Part>, SubmitError> {
        let bytes = self.attached_bytes(it).await?;
        let (_, text) = attachment::text_of(&bytes).map_err(|rule| unreadable(it, rule))?;
        let at = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
        let part = at.and_then(|at| attachment::parts(&text, PART).get(at).map(|it| (*it).to_owned()));
        Ok(part.map(|text| Part { number, text }))
    }

    /// Reads the bytes of a file, as they came.
    pub async fn attached_bytes(&self, it: &Attachment) -> Result<Vec<u8>, SubmitError> {
        let found = self.store().attached_bytes(&it.tenant, &it.file.sha256).await?;
        found.ok_or_else(|| unreadable(it, "its bytes are not there"))
    }
}

/// What was taken can be read: a defect of ours, told as what it is.
fn unreadable(it: &Attachment, why: &str) -> SubmitError {
    Refusal::Invalid { field: "attachment", rule: format!("cannot be read: {}: {why}", it.file.name) }.into()
}
