//! What a person wants once more: sessions that rest, a session that failed, a whole objective that has ended.

use super::{NewSession, Turn, unknown};
use crate::World;
use orcha_base::{PullRequestId, SessionId};
use orcha_model::session::{self, State, UserWait};
use orcha_model::{PullRequest, Refusal, Session, objective, pull_request};

/// What became of a session's work on its code host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It has no pull request, or none that ever came to be.
    Not,
    /// It has one that is neither merged nor closed.
    Live(PullRequestId),
    /// It had one, which was closed: the user decides what becomes of the work.
    Closed(PullRequestId),
}

/// Tells what became of a session's work on its code host, the newest first.
pub fn published(world: &World, id: SessionId) -> Published {
    let Some(session) = world.sessions.get(&id) else { return Published::Not };
    let of_it = |it: &&PullRequest| it.session == id || Some(it.workspace) == session.workspace;
    let closed = |it: &&PullRequest| it.number.is_some() && matches!(it.state, pull_request::State::Closed { .. });
    let own = || world.pull_requests.values().filter(of_it);
    if let Some(live) = own().find(|it| it.state.is_live()) {
        return Published::Live(live.id);
    }
    let newest = own().filter(closed).max_by_key(|it| it.created_at);
    newest.map_or(Published::Not, |it| Published::Closed(it.id))
}

/// The sessions that an objective without a manager began with, to be made anew; each depends on places in this list.
pub fn first_sessions(sessions: &[Session]) -> Vec<(NewSession, Vec<usize>)> {
    let first: Vec<&Session> =
        sessions.iter().filter(|it| it.parent.is_none() && it.retries.is_none() && it.pull_request.is_none()).collect();
    let anew = |it: &&Session| {
        let after = it.depends_on.iter().filter_map(|id| first.iter().position(|it| it.id == *id)).collect();
        (like(it), after)
    };
    first.iter().map(anew).collect()
}

/// The same wish as that of a session, on its own.
fn like(old: &Session) -> NewSession {
    let mut new = NewSession::new(old.role, old.title.clone(), old.goal.clone());
    new.agent = Some(old.agent.clone());
    new.priority = Some(old.priority);
    new.pin = old.pin;
    new.labels.clone_from(&old.labels);
    new.repo.clone_from(&old.repo);
    new
}

impl Turn<'_, '_, '_> {
    /// A person lets an objective go on: with everything in it that rests, and with whom a guard stopped at the limit
    /// that was reached.
    pub(super) fn resume_objective(&mut self) -> Result<(), Refusal> {
        let tripped = self.world.objective.tripped.clone();
        self.objective(objective::Input::Resume)?;
        let input = |it: &Session| match &it.state {
            State::Paused => Some(session::Input::Resume),
            State::WaitingUser { why: UserWait::Guard { trip }, answered: false } if Some(trip) == tripped.as_ref() => {
                Some(session::Input::Answered)
            }
            _ => None,
        };
        let inputs: Vec<_> = self.world.sessions.values().filter_map(|it| Some((it.id, input(it)?))).collect();
        for (id, input) in inputs {
            self.session(id, input)?;
        }
        Ok(())
    }

    /// A failed or canceled session is tried again, as a new one that goes on with what the newest tries of the others
    /// left.
    pub(super) fn try_again(&mut self, id: SessionId) -> Result<(), Refusal> {
        let old = self.world.sessions.get(&id).ok_or_else(|| unknown("session", id))?;
        if !matches!(old.state, State::Failed { .. } | State::Canceled { .. }) {
            let rule = "only a failed or canceled session is tried again";
            return Err(Refusal::State { noun: "session", id: id.to_string(), state: old.state.name(), rule });
        }
        let mut new = like(old);
        new.parent = old.parent;
        new.pull_request = old.pull_request;
        new.reviews = old.reviews;
        new.retries = Some(id);
        new.depends_on = old.depends_on.iter().map(|id| self.newest_try(*id)).collect();
        self.new_session(new)
    }

    /// Follows a session to its newest try.
    fn newest_try(&self, id: SessionId) -> SessionId {
        let again = |id: &SessionId| self.world.sessions.values().find(|it| it.retries == Some(*id)).map(|it| it.id);
        std::iter::successors(Some(id), again).last().unwrap_or(id)
    }
}
