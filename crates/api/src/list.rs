//! Pages of lists: limits, cursors, and filters that the store does not know.

use crate::problem::ApiError;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use orcha_store::{Cursor, InvalidCursor, Page, Paged, ReadError};
use orcha_wire::{Code, DEFAULT_LIMIT, MAX_LIMIT, NEXT_CURSOR};
use serde::Serialize;

/// How many rows are looked at for one page of a filtered list before the client is asked to go on by itself.
const LOOKED_AT: usize = 10_000;
/// How many rows of one objective or session are listed at most.
const WHOLE: usize = 10_000;

/// How many rows a request wants.
pub(crate) fn limit(asked: Option<u32>, usual: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::invalid("limit", &format!("must be between 1 and {MAX_LIMIT}"))),
    }
}

/// Reads where a list shall go on.
pub(crate) fn cursor(after: Option<String>) -> Result<Option<Cursor>, ApiError> {
    after
        .map(|text| text.parse())
        .transpose()
        .map_err(|wrong: InvalidCursor| ApiError::new(Code::Invalid, wrong.to_string()).at("after"))
}

/// Where a list shall go on, and how many rows are wanted.
pub(crate) struct Wanted {
    after: Option<Cursor>,
    limit: usize,
}

impl Wanted {
    pub fn new(after: Option<String>, limit: Option<u32>) -> Result<Self, ApiError> {
        Ok(Self { after: cursor(after)?, limit: self::limit(limit, DEFAULT_LIMIT)? as usize })
    }

    /// Collects rows from pages of the store until there are enough.
    pub async fn pages<T, F>(
        self,
        mut ask: impl FnMut(Page) -> F,
        keep: impl Fn(&T) -> bool,
        key: impl Fn(&T) -> Cursor,
    ) -> Result<Paged<T>, ApiError>
    where
        F: Future<Output = Result<Paged<T>, ReadError>>,
    {
        let (mut items, mut after, mut looked_at) = (Vec::new(), self.after, 0);
        loop {
            let wanted = u32::try_from(self.limit).unwrap_or(Page::MAX).clamp(1, Page::MAX);
            let page = ask(Page { after: after.take(), limit: wanted }).await?;
            looked_at += page.items.len();
            let mut kept = page.items.into_iter().filter(&keep);
            items.extend(kept.by_ref().take(self.limit - items.len()));
            let over = kept.next().is_some();
            drop(kept);
            let next = if over { items.last().map(&key) } else { page.next };
            if over || next.is_none() || items.len() >= self.limit || looked_at >= LOOKED_AT {
                return Ok(Paged { items, next });
            }
            after = next;
        }
    }
}

/// Reads a list as a whole: what belongs to one objective or one session.
pub(crate) async fn whole<T, F>(mut ask: impl FnMut(Page) -> F) -> Result<Vec<T>, ApiError>
where
    F: Future<Output = Result<Paged<T>, ReadError>>,
{
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ask(Page { after, limit: Page::MAX }).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() || all.len() >= WHOLE {
            return Ok(all);
        }
    }
}

/// Answers with a page: a plain array, and where to go on in a header.
pub(crate) fn answer<T, W: Serialize>(page: Paged<T>, translate: impl FnMut(T) -> W) -> Response {
    let next = page.next.map(|it| it.to_string());
    array(page.items.into_iter().map(translate).collect::<Vec<W>>(), next)
}

/// Answers with an array, and where to go on in a header.
pub(crate) fn array<W: Serialize>(rows: Vec<W>, next: Option<String>) -> Response {
    let mut response = axum::Json(rows).into_response();
    if let Some(next) = next.and_then(|it| HeaderValue::try_from(it).ok()) {
        response.headers_mut().insert(HeaderName::from_static(NEXT_CURSOR), next);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::Timestamp;

    fn key(n: &i64) -> Cursor {
        Cursor { at: Timestamp::from_micros(*n), id: "x".into() }
    }

    /// A list from 100 down to 1.
    async fn page(page: Page) -> Result<Paged<i64>, ReadError> {
        let from = page.after.map_or(101, |it| it.at.as_micros());
        let items: Vec<i64> = (1..from).rev().take(page.limit as usize).collect();
        let next = items.last().filter(|it| **it > 1).map(key);
        Ok(Paged { items, next })
    }

    #[tokio::test]
    async fn filtered_pages_have_no_gap_and_no_repeat() {
        for limit in [1, 3, 7, 50, 200] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let wanted = Wanted::new(after, Some(limit)).unwrap();
                let got = wanted.pages(page, |it| it % 3 == 0, key).await.unwrap();
                assert!(got.items.len() <= limit as usize);
                seen.extend(got.items);
                match got.next {
                    Some(next) => after = Some(next.to_string()),
                    None => break,
                }
            }
            assert_eq!(seen, (1..=100).rev().filter(|it| it % 3 == 0).collect::<Vec<i64>>(), "limit {limit}");
        }
    }
}
