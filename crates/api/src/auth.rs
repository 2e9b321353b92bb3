//! Who is asking: the daemon's token or a named one in a header, or the cookie of a browser that was logged in with a
//! ticket. What each may see is said in `grant`.
//!
//! Tokens, tickets and cookies are compared as hashes and in constant time, and are never logged. Identity never
//! comes from a path, a query or a body.

use crate::gate;
use crate::grant::{Grant, Holder};
use crate::page;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, header};
use orcha_base::{Redacted, RepoUrl, Timestamp, TokenId};
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
/// How the operator is called.
pub(crate) const OPERATOR: &str = "operator";
/// With a cookie, a change needs this header or a JSON body: a form of another site can send neither.
const OURS: HeaderName = HeaderName::from_static("x-orcha");

type Hash = [u8; 32];

/// On whose behalf a request is made. It is an extension of every request that was let in.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name that is shown for it.
    pub name: String,
    /// Whose rows it may see.
    pub viewer: Viewer,
    /// As whom it changes them.
    pub(crate) actor: Actor,
    /// Whose credential it showed.
    pub(crate) holder: Holder,
}

impl Asker {
    /// Refuses who is not the operator of this daemon.
    pub(crate) fn operates(&self) -> Result<(), ApiError> {
        match self.holder {
            Holder::Operator => Ok(()),
            Holder::Token(_) => {
                Err(ApiError::new(Code::Forbidden, "only the operator may do this, with the daemon's own token"))
            }
        }
    }

    /// Refuses a repository that is a folder of the daemon's machine, unless the operator names it: whoever names a
    /// folder reads it.
    pub(crate) fn may_name(&self, repo: &RepoUrl) -> Result<(), ApiError> {
        if repo.local_path().is_none() || self.operates().is_ok() {
            return Ok(());
        }
        let rule = "names a folder of the daemon's machine, which only the operator may; let the operator register \
            it as a project, and name that";
        Err(ApiError::new(Code::Forbidden, format!("`repo` {rule}")).at("repo"))
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
    tickets: Mutex<Vec<Ticket>>,
}

/// What logs a browser in, once.
#[derive(Debug)]
struct Ticket {
    hash: Hash,
    until: Timestamp,
    of: Holder,
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

    /// Makes a ticket that logs a browser in as whoever asks for it, once and soon.
    pub(crate) fn ticket(&self, of: Holder, now: Timestamp) -> (String, Timestamp) {
        let ticket = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let until = now + TICKET_TIME;
        let mut tickets = self.tickets.lock();
        tickets.retain(|it| it.until > now);
        if tickets.len() >= TICKETS {
            tickets.remove(0);
        }
        tickets.push(Ticket { hash: hash(ticket.as_bytes()), until, of });
        (ticket, until)
    }

    /// Takes a ticket in exchange for the cookie's value.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Option<String> {
        let hash = hash(ticket.as_bytes());
        let mut tickets = self.tickets.lock();
        let at = tickets.iter().position(|it| bool::from(it.hash.ct_eq(&hash)))?;
        let Ticket { until, of, .. } = tickets.remove(at);
        (until > now).then(|| self.cookie(of, now + COOKIE_TIME))
    }

    fn cookie(&self, of: Holder, until: Timestamp) -> String {
        let of = match of {
            Holder::Operator => OPERATOR.to_owned(),
            Holder::Token(id) => id.to_string(),
        };
        let said = format!("{}.{of}.{}", until.as_micros(), BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>()));
        let signature = BASE64URL_NOPAD.encode(&sign(self.cookies.expose(), said.as_bytes()));
        format!("{said}.{signature}")
    }

    /// Returns whose a cookie is, if it is one of ours and still good.
    fn holder_of(&self, cookie: &str, now: Timestamp) -> Option<Holder> {
        let (said, signature) = cookie.rsplit_once('.').filter(|_| cookie.len() <= LONGEST)?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        if !bool::from(sign(self.cookies.expose(), said.as_bytes()).as_slice().ct_eq(&signature)) {
            return None;
        }
        // Only what we signed ourselves is looked into.
        let mut parts = said.split('.');
        let until = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let of = match parts.next()? {
            OPERATOR => Holder::Operator,
            id => Holder::Token(id.parse::<TokenId>().ok()?),
        };
        (until > now).then_some(of)
    }

    fn token_is_good(&self, token: &str) -> bool {
        token.len() <= LONGEST && bool::from(hash(token.as_bytes()).ct_eq(self.token.expose()))
    }
}

/// Lets a request in that proves who is asking.
pub(crate) async fn enter(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let shown = prove(&api, &request);
    let grant = match shown {
        Ok(shown) => opened(&api, shown).await,
        Err(refused) => Err(refused),
    };
    match grant.and_then(|grant| grant.asker(request.headers())) {
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

/// What a request shows.
enum Shown {
    /// The daemon's own token, or a cookie of somebody.
    Known(Holder),
    /// A token that may be a named one.
    Token(Hash),
}

/// Looks at the credential of a request.
fn prove(api: &Api, request: &Request) -> Result<Shown, ApiError> {
    let headers = request.headers();
    if headers.contains_key(header::AUTHORIZATION) {
        // A wrong token is wrong, whatever cookie comes with it.
        let token = bearer(headers).filter(|it| it.len() <= LONGEST).ok_or_else(unauthorized)?;
        let own = api.keys.token_is_good(token);
        return Ok(if own { Shown::Known(Holder::Operator) } else { Shown::Token(hash(token.as_bytes())) });
    }
    let name = cookie_name(request);
    let now = api.orch.now();
    let holder = cookies(headers).filter(|(it, _)| *it == name).find_map(|(_, value)| api.keys.holder_of(value, now));
    let holder = holder.ok_or_else(unauthorized)?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let says_where_from = headers.contains_key(header::ORIGIN);
    if reads || (says_where_from && (headers.contains_key(OURS) || crate::input::is_json(headers))) {
        Ok(Shown::Known(holder))
    } else {
        let rule =
            "a browser changes something only from a page of this daemon, with a JSON body or the header `x-orcha`";
        Err(ApiError::new(Code::ForeignOrigin, rule))
    }
}

/// Finds out what a credential opens; one that was revoked opens nothing, and the browsers that it logged in neither.
async fn opened(api: &Api, shown: Shown) -> Result<Grant, ApiError> {
    let token = match shown {
        Shown::Known(Holder::Operator) => return Ok(Grant::operator()),
        Shown::Known(Holder::Token(id)) => api.orch.store().token(id).await?,
        Shown::Token(hash) => api.orch.store().token_by_hash(hash).await?,
    };
    token.map(Grant::of).ok_or_else(unauthorized)
}

pub(crate) fn unauthorized() -> ApiError {
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

/// Makes a token of 256 random bits, and the hash by which it is known.
pub(crate) fn new_token() -> (String, Hash) {
    let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
    let hash = hash(token.as_bytes());
    (token, hash)
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
        let (ticket, until) = keys.ticket(Holder::Operator, now);
        assert!(until.since(now) <= Duration::from_secs(60));
        assert_eq!(keys.redeem("another", now), None);
        let cookie = keys.redeem(&ticket, now).unwrap();
        assert_eq!(keys.redeem(&ticket, now), None);
        let good = |it: &str, at| keys.holder_of(it, at).is_some();
        assert!(good(&cookie, now) && !good(&cookie, now + COOKIE_TIME));
        let (late, until) = keys.ticket(Holder::Operator, now);
        assert_eq!(keys.redeem(&late, until), None);
        // Another token, another daemon: its cookies are worth nothing here.
        assert_eq!(Keys::new(&Redacted::new("Token".into())).holder_of(&cookie, now), None);
        let changed = cookie.replacen('.', "0.", 1);
        assert!(!good(&changed, now) && !good("", now));
    }

    #[test]
    fn a_cookie_is_whose_ticket_it_was_for() {
        let keys = Keys::new(&Redacted::new("token".into()));
        let now = Timestamp::from_secs(1000);
        for of in [Holder::Operator, Holder::Token(TokenId::fixed(7))] {
            let cookie = keys.redeem(&keys.ticket(of, now).0, now).unwrap();
            assert_eq!(keys.holder_of(&cookie, now), Some(of));
            let raised = cookie.replacen(&TokenId::fixed(7).to_string(), OPERATOR, 1);
            assert_eq!(keys.holder_of(&raised, now).is_some(), raised == cookie);
        }
    }

    #[test]
    fn tickets_do_not_pile_up() {
        let keys = Keys::new(&Redacted::new("token".into()));
        let now = Timestamp::from_secs(1000);
        let first = keys.ticket(Holder::Operator, now).0;
        for _ in 0..TICKETS {
            keys.ticket(Holder::Operator, now);
        }
        assert_eq!(keys.tickets.lock().len(), TICKETS);
        assert_eq!(keys.redeem(&first, now), None);
    }
}
