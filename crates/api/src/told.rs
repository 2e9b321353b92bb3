//! What a journal says of a workflow, in the published events. Pure: lines go in, events come out.
//!
//! One line may be several events. They are numbered by the line and their place in it, so that a reader can go on
//! behind any of them. How many events a line makes never depends on anything that may change later.

use orcha_base::{HandInId, ObjectiveId, ScopeId, SessionId, TenantId, Timestamp};
use orcha_model::contract::Output;
use orcha_model::guard::Usage;
use orcha_model::hand_in::HandIn;
use orcha_model::workflow::Phase;
use orcha_model::{NoteKind, Session};
use orcha_store::{Event, Loaded};
use orcha_wire::{EventType, Persona, WorkflowEvent, WorkflowStatus};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::str::FromStr;

/// A place among the events of a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the line.
    pub seq: i64,
    /// The place in it.
    pub at: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            0 => write!(f, "{}", self.seq),
            at => write!(f, "{}.{at}", self.seq),
        }
    }
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (seq, at) = text.split_once('.').unwrap_or((text, "0"));
        let seq: u32 = seq.parse()?;
        Ok(Self { seq: seq.into(), at: at.parse()? })
    }
}

/// What is looked up for a line, and never changes once the line is there.
#[derive(Debug, Default)]
pub(crate) struct Known {
    sessions: HashMap<SessionId, Played>,
    hand_ins: HashMap<HandInId, HandIn>,
    summary: Option<String>,
    reason: Option<String>,
}

#[derive(Debug)]
struct Played {
    persona: Persona,
    reads_files: bool,
    provider: String,
    model: Option<String>,
    used: Usage,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    hand_in: Option<HandInId>,
    reason: Option<String>,
}

impl Known {
    pub fn of(world: &Loaded) -> Self {
        let reason = match &world.objective.state {
            orcha_model::objective::State::Failed { reason } | orcha_model::objective::State::Canceled { reason } => {
                Some(reason.clone())
            }
            _ => None,
        };
        Self {
            sessions: world.sessions.iter().filter_map(|it| Some((it.id, played(it)?))).collect(),
            hand_ins: world.hand_ins.iter().map(|it| (it.id, it.clone())).collect(),
            summary: world.objective.summary.clone(),
            reason,
        }
    }
}

impl Known {
    /// Tells whether a line can be told by what is known already: it speaks of nothing that it may have changed.
    pub fn covers(&self, line: &Event) -> bool {
        let looks = matches!(
            line.kind,
            NoteKind::ObjectiveDone
                | NoteKind::ObjectiveFailed
                | NoteKind::ObjectiveCanceled
                | NoteKind::SessionStarted
                | NoteKind::SessionSucceeded
                | NoteKind::SessionFailed
                | NoteKind::SessionCanceled
                | NoteKind::HandedIn
        );
        !looks && line.session.is_none_or(|it| self.sessions.contains_key(&it))
    }
}

fn played(it: &Session) -> Option<Played> {
    Some(Played {
        persona: crate::workflow::persona(it.role)?,
        reads_files: it.part.as_ref().is_some_and(|it| it.phase == Phase::Digest),
        provider: it.agent.kind.clone(),
        model: it.agent.model.clone(),
        used: it.counters.used,
        started_at: it.started_at,
        completed_at: it.completed_at,
        hand_in: it.part.as_ref().and_then(|it| it.hand_in),
        reason: crate::translate::session_reason(&it.state),
    })
}

/// Tells a workflow's events from its journal, from the first line on.
#[derive(Debug)]
pub(crate) struct Teller {
    workflow: ObjectiveId,
    tenant: TenantId,
    scope: ScopeId,
    status: WorkflowStatus,
}

/// One event on its way.
struct Said {
    kind: EventType,
    persona: Option<Persona>,
    payload: Value,
}

fn said(kind: EventType, payload: Value) -> Said {
    Said { kind, persona: None, payload }
}

impl Teller {
    pub fn new(workflow: ObjectiveId, tenant: TenantId, scope: ScopeId) -> Self {
        Self { workflow, tenant, scope, status: WorkflowStatus::Pending }
    }

    /// Tells whether the workflow has ended, as far as was told.
    pub fn is_over(&self) -> bool {
        self.status.is_over()
    }

    /// The first of these lines begins a workflow.
    pub const BEGINS: &[NoteKind] = &[NoteKind::SessionStarted];
    /// These lines move a workflow to another status.
    pub const MOVES: &[NoteKind] =
        &[NoteKind::ObjectiveChanged, NoteKind::ObjectiveDone, NoteKind::ObjectiveFailed, NoteKind::ObjectiveCanceled];

    /// Takes lines of the past that begin or move a workflow, and tells nothing of them.
    pub fn catch_up<'e>(&mut self, lines: impl Iterator<Item = &'e Event>) {
        let nothing = Known::default();
        lines.for_each(|line| drop(self.say(line, &nothing)));
    }

    /// Takes the next line. Each event comes with its place.
    pub fn tell(&mut self, line: &Event, known: &Known) -> Vec<(Place, WorkflowEvent)> {
        let said = self.say(line, known);
        let places = (0..).map(|at| Place { seq: line.seq, at });
        places.zip(said).map(|(place, it)| (place, self.event(it, place, line))).collect()
    }

    /// Says why a stream ends.
    pub fn closed(&self, last: Place, reason: &str, now: Timestamp) -> WorkflowEvent {
        WorkflowEvent {
            id: last.to_string(),
            workflow_id: self.workflow,
            tenant_id: self.tenant.to_string(),
            scope_id: self.scope.to_string(),
            kind: EventType::StreamClosed,
            persona: None,
            session_id: None,
            payload: Map::new(),
            reason: Some(reason.to_owned()),
            occurred_at: now,
        }
    }

    fn event(&self, it: Said, place: Place, line: &Event) -> WorkflowEvent {
        let payload = match it.payload {
            Value::Object(mut map) => {
                map.retain(|_, value| !value.is_null());
                map
            }
            _ => Map::new(),
        };
        WorkflowEvent {
            id: place.to_string(),
            workflow_id: self.workflow,
            tenant_id: self.tenant.to_string(),
            scope_id: self.scope.to_string(),
            kind: it.kind,
            persona: it.persona,
            session_id: line.session,
            payload,
            reason: None,
            occurred_at: line.at,
        }
    }

    /// Goes to another status, if it is another.
    fn to(&mut self, status: WorkflowStatus) -> Option<Said> {
        let from = std::mem::replace(&mut self.status, status);
        (from != status).then(|| said(EventType::StateTransition, json!({"from": from, "to": status})))
    }

    fn say(&mut self, line: &Event, known: &Known) -> Vec<Said> {
        use EventType as It;
        let data = |key: &str| line.data.iter().find(|(it, _)| it == key).map(|(_, value)| value.as_str());
        let player = line.session.and_then(|it| known.sessions.get(&it));
        let persona = player.map(|it| it.persona);
        let task = || json!({"task_id": data("task_id"), "title": data("title"), "says": line.summary});
        let of = |kind: It, payload: Value| vec![Said { kind, persona, payload }];
        match line.kind {
            NoteKind::ObjectiveCreated => of(It::WorkflowCreated, json!({"title": line.summary})),
            NoteKind::ObjectiveChanged => match data("state") {
                Some("paused") => self
                    .to(WorkflowStatus::Paused)
                    .into_iter()
                    .chain([said(It::WorkflowPaused, json!({"reason": line.summary}))])
                    .collect(),
                Some("active") => self
                    .to(WorkflowStatus::Running)
                    .into_iter()
                    .chain([said(It::WorkflowResumed, json!({"reason": line.summary}))])
                    .collect(),
                _ => Vec::new(),
            },
            NoteKind::ObjectiveDone => self.over(WorkflowStatus::Completed, It::WorkflowCompleted, known),
            NoteKind::ObjectiveFailed => self.over(WorkflowStatus::Failed, It::WorkflowFailed, known),
            NoteKind::ObjectiveCanceled => self.over(WorkflowStatus::Cancelled, It::WorkflowCancelled, known),
            NoteKind::SessionStarted => {
                let mut all = Vec::new();
                if self.status == WorkflowStatus::Pending {
                    all.extend(self.to(WorkflowStatus::Running));
                    all.push(said(It::WorkflowStarted, json!({})));
                }
                if let Some(it) = player {
                    let payload = json!({
                        "persona": it.persona, "provider_name": it.provider, "model_name": it.model,
                    });
                    all.push(Said { kind: It::PersonaStarted, persona, payload });
                    all.extend(files(It::AttachmentProcessingStarted, it, json!({})));
                }
                all
            }
            NoteKind::SessionRetrying => of(It::PersonaRetrying, json!({"persona": persona, "error": line.summary})),
            NoteKind::SessionSucceeded => player.map_or_else(Vec::new, |it| {
                let hand_in = it.hand_in.and_then(|id| known.hand_ins.get(&id));
                let blocking = match hand_in.map(|it| &it.output) {
                    Some(Output::Verdict(verdict)) => {
                        verdict.blocking_issues.iter().map(crate::workflow::issue).collect()
                    }
                    _ => Vec::new(),
                };
                let payload = json!({
                    "persona": it.persona,
                    "duration_ms": duration(it),
                    "summary": hand_in.map(|it| it.output.summary()),
                    "blocking_issues": blocking,
                });
                let done = files(It::AttachmentProcessingCompleted, it, json!({"duration_ms": duration(it)}));
                [Said { kind: It::PersonaCompleted, persona, payload }, call(it)].into_iter().chain(done).collect()
            }),
            NoteKind::SessionFailed | NoteKind::SessionCanceled => player.map_or_else(Vec::new, |it| {
                let payload = json!({"persona": it.persona, "error": it.reason, "says": line.summary});
                let kind = match line.kind {
                    NoteKind::SessionCanceled => It::AttachmentProcessingCancelled,
                    _ => It::AttachmentProcessingFailed,
                };
                let end = files(kind, it, json!({"error": it.reason}));
                [Said { kind: It::PersonaFailed, persona, payload }, call(it)].into_iter().chain(end).collect()
            }),
            // Whoever sums a file up says when that is done; the others are shown as they are.
            NoteKind::FileAttached if data("needs_summary") == Some("false") => of(
                It::AttachmentProcessed,
                json!({
                    "attachment_id": data("attachment_id"), "filename": data("filename"),
                    "size_bytes": data("size_bytes").and_then(|it| it.parse::<u64>().ok()), "chunk_count": 1,
                }),
            ),
            NoteKind::WorkflowStep => step(data("from"), data("to"), data("cycle"), data("delivered")),
            NoteKind::WorkflowEdited => of(It::DocumentEdited, json!({"step": data("phase"), "says": line.summary})),
            NoteKind::HandedIn => {
                let hand_in = data("hand_in_id").and_then(|it| it.parse().ok()).and_then(|id| known.hand_ins.get(&id));
                hand_in.map_or_else(Vec::new, |it| handed_in(it, persona))
            }
            NoteKind::AgentSubstituted => of(
                It::AgentSubstituted,
                json!({"role": data("role"), "wanted": data("wanted"), "given": data("given"), "reason": data("reason")}),
            ),
            NoteKind::ToolsWithheld => of(It::ToolsWithheld, json!({"server": data("server"), "says": line.summary})),
            NoteKind::RoleViolation => of(It::RoleViolation, json!({"fields": data("fields"), "says": line.summary})),
            NoteKind::TaskCreated => of(It::TaskCreated, task()),
            NoteKind::TaskStarted => of(It::TaskStarted, task()),
            NoteKind::TaskCompleted => of(It::TaskCompleted, task()),
            NoteKind::TaskRetrying => of(It::TaskRetrying, task()),
            NoteKind::TaskFailed => of(It::TaskFailed, task()),
            NoteKind::TaskSkipped => of(It::TaskSkipped, task()),
            NoteKind::ChecksStarted => of(It::ValidationStarted, json!({"run": data("check_run_id")})),
            NoteKind::ChecksRan => of(
                It::ValidationRun,
                json!({
                    "run": data("check_run_id"), "commit_sha": data("sha"), "passed": data("passed") == Some("true"),
                    "says": line.summary,
                }),
            ),
            NoteKind::ChecksFaulted => {
                of(It::ValidationFaulted, json!({"run": data("check_run_id"), "says": line.summary}))
            }
            NoteKind::DeliveryOrdered => {
                of(It::DeliveryOpened, json!({"action": data("action"), "says": line.summary}))
            }
            NoteKind::DeliveryFaulted => {
                of(It::DeliveryFaulted, json!({"lasting": data("lasting") == Some("true"), "says": line.summary}))
            }
            NoteKind::DeliveryAgain => of(It::DeliveryAgain, json!({"says": line.summary})),
            NoteKind::AskUser => {
                of(It::QuestionAsked, json!({"question_id": data("question_id"), "question": line.summary}))
            }
            NoteKind::QuestionAnswered => of(It::QuestionAnswered, json!({"question_id": data("question_id")})),
            NoteKind::PrPublished => {
                of(It::DeliveryOpened, json!({"pull_request_id": data("pr_id"), "says": line.summary}))
            }
            _ => Vec::new(),
        }
    }

    fn over(&mut self, status: WorkflowStatus, kind: EventType, known: &Known) -> Vec<Said> {
        let end = said(kind, json!({"summary": known.summary, "error": known.reason}));
        self.to(status).into_iter().chain([end]).collect()
    }
}

fn duration(it: &Played) -> Option<u64> {
    let took = it.completed_at?.since(it.started_at?);
    u64::try_from(took.as_millis()).ok()
}

/// What a session asked of its provider, all of it together.
fn call(it: &Played) -> Said {
    let used = &it.used;
    let payload = json!({
        "provider": it.provider, "model": it.model, "input_tokens": used.input, "output_tokens": used.output,
        "cache_read_tokens": used.cache_read, "cache_write_tokens": used.cache_write, "micro_usd": used.micro_usd,
        "calls": used.model_calls, "duration_ms": duration(it),
    });
    Said { kind: EventType::ProviderCall, persona: Some(it.persona), payload }
}

/// What is said of the files, if the session is the one that reads them.
fn files(kind: EventType, it: &Played, payload: Value) -> Option<Said> {
    it.reads_files.then_some(Said { kind, persona: Some(it.persona), payload })
}

fn step(from: Option<&str>, to: Option<&str>, cycle: Option<&str>, delivered: Option<&str>) -> Vec<Said> {
    use EventType as It;
    let cycle: Option<u32> = cycle.and_then(|it| it.parse().ok());
    let mut all = vec![said(It::StepChanged, json!({"from": from, "to": to, "qa_cycle": cycle}))];
    if (from, to) == (Some("verify"), Some("finalize")) {
        all.push(said(It::ImplementationReady, json!({"qa_cycle": cycle})));
    }
    if from == Some("deliver") && matches!(to, Some("refine" | "done")) {
        all.push(said(It::DeliveryCompleted, json!({"says": delivered})));
    }
    match to {
        Some("exhausted") => all.push(said(It::QaExhausted, json!({"qa_cycle": cycle}))),
        Some("stagnated") => all.push(said(It::QaStagnated, json!({"qa_cycle": cycle}))),
        Some("approve_plan") => all.push(said(It::ApprovalRequested, json!({"what": "plan"}))),
        Some("approve_delivery") => all.push(said(It::ApprovalRequested, json!({"what": "delivery"}))),
        _ => {}
    }
    all
}

fn handed_in(it: &HandIn, persona: Option<Persona>) -> Vec<Said> {
    let all: Vec<(EventType, Value)> = match &it.output {
        Output::Digest(digest) => digest
            .files
            .iter()
            .map(|it| (EventType::AttachmentProcessed, json!({"filename": it.name, "summary": it.summary})))
            .collect(),
        Output::Change(change) => change
            .artifacts
            .iter()
            .map(|file| {
                let payload = json!({
                    "task_id": it.task, "artifact_name": file.path, "kind": "document",
                    "content_length": file.content.len(),
                });
                (EventType::ArtifactProduced, payload)
            })
            .collect(),
        Output::Retrospective(look) => look
            .improvements
            .iter()
            .map(|one| {
                let suggestion = format!("[{}] {} → {}", one.priority, one.problem, one.proposed_fix);
                let payload = json!({
                    "component": one.component_type, "name": one.component_name, "suggestion": suggestion,
                    "change_type": one.change_type, "status": "proposed",
                });
                (EventType::RefinerSuggestion, payload)
            })
            .collect(),
        _ => Vec::new(),
    };
    all.into_iter().map(|(kind, payload)| Said { kind, persona, payload }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: i64, kind: NoteKind, data: &[(&str, &str)]) -> Event {
        Event {
            seq,
            kind,
            objective: Some(ObjectiveId::fixed(1)),
            session: None,
            summary: "it".into(),
            data: data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            at: Timestamp::from_secs(seq),
        }
    }

    fn told(lines: &[Event]) -> Vec<String> {
        let mut teller = Teller::new(ObjectiveId::fixed(1), TenantId::default(), ScopeId::default());
        let known = Known::default();
        lines.iter().flat_map(|it| teller.tell(it, &known)).map(|(_, it)| format!("{} {}", it.id, it.kind)).collect()
    }

    #[test]
    fn c19_each_event_has_a_place_of_its_own_and_the_terminal_ones_are_sent() {
        let lines = [
            line(3, NoteKind::ObjectiveCreated, &[]),
            line(5, NoteKind::SessionStarted, &[]),
            line(6, NoteKind::ObjectiveChanged, &[("state", "paused")]),
            line(7, NoteKind::ObjectiveChanged, &[("state", "active")]),
            line(8, NoteKind::WorkflowStep, &[("from", "verify"), ("to", "exhausted"), ("cycle", "2")]),
            line(9, NoteKind::ObjectiveFailed, &[]),
        ];
        assert_eq!(
            told(&lines),
            [
                "3 workflow.created",
                "5 state.transition",
                "5.1 workflow.started",
                "6 state.transition",
                "6.1 workflow.paused",
                "7 state.transition",
                "7.1 workflow.resumed",
                "8 step.changed",
                "8.1 qa.exhausted",
                "9 state.transition",
                "9.1 workflow.failed",
            ]
        );
    }

    #[test]
    fn whoever_goes_on_in_the_middle_is_told_the_same() {
        let lines = [
            line(3, NoteKind::ObjectiveCreated, &[]),
            line(5, NoteKind::SessionStarted, &[]),
            line(6, NoteKind::ObjectiveChanged, &[("state", "paused")]),
            line(7, NoteKind::SessionStarted, &[]),
            line(8, NoteKind::ObjectiveChanged, &[("title", "another")]),
            line(9, NoteKind::ObjectiveChanged, &[("state", "active")]),
            line(10, NoteKind::ObjectiveFailed, &[]),
        ];
        let told = |lines: &[Event], before: &[Event]| -> Vec<String> {
            let mut teller = Teller::new(ObjectiveId::fixed(1), TenantId::default(), ScopeId::default());
            let begun = before.iter().filter(|it| Teller::BEGINS.contains(&it.kind)).take(1);
            teller.catch_up(begun.chain(before.iter().filter(|it| Teller::MOVES.contains(&it.kind))));
            let known = Known::default();
            let events = lines.iter().flat_map(|it| teller.tell(it, &known));
            events.map(|(_, it)| format!("{} {} {:?}", it.id, it.kind, it.payload)).collect()
        };
        let whole = told(&lines, &[]);
        for at in 0..lines.len() {
            let rest = told(&lines[at..], &lines[..at]);
            assert_eq!(rest, whole[whole.len() - rest.len()..], "from line {at} on");
        }
    }

    #[test]
    fn a_line_is_told_anew_when_it_speaks_of_what_it_changed() {
        let known = Known::default();
        for kind in [NoteKind::HandedIn, NoteKind::SessionSucceeded, NoteKind::ObjectiveDone] {
            assert!(!known.covers(&line(1, kind, &[])), "{kind}");
        }
        assert!(known.covers(&line(1, NoteKind::WorkflowStep, &[])));
        let of_a_stranger = Event { session: Some(SessionId::fixed(7)), ..line(1, NoteKind::SessionRetrying, &[]) };
        assert!(!known.covers(&of_a_stranger));
    }

    #[test]
    fn a_place_survives_its_text() {
        for place in [Place { seq: 41, at: 0 }, Place { seq: 41, at: 2 }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert!("".parse::<Place>().is_err() && "x.1".parse::<Place>().is_err() && "1.".parse::<Place>().is_err());
        assert!(Place { seq: 41, at: 2 } < Place { seq: 42, at: 0 });
    }
}
