//! The small door to a database: statements with `?N`, values in, columns out.
//!
//! Everything else in this crate speaks to this trait, so that another database needs one more
//! implementation and its own DDL. Nothing here knows a table.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, ffi};
use std::ops::ControlFlow;

/// A value on its way into a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A value that waits for its statement.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

impl Cell {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Int(_) => 8,
            Self::Text(text) => text.len(),
        }
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Cell {
    fn from(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }
}

/// Why a statement did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The primary key of a new row is taken.
    #[error("a primary key is taken")]
    KeyTaken,
    /// Another unique value of a row is taken.
    #[error("a unique value is taken")]
    ValueTaken,
    /// A row refers to one that is not there.
    #[error("a row that is referred to is not there")]
    NotThere,
    /// The disk, or what the database may use of it, is full.
    #[error("there is no room left")]
    Full,
    /// Somebody else writes to the database, for longer than a statement waits.
    #[error("somebody else writes to the database")]
    Busy,
    /// The storage itself failed.
    #[error("the storage failed")]
    Broken(#[source] rusqlite::Error),
    /// A stored value cannot be read back.
    #[error("a stored {what} cannot be read back")]
    Unreadable {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("the database refused")]
    Other(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error() else {
            return Self::Other(error);
        };
        match (code.code, code.extended_code) {
            (_, ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => Self::KeyTaken,
            (_, ffi::SQLITE_CONSTRAINT_UNIQUE) => Self::ValueTaken,
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::NotThere,
            // A write or the growth of the shared index that did not go through changed nothing: it may be
            // tried again. A quota shows itself like this.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            (ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
            | (ErrorCode::ReadOnly | ErrorCode::CannotOpen, _) => Self::Broken(error),
            _ => Self::Other(error),
        }
    }
}

/// The columns of one row, while it is looked at.
pub(crate) trait Columns {
    fn int(&self, at: usize) -> Result<i64, DbError>;
    fn opt_int(&self, at: usize) -> Result<Option<i64>, DbError>;
    fn text(&self, at: usize) -> Result<&str, DbError>;
    fn opt_text(&self, at: usize) -> Result<Option<&str>, DbError>;
    fn blob(&self, at: usize) -> Result<&[u8], DbError>;
}

/// What is done with each row: go on, or have seen enough.
pub(crate) type EachRow<'a> = &'a mut dyn FnMut(&dyn Columns) -> Result<ControlFlow<()>, DbError>;

/// A connection.
pub(crate) trait Conn {
    /// Runs a statement and returns how many rows it changed.
    fn exec(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, DbError>;

    /// Runs a query and shows each row.
    fn query(&self, sql: &str, values: &[Value<'_>], each: EachRow<'_>) -> Result<(), DbError>;
}

/// Returns what a query finds, each row read by `read`.
pub(crate) fn rows<T>(
    conn: &dyn Conn,
    sql: &str,
    values: &[Value<'_>],
    mut read: impl FnMut(&dyn Columns) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut found = Vec::new();
    conn.query(sql, values, &mut |row| {
        found.push(read(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Returns the first row that a query finds.
pub(crate) fn row<T>(
    conn: &dyn Conn,
    sql: &str,
    values: &[Value<'_>],
    mut read: impl FnMut(&dyn Columns) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    let mut found = None;
    conn.query(sql, values, &mut |row| {
        found = Some(read(row)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Reads a value that is stored as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|source| DbError::Unreadable { what, source: Box::new(source) })
}

/// Reads a value that is stored as its text.
pub(crate) fn parse<T>(what: &'static str, text: &str) -> Result<T, DbError>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|source| DbError::Unreadable { what, source: Box::new(source) })
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Conn for Connection {
    fn exec(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, DbError> {
        let mut statement = self.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(values))?)
    }

    fn query(&self, sql: &str, values: &[Value<'_>], each: EachRow<'_>) -> Result<(), DbError> {
        let mut statement = self.prepare_cached(sql)?;
        let mut found = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = found.next()? {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Columns for rusqlite::Row<'_> {
    fn int(&self, at: usize) -> Result<i64, DbError> {
        Ok(self.get(at)?)
    }

    fn opt_int(&self, at: usize) -> Result<Option<i64>, DbError> {
        Ok(self.get(at)?)
    }

    fn text(&self, at: usize) -> Result<&str, DbError> {
        match self.get_ref(at)?.as_str() {
            Ok(text) => Ok(text),
            Err(source) => Err(DbError::Unreadable { what: "text", source: Box::new(source) }),
        }
    }

    fn opt_text(&self, at: usize) -> Result<Option<&str>, DbError> {
        match self.get_ref(at)? {
            ValueRef::Null => Ok(None),
            _ => self.text(at).map(Some),
        }
    }

    fn blob(&self, at: usize) -> Result<&[u8], DbError> {
        match self.get_ref(at)?.as_blob() {
            Ok(bytes) => Ok(bytes),
            Err(source) => Err(DbError::Unreadable { what: "blob", source: Box::new(source) }),
        }
    }
}
