//! Lists of workflows: each with its objective, which knows whether it is over.

use super::lists::scope;
use crate::conn::{Value, json, rows};
use crate::{Cursor, Page, Paged, ReadError, Store, Viewer};
use orcha_model::{Objective, Workflow};

/// A workflow of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRow {
    /// The workflow.
    pub workflow: Workflow,
    /// Its objective.
    pub objective: Objective,
    /// Whether anybody has begun with it.
    pub begun: bool,
}

/// Which workflows are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkflowFilter {
    /// Those whose objective is in one of these states; all if none is named.
    pub states: &'static [&'static str],
    /// Those that somebody has begun with, or nobody.
    pub begun: Option<bool>,
}

/// `?3` the states of objectives that are wanted, between blanks, or none for all; `?4` whether it shall have begun; `?5` and `?6` the key after
/// which the page begins.
const WORKFLOWS: &str = "SELECT w.body, o.body, \
    EXISTS (SELECT 1 FROM sessions s WHERE s.objective_id = w.objective_id AND s.attempt > 0) AS begun \
    FROM workflows w JOIN objectives o ON o.id = w.objective_id \
    WHERE w.tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR w.scope = ?2) \
    AND (CAST(?3 AS TEXT) IS NULL OR instr(?3, ' ' || o.state || ' ') > 0) \
    AND (CAST(?4 AS INTEGER) IS NULL OR begun = ?4) \
    AND (w.created_at, w.id) < (?5, ?6) ORDER BY w.created_at DESC, w.id DESC LIMIT ?7 OFFSET ?8";

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[WORKFLOWS];

impl Store {
    /// Returns workflows, newest first; so many of the page are passed over.
    pub async fn workflows(
        &self,
        viewer: &Viewer,
        filter: WorkflowFilter,
        page: Page,
        offset: u32,
    ) -> Result<Paged<WorkflowRow>, ReadError> {
        let viewer = viewer.clone();
        let states = (!filter.states.is_empty()).then(|| format!(" {} ", filter.states.join(" ")));
        self.read(move |conn| {
            // No id is as great as this.
            let (at, id) = page.after.as_ref().map_or((i64::MAX, "~"), |it| (it.at.as_micros(), it.id.as_str()));
            let values = [
                Value::Text(viewer.tenant.as_str()),
                scope(&viewer),
                states.as_deref().map_or(Value::Null, Value::Text),
                filter.begun.map_or(Value::Null, |it| Value::Int(it.into())),
                Value::Int(at),
                Value::Text(id),
                // One more than wanted tells whether there is a next page.
                Value::Int(i64::from(page.rows()) + 1),
                Value::Int(offset.into()),
            ];
            let found = rows(conn, WORKFLOWS, &values, |row| {
                Ok(WorkflowRow {
                    workflow: json("workflow", row.text(0)?)?,
                    objective: json("objective", row.text(1)?)?,
                    begun: row.int(2)? != 0,
                })
            })?;
            let key = |it: &WorkflowRow| Cursor { at: it.workflow.created_at, id: it.workflow.id.to_string() };
            Ok(Paged::cut(found, page.rows(), key))
        })
        .await
    }
}
