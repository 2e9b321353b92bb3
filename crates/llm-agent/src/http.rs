//! The way to a provider: one client, requests with limits in time and size, streams cut into messages.
//!
//! What a message means is in `backend`. No error's text is looked at here.

use crate::fault::Fault;
use futures::{Stream, StreamExt, TryStreamExt};
use orcha_base::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response};
use serde_json::Value;
use sse_stream::SseStream;
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

/// The most that is read of one stream.
const STREAM: usize = 64 << 20;

/// The longest line of a stream of lines.
const LINE: usize = 16 << 20;

/// The most that is read of an answer that is no stream.
const BODY: usize = 4 << 20;

/// The messages of a stream, each with what stands for it.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<String, Fault>> + Send>>;

/// Makes a client for the address of a provider.
pub(crate) fn client(base_url: &str, connect: Duration) -> Result<Client, reqwest::Error> {
    let builder = || {
        Client::builder()
            .connect_timeout(connect)
            // A key must not follow a redirect to somewhere else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("orcha/", env!("CARGO_PKG_VERSION")))
    };
    let is_here = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|it| base_url.starts_with(it));
    let builder = || if is_here { builder().no_proxy() } else { builder() };
    match builder().build() {
        // A machine without certificates can still talk to a server in the clear.
        Err(_) if base_url.starts_with("http://") => builder().tls_certs_only([]).build(),
        other => other,
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Sends a request and waits for the head of a good answer.
pub(crate) async fn send(request: reqwest::RequestBuilder, within: Duration) -> Result<Response, Fault> {
    let response = match tokio::time::timeout(within, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => return Err(Fault::network(crate::chain(&fault.without_url()))),
        Err(_) => return Err(Fault::network("no answer came in time")),
    };
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // What cannot be read of it changes nothing: the status and the headers are known.
    let body = tokio::time::timeout(within, body(response)).await.ok().and_then(Result::ok).unwrap_or_default();
    Err(Fault::of_answer(status, &headers, &body, now()))
}

/// Reads a whole answer as JSON.
pub(crate) async fn json(response: Response, within: Duration) -> Result<Value, Fault> {
    let read = tokio::time::timeout(within, body(response)).await;
    let bytes = read.map_err(|_| Fault::network("the answer did not end in time"))??;
    serde_json::from_slice(&bytes).map_err(|fault| Fault::network(format!("the answer is no JSON: {fault}")))
}

async fn body(response: Response) -> Result<Vec<u8>, Fault> {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|fault| Fault::network(crate::chain(&fault.without_url())))?);
        if bytes.len() > BODY {
            return Err(Fault::network("the answer is too long"));
        }
    }
    Ok(bytes)
}

/// Cuts a stream of server-sent events into their data.
pub(crate) fn events(response: Response) -> Messages {
    let events = SseStream::from_bytes_stream(bounded(response));
    Box::pin(events.filter_map(|event| async {
        match event {
            Ok(event) => event.data.map(Ok),
            Err(fault) => Some(Err(Fault::network(crate::chain(&fault)))),
        }
    }))
}

/// Cuts a stream into its lines.
pub(crate) fn lines(response: Response) -> Messages {
    let reader = StreamReader::new(Box::pin(bounded(response)));
    let lines = FramedRead::new(reader, LinesCodec::new_with_max_length(LINE));
    Box::pin(lines.map_err(|fault| Fault::network(crate::chain(&fault))))
}

/// Waits for the next message, at most so long.
pub(crate) async fn next(messages: &mut Messages, within: Duration) -> Result<Option<String>, Fault> {
    match tokio::time::timeout(within, messages.next()).await {
        Ok(message) => message.transpose(),
        Err(_) => Err(Fault::network("the stream was silent for too long")),
    }
}

fn bounded(response: Response) -> impl Stream<Item = std::io::Result<Piece>> + Send {
    let mut left = STREAM;
    response.bytes_stream().map(move |piece| {
        let piece = piece.map_err(|fault| std::io::Error::other(fault.without_url()))?;
        left = left.checked_sub(piece.len()).ok_or_else(|| std::io::Error::other("the stream is too long"))?;
        Ok(std::io::Cursor::new(piece.to_vec()))
    })
}

type Piece = std::io::Cursor<Vec<u8>>;

/// Makes headers of pairs. An error names the one that cannot stand in a request.
pub(crate) fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let broken = || Fault::new(crate::fault::Class::Invalid, format!("the header `{name}` cannot be sent"));
        let mut value = reqwest::header::HeaderValue::from_str(value).map_err(|_| broken())?;
        value.set_sensitive(true);
        headers.insert(reqwest::header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| broken())?, value);
    }
    Ok(headers)
}
