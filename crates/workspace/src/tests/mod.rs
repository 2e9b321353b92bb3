//! Tests of this room: one conformance suite over real and fake, then what only real git can show.
//!
//! Real git in folders of its own, with its own home; nothing of the machine's git configuration is read.

mod conformance;
mod crashes;
mod hostile;
mod lost;
mod real;

use crate::{
    Checkouts, Identity, Label, Predecessor, Prepare, Push, PushSource, Start, Workspaces, fake::FakeCheckouts,
};
use async_trait::async_trait;
use orcha_base::{BranchName, RepoUrl, Sha};
use orcha_exec::git::{Git, GitSettings};
use orcha_exec::{
    Chunk, Command, CommandError, ExitStatus, Grace, Host, InputLine, Output, RunError, RunLabel, RunReport, RunSpec,
    RunState, Seen, Sent, Started, Stopped, Stream,
};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(crate) fn branch(text: &str) -> BranchName {
    text.parse().unwrap()
}

pub(crate) fn somebody() -> Identity {
    Identity { name: "Some \"Q\" Body".to_owned(), email: "some@body".to_owned() }
}

pub(crate) fn fresh(repo: &RepoUrl, name: &str) -> Prepare {
    Prepare {
        workspace: label(name),
        repo: repo.clone(),
        base: None,
        branch: branch(&format!("orcha/{name}")),
        start: Start::Fresh,
        identity: somebody(),
    }
}

pub(crate) fn continuing(repo: &RepoUrl, name: &str, after: &[(&str, &Sha)]) -> Prepare {
    let predecessor = |(name, head): &(&str, &Sha)| Predecessor {
        workspace: label(name),
        branch: branch(&format!("orcha/{name}")),
        head: (*head).clone(),
    };
    Prepare { start: Start::Continue(after.iter().map(predecessor).collect()), ..fresh(repo, name) }
}

pub(crate) fn push_of(repo: &RepoUrl, source: PushSource, to: &str, expected: crate::Expected) -> Push {
    Push { repo: repo.clone(), source, branch: branch(to), expected, force: false }
}

/// A small world: one origin with one commit (`readme` and `src/lib`), and whoever changes things.
#[async_trait]
pub(crate) trait Scene: Send + Sync {
    fn checkouts(&self) -> &dyn Checkouts;
    fn repo(&self) -> RepoUrl;
    async fn write(&self, workspace: &str, path: &str, text: Option<&str>);
    async fn read(&self, workspace: &str, path: &str) -> Option<String>;
    async fn commit(&self, workspace: &str) -> Sha;
    async fn origin_commit(&self, to: &str, path: &str, text: &str) -> Sha;
    async fn origin_at(&self, of: &str) -> Option<Sha>;
    async fn read_exact(&self, key: &str, path: &str) -> Option<String>;
}

pub(crate) struct FakeScene {
    fake: FakeCheckouts,
}

impl FakeScene {
    pub(crate) async fn new() -> Self {
        let fake = FakeCheckouts::new();
        let scene = Self { fake };
        scene.fake.add_repo(
            &scene.repo(),
            &branch("trunk"),
            &[("readme", "hello\n"), ("src/lib", "one\ntwo\nthree\n")],
        );
        scene
    }
}

#[async_trait]
impl Scene for FakeScene {
    fn checkouts(&self) -> &dyn Checkouts {
        &self.fake
    }
    fn repo(&self) -> RepoUrl {
        "/fake/origin.git".parse().unwrap()
    }
    async fn write(&self, workspace: &str, path: &str, text: Option<&str>) {
        self.fake.write(&label(workspace), path, text);
    }
    async fn read(&self, workspace: &str, path: &str) -> Option<String> {
        self.fake.files(&label(workspace)).get(path).cloned()
    }
    async fn commit(&self, workspace: &str) -> Sha {
        self.fake.commit(&label(workspace), "work")
    }
    async fn origin_commit(&self, to: &str, path: &str, text: &str) -> Sha {
        self.fake.origin_commit(&self.repo(), &branch(to), path, text)
    }
    async fn origin_at(&self, of: &str) -> Option<Sha> {
        self.fake.origin_branch(&self.repo(), &branch(of))
    }
    async fn read_exact(&self, key: &str, path: &str) -> Option<String> {
        self.fake.exact_files(&label(key))?.get(path).cloned()
    }
}

/// A bare origin, somebody's clone of it, and real workspaces beside them.
pub(crate) struct RealScene {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) workspaces: Workspaces,
}

impl RealScene {
    pub(crate) async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        std::fs::create_dir(root.join("w")).unwrap();
        git(&root, &root, &["init", "-q", "--bare", "-b", "trunk", "origin.git"]);
        git(&root, &root, &["init", "-q", "-b", "trunk", "else"]);
        let other = root.join("else");
        git(&root, &other, &["remote", "add", "origin", root.join("origin.git").to_str().unwrap()]);
        std::fs::create_dir(other.join("src")).unwrap();
        std::fs::write(other.join("readme"), "hello\n").unwrap();
        std::fs::write(other.join("src/lib"), "one\ntwo\nthree\n").unwrap();
        git(&root, &other, &["add", "-A"]);
        git(&root, &other, &["commit", "-q", "-m", "first"]);
        git(&root, &other, &["push", "-q", "origin", "trunk"]);
        let workspaces = open(&root).await;
        Self { temp, workspaces }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.temp.path().canonicalize().unwrap()
    }

    pub(crate) fn dir(&self, workspace: &str) -> PathBuf {
        self.workspaces.dir(&label(workspace))
    }

    /// Runs git as the agent of a workspace does: with the checkout's own configuration.
    pub(crate) fn agent(&self, workspace: &str, args: &[&str]) -> String {
        git(&self.root(), &self.dir(workspace), args)
    }

    pub(crate) fn somebody_else(&self, args: &[&str]) -> String {
        git(&self.root(), &self.root().join("else"), args)
    }

    pub(crate) fn mirror_dir(&self) -> PathBuf {
        let mirrors = std::fs::read_dir(self.root().join("w/.orcha/mirrors")).unwrap();
        mirrors.map(|it| it.unwrap().path()).find(|it| it.extension().is_some_and(|it| it == "git")).unwrap()
    }

    pub(crate) fn mirror(&self, args: &[&str]) -> String {
        git(&self.root(), &self.mirror_dir(), args)
    }
}

/// What a restarted daemon does.
pub(crate) async fn open(root: &Path) -> Workspaces {
    let settings = GitSettings::new(std::env::var("PATH").unwrap());
    let host = TestHost { root: root.join("w"), user: None };
    Workspaces::open(Arc::new(host), Git::new(settings)).await.unwrap()
}

#[async_trait]
impl Scene for RealScene {
    fn checkouts(&self) -> &dyn Checkouts {
        &self.workspaces
    }
    fn repo(&self) -> RepoUrl {
        self.root().join("origin.git").to_str().unwrap().parse().unwrap()
    }
    async fn write(&self, workspace: &str, path: &str, text: Option<&str>) {
        let path = self.dir(workspace).join(path);
        match text {
            Some(text) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            None => std::fs::remove_file(path).unwrap(),
        }
    }
    async fn read(&self, workspace: &str, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir(workspace).join(path)).ok()
    }
    async fn commit(&self, workspace: &str) -> Sha {
        self.agent(workspace, &["add", "-A"]);
        self.agent(workspace, &["commit", "-q", "-m", "work"]);
        self.agent(workspace, &["rev-parse", "HEAD"]).parse().unwrap()
    }
    async fn origin_commit(&self, to: &str, path: &str, text: &str) -> Sha {
        self.somebody_else(&["fetch", "-q", "origin"]);
        let start = if self.origin_at(to).await.is_some() { format!("origin/{to}") } else { "origin/trunk".to_owned() };
        self.somebody_else(&["checkout", "-q", "-B", to, &start]);
        std::fs::write(self.root().join("else").join(path), text).unwrap();
        self.somebody_else(&["add", "-A"]);
        self.somebody_else(&["commit", "-q", "-m", "somebody"]);
        self.somebody_else(&["push", "-q", "origin", to]);
        self.somebody_else(&["rev-parse", "HEAD"]).parse().unwrap()
    }
    async fn origin_at(&self, of: &str) -> Option<Sha> {
        let name = format!("refs/heads/{of}");
        let origin = self.root().join("origin.git");
        git(&self.root(), &origin, &["for-each-ref", "--format=%(objectname)", &name]).parse().ok()
    }
    async fn read_exact(&self, key: &str, path: &str) -> Option<String> {
        std::fs::read_to_string(self.workspaces.exact_dir(&label(key)).join(path)).ok()
    }
}

/// Plain git as a person runs it, with a home of its own.
pub(crate) fn git(root: &Path, dir: &Path, args: &[&str]) -> String {
    let output = try_git(root, dir, args);
    assert!(output.status.success(), "git {args:?} in {dir:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// The same, for a command that may fail.
pub(crate) fn try_git(root: &Path, dir: &Path, args: &[&str]) -> std::process::Output {
    std::process::Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", root.join("home"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "agent")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "agent@here")))
        .output()
        .unwrap()
}

/// A host that can only run commands to their end.
#[derive(Debug)]
pub(crate) struct TestHost {
    pub(crate) root: PathBuf,
    /// Runs everything as this user; only root can.
    pub(crate) user: Option<u32>,
}

#[async_trait]
impl Host for TestHost {
    fn work_root(&self) -> &Path {
        &self.root
    }

    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let program = command.program.clone();
        let streams = |source| CommandError::Streams { program: program.clone(), source };
        let mut process = tokio::process::Command::new(&command.program);
        if let Some(user) = self.user {
            process.uid(user).gid(user);
        }
        let mut child = process
            .args(&command.args)
            .current_dir(&command.dir)
            .env_clear()
            .envs(command.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CommandError::Spawn { program: program.clone(), source })?;
        let mut stdin = child.stdin.take().unwrap();
        let feed = async {
            // A program that does not read its input closes it early.
            let fed = stdin.write_all(&command.stdin).await;
            drop(stdin);
            fed.or_else(|e| if e.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
        };
        let run = async { tokio::join!(feed, child.wait_with_output()) };
        let (fed, output) = tokio::time::timeout(command.timeout, run)
            .await
            .map_err(|_| CommandError::TimedOut { program: program.clone(), after: command.timeout })?;
        fed.map_err(streams)?;
        let mut output = output.map_err(streams)?;
        let truncated = output.stdout.len() > command.keep || output.stderr.len() > command.keep;
        output.stdout.truncate(command.keep);
        output.stderr.truncate(command.keep);
        let status = match output.status.code() {
            Some(code) => ExitStatus::Code(code),
            None => ExitStatus::Signal(output.status.signal().unwrap_or(0)),
        };
        Ok(Output { status, stdout: output.stdout, stderr: output.stderr, truncated })
    }

    async fn start(&self, _: &RunSpec) -> Result<Started, RunError> {
        unreachable!()
    }
    async fn look(&self, _: &RunLabel) -> Result<RunState, RunError> {
        unreachable!()
    }
    async fn runs(&self) -> Result<Vec<RunReport>, RunError> {
        unreachable!()
    }
    async fn read(&self, _: &RunLabel, _: Stream, _: u64, _: usize) -> Result<Chunk, RunError> {
        unreachable!()
    }
    async fn changed(&self, _: &RunLabel, _: Seen) -> Result<(), RunError> {
        unreachable!()
    }
    async fn consumed(&self, _: &RunLabel, _: u64) -> Result<(), RunError> {
        unreachable!()
    }
    async fn send(&self, _: &RunLabel, _: &[InputLine]) -> Result<Sent, RunError> {
        unreachable!()
    }
    async fn close_input(&self, _: &RunLabel) -> Result<(), RunError> {
        unreachable!()
    }
    async fn stop(&self, _: &RunLabel, _: Grace) -> Result<Stopped, RunError> {
        unreachable!()
    }
    async fn forget(&self, _: &RunLabel) -> Result<(), RunError> {
        unreachable!()
    }
}
