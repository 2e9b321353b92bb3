//! When to try again, and whether.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Exponential delays: `first`, doubled each time, never above `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub cap: Duration,
}

impl Backoff {
    /// Returns the delay after `failures` failures in a row; none after zero.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            n => self.first.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.cap),
        }
    }

    /// Spreads a delay between half of it and the whole; `roll` is a random number that the caller drew.
    pub fn jittered(&self, failures: u32, roll: u32) -> Duration {
        let whole = self.delay(failures);
        let half = whole / 2;
        half + half.mul_f64(f64::from(roll) / f64::from(u32::MAX))
    }
}

/// What a fault says of a second try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The cause passes by itself: try again after a delay.
    Later,
    /// A person has to change something first.
    AskHuman,
    /// The same call will fail for ever.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_stop_at_the_cap() {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(300) };
        let seconds: Vec<u64> = (0..12).map(|n| backoff.delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.delay(u32::MAX), backoff.cap);
    }

    #[test]
    fn jitter_stays_between_half_and_whole() {
        let backoff = Backoff { first: Duration::from_secs(8), cap: Duration::from_secs(8) };
        assert_eq!(backoff.jittered(1, 0), Duration::from_secs(4));
        assert_eq!(backoff.jittered(1, u32::MAX), Duration::from_secs(8));
    }
}
