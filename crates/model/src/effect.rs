//! What must be done in the world. An effect leaves nothing to choose: it carries everything.
//!
//! Executors may run twice; each variant says why twice is once.

use crate::contract::CheckCommand;
use crate::delivery::{Action, Document, Settings};
use crate::record::NounId;
use crate::role::Role;
use crate::session::AgentChoice;
use crate::workflow::Part;
use orcha_base::{
    Attempt, BranchName, CheckRunId, MessageId, PullRequestId, RepoUrl, Revision, SessionId, Sha, TargetId, Timestamp,
    WorkflowId, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something to do, with everything that is needed to do it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Make a checkout, or an empty folder. Twice is once: the folder is named after the workspace and a
    /// marker says that it is finished.
    Prepare(Prepare),
    /// Start the agent. Twice is once: the run is named after session and attempt, and is looked for first.
    Launch(Launch),
    /// End the agent's process and all its descendants, then snapshot. Twice is once: ended is ended, and
    /// an unchanged tree makes no second snapshot.
    Stop(Stop),
    /// Say something to the agent. Twice is once: the message is marked as sent before, and its id is the
    /// key that the run's input log knows.
    Deliver(Deliver),
    /// Interrupt the turn. Twice is once: keyed like a message.
    Interrupt {
        /// The session.
        session: SessionId,
        /// The attempt whose turn it is.
        attempt: Attempt,
        /// The target.
        target: TargetId,
        /// The message on whose behalf.
        on_behalf_of: MessageId,
    },
    /// Answer an agent that asks whether it may do something. Twice is once: keyed by its request.
    Permit(Permit),
    /// Commit what is left, push, open a pull request. Twice is once: exact commit, then look-up by head.
    Publish(Publish),
    /// Push to, or edit, a pull request. Twice is once: exact commit with a lease on the old one.
    UpdatePr(UpdatePr),
    /// Comment. Twice is once: a hidden marker carries the key.
    Comment {
        /// The pull request.
        pull_request: PullRequestId,
        /// The repository.
        repo: RepoUrl,
        /// Its number there.
        number: u64,
        /// The key.
        key: String,
        /// The text.
        body: String,
    },
    /// Merge at exactly this head. Twice is once: merged is merged.
    Merge {
        /// The pull request.
        pull_request: PullRequestId,
        /// The repository.
        repo: RepoUrl,
        /// Its number there.
        number: u64,
        /// How.
        method: MergeMethod,
        /// The head that was looked at.
        expected_head: Sha,
    },
    /// Close without merging. Twice is once.
    Close {
        /// The pull request.
        pull_request: PullRequestId,
        /// The repository.
        repo: RepoUrl,
        /// Its number there.
        number: u64,
    },
    /// Open again. Twice is once.
    Reopen {
        /// The pull request.
        pull_request: PullRequestId,
        /// The repository.
        repo: RepoUrl,
        /// Its number there.
        number: u64,
    },
    /// Delete a checkout, with proof that nothing is lost. Twice is once.
    Reclaim {
        /// The workspace.
        workspace: WorkspaceId,
        /// The session that wrote in it: its process is ended first.
        session: SessionId,
        /// Where it lies.
        target: TargetId,
        /// The repository, none for an empty folder.
        repo: Option<RepoUrl>,
    },
    /// Run the checks of a workflow's result in a clean checkout of its exact commit. Twice is once: whatever is left of
    /// the first time is thrown away, and the same commit has the same checks.
    Check(Check),
    /// End a run of checks, nobody wants to know any more. Twice is once.
    StopCheck {
        /// The run.
        run: CheckRunId,
        /// The session whose result is checked.
        session: SessionId,
    },
    /// Deliver the result of a workflow otherwise than as a pull request. Twice is once: a delivery has a key, and is found
    /// under it; a branch that is at the commit is not pushed again.
    DeliverResult(Box<DeliverResult>),
    /// Bring a snapshot back into the workspace's folder. Twice is once: it names the snapshot.
    Restore {
        /// The workspace.
        workspace: WorkspaceId,
        /// The session that wrote in it.
        session: SessionId,
        /// Where it lies.
        target: TargetId,
        /// The repository.
        repo: RepoUrl,
        /// The snapshot's commit.
        snapshot: Sha,
    },
}

/// See [`Effect::Prepare`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The session that waits for it.
    pub session: SessionId,
    /// The attempt that waits for it.
    pub attempt: Attempt,
    /// Where.
    pub target: TargetId,
    /// The checkout; `None` for an empty folder.
    pub checkout: Option<Checkout>,
}

/// A checkout to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkout {
    /// The repository.
    pub repo: RepoUrl,
    /// The base branch; the repository's default branch if there is none.
    pub base: Option<BranchName>,
    /// The branch to work on.
    pub branch: BranchName,
    /// Where it starts.
    pub start: CheckoutStart,
}

/// Where a checkout starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "start", rename_all = "snake_case")]
pub enum CheckoutStart {
    /// At the freshly fetched base.
    Base,
    /// Where earlier workspaces ended, merged in this order.
    After {
        /// The workspaces, each with the branch that was worked on there.
        workspaces: Vec<(WorkspaceId, BranchName)>,
    },
    /// At the head of an existing branch of the repository.
    Branch,
}

/// See [`Effect::Launch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The session.
    pub session: SessionId,
    /// The attempt.
    pub attempt: Attempt,
    /// Where.
    pub target: TargetId,
    /// The role: decides its tools.
    pub role: Role,
    /// The step of a workflow that it plays: decides what it hands in.
    #[serde(default)]
    pub part: Option<Part>,
    /// Which agent.
    pub agent: AgentChoice,
    /// The folder to work in.
    pub dir: String,
    /// The conversation to go on with.
    pub resume: Option<String>,
    /// The id of a new conversation.
    pub conversation: String,
    /// The first thing to say; none when messages wait already.
    pub opening: Option<Opening>,
}

/// The first thing to say to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Its key.
    pub key: String,
    /// The text.
    pub text: String,
    /// The message that it is, if it is one.
    #[serde(default)]
    pub message: Option<MessageId>,
}

/// See [`Effect::Check`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The run.
    pub run: CheckRunId,
    /// The session whose result it is.
    pub session: SessionId,
    /// Its checkout.
    pub workspace: WorkspaceId,
    /// Where it lies.
    pub target: TargetId,
    /// The repository.
    pub repo: RepoUrl,
    /// The commands that are run besides those that are found.
    pub asked: Vec<CheckCommand>,
}

/// See [`Effect::DeliverResult`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverResult {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The round: what was delivered in an earlier one is delivered anew, because a person sent it back.
    pub round: u32,
    /// The number of the order.
    pub order: u32,
    /// How.
    pub action: Action,
    /// What else was said of it.
    pub settings: Settings,
    /// The checkout that the result lies in; none without a repository.
    pub source: Option<Source>,
    /// What is delivered.
    pub content: Content,
    /// When it was ordered.
    pub at: Timestamp,
}

/// Where a result lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The session whose result it is.
    pub session: SessionId,
    /// Its checkout.
    pub workspace: WorkspaceId,
    /// Where that lies.
    pub target: TargetId,
    /// The repository.
    pub repo: RepoUrl,
    /// The branch that a direct commit goes to.
    pub branch: BranchName,
    /// The exact commit: the one that was checked.
    pub commit: Sha,
    /// What of its folder goes along.
    pub take: Take,
}

/// What of a checkout's folder goes along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "take", rename_all = "snake_case")]
pub enum Take {
    /// Nothing: the commit itself is enough.
    Nothing,
    /// All of it.
    Tree,
    /// The texts among these files.
    Texts {
        /// Paths relative to the folder.
        files: Vec<String>,
    },
}

/// What is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it is called.
    pub title: String,
    /// What it is, in a few sentences.
    pub summary: String,
    /// The text, in Markdown.
    pub body: String,
    /// What it was meant to be.
    pub vision: Option<String>,
    /// Texts that belong to it.
    pub documents: Vec<Document>,
}

/// See [`Effect::Stop`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The session.
    pub session: SessionId,
    /// The attempt.
    pub attempt: Attempt,
    /// Where.
    pub target: TargetId,
    /// How patiently.
    pub patience: Patience,
    /// The workspace to snapshot afterwards.
    pub snapshot: Option<WorkspaceId>,
}

/// How patiently a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// Let it put its things in order.
    Patient,
    /// End it now.
    Quick,
}

/// See [`Effect::Deliver`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deliver {
    /// The message.
    pub message: MessageId,
    /// The session.
    pub session: SessionId,
    /// The attempt that it is sent to.
    pub attempt: Attempt,
    /// Where.
    pub target: TargetId,
    /// The text.
    pub text: String,
}

/// See [`Effect::Permit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Permit {
    /// The session.
    pub session: SessionId,
    /// The attempt that asks.
    pub attempt: Attempt,
    /// Where.
    pub target: TargetId,
    /// The agent's own id of its request.
    pub request: String,
    /// What it wants to use.
    pub tool: String,
    /// What it would do, as JSON text.
    pub input: String,
    /// Whether it may.
    pub allow: bool,
    /// Why not.
    pub reason: String,
}

/// See [`Effect::Publish`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The session whose checkout it is.
    pub session: SessionId,
    /// The pull request.
    pub pull_request: PullRequestId,
    /// The workspace whose branch is published.
    pub workspace: WorkspaceId,
    /// Where it lies.
    pub target: TargetId,
    /// The repository.
    pub repo: RepoUrl,
    /// The branch.
    pub branch: BranchName,
    /// The branch to merge into.
    pub base: BranchName,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The message of a commit for what is left uncommitted.
    pub commit_message: String,
    /// Whether it is opened as a draft.
    #[serde(default)]
    pub draft: bool,
}

/// See [`Effect::UpdatePr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdatePr {
    /// The pull request.
    pub pull_request: PullRequestId,
    /// The repository.
    pub repo: RepoUrl,
    /// Its number there.
    pub number: u64,
    /// What to push; `None` edits the text only.
    pub push: Option<PushWork>,
    /// A new title.
    pub title: Option<String>,
    /// A new text.
    pub body: Option<String>,
}

/// A push from a workspace to a pull request's branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushWork {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Where it lies.
    pub target: TargetId,
    /// The branch.
    pub branch: BranchName,
    /// The head that the branch must still have.
    pub expected: Sha,
    /// The message of a commit for what is left uncommitted.
    pub commit_message: String,
    /// The reason for rewriting history; `None` forbids it.
    pub force: Option<String>,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MergeMethod {
    /// A merge commit.
    Merge,
    /// One commit.
    Squash,
    /// Each commit again on top of the base.
    Rebase,
}

/// The idempotency key of an effect: which change of which noun ordered it, and the how-manieth it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectKey {
    /// The noun.
    pub noun: NounId,
    /// The revision that the noun got by the decision.
    pub revision: Revision,
    /// The place in the decision's effects.
    pub ordinal: u32,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (noun, id) = self.noun.parts();
        write!(f, "{noun}:{id}:{}:{}", self.revision.0, self.ordinal)
    }
}

impl Effect {
    /// Returns the effect's name, for logs and the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "prepare",
            Self::Launch(_) => "launch",
            Self::Stop(_) => "stop",
            Self::Deliver(_) => "deliver",
            Self::Interrupt { .. } => "interrupt",
            Self::Permit(_) => "permit",
            Self::Publish(_) => "publish",
            Self::UpdatePr(_) => "update_pr",
            Self::Comment { .. } => "comment",
            Self::Merge { .. } => "merge",
            Self::Close { .. } => "close",
            Self::Reopen { .. } => "reopen",
            Self::Reclaim { .. } => "reclaim",
            Self::Restore { .. } => "restore",
            Self::DeliverResult(_) => "deliver_result",
            Self::Check(_) => "check",
            Self::StopCheck { .. } => "stop_check",
        }
    }

    /// Returns the noun whose effects are done one after another, oldest first.
    ///
    /// Everything that touches one session's process, checkout and conversation stands in one row, with the
    /// publication of its work; what follows on its pull request in another.
    pub const fn lane(&self) -> NounId {
        match self {
            Self::Prepare(it) => NounId::Session(it.session),
            Self::Launch(it) => NounId::Session(it.session),
            Self::Stop(it) => NounId::Session(it.session),
            Self::Deliver(it) => NounId::Session(it.session),
            Self::Interrupt { session, .. } => NounId::Session(*session),
            Self::Permit(it) => NounId::Session(it.session),
            // Behind the stop of its process and the snapshot after it.
            Self::Publish(it) => NounId::Session(it.session),
            Self::UpdatePr(it) => NounId::PullRequest(it.pull_request),
            Self::Comment { pull_request, .. }
            | Self::Merge { pull_request, .. }
            | Self::Close { pull_request, .. }
            | Self::Reopen { pull_request, .. } => NounId::PullRequest(*pull_request),
            // Behind the stop of its process: what is checked does not change any more.
            Self::Check(it) => NounId::Session(it.session),
            // Beside the run that it ends.
            Self::StopCheck { run, .. } => NounId::CheckRun(*run),
            Self::DeliverResult(it) => match &it.source {
                Some(source) => NounId::Session(source.session),
                None => NounId::Workflow(it.workflow),
            },
            // Behind the stop of its process: no folder is taken from under an agent.
            Self::Reclaim { session, .. } | Self::Restore { session, .. } => NounId::Session(*session),
        }
    }
}
