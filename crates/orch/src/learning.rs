//! Learning from runs: each finished run is taken in once, and many of them are searched once in a while.
//!
//! A run is stored with the end of its workflow, and marked in the commit that holds all that follows from it: a daemon
//! that dies in between takes it in again, and finds what it had proposed. Woken by ends, not by looking for them.

use crate::execute::chain;
use crate::inbox::SubmitError;
use crate::orch::{Orch, Shared};
use crate::texts::line;
use orcha_base::{ProposalId, Revision, ScopeId, TenantId, Timestamp};
use orcha_model::contract::Output;
use orcha_model::finished::{Run, Side};
use orcha_model::proposal::{self, State};
use orcha_model::{Note, NoteKind, Proposal};
use orcha_refiner::{Draft, Follow, Wanted, admit, advice, find, follow, next_to_try, trial_ends, trial_says};
use orcha_store::{Change, Commit, Row};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, warn};
use uuid::Uuid;

/// How many runs are read at once.
const RUNS: u32 = 50;
/// The name of the search among the rounds.
const SEARCH: &str = "search";

/// Wakes whoever learns.
#[derive(Debug, Default)]
pub(crate) struct Learning {
    nudged: Notify,
}

impl Learning {
    /// Says that a run has ended, that a trial begins, or that there is room for another one.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }
}

/// Takes in what ends until the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let pause = match learn(&shared).await {
            Ok(due) => due.since(shared.clock.now()),
            Err(SubmitError::ShuttingDown) => return,
            Err(fault) => {
                warn!(error = %chain(&fault), "finished runs could not be taken in; trying again");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.learning.nudged.notified() => {}
            () = shared.clock.sleep(pause) => {}
        }
    }
}

/// Takes in what there is; returns when there is something to do although no run ends: a search, or the end of a trial.
async fn learn(shared: &Arc<Shared>) -> Result<Timestamp, SubmitError> {
    loop {
        let runs = shared.store.runs_not_taken_in(RUNS).await?;
        if runs.is_empty() {
            break;
        }
        let mut judged = BTreeSet::new();
        for run in runs {
            if shared.stop.is_cancelled() {
                return Err(SubmitError::ShuttingDown);
            }
            let _turn = shared.texts_turn.lock().await;
            take_in(shared, &run, &mut judged).await?;
            if shared.settings.refiner.by_itself {
                try_next(shared, &run.tenant, &run.scope).await?;
            }
        }
    }
    let ends = end_trials(shared).await?;
    let searches = search_when_due(shared).await?;
    Ok(ends.map_or(searches, |it| it.min(searches)))
}

/// Ends the trials whose time is over, although nothing else happens; returns when the next one's will be.
async fn end_trials(shared: &Shared) -> Result<Option<Timestamp>, SubmitError> {
    let settings = &shared.settings.refiner;
    let mut next: Option<Timestamp> = None;
    for proposal in shared.store.proposals_on_trial().await? {
        let Some(ends) = trial_ends(&proposal, &settings.trial) else { continue };
        if ends > shared.clock.now() {
            next = Some(next.map_or(ends, |it| it.min(ends)));
            continue;
        }
        let _turn = shared.texts_turn.lock().await;
        // A person may have been quicker.
        let Some(proposal) = shared.proposal(&proposal.tenant, proposal.id).await? else { continue };
        let runs = shared.store.runs_of_proposal(proposal.id).await?;
        let mut commit = Commit::at(shared.clock.now());
        let Some(input) = trial_says(&proposal, &runs, &settings.trial, commit.at) else { continue };
        shared.add_move(&mut commit, &proposal, input).await?;
        shared.store(commit).await?;
        if settings.by_itself {
            try_next(shared, &proposal.tenant, &proposal.scope).await?;
        }
    }
    Ok(next)
}

/// Searches if it is time for that; returns when it will be the next time.
async fn search_when_due(shared: &Shared) -> Result<Timestamp, SubmitError> {
    let every = shared.settings.refiner.search_every;
    let now = shared.clock.now();
    match shared.store.round(SEARCH).await? {
        Some(last) if last + every > now => Ok(last + every),
        Some(last) => {
            search(shared, last).await?;
            Ok(now + every)
        }
        None => {
            // The first search comes when there has been something to find.
            mark_search(shared, now).await?;
            Ok(now + every)
        }
    }
}

/// Stores what follows from one run. The trials of runs that were read together are judged once: the store has all of
/// these runs already.
async fn take_in(shared: &Shared, run: &Run, judged: &mut BTreeSet<ProposalId>) -> Result<(), SubmitError> {
    let mut commit = Commit::at(shared.clock.now());
    let mut moved: Vec<ProposalId> = Vec::new();
    for (id, side) in run.tried.iter().filter(|it| judged.insert(*it.0)) {
        let Some(proposal) = shared.proposal(&run.tenant, *id).await? else { continue };
        if *side == Side::Since && !shared.is_in_use(&proposal).await? {
            continue;
        }
        let runs = shared.store.runs_of_proposal(*id).await?;
        if let Some(input) = trial_says(&proposal, &runs, &shared.settings.refiner.trial, commit.at) {
            shared.add_move(&mut commit, &proposal, input).await?;
            moved.push(*id);
        }
    }
    let (admitted, dropped) = admit(drafts(shared, run).await?);
    for (draft, why) in dropped {
        let words =
            format!("the proposal about {} `{}` was dropped: {why}", draft.component_type, draft.component_name);
        let mut note = Note::new(NoteKind::ProposalDropped, words);
        note.objective = Some(run.id);
        commit.journal.push(line(&run.tenant, &run.scope, note));
    }
    for it in admitted {
        propose(shared, &mut commit, run, Wanted::of_run(it, run.id), &moved).await?;
    }
    commit.taken_in.push(run.id);
    shared.store(commit).await?;
    Ok(())
}

/// What the Refiner of a run handed in.
async fn drafts(shared: &Shared, run: &Run) -> Result<Vec<Draft>, SubmitError> {
    let Some(id) = run.retrospective else { return Ok(Vec::new()) };
    Ok(match shared.store.hand_in(id).await?.map(|it| it.output) {
        Some(Output::Retrospective(it)) => it.improvements.iter().map(Draft::from).collect(),
        _ => Vec::new(),
    })
}

/// Proposes something in the scope of a run, or adds to what is proposed.
async fn propose(
    shared: &Shared,
    commit: &mut Commit,
    run: &Run,
    wanted: Wanted,
    moved: &[ProposalId],
) -> Result<(), SubmitError> {
    let mut known = shared.store.open_proposals(&run.tenant, &run.scope).await?;
    known.extend(shared.store.proposals_of_cause(&run.tenant, &run.scope, &wanted.cause).await?);
    match follow(&wanted, &known) {
        Follow::Propose => {
            let proposal = proposal_of(run, wanted, commit.at);
            let words = format!("{} is proposed: {}", proposal.surface, proposal.proposed_fix);
            let mut note = Note::new(NoteKind::ProposalMade, words)
                .with("proposal_id", proposal.id)
                .with("surface", &proposal.surface)
                .with("priority", proposal.priority)
                .with("source", proposal.source);
            note.objective = Some(run.id);
            commit.journal.push(line(&run.tenant, &run.scope, note));
            commit.changes.push(Change { row: Row::Proposal(proposal), expected: None });
        }
        Follow::Seen { proposal } if !moved.contains(&proposal) => {
            if let Some(known) = known.iter().find(|it| it.id == proposal) {
                let input = proposal::Input::Seen { runs: wanted.evidence };
                shared.add_move(commit, known, input).await?;
            }
        }
        Follow::Seen { proposal } | Follow::Settled { proposal } => {
            debug!(proposal.id = %proposal, run.id = %run.id, "it was settled before");
        }
        Follow::Full => {
            let words =
                format!("the proposal about {} was dropped: too many are open in {}", wanted.surface, run.scope);
            commit.journal.push(line(&run.tenant, &run.scope, Note::new(NoteKind::ProposalDropped, words)));
        }
    }
    Ok(())
}

fn proposal_of(run: &Run, it: Wanted, now: Timestamp) -> Proposal {
    Proposal {
        id: ProposalId::from_uuid(Uuid::now_v7()),
        tenant: run.tenant.clone(),
        scope: run.scope.clone(),
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
        state: State::Proposed,
        created_at: now,
        updated_at: now,
    }
}

/// Puts the most urgent proposal of a scope on trial if there is room: where no person is asked.
async fn try_next(shared: &Shared, tenant: &TenantId, scope: &ScopeId) -> Result<(), SubmitError> {
    let open = shared.store.open_proposals(tenant, scope).await?;
    let Some(next) = next_to_try(&open) else { return Ok(()) };
    match shared.try_out(next).await {
        Ok(_) => Ok(()),
        Err(SubmitError::Refused(refusal)) => {
            debug!(proposal.id = %next.id, %refusal, "it waits for its trial");
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

/// Searches the newest runs of every scope in which something ended since an instant.
async fn search(shared: &Shared, since: Timestamp) -> Result<(), SubmitError> {
    let settings = &shared.settings.refiner;
    for (tenant, scope) in shared.store.scopes_with_runs_since(since).await? {
        let _turn = shared.texts_turn.lock().await;
        let runs = shared.store.runs_of_scope(&tenant, &scope, settings.search_runs).await?;
        let Some(newest) = runs.first() else { continue };
        let mut commit = Commit::at(shared.clock.now());
        for wanted in find(&runs, &settings.find).iter().filter_map(advice) {
            propose(shared, &mut commit, newest, wanted, &[]).await?;
        }
        if !commit.is_empty() {
            shared.store(commit).await?;
        }
    }
    mark_search(shared, shared.clock.now()).await
}

async fn mark_search(shared: &Shared, now: Timestamp) -> Result<(), SubmitError> {
    let mut commit = Commit::at(now);
    commit.round = Some(SEARCH);
    shared.store(commit).await?;
    Ok(())
}

impl Orch {
    /// Searches the runs of all scopes now, as it is done once in a while.
    pub async fn search_runs(&self) -> Result<(), SubmitError> {
        search(&self.shared, Timestamp::EPOCH).await
    }
}
