//! What all objectives of a project, and all of a tenant, use up and hold together.
//!
//! It is read from the rows at the start and follows what each desk decided. Nothing is kept while no such cap is set.

use crate::orch::Shared;
use orcha_base::{ObjectiveId, ProjectId, TenantId};
use orcha_model::budget::{Purse, Scope};
use orcha_model::{Amount, Objective};
use orcha_plan::{Stimulus, World, budget};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::debug;

/// The caps over several objectives; zero of a unit is no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCaps {
    /// Over all objectives of one project.
    pub project: Amount,
    /// Over everything of one tenant.
    pub tenant: Amount,
}

/// What each objective uses up and holds.
#[derive(Debug, Default)]
pub(crate) struct Purses {
    caps: SharedCaps,
    accounts: Mutex<HashMap<ObjectiveId, Account>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    tenant: TenantId,
    project: Option<ProjectId>,
    spent: Amount,
    held: Amount,
    /// Whether somebody of it wants to be spoken to.
    wants: bool,
}

impl Account {
    fn of(world: &World) -> Self {
        let wants = world.sessions.values().any(|it| it.is_idle() && world.has_queued_message(it.id));
        Self { held: budget::held(world), wants, ..Self::ended(&world.objective) }
    }

    fn ended(objective: &Objective) -> Self {
        Self {
            tenant: objective.tenant.clone(),
            project: objective.project,
            spent: Amount::of(&objective.used),
            held: Amount::ZERO,
            wants: false,
        }
    }

    /// Tells whether another one falls under the same cap of a scope.
    fn shares(&self, scope: Scope, other: &Self) -> bool {
        self.tenant == other.tenant
            && match scope {
                Scope::Project => self.project.is_some() && self.project == other.project,
                Scope::Tenant => true,
                Scope::Session | Scope::Objective => false,
            }
    }
}

impl Purses {
    /// Makes empty ones with these caps.
    pub(crate) fn new(caps: SharedCaps) -> Self {
        Self { caps, accounts: Mutex::default() }
    }

    /// Tells whether there is any cap that objectives share.
    pub(crate) fn any(&self) -> bool {
        self.caps.project.caps() || self.caps.tenant.caps()
    }

    /// Takes what objectives used up that nobody works on.
    pub(crate) fn load(&self, objectives: &[Objective]) {
        self.accounts.lock().extend(objectives.iter().map(|it| (it.id, Account::ended(it))));
    }

    /// Returns what the others use up and hold of each budget that an objective shares.
    pub(crate) fn others(&self, objective: &Objective) -> Vec<Purse> {
        if !self.any() {
            return Vec::new();
        }
        let own = Account::ended(objective);
        let accounts = self.accounts.lock();
        self.scopes().map(|(scope, cap)| purse(&accounts, objective.id, &own, scope, cap)).collect()
    }

    /// Notes what an objective uses up and holds after a decision, before that is stored. Tells `false`, and notes
    /// nothing, if it takes more than is left: somebody else was faster.
    pub(crate) fn take(&self, world: &World, whatever: bool) -> bool {
        if !self.any() {
            return true;
        }
        let (id, new) = (world.objective.id, Account::of(world));
        let mut accounts = self.accounts.lock();
        let before = accounts.get(&id).map_or(Amount::ZERO, |it| it.spent.plus(it.held));
        let now = new.spent.plus(new.held);
        let takes = now.tokens > before.tokens || now.micro_usd > before.micro_usd;
        if takes && !whatever && new.held != Amount::ZERO {
            let fits = |(scope, cap)| purse(&accounts, id, &new, scope, cap).lets_hand_back(now);
            if !self.scopes().all(fits) {
                return false;
            }
        }
        accounts.insert(id, new);
        true
    }

    fn scopes(&self) -> impl Iterator<Item = (Scope, Amount)> {
        [(Scope::Project, self.caps.project), (Scope::Tenant, self.caps.tenant)]
            .into_iter()
            .filter(|(_, cap)| cap.caps())
    }
}

fn purse(accounts: &HashMap<ObjectiveId, Account>, id: ObjectiveId, own: &Account, scope: Scope, cap: Amount) -> Purse {
    // An objective without a project is under no cap of one.
    let cap = if scope == Scope::Project && own.project.is_none() { Amount::ZERO } else { cap };
    let others = accounts.iter().filter(|(other, it)| **other != id && own.shares(scope, it));
    let (mut spent, mut held) = (Amount::ZERO, Amount::ZERO);
    for (_, it) in others {
        (spent, held) = (spent.plus(it.spent), held.plus(it.held));
    }
    Purse { scope, cap, spent, held, kept: Amount::ZERO }
}

/// Lets those look again who share a budget with an objective that holds less of it than before.
pub(crate) fn released(shared: &Arc<Shared>, before: &World, after: &World) {
    let (was, is) = (budget::held(before), budget::held(after));
    if !shared.purses.any() || (is.tokens >= was.tokens && is.micro_usd >= was.micro_usd) {
        return;
    }
    shared.fleet.nudge();
    let own = Account::ended(&after.objective);
    let accounts = shared.purses.accounts.lock();
    let waits = |(id, it): &(&ObjectiveId, &Account)| {
        **id != after.objective.id && it.wants && (own.shares(Scope::Tenant, it) || own.shares(Scope::Project, it))
    };
    let waiting: Vec<ObjectiveId> = accounts.iter().filter(waits).map(|(id, _)| *id).collect();
    drop(accounts);
    for objective in waiting {
        let shared_too = Arc::clone(shared);
        shared.tasks.spawn(async move {
            if let Err(fault) = shared_too.look_again(objective).await {
                debug!(objective.id = %objective, "it did not look again: {fault}");
            }
        });
    }
}

impl Shared {
    async fn look_again(self: &Arc<Self>, objective: ObjectiveId) -> Result<(), crate::SubmitError> {
        let stimuli = crate::inbox::Stimuli { stimuli: vec![Stimulus::Tick], intent: true, ..Default::default() };
        self.bring(objective, stimuli).await.map(|_| ())
    }
}
