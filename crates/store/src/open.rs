//! Opens the data folder: its lock, its database, its schema.
//!
//! One daemon per folder; nothing is repaired here and nothing is thrown away.

use crate::conn::DbError;
use crate::error::OpenError;
use crate::writer::DatabaseFile;
use rusqlite::{Connection, OpenFlags};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the lock of a daemon that has ended may still be held: a process that it was just about to start has
/// it too, until it runs its own program.
const HANDOVER: Duration = Duration::from_secs(1);

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// How many readers may work at once.
    pub readers: u32,
    /// How many commits may wait for the writer before callers are held back.
    pub queue: usize,
    /// How many pages of 4 KiB the database may have; `None`: as many as the disk holds.
    pub max_pages: Option<u32>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { readers: 4, queue: 1024, max_pages: None }
    }
}

mod migrations {
    //! The steps of the schema, carried inside the program.
    refinery::embed_migrations!("migrations/sqlite");
}

/// Older ones may damage a database that is written and checkpointed at the same moment.
const OLDEST_SQLITE: i32 = 3_051_003;

pub(crate) struct Opened {
    pub conn: Connection,
    pub file: DatabaseFile,
    pub lock: File,
}

pub(crate) fn open(folder: &Path, options: &StoreOptions) -> Result<Opened, OpenError> {
    check_sqlite(rusqlite::version_number())?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| at(folder, source))?;
    check_file_system(folder)?;
    let lock = lock(folder)?;
    let path = folder.join("orcha.db");
    // SQLite gives its other files the mode of this one.
    let made = private().create(true).truncate(false).open(&path).map_err(|source| at(&path, source))?;
    let metadata = made.metadata().map_err(|source| at(&path, source))?;
    drop(made);
    let database = |source: DbError| OpenError::Database { folder: folder.to_owned(), source };
    let mut conn = connect(&path, options).map_err(|error| database(error.into()))?;
    migrate(&mut conn, folder)?;
    let file = DatabaseFile { path, device: metadata.dev(), inode: metadata.ino() };
    Ok(Opened { conn, file, lock })
}

fn check_sqlite(found: i32) -> Result<(), OpenError> {
    if found < OLDEST_SQLITE { Err(OpenError::OldSqlite { found, needed: OLDEST_SQLITE }) } else { Ok(()) }
}

fn at(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Folder { path: path.to_owned(), source }
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    options
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = private().create(true).truncate(false).open(&path).map_err(|source| at(&path, source))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Nothing tells that it is free but the lock itself, and to wait in the lock would know no end.
            Err(TryLockError::WouldBlock) if began.elapsed() < HANDOVER => std::thread::sleep(HANDOVER / 200),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(at(&path, source)),
        }
    }
}

#[cfg(target_os = "linux")]
fn check_file_system(folder: &Path) -> Result<(), OpenError> {
    let found = rustix::fs::statfs(folder).map_err(|error| at(folder, error.into()))?;
    match network_name(found.f_type) {
        Some(name) => Err(OpenError::NetworkFolder { folder: folder.to_owned(), name }),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn check_file_system(_: &Path) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(target_os = "linux")]
const fn network_name(magic: i64) -> Option<&'static str> {
    match magic {
        0x6969 => Some("nfs"),
        0x517B => Some("smb"),
        0xFF53_4D42 => Some("cifs"),
        0xFE53_4D42 => Some("smb2"),
        0x6B41_4653 => Some("afs"),
        _ => None,
    }
}

fn connect(path: &Path, options: &StoreOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(128);
    keep_plans(&conn)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8192;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 33554432;",
    )?;
    if let Some(pages) = options.max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(conn)
}

/// Lets plans not depend on the values that are bound: otherwise statements are prepared again and again.
fn keep_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Opens one connection that cannot write.
pub(crate) fn reader(path: PathBuf) -> r2d2_sqlite::SqliteConnectionManager {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    r2d2_sqlite::SqliteConnectionManager::file(path).with_flags(flags).with_init(|conn| {
        conn.busy_timeout(Duration::from_secs(5))?;
        conn.set_prepared_statement_cache_capacity(64);
        keep_plans(conn)?;
        conn.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;")
    })
}

fn migrate(conn: &mut Connection, folder: &Path) -> Result<(), OpenError> {
    let runner = migrations::migrations::runner();
    let known = runner.get_migrations().iter().map(|it| it.version()).max().unwrap_or(0);
    let found =
        schema(conn).map_err(|error| OpenError::Database { folder: folder.to_owned(), source: error.into() })?;
    if found > known {
        return Err(OpenError::NewerSchema { folder: folder.to_owned(), found, known });
    }
    // Nothing is written when nothing is to be done: a full disk does not keep the daemon from starting.
    if found < known {
        runner.run(conn).map_err(|source| OpenError::Migration { known, source: Box::new(source) })?;
    }
    Ok(())
}

/// Returns the version of the schema, 0 for a database that was just made.
fn schema(conn: &Connection) -> rusqlite::Result<i32> {
    let known: i64 = conn.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'refinery_schema_history'",
        [],
        |row| row.get(0),
    )?;
    if known == 0 {
        return Ok(0);
    }
    conn.query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_refused() {
        assert!(check_sqlite(rusqlite::version_number()).is_ok());
        assert!(matches!(check_sqlite(3_051_002), Err(OpenError::OldSqlite { found: 3_051_002, .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_known_by_name() {
        assert_eq!(network_name(0x6969), Some("nfs"));
        assert_eq!(network_name(0xEF53), None);
    }
}
