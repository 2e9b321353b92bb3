//! What one decision wants to have stored: rows, journal and orders in one transaction.
//!
//! Only words. How it is written is the writer's business; see `writer`.

use orcha_base::{Attempt, ObjectiveId, Revision, ScopeId, SessionId, TargetId, TenantId, Timestamp};
use orcha_base::{ProjectId, PullRequestId, TokenId, WorkspaceId};
use orcha_model::finished::Run;
use orcha_model::{
    Artifact, Attachment, CheckRun, Effect, EffectKey, Feedback, HandIn, Message, Note, NounId, Objective, Project,
    Proposal, Provider, PullRequest, Question, Session, Target, Task, Text, Workflow, Workspace,
};
use std::ops::Range;

/// Everything that one decision wants to have stored: all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// When it was decided.
    pub at: Timestamp,
    /// Rows with a life.
    pub changes: Vec<Change>,
    /// What must hold once the changes are made; otherwise nothing is stored.
    pub guards: Vec<Guard>,
    /// Lines for the journal, in order.
    pub journal: Vec<JournalLine>,
    /// What must be done in the world, in order.
    pub orders: Vec<Order>,
    /// Orders that are done.
    pub done: Vec<EffectKey>,
    /// Orders that are tried again later.
    pub retried: Vec<Retried>,
    /// New lines of a transcript.
    pub transcript: Option<TranscriptAppend>,
    /// What is said to agents: lines of their transcripts that no cursor stands for.
    pub said: Vec<Said>,
    /// New artifacts.
    pub artifacts: Vec<Artifact>,
    /// Files that came with a new objective.
    pub attachments: Vec<Attachment>,
    /// What stands in them; bytes that are known already are kept once.
    pub attached: Vec<Attached>,
    /// Projects that are new or were edited.
    pub projects: Vec<Project>,
    /// Projects that are forgotten; one that is not there is forgotten already.
    pub removed_projects: Vec<ProjectId>,
    /// Providers that are new or changed; whoever changes them does so one after another.
    pub providers: Vec<Provider>,
    /// Runs of the pipeline that have ended; one that is known is known better now.
    pub runs: Vec<Run>,
    /// Finished runs from which everything that follows is stored with this commit.
    pub taken_in: Vec<ObjectiveId>,
    /// Something that is done once in a while was done now.
    pub round: Option<&'static str>,
    /// New credentials; each takes the place of the one that its attempt had before.
    pub credentials: Vec<Credential>,
    /// New tokens of the API, each with the hash by which it is known.
    pub tokens: Vec<(ApiToken, [u8; 32])>,
    /// Tokens that are worth nothing from now on; one that is not there is so already.
    pub revoked_tokens: Vec<TokenId>,
    /// The answer to a request that must not take effect twice.
    pub receipt: Option<Receipt>,
}

/// One row with a life.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the nouns")]
#[expect(clippy::large_enum_variant, reason = "sessions are what is written most: a box would be one allocation each")]
pub enum Row {
    Objective(Objective),
    Session(Session),
    Workspace(Workspace),
    PullRequest(PullRequest),
    Feedback(Feedback),
    Question(Question),
    Message(Message),
    Target(Target),
    Workflow(Workflow),
    Task(Task),
    CheckRun(CheckRun),
    HandIn(HandIn),
    Text(Text),
    Proposal(Proposal),
}

/// A row as it shall be; its `revision` is the new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The row.
    pub row: Row,
    /// The revision that the stored row must have; `None`: there must be none.
    pub expected: Option<Revision>,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalLine {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective; that of the note if there is none here.
    pub objective: Option<ObjectiveId>,
    /// The session; that of the note if there is none here.
    pub session: Option<SessionId>,
    /// What it says.
    pub note: Note,
}

/// Something that must be done in the world. Its lane is the effect's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective on whose behalf.
    pub objective: Option<ObjectiveId>,
    /// Its key.
    pub key: EffectKey,
    /// What to do.
    pub effect: Effect,
}

/// An order that is tried again later.
#[derive(Clone, Debug, PartialEq)]
pub struct Retried {
    /// Which.
    pub key: EffectKey,
    /// Not before.
    pub not_before: Timestamp,
    /// What went wrong, for people.
    pub detail: String,
}

/// What must hold, looked at inside the transaction, once the changes are made.
///
/// A session counts as being there from placement to the end of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Without this session, fewer counted sessions are on the target than it takes.
    TargetHasRoom {
        /// The target.
        target: TargetId,
        /// The session.
        session: SessionId,
    },
    /// Without this session, fewer counted sessions are there than the cap allows.
    CapHasRoom {
        /// The cap.
        cap: u32,
        /// The session.
        session: SessionId,
    },
    /// The target takes new sessions.
    TargetTakesSessions {
        /// The target.
        target: TargetId,
    },
    /// No other session works in the workspace.
    WorkspaceFree {
        /// The workspace.
        workspace: WorkspaceId,
        /// The session.
        session: SessionId,
    },
    /// No other session works on the pull request's branch.
    PullRequestFree {
        /// The pull request.
        pull_request: PullRequestId,
        /// The session.
        session: SessionId,
    },
    /// The project was not changed since.
    ProjectAsOf {
        /// The project.
        project: ProjectId,
        /// When it was last changed.
        updated_at: Timestamp,
    },
}

/// New lines of a session's transcript, and the cursor that moves with them.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptAppend {
    /// The session.
    pub session: SessionId,
    /// The attempt whose output it is.
    pub attempt: Attempt,
    /// Where the attempt's cursor must be; `None`: it must not have one.
    pub expected: Option<serde_json::Value>,
    /// Where it is afterwards.
    pub next: serde_json::Value,
    /// The lines.
    pub entries: Vec<NewEntry>,
}

/// A line of a transcript that the agent did not write itself: what is said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The session.
    pub session: SessionId,
    /// The attempt that hears it.
    pub attempt: Attempt,
    /// The line.
    pub entry: NewEntry,
}

/// A line of a transcript before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// Who speaks.
    pub source: String,
    /// What it is.
    pub kind: String,
    /// What it says, as it is to be kept: text or JSON.
    pub content: String,
    /// More about it.
    pub metadata: Option<serde_json::Value>,
    /// When.
    pub at: Timestamp,
}

/// A session's credential: only its hash is ever stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The hash.
    pub hash: [u8; 32],
    /// Whose session.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The session.
    pub session: SessionId,
    /// The attempt that it lives and dies with.
    pub attempt: Attempt,
}

/// What a token of the API opens. Of the token itself only the hash is ever stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// Its name, unique.
    pub name: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The scopes of the tenant, the usual one first; none: all of them.
    pub scopes: Vec<ScopeId>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The bytes of a file that came with an objective.
#[derive(Clone, PartialEq, Eq)]
pub struct Attached {
    /// Whose they are.
    pub tenant: TenantId,
    /// Their hash, by which they are found.
    pub sha256: String,
    /// They.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached")
            .field("sha256", &self.sha256)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The answer to a request with an idempotency key. It is kept for a week.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Whose request.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The request's key, unique in the tenant.
    pub key: String,
    /// The answer.
    pub body: serde_json::Value,
}

/// What a commit was given when it went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// When it was decided.
    pub at: Timestamp,
    /// The numbers of its journal lines, in order and without a gap.
    pub journal: Range<i64>,
    /// The numbers of its orders, in order and without a gap.
    pub orders: Range<i64>,
    /// The numbers of its transcript lines, in order and without a gap.
    pub transcript: Range<i64>,
    /// The numbers that what is said got in the transcripts of its sessions, in the order of the commit.
    pub said: Vec<(SessionId, i64)>,
}

impl Commit {
    /// Starts an empty commit.
    pub fn at(at: Timestamp) -> Self {
        Self { at, ..Self::default() }
    }

    /// Tells whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        let Self {
            at: _,
            changes,
            guards,
            journal,
            orders,
            done,
            retried,
            transcript,
            said,
            artifacts,
            attachments,
            attached,
            projects,
            removed_projects,
            providers,
            runs,
            taken_in,
            round,
            credentials,
            tokens,
            revoked_tokens,
            receipt,
        } = self;
        changes.is_empty()
            && guards.is_empty()
            && journal.is_empty()
            && orders.is_empty()
            && done.is_empty()
            && retried.is_empty()
            && transcript.is_none()
            && said.is_empty()
            && artifacts.is_empty()
            && attachments.is_empty()
            && attached.is_empty()
            && projects.is_empty()
            && removed_projects.is_empty()
            && providers.is_empty()
            && runs.is_empty()
            && taken_in.is_empty()
            && round.is_none()
            && credentials.is_empty()
            && tokens.is_empty()
            && revoked_tokens.is_empty()
            && receipt.is_none()
    }
}

impl Row {
    /// Returns the row's name.
    pub const fn noun(&self) -> NounId {
        match self {
            Self::Objective(it) => NounId::Objective(it.id),
            Self::Session(it) => NounId::Session(it.id),
            Self::Workspace(it) => NounId::Workspace(it.id),
            Self::PullRequest(it) => NounId::PullRequest(it.id),
            Self::Feedback(it) => NounId::Feedback(it.id),
            Self::Question(it) => NounId::Question(it.id),
            Self::Message(it) => NounId::Message(it.id),
            Self::Target(it) => NounId::Target(it.id),
            Self::Workflow(it) => NounId::Workflow(it.id),
            Self::Task(it) => NounId::Task(it.id),
            Self::CheckRun(it) => NounId::CheckRun(it.id),
            Self::HandIn(it) => NounId::HandIn(it.id),
            Self::Text(it) => NounId::Text(it.id),
            Self::Proposal(it) => NounId::Proposal(it.id),
        }
    }

    /// Returns the row's revision.
    pub const fn revision(&self) -> Revision {
        match self {
            Self::Objective(it) => it.revision,
            Self::Session(it) => it.revision,
            Self::Workspace(it) => it.revision,
            Self::PullRequest(it) => it.revision,
            Self::Feedback(it) => it.revision,
            Self::Question(it) => it.revision,
            Self::Message(it) => it.revision,
            Self::Target(it) => it.revision,
            Self::Workflow(it) => it.revision,
            Self::Task(it) => it.revision,
            Self::CheckRun(it) => it.revision,
            Self::HandIn(it) => it.revision,
            Self::Text(it) => it.revision,
            Self::Proposal(it) => it.revision,
        }
    }
}
