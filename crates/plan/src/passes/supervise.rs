//! The objective is never left without anybody who steers: an idle manager is poked, a missing one replaced,
//! and when the budget is spent one question is asked, never a second.
//!
//! Supervision costs tokens only when nothing else can move: no worker, no open pull request, no question, no
//! message on its way.

use crate::{NewMessage, NewQuestion, NewSession, Settings, Stimulus, World, prompt};
use orcha_base::Timestamp;
use orcha_model::objective::{self, Strategy};
use orcha_model::session::{State, Turn, Waiting};
use orcha_model::{Role, Session, message, question};

/// What supervision sees.
enum Sight<'w> {
    /// Something else moves the objective, or a person has to.
    LeaveAlone,
    /// Its manager has nothing to do since then.
    Idle { manager: &'w Session, since: Timestamp },
    /// Nobody steers.
    Missing,
}

pub(super) fn supervise(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    match look(world) {
        Sight::LeaveAlone => Vec::new(),
        Sight::Idle { since, .. } if now < quiet_until(world, since, settings) => Vec::new(),
        Sight::Idle { .. } if world.objective.managers.pokes >= settings.pokes => escalate(world),
        Sight::Idle { manager, .. } => poke(world, manager),
        Sight::Missing if spent(world, settings) => escalate(world),
        Sight::Missing if now < missing_until(world, settings) => Vec::new(),
        Sight::Missing => vec![Stimulus::NewSession(Box::new(replacement(world)))],
    }
}

pub(super) fn wakes(world: &World, settings: &Settings) -> Option<Timestamp> {
    match look(world) {
        Sight::LeaveAlone => None,
        Sight::Idle { since, .. } => Some(quiet_until(world, since, settings)),
        Sight::Missing => Some(missing_until(world, settings)),
    }
}

fn look(world: &World) -> Sight<'_> {
    let objective = &world.objective;
    let steered = objective.strategy == Strategy::Manager
        && objective.state == objective::State::Active
        && objective.tripped.is_none();
    if !steered || objective.managers.escalated || world.has_live_worker() {
        return Sight::LeaveAlone;
    }
    let untold = world.sessions.values().any(|it| it.role != Role::Manager && it.is_over() && !it.told)
        || world.pull_requests.values().any(|it| !it.state.is_live() && !it.told);
    let Some(manager) = world.live_manager() else {
        // An open pull request waits for people; what happened to it will bring a manager back.
        return if world.has_live_pull_request() && !untold { Sight::LeaveAlone } else { Sight::Missing };
    };
    if world.has_live_pull_request() || world.has_queued_message(manager.id) {
        return Sight::LeaveAlone;
    }
    match &manager.state {
        State::Running { turn: Turn::Idle { since }, .. } => Sight::Idle { manager, since: *since },
        State::WaitingCapacity { why: Waiting::Parked, .. } => Sight::Idle { manager, since: manager.updated_at },
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Sight::LeaveAlone,
    }
}

fn quiet_until(world: &World, since: Timestamp, settings: &Settings) -> Timestamp {
    let last = world.objective.managers.last_at.unwrap_or(since);
    since.max(last) + settings.manager_idle
}

fn missing_until(world: &World, settings: &Settings) -> Timestamp {
    let last = world.objective.managers.last_at.unwrap_or(world.objective.created_at);
    last + settings.manager_idle
}

fn spent(world: &World, settings: &Settings) -> bool {
    let managers = &world.objective.managers;
    managers.made.saturating_sub(managers.lost) >= settings.managers_genuine || managers.made >= settings.managers_total
}

fn poke(world: &World, manager: &Session) -> Vec<Stimulus> {
    let managers = &world.objective.managers;
    vec![
        Stimulus::NewMessage(NewMessage {
            session: manager.id,
            from: message::Sender::System,
            cause: format!("poke:{}:{}", managers.pokes, manager.revision.0),
            text: prompt::poke(world),
            interrupt: false,
            answers: None,
        }),
        Stimulus::Objective(objective::Input::Poked),
    ]
}

fn replacement(world: &World) -> NewSession {
    let mut new = NewSession::new(Role::Manager, "Manager (resumed)", prompt::respawn_goal(world));
    let last = world.sessions.values().rev().find(|it| it.role == Role::Manager);
    new.agent = last.map(|it| it.agent.clone());
    new
}

fn escalate(world: &World) -> Vec<Stimulus> {
    let managers = &world.objective.managers;
    vec![
        Stimulus::NewQuestion(NewQuestion {
            session: None,
            cause: "managers".into(),
            about: question::About::Managers,
            priority: 20,
            text: format!(
                "{} does not get on: {} managers were tried. What shall be done?",
                world.objective.title, managers.made
            ),
            context: Some(prompt::snapshot(world)),
            options: vec!["try again".into(), "fail".into(), "cancel".into()],
        }),
        Stimulus::Objective(objective::Input::Escalated),
    ]
}
