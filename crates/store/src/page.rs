//! Pages by key: what follows the last row that was seen, never an offset.

use orcha_base::{ScopeId, TenantId, Timestamp};
use std::fmt;
use std::str::FromStr;

/// Who asks: rows of another tenant do not exist for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The tenant.
    pub tenant: TenantId,
    /// One scope of it, or all.
    pub scope: Option<ScopeId>,
}

impl Viewer {
    /// Sees everything in a tenant.
    pub const fn of(tenant: TenantId) -> Self {
        Self { tenant, scope: None }
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// After which row; from the beginning if none.
    pub after: Option<Cursor>,
    /// How many rows at most.
    pub limit: u32,
}

impl Page {
    /// No page holds more rows.
    pub const MAX: u32 = 500;

    /// The first rows.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    pub(crate) fn rows(&self) -> u32 {
        self.limit.clamp(1, Self::MAX)
    }
}

/// The key of a row in a list: its instant and its id. As text it is what clients hand back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The instant that the list is sorted by.
    pub at: Timestamp,
    /// The id.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.at.as_micros(), self.id)
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cursor: hand back the one that came with the page before")]
pub struct InvalidCursor {
    text: String,
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let refuse = || InvalidCursor { text: text.chars().take(80).collect() };
        let (at, id) = text.split_once('~').ok_or_else(refuse)?;
        let at = at.parse().map_err(|_| refuse())?;
        if id.is_empty() || id.len() > 64 {
            return Err(refuse());
        }
        Ok(Self { at: Timestamp::from_micros(at), id: id.to_owned() })
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl<T> Paged<T> {
    /// Makes a page of what was found when one row more than wanted was asked for.
    pub(crate) fn cut(mut found: Vec<T>, rows: u32, key: impl Fn(&T) -> Cursor) -> Self {
        let rows = rows as usize;
        let more = found.len() > rows;
        found.truncate(rows);
        let next = if more { found.last().map(key) } else { None };
        Self { items: found, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { at: Timestamp::from_micros(-5), id: "x-1".into() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "~", "5", "x~y", "5~"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} was accepted");
        }
    }
}
