//! Claude Code over stream-json: how it is launched, spoken to and understood.
//!
//! Pure: nothing here starts a process or reads the environment. Causes are taken from typed fields of the
//! protocol only; what a line says in prose is shown to people and decides nothing.

mod dialogue;
mod turn_end;

pub(crate) use dialogue::{block, blocks, tool_result};

use crate::spec::{self, MCP_FILE, RUN_DIR, unsupported};
use crate::{Dialect, Dialogue, Launch, LaunchError, Mcp, Permissions, Program, RunnerError, Say, Utterance};
use orcha_exec::{InputLine, RunSpec};
use serde_json::{Value, json};
use uuid::Uuid;

/// The key of the first line of a run: its answer says that the program is up.
const HELLO: &str = "initialize";

/// Switches that are always set: no traffic but to the model, and tools of ours declared from the start.
const SWITCHES: [(&str, &str); 5] = [
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("ENABLE_TOOL_SEARCH", "false"),
];

/// What tells the program that it runs in a sandbox.
pub(crate) const SANDBOX: &str = "IS_SANDBOX";

/// Variables that make the program believe that it runs inside another one of its kind.
const UNSET: [&str; 2] = ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"];

/// The `claude` program, and every program that speaks as it does.
#[derive(Clone, Debug)]
pub struct Claude {
    /// The program with its leading arguments, unless a launch names another.
    pub program: Vec<String>,
    /// The environment that every launch starts from; `PATH` and `HOME` belong here. A launch's own variables win.
    pub base_env: Vec<(String, String)>,
}

impl Dialect for Claude {
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        ["$CLAUDE_CONFIG_DIR/", ".claude/", ".claude.json"].map(str::to_owned).to_vec()
    }

    fn takes_effort(&self) -> bool {
        true
    }

    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError> {
        let (program, mut args) = spec::command(launch, &self.program)?;
        let mut files = Vec::new();
        args.extend(
            ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"].map(str::to_owned),
        );
        args.push("--replay-user-messages".to_owned());
        let (flag, conversation) = match &launch.resume {
            Some(known) => ("--resume", known),
            None => ("--session-id", &launch.conversation),
        };
        args.extend([flag.to_owned(), uuid("the conversation", conversation)?]);
        if let Some(model) = &launch.model {
            // One token, so that a name beginning with a dash stays a name.
            args.push(format!("--model={model}"));
        }
        args.extend(launch.effort.map(|it| format!("--effort={it}")));
        args.extend(
            ["--permission-mode", mode(launch.permissions), "--permission-prompt-tool", "stdio"].map(str::to_owned),
        );
        args.extend(["--setting-sources", "", "--strict-mcp-config"].map(str::to_owned));
        if let Some(mcp) = &launch.mcp {
            files.push((MCP_FILE.to_owned(), spec::mcp_file(mcp)));
            args.extend(["--mcp-config".to_owned(), format!("{RUN_DIR}/{MCP_FILE}")]);
            if !mcp.tools.is_empty() {
                // One token: the flag takes any number of words and would swallow what follows.
                args.push(format!("--allowedTools={}", allowed(mcp)));
            }
        }
        if !launch.rules.is_empty() {
            files.push(("rules.md".to_owned(), launch.rules.clone()));
            args.extend(["--append-system-prompt-file", "{run_dir}/rules.md"].map(str::to_owned));
        }
        let mut input = vec![control(HELLO, &json!({"subtype": "initialize", "hooks": null}))];
        if let Some(opening) = spec::opening(launch)? {
            input.push(prompt(&opening.key, &opening.text)?);
        }
        Ok(RunSpec { files, input, ..spec::run(launch, (program, args), self.env(launch)) })
    }

    fn program(&self) -> Program {
        Program { command: self.program.clone(), env: self.base_env.clone() }
    }

    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue> {
        Box::new(dialogue::ClaudeDialogue::remembering(memory))
    }

    fn utter(&self, say: &Say, _memory: &Value) -> Result<Utterance, RunnerError> {
        let line = match say {
            Say::Prompt { key, text } => prompt(key, text)?,
            Say::Interrupt { key } => control(key, &json!({"subtype": "interrupt"})),
            Say::Permission { request, input, allow: true, .. } => {
                let input: Value = serde_json::from_str(input)
                    .map_err(|_| unsupported("the input of an allowed call must be JSON"))?;
                answer(request, &json!({"behavior": "allow", "updatedInput": input}))
            }
            Say::Permission { request, allow: false, reason, .. } => {
                answer(request, &json!({"behavior": "deny", "message": reason}))
            }
        };
        Ok(Utterance { lines: vec![line] })
    }
}

impl Claude {
    /// Lays the environments over each other: base, switches, launch; the last one wins.
    fn env(&self, launch: &Launch) -> Vec<(String, String)> {
        let switches = SWITCHES.map(|(key, value)| (key.to_owned(), value.to_owned()));
        // As root it does without asking only where it is told that this is a sandbox: here it is one.
        let sandbox = spec::is_confined(launch).then(|| (SANDBOX.to_owned(), "1".to_owned()));
        let mut env = spec::layered(self.base_env.iter().chain(&switches).chain(&sandbox).chain(&launch.env));
        env.retain(|(key, _)| !UNSET.contains(&key.as_str()));
        env
    }
}

fn mode(permissions: Permissions) -> &'static str {
    match permissions {
        Permissions::Everything => "bypassPermissions",
        Permissions::Edits => "acceptEdits",
        Permissions::Ask => "default",
    }
}

fn allowed(mcp: &Mcp) -> String {
    let names: Vec<String> = mcp.tools.iter().map(|tool| format!("mcp__{}__{tool}", mcp.name)).collect();
    names.join(",")
}

/// Frames a turn. The program knows inputs by UUID, and says that UUID when it takes one up.
fn prompt(key: &str, text: &str) -> Result<InputLine, LaunchError> {
    let uuid = uuid("the key of a prompt", key)?;
    let content = json!([{"type": "text", "text": text}]);
    let line = json!({"type": "user", "message": {"role": "user", "content": content}, "uuid": uuid});
    Ok(InputLine { key: key.to_owned(), text: line.to_string() })
}

fn control(key: &str, request: &Value) -> InputLine {
    let line = json!({"type": "control_request", "request_id": key, "request": request});
    InputLine { key: key.to_owned(), text: line.to_string() }
}

fn answer(request: &str, response: &Value) -> InputLine {
    let response = json!({"subtype": "success", "request_id": request, "response": response});
    let line = json!({"type": "control_response", "response": response});
    InputLine { key: format!("answer:{request}"), text: line.to_string() }
}

/// Says no to a request that we do not understand, so that the program does not wait for ever.
fn refuse(request: &str, subtype: &str) -> InputLine {
    let error = format!("not supported by this client: {subtype}");
    let response = json!({"subtype": "error", "request_id": request, "error": error});
    let line = json!({"type": "control_response", "response": response});
    InputLine { key: format!("answer:{request}"), text: line.to_string() }
}

/// Takes a UUID in its usual form only: the program says it in that form, and keys are compared as text.
fn uuid(what: &str, text: &str) -> Result<String, LaunchError> {
    match Uuid::try_parse(text) {
        Ok(id) if id.hyphenated().to_string() == text => Ok(text.to_owned()),
        Ok(_) | Err(_) => {
            let shown: String = text.chars().take(80).collect();
            Err(unsupported(format!("{what} must be a UUID, not `{shown}`")))
        }
    }
}
