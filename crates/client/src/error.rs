//! What can go wrong between a client and the daemon, each with the next step.

use orcha_wire::Problem;

/// A call that brought no answer, or a no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one.
    #[error("`{url}` is not the address of a daemon: {rule}")]
    Address {
        /// What was given.
        url: String,
        /// What would be right.
        rule: &'static str,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that cannot be sent; it should be the single line that the daemon wrote")]
    Token,
    /// The name of a tenant or of a scope cannot be sent.
    #[error("`{text}` cannot be sent as `{name}`: it holds characters that no name has")]
    Header {
        /// The header.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up")]
    Setup {
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// Nobody listens there.
    #[error("no daemon answers at {url}; is it running? Start it with `orchad serve`")]
    Unreachable {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("the daemon at {url} did not answer in time; `orcha health` tells how it fares")]
    Timeout {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to the daemon at {url} broke; whether the request was done is not known")]
    Broken {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The token is wrong.
    #[error("the daemon does not accept this token; the right one stands in the file `token` of its data folder")]
    Unauthorized(Box<Problem>),
    /// The daemon says no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The daemon could not do it.
    #[error("the daemon failed: {}", .0.detail)]
    Failed(Box<Problem>),
    /// An answer that is not one of the daemon's.
    #[error("{url} answered with status {status} and no explanation; is it the address of orchad?")]
    Foreign {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer that this client cannot read.
    #[error("the answer of {url} could not be read; client and daemon may be of different releases")]
    Unreadable {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A stream that does not keep to its form.
    #[error("the event stream of {url} is broken")]
    Stream {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: sse_stream::Error,
    },
}

impl ClientError {
    /// Tells whether nobody answered: the daemon may be down, or on its way up.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Broken { .. })
    }

    /// Tells whether the cause may pass by itself: nobody answered, or the daemon asks to come back later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed(problem) => matches!(problem.status, 502..=504),
            Self::Foreign { status, .. } => matches!(status, 502..=504),
            _ => self.is_unreachable(),
        }
    }

    /// Returns the daemon's explanation, if it gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Unauthorized(problem) | Self::Refused(problem) | Self::Failed(problem) => Some(problem),
            _ => None,
        }
    }
}
