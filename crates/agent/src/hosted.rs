//! Agent programs on a host: a pure dialect per program, and the reading and writing around it.

use crate::{
    Batch, Cursor, Ended, Entry, Event, Launch, LaunchError, Program, Runner, RunnerError, Said, Say, Source, Started,
};
use crate::{Window, examine, spec, terminal};
use async_trait::async_trait;
use orcha_exec::keeper::CUT_MARK;
use orcha_exec::{
    Command, ExitStatus, Finding, Grace, Host, InputLine, RunError, RunLabel, RunSpec, RunState, Seen, Sent, Stream,
};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How one kind of agent program is launched and understood. Pure.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// Builds the run: program, arguments, environment, private files and the first input lines.
    ///
    /// What the conversation can only be opened with later goes into the private file `brief.json`.
    fn run_spec(&self, launch: &Launch) -> Result<RunSpec, LaunchError>;

    /// Returns the program that is run, where a launch names no other.
    fn program(&self) -> Program;

    /// Tells whether it can be told how hard to think.
    fn takes_effort(&self) -> bool {
        false
    }

    /// Tells whether a person can see its runs in a terminal and type there; see [`crate::terminal`].
    fn shows_terminal(&self) -> bool {
        false
    }

    /// Goes on with a dialogue from its memory (`Value::Null` at the beginning).
    fn dialogue(&self, memory: &Value) -> Box<dyn Dialogue>;

    /// Frames something to say to a dialogue with that memory.
    fn utter(&self, say: &Say, memory: &Value) -> Result<Utterance, RunnerError>;

    /// Names what the program keeps for itself, and must be able to change: below the home folder, or below the folder
    /// that a variable names (`$CODEX_HOME/`, `$XDG_DATA_HOME/opencode/`), if it is set, or from `{run_dir}` on. What
    /// ends in `/` is a folder, and is made where it is not there.
    fn keeps(&self, _launch: &Launch) -> Vec<String> {
        Vec::new()
    }

    /// Tells whether a launch lets go of the program's own sandbox because ours stands in its place: then it is not
    /// started without ours.
    fn leans_on_sandbox(&self, _launch: &Launch) -> bool {
        false
    }

    /// Tells whether a program of ours keeps files in the directory of its run.
    fn uses_run_dir(&self) -> bool {
        false
    }

    /// Tells whether the program takes nothing after its first lines and waits for the end of its input. It is
    /// interrupted by ending its run, and hears its next prompt in a new one.
    fn hears_once(&self) -> bool {
        false
    }
}

/// The lines that say something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// In order.
    pub lines: Vec<InputLine>,
}

/// One conversation as it is read. Pure; all that lasts is in `memory`, which is stored and holds no secret.
pub trait Dialogue: Send {
    /// Understands one line of standard output, given without its line break; `truncated` when its tail was cut.
    fn hear(&mut self, line: &[u8], truncated: bool) -> Heard;

    /// Returns what must be remembered between lines.
    fn memory(&self) -> Value;

    /// Tells whether the conversation is still to be opened, and `brief` must be called before anything is heard.
    fn wants_brief(&self) -> bool {
        false
    }

    /// Takes what the launch laid down in `brief.json`. Not remembered: it may hold a credential.
    fn brief(&mut self, _brief: &str) {}

    /// Takes the directory of the run before the brief, for what has to name a private file to the program.
    fn folder(&mut self, _run_dir: &Path) {}

    /// Learns that something was said after what was heard so far.
    fn said(&mut self, _say: &Say) {}

    /// Gives out what was heard in part, when nothing more will come; `status` is how the process ended, unless it is
    /// gone without a trace.
    fn finish(&mut self, _status: Option<ExitStatus>) -> Vec<Event> {
        Vec::new()
    }

    /// Tells whether a turn is running, as far as was heard.
    fn in_turn(&self) -> bool;
}

/// What a line meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The events.
    pub events: Vec<Event>,
    /// Lines that the protocol wants in return, with keys of their own.
    pub replies: Vec<InputLine>,
}

/// Agent programs on a host.
#[derive(Clone, Debug)]
pub struct HostedRunner {
    host: Arc<dyn Host>,
    dialect: Arc<dyn Dialect>,
    live: Arc<Mutex<HashMap<RunLabel, Live>>>,
}

/// What this process knows of a run that it reads. Nothing is lost with it: the memory is in the cursor, the brief
/// lies in the run directory.
#[derive(Clone, Default)]
struct Live {
    /// The memory behind the last batch; `None` until the run is read.
    memory: Option<Value>,
    /// What was said since.
    said: Vec<Say>,
    brief: Option<String>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the words nor the credential.
        f.debug_struct("Live").field("said", &self.said.len()).finish_non_exhaustive()
    }
}

/// A batch takes no further lines beyond this many bytes of a stream.
const BATCH: usize = 1 << 20;

/// How much is read from the host at once.
const CHUNK: usize = 256 << 10;

/// The longest line that is put together: the keeper's cap with room for its mark. What is longer comes in pieces.
const LINE: usize = (16 << 20) + 4096;

/// The same for standard error, which nobody parses.
const ERROR_LINE: usize = 64 << 10;

impl HostedRunner {
    /// Makes a runner of one kind of agent on one host.
    pub fn new(host: Arc<dyn Host>, dialect: Arc<dyn Dialect>) -> Self {
        Self { host, dialect, live: Arc::default() }
    }

    /// Tells how a run ended, `None` while it is alive.
    async fn over(&self, label: &RunLabel) -> Result<Option<Ended>, RunError> {
        match self.host.look(label).await? {
            RunState::Absent => Err(RunError::Absent { label: label.clone() }),
            RunState::Running(_) => Ok(None),
            RunState::Ended(status) => Ok(Some(Ended::Exited(status))),
            RunState::Lost => Ok(Some(Ended::Lost)),
        }
    }

    /// Hands over replies of the dialogue. To a run that is over there is nothing left to say.
    async fn reply(&self, label: &RunLabel, replies: &[InputLine]) -> Result<(), RunError> {
        if replies.is_empty() {
            return Ok(());
        }
        match self.host.send(label, replies).await {
            Ok(Sent::Appended | Sent::AlreadyThere) | Err(RunError::Over { .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Goes on with the dialogue of a run, with its brief if it needs one.
    async fn dialogue(&self, label: &RunLabel, memory: &Value) -> Result<Box<dyn Dialogue>, RunnerError> {
        let mut dialogue = self.dialect.dialogue(memory);
        if dialogue.wants_brief() {
            let known = self.live().get(label).and_then(|it| it.brief.clone());
            let brief = match known {
                Some(brief) => brief,
                None => {
                    let brief = self.read_brief(label).await?;
                    self.live().entry(label.clone()).or_default().brief = Some(brief.clone());
                    brief
                }
            };
            dialogue.folder(&self.folder(label));
            dialogue.brief(&brief);
        }
        Ok(dialogue)
    }

    /// Reads the brief where the launch laid it, after a restart in the middle of an opening.
    async fn read_brief(&self, label: &RunLabel) -> Result<String, RunnerError> {
        let cat = Command::new("cat", self.folder(label)).env("PATH", self.host.search_path()).arg(spec::BRIEF);
        let fault = |source| RunnerError::Brief { label: label.clone(), source };
        let output = self.host.run(&cat).await.map_err(|it| fault(Some(it)))?;
        if output.status.success() { Ok(output.text()) } else { Err(fault(None)) }
    }

    /// The directory of a run on its host.
    fn folder(&self, label: &RunLabel) -> PathBuf {
        self.host.run_dir(label)
    }

    /// Notes how far a run was read.
    fn note(&self, label: &RunLabel, memory: &Value) {
        let mut live = self.live();
        let known = live.entry(label.clone()).or_default();
        if known.memory.as_ref() != Some(memory) {
            known.memory = Some(memory.clone());
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<RunLabel, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runner for HostedRunner {
    fn window(&self, label: &RunLabel) -> Option<Window> {
        let window = Window { folder: self.folder(label), socket: terminal::SOCKET, session: terminal::SESSION };
        self.dialect.shows_terminal().then_some(window)
    }

    async fn examine(&self, kind: &str) -> Option<Finding> {
        Some(examine::examine(&*self.host, kind, &self.dialect.program()).await)
    }

    fn takes_effort(&self) -> bool {
        self.dialect.takes_effort()
    }

    async fn launch(&self, launch: &Launch) -> Result<Started, LaunchError> {
        if launch.effort.is_some() && !self.takes_effort() {
            return Err(spec::unsupported("it cannot be told how hard to think"));
        }
        let mut spec = self.dialect.run_spec(launch)?;
        spec.sandbox = spec::confined(launch, &self.dialect.keeps(launch), &spec.env, &self.folder(&launch.label));
        spec.sandbox.run_dir = self.dialect.uses_run_dir();
        spec.sandbox.strict |= self.dialect.leans_on_sandbox(launch);
        let started = self.host.start(&spec).await?;
        if self.dialect.hears_once() {
            self.host.close_input(&launch.label).await?;
        }
        if started.fresh
            && let Some((_, brief)) = spec.files.into_iter().find(|(name, _)| name == spec::BRIEF)
        {
            self.live().entry(launch.label.clone()).or_default().brief = Some(brief);
        }
        Ok(Started { pid: Some(started.pid), fresh: started.fresh, confinement: started.confinement })
    }

    async fn read(&self, label: &RunLabel, after: &Cursor) -> Result<Batch, RunnerError> {
        let mut output = Lines::after(Stream::Output, after.output, LINE);
        let mut error = Lines::after(Stream::Error, after.error, ERROR_LINE);
        let mut over = None;
        self.note(label, &after.memory);
        loop {
            // Whether it is over is asked before the last reading, so that nothing is written in between.
            output.fill(&*self.host, label, over.is_some()).await?;
            error.fill(&*self.host, label, over.is_some()).await?;
            if output.is_ready() || error.is_ready() {
                let mut dialogue = self.dialogue(label, &after.memory).await?;
                let said = self.live().get(label).map(|it| it.said.clone()).unwrap_or_default();
                said.iter().for_each(|say| dialogue.said(say));
                let mut entries = Vec::new();
                let mut replies = Vec::new();
                let taken = output.take();
                for (text, truncated) in lines(&taken, LINE) {
                    let heard = dialogue.hear(text, truncated);
                    entries.extend(heard.events.into_iter().map(|event| Entry { source: Source::Agent, event }));
                    replies.extend(heard.replies);
                }
                let taken = error.take();
                entries.extend(lines(&taken, ERROR_LINE).filter_map(|(text, truncated)| complaint(text, truncated)));
                self.reply(label, &replies).await?;
                let memory = dialogue.memory();
                self.note(label, &memory);
                if let Some(live) = self.live().get_mut(label) {
                    live.said.drain(..said.len().min(live.said.len()));
                    if !dialogue.wants_brief() {
                        live.brief = None;
                    }
                }
                let cursor = Cursor { output: output.from, error: error.from, memory };
                return Ok(Batch { entries, cursor, ended: None, in_turn: dialogue.in_turn() });
            }
            if let Some(ended) = over {
                let mut dialogue = self.dialect.dialogue(&after.memory);
                let agent = |event| Entry { source: Source::Agent, event };
                let status = match ended {
                    Ended::Exited(status) => Some(status),
                    Ended::Lost => None,
                };
                let entries = dialogue.finish(status).into_iter().map(agent).collect();
                let cursor = Cursor { memory: dialogue.memory(), ..after.clone() };
                self.live().remove(label);
                return Ok(Batch { entries, cursor, ended: Some(ended), in_turn: dialogue.in_turn() });
            }
            over = self.over(label).await?;
            if over.is_none() {
                if self.dialect.hears_once() && after.output == 0 {
                    // A crash may have come between the start and the end of its input.
                    self.host.close_input(label).await?;
                }
                self.host.changed(label, Seen { output: output.seen(), error: error.seen() }).await?;
            }
        }
    }

    async fn stored(&self, label: &RunLabel, cursor: &Cursor) -> Result<(), RunnerError> {
        Ok(self.host.consumed(label, cursor.output).await?)
    }

    async fn say(&self, label: &RunLabel, say: &Say) -> Result<Said, RunnerError> {
        let (memory, said) = match self.live().get(label) {
            Some(live) => (live.memory.clone().unwrap_or(Value::Null), live.said.clone()),
            None => (Value::Null, Vec::new()),
        };
        if said.contains(say) {
            return Ok(Said::Before);
        }
        if let (true, Say::Interrupt { .. }) = (self.dialect.hears_once(), say) {
            // There is no other way to stop it, and the conversation can be gone on with.
            // Its input is closed already: there is nothing to be waited for before the signal.
            self.host.stop(label, Grace { after_close: Duration::ZERO, ..Grace::PATIENT }).await?;
            return Ok(Said::Now);
        }
        let mut dialogue = self.dialect.dialogue(&memory);
        said.iter().for_each(|it| dialogue.said(it));
        let utterance = self.dialect.utter(say, &dialogue.memory())?;
        let sent = self.host.send(label, &utterance.lines).await?;
        if let Some(live) = self.live().get_mut(label)
            && sent == Sent::Appended
        {
            live.said.push(say.clone());
        }
        Ok(match sent {
            Sent::Appended => Said::Now,
            Sent::AlreadyThere => Said::Before,
        })
    }

    async fn alive(&self, label: &RunLabel) -> Result<bool, RunnerError> {
        Ok(matches!(self.host.look(label).await?, RunState::Running(_)))
    }

    async fn stop(&self, label: &RunLabel, grace: Grace) -> Result<(), RunnerError> {
        self.host.stop(label, grace).await?;
        Ok(())
    }

    async fn forget(&self, label: &RunLabel) -> Result<(), RunnerError> {
        self.live().remove(label);
        Ok(self.host.forget(label).await?)
    }
}

/// The unread part of a stream, cut into lines.
struct Lines {
    stream: Stream,
    /// Where the first byte of `bytes` stands in the stream.
    from: u64,
    /// What was read and not yet taken.
    bytes: Vec<u8>,
    /// How much of `bytes` is known to hold no further line break.
    searched: usize,
    /// How much of `bytes` can be taken: whole lines.
    whole: usize,
    /// How long a line may become before it is taken in pieces.
    longest: usize,
}

impl Lines {
    fn after(stream: Stream, from: u64, longest: usize) -> Self {
        Self { stream, from, bytes: Vec::new(), searched: 0, whole: 0, longest }
    }

    /// Reads until there is a batch of whole lines, or nothing more to read. Of a stream that is over, the
    /// last line counts as whole without its break.
    async fn fill(&mut self, host: &dyn Host, label: &RunLabel, over: bool) -> Result<(), RunError> {
        while self.whole < BATCH {
            let chunk = host.read(label, self.stream, self.seen(), CHUNK).await?;
            if chunk.bytes.is_empty() {
                if over {
                    self.whole = self.bytes.len();
                }
                return Ok(());
            }
            self.bytes.extend_from_slice(&chunk.bytes);
            if let Some(at) = self.bytes[self.searched..].iter().rposition(|b| *b == b'\n') {
                self.whole = self.searched + at + 1;
            }
            self.searched = self.bytes.len();
            while self.bytes.len() - self.whole >= self.longest {
                // A piece ends at a fixed distance from the line's beginning, however the chunks came.
                self.whole += self.longest;
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.whole > 0
    }

    /// Returns how far the stream was read.
    fn seen(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    /// Takes the whole lines and moves on behind them.
    fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.whole);
        let whole = std::mem::replace(&mut self.bytes, rest);
        self.from += whole.len() as u64;
        (self.searched, self.whole) = (0, 0);
        whole
    }
}

/// Splits into lines without their breaks, each with whether it is not the whole line.
fn lines(bytes: &[u8], longest: usize) -> impl Iterator<Item = (&[u8], bool)> {
    bytes.split_inclusive(|b| *b == b'\n').flat_map(move |line| line.chunks(longest)).map(move |line| {
        let piece = line.len() == longest && !line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match line.strip_suffix(CUT_MARK.as_bytes()) {
            Some(kept) => (kept, true),
            None => (line, piece),
        }
    })
}

/// Turns a line of standard error into an entry; an empty one says nothing.
fn complaint(line: &[u8], truncated: bool) -> Option<Entry> {
    let text = String::from_utf8_lossy(line).replace('\0', "\u{fffd}");
    let text = text.trim_end_matches('\r');
    let event = Event::Raw { text: text.to_owned(), truncated };
    (!text.is_empty()).then_some(Entry { source: Source::Stderr, event })
}
