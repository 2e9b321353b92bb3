//! The one writer: a thread that takes whatever commits wait, writes them in one transaction, and answers
//! each caller once that is durable.
//!
//! Durability is not traded for speed: the log is synced before anybody is answered.

use crate::apply::{Failure, Numbers, apply};
use crate::commit::Committed;
use crate::conn::{Conn, DbError, Value, row};
use crate::encode::Prepared;
use crate::error::CommitError;
use rusqlite::Connection;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tracing::{error, info, warn};

/// Whether the store can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Ok,
    /// The disk is full: reads go on, and writing is tried again by itself.
    StorageFull,
    /// The storage failed: nothing more is written until a restart.
    Broken,
}

/// How much was stored since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Commits that went through.
    pub commits: u64,
    /// Transactions that they went through in: each was synced once.
    pub transactions: u64,
}

/// What was stored, as the writer counts it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    commits: AtomicU64,
    transactions: AtomicU64,
}

impl Tally {
    fn add(&self, commits: usize) {
        self.commits.fetch_add(commits as u64, Ordering::Relaxed);
        self.transactions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Written {
        Written {
            commits: self.commits.load(Ordering::Relaxed),
            transactions: self.transactions.load(Ordering::Relaxed),
        }
    }
}

pub(crate) enum Job {
    Commit {
        commit: Box<Prepared>,
        answer: oneshot::Sender<Result<Committed, CommitError>>,
        /// The place in the queue, free again once this is answered.
        place: OwnedSemaphorePermit,
    },
    Close(oneshot::Sender<()>),
}

/// So many commits go into one transaction at most.
const GROUP_COMMITS: usize = 512;
/// Once so many bytes are in a transaction, it takes no more commits.
const GROUP_BYTES: usize = 4 << 20;
/// After so long without a commit the log is brought home and cut to nothing.
const IDLE: Duration = Duration::from_secs(1);
/// While the disk is full, it is tried so often whether there is room again.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_BYTES: i64 = 64 << 10;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A log of so many bytes is brought home and cut even while readers never rest.
const LOG_LIMIT: u64 = 64 << 20;
/// If a reader is in the way of that, it is tried again after so many bytes more.
const LOG_STEP: u64 = 16 << 20;
/// How long that may wait for readers; nobody is answered meanwhile.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Writer {
    conn: Connection,
    numbers: Numbers,
    health: watch::Sender<Health>,
    jobs: Receiver<Job>,
    file: DatabaseFile,
    tally: Arc<Tally>,
    broken: Option<Arc<DbError>>,
    /// Something was written since the log was last cut.
    dirty: bool,
    /// The length of the log at which it is cut although there is work.
    cut_at: u64,
    /// Set when the store is being closed: then nobody else is waited for.
    closing: Arc<AtomicBool>,
    /// Held as long as the connection is open; fields are dropped in this order.
    _lock: File,
}

/// The file that we opened, to notice when it is not there any more.
pub(crate) struct DatabaseFile {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
}

impl DatabaseFile {
    fn check(&self) -> Result<(), DbError> {
        let lost = |detail: String| {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            DbError::Broken(rusqlite::Error::SqliteFailure(code, Some(detail)))
        };
        match std::fs::metadata(&self.path) {
            Ok(now) if now.dev() == self.device && now.ino() == self.inode => Ok(()),
            Ok(_) => Err(lost("another file stands in the place of the database".into())),
            Err(error) => Err(lost(format!("the database file is gone: {error}"))),
        }
    }
}

type Waiting = (Box<Prepared>, oneshot::Sender<Result<Committed, CommitError>>, OwnedSemaphorePermit);

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        jobs: Receiver<Job>,
        health: watch::Sender<Health>,
        file: DatabaseFile,
        tally: Arc<Tally>,
        lock: File,
        closing: Arc<AtomicBool>,
    ) -> Result<Self, DbError> {
        conn.busy_timeout(BUSY_TIMEOUT)?;
        let last = |sql| -> Result<i64, DbError> { Ok(row(&conn, sql, &[], |row| row.int(0))?.unwrap_or(0)) };
        let numbers = Numbers {
            journal: last("SELECT coalesce(max(seq), 0) FROM journal")? + 1,
            outbox: last("SELECT coalesce(max(seq), 0) FROM outbox")? + 1,
        };
        Ok(Self {
            conn,
            numbers,
            health,
            jobs,
            file,
            tally,
            broken: None,
            dirty: true,
            cut_at: LOG_LIMIT,
            closing,
            _lock: lock,
        })
    }

    /// Works until it is closed or nobody can ask any more.
    pub(crate) fn run(mut self) {
        loop {
            let first = match self.next() {
                Next::Job(job) => job,
                Next::Quiet => {
                    self.quiet();
                    continue;
                }
                Next::Over => break,
            };
            let (group, closing) = self.gather(first);
            if !group.is_empty() {
                self.write(group);
            }
            if let Some(closed) = closing {
                self.quiet();
                drop(self);
                if closed.send(()).is_err() {
                    warn!("nobody waited for the store to close");
                }
                return;
            }
        }
        self.quiet();
    }

    fn next(&self) -> Next {
        let patience = match *self.health.borrow() {
            Health::StorageFull => Some(PROBE_EVERY),
            Health::Ok if self.dirty => Some(IDLE),
            Health::Ok | Health::Broken => None,
        };
        let got = match patience {
            Some(patience) => self.jobs.recv_timeout(patience),
            None => self.jobs.recv().map_err(RecvTimeoutError::from),
        };
        match got {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }

    /// Takes what waits, as far as it fits into one transaction.
    fn gather(&self, first: Job) -> (Vec<Waiting>, Option<oneshot::Sender<()>>) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut job = first;
        loop {
            match job {
                Job::Commit { commit, answer, place } => {
                    bytes += commit.size;
                    group.push((commit, answer, place));
                }
                Job::Close(closed) => return (group, Some(closed)),
            }
            if group.len() >= GROUP_COMMITS || bytes >= GROUP_BYTES {
                return (group, None);
            }
            job = match self.jobs.try_recv() {
                Ok(job) => job,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return (group, None),
            };
        }
    }

    fn write(&mut self, group: Vec<Waiting>) {
        if let Some(broken) = &self.broken {
            for (_, caller, place) in group {
                answer(caller, Err(CommitError::Broken(Arc::clone(broken))), place);
            }
            return;
        }
        let before = self.numbers;
        let mut told = false;
        let written = loop {
            match self.file.check().and_then(|()| self.transact(&group)) {
                // Only a stranger to this program can be that: a backup, or a person with a shell.
                Err(DbError::Busy) if !self.closing.load(Ordering::Relaxed) => {
                    self.numbers = before;
                    if !std::mem::replace(&mut told, true) {
                        warn!("somebody else writes to the database; what is to be stored waits for that");
                    }
                }
                other => break other,
            }
        };
        match written {
            Ok(results) => {
                if told {
                    info!("the database is free again");
                }
                self.dirty = true;
                self.tally.add(results.iter().filter(|it| it.is_ok()).count());
                self.become_(Health::Ok);
                for ((_, caller, place), result) in group.into_iter().zip(results) {
                    answer(caller, result, place);
                }
                self.bound_log();
            }
            Err(error) => {
                self.numbers = before;
                let error = self.give_up(error);
                for (_, caller, place) in group {
                    answer(caller, Err(error.clone()), place);
                }
            }
        }
    }

    /// Writes a group in one transaction: a commit that fails undoes only itself.
    ///
    /// Almost always all go through, so savepoints, which copy each page that is touched, are only used
    /// when one did not.
    fn transact(&mut self, group: &[Waiting]) -> Result<Vec<Result<Committed, CommitError>>, DbError> {
        let before = self.numbers;
        let conn: &dyn Conn = &self.conn;
        conn.exec("BEGIN IMMEDIATE", &[])?;
        let mut results = Vec::with_capacity(group.len());
        for (commit, ..) in group {
            match apply(conn, commit, &mut self.numbers) {
                Ok(committed) => results.push(Ok(committed)),
                Err(Failure::Alone(error)) => {
                    self.numbers = before;
                    conn.exec("ROLLBACK", &[])?;
                    return match group {
                        [_] => Ok(vec![Err(error)]),
                        _ => self.transact_apart(group),
                    };
                }
                Err(Failure::All(error)) => return Err(error),
            }
        }
        conn.exec("COMMIT", &[])?;
        Ok(results)
    }

    fn transact_apart(&mut self, group: &[Waiting]) -> Result<Vec<Result<Committed, CommitError>>, DbError> {
        let conn: &dyn Conn = &self.conn;
        conn.exec("BEGIN IMMEDIATE", &[])?;
        let mut results = Vec::with_capacity(group.len());
        for (commit, ..) in group {
            let before = self.numbers;
            conn.exec("SAVEPOINT one", &[])?;
            match apply(conn, commit, &mut self.numbers) {
                Ok(committed) => {
                    conn.exec("RELEASE one", &[])?;
                    results.push(Ok(committed));
                }
                Err(Failure::Alone(error)) => {
                    self.numbers = before;
                    conn.exec("ROLLBACK TO one", &[])?;
                    conn.exec("RELEASE one", &[])?;
                    results.push(Err(error));
                }
                Err(Failure::All(error)) => return Err(error),
            }
        }
        conn.exec("COMMIT", &[])?;
        Ok(results)
    }

    /// Undoes what is open, and decides whether later commits have a chance.
    fn give_up(&mut self, error: DbError) -> CommitError {
        let undone = if self.conn.is_autocommit() { Ok(0) } else { Conn::exec(&self.conn, "ROLLBACK", &[]) };
        match (error, undone) {
            (DbError::Full, Ok(_)) => {
                self.become_(Health::StorageFull);
                CommitError::StorageFull
            }
            (DbError::Broken(_), Err(cause)) | (DbError::Full, Err(cause)) => self.broken(cause),
            (cause @ DbError::Broken(_), Ok(_)) => self.broken(cause),
            (_, Err(cause)) => self.broken(cause),
            (
                cause @ (DbError::Busy
                | DbError::KeyTaken
                | DbError::ValueTaken
                | DbError::NotThere
                | DbError::Unreadable { .. }
                | DbError::Other(_)),
                Ok(_),
            ) => {
                error!(error = &cause as &dyn std::error::Error, "a group of commits failed");
                CommitError::Database(Arc::new(cause))
            }
        }
    }

    fn broken(&mut self, cause: DbError) -> CommitError {
        error!(error = &cause as &dyn std::error::Error, "the storage failed; nothing is stored until a restart");
        let cause = Arc::new(cause);
        self.broken = Some(Arc::clone(&cause));
        self.become_(Health::Broken);
        CommitError::Broken(cause)
    }

    fn become_(&self, health: Health) {
        let changed = self.health.send_if_modified(|now| {
            let changed = *now != health;
            *now = health;
            changed
        });
        match health {
            Health::StorageFull if changed => warn!("the disk is full; nothing is stored until there is room"),
            Health::Ok if changed => info!("there is room on the disk again"),
            Health::StorageFull | Health::Ok | Health::Broken => {}
        }
    }

    /// Nobody wants anything just now: look for room if there was none, and cut the log.
    fn quiet(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if *self.health.borrow() == Health::StorageFull {
            match self.probe() {
                Ok(()) => self.become_(Health::Ok),
                Err(error) => {
                    // What it becomes is all there is to say: nobody waits for an answer.
                    self.give_up(error);
                    return;
                }
            }
        }
        // Readers that are still at work are not waited for: the next quiet moment will do.
        if let Err(error) = self.cut_log(Duration::ZERO) {
            warn!(error = &error as &dyn std::error::Error, "the log could not be cut; it is tried again later");
        }
        self.cut_at = LOG_LIMIT;
        self.dirty = false;
    }

    /// Cuts a log that has grown long although there never was a quiet moment: as long as any reader looks at
    /// it, the database goes on appending.
    fn bound_log(&mut self) {
        let length = match std::fs::metadata(self.file.path.with_extension("db-wal")) {
            Ok(log) => log.len(),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the log could not be measured");
                return;
            }
        };
        if length < self.cut_at {
            return;
        }
        self.cut_at = match self.cut_log(CUT_PATIENCE) {
            Ok(true) => LOG_LIMIT,
            Ok(false) => length + LOG_STEP,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the log could not be cut; it is tried again later");
                length + LOG_STEP
            }
        };
    }

    /// Writes some pages for good and frees them: they are then a reserve for what waits.
    fn probe(&self) -> Result<(), DbError> {
        self.file.check()?;
        let conn: &dyn Conn = &self.conn;
        conn.exec("INSERT INTO probes (body) VALUES (zeroblob(?1))", &[Value::Int(PROBE_BYTES)])?;
        conn.exec("DELETE FROM probes", &[])?;
        Ok(())
    }

    /// Brings the log home and cuts it to nothing; `false` if a reader was in the way for too long.
    fn cut_log(&self, patience: Duration) -> Result<bool, DbError> {
        self.conn.busy_timeout(patience)?;
        let mut blocked = 0;
        let cut = Conn::query(&self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", &[], &mut |row| {
            blocked = row.int(0)?;
            Ok(std::ops::ControlFlow::Continue(()))
        });
        self.conn.busy_timeout(BUSY_TIMEOUT)?;
        cut.map(|()| blocked == 0)
    }
}

enum Next {
    Job(Job),
    Quiet,
    Over,
}

/// A caller that went away has lost nothing: what was committed stays committed.
fn answer(
    caller: oneshot::Sender<Result<Committed, CommitError>>,
    result: Result<Committed, CommitError>,
    place: OwnedSemaphorePermit,
) {
    drop(place);
    if caller.send(result).is_err() {
        tracing::debug!("nobody waited for the answer to a commit");
    }
}
