//! The schedule is run whenever capacity may have changed, and targets are probed.
//!
//! The plan decides who goes where; here it is only asked, and its answers are handed to the inboxes, where each
//! is checked again in the transaction that makes it true.

use crate::confine::{self, OfProjects};
use crate::execute::chain;
use crate::inbox::{Stimuli, SubmitError};
use crate::orch::Shared;
use crate::providers;
use futures::future::join_all;
use orcha_base::{Revision, SessionId, TargetId, Timestamp};
use orcha_exec::Command;
use orcha_model::{Session, target};
use orcha_plan::{Candidate, Fleet as Snapshot, Place, Placement, Stimulus, TargetRoom, schedule};
use orcha_store::{Change, Commit, Guard, JournalLine, ReadError, Row};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// How many sessions the schedule looks at in one go.
const LOOK: u32 = 500;

/// Wakes the schedule.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    nudged: Notify,
}

impl Fleet {
    /// Says that capacity may have changed.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }
}

/// Runs the schedule until the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut said: HashMap<SessionId, String> = HashMap::new();
    loop {
        let opens_at = providers::open_due(&shared).await;
        let pause = match place_all(&shared, &mut said).await {
            Ok(wakes_at) => wakes_at
                .into_iter()
                .chain(opens_at)
                .min()
                .map_or(Duration::from_secs(60), |at| at.since(shared.clock.now())),
            Err(fault) => {
                warn!(error = %chain(&fault), "the schedule could not be run; trying again");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.fleet.nudged.notified() => {}
            () = shared.clock.sleep(pause) => {}
        }
    }
}

/// Runs the schedule once; returns when the next session will want a place.
async fn place_all(
    shared: &Arc<Shared>,
    said: &mut HashMap<SessionId, String>,
) -> Result<Option<Timestamp>, ReadError> {
    let candidates = shared.store.candidates(shared.clock.now(), LOOK).await?;
    if candidates.sessions.is_empty() {
        said.clear();
        return Ok(candidates.wakes_at);
    }
    let taken: HashMap<TargetId, u32> = candidates.taken.into_iter().collect();
    let rooms = candidates
        .targets
        .into_iter()
        .map(|target| TargetRoom { taken: taken.get(&target.id).copied().unwrap_or(0), target });
    let projects = OfProjects::read(shared).await?;
    let mut wanting = Vec::with_capacity(candidates.sessions.len());
    for it in &candidates.sessions {
        wanting.push(candidate(shared, it, &projects).await);
    }
    let fleet = Snapshot {
        targets: rooms.collect(),
        candidates: wanting,
        running: taken.values().sum(),
        cap: shared.settings.cap,
    };
    let placements = schedule(&fleet);
    said.retain(|session, _| placements.iter().any(|it| it.session == *session));
    let fresh = placements.into_iter().filter(|it| match &it.place {
        Place::At(_) | Place::NotBefore { .. } => true,
        // The same reason need not be said again.
        Place::Nowhere { detail } => said.insert(it.session, detail.clone()).as_ref() != Some(detail),
    });
    let by_id: HashMap<SessionId, &Session> = candidates.sessions.iter().map(|it| (it.id, it)).collect();
    let brought = fresh.filter_map(|it| Some(bring(shared, *by_id.get(&it.session)?, it)));
    let refused = join_all(brought).await.into_iter().filter(|refused| *refused).count();
    // A placement that was refused because something moved meanwhile is looked at again with the next change,
    // or shortly, whichever comes first.
    let soon = (refused > 0).then(|| shared.clock.now() + Duration::from_millis(200));
    Ok(candidates.wakes_at.into_iter().chain(soon).min())
}

async fn candidate(shared: &Arc<Shared>, session: &Session, projects: &OfProjects) -> Candidate {
    let repo = match &session.repo {
        Some(repo) => Some(repo.url.clone()),
        None if projects.say_nothing() => None,
        // Looked at once more before it is launched: one that cannot be read now is not held up.
        None => shared
            .view(session.objective, |world| world.objective.repo.as_ref().map(|it| it.url.clone()))
            .await
            .unwrap_or_default(),
    };
    Candidate {
        confine: projects.confine(shared, &session.tenant, session.role, repo.as_ref()),
        session: session.id,
        objective: session.objective,
        tenant: session.tenant.clone(),
        counts: session.role.traits().counts,
        pin: session.pin,
        labels: session.labels.clone(),
        gate: shared.providers.gate(&session.agent.kind, session.id, shared.clock.now()),
        priority: session.priority,
        created_at: session.created_at,
    }
}

/// Brings a placement to its inbox; tells whether it was refused.
async fn bring(shared: &Arc<Shared>, session: &Session, placement: Placement) -> bool {
    let id = placement.session;
    let (stimulus, guards) = match placement.place {
        Place::At(target) => (Stimulus::Place { session: id, target }, guards(shared, session, target)),
        Place::NotBefore { until, class } => {
            let why = orcha_model::session::Waiting::Provider { class: class.name().into() };
            let until = Some(until);
            (Stimulus::Session(id, orcha_model::session::Input::Held { why, until }), Vec::new())
        }
        Place::Nowhere { detail } => {
            (Stimulus::Session(id, orcha_model::session::Input::NoPlace { detail }), Vec::new())
        }
    };
    let stimuli = Stimuli { stimuli: vec![stimulus], guards, intent: true, ..Stimuli::default() };
    match shared.bring(placement.objective, stimuli).await {
        Ok(_) => false,
        Err(SubmitError::Refused(_)) => true,
        Err(SubmitError::ShuttingDown) => false,
        Err(fault) => {
            warn!(session.id = %id, error = %chain(&fault), "the session could not be placed");
            true
        }
    }
}

fn guards(shared: &Shared, session: &Session, target: TargetId) -> Vec<Guard> {
    let id = session.id;
    let mut guards = vec![Guard::TargetTakesSessions { target }];
    if session.role.traits().counts {
        guards.push(Guard::TargetHasRoom { target, session: id });
        guards.push(Guard::CapHasRoom { cap: shared.settings.cap, session: id });
    }
    if let Some(workspace) = session.workspace {
        guards.push(Guard::WorkspaceFree { workspace, session: id });
    }
    if let Some(pull_request) = session.pull_request {
        guards.push(Guard::PullRequestFree { pull_request, session: id });
    }
    guards
}

/// Probes targets until the daemon stops.
pub(crate) async fn probe(shared: Arc<Shared>) {
    loop {
        match shared.store.all_targets().await {
            Ok(targets) => {
                for target in targets.into_iter().filter(|it| it.state != target::State::Disabled) {
                    let input = probe_one(&shared, target.id).await;
                    if let Err(fault) = change_target(&shared, target.id, input, Some(target.revision)).await {
                        warn!(target.id = %target.id, error = %chain(&fault), "the probe could not be stored");
                    }
                }
            }
            Err(fault) => warn!(error = %chain(&fault), "targets could not be listed"),
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.clock.sleep(shared.settings.probe_every) => {}
        }
    }
}

/// Asks a target whether it is there and can be written to.
pub(crate) async fn probe_one(shared: &Shared, target: TargetId) -> target::Input {
    let Some(hands) = shared.hands.target(target) else {
        return target::Input::Unreached { problem: "it is not connected".into() };
    };
    let root = hands.host.work_root().display().to_string();
    let mut command = Command::new("mkdir", "/").args(["-p", "--", &root]).env("PATH", "/usr/bin:/bin");
    command.timeout = Duration::from_secs(15);
    match hands.host.run(&command).await {
        Ok(output) if output.status.success() => {
            target::Input::Reached { sandboxes: confine::levels(&*hands.host).await }
        }
        Ok(output) => {
            target::Input::Unreached { problem: format!("its work root cannot be used: {}", output.complaint()) }
        }
        Err(fault) => target::Input::Unreached { problem: chain(&fault) },
    }
}

/// Decides what a target becomes, and stores it. What was seen before it last changed is old: a probe may have
/// found it unconnected, and be overtaken by the one that connected it.
pub(crate) async fn change_target(
    shared: &Arc<Shared>,
    id: TargetId,
    input: target::Input,
    seen: Option<Revision>,
) -> Result<target::Target, SubmitError> {
    // Targets have no inbox of their own: they change rarely, one at a time.
    let _turn = shared.targets_turn.lock().await;
    let unknown = || orcha_model::Refusal::Unknown { noun: "target", id: id.to_string(), hint: String::new() };
    let target = shared.store.all_targets().await?.into_iter().find(|it| it.id == id).ok_or_else(unknown)?;
    if seen.is_some_and(|seen| seen != target.revision) {
        return Ok(target);
    }
    let now = shared.clock.now();
    let decision = target::decide(&target, input, now)?;
    if decision.ignored.is_some() || decision.next == target {
        return Ok(target);
    }
    let mut next = decision.next;
    // Being reached again and again is no news; it is stored once in a while.
    let only_seen = { target::Target { last_seen_at: target.last_seen_at, ..next.clone() } == target };
    if only_seen && target.last_seen_at.is_some_and(|at| now.since(at) < Duration::from_secs(300)) {
        return Ok(target);
    }
    next.revision = target.revision.next();
    let mut commit = Commit::at(now);
    commit.changes.push(Change { row: Row::Target(next.clone()), expected: Some(target.revision) });
    commit.journal = decision
        .notes
        .into_iter()
        .map(|note| JournalLine {
            tenant: next.tenant.clone(),
            scope: next.scope.clone(),
            objective: None,
            session: None,
            note,
        })
        .collect();
    shared.store(commit).await?;
    shared.fleet.nudge();
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Hands, Orch, Settings, SystemClock};
    use orcha_forge::fake::FakeForge;
    use orcha_store::{Store, StoreOptions};

    #[tokio::test]
    async fn a_probe_that_was_overtaken_takes_no_target_off_line() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let hands = Hands::new(Arc::new(FakeForge::new()));
        let orch = Orch::start(store, hands, Settings::default(), Arc::new(SystemClock)).await.unwrap();
        let seen = orch.register_target(&Actor::default(), "here", "/nowhere", 1, vec![]).await.unwrap();
        let connected = orch.change_target(seen.id, target::Input::Reached { sandboxes: Vec::new() }).await.unwrap();
        let unreached = || target::Input::Unreached { problem: "it is not connected".into() };
        let after = change_target(&orch.shared, seen.id, unreached(), Some(seen.revision)).await.unwrap();
        assert_eq!(after, connected);
        let after = change_target(&orch.shared, seen.id, unreached(), Some(connected.revision)).await.unwrap();
        assert_ne!(after.state, connected.state);
        orch.shut_down().await;
    }
}
