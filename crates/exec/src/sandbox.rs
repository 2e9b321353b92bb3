//! How a run is kept away from what is not its own: what it may touch, and what a machine offers for that.
//!
//! Nothing here confines a run; its keeper does, when it starts the process.

use crate::{Command, execute};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetError, Scope,
};
use orcha_base::SandboxLevel;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long `bwrap` may take to show that it works.
const PATIENCE: Duration = Duration::from_secs(10);

/// What must be had for Landlock to count: Linux 6.2. Before it a file could be cut to nothing all the same.
const NEEDED: ABI = ABI::V3;
/// What is asked for beyond that, and taken as far as it goes: devices, signals, abstract sockets. Linux 6.12.
const WANTED: ABI = ABI::V6;

/// What a run may touch. Beyond this it reads everything that is not hidden, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// By what it is confined.
    pub level: SandboxLevel,
    /// Whether it is not started at all where that is not to be had.
    pub strict: bool,
    /// Whether it may not change its working folder either.
    pub read_only: bool,
    /// Folders and files that it may change besides its working folder and a temporary folder of its own. What is not
    /// there is passed over.
    pub write: Vec<PathBuf>,
    /// Folders that it may change, and that are made where they are not there.
    pub make: Vec<PathBuf>,
    /// What it may read although it lies in a hidden folder.
    pub read: Vec<PathBuf>,
    /// Folders and files of which it sees nothing but what is named above.
    pub hide: Vec<PathBuf>,
    /// Whether it may change its run directory: for programs of ours that keep files there.
    pub run_dir: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            level: SandboxLevel::None,
            strict: false,
            read_only: false,
            write: Vec::new(),
            make: Vec::new(),
            read: Vec::new(),
            hide: Vec::new(),
            run_dir: false,
        }
    }
}

/// A level, and whether a machine has it: how far it goes there, or what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub level: SandboxLevel,
    /// In words for people.
    pub there: Result<String, String>,
}

/// What `bwrap` can do here, once it has shown that. Who asks meanwhile waits for the same trial.
pub(crate) type Shown = OnceCell<String>;

/// Looks what this machine has. Each level is found out by trying; one that worked is not tried again while it is there.
pub(crate) async fn offers(search_path: &str, bubblewrap: &Shown) -> Vec<Offer> {
    let landlock = tokio::task::spawn_blocking(try_landlock).await;
    let landlock = landlock.unwrap_or_else(|_| Err("it could not be tried".to_owned()));
    let bubblewrap = look_for_bubblewrap(search_path, bubblewrap).await;
    vec![
        Offer { level: SandboxLevel::Landlock, there: landlock },
        Offer { level: SandboxLevel::Bubblewrap, there: bubblewrap },
    ]
}

/// Confines a thread that does nothing else: only then it is known whether a container's own rules let us.
fn try_landlock() -> Result<String, String> {
    let tried = std::thread::spawn(|| landlock_rules().and_then(RulesetCreated::restrict_self)).join();
    match tried {
        Ok(Ok(status)) => Ok(extent(&status)),
        Ok(Err(error)) => Err(lack(&error)),
        Err(_) => Err("it could not be tried".to_owned()),
    }
}

/// Begins rules that forbid everything that Landlock knows of.
pub(crate) fn landlock_rules() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()
}

/// What may be done with what is changed.
pub(crate) fn landlock_changes() -> BitFlags<AccessFs> {
    AccessFs::from_all(WANTED)
}

/// Says how far Landlock goes here.
pub(crate) fn extent(status: &RestrictionStatus) -> String {
    match &status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            let abi = kernel_abi.unwrap_or(*effective_abi as i32);
            let scope = if *effective_abi < WANTED { "files only" } else { "files, devices and signals" };
            format!("Landlock ABI {abi}: {scope}")
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => "no Landlock".to_owned(),
    }
}

/// Says what of Landlock is missing.
pub(crate) fn lack(error: &RulesetError) -> String {
    format!("this kernel or container does not give Landlock as of Linux 6.2: {error}")
}

/// The beginning of the command line of `bwrap`: the machine as it is, read-only, with its own processes.
pub(crate) const BWRAP: [&str; 10] =
    ["--unshare-pid", "--unshare-ipc", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"];

async fn look_for_bubblewrap(search_path: &str, shown: &Shown) -> Result<String, String> {
    let there = execute::find_program("bwrap", &[("PATH".to_owned(), search_path.to_owned())]);
    there.map_err(|_| "there is no `bwrap` in PATH".to_owned())?;
    shown.get_or_try_init(|| try_bubblewrap(search_path)).await.cloned()
}

async fn try_bubblewrap(search_path: &str) -> Result<String, String> {
    let mut command = Command::new("bwrap", "/").args(BWRAP).args(["--", "true"]).env("PATH", search_path);
    (command.timeout, command.keep) = (PATIENCE, 4 << 10);
    match execute::execute(&command).await {
        Ok(output) if output.status.success() => Ok("namespaces for files and processes".to_owned()),
        Ok(output) => Err(format!("`bwrap` does not work here: {}", crate::first_line(&output.complaint()))),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Lists the largest folders and files that together are everything but what is hidden.
///
/// Links are left out: where they lead is listed itself, or is hidden.
pub(crate) fn all_but(hidden: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut open = Vec::new();
    let mut split = vec![PathBuf::from("/")];
    while let Some(folder) = split.pop() {
        if hidden.iter().any(|it| folder.starts_with(it)) {
            continue;
        }
        if !hidden.iter().any(|it| it.starts_with(&folder)) {
            open.push(folder);
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_symlink() {
                split.push(entry.path());
            }
        }
    }
    Ok(open)
}

/// Follows the links of a path that is there; `None` when it is not.
pub(crate) fn real(path: &Path) -> io::Result<Option<PathBuf>> {
    match path.canonicalize() {
        Ok(path) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_hidden_is_everything_beside_the_way_to_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["data/work", "home/a", "home/b"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        let open = all_but(&[root.join("data"), root.join("home/a")]).unwrap();
        let mut here: Vec<_> = open.iter().filter_map(|it| it.strip_prefix(&root).ok()).collect();
        here.sort();
        assert_eq!(here, [Path::new("file"), Path::new("home/b")]);
        assert!(open.contains(&PathBuf::from("/usr")) && !open.contains(&PathBuf::from("/")));
        assert_eq!(all_but(&[]).unwrap(), [PathBuf::from("/")]);
    }
}
