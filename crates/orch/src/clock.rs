//! Where the present instant comes from. Tests bring their own.

use orcha_base::Timestamp;
use std::fmt;
use std::time::Duration;

/// Tells the present instant and waits for a later one.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;

    /// Waits for a while.
    async fn sleep(&self, for_: Duration);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }

    async fn sleep(&self, for_: Duration) {
        tokio::time::sleep(for_).await;
    }
}
