//! The life of a provider: the account that one kind of agent spends. Open, or parked until it may be called again.
//!
//! What one session hears of it holds for all sessions of all objectives: promise 10. Which sessions wait for it, and
//! who takes over meanwhile, is not known here; see `orcha-plan`. Chance is drawn by the caller and handed in.

use crate::{Decision, Note, NoteKind};
use orcha_base::{Attempt, Backoff, ScopeId, SessionId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The account that one kind of agent spends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The kind of agent: `claude`. There is one provider for each.
    pub name: String,
    /// Whose it is. The account is the machine's, so all tenants share it.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// What it said of its windows, by name.
    pub windows: Vec<Window>,
    /// Refusals in a row without a turn that was served.
    pub strikes: u32,
    /// The run whose refusal was counted last: one run is refused once, however often that is read.
    pub struck_by: Option<(SessionId, Attempt)>,
    /// Where it stands.
    pub state: State,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A window of a provider: what may be used until it starts anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name: `five_hour`, `seven_day`.
    pub name: String,
    /// How much of it is used, in thousandths, where that is said.
    pub used_permille: Option<u16>,
    /// When it starts anew, where that is said.
    pub resets_at: Option<Timestamp>,
    /// When that was said.
    pub seen_at: Timestamp,
}

/// Where a provider stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It may be called.
    Open,
    /// It is not called.
    Parked {
        /// Since when.
        since: Timestamp,
        /// Until then, for the first session; the others follow within `spread`.
        until: Timestamp,
        /// Over how long a time its sessions begin again, so that they do not all call in the same moment.
        spread: Duration,
        /// Why.
        class: Class,
        /// Who was refused.
        by: SessionId,
    },
}

/// Why a provider refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// Too many requests.
    RateLimited,
    /// The quota is spent.
    UsageExhausted,
    /// It has too much to do.
    Overloaded,
}

/// Something that happens to a provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It told of one of its windows.
    Told {
        /// The window.
        window: Window,
    },
    /// It refused a turn.
    Refused {
        /// Whose.
        session: SessionId,
        /// In which attempt.
        attempt: Attempt,
        /// Why.
        class: Class,
        /// Until when, where that is said.
        until: Option<Timestamp>,
        /// A number that the caller drew: how late within a tenth of the wait it is called again.
        roll: u32,
    },
    /// It served a turn to its end.
    Served,
    /// Nothing but time passed.
    Due,
}

/// Whether a session may call its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// Not before.
    Shut {
        /// When this session may.
        until: Timestamp,
        /// Why.
        class: Class,
    },
}

/// How a refusal without a time is waited out.
const BUSY: Backoff = Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(600) };
/// How a spent quota is waited out when nobody says when it comes back.
const SPENT: Backoff = Backoff { first: Duration::from_secs(300), cap: Duration::from_secs(3600) };
/// A time that lies closer than this is none: clocks differ.
const SOONEST: Duration = Duration::from_secs(1);
/// So many refusals in a row are believed to their word; then the waiting grows whatever they say.
const BELIEVED: u32 = 2;
/// The most that jitter and spread add to a wait; otherwise a tenth of it.
const SPREAD: Duration = Duration::from_secs(30);
/// How many windows are remembered.
const WINDOWS: usize = 16;

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Parked { .. } => "parked",
        }
    }
}

impl Class {
    /// Returns the name as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::UsageExhausted => "usage_exhausted",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Provider {
    /// Makes a provider of which nothing is known yet.
    pub fn new(name: impl Into<String>, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            tenant: TenantId::default(),
            scope: ScopeId::default(),
            windows: Vec::new(),
            strikes: 0,
            struck_by: None,
            state: State::Open,
            created_at: now,
            updated_at: now,
        }
    }

    /// Tells whether a session may call it now. Sessions come back one after another, each at an instant of its own.
    pub fn gate(&self, session: SessionId, now: Timestamp) -> Gate {
        match self.state {
            State::Open => Gate::Open,
            State::Parked { until, spread, class, .. } => {
                let until = until + spread.mul_f64(place_of(session));
                if now < until { Gate::Shut { until, class } } else { Gate::Open }
            }
        }
    }

    /// Returns when all of its sessions may call it again; nothing while it is open.
    pub fn reopens_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open => None,
            State::Parked { until, spread, .. } => Some(until + spread),
        }
    }

    /// Returns what is left of its tightest window for each hour until that starts anew, in thousandths; nothing when it
    /// never said. Who knows nothing of a provider must not take it for a free one.
    pub fn headroom(&self, now: Timestamp) -> Option<u64> {
        let left = |it: &Window| {
            let used = u64::from(it.used_permille?.min(1000));
            let (left, resets_at) = (1000 - used, it.resets_at?);
            // A window that began anew since is whole, and nobody said yet how long it is.
            let (left, secs) = if resets_at <= now { (1000, 3600) } else { (left, resets_at.since(now).as_secs()) };
            Some(left * 3600 / secs.max(360))
        };
        self.windows.iter().filter_map(left).min()
    }

    fn changed(&self, now: Timestamp, change: impl FnOnce(&mut Self)) -> Decision<Self> {
        let mut next = self.clone();
        change(&mut next);
        next.updated_at = now;
        Decision::become_(next)
    }

    fn said(&self, kind: NoteKind, summary: String) -> Note {
        Note::new(kind, summary).with("provider", &self.name)
    }
}

/// Where in the spread a session stands, from 0 to 1: its own place, the same whenever it is asked for.
fn place_of(session: SessionId) -> f64 {
    let (_, low) = session.uuid().as_u64_pair();
    f64::from(u32::try_from(low % 1000).unwrap_or(0)) / 1000.0
}

/// Decides what a provider becomes.
pub fn decide(provider: &Provider, input: Input, now: Timestamp) -> Decision<Provider> {
    match input {
        Input::Told { window } => told(provider, window, now),
        Input::Refused { session, attempt, class, until, roll } => {
            refused(provider, (session, attempt), class, until, roll, now)
        }
        Input::Served => served(provider, now),
        Input::Due => match provider.reopens_at() {
            Some(at) if at <= now => open(provider, now),
            Some(_) => Decision::ignore(provider.clone(), "it is parked"),
            None => Decision::ignore(provider.clone(), "it is open"),
        },
    }
}

fn told(provider: &Provider, window: Window, now: Timestamp) -> Decision<Provider> {
    let known = provider.windows.iter().find(|it| it.name == window.name);
    if known.is_some_and(|it| it.used_permille == window.used_permille && it.resets_at == window.resets_at) {
        return Decision::ignore(provider.clone(), "nothing new");
    }
    provider.changed(now, |next| {
        next.windows.retain(|it| it.name != window.name);
        if next.windows.len() >= WINDOWS {
            next.windows.sort_by_key(|it| it.seen_at);
            next.windows.remove(0);
        }
        next.windows.push(window);
        next.windows.sort_by(|a, b| a.name.cmp(&b.name));
    })
}

fn refused(
    provider: &Provider,
    by: (SessionId, Attempt),
    class: Class,
    until: Option<Timestamp>,
    roll: u32,
    now: Timestamp,
) -> Decision<Provider> {
    let named = until.filter(|at| *at > now + SOONEST);
    let parked = match provider.state {
        State::Parked { since, until, .. } if until > now => Some((since, until)),
        State::Parked { .. } | State::Open => None,
    };
    let again = provider.struck_by == Some(by);
    if let Some((_, parked_until)) = parked
        && named.is_none_or(|at| at <= parked_until)
    {
        return Decision::ignore(provider.clone(), "it is parked as long already");
    }
    if again && named.is_none() {
        return Decision::ignore(provider.clone(), "that refusal was counted");
    }
    // What turns that were under way when it was parked hear is the same refusal.
    let strikes = if again || parked.is_some() { provider.strikes } else { provider.strikes.saturating_add(1) };
    let backoff = match class {
        Class::UsageExhausted => SPENT,
        Class::RateLimited | Class::Overloaded => BUSY,
    };
    let reset = match named {
        Some(at) => at.max(now + BUSY.delay(strikes.saturating_sub(BELIEVED))),
        None => now + backoff.delay(strikes.max(1)),
    };
    let spread = (reset.since(now) / 10).min(SPREAD);
    let until = reset + spread.mul_f64(f64::from(roll) / f64::from(u32::MAX));
    let since = parked.map_or(now, |(since, _)| since);
    let (session, _) = by;
    let note = provider
        .said(NoteKind::ProviderParked, format!("{} is not called until {until}: {}", provider.name, class.name()))
        .with("class", class.name())
        .with("until", until)
        .of(session);
    provider
        .changed(now, |next| {
            next.strikes = strikes;
            next.struck_by = Some(by);
            next.state = State::Parked { since, until, spread, class, by: session };
        })
        .note(note)
}

fn served(provider: &Provider, now: Timestamp) -> Decision<Provider> {
    match provider.state {
        // It was under way before the refusal.
        State::Parked { until, .. } if until > now => Decision::ignore(provider.clone(), "it is parked"),
        State::Parked { .. } => open(provider, now),
        State::Open if provider.strikes == 0 => Decision::ignore(provider.clone(), "nothing new"),
        State::Open => provider.changed(now, |next| (next.strikes, next.struck_by) = (0, None)),
    }
}

/// Opens it. The refusals are forgotten only once it served somebody.
fn open(provider: &Provider, now: Timestamp) -> Decision<Provider> {
    let note = provider.said(NoteKind::ProviderOpened, format!("{} may be called again", provider.name));
    provider.changed(now, |next| next.state = State::Open).note(note)
}

/// Picks the provider with the most left for each hour until its window starts anew, among those that may be called.
///
/// One that never told of a window is picked only when no other can be: "no data" is not "free". Among equals the
/// first one is.
pub fn choose<'n>(
    among: impl IntoIterator<Item = (&'n str, Option<&'n Provider>)>,
    session: SessionId,
    now: Timestamp,
) -> Option<&'n str> {
    let open = among.into_iter().filter(|(_, it)| it.is_none_or(|it| it.gate(session, now) == Gate::Open));
    let mut best: Option<(&str, Option<u64>)> = None;
    for (name, provider) in open {
        let headroom = provider.and_then(|it| it.headroom(now));
        if best.is_none_or(|(_, most)| headroom > most) {
            best = Some((name, headroom));
        }
    }
    best.map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(10_000);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(10_000 + secs)
    }

    fn refuse(provider: &Provider, n: u64, until: Option<Timestamp>, now: Timestamp) -> Decision<Provider> {
        let (session, class) = (SessionId::fixed(n), Class::RateLimited);
        decide(provider, Input::Refused { session, attempt: Attempt(1), class, until, roll: 0 }, now)
    }

    fn window(name: &str, used: u16, resets_in: i64) -> Window {
        Window { name: name.into(), used_permille: Some(used), resets_at: Some(at(resets_in)), seen_at: NOW }
    }

    #[test]
    fn promise_10_one_refusal_shuts_it_for_every_session_until_the_reset() {
        let open = Provider::new("claude", NOW);
        let parked = refuse(&open, 1, Some(at(600)), NOW).next;
        for n in 1..50 {
            let session = SessionId::fixed(n);
            assert!(matches!(parked.gate(session, at(599)), Gate::Shut { until, .. } if until >= at(600)));
            assert_eq!(parked.gate(session, at(630)), Gate::Open);
        }
    }

    #[test]
    fn sessions_come_back_one_after_another_and_jitter_only_adds() {
        let parked = |roll| {
            let (session, class) = (SessionId::fixed(1), Class::UsageExhausted);
            let input = Input::Refused { session, attempt: Attempt(1), class, until: Some(at(100)), roll };
            decide(&Provider::new("claude", NOW), input, NOW).next
        };
        let until = |of: &Provider, n| match of.gate(SessionId::fixed(n), NOW) {
            Gate::Shut { until, .. } => until,
            Gate::Open => panic!("it is open"),
        };
        let early = parked(0);
        assert!(until(&early, 1) != until(&early, 2));
        assert!((1..100).all(|n| until(&early, n) >= at(100) && until(&early, n) <= at(110)));
        assert!(until(&parked(u32::MAX), 1) > until(&early, 1));
        assert_eq!(early.reopens_at(), Some(at(110)));
    }

    #[test]
    fn a_refusal_that_is_read_twice_or_comes_from_a_turn_under_way_counts_once() {
        let parked = refuse(&Provider::new("claude", NOW), 1, None, NOW).next;
        assert_eq!(refuse(&parked, 1, None, NOW).ignored, Some("it is parked as long already"));
        assert_eq!(refuse(&parked, 2, None, at(2)).ignored, Some("it is parked as long already"));
        assert_eq!(refuse(&parked, 1, None, at(100)).ignored, Some("that refusal was counted"));
        let longer = refuse(&parked, 2, Some(at(900)), at(2)).next;
        assert_eq!((longer.strikes, longer.reopens_at().is_some_and(|it| it >= at(900))), (1, true));
    }

    #[test]
    fn refusals_without_a_time_are_waited_out_longer_and_longer_until_a_turn_is_served() {
        let mut provider = Provider::new("claude", NOW);
        let mut now = NOW;
        let mut waits = Vec::new();
        for n in 1..=4 {
            provider = refuse(&provider, n, None, now).next;
            let State::Parked { until, .. } = provider.state else { panic!("{provider:?}") };
            waits.push(until.since(now).as_secs());
            now = until + SPREAD;
        }
        assert_eq!(waits, [5, 10, 20, 40]);
        let served = decide(&provider, Input::Served, now).next;
        assert_eq!(served.state, State::Open);
        let served = decide(&served, Input::Served, now).next;
        assert_eq!(served.strikes, 0);
    }

    #[test]
    fn resets_that_prove_wrong_again_and_again_are_not_believed_for_ever() {
        let mut provider = Provider::new("claude", NOW);
        let mut now = NOW;
        for n in 1..=12 {
            provider = refuse(&provider, n, Some(now + Duration::from_secs(2)), now).next;
            let State::Parked { until, .. } = provider.state else { panic!("{provider:?}") };
            let wait = until.since(now);
            assert!(n > 2 || wait < Duration::from_secs(3), "{wait:?}");
            assert!(n < 12 || wait == Duration::from_secs(600), "{wait:?}");
            now = until + SPREAD;
        }
    }

    #[test]
    fn what_is_left_is_measured_against_the_time_that_it_must_last() {
        let with = |windows: Vec<Window>| Provider { windows, ..Provider::new("it", NOW) };
        // Half of a week is less an hour than half of a day.
        let week = with(vec![window("seven_day", 500, 84 * 3600)]);
        let day = with(vec![window("one_day", 500, 12 * 3600)]);
        assert!(day.headroom(NOW) > week.headroom(NOW));
        // The tightest window counts.
        let both = with(vec![window("five_hour", 20, 4 * 3600), window("seven_day", 500, 84 * 3600)]);
        assert_eq!(both.headroom(NOW), week.headroom(NOW));
        assert_eq!(with(Vec::new()).headroom(NOW), None);
    }

    #[test]
    fn the_one_with_the_most_left_is_chosen_and_an_unknown_one_only_if_no_other_is_open() {
        let with = |windows: Vec<Window>| Provider { windows, ..Provider::new("it", NOW) };
        let (tight, wide) = (with(vec![window("w", 900, 36_000)]), with(vec![window("w", 100, 36_000)]));
        let parked = refuse(&wide, 1, Some(at(600)), NOW).next;
        let pick = |among: &[(&'static str, Option<&Provider>)]| {
            choose(among.iter().map(|(name, it)| (*name, *it)), SessionId::fixed(1), NOW).map(ToOwned::to_owned)
        };
        assert_eq!(pick(&[("a", Some(&tight)), ("b", Some(&wide))]).as_deref(), Some("b"));
        assert_eq!(pick(&[("new", None), ("a", Some(&tight))]).as_deref(), Some("a"));
        assert_eq!(pick(&[("b", Some(&parked)), ("new", None)]).as_deref(), Some("new"));
        assert_eq!(pick(&[("b", Some(&parked))]), None);
    }

    #[test]
    fn a_window_that_is_told_again_is_no_news() {
        let input = || Input::Told { window: window("five_hour", 930, 600) };
        let told = decide(&Provider::new("claude", NOW), input(), NOW).next;
        assert_eq!(told.windows.len(), 1);
        assert_eq!(decide(&told, input(), at(5)).ignored, Some("nothing new"));
    }
}
