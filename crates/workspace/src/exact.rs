//! A clean folder at an exact commit: where what was made is looked at by others than its maker.
//!
//! ```text
//! <work_root>/exact/<key>/            the folder, a repository of its own without a remote
//!   .orcha/exact/<key>.json           what it is of; written before it appears
//! ```
//!
//! Nothing of a workspace is in it but the commit: no ignored file, no configuration, no hook. Nobody's work
//! lies in it either, so it is deleted without a look inside.

use crate::checkout::Build;
use crate::mirror::Mirror;
use crate::{Exact, ExactReady, Identity, Label, WorkspaceError, Workspaces};
use orcha_base::{BranchName, RepoUrl, Sha};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tracing::warn;

/// What an exact checkout is of.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    repo: RepoUrl,
    commit: Sha,
    tree: Sha,
}

impl Workspaces {
    /// Where an exact checkout is.
    pub fn exact_dir(&self, key: &Label) -> PathBuf {
        self.files.host.work_root().join("exact").join(key.as_str())
    }

    fn exact_record(&self, key: &Label) -> PathBuf {
        self.ours("exact").join(format!("{key}.json"))
    }

    async fn read_exact(&self, key: &Label) -> Result<Option<Record>, WorkspaceError> {
        let path = self.exact_record(key);
        if self.files.kind(&path).await?.is_none() {
            return Ok(None);
        }
        let bytes = self.files.read(&path).await?;
        let odd = |source| WorkspaceError::Record { workspace: key.clone(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(odd)
    }

    pub(crate) async fn exact_locked(&self, exact: &Exact) -> Result<ExactReady, WorkspaceError> {
        let Exact { key, repo, from, commit } = exact;
        let dir = self.exact_dir(key);
        if self.files.kind(&dir).await?.is_some() {
            match self.read_exact(key).await? {
                Some(Record { repo: of, commit: at, tree }) if of == *repo && at == *commit => {
                    return Ok(ExactReady { dir, commit: at, tree, fresh: false });
                }
                Some(Record { commit, .. }) => return Err(WorkspaceError::ExactTaken { key: key.clone(), commit }),
                None => {
                    let place = self.files.set_aside(&dir, &self.ours("kept"), key.as_str()).await?;
                    warn!(%key, "a folder without a record stood in the way; it is kept at {}", place.display());
                }
            }
        }
        let mirror = self.mirror(repo);
        self.bring_in(&mirror, from.as_ref(), commit).await?;
        let tree = mirror.tree_of(commit).await?;
        // A branch of this name is in nobody's way: the repository is thrown away with its folder.
        let branch: BranchName = "exact".parse().map_err(|_| missing(&mirror, commit))?;
        let making = self.ours("making").join(format!("{key}.exact"));
        let identity = Identity { name: "orcha".to_owned(), email: "orcha@localhost".to_owned() };
        let build = Build {
            into: &making,
            mirror: &mirror,
            branch: &branch,
            base_branch: &branch,
            head: commit,
            identity: &identity,
            also: &[],
        };
        self.build_with_repair(&build).await?;
        // Whatever runs in it has no business with the origin.
        let git = |subcommand| self.files.git.at(&making.join(".git"), subcommand);
        git("config").args(["--local", "--remove-section", "remote.origin"]).run(&*self.files.host).await?;
        git("symbolic-ref").args(["--delete", "refs/remotes/origin/HEAD"]).run(&*self.files.host).await?;
        let record = Record { repo: repo.clone(), commit: commit.clone(), tree: tree.clone() };
        let odd = |source| WorkspaceError::Record { workspace: key.clone(), source };
        self.files.write(&self.exact_record(key), &serde_json::to_vec(&record).map_err(odd)?).await?;
        self.files.rename(&making, &dir).await?;
        Ok(ExactReady { dir, commit: commit.clone(), tree, fresh: true })
    }

    pub(crate) async fn discard_exact_locked(&self, key: &Label) -> Result<(), WorkspaceError> {
        let dir = self.exact_dir(key);
        if self.files.kind(&dir).await?.is_some() {
            if self.files.kind(&self.exact_record(key)).await?.is_none() {
                let place = self.files.set_aside(&dir, &self.ours("kept"), key.as_str()).await?;
                warn!(%key, "a folder without a record is kept at {}", place.display());
            } else {
                self.files.discard(&dir).await?;
            }
        }
        self.files.delete(&[self.exact_record(key)]).await
    }

    /// The keys of all records: each is there before its folder, and goes after it.
    pub(crate) async fn exact_keys(&self) -> Result<Vec<Label>, WorkspaceError> {
        let records = self.ours("exact");
        if self.files.kind(&records).await?.is_none() {
            return Ok(Vec::new());
        }
        let find = self.files.tool("find").arg(records.display().to_string());
        let find = find.args(["-mindepth", "1", "-maxdepth", "1", "-name", "*.json"]);
        let found = self.files.run("listing exact checkouts", find).await?;
        let stem = |line: &str| Path::new(line).file_stem()?.to_str().map(str::to_owned);
        let names = String::from_utf8_lossy(&found.stdout);
        let mut keys: Vec<Label> = names.lines().filter_map(stem).filter_map(|it| Label::new(&it).ok()).collect();
        keys.sort();
        Ok(keys)
    }

    /// Makes sure that a commit is in the mirror: it is there already, a workspace has it, or the origin does.
    async fn bring_in(&self, mirror: &Mirror, from: Option<&Label>, commit: &Sha) -> Result<(), WorkspaceError> {
        let there = || async {
            Ok::<_, WorkspaceError>(self.files.kind(&mirror.dir).await?.is_some() && mirror.has(commit).await?)
        };
        if there().await? {
            return Ok(());
        }
        if let Some(from) = from {
            match self.look(from).await {
                Ok(_) if there().await? => return Ok(()),
                Ok(_) | Err(WorkspaceError::Absent { .. } | WorkspaceError::Foreign { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        mirror.refresh().await?;
        if there().await? { Ok(()) } else { Err(missing(mirror, commit)) }
    }
}

fn missing(mirror: &Mirror, commit: &Sha) -> WorkspaceError {
    WorkspaceError::MissingCommit { sha: commit.clone(), repo: mirror.repo.clone() }
}
