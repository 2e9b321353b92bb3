//! What a single run cannot show: troubles that come again, and what they come with.

use crate::{End, Run, Surface, Trouble};
use orcha_base::ObjectiveId;
use serde::{Deserialize, Serialize};
use statrs::stats_tests::{Alternative, fisher::fishers_exact};
use std::collections::{BTreeMap, BTreeSet};

/// What the search goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct FindSettings {
    /// In how many runs a trouble must have come up.
    pub runs: usize,
    /// Which share of all runs that must be.
    pub share: f64,
    /// How unlikely a difference must be by chance before a provider or a text is named, over all that are compared.
    pub level: f64,
    /// How many findings are reported, the worst first.
    pub most: usize,
}

impl Default for FindSettings {
    /// Three runs and a tenth of all keep flukes out; five per cent is the usual level.
    fn default() -> Self {
        Self { runs: 3, share: 0.1, level: 0.05, most: 20 }
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "culprit", rename_all = "snake_case")]
pub enum Culprit {
    /// A trouble of a role that comes again, whatever plays it.
    Recurring {
        /// The trouble.
        trouble: Trouble,
    },
    /// Runs whose role is played by this provider fail more often than the others.
    Provider {
        /// The role.
        role: String,
        /// The provider.
        provider: String,
    },
    /// Runs with this version of a text fail more often than those with other versions or without it.
    Text {
        /// The text.
        surface: Surface,
        /// Its version.
        version: u32,
    },
}

/// Something that many runs show together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: the same finding of a later pass has the same one.
    pub culprit: Culprit,
    /// The runs that show it, the newest first.
    pub evidence: Vec<ObjectiveId>,
    /// How many runs were looked at.
    pub of: usize,
    /// How likely such a difference is by chance; none where nothing is compared.
    pub p: Option<f64>,
}

/// Looks over finished runs. Canceled ones say nothing; a run that is given twice counts once.
pub fn find(runs: &[Run], settings: &FindSettings) -> Vec<Finding> {
    let runs: BTreeMap<ObjectiveId, &Run> = runs.iter().filter(|it| it.counts()).map(|it| (it.id, it)).collect();
    let runs: Vec<&Run> = runs.into_values().collect();
    let mut findings = recurring(&runs, settings);
    findings.extend(worse_than_others(&runs, settings));
    findings.sort_by(|a, b| b.evidence.len().cmp(&a.evidence.len()).then_with(|| a.culprit.cmp(&b.culprit)));
    findings.truncate(settings.most);
    findings
}

fn recurring(runs: &[&Run], settings: &FindSettings) -> Vec<Finding> {
    let mut by_trouble: BTreeMap<&Trouble, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        for trouble in &run.troubles {
            by_trouble.entry(trouble).or_default().push(run);
        }
    }
    let often = |hit: &Vec<&Run>| hit.len() >= settings.runs && share(hit.len(), runs.len()) >= settings.share;
    by_trouble
        .into_iter()
        .filter(|(_, hit)| often(hit))
        .map(|(trouble, hit)| Finding {
            culprit: Culprit::Recurring { trouble: trouble.clone() },
            evidence: newest_first(hit),
            of: runs.len(),
            p: None,
        })
        .collect()
}

/// Compares, for each provider of a role and each version of a text, the runs with it to those without it.
fn worse_than_others(runs: &[&Run], settings: &FindSettings) -> Vec<Finding> {
    let mut culprits: BTreeSet<Culprit> = BTreeSet::new();
    for run in runs {
        for (role, provider) in &run.providers {
            culprits.insert(Culprit::Provider { role: role.clone(), provider: provider.clone() });
        }
        for (surface, version) in &run.texts {
            culprits.insert(Culprit::Text { surface: surface.clone(), version: *version });
        }
    }
    let mut compared = Vec::new();
    for culprit in culprits {
        let (with, without): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| has(run, &culprit));
        if with.len() >= settings.runs && without.len() >= settings.runs {
            compared.push((culprit, with, without));
        }
    }
    // The more is compared, the more would stand out by chance.
    let level = settings.level / compared.len().max(1) as f64;
    let worse = compared.into_iter().filter_map(|(culprit, with, without)| {
        let failed: Vec<&Run> = with.iter().copied().filter(|it| it.end == End::Failed).collect();
        let others = without.iter().filter(|it| it.end == End::Failed).count();
        let p = chance(failed.len(), with.len(), others, without.len())?;
        let enough = failed.len() >= settings.runs && p < level;
        enough.then(|| Finding { culprit, evidence: newest_first(failed), of: with.len(), p: Some(p) })
    });
    worse.collect()
}

fn has(run: &Run, culprit: &Culprit) -> bool {
    match culprit {
        Culprit::Recurring { trouble } => run.troubles.contains(trouble),
        Culprit::Provider { role, provider } => run.providers.get(role) == Some(provider),
        Culprit::Text { surface, version } => run.texts.get(surface) == Some(version),
    }
}

/// How likely it is by chance that so many more fail here than there: Fisher's exact test, one-sided.
fn chance(failed: usize, of: usize, others: usize, of_others: usize) -> Option<f64> {
    let table = [failed, others, of - failed, of_others - others].map(|it| it as u64);
    fishers_exact(&table, Alternative::Greater).ok()
}

fn newest_first(mut runs: Vec<&Run>) -> Vec<ObjectiveId> {
    runs.sort_by(|a, b| b.ended_at.cmp(&a.ended_at).then_with(|| b.id.cmp(&a.id)));
    runs.into_iter().map(|it| it.id).collect()
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use orcha_base::Timestamp;

    fn run(n: u64, end: End) -> Run {
        Run {
            id: ObjectiveId::fixed(n),
            tenant: orcha_base::TenantId::default(),
            scope: orcha_base::ScopeId::default(),
            title: "Run".into(),
            ended_at: Timestamp::from_secs(n.cast_signed()),
            end,
            repairs: 0,
            micro_usd: 0,
            tokens: 0,
            health: None,
            retrospective: None,
            troubles: BTreeSet::new(),
            texts: BTreeMap::new(),
            tried: BTreeMap::new(),
            providers: BTreeMap::new(),
        }
    }

    fn found(runs: &[Run]) -> Vec<Finding> {
        find(runs, &FindSettings::default())
    }

    #[test]
    fn a_trouble_that_comes_again_is_found_with_its_runs_and_once() {
        let trouble = || Trouble::new("qa", "check_failed", "make test");
        let mut runs: Vec<Run> = (1..=20).map(|n| run(n, End::Completed)).collect();
        for n in [3, 9, 15] {
            runs[n].troubles.insert(trouble());
        }
        runs[1].troubles.insert(Trouble::new("qa", "check_failed", "make lint"));
        runs.push(runs[3].clone());
        let found = found(&runs);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].culprit, Culprit::Recurring { trouble: trouble() });
        assert_eq!(found[0].evidence, [16, 10, 4].map(ObjectiveId::fixed));
        assert_eq!(found[0].of, 20);
    }

    #[test]
    fn a_provider_that_fails_more_often_than_the_others_is_named_and_one_that_does_not_is_left_alone() {
        let with = |n: u64, provider: &str, end| {
            let mut it = run(n, end);
            it.providers.insert("implementer".into(), provider.into());
            it
        };
        let half = |n: u64| if n.is_multiple_of(2) { End::Failed } else { End::Completed };
        let mut runs: Vec<Run> = (0..20).map(|n| with(n, "small", End::Failed)).collect();
        runs.extend((20..60).map(|n| with(n, "large", if n < 24 { End::Failed } else { End::Completed })));
        let named = found(&runs);
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0].culprit, Culprit::Provider { role: "implementer".into(), provider: "small".into() });
        assert!(named[0].p.unwrap_or(1.0) < 1e-6);
        let even: Vec<Run> = (0..40).map(|n| with(n, if n < 20 { "small" } else { "large" }, half(n))).collect();
        assert_eq!(found(&even), []);
    }

    #[test]
    fn a_version_of_a_text_that_makes_it_worse_is_named() {
        let surface = Surface { kind: Kind::Skill, name: "make".into() };
        let with = |n: u64, version: u32, end| {
            let mut it = run(n, end);
            it.texts.insert(surface.clone(), version);
            it
        };
        let mut runs: Vec<Run> = (0..15).map(|n| with(n, 1, End::Completed)).collect();
        runs.extend((15..30).map(|n| with(n, 2, End::Failed)));
        let named = found(&runs);
        assert_eq!(
            named.iter().map(|it| it.culprit.clone()).collect::<Vec<_>>(),
            [Culprit::Text { surface, version: 2 }]
        );
    }

    #[test]
    fn what_people_canceled_says_nothing() {
        let trouble = Trouble::new("qa", "check_failed", "make test");
        let mut runs: Vec<Run> = (0..9).map(|n| run(n, End::Canceled)).collect();
        runs.iter_mut().for_each(|it| {
            it.troubles.insert(trouble.clone());
        });
        assert_eq!(found(&runs), []);
    }
}
