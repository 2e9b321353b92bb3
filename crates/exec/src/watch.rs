//! Wakes those who wait for a run directory to change: one inotify instance for all runs of a host.
//!
//! The kernel allows only some 128 instances per user, and any number of watches in each. A wake says
//! "look again", never what happened.

use crate::ready;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The shared watcher of one host. Its task ends with it.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    notices: AsyncFd<OwnedFd>,
    slots: Mutex<HashMap<i32, Slot>>,
    names: &'static [&'static str],
}

#[derive(Debug)]
struct Slot {
    bell: watch::Sender<()>,
    users: usize,
}

impl Watcher {
    /// Starts watching for writes to, and arrivals of, files with the given names.
    pub(crate) fn new(names: &'static [&'static str]) -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let notices = ready::register(notices, Interest::READABLE)?;
        let shared = Arc::new(Shared { notices, slots: Mutex::default(), names });
        let task = tokio::spawn(Arc::clone(&shared).serve()).abort_handle();
        Ok(Self { shared, task })
    }

    /// Watches one directory from now on.
    pub(crate) fn subscribe(&self, dir: &Path) -> io::Result<Subscription> {
        let mut slots = self.shared.slots();
        let flags = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let at = inotify::add_watch(&self.shared.notices, dir, flags)?;
        let slot = slots.entry(at).or_insert_with(|| Slot { bell: watch::Sender::new(()), users: 0 });
        slot.users += 1;
        Ok(Subscription { shared: Arc::clone(&self.shared), at, bell: slot.bell.subscribe() })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One waiter's hold on a watched directory.
#[derive(Debug)]
pub(crate) struct Subscription {
    shared: Arc<Shared>,
    at: i32,
    bell: watch::Receiver<()>,
}

impl Subscription {
    /// Waits for a change since the subscription or the last call. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.bell.changed().await.is_err() {
            // Cannot be while the slot counts this very subscription; and a dead bell never rings.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut slots = self.shared.slots();
        let Some(slot) = slots.get_mut(&self.at) else { return };
        slot.users -= 1;
        if slot.users > 0 {
            return;
        }
        slots.remove(&self.at);
        match inotify::remove_watch(&self.shared.notices, self.at) {
            // EINVAL: the directory is gone and took its watch along.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => tracing::warn!(%error, "a watch could not be removed: {error}"),
        }
    }
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, HashMap<i32, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let mut ready = match self.notices.readable().await {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "watching run directories failed: {error}");
                    return;
                }
            };
            match self.hear() {
                Ok(()) => ready.clear_ready(),
                Err(error) => {
                    tracing::error!(%error, "reading notices of run directories failed: {error}");
                    return;
                }
            }
        }
    }

    /// Takes every notice that is there and wakes whom it concerns.
    fn hear(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut notices = inotify::Reader::new(&self.notices, &mut buffer);
        loop {
            let notice = match notices.next() {
                Ok(notice) => notice,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let slots = self.slots();
            if notice.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                slots.values().for_each(|slot| slot.bell.send_replace(()));
                continue;
            }
            let of_interest = match notice.file_name() {
                Some(name) => self.names.iter().any(|it| it.as_bytes() == name.to_bytes()),
                None => true,
            };
            if let (true, Some(slot)) = (of_interest, slots.get(&notice.wd())) {
                slot.bell.send_replace(());
            }
        }
    }
}
