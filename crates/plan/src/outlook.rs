//! What an objective sees of what it shares with all others: the providers, and the budgets above its own.
//!
//! It is put into a world before each turn, and is not stored with it.

use orcha_base::{SessionId, Timestamp};
use orcha_model::budget::Purse;
use orcha_model::casting::Catalog;
use orcha_model::provider::Gate;
use orcha_model::{Provider, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is shared with other objectives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// When somebody looked.
    pub at: Timestamp,
    /// The providers that were heard of, by the kind of agent that spends them.
    pub providers: Arc<BTreeMap<String, Provider>>,
    /// The kinds of agents that every target has.
    pub kinds: Arc<BTreeSet<String>>,
    /// Their models, where a provider says which it has.
    pub catalog: Arc<Catalog>,
    /// The budgets of the project and of the tenant, with what the *other* objectives use up and hold.
    pub purses: Vec<Purse>,
}

impl Outlook {
    /// Tells whether a session may call the provider of a kind of agent now.
    pub fn gate(&self, kind: &str, session: SessionId, now: Timestamp) -> Gate {
        self.providers.get(kind).map_or(Gate::Open, |it| it.gate(session, now))
    }

    /// Tells whether a session may call its own provider now.
    pub fn gate_of(&self, session: &Session, now: Timestamp) -> Gate {
        self.gate(&session.agent.kind, session.id, now)
    }
}
