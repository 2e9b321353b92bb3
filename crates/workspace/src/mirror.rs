//! The mirror of one origin: a bare repository of ours from which every checkout borrows its objects.
//!
//! It holds the origin's branches and tags as of the last fetch, and our hidden refs. Nothing is ever
//! pruned from its objects, because checkouts depend on them; they are packed together from time to time. It never holds the origin's own hidden refs
//! (`refs/pull` and the like), and no agent writes to it.
//!
//! Every command that writes runs under `flock`, held by the command itself: the lock lives exactly as long
//! as the git process, also when the daemon is killed. *Shared* while writing anything, *exclusive* while
//! lock files are cleared, so that a lock file found then is a dead one. Fetches from the origin exclude
//! each other with a second file.

use crate::WorkspaceError;
use crate::files::{Files, Kind, text};
use orcha_base::{BranchName, RepoUrl, Sha};
use orcha_exec::Output;
use orcha_exec::git::{GitCommand, GitError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;
use tracing::warn;

/// The mirrors of one host.
#[derive(Debug)]
pub(crate) struct Mirrors {
    files: Files,
    origins: std::sync::Mutex<HashMap<RepoUrl, Arc<Origin>>>,
}

/// What this process knows of one origin.
#[derive(Debug, Default)]
struct Origin {
    /// Numbers the moments at which somebody asked for a fetch or one began.
    clock: AtomicU64,
    /// The last fetch that succeeded; locked during a fetch.
    last: Mutex<Option<Fetched>>,
    /// Locked while objects are packed.
    packing: Mutex<()>,
}

/// How much may lie about in a mirror before it is packed together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clutter {
    pub(crate) loose: u64,
    pub(crate) packs: u64,
}

impl Clutter {
    /// About what git itself puts up with.
    pub(crate) const BEARABLE: Self = Self { loose: 6000, packs: 50 };
}

#[derive(Clone, Debug)]
struct Fetched {
    began: u64,
    default: Option<BranchName>,
}

impl Mirrors {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, origins: std::sync::Mutex::default() }
    }

    /// Returns the mirror of an origin, which may not exist yet.
    pub(crate) fn of(&self, repo: &RepoUrl) -> Mirror {
        let origin = {
            let mut origins = self.origins.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            origins.entry(repo.clone()).or_default().clone()
        };
        let root = self.files.host.work_root().join(".orcha");
        let name = mirror_name(repo);
        Mirror {
            dir: root.join("mirrors").join(format!("{name}.git")),
            lock: root.join("mirrors").join(format!("{name}.lock")),
            origin_lock: root.join("mirrors").join(format!("{name}.origin.lock")),
            making: root.join("making").join(format!("mirror-{name}")),
            kept: root.join("kept"),
            name,
            files: self.files.clone(),
            repo: repo.clone(),
            origin,
        }
    }
}

/// The mirror of one origin.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) files: Files,
    pub(crate) repo: RepoUrl,
    pub(crate) dir: PathBuf,
    name: String,
    lock: PathBuf,
    origin_lock: PathBuf,
    making: PathBuf,
    kept: PathBuf,
    origin: Arc<Origin>,
}

/// What the origin calls its branches.
#[derive(Clone, Debug)]
struct Head {
    default: Option<BranchName>,
    sha256: bool,
}

impl Mirror {
    /// Starts a command on the mirror.
    pub(crate) fn git(&self, subcommand: &'static str) -> GitCommand {
        self.files.git.at(&self.dir, subcommand)
    }

    /// Runs a command that writes to the mirror. When it fails over lock files that a killed process left,
    /// they are cleared and it runs once more.
    pub(crate) async fn write(&self, command: GitCommand) -> Result<Output, WorkspaceError> {
        let held = command.clone().behind(["flock", "--shared", &text(&self.lock)]);
        match held.clone().run(&*self.files.host).await {
            Ok(output) => Ok(output),
            Err(error @ GitError::Failed { .. }) if self.clear_dead_locks().await? == 0 => Err(error.into()),
            Err(GitError::Failed { .. }) => Ok(held.run(&*self.files.host).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a command that writes to the mirror and touches no lock file of it.
    pub(crate) async fn write_once(&self, command: GitCommand) -> Result<Output, WorkspaceError> {
        Ok(command.behind(["flock", "--shared", &text(&self.lock)]).run(&*self.files.host).await?)
    }

    /// Brings the mirror up to what the origin has now, making or repairing it if need be, and returns the
    /// origin's default branch. Of several callers that wait, one fetches for all.
    pub(crate) async fn refresh(&self) -> Result<Option<BranchName>, WorkspaceError> {
        let asked = self.origin.clock.fetch_add(1, Ordering::SeqCst);
        let mut last = self.origin.last.lock().await;
        if let Some(fetched) = last.as_ref().filter(|fetched| fetched.began > asked) {
            return Ok(fetched.default.clone());
        }
        let began = self.origin.clock.fetch_add(1, Ordering::SeqCst);
        let head = self.ask_origin().await?;
        if self.files.kind(&self.dir).await?.is_none() {
            self.make(&head).await?;
        } else if !self.answers().await? {
            self.make_again(&head).await?;
        } else {
            match self.fetch().await {
                Ok(()) => {}
                Err(WorkspaceError::Git(GitError::Failed { .. })) if !self.is_sound().await? => {
                    self.make_again(&head).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let default = self.existing_default(head.default).await?;
        *last = Some(Fetched { began, default: default.clone() });
        Ok(default)
    }

    /// Packs refs and objects together if too many lie about, and tells whether it did.
    ///
    /// Every object stays, reachable or not: checkouts borrow objects that no ref of ours names any more, and
    /// a look may just be writing some. So the number of files is bounded, by the logarithm of the size, and
    /// nothing needs to wait for anything: what is written meanwhile is left for the next time.
    pub(crate) async fn tidy(&self, bearable: Clutter) -> Result<bool, WorkspaceError> {
        let Ok(_alone) = self.origin.packing.try_lock() else { return Ok(false) };
        let said = self.git("count-objects").arg("-v").text(&*self.files.host).await?;
        let count = |what: &str| {
            let count = said.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": ")?.parse::<u64>().ok());
            count.ok_or_else(|| GitError::answer("count-objects", &said))
        };
        if count("count")? <= bearable.loose && count("packs")? <= bearable.packs {
            return Ok(false);
        }
        self.write(durable(self.git("pack-refs")).arg("--all")).await?;
        let repack = durable(self.git("repack")).args(["-d", "-l", "-q", "--geometric=2"]).transfer();
        self.write_once(repack).await?;
        Ok(true)
    }

    /// Makes the mirror again if a commit of it cannot be read whole; tells whether it did.
    pub(crate) async fn repair(&self, unreadable: &Sha) -> Result<bool, WorkspaceError> {
        let last = self.origin.last.lock().await;
        let archive = self.git("archive").args(["--format=tar", "--output=/dev/null"]).arg(unreadable.as_str());
        if archive.transfer().outcome(&*self.files.host).await?.status.success() {
            return Ok(false);
        }
        let head = self.ask_origin().await?;
        self.make_again(&head).await?;
        drop(last);
        Ok(true)
    }

    /// Returns the commit that a ref names.
    pub(crate) async fn commit_at(&self, name: &str) -> Result<Option<Sha>, WorkspaceError> {
        let parse =
            self.git("rev-parse").args(["--verify", "--quiet"]).end_of_options().arg(format!("{name}^{{commit}}"));
        let output = parse.outcome(&*self.files.host).await?;
        if output.status.success() { Ok(Some(sha("rev-parse", &output.text())?)) } else { Ok(None) }
    }

    /// Tells whether a commit is here with all of its history.
    pub(crate) async fn has(&self, commit: &Sha) -> Result<bool, WorkspaceError> {
        let walk = self.git("rev-list").args(["--quiet", "--max-count=1"]).end_of_options().arg(commit.as_str());
        Ok(walk.outcome(&*self.files.host).await?.status.success())
    }

    /// Tells whether `old` is `new` or an ancestor of it.
    pub(crate) async fn is_ancestor(&self, old: &Sha, new: &Sha) -> Result<bool, WorkspaceError> {
        let ask = self.git("merge-base").arg("--is-ancestor").end_of_options().arg(old.as_str()).arg(new.as_str());
        Ok(ask.yes(&*self.files.host).await?)
    }

    /// Returns the tree of a commit.
    pub(crate) async fn tree_of(&self, commit: &Sha) -> Result<Sha, WorkspaceError> {
        let parse =
            self.git("rev-parse").args(["--verify", "--quiet"]).end_of_options().arg(format!("{commit}^{{tree}}"));
        sha("rev-parse", &parse.text(&*self.files.host).await?)
    }

    /// Sets a hidden ref. With `fresh` it must not exist.
    pub(crate) async fn set_ref(&self, name: &str, to: &Sha, fresh: bool) -> Result<(), WorkspaceError> {
        let update = durable(self.git("update-ref")).end_of_options().arg(name).arg(to.as_str());
        let update = if fresh { update.arg("") } else { update };
        self.write(update).await.map(|_| ())
    }

    /// Names some branches that the origin has.
    pub(crate) async fn some_branches(&self) -> Result<Vec<String>, WorkspaceError> {
        let list = self.git("for-each-ref").args(["--count=10", "--format=%(refname:lstrip=3)", "refs/remotes/origin"]);
        Ok(list.text(&*self.files.host).await?.lines().map(str::to_owned).collect())
    }

    /// Asks the origin where a branch is.
    pub(crate) async fn branch_at_origin(&self, branch: &BranchName) -> Result<Option<Sha>, WorkspaceError> {
        let name = branch.full_ref();
        let said = self.ls_remote(&["--refs"], &name).await?;
        said.lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, found)| *found == name)
            .map(|(at, _)| sha("ls-remote", at))
            .transpose()
    }

    async fn ask_origin(&self) -> Result<Head, WorkspaceError> {
        let said = self.ls_remote(&["--symref"], "HEAD").await?;
        let mut head = Head { default: None, sha256: false };
        for (value, _) in said.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name == "HEAD") {
            match value.strip_prefix("ref: refs/heads/") {
                // A name that we do not accept is no default; the caller then has to name a base.
                Some(branch) => head.default = branch.parse().ok(),
                None => head.sha256 = value.len() == 64,
            }
        }
        Ok(head)
    }

    async fn ls_remote(&self, options: &[&str], pattern: &str) -> Result<String, WorkspaceError> {
        let ask = self.files.git.nowhere(self.files.host.work_root(), "ls-remote").args(options.iter().copied());
        let ask = ask.arg("--").arg(self.repo.as_str()).arg(pattern);
        let unreachable = |source| WorkspaceError::Unreachable { repo: self.repo.clone(), source };
        ask.text(&*self.files.host).await.map_err(unreachable)
    }

    /// A `HEAD` that names nothing is common where somebody pushed another branch first: the only branch counts.
    async fn existing_default(&self, named: Option<BranchName>) -> Result<Option<BranchName>, WorkspaceError> {
        if let Some(named) = &named
            && self.commit_at(&format!("refs/remotes/origin/{named}")).await?.is_some()
        {
            return Ok(Some(named.clone()));
        }
        match self.some_branches().await?.as_slice() {
            [only] => Ok(only.parse().ok().or(named)),
            _ => Ok(named),
        }
    }

    async fn fetch(&self) -> Result<(), WorkspaceError> {
        let fetch = self.git("fetch").args(FETCH).arg("origin").transfer();
        self.write(fetch.behind(["flock", "--exclusive", &text(&self.origin_lock)])).await.map(|_| ())
    }

    async fn make(&self, head: &Head) -> Result<(), WorkspaceError> {
        self.make_aside(head).await?;
        match self.files.rename(&self.making, &self.dir).await {
            Ok(()) => Ok(()),
            // Another process was faster; its mirror is as good.
            Err(_) if self.files.kind(&self.dir).await? == Some(Kind::Folder) => self.files.discard(&self.making).await,
            Err(error) => Err(error),
        }
    }

    /// Makes a new mirror beside the old one.
    async fn make_aside(&self, head: &Head) -> Result<(), WorkspaceError> {
        self.files.discard(&self.making).await?;
        let init =
            self.files.git.nowhere(self.files.host.work_root(), "init").args(["--quiet", "--bare", "--template="]);
        let init = if head.sha256 { init.arg("--object-format=sha256") } else { init };
        init.end_of_options().arg(text(&self.making)).run(&*self.files.host).await?;
        let config = format!(
            "[remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\tfetch = +refs/tags/*:refs/tags/*\n[gc]\n\tauto = 0\n\tpruneExpire = never\n",
            config_value(self.repo.as_str()),
        );
        self.files.append(&self.making.join("config"), config.as_bytes()).await?;
        let fetch = self.files.git.at(&self.making, "fetch").args(FETCH).arg("origin").transfer();
        fetch.behind(["flock", "--exclusive", &text(&self.origin_lock)]).run(&*self.files.host).await?;
        Ok(())
    }

    /// Replaces a broken mirror. Hidden refs come along as far as they can be read; if one cannot, the broken
    /// mirror is kept aside.
    async fn make_again(&self, head: &Head) -> Result<(), WorkspaceError> {
        warn!(repo = %self.repo, "the mirror of {} is broken and is made again", self.repo);
        self.make_aside(head).await?;
        let whole = self.carry_hidden_refs().await?;
        if whole {
            self.files.discard(&self.dir).await?;
        } else {
            let place = self.files.set_aside(&self.dir, &self.kept, &self.name).await?;
            warn!(repo = %self.repo, "not every snapshot could be read from the broken mirror; it is kept at {}", place.display());
        }
        self.files.rename(&self.making, &self.dir).await
    }

    async fn carry_hidden_refs(&self) -> Result<bool, WorkspaceError> {
        // Without these three git would not even take it for a repository.
        self.files.make_folders(&[&self.dir.join("objects"), &self.dir.join("refs")]).await?;
        self.files.write(&self.dir.join("HEAD"), b"ref: refs/heads/none\n").await?;
        let list =
            self.git("for-each-ref").args(["--format=%(refname)", "refs/orcha"]).outcome(&*self.files.host).await?;
        let mut whole = list.status.success() && list.stderr.is_empty();
        if list.stdout.is_empty() {
            return Ok(whole);
        }
        let carry = |name: &str| {
            let fetch = self.files.git.at(&self.making, "fetch").args([
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--refmap=",
            ]);
            fetch.transfer().end_of_options().arg(text(&self.dir)).arg(format!("+{name}:{name}"))
        };
        if carry("refs/orcha/*").outcome(&*self.files.host).await?.status.success() {
            return Ok(whole);
        }
        for name in list.text().lines() {
            whole &= carry(name).outcome(&*self.files.host).await?.status.success();
        }
        Ok(whole)
    }

    /// Tells whether git takes it for a repository.
    async fn answers(&self) -> Result<bool, WorkspaceError> {
        Ok(self.git("for-each-ref").arg("--count=1").outcome(&*self.files.host).await?.status.success())
    }

    /// Tells whether every commit and tree that a ref reaches is there.
    async fn is_sound(&self) -> Result<bool, WorkspaceError> {
        let walk = self.git("rev-list").args(["--objects", "--all", "--quiet"]).transfer();
        Ok(walk.outcome(&*self.files.host).await?.status.success())
    }

    /// Deletes the lock files of killed processes and returns how many there were. Living writers hold the
    /// shared lock, which this waits for.
    async fn clear_dead_locks(&self) -> Result<usize, WorkspaceError> {
        let mut command = self.files.tool("flock").args(["--exclusive", &text(&self.lock), "find"]);
        command = command.arg(text(&self.dir)).args(["-name", "*.lock", "-type", "f", "-print", "-delete"]);
        command.timeout = self.files.git.settings().transfer_timeout;
        let output = self.files.run("clearing dead lock files", command).await?;
        Ok(output.text().lines().count())
    }
}

const FETCH: [&str; 6] =
    ["--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--end-of-options"];

/// Makes a command flush what it writes: what snapshots keep must survive a power cut.
pub(crate) fn durable(command: GitCommand) -> GitCommand {
    command.config("core.fsync", "committed,reference").config("core.fsyncMethod", "batch")
}

/// Reads one object name.
pub(crate) fn sha(step: &'static str, text: &str) -> Result<Sha, WorkspaceError> {
    text.trim().parse().map_err(|_| GitError::answer(step, text).into())
}

/// Quotes a value for a git configuration file.
pub(crate) fn config_value(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn mirror_name(repo: &RepoUrl) -> String {
    let slug: String = repo.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let slug = slug.trim_matches('-');
    let mut name = if slug.is_empty() { "repository".to_owned() } else { slug.to_owned() };
    name.push('-');
    for byte in &Sha256::digest(repo.as_str().as_bytes())[..8] {
        // Writing to a string cannot fail.
        write!(name, "{byte:02x}").unwrap_or_default();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_with_the_same_last_name_have_different_mirrors() {
        let name = |url: &str| mirror_name(&url.parse().unwrap());
        assert!(name("/srv/a/tool.git").starts_with("tool-"));
        assert_ne!(name("/srv/a/tool.git"), name("/srv/b/tool.git"));
        assert!(!name("https://host/%2e%2e.git").contains('.'));
    }

    #[test]
    fn values_cannot_leave_their_line_of_configuration() {
        assert_eq!(config_value("a\"b\\c\n[x]\ty"), r#""a\"b\\c\n[x]\ty""#);
    }
}
