//! The names in the JSON of every response, printed from the types, so that a change of the contract shows; and
//! what requests refuse. The samples are typed values: a field that is not set here would not compile.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use expect_test::{ExpectFile, expect_file};
use orcha_base::*;
use orcha_wire::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn sha() -> Sha {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

fn repo() -> RepoUrl {
    "/srv/site.git".parse().unwrap()
}

/// Prints a value, and shows that reading it back loses nothing.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, expected: ExpectFile) {
    let text = serde_json::to_string_pretty(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    assert!(!text.contains("null"), "{text}");
    expected.assert_eq(&(text + "\n"));
}

fn usage() -> Usage {
    Usage { input: 10, output: 20, cache_read: 30, cache_write: 40, micro_usd: 50, model_calls: 2 }
}

fn limits() -> Limits {
    Limits {
        same_error: Some(3),
        any_error: Some(6),
        no_progress: Some(5),
        session_calls_per_hour: Some(120),
        objective_calls_per_hour: Some(300),
        wall_clock_secs: Some(14_400),
        stall_secs: Some(1800),
        session_tokens: Some(20_000_000),
        session_micro_usd: Some(0),
        objective_tokens: Some(100_000_000),
        objective_micro_usd: Some(0),
        deadline_secs: Some(0),
    }
}

fn objective() -> Objective {
    Objective {
        id: ObjectiveId::fixed(1),
        title: "Add a page".into(),
        prompt: "Add an about page".into(),
        status: ObjectiveStatus::Succeeded,
        reason: None,
        manager_session_id: Some(SessionId::fixed(2)),
        strategy: Strategy::Manager,
        agent: "claude".into(),
        model: Some("big".into()),
        effort: None,
        priority: 0,
        limits: limits(),
        deadline: None,
        tripped: None,
        used: usage(),
        created_at: at(1),
        updated_at: at(2),
        completed_at: Some(at(3)),
        summary: Some("There is a page.".into()),
        metadata: ObjectiveMetadata {
            repo: Some(repo()),
            base_branch: Some(branch("main")),
            project_id: Some(ProjectId::fixed(9)),
        },
    }
}

fn session_row() -> SessionRow {
    SessionRow {
        id: SessionId::fixed(2),
        objective_id: Some(ObjectiveId::fixed(1)),
        status: SessionStatus::Running,
        phase: Some(Phase::Launching),
        turn: Some(Turn::Busy),
        reason: Some("waits".into()),
        role: SessionRole::Implementer,
        agent: "claude".into(),
        mode: SessionMode::Noninteractive,
        title: "Write it".into(),
        target_id: Some(TargetId::fixed(3)),
        current_activity: Some("edits about.html".into()),
        used_tokens: 100,
        created_at: at(1),
        started_at: Some(at(2)),
        updated_at: at(3),
        completed_at: Some(at(4)),
    }
}

fn session() -> Session {
    Session {
        id: SessionId::fixed(2),
        objective_id: Some(ObjectiveId::fixed(1)),
        parent_session_id: Some(SessionId::fixed(4)),
        role: SessionRole::PrFollowup,
        agent: "claude".into(),
        model: Some("big".into()),
        effort: None,
        mode: SessionMode::Interactive,
        status: SessionStatus::WaitingCapacity,
        phase: Some(Phase::Preparing),
        turn: Some(Turn::Idle),
        reason: Some("no target takes it".into()),
        until: Some(at(60)),
        attempt: 2,
        title: "Write it".into(),
        goal: "Write the page".into(),
        priority: 5,
        current_activity: Some("edits".into()),
        latest_summary: Some("I wrote".into()),
        handoff_summary: Some("Done".into()),
        target_id: Some(TargetId::fixed(3)),
        workspace_id: Some(WorkspaceId::fixed(5)),
        sandbox: Some(Confinement { level: SandboxLevel::Landlock, read_only: false, detail: "Landlock ABI 7".into() }),
        usage_provider: Some("claude".into()),
        used_tokens: 100,
        used: usage(),
        created_at: at(1),
        started_at: Some(at(2)),
        updated_at: at(3),
        completed_at: Some(at(4)),
        metadata: SessionMetadata {
            depends_on: vec![SessionId::fixed(6)],
            repo: Some(repo()),
            base_branch: Some(branch("main")),
            pinned_target: Some(TargetId::fixed(3)),
            target_labels: vec!["gpu".into()],
            pr_id: Some(PullRequestId::fixed(7)),
            reviews_session: Some(SessionId::fixed(8)),
            review_verdict: Some("approve".into()),
            retries: Some(SessionId::fixed(9)),
            provider_session_id: Some("conversation".into()),
            running_attempt: Some(Attempt(2)),
        },
    }
}

fn pull_request() -> PullRequest {
    PullRequest {
        id: PullRequestId::fixed(7),
        objective_id: Some(ObjectiveId::fixed(1)),
        created_by_session_id: Some(SessionId::fixed(2)),
        repo: "/srv/site.git".into(),
        number: 1,
        url: "file:///srv/site.git#1".into(),
        branch: branch("orcha/implementer-00000002"),
        base_branch: branch("main"),
        head_sha: Some(sha()),
        status: PullRequestStatus::Merged,
        reason: Some("said so".into()),
        merged_sha: Some(sha()),
        checks_state: ChecksState::Passing,
        review_state: ReviewState::ChangesRequested,
        mergeable: Some(true),
        refusal: Some("moved".into()),
        title: "About page".into(),
        summary: Some("Adds it".into()),
        last_synced_at: Some(at(3)),
        created_at: at(1),
        updated_at: at(2),
    }
}

fn question() -> Question {
    Question {
        id: QuestionId::fixed(10),
        objective_id: Some(ObjectiveId::fixed(1)),
        session_id: Some(SessionId::fixed(2)),
        status: QuestionStatus::Delivered,
        priority: 5,
        question: "Which colour?".into(),
        context: Some("The page has none".into()),
        options: vec!["red".into()],
        about: "asked".into(),
        expires_at: Some(at(9)),
        answer: Some("red".into()),
        created_at: at(1),
        answered_at: Some(at(2)),
    }
}

fn workspace() -> Workspace {
    Workspace {
        id: WorkspaceId::fixed(5),
        objective_id: Some(ObjectiveId::fixed(1)),
        session_id: Some(SessionId::fixed(2)),
        target_id: TargetId::fixed(3),
        kind: WorkspaceKind::PrBranch,
        project_path: "/srv/site.git".into(),
        vcs: Vcs::Git,
        path: "/var/work/2".into(),
        base_ref: Some("main".into()),
        base_sha: Some(sha()),
        branch_name: Some(branch("orcha/implementer-00000002")),
        status: WorkspaceStatus::Ready,
        reason: Some("why not".into()),
        snapshot: Some(sha()),
        kept_because: Some("unpushed work".into()),
        created_at: at(1),
        updated_at: at(2),
    }
}

fn target() -> Target {
    Target {
        id: TargetId::fixed(3),
        name: "local".into(),
        kind: TargetKind::Local,
        status: TargetStatus::Online,
        work_root: "/var/work".into(),
        labels: vec!["fast".into()],
        capacity_sessions: 4,
        available_sessions: 3,
        problem: Some("disk".into()),
        sandboxes: vec![SandboxLevel::Landlock],
        last_seen_at: Some(at(1)),
        created_at: at(1),
        updated_at: at(2),
    }
}

fn steering() -> SteeringMessage {
    SteeringMessage {
        id: MessageId::fixed(11),
        objective_id: ObjectiveId::fixed(1),
        session_id: SessionId::fixed(2),
        source: MessageSource::User,
        content: "Use red".into(),
        interrupt: false,
        state: SteeringState::Acknowledged,
        question_id: Some(QuestionId::fixed(10)),
        created_at: at(1),
        updated_at: at(2),
    }
}

#[test]
fn objectives() {
    let row = ObjectiveRow {
        id: ObjectiveId::fixed(1),
        status: ObjectiveStatus::Active,
        title: "Add a page".into(),
        repo: "/srv/site.git".into(),
        active_sessions: 2,
        pr_count: 1,
        open_questions: 0,
        needs_user: false,
        latest_activity: "edits".into(),
        priority: 0,
        created_at: at(1),
        updated_at: at(2),
    };
    check(&row, expect_file!["names/objective_row.json"]);
    let artifact = Artifact {
        id: ArtifactId::fixed(12),
        objective_id: Some(ObjectiveId::fixed(1)),
        session_id: Some(SessionId::fixed(2)),
        kind: ArtifactKind::Report,
        title: "Result".into(),
        summary: Some("It works".into()),
        uri: Some("file:///srv".into()),
        visibility: Visibility::Primary,
        created_at: at(1),
    };
    let detail = ObjectiveDetail {
        objective: objective(),
        sessions: vec![session_row()],
        pull_requests: vec![],
        questions: vec![],
        artifacts: vec![artifact],
        usage: ObjectiveUsage {
            objective_id: ObjectiveId::fixed(1),
            total_tokens: 100,
            sessions: vec![SessionUsage {
                session_id: SessionId::fixed(2),
                title: "Write it".into(),
                role: SessionRole::Implementer,
                provider: "claude".into(),
                used_tokens: 100,
            }],
            providers: vec![ProviderUsage { provider: "claude".into(), used_tokens: 100 }],
            used: usage(),
        },
    };
    check(&detail, expect_file!["names/objective_detail.json"]);
    let created = CreatedObjective { objective: objective(), manager: None };
    check(&created, expect_file!["names/created_objective.json"]);
}

#[test]
fn sessions_and_what_is_said_in_them() {
    check(&session(), expect_file!["names/session.json"]);
    let entry = TranscriptEntry {
        id: "00000000-0000-0000-0000-000000000002:7".into(),
        session_id: SessionId::fixed(2),
        seq: 7,
        source: MessageSource::Agent,
        kind: MessageKind::ToolCall,
        content: "Bash".into(),
        metadata: [("tool".to_owned(), "Bash".into())].into_iter().collect(),
        attempt: Some(Attempt(1)),
        created_at: at(1),
    };
    check(&entry, expect_file!["names/transcript_entry.json"]);
    let steered = Steered { status: "sent".into(), session_id: SessionId::fixed(2), message: steering() };
    check(&steered, expect_file!["names/steered.json"]);
}

#[test]
fn pull_requests_and_questions() {
    let detail = PullRequestDetail {
        pull_request: pull_request(),
        pending_feedback: vec![Feedback {
            id: FeedbackId::fixed(13),
            pr_id: PullRequestId::fixed(7),
            kind: FeedbackKind::ReviewComment,
            external_id: Some("c1.1".into()),
            body: Some("Please mend".into()),
            author: "ada".into(),
            trust: Trust::Outside,
            actionable: true,
            handled: false,
            state: FeedbackState::Routed,
            session_id: Some(SessionId::fixed(2)),
            tries: 1,
            created_at: at(1),
        }],
        comments: vec![Comment {
            id: "c1".into(),
            author: "ada".into(),
            trust: Trust::Trusted,
            kind: CommentKind::Inline,
            verdict: Some(ReviewVerdict::RequestChanges),
            path: Some("about.html".into()),
            line: Some(3),
            body: "Please mend".into(),
            ours: false,
            created_at: at(1),
        }],
    };
    check(&detail, expect_file!["names/pull_request_detail.json"]);
    check(&question(), expect_file!["names/question.json"]);
}

#[test]
fn places() {
    let report = TargetReport { target: target(), error: Some("disk".into()) };
    check(&report, expect_file!["names/target_report.json"]);
    let snapshot =
        Snapshot { number: 1, sha: sha(), head: Some(sha()), why: "the session ended".into(), created_at: at(1) };
    let detail = WorkspaceDetail { workspace: workspace(), snapshots: vec![snapshot] };
    check(&detail, expect_file!["names/workspace_detail.json"]);
    let project = Project {
        id: ProjectId::fixed(9),
        name: "site".into(),
        repo: repo(),
        base_branch: Some(branch("main")),
        permissions: PermissionRules {
            mode: Some(PermissionMode::Auto),
            allow: vec![PermissionRule { command: Some("make test".into()), ..PermissionRule::default() }],
            deny: vec![PermissionRule { tool: Some("Web*".into()), path: Some("/etc".into()), command: None }],
            sandbox: SandboxRules { level: Some(SandboxChoice::Landlock), strict: Some(true) },
        },
        created_at: at(1),
        updated_at: at(2),
    };
    check(&project, expect_file!["names/project.json"]);
    check(&Deleted::default(), expect_file!["names/deleted.json"]);
    let restored = Restored { workspace: workspace(), dir: Some("/var/work/restored".into()) };
    check(&restored, expect_file!["names/restored.json"]);
}

#[test]
fn the_daemon() {
    let event = Event {
        id: 5,
        objective_id: Some(ObjectiveId::fixed(1)),
        session_id: Some(SessionId::fixed(2)),
        kind: "session_started".into(),
        summary: "session started".into(),
        data: [("attempt".to_owned(), "1".into())].into_iter().collect(),
        created_at: at(1),
    };
    check(&event, expect_file!["names/event.json"]);
    let health = Health {
        status: HealthStatus::Ok,
        version: "0.1.0".into(),
        build: "unstamped".into(),
        started: at(1),
        time: at(2),
        pid: 42,
        active_objectives: 1,
        running_sessions: 2,
        open_questions: 0,
        pending_effects: 0,
    };
    check(&health, expect_file!["names/health.json"]);
    let whoami = Whoami { email: String::new(), user_id: "operator".into(), tenant: "default".into(), scope: None };
    check(&whoami, expect_file!["names/whoami.json"]);
    let link = LoginLink { url: "http://127.0.0.1:1/login?ticket=x".into(), expires_at: at(1) };
    check(&link, expect_file!["names/login_link.json"]);
    let why = Why {
        id: SessionId::fixed(2).to_string(),
        noun: "session".into(),
        state: "queued".into(),
        reason: "it waits for a place".into(),
        since: at(1),
        way_out: "it is placed with the next free place".into(),
    };
    check(&why, expect_file!["names/why.json"]);
}

fn refused<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
    serde_json::from_str::<T>(json).unwrap_err().to_string()
}

#[test]
fn p17_a_request_with_an_unknown_field_is_refused_by_its_name() {
    for refusal in [
        refused::<CreateObjective>(r#"{"prompt":"x","colour":1}"#),
        refused::<EditObjective>(r#"{"colour":1}"#),
        refused::<Cancel>(r#"{"colour":1}"#),
        refused::<Limits>(r#"{"colour":1}"#),
        refused::<Steer>(r#"{"message":"x","colour":1}"#),
        refused::<Answer>(r#"{"answer":"x","colour":1}"#),
        refused::<CreateTarget>(r#"{"name":"x","colour":1}"#),
        refused::<EditTarget>(r#"{"colour":1}"#),
        refused::<CreateProject>(r#"{"repo":"/x","colour":1}"#),
        refused::<EditProject>(r#"{"colour":1}"#),
        refused::<MergePr>(r#"{"colour":1}"#),
        refused::<ClosePr>(r#"{"colour":1}"#),
        refused::<CommentPr>(r#"{"body":"x","colour":1}"#),
        refused::<ReviewPr>(r#"{"verdict":"approve","colour":1}"#),
        refused::<CheckPr>(r#"{"name":"x","state":"passing","colour":1}"#),
        refused::<RestoreWorkspace>(r#"{"colour":1}"#),
        refused::<ListSessions>(r#"{"colour":1}"#),
        refused::<SetCustomization>(r#"{"kind":"skill","name":"x","body":"x","colour":1}"#),
        refused::<WhyNot>(r#"{"reason":"x","colour":1}"#),
        refused::<ListProposals>(r#"{"colour":1}"#),
    ] {
        assert!(refusal.contains("unknown field `colour`"), "{refusal}");
    }
}

#[test]
fn p16_a_request_cannot_carry_an_option_for_git() {
    let refusal = refused::<CreateObjective>(r#"{"prompt":"x","base_branch":"--upload-pack=x"}"#);
    assert!(refusal.contains("branch name"), "{refusal}");
    let refusal = refused::<CreateObjective>(r#"{"prompt":"x","repo":"ext::sh -c id"}"#);
    assert!(refusal.contains("repository address"), "{refusal}");
}

#[test]
fn a_wrong_name_is_refused_with_the_right_ones() {
    let refusal = refused::<MergePr>(r#"{"method":"octopus"}"#);
    assert!(refusal.contains("`merge`, `squash`, `rebase`"), "{refusal}");
    let refusal = "octopus".parse::<MergeMethod>().unwrap_err().to_string();
    assert_eq!(refusal, "`octopus` is not a merge method: expected one of merge, squash, rebase");
}
