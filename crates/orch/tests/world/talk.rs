//! What agents ask, and what is told of them while they work.

use crate::stage::{Stage, turns};
use orcha_agent::{Event, Say, TurnEnd};
use orcha_base::SessionId;
use orcha_exec::{ExitStatus, RunLabel};
use orcha_model::guard::Limits;
use orcha_model::session::{State, UserWait};
use orcha_model::{NoteKind, Role, Trip};
use orcha_orch::Settings;
use orcha_store::{CredentialOwner, Page, Span, Viewer};
use std::time::Duration;

fn label(session: SessionId, attempt: u32) -> RunLabel {
    RunLabel::new(&format!("{session}-{attempt}")).unwrap()
}

fn asks(request: &str, tool: &str) -> Event {
    Event::PermissionRequest { request: request.into(), tool: tool.into(), input: r#"{"command":"ls"}"#.into() }
}

/// A wheel on which nobody is asked.
fn nobody_is_asked() -> Settings {
    let rules = orcha_model::Permissions { mode: orcha_model::permission::Mode::Deny, ..Default::default() };
    Settings { rules, ..Settings::default() }
}

/// An agent that says what it was told about its requests, and ends its turn after the answer.
async fn asker() -> Stage {
    Stage::open(nobody_is_asked(), |mut agent| async move {
        agent.ready();
        while let Some(say) = agent.hear().await {
            match say {
                Say::Prompt { .. } => agent.emit(asks("r1", "Bash")),
                Say::Permission { allow, reason, .. } => {
                    agent.text(format!("allowed: {allow}; {reason}"));
                    agent.end_turn(TurnEnd::Completed);
                }
                Say::Interrupt { .. } => {}
            }
        }
        ExitStatus::Code(0)
    })
    .await
}

async fn lines(stage: &Stage, session: SessionId) -> Vec<String> {
    let viewer = Viewer::of(orcha_base::TenantId::default());
    let lines = stage.orch.store().transcript(&viewer, session, Span::After(0), 1000).await.unwrap();
    lines.into_iter().map(|it| it.content).collect()
}

#[tokio::test]
async fn a_request_of_an_agent_is_answered_and_its_turn_goes_on() {
    let stage = asker().await;
    let mut journal = stage.orch.journal();
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let it = stage.until_state(objective, session, "succeeded").await;
    assert!(it.latest_summary.unwrap().starts_with("allowed: false; `Bash` is not allowed in this session,"));
    let lines = lines(&stage, session).await;
    let place = |what: &str| lines.iter().position(|it| it.starts_with(what)).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(place("asks to use Bash") < place("denied: `Bash` is not allowed"));
    let mut kinds = Vec::new();
    while let Ok(line) = journal.try_recv() {
        kinds.push(line.event.kind);
    }
    assert_eq!(kinds.iter().filter(|it| **it == NoteKind::PermissionDenied).count(), 1, "{kinds:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_request_that_came_while_the_daemon_was_down_is_answered_once_it_is_back() {
    let mut stage = Stage::open(nobody_is_asked(), |mut agent| async move {
        agent.ready();
        while let Some(say) = agent.hear().await {
            if let Say::Permission { reason, .. } = say {
                agent.text(reason);
                agent.end_turn(TurnEnd::Completed);
            }
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "running").await;
    stage.orch.shut_down().await;
    stage.runner.emit(&label(session, 1), asks("r7", "Write")).unwrap();
    stage.restart().await;
    stage.until_state(objective, session, "succeeded").await;
    let answers = stage.runner.said(&label(session, 1)).into_iter().filter(|it| matches!(it, Say::Permission { .. }));
    assert!(answers.count() <= 1, "the run may be forgotten already, and is never answered twice");
    assert!(lines(&stage, session).await.iter().any(|it| it.starts_with("`Write` is not allowed")));
    stage.close().await;
}

#[tokio::test]
async fn a_request_that_was_withdrawn_is_not_answered() {
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while let Some(say) = agent.hear().await {
            assert!(!matches!(say, Say::Permission { .. }), "nobody waits for it");
            agent.emit(asks("r1", "Bash"));
            agent.emit(Event::PermissionWithdrawn { request: "r1".into() });
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "succeeded").await;
    stage.close().await;
}

#[tokio::test]
async fn an_agent_that_asks_for_the_same_again_and_again_is_paused_and_the_user_asked() {
    let stage = Stage::open(nobody_is_asked(), |mut agent| async move {
        agent.ready();
        let mut n = 0;
        while agent.hear().await.is_some() {
            n += 1;
            agent.emit(asks(&format!("r{n}"), "Bash"));
        }
        ExitStatus::Code(0)
    })
    .await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let it = stage.until_state(objective, session, "waiting_user").await;
    let State::WaitingUser { why: UserWait::Guard { trip }, .. } = it.state else { panic!("{:?}", it.state) };
    assert_eq!(trip, Trip::SameError { class: "permission denied: Bash".into(), times: 3 });
    stage.answer(objective, "cancel").await;
    stage.until_state(objective, session, "canceled").await;
    stage.close().await;
}

#[tokio::test]
async fn the_newest_activity_is_told_at_once_and_then_once_a_second() {
    let stage = Stage::open(Settings::default(), |mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    })
    .await;
    let mut activities = stage.orch.activities();
    let mut next = async |of: SessionId, what: &str| {
        let heard = async {
            loop {
                let it = activities.recv().await.unwrap();
                if it.session == of && it.activity.as_deref() == Some(what) {
                    return it;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap()
    };
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    stage.until_state(objective, session, "running").await;
    let emit = |text: &str| stage.runner.emit(&label(session, 1), Event::Text { text: text.into() }).unwrap();
    let does = |what: &'static str| {
        stage.pass_until(objective, move |world| {
            (world.sessions[&session].activity.as_deref() == Some(what)).then_some(())
        })
    };
    emit("reads");
    does("reads").await;
    // What was told before it was told less than a second ago.
    stage.clock.advance(Duration::from_secs(1));
    let told = next(session, "reads").await;
    assert_eq!((told.objective, told.session), (objective, session));
    // Two more within the second: the last one wins, even though nothing comes after it.
    emit("writes");
    emit("tests");
    let mut journal = stage.orch.journal();
    does("tests").await;
    stage.clock.advance(Duration::from_secs(1));
    next(session, "tests").await;
    assert!(journal.try_recv().is_err(), "activities are not in the journal");
    stage.close().await;
}

#[tokio::test]
async fn the_same_request_keeps_one_note_and_names_it_twice() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 1, 10)).await;
    let (objective, session) = stage.one(Role::Manager, Limits::default()).await;
    let it = stage.until_state(objective, session, "running").await;
    let owner = CredentialOwner {
        tenant: it.tenant.clone(),
        scope: it.scope.clone(),
        objective,
        session,
        attempt: it.attempt,
        role: it.role,
    };
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(stage.orch.once("request-1").keep_note(&owner, "A note", "Its text.").await.unwrap());
    }
    kept.push(stage.orch.once("request-2").keep_note(&owner, "A note", "Its text.").await.unwrap());
    assert_eq!(kept[0], kept[1]);
    assert_ne!(kept[0], kept[2]);
    let viewer = Viewer::of(orcha_base::TenantId::default());
    let notes = stage.orch.store().artifacts_of(&viewer, objective, Page::first(10)).await.unwrap();
    assert_eq!(notes.items.len(), 2);
    stage.close().await;
}
