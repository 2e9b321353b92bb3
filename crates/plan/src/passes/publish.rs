//! Without a manager, finished work becomes a pull request by itself: nobody else would ask for it. Where the policy of its
//! scope lets no pull request be, it stays where it is.

use crate::prompt::head;
use crate::{NewPublication, Stimulus, World};
use orcha_base::{BranchName, SessionId};
use orcha_model::delivery::Action;
use orcha_model::session::{State, Verdict};
use orcha_model::{PullRequest, Role, Session, objective};
use std::collections::BTreeSet;

/// The most that a session's own words take up in a pull request, in bytes.
const BODY: usize = 32 * 1024;

pub(super) fn publish(world: &World) -> Vec<Stimulus> {
    if world.objective.state != objective::State::Active || !may_publish(world) {
        return Vec::new();
    }
    let publication = |it: &Session| {
        Stimulus::Publish(NewPublication {
            session: it.id,
            title: title_of(it),
            body: it.report.as_ref().map(|it| head(&it.summary, BODY).to_owned()).unwrap_or_default(),
            commit_message: None,
            head: None,
            draft: false,
            replaces: None,
        })
    };
    world.sessions.values().filter(|it| is_ripe(world, it)).map(publication).collect()
}

/// The branches of finished work that may not be published, and is kept where it is.
pub(super) fn kept(world: &World) -> impl Iterator<Item = &BranchName> {
    let barred = is_unsteered(world) && !may_publish(world);
    let sessions = world.sessions.values().filter(move |it| barred && is_ripe(world, it));
    sessions.filter_map(|it| world.workspaces.get(&it.workspace?)?.branch.as_ref())
}

fn is_unsteered(world: &World) -> bool {
    world.objective.strategy == objective::Strategy::Direct
        && world.sessions.values().all(|it| it.role != Role::Manager)
}

fn may_publish(world: &World) -> bool {
    is_unsteered(world) && world.objective.policy.allows_delivery(Action::PullRequest)
}

/// Tells whether a session's work is complete, and nobody else's pull request will carry it.
fn is_ripe(world: &World, session: &Session) -> bool {
    let good = |it: &Session| {
        matches!(it.state, State::Succeeded { .. })
            && it.report.as_ref().is_none_or(|it| it.verdict != Some(Verdict::RequestChanges))
    };
    // Whoever goes on with it is looked for last: that looks at everybody again and again.
    matches!(session.state, State::Succeeded { .. })
        && session.role.traits().produces_commits
        && session.pull_request.is_none()
        && is_checkout(world, session)
        && of(world, session).is_none()
        && successors(world, session.id).into_iter().all(|it| good(it) && !it.role.traits().produces_commits)
}

fn is_checkout(world: &World, session: &Session) -> bool {
    let workspace = session.workspace.and_then(|id| world.workspaces.get(&id));
    workspace.is_some_and(|it| {
        it.repo.is_some() && it.branch.is_some() && it.checkout.as_ref().is_some_and(|it| it.base.is_some())
    })
}

/// The newest pull request of a session's work, whatever became of it.
pub(super) fn of<'w>(world: &'w World, session: &Session) -> Option<&'w PullRequest> {
    let own = |it: &&PullRequest| it.session == session.id || Some(it.workspace) == session.workspace;
    world.pull_requests.values().filter(own).max_by_key(|it| (it.created_at, it.id))
}

/// Whoever goes on with a session's work, directly or not. What was tried again is looked at in its newest try.
fn successors(world: &World, session: SessionId) -> Vec<&Session> {
    let mut known = BTreeSet::from([session]);
    let mut found = Vec::new();
    loop {
        let next = world.sessions.values().find(|it| {
            let builds_on = it.depends_on.iter().chain(it.reviews.iter()).any(|id| known.contains(id));
            builds_on && !known.contains(&it.id)
        });
        let Some(next) = next else { return found };
        known.insert(next.id);
        if !is_tried_again(world, next) {
            found.push(next);
        }
    }
}

/// Tells whether another session tries again what this one failed at.
pub(super) fn is_tried_again(world: &World, session: &Session) -> bool {
    world.sessions.values().any(|it| it.retries == Some(session.id))
}

/// The first line of a session's title, as a pull request may have it.
fn title_of(session: &Session) -> String {
    session
        .title
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map_or("Change", |line| head(line, 120))
        .to_owned()
}
