//! Messages reach agents: one at a time, when the agent is idle; a parked one is woken, a busy one is cut off
//! if the message cannot wait. A worker that waits for words although none are on their way is told to go on.

use crate::{NewMessage, Stimulus, World, prompt};
use orcha_model::Session;
use orcha_model::message::{self, Message};
use orcha_model::session::{Input, State, Turn, Waiting};

pub(super) fn deliver(world: &World) -> Vec<Stimulus> {
    world.sessions.values().flat_map(|it| next_for(world, it)).collect()
}

fn next_for(world: &World, session: &Session) -> Vec<Stimulus> {
    let queued = |it: &&Message| matches!(it.state, message::State::Queued { .. });
    let mut waiting = world.waiting_messages(session.id).filter(queued);
    let Some(first) = waiting.next() else { return go_on(world, session).into_iter().collect() };
    match &session.state {
        State::Running { target, attempt, turn: Turn::Idle { .. }, .. } => vec![
            Stimulus::Message(first.id, message::Input::Send { attempt: *attempt, target: *target }),
            Stimulus::Session(session.id, Input::Spoken { attempt: *attempt, message: first.id }),
        ],
        State::Running { target, attempt, turn: Turn::Busy { .. }, .. } => {
            let urgent = std::iter::once(first).chain(waiting).find(|it| it.interrupt);
            let not_yet = |it: &&Message| it.state != message::State::Queued { interrupted: Some(*attempt) };
            let order =
                |it: &Message| Stimulus::Message(it.id, message::Input::CutOff { attempt: *attempt, target: *target });
            urgent.filter(not_yet).map(order).into_iter().collect()
        }
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
