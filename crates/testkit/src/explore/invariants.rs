//! What must hold at every moment, and at the end.

use super::{Action, Moment};
use orcha_base::{Attempt, SessionId};
use orcha_model::question::{self, About};
use orcha_model::session::{Session, State, Turn, UserWait};
use orcha_model::{Effect, NounId, message, pull_request, session};
use orcha_plan::{Settings, Stimulus, passes, why};
use std::fmt::Write;

/// Checks a moment against the one before and what happened in between.
pub(super) fn check(before: &Moment, action: &Action, after: &Moment) -> Result<(), String> {
    terminal_states_are_final(before, after)?;
    stale_facts_change_nothing(before, action, after)?;
    for session in after.world.sessions.values() {
        processes(after, session)?;
        way_out(after, session)?;
        work_is_kept(after, session)?;
    }
    pull_requests(after)?;
    messages(after)?;
    let settled = passes::propose(&after.world, after.now, &Settings::default());
    ensure(settled.is_empty(), || format!("a pass still proposes something after its turn: {settled:?}"))
}

/// Checks that nothing is left behind when all sessions have ended and everything was done.
pub(super) fn end(at: &Moment) -> Result<(), String> {
    ensure(at.outbox.is_empty(), || format!("the outbox did not drain: {:?}", at.outbox))?;
    let alive = at.outside.processes.iter().find(|(_, it)| it.alive);
    ensure(alive.is_none(), || format!("a process is left over: {alive:?}"))?;
    let waiting = at.world.messages.values().find(|it| it.state.is_waiting());
    ensure(waiting.is_none(), || format!("a message is left waiting: {waiting:?}"))?;
    let open = at.world.questions.values().find(|it| {
        it.session.is_some() && matches!(it.state, question::State::Open | question::State::Answered { .. })
    });
    ensure(open.is_none(), || format!("a question of ended work is left open: {open:?}"))
}

fn terminal_states_are_final(before: &Moment, after: &Moment) -> Result<(), String> {
    for (id, old) in before.world.sessions.iter().filter(|(_, it)| it.is_over()) {
        let new = &after.world.sessions[id];
        ensure(new.state == old.state, || format!("{} became {}", old.state.name(), new.state.name()))?;
        ensure(new.completed_at == old.completed_at, || "the end of ended work moved".into())?;
    }
    for (id, old) in &before.world.pull_requests {
        let new = &after.world.pull_requests[id];
        if let pull_request::State::Merged { .. } = old.state {
            ensure(new.state == old.state, || format!("a merged pull request became {}", new.state.name()))?;
        }
    }
    for (id, old) in before.world.messages.iter().filter(|(_, it)| !it.state.is_waiting()) {
        let new = &after.world.messages[id];
        ensure(new.state == old.state, || format!("a message went from {} to {}", old.state.name(), new.state.name()))?;
    }
    ensure(!before.world.objective.is_over() || after.world.objective.state == before.world.objective.state, || {
        "an ended objective came back".into()
    })
}

/// A fact of an attempt that a session does not hold moves nothing.
fn stale_facts_change_nothing(before: &Moment, action: &Action, after: &Moment) -> Result<(), String> {
    let of = match action {
        Action::Read(session, attempt) => Some((*session, *attempt)),
        Action::Late(at) => attempt_of(&before.late[*at]),
        Action::Echo(at) => attempt_of(&before.echoes[*at]),
        _ => None,
    };
    let Some((id, attempt)) = of else { return Ok(()) };
    let (old, new) = (&before.world.sessions[&id], &after.world.sessions[&id]);
    ensure(before.world.holds(id, attempt) || old.state == new.state, || {
        format!(
            "a fact of attempt {attempt} moved a session that holds another one: {:?} became {:?}",
            old.state, new.state
        )
    })
}

fn attempt_of(fact: &Stimulus) -> Option<(SessionId, Attempt)> {
    match fact {
        Stimulus::Exited { session, attempt, .. }
        | Stimulus::TurnEnded { session, attempt, .. }
        | Stimulus::Prepared { session, attempt, .. }
        | Stimulus::Session(
            session,
            session::Input::Started { attempt, .. }
            | session::Input::Stopped { attempt }
            | session::Input::Conversation { attempt, .. }
            | session::Input::PrepareFailed { attempt, .. }
            | session::Input::LaunchFailed { attempt, .. },
        ) => Some((*session, *attempt)),
        _ => None,
    }
}

fn processes(at: &Moment, session: &Session) -> Result<(), String> {
    let alive: Vec<_> = at.outside.alive(session.id).map(|(attempt, _)| attempt).collect();
    ensure(alive.len() <= 1, || format!("{} processes of one session are alive", alive.len()))?;
    if lane_is_busy(at, session.id) {
        return Ok(());
    }
    for attempt in alive {
        ensure(session.state.holds().is_some_and(|(_, of)| of == attempt), || {
            format!("attempt {attempt} is alive, nothing is ordered, and the session is {}", session.state.name())
        })?;
    }
    Ok(())
}

/// Every wait has an automatic way out, or a person who was asked.
fn way_out(at: &Moment, session: &Session) -> Result<(), String> {
    let why = why(&at.world, Some(session.id)).ok_or("why has no answer")?;
    ensure(!why.reason.is_empty() && !why.way_out.is_empty(), || "why has an empty answer".into())?;
    if lane_is_busy(at, session.id) {
        return Ok(());
    }
    match &session.state {
        State::Starting { .. } => Err("it is starting, and nothing is ordered that would start it".into()),
        State::Running { attempt, turn, .. } => {
            let process = at.outside.processes.get(&(session.id, *attempt)).ok_or("it runs without a process")?;
            if !process.signals.is_empty() {
                return Ok(());
            }
            ensure(process.alive, || "its process has ended, all was read, and it still runs".into())?;
            ensure(matches!(turn, Turn::Held { .. }) == process.held, || {
                let person = if process.held { "is" } else { "is not" };
                format!("a person {person} at its keyboard, and its turn counts as {turn:?}")
            })?;
            match turn {
                Turn::Busy { .. } => ensure(process.busy, || "it counts as busy and its agent is idle".into()),
                Turn::Held { .. } => Ok(()),
                Turn::Idle { .. } if process.busy => Err("it counts as idle and its agent is busy".into()),
                Turn::Idle { .. } => ensure(session.role.traits().stays, || {
                    "its agent waits for words, and none are on their way".into()
                }),
            }
        }
        State::WaitingUser { why: UserWait::Question, answered: false } => {
            let asks = at.world.questions.values().any(|it| {
                at.world.is_waited_for(it, session.id)
                    && matches!(it.state, question::State::Open | question::State::Answered { .. })
            });
            ensure(asks, || "it waits for an answer, and no question is open".into())
        }
        State::WaitingUser { answered: false, .. } => {
            let asks = at.world.open_questions().any(|it| it.session == Some(session.id) || it.session.is_none());
            ensure(asks, || "it waits for a person, and nobody was asked".into())
        }
        State::WaitingCapacity { until: Some(until), .. } => {
            let woken = session.wakes_at().is_some_and(|it| it == *until);
            ensure(woken, || "it waits for an instant that wakes nobody".into())
        }
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => Ok(()),
    }
}

/// Before a session rests for good, what is in its folder was snapshotted.
fn work_is_kept(at: &Moment, session: &Session) -> Result<(), String> {
    if lane_is_busy(at, session.id) || session.state.holds().is_some() {
        return Ok(());
    }
    let Some(folder) = session.workspace.and_then(|id| at.outside.folders.get(&id)) else { return Ok(()) };
    ensure(folder.saved == folder.work, || {
        format!("the session is {} and the work in its folder has no snapshot", session.state.name())
    })
}

fn pull_requests(at: &Moment) -> Result<(), String> {
    for (n, pull) in at.outside.pulls.iter().enumerate() {
        let twice = at.outside.pulls[..n].iter().any(|it| it.branch == pull.branch);
        ensure(!twice, || format!("the branch {} has a second pull request", pull.branch))?;
    }
    for pr in at.world.pull_requests.values().filter(|it| it.closing.held.is_some()) {
        let about = About::ClosedPullRequest { pull_request: pr.id };
        let asked = at.world.open_questions().filter(|it| it.about == about).count();
        let reopens = pr.closing.decision == pull_request::ClosedDecision::Reopening;
        let over = at.world.objective.is_over();
        ensure(over || matches!(pr.state, pull_request::State::Closed { .. }), || {
            format!("a push to a pull request that is {} waits for nobody", pr.state.name())
        })?;
        ensure(over || asked == 1 || (asked == 0 && reopens), || {
            format!("a push to a closed pull request waits, and {asked} questions are open")
        })?;
    }
    Ok(())
}

fn messages(at: &Moment) -> Result<(), String> {
    for (n, (message, session, attempt)) in at.outside.accepted.iter().enumerate() {
        let again = at.outside.accepted[..n].iter().find(|(it, _, _)| it == message);
        let Some((_, _, earlier)) = again else { continue };
        ensure(earlier != attempt, || "one attempt heard a message twice".into())?;
        // Only when the attempt that heard it was lost is it said again.
        let lost = at.outside.processes.get(&(*session, *earlier)).is_none_or(|it| !it.alive);
        ensure(lost, || "two attempts that are alive heard the same message".into())?;
    }
    for it in at.world.questions.values() {
        if let (About::Asked, question::State::Delivered { .. }) = (&it.about, &it.state) {
            let heard = at.world.messages.values().any(|message| {
                message.answers == Some(it.id)
                    && message.state == message::State::Acknowledged
                    && at.outside.accepted.iter().any(|(of, _, _)| *of == message.id)
            });
            ensure(heard, || "an answer counts as delivered, and no agent heard it".into())?;
        }
    }
    Ok(())
}

fn lane_is_busy(at: &Moment, session: SessionId) -> bool {
    let lane = NounId::Session(session);
    at.outbox.iter().any(|(_, it)| it.lane() == lane) || !at.late.is_empty()
}

/// Describes a moment in a few words.
pub(super) fn describe(at: &Moment) -> String {
    let mut text = format!("objective {}", at.world.objective.state.name());
    for it in at.world.sessions.values() {
        write!(text, "; {} is {:?}", it.title, it.state).unwrap();
    }
    for it in at.world.messages.values() {
        write!(text, "; a message is {:?}", it.state).unwrap();
    }
    for it in at.world.questions.values() {
        write!(text, "; the question {} is {:?}", it.cause, it.state).unwrap();
    }
    let orders: Vec<&str> = at.outbox.iter().map(|(_, it): &(_, Effect)| it.name()).collect();
    write!(text, "; ordered: {orders:?}; processes: {:?}", at.outside.processes).unwrap();
    text
}

fn ensure(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}
