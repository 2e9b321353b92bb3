//! Why something does not move.

use orcha_base::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to "why?": the reason, since when, and what ends the waiting without anybody looking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The full id of what was asked about.
    pub id: String,
    /// What it is: `session`, `objective`, …
    pub noun: String,
    /// Where it stands.
    pub state: String,
    /// What it waits for, or does.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// What ends that.
    pub way_out: String,
}
