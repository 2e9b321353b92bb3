//! What a first page asks: figures, and what belongs to each of several objectives, in one go.
//!
//! However many objectives a page shows, it asks each of these once. None of them reads a transcript.

use super::lists::{scope, session_row, small};
use crate::conn::{DbError, Value, json, row, rows};
use crate::{ReadError, SessionRow, Store, Viewer};
use orcha_base::ObjectiveId;
use orcha_model::PullRequest;

/// The figures of a first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The number of the journal's last line: what is streamed after it is not in the figures yet.
    pub journal_end: i64,
    /// Objectives that are being worked on or wait for a person.
    pub active_objectives: u32,
    /// Sessions whose agent is up.
    pub running_sessions: u32,
    /// Pull requests that are neither merged nor closed.
    pub open_pull_requests: u32,
    /// Questions that wait for a person.
    pub open_questions: u32,
}

/// How many objectives can be asked about in one go; the questions below have that many places.
const AT_ONCE: usize = 50;

const OVERVIEW: &str = "SELECT \
    coalesce((SELECT max(seq) FROM journal), 0), \
    (SELECT count(*) FROM objectives WHERE over = 0 AND state <> 'paused' AND tenant = ?1 \
        AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2)), \
    (SELECT count(*) FROM sessions WHERE over = 0 AND state = 'running' AND tenant = ?1 \
        AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2)), \
    (SELECT count(*) FROM pull_requests WHERE live = 1 AND tenant = ?1 \
        AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2)), \
    (SELECT count(*) FROM questions WHERE state = 'open' AND tenant = ?1 \
        AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2))";

/// Rows of one table that belong to any of the objectives `?4` to `?53`, at most `?3` of each.
///
/// The empty text behind the tenant keeps the database from walking through all rows of the tenant.
macro_rules! of_each {
    ($columns:literal, $table:literal, $newest:literal) => {
        concat!(
            "WITH wanted (objective) AS (VALUES (CAST(?4 AS TEXT)), (?5), (?6), (?7), (?8), (?9), (?10), (?11), \
             (?12), (?13), (?14), (?15), (?16), (?17), (?18), (?19), (?20), (?21), (?22), (?23), (?24), (?25), \
             (?26), (?27), (?28), (?29), (?30), (?31), (?32), (?33), (?34), (?35), (?36), (?37), (?38), (?39), \
             (?40), (?41), (?42), (?43), (?44), (?45), (?46), (?47), (?48), (?49), (?50), (?51), (?52), (?53)) \
             SELECT ",
            $columns,
            " FROM wanted CROSS JOIN ",
            $table,
            " t ON t.id IN (SELECT n.id FROM ",
            $table,
            " n WHERE n.objective_id = wanted.objective ORDER BY ",
            $newest,
            " LIMIT ?3) WHERE t.tenant || '' = ?1 AND (CAST(?2 AS TEXT) IS NULL OR t.scope = ?2)"
        )
    };
}
const SESSIONS_OF_EACH: &str = of_each!(
    "t.id, t.objective_id, t.parent_id, t.state, t.role, t.agent, t.title, t.target_id, t.workspace_id, \
     t.pull_request_id, t.attempt, t.activity, t.tokens, t.priority, t.created_at, t.started_at, t.updated_at, \
     t.completed_at, t.body ->> '$.state'",
    "sessions",
    "n.updated_at DESC, n.id DESC"
);
const PULL_REQUESTS_OF_EACH: &str = of_each!("t.body", "pull_requests", "n.created_at DESC, n.id DESC");

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[OVERVIEW, SESSIONS_OF_EACH, PULL_REQUESTS_OF_EACH];

/// Asks one of the questions above, so many objectives at a time as it has places for.
fn of_each<T>(
    viewer: &Viewer,
    objectives: &[ObjectiveId],
    each: u32,
    mut ask: impl FnMut(&[Value<'_>]) -> Result<Vec<T>, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut found = Vec::new();
    for some in objectives.chunks(AT_ONCE) {
        let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
        let mut values = vec![Value::Text(viewer.tenant.as_str()), scope(viewer), Value::Int(i64::from(each))];
        values.extend(ids.iter().map(|id| Value::Text(id)));
        values.resize(3 + AT_ONCE, Value::Null);
        found.extend(ask(&values)?);
    }
    Ok(found)
}

impl Store {
    /// Returns the figures of a first page.
    pub async fn overview(&self, viewer: &Viewer) -> Result<Overview, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let found = row(conn, OVERVIEW, &[Value::Text(viewer.tenant.as_str()), scope(&viewer)], |row| {
                Ok(Overview {
                    journal_end: row.int(0)?,
                    active_objectives: small(row.int(1)?),
                    running_sessions: small(row.int(2)?),
                    open_pull_requests: small(row.int(3)?),
                    open_questions: small(row.int(4)?),
                })
            })?;
            Ok(found.unwrap_or(Overview {
                journal_end: 0,
                active_objectives: 0,
                running_sessions: 0,
                open_pull_requests: 0,
                open_questions: 0,
            }))
        })
        .await
    }

    /// Returns of each objective the sessions that changed last, oldest first within an objective.
    pub async fn sessions_of_each(
        &self,
        viewer: &Viewer,
        objectives: Vec<ObjectiveId>,
        each: u32,
    ) -> Result<Vec<SessionRow>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let mut found =
                of_each(&viewer, &objectives, each, |values| rows(conn, SESSIONS_OF_EACH, values, session_row))?;
            found.sort_by_key(|it| (it.objective, it.created_at, it.id));
            Ok(found)
        })
        .await
    }

    /// Returns of each objective its newest pull requests, oldest first within an objective.
    pub async fn pull_requests_of_each(
        &self,
        viewer: &Viewer,
        objectives: Vec<ObjectiveId>,
        each: u32,
    ) -> Result<Vec<PullRequest>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let mut found: Vec<PullRequest> = of_each(&viewer, &objectives, each, |values| {
                rows(conn, PULL_REQUESTS_OF_EACH, values, |row| json("pull request", row.text(0)?))
            })?;
            found.sort_by_key(|it| (it.objective, it.created_at, it.id));
            Ok(found)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_objective_are_found_by_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        let conn = crate::open::open(folder.path(), &Default::default()).unwrap().conn;
        for sql in [SESSIONS_OF_EACH, PULL_REQUESTS_OF_EACH] {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(values), |row| row.get("detail"))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert!(plan.iter().any(|it| it.starts_with("SEARCH t USING") && it.ends_with("(id=?)")), "{plan:#?}");
            assert!(
                plan.iter().any(|it| it.starts_with("SEARCH n USING") && it.contains("(objective_id=?)")),
                "{plan:#?}"
            );
        }
    }
}
