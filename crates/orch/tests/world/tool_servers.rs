//! Tool servers through the whole wheel: which of them a session is lent, and what is told of the others.

use crate::stage::{Stage, turns};
use orcha_agent::llm::{Definition, Definitions, Reach, Server};
use orcha_agent::{Event, TurnEnd};
use orcha_base::{ScopeId, SessionId, TenantId};
use orcha_model::guard::Limits;
use orcha_model::tool_server::Transport;
use orcha_model::{NoteKind, Role, ToolServer};
use orcha_orch::{Actor, LentServer, Settings, SubmitError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Launched = Arc<Mutex<BTreeMap<String, Vec<Server>>>>;

fn lent(name: &str, roles: &[Role], writes: bool, reach: Result<Reach, String>) -> LentServer {
    let server = ToolServer {
        name: name.into(),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        transport: Transport::Stdio,
        place: "tickets".into(),
        roles: roles.to_vec(),
        writes,
        hash: None,
    };
    LentServer { server, reach, connect_secs: 30, call_secs: 120 }
}

fn process() -> Result<Reach, String> {
    let env = vec![("TOKEN".to_owned(), "hunter2".to_owned())];
    Ok(Reach::Stdio { command: vec!["tickets".into()], env })
}

fn says(description: &str) -> Definitions {
    let input_schema = serde_json::json!({"type": "object"});
    let tool = Definition { name: "create".into(), description: description.into(), input_schema };
    Definitions::new(vec![tool]).unwrap()
}

/// A stage whose agents are models, and note with what they were launched.
async fn stage(servers: Vec<LentServer>, launched: &Launched) -> Stage {
    let settings = Settings { tool_servers: servers, ..Settings::default() };
    let launched = Arc::clone(launched);
    let stage = Stage::open(settings, move |agent| {
        let launch = agent.launch();
        launched.lock().unwrap().insert(launch.label.to_string(), launch.servers.clone());
        turns(agent, TurnEnd::Completed, 1, 10)
    })
    .await;
    stage.models.give("claude", &[("m-1", Some(true))]);
    stage
}

/// Plays a session of a role, and returns the names of the servers that it was lent, and what the journal says of others.
async fn play(stage: &Stage, launched: &Launched, role: Role) -> (Vec<String>, Vec<String>) {
    let mut journal = stage.orch.journal();
    let (objective, session) = stage.one(role, Limits::default()).await;
    stage.until_state(objective, session, "succeeded").await;
    let mut told = Vec::new();
    // Whatever was told of the launch stands before the end.
    let ended = async {
        loop {
            let line = journal.recv().await.unwrap();
            match line.event.kind {
                NoteKind::ToolsWithheld => told.push(line.event.summary.clone()),
                NoteKind::SessionSucceeded if line.event.session == Some(session) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    (names(launched, session), told)
}

fn names(launched: &Launched, session: SessionId) -> Vec<String> {
    let launched = launched.lock().unwrap();
    launched[&format!("{session}-1")].iter().map(|it| it.name.clone()).collect()
}

#[tokio::test]
async fn c12_a_session_is_lent_what_its_role_may_have_and_a_person_approved_of() {
    let launched = Launched::default();
    let qa = &[Role::Qa, Role::Implementer][..];
    let servers = vec![
        lent("tickets", &[Role::Implementer], true, process()),
        lent("wiki", qa, false, process()),
        // The settings would not be taken; the table says no as well.
        lent("sly", &[Role::Qa, Role::Director], true, process()),
        lent("strange", &[Role::Implementer], true, process()),
    ];
    let stage = stage(servers.clone(), &launched).await;
    for it in servers.iter().filter(|it| it.server.name != "strange") {
        stage.orch.approve_tools("operator", &it.server, &says("Makes a ticket.")).await.unwrap();
    }
    let (lent, told) = play(&stage, &launched, Role::Implementer).await;
    assert_eq!(lent, ["tickets", "wiki"]);
    let words =
        "It does not get the tools of `strange`: nobody has approved of them yet; `orcha mcp show strange` shows them";
    assert_eq!(told, [words]);
    assert_eq!(play(&stage, &launched, Role::Qa).await, (vec!["wiki".to_owned()], vec![]));
    assert_eq!(play(&stage, &launched, Role::Director).await, (vec![], vec![]));
    let hashes: Vec<_> = launched.lock().unwrap().values().flatten().map(|it| it.hash.clone()).collect();
    assert!(hashes.iter().all(|it| *it == Some(says("Makes a ticket.").hash())), "{hashes:?}");

    // What was taken back is lent to nobody who is launched after that.
    let actor = Actor::default();
    let wiki = stage.orch.tool_server(&actor, "wiki").await.unwrap().approved.unwrap();
    assert_eq!((wiki.version, wiki.body), (1, says("Makes a ticket.").text()));
    stage.orch.retire_text("operator", &actor.tenant, wiki.id).await.unwrap();
    let (lent, told) = play(&stage, &launched, Role::Qa).await;
    assert!(lent.is_empty() && told.len() == 1, "{lent:?} {told:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_server_whose_secret_is_not_there_is_told_of_and_no_run_of_a_workflow_is_told_what_was_approved() {
    let launched = Launched::default();
    let missing = Err("the variable TICKETS is not set in the daemon's environment".to_owned());
    let servers = vec![lent("tickets", &[Role::Implementer], true, missing)];
    let stage = stage(servers.clone(), &launched).await;
    stage.orch.approve_tools("operator", &servers[0].server, &says("Makes a ticket.")).await.unwrap();
    let (lent, told) = play(&stage, &launched, Role::Implementer).await;
    assert!(lent.is_empty() && told[0].ends_with("the variable TICKETS is not set in the daemon's environment"));
    assert!(stage.orch.texts_for(&Actor::default()).await.unwrap().texts.is_empty());
    stage.close().await;
}

#[tokio::test]
async fn a_hash_in_the_settings_is_the_only_word_that_counts() {
    let launched = Launched::default();
    let mut server = lent("tickets", &[Role::Implementer], true, process());
    server.server.hash = Some(says("Makes a ticket.").hash());
    let stage = stage(vec![server.clone()], &launched).await;
    let refused = stage.orch.approve_tools("operator", &server.server, &says("Else.")).await;
    assert!(matches!(refused, Err(SubmitError::Refused(_))), "{refused:?}");
    assert_eq!(play(&stage, &launched, Role::Implementer).await, (vec!["tickets".to_owned()], vec![]));
    stage.close().await;
}

#[tokio::test]
async fn what_an_agent_finds_changed_stands_in_the_journal() {
    let stage = Stage::open(Settings::default(), |agent| async move {
        agent.emit(Event::ToolsWithheld { server: "tickets".into(), why: "its tools are others".into() });
        turns(agent, TurnEnd::Completed, 1, 10).await
    })
    .await;
    let mut journal = stage.orch.journal();
    let (objective, session) = stage.one(Role::Implementer, Limits::default()).await;
    stage.until_state(objective, session, "succeeded").await;
    let told = async {
        loop {
            let line = journal.recv().await.unwrap();
            if line.event.kind == NoteKind::ToolsWithheld {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    assert_eq!(line.event.summary, "It does not get the tools of `tickets`: its tools are others");
    assert_eq!(line.event.session, Some(session));
    stage.close().await;
}
