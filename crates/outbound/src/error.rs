//! What can go wrong on the way out, and whether to try again.

use orcha_base::Retry;
use std::net::IpAddr;
use std::time::Duration;

/// A request that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address is not one that this room goes to.
    #[error("`{url}` cannot be fetched: {rule}")]
    Url {
        /// The address, shortened.
        url: String,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// The host's address is not public, and nobody allowed it.
    #[error("`{host}` is {address}, which is {why}; only public addresses may be reached")]
    Refused {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
        /// What that is.
        why: &'static str,
    },
    /// A header is not one.
    #[error("the header `{name}` is not one that can be sent")]
    Header {
        /// Its name.
        name: String,
    },
    /// The name is not known.
    #[error("the address of `{host}` is not known")]
    Unknown {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There are more redirects than allowed.
    #[error("there were more than {most} redirects")]
    Redirects {
        /// The limit.
        most: u32,
    },
    /// It took too long.
    #[error("no answer within {} s", after.as_secs())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The connection failed or broke.
    #[error("the connection to `{host}` failed: {cause}")]
    Broken {
        /// The host.
        host: String,
        /// The innermost cause, for people.
        cause: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The client could not be made.
    #[error("the HTTP client cannot be made")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl OutboundError {
    /// Tells whether the same request may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Url { .. } | Self::Refused { .. } | Self::Header { .. } | Self::Redirects { .. } => Retry::Never,
            Self::Unknown { .. } | Self::TimedOut { .. } | Self::Broken { .. } => Retry::Later,
            Self::Client { .. } => Retry::AskHuman,
        }
    }
}

/// Returns the innermost cause of an error: the others repeat each other.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(cause) = at.source() {
        at = cause;
    }
    at.to_string()
}

/// Finds a refusal of ours in the causes of somebody else's error.
pub(crate) fn find_refusal(error: &(dyn std::error::Error + 'static)) -> Option<Blocked> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<Blocked>() {
            return Some(found.clone());
        }
        at = error.source();
    }
    None
}

/// How the lookup says no through layers that are not ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} is {address}: {why}")]
pub(crate) struct Blocked {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) why: &'static str,
}
