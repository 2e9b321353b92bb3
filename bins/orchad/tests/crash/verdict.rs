//! What must hold after a round, read from the database and from the origin with no daemon there.

use crate::leftovers;
use crate::story::Story;
use crate::witness::Witness;
use anyhow::{Context, Result, bail, ensure};
use orcha_agent::claude::Claude;
use orcha_agent::{Agents, Dialect, Event};
use orcha_base::{ObjectiveId, TenantId};
use orcha_model::guard::Usage;
use orcha_model::workflow::Phase;
use orcha_model::{CheckRun, check, objective, pull_request, task};
use orcha_scripted_model::{Api, Said, ScriptedModel};
use orcha_store::{Entry, EventFilter, Span, Store, StoreOptions, Viewer};
use orchad::config::Config;
use orchad::demo::sample::Sample;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

/// How much was looked at.
#[derive(Clone, Copy, Default)]
pub struct Checked {
    runs: usize,
    lines: usize,
    commits: usize,
    events: usize,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, more: Self) {
        self.runs += more.runs;
        self.lines += more.lines;
        self.commits += more.commits;
        self.events += more.events;
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, lines, commits, events } = self;
        write!(f, "{runs} runs, {lines} transcript lines, {commits} commits, {events} events")
    }
}

impl Checked {
    /// Returns what the summary says of it.
    pub fn report(&self) -> Value {
        json!({"runs": self.runs, "transcript_lines": self.lines, "commits": self.commits, "events": self.events})
    }
}

/// Checks everything; all that is wrong is said at once.
pub async fn check(
    story: Story,
    sample: &Sample,
    witness: &Witness,
    model: Option<&ScriptedModel>,
    objective: ObjectiveId,
) -> Result<Checked> {
    let data = sample.data.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&data, StoreOptions::default())).await??;
    let mut wrong = Vec::new();
    let mut note = |what: Result<usize>| match what {
        Ok(count) => count,
        Err(fault) => {
            wrong.push(format!("{fault:#}"));
            0
        }
    };
    note(books(story, &store, objective).await);
    note(steps(story, &store, objective).await);
    note(money(&store, objective).await);
    note(match (story, model) {
        (Story::Pipeline, Some(model)) => bill(sample, &store, model, objective).await,
        // The programs of others ask more than they tell, and go by prices of their own.
        (Story::Pipeline | Story::Manager | Story::Real, _) => Ok(0),
    });
    let events = note(journal(&store).await);
    let runs = note(starts(story, witness));
    let lines = note(transcripts(story, sample, &store, witness, objective).await);
    let commits = note(match story {
        Story::Manager | Story::Pipeline => commits(story, sample, witness),
        // Not every program hands on what a command printed: each message stands there once.
        Story::Real => messages(sample),
    });
    note(origin(story, sample));
    let left = leftovers::of(sample.data.parent().context("the sample has no folder")?);
    note(if left.is_empty() { Ok(0) } else { Err(anyhow::anyhow!("processes are left over: {left:#?}")) });
    store.close().await;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(Checked { runs, lines, commits, events })
}

/// Nothing is open: no session, no pull request, no question, no message, no effect.
async fn books(story: Story, store: &Store, id: ObjectiveId) -> Result<usize> {
    let world = store.load_world(id).await?.context("the objective is gone")?;
    let state = &world.objective.state;
    ensure!(matches!(state, objective::State::Succeeded), "the objective is {state:?}");
    let mut roles: Vec<_> = world.sessions.iter().map(|it| it.role.name()).collect();
    roles.sort_unstable();
    ensure!(roles == story.roles(), "the sessions are {roles:?}");
    for it in &world.sessions {
        ensure!(it.is_over(), "session {} is {:?}", it.id, it.state);
        ensure!(it.attempt.0 == 1, "session {} ({}) needed {} attempts", it.id, it.role.name(), it.attempt.0);
    }
    let merged = world.pull_requests.iter().filter(|it| matches!(it.state, pull_request::State::Merged { .. })).count();
    let all = world.pull_requests.len();
    ensure!(
        (all, merged) == (story.pull_requests(), story.pull_requests()),
        "{all} pull requests, {merged} of them merged"
    );
    ensure!(world.questions.is_empty(), "questions are not closed: {:#?}", world.questions);
    ensure!(world.messages.is_empty(), "messages were never heard: {:#?}", world.messages);
    ensure!(world.feedback.is_empty(), "feedback is left: {:#?}", world.feedback);
    let orders = store.orders_after(0, 100).await?;
    ensure!(orders.is_empty(), "effects are still to be done: {orders:#?}");
    Ok(0)
}

/// No step of a workflow was done twice: one document for each step and task, one run of the checks for each cycle.
async fn steps(story: Story, store: &Store, id: ObjectiveId) -> Result<usize> {
    let world = store.load_world(id).await?.context("the objective is gone")?;
    let Some(workflow) = &world.workflow else {
        ensure!(story != Story::Pipeline, "the workflow is gone");
        return Ok(0);
    };
    ensure!(workflow.phase == Phase::Done, "the workflow stands at {}", workflow.phase.name());
    let open: Vec<_> = world.tasks.iter().filter(|it| !matches!(it.state, task::State::Completed { .. })).collect();
    ensure!(open.is_empty(), "tasks are not done: {open:#?}");
    let mut steps: Vec<_> = world.hand_ins.iter().map(|it| (it.round, it.cycle, it.phase.name(), it.task)).collect();
    steps.sort_unstable();
    let all = steps.len();
    steps.dedup();
    ensure!(steps.len() == all, "{} documents were handed in twice; there are {steps:?}", all - steps.len());
    ensure!(all == story.roles().len(), "{all} documents were handed in: {steps:?}");
    let green = |it: &CheckRun| match &it.state {
        check::State::Done { outcome } => Some(outcome.is_green()),
        _ => None,
    };
    let green: Vec<_> = world.check_runs.iter().map(|it| (it.cycle, green(it))).collect();
    ensure!(green == [(0, Some(false)), (1, Some(true))], "the checks said {green:?}, not red and then green");
    Ok(all)
}

/// What is counted is what the agents said that they used, once.
async fn money(store: &Store, id: ObjectiveId) -> Result<usize> {
    let world = store.load_world(id).await?.context("the objective is gone")?;
    let (mut tokens, mut micro_usd) = (0, 0);
    for session in &world.sessions {
        let (mut own_tokens, mut own_micro_usd) = (0, 0);
        for entry in transcript(store, session.id).await?.iter().filter(|it| it.kind == "usage") {
            let Some(Words::Used(used)) = Words::stored(entry) else { bail!("a line says no usage: {entry:?}") };
            own_tokens += used;
            own_micro_usd += entry.metadata.as_ref().and_then(|it| it["micro_usd"].as_u64()).unwrap_or_default();
        }
        let counted = &session.counters.used;
        ensure!(
            (counted.tokens(), counted.micro_usd) == (own_tokens, own_micro_usd),
            "{} used {own_tokens} tokens and {own_micro_usd} µ$, and {counted:?} was counted",
            session.role.name()
        );
        tokens += own_tokens;
        micro_usd += own_micro_usd;
    }
    ensure!(tokens > 0, "no agent said what it used");
    let counted = &world.objective.used;
    ensure!(
        (counted.tokens(), counted.micro_usd) == (tokens, micro_usd),
        "the sessions used {tokens} tokens and {micro_usd} µ$, and {counted:?} was counted for the objective"
    );
    Ok(0)
}

/// What the models of the roles were asked and what their answers cost is what was counted for those roles: nothing was
/// asked twice, and nothing was counted twice or not at all.
async fn bill(sample: &Sample, store: &Store, model: &ScriptedModel, id: ObjectiveId) -> Result<usize> {
    let providers = Config::load(None, &sample.data)?.providers(&[])?;
    let world = store.load_world(id).await?.context("the objective is gone")?;
    // Which models there are is asked beside, and costs nothing.
    let requests: Vec<_> = model.requests().into_iter().filter(|it| it.said != Said::Aside).collect();
    let (mut asked, mut billed) = (BTreeSet::new(), Usage::default());
    for it in &requests {
        let (Some(question), Said::Reply { usage, script_error: None, .. }) = (&it.asked, &it.said) else {
            bail!("a model was asked what its script does not know: {:?}", it.said)
        };
        ensure!(asked.insert(it.body.to_string()), "a model was asked twice: {question:?}");
        let price = providers.get("openai").and_then(|it| it.price(&question.model)).context("a model has no price")?;
        let cached = price.cache_read.context("the prices of the sample name that of cached tokens")?;
        let input = match question.api {
            // They count the cached ones among those that were read.
            Api::Responses | Api::Chat | Api::Copilot => usage.input - usage.cache_read,
            Api::Messages | Api::Gemini | Api::Ollama => usage.input,
        };
        // Dollars for a million tokens are millionths for one.
        let cost = input as f64 * price.input + usage.output as f64 * price.output + usage.cache_read as f64 * cached;
        billed.add(&Usage {
            input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            micro_usd: cost.round() as u64,
            model_calls: 1,
        });
    }
    let mut counted = Usage::default();
    for it in world.sessions.iter().filter(|it| providers.get(&it.agent.kind).is_some()) {
        counted.add(&it.counters.used);
    }
    ensure!(billed == counted, "the answers of the models cost {billed:?}, and {counted:?} was counted");
    Ok(requests.len())
}

/// The journal has no gap.
async fn journal(store: &Store) -> Result<usize> {
    let mut last = 0;
    loop {
        let page = store.events(&viewer(), EventFilter::All, Span::After(last), 500).await?;
        if page.is_empty() {
            return Ok(usize::try_from(last)?);
        }
        for event in page {
            ensure!(event.seq == last + 1, "line {} of the journal follows on {last}", event.seq);
            last = event.seq;
        }
    }
}

/// Each run was started once.
fn starts(story: Story, witness: &Witness) -> Result<usize> {
    let mut starts = witness.starts()?;
    let all = starts.len();
    starts.sort();
    starts.dedup();
    ensure!(starts.len() == all, "{} processes were started twice; the runs are {starts:?}", all - starts.len());
    ensure!(all == story.roles().len(), "{all} processes were started: {starts:?}");
    Ok(all)
}

/// Each line that an agent wrote is in its session's transcript, once and in its place.
async fn transcripts(
    story: Story,
    sample: &Sample,
    store: &Store,
    witness: &Witness,
    objective: ObjectiveId,
) -> Result<usize> {
    let world = store.load_world(objective).await?.context("the objective is gone")?;
    let mut agents = Agents::new(Vec::new())?;
    agents.add_providers(&[], &Config::load(None, &sample.data)?.providers(&[])?)?;
    let kind =
        |run: &str| world.sessions.iter().find(|it| run.starts_with(&it.id.to_string())).map(|it| &it.agent.kind);
    let mut written: BTreeMap<String, Vec<Event>> = witness.events(|run| agents.dialect(kind(run)?))?;
    // That a prompt was taken up is known from what was said to it as well, which stands in no output.
    let counts = |it: &Words| story != Story::Real || !matches!(it, Words::Heard(_));
    let mut count = 0;
    for session in &world.sessions {
        let entries = transcript(store, session.id).await?;
        for (at, entry) in entries.iter().enumerate() {
            ensure!(entry.seq == i64::try_from(at)? + 1, "line {} of {} is number {}", at + 1, session.id, entry.seq);
        }
        for attempt in 1..=session.attempt.0 {
            let run = format!("{}-{attempt}", session.id);
            let events = written.remove(&run).with_context(|| format!("the run {run} left no output"))?;
            let stored = entries.iter().filter(|it| it.attempt.0 == attempt && it.source != "stderr");
            let stored: Vec<Words> = stored.filter_map(Words::stored).filter(counts).collect();
            let said: Vec<Words> = events.iter().filter_map(Words::said).filter(counts).collect();
            if let Some(at) = (0..said.len().max(stored.len())).find(|at| said.get(*at) != stored.get(*at)) {
                bail!(
                    "the transcript of {run} ({}) differs from its output in entry {at}: {:?} was written, {:?} is \
                     stored; {} were written and {} are stored",
                    session.role.name(),
                    said.get(at),
                    stored.get(at),
                    said.len(),
                    stored.len()
                );
            }
            count += said.len();
        }
    }
    ensure!(written.is_empty(), "runs that belong to no session: {:?}", written.keys());
    Ok(count)
}

async fn transcript(store: &Store, session: orcha_base::SessionId) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |it| it.seq);
        let page = store.transcript(&viewer(), session, Span::After(after), 500).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Something that an agent did, as it can be told from everything else.
#[derive(Debug, PartialEq, Eq)]
enum Words {
    Text(String),
    Thought(String),
    Call(String),
    Result(String),
    Heard(String),
    Used(u64),
    TurnEnded,
    Raw(String),
}

impl Words {
    /// Takes an event of a run's output; those that make no line of a transcript are passed over.
    fn said(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Text { text } => Self::Text(text.clone()),
            Event::Thinking { text } => Self::Thought(text.clone()),
            Event::ToolCall(it) => Self::Call(it.id.clone()),
            Event::ToolResult(it) => Self::Result(it.id.clone()),
            Event::Accepted { key } => Self::Heard(key.clone()),
            Event::Usage(it) => Self::Used(it.input + it.output + it.cache_read + it.cache_write),
            Event::TurnEnded(_) => Self::TurnEnded,
            Event::Raw { text, .. } => Self::Raw(text.clone()),
            _ => return None,
        })
    }

    /// Takes a line of a transcript.
    fn stored(entry: &Entry) -> Option<Self> {
        let of = |key: &str| entry.metadata.as_ref().and_then(|it| it[key].as_str()).map(str::to_owned);
        Some(match (entry.source.as_str(), entry.kind.as_str()) {
            ("agent", "text") => Self::Text(entry.content.clone()),
            ("agent", "thinking") => Self::Thought(entry.content.clone()),
            ("tool", "tool_call") => Self::Call(of("id")?),
            ("tool", "tool_result") => Self::Result(of("id")?),
            ("system", "usage") => Self::Used(entry.content.split(' ').next()?.parse().ok()?),
            ("system", "status") => of("key").map_or(Self::TurnEnded, Self::Heard),
            ("system", "error") => Self::TurnEnded,
            // What was said to it: no line of its own.
            ("user" | "system", "text") => return None,
            _ => Self::Raw(entry.content.clone()),
        })
    }
}

/// Each commit that an agent made is in the origin's main branch, or in the head of a pull request.
fn commits(story: Story, sample: &Sample, witness: &Witness) -> Result<usize> {
    let mut made = BTreeSet::new();
    let claude: Arc<dyn Dialect> = Arc::new(Claude { program: Vec::new(), base_env: Vec::new() });
    for event in witness.events(|_| Some(Arc::clone(&claude)))?.values().flatten() {
        if let Event::ToolResult(it) = event
            && it.output.len() == 40
            && it.output.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            made.insert(it.output.clone());
        }
    }
    ensure!(made.len() == story.commits(), "agents made the commits {made:?}");
    let kept = sample.git(&sample.origin, &["rev-list", "main", "--glob=refs/orcha/pr/*/head"])?;
    let kept: BTreeSet<&str> = kept.lines().collect();
    let lost: Vec<_> = made.iter().filter(|it| !kept.contains(it.as_str())).collect();
    ensure!(lost.is_empty(), "commits are lost: {lost:?}");
    Ok(made.len())
}

/// Each change of the demo is in the origin's main branch, once.
fn messages(sample: &Sample) -> Result<usize> {
    let log = sample.git(&sample.origin, &["log", "--no-merges", "--format=%s", "main"])?;
    let mut found: Vec<&str> = log.lines().collect();
    found.sort_unstable();
    let wanted = [
        "docs: describe how to use greet.sh",
        "docs: mention --bye",
        "feat: add a farewell",
        "feat: greet",
        "feat: say goodbye with --bye",
    ];
    ensure!(found == wanted, "the main branch has {found:#?}");
    Ok(Story::Real.commits())
}

/// The origin holds the pull requests, and on its main branch everything that was asked for.
fn origin(story: Story, sample: &Sample) -> Result<usize> {
    let heads = sample.git(&sample.origin, &["for-each-ref", "--format=%(refname)", "refs/orcha/pr/*/head"])?;
    let heads: Vec<&str> = heads.lines().collect();
    ensure!(heads.len() == story.pull_requests(), "the forge has {heads:?}");
    for (path, text) in story.on_main() {
        let file = sample.git(&sample.origin, &["show", &format!("main:{path}")])?;
        ensure!(file.contains(text), "{path} of main lacks `{text}`");
    }
    sample.git(&sample.origin, &["fsck", "--strict", "--no-dangling"])?;
    Ok(heads.len())
}

fn viewer() -> Viewer {
    Viewer::of(TenantId::default())
}
