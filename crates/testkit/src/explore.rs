//! Explores what can happen to an objective when everything that can go wrong does, in every order.
//!
//! The mind is the real one; the store is a value; the world outside is [`Outside`]. A crash between "the world
//! changed" and "that was committed" lets an effect run again; facts of executors come late, twice and out of order.
//! What a process says is read in order and each line once, from the commit of its start on: that is the reader's
//! promise (rows and cursor in one transaction), and it is relied on here. Threads and real time are not explored.

mod invariants;
mod outside;

use crate::make;
use orcha_base::{Attempt, QuestionId, SessionId, Timestamp};
use orcha_model::message::Sender;
use orcha_model::question::About;
use orcha_model::session::State as Life;
use orcha_model::{Effect, EffectKey, NounId, Refusal, objective, pull_request, question, session};
use orcha_plan::{Mind, NewMessage, NewPublication, NewQuestion, Settings, Stimulus, World, passes, step};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use uuid::Uuid;

pub use outside::{Ending, Outcome, Outside, Process, Pull, Signal};

/// How much may go wrong, and how often people interfere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// The daemon dies between an effect and its commit.
    pub crashes: u8,
    /// A fact that was heard is heard again, any time later.
    pub echoes: u8,
    /// The fact of an executor is committed later than what comes after it.
    pub delays: u8,
    /// An effect fails for good.
    pub failures: u8,
    /// An agent does not simply do its work: it crashes, exits, is refused, needs help.
    pub mischief: u8,
    /// What only agents in a terminal do: their screen stands still, a person takes their keyboard.
    pub screens: u8,
    /// An agent reports by tool.
    pub reports: u8,
    /// An agent asks the user.
    pub asks: u8,
    /// Time passes until something is due.
    pub ticks: u8,
    /// The schedule finds no place.
    pub full: u8,
    /// A person cancels.
    pub cancels: u8,
    /// A person pauses; whoever pauses resumes.
    pub pauses: u8,
    /// A person says something.
    pub steers: u8,
    /// A person says something that cannot wait.
    pub interrupts: u8,
    /// Somebody publishes the work.
    pub publishes: u8,
    /// Somebody pushes more work to the pull request.
    pub updates: u8,
    /// Somebody closes a pull request on the code host.
    pub closes: u8,
}

/// One thing that can happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The schedule finds a place.
    Place(SessionId),
    /// The schedule finds none.
    NoPlace(SessionId),
    /// The oldest effect of a lane is done and its fact committed.
    Run(EffectKey, Outcome),
    /// It is done, and the daemon dies before the commit.
    RunAndCrash(EffectKey),
    /// It is done; its fact comes later.
    RunLate(EffectKey),
    /// A late fact arrives.
    Late(usize),
    /// A fact arrives once more.
    Echo(usize),
    /// The next line of a process is read.
    Read(SessionId, Attempt),
    /// An agent does something.
    Act(SessionId, Attempt, Act),
    /// A person cancels a session.
    Cancel(SessionId),
    /// A person pauses a session.
    Pause(SessionId),
    /// A person resumes a session.
    Resume(SessionId),
    /// A person says something.
    Steer {
        /// To whom.
        session: SessionId,
        /// Whether it cannot wait.
        interrupt: bool,
    },
    /// A person answers.
    Answer(QuestionId),
    /// The work of a session is published.
    Publish(SessionId),
    /// More work is pushed.
    Update(orcha_base::PullRequestId),
    /// A pull request is merged.
    Merge(orcha_base::PullRequestId),
    /// A pull request is closed on the code host, and that is seen.
    Close(orcha_base::PullRequestId),
    /// A person decides about a closed pull request.
    Decide(QuestionId, &'static str),
    /// Time passes until something is due.
    Tick,
}

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Act {
    Turn(Ending),
    Keyboard { by_person: bool },
    Report,
    Ask,
    Exit { clean: bool },
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What the store holds of the nouns.
    pub world: Rc<World>,
    /// What the store holds of the outbox.
    pub outbox: Vec<(EffectKey, Effect)>,
    /// What is outside.
    pub outside: Outside,
    /// Facts on their way.
    pub late: Vec<Stimulus>,
    /// Facts that may come once more.
    pub echoes: Vec<Stimulus>,
    /// The attempts whose start was committed: their lines are read.
    pub reading: BTreeSet<(SessionId, Attempt)>,
    /// The instant.
    pub now: Timestamp,
    /// What may still go wrong.
    pub budget: Budget,
}

/// What an exploration saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different moments.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest of the shortest ways to a moment.
    pub depth: usize,
    /// Whether every reachable moment was seen.
    pub complete: bool,
}

/// A rule that was broken, and the shortest way there.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule.
    pub rule: String,
    /// What happened, in order.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "broken: {}\nafter {} steps:", self.rule, self.trace.len())?;
        for (at, action) in self.trace.iter().enumerate() {
            writeln!(f, "{:4}. {action}", at + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Broken {}

/// Visits every moment that can be reached from a world, breadth first, up to a number of moments.
pub fn explore(world: World, budget: Budget, most: usize) -> Result<Explored, Box<Broken>> {
    let first = Moment::new(world, budget);
    let mut seen = HashSet::from([first.fingerprint()]);
    // For the way back: the step that led to each moment, and the moment before.
    let mut ways: Vec<(usize, Option<Action>, usize)> = vec![(0, None, 0)];
    let mut next: VecDeque<(usize, Moment)> = VecDeque::from([(0, first)]);
    let mut explored = Explored { states: 1, complete: true, ..Explored::default() };
    while let Some((at, moment)) = next.pop_front() {
        for action in moment.actions() {
            explored.steps += 1;
            let mut after = moment.clone();
            let judged = after.apply(&action).and_then(|()| invariants::check(&moment, &action, &after));
            if let Err(rule) = judged {
                return Err(Box::new(Broken { rule, trace: way(&ways, at, &action) }));
            }
            if !seen.insert(after.fingerprint()) {
                continue;
            }
            explored.states += 1;
            let depth = ways[at].2 + 1;
            explored.depth = explored.depth.max(depth);
            ways.push((at, Some(action), depth));
            // Every so often: whatever happened, from here it comes to an end when nothing else goes wrong.
            if explored.states.is_multiple_of(CONVERGE_EVERY)
                && let Err(rule) = after.clone().converge()
            {
                return Err(Box::new(Broken { rule, trace: way_to(&ways, ways.len() - 1) }));
            }
            if explored.states >= most {
                explored.complete = false;
                return Ok(explored);
            }
            next.push_back((ways.len() - 1, after));
        }
    }
    Ok(explored)
}

const CONVERGE_EVERY: usize = 40;

fn way(ways: &[(usize, Option<Action>, usize)], at: usize, last: &Action) -> Vec<String> {
    let mut trace = way_to(ways, at);
    trace.push(format!("{last:?}"));
    trace
}

fn way_to(ways: &[(usize, Option<Action>, usize)], mut at: usize) -> Vec<String> {
    let mut trace = Vec::new();
    while let (before, Some(action), _) = &ways[at] {
        trace.push(format!("{action:?}"));
        at = *before;
    }
    trace.reverse();
    trace
}

/// Walks at random for a number of steps, then lets everything come to an end.
pub fn walk(world: World, budget: Budget, seed: u64, steps: usize) -> Result<(), Box<Broken>> {
    let mut dice = Dice(seed);
    let mut moment = Moment::new(world, budget);
    let mut trace = Vec::new();
    for _ in 0..steps {
        let actions = moment.actions();
        if actions.is_empty() {
            break;
        }
        let action = &actions[dice.below(actions.len())];
        trace.push(format!("{action:?}"));
        let before = moment.clone();
        let judged = moment.apply(action).and_then(|()| invariants::check(&before, action, &moment));
        if let Err(rule) = judged {
            return Err(Box::new(Broken { rule, trace }));
        }
    }
    moment.converge().map_err(|rule| Box::new(Broken { rule, trace }))
}

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Returns the next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below another.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % most as u64).unwrap_or_default()
    }
}

impl Moment {
    /// The beginning: nothing is outside, nothing is ordered.
    pub fn new(world: World, budget: Budget) -> Self {
        let mut first = Self {
            world: Rc::new(world),
            outbox: Vec::new(),
            outside: Outside::default(),
            late: Vec::new(),
            echoes: Vec::new(),
            reading: BTreeSet::new(),
            now: make::at(0),
            budget,
        };
        let begun = first.meet(Stimulus::Tick, "begin");
        debug_assert!(begun.is_ok());
        first
    }

    /// Lets a stimulus meet the world; a refusal changes nothing and is fine.
    fn meet(&mut self, stimulus: Stimulus, cause: &str) -> Result<(), Refusal> {
        let mut hasher = DefaultHasher::new();
        cause.hash(&mut hasher);
        let seed = hasher.finish();
        let mut n = 0u64;
        let known = ids_of(&self.world);
        // The same for the same cause, whatever happened before: so that ways that differ in order only meet again.
        let mut ids = || loop {
            n += 1;
            let id = Uuid::from_u64_pair(seed, n);
            if !known.contains(&id) {
                return id;
            }
        };
        let mut world = (*self.world).clone();
        let settings = Settings::default();
        let mut mind = Mind { now: self.now, ids: &mut ids, settings: &settings };
        let changes = step(&mut world, stimulus, &mut mind)?;
        self.world = Rc::new(world);
        self.outbox.extend(changes.effects);
        Ok(())
    }

    fn hear(&mut self, fact: &Stimulus, cause: &str) -> Result<(), String> {
        if let Stimulus::Session(id, session::Input::Started { attempt, .. }) = fact {
            self.reading.insert((*id, *attempt));
        }
        self.meet(fact.clone(), cause).map_err(|refusal| format!("a fact was refused: {fact:?}: {refusal}"))
    }

    /// Returns everything that can happen next.
    pub fn actions(&self) -> Vec<Action> {
        let left = &self.budget;
        let mut all = Vec::new();
        let mut lanes: BTreeSet<NounId> = BTreeSet::new();
        for (key, effect) in &self.outbox {
            if !lanes.insert(effect.lane()) {
                continue;
            }
            all.push(Action::Run(*key, Outcome::Works));
            if left.crashes > 0 {
                all.push(Action::RunAndCrash(*key));
            }
            if left.delays > 0 && !matches!(effect, Effect::Deliver(_) | Effect::Interrupt { .. }) {
                all.push(Action::RunLate(*key));
            }
            if left.failures > 0 && can_fail(effect) {
                all.push(Action::Run(*key, Outcome::Fails));
            }
        }
        all.extend((0..self.late.len()).map(Action::Late));
        if left.echoes > 0 {
            all.extend((0..self.echoes.len()).map(Action::Echo));
        }
        for (id, process) in &self.outside.processes {
            if self.reading.contains(id) && !process.signals.is_empty() {
                all.push(Action::Read(id.0, id.1));
            }
            if process.alive {
                all.extend(self.acts(process).map(|act| Action::Act(id.0, id.1, act)));
            }
        }
        for session in self.world.sessions.values() {
            self.people_and_places(session, &mut all);
        }
        for question in self.world.open_questions() {
            match question.about {
                About::ClosedPullRequest { .. } => {
                    let decide = |answer| Action::Decide(question.id, answer);
                    all.extend(["reopen", "open a new one", "drop"].map(decide));
                }
                _ => all.push(Action::Answer(question.id)),
            }
        }
        for pr in self.world.pull_requests.values().filter(|it| matches!(it.state, pull_request::State::Closed { .. }))
        {
            if left.updates > 0 && pr.number.is_some() {
                all.push(Action::Update(pr.id));
            }
        }
        for pr in self.world.pull_requests.values().filter(|it| it.state == pull_request::State::Open) {
            all.push(Action::Merge(pr.id));
            if left.closes > 0 {
                all.push(Action::Close(pr.id));
            }
            if left.updates > 0 {
                all.push(Action::Update(pr.id));
            }
        }
        if left.ticks > 0 && self.next_wake().is_some() {
            all.push(Action::Tick);
        }
        all
    }

    fn acts(&self, process: &Process) -> impl Iterator<Item = Act> {
        let left = self.budget;
        // While a person types nothing counts as the end of a turn.
        let busy = process.busy && !process.held;
        let when = |yes: bool, act: Act| yes.then_some(act);
        let bad = left.mischief > 0;
        [
            when(process.held, Act::Keyboard { by_person: false }),
            when(!process.held && left.screens > 0, Act::Keyboard { by_person: true }),
            when(busy && left.screens > 0, Act::Turn(Ending::Quiet)),
            when(busy, Act::Turn(Ending::Completed)),
            when(busy && bad, Act::Turn(Ending::Provider)),
            when(busy && bad, Act::Turn(Ending::Help)),
            when(busy && bad, Act::Turn(Ending::Failed)),
            when(busy && left.reports > 0, Act::Report),
            when(busy && left.asks > 0, Act::Ask),
            when(bad, Act::Exit { clean: true }),
            when(bad, Act::Exit { clean: false }),
        ]
        .into_iter()
        .flatten()
    }

    fn people_and_places(&self, session: &session::Session, all: &mut Vec<Action>) {
        let left = &self.budget;
        let id = session.id;
        if session.wants_place(self.now) {
            all.push(Action::Place(id));
            if left.full > 0 {
                all.push(Action::NoPlace(id));
            }
        }
        if session.is_over() {
            if left.publishes > 0 && session.workspace.is_some() {
                all.push(Action::Publish(id));
            }
            return;
        }
        if session.state == Life::Paused {
            all.push(Action::Resume(id));
        } else if left.pauses > 0 {
            all.push(Action::Pause(id));
        }
        if left.cancels > 0 {
            all.push(Action::Cancel(id));
        }
        for (left, interrupt) in [(left.steers, false), (left.interrupts, true)] {
            if left > 0 {
                all.push(Action::Steer { session: id, interrupt });
            }
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        passes::next_wake(&self.world, self.now, &Settings::default())
    }

    /// Lets one thing happen.
    pub fn apply(&mut self, action: &Action) -> Result<(), String> {
        let cause = cause_of(action);
        match action {
            Action::Place(session) => {
                let placed = self.meet(Stimulus::Place { session: *session, target: outside::target() }, &cause);
                placed.map_err(|refusal| format!("a session that wants a place was not placed: {refusal}"))
            }
            Action::NoPlace(session) => {
                self.budget.full -= 1;
                let input = session::Input::NoPlace { detail: "all places are taken".into() };
                self.meet(Stimulus::Session(*session, input), &cause).map_err(|refusal| refusal.to_string())
            }
            Action::Run(key, outcome) => {
                if *outcome == Outcome::Fails {
                    self.budget.failures -= 1;
                }
                let effect = self.take(*key)?;
                for fact in self.outside.perform(&effect, *outcome)? {
                    self.hear(&fact, &cause)?;
                    self.keep_echo(fact);
                }
                Ok(())
            }
            Action::RunAndCrash(key) => {
                self.budget.crashes -= 1;
                let effect = self.find(*key)?;
                self.outside.perform(&effect, Outcome::Works).map(|_| ())
            }
            Action::RunLate(key) => {
                self.budget.delays -= 1;
                let effect = self.take(*key)?;
                let facts = self.outside.perform(&effect, Outcome::Works)?;
                self.late.extend(facts);
                Ok(())
            }
            Action::Late(at) => {
                let fact = self.late.remove(*at);
                self.hear(&fact, &cause)?;
                self.keep_echo(fact);
                Ok(())
            }
            Action::Echo(at) => {
                self.budget.echoes -= 1;
                let fact = self.echoes.remove(*at);
                if self.budget.echoes == 0 {
                    self.echoes.clear();
                }
                self.hear(&fact, &cause)
            }
            Action::Read(session, attempt) => {
                let process = self.outside.processes.get_mut(&(*session, *attempt)).ok_or("no such process")?;
                let signal = process.signals.pop_front().ok_or("nothing to read")?;
                let fact = outside::heard(*session, *attempt, signal, self.now);
                self.hear(&fact, &cause)?;
                // A line is read once, in the commit that moves the cursor; these mean something only in their order.
                if !matches!(signal, Signal::Turn(_) | Signal::Held(_)) {
                    self.keep_echo(fact);
                }
                Ok(())
            }
            Action::Act(session, attempt, act) => self.act(*session, *attempt, *act, &cause),
            Action::Cancel(id) => {
                self.budget.cancels -= 1;
                self.wish(Stimulus::Session(*id, session::Input::Cancel { reason: "not wanted".into() }), &cause);
                Ok(())
            }
            Action::Pause(id) => {
                self.budget.pauses -= 1;
                self.wish(Stimulus::Session(*id, session::Input::Pause), &cause);
                Ok(())
            }
            Action::Resume(id) => {
                self.wish(Stimulus::Session(*id, session::Input::Resume), &cause);
                Ok(())
            }
            Action::Steer { session, interrupt } => {
                let left = if *interrupt { &mut self.budget.interrupts } else { &mut self.budget.steers };
                *left -= 1;
                let new = NewMessage {
                    session: *session,
                    from: Sender::User,
                    cause: format!("steer:{interrupt}:{left}"),
                    text: "Look left.".into(),
                    interrupt: *interrupt,
                    answers: None,
                };
                self.wish(Stimulus::NewMessage(new), &cause);
                Ok(())
            }
            Action::Answer(id) => {
                let answer = "continue".into();
                self.wish(Stimulus::Question(*id, question::Input::Answer { answer }), &cause);
                Ok(())
            }
            Action::Decide(id, answer) => {
                self.wish(Stimulus::Question(*id, question::Input::Answer { answer: (*answer).into() }), &cause);
                Ok(())
            }
            Action::Close(id) => {
                self.budget.closes -= 1;
                let number = self.world.pull_requests[id].number.ok_or("an open pull request without a number")?;
                let seen = self.outside.close(number).ok_or("no such pull request")?;
                self.hear(&Stimulus::PullRequest(*id, pull_request::Input::Observed(seen)), &cause)
            }
            Action::Publish(id) => self.publish(*id, &cause),
            Action::Update(id) => {
                self.budget.updates -= 1;
                let pr = &self.world.pull_requests[id];
                let work = pull_request::UpdateWork {
                    workspace: pr.workspace,
                    target: outside::target(),
                    commit_message: "more".into(),
                    force: false,
                    force_reason: None,
                };
                let input = pull_request::Input::Update { push: Some(work), title: None, body: None };
                self.wish(Stimulus::PullRequest(*id, input), &cause);
                Ok(())
            }
            Action::Merge(id) => {
                // Asking twice is allowed, but one request at a time is enough to look at.
                if self
                    .outbox
                    .iter()
                    .any(|(_, it)| matches!(it, Effect::Merge { pull_request, .. } if pull_request == id))
                {
                    return Ok(());
                }
                let method = orcha_model::effect::MergeMethod::Merge;
                self.wish(Stimulus::PullRequest(*id, pull_request::Input::Merge { method }), &cause);
                Ok(())
            }
            Action::Tick => {
                self.budget.ticks = self.budget.ticks.saturating_sub(1);
                self.now = self.next_wake().ok_or("nothing is due")?;
                self.meet(Stimulus::Tick, &cause).map_err(|refusal| refusal.to_string())
            }
        }
    }

    /// What people and agents wish may be refused.
    fn wish(&mut self, stimulus: Stimulus, cause: &str) -> bool {
        self.meet(stimulus, cause).is_ok()
    }

    fn act(&mut self, id: SessionId, attempt: Attempt, act: Act, cause: &str) -> Result<(), String> {
        let process = self.outside.processes.get_mut(&(id, attempt)).ok_or("no such process")?;
        if let Some(folder) = self.world.sessions[&id].workspace.and_then(|it| self.outside.folders.get_mut(&it)) {
            folder.work += u32::from(process.busy && folder.work == folder.saved);
        }
        match act {
            Act::Turn(ending) => {
                process.busy = false;
                process.signals.push_back(Signal::Turn(ending));
                match ending {
                    Ending::Completed | Ending::Interrupted => {}
                    Ending::Quiet => self.budget.screens -= 1,
                    Ending::Provider | Ending::Help | Ending::Failed => self.budget.mischief -= 1,
                }
            }
            Act::Keyboard { by_person } => {
                self.budget.screens -= u8::from(by_person);
                process.hold(by_person);
            }
            Act::Exit { clean } => {
                self.budget.mischief -= 1;
                self.outside.end((id, attempt), clean);
            }
            Act::Report => {
                self.budget.reports -= 1;
                let input = session::Input::Report { attempt, summary: "done".into(), verdict: None };
                self.wish(Stimulus::Session(id, input), cause);
            }
            Act::Ask => {
                self.budget.asks -= 1;
                if self.world.sessions[&id].is_over() {
                    return Ok(());
                }
                let new = NewQuestion {
                    session: Some(id),
                    cause: format!("tool:{}", self.budget.asks),
                    about: About::Asked,
                    priority: 5,
                    text: "Which colour?".into(),
                    context: None,
                    options: Vec::new(),
                };
                self.wish(Stimulus::NewQuestion(new), cause);
            }
        }
        Ok(())
    }

    fn publish(&mut self, id: SessionId, cause: &str) -> Result<(), String> {
        self.budget.publishes -= 1;
        let session = &self.world.sessions[&id];
        let workspace = session.workspace.and_then(|it| self.world.workspaces.get(&it)).ok_or("no workspace")?;
        if workspace.branch.is_none() {
            return Ok(());
        }
        let new = NewPublication {
            session: id,
            title: "The work".into(),
            body: String::new(),
            commit_message: Some("the rest".into()),
            head: None,
            draft: false,
            replaces: None,
        };
        self.wish(Stimulus::Publish(new), cause);
        Ok(())
    }

    fn keep_echo(&mut self, fact: Stimulus) {
        if self.budget.echoes > 0 && !self.echoes.contains(&fact) {
            self.echoes.push(fact);
        }
    }

    fn find(&self, key: EffectKey) -> Result<Effect, String> {
        self.outbox.iter().find(|(of, _)| *of == key).map(|(_, it)| it.clone()).ok_or_else(|| "no such effect".into())
    }

    fn take(&mut self, key: EffectKey) -> Result<Effect, String> {
        let at = self.outbox.iter().position(|(of, _)| *of == key).ok_or("no such effect")?;
        Ok(self.outbox.remove(at).1)
    }

    /// Lets everything come to an end without further mischief: the outbox drains, agents work, people answer.
    ///
    /// Fails when it does not come to an end, or leaves something behind.
    pub fn converge(mut self) -> Result<(), String> {
        self.budget = Budget { ticks: 1, ..Budget::default() };
        let mut done = Vec::new();
        for _ in 0..STEPS_TO_THE_END {
            // A manager whose workers are done says so.
            if self.world.live_manager().is_some()
                && !self.world.has_live_worker()
                && !self.world.has_live_pull_request()
            {
                let done = objective::Input::Done { summary: "all done".into() };
                self.wish(Stimulus::Objective(done), "done");
            }
            let actions = self.actions();
            // What is under way first, then people, then time.
            let kind = |it: &&Action| match it {
                Action::Run(..) | Action::Late(_) | Action::Read(..) => 0,
                Action::Act(..) | Action::Place(_) => 1,
                Action::Resume(_) | Action::Answer(_) | Action::Decide(..) => 2,
                Action::Merge(_) => 3,
                _ => 4,
            };
            let Some(action) = actions.iter().filter(|it| **it != Action::Tick).min_by_key(kind).cloned() else {
                if self.world.sessions.values().all(session::Session::is_over) {
                    return invariants::end(&self);
                }
                if self.next_wake().is_none() {
                    return Err(format!("nothing moves any more: {}", invariants::describe(&self)));
                }
                self.budget.ticks = 1;
                let before = self.clone();
                self.apply(&Action::Tick).and_then(|()| invariants::check(&before, &Action::Tick, &self))?;
                continue;
            };
            let before = self.clone();
            done.push(format!("{action:?}"));
            self.apply(&action)
                .and_then(|()| invariants::check(&before, &action, &self))
                .map_err(|rule| format!("{rule}\n  on the way to the end: {}", done.join("; ")))?;
        }
        Err(format!("it does not come to an end: {}", invariants::describe(&self)))
    }

    /// Two moments with the same fingerprint have the same future. Revisions and texts are left out.
    fn fingerprint(&self) -> u64 {
        let mut to = DefaultHasher::new();
        self.now.hash(&mut to);
        self.budget.hash(&mut to);
        self.outside.hash(&mut to);
        self.reading.hash(&mut to);
        let world = &*self.world;
        world.objective.state.hash(&mut to);
        world.objective.tripped.is_some().hash(&mut to);
        for it in world.sessions.values() {
            it.id.hash(&mut to);
            hash_life(&it.state, &mut to);
            (it.attempt, it.faults, it.report.is_some(), it.conversation.is_some()).hash(&mut to);
            (it.told, it.workspace, &it.counters.error, it.counters.idle_turns, it.counters.acted).hash(&mut to);
            (it.stopping, it.pull_request, it.counters.errors).hash(&mut to);
        }
        for it in world.workspaces.values() {
            (it.id, it.state.name(), it.checkout.is_some(), &it.snapshot, it.reclaim_asked_at).hash(&mut to);
        }
        for it in world.pull_requests.values() {
            (it.id, &it.state, it.number, &it.head, it.refusal.is_some()).hash(&mut to);
            (it.closing.decision, it.closing.held.is_some(), it.closing.followers_told).hash(&mut to);
        }
        for it in world.messages.values() {
            (it.id, &it.state, it.interrupt, it.created_at).hash(&mut to);
        }
        for it in world.questions.values() {
            (it.id, &it.state, &it.cause).hash(&mut to);
        }
        for it in world.feedback.values() {
            (it.id, it.state, it.tries).hash(&mut to);
        }
        for (_, effect) in &self.outbox {
            hash_effect(effect, &mut to);
        }
        for fact in &self.late {
            format!("{fact:?}").hash(&mut to);
        }
        // Which came first does not matter for what may come again.
        let echoes: BTreeSet<String> = self.echoes.iter().map(|it| format!("{it:?}")).collect();
        echoes.hash(&mut to);
        to.finish()
    }
}

/// Many times what any example needs.
const STEPS_TO_THE_END: usize = 400;

fn can_fail(effect: &Effect) -> bool {
    matches!(effect, Effect::Prepare(_) | Effect::Launch(_) | Effect::Publish(_) | Effect::Merge { .. })
}

/// The part of an action that names what it makes, without what differs by the order of events.
fn cause_of(action: &Action) -> String {
    match action {
        Action::Run(key, _) | Action::RunLate(key) | Action::RunAndCrash(key) => format!("run {:?}", key.noun),
        Action::Late(_) | Action::Echo(_) => "fact".into(),
        Action::Read(session, attempt) => format!("read {session} {attempt}"),
        other => format!("{other:?}"),
    }
}

fn ids_of(world: &World) -> BTreeSet<Uuid> {
    let messages = world.messages.keys().map(|it| it.uuid());
    let questions = world.questions.keys().map(|it| it.uuid());
    let sessions = world.sessions.keys().map(|it| it.uuid());
    let pull_requests = world.pull_requests.keys().map(|it| it.uuid());
    messages
        .chain(pull_requests)
        .chain(questions)
        .chain(sessions)
        .chain(world.workspaces.keys().map(|it| it.uuid()))
        .collect()
}

fn hash_life(state: &Life, to: &mut DefaultHasher) {
    state.name().hash(to);
    match state {
        Life::Queued { released } => released.hash(to),
        Life::WaitingCapacity { why, until } => {
            std::mem::discriminant(why).hash(to);
            until.hash(to);
        }
        Life::Starting { attempt, phase, .. } => {
            attempt.hash(to);
            std::mem::discriminant(phase).hash(to);
        }
        Life::Running { attempt, turn, since, .. } => {
            (attempt, since).hash(to);
            match turn {
                session::Turn::Busy { heard_at } => (0, heard_at).hash(to),
                session::Turn::Idle { since } => (1, since).hash(to),
                session::Turn::Held { since, busy } => (2, since, busy).hash(to),
            }
        }
        Life::WaitingUser { why, answered } => {
            std::mem::discriminant(why).hash(to);
            answered.hash(to);
        }
        Life::Paused | Life::Succeeded { .. } | Life::Failed { .. } | Life::Canceled { .. } => {}
    }
}

fn hash_effect(effect: &Effect, to: &mut DefaultHasher) {
    effect.name().hash(to);
    match effect {
        Effect::Prepare(it) => (it.session, it.attempt, it.workspace).hash(to),
        Effect::Launch(it) => (it.session, it.attempt, it.opening.is_some()).hash(to),
        Effect::Stop(it) => (it.session, it.attempt, it.snapshot).hash(to),
        Effect::Deliver(it) => (it.message, it.attempt).hash(to),
        Effect::Permit(it) => (it.session, it.attempt, &it.request).hash(to),
        Effect::Interrupt { session, attempt, on_behalf_of, .. } => (session, attempt, on_behalf_of).hash(to),
        Effect::Publish(it) => it.pull_request.hash(to),
        Effect::UpdatePr(it) => it.pull_request.hash(to),
        Effect::Comment { pull_request, .. }
        | Effect::Merge { pull_request, .. }
        | Effect::Close { pull_request, .. }
        | Effect::Reopen { pull_request, .. } => pull_request.hash(to),
        Effect::Check(it) => it.run.hash(to),
        Effect::StopCheck { run, .. } => run.hash(to),
        Effect::DeliverResult(it) => (it.workflow, it.order).hash(to),
        Effect::Reclaim { workspace, .. } | Effect::Restore { workspace, .. } => workspace.hash(to),
    }
}

/// A world with one implementer that nobody supervises: what happens to it is up to the explorer.
pub fn one_session() -> World {
    let mut objective = make::objective();
    // Nobody steers and nobody is made to: the one question about managers counts as asked.
    objective.managers.escalated = true;
    debug_assert_eq!(objective.state, objective::State::Active);
    let mut world = World::new(objective);
    let session = make::session(1, orcha_model::Role::Implementer);
    world.sessions.insert(session.id, session);
    world
}
