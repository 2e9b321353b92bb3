//! What nobody talks a workflow out of: every way through its steps, and the gate before a delivery.
//!
//! The names begin with the number of the guarantee in `docs/GUARANTEES.md`.

use orcha_base::{CheckRunId, HandInId, SessionId};
use orcha_model::check::{Outcome, Receipt, Source, Tampering};
use orcha_model::contract::{Issue, Severity, Verdict};
use orcha_model::delivery::{Action, Delivered};
use orcha_model::gate::{GateFacts, Judgement, judge};
use orcha_model::workflow::{Failing, Input, Mode, Phase, Wish, decide};
use orcha_model::{Decision, Role, Workflow, role};
use orcha_testkit::make::{self, at};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use strum::IntoEnumIterator;

fn issue(description: &str) -> Issue {
    Issue {
        severity: Severity::Blocking,
        component: "code".into(),
        description: description.into(),
        recommendation: "mend it".into(),
    }
}

fn judgement(failing: &[&str]) -> Judgement {
    Judgement {
        blocking: failing.iter().copied().map(issue).collect(),
        failing: failing.iter().map(|it| (*it).to_owned()).collect::<Failing>(),
        warnings: Vec::new(),
    }
}

/// Everything that can happen, each in the forms that make a difference.
fn inputs() -> Vec<Input> {
    let hand_in = HandInId::fixed(9);
    let mut all = vec![
        Input::Directed {
            hand_in,
            mode: Mode::Software,
            action: Action::BlogDraft,
            cast: BTreeMap::new(),
            substitutions: Vec::new(),
        },
        Input::Chartered { hand_in },
        Input::Designed { hand_in },
        Input::Approved,
        Input::Implemented { result: Some(SessionId::fixed(1)) },
        Input::CheckOrdered { run: CheckRunId::fixed(1) },
        Input::Checked { sha: Some(make::sha(1)) },
        Input::Judged { hand_in, judgement: judgement(&[]) },
        Input::Judged { hand_in, judgement: judgement(&["one"]) },
        Input::Judged { hand_in, judgement: judgement(&["two"]) },
        Input::RepairPlanned { hand_in },
        Input::Excused,
        Input::Finalized { hand_in },
        Input::Rejected { words: "otherwise".into() },
        Input::CheckAgain { with: None },
        Input::Merging { head: make::sha(1) },
        Input::DeliveryOrdered,
        Input::Delivered { order: None, delivered: Delivered::Answer },
        Input::Delivered { order: Some(1), delivered: Delivered::Answer },
        Input::DeliveryFaulted { order: 1, detail: "no".into(), lasting: false },
        Input::DeliveryFaulted { order: 1, detail: "no".into(), lasting: true },
        Input::DeliverAgain { order: 1 },
        Input::Reflected { hand_in: None },
        Input::Violated { things: 1 },
        Input::Edited { phase: Phase::Charter, hand_in },
        Input::Edited { phase: Phase::Design, hand_in },
        Input::TaskAdded,
    ];
    all.extend(Phase::iter().map(|to| Input::Back { to, words: None }));
    all
}

/// What tells two workflows apart, as far as the next step goes.
fn key(it: &Workflow) -> String {
    let blocks = it.judged.as_ref().map(|it| it.failing.clone());
    let left = (it.left.charter.is_some(), it.left.design.is_some(), &it.left.order);
    format!("{} {} {} {} {blocks:?} {left:?}", it.phase, it.cycle, it.round, it.wish.max_repairs)
}

/// Walks every way from the beginning, up to the second round and the fourth repair, and shows each decision.
fn walk(wish: Wish, mut look: impl FnMut(&Workflow, &Input, &Decision<Workflow>)) -> usize {
    let first = Workflow::new(&make::objective(), wish, at(0));
    let mut seen = BTreeSet::from([key(&first)]);
    let mut ahead = VecDeque::from([first]);
    let inputs = inputs();
    while let Some(it) = ahead.pop_front() {
        for input in &inputs {
            let Ok(decision) = decide(&it, input.clone(), at(1)) else { continue };
            look(&it, input, &decision);
            let mut next = decision.next;
            // What is only counted makes no difference to the next step.
            next.violations = 0;
            if next.round <= 2 && next.cycle <= 4 && next.deliveries <= 2 && seen.insert(key(&next)) {
                ahead.push_back(next);
            }
        }
    }
    seen.len()
}

fn wishes() -> [Wish; 3] {
    let approvals = Wish { approve_plan: true, approve_delivery: true, ..Wish::default() };
    [Wish::default(), approvals, Wish { max_repairs: 0, skip_refiner: true, ..Wish::default() }]
}

#[test]
fn c01_a_workflow_goes_only_where_its_table_leads_and_nothing_leaves_an_end() {
    for wish in wishes() {
        let mut moves: BTreeMap<Phase, BTreeSet<Phase>> = BTreeMap::new();
        let states = walk(wish, |it, input, decision| {
            assert!(!it.phase.is_end() || decision.next.phase == it.phase, "{input:?} left {}", it.phase);
            let by_person = matches!(input, Input::Back { .. } | Input::Edited { .. } | Input::TaskAdded);
            if !by_person && decision.next.phase != it.phase {
                moves.entry(it.phase).or_default().insert(decision.next.phase);
            }
        });
        assert!(states > 30, "only {states} states were seen");
        for (from, to) in moves {
            let may: &[Phase] = match from {
                Phase::Digest => &[Phase::Direct],
                Phase::Direct => &[Phase::Charter],
                Phase::Charter => &[Phase::Design],
                Phase::Design => &[Phase::ApprovePlan, Phase::Implement],
                Phase::ApprovePlan | Phase::Repair => &[Phase::Implement],
                Phase::Implement => &[Phase::Check],
                Phase::Check => &[Phase::Verify],
                Phase::Verify => &[Phase::Finalize, Phase::Repair, Phase::Exhausted, Phase::Stagnated],
                Phase::Finalize => &[Phase::ApproveDelivery, Phase::Deliver],
                Phase::ApproveDelivery => &[Phase::Deliver, Phase::Repair],
                Phase::Deliver => &[Phase::Refine, Phase::Done],
                Phase::Refine => &[Phase::Done],
                Phase::Done | Phase::Exhausted | Phase::Stagnated => &[],
            };
            assert!(to.iter().all(|it| may.contains(it)), "{from} led to {to:?}");
        }
    }
}

#[test]
fn c22_no_way_leads_to_a_delivery_past_a_judgement_with_nothing_against_it() {
    for wish in wishes() {
        let approves = wish.approve_delivery;
        walk(wish, |it, input, decision| {
            let next = &decision.next;
            if matches!(
                next.phase,
                Phase::Finalize | Phase::ApproveDelivery | Phase::Deliver | Phase::Refine | Phase::Done
            ) {
                let judged = next.judged.as_ref().map(|it| it.blocking.len());
                assert_eq!(judged, Some(0), "{input:?} led from {} to {}", it.phase, next.phase);
            }
            if approves && next.phase == Phase::Deliver && it.phase < Phase::Deliver {
                assert_eq!((it.phase, input), (Phase::ApproveDelivery, &Input::Approved));
            }
            if next.phase == Phase::Done && it.phase != Phase::Done {
                assert!(next.left.delivered.is_some(), "{input:?} ended it with nothing delivered");
            }
        });
    }
}

#[test]
fn c08_repairs_are_bounded_whatever_is_wrong_and_the_same_twice_ends_them_early() {
    walk(Wish::default(), |it, input, decision| {
        let next = &decision.next;
        // Only a person who sends the result back may have another repair.
        let most = if it.wish.max_repairs > 2 { it.wish.max_repairs } else { 2 };
        assert!(next.cycle <= most, "{input:?}: repair {} of {most}", next.cycle);
        if let (Phase::Verify, Input::Judged { judgement, .. }) = (it.phase, input) {
            let same = it.judged.as_ref().is_some_and(|it| it.failing == judgement.failing);
            if it.cycle > 0 && same && !judgement.failing.is_empty() {
                assert_eq!(next.phase, Phase::Stagnated);
            }
        }
    });
}

fn passed() -> Verdict {
    Verdict {
        passed: true,
        blocking_issues: Vec::new(),
        warnings: Vec::new(),
        suggestions: Vec::new(),
        summary: "good".into(),
    }
}

fn receipt(name: &str, code: Option<i32>, failing: &[&str], tail: &str) -> Receipt {
    Receipt {
        name: name.into(),
        command: vec!["make".into(), name.into()],
        source: Source::Detected,
        code,
        failing: failing.iter().map(|it| (*it).to_owned()).collect(),
        tail: tail.into(),
        millis: 5,
    }
}

fn outcome(receipts: Vec<Receipt>, tampering: Vec<Tampering>) -> Outcome {
    Outcome { sha: make::sha(1), receipts, tampering, files: Vec::new(), changed: Vec::new() }
}

fn judged(checks: Option<&Outcome>, verdict: &Verdict, asked: &str) -> Judgement {
    judge(&GateFacts { checks, verdict, needs_checks: true, excused: false, asked })
}

#[test]
fn c06_passed_true_over_a_red_check_is_no_pass() {
    for code in [Some(1), Some(127), None] {
        let red =
            outcome(vec![receipt("lint", Some(0), &[], ""), receipt("test", code, &["a_sum"], "1 failed")], vec![]);
        let it = judged(Some(&red), &passed(), "");
        assert_eq!(it.failing, Failing::from(["check:test:a_sum".to_owned()]), "{code:?}");
        assert!(it.blocking[0].description.ends_with("1 failed"), "{}", it.blocking[0].description);
    }
}

#[test]
fn c06_nothing_that_checks_it_is_no_pass() {
    let nothing = outcome(vec![], vec![]);
    for checks in [None, Some(&nothing)] {
        assert_eq!(judged(checks, &passed(), "").failing, Failing::from(["check:none".to_owned()]));
    }
    let verdict = passed();
    let excused = GateFacts { checks: None, verdict: &verdict, needs_checks: true, excused: true, asked: "" };
    assert!(judge(&excused).blocking.is_empty(), "a person may do without");
}

#[test]
fn c06_a_verdict_that_neither_passes_nor_says_why_is_no_pass() {
    let green = outcome(vec![receipt("test", Some(0), &[], "")], vec![]);
    let unsaid = Verdict { passed: false, ..passed() };
    assert_eq!(judged(Some(&green), &unsaid, "").failing, Failing::from(["qa:unsaid".to_owned()]));
    assert!(judged(Some(&green), &passed(), "").blocking.is_empty());
}

#[test]
fn c06_a_test_that_went_away_and_a_check_that_says_nothing_block_unless_the_user_asked() {
    let gone = Tampering::TestDeleted { path: "tests/sum_test.py".into() };
    let emptied = Tampering::CheckEmptied { path: "package.json".into(), command: "exit 0".into() };
    let green = |tampering| outcome(vec![receipt("test", Some(0), &[], "")], tampering);
    let of = |it: &Tampering, asked: &str| judged(Some(&green(vec![it.clone()])), &passed(), asked).blocking.len();
    assert_eq!(of(&gone, "Make tests/sum_test.py green."), 1);
    assert_eq!(of(&gone, "Delete what is old."), 1);
    assert_eq!(of(&gone, "Delete sum_test, it is obsolete."), 0);
    for asked in ["", "Remove the test of package.json: exit 0 is fine."] {
        assert_eq!(of(&emptied, asked), 1, "{asked}");
    }
}

#[test]
fn c08_the_same_failure_has_the_same_identity_whatever_it_says_of_lines_and_times() {
    let with = |tail: &str, failing: &[&str]| {
        judged(Some(&outcome(vec![receipt("test", Some(1), failing, tail)], vec![])), &passed(), "").failing
    };
    assert_eq!(with("failed in 0.31 s", &["b", "a"]), with("failed in 12 s: line 9", &["a", "b"]));
    assert_ne!(with("failed", &["a"]), with("failed", &["b"]));
    let says = |words: &str| {
        let verdict = Verdict { passed: false, blocking_issues: vec![issue(words)], ..passed() };
        judged(Some(&outcome(vec![receipt("test", Some(0), &[], "")], vec![])), &verdict, "").failing
    };
    assert_eq!(says("Line 12: the sum is wrong."), says("line 14: the SUM is wrong"));
    assert_ne!(says("the sum is wrong"), says("the title is wrong"));
}

#[test]
fn c12_who_judges_or_steers_has_no_tool_that_writes_runs_or_fetches() {
    use role::LocalTool::{List, Read, Search};
    let quiet = [
        Role::Manager,
        Role::Reviewer,
        Role::Director,
        Role::ProjectManager,
        Role::Architect,
        Role::Qa,
        Role::Finalizer,
        Role::Refiner,
    ];
    for role in quiet {
        let traits = role.traits();
        assert!(traits.local_tools.iter().all(|it| [Read, List, Search].contains(it)), "{role}");
        assert!(!traits.produces_commits, "{role}");
    }
    for role in [Role::Director, Role::ProjectManager, Role::Refiner] {
        assert!(role.traits().local_tools.is_empty(), "{role} reads no files either");
    }
    // Whoever plays a step hands in; nobody who does could open or update a pull request, or start somebody else.
    for role in Phase::iter().filter_map(Phase::role) {
        let may = [role::Tool::HandIn, role::Tool::CreateNote, role::Tool::AskUser];
        assert!(role.tools(true).iter().all(|it| may.contains(it)), "{role}: {:?}", role.tools(true));
    }
    assert_eq!(Role::iter().filter(|it| !quiet.contains(it) && it.traits().local_tools.is_empty()).count(), 0);
}
