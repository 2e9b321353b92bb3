//! Why the store says no. Nothing here decides what the caller does about it.

use crate::conn::DbError;
use orcha_base::{Attempt, Revision, SessionId};
use orcha_model::{NounId, Refusal};
use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder, or a file in it, cannot be made or used.
    #[error("cannot use {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon works in this folder.
    #[error("another daemon works in {folder}: one daemon per data folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder lies on a network file system, where locks and shared memory cannot be relied on.
    #[error("{folder} lies on a network file system ({name}): choose a folder on a local disk")]
    NetworkFolder {
        /// The folder.
        folder: PathBuf,
        /// The file system.
        name: &'static str,
    },
    /// The SQLite that was linked has a known fault that damages databases.
    #[error("SQLite {found} is too old: {needed} or newer is needed")]
    OldSqlite {
        /// The version that was linked, as a number.
        found: i32,
        /// The oldest one that is good enough, as a number.
        needed: i32,
    },
    /// A newer release wrote this database.
    #[error("the database in {folder} has schema {found}, this release knows up to {known}: use the newer release")]
    NewerSchema {
        /// The folder.
        folder: PathBuf,
        /// The schema that it has.
        found: i32,
        /// The newest schema that is known.
        known: i32,
    },
    /// A migration did not go through; what was there before is still there.
    #[error("the database could not be brought to schema {known}")]
    Migration {
        /// The schema that was wanted.
        known: i32,
        /// Why not.
        #[source]
        source: Box<refinery::Error>,
    },
    /// The database does not answer as it should.
    #[error("the database in {folder} could not be opened")]
    Database {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: DbError,
    },
    /// The readers could not be started.
    #[error("the readers could not be started")]
    Readers(#[source] r2d2::Error),
    /// The writer's thread could not be started.
    #[error("the writer could not be started")]
    Writer(#[source] std::io::Error),
}

/// Why a commit did not go through. Nothing of it was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A row was changed by somebody else since it was read, or a new one is there already.
    #[error("{} {} is not at the expected revision", .noun.parts().0, .noun.parts().1)]
    Conflict {
        /// The row.
        noun: NounId,
        /// The revision that it was expected to have; none for a new row.
        expected: Option<Revision>,
    },
    /// A value that must be unique is taken.
    #[error("{what} is taken")]
    Duplicate {
        /// What.
        what: Unique,
    },
    /// It refers to a row that is not there.
    #[error("{table} refers to something that is not there")]
    Missing {
        /// Where.
        table: &'static str,
    },
    /// A guard does not hold.
    #[error(transparent)]
    Guard(Refusal),
    /// The transcript's cursor is not where it was expected.
    #[error("the cursor of session {session}, attempt {attempt}, was moved by somebody else")]
    CursorMoved {
        /// The session.
        session: SessionId,
        /// The attempt.
        attempt: Attempt,
        /// Where it is.
        stored: Option<serde_json::Value>,
    },
    /// The same request was answered before.
    #[error("this request was answered before")]
    AlreadyAnswered {
        /// The answer.
        body: serde_json::Value,
    },
    /// The disk is full. Reads go on, and later commits are tried again.
    #[error("the disk is full: nothing can be stored until there is room")]
    StorageFull,
    /// The storage failed: nothing more is stored until the daemon is started again.
    #[error("the storage failed: nothing is stored until a restart")]
    Broken(#[source] Arc<DbError>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A value cannot be written as JSON.
    #[error("{what} cannot be written as JSON")]
    Encode {
        /// What.
        what: &'static str,
        /// Why not.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The database refused for another reason.
    #[error("the database refused")]
    Database(#[source] Arc<DbError>),
}

/// What must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Unique {
    /// One row per number in a repository.
    #[strum(serialize = "the pull request's number in its repository")]
    PullRequestNumber,
    /// One row per name that the code host gave it.
    #[strum(serialize = "this feedback on the pull request")]
    Feedback,
    /// One open question per cause.
    #[strum(serialize = "an open question with this cause")]
    OpenQuestion,
    /// One message per cause.
    #[strum(serialize = "a message to the session with this cause")]
    MessageCause,
    /// One target per name.
    #[strum(serialize = "the target's name")]
    TargetName,
    /// One row per version of a text.
    #[strum(serialize = "this version of the text")]
    TextVersion,
    /// One open proposal per cause.
    #[strum(serialize = "an open proposal with this cause")]
    OpenProposal,
    /// One project per repository.
    #[strum(serialize = "a project for this repository")]
    ProjectRepo,
    /// One artifact per id.
    #[strum(serialize = "the artifact's id")]
    Artifact,
    /// One order per key.
    #[strum(serialize = "the order's key")]
    Order,
    /// One token per name.
    #[strum(serialize = "the token's name")]
    TokenName,
    /// One credential per hash.
    #[strum(serialize = "the credential")]
    Credential,
}

/// Why a question to the store has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No reader became free in time, or none could be opened.
    #[error("no reader of the database is free")]
    NoReader(#[source] r2d2::Error),
    /// The database did not answer.
    #[error("the database did not answer")]
    Database(#[from] DbError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
