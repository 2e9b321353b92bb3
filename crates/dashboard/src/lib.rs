//! Floor 5: what people see in a browser. Pages and fragments of them, rendered on the server over the store's
//! queries.
//!
//! Nothing here changes anything: an answer goes to the API like everybody's. Nothing here knows who may look: the
//! API lets requests in and says for whom they are. A page needs nothing from any other place, and no page reads a
//! transcript.

mod assets;
mod board;
mod health;
mod page;
mod text;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use board::{Board, Names};
use maud::Markup;
use orcha_api::Asker;
use orcha_base::ObjectiveId;
use orcha_store::{Cursor, InvalidCursor, Page, ReadError, Store, Viewer};
use serde::Deserialize;

/// What a page may load, and from where: only from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How many questions a page shows.
const QUESTIONS: u32 = 50;

/// Returns the pages. Each request must carry an [`Asker`] as an extension, as `orcha_api::router_with` adds it to
/// those that it lets in; the others are refused.
pub fn pages(store: Store) -> axum::Router {
    rooms(store).route_layer(from_fn(entered))
}

/// Hands on whose rows may be seen.
async fn entered(asker: Asker, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(asker.viewer);
    next.run(request).await
}

/// The pages for the [`Viewer`] that each request carries.
fn rooms(store: Store) -> axum::Router {
    axum::Router::new()
        .route("/", get(first))
        .route("/objectives/{id}", get(one))
        .route("/fragments/summary", get(summary))
        .route("/fragments/questions", get(questions))
        .route("/fragments/objectives", get(objectives))
        .route("/fragments/objective/{id}", get(objective))
        .route("/fragments/detail/{id}", get(detail))
        .route("/fragments/sessions", get(sessions))
        .route("/fragments/health", get(healthy))
        .route("/assets/{file}", get(assets::serve))
        .route_layer(map_response(guarded))
        .with_state(store)
}

/// Which part of the lists is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// Where the list of what is going on begins.
    after: Option<String>,
    /// Where the list of what has ended begins.
    ended: Option<String>,
}

/// The places of [`Shown`], read.
#[derive(Clone, Debug, Default, PartialEq)]
struct Places {
    after: Option<Cursor>,
    ended: Option<Cursor>,
}

impl Shown {
    fn places(&self) -> Result<Places, InvalidCursor> {
        let read = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
        Ok(Places { after: read(&self.after)?, ended: read(&self.ended)? })
    }
}

/// Why a page is not shown.
#[derive(Debug, thiserror::Error)]
enum NotShown {
    #[error("there is no such objective")]
    NoSuchObjective,
    #[error("the address says more, or other things, than where the lists begin")]
    Address(#[from] QueryRejection),
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error("the database could not be asked")]
    Store(#[from] ReadError),
}

impl IntoResponse for NotShown {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSuchObjective => StatusCode::NOT_FOUND,
            Self::Cursor(_) | Self::Address(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let Self::Store(fault) = &self {
            tracing::warn!(error = %fault, "a page could not be shown: {fault}");
        }
        (status, page::problem(status, &self.to_string())).into_response()
    }
}

type Shows = Result<Markup, NotShown>;

/// The part of the lists that an address names.
type Asked = Result<Query<Shown>, QueryRejection>;

/// Reads the id in an address; what is none names no objective.
fn known(id: &str) -> Result<ObjectiveId, NotShown> {
    id.parse().map_err(|_| NotShown::NoSuchObjective)
}

async fn first(State(store): State<Store>, Extension(viewer): Extension<Viewer>, shown: Asked) -> Shows {
    let places = shown?.0.places()?;
    // The figures come first: what happens after them is streamed, so that nothing is missed in between.
    let overview = store.overview(&viewer).await?;
    let (questions, board, runs) = tokio::try_join!(
        async { Ok(store.open_questions(&viewer, QUESTIONS).await?) },
        Board::of_all(&store, &viewer, &places),
        async { Ok(store.runs(&viewer, Page::first(health::RUNS)).await?.items) }
    )?;
    Ok(page::first(&overview, &questions, &board, &runs, &places))
}

async fn healthy(State(store): State<Store>, Extension(viewer): Extension<Viewer>) -> Shows {
    Ok(health::chart(&store.runs(&viewer, Page::first(health::RUNS)).await?.items))
}

async fn one(State(store): State<Store>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Shows {
    let overview = store.overview(&viewer).await?;
    let detail = board::Detail::of(&store, &viewer, known(&id)?).await?.ok_or(NotShown::NoSuchObjective)?;
    Ok(page::one(&overview, &detail))
}

async fn summary(State(store): State<Store>, Extension(viewer): Extension<Viewer>) -> Shows {
    Ok(page::summary(&store.overview(&viewer).await?))
}

async fn questions(State(store): State<Store>, Extension(viewer): Extension<Viewer>) -> Shows {
    let open = store.open_questions(&viewer, QUESTIONS).await?;
    let names = Names::of_questions(&store, &viewer, &open).await?;
    Ok(page::questions(&open, &names))
}

async fn objectives(State(store): State<Store>, Extension(viewer): Extension<Viewer>, shown: Asked) -> Shows {
    let places = shown?.0.places()?;
    Ok(page::objectives(&Board::of_all(&store, &viewer, &places).await?, &places))
}

async fn objective(State(store): State<Store>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Shows {
    let board = Board::of_one(&store, &viewer, known(&id)?).await?.ok_or(NotShown::NoSuchObjective)?;
    Ok(page::of_board(&board))
}

async fn detail(State(store): State<Store>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Shows {
    let detail = board::Detail::of(&store, &viewer, known(&id)?).await?.ok_or(NotShown::NoSuchObjective)?;
    Ok(page::detail(&detail))
}

async fn sessions(State(store): State<Store>, Extension(viewer): Extension<Viewer>) -> Shows {
    let (running, names) = board::running(&store, &viewer).await?;
    Ok(page::rows(&running, &names))
}

/// Says what a browser may do with what it got.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
