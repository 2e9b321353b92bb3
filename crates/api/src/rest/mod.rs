//! The routes of the published API, one module per noun. Each handler reads, finds, hands one wish to the wheel and
//! answers with the noun as it is afterwards.

pub(crate) mod attachments;
mod daemon;
mod doctor;
mod download;
mod events;
mod mcp_servers;
mod objectives;
mod projects;
mod providers;
mod pull_requests;
mod questions;
mod refine;
mod sessions;
mod steering;
mod targets;
mod templates;
mod tokens;
mod why;
pub(crate) mod workflows;
mod workspaces;

use crate::auth::Asker;
use crate::problem::ApiError;
use crate::shared::Api;
use crate::stream;
use axum::extract::FromRequestParts;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::request::Parts;
use orcha_orch::Orch;
use orcha_wire::Route;
use orcha_wire::openapi::IDEMPOTENCY_KEY;
use orcha_wire::routes as at;

/// Returns the handler of a route; none only for one that the wire knows and this crate does not.
pub(crate) fn handler(route: &Route) -> Option<MethodRouter<Api>> {
    Some(match *route {
        at::LIST_OBJECTIVES => get(objectives::list),
        at::CREATE_OBJECTIVE => post(objectives::create),
        at::GET_OBJECTIVE => get(objectives::show),
        at::EDIT_OBJECTIVE => patch(objectives::edit),
        at::OBJECTIVE_USAGE => get(objectives::usage),
        at::STEER_OBJECTIVE => post(steering::objective),
        at::CANCEL_OBJECTIVE => post(objectives::cancel),
        at::PAUSE_OBJECTIVE => post(objectives::pause),
        at::RESUME_OBJECTIVE => post(objectives::resume),
        at::RETRY_OBJECTIVE => post(objectives::retry),

        at::OBJECTIVE_ATTACHMENTS => get(attachments::of_objective),
        at::GET_ATTACHMENT => get(attachments::show),

        at::LIST_SESSIONS => get(sessions::list),
        at::GET_SESSION => get(sessions::show),
        at::SESSION_TERMINAL => get(sessions::terminal),
        at::SESSION_MESSAGES => get(sessions::messages),
        at::STEER_SESSION => post(steering::session),
        at::SESSION_STEERING => get(steering::of_session),
        at::CANCEL_SESSION => post(sessions::cancel),
        at::PAUSE_SESSION => post(sessions::pause),
        at::RESUME_SESSION => post(sessions::resume),
        at::RETRY_SESSION => post(sessions::retry),
        at::SESSION_STREAM => get(stream::messages),

        at::LIST_STEERING => get(steering::list),
        at::STREAM => get(stream::events),
        at::LIST_EVENTS => get(events::list),

        at::LIST_TARGETS => get(targets::list),
        at::CREATE_TARGET => post(targets::create),
        at::GET_TARGET => get(targets::show),
        at::EDIT_TARGET => patch(targets::edit),
        at::DRAIN_TARGET => post(targets::drain),
        at::ENABLE_TARGET => post(targets::enable),
        at::DISABLE_TARGET => post(targets::disable),
        at::CHECK_TARGET => post(targets::check),
        at::TARGET_DOCTOR => get(doctor::target),
        at::TARGET_DOCTOR_NOW => post(doctor::target_now),

        at::LIST_PROVIDERS => get(providers::list),
        at::LIST_KINDS => get(providers::kinds),
        at::LIST_MODELS => get(providers::models),
        at::TEST_PROVIDER => post(providers::test),

        at::LIST_QUESTIONS => get(questions::list),
        at::GET_QUESTION => get(questions::show),
        at::ANSWER_QUESTION => post(questions::answer),

        at::LIST_PULL_REQUESTS => get(pull_requests::list),
        at::GET_PULL_REQUEST => get(pull_requests::show),
        at::REFRESH_PULL_REQUEST => post(pull_requests::refresh),
        at::MERGE_PULL_REQUEST => post(pull_requests::merge),
        at::CLOSE_PULL_REQUEST => post(pull_requests::close),
        at::REOPEN_PULL_REQUEST => post(pull_requests::reopen),
        at::COMMENT_PULL_REQUEST => post(pull_requests::comment),
        at::REVIEW_PULL_REQUEST => post(pull_requests::review),
        at::CHECK_PULL_REQUEST => post(pull_requests::check),
        at::STEER_PULL_REQUEST => post(steering::pull_request),

        at::LIST_PROJECTS => get(projects::list),
        at::CREATE_PROJECT => post(projects::create),
        at::EDIT_PROJECT => put(projects::edit),
        at::DELETE_PROJECT => delete(projects::remove),

        at::LIST_WORKSPACES => get(workspaces::list),
        at::GET_WORKSPACE => get(workspaces::show),
        at::RESTORE_WORKSPACE => post(workspaces::restore),
        at::RECLAIM_WORKSPACE => post(workspaces::reclaim),

        at::LIST_WORKFLOWS => get(workflows::list),
        at::CREATE_WORKFLOW => post(workflows::create),
        at::GET_WORKFLOW => get(workflows::show),
        at::WORKFLOW_ATTACHMENTS => get(attachments::of_workflow),
        at::WORKFLOW_EVENTS => get(workflows::events),
        at::WORKFLOW_STREAM => get(stream::workflow),
        at::WORKFLOW_DELIVERY => get(download::delivery),
        at::CANCEL_WORKFLOW => post(workflows::cancel),
        at::PAUSE_WORKFLOW => post(workflows::pause),
        at::RESUME_WORKFLOW => post(workflows::resume),
        at::RETRY_WORKFLOW => post(workflows::retry),
        at::SKIP_TASK => post(workflows::skip),
        at::ADD_TASK => post(workflows::add_task),
        at::CLONE_WORKFLOW => post(workflows::clone),
        at::APPROVE_WORKFLOW => post(workflows::approve),
        at::EDIT_WORKFLOW => post(workflows::edit),
        at::LIST_TEMPLATES => get(templates::list),
        at::GET_TEMPLATE => get(templates::show),

        at::LIST_CUSTOMIZATIONS => get(refine::list),
        at::SET_CUSTOMIZATION => put(refine::set),
        at::RESOLVE_CUSTOMIZATIONS => get(refine::resolve),
        at::SCOPE_CUSTOMIZATIONS => get(refine::of_scope),
        at::GET_CUSTOMIZATION => get(refine::show),
        at::REVERT_CUSTOMIZATION => post(refine::revert),
        at::RETIRE_CUSTOMIZATION => post(refine::retire),
        at::LIST_MCP_SERVERS => get(mcp_servers::list),
        at::LOOK_AT_MCP_SERVER => post(mcp_servers::look),
        at::PIN_MCP_SERVER => post(mcp_servers::pin),
        at::UNPIN_MCP_SERVER => post(mcp_servers::unpin),
        at::LIST_PROPOSALS => get(refine::proposals),
        at::SEARCH_RUNS => post(refine::search),
        at::GET_PROPOSAL => get(refine::proposal),
        at::APPROVE_PROPOSAL => post(refine::approve),
        at::DECLINE_PROPOSAL => post(refine::decline),
        at::REVERT_PROPOSAL => post(refine::revert_proposal),
        at::LIST_RUNS => get(refine::runs),

        at::WHY => get(why::why),
        at::HEALTH => get(daemon::health),
        at::DOCTOR => get(doctor::daemon),
        at::WHOAMI => get(daemon::whoami),
        at::LIST_TOKENS => get(tokens::list),
        at::CREATE_TOKEN => post(tokens::create),
        at::REVOKE_TOKEN => delete(tokens::revoke),
        at::LOGIN_LINK => post(daemon::login_link),
        at::LOGIN => get(daemon::login),
        at::SHUTDOWN => post(daemon::shutdown),
        at::OPENAPI => get(daemon::openapi),
        _ => return None,
    })
}

/// The wheel for one request. With the header `idempotency-key`, what is handed in takes effect once, however often
/// the request is made.
pub(crate) struct Wheel {
    pub orch: Orch,
    /// The request's own key, if it has one.
    pub key: Option<String>,
}

impl FromRequestParts<Api> for Wheel {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let asker = Asker::from_request_parts(parts, api).await.map_err(|_| crate::auth::unauthorized())?;
        let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self { orch: api.orch.clone(), key: None });
        };
        let key = crate::once::key(key)?;
        // The same key at another place, or of somebody else, is another request.
        let key = format!("{} {} {} {key}", crate::once::of(&asker), parts.method, parts.uri.path());
        Ok(Self { orch: api.orch.once(key.clone()), key: Some(key) })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_route_of_the_wire_has_a_handler() {
        for route in orcha_wire::routes::ALL {
            assert!(super::handler(route).is_some(), "{route:?} has none");
        }
    }
}
