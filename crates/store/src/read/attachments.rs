//! Files that came with requests, and what stands in them.

use super::body;
use super::lists::scope;
use crate::conn::{Value, row};
use crate::{ReadError, Store, Viewer};
use orcha_base::{AttachmentId, TenantId};
use orcha_model::Attachment;

pub(super) const OF_OBJECTIVE: &str = "SELECT body FROM attachments WHERE objective_id = ?1 ORDER BY id";
const ONE: &str =
    "SELECT body FROM attachments WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND id = ?3";
const BYTES: &str = "SELECT bytes FROM attached_bytes WHERE tenant = ?1 AND sha256 = ?2";

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[OF_OBJECTIVE, ONE, BYTES];

impl Store {
    /// Returns a file that came with an objective, without what stands in it.
    pub async fn attachment(&self, viewer: &Viewer, id: AttachmentId) -> Result<Option<Attachment>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(&id.to_string())];
            body(conn, "attachment", ONE, &values)
        })
        .await
    }

    /// Returns the bytes that a tenant's files with a hash have.
    pub async fn attached_bytes(&self, tenant: &TenantId, sha256: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let (tenant, sha256) = (tenant.clone(), sha256.to_owned());
        self.read(move |conn| {
            let values = [Value::Text(tenant.as_str()), Value::Text(&sha256)];
            row(conn, BYTES, &values, |row| Ok(row.blob(0)?.to_vec()))
        })
        .await
    }
}
