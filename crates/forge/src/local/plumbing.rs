//! Git plumbing on a repository that somebody else owns: objects are added and refs are compared and swapped.
//!
//! Knows no pull requests. Nothing here looks at a work tree, runs a hook or reads a merge driver: merges are
//! computed in a git directory of ours that has no configuration and borrows the objects.

use orcha_base::{RepoUrl, Sha};
use orcha_exec::git::{Git, GitCommand, GitError};
use orcha_exec::{ExitStatus, Host, Output};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of an answer is kept: ten thousand records, or a page of the longest comments.
const KEEP: usize = 64 << 20;

/// How many conflicting files are named.
const MAX_FILES: usize = 100;

/// Where a command runs that names its repository itself: the work root may not have been made yet.
const ANYWHERE: &str = "/";

/// How long a transaction waits for another one, in milliseconds. They take a few; a lock that is held longer
/// was left behind by a crash, and somebody has to be told.
const LOCK_TIMEOUT: &str = "1000";

/// Runs git on a host.
#[derive(Debug)]
pub(super) struct Plumbing {
    host: Arc<dyn Host>,
    git: Git,
    sites: Mutex<HashMap<RepoUrl, Arc<Site>>>,
    benches: Mutex<HashMap<String, PathBuf>>,
}

/// A repository that was found.
#[derive(Debug)]
pub(super) struct Site {
    /// Its git directory, shared by all its work trees.
    pub git_dir: PathBuf,
    /// How it names objects: `sha1` or `sha256`.
    format: String,
}

/// A ref as it was listed.
pub(super) struct Ref {
    pub name: String,
    pub sha: Sha,
}

/// An object that was read.
pub(super) struct Object {
    pub id: Sha,
    pub bytes: Vec<u8>,
}

/// One line of a transaction over refs: all of them happen, or none.
#[derive(Clone, Debug)]
pub(super) enum RefChange {
    Create { name: String, new: Sha },
    Update { name: String, new: Sha, old: Sha },
    Delete { name: String, old: Sha },
    Verify { name: String, old: Sha },
}

/// What a transaction came to.
pub(super) enum Transaction {
    Done,
    /// A ref was not what was expected, or could not be locked. Git does not say which in a way to rely on.
    Refused(GitError),
}

/// What a three-way merge came to.
pub(super) enum Blend {
    Clean(Sha),
    Conflict(Vec<String>),
}

impl Plumbing {
    pub(super) fn new(host: Arc<dyn Host>, git: Git) -> Self {
        Self { host, git, sites: Mutex::default(), benches: Mutex::default() }
    }

    /// Finds the repository: a bare one, or the one of a work tree that has this path. Never one further up.
    pub(super) async fn site(&self, repo: &RepoUrl, path: &str) -> Result<Option<Arc<Site>>, GitError> {
        if let Some(site) = self.sites.lock().get(repo) {
            return Ok(Some(site.clone()));
        }
        let found = self.look_for_site(path).await?;
        if let Some(site) = &found {
            self.sites.lock().insert(repo.clone(), site.clone());
        }
        Ok(found)
    }

    /// Forgets where a repository was and looks again.
    pub(super) async fn site_again(&self, repo: &RepoUrl, path: &str) -> Result<Option<Arc<Site>>, GitError> {
        self.sites.lock().remove(repo);
        self.site(repo, path).await
    }

    async fn look_for_site(&self, path: &str) -> Result<Option<Arc<Site>>, GitError> {
        let path = path.trim_end_matches('/');
        for candidate in [path.to_owned(), format!("{path}/.git")] {
            let output = self
                .git
                .nowhere(Path::new(ANYWHERE), "rev-parse")
                .env("GIT_DIR", candidate)
                .args(["--path-format=absolute", "--git-common-dir", "--show-object-format"])
                .outcome(&*self.host)
                .await?;
            if !output.status.success() {
                continue;
            }
            let text = output.text();
            let mut lines = text.lines();
            let (Some(git_dir), Some(format)) = (lines.next(), lines.next()) else {
                return Err(GitError::answer("rev-parse", &text));
            };
            return Ok(Some(Arc::new(Site { git_dir: PathBuf::from(git_dir), format: format.to_owned() })));
        }
        Ok(None)
    }

    fn at(&self, site: &Site, subcommand: &'static str) -> GitCommand {
        self.git.at(&site.git_dir, subcommand).keep(KEEP)
    }

    /// Lists the refs below some prefixes, as git prints them: object, blank, name.
    pub(super) async fn refs_text(&self, site: &Site, below: &[&str]) -> Result<Vec<u8>, GitError> {
        let command =
            self.at(site, "for-each-ref").arg("--format=%(objectname) %(refname)").args(below.iter().copied());
        Ok(whole("for-each-ref", command.run(&*self.host).await?)?.stdout)
    }

    /// Lists the refs below some prefixes.
    pub(super) async fn refs(&self, site: &Site, below: &[&str]) -> Result<Vec<Ref>, GitError> {
        let bytes = self.refs_text(site, below).await?;
        let text = String::from_utf8_lossy(&bytes);
        let read = |line: &str| {
            let (sha, name) = line.split_once(' ')?;
            Some(Ref { name: name.to_owned(), sha: sha.parse().ok()? })
        };
        text.lines().map(|line| read(line).ok_or_else(|| GitError::answer("for-each-ref", line))).collect()
    }

    /// Returns the ref that `HEAD` names; none if it names a commit.
    pub(super) async fn head_ref(&self, site: &Site) -> Result<Option<String>, GitError> {
        let output = self.at(site, "symbolic-ref").args(["--quiet", "HEAD"]).outcome(&*self.host).await?;
        match output.status {
            ExitStatus::Code(0) => Ok(Some(output.text())),
            ExitStatus::Code(1) => Ok(None),
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Err(GitError::failed("symbolic-ref", &output)),
        }
    }

    /// Tells whether refs are kept in tables instead of files.
    pub(super) async fn uses_reftable(&self, site: &Site) -> Result<bool, GitError> {
        let output =
            self.at(site, "config").args(["--local", "--get", "extensions.refstorage"]).outcome(&*self.host).await?;
        match output.status {
            ExitStatus::Code(0) => Ok(output.text().starts_with("reftable")),
            ExitStatus::Code(1) => Ok(false),
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Err(GitError::failed("config", &output)),
        }
    }

    /// Returns the work tree that has a branch checked out.
    pub(super) async fn checked_out(&self, site: &Site, full_ref: &str) -> Result<Option<String>, GitError> {
        let output =
            whole("worktree", self.at(site, "worktree").args(["list", "--porcelain", "-z"]).run(&*self.host).await?)?;
        let text = String::from_utf8_lossy(&output.stdout);
        for tree in text.split("\0\0") {
            let mut path = None;
            let mut holds = false;
            let mut gone = false;
            for field in tree.split('\0') {
                match field.split_once(' ').unwrap_or((field, "")) {
                    ("worktree", at) => path = Some(at),
                    ("branch", branch) => holds = branch == full_ref,
                    ("prunable", _) => gone = true,
                    _ => {}
                }
            }
            if let (Some(path), true, false) = (path, holds, gone) {
                return Ok(Some(path.to_owned()));
            }
        }
        Ok(None)
    }

    /// Reads objects in one process; none where there is no such object.
    pub(super) async fn read(&self, site: &Site, names: &[String]) -> Result<Vec<Option<Object>>, GitError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = names.join("\n").into_bytes();
        wanted.push(b'\n');
        let output = self.at(site, "cat-file").arg("--batch").stdin(wanted).run(&*self.host).await?;
        let output = whole("cat-file", output)?;
        let mut rest = output.stdout.as_slice();
        let mut objects = Vec::with_capacity(names.len());
        for _ in names {
            let (object, after) = next_object(rest)?;
            objects.push(object);
            rest = after;
        }
        Ok(objects)
    }

    /// Returns the messages of `count` commits of a chain, oldest first, leaving out the `newest` ones.
    pub(super) async fn messages(
        &self,
        site: &Site,
        tip: &Sha,
        newest: u64,
        count: u64,
    ) -> Result<Vec<String>, GitError> {
        let output = self
            .at(site, "rev-list")
            .args(["--first-parent", "--reverse", "--no-commit-header", "--encoding=UTF-8", "--format=%B%x00"])
            .arg(format!("--skip={newest}"))
            .arg(format!("--max-count={count}"))
            .arg(tip.as_str())
            .run(&*self.host)
            .await?;
        let output = whole("rev-list", output)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.split('\0').map(str::trim).filter(|message| !message.is_empty()).map(str::to_owned).collect())
    }

    /// Lists the commits of `head` that `base` lacks, parents first, merges left out.
    pub(super) async fn commits(&self, site: &Site, base: &Sha, head: &Sha) -> Result<Vec<Sha>, GitError> {
        let text = self
            .at(site, "rev-list")
            .args(["--reverse", "--topo-order", "--no-merges"])
            .arg(head.as_str())
            .arg(format!("^{base}"))
            .text(&*self.host)
            .await?;
        text.lines().map(|line| sha("rev-list", line)).collect()
    }

    /// Returns the best common ancestor; none if two commits share no history.
    pub(super) async fn merge_base(&self, site: &Site, one: &Sha, other: &Sha) -> Result<Option<Sha>, GitError> {
        let output = self.at(site, "merge-base").args([one.as_str(), other.as_str()]).outcome(&*self.host).await?;
        match output.status {
            ExitStatus::Code(0) => sha("merge-base", &output.text()).map(Some),
            ExitStatus::Code(1) => Ok(None),
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Err(GitError::failed("merge-base", &output)),
        }
    }

    /// Tells whether a file is another one at `head` than where it left `base`: new, gone or changed.
    pub(super) async fn changes(&self, site: &Site, base: &Sha, head: &Sha, path: &str) -> Result<bool, GitError> {
        let fork = self.merge_base(site, base, head).await?;
        let text = self
            .at(site, "diff-tree")
            .args(["-r", "-z", "--name-only", "--no-renames", fork.as_ref().unwrap_or(base).as_str(), head.as_str()])
            .arg("--")
            .arg(format!(":(literal){path}"))
            .text(&*self.host)
            .await?;
        // A folder is no file, though it holds some that changed.
        Ok(text.split('\0').any(|it| it == path))
    }

    /// Merges `theirs` into `ours` as trees, from a given base or from the common ancestors.
    pub(super) async fn blend(
        &self,
        site: &Site,
        base: Option<&Sha>,
        ours: &Sha,
        theirs: &Sha,
    ) -> Result<Blend, GitError> {
        let bench = self.bench(site).await?;
        let output = self
            .git
            .at(&bench, "merge-tree")
            .keep(KEEP)
            .env("GIT_OBJECT_DIRECTORY", site.git_dir.join("objects").display().to_string())
            .args(["--write-tree", "--no-messages", "--name-only", "-z"])
            .args(base.map(|base| format!("--merge-base={base}")))
            .args([ours.as_str(), theirs.as_str()])
            .outcome(&*self.host)
            .await?;
        let clean = match output.status {
            ExitStatus::Code(0) => true,
            ExitStatus::Code(1) => false,
            ExitStatus::Code(_) | ExitStatus::Signal(_) => {
                // The bench may have been cleared away; the next try makes it anew.
                self.benches.lock().remove(&site.format);
                return Err(GitError::failed("merge-tree", &output));
            }
        };
        let output = whole("merge-tree", output)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut fields = text.split('\0').map(|field| field.trim_matches('\n')).filter(|field| !field.is_empty());
        let tree = sha("merge-tree", fields.next().unwrap_or_default())?;
        if clean {
            return Ok(Blend::Clean(tree));
        }
        let mut files: Vec<String> = fields.map(str::to_owned).collect();
        files.sort();
        files.dedup();
        files.truncate(MAX_FILES);
        Ok(Blend::Conflict(files))
    }

    /// Returns the git directory of ours that merges are computed in: it has no configuration but the defaults,
    /// and no attributes, so that no merge driver of the repository can be named.
    async fn bench(&self, site: &Site) -> Result<PathBuf, GitError> {
        if let Some(bench) = self.benches.lock().get(&site.format) {
            return Ok(bench.clone());
        }
        let mut last = None;
        // A second name is for the case that somebody died while making the first.
        for name in ["bench", "bench-2"] {
            let folder = format!("{name}-{}.git", site.format);
            let bench = self.host.work_root().join(".orcha").join("forge").join(folder);
            match self.make_bench(site, &bench).await? {
                None => {
                    self.benches.lock().insert(site.format.clone(), bench.clone());
                    return Ok(bench);
                }
                Some(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(GitError::Answer { step: "init", text: String::new() }))
    }

    /// Makes a bench or finds it, and returns what went wrong if there is none in the end. Another process may
    /// be making it at the same time; then it holds a lock for some milliseconds.
    async fn make_bench(&self, site: &Site, bench: &Path) -> Result<Option<GitError>, GitError> {
        const TRIES: usize = 20;
        let mut last = None;
        for _ in 0..TRIES {
            if self.is_bench(site, bench).await? {
                return Ok(None);
            }
            let made = self
                .git
                .nowhere(Path::new(ANYWHERE), "init")
                .args(["--quiet", "--bare", "--template="])
                .arg(format!("--object-format={}", site.format))
                .arg("--")
                .arg(bench.display().to_string())
                .outcome(&*self.host)
                .await?;
            if made.status.success() {
                return Ok(None);
            }
            last = Some(GitError::failed("init", &made));
        }
        Ok(last)
    }

    async fn is_bench(&self, site: &Site, bench: &Path) -> Result<bool, GitError> {
        let output = self
            .git
            .nowhere(Path::new(ANYWHERE), "rev-parse")
            .env("GIT_DIR", bench.display().to_string())
            .arg("--show-object-format")
            .outcome(&*self.host)
            .await?;
        Ok(output.status.success() && output.text() == site.format)
    }

    /// Writes an object of a type from its bytes.
    pub(super) async fn write(&self, site: &Site, kind: &'static str, bytes: Vec<u8>) -> Result<Sha, GitError> {
        let command = self.at(site, "hash-object").args(["-t", kind, "-w", "--stdin"]).stdin(bytes);
        sha("hash-object", &command.text(&*self.host).await?)
    }

    /// Writes a tree of plain files.
    pub(super) async fn write_tree(&self, site: &Site, files: &[(&str, &Sha)]) -> Result<Sha, GitError> {
        let lines: String = files.iter().map(|(name, id)| format!("100644 blob {id}\t{name}\n")).collect();
        sha("mktree", &self.at(site, "mktree").stdin(lines).text(&*self.host).await?)
    }

    /// Changes refs, all or none, in the order given: where refs are files, a crash in the middle leaves a
    /// beginning of it, so what makes the rest valid comes last.
    pub(super) async fn transact(&self, site: &Site, changes: &[RefChange]) -> Result<Transaction, GitError> {
        let mut lines = String::new();
        for change in changes {
            match change {
                RefChange::Create { name, new } => lines.push_str(&format!("create {name}\0{new}\0")),
                RefChange::Update { name, new, old } => lines.push_str(&format!("update {name}\0{new}\0{old}\0")),
                RefChange::Delete { name, old } => lines.push_str(&format!("delete {name}\0{old}\0")),
                RefChange::Verify { name, old } => lines.push_str(&format!("verify {name}\0{old}\0")),
            }
        }
        let output = self
            .at(site, "update-ref")
            .config("core.filesRefLockTimeout", LOCK_TIMEOUT)
            .config("reftable.lockTimeout", LOCK_TIMEOUT)
            .args(["--stdin", "-z"])
            .stdin(lines)
            .outcome(&*self.host)
            .await?;
        if output.status.success() {
            Ok(Transaction::Done)
        } else {
            Ok(Transaction::Refused(GitError::failed("update-ref", &output)))
        }
    }
}

/// Refuses an answer that was cut.
fn whole(step: &'static str, output: Output) -> Result<Output, GitError> {
    if output.truncated { Err(GitError::Cut { step }) } else { Ok(output) }
}

fn sha(step: &'static str, text: &str) -> Result<Sha, GitError> {
    text.parse().map_err(|_| GitError::answer(step, text))
}

/// Takes one answer off what `cat-file --batch` printed.
fn next_object(bytes: &[u8]) -> Result<(Option<Object>, &[u8]), GitError> {
    let unclear = || GitError::answer("cat-file", &String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
    let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(unclear)?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| unclear())?;
    let after = &bytes[end + 1..];
    if header.ends_with(" missing") {
        return Ok((None, after));
    }
    let mut words = header.split(' ');
    let id = words.next().and_then(|word| word.parse().ok()).ok_or_else(unclear)?;
    let size: usize = words.nth(1).and_then(|word| word.parse().ok()).ok_or_else(unclear)?;
    if after.len() <= size {
        return Err(unclear());
    }
    Ok((Some(Object { id, bytes: after[..size].to_vec() }), &after[size + 1..]))
}
