//! Calls and streams against a daemon that fails on purpose: no gap, no repeat, and a next step in every error.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use futures::StreamExt;
use orcha_base::{Redacted, SessionId, Timestamp};
use orcha_client::fake::FakeDaemon;
use orcha_client::{Client, ClientError, News};
use orcha_wire::*;

fn event(id: u64) -> Event {
    Event {
        id,
        objective_id: None,
        session_id: None,
        kind: "session_started".into(),
        summary: format!("event {id}"),
        data: serde_json::Map::new(),
        created_at: Timestamp::from_secs(1),
    }
}

fn entry(seq: u64) -> TranscriptEntry {
    TranscriptEntry {
        id: seq.to_string(),
        session_id: SessionId::fixed(1),
        seq,
        source: MessageSource::Agent,
        kind: MessageKind::Text,
        content: format!("line {seq}"),
        metadata: serde_json::Map::new(),
        attempt: None,
        created_at: Timestamp::from_secs(1),
    }
}

#[tokio::test]
async fn p14_a_stream_goes_on_after_cuts_and_a_restart_without_a_gap_or_a_repeat() {
    let daemon = FakeDaemon::start().await.unwrap();
    daemon.streams("/api/stream", 1, &event(1));
    let mut events = daemon.client().unwrap().follow_events(StreamEvents { after: Some(0), ..StreamEvents::default() });
    let mut seen = vec![];
    for round in 0..4 {
        for id in [round * 2 + 2, round * 2 + 3] {
            daemon.streams("/api/stream", id, &event(id));
        }
        while seen.last() != Some(&(round * 2 + 3)) {
            seen.push(events.next().await.unwrap().unwrap().id);
        }
        // Cut in the middle of an event; then the daemon is down for a while, or only gone for a moment.
        daemon.restarts(u32::try_from(round).unwrap());
    }
    assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    let resumed = daemon.asked().into_iter().filter_map(|it| it.after).collect::<Vec<_>>();
    assert!(resumed.starts_with(&[0, 3, 5]), "{resumed:?}");
}

#[tokio::test]
async fn a_stream_from_now_on_has_a_place_before_its_first_event() {
    let daemon = FakeDaemon::start().await.unwrap();
    daemon.answers("GET /api/events", 200, &[event(7)]);
    for id in 6..=7 {
        daemon.streams("/api/stream", id, &event(id));
    }
    let mut events = daemon.client().unwrap().follow_events(StreamEvents::default());
    let next = tokio::spawn(async move { events.next().await });
    daemon.was_asked("GET /api/stream", 1).await;
    // Lost before anything was seen: what happens meanwhile is not lost with it.
    daemon.restarts(1);
    daemon.streams("/api/stream", 8, &event(8));
    assert_eq!(next.await.unwrap().unwrap().unwrap().id, 8);
}

#[tokio::test]
async fn what_agents_do_is_heard_between_what_happens_and_is_no_place_to_go_on_from() {
    let daemon = FakeDaemon::start().await.unwrap();
    daemon.streams("/api/stream", 1, &event(1));
    let doing = Activity {
        objective_id: orcha_base::ObjectiveId::fixed(1),
        session_id: SessionId::fixed(1),
        current_activity: Some("thinks".into()),
        used_tokens: 7,
        at: Timestamp::from_secs(1),
    };
    daemon.tells("/api/stream", 2, ACTIVITY, &doing);
    daemon.tells("/api/stream", 3, "something of a later release", &"whatever");
    let mut news = daemon.client().unwrap().follow_news(StreamEvents { after: Some(0), ..StreamEvents::default() });
    assert_eq!(news.next().await.unwrap().unwrap(), News::Happened(event(1)));
    assert_eq!(news.next().await.unwrap().unwrap(), News::Doing(doing));
    daemon.restarts(0);
    daemon.streams("/api/stream", 4, &event(4));
    loop {
        match news.next().await.unwrap().unwrap() {
            News::Happened(event) => break assert_eq!(event.id, 4),
            News::Doing(_) => {}
        }
    }
    let resumed = daemon.asked().into_iter().filter_map(|it| it.after).collect::<Vec<_>>();
    assert_eq!(resumed, [0, 1]);
}

/// Reads one request, and returns its head and its body.
async fn request(stream: &mut tokio::net::TcpStream) -> (String, String) {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|it| it.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off: {text}");
    }
}

#[tokio::test]
async fn a_change_whose_connection_breaks_is_asked_for_again_under_the_same_key() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&url, Redacted::new("token".into())).unwrap();
    let steer = Steer { message: "hello".into(), interrupt: false };
    let asks = tokio::spawn(async move { client.steer_session(SessionId::fixed(1), &steer).await });
    let mut seen = Vec::new();
    // It breaks before anything was answered, then in the middle of the answer; then the daemon is still at it.
    let under_way = Problem::new(Code::Conflict, "under way").at("idempotency-key");
    let under_way = serde_json::to_string(&under_way).unwrap();
    for answer in [
        String::new(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{".to_owned(),
        format!("HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{under_way}", under_way.len()),
        "HTTP/1.1 422 No\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
    ] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (head, body) = request(&mut stream).await;
        seen.push((head.lines().find(|it| it.starts_with("idempotency-key: ")).unwrap().to_owned(), body));
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    assert!(matches!(asks.await.unwrap(), Err(ClientError::Foreign { status: 422, .. })));
    assert!(seen.iter().all(|it| *it == seen[0]) && seen[0].1.contains("hello"), "{seen:?}");

    // Another request has another key; what only looks has none, and is not made again.
    let client = Client::new(&url, Redacted::new("token".into())).unwrap();
    let looks = tokio::spawn(async move { client.health().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(!request(&mut stream).await.0.contains("idempotency-key"));
    drop(stream);
    assert!(matches!(looks.await.unwrap(), Err(ClientError::Broken { .. })));
}

#[tokio::test]
async fn a_transcript_ends_when_the_daemon_says_so() {
    let daemon = FakeDaemon::start().await.unwrap();
    let path = routes::SESSION_STREAM.at(&SessionId::fixed(1).into());
    for seq in 1..=3 {
        daemon.streams(&path, seq, &entry(seq));
    }
    daemon.ends(&path);
    let entries = daemon.client().unwrap().follow_transcript(SessionId::fixed(1), 1);
    let seqs: Vec<u64> = entries.map(|it| it.unwrap().seq).collect().await;
    assert_eq!(seqs, [2, 3]);
}

#[tokio::test]
async fn an_error_names_the_next_step() {
    let daemon = FakeDaemon::start().await.unwrap();
    let stranger = Client::new(&daemon.url(), Redacted::new("wrong".into())).unwrap();
    let error = stranger.health().await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized(_)) && error.to_string().contains("`token`"), "{error}");

    let client = daemon.client().unwrap();
    daemon.answers("POST /api/shutdown", 409, &Problem::new(Code::State, "it is stopping already"));
    let error = client.shutdown().await.unwrap_err();
    assert_eq!(error.problem().and_then(Problem::known), Some(Code::State));
    assert_eq!(error.to_string(), "it is stopping already");

    daemon.answers("GET /api/whoami", 500, &serde_json::json!({"error": "boom"}));
    let error = client.whoami().await.unwrap_err();
    assert_eq!(error.to_string(), "the daemon failed: boom");

    daemon.answers("GET /api/health", 404, &"<html>");
    let error = client.health().await.unwrap_err();
    assert!(error.to_string().contains("is it the address of orchad"), "{error}");

    daemon.answers("GET /api/targets", 200, &serde_json::json!({"not": "a list"}));
    assert!(matches!(client.targets().await.unwrap_err(), ClientError::Unreadable { .. }));

    drop(daemon);
    let nobody = Client::new("http://127.0.0.1:9", Redacted::new("x".into())).unwrap();
    let error = nobody.health().await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("orchad serve"), "{error}");
    let stream = nobody.follow_events(StreamEvents::default()).next().await.unwrap();
    assert!(stream.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn a_list_hands_out_its_cursor_and_a_request_its_body() {
    let daemon = FakeDaemon::start().await.unwrap();
    let client = daemon.client().unwrap();
    daemon.answers_page("GET /api/events?limit=2", &[event(1), event(2)], Some("2"));
    let page = client.events(&ListEvents { limit: Some(2), ..ListEvents::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (2, Some("2")));

    let id: IdRef = "deadbeef".parse().unwrap();
    let error = client.cancel_objective(id, &Cancel { reason: Some("enough".into()) }).await.unwrap_err();
    assert_eq!(error.problem().and_then(Problem::known), Some(Code::NotFound));
    let asked = daemon.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /api/objectives/deadbeef/cancel");
    assert_eq!(asked.body, serde_json::json!({"reason": "enough"}));
}
