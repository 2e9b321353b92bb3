//! A spent quota, seen from outside: a real daemon, real processes of an agent that follows a script, a reset that is
//! seconds away. Nobody calls the provider before it, and everything finishes by itself: promise 10.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use futures::StreamExt;
use orcha_base::{Redacted, Timestamp};
use orcha_client::Client;
use orcha_wire::{CreateObjective, Event, ProviderStatus, Strategy, StreamEvents};
use orchad::demo::daemon::Daemon;
use orchad::demo::sample::Sample;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = r#"{
  "plays": [
    {"name": "spender", "when": {"contains": ["Spend the quota"]}, "turns": [
      {"on": "opening", "steps": [
        {"say": "I begin, and there is nothing left."},
        {"end": {"usage_exhausted": {"window": "five_hour", "resets_in_s": 6}}}
      ]},
      {"on": "any", "steps": [{"say": "I go on where I was."}, {"end": "completed"}]}
    ]},
    {"name": "other", "turns": [{"on": "any", "steps": [{"say": "Done."}, {"end": "completed"}]}]}
  ]
}"#;

fn wish(program: &Path, script: &Path, prompt: &str) -> CreateObjective {
    let agent = [program.to_str().unwrap(), "scripted-agent", "--script", script.to_str().unwrap()];
    CreateObjective {
        prompt: prompt.into(),
        agent: Some("claude".into()),
        agent_program: Some(agent.map(str::to_owned).to_vec()),
        strategy: Some(Strategy::Direct),
        ..CreateObjective::default()
    }
}

/// Reads the journal up to the first line of a kind about something.
async fn until(events: &mut (impl StreamExt<Item = Event> + Unpin), kind: &str, of: Option<&str>) -> Event {
    let found = async {
        loop {
            let event = events.next().await.unwrap();
            let about = |it: &Event| it.objective_id.map(|it| it.to_string());
            if event.kind == kind && of.is_none_or(|of| about(&event).as_deref() == Some(of)) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{kind} did not happen"))
}

#[tokio::test]
async fn promise_10_a_spent_quota_is_waited_out_by_all_and_shown() {
    let folder = tempfile::Builder::new().prefix("orcha-quota-").tempdir().unwrap();
    let sample = Sample::make(folder.path()).unwrap();
    let (program, script) = (Path::new(env!("CARGO_BIN_EXE_orchad")), folder.path().join("quota.json"));
    std::fs::write(&script, SCRIPT).unwrap();
    let mut daemon = Daemon::start_as(program, &sample).await.unwrap();
    let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
    let mut events =
        client.follow_events(StreamEvents { after: Some(0), ..StreamEvents::default() }).map(Result::unwrap);

    let spender = client.create_objective(&wish(program, &script, "Spend the quota.")).await.unwrap().objective.id;
    until(&mut events, "provider_parked", None).await;
    let provider = client.providers().await.unwrap().remove(0);
    assert_eq!((provider.name.as_str(), provider.status), ("claude", ProviderStatus::Parked));
    assert_eq!(provider.reason.as_deref(), Some("usage_exhausted"));
    assert_eq!((provider.windows[0].name.as_str(), provider.windows[0].used_percent), ("five_hour", Some(100.0)));
    let reset: Timestamp = provider.windows[0].resets_at.unwrap();
    assert!(provider.until.unwrap() >= reset);

    // Who comes later waits as well, and both say for what and until when.
    let other = client.create_objective(&wish(program, &script, "Do it.")).await.unwrap().objective.id;
    until(&mut events, "session_waiting", Some(&other.to_string())).await;
    let waiting = client.providers().await.unwrap().remove(0).waiting;
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    for it in &waiting {
        let why = client.why(it.session_id).await.unwrap();
        assert_eq!(why.reason, "its provider claude refuses (usage_exhausted)");
        assert!(why.way_out.contains(&it.until.unwrap().to_string()), "{why:?}");
    }

    let mut began = Vec::new();
    let mut ended = Vec::new();
    let rest = async {
        while ended.len() < 2 {
            let event = events.next().await.unwrap();
            match event.kind.as_str() {
                "session_placed" => began.push(event.created_at),
                "objective_done" => ended.extend(event.objective_id),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.unwrap();
    assert!(began.len() == 2 && began.iter().all(|at| *at >= reset), "{began:?} and the reset at {reset}");
    assert!(ended.contains(&spender) && ended.contains(&other));
    assert!(client.providers().await.unwrap()[0].waiting.is_empty());
    daemon.stop().await.unwrap();
}
