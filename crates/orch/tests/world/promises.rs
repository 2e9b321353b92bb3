//! What the wheel promises when much happens at once, or one hand hangs.

use crate::stage::Stage;
use async_trait::async_trait;
use orcha_agent::fake::FakeRunner;
use orcha_agent::{Batch, Cursor, Launch, LaunchError, MockRunner, Runner, RunnerError, Said, Say, Started, TurnEnd};
use orcha_base::ObjectiveId;
use orcha_exec::{ExitStatus, Grace, RunLabel, fake::FakeHost};
use orcha_model::guard::Limits;
use orcha_model::{Role, objective, session};
use orcha_orch::{Actor, Settings, TargetHands};
use orcha_plan::Stimulus;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// How many sessions the stage's target takes at once.
const CAPACITY: usize = 4;

/// An agent that is there until it is dropped, however it ends.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_4_objectives_that_ask_at_once_never_share_a_place() {
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&alive), Arc::clone(&most));
    let stage = Stage::open(Settings::default(), move |mut agent| {
        let (counted, highest) = (Arc::clone(&counted), Arc::clone(&highest));
        async move {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _alive = Alive(counted);
            agent.ready();
            agent.hear().await;
            tokio::task::yield_now().await;
            agent.end_turn(TurnEnd::Completed);
            while agent.hear().await.is_some() {}
            ExitStatus::Code(0)
        }
    })
    .await;
    let stage = Arc::new(stage);
    let asking = (0..16).map(|_| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.one(Role::Researcher, Limits::default()).await })
    });
    for asked in futures::future::join_all(asking).await {
        let (objective, session) = asked.unwrap();
        stage.until_state(objective, session, "succeeded").await;
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=CAPACITY).contains(&most), "{most} agents were alive at once on a target that takes {CAPACITY}");
    Arc::into_inner(stage).unwrap().close().await;
}

/// A runner that starts nothing before it is let.
#[derive(Debug)]
struct Hanging {
    inner: FakeRunner,
    let_go: watch::Receiver<bool>,
    /// How many launches hang.
    hang: watch::Sender<usize>,
}

#[async_trait]
impl Runner for Hanging {
    async fn launch(&self, launch: &Launch) -> Result<Started, LaunchError> {
        self.hang.send_modify(|it| *it += 1);
        let mut let_go = self.let_go.clone();
        let_go.wait_for(|it| *it).await.unwrap();
        self.inner.launch(launch).await
    }

    async fn read(&self, label: &RunLabel, after: &Cursor) -> Result<Batch, RunnerError> {
        self.inner.read(label, after).await
    }

    async fn stored(&self, label: &RunLabel, cursor: &Cursor) -> Result<(), RunnerError> {
        self.inner.stored(label, cursor).await
    }

    async fn say(&self, label: &RunLabel, say: &Say) -> Result<Said, RunnerError> {
        self.inner.say(label, say).await
    }

    async fn alive(&self, label: &RunLabel) -> Result<bool, RunnerError> {
        self.inner.alive(label).await
    }

    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<(), RunnerError> {
        self.inner.stop(label, grace).await
    }

    async fn forget(&self, label: &RunLabel) -> Result<(), RunnerError> {
        self.inner.forget(label).await
    }
}

/// Makes an objective whose session is being launched for ever.
async fn launching(stage: &Stage, hang: &mut watch::Receiver<usize>) -> (ObjectiveId, orcha_base::SessionId) {
    let before = *hang.borrow();
    let made = stage.one(Role::Researcher, Limits::default()).await;
    hang.wait_for(|it| *it > before).await.unwrap();
    made
}

#[tokio::test]
async fn promise_12_a_hand_that_hangs_holds_up_neither_the_loop_that_decides_nor_the_store() {
    let stage = Stage::open(Settings::default(), |agent| crate::stage::turns(agent, TurnEnd::Completed, 1, 10)).await;
    let (let_go, gate) = watch::channel(false);
    let (hang, mut hanging) = watch::channel(0);
    let runner: Arc<dyn Runner> = Arc::new(Hanging { inner: stage.runner.clone(), let_go: gate, hang });
    let here = stage.orch.store().all_targets().await.unwrap()[0].id;
    let hands = TargetHands {
        host: Arc::new(FakeHost::new("/nowhere")),
        checkouts: Arc::clone(&stage.checkouts) as _,
        runners: HashMap::from([("claude".to_owned(), runner)]),
    };
    stage.orch.connect_target(here, hands).await.unwrap();

    let (first, wanted) = launching(&stage, &mut hanging).await;
    // Its own objective is decided meanwhile, however often, and each decision is durable when it is answered.
    for n in 0..20 {
        let edit = objective::Edit { title: Some(format!("Title {n}")), ..objective::Edit::default() };
        let edit = objective::Input::Edit(Box::new(edit));
        stage.orch.submit(first, Stimulus::Objective(edit)).await.unwrap();
    }
    assert_eq!(stage.orch.view(first, |world| world.objective.title.clone()).await.unwrap(), "Title 19");
    // So are others, up to the launch of their own.
    let (second, unwanted) = launching(&stage, &mut hanging).await;
    let cancel = session::Input::Cancel { reason: "not wanted".into() };
    stage.orch.submit(second, Stimulus::Session(unwanted, cancel)).await.unwrap();
    stage.until_state(second, unwanted, "canceled").await;
    stage.orch.register_target(&Actor::default(), "there", "/elsewhere", 1, vec![]).await.unwrap();

    let_go.send(true).unwrap();
    stage.until_state(first, wanted, "succeeded").await;
    // What came up after its end was wanted is ended: nobody works on for a canceled session.
    stage.close().await;
}

#[tokio::test]
async fn a_launch_that_can_never_succeed_is_made_once_and_its_reason_is_told() {
    let stage = Stage::open(Settings::default(), |agent| crate::stage::turns(agent, TurnEnd::Completed, 1, 10)).await;
    let mut runner = MockRunner::new();
    runner.expect_alive().returning(|_| Ok(false));
    runner.expect_launch().times(1).returning(|launch| {
        assert_eq!(launch.program, None);
        Err(LaunchError::Unsupported { reason: "it has no ears".into() })
    });
    runner.expect_stop().returning(|_, _| Ok(()));
    runner.expect_forget().returning(|_| Ok(()));
    let here = stage.orch.store().all_targets().await.unwrap()[0].id;
    let hands = TargetHands {
        host: Arc::new(FakeHost::new("/nowhere")),
        checkouts: Arc::clone(&stage.checkouts) as _,
        runners: HashMap::from([("claude".to_owned(), Arc::new(runner) as Arc<dyn Runner>)]),
    };
    stage.orch.connect_target(here, hands).await.unwrap();
    let (objective, session) = stage.one(Role::Researcher, Limits::default()).await;
    let failed = stage.until_state(objective, session, "failed").await;
    let session::State::Failed { reason, fault } = failed.state else { panic!("{:?}", failed.state) };
    assert!(reason.ends_with("it has no ears"), "{reason}");
    assert_eq!(fault, session::FaultClass::Infrastructure);
    let why = stage.until(objective, |world| match &world.objective.state {
        objective::State::Failed { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(why.await, format!("It failed: {reason}"));
    stage.close().await;
}
