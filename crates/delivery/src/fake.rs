//! Deliveries in memory, for the tests of other rooms.

use crate::deliverer::{Delivered, Deliverer, Link, LinkKind, Order, plausible};
use crate::{Delivery, DeliveryError, Invalid};
use async_trait::async_trait;
use orcha_base::TenantId;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Deliveries that are only pretended. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct FakeDeliverer {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    done: BTreeMap<(String, String), Delivered>,
    orders: Vec<Order>,
    faults: VecDeque<DeliveryError>,
    refusals: VecDeque<Invalid>,
}

impl FakeDeliverer {
    /// Makes a place where nothing was delivered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next delivery fail.
    pub fn fail_next(&self, error: DeliveryError) {
        self.state().faults.push_back(error);
    }

    /// Lets the next check refuse.
    pub fn refuse_next(&self, invalid: Invalid) {
        self.state().refusals.push_back(invalid);
    }

    /// Returns every delivery that was really made, in order.
    pub fn orders(&self) -> Vec<Order> {
        self.state().orders.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Deliverer for FakeDeliverer {
    async fn check(&self, _: &TenantId, _: &Delivery) -> Result<(), Invalid> {
        self.state().refusals.pop_front().map_or(Ok(()), Err)
    }

    async fn deliver(&self, order: &Order) -> Result<Delivered, DeliveryError> {
        plausible(order)?;
        let mut state = self.state();
        let key = (order.workflow.clone(), order.key.clone());
        if let Some(done) = state.done.get(&key) {
            return Ok(Delivered { already: true, ..done.clone() });
        }
        if let Some(fault) = state.faults.pop_front() {
            return Err(fault);
        }
        let file = |name: &str| Link {
            kind: LinkKind::File,
            target: format!("/fake/deliveries/{}/{}/{name}", order.workflow, order.key),
            bytes: Some(1),
            sha256: Some("0".repeat(64)),
        };
        let links = match &order.action {
            Delivery::ArtifactBundle(_) => vec![file("result.zip")],
            Delivery::MarkdownExport(_) | Delivery::BlogDraft(_) | Delivery::DocDraft(_) => vec![file("result.md")],
            Delivery::Webhook(it) => {
                let target = it.url.split('/').take(3).collect::<Vec<_>>().join("/");
                vec![Link { kind: LinkKind::Webhook, target, bytes: None, sha256: None }]
            }
            Delivery::ApiResponse(_) | Delivery::PullRequest(_) | Delivery::DirectCommit(_) => Vec::new(),
        };
        let action = order.action.action().to_owned();
        let done = Delivered { action, links, summary: "done".to_owned(), already: false };
        state.orders.push(order.clone());
        state.done.insert(key, done.clone());
        Ok(done)
    }

    async fn open(&self, _: &str, _: &Link) -> Result<Option<File>, DeliveryError> {
        // What is only pretended cannot be read.
        Ok(None)
    }
}
