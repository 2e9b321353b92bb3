//! Every loop guard trips through the real wheel, asks once, burns nothing until it is answered, and remembers what
//! it counted over a restart: promise 9.

use crate::stage::{Stage, turns};
use orcha_agent::{Event, Say, ToolCall, TurnEnd, Usage};
use orcha_base::{ObjectiveId, SessionId};
use orcha_exec::ExitStatus;
use orcha_model::budget::{Scope, Unit};
use orcha_model::guard::{LimitChanges, Limits};
use orcha_model::session::{State, UserWait};
use orcha_model::{Role, Trip, objective};
use orcha_orch::Settings;
use orcha_plan::{Stimulus, World};
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
async fn promise_9_the_same_error_three_times_in_a_row_asks() {
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
async fn promise_9_five_turns_of_words_only_ask() {
    let mut stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 1, 10)).await;
    // A manager stays after its turn, so that it can be talked to.
    let (objective, session) = stage.one(Role::Manager, Limits::default()).await;
    for turn in 1..=4 {
        stage
            .until(objective, move |world| {
                world.sessions.get(&session).filter(|it| it.is_idle() && it.counters.idle_turns == turn).map(|_| ())
            })
            .await;
        if turn == 3 {
            stage.restart().await;
        }
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
async fn promise_9_a_tool_call_counts_for_its_turn_however_soon_it_comes_after_other_words() {
    // Each line is stored before the next one is written, and no time passes in between.
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {
            tokio::task::yield_now().await;
            agent.emit(Event::ToolCall(ToolCall { id: "1".into(), tool: "look".into(), input: "{}".into() }));
            tokio::task::yield_now().await;
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Manager, Limits::default()).await;
    for turn in 1..=6 {
        let idle_turns = stage.until(objective, move |world| {
            let it = world.sessions.get(&session).filter(|it| it.is_idle())?;
            let heard = world.messages.values().filter(|it| it.state.name() == "acknowledged").count();
            (heard + 1 == turn).then_some(it.counters.idle_turns)
        });
        assert_eq!(idle_turns.await, 0, "after turn {turn}");
        stage.say(objective, session, "And?").await;
    }
    stage.close().await;
}

#[tokio::test]
async fn promise_9_too_many_model_calls_of_a_session_within_an_hour_ask() {
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
async fn promise_9_calls_of_an_earlier_hour_do_not_count() {
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
async fn promise_9_too_many_model_calls_of_an_objective_pause_all_its_sessions_and_ask_once() {
    let mut stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 40, 10)).await;
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
        stage.restart().await;
        stage.say(objective, session, "And?").await;
    }
    assert_eq!(tripped(&stage, objective, session).await, Trip::Calls { calls: 120 });
    // Neither is the pause forgotten, nor asked about a second time.
    stage.restart().await;
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
async fn promise_9_too_many_tokens_or_too_much_money_of_a_session_or_an_objective_ask() {
    let money = |agent: orcha_agent::fake::FakeAgent| spends(agent, 600);
    let limits = Limits { no_progress: 0, ..Limits::default() };
    let over = |scope, unit| Trip::Budget { scope, unit, spent: 600, next: 600, cap: 1000 };
    for (limits, expected) in [
        (Limits { session_tokens: 1000, ..limits }, over(Scope::Session, Unit::Tokens)),
        (Limits { session_micro_usd: 1000, ..limits }, over(Scope::Session, Unit::Money)),
        (Limits { objective_tokens: 1000, ..limits }, over(Scope::Objective, Unit::Tokens)),
        (Limits { objective_micro_usd: 1000, ..limits }, over(Scope::Objective, Unit::Money)),
        // What one turn uses up cannot be known before.
        (Limits { objective_micro_usd: 600, ..limits }, Trip::Money { micro_usd: 600 }),
        (Limits { session_tokens: 500, ..limits }, Trip::Tokens { tokens: 600 }),
    ] {
        let mut stage = Stage::open(Settings::default(), money).await;
        let (objective, session) = stage.one(Role::Manager, limits).await;
        let rests = |it: &&orcha_model::Session| it.is_idle() || it.state.name() == "waiting_user";
        stage.until(objective, move |world| world.sessions.get(&session).filter(rests).map(|_| ())).await;
        // The first half is in the store.
        stage.restart().await;
        if !matches!(expected, Trip::Money { .. } | Trip::Tokens { .. }) {
            stage.say(objective, session, "And?").await;
        }
        assert_eq!(tripped(&stage, objective, session).await, expected);
        stage.close().await;
    }
}

/// An agent that uses so many tokens, and as many millionths of a dollar, in each turn.
async fn spends(mut agent: orcha_agent::fake::FakeAgent, amount: u64) -> ExitStatus {
    agent.ready();
    while let Some(say) = agent.hear().await {
        if let Say::Prompt { .. } = say {
            let usage = Usage { input: amount, model_calls: 1, micro_usd: Some(amount), ..Usage::default() };
            agent.emit(Event::Usage(usage));
            agent.end_turn(TurnEnd::Completed);
        }
    }
    ExitStatus::Code(0)
}

/// An agent whose turn never ends.
async fn hangs(mut agent: orcha_agent::fake::FakeAgent) -> ExitStatus {
    agent.ready();
    while agent.hear().await.is_some() {
        agent.text("these are my last words");
    }
    ExitStatus::Code(0)
}

#[tokio::test]
async fn promise_9_an_attempt_that_runs_too_long_asks() {
    let mut stage = Stage::open(Settings::default(), hangs).await;
    let limits = Limits { wall_clock_secs: 600, stall_secs: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Implementer, limits).await;
    stage.until_state(objective, session, "running").await;
    stage.clock.advance(Duration::from_secs(400));
    stage.restart().await;
    stage.clock.advance(Duration::from_secs(201));
    assert_eq!(tripped(&stage, objective, session).await, Trip::WallClock { secs: 600 });
    stage.close().await;
}

#[tokio::test]
async fn promise_9_a_turn_that_stands_still_asks() {
    let mut stage = Stage::open(Settings::default(), hangs).await;
    let limits = Limits { stall_secs: 300, ..Limits::default() };
    let (objective, session) = stage.one(Role::Implementer, limits).await;
    stage.until_state(objective, session, "running").await;
    // From here on nothing of it is on its way any more.
    let silent = move |world: &World| {
        (world.sessions[&session].activity.as_deref() == Some("these are my last words")).then_some(())
    };
    stage.pass_until(objective, silent).await;
    stage.clock.advance(Duration::from_secs(200));
    stage.restart().await;
    stage.clock.advance(Duration::from_secs(101));
    assert_eq!(tripped(&stage, objective, session).await, Trip::Stall { secs: 300 });
    stage.close().await;
}

#[tokio::test]
async fn promise_9_errors_that_take_turns_ask_too() {
    // It asks for another tool each time: no error comes three times in a row, and it gets nowhere all the same.
    let stage = Stage::open(
        Settings {
            // Nobody is asked: each request is an error of the agent's.
            rules: orcha_model::Permissions { mode: orcha_model::permission::Mode::Deny, ..Default::default() },
            ..Settings::default()
        },
        |mut agent| async move {
            agent.ready();
            let mut n = 0;
            while agent.hear().await.is_some() {
                n += 1;
                let tool = if n % 2 == 0 { "Bash" } else { "Write" };
                let (request, input) = (format!("r{n}"), "{}".to_owned());
                agent.emit(Event::PermissionRequest { request, tool: tool.into(), input });
            }
            ExitStatus::Code(0)
        },
    )
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    assert_eq!(tripped(&stage, objective, session).await, Trip::Errors { times: 6 });
    stage.close().await;
}

#[tokio::test]
async fn promise_9_what_a_guard_paused_goes_on_when_its_objective_is_resumed_and_does_not_trip_again_at_once() {
    let mut stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 60, 10)).await;
    let limits =
        Limits { no_progress: 0, objective_calls_per_hour: 60, session_calls_per_hour: 0, ..Limits::default() };
    let (objective, session) = stage.one(Role::Researcher, limits).await;
    assert_eq!(tripped(&stage, objective, session).await, Trip::Calls { calls: 60 });
    stage.orch.submit(objective, Stimulus::Objective(objective::Input::Pause)).await.unwrap();
    stage.restart().await;
    stage.orch.resume_objective(objective).await.unwrap();
    let limits = LimitChanges { objective_calls_per_hour: Some(200), ..LimitChanges::default() };
    let edit = objective::Input::Edit(Box::new(objective::Edit { limits, ..objective::Edit::default() }));
    stage.orch.submit(objective, Stimulus::Objective(edit)).await.unwrap();
    stage.until_state(objective, session, "succeeded").await;
    stage.close().await;
}
