//! What is there and what is missing: on each target, and in the daemon's own folder. It looks and changes nothing.
//!
//! A gap of the agent that objectives get when they name none stops work; the gaps of others do not.

use crate::orch::{Orch, Shared};
use futures::future::join_all;
use orcha_base::TargetId;
use orcha_exec::{Finding, Grade, room, survey};
use orcha_store::ReadError;
use std::sync::Arc;

impl Orch {
    /// Looks at a target: its programs, its folder, its agents. All are asked side by side, each with a time limit.
    pub async fn examine_target(&self, id: TargetId) -> Vec<Finding> {
        examine(&self.shared, id).await
    }

    /// Looks at the daemon's own folder and database.
    pub async fn examine_daemon(&self) -> Result<Vec<Finding>, ReadError> {
        let vitals = self.store().vitals().await?;
        let detail = format!("SQLite {}, journal {}, {} KiB", vitals.sqlite, vitals.journal, vitals.bytes / 1024);
        let database = match vitals.journal.as_str() {
            "wal" => Finding::fine("database", detail),
            _ => Finding::lacking(
                Grade::Stops,
                "database",
                detail,
                "move the data folder to a file system of this machine that shares memory between processes",
            ),
        };
        Ok(vec![database, room(&vitals.folder.display().to_string(), vitals.free)])
    }
}

async fn examine(shared: &Arc<Shared>, id: TargetId) -> Vec<Finding> {
    let Some(hands) = shared.hands.target(id) else {
        let advice = "restart the daemon, or register the target again";
        return vec![Finding::lacking(Grade::Stops, "connection", "the target is not connected", advice)];
    };
    let usual = &shared.settings.agent.kind;
    let mut kinds: Vec<_> = hands.runners.iter().collect();
    // The usual one first, the others by name.
    kinds.sort_by_key(|(kind, _)| (*kind != usual, (*kind).clone()));
    let agents = join_all(kinds.iter().map(|(kind, runner)| async move { (*kind, runner.examine(kind).await) }));
    let (mut findings, agents) = tokio::join!(survey(&*hands.host), agents);
    for (kind, found) in agents {
        let Some(mut found) = found else { continue };
        if kind == usual {
            found.detail.push_str("; the agent of objectives that name none");
            found.grade = match found.grade {
                Grade::Gap => Grade::Stops,
                grade @ (Grade::Fine | Grade::Stops) => grade,
            };
        }
        findings.push(found);
    }
    findings
}
