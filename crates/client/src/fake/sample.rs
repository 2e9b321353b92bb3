//! Rows to answer with: one objective on its way, its sessions, and what belongs to them.

use orcha_base::{BranchName, ObjectiveId, PullRequestId, QuestionId, SessionId, TargetId, Timestamp};
use orcha_wire::*;

/// The instant that everything happens at, plus seconds.
pub const fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

/// An objective in a state.
pub fn objective(status: ObjectiveStatus) -> Objective {
    Objective {
        id: ObjectiveId::fixed(0xaaaa_0001),
        title: "Add an about page".into(),
        prompt: "The site needs an about page.".into(),
        status,
        reason: None,
        manager_session_id: Some(SessionId::fixed(0xbbbb_0001)),
        strategy: Strategy::Manager,
        agent: "claude".into(),
        model: None,
        effort: None,
        priority: 0,
        limits: Limits::default(),
        deadline: None,
        tripped: None,
        used: Usage::default(),
        created_at: at(0),
        updated_at: at(60),
        completed_at: status.is_over().then(|| at(60)),
        summary: status.is_over().then(|| "The page is there.".into()),
        metadata: ObjectiveMetadata::default(),
    }
}

/// An objective as a line of a list.
pub fn objective_row(status: ObjectiveStatus) -> ObjectiveRow {
    let objective = objective(status);
    ObjectiveRow {
        id: objective.id,
        status,
        title: objective.title,
        repo: "/srv/site.git".into(),
        active_sessions: 2,
        pr_count: 1,
        open_questions: 0,
        needs_user: false,
        latest_activity: "edits about.html".into(),
        priority: 0,
        created_at: objective.created_at,
        updated_at: objective.updated_at,
    }
}

/// A session: the first is a manager, the others implement.
pub fn session_row(number: u64, status: SessionStatus) -> SessionRow {
    let manager = number == 1;
    SessionRow {
        id: SessionId::fixed(0xbbbb_0000 + number),
        objective_id: Some(ObjectiveId::fixed(0xaaaa_0001)),
        status,
        phase: (status == SessionStatus::Starting).then_some(Phase::Preparing),
        turn: (status == SessionStatus::Running).then_some(Turn::Busy),
        reason: None,
        role: if manager { SessionRole::Manager } else { SessionRole::Implementer },
        agent: "claude".into(),
        mode: if manager { SessionMode::Interactive } else { SessionMode::Noninteractive },
        title: format!("Session {number}"),
        target_id: Some(TargetId::fixed(0xcccc_0001)),
        current_activity: Some("edits about.html".into()),
        used_tokens: 12_345,
        created_at: at(1),
        started_at: Some(at(2)),
        updated_at: at(30),
        completed_at: status.is_over().then(|| at(30)),
    }
}

/// A pull request in a state.
pub fn pull_request(status: PullRequestStatus) -> PullRequest {
    let branch = |name: &str| -> BranchName { name.parse().unwrap_or_else(|error| panic!("{error}")) };
    PullRequest {
        id: PullRequestId::fixed(0xdddd_0001),
        objective_id: Some(ObjectiveId::fixed(0xaaaa_0001)),
        created_by_session_id: Some(SessionId::fixed(0xbbbb_0002)),
        repo: "/srv/site.git".into(),
        number: 1,
        url: String::new(),
        branch: branch("orcha/implementer-bbbb0002"),
        base_branch: branch("main"),
        head_sha: None,
        status,
        reason: None,
        merged_sha: None,
        checks_state: ChecksState::Passing,
        review_state: ReviewState::Approved,
        mergeable: Some(true),
        refusal: None,
        title: "About page".into(),
        summary: Some("Adds it.".into()),
        last_synced_at: None,
        created_at: at(20),
        updated_at: at(40),
    }
}

/// A question in a state.
pub fn question(status: QuestionStatus) -> Question {
    Question {
        id: QuestionId::fixed(0xeeee_0001),
        objective_id: Some(ObjectiveId::fixed(0xaaaa_0001)),
        session_id: Some(SessionId::fixed(0xbbbb_0002)),
        status,
        priority: 5,
        question: "Which colour?\x1b[2J".into(),
        context: Some("The page has none yet.".into()),
        options: vec!["red".into(), "blue".into()],
        about: "asked".into(),
        expires_at: None,
        answer: None,
        created_at: at(10),
        answered_at: None,
    }
}

/// The whole of an objective.
pub fn detail(status: ObjectiveStatus, sessions: Vec<SessionRow>) -> ObjectiveDetail {
    let objective = objective(status);
    ObjectiveDetail {
        usage: ObjectiveUsage {
            objective_id: objective.id,
            total_tokens: 24_690,
            sessions: vec![],
            providers: vec![],
            used: Usage { micro_usd: 1_230_000, ..Usage::default() },
        },
        objective,
        sessions,
        pull_requests: vec![],
        questions: vec![],
        artifacts: vec![],
    }
}

/// A line of the journal.
pub fn event(id: u64, kind: &str, session: Option<u64>, summary: &str) -> Event {
    Event {
        id,
        objective_id: Some(ObjectiveId::fixed(0xaaaa_0001)),
        session_id: session.map(|it| SessionId::fixed(0xbbbb_0000 + it)),
        kind: kind.into(),
        summary: summary.into(),
        data: serde_json::Map::new(),
        created_at: at(i64::try_from(id).unwrap_or(0)),
    }
}

/// An entry of the first implementer's transcript.
pub fn entry(seq: u64, source: MessageSource, kind: MessageKind, content: &str) -> TranscriptEntry {
    TranscriptEntry {
        id: seq.to_string(),
        session_id: SessionId::fixed(0xbbbb_0002),
        seq,
        source,
        kind,
        content: content.into(),
        metadata: serde_json::Map::new(),
        attempt: None,
        created_at: at(i64::try_from(seq).unwrap_or(0)),
    }
}
