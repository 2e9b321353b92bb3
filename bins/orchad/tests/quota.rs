//! A spent quota, seen from outside: a real daemon, real processes of an agent that follows a script, a reset that is
//! seconds away. Nobody calls the provider before it, and everything finishes by itself: promise 10.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use futures::StreamExt;
use orcha_base::{Redacted, Timestamp};
use orcha_client::Client;
use orcha_scripted_model::isolation::{Place, isolated, skip, usable};
use orcha_scripted_model::{Said, programs};
use orcha_wire::{CreateObjective, Event, ProviderStatus, Strategy, StreamEvents};
use orchad::demo::daemon::{Daemon, end_runs};
use orchad::demo::real::Cast;
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

/// What the model of the real program says: a step of work, then that the quota is spent for some seconds.
const MODEL: &str = r#"{"replies": [
  {"when": {"opening": "Spend the quota"}, "text": "I begin.", "tools": [{"shell": "echo begun"}]},
  {"when": {"opening": "Spend the quota"}, "error": {"kind": "usage_limit", "resets_in": 8}}
], "otherwise": {"text": "It is done."}}"#;

/// How long nobody may ask: the reset is told in whole seconds.
const QUIET_MS: u64 = 7_000;

#[test]
fn promise_10_a_real_codex_is_not_asked_between_a_spent_quota_and_its_reset() {
    let test = "promise_10_a_real_codex_is_not_asked_between_a_spent_quota_and_its_reset";
    if let Err(reason) = usable(programs::named("codex").unwrap()) {
        return skip(test, &reason).unwrap();
    }
    match isolated(test).unwrap() {
        Place::Here => tokio::runtime::Runtime::new().unwrap().block_on(spend_for_real()),
        Place::There(status) => assert!(status.success(), "{status}; see above"),
        Place::Nowhere(reason) => skip(test, reason).unwrap(),
    }
}

async fn spend_for_real() {
    let folder = tempfile::Builder::new().prefix("orcha-quota-").tempdir().unwrap();
    let mut sample = Sample::make(folder.path()).unwrap();
    let cast = Cast::of(&mut sample, &["codex"], MODEL, &[]).unwrap();
    let mut daemon = Daemon::start_as(Path::new(env!("CARGO_BIN_EXE_orchad")), &sample).await.unwrap();
    let client = Client::new(&daemon.url, Redacted::new(Daemon::token(&sample).unwrap())).unwrap();
    let mut events =
        client.follow_events(StreamEvents { after: Some(0), ..StreamEvents::default() }).map(Result::unwrap);
    let wish = |prompt: &str| CreateObjective {
        prompt: prompt.into(),
        agent: Some("codex".into()),
        strategy: Some(Strategy::Direct),
        ..CreateObjective::default()
    };
    let spender = client.create_objective(&wish("Spend the quota.")).await.unwrap().objective.id;
    until(&mut events, "provider_parked", None).await;
    let other = client.create_objective(&wish("Do it.")).await.unwrap().objective.id;
    for id in [spender, other] {
        let mut events =
            client.follow_events(StreamEvents { after: Some(0), objective_id: Some(id.into()) }).map(Result::unwrap);
        until(&mut events, "objective_done", None).await;
    }
    let asked = cast.model.requests();
    let at = asked.iter().position(|it| matches!(it.said, Said::Error { .. })).unwrap();
    assert!(at > 0, "the quota was spent before the turn had begun: {asked:#?}");
    let after: Vec<u64> = asked[at + 1..].iter().map(|it| it.at_ms - asked[at].at_ms).collect();
    eprintln!("the model was asked {after:?} ms after it had said that the quota is spent");
    assert!(after.len() >= 2 && after.iter().all(|it| *it >= QUIET_MS), "{after:?}");
    daemon.stop().await.unwrap();
    end_runs(&sample).await.unwrap();
}
