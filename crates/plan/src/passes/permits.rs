//! Requests of agents that wait for a person: an answer reaches the agent that asked, and a wait has an end.

use crate::{Stimulus, World};
use orcha_base::{SessionId, Timestamp};
use orcha_model::permission::{Grant, Said, said};
use orcha_model::question::Request;
use orcha_model::session::{Asking, Input, Permitted, State};

pub(super) fn permits(world: &World, now: Timestamp) -> Vec<Stimulus> {
    waiting(world)
        .filter(|(_, _, asking)| asking.until <= now)
        .map(|(session, attempt, asking)| {
            let answer = Permitted::Expired;
            Stimulus::Session(session, Input::PermissionAnswered { attempt, number: asking.number, answer })
        })
        .collect()
}

pub(super) fn wakes(world: &World) -> impl Iterator<Item = Timestamp> {
    waiting(world).map(|(_, _, asking)| asking.until)
}

fn waiting(world: &World) -> impl Iterator<Item = (SessionId, orcha_base::Attempt, &Asking)> {
    world.sessions.values().flat_map(|it| {
        let attempt = match it.state {
            State::Running { attempt, .. } => Some(attempt),
            _ => None,
        };
        it.asks.iter().filter_map(move |asking| Some((it.id, attempt?, asking)))
    })
}

/// Hands a person's answer to the session that asked.
pub(super) fn answer(request: &Request, session: SessionId, answer: &str) -> Stimulus {
    let allow = |grant| Permitted::Allow { input: request.input.clone(), grant };
    let answer = match said(answer) {
        Some(Said::Once) => allow(None),
        Some(Said::Session { prefix: Some(words) }) => allow(Some(Grant::Prefix { words })),
        Some(Said::Session { prefix: None }) => allow(Some(request.wish.grant())),
        Some(Said::No { why: Some(why) }) => {
            Permitted::Deny { reason: format!("The user does not allow `{}`: {why}", request.wish.tool) }
        }
        // What is no clear yes is a no; such an answer is not taken in the first place.
        Some(Said::No { why: None }) | None => Permitted::Deny {
            reason: format!("The user does not allow `{}`. Do it in another way.", request.wish.tool),
        },
    };
    Stimulus::Session(session, Input::PermissionAnswered { attempt: request.attempt, number: request.number, answer })
}
