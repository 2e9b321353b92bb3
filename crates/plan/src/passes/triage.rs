//! Feedback on pull requests finds somebody: one follow-up at a time for each pull request, with everything
//! that came in until then. What is red or in conflict becomes feedback of its own, once for each head.

use crate::{NewFeedback, NewSession, Settings, Stimulus, World, prompt};
use orcha_base::{PullRequestId, Timestamp};
use orcha_model::feedback::{self, Input, Kind, State, Trust};
use orcha_model::pull_request::Checks;
use orcha_model::{Feedback, PullRequest, Role, session};

pub(super) fn triage(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    if world.objective.is_over() {
        let open = world.feedback.values().filter(|it| matches!(it.state, State::New | State::Routed { .. }));
        return open.map(|it| Stimulus::Feedback(it.id, Input::Drop { why: "its objective is over" })).collect();
    }
    let mut proposals: Vec<Stimulus> = world.feedback.values().filter_map(|it| follow(world, it)).collect();
    proposals.extend(world.pull_requests.values().flat_map(|it| of_its_own(world, it)));
    if !proposals.is_empty() {
        return proposals;
    }
    world
        .pull_requests
        .values()
        .filter(|it| it.state.is_live())
        .filter_map(|it| somebody(world, it, now, settings))
        .collect()
}

pub(super) fn wakes(world: &World, settings: &Settings) -> impl Iterator<Item = Timestamp> {
    let debounce = settings.feedback_debounce;
    world.feedback.values().filter(|it| it.state == State::New).map(move |it| it.created_at + debounce)
}

/// Follows routed feedback to the end of its session, and drops what is of no use any more.
fn follow(world: &World, feedback: &Feedback) -> Option<Stimulus> {
    let pr = world.pull_requests.get(&feedback.pull_request)?;
    let gone = !pr.state.is_live() && matches!(feedback.state, State::New | State::Routed { .. });
    if gone {
        return Some(Stimulus::Feedback(feedback.id, Input::Drop { why: "its pull request is not open any more" }));
    }
    match feedback.state {
        State::New if unrouted_follow_up(world, feedback.pull_request).is_some() => {
            let session = unrouted_follow_up(world, feedback.pull_request)?;
            Some(Stimulus::Feedback(feedback.id, Input::Route { session }))
        }
        State::Routed { session } => match world.sessions.get(&session).map(|it| &it.state) {
            Some(session::State::Succeeded { .. }) => Some(Stimulus::Feedback(feedback.id, Input::Handled)),
            Some(session::State::Failed { .. } | session::State::Canceled { .. }) => {
                Some(Stimulus::Feedback(feedback.id, Input::Unrouted))
            }
            Some(_) | None => None,
        },
        State::New | State::Handled | State::Dropped => None,
    }
}

/// Returns the follow-up that was just made for a pull request: nobody is routed to it yet and its goal holds
/// everything that is new.
fn unrouted_follow_up(world: &World, pull_request: PullRequestId) -> Option<orcha_base::SessionId> {
    let session = world.follow_up_on(pull_request)?;
    let taken = world.feedback.values().any(|it| matches!(it.state, State::Routed { session: of } if of == session.id));
    (!taken && session.attempt == orcha_base::Attempt(0)).then_some(session.id)
}

fn of_its_own(world: &World, pr: &PullRequest) -> Vec<Stimulus> {
    let Some(head) = pr.head.as_ref().filter(|_| pr.state.is_live()) else { return Vec::new() };
    let mut found = Vec::new();
    if pr.checks == Checks::Failing {
        found.push((
            Kind::CheckFailure,
            format!("check_failure@{head}"),
            format!("The checks of {} are red at {head}.", pr.label()),
        ));
    }
    if pr.mergeable == Some(false) {
        let body = format!("{} cannot be merged into {}: there are conflicts.", pr.label(), pr.base);
        found.push((Kind::MergeConflict, format!("conflict@{head}"), body));
    }
    let is_new =
        |external: &str| !world.feedback.values().any(|it| it.pull_request == pr.id && it.external == external);
    found
        .into_iter()
        .filter(|(_, external, _)| is_new(external))
        .map(|(kind, external, body)| {
            let author = "orcha".to_owned();
            Stimulus::NewFeedback(NewFeedback {
                pull_request: pr.id,
                external,
                kind,
                author,
                trust: Trust::Trusted,
                body,
            })
        })
        .collect()
}

fn somebody(world: &World, pr: &PullRequest, now: Timestamp, settings: &Settings) -> Option<Stimulus> {
    let fresh: Vec<&Feedback> =
        world.feedback.values().filter(|it| it.pull_request == pr.id && it.state == State::New).collect();
    let newest = fresh.iter().map(|it| it.created_at).max()?;
    if world.follow_up_on(pr.id).is_some() || now < newest + settings.feedback_debounce || pr.number.is_none() {
        return None;
    }
    let red = fresh.iter().any(|it| it.kind == feedback::Kind::CheckFailure);
    let role = if red { Role::CiFollowup } else { Role::PrFollowup };
    let mut new = NewSession::new(role, format!("Feedback on {}", pr.label()), prompt::follow_up_goal(pr, &fresh));
    new.parent = world.live_manager().map(|it| it.id);
    new.pull_request = Some(pr.id);
    new.pin = world.workspaces.get(&pr.workspace).map(|it| it.target);
    Some(Stimulus::NewSession(Box::new(new)))
}
