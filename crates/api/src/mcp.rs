//! The tools that the daemon offers to agents, over Streamable HTTP.
//!
//! Every request proves who asks by the credential of its session, and by nothing else: there is no state between
//! requests, so a restarted daemon, an old session header or a missing `initialize` does not come between an agent
//! and its tools. What a role may call stands in `orcha_model::Role`; what a tool does is decided by the wheel.

mod arguments;
mod find;
mod limit;
mod schema;
#[cfg(test)]
mod tests;
mod tools;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use limit::RateLimit;
use orcha_model::{Contract, Role, Tool};
use orcha_orch::{Orch, SubmitError};
use orcha_plan::World;
use orcha_store::CredentialOwner;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use std::collections::BTreeMap;
use std::sync::Arc;
use strum::IntoEnumIterator;
use tools::{Call, Failed};
use tracing::{debug, warn};

/// How many requests a session may make within a minute. A call is one; a client that connects makes four.
const PER_MINUTE: u32 = 600;
/// The longest request, in bytes.
const LONGEST: usize = 1024 * 1024;
/// Where agents of the `claude` kind say which use of a tool a call is; a repeated call has the same.
const TOOL_USE: &str = "claudecode/toolUseId";

/// Returns the routes of the tools, to be nested where agents are told to find them.
///
/// The hosts are those by which the daemon may be addressed; none means loopback. A request with an `Origin` comes
/// from a web page, never from an agent, and is refused.
pub fn routes(orch: Orch, allowed_hosts: Vec<String>) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LONGEST)
        .with_cancellation_token(orch.stopping())
        .enforce_origin_validation();
    // An empty list would let every host in.
    let config = if allowed_hosts.is_empty() { config } else { config.with_allowed_hosts(allowed_hosts) };
    let offers = Tool::iter().map(|tool| (tool, offer(tool))).collect();
    let server = Server { orch: orch.clone(), offers: Arc::new(offers) };
    let service =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    let door = Arc::new(Door { orch, limit: RateLimit::per_minute(PER_MINUTE) });
    Router::new().route_service("/", service).layer(middleware::from_fn_with_state(door, enter))
}

/// What stands before the tools.
struct Door {
    orch: Orch,
    limit: RateLimit,
}

/// Lets a request in whose credential is good, and tells the tools whose it is.
async fn enter(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    if door.orch.stopping().is_cancelled() {
        return away("the daemon is shutting down");
    }
    let Some(token) = bearer(request.headers()) else {
        return nobody("a session's credential is needed: Authorization: Bearer …");
    };
    let owner = match door.orch.authenticate(token).await {
        Ok(Some(owner)) => owner,
        Ok(None) => {
            return nobody("this credential is not good, or not any more: its session has ended or was restarted");
        }
        Err(fault) => {
            warn!(error = %fault, "a credential could not be checked");
            return away("the credential could not be checked now");
        }
    };
    if let Err(wait) = door.limit.count(owner.session, door.orch.now()) {
        let seconds = wait.as_secs() + 1;
        debug!(session.id = %owner.session, "session {} makes too many requests", owner.session);
        let why = format!("more than {PER_MINUTE} requests within a minute; wait {seconds} seconds\n");
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], why).into_response();
    }
    request.extensions_mut().insert(owner);
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= 512).then_some(token)
}

fn nobody(why: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], format!("{why}\n")).into_response()
}

fn away(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], format!("{why}\n")).into_response()
}

/// Makes what `tools/list` says of a tool.
fn offer(tool: Tool) -> rmcp::model::Tool {
    let (description, schema) = tools::describe(tool);
    rmcp::model::Tool::new(<&'static str>::from(tool), description, Arc::new(schema))
}

/// Makes what `tools/list` says of handing in, to whoever hands in by this contract.
fn asking_for(offer: &rmcp::model::Tool, contract: Contract) -> rmcp::model::Tool {
    let mut schema = (*offer.input_schema).clone();
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.insert("output".into(), contract.schema());
    }
    let mut offer = offer.clone();
    offer.input_schema = Arc::new(schema);
    offer
}

/// The tools of everybody; each request sees those of its role.
#[derive(Clone, Debug)]
struct Server {
    orch: Orch,
    offers: Arc<BTreeMap<Tool, rmcp::model::Tool>>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let mut config = ServerConfig::new(capabilities).with_instructions(
            "The tools of your session. What they refuse, they explain; do not repeat a refused call unchanged.",
        );
        config.server_info = Implementation::new("orcha", env!("CARGO_PKG_VERSION"));
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let owner = owner(&context)?;
        let seen = self.look(owner).await.map_err(|fault| ErrorData::internal_error(fault.in_words(), None))?;
        let offers = seen.tools(owner.role).filter_map(|it| match (it, seen.part) {
            (Tool::HandIn, Some(Some(contract))) => self.offers.get(&it).map(|it| asking_for(it, contract)),
            _ => self.offers.get(&it).cloned(),
        });
        Ok(ListToolsResult::with_all_items(offers.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let owner = owner(&context)?;
        let id = context.meta.0.0.get(TOOL_USE).and_then(|it| it.as_str());
        match self.call(owner, &request.name, request.arguments.unwrap_or_default(), id).await {
            Ok(answer) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
                result.structured_content = Some(answer.data);
                Ok(result.into())
            }
            Err(Failed::Submit(SubmitError::ShuttingDown)) if self.orch.stopping().is_cancelled() => {
                // Not an answer: whoever asks again will find the next daemon. The transport ends the request.
                context.ct.cancelled().await;
                Err(ErrorData::internal_error("the daemon is shutting down", None))
            }
            Err(failed) => {
                match &failed {
                    Failed::Wrong(_) | Failed::Submit(SubmitError::Refused(_)) => {
                        debug!(session.id = %owner.session, tool = %request.name, "refused: {}", failed.in_words());
                    }
                    Failed::Submit(_) | Failed::Read(_) => {
                        warn!(session.id = %owner.session, tool = %request.name, "a tool failed: {}", failed.in_words());
                    }
                }
                Ok(CallToolResult::error(vec![ContentBlock::text(failed.in_words())]).into())
            }
        }
    }
}

/// What the tools of a session depend on.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Whether it plays a step of a workflow, and what it hands in.
    part: Option<Option<Contract>>,
    /// Whether files came with its objective.
    files: bool,
}

impl Seen {
    fn tools(self, role: Role) -> impl Iterator<Item = Tool> {
        role.offered(self.part.is_some(), self.files)
    }
}

impl Server {
    /// Looks at what the tools of the asker depend on.
    async fn look(&self, owner: &CredentialOwner) -> Result<Seen, Failed> {
        let session = owner.session;
        let look = move |world: &World| Seen {
            part: world.sessions.get(&session).and_then(|it| it.part.as_ref()).map(|it| it.phase.contract()),
            files: !world.attachments.is_empty(),
        };
        Ok(self.orch.view(owner.objective, look).await?)
    }

    async fn call(
        &self,
        owner: &CredentialOwner,
        name: &str,
        arguments: rmcp::model::JsonObject,
        id: Option<&str>,
    ) -> Result<tools::Answer, Failed> {
        let mine: Vec<Tool> = self.look(owner).await?.tools(owner.role).collect();
        let tool = mine.iter().copied().find(|it| it.to_string() == name);
        let (Some(tool), Some(offer)) = (tool, tool.and_then(|it| self.offers.get(&it))) else {
            let mine: Vec<String> = mine.iter().map(ToString::to_string).collect();
            let role = schema::a_role(owner.role);
            let name = schema::shown(name);
            return Err(format!("there is no tool `{name}` for {role}; there are {}", mine.join(", ")).into());
        };
        let hint = tools::hint(tool, &arguments);
        let arguments = schema::check(&offer.input_schema, arguments).map_err(|wrong| {
            format!("{tool}: {wrong}{}{}", if hint.is_some() { " " } else { "" }, hint.unwrap_or_default())
        })?;
        let key = id.map(|id| tools::key_of(owner, tool, id, &arguments));
        Call { orch: &self.orch, owner, key }.run(tool, arguments).await
    }
}

/// Tells whose request it is: what the door found out.
fn owner(context: &RequestContext<RoleServer>) -> Result<&CredentialOwner, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    parts
        .and_then(|it| it.extensions.get::<CredentialOwner>())
        .ok_or_else(|| ErrorData::internal_error("the request came in by another door", None))
}
