//! A world with a clock and ids that are counted: what the tests of the passes play on.

use orcha_base::{SessionId, Timestamp, WorkspaceId};
use orcha_model::session::{self, Evidence, FaultClass, State, Turn};
use orcha_model::{Effect, Message, Question, Refusal, Role, Session, message, question, workspace};
use orcha_plan::{Changes, Mind, Settings, Stimulus, World, step};
use orcha_testkit::make::{self, at, attempt};
use uuid::Uuid;

pub struct Stage {
    pub world: World,
    pub now: Timestamp,
    pub settings: Settings,
    ids: u64,
}

impl Stage {
    /// An active objective with a manager that waits to be told something.
    pub fn managed() -> Self {
        let mut stage = Self::empty();
        stage.world.objective.managers.made = 1;
        stage.add(idle(9, Role::Manager));
        stage
    }

    /// An active objective with nobody in it.
    pub fn empty() -> Self {
        let world = World::new(make::objective());
        Self { world, now: at(0), settings: Settings::default(), ids: 1000 }
    }

    pub fn add(&mut self, session: Session) -> &mut Self {
        if let Some(id) = session.workspace {
            let state = workspace::State::Ready;
            let row = orcha_model::Workspace {
                id,
                session: session.id,
                state,
                checkout: Some(make::facts()),
                ..make::workspace(1)
            };
            self.world.workspaces.insert(id, row);
        }
        self.world.sessions.insert(session.id, session);
        self
    }

    pub fn step(&mut self, stimulus: Stimulus) -> Changes {
        self.try_step(stimulus).unwrap()
    }

    pub fn try_step(&mut self, stimulus: Stimulus) -> Result<Changes, Refusal> {
        let ids = &mut self.ids;
        let mut draw = || {
            *ids += 1;
            Uuid::from_u64_pair(0, *ids)
        };
        let mut mind = Mind { now: self.now, ids: &mut draw, settings: &self.settings };
        step(&mut self.world, stimulus, &mut mind)
    }

    /// Steps with nothing but time.
    pub fn tick(&mut self) -> Changes {
        self.step(Stimulus::Tick)
    }

    /// Lets seconds pass, then ticks.
    pub fn pass(&mut self, secs: u64) -> Changes {
        self.now = self.now + std::time::Duration::from_secs(secs);
        self.tick()
    }

    pub fn on(&mut self, n: u64, input: session::Input) -> Changes {
        self.step(Stimulus::Session(SessionId::fixed(n), input))
    }

    pub fn session(&self, n: u64) -> &Session {
        &self.world.sessions[&SessionId::fixed(n)]
    }

    pub fn state(&self, n: u64) -> &'static str {
        self.session(n).state.name()
    }

    /// The one question that is open.
    pub fn question(&self) -> &Question {
        let open: Vec<_> = self.world.open_questions().collect();
        assert_eq!(open.len(), 1, "{open:?}");
        open[0]
    }

    pub fn answer(&mut self, answer: &str) -> Changes {
        let id = self.question().id;
        self.step(Stimulus::Question(id, question::Input::Answer { answer: answer.into() }))
    }

    /// The messages of a session, oldest first.
    pub fn messages(&self, n: u64) -> Vec<&Message> {
        self.world.messages.values().filter(|it| it.session == SessionId::fixed(n)).collect()
    }

    /// The sessions that were made by a pass.
    pub fn made(&self) -> Vec<&Session> {
        self.world.sessions.values().filter(|it| it.id > SessionId::fixed(1000)).collect()
    }

    /// The agent of a session takes up what was sent to it and ends its turn.
    pub fn hears_and_ends_its_turn(&mut self, n: u64) {
        let sent = |it: &&Message| matches!(it.state, message::State::Sent { .. });
        let attempt = self.session(n).attempt;
        let ids: Vec<_> = self.messages(n).into_iter().filter(sent).map(|it| it.id).collect();
        for id in ids {
            self.step(Stimulus::Message(id, message::Input::Accepted { attempt }));
        }
        let end = session::TurnEnd::Completed;
        self.step(Stimulus::TurnEnded { session: SessionId::fixed(n), attempt, end });
    }
}

/// The names of what was ordered.
pub fn orders(changes: &Changes) -> Vec<&'static str> {
    changes.effects.iter().map(|(_, it)| Effect::name(it)).collect()
}

fn up(n: u64, role: Role, turn: Turn) -> Session {
    let state = State::Running { target: make::target_id(), attempt: attempt(1), turn, since: at(0) };
    Session { attempt: attempt(1), workspace: Some(WorkspaceId::fixed(n)), state, ..make::session(n, role) }
}

pub fn busy(n: u64, role: Role) -> Session {
    up(n, role, Turn::Busy { heard_at: at(0) })
}

pub fn idle(n: u64, role: Role) -> Session {
    up(n, role, Turn::Idle { since: at(0) })
}

/// A worker that waits for another.
pub fn after(n: u64, before: u64) -> Session {
    let state = State::Queued { released: false };
    Session { depends_on: vec![SessionId::fixed(before)], state, ..make::session(n, Role::Implementer) }
}

pub fn ended(n: u64, role: Role, state: State) -> Session {
    Session { state, completed_at: Some(at(0)), ..busy(n, role) }
}

pub fn succeeded() -> State {
    State::Succeeded { evidence: Evidence::Report }
}

pub fn failed(fault: FaultClass) -> State {
    State::Failed { reason: "it broke".into(), fault }
}
