//! What the launches of all dialects have in common: the command line, the environment, the opening.
//!
//! Nothing here knows a protocol.

use crate::{Begun, Launch, LaunchError, Mcp, Say};
use orcha_base::{SandboxLevel, Timestamp};
use orcha_exec::{RunSpec, Sandbox};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The private file of a run in which lies what its dialogue needs to open the conversation.
pub(crate) const BRIEF: &str = "brief.json";

/// What every agent sees of the daemon's environment: what programs need to run at all.
const PLAIN: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TERM",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "SSL_CERT_FILE",
];

/// The first prompt of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) key: String,
    pub(crate) text: String,
}

/// Picks what an agent may see of an environment: the plain variables, and those with one of its prefixes.
pub(crate) fn pick(environment: &[(String, String)], prefixes: &[impl AsRef<str>]) -> Vec<(String, String)> {
    let wanted = |key: &str| {
        PLAIN.contains(&key) || prefixes.iter().any(|it| !it.as_ref().is_empty() && key.starts_with(it.as_ref()))
    };
    environment.iter().filter(|(key, _)| wanted(key)).cloned().collect()
}

/// Lays environments over each other; the last one wins.
pub(crate) fn layered<'a>(layers: impl IntoIterator<Item = &'a (String, String)>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (key, value) in layers {
        env.retain(|(known, _)| known != key);
        env.push((key.clone(), value.clone()));
    }
    env
}

/// Splits the command of a launch into its program and leading arguments.
pub(crate) fn command(launch: &Launch, usual: &[String]) -> Result<(String, Vec<String>), LaunchError> {
    let mut words = launch.program.as_deref().unwrap_or(usual).iter().cloned();
    let program = words.next().filter(|it| !it.is_empty()).ok_or_else(|| unsupported("no program is named"))?;
    Ok((program, words.collect()))
}

/// Takes the opening of a launch.
pub(crate) fn opening(launch: &Launch) -> Result<Option<Opening>, LaunchError> {
    match &launch.opening {
        Some(Say::Prompt { key, text }) => Ok(Some(Opening { key: key.clone(), text: text.clone() })),
        Some(Say::Interrupt { .. } | Say::Permission { .. }) => Err(unsupported("a conversation opens with a prompt")),
        None => Ok(None),
    }
}

/// The working folder as text, for protocols that name it.
pub(crate) fn folder(launch: &Launch) -> Result<&str, LaunchError> {
    launch.dir.to_str().ok_or_else(|| unsupported("the path of the working folder is not UTF-8"))
}

/// Puts a run together.
pub(crate) fn run(launch: &Launch, (program, args): (String, Vec<String>), env: Vec<(String, String)>) -> RunSpec {
    RunSpec {
        label: launch.label.clone(),
        program,
        args,
        dir: launch.dir.clone(),
        env,
        files: Vec::new(),
        input: Vec::new(),
        line_cap: 16 << 20,
        backlog_cap: 64 << 20,
        sandbox: Sandbox::default(),
    }
}

/// Tells whether a launch is confined by us.
pub(crate) fn is_confined(launch: &Launch) -> bool {
    launch.sandbox.level != SandboxLevel::None
}

/// The sandbox of a launch, with what the program keeps for itself.
pub(crate) fn confined(launch: &Launch, keeps: &[String], env: &[(String, String)], run_dir: &Path) -> Sandbox {
    let value = |name: &str| env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
    let place = |name: &str| match name.strip_prefix('$') {
        None if name.starts_with(RUN_DIR) => Some(run_dir.join(name[RUN_DIR.len()..].trim_start_matches('/'))),
        None => Some(value("HOME")?.join(name)),
        Some(name) => {
            let (name, below) = name.split_once('/').unwrap_or((name, ""));
            Some(value(name)?.join(below))
        }
    };
    let mut sandbox = launch.sandbox.clone();
    for name in keeps {
        let Some(path) = place(name).filter(|it| it.is_absolute()) else { continue };
        if name.ends_with('/') { sandbox.make.push(path) } else { sandbox.write.push(path) }
    }
    sandbox
}

/// The private file with the daemon's tools.
pub(crate) const MCP_FILE: &str = "mcp.json";

/// The daemon's tools as Claude Code, and many programs after it, read them from a file.
pub(crate) fn mcp_file(mcp: &Mcp) -> String {
    let bearer = format!("Bearer {}", mcp.token.expose());
    json!({"mcpServers": {&mcp.name: {"type": "http", "url": mcp.url, "headers": {"Authorization": bearer}}}})
        .to_string()
}

/// What stands for the directory of a run.
pub(crate) const RUN_DIR: &str = "{run_dir}";

/// Says how long a resume must wait where a program names the file of a conversation by the minute in which it opens it:
/// within that minute it would lay an empty one over it.
pub(crate) fn other_minute(launch: &Launch) -> Result<(), LaunchError> {
    const MINUTE: i64 = 60_000_000;
    let (Some(_), Some(Begun { opened, now })) = (&launch.resume, launch.begun) else { return Ok(()) };
    let minute = |it: Timestamp| it.as_micros().div_euclid(MINUTE);
    if minute(opened) != minute(now) {
        return Ok(());
    }
    // A second more: the program reads its clock a moment before the first word of the conversation is heard.
    let until = Timestamp::from_micros((minute(opened) + 1).saturating_mul(MINUTE)) + Duration::from_secs(1);
    Err(LaunchError::NotYet { reason: "within the minute in which it opened a conversation it would lose it", until })
}

pub(crate) fn unsupported(reason: impl Into<String>) -> LaunchError {
    LaunchError::Unsupported { reason: reason.into() }
}
