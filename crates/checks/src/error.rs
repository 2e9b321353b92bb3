//! What keeps checks from being planned or run. A check that fails is no error; it has a receipt.

use crate::PlanError;
use orcha_base::Retry;
use orcha_exec::{CommandError, RunError};

/// Checks that could not be planned, run or ended.
#[derive(Debug, thiserror::Error)]
pub enum ChecksError {
    /// The key is not one.
    #[error("`{key}` is not the key of a round: 1 to 60 letters, digits, `-` and `_`")]
    Key {
        /// The key.
        key: String,
    },
    /// The folder is not named from the root of the machine.
    #[error("`{}` is not an absolute path", .dir.display())]
    Dir {
        /// The folder.
        dir: std::path::PathBuf,
    },
    /// The project's own list is not one.
    #[error("`.orcha/checks.toml`")]
    Config(#[from] PlanError),
    /// The folder could not be looked at.
    #[error("looking at the folder")]
    Look {
        /// Why.
        #[source]
        source: CommandError,
    },
    /// The folder could not be looked at: a tool complained.
    #[error("looking at the folder: {complaint}")]
    Complaint {
        /// What it said, for people.
        complaint: String,
    },
    /// A run could not be started, read or ended.
    #[error("running a check")]
    Run(#[from] RunError),
}

impl ChecksError {
    /// Tells whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Key { .. } | Self::Dir { .. } | Self::Config(_) => Retry::Never,
            Self::Look { source } => source.retry(),
            Self::Complaint { .. } => Retry::Later,
            Self::Run(source) => source.retry(),
        }
    }
}
