//! The live view against a daemon whose objective moves step by step: what plain and JSON output say, and when it ends.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use expect_test::expect;
use orcha_client::fake::{FakeDaemon, sample};
use orcha_client::live::{self, FollowError, Output};
use orcha_wire::*;

const OBJECTIVE: &str = "GET /api/objectives/00000000-0000-0000-0000-0000aaaa0001";

fn moves(daemon: &FakeDaemon, status: ObjectiveStatus, sessions: [SessionStatus; 2], question: bool) {
    let rows = sessions.iter().zip(1..).map(|(status, number)| sample::session_row(number, *status)).collect();
    let mut detail = sample::detail(status, rows);
    if question {
        detail.questions.push(sample::question(QuestionStatus::Open));
    }
    if status.is_over() {
        detail.pull_requests.push(sample::pull_request(PullRequestStatus::Merged));
    }
    daemon.answers(OBJECTIVE, 200, &detail);
}

/// Runs the same short story and returns what was written.
async fn story(output: Output) -> String {
    use SessionStatus::{Running, Starting, Succeeded};
    let daemon = FakeDaemon::start().await.unwrap();
    let client = daemon.client().unwrap();
    let says = |id, kind, session, summary| {
        daemon.streams("/api/stream", id, &sample::event(id, kind, session, summary));
    };
    moves(&daemon, ObjectiveStatus::Active, [Running, Starting], false);
    says(1, "objective_created", None, "objective created");
    says(2, "session_started", Some(1), "session started");
    says(3, "message_sent", Some(1), "message sent");
    let follower = tokio::spawn(async move {
        let mut out = anstream::StripStream::new(Vec::new());
        let id = sample::objective(ObjectiveStatus::Active).id;
        let outcome = live::follow(&client, id, output, &mut out).await.unwrap();
        outcome.write(output, &mut out).unwrap();
        (outcome.succeeded(), String::from_utf8(out.into_inner()).unwrap())
    });
    daemon.was_asked("GET /api/stream", 1).await;
    moves(&daemon, ObjectiveStatus::WaitingUser, [Running, Running], true);
    says(4, "ask_user", Some(2), "asked the user");
    daemon.was_asked(OBJECTIVE, 2).await;
    // The daemon is killed and comes back; nothing is missing and nothing is said twice.
    daemon.restarts(2);
    moves(&daemon, ObjectiveStatus::Succeeded, [Succeeded, Succeeded], false);
    daemon.answers("GET /api/events", 200, &[sample::event(6, "objective_done", None, "objective done")]);
    says(5, "pr_merged", None, "#1 merged");
    says(6, "objective_done", None, "objective done");
    let (succeeded, text) = follower.await.unwrap();
    assert!(succeeded);
    text
}

#[tokio::test]
async fn plain_lines_tell_the_story_once_with_the_question_in_it() {
    let text = story(Output::Plain).await;
    // The question stands where it was seen, which depends on when the daemon was looked at.
    let (question, events): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|it| it.starts_with('?') || it.contains("orcha answer") || it.contains("none yet"));
    expect![[r#"
        22:13:21                        objective created
        22:13:22  manager bbbb0001      session started
        22:13:24  implementer bbbb0002  asked the user
        22:13:25                        #1 merged
        22:13:26                        objective done
        Add an about page: succeeded after 60.0 s
          The page is there.
          manager      bbbb0001 succeeded         28s  Session 1
          implementer  bbbb0002 succeeded         28s  Session 2
          pull request dddd0001 merged             #1  About page  checks passing  approved
          24.6k tokens, 1.23 USD"#]]
    .assert_eq(&events.join("\n"));
    expect![[r#"
        ? Which colour?[2J  (red | blue)
          answer with: orcha answer eeee0001 TEXT
          The page has none yet."#]]
    .assert_eq(&question.join("\n"));
}

#[tokio::test]
async fn json_is_every_event_and_the_summary_last() {
    let text = story(Output::Json).await;
    let documents: Vec<serde_json::Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let (summary, events) = documents.split_last().unwrap();
    let ids: Vec<u64> = events.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["objective"]["status"], "succeeded");
    assert_eq!(summary["pull_requests"][0]["status"], "merged");
}

#[tokio::test]
async fn an_objective_that_ended_long_ago_is_told_to_its_end() {
    let daemon = FakeDaemon::start().await.unwrap();
    moves(&daemon, ObjectiveStatus::Succeeded, [SessionStatus::Succeeded; 2], false);
    let done = sample::event(9, "objective_done", None, "objective done");
    daemon.answers("GET /api/events", 200, &[&done]);
    daemon.streams("/api/stream", 9, &done);
    let mut out = Vec::new();
    let client = daemon.client().unwrap();
    let id = sample::objective(ObjectiveStatus::Succeeded).id;
    live::follow(&client, id, Output::Json, &mut out).await.unwrap();
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn the_live_view_asks_for_nothing_while_nothing_happens() {
    let daemon = FakeDaemon::start().await.unwrap();
    moves(&daemon, ObjectiveStatus::Active, [SessionStatus::Running; 2], false);
    daemon.streams("/api/stream", 1, &sample::event(1, "session_started", Some(1), "session started"));
    let client = daemon.client().unwrap();
    let follower = tokio::spawn(async move {
        let id = sample::objective(ObjectiveStatus::Active).id;
        live::follow(&client, id, Output::Live, &mut Vec::new()).await
    });
    daemon.was_asked(OBJECTIVE, 2).await;
    // Half a minute, in which ages are drawn anew; what agents do is told to it.
    tokio::time::pause();
    let session = sample::session_row(1, SessionStatus::Running);
    for n in 2..32 {
        let doing = Activity {
            objective_id: session.objective_id.unwrap(),
            session_id: session.id,
            current_activity: Some(format!("step {n}")),
            used_tokens: n,
            at: session.updated_at,
        };
        daemon.tells("/api/stream", n, ACTIVITY, &doing);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let asked: Vec<String> = daemon.asked().into_iter().map(|it| it.line).collect();
    assert_eq!(asked.iter().filter(|it| *it == OBJECTIVE).count(), 2, "{asked:?}");
    assert!(!follower.is_finished());
    follower.abort();
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_view_and_not_the_run() {
    let daemon = FakeDaemon::start().await.unwrap();
    moves(&daemon, ObjectiveStatus::Active, [SessionStatus::Running; 2], false);
    daemon.streams("/api/stream", 1, &sample::event(1, "session_started", Some(1), "session started"));
    let client = daemon.client().unwrap();
    let id = sample::objective(ObjectiveStatus::Active).id;
    let mut nothing: &mut [u8] = &mut [];
    let error = live::follow(&client, id, Output::Plain, &mut nothing).await.unwrap_err();
    assert!(matches!(error, FollowError::Write(_)), "{error}");
}
