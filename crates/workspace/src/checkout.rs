//! Making a checkout, once and whole.
//!
//! It is built in a folder where nobody works and appears under its own name in one rename, after its record
//! is written. So a folder with a record is finished, and what a crash left half-made can be thrown away
//! without a look inside. A folder that has no record is nobody's to delete: it is moved aside.

use crate::files::text;
use crate::mirror::{Mirror, config_value, durable, sha};
use crate::{Conflict, Identity, Label, Predecessor, Prepare, Ready, Start, WorkspaceError, Workspaces};
use orcha_base::{BranchName, RepoUrl, Sha};
use orcha_exec::ExitStatus;
use orcha_exec::git::GitError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tracing::warn;

/// What we know of a workspace without looking into its checkout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) workspace: Label,
    pub(crate) repo: RepoUrl,
    pub(crate) branch: BranchName,
    pub(crate) identity: Identity,
    pub(crate) ready: Ready,
}

/// A commit under a name in the new checkout.
#[derive(Debug)]
pub(crate) struct Named {
    name: String,
    sha: Sha,
}

/// A checkout to be built.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) into: &'a Path,
    pub(crate) mirror: &'a Mirror,
    pub(crate) branch: &'a BranchName,
    pub(crate) base_branch: &'a BranchName,
    pub(crate) head: &'a Sha,
    pub(crate) identity: &'a Identity,
    pub(crate) also: &'a [Named],
}

impl Workspaces {
    /// Reads the record of a workspace.
    pub(crate) async fn record(&self, workspace: &Label) -> Result<Option<Record>, WorkspaceError> {
        let path = self.state_dir(workspace).join("record.json");
        if self.files.kind(&path).await?.is_none() {
            return Ok(None);
        }
        let bytes = self.files.read(&path).await?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| WorkspaceError::Record { workspace: workspace.clone(), source })
    }

    pub(crate) async fn prepare_locked(&self, prepare: &Prepare) -> Result<Ready, WorkspaceError> {
        let workspace = &prepare.workspace;
        let dir = self.dir(workspace);
        if self.files.kind(&dir).await?.is_some() {
            match self.record(workspace).await? {
                Some(record) if record.repo == prepare.repo && record.branch == prepare.branch => {
                    return Ok(record.ready);
                }
                Some(Record { repo, branch, .. }) => {
                    return Err(WorkspaceError::Taken { workspace: workspace.clone(), repo, branch });
                }
                None => {
                    let place = self.files.set_aside(&dir, &self.ours("kept"), workspace.as_str()).await?;
                    warn!(%workspace, "a folder without a record stood in the way; it is kept at {}", place.display());
                }
            }
        }
        let mirror = self.mirror(&prepare.repo);
        let default = mirror.refresh().await?;
        let (base_branch, base_sha) = base(&mirror, prepare.base.as_ref().or(default.as_ref())).await?;
        let begun = self.start(&mirror, prepare, &base_sha).await?;
        let making = self.ours("making").join(workspace.as_str());
        let build = Build {
            into: &making,
            mirror: &mirror,
            branch: &prepare.branch,
            base_branch: &base_branch,
            head: &begun.head,
            identity: &prepare.identity,
            also: &begun.also,
        };
        self.build_with_repair(&build).await?;
        let ready =
            Ready { dir: dir.clone(), base_branch, base_sha, head_sha: begun.head.clone(), conflict: begun.conflict };
        let record = Record {
            workspace: workspace.clone(),
            repo: prepare.repo.clone(),
            branch: prepare.branch.clone(),
            identity: prepare.identity.clone(),
            ready: ready.clone(),
        };
        mirror.set_ref(&head_ref(workspace), &begun.head, false).await?;
        self.finish(&record, &making).await?;
        Ok(ready)
    }

    /// Writes the record, takes the fresh index as ours, and lets the checkout appear.
    pub(crate) async fn finish(&self, record: &Record, making: &Path) -> Result<(), WorkspaceError> {
        let state = self.state_dir(&record.workspace);
        self.files.make_folders(&[&state]).await?;
        self.files.copy(&making.join(".git/index"), &self.index(&record.workspace)).await?;
        let mut json = serde_json::to_vec(record)
            .map_err(|source| WorkspaceError::Record { workspace: record.workspace.clone(), source })?;
        json.push(b'\n');
        self.files.write(&state.join("record.json"), &json).await?;
        self.files.rename(making, &self.dir(&record.workspace)).await
    }

    /// Builds a checkout; when the mirror turns out to be damaged, it is repaired first.
    pub(crate) async fn build_with_repair(&self, build: &Build<'_>) -> Result<(), WorkspaceError> {
        match self.build(build).await {
            Err(WorkspaceError::Git(GitError::Failed { .. })) if build.mirror.repair(build.head).await? => {
                self.build(build).await
            }
            done => done,
        }
    }

    async fn build(&self, build: &Build<'_>) -> Result<(), WorkspaceError> {
        let Build { into, mirror, .. } = build;
        let host = &*self.files.host;
        self.files.discard(into).await?;
        let format = mirror.git("rev-parse").arg("--show-object-format").text(host).await?;
        let init = self.files.git.nowhere(host.work_root(), "init").args(["--quiet", "--template="]);
        let init = init.arg(format!("--object-format={format}")).arg(format!("--initial-branch={}", build.branch));
        init.end_of_options().arg(text(into)).run(host).await?;
        let git_dir = into.join(".git");
        self.files.make_folders(&[&git_dir.join("info")]).await?;
        self.files.append(&git_dir.join("config"), own_config(mirror, build.identity).as_bytes()).await?;
        let borrowed = format!("{}\n", mirror.dir.join("objects").display());
        self.files.append(&git_dir.join("objects/info/alternates"), borrowed.as_bytes()).await?;

        let fetch =
            self.files.git.at(&git_dir, "fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head", "--refmap="]);
        let fetch = fetch.transfer().end_of_options().arg(text(&mirror.dir));
        fetch.args(["+refs/remotes/origin/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]).run(host).await?;
        let mut refs = format!("update refs/heads/{} {}\n", build.branch, build.head);
        let also: BTreeMap<&str, &Sha> = build.also.iter().map(|it| (it.name.as_str(), &it.sha)).collect();
        for (name, sha) in also {
            refs.push_str(&format!("update refs/remotes/{name} {sha}\n"));
        }
        self.files.git.at(&git_dir, "update-ref").arg("--stdin").stdin(refs).run(host).await?;
        let origin_head = self.files.git.at(&git_dir, "symbolic-ref").end_of_options().arg("refs/remotes/origin/HEAD");
        origin_head.arg(format!("refs/remotes/origin/{}", build.base_branch)).run(host).await?;
        let check_out = self.files.git.on_work_tree(&git_dir, into, "read-tree").args(["--reset", "-u"]).transfer();
        check_out.end_of_options().arg(build.head.as_str()).run(host).await?;
        Ok(())
    }

    /// Finds the commit that the branch starts with.
    async fn start(&self, mirror: &Mirror, prepare: &Prepare, base: &Sha) -> Result<Begun, WorkspaceError> {
        match &prepare.start {
            Start::Fresh => Ok(Begun::at(base.clone())),
            Start::PrBranch => {
                let name = format!("refs/remotes/origin/{}", prepare.branch);
                match mirror.commit_at(&name).await? {
                    Some(head) => Ok(Begun::at(head)),
                    None => Err(missing_base(mirror, &prepare.branch).await?),
                }
            }
            Start::Continue(predecessors) => {
                for it in predecessors {
                    self.make_sure_of(mirror, it).await?;
                }
                let also = predecessors.iter().map(Named::predecessor).collect();
                let Some((first, rest)) = predecessors.split_first() else { return Ok(Begun::at(base.clone())) };
                let (head, conflict) = merge_all(mirror, prepare, first.head.clone(), rest).await?;
                Ok(Begun { head, also, conflict })
            }
        }
    }

    /// A predecessor's commit is in the mirror since its last snapshot; if not, its checkout is asked.
    async fn make_sure_of(&self, mirror: &Mirror, it: &Predecessor) -> Result<(), WorkspaceError> {
        if mirror.has(&it.head).await? {
            return Ok(());
        }
        let missing = || WorkspaceError::MissingPredecessor {
            workspace: it.workspace.clone(),
            head: it.head.clone(),
            repo: mirror.repo.clone(),
        };
        match self.look(&it.workspace).await {
            Ok(_) if mirror.has(&it.head).await? => Ok(()),
            Ok(_) | Err(WorkspaceError::Absent { .. } | WorkspaceError::Foreign { .. }) => Err(missing()),
            Err(error) => Err(error),
        }
    }
}

/// Where a branch starts.
#[derive(Debug)]
struct Begun {
    head: Sha,
    also: Vec<Named>,
    conflict: Option<Conflict>,
}

impl Begun {
    fn at(head: Sha) -> Self {
        Self { head, also: Vec::new(), conflict: None }
    }
}

impl Named {
    fn predecessor(it: &Predecessor) -> Self {
        Self { name: predecessor_name(it), sha: it.head.clone() }
    }
}

fn predecessor_name(it: &Predecessor) -> String {
    format!("predecessor/{}", it.workspace)
}

/// The hidden ref that follows the head of a checkout.
pub(crate) fn head_ref(workspace: &Label) -> String {
    format!("refs/orcha/ws/{workspace}/head")
}

async fn base(mirror: &Mirror, wanted: Option<&BranchName>) -> Result<(BranchName, Sha), WorkspaceError> {
    let Some(wanted) = wanted else {
        let exist = mirror.some_branches().await?;
        return Err(WorkspaceError::MissingBase { repo: mirror.repo.clone(), wanted: "HEAD".to_owned(), exist });
    };
    match mirror.commit_at(&format!("refs/remotes/origin/{wanted}")).await? {
        Some(sha) => Ok((wanted.clone(), sha)),
        None => Err(missing_base(mirror, wanted).await?),
    }
}

async fn missing_base(mirror: &Mirror, wanted: &BranchName) -> Result<WorkspaceError, WorkspaceError> {
    let exist = mirror.some_branches().await?;
    Ok(WorkspaceError::MissingBase { repo: mirror.repo.clone(), wanted: wanted.to_string(), exist })
}

/// Merges one predecessor after the other, in the mirror, without a work tree. Stops at the first conflict.
async fn merge_all(
    mirror: &Mirror,
    prepare: &Prepare,
    mut head: Sha,
    rest: &[Predecessor],
) -> Result<(Sha, Option<Conflict>), WorkspaceError> {
    let host = &*mirror.files.host;
    for (at, it) in rest.iter().enumerate() {
        if mirror.is_ancestor(&it.head, &head).await? {
            continue;
        }
        if mirror.is_ancestor(&head, &it.head).await? {
            head = it.head.clone();
            continue;
        }
        let merge = mirror.git("merge-tree").args(["--write-tree", "-z", "--name-only", "--no-messages"]);
        let merge = merge.arg("--allow-unrelated-histories").end_of_options().arg(head.as_str()).arg(it.head.as_str());
        let output = merge.outcome(host).await?;
        let mut words = output.stdout.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        match output.status {
            ExitStatus::Code(0) => {
                let tree = sha("merge-tree", &words.next().unwrap_or_default())?;
                let message = format!("Merge branch '{}' into {}\n", it.branch, prepare.branch);
                let commit = durable(mirror.git("commit-tree")).args(["-p", head.as_str(), "-p", it.head.as_str()]);
                let commit = commit.args(["-F", "-"]).arg(tree.as_str()).stdin(message);
                head = sha(
                    "commit-tree",
                    &mirror.write(commit.identity(&prepare.identity, None)).await.map(|o| o.text())?,
                )?;
            }
            ExitStatus::Code(1) => {
                let mut files: Vec<String> = words.skip(1).filter(|word| !word.is_empty()).collect();
                files.sort();
                files.dedup();
                let left = rest[at + 1..].to_vec();
                return Ok((head, Some(Conflict { with: it.clone(), name: predecessor_name(it), files, left })));
            }
            ExitStatus::Code(_) | ExitStatus::Signal(_) => return Err(GitError::failed("merge-tree", &output).into()),
        }
    }
    Ok((head, None))
}

/// What the checkout's own configuration says at the beginning. It belongs to the agent from then on.
fn own_config(mirror: &Mirror, identity: &Identity) -> String {
    format!(
        "[remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[user]\n\tname = {}\n\temail = {}\n[commit]\n\tgpgSign = false\n[tag]\n\tgpgSign = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        config_value(mirror.repo.as_str()),
        config_value(&identity.name),
        config_value(&identity.email),
    )
}

/// The checkout of a workspace, looked at.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) record: Record,
    pub(crate) mirror: Mirror,
    pub(crate) dir: PathBuf,
    pub(crate) head: Sha,
    pub(crate) branch: Option<BranchName>,
    pub(crate) merging: Vec<Sha>,
    pub(crate) parts: Parts,
}

/// What is there beyond the usual, in the `.git` of a checkout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) index: bool,
    pub(crate) exclude: bool,
    pub(crate) sparse: bool,
    pub(crate) rebase: bool,
    pub(crate) submodules: bool,
    pub(crate) worktrees: bool,
    /// `HEAD` names a branch without a commit.
    pub(crate) unborn: bool,
}
