//! Descriptors whose readiness the runtime awaits.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Hands a descriptor to the runtime's poller.
#[expect(
    deprecated,
    reason = "its successor is an unsafe fn that asks for a descriptor which stays open and the same: an OwnedFd is"
)]
pub(crate) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
