//! Texts that steer roles and proposals to change them, as people and programs ask for them.
//!
//! They belong to no objective and change rarely: one at a time, under one lock. What becomes of them is decided by
//! `model::text`, `model::proposal` and `orcha-refiner`.

use crate::inbox::SubmitError;
use crate::orch::{Actor, Orch, Shared};
use orcha_base::{ObjectiveId, ProposalId, ScopeId, TenantId, TextId};
use orcha_model::finished::{Run, Side};
use orcha_model::policy;
use orcha_model::proposal::{self, Trial};
use orcha_model::text::{self, Author, Kind, NewText, Surface, Text, WrongText};
use orcha_model::{Note, Proposal, Refusal};
use orcha_plan::texts::{Chosen, choose, policy_of};
use orcha_refiner::{FindSettings, TrialSettings, arm, may_try};
use orcha_store::{Change, Commit, JournalLine, ReadError, Row, Viewer};
use std::time::Duration;
use uuid::Uuid;

/// What learning from runs goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct RefinerSettings {
    /// What a trial goes by, its budget included.
    pub trial: TrialSettings,
    /// What the search over many runs goes by.
    pub find: FindSettings,
    /// How often runs are searched.
    pub search_every: Duration,
    /// How many runs of a scope are searched, the newest.
    pub search_runs: u32,
    /// Whether proposals go on trial without a person.
    pub by_itself: bool,
}

impl Default for RefinerSettings {
    /// A day, and a person decides.
    fn default() -> Self {
        Self {
            trial: TrialSettings::default(),
            find: FindSettings::default(),
            search_every: Duration::from_secs(24 * 3600),
            search_runs: 500,
            by_itself: false,
        }
    }
}

/// Sums up the runs of one side of a trial.
pub fn tally(runs: &[(Side, Run)], side: Side) -> proposal::Tally {
    let of: Vec<Run> = runs.iter().filter(|it| it.0 == side).map(|it| it.1.clone()).collect();
    orcha_refiner::tally(&of)
}

impl Shared {
    /// Chooses the texts of a run.
    pub(crate) async fn chosen(&self, actor: &Actor, run: ObjectiveId) -> Result<Chosen, SubmitError> {
        let all = self.store.texts_in_use(&actor.tenant, text::chain(&actor.scope)).await?;
        Ok(choose(&actor.scope, &all, |proposal| arm(run, proposal.uuid()))?)
    }

    /// Refuses a policy that would not be heard, because a wider scope locked what it loosens.
    async fn fits_above(&self, actor: &Actor, surface: &Surface, body: &str) -> Result<(), SubmitError> {
        if surface.kind != Kind::Policy {
            return Ok(());
        }
        let said = policy::read(body).map_err(|rule| Refusal::from(WrongText::Policy { rule }))?;
        let mut above = text::chain(&actor.scope);
        above.pop();
        let all = self.store.texts_in_use(&actor.tenant, above.clone()).await?;
        let held = policy_of(&above, &all)?;
        match held.deaf_to(&said).as_slice() {
            [] => Ok(()),
            deaf => {
                Err(Refusal::Invalid { field: "body", rule: format!("would not be heard: {}", deaf.join("; ")) }.into())
            }
        }
    }

    /// Finds a proposal of a tenant, whatever its scope.
    pub(crate) async fn proposal(&self, tenant: &TenantId, id: ProposalId) -> Result<Option<Proposal>, ReadError> {
        self.store.proposal(&whole(tenant), id).await
    }

    /// Adds what an input makes of a proposal to a commit, with what follows for its texts. Returns it as it is then.
    pub(crate) async fn add_move(
        &self,
        commit: &mut Commit,
        proposal: &Proposal,
        input: proposal::Input,
    ) -> Result<Proposal, SubmitError> {
        let decision = proposal::decide(proposal, input, commit.at)?;
        if decision.ignored.is_some() {
            return Ok(decision.next);
        }
        let mut next = decision.next;
        next.revision = proposal.revision.next();
        for (id, state) in proposal::moved(&proposal.state, &next.state) {
            if let Some(text) = self.store.text(&whole(&next.tenant), id).await? {
                add_text(commit, text.turned(state, commit.at), "a trial");
            }
        }
        commit.journal.extend(decision.notes.into_iter().map(|it| line(&next.tenant, &next.scope, it)));
        commit.changes.push(Change { row: Row::Proposal(next.clone()), expected: Some(proposal.revision) });
        Ok(next)
    }

    /// Puts a proposal on trial. The caller holds the turn.
    pub(crate) async fn try_out(&self, proposal: &Proposal) -> Result<Proposal, SubmitError> {
        let open = self.store.open_proposals(&proposal.tenant, &proposal.scope).await?;
        let mut commit = Commit::at(self.clock.now());
        let body = proposal.body.clone().unwrap_or_default();
        let new = NewText {
            id: TextId::from_uuid(Uuid::now_v7()),
            tenant: proposal.tenant.clone(),
            scope: proposal.scope.clone(),
            surface: proposal.surface.clone(),
            body,
            author: Author::Proposal { proposal: proposal.id },
        };
        let versions = self.store.versions(&new.tenant, &new.scope, &new.surface).await?;
        let version = versions.first().map_or(1, |it| it.version.saturating_add(1));
        let replaces = versions.iter().find(|it| it.state == text::State::Active).map(|it| it.id);
        let trial = Trial { text: new.id, version, replaces, since: commit.at };
        let next = self.add_move(&mut commit, proposal, proposal::Input::Approve { trial }).await?;
        may_try(proposal, &open, &self.settings.refiner.trial)?;
        self.add_written(&mut commit, new, &versions, "a trial").await?;
        self.store(commit).await?;
        // Its end comes by the clock, too.
        self.learning.nudge();
        Ok(next)
    }

    async fn add_written(
        &self,
        commit: &mut Commit,
        new: NewText,
        versions: &[Text],
        by: &str,
    ) -> Result<Option<Text>, SubmitError> {
        let in_use = self.store.texts_in_use(&new.tenant, vec![new.scope.clone()]).await?.len();
        let rows = text::write(new, versions, in_use, commit.at)?;
        let first = rows.first().cloned();
        for row in rows {
            add_text(commit, row, by);
        }
        Ok(first)
    }
}

impl Orch {
    /// Writes a version of a text in a scope; runs that begin from now on go by it.
    pub async fn set_text(&self, actor: &Actor, by: &str, surface: Surface, body: String) -> Result<Text, SubmitError> {
        let shared = &self.shared;
        let _turn = shared.texts_turn.lock().await;
        let versions = shared.store.versions(&actor.tenant, &actor.scope, &surface).await?;
        shared.fits_above(actor, &surface, &body).await?;
        let mut commit = Commit::at(self.now());
        let new = NewText {
            id: TextId::from_uuid(Uuid::now_v7()),
            tenant: actor.tenant.clone(),
            scope: actor.scope.clone(),
            surface,
            body,
            author: Author::Person { name: by.to_owned() },
        };
        let written = shared.add_written(&mut commit, new, &versions, by).await?;
        shared.store(commit).await?;
        written.ok_or_else(|| crate::orch::lost("text"))
    }

    /// Brings the words of an older version back, as a new version.
    pub async fn revert_text(&self, by: &str, to: Text) -> Result<Text, SubmitError> {
        let actor = Actor { tenant: to.tenant, scope: to.scope };
        self.set_text(&actor, by, to.surface, to.body).await
    }

    /// Takes a text out of use.
    pub async fn retire_text(&self, by: &str, tenant: &TenantId, id: TextId) -> Result<Text, SubmitError> {
        let shared = &self.shared;
        let _turn = shared.texts_turn.lock().await;
        let text = shared.store.text(&whole(tenant), id).await?;
        let text = text.ok_or_else(|| Refusal::Unknown { noun: "text", id: id.to_string(), hint: String::new() })?;
        let mut commit = Commit::at(self.now());
        let retired = text::retire(&text, commit.at)?;
        add_text(&mut commit, retired.clone(), by);
        shared.store(commit).await?;
        Ok(retired)
    }

    /// Returns what a run of a scope would go by now, what is on trial left aside.
    pub async fn texts_for(&self, actor: &Actor) -> Result<Chosen, SubmitError> {
        let all = self.shared.store.texts_in_use(&actor.tenant, text::chain(&actor.scope)).await?;
        Ok(choose(&actor.scope, &all, |_| Side::Old)?)
    }

    /// Puts a proposal on trial, as a person wants it.
    pub async fn approve_proposal(&self, tenant: &TenantId, id: ProposalId) -> Result<Proposal, SubmitError> {
        let _turn = self.shared.texts_turn.lock().await;
        let proposal = self.known_proposal(tenant, id).await?;
        self.shared.try_out(&proposal).await
    }

    /// Declines a proposal; a trial of it ends.
    pub async fn decline_proposal(
        &self,
        tenant: &TenantId,
        id: ProposalId,
        reason: String,
    ) -> Result<Proposal, SubmitError> {
        let _turn = self.shared.texts_turn.lock().await;
        let proposal = self.known_proposal(tenant, id).await?;
        let next = self.move_proposal(&proposal, proposal::Input::Decline { reason }).await?;
        self.shared.learning.nudge();
        Ok(next)
    }

    /// Goes back to the text that was in use before a proposal was adopted.
    pub async fn revert_proposal(
        &self,
        tenant: &TenantId,
        id: ProposalId,
        reason: String,
    ) -> Result<Proposal, SubmitError> {
        let _turn = self.shared.texts_turn.lock().await;
        let proposal = self.known_proposal(tenant, id).await?;
        let in_use = self.shared.is_in_use(&proposal).await?;
        self.move_proposal(&proposal, proposal::Input::Revert { reason, in_use }).await
    }

    async fn known_proposal(&self, tenant: &TenantId, id: ProposalId) -> Result<Proposal, SubmitError> {
        let unknown = || Refusal::Unknown { noun: "proposal", id: id.to_string(), hint: String::new() };
        Ok(self.shared.proposal(tenant, id).await?.ok_or_else(unknown)?)
    }

    async fn move_proposal(&self, proposal: &Proposal, input: proposal::Input) -> Result<Proposal, SubmitError> {
        let mut commit = Commit::at(self.now());
        let next = self.shared.add_move(&mut commit, proposal, input).await?;
        self.shared.store(commit).await?;
        Ok(next)
    }
}

impl Shared {
    /// Tells whether the text of a proposal is the one in use.
    pub(crate) async fn is_in_use(&self, proposal: &Proposal) -> Result<bool, ReadError> {
        let Some(trial) = proposal.state.trial() else { return Ok(false) };
        let text = self.store.text(&whole(&proposal.tenant), trial.text).await?;
        Ok(text.is_some_and(|it| it.state == text::State::Active))
    }
}

fn add_text(commit: &mut Commit, text: Text, by: &str) {
    commit.journal.push(line(&text.tenant, &text.scope, text.note(by)));
    let before = orcha_base::Revision(text.revision.0.saturating_sub(1));
    let expected = (text.revision.0 > 1).then_some(before);
    commit.changes.push(Change { row: Row::Text(text), expected });
}

/// A line of the journal about something that belongs to no objective.
pub(crate) fn line(tenant: &TenantId, scope: &ScopeId, note: Note) -> JournalLine {
    JournalLine { tenant: tenant.clone(), scope: scope.clone(), objective: note.objective, session: None, note }
}

fn whole(tenant: &TenantId) -> Viewer {
    Viewer { tenant: tenant.clone(), scope: None }
}
