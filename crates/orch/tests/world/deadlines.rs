//! An objective whose time is bounded ends at its deadline with what stands: not before, not twice, and whatever it waits
//! for. What was delivered by then is no failure.

use crate::pipeline::{Script, delivered_as, ends, open, played, plays_a_post, succeeds, wish};
use crate::stage::{Stage, repo};
use orcha_agent::fake::FakeAgent;
use orcha_base::ObjectiveId;
use orcha_exec::ExitStatus;
use orcha_model::delivery::Action;
use orcha_model::guard::{LimitChanges, Limits};
use orcha_model::objective::{Edit, Input, State, Strategy};
use orcha_model::session::RepoChoice;
use orcha_model::workflow::{Phase, Wish};
use orcha_model::{Refusal, Role};
use orcha_orch::{Actor, NewObjective, Settings, SubmitError};
use orcha_plan::{Stimulus, World, why};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// No other limit ends anything here.
fn limits(deadline_secs: u64) -> Limits {
    Limits { wall_clock_secs: 0, stall_secs: 0, deadline_secs, ..Limits::default() }
}

/// Begins a workflow that has two hours.
async fn begin(stage: &Stage, wish: Wish, with_repo: bool) -> ObjectiveId {
    let new = NewObjective {
        strategy: Strategy::Pipeline,
        repo: with_repo.then(|| RepoChoice { url: repo(), base: None }),
        limits: Some(limits(2 * 3600)),
        workflow: wish,
        ..NewObjective::new("Mend the code.")
    };
    stage.orch.create_objective(&Actor::default(), new).await.unwrap().0.id
}

async fn stands_at(stage: &Stage, id: ObjectiveId, phase: Phase) {
    stage.until(id, move |world| (world.workflow.as_ref()?.phase == phase).then_some(())).await;
}

/// Waits for the end, without letting time pass.
async fn failed(stage: &Stage, id: ObjectiveId) -> (World, String) {
    let world = stage.until(id, |world| world.objective.is_over().then(|| world.clone())).await;
    match &world.objective.state {
        State::Failed { reason } => (world.clone(), reason.clone()),
        other => panic!("{other:?}"),
    }
}

/// Everything that was due by now has been looked at when this is answered: an edit is decided with all passes.
async fn edit(stage: &Stage, id: ObjectiveId, deadline_secs: u64) -> Result<(), SubmitError> {
    let limits = LimitChanges { deadline_secs: Some(deadline_secs), ..LimitChanges::default() };
    let edit = Edit { limits, ..Edit::default() };
    stage.orch.submit(id, Stimulus::Objective(Input::Edit(Box::new(edit)))).await.map(drop)
}

#[tokio::test]
async fn a_workflow_ends_at_its_deadline_with_what_stands_whatever_happened_in_between() {
    let script = Script::default();
    let mut stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, wish(), true).await;
    stands_at(&stage, id, Phase::Check).await;
    let way_out = stage.orch.view(id, |world| why(world, None).unwrap().way_out).await.unwrap();
    assert!(way_out.contains("its time is over, and it ends with what stands"), "{way_out}");
    stage.clock.advance(HOUR);
    stage.restart().await;
    script.orch.send_replace(Some(stage.orch.clone()));
    stage.clock.advance(HOUR - Duration::from_secs(1));
    edit(&stage, id, 2 * 3600).await.unwrap();
    stands_at(&stage, id, Phase::Check).await;
    stage.clock.advance(Duration::from_secs(1));
    let (world, reason) = failed(&stage, id).await;
    let said = "its time of 2 h is over. It stood at check. What its tasks left is kept on `orcha/implementer-";
    assert!(reason.starts_with(said), "{reason}");
    assert_eq!(world.objective.completed_at, world.objective.deadline());
    let check = stage.until(id, |world| world.check_runs.values().next().map(|it| it.state.name())).await;
    assert_eq!(check, "canceled");
    stage.close().await;
}

#[tokio::test]
async fn more_time_is_given_while_there_is_some_and_never_taken_from_what_is_past() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, wish(), true).await;
    stands_at(&stage, id, Phase::Check).await;
    edit(&stage, id, 3 * 3600).await.unwrap();
    stage.clock.advance(2 * HOUR);
    for secs in [3600, 2 * 3600, Limits::LONGEST + 1] {
        match edit(&stage, id, secs).await {
            Err(SubmitError::Refused(Refusal::Invalid { field: "limits", .. })) => {}
            other => panic!("{secs}: {other:?}"),
        }
    }
    stands_at(&stage, id, Phase::Check).await;
    // None at all.
    edit(&stage, id, 0).await.unwrap();
    stage.clock.advance(2 * HOUR);
    stage.checker.hold(false);
    succeeds(&stage, id).await;
    stage.close().await;
}

#[tokio::test]
async fn what_a_person_paused_ends_by_its_deadline_too() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, Wish { approve_plan: true, ..wish() }, true).await;
    stage.until(id, |world| world.open_questions().next().map(|_| ())).await;
    stage.orch.submit(id, Stimulus::Objective(Input::Pause)).await.unwrap();
    stage.clock.advance(2 * HOUR);
    let (_, reason) = failed(&stage, id).await;
    assert_eq!(reason, "its time of 2 h is over. It stood at approve_plan");
    stage.close().await;
}

/// Begins a post whose delivery is under way and does not come to an end by itself.
async fn leaving() -> (Stage, ObjectiveId) {
    let script = Script::default();
    plays_a_post(&script);
    let stage = open(&script).await;
    stage.deliverer.hold(true);
    let wish = delivered_as(&stage, Action::BlogDraft, json!({})).await;
    let id = begin(&stage, wish, false).await;
    stage.deliverer.made(1).await;
    (stage, id)
}

#[tokio::test]
async fn what_is_leaving_the_house_at_its_deadline_is_waited_for_and_nobody_looks_back() {
    let (stage, id) = leaving().await;
    stage.clock.advance(2 * HOUR + Duration::from_secs(60));
    // It is over time, and still at it: an edit is decided with all passes.
    let input = Input::Edit(Box::new(Edit { priority: Some(3), ..Edit::default() }));
    stage.orch.submit(id, Stimulus::Objective(input)).await.unwrap();
    stands_at(&stage, id, Phase::Deliver).await;
    stage.deliverer.hold(false);
    let world = succeeds(&stage, id).await;
    assert_eq!(played(&world).last().unwrap(), "finalizer");
    stage.close().await;
}

#[tokio::test]
async fn a_delivery_that_does_not_come_to_an_end_is_not_waited_for_for_ever() {
    let (stage, id) = leaving().await;
    stage.clock.advance(2 * HOUR + Duration::from_secs(600));
    let (world, reason) = failed(&stage, id).await;
    assert_eq!(reason, "its time of 2 h is over. It stood at deliver");
    assert_eq!(world.workflow.unwrap().phase, Phase::Deliver);
    stage.close().await;
}

#[tokio::test]
async fn an_objective_without_a_workflow_ends_by_its_deadline_and_takes_its_sessions_along() {
    async fn hangs(mut agent: FakeAgent) -> ExitStatus {
        agent.ready();
        while agent.hear().await.is_some() {}
        ExitStatus::Code(0)
    }
    let stage = Stage::open(Settings::default(), hangs).await;
    let (id, session) = stage.one(Role::Implementer, limits(600)).await;
    stage.until_state(id, session, "running").await;
    stage.clock.advance(Duration::from_secs(600));
    let world = ends(&stage, id).await;
    assert_eq!(
        world.objective.state,
        State::Failed { reason: "its time of 10 min is over. 0 of 1 sessions succeeded".into() }
    );
    stage.until_state(id, session, "canceled").await;
    stage.close().await;
}
