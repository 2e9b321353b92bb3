//! What the wheel reaches the world with: for each target its host, its checkouts and its agents, and the code host.

use crate::catalog::Models;
use crate::checker::Checker;
use orcha_agent::Runner;
use orcha_base::TargetId;
use orcha_delivery::Deliverer;
use orcha_exec::Host;
use orcha_forge::Forge;
use orcha_workspace::Checkouts;
use parking_lot::RwLock;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Everything that touches the world. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hands {
    forge: Arc<dyn Forge>,
    targets: Arc<RwLock<HashMap<TargetId, TargetHands>>>,
    /// The kinds of agents that every target has.
    kinds: Arc<RwLock<Arc<BTreeSet<String>>>>,
    checker: Option<Arc<dyn Checker>>,
    deliverer: Option<Arc<dyn Deliverer>>,
    models: Option<Arc<dyn Models>>,
}

/// The hands of one target.
#[derive(Clone, Debug)]
pub struct TargetHands {
    /// Where processes run.
    pub host: Arc<dyn Host>,
    /// Where the work lies.
    pub checkouts: Arc<dyn Checkouts>,
    /// The agents, by kind.
    pub runners: HashMap<String, Arc<dyn Runner>>,
}

impl Hands {
    /// Takes the code host; targets are added.
    pub fn new(forge: Arc<dyn Forge>) -> Self {
        Self { forge, targets: Arc::default(), kinds: Arc::default(), checker: None, deliverer: None, models: None }
    }

    /// Takes whoever runs the checks of workflows.
    #[must_use]
    pub fn with_checker(mut self, checker: Arc<dyn Checker>) -> Self {
        self.checker = Some(checker);
        self
    }

    /// Returns whoever runs the checks of workflows.
    pub fn checker(&self) -> Option<Arc<dyn Checker>> {
        self.checker.clone()
    }

    /// Takes whoever makes deliveries that no code host makes.
    #[must_use]
    pub fn with_deliverer(mut self, deliverer: Arc<dyn Deliverer>) -> Self {
        self.deliverer = Some(deliverer);
        self
    }

    /// Returns whoever makes deliveries that no code host makes.
    pub fn deliverer(&self) -> Option<Arc<dyn Deliverer>> {
        self.deliverer.clone()
    }

    /// Takes whoever knows which models there are.
    #[must_use]
    pub fn with_models(mut self, models: Arc<dyn Models>) -> Self {
        self.models = Some(models);
        self
    }

    /// Returns whoever knows which models there are.
    pub fn models(&self) -> Option<Arc<dyn Models>> {
        self.models.clone()
    }

    /// Adds or replaces the hands of a target.
    pub fn add_target(&self, target: TargetId, hands: TargetHands) {
        let mut targets = self.targets.write();
        targets.insert(target, hands);
        let of = |it: &TargetHands| it.runners.keys().cloned().collect::<BTreeSet<_>>();
        let common = targets.values().map(of).reduce(|all, it| all.intersection(&it).cloned().collect());
        *self.kinds.write() = Arc::new(common.unwrap_or_default());
    }

    /// Returns the kinds of agents that every target has.
    pub fn kinds(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.kinds.read())
    }

    /// Returns the code host.
    pub fn forge(&self) -> &dyn Forge {
        &*self.forge
    }

    /// Returns the hands of a target.
    pub fn target(&self, target: TargetId) -> Option<TargetHands> {
        self.targets.read().get(&target).cloned()
    }

    /// Returns the runner of a kind of agent on a target.
    pub fn runner(&self, target: TargetId, kind: &str) -> Option<Arc<dyn Runner>> {
        self.targets.read().get(&target)?.runners.get(kind).cloned()
    }
}
