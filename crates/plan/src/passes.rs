//! The passes over one objective. Each looks at the whole world and proposes; none changes anything.
//!
//! They are level-triggered: a pass proposes what is missing, and proposes nothing once it is there. So it
//! does not matter in which order things happened, or whether the daemon died in between.

mod answers;
mod budget;
mod cascade;
mod closed;
mod deadline;
mod deliver;
mod fallback;
mod guards;
mod permits;
mod pipeline;
mod publish;
mod reclaim;
mod settle;
mod supervise;
mod tell;
mod triage;

use crate::{Settings, Stimulus, World};
use orcha_base::Timestamp;

/// A look at the whole world that proposes what is missing.
type Pass = fn(&World, Timestamp, &Settings) -> Vec<Stimulus>;

/// Runs the passes in order and returns what the first one with something to say proposes.
///
/// One pass at a time: what it proposes is decided before the next one looks.
pub fn propose(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    let passes: [Pass; 16] = [
        // Before everything else: nothing new begins once the time is over.
        |world, now, _| deadline::deadline(world, now),
        |world, _, _| cascade::cascade(world),
        // Before the books are balanced: an objective whose work is not published yet has not ended.
        |world, _, _| publish::publish(world),
        // Before the books are balanced: a request that nobody answered in time leaves a question behind.
        |world, now, _| permits::permits(world, now),
        |world, _, settings| settle::settle(world, settings),
        |world, _, _| answers::answers(world),
        |world, _, settings| pipeline::pipeline(world, settings),
        |world, _, _| closed::closed(world),
        |world, _, _| tell::tell(world),
        triage::triage,
        |world, now, _| guards::guards(world, now),
        fallback::fallback,
        |world, _, settings| budget::budget(world, settings),
        deliver::deliver,
        supervise::supervise,
        reclaim::reclaim,
    ];
    passes.iter().map(|pass| pass(world, now, settings)).find(|proposals| !proposals.is_empty()).unwrap_or_default()
}

/// Returns the next instant at which a pass may propose something without any input.
pub fn next_wake(world: &World, now: Timestamp, settings: &Settings) -> Option<Timestamp> {
    let waits = world.sessions.values().filter_map(orcha_model::Session::wakes_at);
    waits
        .chain(triage::wakes(world, settings))
        .chain(guards::wakes(world))
        .chain(deadline::wakes(world))
        .chain(deliver::wakes(world, now))
        .chain(fallback::wakes(world, now, settings))
        .chain(permits::wakes(world))
        .chain(supervise::wakes(world, settings))
        .chain(reclaim::wakes(world, settings))
        .filter(|at| *at > now)
        .min()
}
