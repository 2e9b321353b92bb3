//! Guards that need a clock: an attempt that runs too long, a turn that stands still.

use crate::{Stimulus, World};
use orcha_base::Timestamp;
use orcha_model::session::{Input, State, Turn};
use orcha_model::{Session, Trip};
use std::time::Duration;

pub(super) fn guards(world: &World, now: Timestamp) -> Vec<Stimulus> {
    let due =
        |it: &Session| deadlines(world, it).into_iter().flatten().find(|(at, _)| *at <= now).map(|(_, trip)| trip);
    world.sessions.values().filter_map(|it| Some(Stimulus::Session(it.id, Input::Trip { trip: due(it)? }))).collect()
}

pub(super) fn wakes(world: &World) -> impl Iterator<Item = Timestamp> {
    world.sessions.values().flat_map(|it| deadlines(world, it)).flatten().map(|(at, _)| at)
}

fn deadlines(world: &World, session: &Session) -> [Option<(Timestamp, Trip)>; 2] {
    let State::Running { turn, since, .. } = &session.state else { return [None, None] };
    let limits = &world.objective.limits;
    let after = |from: Timestamp, secs: u64, trip: Trip| (secs > 0).then(|| (from + Duration::from_secs(secs), trip));
    let wall_clock = if session.role.traits().stays {
        None
    } else {
        after(*since, limits.wall_clock_secs, Trip::WallClock { secs: limits.wall_clock_secs })
    };
    let stall = match turn {
        // It stands still because a person was asked; that wait has an end of its own.
        Turn::Busy { .. } if !session.asks.is_empty() => None,
        Turn::Busy { heard_at } => after(*heard_at, limits.stall_secs, Trip::Stall { secs: limits.stall_secs }),
        Turn::Idle { .. } | Turn::Held { .. } => None,
    };
    [wall_clock, stall]
}
