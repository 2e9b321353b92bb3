//! The states and inputs of every noun, as examples. Each list stands beside a `match` without a wildcard, so
//! that a new variant does not compile until it has an example.

use super::Table;
use orcha_base::{
    HandInId, MessageId, ObjectiveId, ProposalId, PullRequestId, Revision, ScopeId, SessionId, TenantId, TextId,
    WorkspaceId,
};
use orcha_model::budget::{Scope, Unit};
use orcha_model::guard::{LimitChanges, Usage};
use orcha_model::permission::Mode;
use orcha_model::session::{AgentChoice, Around, Evidence, Exit, FaultClass, Phase, Turn, TurnEnd, UserWait, Waiting};
use orcha_model::{Amount, Limits, Provider, Role, Session, Trip};
use orcha_model::{
    feedback, message, objective, proposal, provider, pull_request, question, session, target, text, workspace,
};
use orcha_testkit::make::{self, at, attempt};

/// Lists labelled examples by variant. The generated `match` has no wildcard.
macro_rules! every {
    ($type:ty; $($variant:pat => [$(($label:expr, $value:expr)),+ $(,)?]),+ $(,)?) => {{
        fn listed(it: &$type) {
            match it { $($variant => {}),+ }
        }
        let mut all: Vec<(String, $type)> = Vec::new();
        $($({
            let value = $value;
            assert!(matches!(value, $variant), "{} is listed at another variant", $label);
            listed(&value);
            all.push((String::from($label), value));
        })+)+
        all
    }};
}

pub(super) use every;

pub(super) const NOW: i64 = 1000;

pub(super) fn with<N, S>(states: Vec<(String, S)>, noun: impl Fn(S) -> N) -> Vec<(String, N)> {
    states.into_iter().map(|(label, state)| (label, noun(state))).collect()
}

pub(super) fn proposal() {
    use proposal::{Change, Figures, Input, Priority, Source, State, Tally, Trial, Verdict};
    let trial = || Trial { text: TextId::fixed(2), version: 2, replaces: Some(TextId::fixed(1)), since: at(NOW) };
    let figures = || Figures { old: Tally::default(), new: Tally::default(), p: Some(0.001) };
    let states = every!(State;
        State::Proposed => [("proposed", State::Proposed)],
        State::OnTrial { .. } => [("on_trial", State::OnTrial { trial: trial() })],
        State::Adopted { .. } => [
            ("adopted", State::Adopted { trial: trial(), figures: figures(), since: at(NOW) }),
        ],
        State::Declined { .. } => [("declined", State::Declined { reason: "no".into(), figures: None })],
        State::Reverted { .. } => [("reverted", State::Reverted { reason: "worse".into(), figures: figures() })],
    );
    let tried = |verdict| Input::Tried { verdict, figures: figures() };
    let inputs = every!(Input;
        Input::Seen { .. } => [
            ("seen again", Input::Seen { runs: vec![ObjectiveId::fixed(9)] }),
            ("seen in a known run", Input::Seen { runs: vec![ObjectiveId::fixed(1)] }),
        ],
        Input::Approve { .. } => [("approve", Input::Approve { trial: trial() })],
        Input::Decline { .. } => [
            ("decline", Input::Decline { reason: "no".into() }),
            ("decline without a reason", Input::Decline { reason: " ".into() }),
        ],
        Input::Tried { .. } => [
            ("trial: better", tried(Verdict::Better)),
            ("trial: worse", tried(Verdict::Worse)),
            ("trial: better, and too dear", tried(Verdict::Dearer)),
            ("trial: no different", tried(Verdict::Same)),
            ("trial: budget spent", tried(Verdict::Spent)),
        ],
        Input::Relapsed { .. } => [("relapsed", Input::Relapsed { figures: figures() })],
        Input::Revert { .. } => [
            ("revert", Input::Revert { reason: "no".into(), in_use: true }),
            ("revert what is not in use", Input::Revert { reason: "no".into(), in_use: false }),
        ],
    );
    let blank = proposal::Proposal {
        id: ProposalId::fixed(1),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        cause: "text:role_overlay/qa".into(),
        surface: text::Surface { kind: text::Kind::RoleOverlay, name: "qa".into() },
        change: Change::Update,
        priority: Priority::Medium,
        problem: "It is vague.".into(),
        proposed_fix: "Be exact.".into(),
        body: Some("Be exact.".into()),
        source: Source::Retrospective,
        evidence: vec![ObjectiveId::fixed(1)],
        seen: 1,
        state: State::Proposed,
        created_at: at(0),
        updated_at: at(0),
    };
    let mut nouns = with(states, |state| proposal::Proposal { state, ..blank.clone() });
    nouns.insert(1, ("proposed (advice)".into(), proposal::Proposal { body: None, ..blank.clone() }));
    Table {
        noun: "proposal",
        intro: "A wish to change a text that steers roles. `declined` and `reverted` have no way out. What becomes of the \
                text: it is tried while the proposal is on trial, in use once it is adopted, and the version before comes \
                back when it is reverted.",
        states: nouns,
        inputs,
        name: &|it| match (&it.state, &it.body) {
            (State::Proposed, None) => "proposed (advice)".into(),
            (state, _) => state.name().into(),
        },
        decide: &|it, input| proposal::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn objective() {
    use objective::{Edit, Editable, Input, State};
    let deadline = |secs: i64| LimitChanges { deadline_secs: Some(secs.unsigned_abs()), ..LimitChanges::default() };
    let states = every!(State;
        State::Active => [("active", State::Active)],
        State::WaitingUser => [("waiting_user", State::WaitingUser)],
        State::Paused => [("paused", State::Paused)],
        State::Succeeded => [("succeeded", State::Succeeded)],
        State::Failed { .. } => [("failed", State::Failed { reason: "no way".into() })],
        State::Canceled { .. } => [("canceled", State::Canceled { reason: "not wanted".into() })],
    );
    let inputs = every!(Input;
        Input::Asked => [("asked", Input::Asked)],
        Input::AllAnswered => [("all answered", Input::AllAnswered)],
        Input::Pause => [("pause", Input::Pause)],
        Input::Resume => [("resume", Input::Resume)],
        Input::Done { .. } => [("done", Input::Done { summary: "all merged".into() })],
        Input::Fail { .. } => [("fail", Input::Fail { reason: "no way".into() })],
        Input::Cancel { .. } => [("cancel", Input::Cancel { reason: "not wanted".into() })],
        Input::ManagerMade => [("manager made", Input::ManagerMade)],
        Input::ManagerLost => [("manager lost", Input::ManagerLost)],
        Input::Poked => [("poked", Input::Poked)],
        Input::Moved => [("moved", Input::Moved)],
        Input::Escalated => [("escalated", Input::Escalated)],
        Input::Deescalate => [("deescalate", Input::Deescalate)],
        Input::Used { .. } => [
            ("used", Input::Used { usage: Usage { input: 5, model_calls: 1, ..Usage::default() } }),
            ("used beyond a limit", Input::Used { usage: Usage { model_calls: 300, ..Usage::default() } }),
        ],
        Input::Trip { .. } => [("a turn does not fit", Input::Trip { trip: over_budget() })],
        Input::Forgive => [("forgive", Input::Forgive)],
        Input::Edit(_) => [
            ("edit", Input::Edit(Box::new(Edit { title: Some("Other".into()), priority: Some(3), ..Edit::default() }))),
            ("edit with an empty title", Input::Edit(Box::new(Edit { title: Some(" ".into()), ..Edit::default() }))),
            ("edit of what was edited since", Input::Edit(Box::new(Edit { on: Some(Editable { priority: 99, ..make::objective().editable() }), ..Edit::default() }))),
            ("edit of the deadline", Input::Edit(Box::new(Edit { limits: deadline(NOW + 1), ..Edit::default() }))),
            ("edit of the deadline into the past", Input::Edit(Box::new(Edit { limits: deadline(NOW), ..Edit::default() }))),
        ],
    );
    Table {
        noun: "objective",
        intro: "What a person wants, from the wish to the end. `succeeded`, `failed` and `canceled` have no way out.",
        states: with(states, |state| objective::Objective { state, ..make::objective() }),
        inputs,
        name: &|it| it.state.name().into(),
        decide: &|it, input| objective::decide(it, input, at(NOW)),
    }
    .check();
}

fn trip() -> Trip {
    Trip::NoProgress { turns: 5 }
}

fn over_budget() -> Trip {
    Trip::Budget { scope: Scope::Objective, unit: Unit::Money, spent: 9, next: 3, cap: 10 }
}

fn session_states() -> Vec<(String, session::State)> {
    use session::State;
    let capacity = |why, until| State::WaitingCapacity { why, until };
    let user = |why, answered| State::WaitingUser { why, answered };
    let here = make::target_id();
    let now = attempt(1);
    let busy = Turn::Busy { heard_at: at(500) };
    let idle = Turn::Idle { since: at(500) };
    let held = Turn::Held { since: at(500), busy: true };
    every!(State;
        State::Queued { .. } => [
            ("queued", State::Queued { released: false }),
            ("queued, released", State::Queued { released: true }),
        ],
        State::WaitingCapacity { .. } => [
            ("waiting_capacity (no target)", capacity(Waiting::NoTarget { detail: "all places are taken".into() }, None)),
            ("waiting_capacity (fault, not yet)", capacity(Waiting::Fault { detail: "it broke".into() }, Some(at(NOW + 9)))),
            ("waiting_capacity (provider, due)", capacity(Waiting::Provider { class: "quota".into() }, Some(at(NOW)))),
            ("waiting_capacity (budget)", capacity(Waiting::Budget { detail: "nothing is left".into() }, None)),
            ("waiting_capacity (parked)", capacity(Waiting::Parked, None)),
            ("waiting_capacity (resumed)", capacity(Waiting::Resumed, None)),
        ],
        State::Starting { .. } => [
            ("starting (preparing)", State::Starting { target: here, attempt: now, phase: Phase::Preparing }),
            ("starting (launching)", State::Starting { target: here, attempt: now, phase: Phase::Launching }),
        ],
        State::Running { .. } => [
            ("running (busy)", State::Running { target: here, attempt: now, turn: busy, since: at(400) }),
            ("running (idle)", State::Running { target: here, attempt: now, turn: idle, since: at(400) }),
            ("running (held)", State::Running { target: here, attempt: now, turn: held, since: at(400) }),
        ],
        State::WaitingUser { .. } => [
            ("waiting_user (question)", user(UserWait::Question, false)),
            ("waiting_user (guard)", user(UserWait::Guard { trip: trip() }, false)),
            ("waiting_user (help)", user(UserWait::Help { class: "auth".into() }, false)),
            ("waiting_user (question, answered)", user(UserWait::Question, true)),
        ],
        State::Paused => [("paused", State::Paused)],
        State::Succeeded { .. } => [("succeeded", State::Succeeded { evidence: Evidence::Report })],
        State::Failed { .. } => [
            ("failed", State::Failed { reason: "it broke".into(), fault: FaultClass::Genuine }),
        ],
        State::Canceled { .. } => [("canceled", State::Canceled { reason: "not wanted".into() })],
    )
}

/// The name of a session's state with what tells its kinds apart.
fn session_name(it: &Session) -> String {
    use session::State;
    let due = |until: &Option<_>| match until {
        Some(until) if *until > at(NOW) => ", not yet",
        Some(_) => ", due",
        None => "",
    };
    match &it.state {
        State::Queued { released: false } => "queued".into(),
        State::Queued { released: true } => "queued, released".into(),
        State::WaitingCapacity { why, until } => {
            let why = match why {
                Waiting::NoTarget { .. } => "no target",
                Waiting::Fault { .. } => "fault",
                Waiting::Provider { .. } => "provider",
                Waiting::Budget { .. } => "budget",
                Waiting::Parked => "parked",
                Waiting::Resumed => "resumed",
            };
            format!("waiting_capacity ({why}{})", due(until))
        }
        State::Starting { phase: Phase::Preparing, .. } => "starting (preparing)".into(),
        State::Starting { phase: Phase::Launching, .. } => "starting (launching)".into(),
        State::Running { turn: Turn::Busy { .. }, .. } => "running (busy)".into(),
        State::Running { turn: Turn::Idle { .. }, .. } => "running (idle)".into(),
        State::Running { turn: Turn::Held { .. }, .. } => "running (held)".into(),
        State::WaitingUser { why, answered } => {
            let why = match why {
                UserWait::Question => "question",
                UserWait::Guard { .. } => "guard",
                UserWait::Help { .. } => "help",
            };
            format!("waiting_user ({why}{})", if *answered { ", answered" } else { "" })
        }
        State::Paused | State::Succeeded { .. } | State::Failed { .. } | State::Canceled { .. } => {
            it.state.name().into()
        }
    }
}

fn session_in(state: session::State, role: Role) -> Session {
    use session::State;
    let fresh = matches!(state, State::Queued { .. });
    let busy = matches!(state, State::Running { turn: Turn::Busy { .. }, .. });
    let asking = |request: &str| session::Asking {
        number: 1,
        request: request.into(),
        tool: "Bash".into(),
        line: "Bash: make".into(),
        since: at(NOW - 10),
        until: at(NOW + 890),
    };
    Session {
        asks: busy.then(|| asking("r0")).into_iter().collect(),
        asked: u64::from(busy),
        attempt: attempt(u32::from(!fresh)),
        workspace: (!fresh).then_some(WorkspaceId::fixed(1)),
        state,
        ..make::session(1, role)
    }
}

fn turn_ends() -> Vec<(String, session::Input)> {
    let ended = |end, around| session::Input::TurnEnded { attempt: attempt(1), end, around };
    let alone = Around::default();
    every!(TurnEnd;
        TurnEnd::Completed => [("turn completed", TurnEnd::Completed)],
        TurnEnd::Quiet => [("its screen stands still", TurnEnd::Quiet)],
        TurnEnd::Interrupted => [("turn interrupted", TurnEnd::Interrupted)],
        TurnEnd::Provider { .. } => [
            ("provider refuses until later", TurnEnd::Provider { class: "quota", until: Some(at(NOW + 3600)) }),
            ("provider is overloaded", TurnEnd::Provider { class: "overloaded", until: None }),
        ],
        TurnEnd::Help { .. } => [("turn needs help", TurnEnd::Help { class: "auth" })],
        TurnEnd::ConversationMissing => [("its conversation is not there", TurnEnd::ConversationMissing)],
        TurnEnd::Failed { .. } => [("turn failed", TurnEnd::Failed { class: "other".into() })],
    )
    .into_iter()
    .map(|(label, end)| (label, ended(end, alone)))
    .chain([
        (
            "turn completed while messages wait".to_owned(),
            ended(TurnEnd::Completed, Around { messages_wait: true, ..alone }),
        ),
        (
            "turn completed while its questions are open".to_owned(),
            ended(TurnEnd::Completed, Around { questions_open: true, ..alone }),
        ),
    ])
    .collect()
}

fn exits() -> Vec<(String, session::Input)> {
    every!(Exit;
        Exit::Clean => [("exited with zero", Exit::Clean)],
        Exit::Crashed { .. } => [("crashed", Exit::Crashed { detail: "killed by signal 9".into() })],
    )
    .into_iter()
    .map(|(label, exit)| (label, session::Input::Exited { attempt: attempt(1), exit, around: Around::default() }))
    .collect()
}

fn session_inputs() -> Vec<(String, session::Input)> {
    use session::Input;
    let (this, other) = (attempt(1), attempt(7));
    let alone = Around::default();
    let prepared = |attempt| Input::Prepared { attempt, dir: "/srv/w".into(), conversation: "c".into(), opening: None };
    let heard = |attempt| Input::Heard { attempt, activity: Some("runs tests".into()), summary: None, acted: true };
    let used = |calls| Input::Used { attempt: this, usage: Usage { model_calls: calls, ..Usage::default() } };
    let asks = |attempt, mode| Input::PermissionAsked { attempt, asked: make::asked("r1", "make", mode) };
    let answered = |attempt| {
        let answer = session::Permitted::Allow { input: "{}".into(), grant: None };
        Input::PermissionAnswered { attempt, number: 1, answer }
    };
    let (provider, budget) =
        (Waiting::Provider { class: "rate_limited".into() }, Waiting::Budget { detail: "nothing is left".into() });
    let mut all = every!(Input;
        Input::Release { .. } => [("release", Input::Release { pin: None })],
        Input::Place { .. } => [
            ("place", Input::Place { target: make::target_id(), workspace: WorkspaceId::fixed(1), checkout: None }),
        ],
        Input::NoPlace { .. } => [("no place", Input::NoPlace { detail: "nothing is online".into() })],
        Input::Held { .. } => [
            ("held for its provider", Input::Held { why: provider, until: Some(at(NOW + 9)) }),
            ("held for a budget", Input::Held { why: budget, until: None }),
        ],
        Input::Move { .. } => [("moved to another agent", Input::Move { agent: AgentChoice::of("codex") })],
        Input::Inherit { .. } => [("what came before is told", Input::Inherit { brief: "It began.".into() })],
        Input::Reserve { .. } => [("something is set aside", Input::Reserve { amount: Amount { tokens: 9, micro_usd: 9 } })],
        Input::HandBack => [("hand back", Input::HandBack)],
        Input::Cancel { .. } => [("cancel", Input::Cancel { reason: "not wanted".into() })],
        Input::Pause => [("pause", Input::Pause)],
        Input::Resume => [("resume", Input::Resume)],
        Input::Trip { .. } => [("a guard trips", Input::Trip { trip: Trip::WallClock { secs: 9 } })],
        Input::Answered => [("answered", Input::Answered)],
        Input::Wake => [("wake", Input::Wake)],
        Input::HandedIn { .. } => [
            ("hand in", Input::HandedIn { attempt: this, hand_in: HandInId::fixed(1), summary: "done".into() }),
        ],
        Input::Report { .. } => [
            ("report", Input::Report { attempt: this, summary: "done".into(), verdict: None }),
            ("report of another attempt", Input::Report { attempt: other, summary: "done".into(), verdict: None }),
        ],
        Input::ObjectiveDone => [("objective done", Input::ObjectiveDone)],
        Input::Told => [("told", Input::Told)],
        Input::Prepared { .. } => [
            ("prepared", prepared(this)),
            ("prepared for another attempt", prepared(other)),
        ],
        Input::PrepareFailed { .. } => [
            ("prepare failed", Input::PrepareFailed { attempt: this, detail: "disk".into() }),
            ("prepare failed for another attempt", Input::PrepareFailed { attempt: other, detail: "disk".into() }),
        ],
        Input::Started { .. } => [
            ("started, spoken to", Input::Started { attempt: this, spoken_to: true }),
            ("started, not spoken to", Input::Started { attempt: this, spoken_to: false }),
            ("started of another attempt", Input::Started { attempt: other, spoken_to: true }),
        ],
        Input::LaunchFailed { .. } => [
            ("launch failed", Input::LaunchFailed { attempt: this, detail: "no such program".into() }),
            ("launch failed of another attempt", Input::LaunchFailed { attempt: other, detail: "no".into() }),
        ],
        Input::Conversation { .. } => [
            ("conversation", Input::Conversation { attempt: this, conversation: "c".into() }),
            ("conversation of another attempt", Input::Conversation { attempt: other, conversation: "c".into() }),
        ],
        Input::Spoken { .. } => [
            ("spoken", Input::Spoken { attempt: this, message: MessageId::fixed(1) }),
            ("spoken to another attempt", Input::Spoken { attempt: other, message: MessageId::fixed(1) }),
        ],
        Input::Heard { .. } => [("heard", heard(this)), ("heard of another attempt", heard(other))],
        Input::Used { .. } => [("used", used(1)), ("used beyond a limit", used(120))],
        Input::TurnEnded { .. } => [
            ("turn of another attempt ended", Input::TurnEnded { attempt: other, end: TurnEnd::Completed, around: alone }),
        ],
        Input::Exited { .. } => [
            ("exit of another attempt", Input::Exited { attempt: other, exit: Exit::Clean, around: alone }),
        ],
        Input::Stopped { .. } => [("stopped", Input::Stopped { attempt: this })],
        Input::StopFailed { .. } => [("stop failed", Input::StopFailed { attempt: this, detail: "no answer".into() })],
        Input::Keyboard { .. } => [
            ("a person takes the keyboard", Input::Keyboard { attempt: this, by_person: true }),
            ("the keyboard is given back", Input::Keyboard { attempt: this, by_person: false }),
        ],
        Input::PermissionAsked { .. } => [
            ("asks for what is denied", asks(this, Mode::Deny)),
            ("asks for what a person decides", asks(this, Mode::Ask)),
            ("another attempt asks for permission", asks(other, Mode::Ask)),
        ],
        Input::PermissionAnswered { .. } => [
            ("a request is allowed", answered(this)),
            ("a request of another attempt is allowed", answered(other)),
        ],
        Input::PermissionWithdrawn { .. } => [
            ("a request is withdrawn", Input::PermissionWithdrawn { attempt: this, request: "r0".into() }),
        ],
        Input::Confined { .. } => [("its sandbox is known", Input::Confined { attempt: this, confinement: make::confinement() })],
        Input::ToolsWithheld { .. } => [
            ("a tool server is withheld", Input::ToolsWithheld { attempt: this, server: "tickets".into(), why: "gone".into() }),
        ],
        Input::Trespassed { .. } => [
            ("it changed what it may only look at", Input::Trespassed { attempt: this, files: vec!["a".into()] }),
        ],
        Input::Follow { .. } => [("follows another", Input::Follow { pull_request: PullRequestId::fixed(2) })],
    );
    all.extend(turn_ends());
    all.extend(exits());
    all
}

pub(super) fn session() {
    Table {
        noun: "session",
        intro: "One agent conversation. The example is an implementer in its first attempt that has not reported, \
                whose agent asks for something while it is busy; \
                `session_roles.md` shows what other roles do differently. Facts carry their attempt, and those of \
                another attempt are ignored. `succeeded`, `failed` and `canceled` have no way out.",
        states: with(session_states(), |state| session_in(state, Role::Implementer)),
        inputs: session_inputs(),
        name: &session_name,
        decide: &|it, input| session::decide(it, input, &Limits::default(), at(NOW)),
    }
    .check();
}

pub(super) fn session_roles() {
    let reported = |role| {
        let mut it = session_in(session::State::Paused, role);
        it.report = Some(session::Report { summary: "done".into(), verdict: None, at: at(600) });
        it
    };
    let sessions = [
        ("an implementer that reported", reported(Role::Implementer)),
        ("a manager", session_in(session::State::Paused, Role::Manager)),
        ("a ci follow-up that reported", reported(Role::CiFollowup)),
    ];
    let running = session_states().into_iter().filter(|(_, it)| matches!(it, session::State::Running { .. }));
    let states = running.flat_map(|(label, state)| {
        sessions
            .iter()
            .map(move |(who, it)| (format!("{who}: {label}"), Session { state: state.clone(), ..it.clone() }))
            .collect::<Vec<_>>()
    });
    let who = |it: &Session| {
        let role = match (it.role, &it.report) {
            (Role::Manager, _) => "a manager",
            (Role::CiFollowup, _) => "a ci follow-up that reported",
            _ => "an implementer that reported",
        };
        format!("{role}: {}", session_name(it))
    };
    let moved = |head_moved| session::Input::TurnEnded {
        attempt: attempt(1),
        end: TurnEnd::Completed,
        around: Around { head_moved: Some(head_moved), ..Around::default() },
    };
    let waits = session::Input::Exited {
        attempt: attempt(1),
        exit: Exit::Clean,
        around: Around { messages_wait: true, ..Around::default() },
    };
    let mut inputs = turn_ends();
    inputs.push(("turn completed, head moved".into(), moved(true)));
    inputs.push(("turn completed, head did not move".into(), moved(false)));
    inputs.extend(exits());
    inputs.push(("exited with zero while messages wait".into(), waits));
    Table {
        noun: "session_roles",
        intro: "What the end of a turn and of a process mean depends on the role and on whether it reported: a \
                manager stays, a report is evidence, and a ci follow-up must have moved the head of its pull request.",
        states: states.collect(),
        inputs,
        name: &who,
        decide: &|it, input| session::decide(it, input, &Limits::default(), at(NOW)),
    }
    .check();
}

pub(super) fn workspace() {
    use workspace::{Input, State};
    let states = every!(State;
        State::Preparing => [("preparing", State::Preparing)],
        State::Ready => [("ready", State::Ready)],
        State::Archived => [("archived", State::Archived)],
        State::Failed { .. } => [("failed", State::Failed { reason: "disk".into() })],
    );
    let inputs = every!(Input;
        Input::Prepared(_) => [("prepared", Input::Prepared(make::facts()))],
        Input::PrepareFailed { .. } => [("prepare failed", Input::PrepareFailed { reason: "disk".into() })],
        Input::PrepareAgain => [("prepare again", Input::PrepareAgain)],
        Input::Snapshotted { .. } => [
            ("snapshotted", Input::Snapshotted { sha: make::sha(2) }),
            ("snapshotted, nothing changed", Input::Snapshotted { sha: make::sha(1) }),
        ],
        Input::Reclaim => [("reclaim", Input::Reclaim)],
        Input::Reclaimed { .. } => [("reclaimed", Input::Reclaimed { snapshot: Some(make::sha(3)) })],
        Input::Kept { .. } => [("kept", Input::Kept { reason: "a commit is nowhere else".into() })],
        Input::Restore { .. } => [("restore", Input::Restore { snapshot: None })],
        Input::Restored { .. } => [("restored", Input::Restored { snapshot: make::sha(1), dir: "/srv/w".into() })],
    );
    Table {
        noun: "workspace",
        intro: "One checkout, or one empty folder, on one target. It is deleted only with proof that nothing is \
                lost; the example has one snapshot.",
        states: with(states, |state| workspace::Workspace {
            state,
            snapshot: Some(make::sha(1)),
            ..make::workspace(1)
        }),
        inputs,
        name: &|it| it.state.name().into(),
        decide: &|it, input| workspace::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn pull_request() {
    use orcha_model::effect::MergeMethod;
    use pull_request::{Checks, Input, Observed, Review, State, Status, UpdateWork};
    let states = every!(State;
        State::Opening { .. } => [("opening", State::Opening { since: at(0) })],
        State::Draft => [("draft", State::Draft)],
        State::Open => [("open", State::Open)],
        State::Merged { .. } => [("merged", State::Merged { sha: Some(make::sha(9)) })],
        State::Closed { .. } => [("closed", State::Closed { why: "closed without merging".into() })],
    );
    let seen = |status| {
        Input::Observed(Observed {
            status,
            head: make::sha(1),
            checks: Checks::Passing,
            review: Review::Approved,
            mergeable: Some(true),
            title: "PR1".into(),
        })
    };
    let work = |force: Option<Option<&str>>| UpdateWork {
        workspace: WorkspaceId::fixed(1),
        target: make::target_id(),
        commit_message: "more".into(),
        force: force.is_some(),
        force_reason: force.flatten().map(str::to_owned),
    };
    let push = |force| Input::Update { push: Some(work(force)), title: None, body: None };
    let held = || pull_request::HeldPush { work: work(None), title: None, body: None };
    let mut inputs = every!(Input;
        Input::Opened { .. } => [("opened", Input::Opened { number: 1, url: "/pr/1".into(), head: make::sha(1) })],
        Input::NotOpened { .. } => [("not opened", Input::NotOpened { reason: "the host is down".into() })],
        Input::Empty { .. } => [("nothing to publish", Input::Empty { reason: "no file differs".into() })],
        Input::Update { .. } => [
            ("push", push(None)),
            ("force push without a reason", push(Some(None))),
            ("force push with a reason", push(Some(Some("rebased")))),
            ("edit", Input::Update { push: None, title: Some("Better".into()), body: None }),
        ],
        Input::Updated { .. } => [("updated", Input::Updated { head: make::sha(2) })],
        Input::Refused { .. } => [("refused by the host", Input::Refused { reason: "the branch moved".into() })],
        Input::NotPushed { .. } => [("not pushed, because it was closed", Input::NotPushed { held: held() })],
        Input::Observed(_) => [("seen open", seen(Status::Open))],
        Input::Comment { .. } => [("comment", Input::Comment { key: "k".into(), body: "Thanks.".into() })],
        Input::Commented => [("commented", Input::Commented)],
        Input::Merge { .. } => [("merge", Input::Merge { method: MergeMethod::Squash })],
        Input::Merged { .. } => [("merged", Input::Merged { sha: make::sha(9) })],
        Input::Close => [("close", Input::Close)],
        Input::Closed => [("closed", Input::Closed)],
        Input::Reopen => [("reopen", Input::Reopen)],
        Input::Reopened => [("reopened", Input::Reopened)],
        Input::Told => [("told", Input::Told)],
        Input::Asked => [("the user is asked", Input::Asked)],
        Input::Leave => [("the user leaves it closed", Input::Leave)],
        Input::Replaced => [("replaced", Input::Replaced)],
        Input::FollowersTold => [("followers told", Input::FollowersTold)],
    );
    let statuses = every!(Status;
        Status::Draft => [("seen as a draft", Status::Draft)],
        Status::Open => [("seen open again", Status::Open)],
        Status::Merged(_) => [("seen merged", Status::Merged(None))],
        Status::Closed => [("seen closed", Status::Closed)],
    );
    inputs.extend(statuses.into_iter().filter(|(label, _)| label != "seen open again").map(|(l, it)| (l, seen(it))));
    Table {
        noun: "pull_request",
        intro: "A pull request as we know it; the code host has the last word. A merged one is never pushed to, a \
                closed one asks first, and history is rewritten only with a reason on record.",
        states: with(states, |state| match state {
            State::Opening { .. } => make::pull_request(1),
            State::Draft | State::Open | State::Merged { .. } | State::Closed { .. } => {
                pull_request::PullRequest { state, ..make::open_pull_request(1) }
            }
        }),
        inputs,
        name: &|it| it.state.name().into(),
        decide: &|it, input| pull_request::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn feedback() {
    use feedback::{Feedback, Input, State};
    let session = SessionId::fixed(2);
    let states = every!(State;
        State::New => [("new", State::New)],
        State::Routed { .. } => [("routed", State::Routed { session })],
        State::Handled => [("handled", State::Handled)],
        State::Dropped => [("dropped", State::Dropped)],
    );
    let inputs = every!(Input;
        Input::Route { .. } => [("route", Input::Route { session })],
        Input::Handled => [("handled", Input::Handled)],
        Input::Unrouted => [("unrouted", Input::Unrouted)],
        Input::Drop { .. } => [("drop", Input::Drop { why: "its pull request is not open any more" })],
    );
    let mut all = with(states, |state| Feedback { state, ..make::feedback(1, 1) });
    all.push((
        "routed for the last time".into(),
        Feedback { tries: feedback::TRIES, state: State::Routed { session }, ..make::feedback(1, 1) },
    ));
    Table {
        noun: "feedback",
        intro: "A comment, a red check or a conflict, until somebody worked it off.",
        states: all,
        inputs,
        name: &|it| match it.state {
            State::Routed { .. } if it.tries >= feedback::TRIES => "routed for the last time".into(),
            State::New | State::Routed { .. } | State::Handled | State::Dropped => it.state.name().into(),
        },
        decide: &|it, input| feedback::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn question() {
    use question::{Input, State};
    let states = every!(State;
        State::Open => [("open", State::Open)],
        State::Answered { .. } => [("answered", State::Answered { answer: "blue".into() })],
        State::Delivered { .. } => [("delivered", State::Delivered { answer: "blue".into() })],
        State::Canceled => [("canceled", State::Canceled)],
    );
    let inputs = every!(Input;
        Input::Answer { .. } => [
            ("answer", Input::Answer { answer: "blue".into() }),
            ("an empty answer", Input::Answer { answer: " ".into() }),
        ],
        Input::Delivered => [("delivered", Input::Delivered)],
        Input::Cancel => [("cancel", Input::Cancel)],
    );
    Table {
        noun: "question",
        intro: "A question to the user, until its answer took effect or nobody needs it any more.",
        states: with(states, |state| question::Question { state, ..make::question(1, Some(1)) }),
        inputs,
        name: &|it| it.state.name().into(),
        decide: &|it, input| question::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn message() {
    use message::{Input, State};
    let (this, other, target) = (attempt(1), attempt(7), make::target_id());
    let states = every!(State;
        State::Queued { .. } => [
            ("queued", State::Queued { interrupted: None }),
            ("queued, turn cut off", State::Queued { interrupted: Some(this) }),
        ],
        State::Sent { .. } => [("sent", State::Sent { attempt: this })],
        State::Acknowledged => [("acknowledged", State::Acknowledged)],
        State::Undeliverable => [("undeliverable", State::Undeliverable)],
    );
    let inputs = every!(Input;
        Input::Send { .. } => [("send", Input::Send { attempt: this, target })],
        Input::Opens { .. } => [("opens an attempt", Input::Opens { attempt: this })],
        Input::CutOff { .. } => [("cut off", Input::CutOff { attempt: this, target })],
        Input::Accepted { .. } => [
            ("accepted", Input::Accepted { attempt: this }),
            ("accepted by another attempt", Input::Accepted { attempt: other }),
        ],
        Input::Lost { .. } => [
            ("lost", Input::Lost { attempt: this }),
            ("lost by another attempt", Input::Lost { attempt: other }),
        ],
        Input::SessionOver => [("session over", Input::SessionOver)],
    );
    Table {
        noun: "message",
        intro: "A steering message. It is durable until the agent took it up, and is said again to the next attempt \
                if the one it was said to ended first.",
        states: with(states, |state| message::Message { state, ..make::message(1, 1) }),
        inputs,
        name: &|it| match it.state {
            State::Queued { interrupted: Some(_) } => "queued, turn cut off".into(),
            State::Queued { .. } | State::Sent { .. } | State::Acknowledged | State::Undeliverable => {
                it.state.name().into()
            }
        },
        decide: &|it, input| message::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn target() {
    use target::{Edit, Editable, Input, State};
    let states = every!(State;
        State::Online => [("online", State::Online)],
        State::Offline => [("offline", State::Offline)],
        State::Draining => [("draining", State::Draining)],
        State::Disabled => [("disabled", State::Disabled)],
    );
    let inputs = every!(Input;
        Input::Reached { .. } => [("reached", Input::Reached { sandboxes: Vec::new() })],
        Input::Unreached { .. } => [("not reached", Input::Unreached { problem: "timed out".into() })],
        Input::Drain => [("drain", Input::Drain)],
        Input::Enable => [("enable", Input::Enable)],
        Input::Disable => [("disable", Input::Disable)],
        Input::Edit(_) => [
            ("edit", Input::Edit(Edit { capacity: Some(9), ..Edit::default() })),
            ("edit to no places", Input::Edit(Edit { capacity: Some(0), ..Edit::default() })),
            ("edit of what was edited since", Input::Edit(Edit { on: Some(Editable { capacity: 99, ..make::target(1).editable() }), ..Edit::default() })),
        ],
    );
    Table {
        noun: "target",
        intro: "A machine that runs sessions. Only an online one takes new sessions; its health is probed.",
        states: with(states, |state| target::Target { state, ..make::target(1) }),
        inputs,
        name: &|it| it.state.name().into(),
        decide: &|it, input| target::decide(it, input, at(NOW)),
    }
    .check();
}

pub(super) fn provider() {
    use provider::{Class, Input, State, Window};
    let spread = std::time::Duration::from_secs(9);
    let (class, by) = (Class::UsageExhausted, SessionId::fixed(1));
    let parked = |until| State::Parked { since: at(NOW - 90), until, spread, class, by };
    let states = every!(State;
        State::Open => [("open", State::Open)],
        State::Parked { .. } => [
            ("parked", parked(at(NOW + 90))),
            ("parked, and one after another begins again", parked(at(NOW))),
            ("parked, due", parked(at(NOW - 9))),
        ],
    );
    let refused = |until| {
        let (session, class) = (SessionId::fixed(2), Class::RateLimited);
        Input::Refused { session, attempt: attempt(1), class, until, roll: 0 }
    };
    let window = Window { name: "five_hour".into(), used_permille: Some(930), resets_at: None, seen_at: at(NOW) };
    let inputs = every!(Input;
        Input::Told { .. } => [("tells of a window", Input::Told { window })],
        Input::Refused { .. } => [
            ("refuses", refused(None)),
            ("refuses until later than that", refused(Some(at(NOW + 900)))),
        ],
        Input::Served => [("serves a turn", Input::Served)],
        Input::Due => [("time passes", Input::Due)],
    );
    Table {
        noun: "provider",
        intro: "The account that one kind of agent spends. While it is parked no session of any objective begins a turn \
                with it; each session may begin again at an instant of its own, shortly after the reset.",
        states: with(states, |state| Provider { state, ..Provider::new("claude", at(0)) }),
        inputs,
        name: &|it| match it.state {
            State::Open => "open".into(),
            State::Parked { until, .. } if until > at(NOW) => "parked".into(),
            State::Parked { .. } if it.reopens_at() > Some(at(NOW)) => {
                "parked, and one after another begins again".into()
            }
            State::Parked { .. } => "parked, due".into(),
        },
        decide: &|it, input| Ok(provider::decide(it, input, at(NOW))),
    }
    .check();
}
