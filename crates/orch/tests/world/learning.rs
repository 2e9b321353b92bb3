//! Texts that reach roles, and what is learned from runs: proposals, trials, the search. All of it survives the daemon.

use crate::pipeline::{Script, begin, open, succeeds, wish};
use crate::stage::Stage;
use orcha_base::{ObjectiveId, ProposalId, Revision, ScopeId, TenantId};
use orcha_exec::ExitStatus;
use orcha_model::Objective;
use orcha_model::finished::{End, Run, Side, Trouble};
use orcha_model::objective::Strategy;
use orcha_model::proposal::{Change, Priority, Proposal, Source, State};
use orcha_model::text::{self, Surface, Text};
use orcha_orch::{Actor, NewObjective, Settings, SubmitError};
use orcha_store::{Commit, Page, Row, Viewer};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn overlay() -> Surface {
    "role_overlay/implementer".parse().unwrap()
}

fn viewer() -> Viewer {
    Viewer { tenant: TenantId::default(), scope: None }
}

/// A retrospective with one proposal about the Implementer.
fn retrospective() -> serde_json::Value {
    json!({
        "improvements": [{
            "component_type": "persona", "component_name": "implementer", "problem": "It did not run the check.",
            "proposed_fix": "Ask for it.", "change_type": "update", "priority": "high",
            "files": [{"path": "whatever.md", "content": "Run every check before you hand in."}],
        }],
        "health_score": 71, "overall_assessment": "well", "summary": "one proposal",
    })
}

/// Waits until the proposals are as they should be, and returns them, the newest first.
async fn until_proposals(stage: &Stage, fits: impl Fn(&[Proposal]) -> bool) -> Vec<Proposal> {
    let mut journal = stage.orch.journal();
    let waited = async {
        loop {
            let all = stage.orch.store().proposals(&viewer(), None, Page::first(100)).await.unwrap().items;
            if fits(&all) {
                return all;
            }
            drop(journal.recv().await);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waited).await.unwrap()
}

async fn versions(stage: &Stage) -> Vec<(u32, text::State)> {
    let all = stage.orch.store().versions(&TenantId::default(), &ScopeId::default(), &overlay()).await.unwrap();
    all.iter().map(|it: &Text| (it.version, it.state)).collect()
}

#[tokio::test]
async fn c15_texts_reach_the_roles_of_their_scope_and_a_run_never_changes_under_itself() {
    let script = Script::default();
    let stage = open(&script).await;
    let actor = Actor::default();
    let set =
        |surface: &str, body: &str| stage.orch.set_text(&actor, "operator", surface.parse().unwrap(), body.into());
    set("role_overlay/implementer", "Name things well.").await.unwrap();
    set("prompt_overlay/style", "Be brief.").await.unwrap();
    let elsewhere = Actor { scope: ScopeId::new("elsewhere"), ..Actor::default() };
    let foreign = "role_overlay/implementer".parse().unwrap();
    stage.orch.set_text(&elsewhere, "operator", foreign, "Not for you.".into()).await.unwrap();
    let id = begin(&stage, "Mend the code.", wish(), true).await;
    // What is written now is for the next one.
    set("role_overlay/qa", "Too late.").await.unwrap();
    let world = succeeds(&stage, id).await;
    let heard = script.heard();
    let said = |role: &str| heard.iter().find(|it| it.0 == role).map(|it| it.1.clone()).unwrap();
    let implementer = said("implementer");
    assert!(implementer.contains("Name things well.") && implementer.contains("Be brief."), "{implementer}");
    assert!(said("qa").contains("Be brief.") && !said("qa").contains("Name things well."));
    assert!(!heard.iter().any(|it| it.1.contains("Too late.") || it.1.contains("Not for you.")));
    let uses = world.workflow.unwrap().texts;
    assert_eq!(
        uses.iter().map(|it| (it.surface.to_string(), it.version)).collect::<Vec<_>>(),
        [("role_overlay/implementer".to_owned(), 1), ("prompt_overlay/style".to_owned(), 1),]
    );
    stage.close().await;
}

#[tokio::test]
async fn what_a_refiner_proposes_is_tried_by_new_runs_and_survives_the_daemon() {
    let script = Script::default();
    script.plays("refine", [crate::pipeline::hands(retrospective())]);
    script.plays("implement", ["one", "two"].map(|it| crate::pipeline::writes("code", Some(it))));
    let mut stage = open(&script).await;
    let first = begin(&stage, "Mend the code.", wish(), true).await;
    succeeds(&stage, first).await;
    let proposed = until_proposals(&stage, |all| all.len() == 1).await.remove(0);
    assert_eq!(
        (proposed.state.name(), proposed.surface.clone(), proposed.evidence.clone()),
        ("proposed", overlay(), vec![first])
    );
    let runs = stage.orch.store().runs(&viewer(), Page::first(10)).await.unwrap().items;
    assert_eq!((runs[0].id, runs[0].end, runs[0].health), (first, End::Completed, Some(71)));
    let tried = stage.orch.approve_proposal(&TenantId::default(), proposed.id).await.unwrap();
    assert_eq!(tried.state.name(), "on_trial");
    assert_eq!(versions(&stage).await, [(1, text::State::Trial)]);
    let person = stage.orch.set_text(&Actor::default(), "operator", overlay(), "Mine.".into()).await;
    assert!(matches!(person, Err(SubmitError::Refused(_))), "{person:?}");
    stage.restart().await;
    script.orch.send_replace(Some(stage.orch.clone()));
    let second = begin(&stage, "Mend it once more.", wish(), true).await;
    let world = succeeds(&stage, second).await;
    let side = world.workflow.unwrap().tried[&proposed.id];
    let heard = script.heard();
    let last = heard.iter().rev().find(|it| it.0 == "implementer").unwrap();
    assert_eq!(last.1.contains("Run every check before you hand in."), side == Side::New);
    let declined = stage.orch.decline_proposal(&TenantId::default(), proposed.id, "no".into()).await.unwrap();
    assert_eq!(declined.state.name(), "declined");
    assert_eq!(versions(&stage).await, [(1, text::State::Retired)]);
    stage.close().await;
}

/// Finished runs that nobody has taken in, as a daemon leaves them that is killed.
async fn left_behind(stage: &Stage, from: u64, runs: u64, end: End, side: Option<(ProposalId, Side)>, trouble: bool) {
    let bare = NewObjective { strategy: Strategy::Direct, ..NewObjective::new("Nothing.") };
    let (objective, _) = stage.orch.create_objective(&Actor::default(), bare).await.unwrap();
    let mut commit = Commit::at(stage.orch.now());
    for n in from..from + runs {
        let id = ObjectiveId::fixed(n);
        let state = orcha_model::objective::State::Succeeded;
        let row = Objective { id, state, revision: Revision(1), ..objective.clone() };
        commit.changes.push(orcha_store::Change { row: Row::Objective(row), expected: None });
        commit.runs.push(Run {
            id,
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            title: "Run".into(),
            ended_at: stage.orch.now(),
            end,
            repairs: 0,
            micro_usd: 100,
            tokens: 1,
            health: None,
            retrospective: None,
            troubles: if trouble { [Trouble::new("qa", "retry", "it slept")].into() } else { BTreeSet::new() },
            texts: BTreeMap::new(),
            tried: side.into_iter().collect(),
            providers: BTreeMap::new(),
        });
    }
    stage.orch.store().commit(commit).await.unwrap();
}

#[tokio::test]
async fn c16_a_trial_adopts_what_is_better_and_goes_back_by_itself_when_it_turns_bad() {
    let script = Script::default();
    script.plays("refine", [crate::pipeline::hands(retrospective())]);
    let mut stage = open(&script).await;
    let first = begin(&stage, "Mend the code.", wish(), true).await;
    succeeds(&stage, first).await;
    let id = until_proposals(&stage, |all| all.len() == 1).await[0].id;
    stage.orch.set_text(&Actor::default(), "operator", overlay(), "As ever.".into()).await.unwrap();
    stage.orch.approve_proposal(&TenantId::default(), id).await.unwrap();
    left_behind(&stage, 100, 12, End::Failed, Some((id, Side::Old)), false).await;
    left_behind(&stage, 200, 12, End::Completed, Some((id, Side::New)), false).await;
    stage.restart().await;
    let adopted = until_proposals(&stage, |all| all[0].state.name() == "adopted").await.remove(0);
    match &adopted.state {
        State::Adopted { figures, .. } => assert_eq!((figures.old.completed, figures.new.completed), (0, 12)),
        other => panic!("{other:?}"),
    }
    assert_eq!(versions(&stage).await, [(2, text::State::Active), (1, text::State::Retired)]);
    // Twelve runs that fail since are no worse than what was there before: it stays. So the old side must have been good.
    left_behind(&stage, 300, 12, End::Failed, Some((id, Side::Since)), false).await;
    left_behind(&stage, 400, 40, End::Completed, Some((id, Side::Old)), false).await;
    stage.restart().await;
    let reverted = until_proposals(&stage, |all| all[0].state.name() == "reverted").await.remove(0);
    assert!(matches!(reverted.state, State::Reverted { figures, .. } if figures.p.is_some()));
    assert_eq!(versions(&stage).await, [(2, text::State::Retired), (1, text::State::Active)]);
    stage.orch.shut_down().await;
}

#[tokio::test]
async fn c16_a_trial_in_a_quiet_house_ends_by_the_clock_and_not_before() {
    let mut settings = Settings::default();
    // Nothing else wakes whoever learns.
    settings.refiner.search_every = settings.refiner.trial.most_time * 100_000;
    let most = settings.refiner.trial.most_time;
    let mut stage = Stage::open(settings, |_| async { ExitStatus::Code(0) }).await;
    let now = stage.orch.now();
    let proposal = Proposal {
        id: ProposalId::fixed(1),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        cause: "text:role_overlay/implementer".into(),
        surface: overlay(),
        change: Change::Update,
        priority: Priority::High,
        problem: "It is vague.".into(),
        proposed_fix: "Be exact.".into(),
        body: Some("Be exact.".into()),
        source: Source::Retrospective,
        evidence: Vec::new(),
        seen: 1,
        state: State::Proposed,
        created_at: now,
        updated_at: now,
    };
    let mut commit = Commit::at(now);
    commit.changes.push(orcha_store::Change { row: Row::Proposal(proposal), expected: None });
    stage.orch.store().commit(commit).await.unwrap();
    stage.orch.approve_proposal(&TenantId::default(), ProposalId::fixed(1)).await.unwrap();
    stage.clock.advance(most / 2);
    // The other half is waited for by another daemon.
    stage.restart().await;
    // Time passes in small steps, because nobody sees when a daemon has begun to wait.
    let passed = async {
        loop {
            let before = stage.orch.now();
            let it = stage.orch.store().proposals(&viewer(), None, Page::first(100)).await.unwrap().items.remove(0);
            if it.state.name() != "on_trial" {
                assert!(before >= now + most, "it ended too early");
                return it;
            }
            stage.clock.advance(most / 50);
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(std::time::Duration::from_secs(20), passed).await.unwrap();
    assert!(matches!(over.state, State::Declined { figures: Some(_), .. }), "{:?}", over.state);
    assert_eq!(versions(&stage).await, [(1, text::State::Retired)]);
    stage.orch.shut_down().await;
}

#[tokio::test]
async fn many_runs_show_what_one_does_not_and_it_is_proposed_once() {
    let script = Script::default();
    let stage = open(&script).await;
    left_behind(&stage, 100, 9, End::Completed, None, true).await;
    for _ in 0..2 {
        stage.orch.search_runs().await.unwrap();
        let found = stage.orch.store().proposals(&viewer(), None, Page::first(100)).await.unwrap().items;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].evidence.len(), found[0].seen, found[0].body.clone()), (9, 1, None));
        assert!(found[0].problem.contains("it slept"), "{}", found[0].problem);
    }
    stage.orch.shut_down().await;
}
