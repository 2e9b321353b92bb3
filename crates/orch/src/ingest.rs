//! Reads what agents write: one task per run. Lines become rows and the cursor moves in one transaction; what
//! they mean for the session becomes facts in the same one, so that no crash comes between.

use crate::asking;
use crate::execute::{chain, run_label};
use crate::inbox::{Stimuli, SubmitError};
use crate::orch::Shared;
use crate::providers;
use orcha_agent::{Batch, Cursor, Ended, Event, Runner, Source, TurnEnd};
use orcha_base::{Attempt, MessageId, ObjectiveId, SessionId, TargetId, Timestamp};
use orcha_exec::RunLabel;
use orcha_model::guard::Usage;
use orcha_model::message;
use orcha_model::session::{self, Asked, Exit, Input};
use orcha_plan::Stimulus;
use orcha_store::{Commit, CommitError, NewEntry, TranscriptAppend};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, warn};

/// How often a busy session says what it is doing, at the most.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How long the last words of a stopped run are waited for.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How much of what an agent said stands in its row, in characters: the tail.
const SUMMARY: usize = 2000;

/// The runs that are being read.
#[derive(Debug, Default)]
pub(crate) struct Ingests {
    reading: Mutex<HashMap<RunLabel, watch::Receiver<Progress>>>,
}

/// How far a run was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// It goes on.
    Reading,
    /// Its last words are in the inbox of its objective.
    HandedOver,
    /// Nobody reads it any more.
    Over,
}

impl Ingests {
    /// Reads a run, unless somebody does already.
    pub(crate) fn ensure(
        &self,
        shared: &Arc<Shared>,
        objective: ObjectiveId,
        session: SessionId,
        attempt: Attempt,
        target: TargetId,
        kind: &str,
    ) {
        let Ok(label) = run_label(session, attempt) else { return };
        let Some(runner) = shared.hands.runner(target, kind) else {
            error!(session.id = %session, "its target has no agent of kind `{kind}`; its run cannot be read");
            return;
        };
        let mut reading = self.reading.lock();
        if reading.contains_key(&label) {
            return;
        }
        let (progress, seen) = watch::channel(Progress::Reading);
        reading.insert(label.clone(), seen);
        let (shared_too, heard) = (Arc::clone(shared), Heard::default());
        let reader = Reader {
            progress,
            shared: shared_too,
            runner,
            label,
            objective,
            session,
            attempt,
            kind: kind.to_owned(),
            told_at: None,
            heard,
            acts: false,
        };
        shared.tasks.spawn(reader.work());
    }

    /// Tells whether a run is being read.
    pub(crate) fn reads(&self, label: &RunLabel) -> bool {
        self.reading.lock().contains_key(label)
    }

    /// Waits until everything that a stopped run wrote is on its way into the store, but not for ever: what is brought
    /// to the inbox of its objective after this is decided after it.
    pub(crate) async fn drained(&self, label: &RunLabel) {
        if !self.reaches(label, Progress::HandedOver).await {
            warn!(run = %label, "the last words of the run were not read in time");
        }
    }

    /// Waits until nobody reads a stopped run, but not for ever; tells whether nobody does.
    pub(crate) async fn over(&self, label: &RunLabel) -> bool {
        self.reaches(label, Progress::Over).await
    }

    async fn reaches(&self, label: &RunLabel, progress: Progress) -> bool {
        let Some(mut seen) = self.reading.lock().get(label).cloned() else { return true };
        // A sender that is gone is a reader that has ended.
        tokio::time::timeout(LAST_WORDS, seen.wait_for(|it| *it >= progress)).await.is_ok()
    }
}

/// The task that reads one run.
struct Reader {
    progress: watch::Sender<Progress>,
    shared: Arc<Shared>,
    runner: Arc<dyn Runner>,
    label: RunLabel,
    objective: ObjectiveId,
    session: SessionId,
    attempt: Attempt,
    /// The kind of its agent, whoever plays the session now.
    kind: String,
    told_at: Option<Timestamp>,
    /// What was heard and not told yet.
    heard: Heard,
    /// Whether it was told that this turn acts.
    acts: bool,
}

impl Reader {
    async fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = self.read_to_the_end() => {}
        }
        shared.ingests.reading.lock().remove(&self.label);
        self.progress.send_replace(Progress::Over);
    }

    async fn read_to_the_end(&mut self) {
        let mut delay = Duration::from_millis(100);
        loop {
            match self.read_on().await {
                Ok(()) => return,
                Err(fault) => {
                    warn!(run = %self.label, "reading the run failed: {fault}; trying again in {delay:?}");
                    self.shared.clock.sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), String> {
        // What was heard behind the cursor is heard again.
        (self.acts, self.heard) = (false, Heard::default());
        let stored = self.shared.store.cursor(self.session, self.attempt).await.map_err(|fault| chain(&fault))?;
        let mut expected = stored.clone();
        let mut cursor = match stored {
            Some(value) => serde_json::from_value::<Cursor>(value).map_err(|fault| chain(&fault))?,
            None => Cursor::default(),
        };
        loop {
            let batch = match self.tells_in() {
                None => self.runner.read(&self.label, &cursor).await,
                Some(pause) => tokio::select! {
                    batch = self.runner.read(&self.label, &cursor) => batch,
                    () = self.shared.clock.sleep(pause) => {
                        self.tell().await?;
                        continue;
                    }
                },
            };
            let batch = batch.map_err(|fault| chain(&fault))?;
            let next = serde_json::to_value(&batch.cursor).map_err(|fault| chain(&fault))?;
            let ended = batch.ended;
            if !batch.entries.is_empty() || batch.cursor != cursor || ended.is_some() {
                self.store(&batch, expected, next.clone()).await?;
                self.runner.stored(&self.label, &batch.cursor).await.map_err(|fault| chain(&fault))?;
                expected = Some(next);
            }
            cursor = batch.cursor;
            if ended.is_some() {
                return Ok(());
            }
        }
    }

    /// In which time what was heard last is told, if nothing else comes before.
    fn tells_in(&self) -> Option<Duration> {
        let now = self.shared.clock.now();
        self.heard.anything.then(|| self.told_at.map_or(Duration::ZERO, |at| (at + TELL_EVERY).since(now)))
    }

    /// Tells what was heard last: an agent that falls silent is shown with its last activity, not the one before.
    async fn tell(&mut self) -> Result<(), String> {
        let Some(heard) = self.heard.take() else { return Ok(()) };
        self.told_at = Some(self.shared.clock.now());
        let stimuli = vec![Stimulus::Session(self.session, heard.input(self.attempt))];
        let told = self.shared.bring(self.objective, Stimuli { stimuli, ..Stimuli::default() }).await;
        told.map(|_| ()).map_err(|fault| chain(&fault))
    }

    /// Stores a batch: alone when it says nothing about the session, through the inbox when it does.
    async fn store(&mut self, batch: &Batch, expected: Option<Value>, next: Value) -> Result<(), String> {
        let heard = providers::hear(&self.shared, &self.kind, self.session, self.attempt, batch).await;
        heard.map_err(|fault| chain(&fault))?;
        let now = self.shared.clock.now();
        let asked = asking::understood(&self.shared, self.objective, self.session, batch).await?;
        let stimuli = self.meaning(batch, asked, now);
        let entries = batch.entries.iter().filter_map(|it| entry(it.source, &it.event, now)).collect();
        let transcript = TranscriptAppend { session: self.session, attempt: self.attempt, expected, next, entries };
        if stimuli.is_empty() {
            let mut commit = Commit::at(now);
            commit.transcript = Some(transcript);
            return match self.shared.store(commit).await {
                Ok(_) => Ok(()),
                Err(fault) => Err(chain(&fault)),
            };
        }
        let letter = Stimuli { stimuli, transcript: Some(transcript), ..Stimuli::default() };
        let handed_over = self.shared.hand_over(self.objective, letter).await.map_err(|fault| chain(&fault))?;
        if batch.ended.is_some() {
            // Whoever ended the run has something to say of it, too: both are stored at once.
            self.progress.send_replace(Progress::HandedOver);
        }
        match handed_over.await.unwrap_or(Err(SubmitError::ShuttingDown)) {
            Ok(_) => Ok(()),
            // Stored before, by a reader that was cut off between storing and hearing of it.
            Err(SubmitError::Store(CommitError::CursorMoved { .. })) => Err("the cursor was moved".into()),
            Err(fault) => Err(chain(&fault)),
        }
    }

    /// Says what a batch means for the session.
    fn meaning(&mut self, batch: &Batch, mut asked: HashMap<String, Box<Asked>>, now: Timestamp) -> Vec<Stimulus> {
        let (session, attempt) = (self.session, self.attempt);
        let of_session = |input| Stimulus::Session(session, input);
        let mut stimuli = Vec::new();
        let heard = &mut self.heard;
        let withdrawn = |request: &str| {
            let of = |it: &Event| matches!(it, Event::PermissionWithdrawn { request: of } if of == request);
            batch.entries.iter().any(|it| of(&it.event))
        };
        for it in &batch.entries {
            heard.note(&it.event);
            match &it.event {
                Event::Ready { conversation, .. } => {
                    stimuli.push(of_session(Input::Conversation { attempt, conversation: conversation.clone() }));
                }
                Event::Accepted { key } => {
                    // Openings and interrupts have keys that are no message's.
                    if let Ok(id) = key.parse::<MessageId>() {
                        stimuli.push(Stimulus::Message(id, message::Input::Accepted { attempt }));
                    }
                }
                Event::Usage(usage) => stimuli.push(Stimulus::Used { session, attempt, usage: usage_of(usage) }),
                Event::TurnEnded(end) => {
                    stimuli.extend(heard.take().map(|it| it.input(attempt)).map(of_session));
                    let end = self.shared.providers.put_off(&self.kind, session, now, end_of(end));
                    stimuli.push(Stimulus::TurnEnded { session, attempt, end });
                    self.acts = false;
                }
                Event::PermissionRequest { request, .. } if !withdrawn(request) => {
                    stimuli.extend(heard.take().map(|it| it.input(attempt)).map(of_session));
                    let asked = asked.remove(request);
                    stimuli.extend(asked.map(|asked| of_session(Input::PermissionAsked { attempt, asked })));
                }
                Event::PermissionWithdrawn { request } => {
                    stimuli.push(of_session(Input::PermissionWithdrawn { attempt, request: request.clone() }));
                }
                Event::Held { by_person } => {
                    stimuli.extend(heard.take().map(|it| it.input(attempt)).map(of_session));
                    stimuli.push(of_session(Input::Keyboard { attempt, by_person: *by_person }));
                }
                Event::ToolsWithheld { server, why } => {
                    let (server, why) = (server.clone(), why.clone());
                    stimuli.push(of_session(Input::ToolsWithheld { attempt, server, why }));
                }
                Event::PermissionRequest { .. }
                | Event::Text { .. }
                | Event::Thinking { .. }
                | Event::ToolCall(_)
                | Event::ToolResult(_)
                | Event::FileChange(_)
                | Event::Limit(_)
                | Event::Retrying { .. }
                | Event::Background { .. }
                | Event::Raw { .. } => {}
            }
        }
        // That a turn acts is told at once: the guard against turns of words only must not miss it.
        let due = self.told_at.is_none_or(|at| now.since(at) >= TELL_EVERY) || (heard.acted && !self.acts);
        self.acts |= heard.acted;
        if (due || !stimuli.is_empty())
            && let Some(heard) = heard.take()
        {
            stimuli.push(of_session(heard.input(attempt)));
        }
        if !stimuli.is_empty() {
            self.told_at = Some(now);
        }
        if let Some(ended) = batch.ended {
            stimuli.push(Stimulus::Exited { session, attempt, exit: exit_of(ended, batch.in_turn) });
        }
        stimuli
    }
}

/// What was heard since the session was last told of it.
#[derive(Default)]
struct Heard {
    anything: bool,
    activity: Option<String>,
    summary: Option<String>,
    acted: bool,
}

impl Heard {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Text { text } => {
                self.anything = true;
                self.activity =
                    text.lines().find(|line| !line.trim().is_empty()).map(|line| line.chars().take(120).collect());
                self.summary = Some(tail(text));
            }
            Event::Thinking { .. } => {
                self.anything = true;
                self.activity = Some("thinks".into());
            }
            Event::ToolCall(call) => {
                self.anything = true;
                self.acted = true;
                self.activity = Some(format!("tool: {}", call.tool));
            }
            Event::ToolResult(_) | Event::FileChange(_) => {
                self.anything = true;
                self.acted = true;
            }
            Event::PermissionRequest { tool, .. } => {
                self.anything = true;
                self.activity = Some(format!("asks to use {tool}"));
            }
            Event::Retrying { attempt, class } => {
                self.anything = true;
                self.activity = Some(format!("its agent retries by itself ({class}, {attempt})"));
            }
            Event::Ready { .. }
            | Event::Accepted { .. }
            | Event::PermissionWithdrawn { .. }
            | Event::Usage(_)
            | Event::Limit(_)
            | Event::Background { .. }
            | Event::Held { .. }
            | Event::ToolsWithheld { .. }
            | Event::TurnEnded(_)
            | Event::Raw { .. } => self.anything = true,
        }
    }

    fn take(&mut self) -> Option<Self> {
        let taken = std::mem::take(self);
        taken.anything.then_some(taken)
    }

    fn input(self, attempt: Attempt) -> Input {
        Input::Heard { attempt, activity: self.activity, summary: self.summary, acted: self.acted }
    }
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(SUMMARY);
    text.chars().skip(skip).collect()
}

fn usage_of(usage: &orcha_agent::Usage) -> Usage {
    Usage {
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        micro_usd: usage.micro_usd.unwrap_or(0),
        model_calls: usage.model_calls,
    }
}

fn end_of(end: &TurnEnd) -> session::TurnEnd {
    let provider = |class, until: &Option<Timestamp>| session::TurnEnd::Provider { class, until: *until };
    match end {
        TurnEnd::Completed => session::TurnEnd::Completed,
        TurnEnd::Quiet => session::TurnEnd::Quiet,
        TurnEnd::Interrupted => session::TurnEnd::Interrupted,
        TurnEnd::RateLimited { until } => provider("rate_limited", until),
        TurnEnd::UsageExhausted { until } => provider("usage_exhausted", until),
        TurnEnd::Overloaded => provider("overloaded", &None),
        TurnEnd::Network => provider("network", &None),
        TurnEnd::Refused => session::TurnEnd::Help { class: "refused" },
        TurnEnd::Auth => session::TurnEnd::Help { class: "auth" },
        TurnEnd::Billing => session::TurnEnd::Help { class: "billing" },
        TurnEnd::ModelMissing => session::TurnEnd::Help { class: "model_missing" },
        TurnEnd::ContextFull => session::TurnEnd::Help { class: "context_full" },
        TurnEnd::ConversationMissing => session::TurnEnd::ConversationMissing,
        TurnEnd::Crashed { .. } => session::TurnEnd::Failed { class: "crashed".into() },
        TurnEnd::Stalled => session::TurnEnd::Failed { class: "stalled".into() },
        TurnEnd::OverBudget => session::TurnEnd::Help { class: "over_budget" },
        TurnEnd::Failed { .. } => session::TurnEnd::Failed { class: "failed".into() },
    }
}

fn exit_of(ended: Ended, in_turn: bool) -> Exit {
    match ended {
        // Some programs end with 0 when a signal cuts a turn off: that is no evidence of anything.
        Ended::Exited(status) if status.success() && in_turn => {
            Exit::Crashed { detail: "it ended in the middle of a turn".into() }
        }
        Ended::Exited(status) if status.success() => Exit::Clean,
        Ended::Exited(status) => Exit::Crashed { detail: status.to_string() },
        Ended::Lost => Exit::Crashed { detail: "its process is gone without a trace".into() },
    }
}

/// Turns an event into a line of the transcript; what carries no content of its own makes none.
fn entry(source: Source, event: &Event, at: Timestamp) -> Option<NewEntry> {
    let who = match source {
        Source::Agent => "agent",
        Source::Stderr => "stderr",
    };
    let line = |source: &str, kind: &str, content: String, metadata: Option<Value>| {
        Some(NewEntry { source: source.into(), kind: kind.into(), content, metadata, at })
    };
    match event {
        Event::Text { text } => line(who, "text", text.clone(), None),
        Event::Thinking { text } => line(who, "thinking", text.clone(), None),
        Event::ToolCall(call) => line(
            "tool",
            "tool_call",
            format!("{} {}", call.tool, call.input),
            Some(serde_json::json!({"id": call.id, "tool": call.tool})),
        ),
        Event::ToolResult(result) => line(
            "tool",
            "tool_result",
            result.output.clone(),
            Some(serde_json::json!({"id": result.id, "failed": result.failed})),
        ),
        Event::PermissionRequest { tool, input, .. } => {
            line(who, "status", format!("asks to use {tool}: {input}"), None)
        }
        Event::Usage(usage) => {
            let tokens = usage.input + usage.output + usage.cache_read + usage.cache_write;
            line("system", "usage", format!("{tokens} tokens"), serde_json::to_value(usage).ok())
        }
        Event::Retrying { attempt, class } => {
            line("system", "status", format!("the agent retries ({class}, {attempt})"), None)
        }
        Event::Held { by_person: true } => line("system", "status", "a person took the keyboard".into(), None),
        Event::Held { by_person: false } => line("system", "status", "the person gave the keyboard back".into(), None),
        Event::ToolsWithheld { server, why } => {
            line("system", "status", format!("the tools of `{server}` are not there: {why}"), None)
        }
        Event::TurnEnded(end @ (TurnEnd::Completed | TurnEnd::Interrupted | TurnEnd::Quiet)) => {
            line("system", "status", format!("the turn {end}"), None)
        }
        Event::TurnEnded(end) => line("system", "error", format!("the turn {end}"), serde_json::to_value(end).ok()),
        Event::Accepted { key } => {
            line("system", "status", "the agent took up a message".into(), Some(serde_json::json!({"key": key})))
        }
        Event::Raw { text, truncated } => {
            let stream = match source {
                Source::Agent => "stdout",
                Source::Stderr => "stderr",
            };
            line(stream, "text", text.clone(), truncated.then(|| serde_json::json!({"truncated": true})))
        }
        Event::Ready { .. }
        | Event::FileChange(_)
        | Event::PermissionWithdrawn { .. }
        | Event::Limit(_)
        | Event::Background { .. } => None,
    }
}
