//! Streams: nothing is missing and nothing comes twice, whatever happens in between.

use crate::stage::{Stage, text};
use orcha_base::Timestamp;
use orcha_model::{Note, NoteKind, Project};
use orcha_orch::Orch;
use orcha_store::{Commit, JournalLine};
use serde_json::json;
use std::time::Duration;

/// Writes lines into the journal behind the wheel's back, and lets it notice by something of its own.
async fn write(orch: &Orch, lines: usize) {
    for n in 0..lines {
        let mut commit = Commit::at(orch.now());
        commit.journal.push(JournalLine {
            tenant: Default::default(),
            scope: Default::default(),
            objective: None,
            session: None,
            note: Note::new(NoteKind::NoteCreated, format!("line {n}")),
        });
        orch.store().commit(commit).await.unwrap();
    }
}

/// Something that the wheel stores and announces by itself.
async fn nudge(stage: &Stage) {
    stage.post("/api/objectives", json!({"prompt": "wait", "strategy": "direct"})).await.ok(201);
}

#[tokio::test]
async fn c19_readers_see_every_line_once_while_it_is_written_and_across_reconnects() {
    let stage = Stage::open().await;
    let start = stage.orch.store().journal_end().await.unwrap();
    let writer = tokio::spawn({
        let orch = stage.orch.clone();
        async move { write(&orch, 1500).await }
    });
    let read = |breaks: usize| {
        let stage = &stage;
        async move {
            let mut seen = Vec::new();
            let mut stream = stage.stream(&format!("/api/stream?after={start}"), None).await;
            while seen.len() < 1200 {
                let sent = stream.next().await.unwrap();
                assert_eq!(sent.data["id"].as_i64(), sent.id);
                seen.push(sent.id.unwrap());
                if breaks > 0 && seen.len() % breaks == 0 {
                    // The header wins over the query.
                    stream = stage.stream(&format!("/api/stream?after={start}"), seen.last().copied()).await;
                }
            }
            seen
        }
    };
    let nudges = async {
        while !writer.is_finished() {
            nudge(&stage).await;
        }
        nudge(&stage).await;
    };
    let (one, two, three, ()) = tokio::join!(read(0), read(7), read(100), nudges);
    let expected: Vec<i64> = (start + 1..).take(1200).collect();
    assert!(one == expected && two == expected && three == expected);
}

#[tokio::test]
async fn a_stream_begins_now_unless_it_is_told_otherwise_and_ends_with_the_daemon() {
    let stage = Stage::open().await;
    write(&stage.orch, 3).await;
    let end = stage.orch.store().journal_end().await.unwrap();
    let mut now = stage.stream("/api/stream", None).await;
    // A number from another database is none.
    let mut beyond = stage.stream("/api/stream", Some(end + 1000)).await;
    nudge(&stage).await;
    assert_eq!(now.next().await.unwrap().id, Some(end + 1));
    assert_eq!(beyond.next().await.unwrap().id, Some(end + 1));
    for bad in ["x", "-1"] {
        let request = crate::stage::request(http::Method::GET, "/api/stream").header("last-event-id", bad);
        let reply = stage.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(reply.problem(), (422, "invalid".into()));
    }
    stage.orch.shut_down().await;
    while now.next().await.is_some() {}
    while beyond.next().await.is_some() {}
}

#[tokio::test]
async fn a_reader_that_was_away_for_long_reads_what_it_missed() {
    let stage = Stage::open().await;
    let start = stage.orch.store().journal_end().await.unwrap();
    let mut stream = stage.stream("/api/stream", None).await;
    // More lines than a listener may be behind.
    let commits = (0..5).map(|_| async {
        let mut commit = Commit::at(Timestamp::EPOCH);
        let line = JournalLine {
            tenant: Default::default(),
            scope: Default::default(),
            objective: None,
            session: None,
            note: Note::new(NoteKind::NoteCreated, "line"),
        };
        commit.journal = vec![line; 1000];
        stage.orch.store().commit(commit).await.unwrap();
    });
    futures::future::join_all(commits).await;
    nudge(&stage).await;
    for expected in start + 1..=start + 5000 {
        assert_eq!(stream.next().await.unwrap().id, Some(expected));
    }
}

#[tokio::test]
async fn a_stream_of_one_objective_tells_of_nothing_else() {
    let stage = Stage::open().await;
    let (first, _) = stage.one("wait", "running").await;
    let mut stream = stage.stream(&format!("/api/stream?objective_id={first}"), None).await;
    let (second, _) = stage.one("wait", "running").await;
    stage.verb(&format!("/api/objectives/{first}/pause")).await.ok(200);
    let sent = stream.next().await.unwrap();
    assert_eq!(sent.data["objective_id"], json!(first));
    assert_ne!(sent.data["objective_id"], json!(second));
}

#[tokio::test]
async fn what_an_agent_does_is_told_without_a_number() {
    let stage = Stage::open().await;
    let (other, _) = stage.one("wait for nothing", "running").await;
    let mut elsewhere = stage.stream(&format!("/api/stream?after=0&objective_id={other}"), None).await;
    let mut stream = stage.stream("/api/stream", None).await;
    let (objective, session) = stage.one("wait for me", "running").await;
    let told = loop {
        let sent = stream.any().await.unwrap();
        if sent.name.as_deref() == Some(orcha_wire::ACTIVITY) && sent.data["current_activity"] == "I heard: wait for me"
        {
            break sent;
        }
    };
    assert_eq!(told.id, None);
    assert_eq!((text(&told.data["objective_id"]), text(&told.data["session_id"])), (objective, session));
    // Whoever listens to one objective hears of no other.
    stage.verb(&format!("/api/objectives/{other}/pause")).await.ok(200);
    loop {
        let sent = elsewhere.any().await.unwrap();
        assert_eq!(text(&sent.data["objective_id"]), other);
        if sent.data["summary"] == "wait for nothing was paused" {
            break;
        }
    }
}

#[tokio::test]
async fn events_of_another_tenant_are_not_told() {
    let stage = Stage::open().await;
    let mut stream = stage.stream("/api/stream", None).await;
    let mut commit = Commit::at(Timestamp::EPOCH);
    commit.journal.push(JournalLine {
        tenant: orcha_base::TenantId::new("somebody-else"),
        scope: Default::default(),
        objective: None,
        session: None,
        note: Note::new(NoteKind::NoteCreated, "secret"),
    });
    commit.projects.push(Project {
        id: orcha_base::ProjectId::fixed(7),
        tenant: orcha_base::TenantId::new("somebody-else"),
        scope: Default::default(),
        name: "secret".into(),
        repo: "/srv/secret.git".parse().unwrap(),
        base_branch: None,
        permissions: Default::default(),
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    });
    stage.orch.store().commit(commit).await.unwrap();
    nudge(&stage).await;
    assert_ne!(stream.next().await.unwrap().data["summary"], "secret");
    assert!(!stage.get("/api/events?after=0").await.text.contains("secret"));
    assert!(!stage.get("/api/projects").await.text.contains("secret"));
    let id = orcha_base::ProjectId::fixed(7);
    let reply = stage.call(http::Method::PUT, &format!("/api/projects/{id}"), json!({"name": "mine"})).await;
    assert_eq!(reply.problem(), (404, "not_found".into()));
}

#[tokio::test]
async fn a_transcript_is_streamed_to_its_end() {
    let stage = Stage::open().await;
    let (_, session) = stage.one("wait", "running").await;
    let path = format!("/api/sessions/{session}/stream");
    let mut stream = stage.stream(&path, None).await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.id, &first.data["session_id"]), (Some(1), &json!(session)));
    let mut seen = vec![1];
    stage.post(&format!("/api/sessions/{session}/cancel"), json!({"reason": "enough"})).await.ok(200);
    let end = loop {
        let sent = stream.next().await.unwrap();
        match sent.id {
            Some(id) => seen.push(id),
            None => break sent,
        }
    };
    assert_eq!(end.name.as_deref(), Some("end"));
    assert_eq!(stream.next().await, None);
    let stored = stage.get(&format!("/api/sessions/{session}/messages")).await.ok(200);
    let stored: Vec<i64> = stored.as_array().unwrap().iter().map(|it| it["seq"].as_i64().unwrap()).collect();
    assert_eq!(seen, stored);
    let mut again = stage.stream(&path, Some(1)).await;
    let rest = again.next().await.unwrap();
    assert!(rest.id.is_none_or(|id| id == 2), "{rest:?}");
}

#[tokio::test]
async fn a_number_that_no_transcript_has_hides_nothing_of_what_comes() {
    let stage = Stage::open().await;
    let (_, session) = stage.one("wait", "running").await;
    let at = |verb: &str| format!("/api/sessions/{session}/{verb}");
    let said = |it: &serde_json::Value| it.as_array().unwrap().iter().any(|it| it["kind"] == "text");
    let stored = stage.until(&at("messages"), said).await.as_array().unwrap().len() as i64;
    let mut beyond = stage.stream(&at("stream"), Some(i64::MAX)).await;
    stage.post(&at("messages"), json!({"message": "wait more", "interrupt": true})).await.ok(200);
    let next = tokio::time::timeout(Duration::from_secs(10), beyond.next()).await.expect("it is silent").unwrap();
    assert!(next.id.is_some_and(|id| id > stored), "{next:?}");
}

#[tokio::test]
async fn a_thousand_readers_hear_of_one_thing() {
    let stage = Stage::open().await;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        streams.push(stage.stream("/api/stream", None).await);
    }
    nudge(&stage).await;
    let heard = futures::future::join_all(streams.iter_mut().map(|it| it.next())).await;
    let first = heard[0].as_ref().unwrap();
    assert!(heard.iter().all(|it| it.as_ref() == Some(first)));
    assert_eq!(text(&first.data["type"]), "objective_created");
    // Streams that are closed give their places back.
    drop(streams);
    tokio::time::timeout(Duration::from_secs(5), async { stage.stream("/api/stream", None).await }).await.unwrap();
}
