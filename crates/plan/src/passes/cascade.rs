//! Ends spread: from a failed dependency to its dependents, from a canceled parent to its children, from an
//! ended objective to everything in it. And success spreads: a session whose dependencies succeeded is released.

use crate::{Stimulus, World};
use orcha_base::Attempt;
use orcha_model::session::{Input, State};
use orcha_model::{Role, Session, objective};

pub(super) fn cascade(world: &World) -> Vec<Stimulus> {
    let live = || world.sessions.values().filter(|it| !it.is_over());
    match &world.objective.state {
        objective::State::Succeeded => live().map(|it| Stimulus::Session(it.id, at_success(it))).collect(),
        objective::State::Failed { .. } => live().map(|it| cancel(it, "its objective failed")).collect(),
        objective::State::Canceled { .. } => live().map(|it| cancel(it, "its objective was canceled")).collect(),
        objective::State::Paused => {
            live().filter(|it| it.state != State::Paused).map(|it| Stimulus::Session(it.id, Input::Pause)).collect()
        }
        objective::State::Active | objective::State::WaitingUser => {
            live().filter_map(|it| of_relatives(world, it)).collect()
        }
    }
}

fn at_success(session: &Session) -> Input {
    match session.role {
        Role::Manager => Input::ObjectiveDone,
        Role::Implementer
        | Role::Reviewer
        | Role::Validator
        | Role::Researcher
        | Role::PrFollowup
        | Role::CiFollowup
        | Role::Custom
        | Role::Director
        | Role::ProjectManager
        | Role::Architect
        | Role::Qa
        | Role::Finalizer
        | Role::Refiner => Input::Cancel { reason: "its objective is done".into() },
    }
}

fn of_relatives(world: &World, session: &Session) -> Option<Stimulus> {
    let parent = session.parent.and_then(|id| world.sessions.get(&id));
    if let Some(State::Canceled { .. }) = parent.map(|it| &it.state) {
        return Some(cancel(session, "its parent was canceled"));
    }
    let follows = session.pull_request.and_then(|id| world.pull_requests.get(&id));
    if let Some(pr) = follows.filter(|it| !it.state.is_live() && session.attempt == Attempt(0)) {
        let reason = format!("its pull request is {}", pr.state.name());
        return Some(Stimulus::Session(session.id, Input::Cancel { reason }));
    }
    let before = || session.depends_on.iter().filter_map(|id| world.sessions.get(id));
    if let Some(bad) = before().find(|it| matches!(it.state, State::Failed { .. } | State::Canceled { .. })) {
        let reason = match &bad.state {
            State::Failed { reason, .. } => format!("it depends on {}, which failed: {reason}", bad.title),
            State::Canceled { reason } => format!("it depends on {}, which was canceled: {reason}", bad.title),
            State::Queued { .. }
            | State::WaitingCapacity { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::WaitingUser { .. }
            | State::Paused
            | State::Succeeded { .. } => return None,
        };
        return Some(Stimulus::Session(session.id, Input::Cancel { reason }));
    }
    let waits = matches!(session.state, State::Queued { released: false });
    let ready = before().all(|it| matches!(it.state, State::Succeeded { .. }));
    // What is still being ended and kept is not gone on with.
    let kept = world.predecessors(session).all(|it| it.stopping.is_none());
    let release = || Input::Release { pin: world.target_of_predecessors(session) };
    (waits && ready && kept).then(|| Stimulus::Session(session.id, release()))
}

fn cancel(session: &Session, reason: &str) -> Stimulus {
    Stimulus::Session(session.id, Input::Cancel { reason: reason.into() })
}
