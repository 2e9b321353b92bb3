//! Who is asking: the daemon's token in a header, or the cookie of a browser that was logged in with a ticket.
//!
//! Tokens, tickets and cookies are compared as hashes and in constant time, and are never logged. Identity never
//! comes from a path, a query or a body.

use crate::gate;
use crate::page;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, header};
use orcha_base::{Redacted, ScopeId, TenantId, Timestamp};
use orcha_orch::Actor;
use orcha_store::Viewer;
use orcha_wire::Code;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a ticket works.
const TICKET_TIME: Duration = Duration::from_secs(60);
/// How many tickets wait at once; the oldest makes room.
const TICKETS: usize = 16;
/// How long a browser stays logged in.
const COOKIE_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// No credential of ours is longer.
const LONGEST: usize = 256;
/// With a cookie, a change needs this header or a JSON body: a form of another site can send neither.
const OURS: HeaderName = HeaderName::from_static("x-orcha");

type Hash = [u8; 32];

/// On whose behalf a request is made. It is an extension of every request that was let in.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name that is shown for it.
    pub name: &'static str,
    /// Whose rows it may see.
    pub viewer: Viewer,
    /// As whom it changes them.
    pub(crate) actor: Actor,
}

impl Asker {
    /// The one user of this release: the operator, who sees everything in the default tenant.
    fn operator() -> Self {
        let tenant = TenantId::default();
        let actor = Actor { tenant: tenant.clone(), scope: ScopeId::default() };
        Self { name: "operator", viewer: Viewer::of(tenant), actor }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthorized().into_response())
    }
}

/// What is needed to recognise the operator.
#[derive(Debug)]
pub(crate) struct Keys {
    token: Redacted<Hash>,
    /// What cookies are signed with: nobody who sees a cookie can make another one, or learns the token.
    cookies: Redacted<Hash>,
    tickets: Mutex<Vec<(Hash, Timestamp)>>,
}

impl Keys {
    pub(crate) fn new(token: &Redacted<String>) -> Self {
        let token = token.expose().as_bytes();
        Self {
            token: Redacted::new(hash(token)),
            cookies: Redacted::new(sign(&hash(token), b"orcha browser sessions")),
            tickets: Mutex::default(),
        }
    }

    /// Makes a ticket that logs a browser in, once and soon.
    pub(crate) fn ticket(&self, now: Timestamp) -> (String, Timestamp) {
        let ticket = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let until = now + TICKET_TIME;
        let mut tickets = self.tickets.lock();
        tickets.retain(|(_, until)| *until > now);
        if tickets.len() >= TICKETS {
            tickets.remove(0);
        }
        tickets.push((hash(ticket.as_bytes()), until));
        (ticket, until)
    }

    /// Takes a ticket in exchange for the cookie's value.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Option<String> {
        let hash = hash(ticket.as_bytes());
        let mut tickets = self.tickets.lock();
        let at = tickets.iter().position(|(it, _)| bool::from(it.ct_eq(&hash)))?;
        let (_, until) = tickets.remove(at);
        (until > now).then(|| self.cookie(now + COOKIE_TIME))
    }

    fn cookie(&self, until: Timestamp) -> String {
        let said = format!("{}.{}", until.as_micros(), BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>()));
        let signature = BASE64URL_NOPAD.encode(&sign(self.cookies.expose(), said.as_bytes()));
        format!("{said}.{signature}")
    }

    fn cookie_is_good(&self, cookie: &str, now: Timestamp) -> bool {
        let Some((said, signature)) = cookie.rsplit_once('.').filter(|_| cookie.len() <= LONGEST) else { return false };
        let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else { return false };
        let good = bool::from(sign(self.cookies.expose(), said.as_bytes()).as_slice().ct_eq(&signature));
        // Only what we signed ourselves is looked into.
        let until = said.split('.').next().and_then(|it| it.parse().ok()).map(Timestamp::from_micros);
        good && until.is_some_and(|until| until > now)
    }

    fn token_is_good(&self, token: &str) -> bool {
        token.len() <= LONGEST && bool::from(hash(token.as_bytes()).ct_eq(self.token.expose()))
    }
}

/// Lets a request in that proves who is asking.
pub(crate) async fn enter(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match prove(&api, &request) {
        Ok(asker) => {
            request.extensions_mut().insert(asker);
            next.run(request).await
        }
        Err(refused) if refused.problem().known() == Some(Code::Unauthorized) && gate::is_navigation(&request) => {
            page::log_in()
        }
        Err(refused) => refused.into_response(),
    }
}

fn prove(api: &Api, request: &Request) -> Result<Asker, ApiError> {
    let headers = request.headers();
    if headers.contains_key(header::AUTHORIZATION) {
        // A wrong token is wrong, whatever cookie comes with it.
        return match bearer(headers) {
            Some(token) if api.keys.token_is_good(token) => Ok(Asker::operator()),
            _ => Err(unauthorized()),
        };
    }
    let name = cookie_name(request);
    let good = cookies(headers).any(|(it, value)| it == name && api.keys.cookie_is_good(value, api.orch.now()));
    if !good {
        return Err(unauthorized());
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let says_where_from = headers.contains_key(header::ORIGIN);
    if reads || (says_where_from && (headers.contains_key(OURS) || crate::input::is_json(headers))) {
        Ok(Asker::operator())
    } else {
        let rule =
            "a browser changes something only from a page of this daemon, with a JSON body or the header `x-orcha`";
        Err(ApiError::new(Code::ForeignOrigin, rule))
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(
        Code::Unauthorized,
        "a token is needed: `authorization: Bearer …`, from the file `token` in the data folder",
    )
}

/// Returns the token of a bearer header, if there is exactly one header and it is one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = all.next()?.to_str().ok()?.split_once(' ')?;
    (all.next().is_none() && scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns the header that gives a browser its cookie. Browsers share cookies between ports: the name keeps two
/// daemons apart.
pub(crate) fn set_cookie(request: &Request, value: &str) -> String {
    let name = cookie_name(request);
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", COOKIE_TIME.as_secs())
}

fn cookie_name(request: &Request) -> String {
    let port = gate::host(request).and_then(|host| host.rsplit_once(':')).map_or("", |(_, port)| port);
    let port: String = port.chars().filter(char::is_ascii_digit).collect();
    format!("orcha_{port}")
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

fn hash(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

/// Signs a text: HMAC with SHA-256 and a key of 32 bytes (RFC 2104).
fn sign(key: &Hash, text: &[u8]) -> Hash {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // Test case 1 of RFC 4231 has a key of 20 bytes, which is padded with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&sign(&key, b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_ticket_works_once_and_soon() {
        let keys = Keys::new(&Redacted::new("token".into()));
        let now = Timestamp::from_secs(1000);
        let (ticket, until) = keys.ticket(now);
        assert!(until.since(now) <= Duration::from_secs(60));
        assert_eq!(keys.redeem("another", now), None);
        let cookie = keys.redeem(&ticket, now).unwrap();
        assert_eq!(keys.redeem(&ticket, now), None);
        assert!(keys.cookie_is_good(&cookie, now) && !keys.cookie_is_good(&cookie, now + COOKIE_TIME));
        let (late, until) = keys.ticket(now);
        assert_eq!(keys.redeem(&late, until), None);
        // Another token, another daemon: its cookies are worth nothing here.
        assert!(!Keys::new(&Redacted::new("Token".into())).cookie_is_good(&cookie, now));
        let changed = cookie.replacen('.', "0.", 1);
        assert!(!keys.cookie_is_good(&changed, now) && !keys.cookie_is_good("", now));
    }

    #[test]
    fn tickets_do_not_pile_up() {
        let keys = Keys::new(&Redacted::new("token".into()));
        let now = Timestamp::from_secs(1000);
        let first = keys.ticket(now).0;
        for _ in 0..TICKETS {
            keys.ticket(now);
        }
        assert_eq!(keys.tickets.lock().len(), TICKETS);
        assert_eq!(keys.redeem(&first, now), None);
    }
}
