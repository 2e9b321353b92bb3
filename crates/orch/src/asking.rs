//! What surrounds a request of an agent: what it is about, with links followed, and the rules that stand for it now.
//!
//! Rules are asked for at each request: a project that is edited is obeyed by sessions that run already. What
//! follows from them is decided by the mind.

use crate::execute::chain;
use crate::orch::Shared;
use orcha_agent::{Batch, Event, wish};
use orcha_base::{ObjectiveId, SessionId, TargetId};
use orcha_exec::{Command, Host};
use orcha_model::permission::Wish;
use orcha_model::session::Asked;
use orcha_model::{Role, permission::Policy};
use orcha_store::Viewer;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How long links may take to be followed; where it takes longer no rule about paths allows anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose request it is.
struct Asker {
    role: Role,
    viewer: Viewer,
    repo: Option<orcha_base::RepoUrl>,
    dir: Option<String>,
    target: Option<TargetId>,
}

/// Says of each request in a batch what it is about and what rules say of it, by the agent's id of the request.
pub(crate) async fn understood(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    session: SessionId,
    batch: &Batch,
) -> Result<HashMap<String, Box<Asked>>, String> {
    let requests = batch.entries.iter().filter_map(|it| match &it.event {
        Event::PermissionRequest { request, tool, input } => Some((request, tool, input)),
        _ => None,
    });
    let requests: Vec<_> = requests.collect();
    if requests.is_empty() {
        return Ok(HashMap::new());
    }
    let asker = asker(shared, objective, session).await?;
    let policy = policy(shared, &asker).await?;
    let host = asker.target.and_then(|it| shared.hands.target(it)).map(|it| it.host);
    let mut understood = HashMap::new();
    for (request, tool, input) in requests {
        let wish = wish_of(host.as_deref(), &asker, &policy, tool, input).await;
        let asked = Asked { request: request.clone(), wish, input: input.clone(), policy: policy.clone() };
        understood.insert(request.clone(), Box::new(asked));
    }
    Ok(understood)
}

async fn asker(shared: &Arc<Shared>, objective: ObjectiveId, session: SessionId) -> Result<Asker, String> {
    let look = move |world: &orcha_plan::World| {
        let it = world.sessions.get(&session)?;
        let workspace = it.workspace.and_then(|id| world.workspaces.get(&id));
        let repo = it.repo.as_ref().or(world.objective.repo.as_ref()).map(|it| it.url.clone());
        Some(Asker {
            role: it.role,
            viewer: Viewer::of(it.tenant.clone()),
            repo,
            dir: workspace.and_then(|it| it.checkout.as_ref()).map(|it| it.dir.clone()),
            target: it.state.holds().map(|(target, _)| target),
        })
    };
    let found = shared.view(objective, look).await.map_err(|fault| chain(&fault))?;
    found.ok_or_else(|| "the session is gone".to_owned())
}

async fn policy(shared: &Arc<Shared>, asker: &Asker) -> Result<Policy, String> {
    let project = match &asker.repo {
        Some(repo) => shared.store.project_by_repo(&asker.viewer, repo).await.map_err(|fault| chain(&fault))?,
        None => None,
    };
    Ok(shared.settings.rules.policy(asker.role, project.as_ref().map(|it| &it.permissions)))
}

async fn wish_of(host: Option<&dyn Host>, asker: &Asker, policy: &Policy, tool: &str, input: &str) -> Wish {
    let about = wish(tool, input);
    let dir = asker.dir.as_deref().unwrap_or("/");
    let absolute = |path: &String| Path::new(dir).join(path).display().to_string();
    let mut wish = Wish {
        tool: tool.to_owned(),
        command: about.command,
        paths: about.paths.iter().map(absolute).collect(),
        roots: asker.dir.iter().cloned().collect(),
        resolved: false,
    };
    let asks_for_paths = policy.allow.iter().chain(&policy.deny).any(orcha_model::permission::Rule::is_about_paths);
    if !asks_for_paths || wish.paths.is_empty() {
        return wish;
    }
    let named: Vec<String> = wish.paths.iter().chain(&wish.roots).cloned().collect();
    if let Some(real) = followed(host, &named).await {
        let (paths, roots) = real.split_at(wish.paths.len());
        wish.paths.extend_from_slice(paths);
        wish.roots.extend_from_slice(roots);
        wish.resolved = true;
    }
    wish
}

/// Follows every link in some paths, on their own machine; what is not there yet is followed as far as it is.
async fn followed(host: Option<&dyn Host>, paths: &[String]) -> Option<Vec<String>> {
    // A break would be taken for the end of a path.
    if paths.iter().any(|it| it.contains('\0')) {
        return None;
    }
    let mut command = Command::new("realpath", "/").env("PATH", "/usr/bin:/bin").args(["-m", "-z", "--"]);
    command = command.args(paths.iter().map(String::as_str));
    let output = match tokio::time::timeout(PATIENCE, host?.run(&command)).await {
        Ok(Ok(output)) if output.status.success() => output,
        Ok(Ok(output)) => {
            warn!("links could not be followed: {}", output.complaint());
            return None;
        }
        Ok(Err(fault)) => {
            warn!(error = %fault, "links could not be followed");
            return None;
        }
        Err(_) => {
            warn!("links were not followed in time");
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).ok()?;
    let real: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    (real.len() == paths.len()).then_some(real)
}
