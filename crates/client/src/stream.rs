//! Streams that survive a lost connection: each item once, in order.
//!
//! The number of the last item is the place to go on. Nothing is kept but that number.

use crate::client::with_query;
use crate::{Client, ClientError, Link};
use futures::StreamExt;
use futures::stream::BoxStream;
use orcha_base::Backoff;
use orcha_wire::{ACTIVITY, Activity, END, Event, LAST_EVENT_ID, ListEvents, TranscriptEntry, WorkflowEvent};
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(crate) const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(3) };
/// How long a daemon may stay away once it had answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// An item of a stream.
pub(crate) trait Item: Sized {
    /// Reads one; none if an event of this name is no item.
    fn read(name: Option<&str>, data: &str) -> Option<serde_json::Result<Self>>;

    /// Returns its place, which only grows; none for what the daemon does not keep.
    fn place(&self) -> Option<Place>;
}

/// Reads an item that is kept: its event has no name.
fn kept<T: DeserializeOwned>(name: Option<&str>, data: &str) -> Option<serde_json::Result<T>> {
    name.is_none().then(|| serde_json::from_str(data))
}

/// What is heard of the daemon: what happened, and what agents do.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A line of the journal.
    Happened(Event),
    /// What an agent does now; whoever was away has missed it.
    Doing(Activity),
}

/// A place in a stream: a number, and for what has the same number a second one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64, u64);

impl From<u64> for Place {
    fn from(number: u64) -> Self {
        Self(number, 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(number, 0) => write!(f, "{number}"),
            Self(number, second) => write!(f, "{number}.{second}"),
        }
    }
}

impl Item for Event {
    fn read(name: Option<&str>, data: &str) -> Option<serde_json::Result<Self>> {
        kept(name, data)
    }

    fn place(&self) -> Option<Place> {
        Some(self.id.into())
    }
}

impl Item for News {
    fn read(name: Option<&str>, data: &str) -> Option<serde_json::Result<Self>> {
        match name {
            None => Some(serde_json::from_str(data).map(Self::Happened)),
            Some(ACTIVITY) => Some(serde_json::from_str(data).map(Self::Doing)),
            Some(_) => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Happened(event) => event.place(),
            Self::Doing(_) => None,
        }
    }
}

impl Item for TranscriptEntry {
    fn read(name: Option<&str>, data: &str) -> Option<serde_json::Result<Self>> {
        kept(name, data)
    }

    fn place(&self) -> Option<Place> {
        Some(self.seq.into())
    }
}

impl Item for WorkflowEvent {
    fn read(name: Option<&str>, data: &str) -> Option<serde_json::Result<Self>> {
        kept(name, data)
    }

    fn place(&self) -> Option<Place> {
        let (number, second) = self.id.split_once('.').unwrap_or((&self.id, "0"));
        // What has no place that we know is shown, and nothing goes on from it.
        Some(Place(number.parse().ok()?, second.parse().ok()?))
    }
}

/// Where a stream begins.
pub(crate) enum Start {
    After(Place),
    /// After the newest event at the moment of the first connection.
    Now,
}

type Connection = BoxStream<'static, Result<sse_stream::Sse, sse_stream::Error>>;

pub(crate) struct Resuming<T> {
    client: Client,
    path: String,
    filter: Vec<(&'static str, String)>,
    /// The last item that was handed out; `None` while "now" has no number yet.
    last: Option<Place>,
    connection: Option<Connection>,
    /// Connections in a row that brought no item.
    fruitless: u32,
    met: bool,
    lost_at: Option<Instant>,
    items: PhantomData<fn() -> T>,
}

impl<T: Item + Send + 'static> Resuming<T> {
    pub(crate) fn new(client: Client, path: String, filter: Vec<(&'static str, String)>, start: Start) -> Self {
        let last = match start {
            Start::After(number) => Some(number),
            Start::Now => None,
        };
        let (connection, items) = (None, PhantomData);
        Self { client, path, filter, last, connection, fruitless: 0, met: false, lost_at: None, items }
    }

    /// The stream may be dropped and polled at any point; no item is lost between two calls of `next`.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<T, ClientError>> {
        futures::stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|item| (item, this))) })
            .boxed()
    }

    async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            let Some(connection) = &mut self.connection else {
                self.reconnect().await?;
                continue;
            };
            match connection.next().await {
                Some(Ok(sse)) if sse.event.as_deref() == Some(END) => return Ok(None),
                Some(Ok(sse)) => {
                    let Some(data) = sse.data else { continue };
                    let Some(read) = T::read(sse.event.as_deref(), &data) else { continue };
                    let item = read.map_err(|source| self.client.unreadable(source))?;
                    if let Some(place) = item.place() {
                        if self.last.is_some_and(|last| place <= last) {
                            continue;
                        }
                        self.last = Some(place);
                    }
                    self.fruitless = 0;
                    return Ok(Some(item));
                }
                None | Some(Err(sse_stream::Error::Body(_))) => {
                    self.connection = None;
                    self.fruitless = self.fruitless.saturating_add(1);
                    sleep(BACKOFF.delay(self.fruitless)).await;
                }
                Some(Err(source)) => return Err(ClientError::Stream { url: self.client.url().to_owned(), source }),
            }
        }
    }

    /// Connects, or waits a little. Fails when that makes no sense any more.
    async fn reconnect(&mut self) -> Result<(), ClientError> {
        match self.connect().await {
            Ok(connection) => {
                self.connection = Some(connection);
                self.met = true;
                self.lost_at = None;
                self.client.set_link(Link::Up);
                Ok(())
            }
            Err(error) => {
                let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
                if !self.met || !error.may_pass() || lost_at.elapsed() > PATIENCE {
                    return Err(error);
                }
                self.client.set_link(Link::Lost);
                self.fruitless = self.fruitless.saturating_add(1);
                sleep(BACKOFF.delay(self.fruitless)).await;
                Ok(())
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, ClientError> {
        let last = match self.last {
            Some(last) => last,
            // "Now" must have a number before anything can be missed.
            None => {
                let newest = self.client.events(&ListEvents { limit: Some(1), ..ListEvents::default() }).await?;
                newest.items.last().map_or(Place::default(), |event| event.id.into())
            }
        };
        self.last = Some(last);
        // The parameter is for the first connection, the header for all later ones; servers prefer the header.
        let mut request = with_query(self.client.open(&self.path), &self.filter);
        request = if self.met {
            request.header(LAST_EVENT_ID, last.to_string())
        } else {
            with_query(request, &[("after", last.to_string())])
        };
        let response = self.client.send(request).await?;
        Ok(sse_stream::SseStream::from_bytes_stream(response.bytes_stream()).boxed())
    }
}
