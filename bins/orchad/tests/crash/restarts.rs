//! How long it took from the start of a daemon's process to its first answer.

use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// All restarts so far.
#[derive(Default)]
pub struct Restarts {
    took: Vec<Duration>,
}

impl Restarts {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        let at = self.took.partition_point(|it| *it < took);
        self.took.insert(at, took);
    }

    /// Returns the value below which so many of a hundred lie, in milliseconds.
    pub fn percentile(&self, of_hundred: usize) -> f64 {
        let at = (self.took.len() * of_hundred).div_ceil(100).saturating_sub(1);
        self.took.get(at).map_or(0.0, |it| (it.as_secs_f64() * 10_000.0).round() / 10.0)
    }

    /// Returns what the summary says of them.
    pub fn report(&self) -> Value {
        json!({
            "restarts": self.took.len(), "p50": self.percentile(50), "p90": self.percentile(90), "max": self.percentile(100),
        })
    }
}

impl fmt::Display for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, max] = [50, 90, 100].map(|it| self.percentile(it));
        write!(f, "p50 {p50} ms, p90 {p90} ms, max {max} ms")
    }
}
