//! Files that come with a request: taken with it, listed, and read back.

use super::{objectives, workflows};
use crate::auth::Asker;
use crate::input::Id;
use crate::list::array;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use data_encoding::BASE64;
use orcha_model::contract::Output;
use orcha_model::workflow::Phase;
use orcha_model::{Attachment, attachment};
use orcha_orch::Files;
use orcha_store::Loaded;
use orcha_wire::attachment::{AttachmentContent, AttachmentStatus, NewAttachment};

/// The longest body of a request that may bring files: all of them in base64, and the request.
pub(crate) const LONGEST_BODY: usize = attachment::TOGETHER / 3 * 4 + 2 * 1024 * 1024;

/// Takes the files of a request.
pub(super) fn taken(files: Vec<NewAttachment>) -> Result<Files, ApiError> {
    if files.len() > attachment::MOST {
        let rule = format!("must be at most {} files", attachment::MOST);
        return Err(ApiError::invalid("attachments", &rule));
    }
    let bytes = |it: NewAttachment| match (it.text, it.base64) {
        (Some(text), None) => Ok((it.name, text.into_bytes())),
        (None, Some(coded)) => match BASE64.decode(coded.as_bytes()) {
            Ok(bytes) => Ok((it.name, bytes)),
            Err(fault) => Err(ApiError::invalid("attachments", &format!("must have good base64: {fault}"))),
        },
        _ => Err(ApiError::invalid("attachments", "must each have either `text` or `base64`")),
    };
    let uploads = files.into_iter().map(bytes).collect::<Result<_, _>>()?;
    Ok(Files::take(uploads)?)
}

pub(crate) async fn of_workflow(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Response, ApiError> {
    let (world, _) = workflows::load(&api, &asker, &id).await?;
    Ok(listed(&world))
}

pub(crate) async fn of_objective(State(api): State<Api>, asker: Asker, id: Id) -> Result<Response, ApiError> {
    Ok(listed(&objectives::load(&api, &asker, &id).await?))
}

pub(crate) async fn show(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<AttachmentContent>, ApiError> {
    let it = api.attachment(&asker, &id).await?;
    let world = objectives::load(&api, &asker, &Id(it.objective.into())).await?;
    let bytes = api.orch.attached_bytes(&it).await?;
    Ok(Answer(AttachmentContent { attachment: told(&it, &world), base64: BASE64.encode(&bytes) }))
}

fn listed(world: &Loaded) -> Response {
    array(world.attachments.iter().map(|it| told(it, world)).collect(), None)
}

fn told(it: &Attachment, world: &Loaded) -> orcha_wire::Attachment {
    let digest = world.workflow.as_ref().and_then(|it| it.left.digest);
    let digest = digest.and_then(|id| world.hand_ins.iter().find(|it| it.id == id)).map(|it| &it.output);
    let summary = match digest {
        Some(Output::Digest(digest)) => {
            digest.files.iter().find(|of| of.name == it.file.name).map(|it| it.summary.clone())
        }
        _ => None,
    };
    let at_it = world.workflow.as_ref().is_some_and(|it| it.phase == Phase::Digest);
    let status = match (&summary, it.file.needs_summary()) {
        (Some(_), _) | (None, false) => AttachmentStatus::Completed,
        // Where no roles follow each other, nobody sums anything up.
        (None, true) if world.workflow.is_none() => AttachmentStatus::Completed,
        (None, true) if !at_it => AttachmentStatus::Pending,
        (None, true) if world.objective.is_over() => AttachmentStatus::Failed,
        (None, true) => AttachmentStatus::Processing,
    };
    orcha_wire::Attachment {
        id: it.id,
        workflow_id: it.objective,
        tenant_id: it.tenant.to_string(),
        scope_id: it.scope.to_string(),
        filename: it.file.name.clone(),
        content_type: it.file.media.clone(),
        encoding: it.file.encoding.to_string(),
        size_bytes: it.file.bytes,
        sha256: it.file.sha256.clone(),
        chunk_count: it.file.parts,
        status,
        whole: !it.file.needs_summary(),
        summary,
        created_at: it.created_at,
    }
}
