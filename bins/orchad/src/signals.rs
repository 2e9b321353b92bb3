//! Signals that ask the program to stop.

use anyhow::{Context, Result};
use std::pin::pin;
use tokio::signal::unix::{SignalKind, signal};

/// Ctrl-C and a polite request: the daemon outlives a closed terminal.
pub(crate) const ASKED: [SignalKind; 2] = [SignalKind::terminate(), SignalKind::interrupt()];
/// These, and a closed terminal.
pub(crate) const ALL: [SignalKind; 3] = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];

/// Listens for signals from now on, and waits for the first of them.
pub(crate) fn first_of(kinds: &[SignalKind]) -> Result<impl Future<Output = SignalKind> + use<>> {
    let listened = kinds
        .iter()
        .map(|kind| Ok((*kind, signal(*kind)?)))
        .collect::<std::io::Result<Vec<_>>>()
        .context("signals cannot be listened for")?;
    Ok(async move {
        let waits = listened.into_iter().map(|(kind, mut signal)| {
            Box::pin(async move {
                signal.recv().await;
                kind
            })
        });
        pin!(futures::future::select_all(waits)).await.0
    })
}

/// Returns what a shell expects of a program that a signal ended.
pub(crate) fn exit_code(kind: SignalKind) -> u8 {
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX)
}
