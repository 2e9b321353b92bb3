//! What every handler has at hand, and the settings that it was made from.

use crate::auth::Keys;
use crate::once::UnderWay;
use crate::stream::Rendered;
use async_trait::async_trait;
use orcha_base::{Redacted, Timestamp, TokenId};
use orcha_orch::{Orch, TargetHands};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};

/// How the API serves.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The daemon's token.
    pub token: Redacted<String>,
    /// The names under which it may be asked for, as they stand in `Host`: `127.0.0.1:7420`. The first one stands in
    /// links when the asker used none of them.
    pub hosts: Vec<String>,
    /// The longest body that is taken, in bytes. 1 MiB by default.
    pub max_body: usize,
    /// How many streams may be open at once. 4096 by default.
    pub max_streams: usize,
    /// How often a stream without news says that it is alive. 15 s by default.
    pub heartbeat: Duration,
    /// The daemon's version.
    pub version: String,
    /// The revision that it was built from.
    pub build: String,
    /// Connects further targets; without it none can be registered.
    pub connect: Option<Arc<dyn Connect>>,
}

impl ApiSettings {
    /// Takes the token and the hosts; everything else is as usual.
    pub fn new(token: Redacted<String>, hosts: Vec<String>) -> Self {
        Self {
            token,
            hosts,
            max_body: 1024 * 1024,
            max_streams: 4096,
            heartbeat: Duration::from_secs(15),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: option_env!("ORCHA_BUILD").unwrap_or("unstamped").to_owned(),
            connect: None,
        }
    }
}

/// Makes the hands of a target that a person registers on this machine.
#[async_trait]
pub trait Connect: Send + Sync + fmt::Debug {
    /// Returns the folder for a target's work and the hands that work there. Without a folder the daemon chooses
    /// one. The error says for people what would be right.
    async fn local(&self, name: &str, work_root: Option<&str>) -> Result<(String, TargetHands), String>;
}

/// What every handler has at hand. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub orch: Orch,
    pub settings: ApiSettings,
    pub keys: Keys,
    pub rendered: Rendered,
    pub streams: Arc<Semaphore>,
    /// Tokens that are worth nothing from now on.
    pub revoked: broadcast::Sender<TokenId>,
    pub under_way: UnderWay,
    pub started: Timestamp,
}

impl Api {
    pub fn new(orch: Orch, settings: ApiSettings) -> Self {
        Self(Arc::new(Shared {
            keys: Keys::new(&settings.token),
            rendered: Rendered::default(),
            streams: Arc::new(Semaphore::new(settings.max_streams)),
            revoked: broadcast::Sender::new(16),
            under_way: UnderWay::default(),
            started: orch.now(),
            orch,
            settings,
        }))
    }
}

impl Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
