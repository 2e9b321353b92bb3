//! Pages over a real store, asked as a browser asks; nothing here runs a script.

use super::*;
use axum::body::Body;
use axum::http::Request;
use expect_test::expect;
use http_body_util::BodyExt;
use orcha_base::{
    Attempt, BranchName, PullRequestId, QuestionId, Revision, ScopeId, SessionId, TargetId, TenantId, Timestamp,
    WorkspaceId,
};
use orcha_model::finished::{End, Run};
use orcha_model::{Objective, PullRequest, Question, Role, Session, objective, pull_request, question, session};
use orcha_store::{Change, Commit, Row, StoreOptions};
use tower::ServiceExt;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

fn agent() -> session::AgentChoice {
    session::AgentChoice::of("claude")
}

fn an_objective(n: u64, title: &str) -> Objective {
    Objective {
        id: ObjectiveId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        title: title.into(),
        prompt: "do it".into(),
        strategy: objective::Strategy::Manager,
        repo: Some(session::RepoChoice { url: "/srv/git/a.git".parse().unwrap(), base: None }),
        project: None,
        agent: agent(),
        priority: 0,
        limits: Default::default(),
        policy: Default::default(),
        managers: Default::default(),
        calls: Default::default(),
        used: Default::default(),
        forgiven: (0, 0),
        tripped: None,
        state: objective::State::Active,
        summary: None,
        created_at: at(n.try_into().unwrap()),
        updated_at: at(n.try_into().unwrap()),
        completed_at: None,
    }
}

/// How the workflow of an objective went: one that did not fail has its number as its health.
fn a_run(of: &Objective) -> Run {
    let failed = matches!(of.state, objective::State::Failed { .. });
    Run {
        id: of.id,
        tenant: of.tenant.clone(),
        scope: of.scope.clone(),
        title: of.title.clone(),
        ended_at: of.updated_at,
        end: if failed { End::Failed } else { End::Completed },
        repairs: 1,
        micro_usd: 0,
        tokens: 0,
        health: (!failed).then(|| u8::try_from(of.id.uuid().as_u64_pair().1 % 101).unwrap()),
        retrospective: None,
        troubles: Default::default(),
        texts: Default::default(),
        tried: Default::default(),
        providers: Default::default(),
    }
}

fn a_session(n: u64, of: u64, title: &str) -> Session {
    Session {
        id: SessionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        parent: None,
        role: Role::Implementer,
        agent: agent(),
        title: title.into(),
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
        attempt: Attempt(1),
        faults: 0,
        report: None,
        activity: Some("runs the tests".into()),
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
        state: session::State::Running {
            target: TargetId::fixed(1),
            attempt: Attempt(1),
            turn: session::Turn::Busy { heard_at: at(1) },
            since: at(1),
        },
        created_at: at(0),
        started_at: Some(at(1)),
        updated_at: at(n.try_into().unwrap()),
        completed_at: None,
    }
}

fn a_pull_request(n: u64, of: u64, title: &str, url: &str) -> PullRequest {
    let branch = |name: &str| name.parse::<BranchName>().unwrap();
    PullRequest {
        id: PullRequestId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: SessionId::fixed(1),
        workspace: WorkspaceId::fixed(1),
        repo: "/srv/git/a.git".parse().unwrap(),
        number: Some(n),
        url: Some(url.into()),
        branch: branch("orcha/implementer-1"),
        base: branch("main"),
        head: None,
        title: title.into(),
        body: String::new(),
        checks: pull_request::Checks::Failing,
        review: pull_request::Review::Approved,
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

fn a_question(n: u64, of: u64, text: &str, options: &[&str]) -> Question {
    Question {
        id: QuestionId::fixed(n),
        tenant: TenantId::default(),
        scope: ScopeId::default(),
        revision: Revision(1),
        objective: ObjectiveId::fixed(of),
        session: Some(SessionId::fixed(1)),
        cause: format!("c{n}"),
        about: question::About::Asked,
        priority: 0,
        text: text.into(),
        context: Some("because".into()),
        options: options.iter().map(|it| (*it).into()).collect(),
        state: question::State::Open,
        created_at: at(0),
        updated_at: at(0),
        answered_at: None,
    }
}

struct House {
    store: Store,
    pages: axum::Router,
    _folder: tempfile::TempDir,
}

impl House {
    /// A house whose visitor is already let in.
    async fn with(rows: impl IntoIterator<Item = Row>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let changes: Vec<Change> = rows.into_iter().map(|row| Change { row, expected: None }).collect();
        // Of each objective that was there before a run is kept.
        let ended = changes.iter().filter_map(|it| match &it.row {
            Row::Objective(it) if it.is_over() => Some(a_run(it)),
            _ => None,
        });
        let runs = ended.collect();
        store.commit(Commit { changes, runs, ..Commit::at(at(0)) }).await.unwrap();
        let pages = rooms(store.clone()).layer(Extension(Viewer::of(TenantId::default())));
        Self { store, pages, _folder: folder }
    }

    async fn ask(&self, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.pages.clone().oneshot(request).await.unwrap()
    }

    async fn show(&self, path: &str) -> String {
        let answer = self.ask(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        text(answer).await
    }
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(1)> \"onload=\"x' ]]> &amp;";

/// One of everything, and each text in it is hostile.
fn hostile() -> Vec<Row> {
    let mut session = a_session(1, 1, HOSTILE);
    session.activity = Some(HOSTILE.into());
    let mut question = a_question(1, 1, HOSTILE, &[HOSTILE, "plain"]);
    question.context = Some(HOSTILE.into());
    let mut ended = an_objective(2, HOSTILE);
    ended.state = objective::State::Failed { reason: HOSTILE.into() };
    vec![
        Row::Objective(an_objective(1, HOSTILE)),
        Row::Objective(ended),
        Row::Session(session),
        Row::Question(question),
        Row::PullRequest(a_pull_request(1, 1, HOSTILE, "javascript:alert(1)")),
    ]
}

const ONE: &str = "00000000-0000-0000-0000-000000000001";
const TWO: &str = "00000000-0000-0000-0000-000000000002";

fn all_paths() -> Vec<String> {
    let fragments = ["summary", "questions", "objectives", "sessions", "health"].map(|it| format!("/fragments/{it}"));
    let of_one = [format!("/fragments/objective/{ONE}"), format!("/fragments/detail/{ONE}")];
    let pages = ["/".into(), format!("/objectives/{ONE}"), format!("/objectives/{TWO}")];
    fragments.into_iter().chain(of_one).chain(pages).collect()
}

/// Returns the values of an attribute wherever it stands.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn promise_16_text_from_outside_is_only_text() {
    let house = House::with(hostile()).await;
    for path in all_paths() {
        let page = house.show(&path).await;
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("\"onload="), "{path}: {page}");
        assert!(!values(&page, "href").iter().any(|it| it.contains("javascript")), "{path}");
        // Everything that is opened as a tag is one of ours, and none has a handler or a style.
        for tag in page.split('<').skip(1) {
            // What stands between quotes is no attribute; a quote within would be escaped.
            let tag: String = tag.split('>').next().unwrap().split('"').step_by(2).collect();
            assert!(!tag.contains(" on") && !tag.contains(" style="), "{path}: {tag}");
        }
    }
    assert!(house.show("/").await.contains("&lt;script&gt;alert(1)"));
}

#[tokio::test]
async fn a_page_refers_to_nothing_outside() {
    let house = House::with(hostile()).await;
    for path in all_paths() {
        let page = house.show(&path).await;
        for value in ["src", "href", "action", "data-fragment", "data-stream"].map(|it| values(&page, it)).concat() {
            assert!(value.starts_with(['/', '#']) && !value.starts_with("//"), "{path}: {value}");
        }
    }
    for asset in assets::ALL {
        let held = text(house.ask(&asset.address()).await).await;
        let outside = held.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("url("), "{asset:?}");
    }
}

#[tokio::test]
async fn a_code_host_is_only_visited_by_a_click() {
    let url = "https://host.example/pull/1";
    let house =
        House::with([Row::Objective(an_objective(1, "one")), Row::PullRequest(a_pull_request(1, 1, "a change", url))])
            .await;
    let page = house.show("/").await;
    assert_eq!(page.matches(url).count(), 1);
    assert!(page.contains(&format!("<a class=\"text\" href=\"{url}\" rel=\"noopener noreferrer\"")), "{page}");
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let house = House::with(hostile()).await;
    let paths = all_paths().into_iter().chain(assets::ALL.map(assets::Asset::address));
    for path in paths.chain(["/assets/none.js".into(), "/?after=x".into(), "/objectives/x".into()]) {
        let answer = house.ask(&path).await;
        let header = |name: &str| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        assert_eq!(header("content-security-policy").as_deref(), Some(POLICY), "{path}");
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"), "{path}");
    }
    assert!(!POLICY.contains("unsafe") && !POLICY.contains('*'));
}

#[tokio::test]
async fn assets_have_their_type_and_are_kept_for_ever() {
    let house = House::with([]).await;
    let mut seen = Vec::new();
    for asset in assets::ALL {
        let answer = house.ask(&asset.address()).await;
        let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
        seen.push((answer.status().as_u16(), header(header::CONTENT_TYPE), header(header::CACHE_CONTROL)));
    }
    let for_ever = "public, max-age=31536000, immutable";
    let types = ["text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"];
    assert_eq!(seen, types.map(|it| (200, it.to_owned(), for_ever.to_owned())));
    // A page of an older program asks for what is not there any more.
    let old = assets::SCRIPT.address().replace("-", "-0");
    assert_eq!(house.ask(&old).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(house.ask("/").await.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn a_part_alone_is_the_part_in_its_page() {
    let house = House::with(hostile()).await;
    let page = house.show("/").await;
    for path in ["summary", "questions", "objectives", "health", &format!("objective/{ONE}")] {
        let part = house.show(&format!("/fragments/{path}")).await;
        assert!(page.contains(&part), "{path}: {part}\nis not in {page}");
        // And it says itself where it comes from.
        assert_eq!(values(&part, "data-fragment")[0], format!("/fragments/{path}"));
    }
    let row = house.show("/fragments/sessions").await;
    let row = &row[row.find("<tbody>").unwrap() + 7..row.find("</tbody>").unwrap()];
    assert!(row.starts_with("<tr id=\"s-") && page.contains(row), "{row}");
}

#[tokio::test]
async fn a_question_offers_its_options_and_says_who_asks() {
    let house = House::with([
        Row::Objective(an_objective(1, "sort the list")),
        Row::Session(a_session(1, 1, "sort")),
        Row::Question(a_question(1, 1, "Up or down?", &["up", "down"])),
    ])
    .await;
    expect![[r#"
        <section id="questions" data-fragment="/fragments/questions" aria-label="Open questions">
        <h2>Needs you</h2>
        <article class="panel question" id="q-00000000-0000-0000-0000-000000000001" aria-labelledby="t-00000001">
        <p class="asked text" id="t-00000001">Up or down?</p>
        <p class="context text">because</p>
        <p class="meta">
        <span class="text">implementer “sort”</span> in <a class="text" href="/objectives/00000000-0000-0000-0000-000000000001">sort the list</a> · <time datetime="2023-11-14T22:13:20.000000Z">2023-11-14T22:13:20.000000Z</time>
        </p>
        <form class="answer" method="post" action="/api/questions/00000000-0000-0000-0000-000000000001/answer">
        <div class="options" role="group" aria-label="Suggested answers">
        <button type="submit" name="answer" value="up">up</button>
        <button type="submit" name="answer" value="down">down</button>
        </div>
        <label class="unseen" for="a-00000001">Your answer</label>
        <textarea id="a-00000001" name="text" rows="2" maxlength="16000" placeholder="Or in your own words">
        </textarea>
        <div class="send">
        <span class="hint">Ctrl + Enter sends</span>
        <button class="main" type="submit">Answer</button>
        </div>
        <p class="problem" role="alert">
        </p>
        </form>
        </article>
        </section>"#]]
    .assert_eq(&house.show("/fragments/questions").await.replace("><", ">\n<"));
}

#[tokio::test]
async fn finished_workflows_are_charted_by_their_health_the_newest_on_the_right() {
    let ended = |n: u64, failed: bool| {
        let mut it = an_objective(n, &format!("run {n}"));
        it.state = if failed { objective::State::Failed { reason: "no".into() } } else { objective::State::Succeeded };
        Row::Objective(it)
    };
    let house = House::with([ended(40, false), ended(90, false), ended(95, true)]).await;
    let part = house.show("/fragments/health").await;
    // 60 places of 11 units; each bar is as high as its health.
    expect![[r#"
        <rect x="627" y="60" width="8" height="40" data-tone="soon"><title>run 40: completed, health 40, 1 repairs</title></rect>
        <rect x="638" y="10" width="8" height="90" data-tone="good"><title>run 90: completed, health 90, 1 repairs</title></rect>
        <rect x="649" y="97" width="8" height="3" data-tone="bad"><title>run 95: failed, not judged, 1 repairs</title></rect>"#]]
    .assert_eq(&part.split("<rect").skip(1).map(|it| format!("<rect{}", it.split("</svg").next().unwrap())).collect::<Vec<_>>().join("\n"));
    assert!(part.contains("3 finished, 1 of them failed, 65 on average, 90 the last time"), "{part}");
    // Where nothing has finished the part is there, and empty.
    let empty = House::with([]).await.show("/fragments/health").await;
    assert!(empty.contains("id=\"health\"") && !empty.contains("<svg"), "{empty}");
}

#[tokio::test]
async fn what_needs_a_person_comes_first_and_what_has_ended_last() {
    let mut ended = an_objective(9, "ended");
    ended.state = objective::State::Succeeded;
    let mut paused = an_objective(8, "paused");
    paused.state = objective::State::Paused;
    let house = House::with([
        Row::Objective(an_objective(1, "older")),
        Row::Objective(an_objective(2, "newer")),
        Row::Objective(an_objective(3, "asks")),
        Row::Objective(paused),
        Row::Objective(ended),
        Row::Question(a_question(1, 3, "which?", &[])),
    ])
    .await;
    let page = house.show("/fragments/objectives").await;
    let titles: Vec<&str> = page.split("<a ").skip(1).filter_map(|it| it.split(['>', '<']).nth(1)).collect();
    assert_eq!(titles, ["asks", "newer", "older", "paused", "ended"]);
    let (going_on, over) = page.split_once("<details id=\"ended\">").unwrap();
    assert!(going_on.contains("asks") && !going_on.contains(">ended<") && over.contains(">ended<"));
}

#[tokio::test]
async fn long_lists_have_a_next_page() {
    let house = House::with((1..=120).map(|n| Row::Objective(an_objective(n, "many")))).await;
    let (mut path, mut seen) = ("/fragments/objectives".to_owned(), Vec::new());
    loop {
        let page = house.show(&path).await;
        let ids = values(&page, "id").into_iter().filter(|it| it.starts_with("o-")).map(ToOwned::to_owned);
        seen.extend(ids);
        // The part on the page is asked for with the same place in the list.
        assert_eq!(values(&page, "data-fragment")[0], path);
        let Some((before, _)) = page.split_once("\">More objectives") else { break };
        path = format!("/fragments/objectives{}", &before[before.rfind("=\"/").unwrap() + 3..]);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 120);
}

#[tokio::test]
async fn who_waits_says_for_what() {
    let mut waiting = a_session(1, 1, "Waits");
    let why = session::Waiting::NoTarget { detail: "none has the label `gpu`".into() };
    waiting.state = session::State::WaitingCapacity { why, until: None };
    waiting.activity = Some("what it did before".into());
    let house = House::with([Row::Objective(an_objective(1, "One")), Row::Session(waiting)]).await;
    for path in ["/", &format!("/objectives/{}", ObjectiveId::fixed(1))] {
        let page = house.show(path).await;
        assert!(page.contains("no target takes it: none has the label `gpu`"), "{page}");
        assert!(!page.contains("what it did before"));
    }
}

#[tokio::test]
async fn an_objective_with_many_sessions_shows_the_last_ones() {
    let sessions = (1..=30).map(|n| Row::Session(a_session(n, 1, &format!("job {n}."))));
    let house = House::with([Row::Objective(an_objective(1, "one"))].into_iter().chain(sessions)).await;
    let part = house.show(&format!("/fragments/objective/{ONE}")).await;
    assert_eq!(part.matches("<tr id=").count(), board::EACH as usize);
    assert!(part.contains("job 30.") && !part.contains("job 18.") && part.contains("All sessions"), "{part}");
    assert_eq!(house.show(&format!("/objectives/{ONE}")).await.matches("<tr id=").count(), 30);
}

#[tokio::test]
async fn what_is_not_there_or_somebody_elses_is_not_shown() {
    let house = House::with([Row::Objective(an_objective(1, "secret"))]).await;
    for path in [format!("/objectives/{TWO}"), format!("/fragments/objective/{TWO}")] {
        assert_eq!(house.ask(&path).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(house.ask("/?after=nonsense").await.status(), StatusCode::BAD_REQUEST);
    // Whatever an address holds, a person sees a page of ours.
    for (path, status) in [
        ("/?token=x", StatusCode::BAD_REQUEST),
        ("/?after=1~x&after=1~x", StatusCode::BAD_REQUEST),
        ("/?after=%ff", StatusCode::BAD_REQUEST),
        ("/objectives/nonsense", StatusCode::NOT_FOUND),
        ("/objectives/%00", StatusCode::NOT_FOUND),
        ("/fragments/detail/..", StatusCode::NOT_FOUND),
    ] {
        let answer = house.ask(path).await;
        assert_eq!(answer.status(), status, "{path}");
        let page = text(answer).await;
        assert!(page.contains("To the first page") && !page.contains("deserialize"), "{path}: {page}");
    }
    let stranger = rooms(house.store.clone()).layer(Extension(Viewer::of(TenantId::new("somebody-else"))));
    for path in ["/".to_owned(), format!("/objectives/{ONE}"), format!("/fragments/detail/{ONE}")] {
        let answer = stranger.clone().oneshot(Request::get(&path).body(Body::empty()).unwrap()).await.unwrap();
        assert!(!text(answer).await.contains("secret"), "{path}");
    }
}

#[tokio::test]
async fn who_was_not_let_in_sees_nothing() {
    let house = House::with(hostile()).await;
    for path in all_paths().into_iter().chain(assets::ALL.map(assets::Asset::address)) {
        // Whose rows they are to be does not make up for who is asking.
        let request = Request::get(&path).extension(Viewer::of(TenantId::default())).body(Body::empty()).unwrap();
        let answer = pages(house.store.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn the_stream_begins_where_the_page_ends() {
    let house = House::with([Row::Objective(an_objective(1, "one"))]).await;
    let note = orcha_model::Note::new(orcha_model::NoteKind::ObjectiveCreated, "made");
    let (tenant, scope) = (TenantId::default(), ScopeId::default());
    let line = orcha_store::JournalLine { tenant, scope, objective: Some(ObjectiveId::fixed(1)), session: None, note };
    house.store.commit(Commit { journal: vec![line], ..Commit::at(at(1)) }).await.unwrap();
    let page = house.show("/").await;
    assert!(page.contains("<body data-stream=\"/api/stream\" data-after=\"1\">"), "{page}");
}

#[tokio::test]
async fn two_hundred_objectives_are_one_quick_page() {
    let objectives = (1..=200).map(|n| Row::Objective(an_objective(n, "objective")));
    let sessions = (1..=1000).map(|n| Row::Session(a_session(n, 1 + n % 200, "session")));
    let house = House::with(objectives.chain(sessions)).await;
    house.show("/").await;
    let began = std::time::Instant::now();
    let page = house.show("/").await;
    println!("200 objectives with 5 sessions each: {:?}, {} bytes", began.elapsed(), page.len());
    assert_eq!(page.matches("<article class=\"panel objective\"").count(), 50);
    assert_eq!(page.matches("<tr id=").count(), 250);
}

/// How bright a colour such as `#5d6b7b` is: the relative luminance of WCAG 2.
fn luminance(colour: [f64; 3]) -> f64 {
    let light = colour.map(|it| if it <= 0.03928 { it / 12.92 } else { ((it + 0.055) / 1.055).powf(2.4) });
    0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
}

fn colour(hex: &str) -> [f64; 3] {
    let hex = hex.trim().trim_start_matches('#');
    let wide: String = if hex.len() == 3 { hex.chars().flat_map(|it| [it, it]).collect() } else { hex.into() };
    [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0)
}

#[test]
fn every_word_stands_out_from_what_is_behind_it() {
    let style = include_str!("../assets/page.css");
    for shade in [0, 1] {
        let of = |name: &str| {
            let both = style.split(&format!("--{name}: light-dark(")).nth(1).unwrap().split(')').next().unwrap();
            colour(both.split(',').nth(shade).unwrap())
        };
        let check = |what: &str, word: [f64; 3], behind: [f64; 3]| {
            let (one, other) = (luminance(word), luminance(behind));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(contrast >= 4.5, "{what} in shade {shade}: {contrast:.2}");
        };
        for tone in ["good", "soon", "you", "done", "merged", "bad", "quiet"] {
            let (tone_, panel) = (of(tone), of("panel"));
            // A pill lies on 13 % of its own colour.
            let pill: [f64; 3] = std::array::from_fn(|at| 0.13 * tone_[at] + 0.87 * panel[at]);
            check(tone, tone_, pill);
            check(tone, tone_, panel);
        }
        for (word, behind) in
            [("ink", "ground"), ("ink", "panel"), ("faint", "ground"), ("faint", "panel"), ("on-accent", "accent")]
        {
            check(word, of(word), of(behind));
        }
    }
}
