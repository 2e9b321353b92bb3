//! Why something does not move: promise 7. The reason, since when, and what ends the waiting.

mod workflow;

use crate::World;
use orcha_base::{SessionId, Timestamp};
use orcha_model::provider::Gate;
use orcha_model::session::{Phase, State, Turn, UserWait, Waiting};
use orcha_model::{Session, objective, question};

/// The answer to "why?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What it waits for, or does.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// What ends that without anybody looking.
    pub way_out: String,
}

/// Explains a session; `None` asks about the objective itself.
pub fn why(world: &World, session: Option<SessionId>) -> Option<Why> {
    match session {
        Some(id) => world.sessions.get(&id).map(|it| of_session(world, it)),
        None => Some(until_its_deadline(world, of_objective(world))),
    }
}

/// Whatever else ends the waiting of an objective, its deadline does.
fn until_its_deadline(world: &World, why: Why) -> Why {
    let deadline = world.objective.deadline().filter(|_| !world.objective.is_over());
    match deadline {
        Some(at) => {
            Why { way_out: format!("{}; at {at} its time is over, and it ends with what stands", why.way_out), ..why }
        }
        None => why,
    }
}

fn of_session(world: &World, session: &Session) -> Why {
    let say = |reason: String, way_out: &str| Why { reason, since: session.updated_at, way_out: way_out.to_owned() };
    let at = |until: &Option<Timestamp>| {
        until.map_or_else(
            || "it is placed with the next free place".into(),
            |at| format!("it tries again by itself at {at}"),
        )
    };
    match &session.state {
        State::Queued { released: false } => {
            let waits = session.depends_on.iter().filter_map(|id| world.sessions.get(id)).filter(|it| !it.is_over());
            let names: Vec<String> =
                waits.map(|it| format!("\"{}\" ({}, {})", it.title, it.id.short(), it.state.name())).collect();
            if names.is_empty() {
                // They have ended; their processes are still being ended and their folders kept.
                return say(
                    "what it goes on with is being kept".into(),
                    "it is released when the snapshot is stored, or could not be taken",
                );
            }
            say(
                format!("it waits for {}", names.join(", ")),
                "it is released when they succeed, and canceled when one of them fails",
            )
        }
        State::Queued { released: true } => say("it waits for a place".into(), "it is placed with the next free place"),
        State::WaitingCapacity { why: Waiting::NoTarget { detail }, .. } => {
            say(format!("no target takes it: {detail}"), "it is placed as soon as that changes")
        }
        State::WaitingCapacity { why: Waiting::Fault { detail }, until } => say(detail.clone(), &at(until)),
        State::WaitingCapacity { why: Waiting::Provider { class }, until } => {
            say(format!("its provider {} refuses ({class})", session.agent.kind), &at(until))
        }
        State::WaitingCapacity { why: Waiting::Budget { detail }, .. } => {
            say(format!("it waits for what is set aside for others: {detail}"), "it is placed when a turn used less")
        }
        State::WaitingCapacity { why: Waiting::Parked, .. } => {
            say("it has nothing to do".into(), "the next message wakes it")
        }
        State::WaitingCapacity { why: Waiting::Resumed, until } => {
            say("it goes on as soon as there is a place".into(), &at(until))
        }
        State::Starting { phase: Phase::Preparing, .. } => say(
            "its workspace is being prepared".into(),
            "it is launched when that is done; after repeated faults it fails",
        ),
        State::Starting { phase: Phase::Launching, .. } => {
            say("its agent is being started".into(), "it runs when the agent is up; after repeated faults it fails")
        }
        State::Running { .. } if !session.asks.is_empty() => of_asking(world, session),
        State::Running { turn: Turn::Busy { heard_at }, .. } => {
            let limit = world.objective.limits.stall_secs;
            Why {
                reason: "its agent is at work".into(),
                since: *heard_at,
                way_out: format!("the turn ends, or after {limit} s without output it is paused and the user asked"),
            }
        }
        State::Running { turn: Turn::Idle { since }, .. } if world.has_queued_message(session.id) => {
            let (reason, way_out) = match world.outlook.gate_of(session, world.outlook.at) {
                Gate::Shut { until, class } => (
                    format!("its provider {} is not called now ({class})", session.agent.kind),
                    format!("it is spoken to by itself at {until}"),
                ),
                Gate::Open => {
                    ("what is left of a budget is set aside for others".into(), "a turn of another one ends".into())
                }
            };
            Why { reason, since: *since, way_out }
        }
        State::Running { turn: Turn::Held { since, .. }, .. } => Why {
            reason: "a person types in its terminal; nobody else says anything meanwhile".into(),
            since: *since,
            way_out: format!("the person detaches, or `orcha release {}`", session.id.short()),
        },
        State::Running { turn: Turn::Idle { since }, .. } => Why {
            reason: "its agent waits to be told something".into(),
            since: *since,
            way_out: "the next message; an idle manager is reminded".into(),
        },
        State::WaitingUser { answered: true, .. } => {
            say("it has its answer and waits for a place".into(), "it is placed with the next free place")
        }
        State::WaitingUser { why, .. } => {
            let open =
                world.open_questions().find(|it| it.session == Some(session.id) || world.is_waited_for(it, session.id));
            let reason = match why {
                UserWait::Question => match open {
                    Some(it) => format!("it asked: {}", it.text),
                    None => "it asked the user something".to_owned(),
                },
                UserWait::Guard { trip } => format!("a guard paused it: {trip}"),
                UserWait::Help { class } => format!("it needs help: {class}"),
            };
            let way_out = open.map_or_else(
                || format!("`orcha resume {}`", session.id.short()),
                |it| format!("`orcha answer {} …`", it.id.short()),
            );
            say(reason, &way_out)
        }
        State::Paused => say("a person paused it".into(), &format!("`orcha resume {}`", session.id.short())),
        State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            let reason = match &session.state {
                State::Failed { reason, .. } | State::Canceled { reason } => {
                    format!("{}: {reason}", session.state.name())
                }
                _ => session.state.name().to_owned(),
            };
            say(reason, "nothing: it has ended")
        }
    }
}

/// Explains a session whose agent waits to be told whether it may do something.
fn of_asking(world: &World, session: &Session) -> Why {
    let oldest = session.asks.iter().min_by_key(|it| it.number);
    let lines: Vec<&str> = session.asks.iter().map(|it| it.line.as_str()).collect();
    let number = oldest.map(|it| it.number);
    let question = world.open_questions().find(|it| match &it.about {
        question::About::Permission(request) => it.session == Some(session.id) && Some(request.number) == number,
        _ => false,
    });
    let until = session.asks.iter().map(|it| it.until).min();
    let answer =
        question.map_or_else(String::new, |it| format!("`orcha answer {} \"allow once\"`, or: ", it.id.short()));
    Why {
        reason: format!("its agent waits for permission to use {}", lines.join(" | ")),
        since: oldest.map_or(session.updated_at, |it| it.since),
        way_out: until.map_or_else(String::new, |at| format!("{answer}without an answer it is denied at {at}")),
    }
}

fn of_objective(world: &World) -> Why {
    let objective = &world.objective;
    if let (objective::State::Active, Some(it)) = (&objective.state, &world.workflow) {
        return workflow::of_workflow(world, it);
    }
    let say = |reason: String, way_out: String| Why { reason, since: objective.updated_at, way_out };
    match &objective.state {
        objective::State::WaitingUser => {
            let open: Vec<String> =
                world.open_questions().map(|it| format!("{}: {}", it.id.short(), it.text)).collect();
            let way_out = world.workflow.as_ref().and_then(workflow::agreement);
            let way_out = way_out.unwrap_or_else(|| "answer with `orcha answer ID …`".into());
            say(format!("it waits for the user. {}", open.join(" | ")), way_out)
        }
        objective::State::Paused => {
            say("a person paused it".into(), format!("`orcha resume {}`", objective.id.short()))
        }
        objective::State::Active => {
            let live: Vec<String> = world
                .sessions
                .values()
                .filter(|it| !it.is_over())
                .map(|it| format!("{} is {}", it.title, it.state.name()))
                .collect();
            let open = world.pull_requests.values().filter(|it| it.state.is_live()).count();
            let direct = objective.strategy == objective::Strategy::Direct;
            if live.is_empty() && open > 0 {
                let way_out = if direct {
                    "merging or closing them ends it"
                } else {
                    "merging or closing them brings a manager back"
                };
                say(format!("{open} pull requests wait for people"), way_out.into())
            } else if live.is_empty() && direct {
                say(
                    "it has no sessions, and nobody steers it".into(),
                    format!("a session that is added to it, or `orcha cancel {}`", objective.id.short()),
                )
            } else if live.is_empty() {
                say("nobody works on it".into(), "a manager is made by itself".into())
            } else {
                say(live.join("; "), "ask `orcha why` of each session".into())
            }
        }
        objective::State::Succeeded => say("succeeded".into(), "nothing: it has ended".into()),
        objective::State::Failed { reason } | objective::State::Canceled { reason } => {
            say(format!("{}: {reason}", objective.state.name()), "nothing: it has ended".into())
        }
    }
}
