//! A folder with a checkout, a model, and one agent in it; what the agent says is read as the daemon reads it.
//!
//! Nothing here has a deadline of its own: whoever plays a case sets one, and [`Stage::waiting`] says what was being
//! waited for.

use anyhow::{Context, Result, bail, ensure};
use orcha_agent::{
    Agents, Begun, Cursor, Dialect, Ended, Event, HostedRunner, Launch, LaunchError, Mcp, Permissions, Runner,
    RunnerError, Say, TurnEnd,
};
use orcha_base::{Confinement, Redacted, SandboxLevel, Timestamp};
use orcha_exec::{Grace, Host, LocalHost, LocalSettings, RunLabel, RunState, Sandbox};
use orcha_scripted_model::programs::Program;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a program and all that it started may take to end.
pub const FAREWELL: Duration = Duration::from_secs(30);

/// The bearer of the tools.
pub const BEARER: &str = "bearer-of-the-conformance-suite";

/// A file that a confined agent does not see, beside its checkout.
pub const SECRET: &str = "nobody-may-read-this";
/// What is in it.
pub const WORDS: &str = "words-that-were-hidden";

/// Who plays the agent.
pub enum Player {
    /// The program that follows a script.
    Scripted,
    /// A real program.
    Real {
        /// How it is spoken to.
        kind: &'static str,
        /// Which one.
        program: &'static Program,
        /// What starts it.
        command: Vec<OsString>,
    },
}

impl Player {
    /// Returns the name of the agent, for people and for the table of exceptions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Real { kind, .. } => kind,
        }
    }
}

/// What an agent is to do: for a program with a model, and for the one that follows a script.
pub struct Play {
    /// What the model says.
    pub model: Value,
    /// The turns of the script.
    pub turns: Value,
    /// What it may do without asking.
    pub permissions: Permissions,
    /// Whether it has tools of ours.
    pub tools: bool,
    /// What a shell does first, before it becomes the program: lines on the same output.
    pub before: Option<&'static str>,
    /// Whether it is confined to its checkout.
    pub confined: bool,
}

impl Play {
    /// Returns one that may do everything.
    pub fn new(model: Value, turns: Value) -> Self {
        Self { model, turns, permissions: Permissions::Everything, tools: false, before: None, confined: false }
    }
}

/// One agent.
pub struct Stage {
    folder: tempfile::TempDir,
    player: &'static str,
    /// The model.
    pub model: Arc<ScriptedModel>,
    /// The server of the tools; `None` while it is away.
    hub: Option<ScriptedModel>,
    dialect: Arc<dyn Dialect>,
    runner: HostedRunner,
    host: Arc<dyn Host>,
    launch: Launch,
    attempt: u32,
    prompts: u32,
    cursor: Cursor,
    /// What the newest attempt said so far.
    pub events: Vec<Event>,
    /// How the newest attempt ended.
    pub ended: Option<Ended>,
    /// Whether a turn was running after the last event.
    pub in_turn: bool,
    /// What is being waited for, for people.
    pub waiting: String,
    conversation: Option<(String, Timestamp)>,
}

impl Stage {
    /// Makes everything, and starts nothing but the model and the server of the tools.
    pub fn new(player: &Player, play: &Play) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("orcha-conformance-").tempdir()?;
        let root = folder.path().to_path_buf();
        let checkout = root.join("checkout");
        std::fs::create_dir(&checkout)?;
        for words in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "Test"],
            &["config", "user.email", "test@example.com"],
            &["config", "commit.gpgsign", "false"],
            &["commit", "-q", "--allow-empty", "-m", "begin"],
        ] {
            git(&checkout, words)?;
        }
        let vars = [("ws".to_owned(), text(&checkout)?.to_owned())].into();
        let scenario = Scenario::parse(&play.model.to_string())?;
        let model = Arc::new(ScriptedModel::start(scenario, Options { vars, ..Options::default() })?);
        let hub = open_hub(Options::default())?;
        let path = std::env::var_os("PATH").context("there is no PATH")?;
        let (kind, mut command, env) = match player {
            Player::Scripted => {
                let script = root.join("script.json");
                std::fs::write(&script, json!({"plays": [{"name": "only", "turns": play.turns}]}).to_string())?;
                let words = [env!("CARGO_BIN_EXE_orchad"), "scripted-agent", "--script", text(&script)?];
                let home = root.join("home");
                std::fs::create_dir(&home)?;
                let env = vec![("PATH".into(), text(Path::new(&path))?.into()), ("HOME".into(), text(&home)?.into())];
                ("claude", words.map(str::to_owned).to_vec(), env)
            }
            Player::Real { kind, program, command } => {
                let words = command.iter().map(|it| Ok(text(Path::new(it))?.to_owned())).collect::<Result<Vec<_>>>()?;
                let settled = program.settle(&root, model.url(), &path)?;
                let pair = |(name, value): (&str, OsString)| Ok((name.into(), text(Path::new(&value))?.into()));
                (*kind, words, settled.into_iter().map(pair).collect::<Result<Vec<_>>>()?)
            }
        };
        if let Some(before) = play.before {
            let shell = ["/bin/sh", "-c", &format!("{before}; exec \"$@\""), "sh"].map(str::to_owned);
            command = shell.into_iter().chain(command).collect();
        }
        let keeper = [env!("CARGO_BIN_EXE_orchad"), "keeper"].map(str::to_owned).to_vec();
        let settings = LocalSettings { cgroup_parent: None, ..LocalSettings::detect(root.join("root"), keeper) };
        let host: Arc<dyn Host> = Arc::new(LocalHost::new(settings)?);
        let dialect = Agents::new(Vec::new())?.dialect(kind).context("there is no such kind")?;
        let tools = Mcp {
            name: "hub".into(),
            url: format!("{}/mcp", hub.url()),
            token: Redacted::new(BEARER.into()),
            tools: vec!["report".into()],
        };
        let sandbox = Sandbox {
            level: if play.confined { SandboxLevel::Landlock } else { SandboxLevel::None },
            strict: play.confined,
            hide: vec![root.join("root"), root.join(SECRET)],
            ..Sandbox::default()
        };
        std::fs::write(root.join(SECRET), WORDS)?;
        let launch = Launch {
            label: RunLabel::new("s-1")?,
            dir: checkout,
            program: Some(command),
            model: None,
            effort: None,
            resume: None,
            begun: None,
            conversation: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            mcp: play.tools.then_some(tools),
            permissions: play.permissions,
            sandbox,
            rules: String::new(),
            opening: None,
            env,
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        };
        let runner = HostedRunner::new(Arc::clone(&host), Arc::clone(&dialect));
        Ok(Self {
            folder,
            player: player.name(),
            model,
            hub: Some(hub),
            dialect,
            runner,
            host,
            launch,
            attempt: 0,
            prompts: 0,
            cursor: Cursor::default(),
            events: Vec::new(),
            ended: None,
            in_turn: false,
            waiting: String::new(),
            conversation: None,
        })
    }

    /// Tells whether the agent follows a script and has no model.
    pub fn is_scripted(&self) -> bool {
        self.player == Player::Scripted.name()
    }

    /// Returns the name of the agent.
    pub fn player(&self) -> &'static str {
        self.player
    }

    /// Says why an agent cannot be confined here, if it cannot.
    pub async fn lacks_sandbox(&self) -> Option<String> {
        let offers = self.host.sandboxes().await;
        offers.into_iter().find(|it| it.level == SandboxLevel::Landlock)?.there.err()
    }

    /// Returns how the newest attempt is confined.
    pub async fn confinement(&self) -> Result<Option<Confinement>> {
        match self.host.look(&self.launch.label).await? {
            RunState::Running(started) => Ok(started.confinement),
            other => bail!("it does not run: {other:?}"),
        }
    }

    /// Returns a file of the checkout.
    pub fn file(&self, name: &str) -> PathBuf {
        self.launch.dir.join(name)
    }

    /// Runs git in the checkout.
    pub fn git(&self, words: &[&str]) -> Result<String> {
        git(&self.launch.dir, words)
    }

    /// Tells whether each prompt is a process of its own.
    pub fn hears_once(&self) -> bool {
        self.dialect.hears_once()
    }

    /// Returns how many calls of a tool the server of the tools has answered since it was started.
    pub fn tool_calls(&self) -> u64 {
        self.hub.as_ref().map_or(0, |hub| hub.state().mcp_calls)
    }

    /// Ends the server of the tools and starts another in its place, as a daemon does that is restarted.
    pub fn restart_hub(&mut self) -> Result<()> {
        let hub = self.hub.take().context("there is no server of tools")?;
        let listen = hub.addr();
        drop(hub);
        self.hub = Some(open_hub(Options { listen, ..Options::default() })?);
        Ok(())
    }

    /// Starts the next attempt with a prompt: it goes on with the conversation, if there is one. Returns its key.
    pub async fn start(&mut self, prompt: &str) -> Result<String> {
        self.attempt += 1;
        let mut launch = self.launch.clone();
        launch.label = RunLabel::new(&format!("s-{}", self.attempt))?;
        launch.opening = Some(self.prompt(prompt));
        launch.resume = self.conversation.as_ref().map(|(id, _)| id.clone());
        loop {
            self.waiting = format!("the start of attempt {}", self.attempt);
            let now = Timestamp::from(SystemTime::now());
            launch.begun = self.conversation.as_ref().map(|(_, opened)| Begun { opened: *opened, now });
            match self.runner.launch(&launch).await {
                Ok(started) => {
                    ensure!(started.fresh, "the run was there before");
                    break;
                }
                // It is the clock that is waited for: nothing else tells when it is so late.
                Err(LaunchError::NotYet { until, reason }) => {
                    self.waiting = format!("{until}: {reason}");
                    tokio::time::sleep(until.since(now)).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        self.launch.label = launch.label;
        (self.cursor, self.events, self.ended, self.in_turn) = (Cursor::default(), Vec::new(), None, true);
        Ok(key(self.prompts))
    }

    /// Makes a prompt with a key of its own.
    fn prompt(&mut self, text: &str) -> Say {
        self.prompts += 1;
        Say::Prompt { key: key(self.prompts), text: text.to_owned() }
    }

    /// Says the next prompt, once the agent can hear it; returns its key, and where the events behind it begin.
    pub async fn next(&mut self, text: &str) -> Result<(String, usize)> {
        if self.hears_once() {
            self.until_ended().await?;
            return Ok((self.start(text).await?, 0));
        }
        let say = self.prompt(text);
        loop {
            let after = self.events.len();
            self.waiting = format!("it to take the prompt `{text}`");
            match self.runner.say(&self.launch.label, &say).await {
                Ok(_) => {
                    self.in_turn = true;
                    return Ok((key(self.prompts), after));
                }
                // What agents do with a second prompt differs: theirs is not relied on.
                Err(RunnerError::NotYet { .. }) => self.read().await?,
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Says anything else.
    pub async fn say(&mut self, say: &Say) -> Result<()> {
        self.waiting = format!("it to take {say:?}");
        self.runner.say(&self.launch.label, say).await?;
        Ok(())
    }

    /// Reads what is new. Dropped in the middle it loses nothing.
    async fn read(&mut self) -> Result<()> {
        if let Some(ended) = self.ended {
            bail!("it ended ({ended:?}) while something was waited for: {}", self.waiting);
        }
        let batch = self.runner.read(&self.launch.label, &self.cursor).await?;
        for entry in &batch.entries {
            if let Event::Ready { conversation, .. } = &entry.event {
                self.conversation = Some((conversation.clone(), Timestamp::from(SystemTime::now())));
            }
        }
        self.events.extend(batch.entries.into_iter().map(|it| it.event));
        // As the store keeps it: as text.
        self.cursor = serde_json::from_str(&serde_json::to_string(&batch.cursor)?)?;
        ensure!(!self.cursor.memory.to_string().contains(BEARER), "the credential is in the memory");
        (self.ended, self.in_turn) = (batch.ended, batch.in_turn);
        Ok(())
    }

    /// Reads until something is among the events behind a mark.
    pub async fn until(&mut self, after: usize, what: &str, enough: impl Fn(&Event) -> bool) -> Result<()> {
        while !self.events[after..].iter().any(&enough) {
            what.clone_into(&mut self.waiting);
            self.read().await?;
        }
        Ok(())
    }

    /// Reads until a turn behind a mark is over, and returns how.
    pub async fn turn_end(&mut self, after: usize) -> Result<TurnEnd> {
        let end = |event: &Event| match event {
            Event::TurnEnded(end) => Some(end.clone()),
            _ => None,
        };
        self.until(after, "the end of its turn", |event| end(event).is_some()).await?;
        self.events[after..].iter().find_map(end).context("it was just there")
    }

    /// Reads until no turn is running.
    pub async fn until_idle(&mut self) -> Result<()> {
        while self.in_turn {
            "no turn to be running".clone_into(&mut self.waiting);
            self.read().await?;
        }
        Ok(())
    }

    /// Reads until the process is gone.
    pub async fn until_ended(&mut self) -> Result<Ended> {
        loop {
            if let Some(ended) = self.ended {
                return Ok(ended);
            }
            "its process to end".clone_into(&mut self.waiting);
            self.read().await?;
        }
    }

    /// Reads until the model holds its reply, or the scripted agent said something. What opens a conversation are
    /// answers to what is read: without reading nothing would be held.
    pub async fn until_held(&mut self, gate: &str) -> Result<()> {
        if self.is_scripted() {
            return self.until(0, "its first words", |it| matches!(it, Event::Text { .. })).await;
        }
        let model = Arc::clone(&self.model);
        let mut held = pin!(model.until(|state| state.held.iter().any(|it| it == gate)));
        loop {
            self.waiting = format!("the model to hold at `{gate}`");
            tokio::select! {
                biased;
                _ = &mut held => return Ok(()),
                read = self.read() => read?,
            }
        }
    }

    /// Kills the process as a crash would.
    pub async fn crash(&mut self) -> Result<()> {
        let RunState::Running(started) = self.host.look(&self.launch.label).await? else { bail!("it does not run") };
        kill_process(Pid::from_raw(started.pid).context("an odd process id")?, Signal::KILL)?;
        Ok(())
    }

    /// Ends the run, and waits until every process of it is gone, its keeper with it.
    pub async fn stop(&mut self) -> Result<()> {
        if self.attempt == 0 {
            return Ok(());
        }
        "its run to stop".clone_into(&mut self.waiting);
        self.runner.stop(&self.launch.label, Grace::QUICK).await?;
        self.until_ended().await?;
        for (pid, command) in self.processes() {
            self.waiting = format!("process {pid} to end: {command}");
            let handle = match pidfd_open(pid_of(pid)?, PidfdFlags::empty()) {
                Ok(handle) => handle,
                Err(rustix::io::Errno::SRCH) => continue,
                Err(fault) => return Err(fault.into()),
            };
            let gone = move || {
                let wait = Timespec { tv_sec: FAREWELL.as_secs().cast_signed(), tv_nsec: 0 };
                poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&wait))
            };
            tokio::task::spawn_blocking(gone).await??;
        }
        Ok(())
    }

    /// Ends by force whatever is left, and says what that was.
    pub fn clear(&self) -> Vec<String> {
        let left = self.processes();
        for (pid, _) in &left {
            // Gone in the meantime is what is wanted.
            if let Err(fault) = pid_of(*pid).map(|pid| kill_process(pid, Signal::KILL)) {
                eprintln!("{pid}: {fault:#}");
            }
        }
        left.into_iter().map(|(_, command)| command).collect()
    }

    /// Returns the processes that were started for this folder, with their command lines.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let mark = self.folder.path().as_os_str().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse::<u32>().ok()) else { continue };
            // Both are empty for a process that has ended and was not reaped, and missing for one that is gone.
            let [environment, command] =
                ["environ", "cmdline"].map(|it| std::fs::read(format!("/proc/{pid}/{it}")).unwrap_or_default());
            if [&environment, &command].iter().any(|it| it.windows(mark.len()).any(|part| part == mark)) {
                found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
            }
        }
        found
    }

    /// Returns all text that the agent said behind a mark.
    pub fn said(&self, after: usize) -> String {
        let text = |event: &Event| match event {
            Event::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.events[after..].iter().filter_map(text).collect()
    }

    /// Says what was heard and what the model was asked, for people.
    pub fn seen(&self) -> String {
        let shown = |event: &Event| format!("  {:.300}", format!("{event:?}"));
        let events: Vec<String> = self.events.iter().map(shown).collect();
        let said: Vec<String> = self.model.requests().iter().map(|it| format!("  {:?}", it.said)).collect();
        let (events, said) = (events.join("\n"), said.join("\n"));
        format!("it said [\n{events}\n], the model said [\n{said}\n], {:?}", self.model.state())
    }
}

/// The key of a prompt: a UUID, because some programs know nothing else.
pub fn key(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Starts the server of the tools.
fn open_hub(options: Options) -> Result<ScriptedModel> {
    let scenario = json!({"mcp": {"bearer": BEARER, "tools": [{
        "name": "report", "description": "Tells how the work goes.", "result": "heard {{args}}",
        "inputSchema": {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]},
    }]}});
    Ok(ScriptedModel::start(Scenario::parse(&scenario.to_string())?, options)?)
}

fn pid_of(pid: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(pid)?).context("an odd process id")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

fn git(checkout: &Path, words: &[&str]) -> Result<String> {
    let mut git = std::process::Command::new("git");
    // No settings of whoever runs the test.
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").args(words);
    let output = git.current_dir(checkout).output()?;
    ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
