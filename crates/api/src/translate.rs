//! From the nouns of the mind to the words of the wire. Field by field, and nothing is decided.

use crate::permissions;
use orcha_base::{RepoUrl, TargetId};
use orcha_model::guard::Usage;
use orcha_model::session::{State, Turn, UserWait, Waiting};
use orcha_model::{
    Artifact, ArtifactKind, Feedback, Message, Objective, Project, PullRequest, Question, Role, Session, Visibility,
    Workspace, feedback, message, objective, pull_request, question, session, target, workspace,
};
use orcha_store::{Entry, Event, ObjectiveRow, SessionRow, TargetRow};
use serde_json::{Map, Value};
use std::str::FromStr;

/// Reads a name that the mind gave; what a newer mind knows and the wire does not becomes the given one.
fn name<T: FromStr>(text: &str, otherwise: T) -> T {
    text.parse().unwrap_or(otherwise)
}

pub(crate) const fn usage(used: &Usage) -> orcha_wire::Usage {
    orcha_wire::Usage {
        input: used.input,
        output: used.output,
        cache_read: used.cache_read,
        cache_write: used.cache_write,
        micro_usd: used.micro_usd,
        model_calls: used.model_calls as u64,
    }
}

pub(crate) fn limits(it: &orcha_model::guard::Limits) -> orcha_wire::Limits {
    orcha_wire::Limits {
        same_error: Some(it.same_error),
        any_error: Some(it.any_error),
        no_progress: Some(it.no_progress),
        session_calls_per_hour: Some(it.session_calls_per_hour),
        objective_calls_per_hour: Some(it.objective_calls_per_hour),
        wall_clock_secs: Some(it.wall_clock_secs),
        stall_secs: Some(it.stall_secs),
        session_tokens: Some(it.session_tokens),
        session_micro_usd: Some(it.session_micro_usd),
        objective_tokens: Some(it.objective_tokens),
        objective_micro_usd: Some(it.objective_micro_usd),
        deadline_secs: Some(it.deadline_secs),
    }
}

pub(crate) fn limit_changes(it: &orcha_wire::Limits) -> orcha_model::guard::LimitChanges {
    orcha_model::guard::LimitChanges {
        same_error: it.same_error,
        any_error: it.any_error,
        no_progress: it.no_progress,
        session_calls_per_hour: it.session_calls_per_hour,
        objective_calls_per_hour: it.objective_calls_per_hour,
        wall_clock_secs: it.wall_clock_secs,
        stall_secs: it.stall_secs,
        session_tokens: it.session_tokens,
        session_micro_usd: it.session_micro_usd,
        objective_tokens: it.objective_tokens,
        objective_micro_usd: it.objective_micro_usd,
        deadline_secs: it.deadline_secs,
    }
}

const fn objective_status(state: &objective::State) -> orcha_wire::ObjectiveStatus {
    use orcha_wire::ObjectiveStatus as To;
    match state {
        objective::State::Active => To::Active,
        objective::State::WaitingUser => To::WaitingUser,
        objective::State::Paused => To::Paused,
        objective::State::Succeeded => To::Succeeded,
        objective::State::Failed { .. } => To::Failed,
        objective::State::Canceled { .. } => To::Canceled,
    }
}

pub(crate) fn objective_row(row: ObjectiveRow) -> orcha_wire::ObjectiveRow {
    orcha_wire::ObjectiveRow {
        needs_user: row.needs_user(),
        id: row.id,
        status: name(&row.state, orcha_wire::ObjectiveStatus::Active),
        title: row.title,
        repo: row.repo.unwrap_or_default(),
        active_sessions: u64::from(row.active_sessions),
        pr_count: u64::from(row.pull_requests),
        open_questions: u64::from(row.open_questions),
        latest_activity: row.latest_activity.unwrap_or_default(),
        priority: row.priority,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// The sessions tell which of them is the newest manager.
pub(crate) fn objective<'a>(it: &Objective, sessions: impl IntoIterator<Item = &'a Session>) -> orcha_wire::Objective {
    let managers = sessions.into_iter().filter(|it| it.role == Role::Manager);
    let newest = managers.max_by_key(|it| (it.created_at, it.id)).map(|it| it.id);
    let reason = match &it.state {
        objective::State::Failed { reason } | objective::State::Canceled { reason } => Some(reason.clone()),
        objective::State::Active
        | objective::State::WaitingUser
        | objective::State::Paused
        | objective::State::Succeeded => None,
    };
    orcha_wire::Objective {
        id: it.id,
        title: it.title.clone(),
        prompt: it.prompt.clone(),
        status: objective_status(&it.state),
        reason,
        manager_session_id: newest,
        strategy: match it.strategy {
            objective::Strategy::Manager => orcha_wire::Strategy::Manager,
            objective::Strategy::Direct => orcha_wire::Strategy::Direct,
            objective::Strategy::Pipeline => orcha_wire::Strategy::Pipeline,
        },
        agent: it.agent.kind.clone(),
        model: it.agent.model.clone(),
        effort: it.agent.effort,
        priority: it.priority,
        limits: limits(&it.limits),
        deadline: it.deadline(),
        tripped: it.tripped.as_ref().map(ToString::to_string),
        used: usage(&it.used),
        created_at: it.created_at,
        updated_at: it.updated_at,
        completed_at: it.completed_at,
        summary: it.summary.clone(),
        metadata: orcha_wire::ObjectiveMetadata {
            repo: it.repo.as_ref().map(|it| it.url.clone()),
            base_branch: it.repo.as_ref().and_then(|it| it.base.clone()),
            project_id: it.project,
        },
    }
}

pub(crate) const fn role(role: Role) -> orcha_wire::SessionRole {
    use orcha_wire::SessionRole as To;
    match role {
        Role::Manager => To::Manager,
        Role::Implementer => To::Implementer,
        Role::Reviewer => To::Reviewer,
        Role::Validator => To::Validator,
        Role::Researcher => To::Researcher,
        Role::PrFollowup => To::PrFollowup,
        Role::CiFollowup => To::CiFollowup,
        Role::Custom => To::Custom,
        Role::Director => To::Director,
        Role::ProjectManager => To::ProjectManager,
        Role::Architect => To::Architect,
        Role::Qa => To::Qa,
        Role::Finalizer => To::Finalizer,
        Role::Refiner => To::Refiner,
    }
}

const fn mode(role: Role) -> orcha_wire::SessionMode {
    if role.traits().stays { orcha_wire::SessionMode::Interactive } else { orcha_wire::SessionMode::Noninteractive }
}

const fn session_status(state: &State) -> orcha_wire::SessionStatus {
    use orcha_wire::SessionStatus as To;
    match state {
        State::Queued { .. } => To::Queued,
        State::WaitingCapacity { .. } => To::WaitingCapacity,
        State::Starting { .. } => To::Starting,
        State::Running { .. } => To::Running,
        State::WaitingUser { .. } => To::WaitingUser,
        State::Paused => To::Paused,
        State::Succeeded { .. } => To::Succeeded,
        State::Failed { .. } => To::Failed,
        State::Canceled { .. } => To::Canceled,
    }
}

const fn phase(state: &State) -> Option<orcha_wire::Phase> {
    match state {
        State::Starting { phase: session::Phase::Preparing, .. } => Some(orcha_wire::Phase::Preparing),
        State::Starting { phase: session::Phase::Launching, .. } => Some(orcha_wire::Phase::Launching),
        _ => None,
    }
}

const fn turn(state: &State) -> Option<orcha_wire::Turn> {
    match state {
        State::Running { turn: Turn::Busy { .. }, .. } => Some(orcha_wire::Turn::Busy),
        State::Running { turn: Turn::Idle { .. }, .. } => Some(orcha_wire::Turn::Idle),
        State::Running { turn: Turn::Held { .. }, .. } => Some(orcha_wire::Turn::Held),
        _ => None,
    }
}

/// Tells why a session waits, failed or was canceled; none while it is at work or has succeeded.
pub fn session_reason(state: &State) -> Option<String> {
    match state {
        State::WaitingCapacity { why, .. } => Some(match why {
            Waiting::NoTarget { detail } => format!("no target takes it: {detail}"),
            Waiting::Fault { detail } => detail.clone(),
            Waiting::Provider { class } => format!("its provider refuses ({class})"),
            Waiting::Budget { detail } => format!("it waits for what is set aside for others: {detail}"),
            Waiting::Parked => "it has nothing to do".to_owned(),
            Waiting::Resumed => "it goes on as soon as there is a place".to_owned(),
        }),
        State::WaitingUser { why, answered } => Some(match why {
            _ if *answered => "it has its answer and waits for a place".to_owned(),
            UserWait::Question => "it asked the user something".to_owned(),
            UserWait::Guard { trip } => trip.to_string(),
            UserWait::Help { class } => format!("it needs help: {class}"),
        }),
        State::Failed { reason, .. } | State::Canceled { reason } => Some(reason.clone()),
        State::Queued { released: false } => Some("it waits for sessions that it depends on".to_owned()),
        State::Queued { released: true } => Some("it waits for a place".to_owned()),
        State::Running { turn: Turn::Held { .. }, .. } => Some("a person types in its terminal".to_owned()),
        State::Starting { .. } | State::Running { .. } | State::Paused | State::Succeeded { .. } => None,
    }
}

/// Tells why a session does not move: its state, or what its agent waits for while it runs.
fn reason_of(it: &Session) -> Option<String> {
    let asks = || it.asks.first().map(|asking| format!("its agent waits for permission to use {}", asking.line));
    session_reason(&it.state).or_else(asks)
}

/// A session of a list that was read from its columns alone.
pub(crate) fn session_row(row: SessionRow) -> orcha_wire::SessionRow {
    orcha_wire::SessionRow {
        id: row.id,
        objective_id: Some(row.objective),
        status: name(&row.state, orcha_wire::SessionStatus::Queued),
        phase: phase(&row.stands),
        turn: turn(&row.stands),
        reason: session_reason(&row.stands),
        role: role(row.role),
        agent: row.agent,
        mode: mode(row.role),
        title: row.title,
        target_id: row.target,
        current_activity: row.activity,
        used_tokens: row.tokens,
        created_at: row.created_at,
        started_at: row.started_at,
        updated_at: row.updated_at,
        completed_at: row.completed_at,
    }
}

/// A session of a list that was read as a whole.
pub(crate) fn full_session_row(it: &Session, ran_on: Option<TargetId>) -> orcha_wire::SessionRow {
    orcha_wire::SessionRow {
        id: it.id,
        objective_id: Some(it.objective),
        status: session_status(&it.state),
        phase: phase(&it.state),
        turn: turn(&it.state),
        reason: reason_of(it),
        role: role(it.role),
        agent: it.agent.kind.clone(),
        mode: mode(it.role),
        title: it.title.clone(),
        target_id: it.state.holds().map(|(target, _)| target).or(ran_on),
        current_activity: it.activity.clone(),
        used_tokens: it.counters.used.tokens(),
        created_at: it.created_at,
        started_at: it.started_at,
        updated_at: it.updated_at,
        completed_at: it.completed_at,
    }
}

pub(crate) fn session(it: &Session, ran_on: Option<TargetId>) -> orcha_wire::Session {
    let until = match &it.state {
        State::WaitingCapacity { until, .. } => *until,
        _ => None,
    };
    let verdict = it.report.as_ref().and_then(|it| it.verdict);
    orcha_wire::Session {
        id: it.id,
        objective_id: Some(it.objective),
        parent_session_id: it.parent,
        role: role(it.role),
        agent: it.agent.kind.clone(),
        model: it.agent.model.clone(),
        effort: it.agent.effort,
        mode: mode(it.role),
        status: session_status(&it.state),
        phase: phase(&it.state),
        turn: turn(&it.state),
        reason: reason_of(it),
        until,
        attempt: it.attempt.0,
        title: it.title.clone(),
        goal: it.goal.clone(),
        priority: it.priority,
        current_activity: it.activity.clone(),
        latest_summary: it.latest_summary.clone(),
        handoff_summary: it.report.as_ref().map(|it| it.summary.clone()),
        target_id: it.state.holds().map(|(target, _)| target).or(ran_on),
        workspace_id: it.workspace,
        sandbox: it.confinement.clone(),
        usage_provider: Some(it.agent.kind.clone()),
        used_tokens: it.counters.used.tokens(),
        used: usage(&it.counters.used),
        created_at: it.created_at,
        started_at: it.started_at,
        updated_at: it.updated_at,
        completed_at: it.completed_at,
        metadata: orcha_wire::SessionMetadata {
            depends_on: it.depends_on.clone(),
            repo: it.repo.as_ref().map(|it| it.url.clone()),
            base_branch: it.repo.as_ref().and_then(|it| it.base.clone()),
            pinned_target: it.pin,
            target_labels: it.labels.clone(),
            pr_id: it.pull_request,
            reviews_session: it.reviews,
            review_verdict: verdict.map(|it| it.to_string()),
            retries: it.retries,
            provider_session_id: it.conversation.clone(),
            running_attempt: match it.state {
                State::Running { attempt, .. } => Some(attempt),
                _ => None,
            },
        },
    }
}

pub(crate) fn objective_usage<'a>(
    it: &Objective,
    sessions: impl IntoIterator<Item = &'a Session>,
) -> orcha_wire::ObjectiveUsage {
    let mut rows = Vec::new();
    let mut providers: Vec<orcha_wire::ProviderUsage> = Vec::new();
    for session in sessions {
        let (provider, used_tokens) = (&session.agent.kind, session.counters.used.tokens());
        match providers.iter_mut().find(|it| it.provider == *provider) {
            Some(known) => known.used_tokens += used_tokens,
            None => providers.push(orcha_wire::ProviderUsage { provider: provider.clone(), used_tokens }),
        }
        rows.push(orcha_wire::SessionUsage {
            session_id: session.id,
            title: session.title.clone(),
            role: role(session.role),
            provider: provider.clone(),
            used_tokens,
        });
    }
    orcha_wire::ObjectiveUsage {
        objective_id: it.id,
        total_tokens: it.used.tokens(),
        sessions: rows,
        providers,
        used: usage(&it.used),
    }
}

pub(crate) fn question(it: &Question) -> orcha_wire::Question {
    let (status, answer) = match &it.state {
        question::State::Open => (orcha_wire::QuestionStatus::Open, None),
        question::State::Answered { answer } => (orcha_wire::QuestionStatus::Answered, Some(answer)),
        question::State::Delivered { answer } => (orcha_wire::QuestionStatus::Delivered, Some(answer)),
        question::State::Canceled => (orcha_wire::QuestionStatus::Canceled, None),
    };
    let about = match &it.about {
        question::About::Asked => "asked",
        question::About::Guard { .. } => "guard",
        question::About::ObjectiveGuard { .. } => "objective_guard",
        question::About::Help { .. } => "help",
        question::About::Managers => "managers",
        question::About::Workflow { gate } => match gate {
            question::Gate::Plan => "workflow_plan",
            question::Gate::Delivery => "workflow_delivery",
            question::Gate::NoChecks { .. } => "workflow_no_checks",
            question::Gate::CheckFault { .. } => "workflow_check_fault",
            question::Gate::DeliveryFault { .. } => "workflow_delivery_fault",
        },
        question::About::ClosedPullRequest { .. } => "closed_pull_request",
        question::About::Permission(_) => "permission",
    };
    let expires_at = match (&it.about, &it.state) {
        (question::About::Permission(request), question::State::Open) => Some(request.until),
        _ => None,
    };
    orcha_wire::Question {
        id: it.id,
        objective_id: Some(it.objective),
        session_id: it.session,
        status,
        priority: it.priority,
        question: it.text.clone(),
        context: it.context.clone(),
        options: it.options.clone(),
        about: about.to_owned(),
        expires_at,
        answer: answer.cloned(),
        created_at: it.created_at,
        answered_at: it.answered_at,
    }
}

pub(crate) fn message(it: &Message) -> orcha_wire::SteeringMessage {
    orcha_wire::SteeringMessage {
        id: it.id,
        objective_id: it.objective,
        session_id: it.session,
        source: match it.from {
            message::Sender::User => orcha_wire::MessageSource::User,
            message::Sender::Manager { .. } => orcha_wire::MessageSource::Agent,
            message::Sender::System => orcha_wire::MessageSource::System,
        },
        content: it.text.clone(),
        interrupt: it.interrupt,
        state: match it.state {
            message::State::Queued { .. } => orcha_wire::SteeringState::Queued,
            message::State::Sent { .. } => orcha_wire::SteeringState::Sent,
            message::State::Acknowledged => orcha_wire::SteeringState::Acknowledged,
            message::State::Undeliverable => orcha_wire::SteeringState::Undeliverable,
        },
        question_id: it.answers,
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

pub(crate) fn pull_request(it: &PullRequest) -> orcha_wire::PullRequest {
    let (status, reason, merged_sha) = match &it.state {
        pull_request::State::Opening { .. } => (orcha_wire::PullRequestStatus::Opening, None, None),
        pull_request::State::Draft => (orcha_wire::PullRequestStatus::Draft, None, None),
        pull_request::State::Open => (orcha_wire::PullRequestStatus::Open, None, None),
        pull_request::State::Merged { sha } => (orcha_wire::PullRequestStatus::Merged, None, sha.clone()),
        pull_request::State::Closed { why } => (orcha_wire::PullRequestStatus::Closed, Some(why.clone()), None),
    };
    orcha_wire::PullRequest {
        id: it.id,
        objective_id: Some(it.objective),
        created_by_session_id: Some(it.session),
        repo: it.repo.to_string(),
        number: it.number.unwrap_or(0),
        url: it.url.clone().unwrap_or_default(),
        branch: it.branch.clone(),
        base_branch: it.base.clone(),
        head_sha: it.head.clone(),
        status,
        reason,
        merged_sha,
        checks_state: match it.checks {
            pull_request::Checks::Unknown => orcha_wire::ChecksState::Unknown,
            pull_request::Checks::Pending => orcha_wire::ChecksState::Pending,
            pull_request::Checks::Passing => orcha_wire::ChecksState::Passing,
            pull_request::Checks::Failing => orcha_wire::ChecksState::Failing,
        },
        review_state: match it.review {
            pull_request::Review::None => orcha_wire::ReviewState::None,
            pull_request::Review::Approved => orcha_wire::ReviewState::Approved,
            pull_request::Review::ChangesRequested => orcha_wire::ReviewState::ChangesRequested,
        },
        mergeable: it.mergeable,
        refusal: it.refusal.clone(),
        title: it.title.clone(),
        summary: Some(it.body.clone()).filter(|it| !it.is_empty()),
        last_synced_at: it.synced_at,
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

pub(crate) fn feedback(it: &Feedback) -> orcha_wire::Feedback {
    let (state, session_id) = match it.state {
        feedback::State::New => (orcha_wire::FeedbackState::New, None),
        feedback::State::Routed { session } => (orcha_wire::FeedbackState::Routed, Some(session)),
        feedback::State::Handled => (orcha_wire::FeedbackState::Handled, None),
        feedback::State::Dropped => (orcha_wire::FeedbackState::Dropped, None),
    };
    orcha_wire::Feedback {
        id: it.id,
        pr_id: it.pull_request,
        kind: match it.kind {
            feedback::Kind::IssueComment => orcha_wire::FeedbackKind::IssueComment,
            feedback::Kind::ReviewComment => orcha_wire::FeedbackKind::ReviewComment,
            feedback::Kind::ChangesRequested => orcha_wire::FeedbackKind::ChangesRequested,
            feedback::Kind::CheckFailure => orcha_wire::FeedbackKind::CheckFailure,
            feedback::Kind::MergeConflict => orcha_wire::FeedbackKind::MergeConflict,
            feedback::Kind::Instruction => orcha_wire::FeedbackKind::Instruction,
        },
        external_id: Some(it.external.clone()),
        body: Some(it.body.clone()),
        author: it.author.clone(),
        trust: match it.trust {
            feedback::Trust::Trusted => orcha_wire::Trust::Trusted,
            feedback::Trust::Outside => orcha_wire::Trust::Outside,
        },
        actionable: state != orcha_wire::FeedbackState::Dropped,
        handled: state == orcha_wire::FeedbackState::Handled,
        state,
        session_id,
        tries: it.tries,
        created_at: it.created_at,
    }
}

pub(crate) fn comment(it: &orcha_forge::Comment) -> orcha_wire::Comment {
    use orcha_forge::{CommentKind, Trust};
    let (kind, said, path, line) = match &it.kind {
        CommentKind::Issue => (orcha_wire::CommentKind::Issue, None, None, None),
        CommentKind::Review { verdict: said, .. } => {
            (orcha_wire::CommentKind::Review, Some(verdict(*said)), None, None)
        }
        CommentKind::Inline { path, line } => (orcha_wire::CommentKind::Inline, None, Some(path.clone()), Some(*line)),
    };
    orcha_wire::Comment {
        id: it.id.to_string(),
        author: it.author.name.clone(),
        trust: match it.author.trust {
            Trust::System | Trust::Member => orcha_wire::Trust::Trusted,
            Trust::Outside => orcha_wire::Trust::Outside,
        },
        kind,
        verdict: said,
        path,
        line,
        body: it.body.clone(),
        ours: it.ours(),
        created_at: it.created_at,
    }
}

const fn verdict(said: orcha_forge::Verdict) -> orcha_wire::ReviewVerdict {
    match said {
        orcha_forge::Verdict::Approve => orcha_wire::ReviewVerdict::Approve,
        orcha_forge::Verdict::RequestChanges => orcha_wire::ReviewVerdict::RequestChanges,
        orcha_forge::Verdict::Comment => orcha_wire::ReviewVerdict::Comment,
    }
}

pub(crate) fn artifact(it: &Artifact) -> orcha_wire::Artifact {
    orcha_wire::Artifact {
        id: it.id,
        objective_id: Some(it.objective),
        session_id: it.session,
        kind: match it.kind {
            ArtifactKind::PullRequest => orcha_wire::ArtifactKind::PullRequest,
            ArtifactKind::Report => orcha_wire::ArtifactKind::Report,
            ArtifactKind::Note => orcha_wire::ArtifactKind::Note,
        },
        title: it.title.clone(),
        summary: Some(it.summary.clone()).filter(|it| !it.is_empty()),
        uri: it.uri.clone(),
        visibility: match it.visibility {
            Visibility::Primary => orcha_wire::Visibility::Primary,
            Visibility::Secondary => orcha_wire::Visibility::Secondary,
        },
        created_at: it.created_at,
    }
}

pub(crate) fn workspace(it: &Workspace) -> orcha_wire::Workspace {
    let facts = it.checkout.as_ref();
    let (status, reason) = match &it.state {
        workspace::State::Preparing => (orcha_wire::WorkspaceStatus::Preparing, None),
        workspace::State::Ready => (orcha_wire::WorkspaceStatus::Ready, None),
        workspace::State::Archived => (orcha_wire::WorkspaceStatus::Archived, None),
        workspace::State::Failed { reason } => (orcha_wire::WorkspaceStatus::Failed, Some(reason.clone())),
    };
    orcha_wire::Workspace {
        id: it.id,
        objective_id: Some(it.objective),
        session_id: Some(it.session),
        target_id: it.target,
        kind: match it.kind {
            workspace::Kind::Isolated => orcha_wire::WorkspaceKind::Isolated,
            workspace::Kind::PrBranch => orcha_wire::WorkspaceKind::PrBranch,
        },
        project_path: it.repo.as_ref().map(ToString::to_string).unwrap_or_default(),
        vcs: if it.repo.is_some() { orcha_wire::Vcs::Git } else { orcha_wire::Vcs::None },
        path: facts.map(|it| it.dir.clone()).unwrap_or_default(),
        base_ref: facts.and_then(|it| it.base.as_ref()).map(ToString::to_string),
        base_sha: facts.and_then(|it| it.base_sha.clone()),
        branch_name: it.branch.clone(),
        status,
        reason,
        snapshot: it.snapshot.clone(),
        kept_because: it.kept_because.clone(),
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

/// A target with how many counted sessions are on it.
pub(crate) fn target(TargetRow { target: it, taken }: &TargetRow) -> orcha_wire::Target {
    orcha_wire::Target {
        id: it.id,
        name: it.name.clone(),
        kind: match it.kind {
            target::Kind::Local => orcha_wire::TargetKind::Local,
        },
        status: match it.state {
            target::State::Online => orcha_wire::TargetStatus::Online,
            target::State::Offline => orcha_wire::TargetStatus::Offline,
            target::State::Draining => orcha_wire::TargetStatus::Draining,
            target::State::Disabled => orcha_wire::TargetStatus::Disabled,
        },
        work_root: it.work_root.clone(),
        labels: it.labels.clone(),
        capacity_sessions: it.capacity,
        available_sessions: if it.takes_sessions() { it.capacity.saturating_sub(*taken) } else { 0 },
        problem: it.problem.clone(),
        sandboxes: it.sandboxes.clone(),
        last_seen_at: it.last_seen_at,
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

pub(crate) fn project(it: &Project) -> orcha_wire::Project {
    orcha_wire::Project {
        id: it.id,
        name: it.name.clone(),
        repo: it.repo.clone(),
        base_branch: it.base_branch.clone(),
        permissions: permissions::to_wire(&it.permissions),
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

/// The name of a repository for people: the last part of where it is cloned from.
pub(crate) fn repo_name(repo: &RepoUrl) -> String {
    let path = repo.as_str().trim_end_matches('/');
    let last = path.rsplit(['/', ':']).find(|part| !part.is_empty() && *part != ".git").unwrap_or(path);
    last.strip_suffix(".git").unwrap_or(last).to_owned()
}

pub(crate) fn activity(it: &orcha_orch::Activity) -> orcha_wire::Activity {
    orcha_wire::Activity {
        objective_id: it.objective,
        session_id: it.session,
        current_activity: it.activity.clone(),
        used_tokens: it.tokens,
        at: it.at,
    }
}

pub(crate) fn event(it: &Event) -> orcha_wire::Event {
    let data: Map<String, Value> = it.data.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    orcha_wire::Event {
        id: number(it.seq),
        objective_id: it.objective,
        session_id: it.session,
        kind: it.kind.to_string(),
        summary: it.summary.clone(),
        data,
        created_at: it.at,
    }
}

pub(crate) fn entry(session: orcha_base::SessionId, it: Entry) -> orcha_wire::TranscriptEntry {
    orcha_wire::TranscriptEntry {
        id: format!("{session}:{}", it.seq),
        session_id: session,
        seq: number(it.seq),
        source: name(&it.source, orcha_wire::MessageSource::System),
        kind: name(&it.kind, orcha_wire::MessageKind::Status),
        content: it.content,
        metadata: match it.metadata {
            Some(Value::Object(map)) => map,
            Some(Value::Null) | None => Map::new(),
            Some(other) => Map::from_iter([("value".to_owned(), other)]),
        },
        attempt: Some(it.attempt),
        created_at: it.at,
    }
}

/// Row numbers count from 1.
pub(crate) fn number(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

/// The rules of a policy, as they hold.
pub(crate) fn policy(it: &orcha_model::policy::Policy) -> Vec<orcha_wire::PolicyRule> {
    let rule = |it: orcha_model::policy::Shown| orcha_wire::PolicyRule {
        rule: it.name.to_owned(),
        value: it.value,
        scope: it.scope.to_string(),
        version: it.version,
        locked_by: it.locked_by.map(|it| it.to_string()),
    };
    it.rules().into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_a_name_for_people() {
        for (url, name) in [
            ("https://example.com/team/site.git", "site"),
            ("git@example.com:site.git", "site"),
            ("/srv/git/site/", "site"),
            ("/home/me/site/.git", "site"),
        ] {
            assert_eq!(repo_name(&url.parse().unwrap()), name, "{url}");
        }
    }
}
