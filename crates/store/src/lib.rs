//! The memory: what was decided, and what is still to be done.
//!
//! The one crate with SQL. It stores and finds; it decides nothing, and it never calls the world while a
//! transaction is open. One thread writes, in groups; readers have connections of their own.

mod apply;
mod commit;
mod conn;
mod encode;
mod error;
mod open;
mod page;
mod read;
mod writer;

pub use commit::{
    ApiToken, Attached, Change, Commit, Committed, Credential, Guard, JournalLine, NewEntry, Order, Receipt, Retried,
    Row, Said, TranscriptAppend,
};
pub use conn::DbError;
pub use error::{CommitError, OpenError, ReadError, Unique};
pub use open::StoreOptions;
pub use page::{Cursor, InvalidCursor, Page, Paged, Viewer};
pub use read::{
    Candidates, CredentialOwner, Entry, Event, EventFilter, Loaded, ObjectiveRow, OrderRow, Overview, Owned, Requested,
    SessionFilter, SessionRow, Shortened, Span, TargetRow, Vitals, Which, WorkflowFilter, WorkflowRow,
};
pub use writer::{Health, Written};

use conn::Conn;
use open::Opened;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, oneshot, watch};
use writer::{Job, Tally, Writer};

/// The open database of one data folder. Clones share it; once the last is gone the writer stores what
/// waits and ends, and [`Store::close`] is how to wait for that.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    closing: Arc<AtomicBool>,
    /// `None` once closed.
    jobs: Mutex<Option<Sender<Job>>>,
    /// Bounds what waits for the writer.
    queue: Arc<Semaphore>,
    health: watch::Receiver<Health>,
    tally: Arc<Tally>,
    readers: r2d2::Pool<r2d2_sqlite::SqliteConnectionManager>,
    /// Bounds how many threads wait for a reader.
    reading: Arc<Semaphore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database of a data folder, and makes both if they are not there.
    ///
    /// Blocks: call it from a thread that may.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let opened = open::open(folder, &options)?;
        let path = opened.file.path.clone();
        let database = |source| OpenError::Database { folder: folder.to_owned(), source };
        let (jobs, received) = std::sync::mpsc::channel();
        let (said, health) = watch::channel(Health::Ok);
        let tally = Arc::new(Tally::default());
        let closing = Arc::new(AtomicBool::new(false));
        let Opened { conn, file, lock } = opened;
        let writer = Writer::new(conn, received, said, file, Arc::clone(&tally), lock, Arc::clone(&closing));
        let writer = writer.map_err(database)?;
        let readers = r2d2::Pool::builder()
            .max_size(options.readers.max(1))
            .min_idle(Some(1))
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .build(open::reader(path))
            .map_err(OpenError::Readers)?;
        std::thread::Builder::new()
            .name("orcha-store".into())
            .spawn(move || writer.run())
            .map_err(OpenError::Writer)?;
        let shared = Shared {
            folder: folder.to_owned(),
            closing,
            jobs: Mutex::new(Some(jobs)),
            queue: Arc::new(Semaphore::new(options.queue.max(1))),
            health,
            tally,
            readers,
            reading: Arc::new(Semaphore::new(options.readers.max(1) as usize)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the data folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Tells whether the store can store, and when that changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.clone()
    }

    /// Returns how much was stored since it was opened: for measurements.
    pub fn written(&self) -> Written {
        self.shared.tally.read()
    }

    /// Stores a commit: all of it, or nothing. It is durable when this returns.
    ///
    /// If the caller goes away meanwhile, the commit may still be stored.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let commit = Box::new(encode::prepare(commit)?);
        let place = Arc::clone(&self.shared.queue).acquire_owned().await.map_err(|_| CommitError::Closed)?;
        let (answer, answered) = oneshot::channel();
        self.send(Job::Commit { commit, answer, place })?;
        answered.await.map_err(|_| CommitError::Closed)?
    }

    /// Closes the store: what waits is stored first, what comes later is refused. The folder is free then.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let (closed, over) = oneshot::channel();
        if self.send(Job::Close(closed)).is_err() {
            return;
        }
        drop(self.jobs().take());
        self.shared.queue.close();
        self.shared.reading.close();
        if over.await.is_err() {
            tracing::debug!("the store was closed by somebody else at the same moment");
        }
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<Sender<Job>>> {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, job: Job) -> Result<(), CommitError> {
        match &*self.jobs() {
            Some(jobs) => jobs.send(job).map_err(|_| CommitError::Closed),
            None => Err(CommitError::Closed),
        }
    }

    /// Asks the database on a thread that may wait, seeing one instant of it.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Conn) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = Arc::clone(&self.shared.reading).acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let readers = self.shared.readers.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let mut conn = readers.get().map_err(ReadError::NoReader)?;
            let seen = conn.transaction().map_err(DbError::from)?;
            let found = ask(&*seen)?;
            seen.commit().map_err(DbError::from)?;
            drop(turn);
            Ok(found)
        });
        match asked.await {
            Ok(found) => found,
            Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
            Err(_) => Err(ReadError::Closed),
        }
    }
}
