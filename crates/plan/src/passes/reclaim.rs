//! Finished workspaces are let go, after a while and with proof. The proof is the executor's; here it is only
//! decided that nobody needs the folder any more.

use crate::{Settings, Stimulus, World};
use orcha_base::Timestamp;
use orcha_model::Workspace;
use orcha_model::workspace::{Input, State};
use std::time::Duration;

/// How long after a refusal the proof is tried again: something may have been merged since.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

pub(super) fn reclaim(world: &World, now: Timestamp, settings: &Settings) -> Vec<Stimulus> {
    let due = |it: &&Workspace| due_at(world, it, settings).is_some_and(|at| at <= now);
    world.workspaces.values().filter(due).map(|it| Stimulus::Workspace(it.id, Input::Reclaim)).collect()
}

pub(super) fn wakes(world: &World, settings: &Settings) -> impl Iterator<Item = Timestamp> {
    world.workspaces.values().filter_map(move |it| due_at(world, it, settings))
}

fn due_at(world: &World, workspace: &Workspace, settings: &Settings) -> Option<Timestamp> {
    match workspace.state {
        State::Ready | State::Failed { .. } => {}
        State::Preparing | State::Archived => return None,
    }
    let session = world.sessions.get(&workspace.session)?;
    let ended = session.completed_at?;
    let needed = world.sessions.values().any(|it| {
        !it.is_over()
            && (it.workspace == Some(workspace.id)
                || it.depends_on.contains(&session.id)
                || it.reviews == Some(session.id))
    });
    let published = world.pull_requests.values().any(|it| it.workspace == workspace.id && it.state.is_live());
    // While the objective lives, work that was never published may still be: its manager decides.
    let undecided = !world.objective.is_over()
        && session.role.traits().produces_commits
        && !world.pull_requests.values().any(|it| it.workspace == workspace.id || session.pull_request == Some(it.id));
    if needed || published || undecided {
        return None;
    }
    let earliest = ended + settings.reclaim_after;
    Some(workspace.reclaim_asked_at.map_or(earliest, |asked| earliest.max(asked + ASK_AGAIN)))
}
