//! Whoever steers is told what became of what it ordered: sessions that ended, pull requests that were merged
//! or closed, feedback that was given up. Each end is told once, as a message with the end as its cause.

use crate::{NewMessage, Stimulus, World, prompt};
use orcha_model::session::{self, FaultClass};
use orcha_model::{PullRequest, Role, message, objective, pull_request};

pub(super) fn tell(world: &World) -> Vec<Stimulus> {
    let mut proposals = Vec::new();
    // A manager that ended has nobody above it; only the budget of supervision hears of it.
    for manager in world.sessions.values().filter(|it| it.role == Role::Manager && it.is_over() && !it.told) {
        if let session::State::Failed { fault: FaultClass::Infrastructure, .. } = manager.state {
            proposals.push(Stimulus::Objective(objective::Input::ManagerLost));
        }
        proposals.push(Stimulus::Session(manager.id, session::Input::Told));
    }
    if !proposals.is_empty() {
        return proposals;
    }
    let nobody_will_ask = world.objective.is_over() || world.objective.strategy != objective::Strategy::Manager;
    let manager = world.live_manager().map(|it| it.id);
    for session in world.sessions.values().filter(|it| it.role != Role::Manager && it.is_over() && !it.told) {
        match manager {
            Some(manager) => proposals.push(Stimulus::NewMessage(NewMessage {
                session: manager,
                from: message::Sender::System,
                cause: format!("session:{}", session.id),
                text: prompt::session_ended(world, session),
                interrupt: false,
                answers: None,
            })),
            None if nobody_will_ask => {}
            None => continue,
        }
        proposals.push(Stimulus::Session(session.id, session::Input::Told));
    }
    proposals.extend(world.pull_requests.values().flat_map(|it| tell_followers(world, it)));
    for pr in world.pull_requests.values().filter(|it| !it.state.is_live() && !it.told) {
        match manager {
            Some(manager) => proposals.push(Stimulus::NewMessage(NewMessage {
                session: manager,
                from: message::Sender::System,
                cause: format!("pull_request:{}:{}:{}", pr.id, pr.state.name(), pr.revision.0),
                text: prompt::pull_request_ended(world, pr),
                interrupt: false,
                answers: None,
            })),
            None if nobody_will_ask => {}
            None => continue,
        }
        proposals.push(Stimulus::PullRequest(pr.id, pull_request::Input::Told));
    }
    proposals
}

/// Whoever works on a pull request hears that it was merged: nothing is pushed to it any more.
fn tell_followers(world: &World, pr: &PullRequest) -> Vec<Stimulus> {
    if !matches!(pr.state, pull_request::State::Merged { .. }) || pr.closing.followers_told {
        return Vec::new();
    }
    let at_work = world.sessions.values().filter(|it| it.pull_request == Some(pr.id) && !it.is_over());
    let mut proposals: Vec<Stimulus> = at_work
        .map(|it| {
            Stimulus::NewMessage(NewMessage {
                session: it.id,
                from: message::Sender::System,
                cause: format!("merged:{}", pr.id),
                text: prompt::merged_meanwhile(pr),
                interrupt: false,
                answers: None,
            })
        })
        .collect();
    proposals.push(Stimulus::PullRequest(pr.id, pull_request::Input::FollowersTold));
    proposals
}
