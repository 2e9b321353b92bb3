//! The program as the daemon runs it: the `claude` dialect on a real host, with a real keeper and run directory.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod stage;

use orcha_agent::claude::Claude;
use orcha_agent::{
    Batch, Cursor, Ended, Entry, Event, HostedRunner, Launch, Limit, Mcp, Permissions, Runner, Said, Say, Source,
    TurnEnd,
};
use orcha_base::Redacted;
use orcha_exec::{ExitStatus, Grace, LocalHost, LocalSettings, RunLabel};
use serde_json::{Value, json};
use stage::mcp_server;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const KEY: &str = "11111111-1111-4111-8111-111111111111";

/// A target with one working directory.
struct Target {
    folder: tempfile::TempDir,
}

impl Target {
    fn new(turns: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let script = json!({"plays": [{"name": "only", "turns": turns}]});
        std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A runner as a daemon makes it that has just started.
    fn runner(&self) -> HostedRunner {
        let program = Path::new(env!("CARGO_BIN_EXE_orcha-scripted-agent"));
        let keeper = program.parent().unwrap().join("examples").join("scripted-agent-keeper");
        let keeper = vec![keeper.to_str().unwrap().to_owned()];
        let settings = LocalSettings { cgroup_parent: None, ..LocalSettings::detect(self.path("root"), keeper) };
        let host = LocalHost::new(settings).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let claude = Claude {
            program: vec![text(program), "--script".to_owned(), text(&self.path("script.json"))],
            base_env: vec![
                ("PATH".to_owned(), std::env::var("PATH").unwrap()),
                ("HOME".to_owned(), text(self.folder.path())),
                ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ],
        };
        HostedRunner::new(Arc::new(host), Arc::new(claude))
    }

    fn launch(&self, label: &str) -> Launch {
        Launch {
            label: RunLabel::new(label).unwrap(),
            dir: self.path("work"),
            program: None,
            model: Some("scripted".to_owned()),
            effort: None,
            resume: None,
            begun: None,
            conversation: ID.to_owned(),
            mcp: None,
            permissions: Permissions::Everything,
            sandbox: Default::default(),
            rules: "Be brief.".to_owned(),
            opening: Some(Say::Prompt { key: KEY.to_owned(), text: "begin".to_owned() }),
            env: Vec::new(),
            local_tools: Vec::new(),
            servers: Vec::new(),
            output: None,
        }
    }
}

/// Reads on until it is enough; every batch is read by a runner that has just been made, as after a restart.
async fn read_until(
    target: &Target,
    label: &RunLabel,
    cursor: &mut Cursor,
    enough: impl Fn(&Batch) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let runner = target.runner();
        let batch = tokio::time::timeout(Duration::from_secs(20), runner.read(label, cursor)).await.unwrap().unwrap();
        runner.stored(label, &batch.cursor).await.unwrap();
        *cursor = batch.cursor.clone();
        events.extend(batch.entries.iter().map(|it| it.event.clone()));
        if enough(&batch) {
            return events;
        }
        assert_eq!(batch.ended, None, "it ended too early: {events:?}");
    }
}

fn turn_ended(batch: &Batch) -> bool {
    batch.entries.iter().any(|it| matches!(it.event, Event::TurnEnded(_)))
}

fn ended(batch: &Batch) -> bool {
    batch.ended.is_some()
}

#[tokio::test]
async fn a_session_is_launched_once_works_is_steered_and_ends() {
    let server = mcp_server("sesame");
    let target = Target::new(json!([
        {"on": "opening", "steps": [
            {"write": {"path": "a.txt", "text": "x"}},
            {"call": {"tool": "spawn_session", "args": {"title": "t"}, "pick": "uuid", "save": "child"}},
            {"say": "{{rules}} {{child}}"},
        ]},
        {"on": "any", "steps": [{"say": "heard {{prompt}}"}]},
    ]));
    let mcp = Mcp {
        name: "hub".to_owned(),
        url: server.url.clone(),
        token: Redacted::new("sesame".to_owned()),
        tools: vec!["spawn_session".to_owned()],
    };
    let launch = Launch { mcp: Some(mcp), ..target.launch("s-1") };
    let label = &launch.label;
    assert!(target.runner().launch(&launch).await.unwrap().fresh);
    assert!(!target.runner().launch(&launch).await.unwrap().fresh);

    let mut cursor = Cursor::default();
    let events = read_until(&target, label, &mut cursor, turn_ended).await;
    let ready =
        Event::Ready { conversation: ID.to_owned(), model: Some("scripted".to_owned()), tools_connected: Some(true) };
    assert!(events.contains(&ready), "{events:?}");
    assert!(events.contains(&Event::Accepted { key: KEY.to_owned() }), "{events:?}");
    assert!(events.contains(&Event::Text { text: format!("Be brief. {ID}") }), "{events:?}");
    assert_eq!(events.last(), Some(&Event::TurnEnded(TurnEnd::Completed)));
    assert_eq!(server.calls(), [("spawn_session".to_owned(), json!({"title": "t"}))]);
    assert!(target.path("work/a.txt").exists());

    let say = Say::Prompt { key: ID.to_owned(), text: "more".to_owned() };
    assert_eq!(target.runner().say(label, &say).await.unwrap(), Said::Now);
    assert_eq!(target.runner().say(label, &say).await.unwrap(), Said::Before);
    let events = read_until(&target, label, &mut cursor, turn_ended).await;
    assert!(events.contains(&Event::Text { text: "heard more".to_owned() }), "{events:?}");

    target.runner().stop(label, Grace::PATIENT).await.unwrap();
    let events = read_until(&target, label, &mut cursor, ended).await;
    assert_eq!(events, [], "its input was closed, and it had nothing more to say");
    assert!(!target.runner().alive(label).await.unwrap());
    let again = target.runner().read(label, &cursor).await.unwrap();
    assert_eq!(again.ended, Some(Ended::Exited(ExitStatus::Code(0))));
    target.runner().forget(label).await.unwrap();
}

#[tokio::test]
async fn a_crash_is_seen_with_all_that_was_said_before_and_a_resume_goes_on() {
    let target = Target::new(json!([{"on": "opening", "steps": [
        {"say": "before"}, {"stderr": "oh no"}, {"half_line": "cut o"}, {"crash": "kill"}, {"say": "behind"},
    ]}]));
    let launch = target.launch("s-1");
    target.runner().launch(&launch).await.unwrap();
    let mut cursor = Cursor::default();
    let mut entries: Vec<Entry> = Vec::new();
    let end = loop {
        let batch = target.runner().read(&launch.label, &cursor).await.unwrap();
        cursor = batch.cursor;
        entries.extend(batch.entries);
        if let Some(end) = batch.ended {
            break end;
        }
    };
    assert_eq!(end, Ended::Exited(ExitStatus::Signal(9)));
    let raw = |source, text: &str| Entry { source, event: Event::Raw { text: text.to_owned(), truncated: false } };
    assert!(entries.contains(&raw(Source::Agent, "cut o")) && entries.contains(&raw(Source::Stderr, "oh no")));
    assert!(!entries.iter().any(|it| matches!(it.event, Event::TurnEnded(_))), "a crash is no end of a turn");

    let opening = Some(Say::Prompt { key: ID.to_owned(), text: "go on".to_owned() });
    let resumed = Launch { resume: Some(ID.to_owned()), opening, ..target.launch("s-2") };
    target.runner().launch(&resumed).await.unwrap();
    let events = read_until(&target, &resumed.label, &mut Cursor::default(), turn_ended).await;
    assert!(events.contains(&Event::Text { text: "behind".to_owned() }), "{events:?}");
    target.runner().stop(&resumed.label, Grace::QUICK).await.unwrap();
}

#[tokio::test]
async fn a_permission_is_asked_and_answered_and_an_interrupt_ends_a_command() {
    let target = Target::new(json!([
        {"on": "opening", "steps": [{"run": {"argv": ["touch", "b"]}}, {"say": "touched"}]},
        {"on": "any", "steps": [{"run": {"argv": ["sleep", "600"]}}]},
    ]));
    let launch = Launch { permissions: Permissions::Edits, ..target.launch("s-1") };
    let label = &launch.label;
    target.runner().launch(&launch).await.unwrap();
    let mut cursor = Cursor::default();
    for (turn, key) in [(0, ID), (1, KEY)] {
        let asks = |batch: &Batch| batch.entries.iter().any(|it| matches!(it.event, Event::PermissionRequest { .. }));
        let events = read_until(&target, label, &mut cursor, asks).await;
        let asked = events.iter().find_map(|it| match it {
            Event::PermissionRequest { request, input, .. } => Some((request.clone(), input.clone())),
            _ => None,
        });
        let (request, input) = asked.unwrap();
        let allow = Say::Permission { request, input, allow: true, reason: String::new() };
        target.runner().say(label, &allow).await.unwrap();
        if turn == 0 {
            let events = read_until(&target, label, &mut cursor, turn_ended).await;
            assert!(events.contains(&Event::Text { text: "touched".to_owned() }), "{events:?}");
            let prompt = Say::Prompt { key: key.to_owned(), text: "sleep".to_owned() };
            target.runner().say(label, &prompt).await.unwrap();
        } else {
            target.runner().say(label, &Say::Interrupt { key: "i1".to_owned() }).await.unwrap();
            let events = read_until(&target, label, &mut cursor, turn_ended).await;
            assert!(events.contains(&Event::Accepted { key: "i1".to_owned() }), "{events:?}");
            assert_eq!(events.last(), Some(&Event::TurnEnded(TurnEnd::Interrupted)));
        }
    }
    target.runner().stop(label, Grace::QUICK).await.unwrap();
}

#[tokio::test]
async fn every_cause_is_understood_as_it_was_meant() {
    let exhausted = json!({"usage_exhausted": {"window": "five_hour", "resets_in_s": 3600}});
    let cases = [
        (json!("completed"), TurnEnd::Completed),
        (json!("refused"), TurnEnd::Refused),
        (json!("rate_limited"), TurnEnd::RateLimited { until: None }),
        (json!("overloaded"), TurnEnd::Overloaded),
        (json!("auth"), TurnEnd::Auth),
        (json!("billing"), TurnEnd::Billing),
        (json!("model_missing"), TurnEnd::ModelMissing),
        (json!("context_full"), TurnEnd::ContextFull),
        (json!("network"), TurnEnd::Network),
        (json!({"failed": "no luck"}), TurnEnd::Failed { detail: "no luck".to_owned() }),
        (exhausted, TurnEnd::UsageExhausted { until: None }),
    ];
    // One conversation, one end for each input.
    let turns: Vec<Value> =
        cases.iter().map(|(end, _)| json!({"on": "any", "times": 1, "steps": [{"end": end}]})).collect();
    let target = Target::new(json!(turns));
    let launch = target.launch("s-1");
    target.runner().launch(&launch).await.unwrap();
    let mut cursor = Cursor::default();
    for (n, (_, expected)) in cases.iter().enumerate() {
        if n > 0 {
            let key = format!("33333333-3333-4333-8333-3333333333{n:02}");
            let prompt = Say::Prompt { key, text: "again".to_owned() };
            target.runner().say(&launch.label, &prompt).await.unwrap();
        }
        let events = read_until(&target, &launch.label, &mut cursor, turn_ended).await;
        match (events.last(), expected) {
            (Some(Event::TurnEnded(TurnEnd::UsageExhausted { until })), TurnEnd::UsageExhausted { .. }) => {
                let limit = |it: &&Event| matches!(it, Event::Limit(Limit { rejected: true, resets_at, .. }) if resets_at == until);
                assert!(until.is_some() && events.iter().any(|it| limit(&it)), "{events:?}");
            }
            (Some(Event::TurnEnded(end)), expected) => assert_eq!(end, expected),
            (other, _) => panic!("{other:?}"),
        }
    }
    target.runner().stop(&launch.label, Grace::QUICK).await.unwrap();
}

#[tokio::test]
async fn a_flood_and_broken_lines_come_through_whole_and_in_order() {
    let target = Target::new(json!([{"on": "opening", "steps": [
        {"garbage": 3}, "invalid_utf8", {"huge_line": {"bytes": 2_000_000, "proper": true}}, {"flood": {"lines": 2000, "bytes": 500}},
    ]}]));
    let launch = target.launch("s-1");
    target.runner().launch(&launch).await.unwrap();
    let events = read_until(&target, &launch.label, &mut Cursor::default(), turn_ended).await;
    let raw = events.iter().filter(|it| matches!(it, Event::Raw { .. })).count();
    let texts: Vec<&String> = events
        .iter()
        .filter_map(|it| match it {
            Event::Text { text } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!((raw, texts.len(), texts[0].len()), (4, 2001, 2_000_000));
    assert!(texts[1..].iter().enumerate().all(|(n, text)| text.starts_with(&format!("{n} y"))));
    target.runner().stop(&launch.label, Grace::QUICK).await.unwrap();
}
