//! What every request passes before anything looks at it: which name it asked for, which site it comes from, and
//! what its answer tells the browser never to do. None of this proves who is asking; see `auth`.

use crate::auth::bearer;
use crate::page;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use orcha_wire::Code;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a page of ours may load: only what we serve ourselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Headers of every answer that does not say otherwise.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a request in that names one of our hosts and does not come from another site.
pub(crate) async fn enter(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = match allowed(&api, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) if is_navigation(&request) => page::refused(refused.problem()),
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn allowed(api: &Api, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = host(request)
        .filter(|host| api.settings.hosts.iter().any(|it| it.eq_ignore_ascii_case(host)))
        .ok_or_else(|| ApiError::new(Code::ForeignOrigin, "the daemon is not known under the host that was named"))?;
    let foreign = || ApiError::new(Code::ForeignOrigin, "the request comes from another site");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let ours =
            origin.to_str().ok().and_then(|it| it.strip_prefix("http://").or_else(|| it.strip_prefix("https://")));
        if !ours.is_some_and(|it| it.eq_ignore_ascii_case(host)) || origins.next().is_some() {
            return Err(foreign());
        }
    }
    // Another port of this machine is the same site for a browser, and not for us. A browser that cannot say where a
    // request comes from is not believed.
    match headers.get(SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(foreign()),
    }
}

/// Returns the host that a request names, if it names exactly one.
pub(crate) fn host(request: &Request) -> Option<&str> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let by_header = named.next();
    if named.next().is_some() {
        return None;
    }
    match (by_header, request.uri().authority()) {
        (Some(header), None) => header.to_str().ok(),
        (None, Some(authority)) => Some(authority.as_str()),
        (Some(header), Some(authority)) => {
            header.to_str().ok().filter(|it| it.eq_ignore_ascii_case(authority.as_str()))
        }
        (None, None) => None,
    }
}

/// Tells whether a person opens an address in a browser.
pub(crate) fn is_navigation(request: &Request) -> bool {
    let html = |headers: &HeaderMap| {
        headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).is_some_and(|it| it.contains("text/html"))
    };
    let headers = request.headers();
    request.method() == Method::GET
        && bearer(headers).is_none()
        && headers.get(MODE).is_none_or(|it| it == "navigate")
        && html(headers)
}
