//! Tells everybody who listens what was stored: journal lines in order and without a gap, which transcripts grew,
//! and what each agent is doing now.
//!
//! One reader follows the journal and hands each line on, however many listen. A listener that is too slow is
//! told so and reads the gap from the store; it holds nothing back. Activities are not in the journal: a busy agent
//! would fill it. The newest of each session is told, once a second at the most.

use crate::execute::chain;
use crate::orch::Shared;
use orcha_base::{ObjectiveId, ScopeId, SessionId, TenantId, Timestamp};
use orcha_store::Owned;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tracing::warn;

/// How many lines a listener may be behind.
const BEHIND: usize = 4096;
/// How many lines are read at once.
const PAGE: u32 = 500;

/// How often it is told what a session is doing, at the most.
const ACTIVITY_EVERY: Duration = Duration::from_secs(1);

/// What a session's agent is doing now. It is in the session's row as well; only the news of it is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Whose session.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session.
    pub session: SessionId,
    /// What it is doing, in a line.
    pub activity: Option<String>,
    /// The tokens that it used so far.
    pub tokens: u64,
    /// Since when.
    pub at: Timestamp,
}

/// Where journal lines, grown transcripts and activities are announced.
#[derive(Debug)]
pub(crate) struct Feed {
    stored: Notify,
    journal: broadcast::Sender<Arc<Owned>>,
    transcripts: broadcast::Sender<(SessionId, i64)>,
    /// The newest activity of each session that was not told yet.
    news: Mutex<HashMap<SessionId, Activity>>,
    active: Notify,
    activities: broadcast::Sender<Arc<Activity>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            stored: Notify::new(),
            journal: broadcast::Sender::new(BEHIND),
            transcripts: broadcast::Sender::new(BEHIND),
            news: Mutex::default(),
            active: Notify::new(),
            activities: broadcast::Sender::new(BEHIND),
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

    /// Says what a session is doing; what was not told yet of the same session is forgotten.
    pub(crate) fn activity(&self, activity: Activity) {
        self.news.lock().insert(activity.session, activity);
        self.active.notify_one();
    }

    pub(crate) fn activities(&self) -> broadcast::Receiver<Arc<Activity>> {
        self.activities.subscribe()
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

/// Tells what sessions are doing until the daemon stops: at once, then once a second for as long as there is news.
pub(crate) async fn tell_activities(shared: Arc<Shared>) {
    let feed = &shared.feed;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = feed.active.notified() => {}
        }
        let news = std::mem::take(&mut *feed.news.lock());
        for activity in news.into_values() {
            drop(feed.activities.send(Arc::new(activity)));
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.clock.sleep(ACTIVITY_EVERY) => {}
        }
    }
}
