//! By what sessions are confined, through the whole wheel: who must be and cannot waits, and who only looks leaves nothing.

use crate::stage::{Stage, turns, workspace_label};
use orcha_agent::{Event, Say, TurnEnd};
use orcha_base::SandboxLevel;
use orcha_exec::ExitStatus;
use orcha_model::guard::Limits;
use orcha_model::sandbox::{Demand, Wanted};
use orcha_model::session::{State, Waiting};
use orcha_model::{NoteKind, Project, Role};
use orcha_orch::{Actor, NewObjective, Settings};
use orcha_plan::{NewSession, why};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

fn strict(level: Wanted) -> Settings {
    let mut settings =
        Settings { own_folders: vec!["/data".into()], home: Some("/home/x".into()), ..Settings::default() };
    (settings.rules.sandbox.level, settings.rules.sandbox.strict) = (level, true);
    settings
}

#[tokio::test]
async fn whoever_must_be_confined_waits_with_a_reason_until_its_target_has_a_sandbox() {
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    let stage = Stage::open(strict(Wanted::Landlock), move |agent| {
        let before = see.lock().unwrap().replace(agent.launch().sandbox.clone());
        assert_eq!(before, None, "it was launched twice");
        turns(agent, TurnEnd::Completed, 1, 10)
    })
    .await;
    let (objective, session) = stage.one(Role::Implementer, Limits::default()).await;
    let said = stage
        .until(objective, move |world| {
            let waits = |it: &State| matches!(it, State::WaitingCapacity { why: Waiting::NoTarget { .. }, .. });
            world.sessions.get(&session).filter(|it| waits(&it.state))?;
            why(world, Some(session))
        })
        .await;
    assert_eq!(
        said.reason,
        "no target takes it: here: it has no Landlock, and the session is only run in one (`strict`); `orcha doctor` \
         says how it gets one"
    );
    stage.host.confines_by(&[SandboxLevel::Landlock]);
    stage
        .pass_until(objective, move |world| {
            world.sessions.get(&session).filter(|it| it.state.name() == "succeeded").cloned()
        })
        .await;
    let sandbox = seen.lock().unwrap().take().unwrap();
    assert_eq!((sandbox.level, sandbox.strict, sandbox.read_only), (SandboxLevel::Landlock, true, false));
    for hidden in ["/data", "/nowhere", "/home/x/.ssh"] {
        assert!(sandbox.hide.contains(&PathBuf::from(hidden)), "{hidden} is not hidden: {sandbox:?}");
    }
    assert!(sandbox.write.contains(&PathBuf::from("/home/x/.cargo/registry")), "{sandbox:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_project_is_stricter_than_the_settings_for_its_own_sessions() {
    let stage = Stage::open(Settings::default(), |agent| turns(agent, TurnEnd::Completed, 1, 10)).await;
    let now = stage.orch.now();
    let mut project = Project {
        id: orcha_base::ProjectId::fixed(1),
        tenant: Default::default(),
        scope: Default::default(),
        name: "site".into(),
        repo: crate::stage::repo(),
        base_branch: None,
        permissions: Default::default(),
        created_at: now,
        updated_at: now,
    };
    project.permissions.sandbox = Demand { level: None, strict: Some(true) };
    stage.orch.put_project(project).await.unwrap();
    let wish = |repo| NewObjective {
        strategy: orcha_model::objective::Strategy::Direct,
        sessions: vec![(NewSession::new(Role::Implementer, "It", "Do it."), vec![])],
        repo,
        ..NewObjective::new("Do it.")
    };
    let repo = orcha_model::session::RepoChoice { url: crate::stage::repo(), base: None };
    let (of_project, held) = stage.orch.create_objective(&Actor::default(), wish(Some(repo))).await.unwrap();
    let (other, free) = stage.orch.create_objective(&Actor::default(), wish(None)).await.unwrap();
    stage.until_state(other.id, free[0], "succeeded").await;
    let held = stage.until_state(of_project.id, held[0], "waiting_capacity").await;
    let State::WaitingCapacity { why: Waiting::NoTarget { detail }, .. } = held.state else { panic!("{held:?}") };
    assert!(detail.contains("it has no sandbox, and"), "{detail}");
}

#[tokio::test]
async fn what_a_looker_changed_is_told_and_nobody_goes_on_with_it() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let mut wait = wait.clone();
        async move {
            agent.ready();
            while let Some(say) = agent.hear().await {
                if let Say::Prompt { .. } = say {
                    agent.emit(Event::Text { text: "I look.".into() });
                    wait.wait_for(|go| *go).await.unwrap();
                    agent.end_turn(TurnEnd::Completed);
                }
            }
            ExitStatus::Code(0)
        }
    })
    .await;
    let repo = orcha_model::session::RepoChoice { url: crate::stage::repo(), base: None };
    let wish = NewObjective {
        strategy: orcha_model::objective::Strategy::Direct,
        repo: Some(repo),
        sessions: vec![
            (NewSession::new(Role::Reviewer, "Look", "Look."), vec![]),
            (NewSession::new(Role::Implementer, "Go on", "Go on."), vec![0]),
        ],
        ..NewObjective::new("Do it.")
    };
    let (objective, sessions) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
    let (looker, next) = (sessions[0], sessions[1]);
    let mut journal = stage.orch.journal();
    let workspace = stage
        .until(objective.id, move |world| {
            let it = world.sessions.get(&looker).filter(|it| it.state.name() == "running")?;
            world.workspaces.get(&it.workspace?).filter(|it| it.checkout.is_some()).cloned()
        })
        .await;
    stage.checkouts.write(&workspace_label(&workspace), "code", Some("meddled"));
    go.send_replace(true);
    let told = async {
        loop {
            let line = journal.recv().await.unwrap();
            if line.event.kind == NoteKind::RoleViolation {
                return line.event.summary.clone();
            }
        }
    };
    let said = tokio::time::timeout(std::time::Duration::from_secs(20), told).await.unwrap();
    assert_eq!(said, "Look (reviewer) may only look and changed code; nothing goes on with that");
    stage.until_state(objective.id, next, "succeeded").await;
    let (trespasses, mine) = stage
        .until(objective.id, move |world| {
            let of = |id| world.workspaces.get(&world.sessions.get(&id)?.workspace?).cloned();
            Some((world.sessions.get(&looker)?.trespasses.clone(), of(next)?))
        })
        .await;
    assert_eq!(trespasses, ["code"]);
    assert_eq!(stage.checkouts.files(&workspace_label(&mine)).get("code"), None);
    stage.close().await;
}
