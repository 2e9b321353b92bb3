//! What a folder shows of its toolchains: names of known files, and the content of those that say something.

use crate::ChecksError;
use orcha_exec::{Command, ExitStatus, Host};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Files whose content is read.
const READ: &[&str] =
    &["package.json", "pyproject.toml", "setup.cfg", "tox.ini", "Makefile", "makefile", "GNUmakefile", "Cargo.toml"];

/// Files that only have to be there.
const SEEN: &[&str] = &[
    "go.mod",
    "Cargo.lock",
    "rustfmt.toml",
    ".rustfmt.toml",
    "clippy.toml",
    ".clippy.toml",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "pytest.ini",
    "conftest.py",
    "ruff.toml",
    ".ruff.toml",
    "requirements.txt",
    "pom.xml",
    "mvnw",
    "build.gradle",
    "build.gradle.kts",
    "gradlew",
    "test_*.py",
    "*_test.py",
];

/// Folders that hold other people's things.
const FOREIGN: &[&str] = &[".git", "node_modules", "target", "vendor", ".venv", "venv", "dist", "build", "third_party"];

/// A file of this kind is never longer.
const LONGEST: usize = 256 << 10;

/// The files of a folder that say something, by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, String>);

impl Tree {
    /// Looks at a folder of a host, its folders and theirs. Links are not followed.
    pub(crate) async fn look(host: &dyn Host, path: &str, dir: &Path) -> Result<Self, ChecksError> {
        let tool = |program: &str| {
            let mut command = Command::new(program, host.work_root()).env("PATH", path).env("LC_ALL", "C");
            command.timeout = Duration::from_secs(60);
            command.keep = 1 << 20;
            command
        };
        let mut find = tool("find").arg(dir.display().to_string()).args(["-maxdepth", "3", "("]);
        for (at, name) in FOREIGN.iter().enumerate() {
            find = find.args(if at == 0 { &["-name"][..] } else { &["-o", "-name"] }.iter().copied()).arg(*name);
        }
        find = find.args([")", "-prune", "-o", "-type", "f", "("]);
        for (at, name) in READ.iter().chain(SEEN).enumerate() {
            find = find.args(if at == 0 { &["-name"][..] } else { &["-o", "-name"] }.iter().copied()).arg(*name);
        }
        let find = find.args([")", "-printf", "%P\\0"]);
        let output = host.run(&find).await.map_err(|source| ChecksError::Look { source })?;
        if output.status != ExitStatus::Code(0) {
            return Err(ChecksError::Complaint { complaint: output.complaint() });
        }
        let mut tree = Self::default();
        for path in output.stdout.split(|b| *b == 0).filter_map(|it| std::str::from_utf8(it).ok()) {
            if path.is_empty() || tree.0.len() >= 2000 {
                continue;
            }
            let (folder, name) = split(path);
            // Below the second level only tests count.
            let content = if READ.contains(&name) && folder.matches('/').count() == 0 {
                let head =
                    tool("head").args(["-c", &LONGEST.to_string(), "--"]).arg(dir.join(path).display().to_string());
                let read = host.run(&head).await.map_err(|source| ChecksError::Look { source })?;
                String::from_utf8_lossy(&read.stdout).into_owned()
            } else {
                String::new()
            };
            tree.0.insert(path.to_owned(), content);
        }
        Ok(tree)
    }

    /// Reads one file, if it is there and is one.
    pub(crate) async fn config(host: &dyn Host, path: &str, dir: &Path) -> Result<Option<String>, ChecksError> {
        let file = dir.join(".orcha/checks.toml").display().to_string();
        let command = |program: &str| {
            let mut command = Command::new(program, host.work_root()).env("PATH", path).env("LC_ALL", "C");
            command.keep = LONGEST;
            command
        };
        let there = command("find").arg(dir.display().to_string()).args(["-path", &file, "-type", "f", "-print"]);
        let there = host.run(&there.args(["-quit"])).await.map_err(|source| ChecksError::Look { source })?;
        if there.stdout.is_empty() {
            return Ok(None);
        }
        let read = command("cat").args(["--", &file]);
        let output = host.run(&read).await.map_err(|source| ChecksError::Look { source })?;
        if output.status != ExitStatus::Code(0) || output.truncated {
            return Err(ChecksError::Complaint { complaint: output.complaint() });
        }
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Returns the content of a file.
    pub(crate) fn get(&self, folder: &str, name: &str) -> Option<&str> {
        self.0.get(&join(folder, name)).map(String::as_str)
    }

    /// Tells whether a folder has one of some files.
    pub(crate) fn has(&self, folder: &str, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(&join(folder, name)))
    }

    /// Returns the project itself if it has one of some files, otherwise the folders in it that do.
    pub(crate) fn places(&self, names: &[&str]) -> Vec<String> {
        if self.has("", names) {
            return vec![String::new()];
        }
        let mut places: Vec<String> = Vec::new();
        for path in self.0.keys() {
            let (folder, name) = split(path);
            if !folder.contains('/') && names.contains(&name) && !places.iter().any(|it| it == folder) {
                places.push(folder.to_owned());
            }
        }
        places.truncate(8);
        places
    }

    /// Tells whether a folder has Python tests.
    pub(crate) fn has_python_tests(&self, folder: &str) -> bool {
        self.0.keys().any(|path| {
            let inside = folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
            let name = split(path).1;
            inside && ((name.starts_with("test_") && name.ends_with(".py")) || name.ends_with("_test.py"))
        })
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
