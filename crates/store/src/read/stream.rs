//! Questions about what grows: transcripts and the journal. Pages by number, bounded in rows and bytes.

use super::opt_id;
use crate::conn::{Columns, DbError, Value, json, parse, rows};
use crate::{Page, ReadError, Store, Viewer};
use orcha_base::{Attempt, ObjectiveId, ScopeId, SessionId, TenantId, Timestamp};
use orcha_model::NoteKind;
use std::ops::ControlFlow;

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number in the session, from 1 and without a gap.
    pub seq: i64,
    /// The attempt whose output it is.
    pub attempt: Attempt,
    /// Who speaks.
    pub source: String,
    /// What it is.
    pub kind: String,
    /// What it says.
    pub content: String,
    /// More about it.
    pub metadata: Option<serde_json::Value>,
    /// When.
    pub at: Timestamp,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number, from 1 and without a gap over all tenants.
    pub seq: i64,
    /// What kind of thing happened.
    pub kind: NoteKind,
    /// The objective that it is about.
    pub objective: Option<ObjectiveId>,
    /// The session that it is about.
    pub session: Option<SessionId>,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs.
    pub data: Vec<(String, String)>,
    /// When.
    pub at: Timestamp,
}

/// One line of the journal with its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The line.
    pub event: Event,
}

/// Which part of something that grows is wanted. Whatever the part, it is returned oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// What follows a number.
    After(i64),
    /// The last ones before a number.
    Before(i64),
    /// The last ones.
    Latest,
}

/// Which lines of the journal are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFilter {
    /// All that the viewer may see.
    #[default]
    All,
    /// Those about an objective.
    Objective(ObjectiveId),
    /// Those about a session; they name its objective, too.
    Session(SessionId),
}

/// A page holds no more text than this, or a single line.
const PAGE_BYTES: usize = 4 << 20;

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT seq, attempt, source, kind, content, metadata, created_at FROM transcript \
             WHERE session_id = ?1 AND tenant = ?2 AND (CAST(?3 AS TEXT) IS NULL OR scope = ?3) ",
            $rest
        )
    };
}
const ENTRIES_AFTER: &str = entries!("AND seq > ?4 ORDER BY seq LIMIT ?5");
const ENTRIES_BEFORE: &str = entries!("AND seq < ?4 ORDER BY seq DESC LIMIT ?5");

macro_rules! events {
    ($of:literal, $rest:literal) => {
        concat!(
            "SELECT seq, kind, objective_id, session_id, summary, data, created_at FROM journal WHERE ",
            $of,
            "tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) ",
            $rest
        )
    };
}
const JOURNAL_END: &str = "SELECT seq FROM journal ORDER BY seq DESC LIMIT 1";
const JOURNAL_AFTER: &str = "SELECT seq, kind, objective_id, session_id, summary, data, created_at, tenant, scope FROM journal \
    WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const EVENTS_AFTER: &str = events!("", "AND seq > ?3 ORDER BY seq LIMIT ?4");
const EVENTS_BEFORE: &str = events!("", "AND seq < ?3 ORDER BY seq DESC LIMIT ?4");
const OBJECTIVE_EVENTS_AFTER: &str = events!("objective_id = ?5 AND ", "AND seq > ?3 ORDER BY seq LIMIT ?4");
const OBJECTIVE_EVENTS_BEFORE: &str = events!("objective_id = ?5 AND ", "AND seq < ?3 ORDER BY seq DESC LIMIT ?4");
const SESSION_EVENTS_AFTER: &str = events!(
    "objective_id = (SELECT s.objective_id FROM sessions s WHERE s.id = ?5) AND session_id = ?5 AND ",
    "AND seq > ?3 ORDER BY seq LIMIT ?4"
);
const SESSION_EVENTS_BEFORE: &str = events!(
    "objective_id = (SELECT s.objective_id FROM sessions s WHERE s.id = ?5) AND session_id = ?5 AND ",
    "AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
);

const KINDS_AFTER: &str =
    events!("objective_id = ?5 AND instr(?6, ' ' || kind || ' ') > 0 AND ", "AND seq > ?3 ORDER BY seq LIMIT ?4");
const KINDS_BEFORE: &str =
    events!("objective_id = ?5 AND instr(?6, ' ' || kind || ' ') > 0 AND ", "AND seq < ?3 ORDER BY seq DESC LIMIT ?4");

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[
    ENTRIES_AFTER,
    ENTRIES_BEFORE,
    JOURNAL_AFTER,
    EVENTS_AFTER,
    EVENTS_BEFORE,
    OBJECTIVE_EVENTS_AFTER,
    OBJECTIVE_EVENTS_BEFORE,
    KINDS_AFTER,
    KINDS_BEFORE,
    SESSION_EVENTS_AFTER,
    SESSION_EVENTS_BEFORE,
];

impl Span {
    /// Returns the number at the edge, and whether the rows come newest first.
    const fn edge(self) -> (i64, bool) {
        match self {
            Self::After(seq) => (seq, false),
            Self::Before(seq) => (seq, true),
            Self::Latest => (i64::MAX, true),
        }
    }
}

fn event(row: &dyn Columns) -> Result<Event, DbError> {
    Ok(Event {
        seq: row.int(0)?,
        kind: parse::<NoteKind>("journal line", row.text(1)?)?,
        objective: opt_id("objective id", row, 2)?,
        session: opt_id("session id", row, 3)?,
        summary: row.text(4)?.to_owned(),
        data: json("journal line", row.text(5)?)?,
        at: Timestamp::from_micros(row.int(6)?),
    })
}

impl Store {
    /// Returns lines of a session's transcript, oldest first. A page may hold fewer lines than asked for
    /// when they are long; only an empty page is the end.
    pub async fn transcript(
        &self,
        viewer: &Viewer,
        session: SessionId,
        span: Span,
        limit: u32,
    ) -> Result<Vec<Entry>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let (edge, newest_first) = span.edge();
            let (id, limit) = (session.to_string(), i64::from(limit.clamp(1, Page::MAX)));
            let scope = super::optional(viewer.scope.as_ref().map(|it| it.as_str()));
            let values =
                [Value::Text(&id), Value::Text(viewer.tenant.as_str()), scope, Value::Int(edge), Value::Int(limit)];
            let sql = if newest_first { ENTRIES_BEFORE } else { ENTRIES_AFTER };
            let mut found: Vec<Entry> = Vec::new();
            let mut bytes = 0;
            conn.query(sql, &values, &mut |row| {
                let (content, metadata) = (row.text(4)?, row.opt_text(5)?);
                bytes += content.len() + metadata.map_or(0, str::len);
                if bytes > PAGE_BYTES && !found.is_empty() {
                    return Ok(ControlFlow::Break(()));
                }
                found.push(Entry {
                    seq: row.int(0)?,
                    attempt: Attempt(u32::try_from(row.int(1)?).unwrap_or(u32::MAX)),
                    source: row.text(2)?.to_owned(),
                    kind: row.text(3)?.to_owned(),
                    content: content.to_owned(),
                    metadata: metadata.map(|text| json("metadata", text)).transpose()?,
                    at: Timestamp::from_micros(row.int(6)?),
                });
                Ok(ControlFlow::Continue(()))
            })?;
            if newest_first {
                found.reverse();
            }
            Ok(found)
        })
        .await
    }

    /// Returns lines of the journal of all tenants, each with its owner, oldest first: for the one reader that
    /// hands them on to everybody who listens.
    pub async fn journal_after(&self, seq: i64, limit: u32) -> Result<Vec<Owned>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Int(seq), Value::Int(i64::from(limit.clamp(1, Page::MAX)))];
            rows(conn, JOURNAL_AFTER, &values, |row| {
                Ok(Owned { tenant: TenantId::new(row.text(7)?), scope: ScopeId::new(row.text(8)?), event: event(row)? })
            })
        })
        .await
    }

    /// Returns the number of the journal's last line; zero if it is empty.
    pub async fn journal_end(&self) -> Result<i64, ReadError> {
        self.read(|conn| {
            let last = rows(conn, JOURNAL_END, &[], |row| row.int(0))?;
            Ok(last.first().copied().unwrap_or(0))
        })
        .await
    }

    /// Returns lines of the journal, oldest first.
    pub async fn events(
        &self,
        viewer: &Viewer,
        filter: EventFilter,
        span: Span,
        limit: u32,
    ) -> Result<Vec<Event>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let (edge, newest_first) = span.edge();
            let (sql, of) = match (filter, newest_first) {
                (EventFilter::All, false) => (EVENTS_AFTER, None),
                (EventFilter::All, true) => (EVENTS_BEFORE, None),
                (EventFilter::Objective(id), false) => (OBJECTIVE_EVENTS_AFTER, Some(id.to_string())),
                (EventFilter::Objective(id), true) => (OBJECTIVE_EVENTS_BEFORE, Some(id.to_string())),
                (EventFilter::Session(id), false) => (SESSION_EVENTS_AFTER, Some(id.to_string())),
                (EventFilter::Session(id), true) => (SESSION_EVENTS_BEFORE, Some(id.to_string())),
            };
            let mut values = vec![
                Value::Text(viewer.tenant.as_str()),
                super::optional(viewer.scope.as_ref().map(|it| it.as_str())),
                Value::Int(edge),
                Value::Int(i64::from(limit.clamp(1, Page::MAX))),
            ];
            values.extend(of.as_deref().map(Value::Text));
            let mut found = rows(conn, sql, &values, event)?;
            if newest_first {
                found.reverse();
            }
            Ok(found)
        })
        .await
    }

    /// Returns lines of some kinds of an objective's journal, oldest first.
    pub async fn events_of_kinds(
        &self,
        viewer: &Viewer,
        objective: ObjectiveId,
        kinds: &[NoteKind],
        span: Span,
        limit: u32,
    ) -> Result<Vec<Event>, ReadError> {
        let viewer = viewer.clone();
        let kinds = kinds.iter().fold(" ".to_owned(), |all, it| all + &it.to_string() + " ");
        self.read(move |conn| {
            let (edge, newest_first) = span.edge();
            let id = objective.to_string();
            let values = [
                Value::Text(viewer.tenant.as_str()),
                super::optional(viewer.scope.as_ref().map(|it| it.as_str())),
                Value::Int(edge),
                Value::Int(i64::from(limit.clamp(1, Page::MAX))),
                Value::Text(&id),
                Value::Text(&kinds),
            ];
            let mut found = rows(conn, if newest_first { KINDS_BEFORE } else { KINDS_AFTER }, &values, event)?;
            if newest_first {
                found.reverse();
            }
            Ok(found)
        })
        .await
    }
}
