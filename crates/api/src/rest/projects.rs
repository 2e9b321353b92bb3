//! Projects: repositories with their settings.

use crate::auth::Asker;
use crate::input::{Id, Json};
use crate::list::array;
use crate::permissions;
use crate::problem::ApiError;
use crate::shared::Api;
use crate::tag::{Tag, Tagged};
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use orcha_base::ProjectId;
use orcha_model::{Project, Refusal};
use orcha_orch::SubmitError;
use orcha_wire::{Code, CreateProject, Deleted, EditProject};
use uuid::Uuid;

/// How often an edit is made anew because of others.
const TRIES: u32 = 10;

pub(crate) async fn list(State(api): State<Api>, asker: Asker) -> Result<Response, ApiError> {
    let all = api.orch.store().projects(&asker.viewer).await?;
    Ok(array(all.iter().map(translate::project).collect(), None))
}

pub(crate) async fn create(
    State(api): State<Api>,
    asker: Asker,
    Json(body): Json<CreateProject>,
) -> Result<(StatusCode, Answer<orcha_wire::Project>), ApiError> {
    asker.may_name(&body.repo)?;
    if body.permissions.is_some() {
        // They may loosen what the operator's settings say.
        asker.operates()?;
    }
    if let Some(known) = api.orch.store().project_by_repo(&asker.viewer, &body.repo).await? {
        return Err(ApiError::new(Code::Conflict, format!("the repository is project {} already", known.id)));
    }
    let now = api.orch.now();
    let project = Project {
        id: ProjectId::from_uuid(Uuid::now_v7()),
        tenant: asker.actor.tenant.clone(),
        scope: asker.actor.scope.clone(),
        name: named(body.name.unwrap_or_else(|| translate::repo_name(&body.repo)))?,
        repo: body.repo,
        base_branch: body.base_branch,
        permissions: body.permissions.map_or(Ok(Default::default()), permissions::from_wire)?,
        created_at: now,
        updated_at: now,
    };
    api.orch.put_project(project.clone()).await?;
    Ok((StatusCode::CREATED, Answer(translate::project(&project))))
}

pub(crate) async fn edit(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    headers: HeaderMap,
    Json(body): Json<EditProject>,
) -> Result<Tagged<orcha_wire::Project>, ApiError> {
    for _ in 0..TRIES {
        let old = api.project(&asker, &id).await?;
        let named = Tag::project(&old).is_named(&headers)?;
        let new = edited(&asker, &old, body.clone())?;
        match api.orch.edit_project(&old, new).await {
            Ok(project) => return Ok(Tag::project(&project).with(translate::project(&project))),
            // Whoever did not say what it looked at edits whatever is there.
            Err(SubmitError::Refused(Refusal::Changed { .. })) if !named => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Err(ApiError::new(Code::Conflict, "somebody else edits it all the time; try again"))
}

fn edited(asker: &Asker, old: &Project, edit: EditProject) -> Result<Project, ApiError> {
    let mut project = old.clone();
    if let Some(name) = edit.name {
        project.name = named(name)?;
    }
    if let Some(repo) = edit.repo {
        asker.may_name(&repo)?;
        project.repo = repo;
    }
    match edit.base_branch.as_deref() {
        None => {}
        Some("") => project.base_branch = None,
        Some(branch) => {
            let branch = branch.parse().map_err(|wrong: orcha_base::InvalidName| {
                ApiError::new(Code::Invalid, wrong.to_string()).at("base_branch")
            })?;
            project.base_branch = Some(branch);
        }
    }
    if let Some(rules) = edit.permissions {
        // They may loosen what the operator's settings say.
        asker.operates()?;
        project.permissions = permissions::from_wire(rules)?;
    }
    Ok(project)
}

pub(crate) async fn remove(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<Deleted>, ApiError> {
    let project = api.project(&asker, &id).await?;
    api.orch.remove_project(project.id).await?;
    Ok(Answer(Deleted::default()))
}

fn named(name: String) -> Result<String, ApiError> {
    if name.trim().is_empty() || name.len() > 200 || name.contains('\n') {
        return Err(ApiError::invalid("name", "must be one line of 1 to 200 bytes"));
    }
    Ok(name)
}
