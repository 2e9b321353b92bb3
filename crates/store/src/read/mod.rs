//! What can be asked. Questions only; nothing here writes.
//!
//! `wheel` is for the loop that decides, `lists` for people and clients, `overview` for a first page, `stream` for
//! what grows.

mod attachments;
mod lists;
mod overview;
mod short;
mod stream;
mod texts;
mod tokens;
mod vitals;
mod wheel;
mod workflows;

pub use lists::{ObjectiveRow, Requested, SessionFilter, SessionRow, TargetRow, Which};
pub use overview::Overview;
pub use short::Shortened;
pub use stream::{Entry, Event, EventFilter, Owned, Span};
pub use vitals::Vitals;
pub use wheel::{Candidates, CredentialOwner, Loaded, OrderRow};
pub use workflows::{WorkflowFilter, WorkflowRow};

use crate::conn::{Columns, Conn, DbError, Value, json, row, rows};
use serde::de::DeserializeOwned;

/// Reads the nouns that a query finds; the body is its first column.
fn bodies<T: DeserializeOwned>(
    conn: &dyn Conn,
    what: &'static str,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Vec<T>, DbError> {
    rows(conn, sql, values, |row| json(what, row.text(0)?))
}

fn body<T: DeserializeOwned>(
    conn: &dyn Conn,
    what: &'static str,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Option<T>, DbError> {
    row(conn, sql, values, |row| json(what, row.text(0)?))
}

fn optional(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

/// Reads an id from a column that may be empty.
fn opt_id<T>(what: &'static str, row: &dyn Columns, at: usize) -> Result<Option<T>, DbError>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.opt_text(at)?.map(|text| crate::conn::parse(what, text)).transpose()
}

#[cfg(test)]
mod plans;
