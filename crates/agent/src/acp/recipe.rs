//! How each ACP agent is launched, and in what it differs. Data, not code: the known ones are in `recipes.toml`,
//! more of them come from a configuration file.

use crate::Permissions;
use crate::causes::{Rule, look_up};
use crate::spec::RUN_DIR;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const BUILTIN: &str = include_str!("recipes.toml");

/// One program that speaks ACP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The program, with what always stands before its arguments. A launch may name another one instead.
    pub command: Vec<String>,
    /// The arguments that make it speak the protocol, whichever program is launched.
    pub args: Vec<String>,
    /// Arguments for a level of permissions. `{dir}` is the working folder; it may stand in quotes.
    pub args_for: Levels<Vec<String>>,
    /// The same in place of those where it runs in our sandbox, for an agent whose own one cannot be made there.
    pub args_confined: Option<Levels<Vec<String>>>,
    /// What it may see of the daemon's environment, besides what every program needs: prefixes of names.
    pub sees: Vec<String>,
    /// Variables that are always set. `{run_dir}` is the folder of the run's private files.
    pub env: BTreeMap<String, String>,
    /// Variables that are set for a level of permissions.
    pub env_for: Levels<BTreeMap<String, String>>,
    /// Arguments that choose a model: `{model}` stands for its name.
    pub model_args: Vec<String>,
    /// Variables that choose a model.
    pub model_env: BTreeMap<String, String>,
    /// Arguments that say how hard it thinks: `{effort}` stands for the word. Without them and [`Self::effort_env`] nobody
    /// can choose that.
    pub effort_args: Vec<String>,
    /// Variables that say how hard it thinks.
    pub effort_env: BTreeMap<String, String>,
    /// The agent's modes for our levels of permissions.
    pub modes: Levels<Option<String>>,
    /// How to log in when the agent wants it: a variable that is set, and the method that uses it.
    pub login: BTreeMap<String, String>,
    /// What it keeps for itself and must be able to change in a sandbox: names below the home folder, or below the
    /// folder that a variable names, `$CODEX_HOME/`. What ends in `/` is a folder, and made where it is not there.
    pub keeps: Vec<String>,
    /// Whether a conversation that is gone on with tells its history after it is open, and not before.
    pub late_history: bool,
    /// Whether it names the file of a conversation by the minute of its start, so that a resume within that minute
    /// would lose it.
    pub file_by_minute: bool,
    /// Private files of each run: name and content. `{tools}` stands for the tools of ours that need no asking, as
    /// a JSON array of `mcp__<server>__<tool>`.
    pub files: BTreeMap<String, String>,
    /// Fields of the request that opens or resumes a conversation, for an agent that would hand what it is told of MCP
    /// servers on by argument. Our tools are then not in the request but in the private file `mcp.json`, as Claude
    /// Code reads them. `{run_dir}` is the folder of the run's private files.
    pub opens_with: Option<Map<String, Value>>,
    /// How a call of an MCP tool is known before it is allowed, where its name is not said beside it.
    pub mcp_calls: McpCalls,
    /// From errors to causes; the first rule that holds counts.
    errors: Vec<Rule>,
}

/// Where an agent names the MCP tool that it is about to call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McpCalls {
    /// As the name of the tool, `mcp__<server>__<tool>`, or nowhere.
    #[default]
    Name,
    /// At the beginning of the call's id: `mcp_<server>_<tool>__`.
    Id,
    /// In the fields `server` and `tool` of its input, which hold the agent's words and not the model's.
    Input,
}

/// One thing for each level of permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Levels<T> {
    /// For [`Permissions::Everything`].
    pub everything: T,
    /// For [`Permissions::Edits`].
    pub edits: T,
    /// For [`Permissions::Ask`].
    pub ask: T,
}

impl<T> Levels<T> {
    pub(crate) const fn get(&self, permissions: Permissions) -> &T {
        match permissions {
            Permissions::Everything => &self.everything,
            Permissions::Edits => &self.edits,
            Permissions::Ask => &self.ask,
        }
    }
}

/// A configuration of agents that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It is not what the format says; the source names line and field.
    #[error("the configuration of agents cannot be read")]
    Format(#[from] toml::de::Error),
    /// A program in a terminal is described in a way that cannot be.
    #[error("agent `{agent}`: {fault}")]
    Terminal {
        /// The agent.
        agent: String,
        /// What is wrong.
        fault: String,
    },
    /// An agent has no program.
    #[error("agent `{agent}` has no `command`")]
    NoCommand {
        /// The agent.
        agent: String,
    },
}

impl Recipe {
    pub(super) fn environment(&self, permissions: Permissions) -> Vec<(String, String)> {
        let layers = self.env.iter().chain(self.env_for.get(permissions));
        layers.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Returns its arguments; `confined` says that our sandbox stands in the place of its own.
    pub(super) fn args(&self, permissions: Permissions, confined: bool) -> impl Iterator<Item = &String> {
        let own = match &self.args_confined {
            Some(own) if confined => own,
            Some(_) | None => &self.args_for,
        };
        self.args.iter().chain(own.get(permissions))
    }

    /// Tells whether it lets go of a sandbox of its own in ours.
    pub(super) fn has_own_sandbox(&self) -> bool {
        self.args_confined.is_some()
    }

    /// Returns what a request that opens a conversation holds beside what the protocol wants.
    pub(super) fn opening(&self, run_dir: &str) -> Map<String, Value> {
        let mut fields = self.opens_with.clone().unwrap_or_default();
        fields.values_mut().for_each(|it| fill(it, run_dir));
        fields
    }

    pub(super) fn mode(&self, permissions: Permissions) -> Option<&str> {
        self.modes.get(permissions).as_deref()
    }

    /// Finds the cause of an error of this agent.
    pub(super) fn cause(&self, error: &Value) -> Option<crate::causes::Cause> {
        // Codex says it with a type, also behind another protocol.
        let typed = error.pointer("/data/codex_error_info").and_then(crate::codex::cause);
        typed.or_else(|| look_up(&self.errors, error))
    }
}

/// Names the directory of a run wherever a text stands for it.
fn fill(value: &mut Value, run_dir: &str) {
    match value {
        Value::String(text) => *text = text.replace(RUN_DIR, run_dir),
        Value::Array(items) => items.iter_mut().for_each(|it| fill(it, run_dir)),
        Value::Object(fields) => fields.values_mut().for_each(|it| fill(it, run_dir)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads recipes: a table per agent, its name is the agent's kind.
pub fn recipes(text: &str) -> Result<BTreeMap<String, Recipe>, RecipeError> {
    let recipes: BTreeMap<String, Recipe> = toml::from_str(text)?;
    match recipes.iter().find(|(_, recipe)| recipe.command.is_empty()) {
        Some((agent, _)) => Err(RecipeError::NoCommand { agent: agent.clone() }),
        None => Ok(recipes),
    }
}

/// Returns the recipes that come with the program.
pub fn builtin() -> Result<BTreeMap<String, Recipe>, RecipeError> {
    recipes(BUILTIN)
}
