//! The end of an objective whose time is bounded: at its deadline it ends with what stands, and nobody is asked.
//!
//! What was delivered by then is not called a failure, and what is just leaving the house is waited for a little while.

use crate::{OfWorkflow, Stimulus, World, brief};
use orcha_base::Timestamp;
use orcha_model::delivery::{Action, Standing};
use orcha_model::workflow::{Input, Phase};
use orcha_model::{PullRequest, Workflow, objective, pull_request};
use std::time::Duration;

/// How long after the deadline a delivery that is under way may take.
const LEAVING: Duration = Duration::from_secs(600);

pub(super) fn deadline(world: &World, now: Timestamp) -> Vec<Stimulus> {
    if due(world).is_none_or(|at| at > now) {
        return Vec::new();
    }
    match &world.workflow {
        // The result is delivered: that nobody looks back at it any more does not undo it.
        Some(it) if it.phase == Phase::Refine => {
            vec![Stimulus::Workflow(Box::new(OfWorkflow::It(Input::Reflected { hand_in: None })))]
        }
        Some(_) | None => {
            vec![Stimulus::Objective(objective::Input::Fail { reason: brief::overdue(world) })]
        }
    }
}

pub(super) fn wakes(world: &World) -> impl Iterator<Item = Timestamp> {
    due(world).into_iter()
}

/// Returns the instant at which it is ended; none where it has no deadline, or has its result delivered.
fn due(world: &World) -> Option<Timestamp> {
    let objective = &world.objective;
    if objective.is_over() {
        return None;
    }
    let at = objective.deadline()?;
    let Some(workflow) = &world.workflow else { return Some(at) };
    match workflow.phase {
        Phase::Done => None,
        // It says itself that it is done, as soon as it is let go on.
        Phase::Refine if objective.state == objective::State::Paused => None,
        Phase::Deliver => match leaving(world, workflow) {
            Leaving::Not => Some(at),
            Leaving::Now => Some(at + LEAVING),
            Leaving::Gone => None,
        },
        Phase::Digest
        | Phase::Direct
        | Phase::Charter
        | Phase::Design
        | Phase::ApprovePlan
        | Phase::Implement
        | Phase::Check
        | Phase::Verify
        | Phase::Repair
        | Phase::Finalize
        | Phase::ApproveDelivery
        | Phase::Refine
        | Phase::Exhausted
        | Phase::Stagnated => Some(at),
    }
}

/// How far a result has come out of the house.
enum Leaving {
    Not,
    Now,
    Gone,
}

fn leaving(world: &World, workflow: &Workflow) -> Leaving {
    if let Some(order) = &workflow.left.order {
        return match order.standing {
            Standing::UnderWay => Leaving::Now,
            Standing::Faulted { .. } | Standing::Refused { .. } => Leaving::Not,
        };
    }
    match workflow.action {
        Some(Action::Answer) | None => Leaving::Gone,
        Some(Action::PullRequest) => match world.pull_request_of(workflow) {
            Some(pr) => match pr.state {
                pull_request::State::Merged { .. } => Leaving::Gone,
                pull_request::State::Opening { .. } => Leaving::Now,
                pull_request::State::Open if pr.refusal.is_none() && is_ordered(workflow, pr) => Leaving::Now,
                pull_request::State::Draft | pull_request::State::Open | pull_request::State::Closed { .. } => {
                    Leaving::Not
                }
            },
            None => Leaving::Not,
        },
        Some(
            Action::DirectCommit
            | Action::ArtifactBundle
            | Action::MarkdownExport
            | Action::BlogDraft
            | Action::DocDraft
            | Action::Webhook,
        ) => Leaving::Not,
    }
}

/// Tells whether the merge of a pull request is ordered.
fn is_ordered(workflow: &Workflow, pr: &PullRequest) -> bool {
    workflow.left.merging.is_some() && workflow.left.merging == pr.head
}
