//! Lists of workflows: each with its objective, which knows whether it is over.

use super::lists::scope;
use crate::conn::{Value, json, rows};
use crate::{ReadError, Store, Viewer};
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

/// `?3` the states of objectives that are wanted, between blanks, or none for all; `?4` whether it shall have begun.
const WORKFLOWS: &str = "SELECT w.body, o.body, \
    EXISTS (SELECT 1 FROM sessions s WHERE s.objective_id = w.objective_id AND s.attempt > 0) AS begun \
    FROM workflows w JOIN objectives o ON o.id = w.objective_id \
    WHERE w.tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR w.scope = ?2) \
    AND (CAST(?3 AS TEXT) IS NULL OR instr(?3, ' ' || o.state || ' ') > 0) \
    AND (CAST(?4 AS INTEGER) IS NULL OR begun = ?4) \
    ORDER BY w.created_at DESC, w.id DESC LIMIT ?5 OFFSET ?6";

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[WORKFLOWS];

impl Store {
    /// Returns workflows, newest first: those whose objective is in one of the states, or all if none is named.
    pub async fn workflows(
        &self,
        viewer: &Viewer,
        states: &[&str],
        begun: Option<bool>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<WorkflowRow>, ReadError> {
        let viewer = viewer.clone();
        let states = (!states.is_empty()).then(|| format!(" {} ", states.join(" ")));
        self.read(move |conn| {
            let values = [
                Value::Text(viewer.tenant.as_str()),
                scope(&viewer),
                states.as_deref().map_or(Value::Null, Value::Text),
                begun.map_or(Value::Null, |it| Value::Int(it.into())),
                Value::Int(limit.into()),
                Value::Int(offset.into()),
            ];
            rows(conn, WORKFLOWS, &values, |row| {
                Ok(WorkflowRow {
                    workflow: json("workflow", row.text(0)?)?,
                    objective: json("objective", row.text(1)?)?,
                    begun: row.int(2)? != 0,
                })
            })
        })
        .await
    }
}
