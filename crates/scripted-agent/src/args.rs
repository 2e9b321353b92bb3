//! The arguments of Claude Code, as far as they matter here. Flags that we do not know are passed over.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the arguments say.
#[derive(Debug)]
pub(crate) struct Args {
    /// The script: `--script`, or `ORCHA_SCRIPT` in the environment.
    pub(crate) script: PathBuf,
    /// The id of a new conversation.
    pub(crate) session: Option<String>,
    /// The conversation to go on with.
    pub(crate) resume: Option<String>,
    pub(crate) model: String,
    pub(crate) permissions: Permissions,
    /// The MCP servers.
    pub(crate) servers: Vec<Server>,
    /// The text that is added to the system prompt.
    pub(crate) rules: String,
    /// Whether inputs are echoed when they are taken up.
    pub(crate) replay: bool,
}

/// What may be done without asking.
#[derive(Debug)]
pub(crate) struct Permissions {
    pub(crate) mode: String,
    /// Whether there is somebody to ask on standard output.
    pub(crate) can_ask: bool,
    pub(crate) allowed: Vec<String>,
}

/// One MCP server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Flags with one value that we do not need.
const PASSED_OVER: [&str; 8] = [
    "--input-format",
    "--output-format",
    "--setting-sources",
    "--settings",
    "--max-budget-usd",
    "--fallback-model",
    "--add-dir",
    "--max-turns",
];

impl Args {
    /// Reads the arguments, and the files that they name.
    pub(crate) fn parse(words: &[String], env: &BTreeMap<String, String>) -> Result<Self> {
        let mut script = env.get("ORCHA_SCRIPT").map(PathBuf::from);
        let (mut session, mut resume, mut model) = (None, None, "claude-scripted".to_owned());
        let mut permissions = Permissions { mode: "default".to_owned(), can_ask: false, allowed: Vec::new() };
        let (mut servers, mut rules, mut replay) = (Vec::new(), String::new(), false);
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let (flag, inline) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let mut value =
                || inline.clone().or_else(|| words.next().cloned()).with_context(|| format!("{flag} needs a value"));
            match flag {
                "--script" => script = Some(value()?.into()),
                "--session-id" => session = Some(value()?),
                "--resume" | "-r" => resume = Some(value()?),
                "--model" => model = value()?,
                "--permission-mode" => permissions.mode = value()?,
                "--permission-prompt-tool" => permissions.can_ask = value()? == "stdio",
                "--append-system-prompt" => rules = value()?,
                "--append-system-prompt-file" => rules = read(Path::new(&value()?))?,
                "--mcp-config" => servers.extend(read_servers(&value()?)?),
                "--replay-user-messages" => replay = true,
                "--allowedTools" | "--allowed-tools" => {
                    permissions.allowed.extend(split(&value()?));
                    // The flag takes any number of words.
                    while inline.is_none() && words.peek().is_some_and(|it| !it.starts_with('-')) {
                        permissions.allowed.extend(words.next().into_iter().flat_map(|it| split(it)));
                    }
                }
                _ if PASSED_OVER.contains(&flag) => drop(value()?),
                _ => {}
            }
        }
        let Some(script) = script else { bail!("no script: give --script PATH or set ORCHA_SCRIPT") };
        Ok(Self { script, session, resume, model, permissions, servers, rules, replay })
    }
}

impl Permissions {
    /// Tells whether a tool may be used without asking.
    pub(crate) fn allow(&self, tool: &str, command: Option<&str>) -> bool {
        match (self.mode.as_str(), tool) {
            ("bypassPermissions" | "auto", _) | ("acceptEdits", "Write" | "Edit") => true,
            _ => self.allowed.iter().any(|rule| covers(rule, tool, command)),
        }
    }
}

/// Matches `Bash`, `Bash(git *)` and `mcp__hub__*`.
fn covers(rule: &str, tool: &str, command: Option<&str>) -> bool {
    if let Some((name, pattern)) = rule.strip_suffix(')').and_then(|it| it.split_once('(')) {
        let prefix = pattern.trim_end_matches('*').trim_end_matches(':');
        return name == tool && command.is_some_and(|it| it.starts_with(prefix));
    }
    match rule.strip_suffix('*') {
        Some(prefix) => tool.starts_with(prefix),
        None => rule == tool,
    }
}

/// Splits at commas that stand outside of parentheses.
fn split(list: &str) -> Vec<String> {
    let mut depth = 0i32;
    let pieces = list.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    pieces.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Takes a file, or the JSON itself.
fn read_servers(config: &str) -> Result<Vec<Server>> {
    let text = if config.trim_start().starts_with('{') { config.to_owned() } else { read(Path::new(config))? };
    let config: Value = serde_json::from_str(&text).context("--mcp-config is not JSON")?;
    let servers = config["mcpServers"].as_object().context("--mcp-config has no mcpServers")?;
    let one = |(name, server): (&String, &Value)| {
        let url = server["url"].as_str().with_context(|| format!("MCP server {name} has no url"))?.to_owned();
        let headers = server["headers"].as_object().into_iter().flatten();
        let headers = headers.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        Ok(Server { name: name.clone(), url, headers })
    };
    servers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Args {
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        Args::parse(&words, &BTreeMap::from([("ORCHA_SCRIPT".to_owned(), "s.json".to_owned())])).unwrap()
    }

    #[test]
    fn flags_of_claude_are_understood_and_others_passed_over() {
        let args = parse(&[
            "-p",
            "--input-format",
            "stream-json",
            "--verbose",
            "--of-next-year",
            "x",
            "--session-id",
            "u",
            "--model=m",
            "--allowedTools",
            "Bash(git *),Write",
            "mcp__hub__*",
            "--replay-user-messages",
        ]);
        assert_eq!((args.session.as_deref(), args.model.as_str(), args.replay), (Some("u"), "m", true));
        assert_eq!(args.permissions.allowed, ["Bash(git *)", "Write", "mcp__hub__*"]);
        assert!(args.permissions.allow("Bash", Some("git add -A")) && !args.permissions.allow("Bash", Some("rm")));
        assert!(args.permissions.allow("mcp__hub__x", None) && !args.permissions.allow("Edit", None));
    }
}
