//! Git commands that execute nothing a checkout brings along.
//!
//! A [`Git`] turns its settings into command lines with a closed environment: no system or user
//! configuration, no hooks, no file system monitor, no pager, no prompt, no credential helper, no lazy
//! fetch, no submodule recursion, and only the transports that we name. The repository is always named
//! with `--git-dir`, so git never goes looking for one.
//!
//! What stays with the caller: a repository's own `config` is still read. Filters, merge drivers and
//! remotes of a checkout that an agent could write to are only out of reach when `--git-dir` names a
//! repository of ours and the checkout is no more than its work tree; `orcha-workspace` does that.
//! Nothing here knows mirrors, checkouts or code hosts, and nothing reads the process environment.

use crate::{Command, CommandError, ExitStatus, Host, Output};
use orcha_base::{Retry, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The oldest git whose hardening switches all work (`safe.bareRepository` came with it).
pub const OLDEST: GitVersion = GitVersion { major: 2, minor: 40 };

/// What the daemon knows of its surroundings and hands to git; everything else is fixed here.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// `PATH` of git and of what it starts (ssh).
    pub path: String,
    /// `HOME`, for ssh keys and known hosts. Git itself reads no configuration from it.
    pub home: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`, for keys that only an agent holds.
    pub ssh_auth_sock: Option<PathBuf>,
    /// The only ssh command line that git may use.
    pub ssh_command: String,
    /// Further variables, such as `https_proxy` or `SSL_CERT_FILE`. They cannot replace ours.
    pub extra_env: Vec<(String, String)>,
    /// How long a command may take that moves objects over a network.
    pub transfer_timeout: Duration,
    /// How long any other command may take.
    pub timeout: Duration,
}

impl GitSettings {
    /// Takes a `PATH`; no home, ssh without questions, 10 minutes for a transfer and 2 for the rest.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            home: None,
            ssh_auth_sock: None,
            ssh_command: "ssh -o BatchMode=yes -o ConnectTimeout=20".to_owned(),
            extra_env: Vec::new(),
            transfer_timeout: Duration::from_secs(600),
            timeout: Duration::from_secs(120),
        }
    }
}

/// Who a commit is by.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// Builds hardened git commands. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    settings: Arc<GitSettings>,
}

impl Git {
    /// Takes the settings.
    pub fn new(settings: GitSettings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &GitSettings {
        &self.settings
    }

    /// Starts a command on the repository whose git directory this is; it runs in that directory.
    pub fn at(&self, git_dir: &Path, subcommand: &'static str) -> GitCommand {
        GitCommand::new(self.settings.clone(), subcommand, git_dir).word(format!("--git-dir={}", git_dir.display()))
    }

    /// Starts a command on a repository and a work tree, whichever belongs to whom; it runs in the work tree.
    pub fn on_work_tree(&self, git_dir: &Path, work_tree: &Path, subcommand: &'static str) -> GitCommand {
        GitCommand::new(self.settings.clone(), subcommand, work_tree)
            .word(format!("--git-dir={}", git_dir.display()))
            .word(format!("--work-tree={}", work_tree.display()))
    }

    /// Starts a command that belongs to no repository: `init`, `ls-remote`, `version`. It runs in `dir`,
    /// and no repository above `dir` is found by it.
    pub fn nowhere(&self, dir: &Path, subcommand: &'static str) -> GitCommand {
        let ceiling = dir.parent().unwrap_or(dir).display().to_string();
        GitCommand::new(self.settings.clone(), subcommand, dir).env("GIT_CEILING_DIRECTORIES", ceiling)
    }

    /// Starts another program with the same closed environment: the file tools beside git.
    pub fn beside(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program, dir);
        command.env = environment(&self.settings);
        command.timeout = self.settings.timeout;
        command
    }

    /// Asks for the version and refuses one that is too old for the switches used here.
    pub async fn check_version(&self, host: &dyn Host) -> Result<GitVersion, GitError> {
        let said = self.nowhere(host.work_root(), "version").text(host).await?;
        let found = GitVersion::parse(&said).ok_or(GitError::Answer { step: "version", text: said })?;
        if found < OLDEST { Err(GitError::TooOld { found }) } else { Ok(found) }
    }
}

/// A git command in the making: the subcommand is fixed, its arguments follow.
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until it is run"]
pub struct GitCommand {
    step: &'static str,
    before: Vec<String>,
    globals: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: PathBuf,
    stdin: Vec<u8>,
    timeout: Duration,
    keep: usize,
    settings: Arc<GitSettings>,
}

impl GitCommand {
    fn new(settings: Arc<GitSettings>, step: &'static str, dir: &Path) -> Self {
        Self {
            step,
            before: Vec::new(),
            globals: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.to_owned(),
            stdin: Vec::new(),
            timeout: settings.timeout,
            keep: 16 << 20,
            settings,
        }
    }

    fn word(mut self, word: String) -> Self {
        self.globals.push(word);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds the switches without which a diff may run programs: for `diff*`, `log` and `show`.
    pub fn plain_diff(self) -> Self {
        self.args(["--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty"])
    }

    /// Ends the options: what follows is a revision, a remote or a ref, whatever it looks like.
    pub fn end_of_options(self) -> Self {
        self.arg("--end-of-options")
    }

    /// Adds a line of configuration for this command only; it beats the repository's own.
    pub fn config(self, key: &str, value: &str) -> Self {
        self.word("-c".to_owned()).word(format!("{key}={value}"))
    }

    /// Sets one variable for this command only.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Commits as this person, at this instant or, without one, at the present of the machine.
    pub fn identity(self, who: &Identity, at: Option<Timestamp>) -> Self {
        let named = ["AUTHOR", "COMMITTER"].into_iter().fold(self, |command, part| {
            command.env(format!("GIT_{part}_NAME"), &who.name).env(format!("GIT_{part}_EMAIL"), &who.email)
        });
        let Some(at) = at else { return named };
        let date = format!("@{} +0000", at.as_micros().div_euclid(1_000_000));
        named.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date)
    }

    /// Gives it bytes to read.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Allows it the time of a transfer over a network.
    pub fn transfer(mut self) -> Self {
        self.timeout = self.settings.transfer_timeout;
        self
    }

    /// Keeps this many bytes of each output stream.
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }

    /// Puts words in front of `git`: a lock program, for example.
    pub fn behind<A: Into<String>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.before.extend(words.into_iter().map(Into::into));
        self
    }

    /// Returns the whole command.
    pub fn into_command(self) -> Command {
        let mut words = self.before;
        words.push("git".to_owned());
        for setting in HARDENED {
            words.push("-c".to_owned());
            words.push((*setting).to_owned());
        }
        words.extend(self.globals);
        words.push(self.step.to_owned());
        words.extend(self.args);
        let program = words.remove(0);
        let mut env = environment(&self.settings);
        for (key, value) in self.env {
            set_variable(&mut env, &key, value);
        }
        Command { program, args: words, dir: self.dir, env, stdin: self.stdin, timeout: self.timeout, keep: self.keep }
    }

    /// Runs it and returns what it printed, however it ended: for questions whose answer is the exit code.
    pub async fn outcome(self, host: &dyn Host) -> Result<Output, GitError> {
        let step = self.step;
        host.run(&self.into_command()).await.map_err(|source| GitError::Command { step, source })
    }

    /// Runs it; an exit code other than zero is an error.
    pub async fn run(self, host: &dyn Host) -> Result<Output, GitError> {
        let step = self.step;
        let output = self.outcome(host).await?;
        if output.status.success() { Ok(output) } else { Err(GitError::failed(step, &output)) }
    }

    /// Runs it and returns standard output as text; output that was cut is an error.
    pub async fn text(self, host: &dyn Host) -> Result<String, GitError> {
        let step = self.step;
        let output = self.run(host).await?;
        if output.truncated { Err(GitError::Cut { step }) } else { Ok(output.text()) }
    }

    /// Asks a question that git answers by exit code: 0 is yes, 1 is no, anything else is an error.
    pub async fn yes(self, host: &dyn Host) -> Result<bool, GitError> {
        let step = self.step;
        let output = self.outcome(host).await?;
        match output.status {
            ExitStatus::Code(0) => Ok(true),
            ExitStatus::Code(1) => Ok(false),
            ExitStatus::Code(_) | ExitStatus::Signal(_) => Err(GitError::failed(step, &output)),
        }
    }
}

/// Settings of every command. Given on the command line they beat what a repository says.
const HARDENED: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "core.quotePath=false",
    "safe.bareRepository=explicit",
    "protocol.ext.allow=never",
    "credential.helper=",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "transfer.fsckObjects=true",
    // Old projects carry these harmless blemishes in their history.
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "push.gpgSign=false",
    "core.packedRefsTimeout=5000",
    "core.filesRefLockTimeout=1000",
];

/// The whole environment; ours is set last, so that nothing handed in replaces it.
fn environment(settings: &GitSettings) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for (key, value) in &settings.extra_env {
        set_variable(&mut env, key, value.clone());
    }
    let mut set = |key: &str, value: String| set_variable(&mut env, key, value);
    if let Some(home) = &settings.home {
        set("HOME", home.display().to_string());
    }
    if let Some(socket) = &settings.ssh_auth_sock {
        set("SSH_AUTH_SOCK", socket.display().to_string());
    }
    set("PATH", settings.path.clone());
    set("GIT_SSH_COMMAND", settings.ssh_command.clone());
    for (key, value) in [
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", ""),
        ("GIT_EDITOR", ":"),
        ("GIT_ALLOW_PROTOCOL", "file:https:http:ssh"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
    ] {
        set(key, value.to_owned());
    }
    env
}

fn set_variable(env: &mut Vec<(String, String)>, key: &str, value: String) {
    match env.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value,
        None => env.push((key.to_owned(), value)),
    }
}

/// A version of git, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl GitVersion {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix("git version ")?.split('.');
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

impl std::fmt::Display for GitVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A git command that gave no answer. The step is the subcommand.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It did not come to its end.
    #[error("`git {step}` did not finish")]
    Command {
        /// The subcommand.
        step: &'static str,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// It ended with a failure. The complaint is for people; nothing decides by it.
    #[error("`git {step}` ended with {status}: {complaint}")]
    Failed {
        /// The subcommand.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The tail of its standard error.
        complaint: String,
    },
    /// It printed more than was kept.
    #[error("`git {step}` printed more than can be kept")]
    Cut {
        /// The subcommand.
        step: &'static str,
    },
    /// It printed what this code does not understand.
    #[error("`git {step}` printed something unexpected: {text:?}")]
    Answer {
        /// The subcommand.
        step: &'static str,
        /// The beginning of it.
        text: String,
    },
    /// It is too old.
    #[error("git {found} is too old: {OLDEST} or newer is needed")]
    TooOld {
        /// What is installed.
        found: GitVersion,
    },
}

impl GitError {
    /// Makes the error of a command that ended with a failure.
    pub fn failed(step: &'static str, output: &Output) -> Self {
        Self::Failed { step, status: output.status, complaint: output.complaint() }
    }

    /// Makes the error of an answer that is not understood.
    pub fn answer(step: &'static str, text: &str) -> Self {
        Self::Answer { step, text: text.chars().take(200).collect() }
    }

    /// Tells whether the same command may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Command { source, .. } => source.retry(),
            Self::Failed { .. } => Retry::Later,
            Self::Cut { .. } | Self::Answer { .. } => Retry::Never,
            Self::TooOld { .. } => Retry::AskHuman,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> Git {
        Git::new(GitSettings {
            home: Some("/home/somebody".into()),
            extra_env: vec![
                ("GIT_ALLOW_PROTOCOL".to_owned(), "ext".to_owned()),
                ("https_proxy".to_owned(), "http://127.0.0.1:1".to_owned()),
            ],
            ..GitSettings::new("/usr/bin:/bin")
        })
    }

    fn variable(command: &Command, key: &str) -> Option<String> {
        let mut values = command.env.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone());
        let value = values.next();
        assert_eq!(values.next(), None, "{key} is set twice");
        value
    }

    #[test]
    fn settings_come_before_the_subcommand_and_arguments_after_it() {
        let command = git()
            .at(Path::new("/r.git"), "log")
            .config("a.b", "c")
            .plain_diff()
            .end_of_options()
            .arg("-x")
            .into_command();
        assert_eq!(command.program, "git");
        let at = command.args.iter().position(|arg| arg == "log").unwrap();
        assert!(command.args[..at].contains(&"core.hooksPath=/dev/null".to_owned()));
        assert_eq!(command.args[at - 3..at], ["--git-dir=/r.git", "-c", "a.b=c"]);
        assert_eq!(command.args.last().unwrap(), "-x");
        assert_eq!(command.args[command.args.len() - 2], "--end-of-options");
        assert_eq!(command.dir, Path::new("/r.git"));
    }

    #[test]
    fn what_is_handed_in_cannot_replace_a_hardened_variable() {
        let command = git().nowhere(Path::new("/w/root"), "ls-remote").into_command();
        assert_eq!(variable(&command, "GIT_ALLOW_PROTOCOL").unwrap(), "file:https:http:ssh");
        assert_eq!(variable(&command, "https_proxy").unwrap(), "http://127.0.0.1:1");
        assert_eq!(variable(&command, "GIT_CONFIG_GLOBAL").unwrap(), "/dev/null");
        assert_eq!(variable(&command, "GIT_CEILING_DIRECTORIES").unwrap(), "/w");
        assert_eq!(variable(&command, "HOME").unwrap(), "/home/somebody");
        assert_eq!(variable(&command, "USER"), None);
    }

    #[test]
    fn a_lock_program_goes_in_front_and_the_identity_into_the_environment() {
        let who = Identity { name: "A".to_owned(), email: "a@b".to_owned() };
        let at = Some(Timestamp::from_micros(-1));
        let command =
            git().at(Path::new("/r.git"), "commit-tree").behind(["flock", "/l"]).identity(&who, at).into_command();
        assert_eq!(
            (command.program.as_str(), command.args[0].as_str(), command.args[1].as_str()),
            ("flock", "/l", "git")
        );
        assert_eq!(variable(&command, "GIT_AUTHOR_NAME").unwrap(), "A");
        assert_eq!(variable(&command, "GIT_COMMITTER_DATE").unwrap(), "@-1 +0000");
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(GitVersion::parse("git version 2.47.3"), Some(GitVersion { major: 2, minor: 47 }));
        assert_eq!(GitVersion::parse("git version 2.39.5 (Apple Git-154)"), Some(GitVersion { major: 2, minor: 39 }));
        assert_eq!(GitVersion::parse("svn 1"), None);
        assert!(GitVersion::parse("git version 2.9.1").unwrap() < OLDEST);
    }
}
