//! Tool servers: which there are, what they say of their tools, and whether a person approved of that.
//!
//! Looking at one starts a program or goes to an address, and approving lends its tools: both are the operator's.

use crate::auth::Asker;
use crate::input::{Json, Name, Nothing, OptionalJson};
use crate::list::array;
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate::role;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_model::text::Author;
use orcha_model::tool_server::Transport;
use orcha_orch::{KnownServer, Looked};
use orcha_wire::{Code, McpServer, McpServerLook, McpServerStatus, McpTransport, PinMcpServer};

pub(crate) async fn list(State(api): State<Api>, asker: Asker) -> Result<Response, ApiError> {
    let all = api.orch.tool_servers(&asker.viewer.tenant, asker.viewer.scope.as_ref()).await?;
    Ok(array(all.iter().map(shown).collect(), None))
}

pub(crate) async fn look(
    State(api): State<Api>,
    asker: Asker,
    Name(name): Name,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<McpServerLook>, ApiError> {
    asker.operates()?;
    let known = api.orch.tool_server(&asker.actor, &name).await?;
    let seen = api.orch.look_at_tools(&known.server).await?;
    Ok(Answer(told(&known, seen)))
}

pub(crate) async fn pin(
    State(api): State<Api>,
    asker: Asker,
    Name(name): Name,
    Json(body): Json<PinMcpServer>,
) -> Result<Answer<McpServer>, ApiError> {
    asker.operates()?;
    let known = api.orch.tool_server(&asker.actor, &name).await?;
    let seen = api.orch.look_at_tools(&known.server).await?;
    // Nothing of ours failed, and nothing that passes by itself.
    let seen = seen.map_err(|fault| ApiError::new(Code::State, format!("`{name}` says nothing now: {fault}")))?;
    let now = seen.hash();
    if now != body.hash {
        let rule = format!("is not the hash of what `{name}` says now, which is {now}; look at it again");
        return Err(ApiError::invalid("hash", &rule));
    }
    let text = api.orch.approve_tools(&asker.name, &known.server, &seen).await?;
    Ok(Answer(shown(&KnownServer { approved: Some(text), ..known })))
}

pub(crate) async fn unpin(
    State(api): State<Api>,
    asker: Asker,
    Name(name): Name,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<McpServer>, ApiError> {
    asker.operates()?;
    let known = api.orch.tool_server(&asker.actor, &name).await?;
    let Some(text) = &known.approved else {
        return Err(ApiError::new(Code::Conflict, format!("nobody has approved of the tools of `{name}`")));
    };
    api.orch.retire_text(&asker.name, &text.tenant, text.id).await?;
    Ok(Answer(shown(&KnownServer { approved: None, ..known })))
}

fn told(known: &KnownServer, seen: Looked) -> McpServerLook {
    let (tools, fault) = match seen {
        Ok(tools) => (Some(tools), None),
        Err(fault) => (None, Some(fault)),
    };
    let unspeakable = tools.iter().flat_map(|it| it.iter()).filter(|it| it.spelt(&known.server.name).is_none());
    McpServerLook {
        server: shown(known),
        left_out: unspeakable.map(|it| it.name.clone()).collect(),
        hash: tools.as_ref().map(|it| it.hash()),
        tools: tools.as_ref().map(|it| it.text()),
        fault,
        pinned: known.approved.as_ref().map(|it| it.body.clone()),
    }
}

fn shown(it: &KnownServer) -> McpServer {
    let author = it.approved.as_ref().map(|text| match &text.author {
        Author::Person { name } => name.clone(),
        Author::Proposal { .. } => "proposal".to_owned(),
    });
    let server = &it.server;
    McpServer {
        name: server.name.clone(),
        scope: server.scope.to_string(),
        transport: match server.transport {
            Transport::Stdio => McpTransport::Stdio,
            Transport::Http => McpTransport::Http,
        },
        place: server.place.clone(),
        roles: server.roles.iter().map(|it| role(*it)).collect(),
        writes: server.writes,
        status: match (&server.hash, &it.approved) {
            (Some(_), _) => McpServerStatus::PinnedBySettings,
            (None, Some(_)) => McpServerStatus::Pinned,
            (None, None) => McpServerStatus::Unpinned,
        },
        hash: it.hash(),
        customization_id: it.approved.as_ref().map(|it| it.id),
        pinned_by: author,
        pinned_at: it.approved.as_ref().map(|it| it.created_at),
    }
}
