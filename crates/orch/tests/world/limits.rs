//! Providers and budgets, by the real wheel: promise 10, promise 11, and what happens at a cap.

use crate::stage::{Stage, StillClock};
use orcha_agent::fake::{FakeAgent, FakeRunner};
use orcha_agent::{Event, Limit, Say, TurnEnd, Usage};
use orcha_base::{ObjectiveId, SessionId, Timestamp};
use orcha_exec::ExitStatus;
use orcha_model::guard::Limits;
use orcha_model::objective::Strategy;
use orcha_model::session::{AgentChoice, State, UserWait, Waiting};
use orcha_model::{Amount, NoteKind, Role, Trip, provider, question, target};
use orcha_orch::{Actor, Clock, NewObjective, Settings};
use orcha_plan::{Estimates, NewSession, World, why};
use orcha_store::{CredentialOwner, EventFilter, Span, Viewer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What was said to the agents of one kind, and when: each of these costs something.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<Vec<(Timestamp, String)>>>);

impl Calls {
    fn note(&self, clock: &StillClock, text: &str) {
        self.0.lock().unwrap().push((clock.now(), text.to_owned()));
    }

    fn all(&self) -> Vec<(Timestamp, String)> {
        self.0.lock().unwrap().clone()
    }
}

/// Agents whose quota is spent by whoever hears `exhaust`; whoever hears `long` works until it may go.
fn exhausting(clock: &Arc<StillClock>, calls: &Calls, resets_in: Duration) -> (FakeRunner, watch::Sender<bool>) {
    let (go, may_go) = watch::channel(false);
    let (clock, calls, spent) = (Arc::clone(clock), calls.clone(), Arc::new(AtomicBool::new(false)));
    let runner = FakeRunner::new(move |mut agent: FakeAgent| {
        let (clock, calls, spent, mut may_go) = (clock.clone(), calls.clone(), spent.clone(), may_go.clone());
        async move {
            agent.ready();
            while let Some(say) = agent.hear().await {
                let Say::Prompt { text, .. } = say else { continue };
                calls.note(&clock, &text);
                agent.text(format!("I was told: {}", text.lines().last().unwrap_or_default()));
                if text.contains("exhaust") && !spent.swap(true, Ordering::SeqCst) {
                    let until = Some(clock.now() + resets_in);
                    let window = "five_hour".to_owned();
                    agent.emit(Event::Limit(Limit {
                        window,
                        used_percent: Some(100.0),
                        resets_at: until,
                        rejected: true,
                    }));
                    agent.end_turn(TurnEnd::UsageExhausted { until });
                    continue;
                }
                if text.contains("long") {
                    may_go.wait_for(|it| *it).await.unwrap();
                }
                agent.end_turn(TurnEnd::Completed);
            }
            ExitStatus::Code(0)
        }
    });
    (runner, go)
}

impl Stage {
    /// Makes an objective of sessions that nobody steers.
    async fn many(&self, sessions: &[(Role, &str)], limits: Limits) -> (ObjectiveId, Vec<SessionId>) {
        let wish = NewObjective {
            strategy: Strategy::Direct,
            sessions: sessions.iter().map(|(role, goal)| (NewSession::new(*role, *goal, *goal), vec![])).collect(),
            limits: Some(limits),
            ..NewObjective::new("Do it.")
        };
        let (objective, sessions) = self.orch.create_objective(&Actor::default(), wish).await.unwrap();
        (objective.id, sessions)
    }

    async fn room_for(&self, sessions: u32) {
        let here = self.orch.store().all_targets().await.unwrap().remove(0);
        let edit = target::Edit { capacity: Some(sessions), ..target::Edit::default() };
        self.orch.change_target(here.id, target::Input::Edit(edit)).await.unwrap();
    }

    async fn until_held(&self, objective: ObjectiveId, session: SessionId) {
        let held = move |world: &World| {
            let state = &world.sessions.get(&session)?.state;
            matches!(state, State::WaitingCapacity { why: Waiting::Provider { .. }, .. }).then_some(())
        };
        self.until(objective, held).await;
    }

    /// Lets an amount of time pass in steps, with every objective looking around in each.
    async fn pass(&self, steps: u32, step: Duration, objectives: &[ObjectiveId]) {
        for _ in 0..steps {
            self.clock.advance(step);
            for objective in objectives {
                self.orch.view(*objective, |_| ()).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn noted(&self, kind: NoteKind) -> Vec<Vec<(String, String)>> {
        let viewer = Viewer::of(Actor::default().tenant);
        let events = self.orch.store().events(&viewer, EventFilter::All, Span::Latest, 1000).await.unwrap();
        events.into_iter().filter(|it| it.kind == kind).map(|it| it.data).collect()
    }
}

#[tokio::test]
async fn promise_10_a_spent_quota_stops_every_call_of_every_objective_until_the_reset_and_then_all_finish() {
    let (clock, calls) = (Arc::<StillClock>::default(), Calls::default());
    let (runner, go) = exhausting(&clock, &calls, Duration::from_secs(600));
    let mut stage = Stage::open_with(Settings::default(), vec![("claude", runner)], Arc::clone(&clock)).await;
    let usual = Limits::default();
    // One is at work, one waits to be spoken to.
    let (busy, at_work) = stage.many(&[(Role::Researcher, "long")], usual).await;
    stage.until_state(busy, at_work[0], "running").await;
    let (talk, listens) = stage.many(&[(Role::Manager, "listen")], usual).await;
    let listens = listens[0];
    stage.until(talk, move |world| world.sessions[&listens].is_idle().then_some(())).await;
    // Another one spends the quota in the middle of its turn.
    let (spends, spender) = stage.many(&[(Role::Researcher, "exhaust")], usual).await;
    stage.until_held(spends, spender[0]).await;
    let event = clock.now();
    let reset = event + Duration::from_secs(600);
    let before = calls.all().len();
    // What is new, what is said, and what was stored: nothing of it is called.
    let (fresh, new) = stage.many(&[(Role::Researcher, "new"), (Role::Researcher, "too")], usual).await;
    stage.say(talk, listens, "And?").await;
    for session in &new {
        stage.until_held(fresh, *session).await;
    }
    let said = stage.orch.view(fresh, move |world| why(world, Some(new[0]))).await.unwrap().unwrap();
    assert!(said.reason.contains("claude refuses (usage_exhausted)"), "{said:?}");
    assert!(said.way_out.contains("it tries again by itself at 2023-11-14T22:2"), "{said:?}");
    let said = stage.orch.view(talk, move |world| why(world, Some(listens))).await.unwrap().unwrap();
    assert!(said.reason.contains("claude is not called now (usage_exhausted)"), "{said:?}");
    let all = [busy, talk, spends, fresh];
    stage.pass(30, Duration::from_secs(10), &all).await;
    stage.restart().await;
    stage.pass(29, Duration::from_secs(10), &all).await;
    assert_eq!(calls.all().len(), before, "{:?}", calls.all());
    assert!(matches!(stage.orch.providers()["claude"].state, provider::State::Parked { .. }));
    // Whoever was at work was left alone all the time.
    assert_eq!(stage.orch.view(busy, move |world| world.sessions[&at_work[0]].attempt.0).await.unwrap(), 1);
    go.send_replace(true);
    for objective in [busy, spends, fresh] {
        stage.pass_until(objective, |world| (world.objective.state.name() == "succeeded").then_some(())).await;
    }
    let heard =
        move |world: &World| (world.sessions[&listens].is_idle() && !world.has_queued_message(listens)).then_some(());
    stage.pass_until(talk, heard).await;
    let between = calls.all().into_iter().filter(|(at, _)| *at > event && *at < reset).count();
    assert_eq!(between, 0, "{:?}", calls.all());
    // They came back one after another, by themselves, and the provider is open again.
    let mut back: Vec<Timestamp> = calls.all().split_off(before).into_iter().map(|(at, _)| at).collect();
    assert_eq!(back.len(), 4);
    back.dedup();
    assert!(back.len() > 1, "{back:?}");
    stage.pass_until(talk, |_| Some(())).await;
    stage.clock.advance(Duration::from_secs(60));
    stage.until(talk, |world| (world.outlook.providers["claude"].state == provider::State::Open).then_some(())).await;
    assert_eq!(stage.noted(NoteKind::ProviderParked).await.len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn promise_10_another_provider_takes_over_with_a_summary_where_that_is_allowed() {
    let (clock, spent, other) = (Arc::<StillClock>::default(), Calls::default(), Calls::default());
    let (runner, _go) = exhausting(&clock, &spent, Duration::from_secs(5 * 3600));
    let (second, _) = exhausting(&clock, &other, Duration::from_secs(5 * 3600));
    let mut settings = Settings::default();
    settings.plan.fallback.insert("claude".into(), vec!["codex".into()]);
    let stage =
        Stage::open_with(settings, vec![("claude", runner), ("codex", FakeRunner::idle())], clock.clone()).await;
    drop(second);
    let (objective, sessions) = stage.many(&[(Role::Researcher, "exhaust")], Limits::default()).await;
    let session = sessions[0];
    let it = stage.until_state(objective, session, "succeeded").await;
    assert_eq!(it.agent.kind, "codex");
    // Nobody waited for the reset, and whoever took over knows what came before.
    let label = orcha_exec::RunLabel::new(&format!("{session}-{}", it.attempt)).unwrap();
    let brief = it.handover.unwrap().brief.unwrap();
    assert!(brief.contains("I was told: exhaust"), "{brief}");
    drop(label);
    assert_eq!(spent.all().len(), 1);
    let moved = stage.noted(NoteKind::SessionMoved).await;
    assert_eq!(moved.len(), 1);
    assert!(moved[0].contains(&("to".into(), "codex".into())), "{moved:?}");
    stage.close().await;
}

#[tokio::test]
async fn promise_10_where_nobody_may_take_over_it_waits() {
    let (clock, calls) = (Arc::<StillClock>::default(), Calls::default());
    let (runner, _go) = exhausting(&clock, &calls, Duration::from_secs(600));
    let mut settings = Settings::default();
    settings.plan.fallback.insert("claude".into(), vec!["codex".into()]);
    let kinds = vec![("claude", runner), ("codex", FakeRunner::idle())];
    let stage = Stage::open_with(settings.clone(), kinds, clock.clone()).await;
    let mut agent = settings.agent.clone();
    agent.fallback = Some(Vec::new());
    let mut wanted = NewSession::new(Role::Researcher, "It", "exhaust");
    wanted.agent = Some(agent);
    let wish =
        NewObjective { strategy: Strategy::Direct, sessions: vec![(wanted, vec![])], ..NewObjective::new("Do it.") };
    let (objective, sessions) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
    stage.until_held(objective.id, sessions[0]).await;
    stage.pass(10, Duration::from_secs(10), &[objective.id]).await;
    stage.clock.advance(Duration::from_secs(600));
    let it = stage.until_state(objective.id, sessions[0], "succeeded").await;
    assert_eq!((it.agent.kind.as_str(), it.attempt.0), ("claude", 2));
    stage.close().await;
}

#[tokio::test]
async fn promise_11_an_hour_of_waiting_for_people_costs_no_model_request() {
    let (clock, calls) = (Arc::<StillClock>::default(), Calls::default());
    let (runner, go) = exhausting(&clock, &calls, Duration::from_secs(600));
    let mut stage = Stage::open_with(Settings::default(), vec![("claude", runner)], clock.clone()).await;
    let mut objectives = Vec::new();
    for n in 0..5 {
        let wish = NewObjective::new(format!("long, the {n}th"));
        let (objective, sessions) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
        let it = stage.until_state(objective.id, sessions[0], "running").await;
        let owner = CredentialOwner {
            tenant: it.tenant.clone(),
            scope: it.scope.clone(),
            objective: objective.id,
            session: it.id,
            attempt: it.attempt,
            role: it.role,
        };
        stage.orch.ask_user(&owner, "Which one?".into(), None, vec![]).await.unwrap();
        objectives.push(objective.id);
    }
    go.send_replace(true);
    for objective in &objectives {
        stage
            .until(*objective, |world| {
                let rests = world.sessions.values().all(orcha_model::Session::is_idle);
                (rests && world.objective.state.name() == "waiting_user").then_some(())
            })
            .await;
    }
    let before = calls.all().len();
    assert_eq!(before, 5);
    stage.pass(60, Duration::from_secs(30), &objectives).await;
    stage.restart().await;
    stage.pass(60, Duration::from_secs(30), &objectives).await;
    assert_eq!(calls.all().len(), before, "{:?}", calls.all());
    // They were not forgotten either: an answer is the next thing that one of them hears.
    stage.answer(objectives[0], "this one").await;
    stage.until(objectives[0], |world| world.open_questions().next().is_none().then_some(())).await;
    let heard = |world: &World| (!world.sessions.keys().any(|it| world.has_queued_message(*it))).then_some(());
    stage.until(objectives[0], heard).await;
    stage.close().await;
}

const CENT: u64 = 10_000;

/// Agents that spend 0.30 in each turn, and 0.02 in one that only reports.
fn spending(reports: &Calls, clock: &Arc<StillClock>) -> FakeRunner {
    let (reports, clock) = (reports.clone(), Arc::clone(clock));
    FakeRunner::new(move |mut agent: FakeAgent| {
        let (reports, clock) = (reports.clone(), clock.clone());
        async move {
            agent.ready();
            while let Some(say) = agent.hear().await {
                let Say::Prompt { text, .. } = say else { continue };
                let hands_back = text.starts_with("Stop here");
                if hands_back {
                    reports.note(&clock, &text);
                    agent.text("Half of it is done.");
                }
                let cents = if hands_back { 2 } else { 30 };
                let usage = Usage { input: 10, model_calls: 1, micro_usd: Some(cents * CENT), ..Usage::default() };
                agent.emit(Event::Usage(usage));
                agent.end_turn(TurnEnd::Completed);
            }
            ExitStatus::Code(0)
        }
    })
}

fn thirty_cents() -> Settings {
    let mut settings = Settings::default();
    let cents = |n| Amount { tokens: 0, micro_usd: n * CENT };
    settings.plan.estimates = Estimates { turn: cents(30), hand_back: cents(3) };
    settings
}

#[tokio::test]
async fn ten_sessions_with_a_cap_spend_no_more_than_it_hand_back_what_they_have_and_ask_once() {
    let (clock, reports) = (Arc::<StillClock>::default(), Calls::default());
    let mut stage = Stage::open_with(thirty_cents(), vec![("claude", spending(&reports, &clock))], clock.clone()).await;
    stage.room_for(10).await;
    let limits = Limits { objective_micro_usd: 100 * CENT, no_progress: 0, ..Limits::default() };
    let (objective, sessions) = stage.many(&[(Role::Researcher, "Do it."); 10], limits).await;
    // Each would need a second turn.
    for session in &sessions {
        stage.say(objective, *session, "And the other half.").await;
    }
    let rests = |world: &World| {
        let asks = matches!(&world.objective.tripped, Some(Trip::Budget { .. }));
        let rest = world.sessions.values().all(|it| it.is_over() || matches!(it.state, State::WaitingUser { .. }));
        (asks && rest && world.open_questions().count() > 0).then(|| {
            let began: Vec<_> = world.sessions.values().filter(|it| it.counters.turns > 0).cloned().collect();
            let over = world.sessions.values().filter(|it| it.is_over()).count();
            (world.objective.used.micro_usd, world.open_questions().cloned().collect::<Vec<_>>(), began, over)
        })
    };
    let (settled, questions, began, over) = stage.until(objective, rests).await;
    assert!((90 * CENT..=100 * CENT).contains(&settled), "{settled}");
    assert_eq!(questions.len(), 1);
    assert!(questions[0].text.contains("0.90 USD of the objective's 1.00 USD are spent"), "{}", questions[0].text);
    // Whoever spent something handed back what it has, in one more turn.
    assert_eq!((began.len(), reports.all().len()), (3, 3));
    assert!(
        began.iter().all(|it| it.counters.turns == 1 && it.latest_summary.as_deref() == Some("Half of it is done."))
    );
    assert!(began.iter().all(|it| it.counters.reserved.is_none()));
    assert_eq!(over, 0);
    // Neither is it forgotten nor asked about again.
    stage.restart().await;
    let (again, questions, ..) = stage.until(objective, rests).await;
    assert_eq!((again, questions.len()), (settled, 1));
    // A person who lets it go on gives it as much again.
    stage.answer(objective, "continue").await;
    let (more, questions, ..) = stage
        .until(objective, move |world| {
            rests(world).filter(|(used, questions, ..)| *used > settled && !questions.is_empty())
        })
        .await;
    assert!(more <= settled + 100 * CENT, "{more}");
    assert_eq!(questions.len(), 1);
    stage.answer(objective, "cancel").await;
    stage.until(objective, |world| world.objective.is_over().then_some(())).await;
    stage.close().await;
}

#[tokio::test]
async fn a_session_at_its_own_cap_hands_back_and_is_asked_about_while_others_go_on() {
    let (clock, reports) = (Arc::<StillClock>::default(), Calls::default());
    let stage = Stage::open_with(thirty_cents(), vec![("claude", spending(&reports, &clock))], clock.clone()).await;
    let limits = Limits { session_micro_usd: 50 * CENT, no_progress: 0, ..Limits::default() };
    let (objective, sessions) = stage.many(&[(Role::Researcher, "Do it."); 2], limits).await;
    let (talks, done) = (sessions[0], sessions[1]);
    stage.say(objective, talks, "And the other half.").await;
    let it = stage.until_state(objective, talks, "waiting_user").await;
    let State::WaitingUser { why: UserWait::Guard { trip: Trip::Budget { spent, cap, .. } }, .. } = it.state else {
        panic!("{:?}", it.state)
    };
    assert_eq!((spent, cap, it.counters.used.micro_usd), (32 * CENT, 50 * CENT, 32 * CENT));
    stage.until_state(objective, done, "succeeded").await;
    let asked = stage.until(objective, |world| world.open_questions().next().cloned()).await;
    assert!(matches!(asked.about, question::About::Guard { .. }), "{asked:?}");
    stage.answer(objective, "continue").await;
    stage.until_state(objective, talks, "succeeded").await;
    stage.close().await;
}

#[tokio::test]
async fn objectives_that_share_a_cap_spend_no_more_than_it_together_also_after_a_restart() {
    let (clock, reports) = (Arc::<StillClock>::default(), Calls::default());
    let mut settings = thirty_cents();
    settings.shared_caps.tenant = Amount { tokens: 0, micro_usd: 100 * CENT };
    let mut stage = Stage::open_with(settings, vec![("claude", spending(&reports, &clock))], clock.clone()).await;
    stage.room_for(10).await;
    let limits = Limits { no_progress: 0, ..Limits::default() };
    let mut objectives = Vec::new();
    for _ in 0..3 {
        objectives.push(stage.many(&[(Role::Researcher, "Do it."); 3], limits).await.0);
    }
    let rests = |world: &World| {
        let rest = world.sessions.values().all(|it| it.is_over() || matches!(it.state, State::WaitingUser { .. }));
        rest.then(|| (world.objective.used.micro_usd, world.open_questions().count()))
    };
    let mut settled = 0;
    for objective in &objectives {
        let (used, questions) = stage.until(*objective, rests).await;
        assert!(questions <= 1);
        settled += used;
    }
    assert_eq!(settled, 90 * CENT);
    // What was used up is known after a restart, of those that ended as well.
    stage.restart().await;
    let (late, _) = stage.many(&[(Role::Researcher, "Do it.")], limits).await;
    let asked = stage.until(late, |world| world.open_questions().next().cloned()).await;
    assert!(asked.text.contains("0.90 USD of the tenant's 1.00 USD are spent"), "{}", asked.text);
    assert_eq!(stage.until(late, rests).await.0, 0);
    stage.close().await;
}

#[tokio::test]
async fn an_objective_that_names_no_agent_gets_the_one_with_the_most_left() {
    let clock = Arc::<StillClock>::default();
    let used = |percent: f64| {
        let clock = Arc::clone(&clock);
        FakeRunner::new(move |mut agent: FakeAgent| {
            let clock = Arc::clone(&clock);
            async move {
                agent.ready();
                while agent.hear().await.is_some() {
                    let resets_at = Some(clock.now() + Duration::from_secs(36_000));
                    let window = "seven_day".to_owned();
                    agent.emit(Event::Limit(Limit { window, used_percent: Some(percent), resets_at, rejected: false }));
                    agent.end_turn(TurnEnd::Completed);
                }
                ExitStatus::Code(0)
            }
        })
    };
    let settings = Settings { equals: vec!["claude".into(), "codex".into()], ..Settings::default() };
    let stage = Stage::open_with(settings, vec![("claude", used(90.0)), ("codex", used(10.0))], clock.clone()).await;
    let mut played = Vec::new();
    for kind in [None, Some("codex"), None] {
        let wish = NewObjective {
            strategy: Strategy::Direct,
            agent: kind.map(AgentChoice::of),
            sessions: vec![(NewSession::new(Role::Researcher, "It", "Do it."), vec![])],
            ..NewObjective::new("Do it.")
        };
        let (objective, sessions) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
        played.push(stage.until_state(objective.id, sessions[0], "succeeded").await.agent.kind);
    }
    // Nothing is known of either at first, and an unknown one is not taken for a free one.
    assert_eq!(played, ["claude", "codex", "codex"]);
    stage.close().await;
}
