//! One connection's worth of knowledge: where the daemon is, and the token. How an answer is taken apart.

use crate::ClientError;
use crate::stream::BACKOFF;
use orcha_base::Redacted;
use orcha_wire::openapi::IDEMPOTENCY_KEY;
use orcha_wire::{Code, IdRef, Method, NEXT_CURSOR, Problem, Route, SCOPE_HEADER, TENANT_HEADER};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, ETAG, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const CONNECT: Duration = Duration::from_secs(5);
/// Long enough for a merge on a slow code host.
const ANSWER: Duration = Duration::from_secs(120);
/// How long a change is tried again once its connection broke.
const AGAIN: Duration = Duration::from_secs(10);
/// The daemon sends a heartbeat more often than this.
const SILENCE: Duration = Duration::from_secs(60);

/// A client of one daemon. Cloning it is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    /// The headers that pick among what the token opens.
    picks: HeaderMap,
    calls: reqwest::Client,
    streams: reqwest::Client,
    link: Arc<watch::Sender<Link>>,
}

/// Whether the streams of a client have their daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing is amiss.
    Up,
    /// The daemon went away; a stream is trying to find it again.
    Lost,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to hand in as `after` to get the next part; `None` if this was the last.
    pub next: Option<String>,
}

/// A file on its way here.
#[derive(Debug)]
pub struct Download {
    /// What it is called, without a folder.
    pub name: String,
    /// How many bytes it has.
    pub bytes: Option<u64>,
    /// Its SHA-256 as the daemon saw it when it was made.
    pub sha256: Option<String>,
    client: Client,
    response: Response,
}

impl Download {
    /// Returns the next piece; `None` when it is complete.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = self.response.chunk().await.map_err(|source| self.client.lost(source))?;
        Ok(piece.map(|it| it.to_vec()))
    }
}

impl Client {
    /// Makes a client for a daemon's address, `http://127.0.0.1:7420`, and its token. Connects to nothing yet.
    pub fn new(url: &str, token: Redacted<String>) -> Result<Self, ClientError> {
        let base = url.trim_end_matches('/').to_owned();
        let rule = "expected `http://`, a host and a port, as in http://127.0.0.1:7420";
        let parsed = reqwest::Url::parse(&base).ok().filter(|it| it.scheme() == "http" && it.has_host());
        if parsed.is_none_or(|it| it.query().is_some() || it.fragment().is_some()) {
            return Err(ClientError::Address { url: base, rule });
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        // The token goes to the daemon and nowhere else: no proxy from the environment, no redirect.
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("orcha/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                // Plain HTTP only: it must also work on a machine that has no certificates.
                .tls_certs_only([])
                .connect_timeout(CONNECT)
        };
        let setup = |source| ClientError::Setup { source };
        Ok(Self {
            base,
            picks: HeaderMap::new(),
            calls: builder().timeout(ANSWER).build().map_err(setup)?,
            streams: builder().read_timeout(SILENCE).build().map_err(setup)?,
            link: Arc::new(watch::Sender::new(Link::Up)),
        })
    }

    /// Picks a tenant and a scope among those that the token opens; none: the usual ones of the token.
    pub fn within(mut self, tenant: Option<&str>, scope: Option<&str>) -> Result<Self, ClientError> {
        for (name, value) in [(TENANT_HEADER, tenant), (SCOPE_HEADER, scope)] {
            let Some(text) = value else { continue };
            let value = HeaderValue::from_str(text).map_err(|_| ClientError::Header { name, text: text.to_owned() })?;
            self.picks.insert(HeaderName::from_static(name), value);
        }
        Ok(self)
    }

    /// Returns the daemon's address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Tells when a stream of this client, or of a clone, loses its daemon and when it finds it again.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.link.send_if_modified(|old| std::mem::replace(old, link) != link);
    }

    pub(crate) fn ask(&self, route: &Route) -> RequestBuilder {
        self.request(&self.calls, route.method, route.path)
    }

    pub(crate) fn ask_at(&self, route: &Route, id: &IdRef) -> RequestBuilder {
        self.request(&self.calls, route.method, &route.at(id))
    }

    /// Asks at a route whose id is a name, which may hold anything.
    pub(crate) fn ask_named(&self, route: &Route, name: &str) -> RequestBuilder {
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.~".contains(&it);
        let part = |it: u8| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") };
        let name: String = name.bytes().map(part).collect();
        self.request(&self.calls, route.method, &route.path.replace("{id}", &name))
    }

    pub(crate) fn open(&self, path: &str) -> RequestBuilder {
        self.request(&self.streams, Method::Get, path).header(ACCEPT, "text/event-stream")
    }

    /// Begins to read the file that a workflow was delivered as, however large it is.
    pub async fn delivery(&self, id: impl Into<IdRef>) -> Result<Download, ClientError> {
        let path = orcha_wire::routes::WORKFLOW_DELIVERY.at(&id.into());
        let response = self.send(self.request(&self.streams, Method::Get, &path)).await?;
        let said = |name: HeaderName| response.headers().get(name).and_then(|it| it.to_str().ok());
        let name = said(CONTENT_DISPOSITION).and_then(|it| it.split_once("filename=\"")?.1.strip_suffix('"'));
        // It is to become a name in somebody's folder.
        let plain = |it: &&str| !it.is_empty() && !it.starts_with('.') && !it.contains(['/', '\\', '\0']);
        let name = name.filter(plain).unwrap_or("delivery").to_owned();
        let sha256 = said(ETAG).map(|it| it.trim_matches('"').to_owned());
        Ok(Download { name, bytes: response.content_length(), sha256, client: self.clone(), response })
    }

    fn request(&self, client: &reqwest::Client, method: Method, path: &str) -> RequestBuilder {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        client.request(method, format!("{}{path}", self.base)).headers(self.picks.clone())
    }

    pub(crate) async fn take<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let (_, bytes) = self.whole(request).await?;
        serde_json::from_slice(&bytes).map_err(|source| self.unreadable(source))
    }

    pub(crate) async fn take_page<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Page<T>, ClientError> {
        let (headers, bytes) = self.whole(request).await?;
        let next = headers.get(NEXT_CURSOR).and_then(|it| it.to_str().ok()).map(str::to_owned);
        let items = serde_json::from_slice(&bytes).map_err(|source| self.unreadable(source))?;
        Ok(Page { items, next })
    }

    /// Returns the whole answer to a request. One that changes something carries a key under which the daemon does it
    /// once: when the connection breaks before the answer is complete, the same request is made again for a while.
    async fn whole(&self, request: RequestBuilder) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|source| self.lost(source))?;
        let changes = request.method() == reqwest::Method::POST;
        if changes && let Ok(key) = HeaderValue::try_from(Uuid::now_v7().to_string()) {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        let mut broke_at = None;
        let mut tries = 0;
        loop {
            let again = request.try_clone().filter(|_| changes);
            let asked = self.send(RequestBuilder::from_parts(client.clone(), request));
            let answered = async {
                let response = asked.await?;
                let headers = response.headers().clone();
                let bytes = response.bytes().await.map_err(|source| self.lost(source))?;
                Ok((headers, bytes.to_vec()))
            };
            match (answered.await, again) {
                (Err(ClientError::Broken { .. }), Some(again)) if broke_at.is_none() => {
                    broke_at = Some(Instant::now());
                    request = again;
                }
                (Err(fault), Some(again))
                    if broke_at.is_some_and(|it| it.elapsed() < AGAIN)
                        && (fault.may_pass() || is_under_way(&fault)) =>
                {
                    request = again;
                }
                (answer, _) => return answer,
            }
            tries += 1;
            sleep(BACKOFF.delay(tries)).await;
        }
    }

    /// Sends a request and turns every answer but success into an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|source| self.lost(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let foreign = || ClientError::Foreign { url: self.base.clone(), status: status.as_u16() };
        let bytes = response.bytes().await.map_err(|source| self.lost(source))?;
        let mut problem: Problem = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
        if problem.detail.is_empty() && problem.error.is_empty() {
            return Err(foreign());
        }
        // What an older daemon of the published API said stands in `error` alone.
        if problem.detail.is_empty() {
            problem.detail.clone_from(&problem.error);
        }
        problem.status = status.as_u16();
        let problem = Box::new(problem);
        Err(match status {
            StatusCode::UNAUTHORIZED => ClientError::Unauthorized(problem),
            it if it.is_server_error() => ClientError::Failed(problem),
            _ => ClientError::Refused(problem),
        })
    }

    pub(crate) fn unreadable(&self, source: serde_json::Error) -> ClientError {
        ClientError::Unreadable { url: self.base.clone(), source }
    }

    fn lost(&self, source: reqwest::Error) -> ClientError {
        let url = self.base.clone();
        if source.is_connect() {
            ClientError::Unreachable { url, source }
        } else if source.is_timeout() {
            ClientError::Timeout { url, source }
        } else {
            ClientError::Broken { url, source }
        }
    }
}

/// Tells whether the daemon is still at the same request, which came to it before.
fn is_under_way(fault: &ClientError) -> bool {
    let problem = fault.problem();
    problem.is_some_and(|it| it.known() == Some(Code::Conflict) && it.field.as_deref() == Some(IDEMPOTENCY_KEY))
}

/// A query as `reqwest` takes it.
pub(crate) fn with_query(request: RequestBuilder, query: &impl Serialize) -> RequestBuilder {
    request.query(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, ClientError> {
        Client::new(url, Redacted::new("secret".into()))
    }

    #[test]
    fn an_address_that_cannot_be_a_daemon_is_refused_with_an_example() {
        for bad in ["", "localhost:1", "https://x", "file:///x", "http://", "http://x/?a=b"] {
            let error = client(bad).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:7420"), "{bad:?}: {error}");
        }
        assert_eq!(client("http://127.0.0.1:1/").unwrap().url(), "http://127.0.0.1:1");
    }

    #[test]
    fn a_client_does_not_print_its_token() {
        assert!(!format!("{:?}", client("http://127.0.0.1:1").unwrap()).contains("secret"));
    }
}
