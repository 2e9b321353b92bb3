//! Answers take effect: at the agent that asked, at the guard that tripped, at the pull request.

use super::{closed, permits};
use crate::{NewMessage, Stimulus, World};
use orcha_base::SessionId;
use orcha_model::question::{About, Input, State};
use orcha_model::session::{self, UserWait};
use orcha_model::{Question, Trip, message, objective};

pub(super) fn answers(world: &World) -> Vec<Stimulus> {
    let answered = world.questions.values().filter_map(|it| match &it.state {
        State::Answered { answer } => Some((it, answer.as_str())),
        State::Open | State::Delivered { .. } | State::Canceled => None,
    });
    let mut proposals: Vec<Stimulus> =
        answered.flat_map(|(question, answer)| take_effect(world, question, answer)).collect();
    if proposals.is_empty() {
        let goes_on = |it: &&session::Session| was_spoken_to(world, it) || waits_for_nothing(world, it);
        proposals.extend(world.sessions.values().filter(goes_on).map(|it| go_on(it.id)));
    }
    proposals
}

fn take_effect(world: &World, question: &Question, answer: &str) -> Vec<Stimulus> {
    let delivered = Stimulus::Question(question.id, Input::Delivered);
    let refuses = answer.trim().eq_ignore_ascii_case("cancel");
    match (&question.about, question.session) {
        (About::Asked, Some(session)) => answer_to_agent(world, question, session, answer),
        (About::Guard { .. } | About::Help { .. }, Some(session)) => {
            let mut proposals = vec![delivered];
            if refuses {
                let reason = "the user said so when a guard had paused it".to_owned();
                proposals.push(Stimulus::Session(session, session::Input::Cancel { reason }));
            } else {
                proposals.extend(words(question, session, answer));
                proposals.push(go_on(session));
            }
            proposals
        }
        (About::ObjectiveGuard { .. }, _) if refuses => vec![delivered, cancel_objective()],
        (About::ObjectiveGuard { trip }, _) => {
            let mut proposals = vec![delivered, Stimulus::Objective(objective::Input::Forgive)];
            let paused = world.sessions.values().filter(|it| {
                matches!(&it.state, session::State::WaitingUser { why: UserWait::Guard { trip: of }, answered: false } if of == trip)
            });
            proposals.extend(paused.map(|it| go_on(it.id)));
            proposals
        }
        (About::Workflow { gate }, _) => {
            let mut proposals = vec![delivered];
            proposals.extend(super::pipeline::answered(world, gate, answer));
            proposals
        }
        (About::Managers, _) if refuses => vec![delivered, cancel_objective()],
        (About::Managers, _) if answer.trim().eq_ignore_ascii_case("fail") => {
            let reason = "its managers did not get it done, and the user gave it up".to_owned();
            vec![delivered, Stimulus::Objective(objective::Input::Fail { reason })]
        }
        (About::Managers, _) => vec![delivered, Stimulus::Objective(objective::Input::Deescalate)],
        (About::ClosedPullRequest { pull_request }, _) => match world.pull_requests.get(pull_request) {
            Some(pr) => closed::decided(world, question, pr, answer),
            None => vec![delivered],
        },
        (About::Permission(request), Some(session)) => vec![delivered, permits::answer(request, session, answer)],
        (About::Asked | About::Guard { .. } | About::Help { .. } | About::Permission(_), None) => vec![delivered],
    }
}

/// The answer becomes a message; the question is settled when the agent took the message up.
fn answer_to_agent(world: &World, question: &Question, session: SessionId, answer: &str) -> Vec<Stimulus> {
    let on_its_way = world.messages.values().find(|it| it.answers == Some(question.id) && it.session == session);
    match on_its_way.map(|it| &it.state) {
        None => vec![Stimulus::NewMessage(NewMessage {
            session,
            from: message::Sender::User,
            cause: format!("answer:{}", question.id),
            text: format!("The user answered your question.\nQuestion: {}\nAnswer: {answer}", question.text),
            interrupt: false,
            answers: Some(question.id),
        })],
        Some(message::State::Acknowledged) => vec![Stimulus::Question(question.id, Input::Delivered)],
        Some(message::State::Queued { .. } | message::State::Sent { .. } | message::State::Undeliverable) => Vec::new(),
    }
}

fn words(question: &Question, session: SessionId, answer: &str) -> Option<Stimulus> {
    if answer.trim().eq_ignore_ascii_case("continue") {
        return None;
    }
    Some(Stimulus::NewMessage(NewMessage {
        session,
        from: message::Sender::User,
        cause: format!("answer:{}", question.id),
        text: answer.to_owned(),
        interrupt: false,
        answers: None,
    }))
}

/// Whatever a session waits for a person for: a person's words end the waiting.
fn was_spoken_to(world: &World, session: &session::Session) -> bool {
    let session::State::WaitingUser { why, answered: false } = &session.state else { return false };
    // What paused the whole objective is not settled by a word to one of its sessions.
    let with_all = matches!(why, UserWait::Guard { trip } if world.objective.tripped.as_ref() == Some(trip));
    // Neither is a budget by the words that there was none left for.
    let spent = matches!(why, UserWait::Guard { trip: Trip::Budget { .. } });
    let from_person = |it: &&message::Message| matches!(it.from, message::Sender::User);
    !with_all && !spent && world.waiting_messages(session.id).any(|it| from_person(&it))
}

/// The question that a session waited for was taken back: nobody will answer it.
fn waits_for_nothing(world: &World, session: &session::Session) -> bool {
    let asked =
        |it: &Question| matches!(it.state, State::Open | State::Answered { .. }) && world.is_waited_for(it, session.id);
    matches!(session.state, session::State::WaitingUser { why: UserWait::Question, answered: false })
        && !world.questions.values().any(asked)
}

fn go_on(session: SessionId) -> Stimulus {
    Stimulus::Session(session, session::Input::Answered)
}

fn cancel_objective() -> Stimulus {
    Stimulus::Objective(objective::Input::Cancel { reason: "the user said so when asked".into() })
}
