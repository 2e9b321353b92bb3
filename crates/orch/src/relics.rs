//! What a daemon had no time to forget, because it died after the end was stored: directories of runs, what checks left,
//! folders of deliveries.
//!
//! The directory of a run holds a credential, and output that is stored long since. Only what is known to be over is touched; a
//! directory of which the store knows nothing belongs to somebody else.

use crate::execute::{chain, delivery_of};
use crate::hands::TargetHands;
use crate::orch::Shared;
use crate::tool_servers;
use orcha_base::{Attempt, ObjectiveId, SessionId, TargetId};
use orcha_exec::RunState;
use orcha_model::check;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tracing::warn;

/// The runs that something may still be done with.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The sessions that are not over, each with its attempt.
    pub live: HashMap<SessionId, Attempt>,
    /// The sessions of which something is ordered.
    pub ordered: HashSet<SessionId>,
}

impl Wanted {
    fn wants(&self, session: SessionId, attempt: Attempt) -> bool {
        self.ordered.contains(&session) || self.live.get(&session).is_some_and(|now| attempt >= *now)
    }
}

/// Forgets all that on the targets that are connected.
pub(crate) async fn forget(shared: Arc<Shared>, wanted: Wanted) {
    let targets = match shared.store.all_targets().await {
        Ok(targets) => targets,
        Err(fault) => return warn!(error = %chain(&fault), "targets could not be listed; run directories may be left"),
    };
    for target in &targets {
        let Some(hands) = shared.hands.target(target.id) else { continue };
        forget_checks(&shared, target.id).await;
        tool_servers::forget_looks(&shared, &*hands.host).await;
        forget_deliveries(&shared, &hands).await;
        let runs = match hands.host.runs().await {
            Ok(runs) => runs,
            Err(fault) => {
                warn!(error = %chain(&fault), "runs could not be listed; some directories may be left");
                continue;
            }
        };
        for run in runs {
            let (RunState::Ended(_) | RunState::Lost, Some((session, attempt))) =
                (&run.state, parse(run.label.as_str()))
            else {
                continue;
            };
            if wanted.wants(session, attempt) || shared.ingests.reads(&run.label) {
                continue;
            }
            let forgotten = match shared.store.cursor(session, attempt).await {
                Ok(None) => continue,
                Ok(Some(_)) => hands.host.forget(&run.label).await.map_err(|fault| chain(&fault)),
                Err(fault) => Err(chain(&fault)),
            };
            if let Err(fault) = forgotten {
                warn!(run = %run.label, "the directory of a run that is over could not be deleted: {fault}");
            }
        }
    }
}

/// Forgets what is left of runs of checks that are over: their processes, their run directories, their folders.
async fn forget_checks(shared: &Shared, target: TargetId) {
    let Some(checker) = shared.hands.checker() else { return };
    let left = match checker.left(target).await {
        Ok(left) => left,
        Err(fault) => return warn!(error = %chain(&fault), "what checks left could not be listed; some may be left"),
    };
    for run in left {
        let forgotten = match shared.store.check_run(run).await {
            // It is run again, and forgotten after that; or it belongs to somebody else.
            Ok(None) => continue,
            Ok(Some(it)) if it.state == check::State::Running => continue,
            Ok(Some(_)) => checker.forget(run, target).await.map_err(|fault| chain(&fault)),
            Err(fault) => Err(chain(&fault)),
        };
        if let Err(fault) = forgotten {
            warn!(check_run.id = %run, "what is left of a run of checks could not be deleted: {fault}");
        }
    }
}

/// Deletes the clean folders that were made for deliveries of workflows that are over.
async fn forget_deliveries(shared: &Shared, hands: &TargetHands) {
    let folders = match hands.checkouts.list_exact().await {
        Ok(folders) => folders,
        Err(fault) => {
            return warn!(error = %chain(&fault), "what deliveries left could not be listed; some may be left");
        }
    };
    for folder in folders {
        let Some(workflow) = delivery_of(&folder) else { continue };
        let forgotten = match shared.load_world(ObjectiveId::from_uuid(workflow.uuid())).await {
            // It is delivered yet, and forgotten after that; or it belongs to somebody else.
            Ok(None) => continue,
            Ok(Some(world)) if !world.objective.is_over() => continue,
            Ok(Some(_)) => hands.checkouts.discard_exact(&folder).await.map_err(|fault| chain(&fault)),
            Err(fault) => Err(chain(&fault)),
        };
        if let Err(fault) = forgotten {
            warn!(workflow.id = %workflow, "what is left of a delivery could not be deleted: {fault}");
        }
    }
}

/// Takes a run's name apart.
fn parse(label: &str) -> Option<(SessionId, Attempt)> {
    let (session, attempt) = label.rsplit_once('-')?;
    Some((session.parse().ok()?, Attempt(attempt.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::run_label;

    #[test]
    fn a_run_is_wanted_while_its_session_lives_and_while_something_is_ordered_of_it() {
        let [live, ordered, over] = [1, 2, 3].map(|n| SessionId::from_uuid(uuid::Uuid::from_u128(n)));
        let wanted = Wanted { live: [(live, Attempt(2))].into(), ordered: [ordered].into() };
        assert!(wanted.wants(live, Attempt(2)));
        assert!(!wanted.wants(live, Attempt(1)));
        assert!(wanted.wants(ordered, Attempt(1)));
        assert!(!wanted.wants(over, Attempt(1)));
    }

    #[test]
    fn a_name_is_taken_apart_as_it_was_put_together() {
        let session = SessionId::from_uuid(uuid::Uuid::from_u128(7));
        let label = run_label(session, Attempt(3)).unwrap();
        assert_eq!(parse(label.as_str()), Some((session, Attempt(3))));
        assert_eq!(parse("somebody-elses-run"), None);
    }
}
