//! One request after the other, each hop checked by itself.

use crate::OutboundError;
use crate::address::{Allowed, refusal};
use crate::error::{Blocked, find_refusal, innermost};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is asked of somebody else's server.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or another method, in capitals.
    pub method: String,
    /// Where: `http` or `https`, without user and password.
    pub url: String,
    /// Headers; they go to the first host only, never along a redirect to another.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none. A request with a body follows no redirect.
    pub body: Vec<u8>,
}

impl Request {
    /// Asks for a page.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: "GET".to_owned(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }
}

/// How much an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All hops together, body included, take no longer.
    pub time: Duration,
    /// More bytes of the body are not read.
    pub bytes: usize,
    /// How many redirects are followed.
    pub redirects: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), bytes: 1 << 20, redirects: 3 }
    }
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where the answer came from, after redirects.
    pub url: String,
    /// `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// `Retry-After` in seconds, if it is a number.
    pub retry_after: Option<u64>,
    /// `Location` of a redirect that was not followed, if it is text.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub truncated: bool,
}

/// The way out. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Outbound {
    client: Arc<OnceLock<reqwest::Client>>,
    allowed: Arc<[Allowed]>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Makes a way out to the public internet and to what is allowed beside it.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self { client: Arc::default(), allowed: allowed.into() }
    }

    /// Returns the client, which is made when something is sent for the first time: reading the certificates of the
    /// machine takes longer than all else that a daemon does when it starts.
    fn client(&self) -> Result<&reqwest::Client, OutboundError> {
        if let Some(made) = self.client.get() {
            return Ok(made);
        }
        let builder = || {
            reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(Duration::from_secs(10))
                .user_agent(concat!("orcha/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(Lookup { allowed: Arc::clone(&self.allowed) }))
        };
        // A machine without certificates of its own can still speak plain HTTP.
        let made = builder().build().or_else(|_| builder().tls_certs_only([]).build());
        let made = made.map_err(|source| OutboundError::Client { source })?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Says whether an address could be gone to now, by itself and by what its name stands for. Nothing is sent.
    pub async fn check(&self, url: &str) -> Result<(), OutboundError> {
        let url = self.checked(url)?;
        let host = url.host_str().unwrap_or_default();
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let unknown = |source| OutboundError::Unknown { host: host.to_owned(), source };
        let late = |_| unknown(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let lookup = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or(80)));
        let found = tokio::time::timeout(Duration::from_secs(10), lookup).await.map_err(late)?.map_err(unknown)?;
        for it in found {
            if let Some(why) = refusal(host, it.ip(), &self.allowed) {
                return Err(OutboundError::Refused { host: host.to_owned(), address: it.ip(), why });
            }
        }
        Ok(())
    }

    /// Returns the client itself for an address, to whoever speaks a protocol of its own over HTTP. It goes to checked
    /// addresses only and follows no redirect; what it is asked for and what comes back are the caller's business.
    pub fn client_for(&self, url: &str) -> Result<reqwest::Client, OutboundError> {
        self.checked(url)?;
        Ok(self.client()?.clone())
    }

    /// Says whether an address is one that could be gone to. A name is looked up only when it is gone to.
    pub fn takes(&self, url: &str) -> Result<(), OutboundError> {
        self.checked(url).map(|_| ())
    }

    /// Sends a request and reads the answer, whatever its status.
    pub async fn send(&self, request: &Request, limits: Limits) -> Result<Answer, OutboundError> {
        let late = |_| OutboundError::TimedOut { after: limits.time };
        tokio::time::timeout(limits.time, self.hops(request, limits)).await.map_err(late)?
    }

    async fn hops(&self, request: &Request, limits: Limits) -> Result<Answer, OutboundError> {
        let mut url = self.checked(&request.url)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| refused_url(&request.url, "its method is not one"))?;
        let mut headers = header_map(&request.headers)?;
        for hop in 0.. {
            let mut call = self.client()?.request(method.clone(), url.clone()).headers(headers.clone());
            if !request.body.is_empty() {
                call = call.body(request.body.clone());
            }
            let response = call.send().await.map_err(|error| broken(&url, error))?;
            let onward = if response.status().is_redirection() && request.body.is_empty() {
                response.headers().get(LOCATION).and_then(|it| it.to_str().ok()).map(str::to_owned)
            } else {
                None
            };
            let Some(onward) = onward.filter(|_| limits.redirects > 0) else {
                return read(url, response, limits.bytes).await;
            };
            if hop >= limits.redirects {
                return Err(OutboundError::Redirects { most: limits.redirects });
            }
            let next = url.join(&onward).map_err(|_| refused_url(&onward, "the redirect leads nowhere"))?;
            let next = self.checked(next.as_str())?;
            if url.scheme() == "https" && next.scheme() == "http" {
                return Err(refused_url(next.as_str(), "a redirect must not leave https"));
            }
            if (next.host_str(), next.port_or_known_default()) != (url.host_str(), url.port_or_known_default()) {
                headers.clear();
            }
            url = next;
        }
        Err(OutboundError::Redirects { most: limits.redirects })
    }

    /// Reads an address and refuses what needs no lookup to be refused.
    fn checked(&self, text: &str) -> Result<Url, OutboundError> {
        if text.len() > 4000 {
            return Err(refused_url(text, "it is longer than 4000 bytes"));
        }
        let url = Url::parse(text).map_err(|_| refused_url(text, "it is not an absolute address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused_url(text, "only http and https are spoken"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused_url(text, "it must not hold a user or a password"));
        }
        let Some(host) = url.host_str() else { return Err(refused_url(text, "it names no host")) };
        // The parser has turned every spelling of an address (octal, one number, …) into the usual one.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && let Some(why) = refusal(host, address, &self.allowed)
        {
            return Err(OutboundError::Refused { host: host.to_owned(), address, why });
        }
        Ok(url)
    }
}

/// Looks names up and lets only checked addresses through: what it returns is what is connected to.
struct Lookup {
    allowed: Arc<[Allowed]>,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // One bad address among good ones is a trap, not an accident.
            for it in &found {
                if let Some(why) = refusal(&host, it.ip(), &allowed) {
                    return Err(Blocked { host, address: it.ip(), why }.into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

async fn read(url: Url, mut response: Response, most: usize) -> Result<Answer, OutboundError> {
    let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        url: url.to_string(),
        content_type: header("content-type"),
        retry_after: header("retry-after").and_then(|it| it.trim().parse().ok()),
        location: header("location"),
        body: Vec::new(),
        truncated: false,
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&url, error))? {
        let room = most - answer.body.len();
        answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            answer.truncated = true;
            break;
        }
    }
    Ok(answer)
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad = || OutboundError::Header { name: name.chars().take(80).collect() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        // These are the client's own affair.
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&key.as_str()) {
            return Err(bad());
        }
        map.append(key, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(map)
}

fn refused_url(url: &str, rule: &'static str) -> OutboundError {
    // What may be a password is not repeated.
    let shown: String = match url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default()) {
        Some(authority) if authority.contains('@') => "…".to_owned(),
        _ => url.chars().take(200).collect(),
    };
    OutboundError::Url { url: shown, rule }
}

fn broken(url: &Url, source: reqwest::Error) -> OutboundError {
    let host = url.host_str().unwrap_or_default().to_owned();
    if let Some(Blocked { host, address, why }) = find_refusal(&source) {
        return OutboundError::Refused { host, address, why };
    }
    // The address may hold what is secret; the host is enough.
    let source = source.without_url();
    OutboundError::Broken { host, cause: innermost(&source), source }
}

#[cfg(test)]
mod tests;
