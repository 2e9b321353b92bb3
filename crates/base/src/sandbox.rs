//! By what a process is kept away from what is not its own: the levels, by name.
//!
//! Words only. Who is confined and how far is decided by the mind; hands do it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// By what a process is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// By nothing: it may do what the daemon's user may.
    None,
    /// By the kernel's Landlock: files, and signals to strangers.
    Landlock,
    /// By `bwrap`: namespaces of its own for files and processes.
    Bubblewrap,
}

impl SandboxLevel {
    /// Returns the name as it stands in JSON and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Landlock => "landlock",
            Self::Bubblewrap => "bubblewrap",
        }
    }
}

impl fmt::Display for SandboxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a process is really confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Confinement {
    /// By what.
    pub level: SandboxLevel,
    /// Whether it cannot change its working folder either.
    pub read_only: bool,
    /// How far that goes, or why it is not confined, for people.
    pub detail: String,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.read_only { ", its folder is read-only" } else { "" };
        write!(f, "{}{folder} ({})", self.level, self.detail)
    }
}
