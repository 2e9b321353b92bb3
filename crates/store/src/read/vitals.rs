//! How the database itself fares: for the doctor, not for work.

use crate::conn::{DbError, row};
use crate::{ReadError, Store};
use std::path::PathBuf;

/// How the database fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// The data folder.
    pub folder: PathBuf,
    /// The version of SQLite.
    pub sqlite: String,
    /// How it keeps its journal: `wal`.
    pub journal: String,
    /// The size of the database in bytes, without its journal.
    pub bytes: u64,
    /// The room in the data folder, where it can be told.
    pub free: Option<u64>,
}

impl Store {
    /// Asks the database how it fares.
    pub async fn vitals(&self) -> Result<Vitals, ReadError> {
        const ASK: &str = "SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode),
            (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
        let folder = self.shared.folder.clone();
        self.read(move |conn| {
            let found = row(conn, ASK, &[], |row| {
                Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), u64::try_from(row.int(2)?).unwrap_or(0)))
            })?;
            let (sqlite, journal, bytes) = found.ok_or_else(|| DbError::from(rusqlite::Error::QueryReturnedNoRows))?;
            let free = rustix::fs::statvfs(&folder).ok().map(|it| it.f_bavail.saturating_mul(it.f_frsize));
            Ok(Vitals { folder, sqlite, journal, bytes, free })
        })
        .await
    }
}
