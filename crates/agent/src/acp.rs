//! Every agent that speaks the Agent Client Protocol: one driver, and a recipe per program.
//!
//! Pure: nothing here starts a process or reads the environment.

mod call;
mod dialogue;
mod recipe;
mod schema;

pub use recipe::{Levels, McpCalls, Recipe, RecipeError, builtin, recipes};

use crate::rpc::{Frame, HELLO};
use crate::spec::{self, BRIEF, MCP_FILE, Opening, unsupported};
use crate::{Dialect, Dialogue, Launch, LaunchError, Program, RunnerError, Say, Utterance};
use orcha_exec::{InputLine, RunSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const FRAME: Frame = Frame { version: true };

/// A file of tools that names none.
const NO_TOOLS: &str = r#"{"mcpServers":{}}"#;

/// A program that speaks ACP.
#[derive(Clone, Debug)]
pub struct Acp {
    recipe: Arc<Recipe>,
    base_env: Vec<(String, String)>,
}

/// What the dialogue needs to open the conversation.
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    cwd: String,
    servers: Value,
    resume: Option<String>,
    rules: String,
    opening: Option<Opening>,
    /// The mode to set, if the agent has it.
    mode: Option<String>,
    /// How to log in, should it be wanted.
    login: Option<String>,
    /// The tools that are allowed without asking, as `mcp__<server>__<tool>`.
    tools: Vec<String>,
}

impl Acp {
    /// Takes the recipe of a program, and the environment that every launch starts from.
    pub fn new(recipe: Recipe, base_env: Vec<(String, String)>) -> Self {
        Self { recipe: Arc::new(recipe), base_env }
    }
}

impl Dialect for Acp {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        self.recipe.keeps.clone()
    }

    fn leans_on_sandbox(&self, launch: &Launch) -> bool {
        spec::is_confined(launch) && self.recipe.has_own_sandbox()
    }

    fn takes_effort(&self) -> bool {
        !(self.recipe.effort_args.is_empty() && self.recipe.effort_env.is_empty())
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let recipe = &self.recipe;
        if recipe.file_by_minute {
            spec::other_minute(launch)?;
        }
        let (program, mut args) = spec::command(launch, &recipe.command)?;
        for arg in recipe.args(launch.permissions, spec::is_confined(launch)) {
            let dir = spec::folder(launch)?;
            if arg.contains("{dir}") && !can_be_quoted(dir) {
                return Err(unsupported("the path of the working folder holds no quotes"));
            }
            args.push(arg.replace("{dir}", dir));
        }
        let mut recipe_env = recipe.environment(launch.permissions);
        if let Some(model) = &launch.model {
            // It may stand inside a quoted text of a recipe.
            if !can_be_quoted(model) {
                return Err(unsupported("the name of a model holds no quotes"));
            }
            let fill = |text: &String| text.replace("{model}", model);
            args.extend(recipe.model_args.iter().map(fill));
            recipe_env.extend(recipe.model_env.iter().map(|(key, text)| (key.clone(), fill(text))));
        }
        if let Some(effort) = launch.effort {
            let fill = |text: &String| text.replace("{effort}", effort.name());
            args.extend(recipe.effort_args.iter().map(fill));
            recipe_env.extend(recipe.effort_env.iter().map(|(key, text)| (key.clone(), fill(text))));
        }
        let env = spec::layered(self.base_env.iter().chain(&recipe_env).chain(&launch.env));
        let login = recipe.login.iter().find(|(key, _)| env.iter().any(|(known, _)| known == *key));
        let brief = Brief {
            cwd: spec::folder(launch)?.to_owned(),
            servers: if recipe.opens_with.is_some() { json!([]) } else { servers(launch) },
            resume: launch.resume.clone(),
            rules: launch.rules.clone(),
            opening: spec::opening(launch)?,
            mode: recipe.mode(launch.permissions).map(str::to_owned),
            login: login.map(|(_, method)| method.clone()),
            tools: launch.mcp.iter().flat_map(|mcp| mcp.tools.iter().map(|tool| mcp_tool(&mcp.name, tool))).collect(),
        };
        let tools = json!(brief.tools).to_string();
        let mut files = vec![(BRIEF.to_owned(), json!(brief).to_string())];
        if recipe.opens_with.is_some() {
            // It is read whether there are tools or not.
            files.push((MCP_FILE.to_owned(), launch.mcp.as_ref().map_or_else(|| NO_TOOLS.to_owned(), spec::mcp_file)));
        }
        files.extend(recipe.files.iter().map(|(name, text)| (name.clone(), text.replace("{tools}", &tools))));
        let hello = json!({
            "protocolVersion": 1,
            "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
            "clientInfo": {"name": "orcha", "title": "orcha", "version": env!("CARGO_PKG_VERSION")},
        });
        let input = vec![FRAME.request(HELLO, "initialize", &hello)];
        Ok(RunSpec { files, input, ..spec::run(launch, (program, args), env) })
    }

    fn program(&self) -> Program {
        Program { command: self.recipe.command.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(dialogue::AcpDialogue::remembering(Arc::clone(&self.recipe), memory))
    }

    fn utter(&self, say: &Say, memory: &Value) -> Result<Utterance, RunnerError> {
        let open = dialogue::Open::of(memory);
        let lines = match say {
            Say::Prompt { key, text } => {
                let session = open.session()?;
                if open.turn.is_some() {
                    // What agents do with a second prompt differs: some drop the first, some never answer.
                    return Err(RunnerError::NotYet { reason: "a turn is running" });
                }
                vec![prompt(session, key, &[text])]
            }
            Say::Interrupt { key } => {
                let mut lines = vec![FRAME.notice(key, "session/cancel", Some(&json!({"sessionId": open.session()?})))];
                // Whoever cancels answers what was asked, or the agent waits for it.
                let asked = open.asked.iter().filter_map(|it| serde_json::from_str::<Token>(it).ok());
                lines.extend(asked.map(|token| FRAME.answer(&token.id, &cancelled())));
                lines
            }
            Say::Permission { request, allow, .. } => {
                let token: Token =
                    serde_json::from_str(request).map_err(|_| unsupported("the request is none of this agent's"))?;
                let outcome = match (allow, token.allow, token.reject) {
                    (true, Some(option), _) | (false, _, Some(option)) => selected(&option),
                    (true, None, _) => return Err(unsupported("the agent offers no way to allow it once").into()),
                    (false, _, None) => cancelled(),
                };
                vec![FRAME.answer(&token.id, &outcome)]
            }
        };
        Ok(Utterance { lines })
    }
}

/// Tells whether a text can stand between quotes as it is.
fn can_be_quoted(text: &str) -> bool {
    !text.chars().any(|it| it.is_control() || matches!(it, '"' | '\\'))
}

/// The daemon's tools, as the protocol hands them over: the credential goes into a header.
fn servers(launch: &Launch) -> Value {
    let server = launch.mcp.as_ref().map(|mcp| {
        let bearer = format!("Bearer {}", mcp.token.expose());
        let headers = json!([{"name": "Authorization", "value": bearer}]);
        json!({"type": "http", "name": mcp.name, "url": mcp.url, "headers": headers})
    });
    Value::Array(server.into_iter().collect())
}

/// Names a tool of an MCP server as most agents do.
fn mcp_tool(server: &str, tool: &str) -> String {
    format!("mcp__{server}__{tool}")
}

fn prompt(session: &str, key: &str, texts: &[&str]) -> InputLine {
    let blocks: Vec<Value> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
    FRAME.request(&format!("prompt:{key}"), "session/prompt", &json!({"sessionId": session, "prompt": blocks}))
}

fn selected(option: &str) -> Value {
    json!({"outcome": {"outcome": "selected", "optionId": option}})
}

fn cancelled() -> Value {
    json!({"outcome": {"outcome": "cancelled"}})
}

/// A permission request as it is named to the outside: enough to answer it without having heard it.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: Value,
    /// The option that allows it once.
    allow: Option<String>,
    /// The option that rejects it.
    reject: Option<String>,
}
