//! Floor 1: HTTP to addresses that somebody else named.
//!
//! A model, a page or a user says where to go; this room makes sure that it is the public internet. Each
//! address is looked up once, checked, and connected to as checked: at first, and again on each redirect. An
//! answer is bounded in size and time. There is no proxy, no cookie and no credential here, and what is said
//! is not understood: callers read bytes.

mod address;
mod client;
mod error;

pub use address::{Allowed, InvalidAllowed};
pub use client::{Answer, Limits, Outbound, Request};
pub use error::OutboundError;
