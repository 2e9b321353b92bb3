//! Nouns for tests: each with fixed ids, the instant zero and nothing special about it.
//!
//! A test changes what it is about and leaves the rest alone.

use orcha_base::{
    Attempt, Confinement, FeedbackId, MessageId, ObjectiveId, PullRequestId, QuestionId, RepoUrl, Revision,
    SandboxLevel, ScopeId, SessionId, Sha, TargetId, TenantId, Timestamp, WorkspaceId,
};
use orcha_model::Role;
use orcha_model::feedback::{self, Feedback};
use orcha_model::guard::{CallWindow, Counters, Limits, Usage};
use orcha_model::message::{self, Message, Sender};
use orcha_model::objective::{self, Managers, Objective, Strategy};
use orcha_model::permission::{Mode, Policy, Wish};
use orcha_model::pull_request::{self, Checks, PullRequest, Review};
use orcha_model::question::{self, Question};
use orcha_model::session::{self, AgentChoice, RepoChoice, Session};
use orcha_model::target::{self, Target};
use orcha_model::workspace::{self, Facts, Workspace};

/// The attempt with a number.
pub const fn attempt(n: u32) -> Attempt {
    Attempt(n)
}

/// The instant so many seconds after the beginning.
pub const fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// A commit that is told apart by its number.
pub fn sha(n: u32) -> Sha {
    format!("{n:040x}").parse().expect("forty digits")
}

/// The repository of all tests.
pub fn repo() -> RepoUrl {
    "/srv/repo.git".parse().expect("an absolute path")
}

/// The target of all tests.
pub fn target_id() -> TargetId {
    TargetId::fixed(0x7a)
}

/// An active objective with a manager strategy and a repository.
pub fn objective() -> Objective {
    Objective {
        id: ObjectiveId::fixed(1),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        title: "Objective".into(),
        prompt: "Make it better.".into(),
        strategy: Strategy::Manager,
        repo: Some(RepoChoice { url: repo(), base: None }),
        project: None,
        agent: agent(),
        priority: 0,
        limits: Limits::default(),
        policy: Default::default(),
        managers: Managers::default(),
        calls: CallWindow::default(),
        used: Usage::default(),
        forgiven: (0, 0),
        tripped: None,
        state: objective::State::Active,
        summary: None,
        created_at: at(0),
        updated_at: at(0),
        completed_at: None,
    }
}

/// The agent of all tests.
pub fn agent() -> AgentChoice {
    AgentChoice::of("claude")
}

/// A queued session of a role.
pub fn session(n: u64, role: Role) -> Session {
    Session {
        id: SessionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        parent: None,
        role,
        agent: agent(),
        title: format!("S{n}"),
        goal: "Do it.".into(),
        depends_on: Vec::new(),
        priority: 0,
        pin: None,
        labels: Vec::new(),
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
        part: None,
        opened_at: None,
        asks: Vec::new(),
        asked: 0,
        grants: Vec::new(),
        confinement: None,
        trespasses: Vec::new(),
        counters: Counters::default(),
        state: session::State::Queued { released: true },
        created_at: at(0),
        started_at: None,
        updated_at: at(0),
        completed_at: None,
    }
}

/// A confinement by Landlock.
pub fn confinement() -> Confinement {
    Confinement { level: SandboxLevel::Landlock, read_only: false, detail: "Landlock ABI 7".into() }
}

/// A request to run a command, with a mode and nothing else said of it.
pub fn asked(request: &str, command: &str, mode: Mode) -> Box<session::Asked> {
    Box::new(session::Asked {
        request: request.into(),
        wish: Wish { tool: "Bash".into(), command: Some(command.into()), ..Wish::default() },
        input: format!("{{\"command\":\"{command}\"}}"),
        policy: Policy { mode, expiry_secs: 900, allow: Vec::new(), deny: Vec::new() },
    })
}

/// A preparing workspace of the session with the same number.
pub fn workspace(n: u64) -> Workspace {
    Workspace {
        id: WorkspaceId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        session: SessionId::fixed(n),
        target: target_id(),
        kind: workspace::Kind::Isolated,
        repo: Some(repo()),
        branch: Some(format!("orcha/implementer-{n}").parse().expect("a branch name")),
        checkout: None,
        state: workspace::State::Preparing,
        snapshot: None,
        kept_because: None,
        reclaim_asked_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// What is found out when a checkout is made.
pub fn facts() -> Facts {
    let base = Some("main".parse().expect("a branch name"));
    Facts { dir: "/srv/w".into(), base, base_sha: Some(sha(1)), conflict: None }
}

/// A pull request that is being opened from the workspace with the same number.
pub fn pull_request(n: u64) -> PullRequest {
    PullRequest {
        id: PullRequestId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        session: SessionId::fixed(n),
        workspace: WorkspaceId::fixed(n),
        repo: repo(),
        number: None,
        url: None,
        branch: format!("orcha/implementer-{n}").parse().expect("a branch name"),
        base: "main".parse().expect("a branch name"),
        head: None,
        title: format!("PR{n}"),
        body: String::new(),
        checks: Checks::Unknown,
        review: Review::None,
        mergeable: None,
        refusal: None,
        answered: 0,
        told: false,
        closing: pull_request::Closing::default(),
        state: pull_request::State::Opening { since: at(0) },
        synced_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// An open pull request at [`sha`] 1 with its own number.
pub fn open_pull_request(n: u64) -> PullRequest {
    PullRequest {
        number: Some(n),
        url: Some(format!("/pr/{n}")),
        head: Some(sha(1)),
        state: pull_request::State::Open,
        ..pull_request(n)
    }
}

/// A comment on the pull request with the number of `pr`.
pub fn feedback(n: u64, pr: u64) -> Feedback {
    Feedback {
        id: FeedbackId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        pull_request: PullRequestId::fixed(pr),
        external: format!("comment-{n}"),
        kind: feedback::Kind::IssueComment,
        author: "ada".into(),
        trust: feedback::Trust::Trusted,
        body: "Please rename it.".into(),
        tries: 0,
        state: feedback::State::New,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// An open question asked by a session, or by nobody in particular.
pub fn question(n: u64, session: Option<u64>) -> Question {
    Question {
        id: QuestionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        session: session.map(SessionId::fixed),
        cause: format!("tool:{n}"),
        about: question::About::Asked,
        priority: 5,
        text: "Which colour?".into(),
        context: None,
        options: Vec::new(),
        state: question::State::Open,
        created_at: at(0),
        updated_at: at(0),
        answered_at: None,
    }
}

/// A queued message of a person to a session.
pub fn message(n: u64, session: u64) -> Message {
    Message {
        id: MessageId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(1),
        session: SessionId::fixed(session),
        from: Sender::User,
        cause: format!("steer:{n}"),
        text: "Look left.".into(),
        interrupt: false,
        answers: None,
        state: message::State::Queued { interrupted: None },
        created_at: at(0),
        updated_at: at(0),
    }
}

/// An online target with four places.
pub fn target(n: u64) -> Target {
    Target {
        id: TargetId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        name: format!("t{n}"),
        kind: target::Kind::Local,
        work_root: "/srv".into(),
        labels: Vec::new(),
        capacity: 4,
        state: target::State::Online,
        last_seen_at: None,
        problem: None,
        sandboxes: Vec::new(),
        created_at: at(0),
        updated_at: at(0),
    }
}
