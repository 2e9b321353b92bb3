//! Roles: one row says what a role may do. Nothing else in the system asks "is it a manager?".

use crate::tool_server::Lends;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// What a session is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Steers an objective by tools; writes nothing itself.
    Manager,
    /// Changes the project.
    Implementer,
    /// Judges another session's work.
    Reviewer,
    /// Builds, runs and tests.
    Validator,
    /// Finds out and reports.
    Researcher,
    /// Works off the feedback on a pull request.
    PrFollowup,
    /// Repairs the checks of a pull request.
    CiFollowup,
    /// Whatever its goal says.
    Custom,
    /// Says what kind of work a request is, and how it is delivered.
    Director,
    /// Writes constitution and requirements.
    ProjectManager,
    /// Designs, and splits the work into tasks.
    Architect,
    /// Judges the result against the request.
    Qa,
    /// Writes what people read of the delivery.
    Finalizer,
    /// Looks back, and proposes what to do better.
    Refiner,
}

/// A tool that the daemon offers to agents.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Tool {
    /// Creates a worker session.
    SpawnSession,
    /// Asks the user.
    AskUser,
    /// Opens a pull request for a finished worker.
    PublishPr,
    /// Pushes to, or edits, a pull request.
    UpdatePr,
    /// Comments on a pull request.
    CommentPr,
    /// Sends somebody to work off feedback.
    AddressPrFeedback,
    /// Lists the objective's worker sessions.
    ListChildren,
    /// Writes to a worker.
    MessageSession,
    /// Keeps a note.
    CreateNote,
    /// Ends the objective.
    MarkObjectiveDone,
    /// Cancels a worker.
    CancelSession,
    /// Hands in a result.
    ReportResult,
    /// Hands in a review.
    SubmitReview,
    /// Hands in what a part of a workflow asks for.
    HandIn,
    /// Reads a file that came with the request.
    ReadAttachment,
}

/// A tool that an agent without tools of its own has in its workspace.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LocalTool {
    /// Reads a file.
    Read,
    /// Lists a folder.
    List,
    /// Looks for text in files.
    Search,
    /// Writes a whole file.
    Write,
    /// Replaces a passage of a file.
    Edit,
    /// Applies a patch.
    Patch,
    /// Runs a command.
    Run,
    /// Fetches an address.
    Fetch,
}

/// Which checkout a role works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkout {
    /// A fresh one of its own, if the objective names a repository; otherwise an empty folder.
    Own,
    /// A checkout of the pull request's branch.
    PullRequest,
    /// None, even if the objective names a repository: an empty folder.
    Nothing,
}

/// What a role may do and how it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleTraits {
    /// Its tools.
    pub tools: &'static [Tool],
    /// The tools that it has in its workspace, if its agent brings none of its own.
    pub local_tools: &'static [LocalTool],
    /// What it may have of tool servers, if the operator lends it some and its agent brings no tools of its own.
    pub servers: Lends,
    /// Its checkout.
    pub checkout: Checkout,
    /// Whether it takes a place of its target and of the cap.
    pub counts: bool,
    /// Whether it stays after a turn to be woken again, instead of being done.
    pub stays: bool,
    /// Whether a manager may create it by `spawn_session`.
    pub spawnable: bool,
    /// Whether it is expected to leave commits behind.
    pub produces_commits: bool,
    /// Whether its success needs a pull request whose head moved since it started.
    pub must_move_head: bool,
}

const MANAGER_TOOLS: &[Tool] = &[
    Tool::SpawnSession,
    Tool::AskUser,
    Tool::PublishPr,
    Tool::UpdatePr,
    Tool::CommentPr,
    Tool::AddressPrFeedback,
    Tool::ListChildren,
    Tool::MessageSession,
    Tool::CreateNote,
    Tool::MarkObjectiveDone,
    Tool::CancelSession,
];
const WORKER_TOOLS: &[Tool] = &[Tool::ReportResult, Tool::CreateNote, Tool::AskUser];
const FOLLOWUP_TOOLS: &[Tool] = &[Tool::UpdatePr, Tool::CommentPr, Tool::CreateNote, Tool::AskUser, Tool::ReportResult];
/// What a part of a workflow hands in, it hands in by this; whatever its role.
const PART_TOOLS: &[Tool] = &[Tool::HandIn, Tool::CreateNote, Tool::AskUser];
/// Those who look at a result ask nobody: what they cannot find out is a finding.
const LOOKER_TOOLS: &[Tool] = &[Tool::HandIn, Tool::CreateNote];
const LOOK: &[LocalTool] = &[LocalTool::Read, LocalTool::List, LocalTool::Search];
const WORK: &[LocalTool] = &[
    LocalTool::Read,
    LocalTool::List,
    LocalTool::Search,
    LocalTool::Write,
    LocalTool::Edit,
    LocalTool::Patch,
    LocalTool::Run,
    LocalTool::Fetch,
];
const REVIEWER_TOOLS: &[Tool] = &[Tool::SubmitReview, Tool::ReportResult, Tool::CreateNote, Tool::AskUser];

const WORKER: RoleTraits = RoleTraits {
    tools: WORKER_TOOLS,
    local_tools: WORK,
    servers: Lends::Everything,
    checkout: Checkout::Own,
    counts: true,
    stays: false,
    spawnable: true,
    produces_commits: false,
    must_move_head: false,
};

impl Role {
    /// Returns the row of this role.
    pub const fn traits(self) -> RoleTraits {
        match self {
            Self::Manager => RoleTraits {
                tools: MANAGER_TOOLS,
                local_tools: LOOK,
                servers: Lends::Looking,
                counts: false,
                stays: true,
                spawnable: false,
                ..WORKER
            },
            Self::Implementer | Self::Custom => RoleTraits { produces_commits: true, ..WORKER },
            Self::Reviewer => {
                RoleTraits { tools: REVIEWER_TOOLS, local_tools: LOOK, servers: Lends::Looking, ..WORKER }
            }
            Self::Validator | Self::Researcher => WORKER,
            Self::Director => RoleTraits {
                tools: PART_TOOLS,
                local_tools: &[],
                servers: Lends::Nothing,
                checkout: Checkout::Nothing,
                spawnable: false,
                ..WORKER
            },
            Self::ProjectManager => RoleTraits {
                tools: PART_TOOLS,
                local_tools: &[],
                servers: Lends::Looking,
                checkout: Checkout::Nothing,
                spawnable: false,
                ..WORKER
            },
            Self::Architect => {
                RoleTraits { tools: PART_TOOLS, local_tools: LOOK, servers: Lends::Looking, spawnable: false, ..WORKER }
            }
            Self::Qa | Self::Finalizer => RoleTraits {
                tools: LOOKER_TOOLS,
                local_tools: LOOK,
                servers: Lends::Looking,
                spawnable: false,
                ..WORKER
            },
            Self::Refiner => RoleTraits {
                tools: LOOKER_TOOLS,
                local_tools: &[],
                servers: Lends::Nothing,
                checkout: Checkout::Nothing,
                spawnable: false,
                ..WORKER
            },
            Self::PrFollowup => RoleTraits {
                tools: FOLLOWUP_TOOLS,
                checkout: Checkout::PullRequest,
                spawnable: false,
                produces_commits: true,
                ..WORKER
            },
            Self::CiFollowup => RoleTraits {
                tools: FOLLOWUP_TOOLS,
                checkout: Checkout::PullRequest,
                spawnable: false,
                produces_commits: true,
                must_move_head: true,
                ..WORKER
            },
        }
    }

    /// Tells whether it only looks: none of its tools changes a file, and neither may an agent with tools of its own.
    pub fn only_looks(self) -> bool {
        let changes = |tool: &LocalTool| match tool {
            LocalTool::Write | LocalTool::Edit | LocalTool::Patch | LocalTool::Run => true,
            LocalTool::Read | LocalTool::List | LocalTool::Search | LocalTool::Fetch => false,
        };
        !self.traits().local_tools.iter().any(changes)
    }

    /// Returns the tools of a session: a part of a workflow hands in, it does not report.
    pub const fn tools(self, is_part: bool) -> &'static [Tool] {
        match self {
            Self::Implementer if is_part => PART_TOOLS,
            _ => self.traits().tools,
        }
    }

    /// Returns the tools of a session whose objective came with files, or with none.
    pub fn offered(self, is_part: bool, files: bool) -> impl Iterator<Item = Tool> {
        self.tools(is_part).iter().copied().chain(files.then_some(Tool::ReadAttachment))
    }

    /// Returns the name as it stands in JSON, SQL and branch names.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
