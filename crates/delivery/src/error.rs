//! What can go wrong with a delivery, and whether to try again. Nothing was delivered by it.

use crate::Invalid;
use orcha_base::Retry;
use orcha_outbound::OutboundError;
use std::io;

/// A delivery that was not made.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The key or the workflow is not one.
    #[error("`{text}` is not a key: 1 to 80 letters, digits, `-` and `_`")]
    Key {
        /// The text.
        text: String,
    },
    /// Its settings do not hold any more.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It takes a code host, which this room has not.
    #[error("`{action}` is made with a code host")]
    Elsewhere {
        /// The action.
        action: &'static str,
    },
    /// There is nothing to deliver.
    #[error("there is nothing to deliver: {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// There is too much to deliver.
    #[error("{what} is larger than {most} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// A file has a name that no archive should hold.
    #[error("`{path}` is no path for an archive")]
    Path {
        /// The path.
        path: String,
    },
    /// Files could not be read or written.
    #[error("{step}")]
    Files {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The archive could not be made.
    #[error("the archive could not be made")]
    Archive {
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// The other side was not reached.
    #[error("the webhook was not reached after {attempts} attempts")]
    Unreached {
        /// How often it was tried.
        attempts: u32,
        /// Why the last time.
        #[source]
        source: OutboundError,
    },
    /// The other side said no.
    #[error("the webhook answered {status} after {attempts} attempts")]
    Refused {
        /// The status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
    },
}

impl DeliveryError {
    /// Tells whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Key { .. } | Self::Elsewhere { .. } | Self::Path { .. } => Retry::Never,
            Self::Empty { .. } | Self::TooLarge { .. } => Retry::Never,
            Self::Invalid(_) | Self::Archive { .. } => Retry::AskHuman,
            Self::Files { .. } => Retry::Later,
            Self::Unreached { source, .. } => source.retry(),
            Self::Refused { status, .. } if passes(*status) => Retry::Later,
            Self::Refused { .. } => Retry::AskHuman,
        }
    }
}

/// Tells whether what an answer complains of may pass by itself.
pub(crate) fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}
