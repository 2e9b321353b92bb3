//! What a running agent asks before it acts, and how it is answered.
//!
//! Its turn stands still until then, its process runs on. A request belongs to one attempt and one turn: when
//! either ends nobody waits for the answer any more, and that is said. How it is shown to a person is `plan`'s.

use super::{Session, State, Turn};
use crate::effect::{self, Effect};
use crate::guard::Limits;
use crate::permission::{Grant, PermissionFacts, PermissionVerdict, Policy, Wish, permission_verdict};
use crate::{Decision, Note, NoteKind};
use orcha_base::{Attempt, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A request of the agent that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// The how-manieth of its session.
    pub number: u64,
    /// The agent's own id of it.
    pub request: String,
    /// The tool.
    pub tool: String,
    /// What is wanted, in a line.
    pub line: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// When it is denied because nobody answered.
    pub until: Timestamp,
}

/// What an agent asks, and what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The agent's own id of its request.
    pub request: String,
    /// What it wants.
    pub wish: Wish,
    /// What it would do, as JSON text.
    pub input: String,
    /// The rules.
    pub policy: Policy,
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// It may.
    Allow {
        /// What it asked for, as JSON text: an allowed call is echoed.
        input: String,
        /// What else it may from now on.
        grant: Option<Grant>,
    },
    /// It may not.
    Deny {
        /// Why, for the agent.
        reason: String,
    },
    /// Nobody answered in time, and so it may not.
    Expired,
}

/// How many requests of one session may wait at once.
const WAITING: usize = 16;
/// How much a person is asked about, in bytes.
const INPUT: usize = 1 << 20;
/// How much is remembered as allowed.
const GRANTS: usize = 200;
/// How much of a tool's name stands in the class of its error, in characters.
const TOOL_NAME: usize = 60;

pub(super) fn asked(
    session: &Session,
    of: Attempt,
    asked: Asked,
    limits: &Limits,
    now: Timestamp,
) -> Decision<Session> {
    if session.state.holds().is_none() || matches!(session.state, State::Starting { .. }) {
        return session.stale("a request of a process that is being ended");
    }
    if !runs(session, of) {
        return session.stale("a request of another attempt");
    }
    if session.asks.iter().any(|it| it.request == asked.request) {
        return Decision::ignore(session.clone(), "asked already");
    }
    let facts =
        PermissionFacts { role: session.role, wish: &asked.wish, policy: &asked.policy, grants: &session.grants };
    let line = asked.wish.in_a_line();
    let tool = asked.wish.tool.clone();
    let no = |reason: &str| PermissionVerdict::Deny { reason: reason.to_owned() };
    let verdict = match permission_verdict(facts) {
        PermissionVerdict::Ask if asked.input.len() > INPUT => {
            no("That is too much to ask a person about. Do it in smaller steps.")
        }
        PermissionVerdict::Ask if session.asks.len() >= WAITING => {
            no("Too many of your requests wait for a person already. Wait for their answers first.")
        }
        verdict => verdict,
    };
    let mut next = at_work(session, now);
    match verdict {
        PermissionVerdict::Allow { because } => {
            next.activity = Some(format!("may use {line}"));
            let note = session.said(NoteKind::PermissionAllowed, format!("{} may use {line}", session.title));
            let note = note.with("tool", short(&tool)).with("because", &because);
            Decision::become_(next).then_all(permit(session, asked.request, tool, asked.input, Ok(because))).note(note)
        }
        PermissionVerdict::Deny { reason } => denied(next, asked.request, tool, reason, true, limits, now),
        PermissionVerdict::Ask => {
            next.asked = next.asked.saturating_add(1);
            let until = now + Duration::from_secs(asked.policy.expiry_secs);
            let note = session
                .said(NoteKind::PermissionAsked, format!("{} asks whether it may use {line}", session.title))
                .with("tool", short(&tool))
                .with("until", until);
            next.activity = Some(format!("waits for permission to use {line}"));
            let number = next.asked;
            next.asks.push(Asking { number, request: asked.request, tool, line, since: now, until });
            Decision::become_(next).note(note)
        }
    }
}

pub(super) fn answered(
    session: &Session,
    of: Attempt,
    number: u64,
    answer: Permitted,
    limits: &Limits,
    now: Timestamp,
) -> Decision<Session> {
    let Some(at) = session.asks.iter().position(|it| it.number == number).filter(|_| runs(session, of)) else {
        return Decision::ignore(session.clone(), "nobody waits for that answer");
    };
    let mut next = at_work(session, now);
    let Asking { request, tool, line, since, .. } = next.asks.remove(at);
    match answer {
        Permitted::Allow { input, grant } => {
            let mut note = session.said(NoteKind::PermissionAllowed, format!("{} may use {line}", session.title));
            note = note.with("tool", short(&tool)).with("because", "the user said so");
            if let Some(grant) = grant {
                note = note.with("for_this_session", &grant);
                next.grants.retain(|it| *it != grant);
                next.grants.push(grant);
                if next.grants.len() > GRANTS {
                    next.grants.remove(0);
                }
            }
            next.activity = Some(format!("may use {line}"));
            let said = Ok("the user said so".to_owned());
            Decision::become_(next).then_all(permit(session, request, tool, input, said)).note(note)
        }
        // A person who says no knows of it: that is no loop.
        Permitted::Deny { reason } => denied(next, request, tool, reason, false, limits, now),
        Permitted::Expired => {
            let reason = format!(
                "`{tool}` is not allowed: nobody answered within {} s. Do it without, or say what you need and end your turn.",
                now.since(since).as_secs()
            );
            denied(next, request, tool, reason, true, limits, now)
        }
    }
}

pub(super) fn withdrawn(session: &Session, of: Attempt, request: &str, now: Timestamp) -> Decision<Session> {
    let Some(at) = session.asks.iter().position(|it| it.request == request).filter(|_| runs(session, of)) else {
        return Decision::ignore(session.clone(), "nobody is asked about that");
    };
    let mut next = at_work(session, now);
    let asking = next.asks.remove(at);
    next.activity = Some(format!("no longer wants to use {}", asking.line));
    let note = gone(session, &asking, "it no longer waits for the answer");
    Decision::become_(next).note(note)
}

/// Lets a turn end: whatever the agent asked in it is withdrawn.
pub(super) fn at_the_end(
    session: &Session,
    of: Attempt,
    end: impl FnOnce(&Session) -> Decision<Session>,
) -> Decision<Session> {
    if session.asks.is_empty() || !runs(session, of) {
        return end(session);
    }
    let mut over = session.clone();
    let notes: Vec<Note> =
        over.asks.drain(..).map(|it| gone(session, &it, "its turn ended before the answer")).collect();
    let mut decision = end(&over);
    decision.notes.splice(0..0, notes);
    decision
}

/// Withdraws whatever the agent asked, because its process ends.
pub(super) fn drop_all(session: &mut Session) -> Vec<Note> {
    let asks = std::mem::take(&mut session.asks);
    asks.iter().map(|it| gone(session, it, "its process ended before the answer")).collect()
}

fn gone(session: &Session, asking: &Asking, why: &str) -> Note {
    session
        .said(NoteKind::PermissionWithdrawn, format!("{} asked to use {}: {why}", session.title, asking.line))
        .with("tool", short(&asking.tool))
        .with("request", asking.number)
}

fn denied(
    mut next: Session,
    request: String,
    tool: String,
    reason: String,
    counts: bool,
    limits: &Limits,
    now: Timestamp,
) -> Decision<Session> {
    let name = short(&tool);
    let note = next
        .said(NoteKind::PermissionDenied, format!("{} asked to use {name} and was denied", next.title))
        .with("tool", &name)
        .with("reason", &reason);
    next.activity = Some(format!("asked to use {name} and was denied"));
    if counts {
        // An agent that asks for the same again and again is in a loop.
        next.counters.fail(&format!("permission denied: {name}"));
        if let Some(trip) = next.counters.verdict(limits, now) {
            let mut decision = next.trip(trip, now);
            decision.notes.insert(0, note);
            return decision;
        }
    }
    let permit = permit(&next, request, tool, "{}".into(), Err(reason));
    Decision::become_(next).then_all(permit).note(note)
}

fn permit(
    session: &Session,
    request: String,
    tool: String,
    input: String,
    said: Result<String, String>,
) -> Option<Effect> {
    let (target, attempt): (TargetId, Attempt) = session.state.holds()?;
    let allow = said.is_ok();
    let (Ok(reason) | Err(reason)) = said;
    Some(Effect::Permit(effect::Permit { session: session.id, attempt, target, request, tool, input, allow, reason }))
}

fn runs(session: &Session, of: Attempt) -> bool {
    matches!(session.state, State::Running { attempt, .. } if attempt == of)
}

/// The session at work, heard of now.
fn at_work(session: &Session, now: Timestamp) -> Session {
    let mut next = session.clone();
    if let State::Running { turn, .. } = &mut next.state {
        *turn = Turn::Busy { heard_at: now };
    }
    next.updated_at = now;
    next
}

fn short(tool: &str) -> String {
    tool.chars().take(TOOL_NAME).collect()
}
