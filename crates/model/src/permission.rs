//! Whether an agent may do what it asks for: the rules of an operator, and one verdict over them.
//!
//! An allow rule is read narrowly: what is not plain enough to be understood is not allowed by it. A deny rule is
//! read broadly: what looks like it is denied. What neither says is asked of a person. No rule is a sandbox: see
//! `sandbox` for that. How a request is heard and how its answer travels is not known here.

mod glob;
mod shell;

use crate::role::{Role, Tool};
use crate::sandbox::{Demand, Sandboxes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What becomes of a request that no rule settles.
///
/// Ordered from the freest to the strictest: where a role and a project both name one, the stricter counts.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// What a rule allows is allowed; a person is asked about the rest.
    #[default]
    Auto,
    /// A person is asked about everything that no rule denies.
    Ask,
    /// What a rule allows is allowed; the rest is denied and nobody is asked.
    Deny,
}

/// One rule: all that it names must fit. It names at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct Rule {
    /// The tool as the agent names it; `*` stands for any letters.
    tool: Option<String>,
    /// The words that a command begins with, as they were written.
    command: Option<String>,
    /// A file or folder, or a pattern of files.
    path: Option<String>,
    /// The words of `command`.
    words: Vec<String>,
}

/// A rule as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleText {
    /// The tool as the agent names it: `Bash`, `mcp__hub__*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What a command begins with: `git status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A file or folder in the checkout or anywhere, `src`, `/etc`; or a pattern, `docs/**/*.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A rule that says nothing that could be held against a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// It names nothing.
    #[error("a rule names a `tool`, a `command` or a `path`")]
    Empty,
    /// One of its texts is empty or too long.
    #[error("`{field}` of a rule must have between 1 and 1000 bytes")]
    Length {
        /// Which.
        field: &'static str,
    },
    /// Its command is more than the beginning of one plain command.
    #[error(
        "`{command}` is not the beginning of one plain command: words without operators, variables or redirections"
    )]
    Command {
        /// The command.
        command: String,
    },
}

/// What a role or a project says of requests; what it leaves out is said by the daemon's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// What becomes of a request that no rule settles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Rule>,
    /// What is denied, whatever else allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Rule>,
    /// By what its sessions are confined.
    #[serde(skip_serializing_if = "Demand::is_empty")]
    pub sandbox: Demand,
}

/// What the daemon's settings say of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// What becomes of a request that no rule settles, where neither the role nor the project says so.
    pub mode: Mode,
    /// For how many seconds a person is waited for before a request is denied.
    pub expiry_secs: u64,
    /// What is allowed in every session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Rule>,
    /// What is denied in every session.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Rule>,
    /// By what sessions are confined.
    pub sandbox: Sandboxes,
    /// What is said for one role.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Role, Rules>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            expiry_secs: 900,
            allow: Vec::new(),
            deny: Vec::new(),
            sandbox: Sandboxes::default(),
            roles: BTreeMap::new(),
        }
    }
}

/// Everything that is said of the requests of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of a request that no rule settles.
    pub mode: Mode,
    /// For how many seconds a person is waited for.
    pub expiry_secs: u64,
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is denied.
    pub deny: Vec<Rule>,
}

impl Permissions {
    /// Puts together what is said for a role in a project. Rules add up; of two modes the stricter counts.
    pub fn policy(&self, role: Role, project: Option<&Rules>) -> Policy {
        let of_role = self.roles.get(&role);
        let layers: Vec<&Rules> = of_role.into_iter().chain(project).collect();
        let mode = layers.iter().filter_map(|it| it.mode).max().unwrap_or(self.mode);
        let all = |own: &[Rule], of: fn(&Rules) -> &[Rule]| {
            own.iter().chain(layers.iter().flat_map(|it| of(it))).cloned().collect()
        };
        Policy {
            mode,
            expiry_secs: self.expiry_secs,
            allow: all(&self.allow, |it| &it.allow),
            deny: all(&self.deny, |it| &it.deny),
        }
    }
}

/// What an agent wants to do, as far as rules look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The tool as the agent names it.
    pub tool: String,
    /// The command that would be run.
    #[serde(default)]
    pub command: Option<String>,
    /// The files that would be touched: absolute where that is known, and once more with links followed.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The folder of the session, once more with links followed; patterns of rules begin there.
    #[serde(default)]
    pub roots: Vec<String>,
    /// Whether `paths` is all of them with every link followed: only then a rule about paths allows anything.
    #[serde(default)]
    pub resolved: bool,
}

/// Something that a person allowed for the rest of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "grant", rename_all = "snake_case")]
pub enum Grant {
    /// The very same command.
    Command {
        /// The tool.
        tool: String,
        /// The command.
        command: String,
    },
    /// Plain commands that begin so.
    Prefix {
        /// The words.
        words: Vec<String>,
    },
    /// The very same files.
    Paths {
        /// The tool.
        tool: String,
        /// The files.
        paths: Vec<String>,
    },
    /// A tool that names neither command nor file.
    Tool {
        /// The tool.
        tool: String,
    },
}

impl Wish {
    /// Returns what "for this session" would cover.
    pub fn grant(&self) -> Grant {
        let tool = self.tool.clone();
        match &self.command {
            Some(command) => Grant::Command { tool, command: command.clone() },
            None if !self.paths.is_empty() => Grant::Paths { tool, paths: self.paths.clone() },
            None => Grant::Tool { tool },
        }
    }

    /// Says what is wanted, in a line.
    pub fn in_a_line(&self) -> String {
        let what = self.command.as_deref().or_else(|| self.paths.first().map(String::as_str)).unwrap_or_default();
        let what: String = what.lines().next().unwrap_or_default().chars().take(160).collect();
        let tool: String = self.tool.chars().take(60).collect();
        if what.is_empty() { tool } else { format!("{tool}: {what}") }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { tool, .. } => write!(f, "{tool} with exactly this command"),
            Self::Prefix { words } => write!(f, "commands that begin with `{}`", words.join(" ")),
            Self::Paths { tool, .. } => write!(f, "{tool} on exactly these files"),
            Self::Tool { tool } => write!(f, "{tool}, whatever it does"),
        }
    }
}

impl Grant {
    fn covers(&self, wish: &Wish) -> bool {
        match self {
            Self::Command { tool, command } => wish.tool == *tool && wish.command.as_ref() == Some(command),
            Self::Prefix { words } => wish.command.as_deref().is_some_and(|it| shell::begins_with(it, words)),
            Self::Paths { tool, paths } => {
                wish.tool == *tool
                    && wish.command.is_none()
                    && !wish.paths.is_empty()
                    && wish.paths.iter().all(|it| paths.contains(it))
            }
            Self::Tool { tool } => wish.tool == *tool && wish.command.is_none() && wish.paths.is_empty(),
        }
    }
}

/// What the verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct PermissionFacts<'a> {
    /// Who asks.
    pub role: Role,
    /// For what.
    pub wish: &'a Wish,
    /// What is said of it.
    pub policy: &'a Policy,
    /// What a person allowed for this session.
    pub grants: &'a [Grant],
}

/// The answer to "may I use this?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionVerdict {
    /// Yes, and nobody is asked.
    Allow {
        /// What allows it, for people.
        because: String,
    },
    /// No, and nobody is asked.
    Deny {
        /// Why, and what it may do instead: the agent reads it.
        reason: String,
    },
    /// A person decides.
    Ask,
}

/// Judges a request. A rule that denies beats everything that allows.
pub fn permission_verdict(facts: PermissionFacts<'_>) -> PermissionVerdict {
    let PermissionFacts { wish, policy, .. } = facts;
    if let Some(rule) = policy.deny.iter().find(|it| it.denies(wish)) {
        return PermissionVerdict::Deny { reason: denied(&facts, &format!("by the rule `{rule}`")) };
    }
    if let Some(grant) = facts.grants.iter().find(|it| it.covers(wish)) {
        return PermissionVerdict::Allow { because: format!("allowed for this session: {grant}") };
    }
    let allowed = || policy.allow.iter().find(|it| it.allows(wish, policy));
    match policy.mode {
        Mode::Ask => PermissionVerdict::Ask,
        Mode::Auto | Mode::Deny => match allowed() {
            Some(rule) => PermissionVerdict::Allow { because: format!("the rule `{rule}`") },
            None if policy.mode == Mode::Deny => {
                PermissionVerdict::Deny { reason: denied(&facts, "because no rule allows it") }
            }
            None => PermissionVerdict::Ask,
        },
    }
}

fn denied(facts: &PermissionFacts<'_>, why: &str) -> String {
    let instead = if facts.role.traits().tools.contains(&Tool::AskUser) {
        "Do it with the tools that you may use without asking. If there is no other way, call `ask_user`, say what you need \
         it for, and end your turn: the answer comes as your next message."
    } else {
        "Do it with the tools that you may use without asking."
    };
    format!("`{}` is not allowed in this session, {why}. {instead}", facts.wish.tool)
}

impl Rule {
    /// Tells whether it allows a request.
    fn allows(&self, wish: &Wish, policy: &Policy) -> bool {
        let command = match (&wish.command, &self.command) {
            (Some(command), Some(_)) => shell::begins_with(command, &self.words),
            (None, Some(_)) => false,
            // The tool as a whole; but not what a rule that denies commands could not read.
            (Some(command), None) => {
                self.path.is_none() && (shell::is_plain(command) || !policy.deny.iter().any(|it| it.command.is_some()))
            }
            (None, None) => true,
        };
        let path = self.path.as_ref().is_none_or(|pattern| {
            wish.resolved && !wish.paths.is_empty() && wish.paths.iter().all(|it| glob::fits(pattern, &wish.roots, it))
        });
        command && path && self.fits_tool(wish)
    }

    /// Tells whether it denies a request.
    fn denies(&self, wish: &Wish) -> bool {
        let command = self.command.is_none()
            || wish.command.as_deref().is_some_and(|command| shell::looks_like(command, &self.words));
        let path =
            self.path.as_ref().is_none_or(|pattern| wish.paths.iter().any(|it| glob::fits(pattern, &wish.roots, it)));
        command && path && self.fits_tool(wish)
    }

    fn fits_tool(&self, wish: &Wish) -> bool {
        self.tool.as_ref().is_none_or(|pattern| glob::name_fits(pattern, &wish.tool))
    }

    /// Tells whether it looks at paths.
    pub const fn is_about_paths(&self) -> bool {
        self.path.is_some()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("tool", &self.tool), ("command", &self.command), ("path", &self.path)];
        let said: Vec<String> =
            named.into_iter().filter_map(|(name, it)| Some(format!("{name} {}", it.as_ref()?))).collect();
        f.write_str(&said.join(", "))
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = InvalidRule;

    fn try_from(text: RuleText) -> Result<Self, InvalidRule> {
        let RuleText { tool, command, path } = text;
        for (field, it) in [("tool", &tool), ("command", &command), ("path", &path)] {
            if it.as_ref().is_some_and(|it| it.trim().is_empty() || it.len() > 1000) {
                return Err(InvalidRule::Length { field });
            }
        }
        let words = match &command {
            None if tool.is_none() && path.is_none() => return Err(InvalidRule::Empty),
            None => Vec::new(),
            Some(command) => prefix(command)?,
        };
        Ok(Self { tool, command, path, words })
    }
}

/// Reads the words that commands shall begin with.
pub fn prefix(command: &str) -> Result<Vec<String>, InvalidRule> {
    let words = shell::words(command).filter(|it| !it.is_empty());
    words.ok_or_else(|| InvalidRule::Command { command: command.chars().take(200).collect() })
}

impl From<Rule> for RuleText {
    fn from(rule: Rule) -> Self {
        Self { tool: rule.tool, command: rule.command, path: rule.path }
    }
}

/// What a person says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Yes, this time.
    Once,
    /// Yes, this and its like until the session ends.
    Session {
        /// Another likeness than the usual one: what commands begin with.
        prefix: Option<Vec<String>>,
    },
    /// No.
    No {
        /// Why, for the agent.
        why: Option<String>,
    },
}

/// The answers that a question about a request offers.
pub const OPTIONS: [&str; 3] = ["allow once", "allow for this session", "deny"];

/// Reads the answer of a person. What is not one of the answers is none: it is neither a yes nor a no.
pub fn said(answer: &str) -> Option<Said> {
    let (head, tail) = match answer.split_once(':') {
        Some((head, tail)) => (head, Some(tail.trim()).filter(|it| !it.is_empty())),
        None => (answer, None),
    };
    match (head.trim().to_ascii_lowercase().as_str(), tail) {
        ("allow" | "allow once", None) => Some(Said::Once),
        ("allow for this session", None) => Some(Said::Session { prefix: None }),
        ("allow for this session", Some(command)) => Some(Said::Session { prefix: Some(prefix(command).ok()?) }),
        ("deny", why) => Some(Said::No { why: why.map(str::to_owned) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
