//! What the nouns promise, one example for each thought, and properties over whole lives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use expect_test::{Expect, expect};
use orcha_base::{Timestamp, WorkspaceId};
use orcha_model::effect::Effect;
use orcha_model::guard::Usage;
use orcha_model::permission::{Grant, Mode};
use orcha_model::pull_request::{Input as PrInput, UpdateWork};
use orcha_model::session::{self, Around, Evidence, Exit, FaultClass, Input, Phase, Report, State, Turn, TurnEnd};
use orcha_model::session::{Permitted, UserWait, Waiting};
use orcha_model::{
    Decision, Limits, NoteKind, Refusal, Role, Session, Trip, feedback, message, objective, pull_request, question,
    workspace,
};
use orcha_testkit::make::{self, at, attempt};

const NOW: Timestamp = at(1000);

/// Lets an input meet a session and compares what comes of it.
fn check(session: Session, input: Input, expected: Expect) {
    let answer = session::decide(&session, input, &Limits::default(), NOW);
    expected.assert_eq(&line(answer, |it| it.state.name()));
}

fn line<N>(answer: Result<Decision<N>, Refusal>, state: impl Fn(&N) -> &'static str) -> String {
    match answer {
        Err(refusal) => format!("refused ({}): {}", refusal.code(), refusal.to_string().replace(&id(), "ID")),
        Ok(decision) => {
            let effects: Vec<String> = decision.effects.iter().map(order).collect();
            let effects = if effects.is_empty() { "none".into() } else { effects.join(", ") };
            let ignored = decision.ignored.map(|why| format!(" | ignored: {why}")).unwrap_or_default();
            format!("{} | effects: {effects}{ignored}", state(&decision.next))
        }
    }
}

fn id() -> String {
    make::session(1, Role::Manager).id.to_string()
}

/// An effect with what the examples look at.
fn order(effect: &Effect) -> String {
    match effect {
        Effect::Stop(it) => {
            let snapshot = if it.snapshot.is_some() { " and snapshot" } else { "" };
            format!("stop {}{snapshot}", it.attempt)
        }
        Effect::UpdatePr(it) => match &it.push {
            Some(push) => format!("push over {} force {:?}", push.expected.short(), push.force),
            None => "edit".into(),
        },
        Effect::Deliver(it) => format!("deliver to {}", it.attempt),
        other => other.name().into(),
    }
}

fn running(role: Role) -> Session {
    let turn = Turn::Busy { heard_at: at(900) };
    let state = State::Running { target: make::target_id(), attempt: attempt(2), turn, since: at(800) };
    Session { attempt: attempt(2), workspace: Some(WorkspaceId::fixed(1)), state, ..make::session(1, role) }
}

fn worker() -> Session {
    running(Role::Implementer)
}

fn starting(phase: Phase) -> Session {
    Session { state: State::Starting { target: make::target_id(), attempt: attempt(2), phase }, ..worker() }
}

fn canceled() -> Session {
    Session { state: State::Canceled { reason: "not wanted".into() }, ..worker() }
}

fn reported(session: Session) -> Session {
    Session { report: Some(Report { summary: "done".into(), verdict: None, at: at(950) }), ..session }
}

fn completed(around: Around) -> Input {
    Input::TurnEnded { attempt: attempt(2), end: TurnEnd::Completed, around }
}

fn exited(exit: Exit) -> Input {
    Input::Exited { attempt: attempt(2), exit, around: Around::default() }
}

fn crash() -> Exit {
    Exit::Crashed { detail: "killed by signal 9".into() }
}

// Promise 2: no late completion revives ended work.

#[test]
fn p5_a_screen_that_stands_still_is_asked_about_and_never_taken_for_success() {
    let quiet = || Input::TurnEnded { attempt: attempt(2), end: TurnEnd::Quiet, around: Around::default() };
    check(running(Role::Implementer), quiet(), expect!["running | effects: none"]);
    let mut asked = running(Role::Implementer);
    asked.counters.quiet = 1;
    check(asked.clone(), quiet(), expect!["waiting_user | effects: stop 2 and snapshot"]);
    let words_wait = Around { messages_wait: true, ..Around::default() };
    let spoken_to = Input::TurnEnded { attempt: attempt(2), end: TurnEnd::Quiet, around: words_wait };
    let next = session::decide(&asked, spoken_to, &Limits::default(), NOW).unwrap().next;
    assert_eq!((next.state.name(), next.counters.quiet), ("running", 0), "new words are new work");
    let mut reported = running(Role::Implementer);
    reported.report = Some(Report { summary: "done".into(), verdict: None, at: at(950) });
    check(reported, quiet(), expect!["succeeded | effects: stop 2 and snapshot"]);
}

#[test]
fn a_person_with_the_keyboard_is_left_alone_and_gives_back_what_was_there() {
    let held = |by_person| Input::Keyboard { attempt: attempt(2), by_person };
    let busy = running(Role::Implementer);
    let limits = Limits::default();
    let taken = session::decide(&busy, held(true), &limits, NOW).unwrap().next;
    assert!(matches!(taken.state, State::Running { turn: Turn::Held { busy: true, .. }, .. }));
    let back = session::decide(&taken, held(false), &limits, NOW).unwrap().next;
    assert!(matches!(back.state, State::Running { turn: Turn::Busy { heard_at: NOW }, .. }));
    let late = Input::Keyboard { attempt: attempt(1), by_person: true };
    check(busy, late, expect!["running | effects: none | ignored: the keyboard of another attempt"]);
}

#[test]
fn promise_2_a_late_completion_does_not_revive_a_canceled_session() {
    check(
        canceled(),
        completed(Around::default()),
        expect!["canceled | effects: none | ignored: the end of a turn of ended work"],
    );
}

#[test]
fn promise_2_a_late_report_is_refused() {
    let report = Input::Report { attempt: attempt(2), summary: "done".into(), verdict: None };
    check(canceled(), report, expect!["refused (over): session ID has ended (canceled); ended work is never revived"]);
}

#[test]
fn promise_2_a_fact_of_an_earlier_attempt_is_ignored() {
    let input = Input::TurnEnded { attempt: attempt(1), end: TurnEnd::Completed, around: Around::default() };
    check(worker(), input, expect!["running | effects: none | ignored: the end of a turn of another attempt"]);
}

#[test]
fn promise_2_a_process_of_another_attempt_is_ended() {
    let input = Input::Started { attempt: attempt(1), spoken_to: true };
    check(worker(), input, expect!["running | effects: stop 1 | ignored: a process of another attempt"]);
}

#[test]
fn promise_2_canceling_while_launching_orders_the_stop_behind_the_launch() {
    let input = Input::Cancel { reason: "not wanted".into() };
    check(starting(Phase::Launching), input, expect!["canceled | effects: stop 2 and snapshot"]);
}

// Promise 5: success needs evidence.

#[test]
fn promise_5_a_vanished_process_is_not_success() {
    check(worker(), exited(crash()), expect!["waiting_capacity | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_5_an_exit_with_zero_in_the_middle_of_a_turn_is_not_success() {
    check(worker(), exited(Exit::Clean), expect!["waiting_capacity | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_5_a_report_is_evidence_even_if_the_process_crashes_after_it() {
    check(reported(worker()), exited(crash()), expect!["succeeded | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_5_the_end_of_a_turn_by_protocol_is_evidence() {
    check(worker(), completed(Around::default()), expect!["succeeded | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_5_an_exit_before_the_start_was_seen_is_a_fault_of_the_infrastructure() {
    check(starting(Phase::Launching), exited(Exit::Clean), expect!["failed | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_5_a_ci_follow_up_must_have_moved_the_head() {
    let around = |moved| Around { head_moved: Some(moved), ..Around::default() };
    check(
        reported(running(Role::CiFollowup)),
        completed(around(false)),
        expect!["failed | effects: stop 2 and snapshot"],
    );
    check(
        reported(running(Role::CiFollowup)),
        completed(around(true)),
        expect!["succeeded | effects: stop 2 and snapshot"],
    );
}

#[test]
fn a_turn_that_ends_while_messages_wait_does_not_end_the_session() {
    let around = Around { messages_wait: true, ..Around::default() };
    check(reported(worker()), completed(around), expect!["running | effects: none"]);
}

#[test]
fn a_turn_that_ends_on_a_question_waits_for_its_answer_without_a_process() {
    let around = Around { questions_open: true, ..Around::default() };
    check(worker(), completed(around), expect!["waiting_user | effects: stop 2 and snapshot"]);
}

#[test]
fn a_manager_stays_after_its_turn_and_parks_when_its_process_ends() {
    check(running(Role::Manager), completed(Around::default()), expect!["running | effects: none"]);
    let mut idle = running(Role::Manager);
    let turn = Turn::Idle { since: at(900) };
    idle.state = State::Running { target: make::target_id(), attempt: attempt(2), turn, since: at(800) };
    check(idle, exited(Exit::Clean), expect!["waiting_capacity | effects: stop 2 and snapshot"]);
}

// Promise 9: loop guards.

#[test]
fn promise_9_the_hundred_and_twentieth_call_of_an_hour_pauses_and_asks() {
    let mut session = worker();
    session.counters.calls.add(119, at(900));
    let input = Input::Used { attempt: attempt(2), usage: Usage { model_calls: 1, ..Usage::default() } };
    check(session, input, expect!["waiting_user | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_9_the_third_error_of_a_kind_pauses_and_the_first_two_try_again() {
    let failed = || Input::TurnEnded {
        attempt: attempt(2),
        end: TurnEnd::Failed { class: "other".into() },
        around: Around::default(),
    };
    let mut session = worker();
    check(session.clone(), failed(), expect!["waiting_capacity | effects: stop 2 and snapshot"]);
    session.counters.error = Some(("other".into(), 2));
    check(session, failed(), expect!["waiting_user | effects: stop 2 and snapshot"]);
}

#[test]
fn promise_9_an_answer_starts_the_counters_anew() {
    let mut session = worker();
    session.counters.idle_turns = 5;
    session.state =
        State::WaitingUser { why: UserWait::Guard { trip: Trip::NoProgress { turns: 5 } }, answered: false };
    let next = session::decide(&session, Input::Answered, &Limits::default(), NOW).unwrap().next;
    assert_eq!((next.counters.idle_turns, next.wants_place(NOW)), (0, true));
}

#[test]
fn promise_9_a_guard_does_not_let_a_session_overtake_what_it_depends_on() {
    let waits = Session { state: State::Queued { released: false }, ..make::session(1, Role::Implementer) };
    let trip = Input::Trip { trip: Trip::Tokens { tokens: 9 } };
    check(waits, trip, expect!["queued | effects: none | ignored: it waits for others anyway"]);
}

// Promise 10: an exhausted provider is not called until its reset.

#[test]
fn promise_10_a_session_waits_for_the_reset_of_its_provider() {
    let reset = at(5000);
    let end = TurnEnd::Provider { class: "quota", until: Some(reset) };
    let input = Input::TurnEnded { attempt: attempt(2), end, around: Around::default() };
    let next = session::decide(&worker(), input, &Limits::default(), NOW).unwrap().next;
    assert_eq!((next.wakes_at(), next.wants_place(at(4999)), next.wants_place(reset)), (Some(reset), false, true));
}

#[test]
fn promise_10_the_want_of_a_place_does_not_shorten_that() {
    let why = Waiting::Provider { class: "quota".into() };
    let session = Session { state: State::WaitingCapacity { why, until: Some(at(5000)) }, ..worker() };
    let input = Input::NoPlace { detail: "all places are taken".into() };
    check(session, input, expect!["waiting_capacity | effects: none | ignored: it does not look for a place now"]);
}

#[test]
fn the_sixth_fault_in_a_row_is_one_too_many_and_counts_as_infrastructure() {
    let mut session = worker();
    session.faults = 5;
    let next = session::decide(&session, exited(crash()), &Limits::default(), NOW).unwrap().next;
    assert!(matches!(next.state, State::Failed { fault: FaultClass::Infrastructure, .. }));
}

#[test]
fn a_session_that_never_ran_goes_back_to_its_queue_after_a_pause_and_waits_for_others_again() {
    let mut paused = Session { state: State::Paused, ..make::session(1, Role::Implementer) };
    paused.depends_on = vec![make::session(2, Role::Implementer).id];
    let next = session::decide(&paused, Input::Resume, &Limits::default(), NOW).unwrap().next;
    assert_eq!(next.state, State::Queued { released: false });
}

// Promise 1: what is ended is kept before anybody goes on from it.

#[test]
fn promise_1_a_session_says_until_when_its_end_is_being_kept() {
    let decide = |session: &Session, input| session::decide(session, input, &Limits::default(), NOW).unwrap().next;
    let over = decide(&worker(), completed(Around::default()));
    assert_eq!((over.state.name(), over.stopping), ("succeeded", Some(attempt(2))));
    assert_eq!(decide(&over, Input::Stopped { attempt: attempt(1) }).stopping, Some(attempt(2)));
    assert_eq!(decide(&over, Input::Stopped { attempt: attempt(2) }).stopping, None);
    let failed = Input::StopFailed { attempt: attempt(2), detail: "the host is gone".into() };
    assert_eq!(decide(&over, failed).stopping, None, "nobody waits for ever");
}

// Requests of agents.

fn asks(of: u32, mode: Mode) -> Input {
    Input::PermissionAsked { attempt: attempt(of), asked: make::asked("r1", "make", mode) }
}

/// A session whose agent waits for a person.
fn asking() -> Session {
    decide(&worker(), asks(2, Mode::Ask)).next
}

fn decide(session: &Session, input: Input) -> Decision<Session> {
    session::decide(session, input, &Limits::default(), NOW).unwrap()
}

fn answer(answer: Permitted) -> Input {
    Input::PermissionAnswered { attempt: attempt(2), number: 1, answer }
}

fn allow(grant: Option<Grant>) -> Permitted {
    Permitted::Allow { input: "{\"command\":\"make\"}".into(), grant }
}

#[test]
fn a_request_that_no_rule_settles_waits_for_a_person_and_the_process_runs_on() {
    check(worker(), asks(2, Mode::Ask), expect!["running | effects: none"]);
    let it = asking();
    assert_eq!((it.asks.len(), it.asks[0].until), (1, NOW + std::time::Duration::from_secs(900)));
    assert_eq!(it.activity.as_deref(), Some("waits for permission to use Bash: make"));
    check(it, asks(2, Mode::Ask), expect!["running | effects: none | ignored: asked already"]);
}

#[test]
fn an_answer_reaches_the_agent_once() {
    check(asking(), answer(allow(None)), expect!["running | effects: permit"]);
    let decision = decide(&asking(), answer(allow(None)));
    let [Effect::Permit(permit)] = &decision.effects[..] else { panic!("{:?}", decision.effects) };
    assert!(permit.allow && permit.request == "r1" && permit.input.contains("make"), "{permit:?}");
    check(
        decision.next,
        answer(allow(None)),
        expect!["running | effects: none | ignored: nobody waits for that answer"],
    );
    let deny = Permitted::Deny { reason: "not now".into() };
    let decision = decide(&asking(), answer(deny));
    let [Effect::Permit(permit)] = &decision.effects[..] else { panic!("{:?}", decision.effects) };
    assert!(!permit.allow && permit.reason == "not now", "{permit:?}");
    assert_eq!(decision.next.counters.errors, 0, "a person who says no knows of it");
}

#[test]
fn what_was_allowed_for_the_session_is_not_asked_again_in_any_attempt() {
    let grant = Grant::Command { tool: "Bash".into(), command: "make".into() };
    let mut it = decide(&asking(), answer(allow(Some(grant.clone())))).next;
    assert_eq!(it.grants, [grant]);
    it.attempt = attempt(3);
    it.state =
        State::Running { target: make::target_id(), attempt: attempt(3), turn: Turn::Idle { since: NOW }, since: NOW };
    check(it, asks(3, Mode::Ask), expect!["running | effects: permit"]);
}

#[test]
fn what_nobody_answers_in_time_is_denied() {
    let decision = decide(&asking(), answer(Permitted::Expired));
    let [Effect::Permit(permit)] = &decision.effects[..] else { panic!("{:?}", decision.effects) };
    assert!(!permit.allow && permit.reason.contains("nobody answered"), "{permit:?}");
}

#[test]
fn whatever_ends_the_turn_or_the_process_withdraws_the_request_and_says_so() {
    let ended = |end| Input::TurnEnded { attempt: attempt(2), end, around: Around::default() };
    let crashed = exited(crash());
    let withdrawn = Input::PermissionWithdrawn { attempt: attempt(2), request: "r1".into() };
    let cancel = Input::Cancel { reason: "not wanted".into() };
    for input in [ended(TurnEnd::Interrupted), ended(TurnEnd::Completed), crashed, withdrawn, cancel, Input::Pause] {
        let decision = decide(&asking(), input.clone());
        assert!(decision.next.asks.is_empty(), "{input:?}");
        let told = decision.notes.iter().filter(|it| it.kind == NoteKind::PermissionWithdrawn);
        assert_eq!(told.count(), 1, "{input:?}: {:?}", decision.notes);
        assert!(!decision.effects.iter().any(|it| matches!(it, Effect::Permit(_))), "{input:?}");
    }
}

#[test]
fn only_so_many_requests_of_one_session_wait_for_a_person() {
    let mut it = worker();
    for n in 0..16 {
        let asked = make::asked(&format!("r{n}"), "make", Mode::Ask);
        it = decide(&it, Input::PermissionAsked { attempt: attempt(2), asked }).next;
    }
    let asked = make::asked("r16", "make", Mode::Ask);
    let decision = decide(&it, Input::PermissionAsked { attempt: attempt(2), asked });
    let [Effect::Permit(permit)] = &decision.effects[..] else { panic!("{:?}", decision.effects) };
    assert!(!permit.allow && permit.reason.contains("Too many"), "{permit:?}");
}

#[test]
fn where_nobody_is_asked_a_request_is_answered_at_once_with_a_no_and_what_to_do_instead() {
    check(worker(), asks(2, Mode::Deny), expect!["running | effects: permit"]);
    let decision = decide(&worker(), asks(2, Mode::Deny));
    let [Effect::Permit(permit)] = &decision.effects[..] else { panic!("{:?}", decision.effects) };
    assert!(!permit.allow && permit.request == "r1" && permit.reason.contains("ask_user"), "{permit:?}");
    check(worker(), asks(1, Mode::Deny), expect!["running | effects: none | ignored: a request of another attempt"]);
    check(
        canceled(),
        asks(2, Mode::Deny),
        expect!["canceled | effects: none | ignored: a request of a process that is being ended"],
    );
}

#[test]
fn promise_9_an_agent_that_asks_for_the_same_again_and_again_is_paused() {
    let mut session = worker();
    for expected in ["running", "running", "waiting_user"] {
        session = session::decide(&session, asks(2, Mode::Deny), &Limits::default(), NOW).unwrap().next;
        assert_eq!(session.state.name(), expected);
    }
}

#[test]
fn promise_9_what_was_paused_while_a_guard_had_stopped_it_does_not_trip_again_at_once() {
    let mut session = worker();
    session.counters.used.input = 30_000_000;
    let used = |calls| Input::Used { attempt: attempt(2), usage: Usage { model_calls: calls, ..Usage::default() } };
    let decide = |session: &Session, input| session::decide(session, input, &Limits::default(), NOW).unwrap().next;
    let tripped = decide(&session, used(1));
    assert_eq!(tripped.state.name(), "waiting_user");
    let resumed = decide(&decide(&tripped, Input::Pause), Input::Resume);
    assert_eq!(resumed.counters.verdict(&Limits::default(), NOW), None);
    // What no guard had stopped is not forgotten by a pause.
    let mut calm = worker();
    calm.counters.calls.add(100, NOW);
    let resumed = decide(&decide(&calm, Input::Pause), Input::Resume);
    assert_eq!(resumed.counters.calls.last_hour(NOW), 100);
}

#[test]
fn promise_9_a_resumed_objective_is_forgiven_the_limit_that_it_reached() {
    for paused in [false, true] {
        let mut objective = make::objective();
        objective.used.input = 200_000_000;
        objective.tripped = Some(Trip::Tokens { tokens: 200_000_000 });
        if paused {
            objective.state = objective::State::Paused;
        }
        let next = objective::decide(&objective, objective::Input::Resume, NOW).unwrap().next;
        assert_eq!((next.tripped.clone(), next.verdict(NOW)), (None, None));
    }
}

// Promise 6: pushes.

fn push(state: pull_request::State, force: Option<Option<&str>>) -> String {
    let pr = orcha_model::PullRequest { state, ..make::open_pull_request(1) };
    let work = UpdateWork {
        workspace: WorkspaceId::fixed(1),
        target: make::target_id(),
        commit_message: "more".into(),
        force: force.is_some(),
        force_reason: force.flatten().map(str::to_owned),
    };
    let input = PrInput::Update { push: Some(work), title: None, body: None };
    line(pull_request::decide(&pr, input, NOW), |it| it.state.name())
}

#[test]
fn promise_6_a_merged_pull_request_is_never_pushed_to() {
    let said = push(pull_request::State::Merged { sha: None }, None);
    expect![
        "refused (push_forbidden): pull request is merged: a merged pull request is never pushed to; open a new one"
    ]
    .assert_eq(&said);
}

#[test]
fn promise_6_a_push_to_a_closed_pull_request_is_held_until_the_user_decided() {
    let said = push(pull_request::State::Closed { why: "not wanted".into() }, Some(Some("rebased")));
    expect!["closed | effects: none"].assert_eq(&said);
    let said = push(pull_request::State::Closed { why: "not wanted".into() }, Some(None));
    expect!["refused (invalid): `force_reason` must say why history is rewritten"].assert_eq(&said);
}

fn closed() -> orcha_model::PullRequest {
    let state = pull_request::State::Closed { why: "not wanted".into() };
    orcha_model::PullRequest { state, ..make::open_pull_request(1) }
}

fn more() -> PrInput {
    let work = UpdateWork {
        workspace: WorkspaceId::fixed(1),
        target: make::target_id(),
        commit_message: "more".into(),
        force: false,
        force_reason: None,
    };
    PrInput::Update { push: Some(work), title: None, body: None }
}

#[test]
fn promise_6_whoever_pushes_to_a_closed_pull_request_hears_that_the_user_is_asked() {
    let held = pull_request::decide(&closed(), more(), NOW).unwrap().next;
    assert!(held.closing.held.is_some() && held.answered == 1);
    assert!(held.refusal.unwrap().contains("The user is asked"));
}

#[test]
fn promise_6_after_the_user_left_it_closed_a_push_is_refused() {
    let left = pull_request::decide(&closed(), PrInput::Leave, NOW).unwrap().next;
    let said = line(pull_request::decide(&left, more(), NOW), |it| it.state.name());
    expect!["refused (push_forbidden): pull request is closed: the user was asked and did not have it reopened"]
        .assert_eq(&said);
}

#[test]
fn promise_6_a_held_push_outlives_the_reopening_and_nothing_else() {
    let held = pull_request::decide(&closed(), more(), NOW).unwrap().next;
    for (input, kept) in [(PrInput::Reopened, true), (PrInput::Leave, false), (PrInput::Replaced, false)] {
        let next = pull_request::decide(&held, input, NOW).unwrap().next;
        assert_eq!(next.closing.held.is_some(), kept, "{:?}", next.closing);
    }
    let merged = pull_request::decide(&held, PrInput::Merged { sha: make::sha(9) }, NOW).unwrap().next;
    assert_eq!(merged.closing, pull_request::Closing::default());
}

#[test]
fn promise_6_a_force_push_carries_its_reason_and_the_expected_head() {
    let said = push(pull_request::State::Open, Some(Some("rebased on main")));
    expect![[r#"open | effects: push over 0000000000 force Some("rebased on main")"#]].assert_eq(&said);
    let said = push(pull_request::State::Open, Some(None));
    expect!["refused (invalid): `force_reason` must say why history is rewritten"].assert_eq(&said);
}

#[test]
fn promise_6_a_reason_alone_does_not_make_a_push_a_force_push() {
    let said = push(pull_request::State::Open, None);
    expect!["open | effects: push over 0000000000 force None"].assert_eq(&said);
}

// Promise 8: messages are durable.

fn speak(state: message::State, input: message::Input) -> String {
    let message = orcha_model::Message { state, ..make::message(1, 1) };
    line(message::decide(&message, input, NOW), |it| it.state.name())
}

#[test]
fn promise_8_a_message_whose_attempt_was_lost_is_said_again() {
    let sent = message::State::Sent { attempt: attempt(1) };
    let said = speak(sent, message::Input::Lost { attempt: attempt(1) });
    expect!["queued | effects: none"].assert_eq(&said);
    let target = make::target_id();
    let queued = message::State::Queued { interrupted: None };
    let said = speak(queued, message::Input::Send { attempt: attempt(2), target });
    expect!["sent | effects: deliver to 2"].assert_eq(&said);
}

#[test]
fn promise_8_what_a_lost_attempt_heard_after_all_is_not_said_again() {
    let queued = message::State::Queued { interrupted: None };
    let said = speak(queued, message::Input::Accepted { attempt: attempt(1) });
    expect!["acknowledged | effects: none"].assert_eq(&said);
}

#[test]
fn promise_8_a_question_is_answered_once() {
    let answered = question::State::Answered { answer: "blue".into() };
    let question = orcha_model::Question { state: answered, ..make::question(1, None) };
    let said = question::decide(&question, question::Input::Answer { answer: "red".into() }, NOW).unwrap_err();
    assert_eq!(said.code(), "state");
}

// Promise 1: work is never lost.

#[test]
fn promise_1_a_folder_goes_behind_the_stop_of_its_process() {
    let ready = orcha_model::Workspace { state: workspace::State::Ready, ..make::workspace(1) };
    let decision = workspace::decide(&ready, workspace::Input::Reclaim, NOW).unwrap();
    let stop = session::decide(&worker(), exited(crash()), &Limits::default(), NOW).unwrap();
    assert_eq!(decision.effects[0].lane(), stop.effects[0].lane());
}

#[test]
fn a_folder_that_is_kept_for_the_same_reason_is_noted_once() {
    let ready = orcha_model::Workspace { state: workspace::State::Ready, ..make::workspace(1) };
    let kept = || workspace::Input::Kept { reason: "a commit is nowhere else".into() };
    let first = workspace::decide(&ready, kept(), NOW).unwrap();
    let again = workspace::decide(&first.next, kept(), NOW).unwrap();
    assert_eq!((first.notes.len(), again.notes.len(), again.ignored.is_some()), (1, 0, true));
}

#[test]
fn feedback_is_given_up_after_two_failed_follow_ups() {
    let mut it = make::feedback(1, 1);
    for expected in ["new", "dropped"] {
        let session = make::session(2, Role::PrFollowup).id;
        it = feedback::decide(&it, feedback::Input::Route { session }, NOW).unwrap().next;
        it = feedback::decide(&it, feedback::Input::Unrouted, NOW).unwrap().next;
        assert_eq!(it.state.name(), expected);
    }
}

#[test]
fn promise_9_the_objective_pauses_once_for_a_limit_until_it_is_forgiven() {
    let calls = |calls| objective::Input::Used { usage: Usage { model_calls: calls, ..Usage::default() } };
    let tripped = objective::decide(&make::objective(), calls(300), NOW).unwrap();
    assert_eq!((tripped.next.tripped.clone(), tripped.notes.len()), (Some(Trip::Calls { calls: 300 }), 1));
    let more = objective::decide(&tripped.next, calls(1), NOW).unwrap();
    assert_eq!((more.next.used.model_calls, more.notes.len()), (301, 0));
    let forgiven = objective::decide(&more.next, objective::Input::Forgive, NOW).unwrap().next;
    assert_eq!((forgiven.tripped.clone(), forgiven.verdict(NOW)), (None, None));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// The legal moves of the supervisor's published machine. Ours has one state more, `paused`: every state that
    /// has not ended may be paused; a pause ends in `queued` (only if no attempt was ever made), `waiting_capacity`
    /// or `canceled`. Staying is no move. Its two ways around the table (boot recovery and the orphan
    /// reconciler, from starting or running back to queued) do not exist here.
    const LEGAL: [(&str, &[&str]); 9] = [
        ("queued", &["starting", "waiting_user", "waiting_capacity", "failed", "canceled", "paused"]),
        ("starting", &["running", "waiting_user", "failed", "canceled", "paused"]),
        ("running", &["waiting_user", "waiting_capacity", "succeeded", "failed", "canceled", "paused"]),
        ("waiting_user", &["starting", "running", "succeeded", "failed", "canceled", "paused"]),
        ("waiting_capacity", &["queued", "starting", "running", "waiting_user", "failed", "canceled", "paused"]),
        ("paused", &["queued", "waiting_capacity", "canceled"]),
        ("succeeded", &[]),
        ("failed", &[]),
        ("canceled", &[]),
    ];

    fn legal(from: &str, to: &str) -> bool {
        from == to || LEGAL.iter().any(|(it, to_all)| *it == from && to_all.contains(&to))
    }

    fn attempts() -> impl Strategy<Value = orcha_base::Attempt> {
        (0u32..4).prop_map(attempt)
    }

    fn arounds() -> impl Strategy<Value = Around> {
        let head_moved = proptest::option::of(any::<bool>());
        (any::<bool>(), any::<bool>(), any::<bool>(), head_moved).prop_map(
            |(messages_wait, questions_open, others_at_work, head_moved)| Around {
                hand_back_waits: false,
                messages_wait,
                cut_off: messages_wait && others_at_work,
                questions_open,
                others_at_work,
                head_moved,
            },
        )
    }

    fn ends() -> impl Strategy<Value = TurnEnd> {
        prop_oneof![
            4 => Just(TurnEnd::Completed),
            1 => Just(TurnEnd::Interrupted),
            1 => Just(TurnEnd::Provider { class: "quota", until: None }),
            1 => Just(TurnEnd::Help { class: "auth" }),
            1 => Just(TurnEnd::ConversationMissing),
            2 => Just(TurnEnd::Failed { class: "other".into() }),
        ]
    }

    fn inputs() -> impl Strategy<Value = Input> {
        let place = Input::Place { target: make::target_id(), workspace: WorkspaceId::fixed(1), checkout: None };
        prop_oneof![
            1 => Just(Input::Release { pin: None }),
            8 => Just(place),
            1 => Just(Input::NoPlace { detail: "full".into() }),
            1 => Just(Input::Cancel { reason: "no".into() }),
            1 => Just(Input::Pause),
            3 => Just(Input::Resume),
            1 => Just(Input::Trip { trip: Trip::Stall { secs: 9 } }),
            3 => Just(Input::Answered),
            1 => Just(Input::Wake),
            1 => Just(Input::ObjectiveDone),
            1 => Just(Input::Told),
            1 => attempts().prop_map(|attempt| Input::Report { attempt, summary: "done".into(), verdict: None }),
            6 => attempts().prop_map(|attempt| Input::Prepared {
                attempt, dir: "/w".into(), conversation: "c".into(), opening: None
            }),
            1 => attempts().prop_map(|attempt| Input::PrepareFailed { attempt, detail: "disk".into() }),
            8 => (attempts(), any::<bool>()).prop_map(|(attempt, spoken_to)| Input::Started { attempt, spoken_to }),
            1 => attempts().prop_map(|attempt| Input::LaunchFailed { attempt, detail: "no".into() }),
            1 => attempts().prop_map(|attempt| Input::Conversation { attempt, conversation: "c".into() }),
            1 => attempts().prop_map(|attempt| Input::Spoken { attempt, message: orcha_base::MessageId::fixed(1) }),
            1 => attempts().prop_map(|attempt| Input::Heard { attempt, activity: None, summary: None, acted: true }),
            1 => (attempts(), 0u32..50).prop_map(|(attempt, model_calls)| Input::Used {
                attempt, usage: Usage { model_calls, input: 10, ..Usage::default() }
            }),
            5 => (attempts(), ends(), arounds()).prop_map(|(attempt, end, around)| Input::TurnEnded { attempt, end, around }),
            3 => (attempts(), any::<bool>(), arounds()).prop_map(|(attempt, clean, around)| {
                Input::Exited { attempt, exit: if clean { Exit::Clean } else { crash() }, around }
            }),
            3 => attempts().prop_map(|attempt| Input::Stopped { attempt }),
            1 => attempts().prop_map(|attempt| Input::StopFailed { attempt, detail: "no".into() }),
            3 => (attempts(), 0u32..4, prop::sample::select(vec![Mode::Ask, Mode::Ask, Mode::Deny])).prop_map(
                |(attempt, n, mode)| Input::PermissionAsked { attempt, asked: make::asked(&format!("r{n}"), "make", mode) }
            ),
            2 => (attempts(), 1u64..4, any::<bool>()).prop_map(|(attempt, number, yes)| Input::PermissionAnswered {
                attempt, number, answer: if yes { allow(None) } else { Permitted::Expired }
            }),
            1 => (attempts(), 0u32..4).prop_map(|(attempt, n)| Input::PermissionWithdrawn {
                attempt, request: format!("r{n}")
            }),
        ]
    }

    fn roles() -> impl Strategy<Value = Role> {
        prop_oneof![Just(Role::Implementer), Just(Role::Manager), Just(Role::CiFollowup)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_session_lives_by_the_published_machine(role in roles(), inputs in proptest::collection::vec(inputs(), 1..60)) {
            let mut session = make::session(1, role);
            for (n, input) in inputs.into_iter().enumerate() {
                let now = at(1000 + 120 * i64::try_from(n).unwrap());
                let Ok(decision) = session::decide(&session, input.clone(), &Limits::default(), now) else { continue };
                let next = &decision.next;
                let (from, to) = (session.state.name(), next.state.name());
                prop_assert!(legal(from, to), "{from} → {to} by {input:?}");
                if from == "paused" && to == "queued" {
                    prop_assert_eq!(session.attempt, attempt(0), "only what never ran goes back to the queue");
                }
                prop_assert!(next.asks.is_empty() || to == "running", "only a running agent waits for an answer");
                prop_assert!(next.attempt >= session.attempt);
                prop_assert!(next.counters.used.tokens() >= session.counters.used.tokens());
                prop_assert!(next.counters.used.model_calls >= session.counters.used.model_calls);
                prop_assert!(next.started_at >= session.started_at);
                prop_assert_eq!(next.state.is_over(), next.completed_at.is_some());
                // Whoever leaves its process orders the end of it, and nobody else's.
                if let Some((target, attempt)) = session.state.holds()
                    && next.state.holds() != Some((target, attempt))
                {
                    let stops = decision.effects.iter().filter(|it| {
                        matches!(it, Effect::Stop(stop) if stop.attempt == attempt && stop.snapshot == session.workspace)
                    });
                    prop_assert_eq!(stops.count(), 1, "{} → {} by {:?}", from, to, input);
                }
                if decision.ignored.is_some() {
                    prop_assert_eq!(next, &session, "ignored and changed by {:?}", input);
                }
                if session.is_over() {
                    prop_assert_eq!(&next.state, &session.state);
                    prop_assert!(decision.effects.is_empty());
                }
                session = decision.next;
            }
        }

        #[test]
        fn only_evidence_leads_to_success(inputs in proptest::collection::vec(inputs(), 1..60)) {
            let mut session = make::session(1, Role::Implementer);
            for input in inputs {
                let Ok(decision) = session::decide(&session, input.clone(), &Limits::default(), NOW) else { continue };
                if let (false, State::Succeeded { evidence }) = (session.is_over(), &decision.next.state) {
                    let shown = match evidence {
                        Evidence::Report => session.report.is_some(),
                        Evidence::TurnEnd => matches!(input, Input::TurnEnded { end: TurnEnd::Completed, .. }),
                        Evidence::ObjectiveDone => input == Input::ObjectiveDone,
                    };
                    prop_assert!(shown, "{evidence:?} by {input:?}");
                }
                session = decision.next;
            }
        }
    }
}
