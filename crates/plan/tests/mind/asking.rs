//! What agents ask before they act: a question for a person, an answer for the agent, and an end to the waiting.

use crate::stage::{Stage, busy, orders};
use orcha_base::SessionId;
use orcha_model::permission::{Grant, Mode};
use orcha_model::session::{Input, State, TurnEnd};
use orcha_model::{Effect, NoteKind, Refusal, Role, question};
use orcha_plan::{Stimulus, why};
use orcha_testkit::make::{self, attempt};

fn asks(request: &str, command: &str) -> Input {
    Input::PermissionAsked { attempt: attempt(1), asked: make::asked(request, command, Mode::Ask) }
}

/// A worker whose agent waits for a person.
fn stage() -> Stage {
    let mut stage = Stage::managed();
    stage.add(busy(1, Role::Implementer));
    stage.on(1, asks("r1", "make test"));
    stage
}

fn permits(changes: &orcha_plan::Changes) -> Vec<(bool, String)> {
    let permit = |it: &Effect| match it {
        Effect::Permit(permit) => Some((permit.allow, permit.request.clone())),
        _ => None,
    };
    changes.effects.iter().filter_map(|(_, it)| permit(it)).collect()
}

#[test]
fn a_request_becomes_a_question_with_the_answers_to_choose_from() {
    let stage = stage();
    let it = stage.question();
    assert_eq!(it.options, ["allow once", "allow for this session", "deny"]);
    assert!(it.text.contains("Bash: make test"), "{}", it.text);
    assert_eq!(it.session, Some(SessionId::fixed(1)));
    assert_eq!((stage.state(1), stage.world.objective.state.name()), ("running", "waiting_user"));
    let said = why(&stage.world, Some(SessionId::fixed(1))).unwrap();
    assert!(said.reason.contains("waits for permission to use Bash: make test"), "{}", said.reason);
    assert!(said.way_out.contains("orcha answer") && said.way_out.contains("denied at"), "{}", said.way_out);
}

#[test]
fn an_answer_reaches_the_agent_in_the_same_turn_and_the_question_is_settled() {
    let mut stage = stage();
    let changes = stage.answer("allow once");
    assert_eq!(permits(&changes), [(true, "r1".to_owned())]);
    assert!(stage.world.open_questions().next().is_none());
    assert_eq!(stage.world.objective.state.name(), "active");
    assert!(stage.session(1).grants.is_empty());
    assert!(orders(&stage.tick()).is_empty(), "and only once");
}

#[test]
fn only_a_clear_answer_is_taken_and_only_one() {
    let mut stage = stage();
    let id = stage.question().id;
    let mut give = |answer: &str| {
        let input = question::Input::Answer { answer: answer.into() };
        stage.try_step(Stimulus::Question(id, input)).map(|changes| permits(&changes))
    };
    for unclear in ["yes", "sure, go on", "allow everything"] {
        assert!(matches!(give(unclear), Err(Refusal::Invalid { field: "answer", .. })), "{unclear}");
    }
    assert_eq!(give("deny: use `just`").unwrap(), [(false, "r1".to_owned())]);
    assert!(matches!(give("allow once"), Err(Refusal::State { .. })));
}

#[test]
fn what_was_allowed_for_the_session_is_allowed_at_once_from_then_on() {
    let mut stage = stage();
    stage.answer("allow for this session");
    assert_eq!(permits(&stage.on(1, asks("r2", "make test"))), [(true, "r2".to_owned())]);
    stage.on(1, asks("r3", "make clean"));
    stage.answer("allow for this session: make");
    assert!(stage.session(1).grants.contains(&Grant::Prefix { words: vec!["make".into()] }));
    assert_eq!(permits(&stage.on(1, asks("r4", "make all"))), [(true, "r4".to_owned())]);
    stage.on(1, asks("r5", "make all; rm x"));
    assert!(stage.question().text.contains("make all; rm x"));
}

#[test]
fn without_an_answer_it_is_denied_in_time_and_the_stall_guard_keeps_still_meanwhile() {
    let mut stage = stage();
    stage.world.objective.limits.stall_secs = 60;
    let wakes = orcha_plan::passes::next_wake(&stage.world, stage.now, &stage.settings);
    assert_eq!(wakes, Some(make::at(900)));
    assert!(orders(&stage.pass(899)).is_empty());
    assert_eq!(stage.state(1), "running");
    let changes = stage.pass(1);
    assert_eq!(permits(&changes), [(false, "r1".to_owned())]);
    assert!(stage.world.open_questions().next().is_none());
    assert_eq!(stage.state(1), "running");
    // From here on the guard looks again, from the answer on.
    stage.pass(59);
    assert_eq!(stage.state(1), "running");
    stage.pass(2);
    assert_eq!(stage.state(1), "waiting_user");
}

#[test]
fn a_request_whose_agent_is_gone_is_withdrawn_and_its_question_too() {
    let ended = |end| Stimulus::TurnEnded { session: SessionId::fixed(1), attempt: attempt(1), end };
    let crashed = session_exit();
    let cancel = Stimulus::Session(SessionId::fixed(1), Input::Cancel { reason: "no".into() });
    let withdrawn = Input::PermissionWithdrawn { attempt: attempt(1), request: "r1".into() };
    let withdrawn = Stimulus::Session(SessionId::fixed(1), withdrawn);
    for end in [ended(TurnEnd::Interrupted), crashed, cancel, withdrawn] {
        let mut stage = stage();
        let id = stage.question().id;
        let changes = stage.step(end.clone());
        assert_eq!(stage.world.questions[&id].state, question::State::Canceled, "{end:?}");
        assert!(changes.notes.iter().any(|it| it.kind == NoteKind::PermissionWithdrawn), "{end:?}");
        assert!(permits(&changes).is_empty(), "{end:?}");
        let late = question::Input::Answer { answer: "allow once".into() };
        assert!(stage.try_step(Stimulus::Question(id, late)).is_err(), "{end:?}");
    }
}

fn session_exit() -> Stimulus {
    let exit = orcha_model::session::Exit::Crashed { detail: "killed".into() };
    Stimulus::Exited { session: SessionId::fixed(1), attempt: attempt(1), exit }
}

#[test]
fn several_requests_of_one_turn_are_answered_each_by_itself() {
    let mut stage = stage();
    stage.on(1, asks("r2", "make all"));
    let ids: Vec<_> = stage.world.open_questions().map(|it| it.id).collect();
    assert_eq!(ids.len(), 2);
    let answer = |answer: &str| question::Input::Answer { answer: answer.into() };
    assert_eq!(permits(&stage.step(Stimulus::Question(ids[1], answer("deny")))), [(false, "r2".to_owned())]);
    assert_eq!(permits(&stage.step(Stimulus::Question(ids[0], answer("allow")))), [(true, "r1".to_owned())]);
    assert!(matches!(stage.session(1).state, State::Running { .. }));
}
