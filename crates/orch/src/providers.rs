//! Providers belong to all objectives: here is the one place that changes them, one input at a time, and the copy that
//! everybody looks at.
//!
//! What an input means is decided by the mind. What is stored is what was decided; the copy follows the store.

use crate::execute::chain;
use crate::orch::Shared;
use orcha_agent::{Batch, Event, TurnEnd};
use orcha_base::{Attempt, SessionId, Timestamp};
use orcha_model::provider::{self, Class, Gate, Input, State, Window};
use orcha_model::session::TurnEnd as TurnEnded;
use orcha_model::{Provider, session};
use orcha_plan::Stimulus;
use orcha_store::{Commit, CommitError, JournalLine};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::warn;

/// All providers that were heard of, by the kind of agent that spends them.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    known: RwLock<Arc<BTreeMap<String, Provider>>>,
    turn: tokio::sync::Mutex<()>,
}

impl Providers {
    /// Takes what is stored.
    pub(crate) fn load(&self, stored: Vec<Provider>) {
        *self.known.write() = Arc::new(stored.into_iter().map(|it| (it.name.clone(), it)).collect());
    }

    /// Returns all of them as they are now.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Provider>> {
        Arc::clone(&self.known.read())
    }

    /// Tells whether a session may call the provider of a kind of agent now.
    pub(crate) fn gate(&self, kind: &str, session: SessionId, now: Timestamp) -> Gate {
        self.known.read().get(kind).map_or(Gate::Open, |it| it.gate(session, now))
    }

    /// Returns the end of a turn with the time until which its session waits: that of its provider, with its own place
    /// among those who wait.
    pub(crate) fn put_off(&self, kind: &str, session: SessionId, now: Timestamp, end: TurnEnded) -> TurnEnded {
        match (end, self.gate(kind, session, now)) {
            (TurnEnded::Provider { class, .. }, Gate::Shut { until, .. }) => {
                TurnEnded::Provider { class, until: Some(until) }
            }
            (end, _) => end,
        }
    }
}

/// Returns the fact that a session has to wait for its provider, if it has to.
pub(crate) fn shut(shared: &Shared, kind: &str, session: SessionId) -> Option<Stimulus> {
    match shared.providers.gate(kind, session, shared.clock.now()) {
        Gate::Open => None,
        Gate::Shut { until, class } => {
            let why = session::Waiting::Provider { class: class.name().into() };
            Some(Stimulus::Session(session, session::Input::Held { why, until: Some(until) }))
        }
    }
}

/// Brings what a batch says of its provider, before anything else of it is stored: read twice, it counts once.
pub(crate) async fn hear(
    shared: &Arc<Shared>,
    kind: &str,
    session: SessionId,
    attempt: Attempt,
    batch: &Batch,
) -> Result<(), CommitError> {
    let now = shared.clock.now();
    let refused = |class, until| Input::Refused { session, attempt, class, until, roll: rand::random() };
    for it in &batch.entries {
        let inputs = match &it.event {
            Event::Limit(limit) => {
                let window = Window {
                    name: limit.window.chars().take(60).collect(),
                    used_permille: limit.used_percent.map(permille),
                    resets_at: limit.resets_at,
                    seen_at: now,
                };
                let told = Input::Told { window };
                let rejected = limit.rejected.then(|| refused(Class::UsageExhausted, limit.resets_at));
                [Some(told), rejected]
            }
            Event::TurnEnded(TurnEnd::RateLimited { until }) => [Some(refused(Class::RateLimited, *until)), None],
            Event::TurnEnded(TurnEnd::UsageExhausted { until }) => [Some(refused(Class::UsageExhausted, *until)), None],
            Event::TurnEnded(TurnEnd::Overloaded) => [Some(refused(Class::Overloaded, None)), None],
            Event::TurnEnded(TurnEnd::Completed) if !is_well(shared, kind) => [Some(Input::Served), None],
            _ => [None, None],
        };
        for input in inputs.into_iter().flatten() {
            meet(shared, kind, input).await?;
        }
    }
    Ok(())
}

/// Opens those whose time has come; returns when the next one's comes.
pub(crate) async fn open_due(shared: &Arc<Shared>) -> Option<Timestamp> {
    let now = shared.clock.now();
    for (name, it) in shared.providers.all().iter() {
        if it.reopens_at().is_some_and(|at| at <= now)
            && let Err(fault) = meet(shared, name, Input::Due).await
        {
            warn!(provider = %name, error = %chain(&fault), "that it is open again could not be stored");
        }
    }
    shared.providers.all().values().filter_map(Provider::reopens_at).filter(|at| *at > now).min()
}

fn permille(percent: f64) -> u16 {
    // Whatever was said, it is between nothing and all.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    let permille = (percent * 10.0).round().clamp(0.0, 1000.0) as u16;
    permille
}

/// Tells whether there is nothing to forget about a provider when it serves a turn.
fn is_well(shared: &Shared, kind: &str) -> bool {
    shared.providers.known.read().get(kind).is_none_or(|it| it.state == State::Open && it.strikes == 0)
}

async fn meet(shared: &Arc<Shared>, name: &str, input: Input) -> Result<(), CommitError> {
    let _turn = shared.providers.turn.lock().await;
    let now = shared.clock.now();
    let all = shared.providers.all();
    let before = all.get(name).cloned().unwrap_or_else(|| Provider::new(name, now));
    let decision = provider::decide(&before, input, now);
    if decision.ignored.is_some() {
        return Ok(());
    }
    let next = decision.next;
    let mut commit = Commit::at(now);
    commit.providers.push(next.clone());
    commit.journal = decision
        .notes
        .into_iter()
        .map(|note| JournalLine {
            tenant: next.tenant.clone(),
            scope: next.scope.clone(),
            objective: None,
            // Who was refused stands in the provider: the line is nobody's own.
            session: None,
            note: orcha_model::Note { session: None, ..note },
        })
        .collect();
    shared.store(commit).await?;
    let moved = next.state != before.state;
    let mut known = BTreeMap::clone(&all);
    known.insert(name.to_owned(), next);
    *shared.providers.known.write() = Arc::new(known);
    if moved {
        shared.fleet.nudge();
    }
    Ok(())
}
