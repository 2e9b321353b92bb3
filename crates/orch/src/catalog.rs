//! Knows which models the providers have: they are asked at the start, and again once in a while.
//!
//! What a provider said last is kept while it does not answer. Which model plays what is decided in the mind.

use crate::orch::Shared;
use async_trait::async_trait;
use futures::future::join_all;
use orcha_base::Backoff;
use orcha_model::casting::{Catalog, OfferedModel};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// How old what is known may become.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// How soon all are asked again while somebody does not answer.
const AGAIN: Backoff = Backoff { first: Duration::from_secs(60), cap: EVERY };

/// Whoever knows which models there are: a provider is asked, no model is called.
#[async_trait]
pub trait Models: std::fmt::Debug + Send + Sync {
    /// Returns the kinds of agents whose provider can be asked.
    fn kinds(&self) -> Vec<String>;

    /// Asks a provider for its models. It answers within a bounded time.
    async fn models(&self, kind: &str) -> Result<Vec<OfferedModel>, NoModels>;
}

/// A provider did not say which models it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoModels {
    /// There is nobody of that kind to be asked.
    #[error("there is no provider `{0}` that says which models it has")]
    Unknown(String),
    /// It said no, or nothing.
    #[error("{0}")]
    Refused(String),
}

/// What the providers said last.
#[derive(Debug, Default)]
pub(crate) struct Known(RwLock<Arc<Catalog>>);

impl Known {
    pub(crate) fn all(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.read())
    }

    fn learn(&self, kind: &str, models: Vec<OfferedModel>) {
        let mut known = self.0.write();
        Arc::make_mut(&mut known).insert(kind.to_owned(), models);
    }
}

/// Asks every provider until the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Some(models) = shared.hands.models() else { return };
    let mut silent: BTreeSet<String> = BTreeSet::new();
    let mut failures = 0;
    loop {
        let all = models.kinds();
        let asked = join_all(all.iter().map(|kind| ask(&shared, &*models, kind)));
        let answers = tokio::select! {
            () = shared.stop.cancelled() => return,
            answers = asked => answers,
        };
        for (kind, answer) in all.iter().zip(answers) {
            match answer {
                Ok(_) => drop(silent.remove(kind)),
                // Said once for as long as it lasts.
                Err(fault) if silent.insert(kind.clone()) => {
                    warn!(provider = %kind, error = %fault, "the provider does not say which models it has");
                }
                Err(fault) => debug!(provider = %kind, error = %fault, "the provider is silent still"),
            }
        }
        failures = if silent.is_empty() { 0 } else { failures + 1 };
        let pause = if failures == 0 { EVERY } else { AGAIN.delay(failures) };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.clock.sleep(pause) => {}
        }
    }
}

/// Asks a provider, and keeps what it says.
pub(crate) async fn ask(shared: &Shared, models: &dyn Models, kind: &str) -> Result<Vec<OfferedModel>, NoModels> {
    let said = models.models(kind).await?;
    shared.catalog.learn(kind, said.clone());
    Ok(said)
}
