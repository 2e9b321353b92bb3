//! The life of a target: a machine that runs sessions.
//!
//! Health is probed, not assumed. How a probe is made, and how many places are taken, is not known
//! here: places are counted by a query over sessions.

use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{Revision, SandboxLevel, ScopeId, TargetId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// A machine that runs sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// Its name, unique within the tenant.
    pub name: String,
    /// How it is reached.
    pub kind: Kind,
    /// The folder below which everything of ours lies.
    pub work_root: String,
    /// What it offers: sessions may ask for labels.
    pub labels: Vec<String>,
    /// How many counted sessions it takes at once.
    pub capacity: u32,
    /// Where it stands.
    pub state: State,
    /// When it was last reached.
    pub last_seen_at: Option<Timestamp>,
    /// What the last probe found wrong.
    pub problem: Option<String>,
    /// By what it can confine sessions, as the last probe found.
    #[serde(default)]
    pub sandboxes: Vec<SandboxLevel>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// This machine.
    Local,
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Takes new sessions.
    Online,
    /// Was not reached by the last probe.
    Offline,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Is left alone.
    Disabled,
}

/// Something that happens to a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A probe reached it.
    Reached {
        /// By what it can confine sessions.
        sandboxes: Vec<SandboxLevel>,
    },
    /// A probe did not.
    Unreached {
        /// What was wrong.
        problem: String,
    },
    /// A person wants nothing new on it.
    Drain,
    /// A person wants it used.
    Enable,
    /// A person wants it left alone.
    Disable,
    /// A person edits it.
    Edit(Edit),
}

/// What of a target can be edited; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// A new name.
    pub name: Option<String>,
    /// New labels.
    pub labels: Option<Vec<String>>,
    /// A new capacity.
    pub capacity: Option<u32>,
    /// What it is made on; it is refused if that is no longer so. `None`: whatever there is by now.
    pub on: Option<Editable>,
}

/// What can be edited of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Editable {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its capacity.
    pub capacity: u32,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }

    /// Every state, for tables and explorers.
    pub const ALL: [Self; 4] = [Self::Online, Self::Offline, Self::Draining, Self::Disabled];
}

impl Target {
    /// Tells whether new sessions may be placed here.
    pub fn takes_sessions(&self) -> bool {
        self.state == State::Online
    }

    /// Tells whether sessions of a tenant may be placed here: its own targets are there for it alone, those of the
    /// default tenant for everybody.
    pub fn serves(&self, tenant: &TenantId) -> bool {
        self.tenant == *tenant || self.tenant == TenantId::default()
    }

    /// Returns what can be edited of it, as it is now.
    pub fn editable(&self) -> Editable {
        Editable { name: self.name.clone(), labels: self.labels.clone(), capacity: self.capacity }
    }

    fn enter(&self, state: State, now: Timestamp) -> Decision<Self> {
        let summary = format!("target {} is {}", self.name, state.name());
        let mut next = self.clone();
        next.state = state;
        next.updated_at = now;
        Decision::become_(next).note(Note::new(NoteKind::TargetChanged, summary).with("target_id", self.id))
    }
}

/// Decides what a target becomes.
pub fn decide(target: &Target, input: Input, now: Timestamp) -> Result<Decision<Target>, Refusal> {
    match input {
        Input::Reached { sandboxes } => Ok(reached(target, sandboxes, now)),
        Input::Unreached { problem } => Ok(unreached(target, problem, now)),
        Input::Drain => match target.state {
            State::Online | State::Offline => Ok(target.enter(State::Draining, now)),
            State::Draining => Ok(Decision::ignore(target.clone(), "already draining")),
            State::Disabled => Err(wrong_state(target, "enable it first")),
        },
        Input::Enable => match target.state {
            // Whether it can be reached is for the next probe to say; until then it takes nothing.
            State::Disabled | State::Draining => Ok(target.enter(State::Offline, now)),
            State::Online | State::Offline => Ok(Decision::ignore(target.clone(), "already enabled")),
        },
        Input::Disable => match target.state {
            State::Online | State::Offline | State::Draining => Ok(target.enter(State::Disabled, now)),
            State::Disabled => Ok(Decision::ignore(target.clone(), "already disabled")),
        },
        Input::Edit(edit) => edited(target, edit, now),
    }
}

fn reached(target: &Target, sandboxes: Vec<SandboxLevel>, now: Timestamp) -> Decision<Target> {
    let mut seen = target.clone();
    seen.sandboxes = sandboxes;
    seen.last_seen_at = Some(now);
    seen.problem = None;
    match target.state {
        State::Offline => seen.enter(State::Online, now),
        State::Online | State::Draining => Decision::become_(seen),
        State::Disabled => Decision::ignore(target.clone(), "disabled targets are left alone"),
    }
}

fn unreached(target: &Target, problem: String, now: Timestamp) -> Decision<Target> {
    let mut lost = target.clone();
    lost.problem = Some(problem.clone());
    match target.state {
        State::Online => lost.enter(State::Offline, now).note(
            Note::new(NoteKind::TargetUnreachable, format!("target {}: {problem}", target.name))
                .with("target_id", target.id),
        ),
        State::Offline | State::Draining => Decision::become_(lost),
        State::Disabled => Decision::ignore(target.clone(), "disabled targets are left alone"),
    }
}

fn edited(target: &Target, edit: Edit, now: Timestamp) -> Result<Decision<Target>, Refusal> {
    if edit.on.is_some_and(|on| on != target.editable()) {
        return Err(Refusal::Changed { noun: "target", id: target.id.to_string() });
    }
    let mut next = target.clone();
    if let Some(capacity) = edit.capacity {
        if capacity == 0 {
            return Err(Refusal::Invalid {
                field: "capacity_sessions",
                rule: "must be at least 1; drain a target to stop new sessions".into(),
            });
        }
        next.capacity = capacity;
    }
    if let Some(name) = edit.name {
        if name.trim().is_empty() || name.len() > 100 {
            return Err(Refusal::Invalid { field: "name", rule: "must have between 1 and 100 bytes".into() });
        }
        next.name = name;
    }
    if let Some(labels) = edit.labels {
        if labels.iter().any(|label| label.is_empty() || label.len() > 60 || label.contains(char::is_whitespace)) {
            return Err(Refusal::Invalid { field: "labels", rule: "must be words of at most 60 bytes".into() });
        }
        next.labels = labels;
    }
    next.updated_at = now;
    let note =
        Note::new(NoteKind::TargetChanged, format!("target {} was edited", next.name)).with("target_id", next.id);
    Ok(Decision::become_(next).note(note))
}

fn wrong_state(target: &Target, rule: &'static str) -> Refusal {
    Refusal::State { noun: "target", id: target.id.to_string(), state: target.state.name(), rule }
}
