//! Codex: its app-server, and `codex exec` for where that cannot be used.
//!
//! Pure: nothing here starts a process or reads the environment.

mod dialogue;
mod exec;
mod items;
mod turn_end;

pub use exec::CodexExec;
pub(crate) use turn_end::cause;

use crate::rpc::{Frame, HELLO};
use crate::spec::{self, BRIEF, Opening, unsupported};
use crate::{Dialect, Dialogue, Launch, LaunchError, Mcp, Permissions, Program, RunnerError, Say, Utterance};
use orcha_exec::RunSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The app-server leaves the version out.
const FRAME: Frame = Frame { version: false };

/// Settings that are always made: no traffic but to the model, and an end to trying again.
const SETTINGS: [&str; 7] = [
    "check_for_update_on_startup=false",
    "analytics.enabled=false",
    "feedback.enabled=false",
    "features.plugins=false",
    "features.apps=false",
    "features.remote_plugin=false",
    "features.unbounded_connection_retries=false",
];

/// `codex app-server`: one conversation in one process.
#[derive(Clone, Debug)]
pub struct Codex {
    /// The program with its leading arguments, unless a launch names another.
    pub program: Vec<String>,
    /// The environment that every launch starts from; `PATH` and `HOME` belong here. A launch's own variables win.
    pub base_env: Vec<(String, String)>,
}

/// What the dialogue needs to open the conversation.
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    method: String,
    params: Value,
    opening: Option<Opening>,
}

impl Dialect for Codex {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        keeps()
    }

    fn leans_on_sandbox(&self, launch: &Launch) -> bool {
        spec::is_confined(launch)
    }

    fn takes_effort(&self) -> bool {
        true
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let (program, mut args) = spec::command(launch, &self.program)?;
        args.push("app-server".to_owned());
        args.extend(settings());
        let brief = brief(launch)?;
        let client = json!({"name": "orcha", "title": "orcha", "version": env!("CARGO_PKG_VERSION")});
        Ok(RunSpec {
            files: vec![(BRIEF.to_owned(), json!(brief).to_string())],
            input: vec![FRAME.request(HELLO, "initialize", &json!({"clientInfo": client}))],
            ..spec::run(launch, (program, args), spec::layered(self.base_env.iter().chain(&launch.env)))
        })
    }

    fn program(&self) -> Program {
        Program { command: self.program.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(dialogue::CodexDialogue::remembering(memory))
    }

    fn utter(&self, say: &Say, memory: &Value) -> Result<Utterance, RunnerError> {
        let open = dialogue::Open::of(memory);
        let thread = open.thread.ok_or(RunnerError::NotYet { reason: "the conversation is not open" });
        let line = match say {
            // While a turn runs this adds to it.
            Say::Prompt { key, text } => prompt(&thread?, key, text),
            Say::Interrupt { key } => {
                // Without a turn there is nothing to cut off, and the program says so.
                let turn = open.turn.unwrap_or_default();
                let params = json!({"threadId": thread?, "turnId": turn});
                FRAME.request(&format!("interrupt:{key}"), "turn/interrupt", &params)
            }
            Say::Permission { request, allow, .. } => {
                let token: Token =
                    serde_json::from_str(request).map_err(|_| unsupported("the request is none of this agent's"))?;
                FRAME.answer(&token.id, &token.kind.answer(*allow))
            }
        };
        Ok(Utterance { lines: vec![line] })
    }
}

fn settings() -> impl Iterator<Item = String> {
    SETTINGS.iter().flat_map(|it| ["-c".to_owned(), (*it).to_owned()])
}

fn brief(launch: &Launch) -> Result<Brief, LaunchError> {
    let (approval, sandbox) = freedom(launch);
    let mut params = json!({"cwd": spec::folder(launch)?, "approvalPolicy": approval, "sandbox": sandbox});
    if let Some(model) = &launch.model {
        params["model"] = json!(model);
    }
    if !launch.rules.is_empty() {
        params["developerInstructions"] = json!(launch.rules);
    }
    let mut config = json!({});
    if let Some(effort) = launch.effort {
        config["model_reasoning_effort"] = json!(effort);
    }
    if sandbox == OWN_SANDBOX {
        config["sandbox_workspace_write"] = json!({"writable_roots": [git_folder(launch)?]});
    }
    if let Some(mcp) = &launch.mcp {
        config["mcp_servers"] = json!({&mcp.name: mcp_server(mcp)});
    }
    if config != json!({}) {
        params["config"] = config;
    }
    let method = match &launch.resume {
        Some(thread) => {
            params["threadId"] = json!(thread);
            params["excludeTurns"] = json!(true);
            "thread/resume"
        }
        None => "thread/start",
    };
    Ok(Brief { method: method.to_owned(), params, opening: spec::opening(launch)? })
}

/// The mode in which its own sandbox is on.
const OWN_SANDBOX: &str = "workspace-write";

/// Says when it asks, and what its own sandbox leaves free. Inside ours that one cannot be made.
fn freedom(launch: &Launch) -> (&'static str, &'static str) {
    let sandbox = if spec::is_confined(launch) { "danger-full-access" } else { OWN_SANDBOX };
    match launch.permissions {
        Permissions::Everything => ("never", "danger-full-access"),
        Permissions::Edits => ("on-request", sandbox),
        Permissions::Ask => ("untrusted", sandbox),
    }
}

/// What it keeps for itself.
fn keeps() -> Vec<String> {
    ["$CODEX_HOME/", ".codex/"].map(str::to_owned).to_vec()
}

/// The folder that its sandbox would make read-only, so that no commit could be made.
fn git_folder(launch: &Launch) -> Result<String, LaunchError> {
    let folder = spec::folder(launch)?;
    Ok(format!("{}/.git", folder.trim_end_matches('/')))
}

fn mcp_server(mcp: &Mcp) -> Value {
    let bearer = format!("Bearer {}", mcp.token.expose());
    let mut server = json!({"url": mcp.url, "http_headers": {"Authorization": bearer}});
    if !mcp.tools.is_empty() {
        // The server knows which tools its caller may use; asking once more would end turns.
        server["default_tools_approval_mode"] = json!("approve");
    }
    server
}

fn prompt(thread: &str, key: &str, text: &str) -> orcha_exec::InputLine {
    let input = json!([{"type": "text", "text": text}]);
    let params = json!({"threadId": thread, "clientUserMessageId": key, "input": input});
    FRAME.request(&format!("prompt:{key}"), "turn/start", &params)
}

/// A permission request as it is named to the outside: enough to answer it without having heard it.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: Value,
    kind: Kind,
}

/// Which request it is; they are answered differently.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A command or a change of files.
    Item,
    /// A call of a tool of ours.
    Mcp,
}

impl Kind {
    fn answer(self, allow: bool) -> Value {
        match (self, allow) {
            (Self::Item, true) => json!({"decision": "accept"}),
            (Self::Item, false) => json!({"decision": "decline"}),
            (Self::Mcp, true) => json!({"action": "accept", "content": {}, "_meta": null}),
            (Self::Mcp, false) => json!({"action": "decline", "content": null, "_meta": null}),
        }
    }
}
