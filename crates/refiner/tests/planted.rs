//! Planted proposals: which of them a trial adopts, declines and takes back.

use orcha_base::{ObjectiveId, ScopeId, TenantId, Timestamp};
use orcha_refiner::{End, Judgement, Run, Side, TrialSettings, arm, judge, relapsed};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Chance that is the same on every machine and in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = u32::try_from(self.0 >> 33).unwrap_or_default();
        f64::from(bits) / f64::from(1u32 << 31)
    }
}

/// A world in which a run succeeds with some probability, and costs something.
#[derive(Clone, Copy)]
struct Odds {
    success: f64,
    cost: u64,
}

const AS_EVER: Odds = Odds { success: 0.5, cost: 100_000 };

fn run(dice: &mut Dice, n: u64, odds: Odds) -> Run {
    let completed = dice.throw() < odds.success;
    Run {
        id: ObjectiveId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        title: "Run".into(),
        ended_at: Timestamp::from_secs(n.cast_signed()),
        end: if completed { End::Completed } else { End::Failed },
        repairs: if dice.throw() < odds.success { 0 } else { 1 },
        micro_usd: odds.cost,
        tokens: 1000,
        health: None,
        retrospective: None,
        troubles: BTreeSet::new(),
        texts: BTreeMap::new(),
        tried: BTreeMap::new(),
        providers: BTreeMap::new(),
    }
}

/// Tries a text: runs come one after another, each on the side that its id says, until the trial is decided.
fn tried(trial: u64, new: Odds) -> (Judgement, usize) {
    let settings = TrialSettings::default();
    let mut dice = Dice(0x5eed ^ (trial << 20));
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    for n in 0..1000u64 {
        // Ids as a machine draws them.
        let high = n.wrapping_mul(0x1234_5678_9abc_def1);
        let id = ObjectiveId::from_uuid(Uuid::from_u64_pair(high, n));
        match arm(id, Uuid::from_u128(u128::from(trial))) {
            Side::Old => olds.push(run(&mut dice, n, AS_EVER)),
            Side::New | Side::Since => news.push(run(&mut dice, n, new)),
        }
        match judge(&olds, &news, &settings) {
            Judgement::Open { .. } => {}
            decided => return (decided, olds.len() + news.len()),
        }
    }
    panic!("trial {trial} was never decided");
}

#[test]
fn c16_of_sixty_planted_proposals_no_bad_one_is_adopted_and_most_good_ones_are() {
    let adopted = |from: u64, odds: Odds| {
        (from..from + 20).filter(|n| matches!(tried(*n, odds).0, Judgement::Better { .. })).count()
    };
    let good = adopted(100, Odds { success: 0.85, ..AS_EVER });
    let bad = adopted(200, Odds { success: 0.25, ..AS_EVER });
    let without_effect = adopted(300, AS_EVER);
    assert!(good >= 16, "only {good} of 20 good ones were adopted");
    assert_eq!(bad, 0, "bad ones were adopted");
    assert!(without_effect <= 1, "{without_effect} of 20 without effect were adopted");
}

/// The figures that decision 0019 gives. Without repairs a run says the least: it was delivered, or it was not.
#[test]
fn half_of_all_failures_less_is_found_in_four_of_five_trials_and_nothing_in_one_of_forty() {
    let settings = TrialSettings::default();
    let mut dice = Dice(0xf19);
    let mut side = |success: f64| -> Vec<Run> {
        (0..72).map(|n| Run { repairs: 0, ..run(&mut dice, n, Odds { success, ..AS_EVER }) }).collect()
    };
    let mut adopted_of_400 = |success: f64| {
        let better =
            (0..400).filter(|_| matches!(judge(&side(0.5), &side(success), &settings), Judgement::Better { .. }));
        better.count()
    };
    let (half, nothing) = (adopted_of_400(0.75), adopted_of_400(0.5));
    assert!(half >= 310, "{half} of 400 were found");
    assert!(nothing <= 16, "{nothing} of 400 that change nothing were adopted");
}

#[test]
fn a_bad_one_does_not_run_to_the_end() {
    let (said, runs) = tried(7, Odds { success: 0.05, ..AS_EVER });
    assert!(matches!(said, Judgement::Worse { .. }), "{said:?}");
    assert!(runs < 80, "it took {runs} runs");
}

#[test]
fn one_that_is_better_for_much_more_money_is_not_adopted() {
    let (said, _) = tried(8, Odds { success: 0.95, cost: 300_000 });
    assert!(matches!(said, Judgement::Dearer { times } if (2.9..3.1).contains(&times)), "{said:?}");
}

#[test]
fn what_got_worse_after_its_adoption_is_seen() {
    let settings = TrialSettings::default();
    let mut dice = Dice(9);
    let mut many = |odds: Odds| (0..30).map(|n| run(&mut dice, n, odds)).collect::<Vec<_>>();
    let before = many(AS_EVER);
    assert!(relapsed(&before, &many(Odds { success: 0.1, ..AS_EVER }), &settings).is_some());
    assert_eq!(relapsed(&before, &many(Odds { success: 0.8, ..AS_EVER }), &settings), None);
    assert_eq!(relapsed(&before, &before[..5], &settings), None);
}

proptest! {
    #[test]
    fn a_run_stays_on_its_side_and_the_sides_are_even(trial in any::<u128>()) {
        let trial = Uuid::from_u128(trial);
        let sides = (0..400u64).map(|n| arm(ObjectiveId::fixed(n), trial));
        let new = sides.filter(|it| *it == Side::New).count();
        prop_assert!((130..=270).contains(&new), "{new} of 400 on the new side");
    }

    #[test]
    fn asking_more_often_changes_no_answer(seed in any::<u64>(), success in 0.1f64..0.9) {
        let settings = TrialSettings::default();
        let mut dice = Dice(seed);
        let old: Vec<Run> = (0..72).map(|n| run(&mut dice, n, AS_EVER)).collect();
        let new: Vec<Run> = (0..72).map(|n| run(&mut dice, n, Odds { success, ..AS_EVER })).collect();
        let mut first = None;
        for n in (0..=72).step_by(3) {
            let said = judge(&old[..n], &new[..n], &settings);
            if !matches!(said, Judgement::Open { .. }) {
                let decided = first.get_or_insert(said.clone());
                prop_assert_eq!(decided, &said);
            }
        }
        prop_assert!(first.is_some());
    }
}
