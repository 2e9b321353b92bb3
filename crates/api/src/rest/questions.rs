//! Questions to the user, and their answers.

use super::Wheel;
use crate::auth::Asker;
use crate::input::{Id, Json, Query};
use crate::list::{Wanted, answer as page};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answered;
use axum::extract::State;
use axum::response::Response;
use orcha_base::QuestionId;
use orcha_model::Question;
use orcha_model::question::{Input, State as Stands};
use orcha_plan::Stimulus;
use orcha_store::{Cursor, Page, Paged};
use orcha_wire::{Answer, ListQuestions, QuestionStatus};

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListQuestions>,
) -> Result<Response, ApiError> {
    let Some(objective) = &query.objective_id else {
        if query.state.is_some_and(|it| it != QuestionStatus::Open) {
            return Err(ApiError::invalid(
                "state",
                "other than `open` is listed for one objective: add `objective_id`",
            ));
        }
        // As many as people can have open: there is one page.
        let limit = crate::list::limit(query.limit, Page::MAX)?;
        if query.after.is_some() {
            return Err(ApiError::invalid("after", "is not used here: all open questions stand on one page"));
        }
        let items = api.orch.store().open_questions(&asker.viewer, limit).await?;
        return Ok(page(Paged { items, next: None }, |it| translate::question(&it)));
    };
    let wanted = Wanted::new(query.after, query.limit)?;
    let objective = api.objective(&asker, objective).await?.id;
    let (store, viewer) = (api.orch.store(), &asker.viewer);
    let state = query.state.unwrap_or(QuestionStatus::Open);
    let keep = |it: &Question| translate::question(it).status == state;
    let key = |it: &Question| Cursor { at: it.created_at, id: it.id.to_string() };
    let found = wanted.pages(|page| store.questions_of(viewer, objective, page), keep, key).await?;
    Ok(page(found, |it| translate::question(&it)))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answered<orcha_wire::Question>, ApiError> {
    Ok(Answered(translate::question(&api.question(&asker, &id).await?)))
}

pub(crate) async fn answer(
    State(api): State<Api>,
    asker: Asker,
    wheel: Wheel,
    Id(id): Id,
    Json(body): Json<Answer>,
) -> Result<Answered<orcha_wire::Question>, ApiError> {
    let question = api.question(&asker, &id).await?;
    if question.state == Stands::Open && (body.answer.trim().is_empty() || body.answer.len() > 64 * 1024) {
        return Err(ApiError::invalid("answer", "must have between 1 byte and 64 KiB"));
    }
    let id = question.id;
    let input = Input::Answer { answer: body.answer };
    wheel.orch.submit(question.objective, Stimulus::Question(id, input)).await?;
    let now = api.orch.store().question(&asker.viewer, id).await?;
    Ok(Answered(translate::question(&now.ok_or_else(|| ApiError::unknown(QuestionId::NOUN, id))?)))
}
