//! The files of a run directory: their names, their formats, and how they are written.
//!
//! Shared by the keeper and the host. Nothing here starts, signals or waits.

use crate::table::Identity;
use crate::{ExitStatus, InputLine, Isolation, RunLabel, Sandbox, Started};
use orcha_base::Confinement;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) const SPEC: &str = "spec.json";
pub(crate) const INPUT: &str = "input";
pub(crate) const INPUT_END: &str = "input.end";
pub(crate) const OUTPUT: &str = "output";
pub(crate) const ERROR: &str = "error";
pub(crate) const CONSUMED: &str = "consumed";
pub(crate) const PROCESS: &str = "process";
pub(crate) const STOP: &str = "stop";
pub(crate) const EXIT: &str = "exit";
/// Held exclusively by the one keeper of the run.
pub(crate) const LOCK: &str = "lock";
/// A FIFO: one byte wakes the keeper, which then looks at every file that the daemon writes.
pub(crate) const BELL: &str = "bell";
/// Present from just before the process is spawned: tells a second keeper that the first got that far.
pub(crate) const STARTING: &str = "starting";
/// Why nothing could be started.
pub(crate) const FAILED: &str = "failed";
/// Why the keeper itself gave up, for people.
pub(crate) const TROUBLE: &str = "trouble";
/// The folder of a confined process for temporary files.
pub(crate) const TEMP: &str = "tmp";

/// The names that a spec's own files may not take.
pub(crate) const RESERVED: [&str; 15] =
    [SPEC, INPUT, INPUT_END, OUTPUT, ERROR, CONSUMED, PROCESS, STOP, EXIT, LOCK, BELL, STARTING, FAILED, TROUBLE, TEMP];

/// The variable whose value marks every descendant of a run.
pub(crate) const MARK: &str = "ORCHA_RUN";

/// What the keeper needs to know, in `spec.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpecFile {
    pub(crate) label: RunLabel,
    /// `<label>:<random>`, the value of [`MARK`].
    pub(crate) mark: String,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) dir: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) line_cap: u64,
    pub(crate) backlog_cap: u64,
    /// The cgroup that the keeper shall make for the process, if this machine has cgroups.
    pub(crate) cgroup: Option<PathBuf>,
    /// How the process is confined.
    #[serde(default)]
    pub(crate) sandbox: Sandbox,
}

/// Who runs, in `process`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    pub(crate) keeper: Identity,
    pub(crate) child: Identity,
    /// Identities mean nothing under another boot.
    pub(crate) boot: String,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) mark: String,
    /// How the process is really confined; none in what an older keeper wrote.
    #[serde(default)]
    pub(crate) confinement: Option<Confinement>,
}

impl ProcessRecord {
    pub(crate) fn isolation(&self) -> Isolation {
        match self.cgroup {
            Some(_) => Isolation::Cgroup,
            None => Isolation::Subreaper,
        }
    }

    pub(crate) fn started(&self, fresh: bool) -> Started {
        Started { pid: self.child.pid, fresh, isolation: self.isolation(), confinement: self.confinement.clone() }
    }
}

/// How it ended, in `exit`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) status: ExitStatus,
    /// Descendants outside the process group that had to be ended.
    pub(crate) strays: usize,
    /// Descendants that were still alive when the keeper gave up on them.
    pub(crate) left: usize,
}

/// Why nothing was started, in `failed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FailRecord {
    pub(crate) program: String,
    pub(crate) detail: String,
}

/// One line of the `input` log: the lines of one `send`, so that a torn tail holds none of them.
pub(crate) fn input_record(lines: &[&InputLine]) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(lines)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads one line of the `input` log, without its line break.
pub(crate) fn parse_input(record: &[u8]) -> io::Result<Vec<InputLine>> {
    Ok(serde_json::from_slice(record)?)
}

/// Reads a JSON file; `None` when it is not there, or torn by a power cut: such a file was written
/// without [`Durability`], and nothing may have followed from it yet.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) if bytes.is_empty() || bytes.contains(&0) || error.is_eof() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Creates a private file that must not exist yet.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// How well a file written by [`replace`] must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The page cache is enough.
    Cache,
    /// The content is on disk before the name is, and both before this returns.
    Disk,
}

/// Writes a whole file at once: a reader sees all of it or the one before.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if durability == Durability::Disk {
        file.sync_all()?;
    }
    fs::rename(&temporary, dir.join(name))?;
    if durability == Durability::Disk {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// The content of `consumed`: of constant width, so that it is overwritten in place.
pub(crate) fn consumed_text(offset: u64) -> String {
    format!("{offset:020}\n")
}

/// Brings a file and its name to the disk.
pub(crate) fn settle(dir: &Path, name: &str) -> io::Result<()> {
    File::open(dir.join(name))?.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Draws 128 random bits from the kernel, as hex.
pub(crate) fn token() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().replace('-', ""))
}

/// Tells whether a write failed for want of space, which may come back.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
