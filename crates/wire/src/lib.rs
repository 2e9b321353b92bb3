//! Floor 1: what clients and the daemon say to each other over HTTP.
//!
//! Requests, responses, error codes and routes; nothing else serialises for clients. The names are those of
//! the published supervisor API, with more fields where this system knows more. Nothing here decides, asks a
//! database or knows how the mind represents a noun: `orcha-api` translates.
//!
//! Rules that hold everywhere:
//!
//! - A request refuses fields that it does not know. A response may gain fields at any time.
//! - An optional field that is empty is left out. A list is `[]`, never `null` and never left out.
//! - Instants are RFC 3339 text in UTC.
//! - A list that has more to give names the place to go on in the header [`NEXT_CURSOR`]; the client hands it
//!   back as `?after=`. The body stays a plain array.
//! - Server-sent events carry one JSON document each in `data`, their sequence number as `id`, and no name. Two have a
//!   name and no number: [`END`] says that the stream is complete and there is nothing to reconnect for, and
//!   [`ACTIVITY`] tells of an [`Activity`], which is not kept.

mod names;
mod object;

pub mod attachment;
pub mod doctor;
pub mod event;
pub mod health;
pub mod id;
pub mod mcp_server;
pub mod objective;
pub mod openapi;
pub mod problem;
pub mod project;
pub mod provider;
pub mod pull_request;
pub mod query;
pub mod question;
pub mod refine;
pub mod routes;
pub mod session;
pub mod target;
pub mod token;
pub mod transcript;
pub mod why;
pub mod workflow;
pub mod workspace;

pub use attachment::{Attachment, AttachmentContent, AttachmentStatus, NewAttachment};
pub use doctor::{CheckGrade, Doctor, DoctorCheck, TargetDoctor};
pub use event::{Activity, Event};
pub use health::{Health, HealthStatus, LoginLink, Whoami};
pub use id::{IdRef, InvalidIdRef};
pub use mcp_server::{McpServer, McpServerLook, McpServerStatus, McpTransport, PinMcpServer};
pub use names::UnknownName;
pub use objective::{
    Artifact, ArtifactKind, Cancel, CreateObjective, CreatedObjective, EditObjective, Limits, Objective,
    ObjectiveDetail, ObjectiveMetadata, ObjectiveRow, ObjectiveStatus, ObjectiveUsage, ProviderUsage, SessionUsage,
    Strategy, Usage, Visibility,
};
pub use problem::{Code, Problem};
pub use project::{
    CreateProject, Deleted, EditProject, PermissionMode, PermissionRule, PermissionRules, Project, SandboxChoice,
    SandboxRules,
};
pub use provider::{
    AgentKind, AgentKinds, Provider, ProviderModel, ProviderModels, ProviderStatus, ProviderTest, ProviderWaiting,
    ProviderWindow,
};
pub use pull_request::{
    CheckPr, CheckVerdict, ChecksState, ClosePr, Comment, CommentKind, CommentPr, Feedback, FeedbackKind,
    FeedbackState, MergeMethod, MergePr, PullRequest, PullRequestDetail, PullRequestStatus, ReviewPr, ReviewState,
    ReviewVerdict, Trust,
};
pub use query::{
    ListEvents, ListMessages, ListObjectives, ListPullRequests, ListQuestions, ListSessions, ListSteering,
    ListWorkspaces, LoginTicket, StreamEvents, StreamMessages,
};
pub use question::{Answer, Question, QuestionStatus};
pub use refine::{
    Customization, CustomizationKind, CustomizationSource, CustomizationStatus, ListCustomizations, ListProposals,
    ListRuns, PolicyRule, Proposal, ProposalStatus, ProposalTrial, ResolveCustomizations, ResolvedCustomizations, Run,
    RunTrouble, ScopeCustomizations, Searched, SetCustomization, TrialSide, WhyNot,
};
pub use routes::{Method, Route};
pub use session::{
    Phase, Session, SessionMetadata, SessionMode, SessionRole, SessionRow, SessionStatus, Terminal, Turn,
};
pub use target::{CreateTarget, EditTarget, Target, TargetKind, TargetReport, TargetStatus};
pub use token::{ApiToken, CreateToken, CreatedToken};
pub use transcript::{MessageKind, MessageSource, Steer, Steered, SteeringMessage, SteeringState, TranscriptEntry};
pub use why::Why;
pub use workflow::{
    AddTask, Approvals, Approve, CreateWorkflow, EditDocument, EventType, ListWorkflowEvents, ListWorkflows, Persona,
    PersonaChoice, RetryWorkflow, SkipTask, Step, StreamSource, StreamWorkflow, Task, TaskStatus, Workflow,
    WorkflowEvent, WorkflowEvents, WorkflowList, WorkflowMoved, WorkflowRow, WorkflowStatus, WorkflowTemplate,
    WorkflowTemplates,
};
pub use workspace::{
    RestoreWorkspace, Restored, Snapshot, Vcs, Workspace, WorkspaceDetail, WorkspaceKind, WorkspaceStatus,
};

/// The response header of a list that says where to go on; absent when there is nothing more.
pub const NEXT_CURSOR: &str = "x-next-cursor";

/// The name of the last event of a stream that is complete.
pub const END: &str = "end";

/// The name of the events that tell what an agent is doing.
pub const ACTIVITY: &str = "activity";

/// The request header that picks a tenant among those that the credential opens.
pub const TENANT_HEADER: &str = "x-tenant-id";

/// The request header that picks a scope among those that the credential opens.
pub const SCOPE_HEADER: &str = "x-scope-id";

/// The request header by which a client resumes a stream after the event that it saw last.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// How many rows a list holds when the client names no limit.
pub const DEFAULT_LIMIT: u32 = 200;

/// How many transcript entries a page holds when the client names no limit.
pub const DEFAULT_MESSAGES: u32 = 500;

/// How many rows a list holds at most.
pub const MAX_LIMIT: u32 = 1000;
