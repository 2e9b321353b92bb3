//! Processes that were started for a folder: they carry its path in their environment or their arguments.

use std::path::Path;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line, for people.
    pub command: String,
}

/// Returns every live process that belongs to a folder, but for ourselves.
pub fn of(folder: &Path) -> Vec<Process> {
    let mark = folder.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry.unwrap().file_name().to_str().and_then(|it| it.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        // Both are empty for a process that has ended and was not reaped, and missing for one that is gone.
        let [environment, command] =
            ["environ", "cmdline"].map(|it| std::fs::read(format!("/proc/{pid}/{it}")).unwrap_or_default());
        if [&environment, &command].iter().any(|it| it.windows(mark.len()).any(|part| part == mark)) {
            found.push(Process { pid, command: String::from_utf8_lossy(&command).replace('\0', " ") });
        }
    }
    found
}

/// Kills everything that belongs to a folder; returns what it was.
pub fn end(folder: &Path) -> Vec<Process> {
    let found = of(folder);
    for it in &found {
        if let Err(fault) = std::process::Command::new("kill").args(["-KILL", &it.pid.to_string()]).status() {
            eprintln!("{it:?} could not be ended: {fault}");
        }
    }
    found
}
