//! A person at the keyboard of an agent's terminal, through the whole wheel: meanwhile nobody else says anything, and what a
//! screen shows is no evidence.

use crate::stage::Stage;
use orcha_agent::{Event, Say, TurnEnd};
use orcha_base::SessionId;
use orcha_exec::{ExitStatus, RunLabel};
use orcha_model::guard::Limits;
use orcha_model::session::{State, Turn};
use orcha_model::{Role, message, session};
use orcha_orch::Settings;
use orcha_plan::{Stimulus, World, why};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn label(session: SessionId) -> RunLabel {
    RunLabel::new(&format!("{session}-1")).unwrap()
}

fn prompts(stage: &Stage, session: SessionId) -> Vec<String> {
    let text = |it: Say| match it {
        Say::Prompt { text, .. } => Some(text),
        _ => None,
    };
    stage.runner.said(&label(session)).into_iter().filter_map(text).collect()
}

fn turn(world: &World, session: SessionId) -> Option<Turn> {
    match &world.sessions[&session].state {
        State::Running { turn, .. } => Some(*turn),
        _ => None,
    }
}

/// Agents that work until the test says what becomes of their turn.
async fn working() -> Stage {
    Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
    .await
}

#[tokio::test]
async fn while_a_person_types_words_wait_over_a_restart_and_no_guard_counts_the_silence() {
    let mut stage = working().await;
    let limits = Limits { stall_secs: 60, ..Limits::default() };
    let (objective, session) = stage.one(Role::Researcher, limits).await;
    let busy = move |world: &World| matches!(turn(world, session), Some(Turn::Busy { .. })).then_some(());
    let heard =
        |world: &World| world.messages.values().all(|it| it.state == message::State::Acknowledged).then_some(());
    stage.until(objective, busy).await;
    stage.until(objective, heard).await;
    stage.runner.emit(&label(session), Event::Held { by_person: true }).unwrap();
    let held = move |world: &World| matches!(turn(world, session), Some(Turn::Held { busy: true, .. })).then_some(());
    stage.until(objective, held).await;

    stage.say(objective, session, "one more thing").await;
    stage.clock.advance(Duration::from_secs(600));
    stage.restart().await;
    stage.until(objective, held).await;
    assert_eq!(prompts(&stage, session).len(), 1);
    let said = stage.orch.view(objective, move |world| why(world, Some(session))).await.unwrap().unwrap();
    assert!(said.reason.contains("a person types") && said.way_out.contains("orcha release"), "{said:?}");

    stage.runner.emit(&label(session), Event::Held { by_person: false }).unwrap();
    stage.until(objective, busy).await;
    assert_eq!(prompts(&stage, session).len(), 1, "the turn goes on, and words wait for its end");
    stage.runner.emit(&label(session), Event::TurnEnded(TurnEnd::Quiet)).unwrap();
    stage.until(objective, heard).await;
    let prompts = prompts(&stage, session);
    assert!(prompts.len() == 2 && prompts[1].contains("one more thing"), "{prompts:?}");
    let cancel = session::Input::Cancel { reason: "enough".into() };
    stage.orch.submit(objective, Stimulus::Session(session, cancel)).await.unwrap();
    stage.until_state(objective, session, "canceled").await;
    stage.close().await;
}

#[tokio::test]
async fn p5_a_screen_that_stands_still_is_asked_about_once_and_then_shown_to_a_person() {
    // The run may be forgotten when it is looked at, so the agent keeps what it hears.
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let hears = Arc::clone(&hears);
        async move {
            while let Some(Say::Prompt { text, .. }) = agent.hear().await {
                hears.lock().unwrap().push(text);
                agent.text("All done! Everything is finished.");
                agent.end_turn(TurnEnd::Quiet);
            }
            ExitStatus::Code(0)
        }
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "waiting_user").await;
    let prompts = heard.lock().unwrap().clone();
    assert!(prompts.len() == 2 && prompts[1].contains("nothing was reported"), "{prompts:?}");
    let question = stage.until(objective, |world| world.open_questions().next().cloned()).await;
    assert!(question.text.contains("stands still"), "{}", question.text);
    stage.answer(objective, "cancel").await;
    stage.until_state(objective, session, "canceled").await;
    stage.close().await;
}
