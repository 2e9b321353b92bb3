//! Providers: the accounts that kinds of agents spend, with their windows and who waits for them.

use crate::names::names;
use orcha_base::{ObjectiveId, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// Where a provider stands. A parked one is not called by any session.
    ProviderStatus, "provider status":
    Open = "open",
    Parked = "parked",
}

/// The account that a kind of agent spends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// The kind of agent.
    pub name: String,
    /// Where it stands.
    pub status: ProviderStatus,
    /// Why it is parked: `rate_limited`, `usage_exhausted` or `overloaded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_at: Option<Timestamp>,
    /// When the first session calls it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What it told of its windows, by name.
    pub windows: Vec<ProviderWindow>,
    /// The sessions that wait for it, the one that goes on first before the others.
    pub waiting: Vec<ProviderWaiting>,
    /// When it was last heard of.
    pub updated_at: Timestamp,
}

/// A window of a provider: what may be used until it starts anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderWindow {
    /// Its name.
    pub name: String,
    /// How much of it is used, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_percent: Option<f64>,
    /// When it starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// When that was said.
    pub seen_at: Timestamp,
}

/// A session that waits for a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderWaiting {
    /// The session.
    pub session_id: SessionId,
    /// Its objective.
    pub objective_id: ObjectiveId,
    /// Its title.
    pub title: String,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The kinds of agents that can play a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentKinds {
    /// They, by name.
    pub providers: Vec<AgentKind>,
}

/// A kind of agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentKind {
    /// Its name.
    pub name: String,
    /// What it can: `tools` and `streaming`, and `models` where it says which models it has.
    pub capabilities: Vec<String>,
}

/// What a provider says of its models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderModels {
    /// The kind of agent.
    pub provider: String,
    /// Its models, by name.
    pub models: Vec<ProviderModel>,
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderModel {
    /// Its name, as a launch has it.
    pub id: String,
    /// Whether it calls tools, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// What else is known of it: size, context, price.
    pub description: String,
}

/// Whether a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderTest {
    /// Whether it does.
    pub healthy: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
