//! Whether a real program may be used here, and a place for a test of it that reaches nothing but its own loopback.
//!
//! For tests and the project's own commands, which all ask here. It installs nothing.

use crate::programs::{self, CLAUDE_VARIABLE, Program, Terms};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

/// Set for the run inside the namespace.
const INSIDE: &str = "ORCHA_TEST_IN_NAMESPACE";

/// Names the file in which tests say that they did not run.
const SKIPS: &str = "ORCHA_SKIP_LOG";

/// Returns why a program may not or cannot be used here, whether it is installed or not.
pub fn hindrance(program: &Program) -> Option<String> {
    let accepted = std::env::var_os(CLAUDE_VARIABLE).is_some_and(|value| value == "1");
    if program.terms == Terms::OptIn && !accepted {
        return Some(format!("it is under its maker's own terms; set {CLAUDE_VARIABLE}=1 if you have accepted them"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_node = || std::env::split_paths(&path).any(|folder| folder.join("node").is_file());
    (program.needs_node() && !has_node()).then(|| "it needs Node, which is not in PATH".to_owned())
}

/// Returns the words that start a program, or why it cannot be used.
pub fn usable(program: &Program) -> Result<Vec<OsString>, String> {
    if let Some(reason) = hindrance(program) {
        return Err(reason);
    }
    let cache = programs::cache(|name| std::env::var_os(name)).ok_or("there is no place for agent programs")?;
    let hint = || format!("{} is not installed; `cargo xtask agents {}` does that", program.spec(), program.name);
    program.command(&cache).ok_or_else(hint)
}

/// Returns the words before a command that must not reach the network, and whose processes all end with it; nothing
/// where there can be no such place.
pub fn namespace() -> Option<Vec<OsString>> {
    let own = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let unprivileged = [&["--user", "--map-root-user"][..], &own].concat();
    [&own[..], &unprivileged].into_iter().find_map(|flags| {
        let inside = ["sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"];
        let words: Vec<OsString> = ["unshare"].iter().chain(flags).chain(&inside).map(OsString::from).collect();
        let probe = Command::new(&words[0]).args(&words[1..]).arg("true").stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success()).then_some(words)
    })
}

/// What becomes of a test that is to run in a namespace.
#[derive(Debug)]
pub enum Place {
    /// This is the run inside: play.
    Here,
    /// It was run inside by another process, which ended so.
    There(ExitStatus),
    /// There can be no namespace here, for this reason.
    Nowhere(&'static str),
}

/// Runs one test of this very program again in a namespace, unless this is that run.
pub fn isolated(test: &str) -> io::Result<Place> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Place::Here);
    }
    let Some(words) = namespace() else {
        return Ok(Place::Nowhere(
            "no namespace without a network can be had here (unshare and ip are needed, and the right to use them)",
        ));
    };
    let mut again = Command::new(&words[0]);
    again.args(&words[1..]).arg(std::env::current_exe()?);
    again.args(["--exact", test, "--nocapture", "--include-ignored"]).env(INSIDE, "1");
    again.status().map(Place::There)
}

/// Says aloud that a test did not run, and has it counted.
pub fn skip(test: &str, reason: &str) -> io::Result<()> {
    let line = format!("{test}: {reason}");
    eprintln!("SKIPPED {line}");
    match std::env::var_os(SKIPS) {
        Some(log) => writeln!(File::options().create(true).append(true).open(log)?, "{line}"),
        None => Ok(()),
    }
}
