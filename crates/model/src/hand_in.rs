//! What a role gave to the next, or a person in its place: a document that never changes.

use crate::contract::Output;
use crate::workflow::Phase;
use orcha_base::{HandInId, ObjectiveId, Revision, ScopeId, SessionId, TaskId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// One document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandIn {
    /// Its id.
    pub id: HandInId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// Always the first: it does not change.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session that handed it in; none if a person wrote it.
    pub session: Option<SessionId>,
    /// The step that it was asked for.
    pub phase: Phase,
    /// The round.
    pub round: u32,
    /// The repair.
    pub cycle: u32,
    /// The task.
    pub task: Option<TaskId>,
    /// The document.
    pub output: Output,
    /// What was in it and belongs to another role; it was left out.
    pub violations: Vec<String>,
    /// When it was handed in.
    pub created_at: Timestamp,
    /// The same instant.
    pub updated_at: Timestamp,
}
