//! Server-sent events: the journal and transcripts as they grow, without a gap and without a repeat.
//!
//! A stream reads what is stored after the number that its reader saw last, and then listens. Whatever a listener
//! misses it reads from the store. A reader that takes nothing is cut off by the server (see `serve`); it holds
//! nothing back, and resumes where it was.

use crate::auth::{Asker, unauthorized};
use crate::grant::Holder;
use crate::input::{Id, Query};
use crate::problem::{ApiError, chain};
use crate::rest::workflows;
use crate::shared::Api;
use crate::told::{Known, Place, Teller};
use crate::translate;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use orcha_base::{ObjectiveId, ScopeId, SessionId, TenantId, TokenId};
use orcha_model::Effect;
use orcha_orch::Activity;
use orcha_store::{Event, EventFilter, Owned, ReadError, Span, Viewer};
use orcha_wire::{Code, END, LAST_EVENT_ID, StreamEvents, StreamMessages, StreamWorkflow};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How many rows are read at once.
const PAGE: u32 = 500;
/// How many rendered events are kept for other readers.
const KEPT: usize = 1024;
/// How long a stream of a workflow may be asked to last, in seconds.
const LONGEST: u64 = 86_400;
/// How long is waited when the store does not answer, and while the last words of a session are read.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers with the journal as it grows.
pub(crate) async fn events(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    Query(query): Query<StreamEvents>,
) -> Result<Response, ApiError> {
    let objective = match &query.objective_id {
        Some(id) => Some(api.objective(&asker, id).await?.id),
        None => None,
    };
    let seat = Seat::take(&api, &asker).await?;
    // Listening begins before the end is looked up: what comes in between is heard and dropped, not missed.
    let (heard, activities) = (api.orch.journal(), api.orch.activities());
    let end = api.orch.store().journal_end().await?;
    // A number beyond the end is from another database: there is nothing to be found below it.
    let after = last_seen(&headers, query.after)?.map_or(end, |it| it.min(end));
    let reader =
        Events { viewer: asker.viewer, objective, heard, activities, last_heard: None, sent: after, behind: true };
    Ok(respond(api, seat, Source::Events(reader)))
}

/// Answers with a session's transcript as it grows.
pub(crate) async fn messages(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    headers: HeaderMap,
    Query(query): Query<StreamMessages>,
) -> Result<Response, ApiError> {
    let session = api.session(&asker, &id).await?;
    let seat = Seat::take(&api, &asker).await?;
    let mut sent = last_seen(&headers, query.after)?.unwrap_or(0);
    if sent > 0 {
        // A number beyond the end is from another transcript: what comes next is new to its reader.
        let last = api.orch.store().transcript(&asker.viewer, session.id, Span::Latest, 1).await?;
        sent = sent.min(last.last().map_or(0, |it| it.seq));
    }
    let reader = Messages {
        viewer: asker.viewer,
        session: session.id,
        objective: session.objective,
        grown: api.orch.transcripts(),
        journal: api.orch.journal(),
        sent,
    };
    Ok(respond(api, seat, Source::Messages(reader)))
}

/// Answers with the events of a workflow as they come.
pub(crate) async fn workflow(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    headers: HeaderMap,
    Query(query): Query<StreamWorkflow>,
) -> Result<Response, ApiError> {
    let (_, workflow) = workflows::load(&api, &asker, &id).await?;
    let seat = Seat::take(&api, &asker).await?;
    let header =
        headers.get(LAST_EVENT_ID).map(|it| it.to_str().unwrap_or_default().trim()).filter(|it| !it.is_empty());
    let after = header.or(query.after.as_deref()).map(workflows::place).transpose()?.unwrap_or_default();
    let timeout = match query.timeout {
        None => None,
        Some(secs) if (1..=LONGEST).contains(&secs) => Some(Instant::now() + Duration::from_secs(secs)),
        Some(_) => return Err(ApiError::invalid("timeout", &format!("must be between 1 and {LONGEST} seconds"))),
    };
    let reader = Told {
        journal: api.orch.journal(),
        teller: workflows::teller(&api, &asker.viewer, &workflow, after).await?,
        known: Known::default(),
        viewer: asker.viewer,
        objective: workflow.objective,
        // The line of the place itself is read again: it may be several events.
        read: after.seq - 1,
        after,
        timeout,
        closed: false,
    };
    Ok(respond(api, seat, Source::Told(Box::new(reader))))
}

/// Returns the number that the reader saw last; the header wins.
fn last_seen(headers: &HeaderMap, asked: Option<u64>) -> Result<Option<i64>, ApiError> {
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    match headers.get(LAST_EVENT_ID).map(|it| it.to_str().unwrap_or_default().trim()) {
        None | Some("") => Ok(asked.map(number)),
        Some(text) => match text.parse() {
            Ok(it) => Ok(Some(number(it))),
            Err(_) => Err(ApiError::invalid(LAST_EVENT_ID, "must be the `id` of an event of this stream")),
        },
    }
}

/// One of the places for readers, for as long as their credential is good.
struct Seat {
    holder: Holder,
    revoked: broadcast::Receiver<TokenId>,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    async fn take(api: &Api, asker: &Asker) -> Result<Self, ApiError> {
        let full = |_| ApiError::new(Code::Unavailable, "too many streams are open; close one and try again");
        let place = Arc::clone(&api.streams).try_acquire_owned().map_err(full)?;
        let revoked = api.revoked.subscribe();
        // It may have been revoked between the look at it and the listening.
        if let Holder::Token(id) = asker.holder
            && api.orch.store().token(id).await?.is_none()
        {
            return Err(unauthorized());
        }
        Ok(Self { holder: asker.holder, revoked, _place: place })
    }

    /// Waits until the reader's credential is worth nothing any more.
    async fn lost(&mut self) {
        let Holder::Token(own) = self.holder else { return std::future::pending().await };
        loop {
            match self.revoked.recv().await {
                Ok(id) if id != own => {}
                // Whoever missed one is let go: it comes back with its credential.
                Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
            }
        }
    }
}

fn respond(api: Api, seat: Seat, source: Source) -> Response {
    let mut pulse = tokio::time::interval_at(Instant::now() + api.settings.heartbeat, api.settings.heartbeat);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = api.orch.stopping();
    // The first words let proxies and clients know that the stream is open.
    let queue = VecDeque::from([Bytes::from_static(b"retry: 1000\n: open\n\n")]);
    let stream = Stream { api, source, queue, pulse, stopping, over: false, seat };
    let body = futures::stream::unfold(stream, |mut stream| async {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// One reader's stream.
struct Stream {
    api: Api,
    source: Source,
    /// What was read and not yet taken: at most one page.
    queue: VecDeque<Bytes>,
    pulse: Interval,
    stopping: CancellationToken,
    over: bool,
    seat: Seat,
}

enum Source {
    Events(Events),
    Messages(Messages),
    Told(Box<Told>),
}

/// What a source says when it is asked to go on.
enum Step {
    /// Something was read.
    Read(VecDeque<Bytes>),
    /// Nothing was there; wait and ask again.
    Nothing,
    /// It is complete.
    Complete,
    /// The daemon is on its way down.
    Gone,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.queue.pop_front() {
                return Some(frame);
            }
            if self.over {
                return None;
            }
            let step = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                () = self.seat.lost() => return None,
                step = self.source.step(&self.api) => step,
                _ = self.pulse.tick() => return Some(Bytes::from_static(b": alive\n\n")),
            };
            match step {
                Ok(Step::Read(frames)) => {
                    self.queue = frames;
                    self.pulse.reset();
                }
                Ok(Step::Nothing) => {}
                Ok(Step::Complete) => {
                    self.over = true;
                    return Some(Bytes::from(format!("event: {END}\ndata: {{}}\n\n")));
                }
                Ok(Step::Gone) | Err(ReadError::Closed) => return None,
                Err(fault) => {
                    warn!(error = %chain(&fault), "a stream could not be read; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

impl Source {
    /// Goes on. It may be dropped at any await and asked again: nothing is taken before it is handed out.
    async fn step(&mut self, api: &Api) -> Result<Step, ReadError> {
        match self {
            Self::Events(reader) => reader.step(api).await,
            Self::Messages(reader) => reader.step(api).await,
            Self::Told(reader) => reader.step(api).await,
        }
    }
}

struct Events {
    viewer: Viewer,
    objective: Option<ObjectiveId>,
    heard: broadcast::Receiver<Arc<Owned>>,
    activities: broadcast::Receiver<Arc<Activity>>,
    /// The last number that was heard: numbers have no gap, so the next one is known.
    last_heard: Option<i64>,
    /// The last number that was sent, or passed over.
    sent: i64,
    /// Whether something has to be read from the store.
    behind: bool,
}

impl Events {
    async fn step(&mut self, api: &Api) -> Result<Step, ReadError> {
        if self.behind {
            let filter = self.objective.map_or(EventFilter::All, EventFilter::Objective);
            let page = api.orch.store().events(&self.viewer, filter, Span::After(self.sent), PAGE).await?;
            let Some(last) = page.last() else {
                self.behind = false;
                return Ok(Step::Nothing);
            };
            self.sent = last.seq;
            return Ok(Step::Read(page.iter().map(|it| api.rendered.event(it)).collect()));
        }
        tokio::select! {
            heard = self.heard.recv() => match heard {
                Ok(line) => Ok(self.take(api, &line)),
                Err(RecvError::Lagged(_)) => {
                    self.behind = true;
                    self.last_heard = None;
                    Ok(Step::Nothing)
                }
                Err(RecvError::Closed) => Ok(Step::Gone),
            },
            news = self.activities.recv() => match news {
                Ok(news) if self.wants(&news.tenant, &news.scope, Some(news.objective)) => {
                    let head = format_args!("event: {}\n", orcha_wire::ACTIVITY);
                    Ok(Step::Read(VecDeque::from([frame(head, &translate::activity(&news))])))
                }
                // What was missed is old.
                Ok(_) | Err(RecvError::Lagged(_)) => Ok(Step::Nothing),
                Err(RecvError::Closed) => Ok(Step::Gone),
            },
        }
    }

    fn take(&mut self, api: &Api, line: &Owned) -> Step {
        let seq = line.event.seq;
        let gap = self.last_heard.is_some_and(|last| seq > last + 1);
        self.last_heard = Some(seq);
        if seq <= self.sent {
            return Step::Nothing;
        }
        if gap {
            self.behind = true;
            return Step::Nothing;
        }
        self.sent = seq;
        let wanted = self.wants(&line.tenant, &line.scope, line.event.objective);
        if wanted { Step::Read(VecDeque::from([api.rendered.event(&line.event)])) } else { Step::Nothing }
    }

    fn wants(&self, tenant: &TenantId, scope: &ScopeId, objective: Option<ObjectiveId>) -> bool {
        *tenant == self.viewer.tenant
            && self.viewer.scope.as_ref().is_none_or(|it| it == scope)
            && self.objective.is_none_or(|it| objective == Some(it))
    }
}

struct Messages {
    viewer: Viewer,
    session: SessionId,
    objective: ObjectiveId,
    grown: broadcast::Receiver<(SessionId, i64)>,
    journal: broadcast::Receiver<Arc<Owned>>,
    sent: i64,
}

impl Messages {
    async fn step(&mut self, api: &Api) -> Result<Step, ReadError> {
        let (ended, reading) = self.ended(api).await?;
        let page = api.orch.store().transcript(&self.viewer, self.session, Span::After(self.sent), PAGE).await?;
        if let Some(last) = page.last() {
            self.sent = last.seq;
            return Ok(Step::Read(
                page.into_iter().map(|it| numbered(it.seq, &translate::entry(self.session, it))).collect(),
            ));
        }
        if ended && !reading {
            return Ok(Step::Complete);
        }
        self.wait(ended).await;
        Ok(Step::Nothing)
    }

    /// Tells whether the session has ended, and whether its process still has last words to be read.
    async fn ended(&self, api: &Api) -> Result<(bool, bool), ReadError> {
        let session = api.orch.store().session(&self.viewer, self.session).await?;
        if !session.is_none_or(|it| it.is_over()) {
            return Ok((false, true));
        }
        let orders = api.orch.store().orders_of(self.objective).await?;
        let stops = |it: &Effect| matches!(it, Effect::Stop(stop) if stop.session == self.session);
        Ok((true, orders.iter().any(|it| stops(&it.effect))))
    }

    /// Waits until something may have been added, or the session may have ended.
    async fn wait(&mut self, ended: bool) {
        let session = self.session;
        let grown = async {
            loop {
                match self.grown.recv().await {
                    Ok((of, _)) if of != session => {}
                    Ok(_) | Err(_) => return,
                }
            }
        };
        let moved = async {
            loop {
                match self.journal.recv().await {
                    Ok(line) if line.event.session != Some(session) => {}
                    Ok(_) | Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = grown => {}
            () = moved => {}
            // That a process was ended is no line in the journal.
            () = tokio::time::sleep(AGAIN), if ended => {}
        }
    }
}

/// The events of one workflow behind a place in its journal.
struct Told {
    viewer: Viewer,
    journal: broadcast::Receiver<Arc<Owned>>,
    teller: Teller,
    /// What lines are told by; looked up anew when a line speaks of what it changed.
    known: Known,
    objective: ObjectiveId,
    /// The last line that was read.
    read: i64,
    /// The last event that was sent.
    after: Place,
    timeout: Option<Instant>,
    closed: bool,
}

impl Told {
    async fn step(&mut self, api: &Api) -> Result<Step, ReadError> {
        if self.closed {
            return Ok(Step::Complete);
        }
        let filter = EventFilter::Objective(self.objective);
        let page = api.orch.store().events(&self.viewer, filter, Span::After(self.read), PAGE).await?;
        if let Some(last) = page.last() {
            if !page.iter().all(|line| self.known.covers(line)) {
                // What the lines speak of is there by now.
                let Some(world) = api.orch.store().load_world(self.objective).await? else { return Ok(Step::Gone) };
                self.known = Known::of(&world);
            }
            let mut frames = VecDeque::new();
            for (place, event) in page.iter().flat_map(|line| self.teller.tell(line, &self.known)) {
                if place > self.after {
                    self.after = place;
                    frames.push_back(numbered(place, &event));
                }
            }
            self.read = last.seq;
            return Ok(if frames.is_empty() { Step::Nothing } else { Step::Read(frames) });
        }
        let reason = if self.teller.is_over() {
            Some("workflow_terminal")
        } else if self.timeout.is_some_and(|it| it <= Instant::now()) {
            Some("timeout")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.closed = true;
            let last = self.teller.closed(self.after, reason, api.orch.now());
            // It is no place to go on from.
            return Ok(Step::Read(VecDeque::from([frame("", &last)])));
        }
        self.wait().await;
        Ok(Step::Nothing)
    }

    /// Waits until something may have happened.
    async fn wait(&mut self) {
        let moved = async {
            loop {
                match self.journal.recv().await {
                    Ok(line) if line.event.objective != Some(self.objective) => {}
                    Ok(_) | Err(_) => return,
                }
            }
        };
        match self.timeout {
            Some(at) => {
                tokio::select! {
                    () = moved => {}
                    () = tokio::time::sleep_until(at) => {}
                }
            }
            None => moved.await,
        }
    }
}

/// Events that were rendered lately, so that a thousand readers cost one rendering.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    kept: Mutex<VecDeque<(i64, Bytes)>>,
}

impl Rendered {
    fn event(&self, event: &Event) -> Bytes {
        let seq = event.seq;
        {
            let kept = self.kept.lock();
            if let Ok(at) = kept.binary_search_by_key(&seq, |(it, _)| *it)
                && let Some((_, frame)) = kept.get(at)
            {
                return frame.clone();
            }
        }
        let frame = numbered(seq, &translate::event(event));
        let mut kept = self.kept.lock();
        // Only the newest are kept, in order; whoever reads old ones renders them alone.
        if kept.back().is_none_or(|(last, _)| *last < seq) {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back((seq, frame.clone()));
        }
        frame
    }
}

/// Writes an event that is a place to go on from.
fn numbered(place: impl fmt::Display, document: &impl Serialize) -> Bytes {
    frame(format_args!("id: {place}\n"), document)
}

/// Writes one event behind its number or its name. JSON has no line breaks of its own.
fn frame(head: impl fmt::Display, document: &impl Serialize) -> Bytes {
    match serde_json::to_string(document) {
        Ok(json) => Bytes::from(format!("{head}data: {json}\n\n")),
        Err(fault) => {
            // Nothing that is sent here can fail; if it does, the reader still learns the number.
            warn!(error = %fault, "an event could not be written");
            Bytes::from(format!("{head}: it could not be written\n\n"))
        }
    }
}
