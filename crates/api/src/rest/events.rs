//! The journal, page by page. For the journal as it grows see `stream`.

use crate::auth::Asker;
use crate::input::Query;
use crate::list::{array, limit};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::extract::State;
use axum::response::Response;
use orcha_store::{Event, EventFilter, Page, Span};
use orcha_wire::{DEFAULT_LIMIT, ListEvents};

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListEvents>,
) -> Result<Response, ApiError> {
    let filter = match &query.objective_id {
        Some(id) => EventFilter::Objective(api.objective(&asker, id).await?.id),
        None => EventFilter::All,
    };
    let wanted = limit(query.limit, DEFAULT_LIMIT)? as usize;
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    let read = |span, limit: usize| {
        let limit = u32::try_from(limit).unwrap_or(Page::MAX);
        api.orch.store().events(&asker.viewer, filter, span, limit)
    };
    let mut found: Vec<Event> = Vec::new();
    let mut next = None;
    if let Some(after) = query.after {
        if query.before.is_some() {
            return Err(ApiError::invalid("before", "cannot be asked for together with `after`"));
        }
        let mut last = number(after);
        while found.len() < wanted {
            let part = read(Span::After(last), wanted - found.len()).await?;
            let Some(end) = part.last() else { break };
            last = end.seq;
            found.extend(part);
        }
        let more = !found.is_empty() && !read(Span::After(last), 1).await?.is_empty();
        next = more.then(|| last.to_string());
    } else {
        let mut span = query.before.map_or(Span::Latest, |it| Span::Before(number(it)));
        while found.len() < wanted {
            let mut part = read(span, wanted - found.len()).await?;
            let Some(first) = part.first() else { break };
            span = Span::Before(first.seq);
            part.append(&mut found);
            found = part;
        }
    }
    Ok(array(found.iter().map(translate::event).collect(), next))
}
