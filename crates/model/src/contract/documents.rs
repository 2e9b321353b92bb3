//! The documents that roles hand to each other.

use super::Contract;
use crate::casting::Casting;
use crate::workflow::{Action, Mode};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// What was handed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "contract", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the contracts")]
pub enum Output {
    Digest(Digest),
    Direction(Direction),
    Charter(Charter),
    Design(DesignAndTasks),
    Repair(Repair),
    Change(Change),
    Verdict(Verdict),
    Finish(Finish),
    Retrospective(Retrospective),
}

impl Output {
    /// Returns what was asked for.
    pub const fn contract(&self) -> Contract {
        match self {
            Self::Digest(_) => Contract::Digest,
            Self::Direction(_) => Contract::Direction,
            Self::Charter(_) => Contract::Charter,
            Self::Design(_) => Contract::Design,
            Self::Repair(_) => Contract::Repair,
            Self::Change(_) => Contract::Change,
            Self::Verdict(_) => Contract::Verdict,
            Self::Finish(_) => Contract::Finish,
            Self::Retrospective(_) => Contract::Retrospective,
        }
    }

    /// Returns the author's own summary.
    pub fn summary(&self) -> &str {
        match self {
            Self::Digest(it) => &it.summary,
            Self::Direction(it) => &it.summary,
            Self::Charter(it) => &it.summary,
            Self::Design(it) => &it.summary,
            Self::Repair(it) => &it.summary,
            Self::Change(it) => &it.summary,
            Self::Verdict(it) => &it.summary,
            Self::Finish(it) => &it.summary,
            Self::Retrospective(it) => &it.summary,
        }
    }

    /// Returns what the author has to know from the user before it can go on.
    pub fn questions(&self) -> &[String] {
        match self {
            Self::Direction(it) => &it.questions,
            Self::Charter(it) => &it.questions,
            Self::Design(it) => &it.questions,
            Self::Digest(_)
            | Self::Repair(_)
            | Self::Change(_)
            | Self::Verdict(_)
            | Self::Finish(_)
            | Self::Retrospective(_) => &[],
        }
    }
}

/// The Director's: what is in the files that came with the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Digest {
    pub files: Vec<FileSummary>,
    pub summary: String,
}

/// What is in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct FileSummary {
    pub name: String,
    pub summary: String,
}

/// The Director's: what kind of work it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Direction {
    pub mode: Mode,
    pub title: String,
    /// How the result is delivered; the user's own wish goes first.
    pub delivery: Option<Action>,
    /// Who plays the roles after it, where that is not the usual agent.
    #[serde(default)]
    pub agents: Vec<Casting>,
    pub rationale: String,
    pub summary: String,
    /// What only the user can say.
    pub questions: Vec<String>,
}

/// The Project Manager's: what is to be reached, and what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Charter {
    pub constitution: Constitution,
    pub requirements: Requirements,
    pub summary: String,
    pub questions: Vec<String>,
}

/// What everything is measured by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Constitution {
    pub vision: String,
    pub goals: Vec<String>,
    pub constraints: Vec<String>,
    pub audience: String,
    pub output_medium: String,
    pub acceptance_criteria: Vec<String>,
    pub out_of_scope: Vec<String>,
}

/// What is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Requirements {
    pub functional: Vec<Requirement>,
    pub non_functional: Vec<Requirement>,
    pub dependencies: Vec<String>,
}

/// One thing that is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Requirement {
    pub id: String,
    pub title: String,
    pub description: String,
    /// `must`, `should`, `could` or `wont`.
    pub priority: String,
    pub source: String,
}

/// The Architect's: how it is built, and by which tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct DesignAndTasks {
    pub design: Design,
    pub tasks: Vec<PlannedTask>,
    /// Commands that are run besides those of the project, never instead of them.
    pub checks: Vec<CheckCommand>,
    pub summary: String,
    pub questions: Vec<String>,
}

/// How it is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Design {
    pub overview: String,
    pub components: Vec<Component>,
    pub decisions: Vec<DecisionRecord>,
    pub tech_stack: Vec<String>,
}

/// A part of what is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Component {
    pub name: String,
    pub description: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

/// Something that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct DecisionRecord {
    pub decision: String,
    pub rationale: String,
    pub tradeoffs: String,
}

/// A task as the Architect plans it. Its dependencies are places in the list that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct PlannedTask {
    pub title: String,
    pub description: String,
    pub depends_on: Vec<usize>,
    pub specialty: Option<Specialty>,
}

/// What a task needs somebody to be good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Specialty {
    Backend,
    Frontend,
    Writer,
    Ops,
    Data,
}

/// A command that checks the work: it is good if it ends with zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCommand {
    /// What people call it.
    pub name: String,
    /// The program and its arguments; no shell takes part.
    pub command: Vec<String>,
}

/// The Architect's: how what blocks is repaired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Repair {
    pub tasks: Vec<PlannedTask>,
    pub summary: String,
}

/// The Implementer's: what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Change {
    pub summary: String,
    /// What it wrote, where there is no repository to write into.
    pub artifacts: Vec<ArtifactDraft>,
}

/// A text that an Implementer wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactDraft {
    /// Where it belongs, relative, with forward slashes. The same path again is the next revision of the same file.
    pub path: String,
    /// What it is, in a line.
    pub description: String,
    /// The whole text.
    pub content: String,
}

/// QA's: whether the result is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Verdict {
    pub passed: bool,
    pub blocking_issues: Vec<Issue>,
    pub warnings: Vec<Issue>,
    pub suggestions: Vec<String>,
    pub summary: String,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Issue {
    pub severity: Severity,
    pub component: String,
    pub description: String,
    pub recommendation: String,
}

/// How much something weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Severity {
    Blocking,
    Warning,
    Info,
}

/// The Finalizer's: what people read of the delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Finish {
    /// The title of the pull request or document.
    pub title: String,
    /// Its text.
    pub body: String,
    pub summary: String,
    pub suggestions: Vec<String>,
}

/// The Refiner's: what to do better next time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Retrospective {
    pub improvements: Vec<Improvement>,
    /// From 0 to 100.
    pub health_score: u8,
    pub overall_assessment: String,
    pub summary: String,
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Improvement {
    /// `persona`, `prompt` or `skill`.
    pub component_type: String,
    pub component_name: String,
    pub problem: String,
    pub proposed_fix: String,
    pub change_type: ImprovementChange,
    pub priority: Level,
    pub files: Vec<ProposedFile>,
}

/// What a proposal would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum ImprovementChange {
    Create,
    Update,
    Advisory,
}

/// How much a proposal weighs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it")]
pub enum Level {
    Low,
    Medium,
    High,
}

/// A file as a proposal would have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct ProposedFile {
    pub path: String,
    pub content: String,
}
