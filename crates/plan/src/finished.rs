//! What is kept of a run of the pipeline once it has ended: read off its world.

use crate::World;
use crate::brief::output;
use orcha_model::check;
use orcha_model::contract::Output;
use orcha_model::finished::{End, Run, Trouble};
use orcha_model::{objective, session};
use std::collections::{BTreeMap, BTreeSet};

/// How many different troubles of one run are kept.
const TROUBLES: usize = 50;

/// Returns the run of an objective that has ended and was a workflow.
pub fn finished(world: &World) -> Option<Run> {
    let workflow = world.workflow.as_ref()?;
    let objective = &world.objective;
    let end = match objective.state {
        objective::State::Succeeded => End::Completed,
        objective::State::Failed { .. } => End::Failed,
        objective::State::Canceled { .. } => End::Canceled,
        objective::State::Active | objective::State::WaitingUser | objective::State::Paused => return None,
    };
    let health = match output(world, workflow.left.retrospective) {
        Some(Output::Retrospective(it)) => Some(it.health_score),
        _ => None,
    };
    Some(Run {
        id: objective.id,
        tenant: objective.tenant.clone(),
        scope: objective.scope.clone(),
        title: objective.title.clone(),
        ended_at: objective.completed_at.unwrap_or(objective.updated_at),
        end,
        repairs: workflow.cycle,
        micro_usd: objective.used.micro_usd,
        tokens: objective.used.tokens(),
        health,
        retrospective: workflow.left.retrospective,
        troubles: troubles(world),
        texts: workflow.texts.iter().map(|it| (it.surface.clone(), it.version)).collect(),
        tried: workflow.tried.clone(),
        providers: providers(world),
    })
}

fn troubles(world: &World) -> BTreeSet<Trouble> {
    let mut found = BTreeSet::new();
    for run in world.check_runs.values() {
        let check::State::Done { outcome } = &run.state else { continue };
        let red = outcome.receipts.iter().filter(|it| !it.passed());
        found.extend(red.map(|it| Trouble::new("implementer", "check_failed", &it.name)));
    }
    for it in world.hand_ins.values() {
        let role = it.phase.role().map_or("", |it| it.name());
        if !it.violations.is_empty() {
            found.insert(Trouble::new(role, "violation", &it.violations.join(", ")));
        }
        if let Output::Verdict(verdict) = &it.output {
            let blocking = verdict.blocking_issues.iter();
            let said = blocking.map(|it| format!("{}: {}", it.component, it.description));
            found.extend(said.map(|it| Trouble::new("implementer", "blocking_issue", &it)));
        }
    }
    for it in world.sessions.values() {
        let Some(part) = &it.part else { continue };
        if let session::State::Failed { reason, .. } = &it.state {
            found.insert(Trouble::new(it.role.name(), "retry", reason));
        }
        if part.reminded {
            found.insert(Trouble::new(it.role.name(), "rejected_output", "ended its turn with nothing handed in"));
        }
    }
    found.into_iter().take(TROUBLES).collect()
}

/// Who played each role in the end.
fn providers(world: &World) -> BTreeMap<String, String> {
    let mut played: Vec<_> = world.sessions.values().filter(|it| it.part.is_some()).collect();
    played.sort_by_key(|it| (it.created_at, it.id));
    let name = |it: &session::Session| match &it.agent.model {
        Some(model) => format!("{}:{model}", it.agent.kind),
        None => it.agent.kind.clone(),
    };
    played.into_iter().map(|it| (it.role.name().to_owned(), name(it))).collect()
}
