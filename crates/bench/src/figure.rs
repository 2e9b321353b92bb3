//! Figures: what was measured, how much it varied, what the floor did in the same rounds, and what was aimed at.
//!
//! Only arithmetic. Nothing is measured here, and no figure ends a run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The name and number of this document's shape.
pub const SCHEMA: &str = "orcha-bench/1";

/// Everything that one run found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// `full`, `quick` or `tiny`.
    pub scale: String,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// How long it took.
    pub seconds: f64,
    /// Where.
    pub machine: Machine,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What could not be measured.
    pub skipped: Vec<Skipped>,
}

/// Where it was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that we may use.
    pub cpus: usize,
    /// The kernel.
    pub kernel: String,
    /// Whether the programs are optimised; figures of a debug build mean nothing.
    pub optimised: bool,
}

/// A group of figures that could not be measured, and why.
#[derive(Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// The group.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// One figure: the median of its rounds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, the same in every run.
    pub name: String,
    /// What it says, for people.
    pub title: String,
    /// `1/s`, `ms` or `MB`.
    pub unit: String,
    /// The median of the rounds.
    pub value: f64,
    /// The lowest round.
    pub min: f64,
    /// The highest round.
    pub max: f64,
    /// How many rounds.
    pub rounds: usize,
    /// What the least that a program could do by hand came to.
    pub floor: Option<Floor>,
    /// The median over the rounds of the figure divided by the floor of the same round.
    pub ratio: Option<f64>,
    /// What is aimed at.
    pub aim: Option<Aim>,
    /// Whether the aim was met; nothing where there is none, or where the scale is too small to tell.
    pub met: Option<bool>,
    /// More that was seen on the way.
    pub details: BTreeMap<String, f64>,
}

/// The floor of a figure.
#[derive(Debug, Serialize, Deserialize)]
pub struct Floor {
    /// What was done.
    pub what: String,
    /// The median of the rounds.
    pub value: f64,
    /// The lowest round.
    pub min: f64,
    /// The highest round.
    pub max: f64,
}

/// What a figure is aimed at.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Aim {
    /// The ratio to the floor.
    RatioAtLeast {
        /// So much.
        number: f64,
    },
    /// The figure itself.
    ValueAtLeast {
        /// So much.
        number: f64,
    },
    /// The figure itself.
    ValueAtMost {
        /// So much.
        number: f64,
    },
}

impl Figure {
    /// Makes a figure from its rounds.
    pub fn new(name: &str, title: &str, unit: &str, rounds: &[f64]) -> Self {
        let (value, min, max) = spread(rounds);
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            value,
            min,
            max,
            rounds: rounds.len(),
            floor: None,
            ratio: None,
            aim: None,
            met: None,
            details: BTreeMap::new(),
        }
    }

    /// Adds the floor of the same rounds.
    #[must_use]
    pub fn over(mut self, what: &str, floor: &[f64], rounds: &[f64]) -> Self {
        let (value, min, max) = spread(floor);
        let ratios: Vec<f64> = if floor.len() == rounds.len() {
            rounds.iter().zip(floor).filter(|(_, floor)| **floor > 0.0).map(|(it, floor)| it / floor).collect()
        } else {
            vec![self.value / value]
        };
        self.ratio = Some(spread(&ratios).0);
        self.floor = Some(Floor { what: what.to_owned(), value, min, max });
        self
    }

    /// Adds what is aimed at; it is judged where the scale is large enough to.
    #[must_use]
    pub fn aim(mut self, aim: Aim, judged: bool) -> Self {
        self.aim = Some(aim);
        self.met = judged.then(|| match aim {
            Aim::RatioAtLeast { number } => self.ratio.is_some_and(|it| it >= number),
            Aim::ValueAtLeast { number } => self.value >= number,
            Aim::ValueAtMost { number } => self.value <= number,
        });
        self
    }

    /// Adds something that was seen on the way; rounds become their median.
    #[must_use]
    pub fn detail(mut self, name: &str, rounds: &[f64]) -> Self {
        if !rounds.is_empty() {
            self.details.insert(name.to_owned(), spread(rounds).0);
        }
        self
    }
}

/// Returns median, lowest and highest.
pub fn spread(all: &[f64]) -> (f64, f64, f64) {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    match (all.first(), all.last()) {
        (Some(first), Some(last)) => {
            let middle = all.len() / 2;
            let median = if all.len() % 2 == 1 { all[middle] } else { f64::midpoint(all[middle - 1], all[middle]) };
            (median, *first, *last)
        }
        _ => (f64::NAN, f64::NAN, f64::NAN),
    }
}

/// Times of single operations.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    /// Adds one in milliseconds.
    pub fn add_ms(&mut self, ms: f64) {
        self.0.push(ms);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value below which this part of them lies, in milliseconds: 0.5 is the median.
    pub fn at(&self, part: f64) -> f64 {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        if all.is_empty() {
            return f64::NAN;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((all.len() - 1) as f64 * part).round() as usize;
        all[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        // A noisy second round slows both down; the ratio stays.
        let (ours, floor) = ([40.0, 4.0, 44.0], [100.0, 10.0, 110.0]);
        let figure = Figure::new("a", "a", "1/s", &ours).over("by hand", &floor, &ours);
        assert_eq!((figure.value, figure.min, figure.max), (40.0, 4.0, 44.0));
        assert!((figure.ratio.unwrap() - 0.4).abs() < 1e-9);
        assert_eq!(figure.aim(Aim::RatioAtLeast { number: 0.5 }, true).met, Some(false));
    }

    #[test]
    fn what_was_measured_too_small_is_not_judged() {
        let figure = Figure::new("a", "a", "MB", &[50.0]).aim(Aim::ValueAtMost { number: 120.0 }, false);
        assert_eq!(figure.met, None);
    }

    #[test]
    fn percentiles_are_places_in_the_order() {
        let mut times = Times::default();
        (1..=100).rev().for_each(|ms| times.add(Duration::from_millis(ms)));
        assert_eq!((times.at(0.0), times.at(0.5), times.at(1.0)), (1.0, 51.0, 100.0));
        assert!(Times::default().at(0.5).is_nan());
    }
}
