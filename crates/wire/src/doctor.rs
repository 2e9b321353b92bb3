//! What is there and what is missing, and what to do about it.

use crate::names::names;
use orcha_base::TargetId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

names! {
    /// How a thing stands: as it should be; lacking, and work goes on without it; or in the way of all work.
    CheckGrade, "grade":
    Fine = "fine",
    Gap = "gap",
    Stops = "stops",
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorCheck {
    /// What: `git`, `agent claude`.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it stands.
    pub grade: CheckGrade,
    /// What was found.
    pub detail: String,
    /// What to do about it, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What a target offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetDoctor {
    /// The target.
    pub target_id: TargetId,
    /// Its name.
    pub target: String,
    /// Whether nothing stops work.
    pub ok: bool,
    /// The names of what stops work.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Everything that was looked at.
    #[serde(default)]
    pub checks: Vec<DoctorCheck>,
}

/// How the daemon and all its targets are equipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doctor {
    /// Whether nothing stops work.
    pub ok: bool,
    /// The daemon's version.
    pub version: String,
    /// What the daemon itself needs.
    #[serde(default)]
    pub checks: Vec<DoctorCheck>,
    /// Its targets, by name.
    #[serde(default)]
    pub targets: Vec<TargetDoctor>,
}
