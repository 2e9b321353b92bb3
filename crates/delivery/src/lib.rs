//! Floor 2: what becomes of a result: an archive, a document, a call to somebody's server. Each once.
//!
//! A delivery is read and checked when it is wished for, not when the work is done. It is made under a key: a
//! second call with it returns the first result. What a result names was looked at after it was made. Secrets
//! are named by reference and read when they are needed; they are neither stored nor shown. Pull requests and
//! commits to a branch are described here and made by whoever has a code host.

mod archive;
mod deliverer;
mod deliveries;
mod document;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod secret;
mod webhook;
mod wish;

pub use deliverer::{Content, Delivered, Deliverer, Document, Link, LinkKind, Order};
pub use deliveries::{Deliveries, Settings};
pub use error::DeliveryError;
pub use secret::{Lookup, NamedSecrets, SecretRef};
pub use webhook::{DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
pub use wish::{ArtifactBundle, Delivery, DirectCommit, Draft, Invalid, MarkdownExport, PullRequest, Webhook};
