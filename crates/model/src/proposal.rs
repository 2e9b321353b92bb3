//! The life of a proposal to change a text that steers roles: from the wish to its trial, and to what the trial says.
//!
//! Which proposals are made, and what a trial says, is `orcha-refiner`'s business; here is only what follows from it.

use crate::text::{self, Surface};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{ObjectiveId, ProposalId, Revision, ScopeId, TenantId, TextId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// How many runs a proposal names as its evidence: the newest.
pub const EVIDENCE: usize = 50;

/// A proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The scope whose runs it is for.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// While a proposal with this cause is open, there is no second one in its scope.
    pub cause: String,
    /// The text that it is about.
    pub surface: Surface,
    /// What it wants to do to it.
    pub change: Change,
    /// How urgent it is.
    pub priority: Priority,
    /// What is wrong.
    pub problem: String,
    /// What would be better.
    pub proposed_fix: String,
    /// The complete new text; none for advice.
    pub body: Option<String>,
    /// Who makes it.
    pub source: Source,
    /// Runs that show what is wrong, the newest first.
    pub evidence: Vec<ObjectiveId>,
    /// How often it came up.
    pub seen: u32,
    /// Where it stands.
    pub state: State,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a proposal wants to do to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// Make it.
    Create,
    /// Replace it.
    Update,
    /// Nothing: it is advice for people.
    Advisory,
}

/// How urgent a proposal is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    /// It can wait.
    Low,
    /// It should be done.
    Medium,
    /// It costs something every time.
    High,
}

/// Who makes a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// The Refiner of a run.
    Retrospective,
    /// The search over many runs.
    Search,
}

/// Where a proposal stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for a person.
    Proposed,
    /// Runs are split between the old text and the new one.
    OnTrial {
        /// What is tried.
        trial: Trial,
    },
    /// The new text is in use, and watched.
    Adopted {
        /// What was tried.
        trial: Trial,
        /// What the trial said.
        figures: Figures,
        /// Since when it is in use.
        since: Timestamp,
    },
    /// It is not wanted, or was no better.
    Declined {
        /// Why.
        reason: String,
        /// What the trial said, if there was one.
        figures: Option<Figures>,
    },
    /// It was in use, and is not any more.
    Reverted {
        /// Why.
        reason: String,
        /// What was seen since its adoption.
        figures: Figures,
    },
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The new version.
    pub text: TextId,
    /// Its number.
    pub version: u32,
    /// The version of the same scope whose place it would take.
    pub replaces: Option<TextId>,
    /// Since when.
    pub since: Timestamp,
}

/// Runs of two sides, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Runs as before.
    pub old: Tally,
    /// Runs with the new text.
    pub new: Tally,
    /// How likely such a difference is by chance, where there is one.
    pub p: Option<f64>,
}

/// Runs of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many said something.
    pub runs: u32,
    /// How many of them delivered.
    pub completed: u32,
    /// Their scores on average, in thousandths.
    pub score: u32,
    /// What the one in the middle cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

/// What a trial said in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
pub enum Verdict {
    /// The new text is better.
    #[strum(serialize = "better")]
    Better,
    /// It is worse.
    #[strum(serialize = "worse")]
    Worse,
    /// It is better, and costs too much.
    #[strum(serialize = "better, and too dear")]
    Dearer,
    /// No difference could be seen.
    #[strum(serialize = "no different")]
    Same,
    /// The trial's budget is spent.
    #[strum(serialize = "undecided when the budget of its trial was spent")]
    Spent,
}

/// Something that happens to a proposal.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It came up again.
    Seen {
        /// In these runs, the newest first.
        runs: Vec<ObjectiveId>,
    },
    /// It goes on trial.
    Approve {
        /// What is tried.
        trial: Trial,
    },
    /// A person does not want it.
    Decline {
        /// Why.
        reason: String,
    },
    /// Its trial is decided.
    Tried {
        /// What it says.
        verdict: Verdict,
        /// By which figures.
        figures: Figures,
    },
    /// Runs went worse since its adoption.
    Relapsed {
        /// By which figures.
        figures: Figures,
    },
    /// A person does not want it any more.
    Revert {
        /// Why.
        reason: String,
        /// Whether its text is still the one in use.
        in_use: bool,
    },
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::OnTrial { .. } => "on_trial",
            Self::Adopted { .. } => "adopted",
            Self::Declined { .. } => "declined",
            Self::Reverted { .. } => "reverted",
        }
    }

    /// Tells whether it is neither in use nor over.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Proposed | Self::OnTrial { .. })
    }

    /// Returns what is or was tried, while its text may be in use.
    pub const fn trial(&self) -> Option<&Trial> {
        match self {
            Self::OnTrial { trial } | Self::Adopted { trial, .. } => Some(trial),
            Self::Proposed | Self::Declined { .. } | Self::Reverted { .. } => None,
        }
    }
}

/// Says what becomes of versions of a text when a proposal goes from one state to another.
pub fn moved(from: &State, to: &State) -> Vec<(TextId, text::State)> {
    let one = |id: TextId, state| vec![(id, state)];
    match (from, to) {
        (State::OnTrial { trial }, State::Adopted { .. }) => {
            let mut moves = one(trial.text, text::State::Active);
            moves.extend(trial.replaces.map(|it| (it, text::State::Retired)));
            moves
        }
        (State::OnTrial { trial }, State::Declined { .. }) => one(trial.text, text::State::Retired),
        (State::Adopted { trial, .. }, State::Reverted { .. }) => {
            let mut moves = one(trial.text, text::State::Retired);
            moves.extend(trial.replaces.map(|it| (it, text::State::Active)));
            moves
        }
        (State::Proposed | State::OnTrial { .. } | State::Adopted { .. }, _)
        | (State::Declined { .. } | State::Reverted { .. }, _) => Vec::new(),
    }
}

/// Decides what a proposal becomes.
pub fn decide(proposal: &Proposal, input: Input, now: Timestamp) -> Result<Decision<Proposal>, Refusal> {
    match input {
        Input::Seen { runs } => Ok(seen(proposal, runs, now)),
        Input::Approve { trial } => match proposal.state {
            State::Proposed if proposal.body.is_some() => {
                let words = format!("{} goes on trial as version {}", proposal.surface, trial.version);
                Ok(enter(proposal, State::OnTrial { trial }, NoteKind::ProposalOnTrial, words, now))
            }
            State::Proposed => {
                Err(refuse(proposal, "it is advice without a text, so there is nothing to try; decline it"))
            }
            State::OnTrial { .. } | State::Adopted { .. } | State::Declined { .. } | State::Reverted { .. } => {
                Err(refuse(proposal, "only what is proposed goes on trial"))
            }
        },
        Input::Decline { reason } => match proposal.state {
            State::Proposed | State::OnTrial { .. } => {
                let words = format!("{} is declined: {reason}", proposal.surface);
                let to = State::Declined { reason: given(reason)?, figures: None };
                Ok(enter(proposal, to, NoteKind::ProposalDeclined, words, now))
            }
            State::Adopted { .. } => Err(refuse(proposal, "it is in use; revert it")),
            State::Declined { .. } | State::Reverted { .. } => Err(refuse(proposal, "it is over already")),
        },
        Input::Tried { verdict, figures } => Ok(match &proposal.state {
            State::OnTrial { trial } => tried(proposal, trial, verdict, figures, now),
            State::Proposed | State::Adopted { .. } | State::Declined { .. } | State::Reverted { .. } => {
                Decision::ignore(proposal.clone(), "it is not on trial")
            }
        }),
        Input::Relapsed { figures } => Ok(match proposal.state {
            State::Adopted { .. } => {
                let reason = "runs went worse since its adoption".to_owned();
                reverted(proposal, reason, figures, now)
            }
            State::Proposed | State::OnTrial { .. } | State::Declined { .. } | State::Reverted { .. } => {
                Decision::ignore(proposal.clone(), "it is not in use")
            }
        }),
        Input::Revert { reason, in_use } => match &proposal.state {
            State::Adopted { .. } if !in_use => {
                Err(refuse(proposal, "its text is not the one in use any more; revert the customization instead"))
            }
            State::Adopted { figures, .. } => Ok(reverted(proposal, given(reason)?, figures.clone(), now)),
            State::Proposed | State::OnTrial { .. } => Err(refuse(proposal, "it is not in use; decline it")),
            State::Declined { .. } | State::Reverted { .. } => Err(refuse(proposal, "it is over already")),
        },
    }
}

fn seen(proposal: &Proposal, runs: Vec<ObjectiveId>, now: Timestamp) -> Decision<Proposal> {
    if !proposal.state.is_open() {
        return Decision::ignore(proposal.clone(), "it is settled");
    }
    let fresh: Vec<ObjectiveId> = runs.into_iter().filter(|it| !proposal.evidence.contains(it)).collect();
    if fresh.is_empty() {
        return Decision::ignore(proposal.clone(), "these runs are known");
    }
    let mut next = proposal.clone();
    next.seen = next.seen.saturating_add(1);
    next.evidence.splice(0..0, fresh);
    next.evidence.truncate(EVIDENCE);
    next.updated_at = now;
    Decision::become_(next)
}

fn tried(proposal: &Proposal, trial: &Trial, verdict: Verdict, figures: Figures, now: Timestamp) -> Decision<Proposal> {
    let (to, kind) = match verdict {
        Verdict::Better => {
            let to = State::Adopted { trial: trial.clone(), figures: figures.clone(), since: now };
            (to, NoteKind::ProposalAdopted)
        }
        Verdict::Worse | Verdict::Dearer | Verdict::Same | Verdict::Spent => {
            let reason = format!("the trial says: {verdict}");
            (State::Declined { reason, figures: Some(figures.clone()) }, NoteKind::ProposalDeclined)
        }
    };
    let words = format!("the trial of {} says: {verdict}; {}", proposal.surface, in_words(&figures));
    with_figures(enter(proposal, to, kind, words, now), &figures)
}

fn reverted(proposal: &Proposal, reason: String, figures: Figures, now: Timestamp) -> Decision<Proposal> {
    let words = format!("{} goes back to what it was: {reason}; {}", proposal.surface, in_words(&figures));
    let to = State::Reverted { reason, figures: figures.clone() };
    with_figures(enter(proposal, to, NoteKind::ProposalReverted, words, now), &figures)
}

fn enter(proposal: &Proposal, state: State, kind: NoteKind, words: String, now: Timestamp) -> Decision<Proposal> {
    let note = Note::new(kind, words)
        .with("proposal_id", proposal.id)
        .with("surface", &proposal.surface)
        .with("from", proposal.state.name())
        .with("to", state.name());
    let mut next = proposal.clone();
    next.state = state;
    next.updated_at = now;
    Decision::become_(next).note(note)
}

/// The figures that a decision was made by stand in its line of the journal.
fn with_figures(mut decision: Decision<Proposal>, figures: &Figures) -> Decision<Proposal> {
    for note in &mut decision.notes {
        for (side, it) in [("old", &figures.old), ("new", &figures.new)] {
            note.data.push((format!("{side}_runs"), it.runs.to_string()));
            note.data.push((format!("{side}_completed"), it.completed.to_string()));
            note.data.push((format!("{side}_score"), it.score.to_string()));
            note.data.push((format!("{side}_micro_usd"), it.micro_usd.to_string()));
        }
        note.data.extend(figures.p.map(|p| ("p".to_owned(), format!("{p:.6}"))));
    }
    decision
}

fn in_words(figures: &Figures) -> String {
    let side = |it: &Tally| format!("{} of {}", it.completed, it.runs);
    let chance = figures.p.map_or_else(String::new, |p| format!(", p = {p:.4}"));
    format!("{} runs delivered before, {} with it{chance}", side(&figures.old), side(&figures.new))
}

fn given(reason: String) -> Result<String, Refusal> {
    if reason.trim().is_empty() || reason.len() > 2000 {
        return Err(Refusal::Invalid { field: "reason", rule: "must have between 1 and 2000 bytes".into() });
    }
    Ok(reason)
}

fn refuse(proposal: &Proposal, rule: &'static str) -> Refusal {
    Refusal::State { noun: "proposal", id: proposal.id.to_string(), state: proposal.state.name(), rule }
}
