//! The agent as a real process, with a scripted model and a scripted MCP server, and what it says.

use orcha_agent::llm::{Line, Provider, Providers, SETTINGS, Settings, Tools};
use orcha_agent::{Event, Output, Permissions, TurnEnd, Usage};
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The languages, as a configuration names them.
pub const APIS: [&str; 5] = ["openai-responses", "openai-chat", "anthropic", "ollama", "copilot"];

/// A test fails rather than waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub folder: TempDir,
    pub model: ScriptedModel,
    pub settings: Settings,
}

/// A provider of one language at a scripted model.
pub fn providers(model: &ScriptedModel, api: &str, more: &str) -> Providers {
    let url = model.url();
    let base = match api {
        "openai-responses" | "openai-chat" => format!("{url}/v1"),
        _ => url.to_owned(),
    };
    let token =
        if api == "copilot" { format!("token_url = \"{url}/copilot_internal/v2/token\"\n") } else { String::new() };
    let text = format!(
        "[test]\napi = \"{api}\"\nbase_url = \"{base}\"\nkey_env = \"TEST_KEY\"\nmodel = \"m-1\"\nretries = 1\nretry_ms = 1\n{token}{more}"
    );
    let price = "[m-1]\ninput = 2.0\noutput = 10.0\ncache_read = 0.5\ncache_write = 3.0\n";
    Providers::read(&[("TEST_KEY".into(), "sesame".into())], &text, price).unwrap()
}

impl Stage {
    pub fn new(api: &str, scenario: &Value) -> Self {
        Self::with(api, scenario, "")
    }

    pub fn with(api: &str, scenario: &Value, more: &str) -> Self {
        let mut scenario = scenario.clone();
        scenario["main"] = json!("all");
        scenario["require_key"] = json!("sesame");
        let model = ScriptedModel::start(Scenario::parse(&scenario.to_string()).unwrap(), Options::default()).unwrap();
        let providers = providers(&model, api, more);
        Self::of(model, providers.get("test").unwrap())
    }

    /// An agent that asks a provider; of the scripted model it has the tools.
    pub fn of(model: ScriptedModel, provider: &Provider) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let settings = Settings {
            key: provider.key().unwrap(),
            price: provider.price(&provider.call.model),
            call: provider.call.clone(),
            rules: "Be brief.".into(),
            dir: folder.path().join("work"),
            conversation: "c-1".into(),
            resume: false,
            permissions: Permissions::Everything,
            tools: None,
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        };
        Self { folder, model, settings }
    }

    /// Gives it the tools of the scenario's MCP server.
    pub fn daemon_tools(&mut self) {
        let url = format!("{}/mcp", self.model.url());
        self.settings.tools =
            Some(Tools { name: "orcha".into(), url, token: "sesame".into(), allowed: vec!["hand_in".into()] });
    }

    pub fn output(&mut self, schema: Value) {
        self.settings.output = Some(Output { tool: "hand_in".into(), schema });
    }

    /// Starts the agent as a keeper does: what it says goes into a file as well.
    pub async fn start(&self, label: &str) -> Agent {
        let run = self.run_dir(label);
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join(SETTINGS), serde_json::to_string(&self.settings).unwrap()).unwrap();
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples").join("llm-agent");
        let mut process = Command::new(program)
            .arg("--settings")
            .arg(run.join(SETTINGS))
            .arg("--conversations")
            .arg(self.folder.path().join("conversations"))
            .current_dir(&self.settings.dir)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("ORCHA_RUN", format!("{label}:0123"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Agent { process, lines, kept: run.join("output"), settings: run.join(SETTINGS) }
    }

    pub fn run_dir(&self, label: &str) -> PathBuf {
        self.folder.path().join("runs").join(label)
    }

    /// How often the model was really asked.
    pub fn asked(&self) -> usize {
        self.model.requests().iter().filter(|it| it.asked.is_some()).count()
    }
}

pub struct Agent {
    pub process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    kept: PathBuf,
    pub settings: PathBuf,
}

impl Agent {
    pub async fn say(&mut self, line: &Line) {
        let line = format!("{}\n", serde_json::to_string(line).unwrap());
        self.process.stdin.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    pub async fn prompt(&mut self, key: &str, text: &str) {
        self.say(&Line::Prompt { key: key.into(), text: text.into() }).await;
    }

    pub async fn next(&mut self) -> Option<Event> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it says nothing").unwrap()?;
        keep(&self.kept, &line);
        Some(serde_json::from_str(&line).unwrap_or_else(|fault| panic!("{fault}: {line}")))
    }

    /// Reads on until an event is there, that one included.
    pub async fn until(&mut self, enough: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let Some(event) = self.next().await else { panic!("it ended after {events:#?}") };
            let stop = enough(&event);
            events.push(event);
            if stop {
                return events;
            }
        }
    }

    /// Reads on to the end of the turn.
    pub async fn turn(&mut self) -> (Vec<Event>, TurnEnd) {
        let mut events = self.until(|it| matches!(it, Event::TurnEnded(_))).await;
        match events.pop() {
            Some(Event::TurnEnded(end)) => (events, end),
            other => panic!("{other:?}"),
        }
    }

    /// Ends its input and reads the rest.
    pub async fn close(mut self) -> (Vec<Event>, i32) {
        drop(self.process.stdin.take());
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        (events, self.process.wait().await.unwrap().code().unwrap())
    }

    /// Kills it as a power cut would; what it said before is kept.
    pub async fn kill(mut self) -> Vec<Event> {
        self.process.start_kill().unwrap();
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        self.process.wait().await.unwrap();
        events
    }
}

fn keep(path: &Path, line: &str) {
    use std::io::Write;
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

pub fn text(events: &[Event]) -> String {
    events.iter().filter_map(|it| if let Event::Text { text } = it { Some(text.as_str()) } else { None }).collect()
}

pub fn usage(events: &[Event]) -> Vec<Usage> {
    events.iter().filter_map(|it| if let Event::Usage(usage) = it { Some(*usage) } else { None }).collect()
}

pub fn results(events: &[Event]) -> Vec<(&str, bool)> {
    let mut results = Vec::new();
    for event in events {
        if let Event::ToolResult(it) = event {
            results.push((it.output.as_str(), it.failed));
        }
    }
    results
}
