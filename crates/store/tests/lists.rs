//! What people and clients see: pages without gap or repeat, sums, and orders.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use orcha_base::{ObjectiveId, ProposalId, Revision, ScopeId, SessionId, TargetId, TenantId, TextId, Timestamp};
use orcha_model::session::{State, Waiting};
use orcha_model::{Proposal, Text};
use orcha_store::{Page, Paged, Row, SessionFilter, Store, Which};
use support::*;

/// Walks through a list in pages of three.
async fn walk<T>(mut ask: impl AsyncFnMut(Page) -> Paged<T>) -> Vec<T> {
    let mut page = Page::first(3);
    let mut seen = Vec::new();
    loop {
        let found = ask(page).await;
        assert!(found.items.len() <= 3);
        seen.extend(found.items);
        match found.next {
            // A client has the cursor as text.
            Some(next) => page = Page { after: Some(next.to_string().parse().unwrap()), limit: 3 },
            None => return seen,
        }
    }
}

async fn full(store: &Store) {
    let mut all = vec![Row::Objective(objective(1)), Row::Objective(objective(2))];
    for n in 1..=10 {
        let mut it = session(n, 1 + n % 2);
        // Several share an instant, so that the id has to decide.
        it.updated_at = at(i64::try_from(n / 3).unwrap());
        it.created_at = at(i64::try_from(n).unwrap());
        it.activity = (n == 5 || n == 8).then(|| format!("activity {n}"));
        if n > 8 {
            it.state = State::Canceled { reason: "test".into() };
        }
        all.push(Row::Session(it));
    }
    all.extend([
        Row::PullRequest(pull_request(1, 1, Some(1))),
        Row::PullRequest(pull_request(2, 1, Some(2))),
        Row::Question(question(1, 1, "a")),
        Row::Target(target(1, 3)),
    ]);
    store.commit(rows(all)).await.unwrap();
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    full(&store).await;
    let ids = async |filter: SessionFilter| {
        let found = walk(async |page| store.sessions(&viewer(), filter.clone(), page).await.unwrap()).await;
        found.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    let fixed = |numbers: &[u64]| numbers.iter().map(|n| SessionId::fixed(*n)).collect::<Vec<_>>();
    assert_eq!(ids(SessionFilter::default()).await, fixed(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]));
    let live = SessionFilter { which: Which::Live, ..SessionFilter::default() };
    assert_eq!(ids(live).await, fixed(&[8, 7, 6, 5, 4, 3, 2, 1]));
    let of = SessionFilter { objective: Some(ObjectiveId::fixed(1)), ..SessionFilter::default() };
    assert_eq!(ids(of.clone()).await, fixed(&[10, 8, 6, 4, 2]));
    assert_eq!(ids(SessionFilter { which: Which::Live, ..of }).await, fixed(&[8, 6, 4, 2]));
    let canceled = SessionFilter { state: Some("canceled".into()), ..SessionFilter::default() };
    assert_eq!(ids(canceled).await, fixed(&[10, 9]));

    let pull_requests = walk(async |page| store.pull_requests(&viewer(), page).await.unwrap()).await;
    assert_eq!(pull_requests, [pull_request(2, 1, Some(2)), pull_request(1, 1, Some(1))]);
    let of = ObjectiveId::fixed(1);
    let of_objective = walk(async |page| store.pull_requests_of(&viewer(), of, page).await.unwrap()).await;
    assert_eq!(of_objective, [pull_request(2, 1, Some(2)), pull_request(1, 1, Some(1))]);
    let repo = "/srv/a.git".parse().unwrap();
    let found = store.pull_request_by_number(&viewer(), &repo, 2).await.unwrap();
    assert_eq!(found, Some(pull_request(2, 1, Some(2))));
}

#[tokio::test]
async fn an_objective_row_sums_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    full(&store).await;
    let found = store.objectives(&viewer(), Which::Live, Page::first(10)).await.unwrap().items;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [ObjectiveId::fixed(2), ObjectiveId::fixed(1)]);
    let one = store.objective_row(&viewer(), ObjectiveId::fixed(1)).await.unwrap().unwrap();
    assert_eq!(one, found[1]);
    assert_eq!((one.active_sessions, one.pull_requests, one.open_questions), (4, 2, 1));
    assert_eq!((one.latest_activity.as_deref(), one.repo.as_deref()), (Some("activity 8"), Some("/srv/a.git")));
    assert!(one.needs_user() && !found[0].needs_user());
    assert_eq!(found[0].latest_activity.as_deref(), Some("activity 5"));
}

#[tokio::test]
async fn urgent_questions_come_first_and_targets_know_what_is_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    full(&store).await;
    let (mut urgent, mut late) = (question(2, 2, "b"), question(3, 2, "c"));
    urgent.priority = 5;
    late.created_at = at(9);
    let mut running = session(20, 1);
    running.state = placed(&running, 1).state;
    store.commit(rows([Row::Question(late), Row::Question(urgent), Row::Session(running)])).await.unwrap();
    let open = store.open_questions(&viewer(), 10).await.unwrap();
    assert_eq!(open.iter().map(|it| it.cause.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    let targets = store.targets(&viewer()).await.unwrap();
    assert_eq!(targets.iter().map(|it| (it.target.id, it.taken)).collect::<Vec<_>>(), [(TargetId::fixed(1), 1)]);
}

#[tokio::test]
async fn candidates_come_by_priority_then_age_and_wait_for_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let waits = |until: Option<Timestamp>, why: Waiting| State::WaitingCapacity { why, until };
    let fault = || Waiting::Fault { detail: "x".into() };
    let mut all = vec![Row::Objective(objective(1))];
    for (n, priority, state) in [
        (1, 0, State::Queued { released: true }),
        (2, 5, waits(Some(at(30)), fault())),
        (3, 0, State::Queued { released: false }),
        (4, 0, waits(None, Waiting::Parked)),
        (5, 1, waits(None, Waiting::Resumed)),
        (6, 0, State::Paused),
        (7, 9, waits(Some(at(60)), fault())),
    ] {
        let mut it = session(n, 1);
        (it.priority, it.state, it.created_at) = (priority, state, at(100 - i64::try_from(n).unwrap()));
        all.push(Row::Session(it));
    }
    store.commit(rows(all)).await.unwrap();
    let ask = async |secs| {
        let found = store.candidates(at(secs), 10).await.unwrap();
        (found.sessions.iter().map(|it| it.id).collect::<Vec<_>>(), found.wakes_at)
    };
    let fixed = |numbers: &[u64]| numbers.iter().map(|n| SessionId::fixed(*n)).collect::<Vec<_>>();
    assert_eq!(ask(0).await, (fixed(&[5, 1]), Some(at(30))));
    assert_eq!(ask(30).await, (fixed(&[2, 5, 1]), Some(at(60))));
    assert_eq!(ask(60).await, (fixed(&[7, 2, 5, 1]), None));
}

#[tokio::test]
async fn a_first_page_asks_once_for_what_belongs_to_each_objective() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    full(&store).await;
    let mut wanted: Vec<ObjectiveId> = (100..160).map(ObjectiveId::fixed).collect();
    // More than there are places for in one question, and those that have something at both ends.
    wanted.insert(0, ObjectiveId::fixed(1));
    wanted.push(ObjectiveId::fixed(2));
    let sessions = store.sessions_of_each(&viewer(), wanted.clone(), 3).await.unwrap();
    let found: Vec<(ObjectiveId, SessionId)> = sessions.iter().map(|it| (it.objective, it.id)).collect();
    let of = |objective: u64, session: u64| (ObjectiveId::fixed(objective), SessionId::fixed(session));
    assert_eq!(found, [of(1, 6), of(1, 8), of(1, 10), of(2, 5), of(2, 7), of(2, 9)]);
    let pull_requests = store.pull_requests_of_each(&viewer(), wanted.clone(), 3).await.unwrap();
    assert_eq!(pull_requests.iter().map(|it| it.number).collect::<Vec<_>>(), [Some(1), Some(2)]);

    let overview = store.overview(&viewer()).await.unwrap();
    let figures = (overview.active_objectives, overview.open_pull_requests, overview.open_questions);
    assert_eq!((figures, overview.running_sessions, overview.journal_end), ((2, 2, 1), 0, 0));

    let stranger = orcha_store::Viewer::of(orcha_base::TenantId::new("somebody-else"));
    assert!(store.sessions_of_each(&stranger, wanted.clone(), 3).await.unwrap().is_empty());
    assert!(store.pull_requests_of_each(&stranger, wanted, 3).await.unwrap().is_empty());
    assert_eq!(store.overview(&stranger).await.unwrap().active_objectives, 0);
}

#[tokio::test]
async fn texts_proposals_and_finished_runs_have_pages_too() {
    use orcha_model::finished::{End, Run};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut commit = rows((1..=7).map(|n| Row::Objective(objective(n))));
    for n in 1..=7 {
        // Several share an instant, so that the id has to decide.
        let at = at(i64::try_from(n / 3).unwrap());
        commit.changes.extend(rows([Row::Text(text(n, at)), Row::Proposal(proposal(n, at))]).changes);
        let of = objective(n);
        commit.runs.push(Run {
            id: of.id,
            tenant: of.tenant,
            scope: of.scope,
            title: of.title,
            ended_at: at,
            end: End::Completed,
            repairs: 0,
            micro_usd: 0,
            tokens: 0,
            health: None,
            retrospective: None,
            troubles: Default::default(),
            texts: Default::default(),
            tried: Default::default(),
            providers: Default::default(),
        });
    }
    store.commit(commit).await.unwrap();
    let all = [7, 6, 5, 4, 3, 2, 1];
    let found = walk(async |page| store.texts(&viewer(), None, false, page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), all.map(TextId::fixed));
    let found = walk(async |page| store.texts(&viewer(), None, true, page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [6, 4, 2].map(TextId::fixed));
    let one = "skill/s-5".parse().unwrap();
    let found = walk(async |page| store.texts(&viewer(), Some(&one), false, page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [TextId::fixed(5)]);
    let found = walk(async |page| store.proposals(&viewer(), None, page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), all.map(ProposalId::fixed));
    let found = walk(async |page| store.proposals(&viewer(), Some("proposed"), page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [6, 4, 2].map(ProposalId::fixed));
    let found = walk(async |page| store.runs(&viewer(), page).await.unwrap()).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), all.map(ObjectiveId::fixed));
}

/// A version of a text of its own; every other one is in use.
fn text(n: u64, at: Timestamp) -> Text {
    use orcha_model::text::{Author, State};
    Text {
        id: TextId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        surface: format!("skill/s-{n}").parse().unwrap(),
        version: 1,
        body: "words".into(),
        author: Author::Person { name: "operator".into() },
        state: if n.is_multiple_of(2) { State::Active } else { State::Retired },
        created_at: at,
        updated_at: at,
    }
}

/// A proposal; every other one is open.
fn proposal(n: u64, at: Timestamp) -> Proposal {
    use orcha_model::proposal::{Change, Priority, Source, State};
    let declined = State::Declined { reason: "no".into(), figures: None };
    Proposal {
        id: ProposalId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        cause: format!("text:skill/s-{n}"),
        surface: format!("skill/s-{n}").parse().unwrap(),
        change: Change::Update,
        priority: Priority::Low,
        problem: "it is long".into(),
        proposed_fix: "make it short".into(),
        body: None,
        source: Source::Retrospective,
        evidence: Vec::new(),
        seen: 1,
        state: if n.is_multiple_of(2) { State::Proposed } else { declined },
        created_at: at,
        updated_at: at,
    }
}
