//! Sessions and their transcripts.

use super::Wheel;
use super::objectives::reason;
use crate::auth::Asker;
use crate::input::{Id, Nothing, OptionalJson, Query};
use crate::list::{Wanted, answer, array, limit};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_base::SessionId;
use orcha_model::Session;
use orcha_model::session::Input;
use orcha_plan::Stimulus;
use orcha_store::{Cursor, Entry, Page, SessionFilter, Span, Which};
use orcha_wire::{Cancel, Code, DEFAULT_MESSAGES, ListMessages, ListSessions, MAX_LIMIT};

/// An answer holds no more text of a transcript than this, or a single entry.
const BYTES: usize = 8 << 20;

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListSessions>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::new(query.after, query.limit)?;
    let objective = match &query.objective_id {
        Some(id) => Some(api.objective(&asker, id).await?.id),
        None => None,
    };
    let which = if query.state.is_some_and(|it| !it.is_over()) { Which::Live } else { Which::All };
    let filter = SessionFilter { objective, which, state: query.state.map(|it| it.to_string()) };
    let page = wanted
        .pages(
            |page: Page| api.orch.store().sessions(&asker.viewer, filter.clone(), page),
            |_| true,
            |it| Cursor { at: it.updated_at, id: it.id.to_string() },
        )
        .await?;
    Ok(answer(page, translate::session_row))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let session = api.session(&asker, &id).await?;
    translated(&api, &asker, &session).await
}

pub(crate) async fn terminal(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<orcha_wire::Terminal>, ApiError> {
    let session = api.session(&asker, &id).await?;
    let found = api.orch.window(&session).zip(session.state.holds());
    let Some((window, (target_id, _))) = found else {
        let rule =
            format!("session {} runs in no terminal now; `orcha attach` shows its transcript", session.id.short());
        return Err(ApiError::new(Code::State, rule));
    };
    Ok(Answer(orcha_wire::Terminal {
        target_id,
        folder: window.folder.display().to_string(),
        socket: window.socket.to_owned(),
        session: window.session.to_owned(),
    }))
}

/// Answers with a session as it is now.
async fn shown(api: &Api, asker: &Asker, id: SessionId) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let found = api.orch.store().session(&asker.viewer, id).await?;
    translated(api, asker, &found.ok_or_else(|| ApiError::unknown(SessionId::NOUN, id))?).await
}

async fn translated(api: &Api, asker: &Asker, it: &Session) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let place = match it.workspace {
        Some(id) => api.orch.store().workspace(&asker.viewer, id).await?,
        None => None,
    };
    Ok(Answer(translate::session(it, place.map(|it| it.target))))
}

pub(crate) async fn messages(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Query(query): Query<ListMessages>,
) -> Result<Response, ApiError> {
    let session = api.session(&asker, &id).await?.id;
    if query.after.is_some() && query.tail.is_some() {
        return Err(ApiError::invalid("tail", "cannot be asked for together with `after`"));
    }
    let read = |span, limit: usize| {
        let limit = u32::try_from(limit).unwrap_or(Page::MAX);
        api.orch.store().transcript(&asker.viewer, session, span, limit)
    };
    let mut found: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    if let Some(tail) = query.tail {
        let tail = limit(Some(tail), tail)
            .map_err(|_| ApiError::invalid("tail", &format!("must be between 1 and {MAX_LIMIT}")))?;
        let mut span = Span::Latest;
        while found.len() < tail as usize && bytes < BYTES {
            let mut part = read(span, tail as usize - found.len()).await?;
            let Some(first) = part.first() else { break };
            span = Span::Before(first.seq);
            bytes += part.iter().map(|it| it.content.len()).sum::<usize>();
            part.append(&mut found);
            found = part;
        }
    } else {
        let wanted = limit(query.limit, DEFAULT_MESSAGES)? as usize;
        let mut last = i64::try_from(query.after.unwrap_or(0)).unwrap_or(i64::MAX);
        while found.len() < wanted && bytes < BYTES {
            let part = read(Span::After(last), wanted - found.len()).await?;
            let Some(end) = part.last() else { break };
            last = end.seq;
            bytes += part.iter().map(|it| it.content.len()).sum::<usize>();
            found.extend(part);
        }
        let more = !found.is_empty() && !read(Span::After(last), 1).await?.is_empty();
        next = more.then(|| last.to_string());
    }
    Ok(array(found.into_iter().map(|it| translate::entry(session, it)).collect(), next))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(body): OptionalJson<Cancel>,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let input = Input::Cancel { reason: reason(body)? };
    intend(&api, &asker, &wheel, &id, input).await
}

pub(crate) async fn pause(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    intend(&api, &asker, &wheel, &id, Input::Pause).await
}

pub(crate) async fn resume(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    intend(&api, &asker, &wheel, &id, Input::Resume).await
}

async fn intend(
    api: &Api,
    asker: &Asker,
    wheel: &Wheel,
    id: &orcha_wire::IdRef,
    input: Input,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let Session { id, objective, .. } = api.session(asker, id).await?;
    wheel.orch.submit(objective, Stimulus::Session(id, input)).await?;
    shown(api, asker, id).await
}

pub(crate) async fn retry(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<orcha_wire::Session>, ApiError> {
    let Session { id, objective, .. } = api.session(&asker, &id).await?;
    let made = wheel.orch.retry_session(objective, id).await?;
    shown(&api, &asker, made).await
}
