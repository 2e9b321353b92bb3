//! What agents ask before they act, through the whole wheel: the answer of a person reaches the agent that asked.

use crate::stage::Stage;
use orcha_agent::{Ended, Event, Say, TurnEnd};
use orcha_base::{ObjectiveId, SessionId};
use orcha_exec::{ExitStatus, RunLabel};
use orcha_model::guard::Limits;
use orcha_model::permission::{Mode, Rule, RuleText};
use orcha_model::{NoteKind, Permissions, Role, question};
use orcha_orch::Settings;
use orcha_plan::{World, why};
use std::time::Duration;

fn label(session: SessionId, attempt: u32) -> RunLabel {
    RunLabel::new(&format!("{session}-{attempt}")).unwrap()
}

fn asks(request: &str, command: &str) -> Event {
    let input = format!(r#"{{"command":"{command}"}}"#);
    Event::PermissionRequest { request: request.into(), tool: "Bash".into(), input }
}

fn command(command: &str) -> Rule {
    Rule::try_from(RuleText { command: Some(command.into()), ..RuleText::default() }).unwrap()
}

/// Agents that ask for one command after another and end their turn when all were answered.
async fn asking(rules: Permissions, commands: &'static [&'static str]) -> Stage {
    let settings = Settings { rules, ..Settings::default() };
    Stage::open(settings, move |mut agent| async move {
        agent.ready();
        let mut next = 0;
        while let Some(say) = agent.hear().await {
            match say {
                Say::Prompt { .. } => {}
                Say::Permission { request, allow, input, .. } => {
                    agent.text(format!("{request}: {allow} {input}"));
                }
                Say::Interrupt { .. } => {
                    agent.end_turn(TurnEnd::Interrupted);
                    continue;
                }
            }
            match commands.get(next) {
                Some(command) => agent.emit(asks(&format!("r{next}"), command)),
                None => agent.end_turn(TurnEnd::Completed),
            }
            next += 1;
        }
        ExitStatus::Code(0)
    })
    .await
}

fn answers(stage: &Stage, session: SessionId) -> Vec<(String, bool)> {
    let answer = |it: Say| match it {
        Say::Permission { request, allow, .. } => Some((request, allow)),
        _ => None,
    };
    stage.runner.said(&label(session, 1)).into_iter().filter_map(answer).collect()
}

/// Waits until somebody is asked.
async fn asked(stage: &Stage, objective: ObjectiveId) -> question::Question {
    stage.until(objective, |world| world.open_questions().next().cloned()).await
}

#[tokio::test]
async fn rules_settle_what_they_can_and_a_person_is_asked_about_the_rest() {
    let rules =
        Permissions { allow: vec![command("git status")], deny: vec![command("git push")], ..Permissions::default() };
    let stage = asking(rules, &["git status -s", "git push", "make", "make"]).await;
    let (objective, session) = stage.one(Role::Researcher, Limits { no_progress: 0, ..Limits::default() }).await;
    let question = asked(&stage, objective).await;
    assert!(question.text.contains("Bash: make"), "{}", question.text);
    assert_eq!(answers(&stage, session), [("r0".to_owned(), true), ("r1".to_owned(), false)]);
    let said = stage.orch.view(objective, move |world| why(world, Some(session))).await.unwrap().unwrap();
    assert!(said.reason.contains("waits for permission"), "{}", said.reason);
    // The second time nobody is asked.
    stage.answer(objective, "allow for this session").await;
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.grants.len(), 1);
    assert_eq!(it.latest_summary.as_deref(), Some(r#"r3: true {"command":"make"}"#));
    stage.close().await;
}

#[tokio::test]
async fn the_stall_guard_waits_with_the_agent_and_what_nobody_answers_is_denied() {
    let rules = Permissions { mode: Mode::Ask, expiry_secs: 900, ..Permissions::default() };
    let stage = asking(rules, &["make"]).await;
    let (objective, session) = stage.one(Role::Researcher, Limits { stall_secs: 60, ..Limits::default() }).await;
    asked(&stage, objective).await;
    stage.clock.advance(Duration::from_secs(600));
    let still = move |world: &World| Some(world.sessions[&session].state.name());
    assert_eq!(stage.until(objective, still).await, "running");
    stage.clock.advance(Duration::from_secs(301));
    let it = stage.until_state(objective, session, "succeeded").await;
    assert!(it.latest_summary.unwrap().starts_with("r0: false"));
    stage.close().await;
}

#[tokio::test]
async fn a_question_outlives_the_daemon_and_its_answer_reaches_the_agent_that_asked() {
    let rules = Permissions { mode: Mode::Ask, ..Permissions::default() };
    let mut stage = asking(rules, &["make"]).await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    asked(&stage, objective).await;
    stage.restart().await;
    stage.answer(objective, "allow once").await;
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.latest_summary.as_deref(), Some(r#"r0: true {"command":"make"}"#));
    stage.close().await;
}

#[tokio::test]
async fn a_question_whose_agent_died_with_the_daemon_is_canceled_and_named() {
    let rules = Permissions { mode: Mode::Ask, ..Permissions::default() };
    let mut stage = asking(rules, &["make"]).await;
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let question = asked(&stage, objective).await;
    stage.orch.shut_down().await;
    stage.runner.end(&label(session, 1), Ended::Lost).unwrap();
    stage.restart().await;
    let mut journal = stage.orch.journal();
    let id = question.id;
    stage
        .until(objective, move |world| {
            world.questions.get(&id).is_none_or(|it| it.state == question::State::Canceled).then_some(())
        })
        .await;
    let kept = stage.orch.store().journal_end().await.unwrap();
    assert!(kept > 0);
    let mut kinds = Vec::new();
    while let Ok(line) = journal.try_recv() {
        kinds.push(line.event.kind);
    }
    let viewer = orcha_store::Viewer::of(orcha_base::TenantId::default());
    let row = stage.orch.store().question(&viewer, id).await.unwrap().unwrap();
    assert_eq!(row.state, question::State::Canceled);
    // The next attempt asks anew.
    stage.clock.advance(Duration::from_secs(5));
    let again = stage.pass_until(objective, |world| world.open_questions().next().map(|it| it.cause.clone())).await;
    assert_eq!(again, format!("permission:{session}:2"));
    stage.answer(objective, "deny").await;
    stage.until_state(objective, session, "succeeded").await;
    stage.close().await;
}

#[tokio::test]
async fn an_interrupt_withdraws_what_was_asked() {
    let rules = Permissions { mode: Mode::Ask, ..Permissions::default() };
    let stage = asking(rules, &["make"]).await;
    let mut journal = stage.orch.journal();
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let id = asked(&stage, objective).await.id;
    let from = orcha_model::message::Sender::User;
    stage.orch.send_message(objective, session, from, "Leave it.".into(), true).await.unwrap();
    stage.until_state(objective, session, "succeeded").await;
    let viewer = orcha_store::Viewer::of(orcha_base::TenantId::default());
    let row = stage.orch.store().question(&viewer, id).await.unwrap().unwrap();
    assert_eq!(row.state, question::State::Canceled);
    let mut withdrawn = 0;
    while let Ok(line) = journal.try_recv() {
        withdrawn += usize::from(line.event.kind == NoteKind::PermissionWithdrawn);
    }
    assert_eq!(withdrawn, 1);
    assert!(answers(&stage, session).is_empty());
    stage.close().await;
}
