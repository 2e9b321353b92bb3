//! How much is measured: everything, a quick look, or so little that only the way itself is tried.

use clap::ValueEnum;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// For figures that are published.
    Full,
    /// For a look in between, in less than a minute.
    Quick,
    /// For the test of the benchmarks themselves.
    Tiny,
}

/// The numbers behind a scale.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rounds, each with its floor.
    pub rounds: usize,
    /// How long the daemon's side of a round takes.
    pub round: Duration,
    /// How long the floor's side of a round takes.
    pub floor_round: Duration,
    /// How many objectives are posted, one after another.
    pub posts: usize,
    /// How long pipelines with real processes run in each round.
    pub process_round: Duration,
    /// How many of them are under way at once.
    pub process_callers: usize,
    /// How many readers of the event stream.
    pub readers: usize,
    /// How long events come at a steady pace.
    pub paced: Duration,
    /// How many events come at full speed.
    pub burst: usize,
    /// How many sessions the lists have.
    pub sessions: usize,
    /// How many transcript rows each of them has.
    pub rows_per_session: usize,
    /// How many pages are asked for, each kind, in each round.
    pub pages: usize,
    /// How often the daemon is started.
    pub starts: usize,
    /// How many workflows have ended in the folder that has many.
    pub workflows: usize,
    /// How many sessions run when the daemon is killed; at least two.
    pub running: usize,
    /// How often that is done.
    pub footprint_rounds: usize,
    /// Whether it is enough to say that an aim was met.
    pub judged: bool,
    /// Whether aims that need all the rows and readers can be judged.
    pub judged_size: bool,
}

impl Scale {
    /// Returns the name as it stands in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
            Self::Tiny => "tiny",
        }
    }

    /// Returns the numbers.
    pub fn size(self) -> Size {
        match self {
            Self::Full => Size {
                rounds: 5,
                round: Duration::from_secs(3),
                floor_round: Duration::from_millis(1500),
                posts: 40,
                process_round: Duration::from_secs(4),
                process_callers: 16,
                readers: 1000,
                paced: Duration::from_secs(8),
                burst: 2000,
                sessions: 10_000,
                rows_per_session: 100,
                pages: 300,
                starts: 20,
                workflows: 10_000,
                running: 64,
                footprint_rounds: 3,
                judged: true,
                judged_size: true,
            },
            Self::Quick => Size {
                rounds: 3,
                round: Duration::from_millis(600),
                floor_round: Duration::from_millis(300),
                posts: 6,
                process_round: Duration::from_millis(1200),
                process_callers: 16,
                readers: 1000,
                paced: Duration::from_secs(1),
                burst: 200,
                sessions: 1000,
                rows_per_session: 100,
                pages: 60,
                starts: 5,
                workflows: 500,
                running: 16,
                footprint_rounds: 1,
                judged: true,
                judged_size: false,
            },
            Self::Tiny => Size {
                rounds: 1,
                round: Duration::from_millis(100),
                floor_round: Duration::from_millis(50),
                posts: 1,
                process_round: Duration::from_millis(100),
                process_callers: 2,
                readers: 10,
                paced: Duration::from_millis(200),
                burst: 20,
                sessions: 40,
                rows_per_session: 5,
                pages: 5,
                starts: 1,
                workflows: 20,
                running: 2,
                footprint_rounds: 1,
                judged: false,
                judged_size: false,
            },
        }
    }
}
