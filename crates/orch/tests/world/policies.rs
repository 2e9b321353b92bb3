//! What a scope lets its runs do holds from their first step to their last, whoever wants something else.

use crate::pipeline::{Script, begin, direction, fails, hands, open, succeeds, wish, writes};
use orcha_model::delivery::Action;
use orcha_model::guard::LimitChanges;
use orcha_model::objective::{Edit, Input};
use orcha_model::session::AgentChoice;
use orcha_model::workflow::Wish;
use orcha_model::{NoteKind, Refusal, Role};
use orcha_orch::{Actor, CheckSaid, NewObjective, Orch, SubmitError};
use orcha_plan::{NewSession, Stimulus};
use orcha_store::{EventFilter, Span, Viewer};
use serde_json::json;

async fn set(orch: &Orch, scope: &str, body: &str) -> Result<(), SubmitError> {
    let actor = Actor { scope: orcha_base::ScopeId::new(scope), ..Actor::default() };
    orch.set_text(&actor, "operator", "policy/run".parse().unwrap(), body.to_owned()).await.map(drop)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(said: Result<T, SubmitError>, field: &str) {
    match said {
        Err(SubmitError::Refused(Refusal::Invalid { field: of, .. })) if of == field => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_run_goes_by_the_policy_that_held_when_it_was_made() {
    let script = Script::default();
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"approve_plan": true, "deliveries": ["answer"], "objective_tokens": 5000000}"#)
        .await
        .unwrap();
    let plain = Wish { merge: false, ..wish() };
    let id = begin(&stage, "Mend the code.", plain, true).await;
    // What is written later is for later runs.
    set(&stage.orch, "global", r#"{"approve_plan": false}"#).await.unwrap();
    stage.until(id, |world| world.open_questions().next().map(|_| ())).await;
    let wider = LimitChanges { objective_tokens: Some(6_000_000), ..LimitChanges::default() };
    let edit = Edit { limits: wider, ..Edit::default() };
    refused(stage.orch.submit(id, Stimulus::Objective(Input::Edit(Box::new(edit)))).await, "limits");
    stage.answer(id, "approve").await;
    let world = succeeds(&stage, id).await;
    // The Director wanted a pull request.
    assert_eq!(world.workflow.unwrap().action, Some(Action::Answer));
    assert!(world.pull_requests.is_empty());
    assert_eq!(world.objective.limits.objective_tokens, 5_000_000);
    stage.close().await;
}

#[tokio::test]
async fn an_agent_that_is_not_allowed_plays_nowhere() {
    let script = Script::default();
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"agents": {"value": ["claude"], "locked": true}}"#).await.unwrap();
    let new = || NewObjective { agent: Some(AgentChoice::of("codex")), ..NewObjective::new("Do it.") };
    refused(stage.orch.create_objective(&Actor::default(), new()).await, "agent");
    let new = NewObjective { strategy: orcha_model::objective::Strategy::Direct, ..NewObjective::new("Do it.") };
    let (objective, _) = stage.orch.create_objective(&Actor::default(), new).await.unwrap();
    let mut worker = NewSession::new(Role::Implementer, "It", "Do it.");
    worker.agent = Some(AgentChoice::of("codex"));
    refused(stage.orch.new_session(objective.id, worker).await, "agent");
    refused(set(&stage.orch, "web", r#"{"agents": ["codex"]}"#).await, "body");
    set(&stage.orch, "web", r#"{"max_qa_retries": 0}"#).await.unwrap();
    let web = Actor { scope: orcha_base::ScopeId::new("web"), ..Actor::default() };
    let rules = stage.orch.texts_for(&web).await.unwrap().policy.rules();
    let rules: Vec<_> = rules.iter().map(|it| (it.name, it.scope.as_str(), it.locked_by.is_some())).collect();
    assert_eq!(rules, [("max_qa_retries", "web", false), ("agents", "global", true)]);
    let cancel = Input::Cancel { reason: "enough".into() };
    stage.orch.submit(objective.id, Stimulus::Objective(cancel)).await.unwrap();
    stage.close().await;
}

#[tokio::test]
async fn what_a_director_wants_against_the_policy_is_replaced_aloud() {
    let script = Script::default();
    let mut bold = direction();
    bold["agents"] = json!([{"role": "qa", "agent": "codex"}]);
    script.plays("direct", [hands(bold)]);
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"agents": ["claude"]}"#).await.unwrap();
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let world = succeeds(&stage, id).await;
    assert!(world.sessions.values().all(|it| it.agent.kind == "claude"));
    let viewer = Viewer::of(Actor::default().tenant);
    let events = stage.orch.store().events(&viewer, EventFilter::All, Span::Latest, 1000).await.unwrap();
    let said: Vec<_> = events.iter().filter(|it| it.kind == NoteKind::AgentSubstituted).collect();
    assert!(said[0].summary.contains("policy of global (version 1): agents are claude"), "{:?}", said[0].summary);
    stage.close().await;
}

#[tokio::test]
async fn nothing_passes_unchecked_where_the_policy_forbids_it_whatever_the_director_calls_the_work() {
    let script = Script::default();
    let mut docs = direction();
    docs["mode"] = json!("docs");
    script.plays("direct", [hands(docs)]);
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"without_checks": false}"#).await.unwrap();
    let unchecked = NewObjective {
        strategy: orcha_model::objective::Strategy::Pipeline,
        workflow: Wish { without_checks: true, ..wish() },
        ..NewObjective::new("Mend the code.")
    };
    refused(stage.orch.create_objective(&Actor::default(), unchecked).await, "without_checks");
    for _ in 0..2 {
        stage.checker.say(Ok(CheckSaid::default()));
    }
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    let question = stage.pass_until(id, |world| world.open_questions().next().cloned()).await;
    assert!(question.text.contains("the policy of its scope wants one"), "{}", question.text);
    assert_eq!(question.options, ["cancel"]);
    // Whoever insists is asked again.
    stage.answer(id, "without").await;
    let first = question.id;
    let again = stage.pass_until(id, move |world| world.open_questions().find(|it| it.id != first).cloned()).await;
    assert_eq!(again.text, question.text);
    stage.answer(id, "make test").await;
    let world = succeeds(&stage, id).await;
    assert!(!world.workflow.unwrap().wish.without_checks);
    stage.close().await;
}

#[tokio::test]
async fn of_two_figures_the_stricter_counts_and_what_a_person_merges_nobody_else_does() {
    let script = Script::default();
    script.plays("Write it", [writes("code", Some("bad"))]).plays("Mend it", [writes("code", Some("bad again"))]);
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"max_qa_retries": 0, "merge": false, "deadline_secs": 3600}"#).await.unwrap();
    let merged = NewObjective {
        strategy: orcha_model::objective::Strategy::Pipeline,
        workflow: wish(),
        ..NewObjective::new("Mend the code.")
    };
    refused(stage.orch.create_objective(&Actor::default(), merged).await, "delivery.merge");
    let id = begin(&stage, "Mend the code.", Wish { merge: false, ..wish() }, true).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.starts_with("the 0 repairs are used up"), "{reason}");
    assert_eq!((world.workflow.unwrap().cycle, world.objective.limits.deadline_secs), (0, 3600));
    stage.close().await;
}

#[tokio::test]
async fn where_nothing_may_be_delivered_as_it_is_the_workflow_fails_before_anybody_works() {
    let script = Script::default();
    let stage = open(&script).await;
    set(&stage.orch, "global", r#"{"deliveries": ["direct_commit"]}"#).await.unwrap();
    let id = begin(&stage, "Say it.", Wish::default(), false).await;
    let (world, reason) = fails(&stage, id).await;
    assert!(reason.contains("policy of global (version 1): results are delivered as direct_commit"), "{reason}");
    assert_eq!(world.sessions.len(), 1);
    stage.close().await;
}
