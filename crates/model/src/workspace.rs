//! The life of a workspace: one checkout, or one empty folder, on one target.
//!
//! It is never deleted without proof, and how a proof is made is not known here: the executor reports it.

use crate::effect::Effect;
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{
    BranchName, ObjectiveId, RepoUrl, Revision, ScopeId, SessionId, Sha, TargetId, TenantId, Timestamp, WorkspaceId,
};
use serde::{Deserialize, Serialize};

/// One folder on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The one session that writes here.
    pub session: SessionId,
    /// Where it lies.
    pub target: TargetId,
    /// What it is.
    pub kind: Kind,
    /// The repository; none for an empty folder.
    pub repo: Option<RepoUrl>,
    /// The branch that is worked on.
    pub branch: Option<BranchName>,
    /// What was found out when it was made.
    pub checkout: Option<Facts>,
    /// Where it stands.
    pub state: State,
    /// The newest snapshot.
    pub snapshot: Option<Sha>,
    /// Why it was kept when it was last looked at.
    pub kept_because: Option<String>,
    /// When it was last asked whether it can go.
    pub reclaim_asked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a workspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A checkout, or folder, of its own.
    Isolated,
    /// A checkout of a pull request's branch.
    PrBranch,
}

/// What was found out when a checkout was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The folder.
    pub dir: String,
    /// The base branch.
    pub base: Option<BranchName>,
    /// The commit that the work started from.
    pub base_sha: Option<Sha>,
    /// The conflict that the session has to solve first: the branch and the files.
    pub conflict: Option<Conflict>,
}

/// A merge that did not go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What was to be merged.
    pub with: String,
    /// The files.
    pub files: Vec<String>,
}

/// Where a workspace stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Is being made.
    Preparing,
    /// Can be worked in.
    Ready,
    /// Was deleted with proof that nothing was lost.
    Archived,
    /// Could not be made.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Something that happens to a workspace.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It is there.
    Prepared(Facts),
    /// It could not be made.
    PrepareFailed {
        /// Why.
        reason: String,
    },
    /// It is wanted once more: a new attempt, or a second try.
    PrepareAgain,
    /// A snapshot was taken.
    Snapshotted {
        /// Its commit.
        sha: Sha,
    },
    /// Nobody needs it any more: delete it if that loses nothing.
    Reclaim,
    /// It was deleted.
    Reclaimed {
        /// The last snapshot.
        snapshot: Option<Sha>,
    },
    /// It was kept.
    Kept {
        /// What would have been lost.
        reason: String,
    },
    /// A person wants a snapshot back.
    Restore {
        /// Which; the newest if none.
        snapshot: Option<Sha>,
    },
    /// The snapshot is back.
    Restored {
        /// Which.
        snapshot: Sha,
        /// Where.
        dir: String,
    },
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Archived => "archived",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Workspace {
    fn with(&self, change: impl FnOnce(&mut Self), now: Timestamp) -> Decision<Self> {
        let mut next = self.clone();
        next.updated_at = now;
        change(&mut next);
        Decision::become_(next)
    }

    fn note(&self, kind: NoteKind, summary: impl Into<String>) -> Note {
        Note::new(kind, summary).of(self.session).with("workspace_id", self.id)
    }

    fn refuse(&self, rule: &'static str) -> Refusal {
        Refusal::State { noun: "workspace", id: self.id.to_string(), state: self.state.name(), rule }
    }
}

/// Decides what a workspace becomes.
pub fn decide(workspace: &Workspace, input: Input, now: Timestamp) -> Result<Decision<Workspace>, Refusal> {
    match input {
        Input::Prepared(facts) => Ok(prepared(workspace, facts, now)),
        Input::PrepareFailed { reason } => Ok(prepare_failed(workspace, reason, now)),
        Input::PrepareAgain => prepare_again(workspace, now),
        Input::Snapshotted { sha } => Ok(snapshotted(workspace, sha, now)),
        Input::Reclaim => reclaim(workspace, now),
        Input::Reclaimed { snapshot } => Ok(reclaimed(workspace, snapshot, now)),
        Input::Kept { reason } => Ok(kept(workspace, reason, now)),
        Input::Restore { snapshot } => restore(workspace, snapshot, now),
        Input::Restored { snapshot, dir } => Ok(restored(workspace, snapshot, dir, now)),
    }
}

fn prepared(workspace: &Workspace, facts: Facts, now: Timestamp) -> Decision<Workspace> {
    match workspace.state {
        State::Preparing | State::Failed { .. } => {
            let note = workspace.note(NoteKind::WorkspaceReady, format!("workspace ready at {}", facts.dir));
            workspace
                .with(
                    |next| {
                        next.checkout = Some(facts);
                        next.state = State::Ready;
                    },
                    now,
                )
                .note(note)
        }
        State::Ready => Decision::ignore(workspace.clone(), "ready already"),
        // The folder exists again although it was let go: keep it, and let the next reclaim prove it away.
        State::Archived => workspace.with(
            |next| {
                next.checkout = Some(facts);
                next.state = State::Ready;
            },
            now,
        ),
    }
}

fn prepare_failed(workspace: &Workspace, reason: String, now: Timestamp) -> Decision<Workspace> {
    match workspace.state {
        State::Preparing | State::Failed { .. } => {
            let note =
                workspace.note(NoteKind::WorkspacePrepareFailed, format!("workspace could not be made: {reason}"));
            workspace.with(|next| next.state = State::Failed { reason }, now).note(note)
        }
        State::Ready | State::Archived => Decision::ignore(workspace.clone(), "it had been made before"),
    }
}

fn prepare_again(workspace: &Workspace, now: Timestamp) -> Result<Decision<Workspace>, Refusal> {
    match workspace.state {
        State::Ready | State::Preparing => Ok(Decision::ignore(workspace.clone(), "it is there, or on its way")),
        State::Failed { .. } | State::Archived => Ok(workspace.with(|next| next.state = State::Preparing, now)),
    }
}

fn snapshotted(workspace: &Workspace, sha: Sha, now: Timestamp) -> Decision<Workspace> {
    if workspace.snapshot.as_ref() == Some(&sha) {
        return Decision::ignore(workspace.clone(), "nothing had changed");
    }
    let note = workspace.note(NoteKind::WorkspaceSnapshot, format!("snapshot {} taken", sha.short()));
    workspace.with(|next| next.snapshot = Some(sha), now).note(note)
}

fn reclaim(workspace: &Workspace, now: Timestamp) -> Result<Decision<Workspace>, Refusal> {
    match workspace.state {
        State::Ready | State::Failed { .. } => {
            let effect = Effect::Reclaim {
                workspace: workspace.id,
                session: workspace.session,
                target: workspace.target,
                repo: workspace.repo.clone(),
            };
            Ok(workspace.with(|next| next.reclaim_asked_at = Some(now), now).then(effect))
        }
        State::Archived => Ok(Decision::ignore(workspace.clone(), "gone already")),
        State::Preparing => Err(workspace.refuse("it is being made")),
    }
}

fn reclaimed(workspace: &Workspace, snapshot: Option<Sha>, now: Timestamp) -> Decision<Workspace> {
    match workspace.state {
        State::Ready | State::Failed { .. } | State::Preparing => {
            let note =
                workspace.note(NoteKind::WorkspaceReclaimed, "workspace deleted; everything in it is kept elsewhere");
            workspace
                .with(
                    |next| {
                        next.state = State::Archived;
                        next.snapshot = snapshot.or(next.snapshot.take());
                        next.kept_because = None;
                    },
                    now,
                )
                .note(note)
        }
        State::Archived => Decision::ignore(workspace.clone(), "gone already"),
    }
}

fn kept(workspace: &Workspace, reason: String, now: Timestamp) -> Decision<Workspace> {
    // It is asked again every hour: the journal hears of it once.
    if workspace.kept_because.as_ref() == Some(&reason) {
        return Decision::ignore(workspace.clone(), "kept for the same reason as before");
    }
    let note = workspace.note(NoteKind::WorkspaceKept, format!("workspace kept: {reason}"));
    workspace.with(|next| next.kept_because = Some(reason), now).note(note)
}

fn restore(workspace: &Workspace, snapshot: Option<Sha>, now: Timestamp) -> Result<Decision<Workspace>, Refusal> {
    let Some(repo) = workspace.repo.clone() else {
        return Err(workspace.refuse("it has no repository and so no snapshots"));
    };
    let Some(snapshot) = snapshot.or_else(|| workspace.snapshot.clone()) else {
        return Err(workspace.refuse("no snapshot of it was taken yet"));
    };
    match workspace.state {
        State::Ready | State::Archived => {
            let effect = Effect::Restore {
                workspace: workspace.id,
                session: workspace.session,
                target: workspace.target,
                repo,
                snapshot,
            };
            Ok(workspace.with(|_| {}, now).then(effect))
        }
        State::Preparing | State::Failed { .. } => {
            Err(workspace.refuse("only a ready or archived workspace is restored"))
        }
    }
}

fn restored(workspace: &Workspace, snapshot: Sha, dir: String, now: Timestamp) -> Decision<Workspace> {
    let note = workspace
        .note(NoteKind::WorkspaceRestored, format!("snapshot {} restored to {dir}", snapshot.short()))
        .with("dir", dir);
    workspace.with(|_| {}, now).note(note)
}
