//! The schedule: which of the sessions that want a place gets which target.
//!
//! It sees all objectives at once, and counts places by states: there is no counter that could drift. Each
//! placement is checked again in the transaction that makes it.

use orcha_base::{ObjectiveId, SessionId, TargetId, TenantId, Timestamp};
use orcha_model::provider::{Class, Gate};
use orcha_model::{Confine, Target, sandbox_verdict};

/// All targets and all sessions that want a place.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The targets with what is taken.
    pub targets: Vec<TargetRoom>,
    /// The sessions, in any order.
    pub candidates: Vec<Candidate>,
    /// How many counted sessions run anywhere.
    pub running: u32,
    /// How many may.
    pub cap: u32,
}

/// A target with what is taken.
#[derive(Clone, Debug)]
pub struct TargetRoom {
    /// The target.
    pub target: Target,
    /// How many counted sessions it has.
    pub taken: u32,
}

/// A session that wants a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The session.
    pub session: SessionId,
    /// Its objective.
    pub objective: ObjectiveId,
    /// Whose it is: only targets that serve it are looked at.
    pub tenant: TenantId,
    /// Whether it takes a place.
    pub counts: bool,
    /// The target that it must have: pinned, or where the work lies that it goes on with.
    pub pin: Option<TargetId>,
    /// The labels that its target must have.
    pub labels: Vec<String>,
    /// By what it must be confined there.
    pub confine: Confine,
    /// Whether its provider may be called.
    pub gate: Gate,
    /// Higher goes first.
    pub priority: i32,
    /// Older goes first.
    pub created_at: Timestamp,
}

/// What the schedule says of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The session.
    pub session: SessionId,
    /// Its objective.
    pub objective: ObjectiveId,
    /// Where.
    pub place: Place,
}

/// A place, or what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    At(TargetId),
    /// Nowhere yet: its provider is not called before then.
    NotBefore {
        /// When.
        until: Timestamp,
        /// Why.
        class: Class,
    },
    /// Nowhere: what is missing, for people.
    Nowhere {
        /// What is missing.
        detail: String,
    },
}

/// Finds a place for each candidate: by priority, then age; a candidate that finds none does not hold up the next.
pub fn schedule(fleet: &Fleet) -> Vec<Placement> {
    let mut rooms: Vec<TargetRoom> = fleet.targets.clone();
    let mut running = fleet.running;
    let mut waiting: Vec<&Candidate> = fleet.candidates.iter().collect();
    waiting.sort_by_key(|it| (std::cmp::Reverse(it.priority), it.created_at, it.session));
    waiting
        .into_iter()
        .map(|candidate| {
            let place = find(candidate, &mut rooms, &mut running, fleet.cap);
            Placement { session: candidate.session, objective: candidate.objective, place }
        })
        .collect()
}

fn find(candidate: &Candidate, rooms: &mut [TargetRoom], running: &mut u32, cap: u32) -> Place {
    // Who may not begin takes no place from those who may.
    if let Gate::Shut { until, class } = candidate.gate {
        return Place::NotBefore { until, class };
    }
    let nowhere = |detail: String| Place::Nowhere { detail };
    if candidate.counts && *running >= cap {
        return nowhere(format!("all {cap} places for workers are taken"));
    }
    if !rooms.iter().any(|room| room.target.serves(&candidate.tenant)) {
        return nowhere("no target is registered".into());
    }
    let mut lacks = Vec::new();
    let mut best: Option<(u32, usize)> = None;
    for (at, room) in rooms.iter().enumerate().filter(|(_, room)| room.target.serves(&candidate.tenant)) {
        match free(candidate, room) {
            Ok(free) if best.is_none_or(|(most, _)| free > most) => best = Some((free, at)),
            Ok(_) => {}
            Err(lack) => lacks.push(format!("{}: {lack}", room.target.name)),
        }
    }
    let Some((_, at)) = best else { return nowhere(lacks.join("; ")) };
    if candidate.counts {
        *running += 1;
        rooms[at].taken += 1;
    }
    Place::At(rooms[at].target.id)
}

/// Returns the free places of a target for a candidate, or what it lacks.
fn free(candidate: &Candidate, room: &TargetRoom) -> Result<u32, String> {
    let target = &room.target;
    if candidate.pin.is_some_and(|pin| pin != target.id) {
        return Err("it is bound to another target".into());
    }
    if !target.takes_sessions() {
        return Err(format!("it is {}", target.state.name()));
    }
    if let Some(label) = candidate.labels.iter().find(|label| !target.labels.contains(label)) {
        return Err(format!("it lacks the label `{label}`"));
    }
    sandbox_verdict(candidate.confine, &target.sandboxes)?;
    let free = target.capacity.saturating_sub(room.taken);
    if candidate.counts && free == 0 {
        return Err(format!("all {} places are taken", target.capacity));
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::{Revision, SandboxLevel, ScopeId};
    use orcha_model::sandbox::Wanted;
    use orcha_model::target::{Kind, State};

    fn room(id: u64, capacity: u32, taken: u32) -> TargetRoom {
        let target = Target {
            id: TargetId::fixed(id),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            revision: Revision(1),
            name: format!("t{id}"),
            kind: Kind::Local,
            work_root: "/srv".into(),
            labels: vec!["linux".into()],
            capacity,
            state: State::Online,
            last_seen_at: None,
            problem: None,
            sandboxes: Vec::new(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        TargetRoom { target, taken }
    }

    fn wants(id: u64, change: impl FnOnce(&mut Candidate)) -> Candidate {
        let mut candidate = Candidate {
            session: SessionId::fixed(id),
            objective: ObjectiveId::fixed(1),
            tenant: TenantId::default(),
            counts: true,
            pin: None,
            labels: vec![],
            confine: Confine::default(),
            gate: Gate::Open,
            priority: 0,
            created_at: Timestamp::from_secs(i64::try_from(id).unwrap()),
        };
        change(&mut candidate);
        candidate
    }

    fn placed(targets: Vec<TargetRoom>, cap: u32, running: u32, candidates: Vec<Candidate>) -> String {
        let fleet = Fleet { targets, candidates, running, cap };
        let line = |it: &Placement| match &it.place {
            Place::At(target) => {
                format!("{}→{}", it.session.short().trim_start_matches('0'), target.short().trim_start_matches('0'))
            }
            Place::NotBefore { class, .. } => format!("{}: {class}", it.session.short().trim_start_matches('0')),
            Place::Nowhere { detail } => format!("{}: {detail}", it.session.short().trim_start_matches('0')),
        };
        schedule(&fleet).iter().map(line).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn a_target_serves_its_tenant_alone_and_those_of_the_default_tenant_serve_everybody() {
        let of = |it: &mut Candidate, tenant: &str| it.tenant = TenantId::new(tenant);
        let mut private = room(2, 9, 0);
        private.target.tenant = TenantId::new("acme");
        let both = || vec![wants(1, |it| of(it, "acme")), wants(3, |it| of(it, "globex"))];
        assert_eq!(placed(vec![room(1, 1, 0), private.clone()], 32, 0, both()), "1→2 | 3→1");
        // What another tenant has is not even told.
        assert_eq!(placed(vec![private], 32, 0, both()), "1→2 | 3: no target is registered");
    }

    #[test]
    fn priority_goes_before_age_and_age_before_nothing() {
        let candidates = vec![wants(3, |_| {}), wants(2, |_| {}), wants(5, |it| it.priority = 1)];
        assert_eq!(placed(vec![room(1, 2, 0)], 32, 0, candidates), "5→1 | 2→1 | 3: t1: all 2 places are taken");
    }

    #[test]
    fn promise_10_whose_provider_is_shut_is_not_placed_and_takes_no_room() {
        let shut = Gate::Shut { until: Timestamp::from_secs(900), class: Class::UsageExhausted };
        let candidates = vec![wants(1, |it| it.gate = shut), wants(2, |_| {})];
        assert_eq!(placed(vec![room(1, 1, 0)], 32, 0, candidates), "1: usage_exhausted | 2→1");
    }

    #[test]
    fn managers_are_exempt_from_capacity_and_cap() {
        let candidates = vec![wants(1, |it| it.counts = false), wants(2, |_| {})];
        assert_eq!(placed(vec![room(1, 1, 1)], 1, 1, candidates), "1→1 | 2: all 1 places for workers are taken");
    }

    #[test]
    fn labels_and_pins_are_kept_and_the_emptiest_target_wins() {
        let mut odd = room(2, 9, 0);
        odd.target.labels.push("gpu".into());
        let candidates = vec![
            wants(1, |it| it.labels = vec!["gpu".into()]),
            wants(2, |it| it.pin = Some(TargetId::fixed(1))),
            wants(3, |_| {}),
            wants(4, |it| it.labels = vec!["mac".into()]),
        ];
        let said = placed(vec![room(1, 3, 0), odd], 32, 0, candidates);
        assert_eq!(said, "1→2 | 2→1 | 3→2 | 4: t1: it lacks the label `mac`; t2: it lacks the label `mac`");
    }

    #[test]
    fn whoever_is_strictly_confined_is_placed_where_that_can_be_had_or_nowhere() {
        let strict = || wants(1, |it| it.confine = Confine { level: Wanted::Landlock, strict: true });
        let mut able = room(2, 1, 0);
        able.target.sandboxes = vec![SandboxLevel::Landlock];
        assert_eq!(placed(vec![room(1, 9, 0), able], 32, 0, vec![strict(), wants(2, |_| {})]), "1→2 | 2→1");
        let said = placed(vec![room(1, 9, 0)], 32, 0, vec![strict()]);
        assert_eq!(
            said,
            "1: t1: it has no Landlock, and the session is only run in one (`strict`); `orcha doctor` says how it gets one"
        );
    }

    #[test]
    fn a_target_that_is_not_online_takes_nothing() {
        let mut off = room(1, 3, 0);
        off.target.state = State::Draining;
        assert_eq!(placed(vec![off], 32, 0, vec![wants(1, |_| {})]), "1: t1: it is draining");
    }
}
