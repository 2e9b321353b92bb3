//! Files of a host, touched through its own small programs.
//!
//! No shell: every path is an argument after `--` or an absolute path. Nothing here knows git.

use crate::WorkspaceError;
use orcha_exec::git::Git;
use orcha_exec::{Command, ExitStatus, Host, Output};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// The file tools of one host.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) git: Git,
    /// `<work_root>/.orcha/trash`.
    trash: PathBuf,
}

/// What stands at a path, without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link,
    Other,
}

impl Files {
    pub(crate) fn new(host: Arc<dyn Host>, git: Git) -> Self {
        let trash = host.work_root().join(".orcha/trash");
        Self { host, git, trash }
    }

    /// Makes folders with their parents.
    pub(crate) async fn make_folders(&self, dirs: &[&Path]) -> Result<(), WorkspaceError> {
        let command = self.tool("mkdir").args(["-p", "--"]).args(dirs.iter().map(|dir| text(dir)));
        self.run("making folders", command).await.map(|_| ())
    }

    /// Says what stands at each path; what is missing from the answer does not exist.
    pub(crate) async fn look(&self, paths: &[PathBuf]) -> Result<BTreeMap<PathBuf, Kind>, WorkspaceError> {
        let command =
            self.tool("find").args(paths.iter().map(|path| text(path))).args(["-maxdepth", "0", "-printf", "%y %p\\0"]);
        // Missing paths make `find` complain; what it printed about the others holds.
        let output = self.outcome("looking at files", command).await?;
        let mut found = BTreeMap::new();
        for entry in output.stdout.split(|b| *b == 0).filter(|entry| entry.len() > 2) {
            let kind = match entry[0] {
                b'd' => Kind::Folder,
                b'f' => Kind::File,
                b'l' => Kind::Link,
                _ => Kind::Other,
            };
            found.insert(PathBuf::from(String::from_utf8_lossy(&entry[2..]).into_owned()), kind);
        }
        Ok(found)
    }

    /// Says what stands at a path.
    pub(crate) async fn kind(&self, path: &Path) -> Result<Option<Kind>, WorkspaceError> {
        Ok(self.look(&[path.to_owned()]).await?.remove(path))
    }

    /// Reads a file.
    pub(crate) async fn read(&self, path: &Path) -> Result<Vec<u8>, WorkspaceError> {
        Ok(self.run("reading a file", self.tool("cat").arg("--").arg(text(path))).await?.stdout)
    }

    /// Replaces a file in one step; a crash leaves the old one or the new one.
    pub(crate) async fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
        let fresh = PathBuf::from(format!("{}.fresh", path.display()));
        self.write_in_place(&fresh, bytes, &[]).await?;
        self.rename(&fresh, path).await
    }

    /// Adds bytes to a file of ours that nobody else sees yet.
    pub(crate) async fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
        self.write_in_place(path, bytes, &["oflag=append", "conv=notrunc"]).await
    }

    async fn write_in_place(&self, path: &Path, bytes: &[u8], how: &[&str]) -> Result<(), WorkspaceError> {
        let how = if how.is_empty() { &["conv=fsync"][..] } else { how };
        let mut command =
            self.tool("dd").arg("status=none").args(how.iter().copied()).arg(format!("of={}", path.display()));
        command.stdin = bytes.to_vec();
        self.run("writing a file", command).await.map(|_| ())
    }

    /// Copies a file over another.
    pub(crate) async fn copy(&self, from: &Path, to: &Path) -> Result<(), WorkspaceError> {
        let command = self.tool("cp").args(["-p", "-T", "--"]).arg(text(from)).arg(text(to));
        self.run("copying a file", command).await.map(|_| ())
    }

    /// Renames a file over another, or a folder to a name that is free.
    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> Result<(), WorkspaceError> {
        let command = self.tool("mv").args(["-f", "-T", "--"]).arg(text(from)).arg(text(to));
        self.run("renaming", command).await.map(|_| ())
    }

    /// Deletes files that may be absent.
    pub(crate) async fn delete(&self, paths: &[PathBuf]) -> Result<(), WorkspaceError> {
        let command = self.tool("rm").args(["-r", "-f", "--"]).args(paths.iter().map(|path| text(path)));
        self.run("deleting files", command).await.map(|_| ())
    }

    /// Deletes a folder: out of sight in one step first, so that a half-deleted one is never met. What its
    /// owner forbade to change (caches of build tools do) goes all the same.
    pub(crate) async fn discard(&self, dir: &Path) -> Result<(), WorkspaceError> {
        if self.kind(dir).await?.is_none() {
            return Ok(());
        }
        let bin =
            self.run("making a folder", self.tool("mktemp").arg("-d").arg(text(&self.trash.join("XXXXXXXX")))).await?;
        let bin = PathBuf::from(bin.text());
        if let Err(error) = self.rename(dir, &bin.join("it")).await {
            // A folder that may not be written may not be moved to another parent either.
            let open_up = self.tool("chmod").args(["u+rwx", "--", &text(dir)]);
            if !self.outcome("opening a folder", open_up).await?.status.success() {
                return Err(error);
            }
            self.rename(dir, &bin.join("it")).await?;
        }
        self.burn(&bin).await
    }

    /// Deletes something in the trash. What cannot be deleted (files of another user) stays there, aloud.
    async fn burn(&self, bin: &Path) -> Result<(), WorkspaceError> {
        let remove = || self.slow("rm").args(["-r", "-f", "--", &text(bin)]);
        if self.outcome("deleting files", remove()).await?.status.success() {
            return Ok(());
        }
        self.outcome("opening folders", self.slow("chmod").args(["-R", "u+rwX", "--", &text(bin)])).await?;
        let output = self.outcome("deleting files", remove()).await?;
        if !output.status.success() {
            warn!("{} could not be deleted and takes space: {}", bin.display(), output.complaint());
        }
        Ok(())
    }

    /// Moves something that nobody asked for to a place where it stays.
    pub(crate) async fn set_aside(&self, dir: &Path, kept: &Path, name: &str) -> Result<PathBuf, WorkspaceError> {
        let nest = self
            .run("making a folder", self.tool("mktemp").arg("-d").arg(text(&kept.join(format!("{name}-XXXXXXXX")))))
            .await?;
        let place = PathBuf::from(nest.text()).join("it");
        self.rename(dir, &place).await?;
        Ok(place)
    }

    /// Deletes what earlier deletions left behind.
    pub(crate) async fn empty_trash(&self) -> Result<(), WorkspaceError> {
        let command = self.tool("find").arg(text(&self.trash)).args(["-mindepth", "1", "-maxdepth", "1", "-print0"]);
        let listed = self.run("looking into the trash", command).await?;
        for bin in listed.stdout.split(|b| *b == 0).filter(|bin| !bin.is_empty()) {
            self.burn(Path::new(&*String::from_utf8_lossy(bin))).await?;
        }
        Ok(())
    }

    /// Starts the command line of a tool.
    pub(crate) fn tool(&self, program: &str) -> Command {
        self.git.beside(program, self.host.work_root())
    }

    /// Starts the command line of a tool that walks through many files.
    fn slow(&self, program: &str) -> Command {
        let mut command = self.tool(program);
        command.timeout = self.git.settings().transfer_timeout;
        command
    }

    /// Runs a tool; an exit code other than zero is an error.
    pub(crate) async fn run(&self, step: &'static str, command: Command) -> Result<Output, WorkspaceError> {
        let output = self.outcome(step, command).await?;
        match output.status {
            ExitStatus::Code(0) => Ok(output),
            status => Err(WorkspaceError::ToolFailed { step, status, complaint: output.complaint() }),
        }
    }

    /// Runs a tool and returns what it printed, however it ended.
    pub(crate) async fn outcome(&self, step: &'static str, command: Command) -> Result<Output, WorkspaceError> {
        self.host.run(&command).await.map_err(|source| WorkspaceError::Tool { step, source })
    }
}

/// The path as an argument. Every path here is built from a work root and checked names.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
