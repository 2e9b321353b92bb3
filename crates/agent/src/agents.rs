//! The kinds of agents that a daemon knows, by name: the native ones, the ACP recipes, and what a configuration adds.
//!
//! It starts nothing: it makes runners for a host.

use crate::acp::{self, Acp, Recipe, RecipeError};
use crate::claude::{self, Claude};
use crate::codex::{Codex, CodexExec};
use crate::headless::{Headless, Program};
use crate::llm::{Llm, ProviderError, Providers};
use crate::spec::pick;
use crate::terminal::{Terminal, TerminalRecipe};
use crate::{Dialect, HostedRunner, Runner};
use orcha_exec::Host;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What each native agent may see of the daemon's environment, besides what every program needs.
const CLAUDE_SEES: [&str; 3] = ["ANTHROPIC_", "CLAUDE_", claude::SANDBOX];
const CODEX_SEES: [&str; 2] = ["CODEX_", "OPENAI_"];
const LLM_SEES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// Kinds of agents by name.
#[derive(Clone, Debug)]
pub struct Agents {
    environment: Vec<(String, String)>,
    /// The program that is the bridge to a terminal, with its leading arguments.
    bridge: Vec<String>,
    kinds: BTreeMap<String, Arc<dyn Dialect>>,
}

impl Agents {
    /// Makes the known kinds: `claude`, `codex`, `codex-exec`, the headless modes, and one for each built-in ACP recipe. Of the
    /// daemon's environment each agent sees its own part.
    pub fn new(environment: Vec<(String, String)>) -> Result<Self, RecipeError> {
        let mut agents = Self { environment, bridge: Vec::new(), kinds: BTreeMap::new() };
        let program = |name: &str| vec![name.to_owned()];
        agents.run_claude_by("claude");
        let base_env = pick(&agents.environment, &CODEX_SEES);
        agents.insert("codex", Arc::new(Codex { program: program("codex"), base_env: base_env.clone() }));
        agents.insert("codex-exec", Arc::new(CodexExec { program: program("codex"), base_env }));
        for program in Program::ALL {
            let base_env = pick(&agents.environment, program.sees());
            let command = vec![program.command().to_owned()];
            agents.insert(program.kind(), Arc::new(Headless { program, command, base_env }));
        }
        for (kind, recipe) in acp::builtin()? {
            agents.insert_acp(&kind, recipe);
        }
        Ok(agents)
    }

    /// Makes another program the agent `claude`: one that speaks as Claude Code does.
    pub fn run_claude_by(&mut self, program: &str) {
        let base_env = pick(&self.environment, &CLAUDE_SEES);
        self.insert("claude", Arc::new(Claude { program: vec![program.to_owned()], base_env }));
    }

    /// Names the program that is the bridge to a terminal, with its leading arguments: see [`crate::terminal::serve`].
    pub fn bridge_by(&mut self, bridge: Vec<String>) {
        self.bridge = bridge;
    }

    /// Adds or replaces agents by a configuration: a TOML table per agent, its name is the kind. One with a table
    /// `terminal` is a program in a terminal, any other speaks ACP.
    pub fn configure(&mut self, text: &str) -> Result<(), RecipeError> {
        let mut rest: BTreeMap<String, toml::Value> = toml::from_str(text)?;
        let is_terminal = |it: &toml::Value| it.get("terminal").is_some();
        let terminals: Vec<String> =
            rest.iter().filter(|(_, it)| is_terminal(it)).map(|(kind, _)| kind.clone()).collect();
        for kind in terminals {
            if let Some(table) = rest.remove(&kind) {
                self.insert_terminal(&kind, table)?;
            }
        }
        let rest = toml::to_string(&rest)
            .map_err(|fault| serde::de::Error::custom(fault.to_string()))
            .map_err(RecipeError::Format)?;
        for (kind, recipe) in acp::recipes(&rest)? {
            self.insert_acp(&kind, recipe);
        }
        Ok(())
    }

    /// Adds an agent for each provider of models: a program of ours, told whom to ask. It is refused a name that a
    /// program of another sort has already.
    pub fn add_providers(&mut self, program: &[String], providers: &Providers) -> Result<(), ProviderError> {
        for (kind, provider) in providers.iter() {
            if self.kinds.contains_key(kind) {
                return Err(ProviderError::Field {
                    provider: kind.to_owned(),
                    field: "name",
                    rule: "is the name of another agent",
                });
            }
            // Keys do not travel in the environment: what the agent runs would inherit them.
            let base_env = self.environment_of_providers();
            self.insert(kind, Arc::new(Llm { program: program.to_vec(), provider: provider.clone(), base_env }));
        }
        Ok(())
    }

    /// Returns what an agent over a model's API sees of the environment. No key is in it.
    pub fn environment_of_providers(&self) -> Vec<(String, String)> {
        pick(&self.environment, &LLM_SEES)
    }

    /// Returns the environment that the agents see parts of.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    fn insert_terminal(&mut self, kind: &str, table: toml::Value) -> Result<(), RecipeError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            terminal: TerminalRecipe,
        }
        let Table { terminal: recipe } = table.try_into()?;
        if recipe.program.first().is_none_or(String::is_empty) {
            return Err(RecipeError::NoCommand { agent: kind.to_owned() });
        }
        if let Some(fault) = recipe.behaviour.fault() {
            return Err(RecipeError::Terminal { agent: kind.to_owned(), fault });
        }
        let base_env = pick(&self.environment, &recipe.sees);
        self.insert(kind, Arc::new(Terminal::new(recipe, self.bridge.clone(), base_env)));
        Ok(())
    }

    /// Adds or replaces a kind.
    pub fn insert(&mut self, kind: &str, dialect: Arc<dyn Dialect>) {
        self.kinds.insert(kind.to_owned(), dialect);
    }

    fn insert_acp(&mut self, kind: &str, recipe: Recipe) {
        let base_env = pick(&self.environment, &recipe.sees);
        self.insert(kind, Arc::new(Acp::new(recipe, base_env)));
    }

    /// Returns how a kind is launched and understood.
    pub fn dialect(&self, kind: &str) -> Option<Arc<dyn Dialect>> {
        self.kinds.get(kind).cloned()
    }

    /// Returns the names of the kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// Returns the names of the kinds that hear one prompt in each process.
    pub fn hear_once(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().filter(|(_, dialect)| dialect.hears_once()).map(|(kind, _)| kind.as_str())
    }

    /// Makes a runner of each kind on a host.
    pub fn runners(&self, host: &Arc<dyn Host>) -> HashMap<String, Arc<dyn Runner>> {
        let runner = |dialect: &Arc<dyn Dialect>| -> Arc<dyn Runner> {
            Arc::new(HostedRunner::new(Arc::clone(host), Arc::clone(dialect)))
        };
        self.kinds.iter().map(|(kind, dialect)| (kind.clone(), runner(dialect))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Agents {
        let mut agents = Agents::new(Vec::new()).unwrap();
        agents.bridge_by(vec!["/bridge".into()]);
        agents
    }

    #[test]
    fn a_program_in_a_terminal_is_a_table_and_its_neighbours_speak_acp() {
        let mut agents = agents();
        let text = "[tui]\nterminal = { program = [\"tui\"], ready = \"^> \", quiet_secs = 60 }\n[mine]\ncommand = [\"mine\"]\n";
        agents.configure(text).unwrap();
        assert!(agents.dialect("tui").unwrap().shows_terminal());
        assert!(!agents.dialect("mine").unwrap().shows_terminal());
        assert_eq!(agents.dialect("tui").unwrap().program().command, ["tui"]);
    }

    #[test]
    fn p17_what_is_misspelt_in_a_terminal_is_refused_by_its_name() {
        for (table, name) in [
            ("program = [\"x\"], redy = \"^> \"", "redy"),
            ("program = [\"x\"], ready = \"(\"", "ready"),
            ("program = []", "tui"),
            ("ready = \"x\"", "program"),
        ] {
            let fault = agents().configure(&format!("[tui]\nterminal = {{ {table} }}\n")).unwrap_err();
            let source = std::error::Error::source(&fault).map(ToString::to_string).unwrap_or_default();
            assert!(format!("{fault}: {source}").contains(name), "{fault}: {source}");
        }
    }
}
