//! Whoever wants to be spoken to although no turn fits any more hands back what it has; then the user is asked, once.

use crate::budget::{HAND_BACK, can_hand_back, room};
use crate::{NewMessage, Settings, Stimulus, World, prompt};
use orcha_model::budget::{HandBack, Room, Scope};
use orcha_model::session::Input;
use orcha_model::{Session, Trip, message, objective};

pub(super) fn budget(world: &World, settings: &Settings) -> Vec<Stimulus> {
    let wants = world.sessions.values().filter(|it| it.is_idle() && world.has_queued_message(it.id));
    let may_speak = |it: &&Session| it.counters.hand_back == HandBack::Wanted || it.counters.reserved.is_some();
    wants.filter(|it| !may_speak(it)).flat_map(|it| at_a_cap(world, it, settings)).collect()
}

fn at_a_cap(world: &World, session: &Session, settings: &Settings) -> Vec<Stimulus> {
    let trip = match &world.objective.tripped {
        Some(trip @ Trip::Budget { .. }) => trip.clone(),
        Some(_) => return Vec::new(),
        None => match room(world, session, settings) {
            Room::Never(trip) => trip,
            Room::Fits(_) | Room::Later(_) => return Vec::new(),
        },
    };
    let mut proposals = Vec::new();
    let own = matches!(trip, Trip::Budget { scope: Scope::Session, .. });
    if !own && world.objective.tripped.is_none() {
        proposals.push(Stimulus::Objective(objective::Input::Trip { trip: trip.clone() }));
    }
    if can_hand_back(world, session, settings) {
        proposals.push(Stimulus::Session(session.id, Input::HandBack));
        proposals.push(Stimulus::NewMessage(NewMessage {
            session: session.id,
            from: message::Sender::System,
            cause: format!("{HAND_BACK}{}:{}", session.attempt, session.counters.turns),
            text: prompt::hand_back(&trip),
            interrupt: false,
            answers: None,
        }));
    } else if own {
        proposals.push(Stimulus::Session(session.id, Input::Trip { trip }));
    }
    proposals
}
