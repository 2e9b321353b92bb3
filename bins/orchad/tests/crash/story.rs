//! What is played while the daemon is killed, and what must have come of it in the end.

use crate::witness::Witness;
use anyhow::Result;
use orcha_base::ObjectiveId;
use orcha_client::Client;
use orchad::demo::sample::Sample;
use orchad::demo::{objective_for, pipeline, real, reviewer};
use std::path::Path;
use std::time::Duration;

/// One of the demos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A manager, three implementers, a follow-up, and a person who reviews.
    Manager,
    /// The same with real programs as the agents, whose model follows a script.
    Real,
    /// Models in every role but the Implementers', a check that is red at first, and a repair.
    Pipeline,
}

impl Story {
    /// Finds a scripted story by the word for it.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "manager" => Some(Self::Manager),
            "pipeline" => Some(Self::Pipeline),
            _ => None,
        }
    }

    /// How many kills hit one objective at the most: then it is let go on, so that it ends.
    pub const fn kills_of_one(self) -> u64 {
        match self {
            Self::Manager | Self::Real => 12,
            // It takes three times as long.
            Self::Pipeline => 34,
        }
    }

    /// How long one round may take before something hangs.
    pub const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Manager => 150,
            Self::Pipeline => 300,
            Self::Real => 600,
        })
    }

    /// How many times longer than those that follow a script its agents take for the same.
    pub const fn pace(self) -> u32 {
        match self {
            Self::Manager | Self::Pipeline => 1,
            Self::Real => 8,
        }
    }

    /// Makes the sample.
    pub fn sample(self, root: &Path) -> Result<Sample> {
        match self {
            Self::Manager | Self::Real => Sample::make(root),
            Self::Pipeline => Sample::make_for_pipeline(root),
        }
    }

    /// Asks for it, with a named program as the agents, each of them watched.
    pub async fn begin(
        self,
        client: &Client,
        program: &Path,
        sample: &Sample,
        witness: &Witness,
    ) -> Result<ObjectiveId> {
        match self {
            Self::Manager => {
                let mut wish = objective_for(program, sample)?;
                witness.watch(&mut wish.agent_program);
                Ok(client.create_objective(&wish).await?.objective.id)
            }
            // What watches them is in the settings of their kinds.
            Self::Real => Ok(client.create_objective(&real::objective(sample)?).await?.objective.id),
            Self::Pipeline => {
                let mut wish = pipeline::request_for(program, sample)?;
                for it in wish.personas.values_mut() {
                    // What plays models anyway is named, so that it can be watched.
                    it.program.get_or_insert_with(|| vec![program.display().to_string(), "llm-agent".to_owned()]);
                    witness.watch(&mut it.program);
                }
                Ok(client.create_workflow(&wish).await?.row.id)
            }
        }
    }

    /// Tells whether a person reviews and merges.
    pub const fn has_reviewer(self) -> bool {
        matches!(self, Self::Manager | Self::Real)
    }

    /// The roles of its sessions, in the order of the alphabet: who is there twice was sent twice.
    pub const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Manager | Self::Real => &["implementer", "implementer", "implementer", "manager", "pr_followup"],
            Self::Pipeline => &[
                "architect",
                "architect",
                "director",
                "finalizer",
                "implementer",
                "implementer",
                "implementer",
                "implementer",
                "project_manager",
                "qa",
                "qa",
                "refiner",
            ],
        }
    }

    /// How many pull requests are merged in the end.
    pub const fn pull_requests(self) -> usize {
        match self {
            Self::Manager | Self::Real => reviewer::PULL_REQUESTS,
            Self::Pipeline => 1,
        }
    }

    /// How many commits its agents make.
    pub const fn commits(self) -> usize {
        match self {
            Self::Manager | Self::Real => 4,
            Self::Pipeline => 3,
        }
    }

    /// What the origin's main branch has in the end.
    pub const fn on_main(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Manager | Self::Real => {
                &[("lib/farewell.sh", "Goodbye"), ("greet.sh", "--bye"), ("docs/USAGE.md", "--bye")]
            }
            Self::Pipeline => &[("lib/farewell.sh", "Goodbye"), ("docs/USAGE.md", "--bye")],
        }
    }
}
