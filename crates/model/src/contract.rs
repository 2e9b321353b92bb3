//! What each role of a workflow hands in: the document, its schema, and how it is read.
//!
//! Models write what is meant in many shapes; the shapes that they are known for are taken, and then every rule is
//! kept. What breaks one is refused with all the rules that it breaks. What belongs to another role is left out and
//! named. Nothing is made up: a field that must be there and is not is never filled in.

mod documents;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use documents::Charter;
pub use documents::{
    ArtifactDraft, Change, CheckCommand, Component, Constitution, DecisionRecord, Design, DesignAndTasks, Digest,
    Direction, FileSummary, Finish, Improvement, ImprovementChange, Issue, Level, Output, PlannedTask, ProposedFile,
    Repair, Requirement, Requirements, Retrospective, Severity, Specialty, Verdict,
};
pub use read::{Read, Surroundings, Wrong, read};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// What is asked for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Contract {
    /// What is in the files that came with the request: the Director's.
    Digest,
    /// What kind of work it is, and how it is delivered: the Director's.
    Direction,
    /// Constitution and requirements: the Project Manager's.
    Charter,
    /// Design and tasks: the Architect's.
    Design,
    /// Tasks that repair what blocks: the Architect's.
    Repair,
    /// What was done for a task: the Implementer's.
    Change,
    /// Whether the result is good: QA's.
    Verdict,
    /// What people read of the delivery: the Finalizer's.
    Finish,
    /// What to do better: the Refiner's.
    Retrospective,
}

impl Contract {
    /// Returns the schema of what is asked for, as JSON Schema.
    pub fn schema(self) -> serde_json::Value {
        schema::of(self)
    }
}
