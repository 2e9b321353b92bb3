//! Nouns and stores for the tests of this crate. Asserts nothing by itself.
#![allow(dead_code, reason = "each test program uses its own part")]

use orcha_base::{
    Attempt, BranchName, FeedbackId, MessageId, ObjectiveId, PullRequestId, QuestionId, Revision, ScopeId, SessionId,
    TargetId, TenantId, Timestamp, WorkspaceId,
};
use orcha_model::effect::Effect;
use orcha_model::objective::Managers;
use orcha_model::session::{AgentChoice, Phase, RepoChoice};
use orcha_model::{
    EffectKey, Feedback, Limits, Message, Note, NoteKind, NounId, Objective, PullRequest, Question, Role, Session,
    Target, Workspace, feedback, message, objective, pull_request, question, session, target, workspace,
};
use orcha_store::{Change, Commit, JournalLine, Order, Row, Store, StoreOptions, Viewer};
use std::path::Path;

pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

pub fn viewer() -> Viewer {
    Viewer::of(TenantId::default())
}

pub fn open(folder: &Path) -> Store {
    Store::open(folder, StoreOptions::default()).unwrap()
}

fn agent() -> AgentChoice {
    AgentChoice::of("claude")
}

pub fn objective(n: u64) -> Objective {
    Objective {
        id: ObjectiveId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        title: format!("objective {n}"),
        prompt: "do it".into(),
        strategy: objective::Strategy::Manager,
        repo: Some(RepoChoice { url: "/srv/a.git".parse().unwrap(), base: None }),
        project: None,
        agent: agent(),
        priority: 0,
        limits: Limits::default(),
        policy: Default::default(),
        managers: Managers::default(),
        calls: Default::default(),
        used: Default::default(),
        forgiven: (0, 0),
        tripped: None,
        state: objective::State::Active,
        summary: None,
        created_at: at(0),
        updated_at: at(0),
        completed_at: None,
    }
}

pub fn session(n: u64, of: u64) -> Session {
    Session {
        id: SessionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        parent: None,
        role: Role::Implementer,
        agent: agent(),
        title: format!("session {n}"),
        goal: "change something".into(),
        depends_on: vec![],
        priority: 0,
        pin: None,
        labels: vec![],
        repo: None,
        pull_request: None,
        reviews: None,
        retries: None,
        workspace: None,
        conversation: None,
        handover: None,
        attempt: Attempt(0),
        faults: 0,
        report: None,
        activity: None,
        latest_summary: None,
        told: false,
        stopping: None,
        asks: Vec::new(),
        asked: 0,
        grants: Vec::new(),
        confinement: None,
        trespasses: Vec::new(),
        part: None,
        opened_at: None,
        counters: Default::default(),
        state: session::State::Queued { released: true },
        created_at: at(0),
        started_at: None,
        updated_at: at(0),
        completed_at: None,
    }
}

/// The session on its way on a target, one revision later.
pub fn placed(session: &Session, target: u64) -> Session {
    let mut next = session.clone();
    next.revision = next.revision.next();
    next.attempt = next.attempt.next();
    next.state =
        session::State::Starting { target: TargetId::fixed(target), attempt: next.attempt, phase: Phase::Preparing };
    next
}

/// The session at its end, one revision later.
pub fn ended(session: &Session) -> Session {
    let mut next = session.clone();
    next.revision = next.revision.next();
    next.state = session::State::Canceled { reason: "test".into() };
    next
}

pub fn workspace(n: u64, of: u64, session: u64) -> Workspace {
    Workspace {
        id: WorkspaceId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: SessionId::fixed(session),
        target: TargetId::fixed(1),
        kind: workspace::Kind::Isolated,
        repo: None,
        branch: None,
        checkout: None,
        state: workspace::State::Preparing,
        snapshot: None,
        kept_because: None,
        reclaim_asked_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn pull_request(n: u64, of: u64, number: Option<u64>) -> PullRequest {
    let branch = |name: &str| name.parse::<BranchName>().unwrap();
    PullRequest {
        id: PullRequestId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: SessionId::fixed(1),
        workspace: WorkspaceId::fixed(1),
        repo: "/srv/a.git".parse().unwrap(),
        number,
        url: None,
        branch: branch("orcha/x"),
        base: branch("main"),
        head: None,
        title: "a change".into(),
        body: String::new(),
        checks: Default::default(),
        review: Default::default(),
        mergeable: None,
        refusal: None,
        answered: 0,
        told: false,
        closing: Default::default(),
        state: pull_request::State::Open,
        synced_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn feedback(n: u64, of: u64, pull_request: u64, external: &str) -> Feedback {
    Feedback {
        id: FeedbackId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        pull_request: PullRequestId::fixed(pull_request),
        external: external.into(),
        kind: feedback::Kind::IssueComment,
        author: "somebody".into(),
        trust: feedback::Trust::Outside,
        body: "why?".into(),
        tries: 0,
        state: feedback::State::New,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn question(n: u64, of: u64, cause: &str) -> Question {
    Question {
        id: QuestionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: None,
        cause: cause.into(),
        about: question::About::Asked,
        priority: 0,
        text: "which?".into(),
        context: None,
        options: vec![],
        state: question::State::Open,
        created_at: at(0),
        updated_at: at(0),
        answered_at: None,
    }
}

pub fn message(n: u64, of: u64, session: u64, cause: &str) -> Message {
    Message {
        id: MessageId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: SessionId::fixed(session),
        from: message::Sender::User,
        cause: cause.into(),
        text: "go on".into(),
        interrupt: false,
        answers: None,
        state: message::State::Queued { interrupted: None },
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn target(n: u64, capacity: u32) -> Target {
    Target {
        id: TargetId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        name: format!("target-{n}"),
        kind: target::Kind::Local,
        work_root: "/tmp".into(),
        labels: vec![],
        capacity,
        state: target::State::Online,
        last_seen_at: None,
        problem: None,
        sandboxes: Vec::new(),
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn new(row: Row) -> Change {
    Change { row, expected: None }
}

pub fn changed(row: Row) -> Change {
    let expected = Some(Revision(row.revision().0 - 1));
    Change { row, expected }
}

pub fn rows(rows: impl IntoIterator<Item = Row>) -> Commit {
    Commit { changes: rows.into_iter().map(new).collect(), ..Commit::at(at(0)) }
}

pub fn line(of: u64, session: u64, text: &str) -> JournalLine {
    JournalLine {
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        objective: Some(ObjectiveId::fixed(of)),
        session: None,
        note: Note::new(NoteKind::NoteCreated, text).of(SessionId::fixed(session)).with("n", 1),
    }
}

/// An order in the lane of a pull request, with a body of some size.
pub fn order(of: u64, lane: u64, revision: u64, weight: usize) -> Order {
    let pull_request = PullRequestId::fixed(lane);
    Order {
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        objective: Some(ObjectiveId::fixed(of)),
        key: EffectKey { noun: NounId::PullRequest(pull_request), revision: Revision(revision), ordinal: 0 },
        effect: Effect::Comment {
            pull_request,
            repo: "/srv/a.git".parse().unwrap(),
            number: 1,
            key: "k".into(),
            body: "x".repeat(weight),
        },
    }
}
