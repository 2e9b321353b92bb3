//! What the refs of a checkout name, and how their commits come into the mirror.
//!
//! Objects are never asked of the checkout itself: what it says about its history (`shallow`, grafts, hidden
//! refs, any configuration) would be believed. They are fetched through a *view*, a bare repository of ours
//! without refs that borrows the checkout's objects. The checkout only tells names: `for-each-ref`,
//! `rev-parse` and `rev-list --no-walk` read its configuration and execute nothing of it.

use crate::checkout::head_ref;
use crate::files::text;
use crate::mirror::{Mirror, durable, sha};
use crate::{Label, WorkspaceError, Workspaces};
use orcha_base::Sha;
use orcha_exec::ExitStatus;
use orcha_exec::git::GitError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Refs of the mirror by their full names.
type Refs = BTreeMap<String, Sha>;

impl Workspaces {
    /// Lets the mirror's refs of a workspace follow its checkout: head, branches, stash. Tells whether the
    /// checkout has a head; without one the last that it had stays.
    pub(crate) async fn follow(&self, mirror: &Mirror, workspace: &Label, head: &[u8]) -> Result<bool, WorkspaceError> {
        let git_dir = self.dir(workspace).join(".git");
        let list = self.files.git.at(&git_dir, "for-each-ref").arg("--format=%(objectname) %(refname)");
        let list = list.args(["refs/heads", "refs/stash"]);
        let named = self.lines(list).await?;
        let below = ours(workspace);
        let mut wanted = Refs::new();
        let mut at_head = None;
        for line in &named {
            let space = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
            let (at, name) =
                (sha("for-each-ref", &text_of(&line[..space]))?, line.get(space + 1..).unwrap_or_default());
            if head.trim_ascii_end().strip_prefix(b"ref: ") == Some(name) {
                at_head = Some(at.clone());
            }
            // A name that is no text could meet another one; what it names is what counts.
            let name = match std::str::from_utf8(name) {
                Ok(name) => format!("{below}/{}", name.trim_start_matches("refs/")),
                Err(_) => format!("{below}/odd/{at}"),
            };
            wanted.insert(name, at);
        }
        if at_head.is_none() {
            let ask =
                self.files.git.at(&git_dir, "rev-parse").args(["--verify", "--quiet"]).end_of_options().arg("HEAD");
            let said = ask.outcome(&*self.files.host).await?;
            at_head = match said.status {
                ExitStatus::Code(0) => Some(sha("rev-parse", &said.text())?),
                ExitStatus::Code(1) => None,
                ExitStatus::Code(_) | ExitStatus::Signal(_) => return Err(GitError::failed("rev-parse", &said).into()),
            };
        }
        let born = at_head.is_some();
        wanted.extend(at_head.map(|at| (head_ref(workspace), at)));

        let known = self.known(mirror, workspace).await?;
        let followed = |name: &&String| !name.starts_with(&format!("{below}/lost/")) && **name != head_ref(workspace);
        let gone: Vec<&String> = known.keys().filter(followed).filter(|name| !wanted.contains_key(*name)).collect();
        self.delete_refs(mirror, &gone).await?;
        wanted.retain(|name, at| known.get(name) != Some(at));
        self.bring(mirror, workspace, &wanted).await?;
        Ok(born)
    }

    /// Brings what only the reflogs, tags, notes and other refs of a checkout know into the mirror.
    pub(crate) async fn rescue(&self, mirror: &Mirror, workspace: &Label, more: &[Sha]) -> Result<(), WorkspaceError> {
        let walk = match self.missing(mirror, workspace, more, Proof::Brought).await {
            // Its history may reach into what the origin has got since.
            Err(WorkspaceError::Git(GitError::Failed { .. })) => {
                mirror.refresh().await?;
                self.missing(mirror, workspace, more, Proof::Brought).await?
            }
            done => done?,
        };
        let below = ours(workspace);
        let lost: Refs = tips(&walk)?.into_iter().map(|at| (format!("{below}/lost/{at}"), at)).collect();
        self.bring(mirror, workspace, &lost).await
    }

    /// Lists commits that the checkout knows and neither a snapshot nor the origin has.
    pub(crate) async fn unproven(
        &self,
        mirror: &Mirror,
        workspace: &Label,
        more: &[Sha],
    ) -> Result<Vec<String>, WorkspaceError> {
        let walk = self.missing(mirror, workspace, more, Proof::Kept).await?;
        Ok(walk.iter().take(5).map(|line| line.chars().take(10).collect()).collect())
    }

    /// Walks from everything that a checkout knows to what is known of it here: commit and parents a line.
    ///
    /// The walk sees the checkout's objects beside the mirror's. What other remotes of the checkout have is
    /// theirs, and is left out.
    async fn missing(
        &self,
        mirror: &Mirror,
        workspace: &Label,
        more: &[Sha],
        proof: Proof,
    ) -> Result<Vec<String>, WorkspaceError> {
        let git_dir = self.dir(workspace).join(".git");
        let list = self.files.git.at(&git_dir, "rev-list").args(["--no-walk=unsorted", "--all", "--reflog"]);
        let mut from: BTreeSet<Sha> = more.iter().cloned().collect();
        for line in self.lines(list).await? {
            from.insert(sha("rev-list", &text_of(&line))?);
        }
        let list =
            self.files.git.at(&git_dir, "for-each-ref").args(["--format=%(objectname) %(refname)", "refs/remotes"]);
        let mut stdin: String = from.iter().map(|at| format!("{at}\n")).collect();
        for line in self.lines(list).await? {
            let line = text_of(&line);
            let (at, name) = line.split_once(' ').ok_or_else(|| GitError::answer("for-each-ref", &line))?;
            if !name.starts_with("refs/remotes/origin/") {
                stdin.push_str(&format!("^{at}\n"));
            }
        }
        let walk = mirror.git("rev-list").args(["--parents", "--stdin", "--not", "--remotes=origin", "--tags"]);
        let walk = walk.arg("--glob=refs/orcha/snapshots/*");
        let walk = match proof {
            Proof::Brought => walk.arg(format!("--glob={}/*", ours(workspace))),
            Proof::Kept => walk,
        };
        let walk = walk.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", text(&git_dir.join("objects")));
        Ok(self.lines(walk.stdin(stdin).transfer()).await?.iter().map(|line| text_of(line)).collect())
    }

    /// Fetches commits under the given names.
    async fn bring(&self, mirror: &Mirror, workspace: &Label, wanted: &Refs) -> Result<(), WorkspaceError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let view = self.view(mirror, workspace).await?;
        let specs: String = wanted.iter().map(|(name, at)| format!("+{at}:{name}\n")).collect();
        let fetch = || {
            let fetch = durable(mirror.git("fetch")).config("protocol.version", "2").args([
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-auto-maintenance",
                "--refmap=",
                "--stdin",
            ]);
            fetch.transfer().end_of_options().arg(text(&view)).stdin(specs.clone())
        };
        match mirror.write(fetch()).await {
            // Its history may reach into what the origin has got since.
            Err(WorkspaceError::Git(GitError::Failed { .. })) => {
                mirror.refresh().await?;
                mirror.write(fetch()).await.map(|_| ())
            }
            done => done.map(|_| ()),
        }
    }

    /// Returns the repository of ours through which a checkout's objects are fetched.
    async fn view(&self, mirror: &Mirror, workspace: &Label) -> Result<PathBuf, WorkspaceError> {
        let view = self.state_dir(workspace).join("view.git");
        if self.files.kind(&view).await?.is_some() {
            return Ok(view);
        }
        let host = &*self.files.host;
        let making = self.ours("making").join(format!("{workspace}.view"));
        self.files.discard(&making).await?;
        let format = mirror.git("rev-parse").arg("--show-object-format").text(host).await?;
        let init = self.files.git.nowhere(host.work_root(), "init").args(["--quiet", "--bare", "--template="]);
        let init = init.arg(format!("--object-format={format}"));
        init.end_of_options().arg(text(&making)).run(host).await?;
        let line = |objects: &Path| format!("{}\n", objects.display());
        let borrowed = line(&self.dir(workspace).join(".git/objects")) + &line(&mirror.dir.join("objects"));
        self.files.append(&making.join("objects/info/alternates"), borrowed.as_bytes()).await?;
        self.files.rename(&making, &view).await?;
        Ok(view)
    }

    /// Lists the mirror's refs of a workspace.
    async fn known(&self, mirror: &Mirror, workspace: &Label) -> Result<Refs, WorkspaceError> {
        let list = mirror.git("for-each-ref").args(["--format=%(objectname) %(refname)".to_owned(), ours(workspace)]);
        let mut known = Refs::new();
        for line in self.lines(list).await? {
            let line = text_of(&line);
            let (at, name) = line.split_once(' ').ok_or_else(|| GitError::answer("for-each-ref", &line))?;
            known.insert(name.to_owned(), sha("for-each-ref", at)?);
        }
        Ok(known)
    }

    /// A snapshot holds what these refs held; without them the list of refs stays short.
    pub(crate) async fn forget_tips(&self, mirror: &Mirror, workspace: &Label) -> Result<(), WorkspaceError> {
        let known = self.known(mirror, workspace).await?;
        self.delete_refs(mirror, &known.keys().collect::<Vec<_>>()).await
    }

    async fn delete_refs(&self, mirror: &Mirror, names: &[&String]) -> Result<(), WorkspaceError> {
        if names.is_empty() {
            return Ok(());
        }
        let commands: String = names.iter().map(|name| format!("delete {name}\n")).collect();
        mirror.write(mirror.git("update-ref").arg("--stdin").stdin(commands)).await.map(|_| ())
    }

    async fn lines(&self, command: orcha_exec::git::GitCommand) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        let output = command.keep(256 << 20).run(&*self.files.host).await?;
        if output.truncated {
            return Err(GitError::Cut { step: "list of refs" }.into());
        }
        Ok(output.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

/// What counts as known here.
#[derive(Clone, Copy)]
enum Proof {
    /// What was fetched, too.
    Brought,
    /// Only what stays for ever.
    Kept,
}

/// The folder of the mirror's refs of a workspace.
fn ours(workspace: &Label) -> String {
    format!("refs/orcha/ws/{workspace}")
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Returns the commits of a walk that are no parents of others: all of it can be reached from them.
fn tips(walk: &[String]) -> Result<BTreeSet<Sha>, WorkspaceError> {
    let parents: BTreeSet<&str> = walk.iter().flat_map(|line| line.split(' ').skip(1)).collect();
    let commits = walk.iter().filter_map(|line| line.split(' ').next()).filter(|at| !parents.contains(at));
    commits.map(|at| sha("rev-list", at)).collect()
}
