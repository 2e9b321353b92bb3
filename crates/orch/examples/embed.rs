//! Another program runs an objective: two sessions, one after the other, with agents that are functions.
//!
//! `cargo run -p orcha-orch --example embed`

use orcha_agent::fake::FakeRunner;
use orcha_agent::{Runner, TurnEnd};
use orcha_exec::{ExitStatus, fake::FakeHost};
use orcha_forge::fake::FakeForge;
use orcha_model::{Role, objective::Strategy};
use orcha_orch::{Actor, Hands, NewObjective, Orch, Settings, SystemClock, TargetHands};
use orcha_plan::NewSession;
use orcha_store::{Store, StoreOptions};
use orcha_workspace::fake::FakeCheckouts;
use std::collections::HashMap;
use std::sync::Arc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let store = Store::open(data.path(), StoreOptions::default())?;
    let hands = Hands::new(Arc::new(FakeForge::new()));
    let orch = Orch::start(store, hands, Settings::default(), Arc::new(SystemClock)).await?;

    // Each agent is a function: it hears what it shall do, says something, and ends its turn.
    let agents: Arc<dyn Runner> = Arc::new(FakeRunner::new(|mut agent| async move {
        agent.ready();
        while agent.hear().await.is_some() {
            agent.text("Done: looked at it and liked it.");
            agent.end_turn(TurnEnd::Completed);
        }
        ExitStatus::Code(0)
    }));
    let target = orch.register_target(&Actor::default(), "here", "/nowhere", 4, vec![]).await?;
    let runners = HashMap::from([("claude".to_owned(), agents)]);
    let host = Arc::new(FakeHost::new("/nowhere"));
    orch.connect_target(target.id, TargetHands { host, checkouts: Arc::new(FakeCheckouts::new()), runners }).await?;

    let mut journal = orch.journal();
    let wish = NewObjective {
        strategy: Strategy::Direct,
        sessions: vec![
            (NewSession::new(Role::Researcher, "Look", "Look at it."), vec![]),
            (NewSession::new(Role::Validator, "Check", "Check what was found."), vec![0]),
        ],
        ..NewObjective::new("Have a look at it, and check.")
    };
    let (objective, _) = orch.create_objective(&Actor::default(), wish).await?;
    while !orch.view(objective.id, |world| world.objective.is_over()).await? {
        println!("{}", journal.recv().await?.event.summary);
    }
    println!(
        "{}",
        orch.view(objective.id, |world| format!("{:?}: {:?}", world.objective.state, world.objective.summary)).await?
    );
    orch.shut_down().await;
    Ok(())
}
