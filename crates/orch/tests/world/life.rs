//! What sessions go through, by the real wheel: success, crashes, restarts, cancels, answers.

use crate::stage::{Stage, turns};
use orcha_agent::{Event, Say, ToolCall, TurnEnd};
use orcha_base::Timestamp;
use orcha_exec::{ExitStatus, RunLabel};
use orcha_model::guard::Limits;
use orcha_model::session::{Evidence, State};
use orcha_model::{Role, message, objective, session};
use orcha_orch::Settings;
use orcha_plan::Stimulus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_completed_turn_is_evidence_of_success() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 1, 10)).await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.state, State::Succeeded { evidence: Evidence::TurnEnd });
    stage.until(objective, |world| (world.objective.state == objective::State::Succeeded).then_some(())).await;
    stage.close().await;
}

#[tokio::test]
async fn a_conversation_that_is_not_there_is_begun_anew_with_what_it_came_to() {
    let (tries, openings) = (Arc::new(AtomicU32::new(0)), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let (counted, heard) = (Arc::clone(&tries), Arc::clone(&openings));
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        let heard = Arc::clone(&heard);
        async move {
            agent.ready();
            if let Some(Say::Prompt { text, .. }) = agent.hear().await {
                heard.lock().push(text);
            }
            match nth {
                0 => {
                    agent.text("I found the cause in parser.rs.");
                    return ExitStatus::Signal(9);
                }
                1 => agent.end_turn(TurnEnd::ConversationMissing),
                _ => agent.end_turn(TurnEnd::Completed),
            }
            while agent.hear().await.is_some() {}
            ExitStatus::Code(0)
        }
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    for attempt in 1..=2 {
        stage
            .until(objective, move |world| {
                let it = world.sessions.get(&session)?;
                (it.attempt.0 == attempt && it.state.name() == "waiting_capacity").then_some(())
            })
            .await;
        stage.clock.advance(Duration::from_secs(60));
    }
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.attempt.0, 3);
    let goal = &it.goal;
    let openings = openings.lock().clone();
    assert!(openings[0].contains(goal), "{openings:?}");
    assert!(!openings[1].contains(goal), "the second goes on with the conversation: {openings:?}");
    for words in [goal.as_str(), "a conversation that is not there any more", "I found the cause in parser.rs."] {
        assert!(openings[2].contains(words), "{words}: {openings:?}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_vanished_agent_is_tried_again_and_never_taken_for_success() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            agent.ready();
            agent.hear().await;
            if nth < 2 {
                return ExitStatus::Signal(9);
            }
            agent.end_turn(TurnEnd::Completed);
            while agent.hear().await.is_some() {}
            ExitStatus::Code(0)
        }
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    for attempt in 1..=2 {
        stage
            .until(objective, move |world| {
                world
                    .sessions
                    .get(&session)
                    .filter(|it| it.attempt.0 == attempt && it.state.name() == "waiting_capacity")
                    .map(|_| ())
            })
            .await;
        stage.clock.advance(Duration::from_secs(60));
    }
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.attempt.0, 3);
    // It was opened anew with the conversation of the first attempt.
    assert!(it.conversation.is_some());
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    stage.close().await;
}

#[tokio::test]
async fn an_agent_that_always_crashes_fails_honestly() {
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.hear().await;
        ExitStatus::Code(1)
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    for attempt in 1..=5 {
        stage
            .until(objective, move |world| {
                world
                    .sessions
                    .get(&session)
                    .filter(|it| it.attempt.0 == attempt && it.state.name() == "waiting_capacity")
                    .map(|_| ())
            })
            .await;
        stage.clock.advance(Duration::from_secs(120));
    }
    let it = stage.until_state(objective, session, "failed").await;
    assert!(matches!(it.state, State::Failed { ref reason, .. } if reason.contains("exit code 1")), "{:?}", it.state);
    stage
        .until(objective, |world| matches!(world.objective.state, objective::State::Failed { .. }).then_some(()))
        .await;
    stage.close().await;
}

#[tokio::test]
async fn a_restart_loses_no_line_and_repeats_none() {
    let mut stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while let Some(say) = agent.hear().await {
            if let Say::Prompt { text, .. } = say {
                agent.text(format!("heard: {text}"));
                if text.contains("finish") {
                    agent.emit(Event::ToolCall(ToolCall { id: "1".into(), tool: "Bash".into(), input: "{}".into() }));
                    agent.end_turn(TurnEnd::Completed);
                } else {
                    agent.end_turn(TurnEnd::Completed);
                }
            }
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Manager, Limits { no_progress: 0, ..Limits::default() }).await;
    for n in 0..5 {
        stage
            .until(objective, move |world| {
                world.sessions.get(&session).filter(|it| it.is_idle() && !world.has_queued_message(it.id)).map(|_| ())
            })
            .await;
        stage.restart().await;
        stage.say(objective, session, &format!("say {n}")).await;
    }
    stage
        .until(objective, move |world| {
            world
                .sessions
                .get(&session)
                .filter(|it| it.is_idle() && world.messages.values().all(|it| !it.state.is_waiting()))
                .map(|_| ())
        })
        .await;
    let viewer = orcha_store::Viewer::of(orcha_base::TenantId::default());
    let lines = stage.orch.store().transcript(&viewer, session, orcha_store::Span::After(0), 1000).await.unwrap();
    let heard: Vec<(&str, &str)> = lines
        .iter()
        .filter(|it| it.kind == "text" && it.content.contains("say "))
        .map(|it| (it.source.as_str(), it.content.as_str()))
        .collect();
    // What a person says stands in front of what the agent makes of it.
    let expected: Vec<(&str, String)> =
        (0..5).flat_map(|n| [("user", format!("say {n}")), ("agent", format!("heard: say {n}"))]).collect();
    assert_eq!(heard, expected.iter().map(|(who, text)| (*who, text.as_str())).collect::<Vec<_>>());
    assert!(lines[0].source == "system" && lines[0].content.contains("Do it."), "{:?}", lines[0]);
    let numbers: Vec<i64> = lines.iter().map(|it| it.seq).collect();
    assert_eq!(numbers, (1..=i64::try_from(lines.len()).unwrap()).collect::<Vec<_>>());
    stage.close().await;
}

#[tokio::test]
async fn an_answer_reaches_the_agent_that_asked() {
    let mut stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while let Some(say) = agent.hear().await {
            if let Say::Prompt { text, .. } = say {
                agent.text(format!("heard: {text}"));
                agent.end_turn(TurnEnd::Completed);
            }
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Manager, Limits::default()).await;
    let owner = stage.until(objective, move |world| {
        let it = world.sessions.get(&session).filter(|it| it.is_idle())?;
        Some(orcha_store::CredentialOwner {
            tenant: it.tenant.clone(),
            scope: it.scope.clone(),
            objective: it.objective,
            session: it.id,
            attempt: it.attempt,
            role: it.role,
        })
    });
    let owner = owner.await;
    stage.orch.ask_user(&owner, "Tabs or spaces?".into(), None, vec![]).await.unwrap();
    // The same question asked again is one question.
    stage.orch.ask_user(&owner, "Tabs or spaces?".into(), None, vec![]).await.unwrap();
    stage.until(objective, |world| (world.objective.state == objective::State::WaitingUser).then_some(())).await;
    assert_eq!(stage.orch.view(objective, |world| world.open_questions().count()).await.unwrap(), 1);
    stage.restart().await;
    stage.answer(objective, "Spaces.").await;
    stage
        .until(objective, |world| {
            (world.open_questions().next().is_none() && world.objective.state == objective::State::Active).then_some(())
        })
        .await;
    let it = stage
        .until(objective, move |world| {
            world
                .sessions
                .get(&session)
                .filter(|it| it.latest_summary.as_deref().is_some_and(|it| it.contains("Spaces.")))
                .cloned()
        })
        .await;
    assert!(it.latest_summary.unwrap().contains("Tabs or spaces?"));
    stage.close().await;
}

#[tokio::test]
async fn a_spent_quota_waits_until_the_reset_and_goes_on_by_itself() {
    let until = Timestamp::from_secs(1_700_000_000) + Duration::from_secs(3600);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let counted = Arc::clone(&counted);
        async move {
            agent.ready();
            while let Some(Say::Prompt { .. }) = agent.hear().await {
                let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
                agent.end_turn(if first { TurnEnd::UsageExhausted { until: Some(until) } } else { TurnEnd::Completed });
            }
            ExitStatus::Code(0)
        }
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "waiting_capacity").await;
    stage.clock.advance(Duration::from_secs(3500));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    stage.clock.advance(Duration::from_secs(200));
    stage.until_state(objective, session, "succeeded").await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    stage.close().await;
}

#[tokio::test]
async fn a_canceled_session_leaves_no_agent_and_is_not_revived() {
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "running").await;
    let cancel = session::Input::Cancel { reason: "not wanted any more".into() };
    stage.orch.submit(objective, Stimulus::Session(session, cancel)).await.unwrap();
    stage.until_state(objective, session, "canceled").await;
    let label = RunLabel::new(&format!("{session}-1")).unwrap();
    assert!(stage.orch.send_message(objective, session, message::Sender::User, "Hello?".into(), false).await.is_err());
    let runner = stage.runner.clone();
    stage.close().await;
    assert!(!runner.running().contains(&label));
}

#[tokio::test]
async fn an_idle_objective_that_waits_for_the_user_calls_no_model_for_an_hour() {
    let turns_taken = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&turns_taken);
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let counted = Arc::clone(&counted);
        async move {
            agent.ready();
            while let Some(Say::Prompt { .. }) = agent.hear().await {
                counted.fetch_add(1, Ordering::SeqCst);
                agent.end_turn(TurnEnd::Failed { detail: "odd".into() });
            }
            ExitStatus::Code(0)
        }
    })
    .await;
    let limits = Limits { same_error: 1, ..Limits::default() };
    let (objective, session) = stage.one(Role::Researcher, limits).await;
    stage.until_state(objective, session, "waiting_user").await;
    let before = turns_taken.load(Ordering::SeqCst);
    for _ in 0..60 {
        stage.clock.advance(Duration::from_secs(60));
        // The wheel looks at it; nothing comes of it.
        stage.orch.submit(objective, Stimulus::Tick).await.unwrap();
    }
    assert_eq!(turns_taken.load(Ordering::SeqCst), before);
    stage.close().await;
}
