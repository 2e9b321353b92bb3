//! Why a workflow does not move: who is at its step, or what the house waits for itself.

use super::Why;
use crate::{World, brief};
use orcha_model::delivery::Standing;
use orcha_model::workflow::Phase;
use orcha_model::{Session, Workflow, check, pull_request};

/// Explains a workflow that is under way.
pub(super) fn of_workflow(world: &World, workflow: &Workflow) -> Why {
    let (reason, way_out) = match workflow.phase {
        Phase::Digest
        | Phase::Direct
        | Phase::Charter
        | Phase::Design
        | Phase::Implement
        | Phase::Verify
        | Phase::Repair
        | Phase::Finalize
        | Phase::Refine => by_role(world, workflow),
        Phase::Check => by_checks(world, workflow),
        Phase::Deliver => by_delivery(world, workflow),
        Phase::ApprovePlan | Phase::ApproveDelivery => {
            (format!("it stands at {}: a person looks at it", workflow.phase), agreement(workflow).unwrap_or_default())
        }
        Phase::Done | Phase::Exhausted | Phase::Stagnated => {
            (format!("it stands at {}", workflow.phase), "it ends by itself".to_owned())
        }
    };
    Why { reason, since: workflow.since, way_out }
}

/// How a person agrees to what a workflow waits with, if that is what it waits for.
pub(super) fn agreement(workflow: &Workflow) -> Option<String> {
    matches!(workflow.phase, Phase::ApprovePlan | Phase::ApproveDelivery)
        .then(|| format!("`orcha workflow approve {}`, or with `--reject WHY`", workflow.objective.short()))
}

fn by_role(world: &World, workflow: &Workflow) -> (String, String) {
    let plays = |it: &&Session| !it.is_over() && it.part.as_ref().is_some_and(|part| workflow.is_current(part));
    let mut live: Vec<&Session> = world.sessions.values().filter(plays).collect();
    live.sort_by_key(|it| (it.created_at, it.id));
    let role = workflow.phase.role().map_or("nobody", |it| it.name());
    let progress = brief::progress(world, workflow);
    if live.is_empty() {
        let reason = format!("it stands at {}{progress}; nobody is at it yet", workflow.phase);
        return (reason, format!("the {role} is sent by itself"));
    }
    let who: Vec<String> = live.iter().map(|it| format!("\"{}\" is {}", it.title, it.state.name())).collect();
    let ask: Vec<String> = live.iter().map(|it| format!("`orcha why {}`", it.id.short())).collect();
    (format!("it stands at {}{progress}: {}", workflow.phase, who.join("; ")), ask.join(", "))
}

fn by_checks(world: &World, workflow: &Workflow) -> (String, String) {
    let run = workflow.left.check.and_then(|id| world.check_runs.get(&id));
    match run.map(|it| &it.state) {
        Some(check::State::Running) => (
            "its checks run in a clean checkout of the result".into(),
            "they end by themselves, or are ended when their time is over".into(),
        ),
        Some(check::State::Faulted { detail }) => {
            (format!("its checks could not be run: {detail}"), "the user is asked".into())
        }
        Some(check::State::Done { .. } | check::State::Canceled) | None => {
            ("its checks are looked at".into(), "it goes on by itself".into())
        }
    }
}

fn by_delivery(world: &World, workflow: &Workflow) -> (String, String) {
    let action = workflow.action.map_or_else(String::new, |it| it.to_string().replace('_', " "));
    if let Some(order) = &workflow.left.order {
        return match &order.standing {
            Standing::UnderWay => (
                format!("the result is being delivered: {action}"),
                "it is tried again by itself when something passing is in the way; then the user is asked".into(),
            ),
            Standing::Faulted { detail } => {
                (format!("the result could not be delivered: {detail}"), "the user is asked".into())
            }
            Standing::Refused { detail } => {
                (format!("the result could not be delivered: {detail}"), "it ends by itself".into())
            }
        };
    }
    match world.pull_request_of(workflow) {
        Some(pr) if matches!(pr.state, pull_request::State::Draft | pull_request::State::Open) => {
            let why = pr.refusal.as_ref().map_or_else(String::new, |it| format!("; its merge was refused: {it}"));
            let reason =
                format!("pull request {} is {}, its checks are {}{why}", pr.label(), pr.state.name(), pr.checks);
            let merges = workflow.wish.merge && pr.state == pull_request::State::Open && pr.refusal.is_none();
            let by_hand = format!("`orcha pr merge {}`, or a merge at the code host", pr.id.short());
            let way_out =
                if merges { format!("it is merged once its checks are green, or by {by_hand}") } else { by_hand };
            (reason, way_out)
        }
        _ => (format!("the result is being delivered: {action}"), "it goes on by itself".into()),
    }
}
