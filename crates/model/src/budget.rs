//! Budgets: what may be used up, what is used up, and what is set aside for turns that were ordered.
//!
//! Pure arithmetic and one verdict. Whose turn it is, and what happens at a cap, is `orcha-plan`'s; the caps themselves
//! are limits like all others (see `guard`).

use crate::guard::{Trip, Usage};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Tokens and money. As a cap, zero of either means that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amount {
    /// Tokens of all kinds.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub micro_usd: u64,
}

/// What is set aside for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// How much.
    pub amount: Amount,
    /// What the session had used when the turn was ordered.
    pub from: Amount,
}

/// Whether a session handed back what it has, because there is nothing left for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandBack {
    /// There was no cause.
    #[default]
    NotYet,
    /// It is asked to, in one last turn.
    Wanted,
    /// That turn is over.
    Done,
}

/// Whose budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// One session's.
    Session,
    /// One objective's.
    Objective,
    /// A project's, over all its objectives.
    Project,
    /// A tenant's, over everything.
    Tenant,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens.
    Tokens,
    /// Millionths of a US dollar.
    Money,
}

/// One budget at the moment when a turn is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Whose.
    pub scope: Scope,
    /// The cap.
    pub cap: Amount,
    /// What is used up.
    pub spent: Amount,
    /// What is set aside for turns that are under way.
    pub held: Amount,
    /// What must be left for those under way to hand back what they have.
    pub kept: Amount,
}

/// Whether a turn fits under a cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It does; so much is set aside for it.
    Fits(Amount),
    /// Not before a turn that is under way used less than was set aside for it.
    Later(Trip),
    /// It does not, whatever those under way use.
    Never(Trip),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { tokens: 0, micro_usd: 0 };

    /// Returns what was used.
    pub const fn of(usage: &Usage) -> Self {
        Self { tokens: usage.tokens(), micro_usd: usage.micro_usd }
    }

    /// Returns both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(more.tokens),
            micro_usd: self.micro_usd.saturating_add(more.micro_usd),
        }
    }

    /// Returns what is left without some of it.
    #[must_use]
    pub const fn less(self, some: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(some.tokens),
            micro_usd: self.micro_usd.saturating_sub(some.micro_usd),
        }
    }

    /// Returns it so many times.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self { tokens: self.tokens.saturating_mul(n), micro_usd: self.micro_usd.saturating_mul(n) }
    }

    /// Returns a part of it.
    #[must_use]
    pub fn over(self, n: u64) -> Self {
        let n = n.max(1);
        Self { tokens: self.tokens.div_ceil(n), micro_usd: self.micro_usd.div_ceil(n) }
    }

    /// Returns the smaller of both, in each unit.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self { tokens: self.tokens.min(other.tokens), micro_usd: self.micro_usd.min(other.micro_usd) }
    }

    /// Tells whether it names a cap at all.
    pub const fn caps(self) -> bool {
        self.tokens > 0 || self.micro_usd > 0
    }

    /// Returns the first unit in which it exceeds a cap.
    fn beyond(self, cap: Self) -> Option<Unit> {
        if cap.tokens > 0 && self.tokens > cap.tokens {
            Some(Unit::Tokens)
        } else if cap.micro_usd > 0 && self.micro_usd > cap.micro_usd {
            Some(Unit::Money)
        } else {
            None
        }
    }

    const fn in_(self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::Money => self.micro_usd,
        }
    }
}

impl Reservation {
    /// Returns what of it is not used up yet.
    pub const fn outstanding(&self, used: &Usage) -> Amount {
        self.amount.less(Amount::of(used).less(self.from))
    }
}

impl Unit {
    /// Writes an amount for people.
    pub fn amount(self, n: u64) -> impl fmt::Display {
        struct Shown(Unit, u64);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Unit::Tokens => write!(f, "{} tokens", self.1),
                    Unit::Money => write!(f, "{}.{:02} USD", self.1 / 1_000_000, self.1 % 1_000_000 / 10_000),
                }
            }
        }
        Shown(self, n)
    }
}

impl Purse {
    /// Judges a turn that is expected to take so much.
    ///
    /// When nothing is used up nor under way, one turn begins whatever it may take: what it takes is not known before,
    /// and a person who said "go on" shall not be asked again at once.
    pub fn room(&self, next: Amount) -> Room {
        let Some(unit) = self.spent.plus(self.held).plus(self.kept).plus(next).beyond(self.cap) else {
            return Room::Fits(next);
        };
        let trip = Trip::Budget {
            scope: self.scope,
            unit,
            spent: self.spent.in_(unit),
            next: next.in_(unit),
            cap: self.cap.in_(unit),
        };
        if self.spent.in_(unit) == 0 && self.held == Amount::ZERO {
            return Room::Fits(Amount {
                tokens: if self.cap.tokens > 0 { next.tokens.min(self.cap.tokens) } else { next.tokens },
                micro_usd: if self.cap.micro_usd > 0 { next.micro_usd.min(self.cap.micro_usd) } else { next.micro_usd },
            });
        }
        if self.held.in_(unit) > 0 && self.spent.plus(next).beyond(self.cap).is_none() {
            Room::Later(trip)
        } else {
            Room::Never(trip)
        }
    }

    /// Tells whether so much can still be set aside for handing back.
    pub fn lets_hand_back(&self, amount: Amount) -> bool {
        self.spent.plus(self.held).plus(amount).beyond(self.cap).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(n: u64) -> Amount {
        Amount { tokens: 0, micro_usd: n * 10_000 }
    }

    fn purse(cap: u64, spent: u64, held: u64, kept: u64) -> Purse {
        let scope = Scope::Objective;
        Purse { scope, cap: cents(cap), spent: cents(spent), held: cents(held), kept: cents(kept) }
    }

    #[test]
    fn turns_fit_until_what_is_spent_held_and_kept_reaches_the_cap() {
        assert_eq!(purse(100, 0, 60, 9).room(cents(30)), Room::Fits(cents(30)));
        assert!(matches!(purse(100, 0, 90, 9).room(cents(30)), Room::Later(_)));
        assert!(matches!(purse(100, 30, 60, 9).room(cents(30)), Room::Later(_)));
        assert!(matches!(purse(100, 90, 0, 9).room(cents(30)), Room::Never(_)));
        // Whatever the others use: it never fits.
        assert!(matches!(purse(100, 80, 10, 3).room(cents(30)), Room::Never(_)));
    }

    #[test]
    fn one_turn_always_begins_and_no_cap_is_no_cap() {
        assert_eq!(purse(20, 0, 0, 0).room(cents(30)), Room::Fits(cents(20)));
        assert_eq!(purse(0, 900, 900, 9).room(cents(30)), Room::Fits(cents(30)));
    }

    #[test]
    fn a_trip_says_what_is_spent_and_what_is_missing() {
        let Room::Never(trip) = purse(100, 90, 0, 9).room(cents(30)) else { panic!("it fits") };
        assert_eq!(
            trip.to_string(),
            "0.90 USD of the objective's 1.00 USD are spent, and another turn takes about 0.30 USD"
        );
    }

    #[test]
    fn what_a_turn_used_is_no_longer_set_aside_for_it() {
        let reservation = Reservation { amount: cents(30), from: cents(50) };
        let used = |micro_usd| Usage { micro_usd, ..Usage::default() };
        assert_eq!(reservation.outstanding(&used(600_000)), cents(20));
        assert_eq!(reservation.outstanding(&used(900_000)), Amount::ZERO);
    }
}
