//! Tells everybody who listens what was stored: journal lines in order and without a gap, and which transcripts
//! grew.
//!
//! One reader follows the journal and hands each line on, however many listen. A listener that is too slow is
//! told so and reads the gap from the store; it holds nothing back.

use crate::execute::chain;
use crate::orch::Shared;
use orcha_base::SessionId;
use orcha_store::Owned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tracing::warn;

/// How many lines a listener may be behind.
const BEHIND: usize = 4096;
/// How many lines are read at once.
const PAGE: u32 = 500;

/// Where journal lines and grown transcripts are announced.
#[derive(Debug)]
pub(crate) struct Feed {
    stored: Notify,
    journal: broadcast::Sender<Arc<Owned>>,
    transcripts: broadcast::Sender<(SessionId, i64)>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            stored: Notify::new(),
            journal: broadcast::Sender::new(BEHIND),
            transcripts: broadcast::Sender::new(BEHIND),
        }
    }
}

impl Feed {
    /// Says that the journal grew.
    pub(crate) fn stored(&self) {
        self.stored.notify_one();
    }

    /// Says that a transcript grew to this number.
    pub(crate) fn transcript(&self, session: SessionId, seq: i64) {
        // Without listeners there is nobody to tell.
        drop(self.transcripts.send((session, seq)));
    }

    pub(crate) fn journal(&self) -> broadcast::Receiver<Arc<Owned>> {
        self.journal.subscribe()
    }

    pub(crate) fn transcripts(&self) -> broadcast::Receiver<(SessionId, i64)> {
        self.transcripts.subscribe()
    }
}

/// Follows the journal until the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>, mut after: i64) {
    loop {
        match shared.store.journal_after(after, PAGE).await {
            Ok(lines) if lines.is_empty() => {
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = shared.feed.stored.notified() => {}
                }
            }
            Ok(lines) => {
                for line in lines {
                    after = line.event.seq;
                    drop(shared.feed.journal.send(Arc::new(line)));
                }
            }
            Err(fault) => {
                warn!(error = %chain(&fault), "the journal could not be followed; trying again");
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = shared.clock.sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
}
