//! The stages that forge tests play on: a fake one, and a bare repository in a folder of its own.
//!
//! A later code host joins the conformance suite by implementing [`Stage`].

#![allow(dead_code, reason = "each test binary uses its own part")]

use async_trait::async_trait;
use orcha_base::{BranchName, RepoUrl, Sha, Timestamp};
use orcha_exec::git::{Git, GitSettings, Identity};
use orcha_exec::{
    Chunk, Command, CommandError, Grace, Host, InputLine, LocalHost, LocalSettings, Output, RunError, RunLabel,
    RunReport, RunSpec, RunState, Seen, Sent, Started, Stopped, Stream,
};
use orcha_forge::fake::FakeForge;
use orcha_forge::{Author, Forge, Key, LocalForge, Merge, Method, Open, Place, Post, Review, Trust, Verdict};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A repository on a code host, and the git side of it that the code host itself does not offer.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The code host.
    fn forge(&self) -> Arc<dyn Forge>;
    /// The same code host as another process sees it.
    fn another(&self) -> Arc<dyn Forge>;
    /// The repository; it has one commit on `main`, with a file `README`.
    fn repo(&self) -> RepoUrl;
    /// A repository that does not exist.
    fn no_repo(&self) -> RepoUrl;
    /// Commits one file on a branch, which begins at `main` if it is new.
    async fn commit(&self, branch: &str, path: &str, text: &str) -> Sha;
    /// Sets a branch to a known commit, whatever it was.
    async fn push(&self, branch: &str, sha: &Sha);
    /// Removes a branch.
    async fn remove_branch(&self, branch: &str);
    /// Returns the tip of a branch.
    async fn tip(&self, branch: &str) -> Option<Sha>;
    /// Returns a file at the tip of a branch.
    async fn file(&self, branch: &str, path: &str) -> Option<String>;
}

pub fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

pub fn open(head: &str) -> Open {
    Open {
        key: key(&format!("open:{head}")),
        head: branch(head),
        base: branch("main"),
        title: format!("Merge {head}"),
        body: "Because.".to_owned(),
        draft: false,
        at: at(0),
    }
}

pub fn post(text: &str) -> Post {
    Post {
        key: key(&format!("post:{}", text.len())),
        author: Author::new("orcha", Trust::System),
        place: Place::Conversation,
        body: text.to_owned(),
        at: at(10),
    }
}

pub fn review(author: &str, verdict: Verdict, sha: &Sha) -> Review {
    Review {
        key: key(&format!("review:{author}:{verdict:?}:{}", sha.short())),
        author: Author::new(author, Trust::Member),
        verdict,
        sha: sha.clone(),
        body: "I have looked at it.".to_owned(),
        at: at(20),
    }
}

pub fn merge(method: Method, head: &Sha) -> Merge {
    Merge {
        method,
        expected_head: head.clone(),
        identity: Identity { name: "Mia Merger".to_owned(), email: "mia@example.org".to_owned() },
        message: "Bring it in".to_owned(),
        at: at(30),
    }
}

/// The fake.
pub struct FakeStage {
    pub forge: FakeForge,
}

impl FakeStage {
    pub async fn new() -> Self {
        let stage = Self { forge: FakeForge::new() };
        stage.forge.add_repo(&stage.repo(), branch("main"));
        stage.commit("main", "README", "hello").await;
        stage
    }
}

#[async_trait]
impl Stage for FakeStage {
    fn forge(&self) -> Arc<dyn Forge> {
        Arc::new(self.forge.clone())
    }
    fn another(&self) -> Arc<dyn Forge> {
        self.forge()
    }
    fn repo(&self) -> RepoUrl {
        "https://forge.test/a/b.git".parse().unwrap()
    }
    fn no_repo(&self) -> RepoUrl {
        "https://forge.test/a/none.git".parse().unwrap()
    }
    async fn commit(&self, name: &str, path: &str, text: &str) -> Sha {
        self.forge.commit(&self.repo(), &branch(name), path, text)
    }
    async fn push(&self, name: &str, sha: &Sha) {
        self.forge.push(&self.repo(), &branch(name), sha);
    }
    async fn remove_branch(&self, name: &str) {
        self.forge.remove_branch(&self.repo(), &branch(name));
    }
    async fn tip(&self, name: &str) -> Option<Sha> {
        self.forge.tip(&self.repo(), &branch(name))
    }
    async fn file(&self, name: &str, path: &str) -> Option<String> {
        self.forge.file(&self.repo(), &branch(name), path)
    }
}

/// A bare repository in a folder that goes away with the test.
pub struct LocalStage {
    pub folder: tempfile::TempDir,
    pub host: Arc<CountingHost>,
    forge: Arc<LocalForge>,
    seconds: AtomicUsize,
}

impl LocalStage {
    pub async fn new() -> Self {
        Self::with(&["--bare"]).await
    }

    /// Makes the repository by `git init` with further arguments.
    pub async fn with(init: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(CountingHost::new(folder.path().join("work")));
        let forge = Arc::new(LocalForge::new(host.clone(), git()));
        let stage = Self { folder, host, forge, seconds: AtomicUsize::new(0) };
        std::fs::create_dir(stage.path()).unwrap();
        stage.git(&[&["init", "--quiet", "--initial-branch=main"], init, &["."]].concat(), b"");
        stage.commit("main", "README", "hello").await;
        stage
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("origin.git")
    }

    /// Runs git in the repository as its owner would, hooks and all.
    pub fn git(&self, args: &[&str], stdin: &[u8]) -> String {
        let (ok, text) = self.try_git(args, stdin);
        assert!(ok, "git {args:?}: {text}");
        text
    }

    pub fn try_git(&self, args: &[&str], stdin: &[u8]) -> (bool, String) {
        use std::io::Write as _;
        let mut child = std::process::Command::new("git")
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path_variable())
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
        (output.status.success(), text.trim().to_owned())
    }

    /// Makes several commits in one process: branch, author line, path, text.
    pub fn import(&self, commits: &[(&str, &str, &str, &str)]) {
        let mut stream = String::new();
        let mut begun = std::collections::BTreeSet::new();
        for (name, author, path, text) in commits {
            let seconds = 1_600_000_000 + self.seconds.fetch_add(1, Ordering::SeqCst);
            stream.push_str(&format!("commit refs/heads/{name}\nauthor {author} {seconds} +0100\n"));
            stream.push_str(&format!("committer Carl Committer <carl@example.org> {seconds} +0000\n"));
            let message = format!("Change {path}\n\nFor a reason.\n");
            stream.push_str(&format!("data {}\n{message}", message.len()));
            if begun.insert(*name) {
                let known = [*name, "main"].into_iter().find(|it| self.sha_of(it).is_some());
                if let Some(known) = known {
                    stream.push_str(&format!("from refs/heads/{known}^0\n"));
                }
            }
            stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len()));
        }
        self.git(&["fast-import", "--quiet", "--force"], stream.as_bytes());
    }

    pub fn sha_of(&self, name: &str) -> Option<Sha> {
        let (ok, text) = self.try_git(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{name}")], b"");
        ok.then(|| text.parse().unwrap())
    }
}

#[async_trait]
impl Stage for LocalStage {
    fn forge(&self) -> Arc<dyn Forge> {
        self.forge.clone()
    }
    fn another(&self) -> Arc<dyn Forge> {
        Arc::new(LocalForge::new(self.host.clone(), git()))
    }
    fn repo(&self) -> RepoUrl {
        format!("file://{}", self.path().display()).parse().unwrap()
    }
    fn no_repo(&self) -> RepoUrl {
        format!("file://{}", self.folder.path().join("none").display()).parse().unwrap()
    }
    async fn commit(&self, name: &str, path: &str, text: &str) -> Sha {
        self.import(&[(name, "Anna Author <anna@example.org>", path, text)]);
        self.sha_of(name).unwrap()
    }
    async fn push(&self, name: &str, sha: &Sha) {
        self.git(&["update-ref", &format!("refs/heads/{name}"), sha.as_str()], b"");
    }
    async fn remove_branch(&self, name: &str) {
        self.git(&["update-ref", "-d", &format!("refs/heads/{name}")], b"");
    }
    async fn tip(&self, name: &str) -> Option<Sha> {
        self.sha_of(name)
    }
    async fn file(&self, name: &str, path: &str) -> Option<String> {
        let (ok, text) = self.try_git(&["show", &format!("refs/heads/{name}:{path}")], b"");
        ok.then_some(text)
    }
}

pub fn git() -> Git {
    Git::new(GitSettings::new(path_variable()))
}

fn path_variable() -> String {
    std::env::var("PATH").unwrap()
}

/// This machine, with a count of the commands that were run.
#[derive(Debug)]
pub struct CountingHost {
    host: LocalHost,
    commands: AtomicUsize,
}

impl CountingHost {
    fn new(work_root: PathBuf) -> Self {
        let keeper = vec!["/nonexistent/keeper".to_owned()];
        let settings = LocalSettings { cgroup_parent: None, ..LocalSettings::detect(work_root, keeper) };
        Self { host: LocalHost::new(settings).unwrap(), commands: AtomicUsize::new(0) }
    }

    /// Returns how many commands were run since the last time it was asked.
    pub fn count(&self) -> usize {
        self.commands.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Host for CountingHost {
    fn work_root(&self) -> &Path {
        self.host.work_root()
    }
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.commands.fetch_add(1, Ordering::SeqCst);
        self.host.run(command).await
    }
    async fn start(&self, spec: &RunSpec) -> Result<Started, RunError> {
        self.host.start(spec).await
    }
    async fn look(&self, label: &RunLabel) -> Result<RunState, RunError> {
        self.host.look(label).await
    }
    async fn runs(&self) -> Result<Vec<RunReport>, RunError> {
        self.host.runs().await
    }
    async fn read(&self, label: &RunLabel, stream: Stream, from: u64, max: usize) -> Result<Chunk, RunError> {
        self.host.read(label, stream, from, max).await
    }
    async fn changed(&self, label: &RunLabel, seen: Seen) -> Result<(), RunError> {
        self.host.changed(label, seen).await
    }
    async fn consumed(&self, label: &RunLabel, offset: u64) -> Result<(), RunError> {
        self.host.consumed(label, offset).await
    }
    async fn send(&self, label: &RunLabel, lines: &[InputLine]) -> Result<Sent, RunError> {
        self.host.send(label, lines).await
    }
    async fn close_input(&self, label: &RunLabel) -> Result<(), RunError> {
        self.host.close_input(label).await
    }
    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<Stopped, RunError> {
        self.host.stop(label, grace).await
    }
    async fn forget(&self, label: &RunLabel) -> Result<(), RunError> {
        self.host.forget(label).await
    }
}
