//! How many requests a session may make within a minute.
//!
//! Kept in memory: a restart forgives. What really limits an agent is the loop guards, which are durable.

use orcha_base::{SessionId, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts the requests of each session.
#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    windows: Mutex<HashMap<SessionId, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    count: u32,
}

impl RateLimit {
    /// Lets each session make so many requests within a minute.
    pub(super) fn per_minute(most: u32) -> Self {
        Self { most, windows: Mutex::default() }
    }

    /// Counts a request, or says how long its session has to wait.
    pub(super) fn count(&self, session: SessionId, now: Timestamp) -> Result<(), Duration> {
        let mut windows = self.windows.lock();
        // Only sessions of the last minute are kept, so that the table is never longer than what is going on.
        windows.retain(|it, window| *it == session || now.since(window.since) < WINDOW);
        let window = windows.entry(session).or_insert(Window { since: now, count: 0 });
        let passed = now.since(window.since);
        if passed >= WINDOW {
            *window = Window { since: now, count: 0 };
        }
        if window.count >= self.most {
            return Err(WINDOW.saturating_sub(passed));
        }
        window.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn a_session_that_asks_too_much_waits_and_others_do_not() {
        let limit = RateLimit::per_minute(2);
        let (one, other) = (SessionId::fixed(1), SessionId::fixed(2));
        assert_eq!(limit.count(one, at(0)), Ok(()));
        assert_eq!(limit.count(one, at(10)), Ok(()));
        assert_eq!(limit.count(one, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(limit.count(other, at(20)), Ok(()));
        assert_eq!(limit.count(one, at(60)), Ok(()));
    }

    #[test]
    fn sessions_that_fell_silent_are_forgotten() {
        let limit = RateLimit::per_minute(2);
        for n in 0..100 {
            assert_eq!(limit.count(SessionId::fixed(n), at(0)), Ok(()));
        }
        assert_eq!(limit.count(SessionId::fixed(100), at(61)), Ok(()));
        assert_eq!(limit.windows.lock().len(), 1);
    }
}
