//! What surrounds the confinement of a session: what is said of it now, and what of its machine is its own.
//!
//! Whether it may be placed, and by what it is confined then, is decided by the mind.

use crate::execute::chain;
use crate::hands::TargetHands;
use crate::orch::Shared;
use orcha_base::{Attempt, RepoUrl, SandboxLevel, SessionId, TenantId};
use orcha_exec::{Host, RunLabel, Sandbox};
use orcha_model::sandbox::Wanted;
use orcha_model::{Confine, Project, Role};
use orcha_store::ReadError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What projects say of confinement; of those that say nothing there is nothing here.
pub(crate) struct OfProjects(Vec<Project>);

impl OfProjects {
    pub(crate) async fn read(shared: &Shared) -> Result<Self, ReadError> {
        Ok(Self(shared.store.confining_projects().await?))
    }

    /// Tells whether the repository of a session matters.
    pub(crate) fn say_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts together what is said of a role on a repository.
    pub(crate) fn confine(&self, shared: &Shared, tenant: &TenantId, role: Role, repo: Option<&RepoUrl>) -> Confine {
        let project = self.0.iter().find(|it| it.tenant == *tenant && Some(&it.repo) == repo);
        shared.settings.rules.confine(role, project.map(|it| &it.permissions))
    }
}

/// Who is to be confined.
pub(crate) struct Confined<'a> {
    pub(crate) session: SessionId,
    pub(crate) attempt: Attempt,
    pub(crate) role: Role,
    /// The repository of its checkout.
    pub(crate) repo: Option<&'a RepoUrl>,
}

/// Says which levels a machine has now.
pub(crate) async fn levels(host: &dyn Host) -> Vec<SandboxLevel> {
    let offers = host.sandboxes().await;
    offers.into_iter().filter(|it| it.there.is_ok()).map(|it| it.level).collect()
}

/// Says by which of the levels that a machine has by now.
pub(crate) async fn level(host: &dyn Host, confine: Confine) -> Result<SandboxLevel, String> {
    let has = match confine.level {
        Wanted::None => Vec::new(),
        Wanted::Auto | Wanted::Landlock | Wanted::Bubblewrap => levels(host).await,
    };
    orcha_model::sandbox_verdict(confine, &has)
}

/// Says what a session may touch: of the daemon and of other sessions nothing but what its checkout borrows from the
/// mirror, and what its own earlier attempts wrote.
pub(crate) async fn sandbox(
    shared: &Arc<Shared>,
    hands: &TargetHands,
    it: Confined<'_>,
    level: SandboxLevel,
    strict: bool,
) -> Result<Sandbox, String> {
    if level == SandboxLevel::None {
        return Ok(Sandbox::default());
    }
    let earlier = (1..it.attempt.0).filter_map(|n| RunLabel::new(&format!("{}-{}", it.session, Attempt(n))).ok());
    let lent = it.repo.and_then(|repo| hands.checkouts.lends(repo));
    Ok(Sandbox {
        read_only: it.role.only_looks(),
        read: earlier.map(|label| hands.host.run_dir(&label)).chain(lent).collect(),
        ..of_all(shared, &*hands.host, level, strict).await?
    })
}

/// Says what everything that we start may touch, whoever it is for: nothing of the daemon, and nothing of any session.
pub(crate) async fn of_all(
    shared: &Arc<Shared>,
    host: &dyn Host,
    level: SandboxLevel,
    strict: bool,
) -> Result<Sandbox, String> {
    let rules = &shared.settings.rules.sandbox;
    let targets = shared.store.all_targets().await.map_err(|fault| chain(&fault))?;
    let roots = targets.iter().map(|it| PathBuf::from(&it.work_root));
    let hide = roots.chain([host.work_root().to_owned()]).chain(shared.settings.own_folders.clone());
    let home = shared.settings.home.as_deref();
    let said = |all: &[String]| all.iter().filter_map(|it| at_home(it, home)).collect::<Vec<_>>();
    Ok(Sandbox {
        level,
        strict,
        write: said(&rules.write),
        hide: hide.chain(said(&rules.hide)).collect(),
        ..Sandbox::default()
    })
}

/// Reads a path of the settings: `~/` is the home folder. Without one there is nothing there.
fn at_home(path: &str, home: Option<&Path>) -> Option<PathBuf> {
    match path.strip_prefix("~/") {
        Some(below) => home.map(|it| it.join(below)),
        None => Some(PathBuf::from(path)),
    }
}
