//! Every call, one line each: what goes in, what comes out, and its route.

use crate::client::with_query;
use crate::stream::{Item, News, Place, Resuming, Start};
use crate::{Client, ClientError, Page};
use futures::stream::BoxStream;
use orcha_wire::*;

macro_rules! calls {
    ($($(#[$doc:meta])* $shape:ident $name:ident($($arg:ty)?) -> $answer:ty = $route:ident;)+) => {
        impl Client {
            $(calls!(@$shape $(#[$doc])* $name($($arg)?) -> $answer = $route);)+
        }
    };
    (@plain $(#[$doc:meta])* $name:ident() -> $answer:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self) -> Result<$answer, ClientError> {
            self.take(self.ask(&routes::$route)).await
        }
    };
    (@send $(#[$doc:meta])* $name:ident($body:ty) -> $answer:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, request: &$body) -> Result<$answer, ClientError> {
            self.take(self.ask(&routes::$route).json(request)).await
        }
    };
    (@list $(#[$doc:meta])* $name:ident($query:ty) -> $row:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, query: &$query) -> Result<Page<$row>, ClientError> {
            self.take_page(with_query(self.ask(&routes::$route), query)).await
        }
    };
    (@at $(#[$doc:meta])* $name:ident() -> $answer:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, id: impl Into<IdRef>) -> Result<$answer, ClientError> {
            self.take(self.ask_at(&routes::$route, &id.into())).await
        }
    };
    (@send_at $(#[$doc:meta])* $name:ident($body:ty) -> $answer:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, id: impl Into<IdRef>, request: &$body) -> Result<$answer, ClientError> {
            self.take(self.ask_at(&routes::$route, &id.into()).json(request)).await
        }
    };
    (@list_at $(#[$doc:meta])* $name:ident($query:ty) -> $row:ty = $route:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, id: impl Into<IdRef>, query: &$query) -> Result<Page<$row>, ClientError> {
            self.take_page(with_query(self.ask_at(&routes::$route, &id.into()), query)).await
        }
    };
}

calls! {
    /// Lists objectives, newest change first.
    list objectives(ListObjectives) -> ObjectiveRow = LIST_OBJECTIVES;
    /// Makes an objective.
    send create_objective(CreateObjective) -> CreatedObjective = CREATE_OBJECTIVE;
    /// Returns an objective with its sessions, pull requests, questions and artifacts.
    at objective() -> ObjectiveDetail = GET_OBJECTIVE;
    /// Changes title, priority or limits of an objective.
    send_at edit_objective(EditObjective) -> Objective = EDIT_OBJECTIVE;
    /// Returns what an objective used.
    at objective_usage() -> ObjectiveUsage = OBJECTIVE_USAGE;
    /// Says something to an objective's manager.
    send_at steer_objective(Steer) -> Steered = STEER_OBJECTIVE;
    /// Ends an objective and everything that belongs to it.
    send_at cancel_objective(Cancel) -> Objective = CANCEL_OBJECTIVE;
    /// Pauses an objective.
    at pause_objective() -> Objective = PAUSE_OBJECTIVE;
    /// Lets an objective go on.
    at resume_objective() -> Objective = RESUME_OBJECTIVE;
    /// Gives an objective another chance.
    at retry_objective() -> Objective = RETRY_OBJECTIVE;

    /// Lists the files that came with an objective or a workflow.
    at attachments() -> Vec<Attachment> = OBJECTIVE_ATTACHMENTS;
    /// Returns a file that came with an objective, with what stands in it.
    at attachment() -> AttachmentContent = GET_ATTACHMENT;

    /// Lists sessions, newest change first.
    list sessions(ListSessions) -> SessionRow = LIST_SESSIONS;
    /// Returns a session.
    at session() -> Session = GET_SESSION;
    /// Tells where a running session's terminal is.
    at session_terminal() -> Terminal = SESSION_TERMINAL;
    /// Returns a part of a transcript, oldest first.
    list_at transcript(ListMessages) -> TranscriptEntry = SESSION_MESSAGES;
    /// Says something to a session's agent.
    send_at steer_session(Steer) -> Steered = STEER_SESSION;
    /// Lists what was said to a session's agent and how far it has come, newest first.
    list_at session_steering(ListSteering) -> SteeringMessage = SESSION_STEERING;
    /// Ends a session and its children.
    send_at cancel_session(Cancel) -> Session = CANCEL_SESSION;
    /// Pauses a session.
    at pause_session() -> Session = PAUSE_SESSION;
    /// Lets a session go on.
    at resume_session() -> Session = RESUME_SESSION;
    /// Tries a failed session again, as a new one.
    at retry_session() -> Session = RETRY_SESSION;

    /// Lists what was said to agents and how far it has come, newest first.
    list steering(ListSteering) -> SteeringMessage = LIST_STEERING;
    /// Returns a part of the journal, oldest first; the newest part if the query names no place.
    list events(ListEvents) -> Event = LIST_EVENTS;

    /// Lists the accounts that agents spend.
    plain providers() -> Vec<Provider> = LIST_PROVIDERS;

    /// Lists targets by name.
    plain targets() -> Vec<Target> = LIST_TARGETS;
    /// Registers a target.
    send create_target(CreateTarget) -> TargetReport = CREATE_TARGET;
    /// Returns a target.
    at target() -> Target = GET_TARGET;
    /// Changes a target.
    send_at edit_target(EditTarget) -> Target = EDIT_TARGET;
    /// Lets a target finish what it has.
    at drain_target() -> Target = DRAIN_TARGET;
    /// Lets a target take sessions again.
    at enable_target() -> Target = ENABLE_TARGET;
    /// Leaves a target alone.
    at disable_target() -> Target = DISABLE_TARGET;
    /// Looks at a target now.
    at check_target() -> TargetReport = CHECK_TARGET;
    /// Looks at what a target offers.
    at target_doctor() -> TargetDoctor = TARGET_DOCTOR;

    /// Lists questions, most urgent first.
    list questions(ListQuestions) -> Question = LIST_QUESTIONS;
    /// Returns a question.
    at question() -> Question = GET_QUESTION;
    /// Answers a question.
    send_at answer(Answer) -> Question = ANSWER_QUESTION;

    /// Lists pull requests, newest first.
    list pull_requests(ListPullRequests) -> PullRequest = LIST_PULL_REQUESTS;
    /// Returns a pull request with what was said about it.
    at pull_request() -> PullRequestDetail = GET_PULL_REQUEST;
    /// Asks the code host about a pull request now.
    at refresh_pull_request() -> PullRequest = REFRESH_PULL_REQUEST;
    /// Merges a pull request.
    send_at merge_pull_request(MergePr) -> PullRequest = MERGE_PULL_REQUEST;
    /// Closes a pull request without merging.
    send_at close_pull_request(ClosePr) -> PullRequest = CLOSE_PULL_REQUEST;
    /// Opens a closed pull request again.
    at reopen_pull_request() -> PullRequest = REOPEN_PULL_REQUEST;
    /// Comments on a pull request.
    send_at comment_pull_request(CommentPr) -> PullRequest = COMMENT_PULL_REQUEST;
    /// Reviews a pull request.
    send_at review_pull_request(ReviewPr) -> PullRequest = REVIEW_PULL_REQUEST;
    /// Reports what a check says about the head of a pull request.
    send_at check_pull_request(CheckPr) -> PullRequest = CHECK_PULL_REQUEST;
    /// Says something to whoever works on a pull request.
    send_at steer_pull_request(Steer) -> Steered = STEER_PULL_REQUEST;

    /// Lists projects by name.
    plain projects() -> Vec<Project> = LIST_PROJECTS;
    /// Registers a repository.
    send create_project(CreateProject) -> Project = CREATE_PROJECT;
    /// Changes a project.
    send_at edit_project(EditProject) -> Project = EDIT_PROJECT;
    /// Deletes a project; its repository stays as it is.
    at delete_project() -> Deleted = DELETE_PROJECT;

    /// Lists workspaces, newest first.
    list workspaces(ListWorkspaces) -> Workspace = LIST_WORKSPACES;
    /// Returns a workspace with its snapshots.
    at workspace() -> WorkspaceDetail = GET_WORKSPACE;
    /// Puts a snapshot back into a folder of its own.
    send_at restore_workspace(RestoreWorkspace) -> Restored = RESTORE_WORKSPACE;
    /// Lets a workspace go if that loses nothing.
    at reclaim_workspace() -> Workspace = RECLAIM_WORKSPACE;

    /// Makes a workflow.
    send create_workflow(CreateWorkflow) -> Workflow = CREATE_WORKFLOW;
    /// Returns a workflow, whole.
    at workflow() -> Workflow = GET_WORKFLOW;
    /// Ends a workflow.
    send_at cancel_workflow(Cancel) -> WorkflowMoved = CANCEL_WORKFLOW;
    /// Lets a workflow rest.
    at pause_workflow() -> WorkflowMoved = PAUSE_WORKFLOW;
    /// Lets a workflow go on.
    at resume_workflow() -> WorkflowMoved = RESUME_WORKFLOW;
    /// Sends a workflow back to a step.
    send_at retry_workflow(RetryWorkflow) -> WorkflowMoved = RETRY_WORKFLOW;
    /// Does without a task.
    send_at skip_task(SkipTask) -> WorkflowMoved = SKIP_TASK;
    /// Adds a task by hand.
    send_at add_task(AddTask) -> WorkflowMoved = ADD_TASK;
    /// Makes the same workflow anew.
    at clone_workflow() -> WorkflowMoved = CLONE_WORKFLOW;
    /// Agrees to what a workflow waits with, or says what is to be different.
    send_at approve_workflow(Approve) -> WorkflowMoved = APPROVE_WORKFLOW;
    /// Writes a document in a role's place.
    send_at edit_workflow(EditDocument) -> WorkflowMoved = EDIT_WORKFLOW;
    /// Lists the templates of workflows.
    plain templates() -> WorkflowTemplates = LIST_TEMPLATES;

    /// Lists versions of texts that steer roles, newest first.
    list customizations(ListCustomizations) -> Customization = LIST_CUSTOMIZATIONS;
    /// Writes a version of a text.
    send set_customization(SetCustomization) -> Customization = SET_CUSTOMIZATION;
    /// Returns a version of a text.
    at customization() -> Customization = GET_CUSTOMIZATION;
    /// Brings the words of a version back.
    at revert_customization() -> Customization = REVERT_CUSTOMIZATION;
    /// Takes a text out of use.
    at retire_customization() -> Customization = RETIRE_CUSTOMIZATION;
    /// Lists tool servers.
    plain mcp_servers() -> Vec<McpServer> = LIST_MCP_SERVERS;
    /// Lists proposals, newest first.
    list proposals(ListProposals) -> Proposal = LIST_PROPOSALS;
    /// Returns a proposal with its trial.
    at proposal() -> Proposal = GET_PROPOSAL;
    /// Puts a proposal on trial.
    at approve_proposal() -> Proposal = APPROVE_PROPOSAL;
    /// Declines a proposal.
    send_at decline_proposal(WhyNot) -> Proposal = DECLINE_PROPOSAL;
    /// Goes back to the text before an adopted proposal.
    send_at revert_proposal(WhyNot) -> Proposal = REVERT_PROPOSAL;
    /// Searches finished runs now.
    plain search_runs() -> Searched = SEARCH_RUNS;
    /// Lists how finished workflows went, newest first.
    list runs(ListRuns) -> Run = LIST_RUNS;

    /// Explains why something does not move; takes the id of any noun.
    at why() -> Why = WHY;
    /// Looks at what the daemon and all its targets need.
    plain doctor() -> Doctor = DOCTOR;
    /// Returns how the daemon fares.
    plain health() -> Health = HEALTH;
    /// Returns who is asking.
    plain whoami() -> Whoami = WHOAMI;
    /// Lists the named tokens of all tenants.
    plain tokens() -> Vec<ApiToken> = LIST_TOKENS;
    /// Makes a named token, and tells it once.
    send create_token(CreateToken) -> CreatedToken = CREATE_TOKEN;
    /// Revokes a named token.
    at revoke_token() -> Deleted = REVOKE_TOKEN;
    /// Makes a link that logs a browser in, once.
    plain login_link() -> LoginLink = LOGIN_LINK;
    /// Ends the daemon; agents go on.
    plain shutdown() -> Health = SHUTDOWN;
}

impl Client {
    /// Tells what a run of the scope would go by now.
    pub async fn resolve_customizations(
        &self,
        query: &ResolveCustomizations,
    ) -> Result<ResolvedCustomizations, ClientError> {
        self.take(with_query(self.ask(&routes::RESOLVE_CUSTOMIZATIONS), query)).await
    }

    /// Asks a provider which models it has now.
    pub async fn models(&self, provider: &str) -> Result<ProviderModels, ClientError> {
        self.take(self.ask_named(&routes::LIST_MODELS, provider)).await
    }

    /// Asks a tool server what it says of its tools now.
    pub async fn look_at_mcp_server(&self, name: &str) -> Result<McpServerLook, ClientError> {
        self.take(self.ask_named(&routes::LOOK_AT_MCP_SERVER, name)).await
    }

    /// Approves of what a tool server says of its tools.
    pub async fn pin_mcp_server(&self, name: &str, pin: &PinMcpServer) -> Result<McpServer, ClientError> {
        self.take(self.ask_named(&routes::PIN_MCP_SERVER, name).json(pin)).await
    }

    /// Takes that back.
    pub async fn unpin_mcp_server(&self, name: &str) -> Result<McpServer, ClientError> {
        self.take(self.ask_named(&routes::UNPIN_MCP_SERVER, name)).await
    }

    /// Lists workflows, newest first.
    pub async fn workflows(&self, query: &ListWorkflows) -> Result<WorkflowList, ClientError> {
        self.take(with_query(self.ask(&routes::LIST_WORKFLOWS), query)).await
    }

    /// Returns the journal of a workflow behind an event, or from its beginning, oldest first.
    pub async fn workflow_events(
        &self,
        id: impl Into<IdRef>,
        query: &ListWorkflowEvents,
    ) -> Result<WorkflowEvents, ClientError> {
        self.take(with_query(self.ask_at(&routes::WORKFLOW_EVENTS, &id.into()), query)).await
    }

    /// Streams the journal of a workflow from its beginning until it has ended, without a gap and without a repeat,
    /// through lost connections and restarts of the daemon.
    pub fn follow_workflow(&self, id: impl Into<IdRef>) -> BoxStream<'static, Result<WorkflowEvent, ClientError>> {
        let path = routes::WORKFLOW_STREAM.at(&id.into());
        Resuming::new(self.clone(), path, Vec::new(), Start::After(Place::default())).into_stream()
    }

    /// Streams the journal from `query.after` on, or from now on, for ever: neither a gap nor a repeat, through lost
    /// connections and restarts of the daemon. Gives up, with the last error, when nobody answered for a minute.
    pub fn follow_events(&self, query: StreamEvents) -> BoxStream<'static, Result<Event, ClientError>> {
        self.journal(&query).into_stream()
    }

    /// Like `follow_events`, with what agents do in between: each activity once at the most, and nothing of it comes
    /// again after a lost connection.
    pub fn follow_news(&self, query: StreamEvents) -> BoxStream<'static, Result<News, ClientError>> {
        self.journal(&query).into_stream()
    }

    fn journal<T: Item + Send + 'static>(&self, query: &StreamEvents) -> Resuming<T> {
        let start = query.after.map_or(Start::Now, |it| Start::After(it.into()));
        let filter = query.objective_id.iter().map(|id| ("objective_id", id.to_string())).collect();
        Resuming::new(self.clone(), routes::STREAM.path.to_owned(), filter, start)
    }

    /// Streams a session's transcript after an entry, until the session is over, in the same way.
    pub fn follow_transcript(
        &self,
        session: impl Into<IdRef>,
        after: u64,
    ) -> BoxStream<'static, Result<TranscriptEntry, ClientError>> {
        let path = routes::SESSION_STREAM.at(&session.into());
        Resuming::new(self.clone(), path, Vec::new(), Start::After(after.into())).into_stream()
    }
}
