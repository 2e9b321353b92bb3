//! What the pipeline guarantees, by the real wheel: each name begins with its number in `docs/GUARANTEES.md`.

use crate::pipeline::{
    Act, Script, begin, blocked, charter, fails, hands, open, plan, played, succeeds, task_named, wish, writes,
};
use crate::stage::{Stage, repo, workspace_label};
use orcha_base::ObjectiveId;
use orcha_delivery::DeliveryError;
use orcha_model::delivery::Action;
use orcha_model::objective;
use orcha_model::workflow::{Phase, Wish};
use orcha_plan::{OfWorkflow, Stimulus, World};
use orcha_workspace::{Checkouts, Exact, Label};
use serde_json::json;

async fn pause(stage: &Stage, id: ObjectiveId) {
    stage.orch.submit(id, Stimulus::Objective(objective::Input::Pause)).await.unwrap();
}

async fn until_phase(stage: &Stage, id: ObjectiveId, phase: Phase) {
    stage.pass_until(id, move |world| (world.workflow.as_ref()?.phase == phase).then_some(())).await;
}

async fn until_asked(stage: &Stage, id: ObjectiveId) -> String {
    stage.pass_until(id, |world| world.open_questions().next().map(|it| it.text.clone())).await
}

/// What the players of a role were told first, in order.
fn told(script: &Script, role: &str) -> Vec<String> {
    script.heard().into_iter().filter(|(of, _)| of == role).map(|(_, told)| told).collect()
}

fn count(world: &World, player: &str) -> usize {
    played(world).iter().filter(|it| *it == player).count()
}

#[tokio::test]
async fn c03_whoever_resumes_twice_at_once_has_every_step_played_once() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.checker.hold(true);
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    until_phase(&stage, id, Phase::Check).await;
    pause(&stage, id).await;
    let again = || stage.orch.resume_objective(id);
    let said = tokio::join!(again(), again(), again());
    assert!(said.0.is_ok() && said.1.is_ok() && said.2.is_ok(), "{said:?}");
    stage.checker.hold(false);
    let world = succeeds(&stage, id).await;
    assert_eq!((played(&world).len(), world.check_runs.len(), stage.checker.asked().len()), (7, 1, 1));
    stage.close().await;
}

#[tokio::test]
async fn c04_repairs_are_counted_over_a_restart() {
    let script = Script::default();
    script.plays("verify", [hands(blocked("no docs")), hands(blocked("no tests")), hands(blocked("no point"))]);
    let mut stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let repaired = |world: &World| {
        let it = world.workflow.as_ref()?;
        (it.cycle == 1 && it.phase == Phase::Implement).then_some(())
    };
    stage.pass_until(id, repaired).await;
    stage.restart().await;
    script.orch.send_replace(Some(stage.orch.clone()));
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("the 2 repairs are used up"), "{reason}");
    assert_eq!((world.workflow.as_ref().unwrap().cycle, count(&world, "qa")), (2, 3));
    stage.close().await;
}

#[tokio::test]
async fn c09_a_repair_hears_exactly_what_failed_and_goes_on_with_the_work() {
    let script = Script::default();
    script.plays("design", [hands(plan(vec![task_named("One", &[]), task_named("Write it", &["One"])]))]);
    script.plays("One", [writes("one", Some("1"))]).plays("Write it", [writes("code", Some("bad"))]);
    script.plays("Mend it", [writes("code", Some("good"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    // The receipt, with the end of what the command printed; and so does whoever mends it.
    let (architect, mends) = (told(&script, "architect"), told(&script, "implementer"));
    assert!(architect[1].contains("`make test`): RED, ended with 1"), "{}", architect[1]);
    assert!(architect[1].contains("test took 0.17 s"), "{}", architect[1]);
    assert!(mends[2].contains("The check `make test` ended with 1:\n"), "{}", mends[2]);
    assert!(mends[2].contains("test took 0.17 s") && mends[2].contains("It works."), "{}", mends[2]);
    let result = world.workflow.as_ref().unwrap().left.result.unwrap();
    let files = stage.checkouts.files(&workspace_label(&world.workspaces[&world.sessions[&result].workspace.unwrap()]));
    assert_eq!((&*files["one"], &*files["code"]), ("1", "good"));
    stage.close().await;
}

#[tokio::test]
async fn c09_a_task_that_one_did_not_get_done_is_given_to_another_and_the_workflow_lives() {
    let script = Script::default();
    // Nothing is handed in, not even when it is asked for once more.
    script.plays("Write it", [Act::default(), Act::default(), writes("code", Some("good"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert_eq!((count(&world, "implementer!"), count(&world, "implementer")), (1, 1));
    let task = world.tasks.values().next().unwrap();
    assert_eq!((world.tasks.len(), task.state.name(), task.tries), (1, "completed", 2));
    stage.close().await;
}

#[tokio::test]
async fn c10_an_implementer_knows_charter_plan_neighbours_and_what_it_builds_on() {
    let script = Script::default();
    let tasks = vec![task_named("One", &[]), task_named("Two", &["One"]), task_named("Three", &["Two"])];
    script.plays("design", [hands(plan(tasks))]);
    let mut done = writes("one", Some("1"));
    done.hands_in = vec![json!({"summary": "It is called `sum(a, b)`."})];
    script.plays("One", [done]);
    script.plays("Two", [writes("two", Some("2"))]).plays("Three", [writes("three", Some("3"))]);
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code, please.", wish(), true).await;
    succeeds(&stage, id).await;
    let all = told(&script, "implementer");
    for part in [
        "Mend the code, please.",
        "Vision: It works.",
        "test is green",
        "One file.",
        "- 1 [completed, which you go on from] One",
        "What was done: It is called `sum(a, b)`.",
        "- 3 [pending] Three",
        "Do Two.",
    ] {
        assert!(all[1].contains(part), "{part:?} is missing in\n{}", all[1]);
    }
    stage.close().await;
}

#[tokio::test]
async fn c10_whoever_judges_sees_the_receipts_and_what_changed() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    let told = told(&script, "qa").remove(0);
    let sha = world.workflow.unwrap().left.checked.unwrap();
    for part in
        [&format!("receipts of the checks at commit {sha}"), "`make test`): green", "their own words, no evidence"]
    {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    stage.close().await;
}

#[tokio::test]
async fn c21_a_gate_that_waits_for_a_person_is_not_passed_by_pause_and_resume() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", Wish { approve_plan: true, ..wish() }, true).await;
    let asked = until_asked(&stage, id).await;
    pause(&stage, id).await;
    stage.orch.resume_objective(id).await.unwrap();
    assert_eq!(until_asked(&stage, id).await, asked);
    let world = stage.orch.view(id, World::clone).await.unwrap();
    assert_eq!((world.workflow.as_ref().unwrap().phase, count(&world, "implementer")), (Phase::ApprovePlan, 0));
    stage.answer(id, "approve").await;
    succeeds(&stage, id).await;
    stage.close().await;
}

#[tokio::test]
async fn c21_what_a_person_writes_in_a_roles_place_is_what_the_others_are_told() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", Wish { approve_plan: true, ..wish() }, true).await;
    until_asked(&stage, id).await;
    let mut mine = charter();
    mine["constitution"]["vision"] = json!("It works on Sundays, too.");
    stage.orch.of_workflow(id, OfWorkflow::Edit { phase: Phase::Charter, output: mine }).await.unwrap();
    stage.answer(id, "approve").await;
    succeeds(&stage, id).await;
    for role in ["implementer", "qa", "finalizer"] {
        let told = told(&script, role).remove(0);
        assert!(told.contains("It works on Sundays, too.") && !told.contains("It works."), "{role}: {told}");
    }
    stage.close().await;
}

#[tokio::test]
async fn c21_a_title_that_the_user_gave_is_kept() {
    let script = Script::default();
    let stage = open(&script).await;
    let id = begin(&stage, "Mend the code.", Wish { titled: true, ..wish() }, true).await;
    let before = stage.orch.view(id, |world| world.objective.title.clone()).await.unwrap();
    let world = succeeds(&stage, id).await;
    assert_eq!(world.objective.title, before);
    stage.close().await;
}

#[tokio::test]
async fn c22_what_was_not_delivered_is_not_completed_by_a_resume() {
    let script = Script::default();
    let stage = open(&script).await;
    stage.deliverer.fake.fail_next(DeliveryError::Refused { status: 403, attempts: 1 });
    let wish = Wish { action: Some(Action::MarkdownExport), ..Wish::default() };
    let id = begin(&stage, "Mend the code.", wish, true).await;
    assert!(until_asked(&stage, id).await.contains("403"));
    pause(&stage, id).await;
    stage.orch.resume_objective(id).await.unwrap();
    assert!(until_asked(&stage, id).await.contains("403"));
    let phase = stage.orch.view(id, |world| world.workflow.as_ref().unwrap().phase).await.unwrap();
    assert_eq!((phase, stage.deliverer.orders().len()), (Phase::Deliver, 0));
    stage.answer(id, "continue").await;
    succeeds(&stage, id).await;
    assert_eq!(stage.deliverer.orders().len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn c22_an_address_in_a_request_leads_to_nothing_outside() {
    let script = Script::default();
    let text = json!({"summary": "written", "artifacts": [{"path": "post.md", "content": "# Post"}]});
    script.plays("implement", [hands(text)]);
    let mut direction =
        json!({"mode": "blog", "title": "A post", "rationale": "text", "summary": "text", "questions": []});
    direction["delivery"] = json!("pull_request");
    script.plays("direct", [hands(direction)]);
    let stage = open(&script).await;
    let id = begin(&stage, "Write about https://github.com/ada/engine and open a PR.", Wish::default(), false).await;
    let world = succeeds(&stage, id).await;
    assert!(world.pull_requests.is_empty() && stage.deliverer.orders().is_empty());
    assert_eq!(world.workflow.unwrap().action, Some(Action::Answer));
    stage.close().await;
}

#[tokio::test]
async fn c25_the_folder_of_a_delivery_goes_with_the_next_start_and_nothing_of_anybody_else() {
    let script = Script::default();
    let mut stage = open(&script).await;
    let wish = Wish { action: Some(Action::ArtifactBundle), approve_plan: true, ..Wish::default() };
    let over = begin(&stage, "Mend the code.", wish.clone(), true).await;
    until_asked(&stage, over).await;
    stage.answer(over, "approve").await;
    let commit = succeeds(&stage, over).await.workflow.unwrap().left.checked.unwrap();
    assert!(stage.checkouts.list_exact().await.unwrap().is_empty(), "a delivery that was made leaves no folder");
    // One waits for a person; and of one this house knows nothing.
    let live = begin(&stage, "Mend it again.", wish, true).await;
    until_asked(&stage, live).await;
    let foreign = ObjectiveId::fixed(7);
    for id in [over, live, foreign] {
        // As a daemon leaves it that is killed.
        let key = Label::new(&format!("deliver-{id}-0")).unwrap();
        stage.checkouts.exact(&Exact { key, repo: repo(), from: None, commit: commit.clone() }).await.unwrap();
    }
    stage.restart().await;
    // What is done at the start is done before the end.
    stage.orch.shut_down().await;
    let mut left = stage.checkouts.list_exact().await.unwrap();
    left.sort();
    let mut kept = [live, foreign].map(|id| Label::new(&format!("deliver-{id}-0")).unwrap());
    kept.sort();
    assert_eq!(left, kept);
}
