//! Books are balanced: questions of ended work are closed, messages for the dead are given up or queued
//! again, whoever waits for a person has a question open, and the objective says so.

use super::publish;
use crate::budget::finishes;
use crate::{NewQuestion, Settings, Stimulus, World, prompt};
use orcha_model::pull_request::{self, ClosedDecision};
use orcha_model::session::{State, UserWait};
use orcha_model::{PullRequest, Role, Session, message, objective, question, session};

pub(super) fn settle(world: &World, settings: &Settings) -> Vec<Stimulus> {
    let mut proposals = Vec::new();
    proposals.extend(questions_nobody_needs(world));
    proposals.extend(messages_out_of_step(world));
    if !world.objective.is_over() {
        proposals.extend(trips_of_the_objective(world, settings));
        proposals.extend(world.sessions.values().filter_map(|it| missing_question(world, it)));
    }
    if proposals.is_empty() {
        proposals.extend(state_of_the_objective(world));
    }
    proposals
}

fn questions_nobody_needs(world: &World) -> impl Iterator<Item = Stimulus> {
    world.questions.values().filter_map(|it| {
        if !matches!(it.state, question::State::Open | question::State::Answered { .. }) {
            return None;
        }
        let asker = it.session.and_then(|id| world.sessions.get(&id));
        let obsolete = world.objective.is_over()
            || asker.is_some_and(Session::is_over)
            || match &it.about {
                question::About::Guard { .. } | question::About::Help { .. } => {
                    it.state == question::State::Open
                        && !asker.is_some_and(|asker| matches!(asker.state, State::WaitingUser { answered: false, .. }))
                }
                question::About::ObjectiveGuard { .. } => {
                    it.state == question::State::Open && world.objective.tripped.is_none()
                }
                question::About::ClosedPullRequest { pull_request } => {
                    let closed = |pr: &PullRequest| matches!(pr.state, pull_request::State::Closed { .. });
                    it.state == question::State::Open && !world.pull_requests.get(pull_request).is_some_and(closed)
                }
                // The workflow went on, or was sent back: nobody waits for this gate any more.
                question::About::Workflow { gate } => {
                    it.state == question::State::Open && !super::pipeline::waits_at(world, gate)
                }
                question::About::Permission(request) => {
                    !asker.is_some_and(|asker| asker.asks.iter().any(|it| it.number == request.number))
                }
                question::About::Asked | question::About::Managers => false,
            };
        obsolete.then_some(Stimulus::Question(it.id, question::Input::Cancel))
    })
}

fn messages_out_of_step(world: &World) -> impl Iterator<Item = Stimulus> {
    world.messages.values().filter(|it| it.state.is_waiting()).filter_map(|it| {
        let session = world.sessions.get(&it.session)?;
        if session.is_over() {
            return Some(Stimulus::Message(it.id, message::Input::SessionOver));
        }
        match it.state {
            message::State::Sent { attempt } if !world.holds(it.session, attempt) => {
                Some(Stimulus::Message(it.id, message::Input::Lost { attempt }))
            }
            message::State::Sent { .. }
            | message::State::Queued { .. }
            | message::State::Acknowledged
            | message::State::Undeliverable => None,
        }
    })
}

fn trips_of_the_objective(world: &World, settings: &Settings) -> Vec<Stimulus> {
    let Some(trip) = &world.objective.tripped else { return Vec::new() };
    let at_work = |it: &&Session| match it.state {
        State::Queued { released } => released,
        State::WaitingCapacity { .. } | State::Starting { .. } | State::Running { .. } => true,
        State::WaitingUser { .. } | State::Paused => false,
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => false,
    };
    let mut proposals: Vec<Stimulus> = world
        .sessions
        .values()
        .filter(|it| at_work(it) && !finishes(world, it, trip, settings))
        .map(|it| Stimulus::Session(it.id, session::Input::Trip { trip: trip.clone() }))
        .collect();
    let about = question::About::ObjectiveGuard { trip: trip.clone() };
    if !world.questions.values().any(|it| {
        it.about == about && !matches!(it.state, question::State::Canceled | question::State::Delivered { .. })
    }) {
        proposals.push(Stimulus::NewQuestion(NewQuestion {
            session: None,
            cause: format!("objective-guard:{}", trip.name()),
            about,
            priority: 10,
            text: format!("The objective was paused: {trip}. Shall it go on?"),
            context: None,
            options: vec!["continue".into(), "cancel".into()],
        }));
    }
    proposals
}

fn missing_question(world: &World, session: &Session) -> Option<Stimulus> {
    let State::WaitingUser { why, answered: false } = &session.state else { return None };
    let (about, text) = match why {
        // It asked by itself; whether the answer is there is the business of `answers`.
        UserWait::Question => return None,
        // The objective's own question stands for all of them.
        UserWait::Guard { trip } if world.objective.tripped.as_ref() == Some(trip) => return None,
        UserWait::Guard { trip } => (
            question::About::Guard { trip: trip.clone() },
            format!("{} was paused: {trip}. Shall it go on?", session.title),
        ),
        UserWait::Help { class } => (
            question::About::Help { class: class.clone() },
            format!("{} cannot go on ({class}): {}", session.title, prompt::remedy(class)),
        ),
    };
    let cause = format!("wait:{}:{}", session.id, session.attempt);
    let asked = |it: &question::Question| {
        it.cause == cause && matches!(it.state, question::State::Open | question::State::Answered { .. })
    };
    if world.questions.values().any(asked) {
        return None;
    }
    Some(Stimulus::NewQuestion(NewQuestion {
        session: Some(session.id),
        cause,
        about,
        priority: 10,
        text,
        context: session.latest_summary.clone(),
        options: vec!["continue".into(), "cancel".into()],
    }))
}

fn state_of_the_objective(world: &World) -> Option<Stimulus> {
    let asks = world.open_questions().next().is_some();
    match world.objective.state {
        objective::State::Active if asks => Some(Stimulus::Objective(objective::Input::Asked)),
        objective::State::WaitingUser if !asks => Some(Stimulus::Objective(objective::Input::AllAnswered)),
        objective::State::Active if world.objective.strategy == objective::Strategy::Direct => end_of_direct(world),
        objective::State::Active
        | objective::State::WaitingUser
        | objective::State::Paused
        | objective::State::Succeeded
        | objective::State::Failed { .. }
        | objective::State::Canceled { .. } => None,
    }
}

/// Without a manager the objective ends with its last session and its last pull request.
fn end_of_direct(world: &World) -> Option<Stimulus> {
    if world.sessions.is_empty() || world.sessions.values().any(|it| !it.is_over()) || world.has_live_pull_request() {
        return None;
    }
    let bad = world.sessions.values().find(|it| {
        !matches!(it.state, State::Succeeded { .. }) && !publish::is_tried_again(world, it) && !was_overtaken(world, it)
    });
    let steered = world.sessions.values().any(|it| it.role == Role::Manager);
    let unpublished = || world.sessions.values().filter(|_| !steered).find_map(|it| not_merged(world, it));
    let bad = bad.map(how_it_ended).or_else(unpublished);
    Some(Stimulus::Objective(match bad {
        Some(reason) => objective::Input::Fail { reason },
        None => objective::Input::Done { summary: what_came_of_it(world) },
    }))
}

/// Says how a session ended that did not succeed.
fn how_it_ended(session: &Session) -> String {
    match &session.state {
        State::Failed { reason, .. } => format!("{} failed: {reason}", session.title),
        State::Canceled { reason } => format!("{} was canceled: {reason}", session.title),
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::Starting { .. }
        | State::Running { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. } => format!("{} is {}", session.title, session.state.name()),
    }
}

/// Nobody needs what a follow-up did not get done once its pull request is merged.
fn was_overtaken(world: &World, session: &Session) -> bool {
    let pr = session.pull_request.and_then(|id| world.pull_requests.get(&id));
    pr.is_some_and(|it| matches!(it.state, pull_request::State::Merged { .. }))
}

/// Says why a session's work is not in the repository, if it should be.
fn not_merged(world: &World, session: &Session) -> Option<String> {
    let pr = publish::of(world, session)?;
    let pull_request::State::Closed { why } = &pr.state else { return None };
    match (pr.number, pr.closing.decision) {
        (_, ClosedDecision::Empty | ClosedDecision::Replaced) => None,
        (None, _) => Some(format!("the work of {} could not be published: {why}", session.title)),
        (Some(_), _) => Some(format!("pull request {} was {why}", pr.label())),
    }
}

fn what_came_of_it(world: &World) -> String {
    let n = world.sessions.len();
    let mut said = vec![if n == 1 { "1 session succeeded".to_owned() } else { format!("{n} sessions succeeded") }];
    for pr in world.pull_requests.values() {
        match (&pr.state, pr.closing.decision) {
            (pull_request::State::Merged { .. }, _) => {
                said.push(format!("pull request {} was merged", pr.label()));
            }
            (pull_request::State::Closed { why }, ClosedDecision::Empty) => said.push(why.clone()),
            _ => {}
        }
    }
    let kept: Vec<String> = publish::kept(world).map(|it| format!("`{it}`")).collect();
    if !kept.is_empty() {
        said.push(format!("its policy lets no pull request be: the work is kept on {}", kept.join(", ")));
    }
    said.join("; ")
}
