//! Whether a new text made things better: runs are split between the old and the new one, and compared by a stated
//! test.
//!
//! The test is Mann and Whitney's U on the scores of the runs, one-sided, looked at after a given number of runs on
//! each side. Each look has its share of the level: for "better" in proportion to its runs, for "worse" an equal one, so
//! that harm ends early. The shares add up to the level, which is therefore kept over all looks, however they hang
//! together. Only what is better is adopted; what is worse, or no different after the last look, is not. A better score
//! that is paid for with much more money is not better.

use orcha_base::ObjectiveId;
use orcha_model::finished::{End, Run, Side};
use orcha_model::proposal::Tally;
use serde::{Deserialize, Serialize};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};
use std::time::Duration;
use uuid::Uuid;

/// What a trial goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialSettings {
    /// After how many runs on each side the trial is looked at; the last one ends it.
    pub looks: Vec<usize>,
    /// How likely "better" may be by chance, over all looks.
    pub level: f64,
    /// How likely "worse" may be by chance, over all looks: less strict, for leaving the old costs nothing.
    pub level_of_harm: f64,
    /// How much more a run may cost in the middle before better is not better any more.
    pub dearer: f64,
    /// How many runs of both sides together a trial may take; one that is undecided then is not adopted.
    pub most_runs: usize,
    /// How long it may take.
    pub most_time: Duration,
    /// How many trials a scope may have at once.
    pub at_once: usize,
}

impl Default for TrialSettings {
    /// Looks after 12, 24, 48 and 72 runs a side: a text that turns half of all failures into successes is found in
    /// more than four of five trials, and one that changes nothing is adopted in at most one of forty. `tests/planted.rs`
    /// counts both. Both sides have 72 runs long before 200 are over; a scope with few runs gets 90 days.
    fn default() -> Self {
        Self {
            looks: vec![12, 24, 48, 72],
            level: 0.025,
            level_of_harm: 0.1,
            dearer: 1.25,
            most_runs: 200,
            most_time: Duration::from_secs(90 * 24 * 3600),
            at_once: 1,
        }
    }
}

/// What a trial says so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "judgement", rename_all = "snake_case")]
pub enum Judgement {
    /// More runs are needed.
    Open {
        /// How many on each side at the next look.
        next_look: usize,
    },
    /// The new text is better.
    Better {
        /// How likely such a difference is by chance.
        p: f64,
    },
    /// It is worse.
    Worse {
        /// How likely such a difference is by chance.
        p: f64,
    },
    /// It is better, and costs too much.
    Dearer {
        /// How much a run costs in the middle, in terms of before.
        times: f64,
    },
    /// It makes no difference that could be seen.
    Same,
}

/// Says on which side a run of a trial is. It depends on both ids alone: a run that is asked about again stays where
/// it is, and no two trials split alike.
pub fn arm(run: ObjectiveId, trial: Uuid) -> Side {
    // The finalizer of splitmix64: every bit of both ids counts.
    let (high, low) = run.uuid().as_u64_pair();
    let (salt_high, salt_low) = trial.as_u64_pair();
    let mut mixed = high ^ low.rotate_left(32) ^ salt_high.rotate_left(17) ^ salt_low;
    for _ in 0..2 {
        mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    if mixed & 1 == 0 { Side::Old } else { Side::New }
}

/// Judges a trial by its finished runs, given in the order in which they ended.
///
/// It looks where the settings say so and nowhere else: the answer does not depend on how often it is asked.
pub fn judge(old: &[Run], new: &[Run], settings: &TrialSettings) -> Judgement {
    let (old, new) = (scores(old), scores(new));
    let runs_of_all_looks = settings.looks.iter().sum::<usize>().max(1) as f64;
    for look in &settings.looks {
        let (Some(before), Some(after)) = (old.get(..*look), new.get(..*look)) else {
            return Judgement::Open { next_look: *look };
        };
        let share = settings.level * *look as f64 / runs_of_all_looks;
        if let Some(p) = chance(after, before).filter(|p| *p < share) {
            let times = middle(after) / middle(before).max(1.0);
            return if times > settings.dearer { Judgement::Dearer { times } } else { Judgement::Better { p } };
        }
        if let Some(p) = chance(before, after).filter(|p| *p < share_of_harm(settings)) {
            return Judgement::Worse { p };
        }
    }
    Judgement::Same
}

/// Tells whether a text that was adopted has got worse than what was there before: runs since its adoption are
/// compared with the old side of its trial, at the looks of a trial and at the level of harm. After the last look it is
/// not watched any more: what turns bad later is found by the search over many runs.
pub fn relapsed(before: &[Run], since: &[Run], settings: &TrialSettings) -> Option<f64> {
    let (before, since) = (scores(before), scores(since));
    let level = share_of_harm(settings);
    let enough = settings.looks.first().is_some_and(|first| before.len() >= *first);
    let looks = settings.looks.iter().filter(|_| enough).filter_map(|look| since.get(..*look));
    looks.filter_map(|since| chance(&before, since)).find(|p| *p < level)
}

/// How unlikely "worse" must be by chance at one look.
fn share_of_harm(settings: &TrialSettings) -> f64 {
    settings.level_of_harm / settings.looks.len().max(1) as f64
}

/// The score and the cost of each run that says something.
fn scores(runs: &[Run]) -> Vec<(f64, u64)> {
    runs.iter().filter(|it| it.counts()).map(|it| (it.score(), it.micro_usd)).collect()
}

/// How likely it is by chance that the first are so much better than the second.
fn chance(first: &[(f64, u64)], second: &[(f64, u64)]) -> Option<f64> {
    let score = |it: &(f64, u64)| it.0;
    let (first, second): (Vec<f64>, Vec<f64>) = (first.iter().map(score).collect(), second.iter().map(score).collect());
    let all_alike = first.iter().chain(&second).all(|it| Some(it) == first.first());
    if all_alike {
        return Some(1.0);
    }
    let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
    mannwhitneyu(&first, &second, method, Alternative::Greater).ok().map(|(_, p)| p)
}

/// The cost in the middle.
fn middle(runs: &[(f64, u64)]) -> f64 {
    let mut costs: Vec<u64> = runs.iter().map(|it| it.1).collect();
    costs.sort_unstable();
    costs.get(costs.len() / 2).copied().unwrap_or(0) as f64
}

/// Sums up one side for people.
pub fn tally(runs: &[Run]) -> Tally {
    let counted = scores(runs);
    let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let sum: f64 = counted.iter().map(|it| it.0).sum();
    Tally {
        runs: number(counted.len()),
        completed: number(runs.iter().filter(|it| it.end == End::Completed).count()),
        // Scores lie between 0 and 1.
        score: (sum / counted.len().max(1) as f64 * 1000.0).round() as u32,
        micro_usd: middle(&counted) as u64,
    }
}
