//! A closed pull request is not pushed to before the user said what becomes of it: promise 6. Somebody who works on
//! it, or wants to push to it, is what makes the question necessary; each closing asks once.

use crate::{NewMessage, NewPublication, NewQuestion, Stimulus, World, prompt};
use orcha_base::{SessionId, WorkspaceId};
use orcha_model::pull_request::{ClosedDecision, Input, State};
use orcha_model::{PullRequest, Question, message, question, session};

pub(super) fn closed(world: &World) -> Vec<Stimulus> {
    if world.objective.is_over() {
        return Vec::new();
    }
    world.pull_requests.values().flat_map(|it| next_for(world, it)).collect()
}

fn next_for(world: &World, pr: &PullRequest) -> Vec<Stimulus> {
    let held = pr.closing.held.as_ref();
    match (&pr.state, pr.closing.decision) {
        (State::Draft | State::Open, _) => held
            .map(|it| Input::Update { push: Some(it.work.clone()), title: it.title.clone(), body: it.body.clone() })
            .map(|update| Stimulus::PullRequest(pr.id, update))
            .into_iter()
            .collect(),
        (State::Closed { .. }, ClosedDecision::Unasked)
            if pr.number.is_some() && (held.is_some() || worker_on(world, pr).is_some()) =>
        {
            vec![Stimulus::NewQuestion(question_about(world, pr)), Stimulus::PullRequest(pr.id, Input::Asked)]
        }
        (State::Opening { .. } | State::Merged { .. } | State::Closed { .. }, _) => Vec::new(),
    }
}

/// The session that has begun to work on it and has not ended.
fn worker_on<'w>(world: &'w World, pr: &PullRequest) -> Option<&'w session::Session> {
    world.follow_up_on(pr.id).filter(|it| it.attempt.0 > 0)
}

fn question_about(world: &World, pr: &PullRequest) -> NewQuestion {
    let why = match (&pr.closing.held, worker_on(world, pr)) {
        (Some(_), _) => "and there is a push for it that waits".to_owned(),
        (None, Some(it)) => format!("while {} works on it", it.title),
        (None, None) => String::new(),
    };
    let refused = pr.refusal.as_ref().filter(|_| pr.closing.held.is_none());
    NewQuestion {
        // It is about the pull request, and outlives whoever wanted to push.
        session: None,
        cause: format!("closed-pr:{}", pr.id),
        about: question::About::ClosedPullRequest { pull_request: pr.id },
        priority: 15,
        text: format!("Pull request {} (\"{}\") was closed, {why}. What shall become of it?", pr.label(), pr.title),
        context: Some(match refused {
            Some(refusal) => format!("{}. The last request was refused: {refusal}", prompt::CLOSED_OPTIONS),
            None => prompt::CLOSED_OPTIONS.to_owned(),
        }),
        options: vec!["reopen".into(), "open a new one".into(), "drop".into()],
    }
}

/// Carries the user's decision out, and tells whoever works on it, or steers.
pub(super) fn decided(world: &World, question: &Question, pr: &PullRequest, answer: &str) -> Vec<Stimulus> {
    let words = answer.trim().to_ascii_lowercase();
    let mut proposals = vec![Stimulus::Question(question.id, question::Input::Delivered)];
    let State::Closed { .. } = pr.state else { return proposals };
    let from = checkout(world, pr);
    let decision = match (words.as_str(), from) {
        (words, _) if words.starts_with("reopen") => ClosedDecision::Reopening,
        (words, Some(_)) if words.starts_with("open a new") || words.starts_with("new") => ClosedDecision::Replaced,
        // Whatever else is said, nothing is pushed.
        _ => ClosedDecision::Left,
    };
    let listener = listener(world, pr);
    match (decision, from) {
        (ClosedDecision::Reopening, _) => proposals.push(Stimulus::PullRequest(pr.id, Input::Reopen)),
        (ClosedDecision::Replaced, Some((session, workspace))) => {
            proposals.push(Stimulus::Publish(NewPublication {
                session,
                title: pr.closing.held.as_ref().and_then(|it| it.title.clone()).unwrap_or_else(|| pr.title.clone()),
                body: pr.closing.held.as_ref().and_then(|it| it.body.clone()).unwrap_or_else(|| pr.body.clone()),
                commit_message: pr.closing.held.as_ref().map(|it| it.work.commit_message.clone()),
                head: None,
                draft: false,
                replaces: Some((pr.id, workspace)),
            }));
        }
        _ => proposals.push(Stimulus::PullRequest(pr.id, Input::Leave)),
    }
    proposals.extend(listener.map(|session| {
        Stimulus::NewMessage(NewMessage {
            session,
            from: message::Sender::User,
            cause: format!("answer:{}", question.id),
            text: prompt::closed_decided(pr, decision, answer),
            interrupt: false,
            answers: None,
        })
    }));
    proposals
}

/// The checkout that a new pull request would be opened from, with the session that it belongs to.
fn checkout(world: &World, pr: &PullRequest) -> Option<(SessionId, WorkspaceId)> {
    let held = pr.closing.held.as_ref().map(|it| it.work.workspace);
    let workspace = held.or_else(|| worker_on(world, pr)?.workspace)?;
    world.workspaces.get(&workspace).map(|it| (it.session, it.id))
}

/// Who hears of the decision: whoever works on it, otherwise whoever wanted to push, otherwise whoever steers.
fn listener(world: &World, pr: &PullRequest) -> Option<SessionId> {
    let pusher = || {
        let workspace = world.workspaces.get(&pr.closing.held.as_ref()?.work.workspace)?;
        world.sessions.get(&workspace.session).filter(|it| !it.is_over())
    };
    worker_on(world, pr).or_else(pusher).or_else(|| world.live_manager()).map(|it| it.id)
}
