//! What follows from what was found: a new proposal, more evidence for one that is there, or nothing; and what a trial
//! means for its proposal.

use crate::trial::tally;
use crate::{Admitted, Change, Culprit, Finding, Judgement, Kind, Priority, Run, Side, Surface, TrialSettings};
use crate::{judge, relapsed};
use orcha_base::{ObjectiveId, ProposalId, Timestamp};
use orcha_model::proposal::{EVIDENCE, Figures, Input, Source, State, Verdict};
use orcha_model::{Proposal, Refusal};

/// How many proposals of a scope may be open. More than that nobody looks at.
const MOST_OPEN: usize = 100;

/// A proposal before it has an id.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a proposal")]
pub struct Wanted {
    pub cause: String,
    pub surface: Surface,
    pub change: Change,
    pub priority: Priority,
    pub problem: String,
    pub proposed_fix: String,
    pub body: Option<String>,
    pub source: Source,
    pub evidence: Vec<ObjectiveId>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Follow {
    /// It is proposed.
    Propose,
    /// This one is open already: it has more evidence now.
    Seen {
        /// Which.
        proposal: ProposalId,
    },
    /// The same was proposed before, and settled.
    Settled {
        /// Which.
        proposal: ProposalId,
    },
    /// There are too many open ones.
    Full,
}

impl Wanted {
    /// Makes what a run's Refiner proposes.
    pub fn of_run(it: Admitted, run: ObjectiveId) -> Self {
        let what = if it.text.is_some() { "text" } else { "advice" };
        Self {
            cause: format!("{what}:{}", it.surface),
            surface: it.surface,
            change: it.change,
            priority: it.priority,
            problem: it.problem,
            proposed_fix: it.proposed_fix,
            body: it.text,
            source: Source::Retrospective,
            evidence: vec![run],
        }
    }
}

/// Makes advice of what many runs show together. None where it is about something that no text can mend.
pub fn advice(found: &Finding) -> Option<Wanted> {
    let (runs, of) = (found.evidence.len(), found.of);
    let overlay = |role: &str| Surface::new(Kind::RoleOverlay, role).ok();
    let by_chance = found.p.map_or_else(String::new, |p| format!(" By chance that would happen with p = {p:.4}."));
    let (label, surface, problem, proposed_fix) = match &found.culprit {
        Culprit::Recurring { trouble } => (
            format!("recurring:{}:{}:{}", trouble.role, trouble.class, trouble.what),
            overlay(&trouble.role)?,
            format!(
                "{} of {of} runs had this trouble of the {}: {}: {}.",
                runs, trouble.role, trouble.class, trouble.what
            ),
            format!("Tell the {} how to keep clear of it, in a text of its own.", trouble.role),
        ),
        Culprit::Provider { role, provider } => (
            format!("provider:{role}:{provider}"),
            overlay(role)?,
            format!(
                "{runs} of {of} runs failed whose {role} was played by {provider}, more than with others.{by_chance}"
            ),
            format!("Let somebody else play the {role}, or say in a text what {provider} gets wrong."),
        ),
        Culprit::Text { surface, version } => (
            format!("text:{surface}:{version}"),
            surface.clone(),
            format!("{runs} of {of} runs failed with version {version} of {surface}, more than without.{by_chance}"),
            "Look at this version, and go back to the one before.".to_owned(),
        ),
    };
    Some(Wanted {
        cause: format!("found:{label}"),
        surface,
        change: Change::Advisory,
        priority: Priority::Medium,
        problem,
        proposed_fix,
        body: None,
        source: Source::Search,
        evidence: found.evidence.iter().copied().take(EVIDENCE).collect(),
    })
}

/// Says what follows, given the proposals of the scope: all open ones, and those that were settled with this cause.
pub fn follow(wanted: &Wanted, known: &[Proposal]) -> Follow {
    let same = || known.iter().filter(|it| it.cause == wanted.cause);
    if let Some(open) = same().find(|it| it.state.is_open()) {
        return Follow::Seen { proposal: open.id };
    }
    // What a person or a trial settled is not brought up again in the same words; the search finds the same again and
    // again, in other figures.
    let repeats = |it: &&Proposal| match wanted.source {
        Source::Search => true,
        Source::Retrospective => it.body == wanted.body && (it.body.is_some() || it.problem == wanted.problem),
    };
    if let Some(settled) = same().find(repeats) {
        return Follow::Settled { proposal: settled.id };
    }
    if known.iter().filter(|it| it.state.is_open()).count() >= MOST_OPEN { Follow::Full } else { Follow::Propose }
}

/// Picks what is tried next where no person is asked: the most urgent proposal that has a text, of those the oldest.
pub fn next_to_try(open: &[Proposal]) -> Option<&Proposal> {
    let waits = |it: &&Proposal| it.state == State::Proposed && it.body.is_some();
    open.iter().filter(waits).min_by_key(|it| (std::cmp::Reverse(it.priority), it.created_at, it.id))
}

/// Looks whether there is room for another trial, given the open proposals of the scope.
pub fn may_try(proposal: &Proposal, open: &[Proposal], settings: &TrialSettings) -> Result<(), Refusal> {
    let trials = open.iter().filter(|it| matches!(it.state, State::OnTrial { .. })).count();
    if trials >= settings.at_once {
        return Err(Refusal::State {
            noun: "proposal",
            id: proposal.id.to_string(),
            state: proposal.state.name(),
            rule: "as many as may be are on trial in its scope; wait for those, or decline one",
        });
    }
    Ok(())
}

/// Tells when a trial is over at the latest, whatever has ended until then; none where nothing is tried.
pub fn trial_ends(proposal: &Proposal, settings: &TrialSettings) -> Option<Timestamp> {
    match &proposal.state {
        State::OnTrial { trial } => Some(trial.since + settings.most_time),
        State::Proposed | State::Adopted { .. } | State::Declined { .. } | State::Reverted { .. } => None,
    }
}

/// Says what the runs of a proposal mean for it, given in the order in which they ended; none while that is open.
pub fn trial_says(
    proposal: &Proposal,
    runs: &[(Side, Run)],
    settings: &TrialSettings,
    now: Timestamp,
) -> Option<Input> {
    let of = |side: Side| runs.iter().filter(|it| it.0 == side).map(|it| it.1.clone()).collect::<Vec<Run>>();
    let old = of(Side::Old);
    match &proposal.state {
        State::OnTrial { trial } => {
            let new = of(Side::New);
            let (verdict, p) = match judge(&old, &new, settings) {
                Judgement::Better { p } => (Verdict::Better, Some(p)),
                Judgement::Worse { p } => (Verdict::Worse, Some(p)),
                Judgement::Dearer { .. } => (Verdict::Dearer, None),
                Judgement::Same => (Verdict::Same, None),
                Judgement::Open { .. } => {
                    let spent = runs.len() >= settings.most_runs || now.since(trial.since) >= settings.most_time;
                    if !spent {
                        return None;
                    }
                    (Verdict::Spent, None)
                }
            };
            Some(Input::Tried { verdict, figures: Figures { old: tally(&old), new: tally(&new), p } })
        }
        State::Adopted { .. } => {
            let since = of(Side::Since);
            let p = relapsed(&old, &since, settings)?;
            Some(Input::Relapsed { figures: Figures { old: tally(&old), new: tally(&since), p: Some(p) } })
        }
        State::Proposed | State::Declined { .. } | State::Reverted { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{End, Trouble};
    use orcha_base::{Revision, ScopeId, TenantId, TextId};
    use orcha_model::proposal::Trial;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    fn wanted(body: &str) -> Wanted {
        Wanted {
            cause: "text:role_overlay/qa".into(),
            surface: Surface { kind: Kind::RoleOverlay, name: "qa".into() },
            change: Change::Update,
            priority: Priority::Low,
            problem: "It is vague.".into(),
            proposed_fix: "Be exact.".into(),
            body: Some(body.into()),
            source: Source::Retrospective,
            evidence: vec![ObjectiveId::fixed(1)],
        }
    }

    fn proposal(n: u64, it: Wanted, state: State) -> Proposal {
        Proposal {
            id: ProposalId::fixed(n),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            revision: Revision(1),
            cause: it.cause,
            surface: it.surface,
            change: it.change,
            priority: it.priority,
            problem: it.problem,
            proposed_fix: it.proposed_fix,
            body: it.body,
            source: it.source,
            evidence: it.evidence,
            seen: 1,
            state,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn the_most_urgent_text_is_tried_next_and_of_those_the_oldest() {
        let low = proposal(1, wanted("a"), State::Proposed);
        let urgent = |n, state| proposal(n, Wanted { priority: Priority::High, ..wanted("b") }, state);
        let advice = proposal(2, Wanted { body: None, priority: Priority::High, ..wanted("") }, State::Proposed);
        let younger = Proposal { created_at: Timestamp::EPOCH + Duration::from_secs(1), ..urgent(3, State::Proposed) };
        let open = [
            low.clone(),
            advice,
            younger,
            urgent(5, State::Proposed),
            urgent(4, State::Declined { reason: String::new(), figures: None }),
        ];
        assert_eq!(next_to_try(&open).map(|it| it.id), Some(ProposalId::fixed(5)));
        assert_eq!(next_to_try(&open[..2]).map(|it| it.id), Some(low.id));
        assert_eq!(next_to_try(&open[1..2]), None);
    }

    fn declined() -> State {
        State::Declined { reason: "no".into(), figures: None }
    }

    fn on_trial() -> State {
        State::OnTrial { trial: trial() }
    }

    fn trial() -> Trial {
        Trial { text: TextId::fixed(1), version: 1, replaces: None, since: Timestamp::EPOCH }
    }

    #[test]
    fn the_same_is_proposed_once_and_not_again_once_it_was_settled() {
        let one = ProposalId::fixed(1);
        for state in [State::Proposed, on_trial()] {
            let known = [proposal(1, wanted("a"), state)];
            assert_eq!(follow(&wanted("other words"), &known), Follow::Seen { proposal: one });
        }
        let known = [proposal(1, wanted("a"), declined())];
        assert_eq!(follow(&wanted("a"), &known), Follow::Settled { proposal: one });
        assert_eq!(follow(&wanted("better words"), &known), Follow::Propose);
        let many: Vec<Proposal> = (0..100)
            .map(|n| proposal(n, Wanted { cause: format!("text:skill/{n}"), ..wanted("a") }, State::Proposed))
            .collect();
        assert_eq!(follow(&wanted("a"), &many), Follow::Full);
    }

    #[test]
    fn what_a_person_declined_is_not_found_again() {
        let finding = |runs: u64| Finding {
            culprit: Culprit::Recurring { trouble: Trouble::new("implementer", "check_failed", "make test") },
            evidence: (0..runs).map(ObjectiveId::fixed).collect(),
            of: 20,
            p: None,
        };
        let first = advice(&finding(3)).unwrap();
        assert_eq!((first.change, first.body.as_deref()), (Change::Advisory, None));
        let known = [proposal(1, first, declined())];
        assert!(matches!(follow(&advice(&finding(9)).unwrap(), &known), Follow::Settled { .. }));
        assert_eq!(
            advice(&Finding {
                culprit: Culprit::Recurring { trouble: Trouble::new("manager", "x", "y") },
                ..finding(3)
            }),
            None
        );
    }

    fn runs(side: Side, n: u64, end: End) -> Vec<(Side, Run)> {
        let run = |n: u64| Run {
            id: ObjectiveId::fixed(n),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            title: "Run".into(),
            ended_at: Timestamp::from_secs(n.cast_signed()),
            end,
            repairs: 0,
            micro_usd: 100,
            tokens: 1,
            health: None,
            retrospective: None,
            troubles: BTreeSet::new(),
            texts: BTreeMap::new(),
            tried: BTreeMap::new(),
            providers: BTreeMap::new(),
        };
        (0..n).map(|n| (side, run(n))).collect()
    }

    #[test]
    fn a_trial_is_decided_by_its_runs_and_ends_when_its_budget_is_spent() {
        let settings = TrialSettings::default();
        let it = proposal(1, wanted("a"), on_trial());
        let says = |runs: Vec<(Side, Run)>, now| trial_says(&it, &runs, &settings, Timestamp::from_secs(now));
        let verdict = |input| match input {
            Some(Input::Tried { verdict, figures }) => Some((verdict, figures.old.runs, figures.new.completed)),
            None => None,
            other => panic!("{other:?}"),
        };
        let both = |old, new| [runs(Side::Old, 12, old), runs(Side::New, 12, new)].concat();
        assert_eq!(verdict(says(both(End::Failed, End::Completed), 9)), Some((Verdict::Better, 12, 12)));
        assert_eq!(verdict(says(both(End::Completed, End::Failed), 9)), Some((Verdict::Worse, 12, 0)));
        assert_eq!(verdict(says(both(End::Completed, End::Completed), 9)), None);
        assert_eq!(verdict(says(runs(Side::Old, 11, End::Failed), 9)), None);
        let late = 90 * 24 * 3600;
        assert_eq!(verdict(says(runs(Side::Old, 1, End::Failed), late)), Some((Verdict::Spent, 1, 0)));
        assert_eq!(verdict(says(runs(Side::Old, 200, End::Failed), 9)), Some((Verdict::Spent, 200, 0)));
        let all_alike = [runs(Side::Old, 72, End::Completed), runs(Side::New, 72, End::Completed)].concat();
        assert_eq!(verdict(says(all_alike, 9)), Some((Verdict::Same, 72, 72)));
    }

    #[test]
    fn what_got_worse_since_its_adoption_goes_back() {
        let figures = Figures { old: Default::default(), new: Default::default(), p: None };
        let state = State::Adopted { trial: trial(), figures, since: Timestamp::EPOCH };
        let it = proposal(1, wanted("a"), state);
        let settings = TrialSettings { most_time: Duration::ZERO, ..TrialSettings::default() };
        let says = |since: End| {
            let all = [
                runs(Side::Old, 12, End::Completed),
                runs(Side::New, 12, End::Completed),
                runs(Side::Since, 12, since),
            ];
            trial_says(&it, &all.concat(), &settings, Timestamp::EPOCH)
        };
        assert!(matches!(says(End::Failed), Some(Input::Relapsed { figures }) if figures.new.completed == 0));
        assert_eq!(says(End::Completed), None);
    }
}
