//! Messages reach agents: one at a time, when the agent is idle; a parked one is woken, a busy one is cut off
//! if the message cannot wait. A worker that waits for words although none are on their way is told to go on.

use crate::budget::{HAND_BACK, room};
use crate::{NewMessage, Settings, Stimulus, World, prompt};
use orcha_base::Timestamp;
use orcha_model::Session;
use orcha_model::budget::{HandBack, Room};
use orcha_model::message::{self, Message};
use orcha_model::provider::Gate;
use orcha_model::session::{Input, State, Turn, Waiting};

pub(super) fn deliver(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    world.sessions.values().flat_map(|it| next_for(world, it, now, settings)).collect()
}

/// When those may be spoken to whose provider is not called now.
pub(super) fn wakes(world: &World, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let waits = world.sessions.values().filter(|it| it.is_idle() && world.has_queued_message(it.id));
    waits.filter_map(move |it| match world.outlook.gate_of(it, now) {
        Gate::Open => None,
        Gate::Shut { until, .. } => Some(until),
    })
}

/// Says something to an agent that waits for it, if its provider may be called and enough is left for a turn.
fn speak(world: &World, session: &Session, first: &Message, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    let State::Running { target, attempt, .. } = session.state else { return Vec::new() };
    if world.outlook.gate_of(session, now) != Gate::Open {
        return Vec::new();
    }
    let last = session.counters.hand_back == HandBack::Wanted;
    let hands_back = world.waiting_messages(session.id).find(|it| it.cause.starts_with(HAND_BACK));
    let (message, amount) = match (last, hands_back) {
        (true, Some(message)) => (message, settings.estimates.hand_back),
        // It was set aside when the session was placed.
        (true, None) | (false, _) if session.counters.reserved.is_some() => (first, session.counters.held()),
        (true, None) | (false, _) => match room(world, session, settings) {
            Room::Fits(amount) => (first, amount),
            Room::Later(_) | Room::Never(_) => return Vec::new(),
        },
    };
    vec![
        Stimulus::Session(session.id, Input::Reserve { amount }),
        Stimulus::Message(message.id, message::Input::Send { attempt, target }),
        Stimulus::Session(session.id, Input::Spoken { attempt, message: message.id }),
    ]
}

fn next_for(world: &World, session: &Session, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    let queued = |it: &&Message| matches!(it.state, message::State::Queued { .. });
    let mut waiting = world.waiting_messages(session.id).filter(queued);
    let Some(first) = waiting.next() else { return go_on(world, session).into_iter().collect() };
    match &session.state {
        // Its process is about to end by itself, and the message opens the next one.
        State::Running { turn: Turn::Idle { .. }, .. } if settings.hears_once.contains(&session.agent.kind) => {
            Vec::new()
        }
        State::Running { turn: Turn::Idle { .. }, .. } => speak(world, session, first, now, settings),
        State::Running { target, attempt, turn: Turn::Busy { .. }, .. } => {
            let urgent = std::iter::once(first).chain(waiting).find(|it| it.interrupt);
            let not_yet = |it: &&Message| it.state != message::State::Queued { interrupted: Some(*attempt) };
            let order =
                |it: &Message| Stimulus::Message(it.id, message::Input::CutOff { attempt: *attempt, target: *target });
            urgent.filter(not_yet).map(order).into_iter().collect()
        }
        // A person has the keyboard.
        State::Running { turn: Turn::Held { .. }, .. } => Vec::new(),
        State::WaitingCapacity { why: Waiting::Parked, .. } => vec![Stimulus::Session(session.id, Input::Wake)],
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Vec::new(),
    }
}

/// What it waited for may have reached an earlier attempt after all, or its turn was cut off for nothing.
fn go_on(world: &World, session: &Session) -> Option<Stimulus> {
    let State::Running { turn: Turn::Idle { since }, attempt, .. } = &session.state else { return None };
    if session.role.traits().stays || world.waiting_messages(session.id).next().is_some() {
        return None;
    }
    Some(Stimulus::NewMessage(NewMessage {
        session: session.id,
        from: message::Sender::System,
        cause: format!("go-on:{attempt}:{}", since.as_micros()),
        text: prompt::go_on(session),
        interrupt: false,
        answers: None,
    }))
}
