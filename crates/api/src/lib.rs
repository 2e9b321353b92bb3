//! Floor 4: HTTP, SSE and MCP. Parses, authorises, translates; decides nothing.
//!
//! ```text
//!  request ─▶ gate: host, origin ─▶ auth: token or cookie ─▶ find ─▶ wheel ─▶ translate ─▶ answer
//!                                └▶ /mcp: a credential of its own per session
//! ```
//!
//! Every route of `orcha-wire` is registered from one table, and no route is reachable without proof of who asks,
//! except the one that takes a login ticket.

mod auth;
mod find;
mod gate;
mod grant;
mod input;
mod list;
pub mod mcp;
mod once;
mod page;
mod permissions;
mod problem;
mod rest;
mod serve;
mod shared;
mod stream;
mod tag;
mod told;
mod translate;
mod workflow;

pub use auth::Asker;
pub use grant::{is_name, is_scope};
pub use serve::serve;
pub use shared::{ApiSettings, Connect};
pub use translate::session_reason;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use orcha_orch::Orch;
use orcha_wire::{Code, Problem, Route, routes};
use shared::Api;
use std::any::Any;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

/// Returns everything that the daemon serves, without pages.
pub fn router(orch: Orch, settings: ApiSettings) -> Router {
    router_with(orch, settings, Router::new())
}

/// Returns everything that the daemon serves, with the routes of pages beside the API.
///
/// Pages pass the same checks of host and origin as every other route, and need the token or the cookie of a browser
/// that was logged in. Each of their requests carries an [`Asker`] as an extension.
pub fn router_with(orch: Orch, settings: ApiSettings, pages: Router) -> Router {
    let tools = mcp::routes(orch.clone(), settings.hosts.clone());
    let max_body = settings.max_body;
    let api = Api::new(orch, settings);
    let (mut open, mut closed) = (Router::new(), Router::new());
    for route in routes::ALL {
        let Some(handler) = rest::handler(route) else {
            error!(route = ?route, "a route has no handler");
            continue;
        };
        let handler = if route.takes_query() { handler } else { handler.layer(from_fn(input::no_query)) };
        if let Some(path) = routes::published(route) {
            closed = closed.route(&path, handler.clone());
        }
        if is_open(route) {
            open = open.route(route.path, handler);
        } else {
            closed = closed.route(route.path, handler);
        }
    }
    let closed = closed
        .with_state(api.clone())
        .layer(from_fn_with_state(api.clone(), once::enter))
        .layer(from_fn(room_for_files))
        .merge(pages)
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_like_this)
        .layer(from_fn_with_state(api.clone(), auth::enter));
    let open: Router = open.with_state(api.clone()).method_not_allowed_fallback(not_like_this);
    open.merge(closed)
        .layer(DefaultBodyLimit::max(max_body))
        .nest("/mcp", tools)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(api, gate::enter))
}

/// The one route that proves who asks by what it carries.
fn is_open(route: &Route) -> bool {
    *route == routes::LOGIN
}

/// Lets the requests that may bring files be as long as files are. Everybody else was refused before this.
async fn room_for_files(mut request: Request, next: Next) -> Response {
    let brings = [routes::CREATE_OBJECTIVE, routes::CREATE_WORKFLOW];
    let path = request.uri().path();
    if brings.iter().any(|it| it.path == path || routes::published(it).is_some_and(|it| it == path)) {
        DefaultBodyLimit::max(rest::attachments::LONGEST_BODY).apply(&mut request);
    }
    next.run(request).await
}

async fn nothing_here() -> Response {
    problem::respond(&Problem::new(Code::NotFound, "there is nothing at this address"))
}

async fn not_like_this() -> Response {
    problem::respond(&Problem::new(Code::MethodNotAllowed, "this address does not take that method"))
}

/// A defect of ours ends one request, not the daemon.
fn panicked(what: Box<dyn Any + Send>) -> Response {
    let text =
        what.downcast_ref::<&str>().map(|it| (*it).to_owned()).or_else(|| what.downcast_ref::<String>().cloned());
    error!(panic = text.as_deref().unwrap_or("unknown"), "a request panicked");
    problem::respond(&Problem::new(Code::Internal, "the daemon could not answer; its log says why"))
}
