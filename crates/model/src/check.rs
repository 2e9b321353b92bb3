//! The life of one run of a workflow's checks, and what it found: the receipts.
//!
//! How commands are found and run is not known here. A fault of the machine is no verdict on the work.

use crate::contract::CheckCommand;
use crate::effect::{self, Effect};
use crate::{Decision, Note, NoteKind};
use orcha_base::{
    CheckRunId, ObjectiveId, RepoUrl, Revision, ScopeId, SessionId, Sha, TargetId, TenantId, Timestamp, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// One run of all checks on one result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    /// Its id.
    pub id: CheckRunId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The round and the repair that it belongs to.
    pub round: u32,
    /// See `round`.
    pub cycle: u32,
    /// The session whose result it is.
    pub session: SessionId,
    /// Its checkout.
    pub workspace: WorkspaceId,
    /// Where that lies.
    pub target: TargetId,
    /// The repository.
    pub repo: RepoUrl,
    /// The commands that are run besides those that are found.
    pub asked: Vec<CheckCommand>,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Where a run of checks stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Ordered, or under way.
    Running,
    /// It said something about the work.
    Done {
        /// What.
        outcome: Outcome,
    },
    /// It said nothing about the work: the machine was in the way, however often it was tried.
    Faulted {
        /// What was in the way, for people.
        detail: String,
    },
    /// Nobody wants to know any more.
    Canceled,
}

/// What the checks said about the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The exact commit that was checked.
    pub sha: Sha,
    /// What each command said, in the order in which they ran.
    pub receipts: Vec<Receipt>,
    /// What was done to the checks themselves.
    pub tampering: Vec<Tampering>,
    /// The files that differ from the base, for those who judge: path, and what happened to it.
    pub files: Vec<String>,
    /// The paths of those that are there.
    #[serde(default)]
    pub changed: Vec<String>,
}

impl Outcome {
    /// Tells whether every check is green, and there was one.
    pub fn is_green(&self) -> bool {
        !self.receipts.is_empty() && self.receipts.iter().all(Receipt::passed)
    }
}

/// What one command said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What people call it.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it comes from.
    pub source: Source,
    /// How it ended; none if it had to be ended.
    pub code: Option<i32>,
    /// The tests that fail, as far as its output names them.
    #[serde(default)]
    pub failing: Vec<String>,
    /// The end of what it printed.
    pub tail: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Receipt {
    /// Tells whether it is green.
    pub const fn passed(&self) -> bool {
        matches!(self.code, Some(0))
    }
}

/// Where a check comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// It was found in the project.
    Detected,
    /// The user or the Architect added it.
    Asked,
}

/// What was done to the checks instead of to the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Tampering {
    /// A test file that the base has is gone.
    TestDeleted {
        /// Which.
        path: String,
    },
    /// A file was changed so that a check does nothing.
    CheckEmptied {
        /// Which.
        path: String,
        /// What the check is now.
        command: String,
    },
}

impl Tampering {
    /// Returns the file.
    pub fn path(&self) -> &str {
        match self {
            Self::TestDeleted { path } | Self::CheckEmptied { path, .. } => path,
        }
    }

    /// Tells whether those who asked for the work asked for this: they name the file, and that it goes.
    pub fn was_asked_for(&self, asked: &str) -> bool {
        match self {
            Self::TestDeleted { path } => {
                let name = path.rsplit('/').next().unwrap_or(path);
                let stem = name.split('.').next().unwrap_or(name);
                let asked = asked.to_lowercase();
                let taken_away = ["delet", "remov", "drop", "renam", "replac", "obsolete"];
                asked.contains(&stem.to_lowercase()) && taken_away.iter().any(|it| asked.contains(it))
            }
            Self::CheckEmptied { .. } => false,
        }
    }
}

/// Tells whether a path is that of a test, by the habits of the languages that checks are found for.
pub fn is_test_file(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    let stem = name.split('.').next().unwrap_or(name);
    let in_tests = lower.split('/').rev().skip(1).any(|it| matches!(it, "tests" | "test" | "__tests__" | "spec"));
    in_tests
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_tests")
        || name.contains(".test.")
        || name.contains(".spec.")
        || (name.ends_with(".java") && (stem.ends_with("test") || stem.ends_with("tests")))
}

/// Something that happens to a run of checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// They ran.
    Ran {
        /// What they said.
        outcome: Outcome,
    },
    /// The machine was in the way, after every try that made sense.
    Faulted {
        /// What.
        detail: String,
    },
    /// Nobody wants to know any more.
    Cancel,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done { .. } => "done",
            Self::Faulted { .. } => "faulted",
            Self::Canceled => "canceled",
        }
    }
}

impl CheckRun {
    /// Returns the order to run it.
    pub fn order(&self) -> Effect {
        Effect::Check(effect::Check {
            run: self.id,
            session: self.session,
            workspace: self.workspace,
            target: self.target,
            repo: self.repo.clone(),
            asked: self.asked.clone(),
        })
    }

    fn with(&self, state: State, now: Timestamp) -> Decision<Self> {
        let mut next = self.clone();
        next.state = state;
        next.updated_at = now;
        Decision::become_(next)
    }
}

/// Decides what a run of checks becomes.
pub fn decide(run: &CheckRun, input: Input, now: Timestamp) -> Decision<CheckRun> {
    match (input, &run.state) {
        (Input::Ran { outcome }, State::Running) => {
            let red = outcome.receipts.iter().filter(|it| !it.passed()).count();
            let words = match (outcome.receipts.len(), red) {
                (0, _) => "there was nothing to run".to_owned(),
                (all, 0) => format!("all {all} are green"),
                (all, red) => format!("{red} of {all} are red"),
            };
            let note = Note::new(NoteKind::ChecksRan, format!("checks of {}: {words}", outcome.sha.short()))
                .with("check_run_id", run.id)
                .with("sha", &outcome.sha)
                .with("passed", outcome.is_green());
            run.with(State::Done { outcome }, now).note(note)
        }
        (Input::Faulted { detail }, State::Running) => {
            let note = Note::new(NoteKind::ChecksFaulted, format!("the checks could not be run: {detail}"))
                .with("check_run_id", run.id);
            run.with(State::Faulted { detail }, now).note(note)
        }
        (Input::Cancel, State::Running) => {
            run.with(State::Canceled, now).then(Effect::StopCheck { run: run.id, session: run.session })
        }
        (_, State::Done { .. } | State::Faulted { .. } | State::Canceled) => {
            Decision::ignore(run.clone(), "the run is over")
        }
    }
}
