//! What the journal says: one line per thing that happened, for people and for clients that branch on its kind.

use orcha_base::{ObjectiveId, SessionId};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

/// One line of the journal before it has a number and a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// What kind of thing happened.
    pub kind: NoteKind,
    /// One sentence for people.
    pub summary: String,
    /// The session that it is about, if one.
    pub session: Option<SessionId>,
    /// The objective that it is about, if one.
    pub objective: Option<ObjectiveId>,
    /// Facts for programs: a flat list of keys and texts.
    pub data: Vec<(String, String)>,
}

impl Note {
    /// Makes a line that is about nothing in particular yet.
    pub fn new(kind: NoteKind, summary: impl Into<String>) -> Self {
        Self { kind, summary: summary.into(), session: None, objective: None, data: Vec::new() }
    }

    /// Says which session it is about.
    #[must_use]
    pub fn of(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.data.push((key.to_owned(), value.to_string()));
        self
    }
}

/// The kinds of journal lines: `type` of an event in the API.
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
#[expect(missing_docs, reason = "each name says what happened; the API's event list is made of them")]
pub enum NoteKind {
    ObjectiveCreated,
    ObjectiveChanged,
    ObjectiveDone,
    ObjectiveFailed,
    ObjectiveCanceled,
    FileAttached,
    SessionCreated,
    SessionReleased,
    SessionPlaced,
    SessionWaiting,
    SessionStarted,
    SessionTurnEnded,
    SessionPaused,
    SessionResumed,
    SessionHeld,
    SessionHandedBack,
    SessionSucceeded,
    SessionFailed,
    SessionCanceled,
    SessionRetrying,
    SessionMoved,
    PermissionAsked,
    PermissionAllowed,
    PermissionDenied,
    PermissionWithdrawn,
    WorkerReported,
    ReviewSubmitted,
    StaleFactIgnored,
    EffectFailed,
    EffectRetrying,
    ManagerNotified,
    ManagerRepoke,
    ManagerRespawned,
    ManagerRespawnCapped,
    MessageQueued,
    MessageSent,
    MessageAcknowledged,
    MessageUndeliverable,
    AskUser,
    QuestionAnswered,
    QuestionDelivered,
    QuestionCanceled,
    GuardPause,
    WorkspacePreparing,
    WorkspaceReady,
    WorkspacePrepareFailed,
    WorkspaceSnapshot,
    WorkspaceReclaimed,
    WorkspaceKept,
    WorkspaceRestored,
    PrPublishing,
    PrPublished,
    PrPublishRefused,
    PrUpdated,
    PrUpdateRefused,
    PrComment,
    PrObserved,
    PrMerged,
    PrClosed,
    PrReopened,
    PrClosedDecision,
    ForcePush,
    PrFeedbackIngested,
    FollowupSpawned,
    FeedbackHandled,
    FeedbackDropped,
    NoteCreated,
    WorkflowStep,
    WorkflowEdited,
    HandedIn,
    RoleViolation,
    AgentSubstituted,
    ToolsWithheld,
    TaskCreated,
    TaskStarted,
    TaskCompleted,
    TaskRetrying,
    TaskFailed,
    TaskSkipped,
    ChecksStarted,
    ChecksRan,
    ChecksFaulted,
    DeliveryOrdered,
    DeliveryFaulted,
    DeliveryAgain,
    TextChanged,
    ProposalMade,
    ProposalDropped,
    ProposalOnTrial,
    ProposalAdopted,
    ProposalDeclined,
    ProposalReverted,
    TargetRegistered,
    TargetChanged,
    TargetUnreachable,
    ProviderParked,
    ProviderOpened,
    StorageFull,
    StorageBack,
    DaemonStarted,
}
