//! Every loop guard trips through the real wheel, asks once, burns nothing until it is answered, and remembers what
//! it counted over a restart: promise 9.

use crate::stage::{Stage, turns};
use orcha_agent::TurnEnd;
use orcha_base::{ObjectiveId, SessionId};
use orcha_exec::ExitStatus;
use orcha_model::guard::Limits;
use orcha_model::session::{State, UserWait};
use orcha_model::{Role, Trip};
use orcha_orch::Settings;
use std::time::Duration;

/// Waits for the trip, and checks that exactly one question stands and no agent runs.
async fn tripped(stage: &Stage, objective: ObjectiveId, session: SessionId) -> Trip {
    let it = stage.until_state(objective, session, "waiting_user").await;
    let State::WaitingUser { why: UserWait::Guard { trip }, .. } = it.state else { panic!("{:?}", it.state) };
    let questions = stage.until(objective, |world| Some(world.open_questions().count()).filter(|n| *n > 0)).await;
    assert_eq!(questions, 1);
    trip
}

#[tokio::test]
async fn the_same_error_three_times_in_a_row_asks() {
    let failed = TurnEnd::Failed { detail: "odd".into() };
    let mut stage = Stage::open(Settings::default(), move |agent| turns(agent, failed.clone(), 1, 10)).await;
    let (objective, session) = stage.one(Role::Implementer, Limits::default()).await;
    for attempt in 1..3 {
        stage
            .until(objective, move |world| {
                world
                    .sessions
                    .get(&session)
                    .filter(|it| it.attempt.0 == attempt && it.state.name() == "waiting_capacity")
                    .map(|_| ())
            })
            .await;
        // What was counted so far is in the store.
        stage.restart().await;
        stage.clock.advance(Duration::from_secs(120));
    }
    let trip = tripped(&stage, objective, session).await;
    assert_eq!(trip, Trip::SameError { class: "failed".into(), times: 3 });
    stage.answer(objective, "cancel").await;
    stage.until_state(objective, session, "canceled").await;
    stage.close().await;
}

#[tokio::test]
async fn five_turns_of_words_only_ask() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 1, 10)).await;
    // A manager stays after its turn, so that it can be talked to.
    let (objective, session) = stage.one(Role::Manager, Limits::default()).await;
    for turn in 1..=4 {
        stage
            .until(objective, move |world| {
                world.sessions.get(&session).filter(|it| it.is_idle() && it.counters.idle_turns == turn).map(|_| ())
            })
            .await;
        stage.say(objective, session, "And?").await;
    }
    assert_eq!(tripped(&stage, objective, session).await, Trip::NoProgress { turns: 5 });
    stage.answer(objective, "Do something, please.").await;
    // The answer is the next thing that it hears, and the count starts anew.
    stage
        .until(objective, move |world| {
            world.sessions.get(&session).filter(|it| it.is_idle() && it.counters.idle_turns == 1).map(|_| ())
        })
        .await;
    stage.close().await;
}

#[tokio::test]
async fn too_many_model_calls_of_a_session_within_an_hour_ask() {
    let mut stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 60, 10)).await;
    let limits = Limits { no_progress: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Manager, limits).await;
    stage.until(objective, move |world| world.sessions.get(&session).filter(|it| it.is_idle()).map(|_| ())).await;
    stage.restart().await;
    stage.say(objective, session, "And?").await;
    assert_eq!(tripped(&stage, objective, session).await, Trip::Calls { calls: 120 });
    stage.close().await;
}

#[tokio::test]
async fn calls_of_an_earlier_hour_do_not_count() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 60, 10)).await;
    let limits = Limits { no_progress: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Manager, limits).await;
    for turn in 1..=4 {
        stage
            .until(objective, move |world| {
                world
                    .sessions
                    .get(&session)
                    .filter(|it| it.is_idle() && it.counters.used.model_calls == turn * 60)
                    .map(|_| ())
            })
            .await;
        stage.clock.advance(Duration::from_secs(4000));
        stage.say(objective, session, "And?").await;
    }
    stage
        .until(objective, move |world| {
            world.sessions.get(&session).filter(|it| it.is_idle() && it.counters.used.model_calls == 300).map(|_| ())
        })
        .await;
    stage.close().await;
}

#[tokio::test]
async fn too_many_model_calls_of_an_objective_pause_all_its_sessions_and_ask_once() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 40, 10)).await;
    let limits =
        Limits { no_progress: 0, objective_calls_per_hour: 100, session_calls_per_hour: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Manager, limits).await;
    for turn in 1..=2 {
        stage
            .until(objective, move |world| {
                world
                    .sessions
                    .get(&session)
                    .filter(|it| it.is_idle() && it.counters.used.model_calls == turn * 40)
                    .map(|_| ())
            })
            .await;
        stage.say(objective, session, "And?").await;
    }
    assert_eq!(tripped(&stage, objective, session).await, Trip::Calls { calls: 120 });
    stage.answer(objective, "continue").await;
    stage
        .until(objective, move |world| {
            world.sessions.get(&session).filter(|it| it.is_idle() && world.objective.tripped.is_none()).map(|_| ())
        })
        .await;
    stage.close().await;
}

#[tokio::test]
async fn too_many_tokens_of_a_session_or_an_objective_ask() {
    for (limits, tokens) in [
        (Limits { session_tokens: 1000, ..Limits::default() }, 1500),
        (Limits { objective_tokens: 1000, ..Limits::default() }, 1500),
    ] {
        let stage = Stage::open(Settings::default(), move |agent| turns(agent, TurnEnd::Completed, 1, tokens)).await;
        let (objective, session) = stage.one(Role::Manager, limits).await;
        assert_eq!(tripped(&stage, objective, session).await, Trip::Tokens { tokens });
        stage.close().await;
    }
}

#[tokio::test]
async fn an_attempt_that_runs_too_long_asks() {
    // Its turn never ends.
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
    .await;
    let limits = Limits { wall_clock_secs: 600, stall_secs: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Implementer, limits).await;
    stage.until_state(objective, session, "running").await;
    stage.clock.advance(Duration::from_secs(601));
    assert_eq!(tripped(&stage, objective, session).await, Trip::WallClock { secs: 600 });
    stage.close().await;
}

#[tokio::test]
async fn a_turn_that_stands_still_asks() {
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
    .await;
    let limits = Limits { stall_secs: 300, ..Limits::default() };
    let (objective, session) = stage.one(Role::Implementer, limits).await;
    stage.until_state(objective, session, "running").await;
    stage.clock.advance(Duration::from_secs(301));
    assert_eq!(tripped(&stage, objective, session).await, Trip::Stall { secs: 300 });
    stage.close().await;
}
