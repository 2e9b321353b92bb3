//! The state of a scenario that is being played: what is left of it, what was asked, what is held.
//!
//! It chooses replies and remembers; it neither reads nor writes the wire. What it remembers is bounded.

use crate::server::ask::Ask;
use crate::server::dialect;
use crate::server::plan::Names;
use crate::server::record::{Record, Said, State};
use crate::server::scenario::{Count, Main, Mcp, Repeat, Reply, Scenario};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// How much is kept at most; the oldest goes first.
const RECORDS: usize = 4096;
const RECORDED_BYTES: usize = 256 * 1024 * 1024;
const CONVERSATIONS: usize = 4096;

/// How tokens for Copilot begin.
const TOKEN: &str = "tid=scripted;n=";

/// A scenario that is being played.
pub struct Stage {
    inner: Mutex<Inner>,
    /// Counts up with every change, and so wakes whoever waits for one.
    changed: watch::Sender<u64>,
    vars: BTreeMap<String, String>,
    begun: Instant,
}

struct Inner {
    scenario: Arc<Scenario>,
    left: Vec<Repeat>,
    /// What is left in each conversation, the one that spoke last at the end.
    conversations: VecDeque<(String, Vec<Repeat>)>,
    state: State,
    released: BTreeSet<String>,
    records: VecDeque<(Record, usize)>,
    recorded_bytes: usize,
    next_number: u64,
    /// How many tokens were given out for Copilot.
    tokens: u64,
}

/// The reply to one request.
pub struct Choice {
    pub reply: Reply,
    pub main: bool,
    pub names: Names,
}

impl Stage {
    pub fn new(scenario: Scenario, vars: BTreeMap<String, String>) -> Self {
        let inner = Inner {
            left: fresh(&scenario),
            scenario: Arc::new(scenario),
            conversations: VecDeque::new(),
            state: State::default(),
            released: BTreeSet::new(),
            records: VecDeque::new(),
            recorded_bytes: 0,
            next_number: 0,
            tokens: 0,
        };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0), vars, begun: Instant::now() }
    }

    /// Begins another scenario; what was counted begins again, what was recorded stays.
    pub fn play(&self, scenario: Scenario) {
        self.change(|inner| {
            inner.left = fresh(&scenario);
            inner.scenario = Arc::new(scenario);
            inner.conversations.clear();
            inner.released.clear();
            // Who is held goes on to be held; the rest is of the scenario before.
            inner.state = State {
                held: std::mem::take(&mut inner.state.held),
                forgotten: inner.state.forgotten,
                ..State::default()
            };
        });
    }

    /// Chooses the reply to a request, and counts it.
    pub fn choose(&self, ask: &Ask) -> Choice {
        self.change(|inner| {
            let scenario = Arc::clone(&inner.scenario);
            let mut names = Names(self.vars.clone());
            names.0.insert("tool_result".to_owned(), ask.talk.tool_result());
            let has_tools = scenario.main == Main::All || !ask.tools.is_empty();
            if !has_tools || scenario.side.iter().any(|rule| rule.is_match(&ask.talk.user)) {
                inner.state.aux += 1;
                let usual = || match &ask.schema {
                    Some(schema) => Reply::saying(&dialect::sample(schema).to_string()),
                    None => Reply::saying("ok"),
                };
                return Choice { reply: scenario.aux.clone().unwrap_or_else(usual), main: false, names };
            }
            inner.state.main += 1;
            let left = match scenario.count {
                Count::Overall => &mut inner.left,
                Count::Conversation => conversation(&mut inner.conversations, ask, &scenario),
            };
            for (reply, left) in scenario.replies.iter().zip(left) {
                let is_left = !matches!(left, Repeat::Times(0));
                let fits = || reply.unless.as_ref().is_none_or(|unless| unless.holds(ask).is_none());
                if let Some(found) = reply.when.holds(ask).filter(|_| is_left && fits()) {
                    if let Repeat::Times(n) = left {
                        *n -= 1;
                    }
                    names.0.extend(found);
                    return Choice { reply: reply.clone(), main: true, names };
                }
            }
            Choice { reply: scenario.otherwise.clone(), main: true, names }
        })
    }

    /// Returns whether a key is the one that the scenario requires.
    pub fn accepts(&self, key: Option<&str>) -> bool {
        self.inner.lock().scenario.require_key.as_deref().is_none_or(|required| key == Some(required))
    }

    /// Gives out a token for Copilot.
    pub fn issue_token(&self) -> String {
        self.change(|inner| {
            inner.tokens += 1;
            format!("{TOKEN}{}", inner.tokens)
        })
    }

    /// Returns whether a key is a token that was given out.
    pub fn has_issued(&self, key: Option<&str>) -> bool {
        let number = key.and_then(|key| key.strip_prefix(TOKEN)?.parse::<u64>().ok());
        number.is_some_and(|number| (1..=self.inner.lock().tokens).contains(&number))
    }

    pub fn model_names(&self) -> Vec<String> {
        self.inner.lock().scenario.model_names.clone()
    }

    pub fn mcp(&self) -> Mcp {
        self.inner.lock().scenario.mcp.clone()
    }

    pub fn names(&self) -> Names {
        Names(self.vars.clone())
    }

    /// Keeps a request, and returns its number.
    pub fn record(&self, record: Record, size: usize) -> u64 {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.change(|inner| {
            match &record.said {
                Said::Error { .. } => inner.state.errors += 1,
                Said::Unknown => inner.state.unknown += 1,
                Said::Mcp { method } if method == "tools/call" => inner.state.mcp_calls += 1,
                Said::Reply { script_error: Some(_), .. } => inner.state.script_errors += 1,
                Said::Reply { .. } | Said::Mcp { .. } | Said::Aside => {}
            }
            let number = inner.next_number;
            inner.next_number += 1;
            inner.recorded_bytes += size;
            inner.records.push_back((Record { number, at_ms, ..record }, size));
            while inner.records.len() > RECORDS || inner.recorded_bytes > RECORDED_BYTES {
                let Some((_, size)) = inner.records.pop_front() else { break };
                inner.recorded_bytes -= size;
                inner.state.forgotten += 1;
            }
            number
        })
    }

    /// Notes that the client of a request went away.
    pub fn hung_up(&self, number: u64) {
        self.change(|inner| {
            inner.state.hung_up += 1;
            if let Some((record, _)) = inner.records.iter_mut().find(|(record, _)| record.number == number) {
                record.hung_up = true;
            }
        });
    }

    pub fn records(&self) -> Vec<Record> {
        self.inner.lock().records.iter().map(|(record, _)| record.clone()).collect()
    }

    pub fn state(&self) -> State {
        let inner = self.inner.lock();
        let left = inner.left.iter().map(|left| match left {
            Repeat::Times(n) => *n,
            Repeat::Forever => 0,
        });
        State { replies_left: left.sum(), ..inner.state.clone() }
    }

    /// Lets what is held at a gate go on, now and later.
    pub fn release(&self, gate: &str) {
        self.change(|inner| inner.released.insert(gate.to_owned()));
    }

    /// Waits at a gate, and is seen to wait.
    pub async fn wait_at(self: &Arc<Self>, gate: &str) {
        self.change(|inner| inner.state.held.push(gate.to_owned()));
        // Also when the client goes away and nobody waits any more.
        let _leave = Leave { stage: Arc::clone(self), gate: gate.to_owned() };
        self.until(|inner| inner.released.contains(gate)).await;
    }

    /// Waits until the state is as wanted, and returns it.
    pub async fn until_state(&self, wanted: impl Fn(&State) -> bool) -> State {
        let mut changes = self.changed.subscribe();
        loop {
            let state = self.state();
            if wanted(&state) || changes.changed().await.is_err() {
                return state;
            }
        }
    }

    async fn until(&self, holds: impl Fn(&Inner) -> bool) {
        let mut changes = self.changed.subscribe();
        while !holds(&self.inner.lock()) && changes.changed().await.is_ok() {}
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.inner.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }
}

struct Leave {
    stage: Arc<Stage>,
    gate: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.stage.change(|inner| {
            let held = &mut inner.state.held;
            if let Some(at) = held.iter().position(|gate| *gate == self.gate) {
                held.remove(at);
            }
        });
    }
}

fn fresh(scenario: &Scenario) -> Vec<Repeat> {
    scenario.replies.iter().map(|reply| reply.repeat).collect()
}

/// Finds what is left for the conversation of a request: by the name that the program gives it, or by its opening.
fn conversation<'a>(
    all: &'a mut VecDeque<(String, Vec<Repeat>)>,
    ask: &Ask,
    scenario: &Scenario,
) -> &'a mut Vec<Repeat> {
    let key = ask.conversation.as_ref().unwrap_or(&ask.talk.opening);
    let found = all.iter().position(|(it, _)| it == key).and_then(|at| all.remove(at));
    if all.len() >= CONVERSATIONS {
        all.pop_front();
    }
    all.push_back(found.unwrap_or_else(|| (key.clone(), fresh(scenario))));
    let last = all.len() - 1;
    &mut all[last].1
}
