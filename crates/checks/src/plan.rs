//! The words of a plan: checks, their order, and where they come from. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a check is for; also the order in which checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Brings in what the project depends on.
    Install,
    /// Builds it.
    Build,
    /// Tests it.
    Test,
    /// Looks at its style and its types.
    Lint,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A program and its arguments.
    Argv(Vec<String>),
    /// A line for `sh`.
    Shell(String),
}

impl Line {
    pub(crate) fn argv<const N: usize>(words: [&str; N]) -> Self {
        Self::Argv(words.map(str::to_owned).to_vec())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argv(words) => f.write_str(&words.join(" ")),
            Self::Shell(line) => f.write_str(line),
        }
    }
}

/// One check of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, unlike any other of the plan.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// What is run.
    pub command: Line,
    /// Where, relative to the project; empty for the project itself.
    pub dir: String,
    /// After so many seconds it is ended.
    pub timeout_s: u64,
    /// Variables that it gets beside the usual ones.
    pub env: Vec<(String, String)>,
}

/// A check that would always succeed, or that the change took away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hollow {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// Where a plan comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Somebody asked for exactly this.
    Asked,
    /// The project's own list.
    Configured,
    /// What the files of the project show; the toolchains that were recognised.
    Detected(Vec<String>),
}

/// The checks of a project, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The checks; none means that there is nothing to check, which is no pass.
    pub checks: Vec<Check>,
    /// Checks that are none.
    pub hollow: Vec<Hollow>,
    /// Where the list comes from.
    pub source: Source,
}

impl Plan {
    /// Puts checks in the order in which they run and gives each a name of its own.
    pub(crate) fn ordered(mut checks: Vec<Check>, hollow: Vec<Hollow>, source: Source) -> Self {
        checks.sort_by_key(|it| it.kind);
        let mut names = std::collections::BTreeSet::new();
        for check in &mut checks {
            let mut name = check.name.clone();
            let mut n = 2;
            while !names.insert(name.clone()) {
                name = format!("{} {n}", check.name);
                n += 1;
            }
            check.name = name;
        }
        Self { checks, hollow, source }
    }
}
