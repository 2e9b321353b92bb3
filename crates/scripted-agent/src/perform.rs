//! Plays the script: finds the turn for an input and does its steps.

use crate::args::Permissions;
use crate::conversation::{Conversation, Place, Shelf};
use crate::input;
use crate::mcp::Client;
use crate::mischief::{self, Group};
use crate::protocol::{Spent, Voice};
use crate::script::{Ask, Call, Choice, End, Foreach, On, Play, Run, Script, Step, When};
use crate::template::{self, Names};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::oneshot;

/// Permission requests that wait for an answer.
pub(crate) type Asked = Rc<RefCell<HashMap<String, oneshot::Sender<Value>>>>;

/// How much of a command's output goes into the transcript.
const SHOWN: usize = 100_000;

/// The agent.
pub(crate) struct Actor {
    pub(crate) script: Rc<Script>,
    pub(crate) conversation: Conversation,
    pub(crate) shelf: Shelf,
    pub(crate) voice: Rc<Voice>,
    pub(crate) servers: Vec<Client>,
    pub(crate) permissions: Permissions,
    pub(crate) asked: Asked,
    pub(crate) rules: String,
    pub(crate) env: BTreeMap<String, String>,
    /// The words before our arguments, for processes that we start of ourselves.
    pub(crate) leading: Vec<String>,
    /// The input of this turn.
    pub(crate) prompt: String,
    /// What the last step gave.
    pub(crate) last: Value,
}

/// Where a step leads.
enum Flow {
    On,
    End(End),
    Wait(Option<String>),
}

impl Actor {
    /// Begins a turn: looks which servers are there, and says so.
    pub(crate) async fn greet(&mut self) -> Result<()> {
        let (mut tools, mut servers) = (Vec::new(), Vec::new());
        for client in &mut self.servers {
            let name = client.server.name.clone();
            let found = client.tools().await;
            servers.push((name.clone(), found.is_some()));
            tools.extend(found.unwrap_or_default().iter().map(|tool| format!("mcp__{name}__{tool}")));
        }
        self.voice.init(&tools, &servers)
    }

    /// Answers one input.
    pub(crate) async fn perform(&mut self, prompt: &str) -> Result<End> {
        prompt.clone_into(&mut self.prompt);
        let script = Rc::clone(&self.script);
        let told = &mut self.conversation.told;
        told.push(prompt.to_owned());
        if told.len() > 50 {
            told.remove(0);
        }
        let opening = self.conversation.play.is_none();
        let play = self.play(&script)?;
        let Some(place) = self.place(play, opening) else {
            self.shelf.keep(&self.conversation)?;
            self.voice.text("There is nothing for me to do about this.")?;
            return Ok(End::Completed);
        };
        let steps = &play.turns[place.turn].steps;
        for (at, step) in steps.iter().enumerate().skip(place.step) {
            self.conversation.at = Some(Place { turn: place.turn, step: at });
            self.shelf.keep(&self.conversation)?;
            match self.step(step).await? {
                Flow::On => {}
                Flow::End(end) => return Ok(end),
                Flow::Wait(contains) => {
                    self.conversation.waits = Some((Place { turn: place.turn, step: at + 1 }, contains));
                    break;
                }
            }
        }
        Ok(End::Completed)
    }

    /// Gives the turn up where it is.
    pub(crate) fn abandon(&mut self) {
        self.conversation.at = None;
    }

    /// Keeps the conversation after a turn.
    pub(crate) fn close(&mut self, spent: Spent) -> Result<()> {
        let Spent { micros, input, output } = spent;
        (self.conversation.spent, self.conversation.input, self.conversation.output) = (micros, input, output);
        self.conversation.at = None;
        self.shelf.keep(&self.conversation)
    }

    /// Returns the play of this conversation, chosen by its opening.
    fn play<'a>(&mut self, script: &'a Script) -> Result<&'a Play> {
        let fits = |play: &&Play| match &self.conversation.play {
            Some(name) => play.name == *name,
            None => self.holds(&play.when),
        };
        let play = script.plays.iter().find(fits).context("no play of the script fits this conversation")?;
        self.conversation.play = Some(play.name.clone());
        Ok(play)
    }

    fn holds(&self, when: &When) -> bool {
        let has = |text: &String| self.rules.contains(text.as_str()) || self.prompt.contains(text.as_str());
        when.contains.iter().all(has)
            && !when.lacks.iter().any(has)
            && when.env.iter().all(|(key, value)| self.env.get(key) == Some(value))
    }

    /// Finds where to go on: in a turn that was cut off, where something waits, or in the first turn that fits.
    fn place(&mut self, play: &Play, opening: bool) -> Option<Place> {
        if let Some(cut) = self.conversation.at.take() {
            return Some(cut);
        }
        let waits = self.conversation.waits.take();
        if let Some((place, contains)) = waits {
            if contains.as_ref().is_none_or(|it| self.prompt.contains(it.as_str())) {
                return Some(place);
            }
            self.conversation.waits = Some((place, contains));
        }
        let begun = &mut self.conversation.begun;
        let fits = |(at, turn): &(usize, &crate::script::Turn)| {
            let on = match &turn.on {
                On::Opening => opening,
                On::Any => true,
                On::Contains(text) => self.prompt.contains(text.as_str()),
            };
            on && turn.times.is_none_or(|times| begun.get(at).copied().unwrap_or(0) < times)
        };
        let (turn, _) = play.turns.iter().enumerate().find(fits)?;
        *begun.entry(turn).or_default() += 1;
        Some(Place { turn, step: 0 })
    }

    /// Does one step. Boxed, as steps hold steps.
    fn step<'a>(&'a mut self, step: &'a Step) -> Pin<Box<dyn Future<Output = Result<Flow>> + 'a>> {
        Box::pin(async move {
            match step {
                Step::Say(text) => self.voice.text(&self.text(text)?)?,
                Step::Think(text) => self.voice.think(&self.text(text)?)?,
                Step::Write(file) => self.edit(&file.path, Some(&file.text), false).await?,
                Step::Append(file) => self.edit(&file.path, Some(&file.text), true).await?,
                Step::Delete(path) => self.edit(path, None, false).await?,
                Step::Run(run) => self.run(run).await?,
                Step::Commit(message) => self.commit(message).await?,
                Step::Call(call) => self.call(call).await?,
                Step::Ask(ask) => self.ask(ask).await?,
                Step::AskPermission(run) => {
                    self.run(run).await?;
                    if let Some(why) = self.last.get("denied").and_then(Value::as_str) {
                        let said = format!("I was not allowed to: {why}");
                        self.voice.text(&said)?;
                    }
                }
                Step::Set(values) => {
                    let values = template::object(values, self)?;
                    self.conversation.variables.extend(values);
                }
                Step::Push(push) => {
                    let value = template::value(&push.value, self)?;
                    match self.conversation.variables.entry(push.to.clone()).or_insert_with(|| json!([])) {
                        Value::Array(items) => items.push(value),
                        other => bail!("`{}` is no list but {other}", push.to),
                    }
                }
                Step::If(Choice { when, then, otherwise }) => {
                    let steps = if template::hold(when, self)? { then } else { otherwise };
                    return self.steps(steps).await;
                }
                Step::Foreach(each) => return self.foreach(each).await,
                Step::Wait(wait) => return Ok(Flow::Wait(wait.contains.clone())),
                Step::End(End::Failed(text)) => return Ok(Flow::End(End::Failed(self.text(text)?))),
                Step::End(end) => return Ok(Flow::End(end.clone())),
                Step::SleepMs(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
                Step::Usage(cost) => self.voice.spend(*cost),
                Step::Limit(window) => self.voice.limit(window)?,
                Step::Retry(again) => self.voice.retry(again)?,
                Step::Stderr(text) => eprintln!("{}", self.text(text)?),
                Step::Crash(how) => {
                    if let Some(place) = &mut self.conversation.at {
                        place.step += 1;
                    }
                    self.shelf.keep(&self.conversation)?;
                    mischief::crash(how)?;
                    // SIGKILL may take a moment.
                    std::future::pending().await
                }
                Step::Hang => {
                    input::stop_reading();
                    std::future::pending().await
                }
                Step::StopReading => input::stop_reading(),
                Step::CloseOutput => mischief::close_output()?,
                Step::IgnoreSignals(names) => {
                    if let Some(unknown) = names.iter().find(|name| !input::ignore(name)) {
                        bail!("`{unknown}` cannot be ignored: TERM, INT and HUP can");
                    }
                }
                Step::Fork(fork) => {
                    let strays = mischief::fork(fork, &self.leading)?;
                    self.last = json!(strays);
                    self.voice.text(&format!("started {}", self.last))?;
                }
                Step::Garbage(lines) => {
                    for n in 0..*lines {
                        self.voice.bytes(format!("}}{{ this is no line of the protocol, number {n}\n").as_bytes())?;
                    }
                }
                Step::HugeLine(huge) if huge.proper => self.voice.text(&"x".repeat(huge.bytes))?,
                Step::HugeLine(huge) => self.voice.bytes(&[vec![b'x'; huge.bytes], vec![b'\n']].concat())?,
                Step::InvalidUtf8 => self.voice.bytes(b"{\"type\":\"\xff\xfe\xc3\x28\"}\n")?,
                Step::Flood(flood) => {
                    let text = "y".repeat(flood.bytes);
                    for n in 0..flood.lines {
                        self.voice.text(&format!("{n} {text}"))?;
                    }
                }
                Step::HalfLine(text) => self.voice.bytes(self.text(text)?.as_bytes())?,
            }
            Ok(Flow::On)
        })
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<Flow> {
        for step in steps {
            match self.step(step).await? {
                Flow::On => {}
                Flow::End(end) => return Ok(Flow::End(end)),
                Flow::Wait(_) => bail!("`wait` stands inside `if` or `foreach`, where it has no place to go on"),
            }
        }
        Ok(Flow::On)
    }

    async fn foreach(&mut self, each: &Foreach) -> Result<Flow> {
        let items = match template::value(&each.items, self)? {
            Value::Array(items) => items,
            Value::String(text) => text.lines().map(|it| json!(it)).collect(),
            Value::Null => Vec::new(),
            other => bail!("`foreach` needs a list or a text, not {other}"),
        };
        for item in items {
            self.conversation.variables.insert(each.name.clone(), item);
            if template::hold(&each.only, self)? {
                match self.steps(&each.steps).await? {
                    Flow::On => {}
                    stop => return Ok(stop),
                }
            }
        }
        Ok(Flow::On)
    }

    fn text(&self, text: &str) -> Result<String> {
        template::text(text, self)
    }

    async fn edit(&mut self, path: &str, text: Option<&str>, append: bool) -> Result<()> {
        let path = self.text(path)?;
        let text = text.map(|it| self.text(it)).transpose()?;
        let (tool, input) = match &text {
            Some(text) => ("Write", json!({"file_path": path, "content": text})),
            None => ("Bash", json!({"command": format!("rm {path}")})),
        };
        let Some(id) = self.begin(tool, &input).await? else { return Ok(()) };
        let done = edit(&self.voice.dir.join(&path), text.as_deref(), append);
        let words = match &done {
            Ok(()) => format!("done: {path}"),
            Err(fault) => fault.to_string(),
        };
        self.voice.tool_result(&id, &words, done.is_err())?;
        done.with_context(|| format!("editing {path}"))
    }

    async fn run(&mut self, run: &Run) -> Result<()> {
        let argv = run.argv.iter().map(|it| self.text(it)).collect::<Result<Vec<_>>>()?;
        let Some((output, failed)) = self.command(&argv).await? else { return Ok(()) };
        if failed && !run.allow_failure {
            bail!("`{}` failed: {output}", argv.join(" "));
        }
        self.last = json!(output);
        if let Some(name) = &run.save {
            self.conversation.variables.insert(name.clone(), self.last.clone());
        }
        Ok(())
    }

    /// Runs a command as a tool: shown, asked for, in a process group of its own. `None`: it was denied.
    async fn command(&mut self, argv: &[String]) -> Result<Option<(String, bool)>> {
        let shown = json!({"command": argv.join(" "), "description": "scripted"});
        let Some(id) = self.begin("Bash", &shown).await? else { return Ok(None) };
        let (output, failed) = match start(argv, &self.voice.dir).await {
            Ok(output) => output,
            Err(fault) => (format!("{fault:#}"), true),
        };
        self.voice.tool_result(&id, &output, failed)?;
        Ok(Some((output, failed)))
    }

    async fn commit(&mut self, message: &str) -> Result<()> {
        let message = self.text(message)?;
        let dir = self.voice.dir.clone();
        let git = |args: &[&str]| {
            let argv: Vec<String> = ["git"].iter().chain(args).map(|it| (*it).to_owned()).collect();
            let dir = dir.clone();
            async move { start(&argv, &dir).await }
        };
        let input =
            json!({"command": format!("git add -A && git commit -q -m '{message}'"), "description": "scripted"});
        let Some(id) = self.begin("Bash", &input).await? else { return Ok(()) };
        let commit = async {
            expect(git(&["add", "-A"]).await?)?;
            let (_, changed) = git(&["diff", "--cached", "--quiet"]).await?;
            if changed {
                let (_, unnamed) = git(&["config", "user.email"]).await?;
                let name = ["-c", "user.name=Scripted Agent", "-c", "user.email=agent@example.invalid"];
                let name = if unnamed { &name[..] } else { &[] };
                expect(git(&[name, &["commit", "-q", "-m", &message]].concat()).await?)?;
            }
            expect(git(&["rev-parse", "HEAD"]).await?)
        };
        let done: Result<String> = commit.await;
        let words = done.as_ref().map_or_else(|fault| format!("{fault:#}"), String::clone);
        self.voice.tool_result(&id, &words, done.is_err())?;
        self.last = json!(done?);
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<()> {
        let args = template::object(&call.args, self)?;
        let named = |client: &&mut Client| call.server.as_ref().is_none_or(|it| *it == client.server.name);
        let Some(at) = self.servers.iter_mut().find(named).map(|it| it.server.name.clone()) else {
            bail!("there is no MCP server to call `{}` at", call.tool);
        };
        let name = format!("mcp__{at}__{}", call.tool);
        let Some(id) = self.begin(&name, &Value::Object(args.clone())).await? else { return Ok(()) };
        let mut clients = self.servers.iter_mut();
        let client = clients.find(|it| it.server.name == at).context("the server is gone")?;
        let answer = client.call(&call.tool, &args, &id).await;
        let (words, failed) = match &answer {
            Ok(answer) => (template::plain(answer), false),
            Err(words) => (words.clone(), true),
        };
        self.voice.tool_result(&id, &words, failed)?;
        self.last = match (answer, &call.pick) {
            (Ok(answer), Some(what)) => template::pick(&answer, what)?,
            (Ok(answer), None) => answer,
            (Err(words), _) if call.allow_error => json!({"error": words}),
            (Err(words), _) => bail!("{}: {words}", call.tool),
        };
        if let Some(name) = &call.save {
            self.conversation.variables.insert(name.clone(), self.last.clone());
        }
        Ok(())
    }

    async fn ask(&mut self, ask: &Ask) -> Result<()> {
        let input = Value::Object(template::object(&ask.input, self)?);
        let id = self.voice.use_tool(&ask.tool, &input)?;
        let denied = self.permission(&ask.tool, &input, &id).await?;
        let words = denied.clone().unwrap_or_else(|| "allowed".to_owned());
        self.voice.tool_result(&id, &words, denied.is_some())?;
        self.last = json!({"allowed": denied.is_none(), "reason": words});
        Ok(())
    }

    /// Begins to use a tool, if it may. Returns the id of the use, or `None` when it was denied.
    async fn begin(&mut self, tool: &str, input: &Value) -> Result<Option<String>> {
        let id = self.voice.use_tool(tool, input)?;
        let command = input["command"].as_str();
        if self.permissions.allow(tool, command) {
            return Ok(Some(id));
        }
        match self.permission(tool, input, &id).await? {
            None => Ok(Some(id)),
            Some(reason) => {
                self.voice.tool_result(&id, &reason, true)?;
                self.last = json!({"denied": reason});
                Ok(None)
            }
        }
    }

    /// Asks the client. Returns the reason of a no.
    async fn permission(&mut self, tool: &str, input: &Value, id: &str) -> Result<Option<String>> {
        if !self.permissions.can_ask {
            let fields = json!({"tool_name": tool, "tool_use_id": id, "message": "nobody is there to allow it"});
            self.voice.system("permission_denied", fields)?;
            return Ok(Some("nobody is there to allow it".to_owned()));
        }
        let request = uuid::Uuid::new_v4().to_string();
        let (answer, asked) = oneshot::channel();
        self.asked.borrow_mut().insert(request.clone(), answer);
        self.voice.ask(&request, tool, input, id)?;
        let response = asked.await.context("nobody will answer any more")?;
        let answer = &response["response"];
        Ok(match answer["behavior"].as_str() {
            Some("allow") => None,
            Some(_) | None => Some(answer["message"].as_str().unwrap_or("denied").to_owned()),
        })
    }
}

impl Names for Actor {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "prompt" => json!(self.prompt),
            "last" => self.last.clone(),
            "told" => json!(self.conversation.told),
            "conversation" => json!(self.conversation.id),
            "play" => json!(self.conversation.play),
            "dir" => json!(self.voice.dir),
            "rules" => json!(self.rules),
            "env" => json!(self.env),
            other => self.conversation.variables.get(other)?.clone(),
        })
    }
}

fn edit(path: &Path, text: Option<&str>, append: bool) -> std::io::Result<()> {
    let Some(text) = text else { return std::fs::remove_file(path) };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::File::options();
    options.create(true).append(append).write(true).truncate(!append);
    options.open(path)?.write_all(text.as_bytes())
}

/// Runs a command to its end; a turn that is given up kills it with all that is in its group.
async fn start(argv: &[String], dir: &Path) -> Result<(String, bool)> {
    let (program, args) = argv.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).spawn().with_context(|| format!("`{program}` did not start"))?;
    let mut group = Group::of(child.id());
    let output = child.wait_with_output().await?;
    group.release();
    let mut text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !errors.trim().is_empty() {
        text = format!("{text}\n{}", errors.trim()).trim_start().to_owned();
    }
    if let Some((cut, _)) = text.char_indices().find(|(at, _)| *at >= SHOWN) {
        text.truncate(cut);
    }
    Ok((text, !output.status.success()))
}

fn expect((output, failed): (String, bool)) -> Result<String> {
    if failed { bail!("{output}") } else { Ok(output) }
}
