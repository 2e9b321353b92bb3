//! Every route, once: the daemon registers them, the client builds its addresses from them, and a test walks
//! them without a token.
//!
//! `{id}` in a path is a full id or a unique short one. What goes in and comes out stands in the table, and the
//! document for other programs is made from it (see `openapi`). Verbs answer with the noun as it is afterwards, whose
//! `status` is where the published API said what had happened.

use crate::IdRef;
use schemars::{Schema, SchemaGenerator};

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the methods are HTTP's")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Returns the method as HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A method and a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{id}` where an id stands.
    pub path: &'static str,
}

impl Route {
    /// Returns the path with the id in its place.
    pub fn at(&self, id: &IdRef) -> String {
        self.path.replace("{id}", id.as_str())
    }

    /// Tells whether it takes a query string.
    pub fn takes_query(&self) -> bool {
        DESCRIBED.iter().any(|it| it.route == *self && it.query.is_some())
    }
}

/// Returns the published path of a route of workflows, their providers or their customizations, which serves as well:
/// clients of that API find it there.
pub fn published(route: &Route) -> Option<String> {
    let there = ["/workflow", "/providers", "/customizations"].iter().any(|it| route.path.starts_with(it));
    there.then(|| format!("/api/v1{}", route.path))
}

/// What goes into a route and comes out of it. Types stand as what makes their schemas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described {
    pub route: Route,
    /// The route's name in lower case.
    pub name: &'static str,
    /// What it does, in lines.
    pub says: &'static [&'static str],
    pub query: Option<Type>,
    pub body: Option<Type>,
    /// Whether the body may be left out.
    pub may_be_empty: bool,
    pub status: u16,
    pub answer: Answer,
}

/// Makes the schema of a type.
pub(crate) type Type = fn(&mut SchemaGenerator) -> Schema;

/// What comes out of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// One document.
    One(Type),
    /// A list; the header [`NEXT_CURSOR`](crate::NEXT_CURSOR) tells where it goes on.
    List(Type),
    /// Server-sent events with one document each.
    Stream(Type),
    /// A file, as it is.
    File,
    /// A document that describes itself.
    OpenApi,
    /// A redirect, or a page for people.
    Redirect,
}

macro_rules! answer {
    ([$type:ident]) => {
        Answer::List(|it| it.subschema_for::<crate::$type>())
    };
    ({$type:ident}) => {
        Answer::Stream(|it| it.subschema_for::<crate::$type>())
    };
    ((file)) => {
        Answer::File
    };
    ((openapi)) => {
        Answer::OpenApi
    };
    ((redirect)) => {
        Answer::Redirect
    };
    ($type:ident) => {
        Answer::One(|it| it.subschema_for::<crate::$type>())
    };
}

macro_rules! first {
    () => {
        None::<Type>
    };
    ($type:ident) => {
        Some((|it| it.subschema_for::<crate::$type>()) as Type)
    };
}

/// One line per route: method, path, what it takes (`query`, `body`, or a body that `may` be left out), the status
/// of success, and what it answers with: one document, `[a list]` or `{events}`.
macro_rules! routes {
    ($($(#[doc = $doc:literal])+ $name:ident = $method:ident $path:literal
        $(query $query:ident)? $(body $body:ident)? $(may $may:ident)? => $status:literal $answer:tt;)+) => {
        $($(#[doc = $doc])+ pub const $name: Route = Route { method: Method::$method, path: $path };)+

        /// Every route.
        pub const ALL: &[Route] = &[$($name),+];

        /// Every route with what it takes and answers.
        pub(crate) const DESCRIBED: &[Described] = &[$(Described {
            route: $name,
            name: stringify!($name),
            says: &[$($doc),+],
            query: first!($($query)?),
            body: first!($($body)? $($may)?),
            may_be_empty: first!($($body)?).is_none(),
            status: $status,
            answer: answer!($answer),
        }),+];
    };
}

routes! {
    /// Lists objectives, the newest change first.
    LIST_OBJECTIVES = Get "/api/objectives" query ListObjectives => 200 [ObjectiveRow];
    /// Makes an objective and starts it.
    CREATE_OBJECTIVE = Post "/api/objectives" body CreateObjective => 201 CreatedObjective;
    /// Shows an objective with everything that belongs to it, except for transcripts.
    GET_OBJECTIVE = Get "/api/objectives/{id}" => 200 ObjectiveDetail;
    /// Changes an objective; what is left out stays as it is.
    EDIT_OBJECTIVE = Patch "/api/objectives/{id}" body EditObjective => 200 Objective;
    /// Tells what the sessions of an objective used.
    OBJECTIVE_USAGE = Get "/api/objectives/{id}/usage" => 200 ObjectiveUsage;
    /// Says something to the objective's manager.
    STEER_OBJECTIVE = Post "/api/objectives/{id}/steer" body Steer => 200 Steered;
    /// Ends an objective with all its sessions.
    CANCEL_OBJECTIVE = Post "/api/objectives/{id}/cancel" may Cancel => 200 Objective;
    /// Lets an objective rest.
    PAUSE_OBJECTIVE = Post "/api/objectives/{id}/pause" => 200 Objective;
    /// Lets an objective go on.
    RESUME_OBJECTIVE = Post "/api/objectives/{id}/resume" => 200 Objective;
    /// Gives the managers of a live objective another chance. One that has ended is made anew under a new id, which
    /// the answer carries.
    RETRY_OBJECTIVE = Post "/api/objectives/{id}/retry" => 200 Objective;

    /// Lists the files that came with an objective, in their order.
    OBJECTIVE_ATTACHMENTS = Get "/api/objectives/{id}/attachments" => 200 [Attachment];
    /// Shows a file that came with an objective, with what stands in it.
    GET_ATTACHMENT = Get "/api/attachments/{id}" => 200 AttachmentContent;

    /// Lists sessions, the newest change first.
    LIST_SESSIONS = Get "/api/sessions" query ListSessions => 200 [SessionRow];
    /// Shows a session.
    GET_SESSION = Get "/api/sessions/{id}" => 200 Session;
    /// Tells where a running session's terminal is, if its agent has one.
    SESSION_TERMINAL = Get "/api/sessions/{id}/terminal" => 200 Terminal;
    /// Reads a session's transcript, oldest first.
    SESSION_MESSAGES = Get "/api/sessions/{id}/messages" query ListMessages => 200 [TranscriptEntry];
    /// Says something to a session's agent.
    STEER_SESSION = Post "/api/sessions/{id}/messages" body Steer => 200 Steered;
    /// Lists what was said to a session's agent from outside, newest first.
    SESSION_STEERING = Get "/api/sessions/{id}/steering" query ListSteering => 200 [SteeringMessage];
    /// Ends a session and the sessions that depend on it.
    CANCEL_SESSION = Post "/api/sessions/{id}/cancel" may Cancel => 200 Session;
    /// Lets a session rest.
    PAUSE_SESSION = Post "/api/sessions/{id}/pause" => 200 Session;
    /// Lets a session go on.
    RESUME_SESSION = Post "/api/sessions/{id}/resume" => 200 Session;
    /// Makes a session again that has ended; `metadata.retries` of the new one names the old one.
    RETRY_SESSION = Post "/api/sessions/{id}/retry" => 200 Session;
    /// Streams a session's transcript. The `id` of an event is its `seq`; the event `end` comes when the session is
    /// over and everything was sent.
    SESSION_STREAM = Get "/api/sessions/{id}/stream" query StreamMessages => 200 {TranscriptEntry};

    /// Lists what was said to agents from outside, newest first.
    LIST_STEERING = Get "/api/messages" query ListSteering => 200 [SteeringMessage];
    /// Streams the journal. The `id` of an event is its number.
    STREAM = Get "/api/stream" query StreamEvents => 200 {Event};
    /// Reads the journal, oldest first; without `after` the newest page.
    LIST_EVENTS = Get "/api/events" query ListEvents => 200 [Event];

    /// Lists targets by name.
    LIST_TARGETS = Get "/api/targets" => 200 [Target];
    /// Registers a target and looks at it.
    CREATE_TARGET = Post "/api/targets" body CreateTarget => 201 TargetReport;
    /// Shows a target.
    GET_TARGET = Get "/api/targets/{id}" => 200 Target;
    /// Changes a target; what is left out stays as it is.
    EDIT_TARGET = Patch "/api/targets/{id}" body EditTarget => 200 Target;
    /// Lets a target take nothing new.
    DRAIN_TARGET = Post "/api/targets/{id}/drain" => 200 Target;
    /// Lets a target take sessions again.
    ENABLE_TARGET = Post "/api/targets/{id}/enable" => 200 Target;
    /// Switches a target off.
    DISABLE_TARGET = Post "/api/targets/{id}/disable" => 200 Target;
    /// Looks at a target now; the answer says so if it is not well.
    CHECK_TARGET = Post "/api/targets/{id}/healthcheck" => 200 TargetReport;
    /// Looks at what a target offers: programs, agents, isolation, room; and says what to do about each gap.
    TARGET_DOCTOR = Get "/api/targets/{id}/doctor" => 200 TargetDoctor;
    /// Looks at what a target offers, as the published API asks for it.
    TARGET_DOCTOR_NOW = Post "/api/targets/{id}/doctor" => 200 TargetDoctor;

    /// Lists the accounts that agents spend: their windows, which of them are not called now, and who waits.
    LIST_PROVIDERS = Get "/api/providers" => 200 [Provider];
    /// Lists the kinds of agents that can play a role, and what each can do.
    LIST_KINDS = Get "/providers" => 200 AgentKinds;
    /// Asks a provider which models it has now. Its id is its name.
    LIST_MODELS = Get "/providers/{id}/models" => 200 ProviderModels;
    /// Looks whether a provider answers; no model is called. Its id is its name.
    TEST_PROVIDER = Post "/providers/{id}/test" => 200 ProviderTest;

    /// Lists questions: the open ones, most urgent first, then oldest.
    LIST_QUESTIONS = Get "/api/questions" query ListQuestions => 200 [Question];
    /// Shows a question.
    GET_QUESTION = Get "/api/questions/{id}" => 200 Question;
    /// Answers a question.
    ANSWER_QUESTION = Post "/api/questions/{id}/answer" body Answer => 200 Question;

    /// Lists pull requests, newest first.
    LIST_PULL_REQUESTS = Get "/api/pull-requests" query ListPullRequests => 200 [PullRequest];
    /// Shows a pull request with what was said about it.
    GET_PULL_REQUEST = Get "/api/pull-requests/{id}" => 200 PullRequestDetail;
    /// Asks the code host about a pull request now.
    REFRESH_PULL_REQUEST = Post "/api/pull-requests/{id}/refresh" => 200 PullRequest;
    /// Merges a pull request.
    MERGE_PULL_REQUEST = Post "/api/pull-requests/{id}/merge" may MergePr => 200 PullRequest;
    /// Closes a pull request without merging.
    CLOSE_PULL_REQUEST = Post "/api/pull-requests/{id}/close" may ClosePr => 200 PullRequest;
    /// Opens a closed pull request again.
    REOPEN_PULL_REQUEST = Post "/api/pull-requests/{id}/reopen" => 200 PullRequest;
    /// Comments on a pull request, as a person.
    COMMENT_PULL_REQUEST = Post "/api/pull-requests/{id}/comment" body CommentPr => 200 PullRequest;
    /// Reviews a pull request, as a person.
    REVIEW_PULL_REQUEST = Post "/api/pull-requests/{id}/review" body ReviewPr => 200 PullRequest;
    /// Reports what a check says about the head of a pull request.
    CHECK_PULL_REQUEST = Post "/api/pull-requests/{id}/check" body CheckPr => 200 PullRequest;
    /// Says something to whoever works on a pull request.
    STEER_PULL_REQUEST = Post "/api/pull-requests/{id}/steer" body Steer => 200 Steered;

    /// Lists projects by repository.
    LIST_PROJECTS = Get "/api/projects" => 200 [Project];
    /// Registers a repository.
    CREATE_PROJECT = Post "/api/projects" body CreateProject => 201 Project;
    /// Changes a project; what is left out stays as it is.
    EDIT_PROJECT = Put "/api/projects/{id}" body EditProject => 200 Project;
    /// Forgets a project; objectives keep their repositories.
    DELETE_PROJECT = Delete "/api/projects/{id}" => 200 Deleted;

    /// Lists workspaces, newest first.
    LIST_WORKSPACES = Get "/api/workspaces" query ListWorkspaces => 200 [Workspace];
    /// Shows a workspace with what was kept of it.
    GET_WORKSPACE = Get "/api/workspaces/{id}" => 200 WorkspaceDetail;
    /// Puts a snapshot back into a folder of its own.
    RESTORE_WORKSPACE = Post "/api/workspaces/{id}/restore" may RestoreWorkspace => 200 Restored;
    /// Lets a workspace go if that loses nothing.
    RECLAIM_WORKSPACE = Post "/api/workspaces/{id}/reclaim" => 200 Workspace;

    /// Lists workflows, newest first.
    LIST_WORKFLOWS = Get "/workflows" query ListWorkflows => 200 WorkflowList;
    /// Makes a workflow and starts it.
    CREATE_WORKFLOW = Post "/workflows" body CreateWorkflow => 201 Workflow;
    /// Shows a workflow, whole.
    GET_WORKFLOW = Get "/workflows/{id}" => 200 Workflow;
    /// Lists the files that came with a workflow, in their order, with what is said of them.
    WORKFLOW_ATTACHMENTS = Get "/workflows/{id}/attachments" => 200 [Attachment];
    /// Reads the journal of a workflow, oldest first.
    WORKFLOW_EVENTS = Get "/workflows/{id}/events" query ListWorkflowEvents => 200 WorkflowEvents;
    /// Streams the journal of a workflow from its beginning. The `id` of an event is that of the document. When the
    /// workflow has ended and everything was sent, `stream.closed` comes last.
    WORKFLOW_STREAM = Get "/workflows/{id}/stream" query StreamWorkflow => 200 {WorkflowEvent};
    /// Hands out the file that a workflow was delivered as: archive, export or draft. Its name stands in
    /// `content-disposition`, its SHA-256 is the `etag`.
    WORKFLOW_DELIVERY = Get "/workflows/{id}/delivery" => 200 (file);
    /// Ends a workflow with all its sessions; running calls are cut off.
    CANCEL_WORKFLOW = Post "/workflows/{id}/cancel" may Cancel => 200 WorkflowMoved;
    /// Lets a workflow rest.
    PAUSE_WORKFLOW = Post "/workflows/{id}/pause" => 200 WorkflowMoved;
    /// Lets a workflow go on with the very step that it stood at.
    RESUME_WORKFLOW = Post "/workflows/{id}/resume" => 200 WorkflowMoved;
    /// Sends a workflow back to a step, which is done anew with all after it.
    RETRY_WORKFLOW = Post "/workflows/{id}/retry" body RetryWorkflow => 200 WorkflowMoved;
    /// Does without a task.
    SKIP_TASK = Post "/workflows/{id}/skip" body SkipTask => 200 WorkflowMoved;
    /// Adds a task by hand.
    ADD_TASK = Post "/workflows/{id}/tasks" body AddTask => 200 WorkflowMoved;
    /// Makes the same workflow anew, under an id of its own.
    CLONE_WORKFLOW = Post "/workflows/{id}/clone" => 201 WorkflowMoved;
    /// Agrees to the plan or the result that a workflow waits with, or says what is to be different.
    APPROVE_WORKFLOW = Post "/workflows/{id}/approve" body Approve => 200 WorkflowMoved;
    /// Writes charter or design in the role's place, while the workflow is paused or waits for a person.
    EDIT_WORKFLOW = Post "/workflows/{id}/edit" body EditDocument => 200 WorkflowMoved;
    /// Lists the templates.
    LIST_TEMPLATES = Get "/workflow-templates" => 200 WorkflowTemplates;
    /// Shows a template. Its id is its name.
    GET_TEMPLATE = Get "/workflow-templates/{id}" => 200 WorkflowTemplate;

    /// Lists versions of texts that steer roles, newest first: those in use, or all.
    LIST_CUSTOMIZATIONS = Get "/api/customizations" query ListCustomizations => 200 [Customization];
    /// Writes a version of a text. Runs that begin from now on go by it. For the operator.
    SET_CUSTOMIZATION = Put "/api/customizations" body SetCustomization => 200 Customization;
    /// Tells what a run of the scope would go by now, and what a role would be told.
    RESOLVE_CUSTOMIZATIONS = Get "/api/customizations/resolve" query ResolveCustomizations => 200 ResolvedCustomizations;
    /// Tells by which texts a run of the scope would go now, in the published shape.
    SCOPE_CUSTOMIZATIONS = Get "/customizations/resolve" => 200 ScopeCustomizations;
    /// Shows a version of a text.
    GET_CUSTOMIZATION = Get "/api/customizations/{id}" => 200 Customization;
    /// Brings the words of a version back, as a new version. For the operator.
    REVERT_CUSTOMIZATION = Post "/api/customizations/{id}/revert" => 200 Customization;
    /// Takes a text out of use; its versions stay. For the operator.
    RETIRE_CUSTOMIZATION = Post "/api/customizations/{id}/retire" => 200 Customization;
    /// Lists the tool servers that the settings lend to roles: of the scope, or of all that the token opens.
    LIST_MCP_SERVERS = Get "/api/mcp-servers" => 200 [McpServer];
    /// Asks a tool server what it says of its tools now. Its id is its name. For the operator.
    LOOK_AT_MCP_SERVER = Post "/api/mcp-servers/{id}/look" => 200 McpServerLook;
    /// Approves of what a tool server says of its tools: sessions that are launched from now on get them. For the operator.
    PIN_MCP_SERVER = Post "/api/mcp-servers/{id}/pin" body PinMcpServer => 200 McpServer;
    /// Takes that back: sessions that are launched from now on do not get them. For the operator.
    UNPIN_MCP_SERVER = Post "/api/mcp-servers/{id}/unpin" => 200 McpServer;
    /// Lists proposals to change texts, newest first.
    LIST_PROPOSALS = Get "/api/proposals" query ListProposals => 200 [Proposal];
    /// Searches finished runs now for what comes again, as it is done once a day. For the operator.
    SEARCH_RUNS = Post "/api/proposals/search" => 200 Searched;
    /// Shows a proposal with its trial.
    GET_PROPOSAL = Get "/api/proposals/{id}" => 200 Proposal;
    /// Puts a proposal on trial. For the operator.
    APPROVE_PROPOSAL = Post "/api/proposals/{id}/approve" => 200 Proposal;
    /// Declines a proposal; a trial of it ends. For the operator.
    DECLINE_PROPOSAL = Post "/api/proposals/{id}/decline" body WhyNot => 200 Proposal;
    /// Goes back to the text that was in use before a proposal was adopted. For the operator.
    REVERT_PROPOSAL = Post "/api/proposals/{id}/revert" body WhyNot => 200 Proposal;
    /// Lists how finished workflows went, newest first.
    LIST_RUNS = Get "/api/runs" query ListRuns => 200 [Run];

    /// Tells why something does not move, for the id of any noun.
    WHY = Get "/api/why/{id}" => 200 Why;
    /// Tells how the daemon fares.
    HEALTH = Get "/api/health" => 200 Health;
    /// Looks at what the daemon and all its targets need, and says what to do about each gap.
    DOCTOR = Get "/api/doctor" => 200 Doctor;
    /// Tells who is asking.
    WHOAMI = Get "/api/whoami" => 200 Whoami;
    /// Lists the named tokens of all tenants. For the operator.
    LIST_TOKENS = Get "/api/tokens" => 200 [ApiToken];
    /// Makes a named token that opens one tenant. For the operator.
    CREATE_TOKEN = Post "/api/tokens" body CreateToken => 201 CreatedToken;
    /// Revokes a named token, at once and with the browsers that it logged in. For the operator.
    REVOKE_TOKEN = Delete "/api/tokens/{id}" => 200 Deleted;
    /// Makes a link that logs a browser in, once.
    LOGIN_LINK = Post "/api/login-link" => 200 LoginLink;
    /// Redirects to the first page, with the cookie that logs the browser in. The only route that needs no token.
    LOGIN = Get "/login" query LoginTicket => 303 (redirect);
    /// Ends the daemon; agents go on.
    SHUTDOWN = Post "/api/shutdown" => 200 Health;
    /// Describes every route: this document.
    OPENAPI = Get "/api/openapi.json" => 200 (openapi);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice_and_all_ids_are_called_id() {
        let mut seen = ALL.to_vec();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), ALL.len());
        for route in ALL {
            assert_eq!(route.path.contains('{'), route.path.contains("{id}"), "{route:?}");
        }
    }

    #[test]
    fn an_id_takes_its_place() {
        let id = "deadbeef".parse().unwrap();
        assert_eq!(CANCEL_SESSION.at(&id), "/api/sessions/deadbeef/cancel");
    }
}
