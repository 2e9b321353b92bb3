//! Another provider takes over while one refuses, where the session allows it. A short wait is sat out: a new
//! conversation costs more than that.

use crate::{Settings, Stimulus, World};
use orcha_base::Timestamp;
use orcha_model::Session;
use orcha_model::provider::{self, Gate};
use orcha_model::session::{AgentChoice, Input, State, Waiting};

pub(super) fn fallback(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    let moves = world.sessions.values().filter_map(|it| {
        let agent = another(world, it, now, settings)?;
        Some(Stimulus::Session(it.id, Input::Move { agent }))
    });
    moves.collect()
}

/// When one that could take over may be called again.
pub(super) fn wakes<'w>(
    world: &'w World,
    now: Timestamp,
    settings: &'w Settings,
) -> impl Iterator<Item = Timestamp> + 'w {
    let waits = world.sessions.values().filter(|it| waits_for_provider(it).is_some());
    waits.flat_map(move |it| {
        let opens = |kind: &str| match world.outlook.gate(kind, it.id, now) {
            Gate::Open => None,
            Gate::Shut { until, .. } => Some(until),
        };
        alternatives(world, it, settings).into_iter().filter_map(move |kind| opens(&kind)).collect::<Vec<_>>()
    })
}

fn waits_for_provider(session: &Session) -> Option<Timestamp> {
    match &session.state {
        State::WaitingCapacity { why: Waiting::Provider { .. }, until: Some(until) } => Some(*until),
        _ => None,
    }
}

/// Returns the agent that takes over, if one may and can.
fn another(world: &World, session: &Session, now: Timestamp, settings: &Settings) -> Option<AgentChoice> {
    let until = waits_for_provider(session).filter(|_| session.stopping.is_none())?;
    if world.outlook.gate_of(session, now) == Gate::Open {
        return None;
    }
    // Who said nothing yet loses nothing by beginning elsewhere.
    if session.conversation.is_some() && until.since(now) < settings.fallback_after {
        return None;
    }
    let kinds = alternatives(world, session, settings);
    let outlook = &world.outlook;
    let there = kinds.iter().filter(|it| outlook.kinds.contains(*it));
    let among = there.map(|it| (it.as_str(), outlook.providers.get(it)));
    let kind = provider::choose(among, session.id, now)?.to_owned();
    let back = session.handover.as_ref().map(|it| &it.from).filter(|it| it.kind == kind);
    let back = back.cloned().unwrap_or_else(|| AgentChoice::of(kind.as_str()));
    // It may come back to where it was when the next one refuses, too.
    let mut fallback: Vec<String> = kinds.into_iter().filter(|it| *it != kind).collect();
    fallback.push(session.agent.kind.clone());
    Some(AgentChoice { fallback: Some(fallback), ..back })
}

fn alternatives(world: &World, session: &Session, settings: &Settings) -> Vec<String> {
    let usual = || settings.fallback.get(&session.agent.kind).cloned().unwrap_or_default();
    let mut kinds = session.agent.fallback.clone().unwrap_or_else(usual);
    kinds.retain(|it| *it != session.agent.kind && world.objective.policy.allows_agent(it));
    kinds
}
