//! The life of a pull request, as we know it: the code host has the last word.
//!
//! How a code host is asked is not known here.

use crate::effect::{Effect, MergeMethod, Publish, PushWork, UpdatePr};
use crate::push::{PushFacts, PushVerdict, push_verdict};
use crate::{Decision, Note, NoteKind, Refusal};
use orcha_base::{
    BranchName, ObjectiveId, PullRequestId, RepoUrl, Revision, ScopeId, SessionId, Sha, TenantId, Timestamp,
    WorkspaceId,
};
use serde::{Deserialize, Serialize};

/// A pull request of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Our id; the code host's number is `number`.
    pub id: PullRequestId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// How often the row changed.
    pub revision: Revision,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session whose work it is.
    pub session: SessionId,
    /// The workspace that it was published from.
    pub workspace: WorkspaceId,
    /// The repository.
    pub repo: RepoUrl,
    /// The number there, once it is open; unique within the repository.
    pub number: Option<u64>,
    /// Where it can be looked at.
    pub url: Option<String>,
    /// The branch.
    pub branch: BranchName,
    /// The branch to merge into.
    pub base: BranchName,
    /// The newest commit that the code host knows.
    pub head: Option<Sha>,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// What the checks say.
    pub checks: Checks,
    /// What the reviews say.
    pub review: Review,
    /// Whether it can be merged without conflict; `None` when that is not known.
    pub mergeable: Option<bool>,
    /// The last thing that was asked of it and refused, for whoever asked.
    pub refusal: Option<String>,
    /// How many requests (updates, merges, …) were completed or refused: who asked waits for it to move.
    pub answered: u64,
    /// Whether its manager was told of its end.
    pub told: bool,
    /// What follows from its end.
    #[serde(default)]
    pub closing: Closing,
    /// Where it stands.
    pub state: State,
    /// When the code host was last asked.
    pub synced_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What follows from the end of a pull request: promise 6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Closing {
    /// What the user decided about it, if it is closed.
    pub decision: ClosedDecision,
    /// The push that waits for that decision.
    pub held: Option<HeldPush>,
    /// Whether those who still work on it were told of its end.
    pub followers_told: bool,
}

/// What the user decided about a closed pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedDecision {
    /// Nobody was asked.
    #[default]
    Unasked,
    /// The user was asked.
    Asked,
    /// It is being opened again.
    Reopening,
    /// It stays closed.
    Left,
    /// Another one took its place.
    Replaced,
    /// There is nothing to decide: it never came to be, because there was nothing to publish.
    Empty,
}

/// A push that waits for the user, because the pull request was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPush {
    /// What to push.
    pub work: UpdateWork,
    /// A new title.
    pub title: Option<String>,
    /// A new text.
    pub body: Option<String>,
}

/// What the checks of a pull request say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Checks {
    /// There are none, or nobody knows.
    #[default]
    Unknown,
    /// They run.
    Pending,
    /// All are green.
    Passing,
    /// At least one is red.
    Failing,
}

/// What the reviews of a pull request say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Review {
    /// Nothing yet.
    #[default]
    None,
    /// Approved at its head.
    Approved,
    /// Changes were asked for.
    ChangesRequested,
}

/// Where a pull request stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Is being opened.
    Opening {
        /// Since when.
        since: Timestamp,
    },
    /// Is open and not ready to be looked at.
    Draft,
    /// Is open.
    Open,
    /// Is merged.
    Merged {
        /// As which commit, if that is known.
        sha: Option<Sha>,
    },
    /// Is closed, or never came to be.
    Closed {
        /// Why, for people.
        why: String,
    },
}

/// What a code host says of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its status there.
    pub status: Status,
    /// The newest commit.
    pub head: Sha,
    /// The checks.
    pub checks: Checks,
    /// The reviews.
    pub review: Review,
    /// Whether it can be merged.
    pub mergeable: Option<bool>,
    /// The title.
    pub title: String,
}

/// The status that a code host reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Draft.
    Draft,
    /// Open.
    Open,
    /// Merged as a commit.
    Merged(Option<Sha>),
    /// Closed.
    Closed,
}

/// Something that happens to a pull request.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It is on the code host.
    Opened {
        /// Its number there.
        number: u64,
        /// Where it can be looked at.
        url: String,
        /// Its head.
        head: Sha,
    },
    /// It did not come to be.
    NotOpened {
        /// Why, for whoever asked.
        reason: String,
    },
    /// It did not come to be: there was nothing to publish.
    Empty {
        /// What was compared, for people.
        reason: String,
    },
    /// Somebody wants to push, or to edit.
    Update {
        /// What to push, with the head that we know filled in by [`decide`].
        push: Option<UpdateWork>,
        /// A new title.
        title: Option<String>,
        /// A new text.
        body: Option<String>,
    },
    /// That was done.
    Updated {
        /// The head afterwards.
        head: Sha,
    },
    /// A request was refused by the code host or by git.
    Refused {
        /// Why, for whoever asked.
        reason: String,
    },
    /// A push did not take place: the code host had closed it meanwhile.
    NotPushed {
        /// What was to be pushed.
        held: HeldPush,
    },
    /// The code host was asked.
    Observed(Observed),
    /// Somebody comments.
    Comment {
        /// The key.
        key: String,
        /// The text.
        body: String,
    },
    /// The comment is there.
    Commented,
    /// A person wants it merged.
    Merge {
        /// How.
        method: MergeMethod,
    },
    /// It was merged by us.
    Merged {
        /// As which commit.
        sha: Sha,
    },
    /// A person wants it closed.
    Close,
    /// It was closed by us.
    Closed,
    /// A person wants it open again.
    Reopen,
    /// It was opened again by us.
    Reopened,
    /// Its manager was told of its end.
    Told,
    /// The user was asked what becomes of it.
    Asked,
    /// The user decided that it stays closed.
    Leave,
    /// Another one took its place.
    Replaced,
    /// Those who still work on it were told of its end.
    FollowersTold,
}

/// A push as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateWork {
    /// The workspace to push from.
    pub workspace: WorkspaceId,
    /// Where it lies.
    pub target: orcha_base::TargetId,
    /// The message of a commit for what is left uncommitted.
    pub commit_message: String,
    /// Whether history is rewritten.
    pub force: bool,
    /// Why.
    pub force_reason: Option<String>,
}

impl State {
    /// Returns the name as it stands in JSON and SQL.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opening { .. } => "opening",
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Merged { .. } => "merged",
            Self::Closed { .. } => "closed",
        }
    }

    /// Tells whether the work on it goes on: opening, draft or open.
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Opening { .. } | Self::Draft | Self::Open => true,
            Self::Merged { .. } | Self::Closed { .. } => false,
        }
    }
}

impl PullRequest {
    /// The order that opens it.
    pub fn publish(&self, target: orcha_base::TargetId, commit_message: String, draft: bool) -> Effect {
        Effect::Publish(Publish {
            session: self.session,
            pull_request: self.id,
            workspace: self.workspace,
            target,
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            base: self.base.clone(),
            title: self.title.clone(),
            body: self.body.clone(),
            commit_message,
            draft,
        })
    }

    /// Returns `#3`, or the short id while there is no number.
    pub fn label(&self) -> String {
        self.number.map_or_else(|| self.id.short(), |number| format!("#{number}"))
    }

    fn with(&self, change: impl FnOnce(&mut Self), now: Timestamp) -> Decision<Self> {
        let mut next = self.clone();
        change(&mut next);
        next.updated_at = now;
        Decision::become_(next)
    }

    fn note(&self, kind: NoteKind, summary: impl Into<String>) -> Note {
        Note::new(kind, summary).of(self.session).with("pr_id", self.id)
    }

    fn refuse(&self, rule: &'static str) -> Refusal {
        Refusal::State { noun: "pull request", id: self.label(), state: self.state.name(), rule }
    }

    fn number_known(&self) -> Result<u64, Refusal> {
        self.number.ok_or_else(|| self.refuse("it has no number yet"))
    }

    fn head_known(&self) -> Result<Sha, Refusal> {
        self.head.clone().ok_or_else(|| self.refuse("its head is not known yet"))
    }
}

/// Decides what a pull request becomes.
pub fn decide(pr: &PullRequest, input: Input, now: Timestamp) -> Result<Decision<PullRequest>, Refusal> {
    match input {
        Input::Opened { number, url, head } => Ok(opened(pr, number, url, head, now)),
        Input::NotOpened { reason } => Ok(not_opened(pr, reason, ClosedDecision::Unasked, now)),
        Input::Empty { reason } => Ok(not_opened(pr, reason, ClosedDecision::Empty, now)),
        Input::Update { push, title, body } => update(pr, push, title, body, now),
        Input::Updated { head } => Ok(updated(pr, head, now)),
        Input::Refused { reason } => {
            let note = pr.note(NoteKind::PrUpdateRefused, format!("{}: {reason}", pr.label()));
            Ok(pr
                .with(
                    |next| {
                        if next.closing.decision == ClosedDecision::Reopening {
                            next.closing.decision = ClosedDecision::Unasked;
                        }
                        answer(next, Some(reason));
                    },
                    now,
                )
                .note(note))
        }
        Input::NotPushed { held } => Ok(not_pushed(pr, held, now)),
        Input::Observed(seen) => Ok(observed(pr, seen, now)),
        Input::Comment { key, body } => comment(pr, key, body, now),
        Input::Commented => {
            let note = pr.note(NoteKind::PrComment, format!("commented on {}", pr.label()));
            Ok(pr.with(|next| answer(next, None), now).note(note))
        }
        Input::Merge { method } => merge(pr, method, now),
        Input::Merged { sha } => Ok(merged(pr, Some(sha), now)),
        Input::Close => close(pr, now),
        Input::Closed => Ok(closed(pr, now)),
        Input::Reopen => reopen(pr, now),
        Input::Reopened => Ok(reopened(pr, now)),
        Input::Told => Ok(if pr.told {
            Decision::ignore(pr.clone(), "told already")
        } else {
            let mut next = pr.clone();
            next.told = true;
            Decision::become_(next)
        }),
        Input::Asked => Ok(decided(pr, ClosedDecision::Asked, None, now)),
        Input::Leave => Ok(decided(pr, ClosedDecision::Left, Some("the user leaves it closed"), now)),
        Input::Replaced => Ok(decided(pr, ClosedDecision::Replaced, Some("another one takes its place"), now)),
        Input::FollowersTold => Ok(if pr.closing.followers_told {
            Decision::ignore(pr.clone(), "told already")
        } else {
            let mut next = pr.clone();
            next.closing.followers_told = true;
            Decision::become_(next)
        }),
    }
}

fn decided(
    pr: &PullRequest,
    decision: ClosedDecision,
    said: Option<&'static str>,
    now: Timestamp,
) -> Decision<PullRequest> {
    match pr.state {
        State::Closed { .. } => {
            let settled = pr.with(
                |next| {
                    next.closing.decision = decision;
                    if decision != ClosedDecision::Asked {
                        next.closing.held = None;
                    }
                },
                now,
            );
            match said {
                Some(said) => settled.note(pr.note(NoteKind::PrClosedDecision, format!("{}: {said}", pr.label()))),
                None => settled,
            }
        }
        State::Opening { .. } | State::Draft | State::Open | State::Merged { .. } => {
            Decision::ignore(pr.clone(), "it is not closed")
        }
    }
}

/// Keeps a push until the user has decided what becomes of the closed pull request.
fn hold(
    pr: &PullRequest,
    held: HeldPush,
    rule: &'static str,
    now: Timestamp,
) -> Result<Decision<PullRequest>, Refusal> {
    match pr.closing.decision {
        ClosedDecision::Unasked | ClosedDecision::Asked | ClosedDecision::Reopening => {
            let note = pr.note(NoteKind::PrUpdateRefused, format!("a push to {} waits: {rule}", pr.label()));
            let answered = "it is closed. The user is asked whether it is reopened, and this push waits for the answer. End \
                            your turn: you are told what was decided";
            Ok(pr
                .with(
                    |next| {
                        next.closing.held = Some(held);
                        answer(next, Some(answered.to_owned()));
                    },
                    now,
                )
                .note(note))
        }
        ClosedDecision::Left | ClosedDecision::Replaced | ClosedDecision::Empty => Err(Refusal::PushForbidden {
            state: pr.state.name(),
            rule: "the user was asked and did not have it reopened",
        }),
    }
}

fn not_pushed(pr: &PullRequest, held: HeldPush, now: Timestamp) -> Decision<PullRequest> {
    let refused = |rule: String| pr.with(|next| answer(next, Some(rule)), now);
    match pr.state {
        State::Closed { .. } => match hold(pr, held, "it was closed before the push took place", now) {
            Ok(held) => held,
            Err(refusal) => refused(refusal.to_string()),
        },
        // Open again already: what waits is pushed at once.
        State::Draft | State::Open => pr.with(|next| next.closing.held = Some(held), now),
        State::Opening { .. } | State::Merged { .. } => {
            refused("it was merged meanwhile, and a merged pull request is never pushed to".into())
        }
    }
}

fn answer(pr: &mut PullRequest, refusal: Option<String>) {
    pr.answered = pr.answered.saturating_add(1);
    pr.refusal = refusal;
}

fn opened(pr: &PullRequest, number: u64, url: String, head: Sha, now: Timestamp) -> Decision<PullRequest> {
    match pr.state {
        State::Opening { .. } => {
            let note = pr
                .note(NoteKind::PrPublished, format!("opened #{number}: {}", pr.title))
                .with("number", number)
                .with("url", &url);
            pr.with(
                |next| {
                    next.number = Some(number);
                    next.url = Some(url);
                    next.head = Some(head);
                    next.state = State::Open;
                    answer(next, None);
                },
                now,
            )
            .note(note)
        }
        State::Draft | State::Open | State::Merged { .. } | State::Closed { .. } => {
            Decision::ignore(pr.clone(), "it was opened before")
        }
    }
}

fn not_opened(pr: &PullRequest, reason: String, decision: ClosedDecision, now: Timestamp) -> Decision<PullRequest> {
    match pr.state {
        State::Opening { .. } => {
            let note = pr.note(NoteKind::PrPublishRefused, format!("{} was not opened: {reason}", pr.title));
            pr.with(
                |next| {
                    next.state = State::Closed { why: format!("never opened: {reason}") };
                    // Nobody has to hear of the end of something that never was.
                    next.told = true;
                    next.closing.decision = decision;
                    answer(next, Some(reason));
                },
                now,
            )
            .note(note)
        }
        State::Draft | State::Open | State::Merged { .. } | State::Closed { .. } => {
            Decision::ignore(pr.clone(), "it was opened before")
        }
    }
}

fn update(
    pr: &PullRequest,
    push: Option<UpdateWork>,
    title: Option<String>,
    body: Option<String>,
    now: Timestamp,
) -> Result<Decision<PullRequest>, Refusal> {
    let number = pr.number_known()?;
    let push = match push {
        None => None,
        Some(work) => {
            let facts = PushFacts { state: Some(&pr.state), force: work.force, reason: work.force_reason.as_deref() };
            match push_verdict(facts) {
                PushVerdict::Allowed => {}
                PushVerdict::Never { rule } => return Err(Refusal::PushForbidden { state: pr.state.name(), rule }),
                PushVerdict::AskFirst { rule } => return hold(pr, HeldPush { work, title, body }, rule, now),
                PushVerdict::ReasonMissing => {
                    return Err(Refusal::Invalid {
                        field: "force_reason",
                        rule: "must say why history is rewritten".into(),
                    });
                }
            }
            Some(PushWork {
                workspace: work.workspace,
                target: work.target,
                branch: pr.branch.clone(),
                expected: pr.head_known()?,
                commit_message: work.commit_message,
                force: if work.force { work.force_reason } else { None },
            })
        }
    };
    let pushes = push.is_some();
    let forced = push.as_ref().and_then(|work| work.force.clone());
    let effect = Effect::UpdatePr(UpdatePr {
        pull_request: pr.id,
        repo: pr.repo.clone(),
        number,
        push,
        title: title.clone(),
        body: body.clone(),
    });
    let mut decision = pr
        .with(
            |next| {
                next.title = title.unwrap_or_else(|| next.title.clone());
                next.body = body.unwrap_or_else(|| next.body.clone());
                next.refusal = None;
                if pushes {
                    next.closing.held = None;
                }
            },
            now,
        )
        .then(effect);
    if let Some(reason) = forced {
        decision = decision.note(
            pr.note(NoteKind::ForcePush, format!("force push to {}: {reason}", pr.label())).with("reason", reason),
        );
    }
    Ok(decision)
}

fn updated(pr: &PullRequest, head: Sha, now: Timestamp) -> Decision<PullRequest> {
    let note = pr.note(NoteKind::PrUpdated, format!("{} is at {}", pr.label(), head.short())).with("head", &head);
    pr.with(
        |next| {
            if next.head.as_ref() != Some(&head) {
                // What was said of the old head does not hold for the new one.
                next.checks = Checks::Unknown;
                next.mergeable = None;
            }
            next.head = Some(head);
            answer(next, None);
        },
        now,
    )
    .note(note)
}

fn observed(pr: &PullRequest, seen: Observed, now: Timestamp) -> Decision<PullRequest> {
    match (&pr.state, &seen.status) {
        (State::Opening { .. }, _) => return Decision::ignore(pr.clone(), "it is being opened"),
        (State::Merged { .. }, _) => return Decision::ignore(pr.clone(), "it is merged"),
        (State::Draft | State::Open | State::Closed { .. }, Status::Merged(sha)) => {
            return merged(pr, sha.clone(), now);
        }
        (State::Draft | State::Open, Status::Closed) => return closed(pr, now),
        (State::Closed { .. }, Status::Open | Status::Draft) => return reopened(pr, now),
        (State::Closed { .. }, Status::Closed) | (State::Draft | State::Open, Status::Open | Status::Draft) => {}
    }
    let mut next = pr.clone();
    next.state = match (&pr.state, seen.status) {
        (State::Draft | State::Open, Status::Draft) => State::Draft,
        (State::Draft | State::Open, Status::Open) => State::Open,
        (same, _) => (*same).clone(),
    };
    next.head = Some(seen.head);
    next.checks = seen.checks;
    next.review = seen.review;
    next.mergeable = seen.mergeable;
    next.title = seen.title;
    if next == *pr && pr.synced_at.is_some() {
        return Decision::ignore(pr.clone(), "nothing new");
    }
    next.synced_at = Some(now);
    next.updated_at = now;
    let note = pr.note(NoteKind::PrObserved, format!("{}: checks {}, review {}", pr.label(), next.checks, next.review));
    Decision::become_(next).note(note)
}

fn comment(pr: &PullRequest, key: String, body: String, now: Timestamp) -> Result<Decision<PullRequest>, Refusal> {
    let number = pr.number_known()?;
    let effect = Effect::Comment { pull_request: pr.id, repo: pr.repo.clone(), number, key, body };
    Ok(pr.with(|next| next.refusal = None, now).then(effect))
}

fn merge(pr: &PullRequest, method: MergeMethod, now: Timestamp) -> Result<Decision<PullRequest>, Refusal> {
    match pr.state {
        State::Open => {
            let effect = Effect::Merge {
                pull_request: pr.id,
                repo: pr.repo.clone(),
                number: pr.number_known()?,
                method,
                expected_head: pr.head_known()?,
            };
            Ok(pr.with(|next| next.refusal = None, now).then(effect))
        }
        State::Merged { .. } => Ok(Decision::ignore(pr.clone(), "merged already")),
        State::Draft => Err(pr.refuse("a draft is not merged")),
        State::Opening { .. } => Err(pr.refuse("it is still being opened")),
        State::Closed { .. } => Err(pr.refuse("reopen it first")),
    }
}

fn merged(pr: &PullRequest, sha: Option<Sha>, now: Timestamp) -> Decision<PullRequest> {
    match pr.state {
        State::Opening { .. } | State::Draft | State::Open | State::Closed { .. } => {
            let note = pr.note(NoteKind::PrMerged, format!("{} was merged", pr.label()));
            pr.with(
                |next| {
                    next.state = State::Merged { sha };
                    next.synced_at = Some(now);
                    next.told = false;
                    // What waited to be pushed is never pushed any more; its checkout keeps it.
                    next.closing = Closing::default();
                    answer(next, None);
                },
                now,
            )
            .note(note)
        }
        State::Merged { .. } => Decision::ignore(pr.clone(), "merged already"),
    }
}

fn close(pr: &PullRequest, now: Timestamp) -> Result<Decision<PullRequest>, Refusal> {
    match pr.state {
        State::Draft | State::Open => {
            let effect = Effect::Close { pull_request: pr.id, repo: pr.repo.clone(), number: pr.number_known()? };
            Ok(pr.with(|next| next.refusal = None, now).then(effect))
        }
        State::Closed { .. } => Ok(Decision::ignore(pr.clone(), "closed already")),
        State::Opening { .. } => Err(pr.refuse("it is still being opened")),
        State::Merged { .. } => Err(pr.refuse("a merged pull request stays merged")),
    }
}

fn closed(pr: &PullRequest, now: Timestamp) -> Decision<PullRequest> {
    match pr.state {
        State::Draft | State::Open => {
            let note = pr.note(NoteKind::PrClosed, format!("{} was closed", pr.label()));
            pr.with(
                |next| {
                    next.state = State::Closed { why: "closed without merging".into() };
                    next.synced_at = Some(now);
                    next.told = false;
                    next.closing = Closing::default();
                    answer(next, None);
                },
                now,
            )
            .note(note)
        }
        State::Opening { .. } | State::Merged { .. } | State::Closed { .. } => {
            Decision::ignore(pr.clone(), "it is not open")
        }
    }
}

fn reopen(pr: &PullRequest, now: Timestamp) -> Result<Decision<PullRequest>, Refusal> {
    match pr.state {
        State::Closed { .. } => {
            let effect = Effect::Reopen { pull_request: pr.id, repo: pr.repo.clone(), number: pr.number_known()? };
            let reopening = |next: &mut PullRequest| {
                next.refusal = None;
                next.closing.decision = ClosedDecision::Reopening;
            };
            Ok(pr.with(reopening, now).then(effect))
        }
        State::Draft | State::Open => Ok(Decision::ignore(pr.clone(), "open already")),
        State::Opening { .. } => Err(pr.refuse("it is still being opened")),
        State::Merged { .. } => Err(pr.refuse("a merged pull request stays merged")),
    }
}

fn reopened(pr: &PullRequest, now: Timestamp) -> Decision<PullRequest> {
    match pr.state {
        State::Closed { .. } => {
            let note = pr.note(NoteKind::PrReopened, format!("{} was reopened", pr.label()));
            pr.with(
                |next| {
                    next.state = State::Open;
                    next.synced_at = Some(now);
                    next.told = false;
                    next.closing = Closing { held: next.closing.held.take(), ..Closing::default() };
                    answer(next, None);
                },
                now,
            )
            .note(note)
        }
        State::Opening { .. } | State::Draft | State::Open | State::Merged { .. } => {
            Decision::ignore(pr.clone(), "it is not closed")
        }
    }
}
