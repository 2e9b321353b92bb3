//! Loop guards: promise 9. Counters that live in the row, limits that a person sets, and one verdict.
//!
//! A trip pauses, records why, and asks; it never burns quota. What a trip leads to is decided by the
//! session and the objective; here it is only counted and judged.

use crate::Refusal;
use crate::budget::{Amount, HandBack, Reservation, Scope, Unit};
use orcha_base::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $usual:expr,)+) => {
        /// What a session and an objective may use up before somebody is asked. Every limit can be changed per
        /// objective; zero switches a limit off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {$(
            $(#[$doc])*
            pub $name: $type,
        )+}

        impl Default for Limits {
            /// The figures of calls, errors and progress are those of the published supervisor; the others are ours.
            fn default() -> Self {
                Self { $($name: $usual,)+ }
            }
        }

        /// Limits that are set anew; `None` leaves one as it is.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LimitChanges {$(
            $(#[$doc])*
            pub $name: Option<$type>,
        )+}

        impl Limits {
            /// Returns the limits with some of them set anew.
            #[must_use]
            pub fn with(self, changes: &LimitChanges) -> Self {
                Self { $($name: changes.$name.unwrap_or(self.$name),)+ }
            }
        }
    };
}
limits! {
    /// The same class of error so many times in a row.
    same_error: u32 = 3,
    /// Errors of any class, so many in a row: classes that take turns are a loop too.
    any_error: u32 = 6,
    /// So many turns in a row without a tool call or a report.
    no_progress: u32 = 5,
    /// Model calls of one session in any hour.
    session_calls_per_hour: u32 = 120,
    /// Model calls of one objective in any hour.
    objective_calls_per_hour: u32 = 300,
    /// Seconds that one attempt of a worker may run.
    wall_clock_secs: u64 = 4 * 3600,
    /// Seconds that a turn may stand without any output.
    stall_secs: u64 = 1800,
    /// Tokens of one session: read, written and cached ones.
    session_tokens: u64 = 20_000_000,
    /// Money of one session in millionths of a US dollar.
    session_micro_usd: u64 = 0,
    /// Tokens of one objective.
    objective_tokens: u64 = 100_000_000,
    /// Money of one objective in millionths of a US dollar.
    objective_micro_usd: u64 = 0,
    /// Seconds from the making of an objective to its end: then it ends with what stands, and nobody is asked.
    deadline_secs: u64 = 0,
}

impl Limits {
    /// The latest deadline that there may be: a year.
    pub const LONGEST: u64 = 365 * 24 * 3600;

    /// Refuses figures that nothing can come of.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.deadline_secs <= Self::LONGEST {
            return Ok(());
        }
        Err(Refusal::Invalid { field: "limits", rule: format!("deadline_secs must be at most {}", Self::LONGEST) })
    }
}

/// A limit that was reached, with the figure that reached it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guard", rename_all = "snake_case")]
pub enum Trip {
    /// The same error came back.
    SameError {
        /// Its class.
        class: String,
        /// How often in a row.
        times: u32,
    },
    /// One error came after another, of whatever class.
    Errors {
        /// How often in a row.
        times: u32,
    },
    /// Turns went by with words only.
    NoProgress {
        /// How many.
        turns: u32,
    },
    /// Too many model calls within an hour.
    Calls {
        /// How many.
        calls: u32,
    },
    /// The attempt ran too long.
    WallClock {
        /// How many seconds.
        secs: u64,
    },
    /// A turn stood still.
    Stall {
        /// How many seconds without output.
        secs: u64,
    },
    /// Too many tokens.
    Tokens {
        /// How many.
        tokens: u64,
    },
    /// Too much money.
    Money {
        /// How much, in millionths of a US dollar.
        micro_usd: u64,
    },
    /// Another turn does not fit under a cap.
    Budget {
        /// Whose cap.
        scope: Scope,
        /// Of what.
        unit: Unit,
        /// What is used up.
        spent: u64,
        /// What another turn takes, as far as can be told.
        next: u64,
        /// The cap.
        cap: u64,
    },
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameError { class, times } => write!(f, "the same error ({class}) came {times} times in a row"),
            Self::Errors { times } => write!(f, "{times} errors came in a row"),
            Self::NoProgress { turns } => write!(f, "{turns} turns in a row went by without any action"),
            Self::Calls { calls } => write!(f, "{calls} model calls were made within an hour"),
            Self::WallClock { secs } => write!(f, "it has been running for {} minutes", secs / 60),
            Self::Stall { secs } => write!(f, "its turn has shown no output for {} minutes", secs / 60),
            Self::Tokens { tokens } => write!(f, "{tokens} tokens were used"),
            Self::Money { micro_usd } => {
                write!(f, "{}.{:06} USD were spent", micro_usd / 1_000_000, micro_usd % 1_000_000)
            }
            Self::Budget { scope, unit, spent, next, cap } => write!(
                f,
                "{} of the {}'s {} are spent, and another turn takes about {}",
                unit.amount(*spent),
                scope,
                unit.amount(*cap),
                unit.amount(*next)
            ),
        }
    }
}

impl Trip {
    /// Returns the guard's name, for the key of its question.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SameError { .. } => "same_error",
            Self::Errors { .. } => "any_error",
            Self::NoProgress { .. } => "no_progress",
            Self::Calls { .. } => "calls",
            Self::WallClock { .. } => "wall_clock",
            Self::Stall { .. } => "stall",
            Self::Tokens { .. } => "tokens",
            Self::Money { .. } => "money",
            Self::Budget { .. } => "budget",
        }
    }
}

const BUCKET: Duration = Duration::from_secs(300);
const BUCKETS: usize = 13;

/// Counts calls within the last hour in steps of five minutes: never fewer than there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallWindow {
    counts: Vec<(i64, u32)>,
}

impl CallWindow {
    /// Adds calls made at an instant.
    pub fn add(&mut self, calls: u32, at: Timestamp) {
        if calls == 0 {
            return;
        }
        let bucket = Self::bucket(at);
        self.counts.retain(|(of, _)| *of > bucket - BUCKETS as i64);
        match self.counts.last_mut() {
            Some((of, count)) if *of >= bucket => *count = count.saturating_add(calls),
            _ => self.counts.push((bucket, calls)),
        }
    }

    /// Returns the calls within the hour before an instant, rounded up to whole steps.
    pub fn last_hour(&self, at: Timestamp) -> u32 {
        let oldest = Self::bucket(at) - BUCKETS as i64;
        self.counts.iter().filter(|(of, _)| *of > oldest).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Forgets everything: a person said "go on".
    pub fn clear(&mut self) {
        self.counts.clear();
    }

    fn bucket(at: Timestamp) -> i64 {
        at.as_micros().div_euclid(i64::try_from(BUCKET.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Tokens and money, as sums or as a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// Money in millionths of a US dollar, as far as it is known.
    pub micro_usd: u64,
    /// Requests to a model.
    pub model_calls: u32,
}

impl Usage {
    /// Returns all tokens.
    pub const fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// Adds another amount.
    pub fn add(&mut self, more: &Self) {
        self.input = self.input.saturating_add(more.input);
        self.output = self.output.saturating_add(more.output);
        self.cache_read = self.cache_read.saturating_add(more.cache_read);
        self.cache_write = self.cache_write.saturating_add(more.cache_write);
        self.micro_usd = self.micro_usd.saturating_add(more.micro_usd);
        self.model_calls = self.model_calls.saturating_add(more.model_calls);
    }
}

/// The counters of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The class of the last error and how often it came in a row.
    pub error: Option<(String, u32)>,
    /// How often any error came in a row.
    #[serde(default)]
    pub errors: u32,
    /// Turns in a row without any action.
    pub idle_turns: u32,
    /// Whether the current turn showed an action.
    pub acted: bool,
    /// How often in a row its screen stood still without a report, while nothing waited to be said.
    #[serde(default)]
    pub quiet: u32,
    /// Model calls.
    pub calls: CallWindow,
    /// Everything used so far.
    pub used: Usage,
    /// Tokens that a person already allowed beyond the limit.
    pub forgiven_tokens: u64,
    /// Money that a person already allowed beyond the limit.
    #[serde(default)]
    pub forgiven_micro_usd: u64,
    /// Turns that were completed, without those that only handed back.
    #[serde(default)]
    pub turns: u32,
    /// What those turns used.
    #[serde(default)]
    pub turns_used: Amount,
    /// What its turn may use up, from the order of the turn to its end.
    #[serde(default)]
    pub reserved: Option<Reservation>,
    /// Whether it handed back what it has, because there is nothing left for more.
    #[serde(default)]
    pub hand_back: HandBack,
}

impl Counters {
    /// Notes an error of a class.
    pub fn fail(&mut self, class: &str) {
        self.errors = self.errors.saturating_add(1);
        self.error = match self.error.take() {
            Some((of, times)) if of == class => Some((of, times.saturating_add(1))),
            _ => Some((class.to_owned(), 1)),
        };
    }

    /// Notes the end of a turn that did not fail. Whoever only waits for others makes no progress and is in no loop.
    pub fn turn_done(&mut self, waits: bool) {
        self.error = None;
        self.errors = 0;
        self.idle_turns = match (self.acted, waits) {
            (true, _) => 0,
            (false, true) => self.idle_turns,
            (false, false) => self.idle_turns.saturating_add(1),
        };
        self.acted = false;
    }

    /// Starts counting anew: a person said "go on".
    pub fn forgive(&mut self) {
        self.error = None;
        self.errors = 0;
        self.idle_turns = 0;
        self.calls.clear();
        self.forgiven_tokens = self.used.tokens();
        self.forgiven_micro_usd = self.used.micro_usd;
        self.hand_back = HandBack::NotYet;
    }

    /// Returns what was used beyond what a person already allowed.
    pub fn spent(&self) -> Amount {
        Amount::of(&self.used).less(Amount { tokens: self.forgiven_tokens, micro_usd: self.forgiven_micro_usd })
    }

    /// Returns what is set aside for its turn and not used up yet.
    pub fn held(&self) -> Amount {
        self.reserved.map_or(Amount::ZERO, |it| it.outstanding(&self.used))
    }

    /// Judges the counters.
    pub fn verdict(&self, limits: &Limits, now: Timestamp) -> Option<Trip> {
        let reached = |count: u64, limit: u64| limit > 0 && count >= limit;
        if let Some((class, times)) = &self.error
            && reached(u64::from(*times), u64::from(limits.same_error))
        {
            return Some(Trip::SameError { class: class.clone(), times: *times });
        }
        if reached(u64::from(self.errors), u64::from(limits.any_error)) {
            return Some(Trip::Errors { times: self.errors });
        }
        if reached(u64::from(self.idle_turns), u64::from(limits.no_progress)) {
            return Some(Trip::NoProgress { turns: self.idle_turns });
        }
        let calls = self.calls.last_hour(now);
        if reached(u64::from(calls), u64::from(limits.session_calls_per_hour)) {
            return Some(Trip::Calls { calls });
        }
        let tokens = self.used.tokens();
        if reached(tokens.saturating_sub(self.forgiven_tokens), limits.session_tokens) {
            return Some(Trip::Tokens { tokens });
        }
        let micro_usd = self.used.micro_usd;
        if reached(micro_usd.saturating_sub(self.forgiven_micro_usd), limits.session_micro_usd) {
            return Some(Trip::Money { micro_usd });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(minutes * 60)
    }

    #[test]
    fn calls_are_counted_over_a_sliding_hour() {
        let mut window = CallWindow::default();
        window.add(100, at(0));
        window.add(20, at(59));
        assert_eq!(window.last_hour(at(60)), 120);
        assert_eq!(window.last_hour(at(66)), 20);
        assert_eq!(window.last_hour(at(200)), 0);
    }

    #[test]
    fn another_error_starts_the_count_anew() {
        let mut counters = Counters::default();
        for class in ["network", "network", "auth", "network", "network"] {
            counters.fail(class);
        }
        assert_eq!(counters.verdict(&Limits::default(), at(0)), None);
        counters.fail("network");
        assert!(matches!(counters.verdict(&Limits::default(), at(0)), Some(Trip::SameError { times: 3, .. })));
    }

    #[test]
    fn errors_that_take_turns_are_counted_together() {
        let mut counters = Counters::default();
        for class in ["network", "auth", "network", "auth", "network"] {
            counters.fail(class);
        }
        assert_eq!(counters.verdict(&Limits::default(), at(0)), None);
        counters.fail("auth");
        assert_eq!(counters.verdict(&Limits::default(), at(0)), Some(Trip::Errors { times: 6 }));
        counters.forgive();
        assert_eq!(counters.verdict(&Limits::default(), at(0)), None);
    }

    #[test]
    fn a_turn_with_an_action_is_progress() {
        let mut counters = Counters::default();
        for turn in 0..10 {
            counters.acted = turn == 4;
            counters.turn_done(false);
        }
        assert_eq!(counters.idle_turns, 5);
        assert!(matches!(counters.verdict(&Limits::default(), at(0)), Some(Trip::NoProgress { turns: 5 })));
    }

    #[test]
    fn a_turn_of_somebody_who_waits_for_others_is_not_counted() {
        let mut counters = Counters::default();
        for turn in 0..10 {
            counters.turn_done(turn % 2 == 0);
        }
        assert_eq!(counters.idle_turns, 5);
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let mut counters = Counters::default();
        counters.used.input = u64::MAX;
        counters.calls.add(u32::MAX, at(0));
        let off = Limits { session_calls_per_hour: 0, session_tokens: 0, ..Limits::default() };
        assert_eq!(counters.verdict(&off, at(0)), None);
    }
}
