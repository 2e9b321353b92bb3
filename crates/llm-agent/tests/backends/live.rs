//! The agent against a model server that really exists: what any must do, and what some models are too small for.
//!
//! Run by `cargo xtask live model`, which says by variables where the server is; a plain test run leaves it out. Nothing
//! that a model says is judged, only what comes of it.

use crate::stage::{Stage, results, text, usage};
use crate::verdict;
use orcha_agent::llm::{Line, Providers};
use orcha_agent::{Event, TurnEnd};
use orcha_llm_agent::catalog;
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use std::time::Instant;

/// How a case went: what was seen, or what was not.
type Seen = Result<String, String>;

/// The server that is named by variables: `ORCHA_LIVE_PROVIDER`, a table of settings as `orchad.toml` has it, and the
/// variable that the key is in.
fn providers() -> Providers {
    let words = std::env::var("ORCHA_LIVE_PROVIDER").expect("`cargo xtask live model` says which server is asked");
    let environment: Vec<(String, String)> = std::env::vars().collect();
    Providers::read(&environment, &format!("[live]\n{words}"), "").unwrap()
}

fn stage() -> Stage {
    let tools = r#"{"mcp": {"bearer": "sesame", "tools": [{"name": "hand_in", "result": "taken {{args}}"}]}}"#;
    let tools = ScriptedModel::start(Scenario::parse(tools).unwrap(), Options::default()).unwrap();
    Stage::of(tools, providers().get("live").unwrap())
}

fn seen(holds: bool, what: String) -> Seen {
    if holds { Ok(what) } else { Err(what) }
}

/// Counts the tokens that were read, from a cache or not, and those that were written.
fn used(events: &[Event]) -> (u64, u64) {
    let used = usage(events).last().copied().unwrap_or_default();
    (used.input + used.cache_read + used.cache_write, used.output)
}

async fn models() -> Seen {
    let providers = providers();
    let provider = providers.get("live").unwrap();
    let models = catalog::models(provider).await.map_err(|fault| fault.to_string())?;
    let names: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
    seen(names.contains(&provider.call.model.as_str()), format!("it has {}", names.join(", ")))
}

async fn streams() -> Seen {
    let stage = stage();
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "Say hello in ten words.").await;
    let (events, end) = agent.turn().await;
    let (read, written) = used(&events);
    let what = format!("{end:?}, {} bytes of text, {read} tokens in, {written} out", text(&events).len());
    seen(end == TurnEnd::Completed && read > 0 && written > 0, what)
}

async fn goes_on() -> Seen {
    let stage = stage();
    let mut agent = stage.start("r-1").await;
    let mut asked = Vec::new();
    for key in ["p-1", "p-2"] {
        agent.prompt(key, "Count to three.").await;
        let (events, end) = agent.turn().await;
        if end != TurnEnd::Completed {
            return Err(format!("{key} ended with {end:?}"));
        }
        asked.push(used(&events).0);
    }
    seen(asked[1] > asked[0], format!("{} tokens in, then {}", asked[0], asked[1]))
}

async fn is_interrupted() -> Seen {
    let stage = stage();
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "Write a story of five thousand words.").await;
    agent.until(|it| matches!(it, Event::Accepted { .. })).await;
    let cut = Instant::now();
    agent.say(&Line::Interrupt { key: "i-1".into() }).await;
    let (_, end) = agent.turn().await;
    let what = format!("{end:?} after {} ms", cut.elapsed().as_millis());
    agent.prompt("p-2", "Say yes.").await;
    let (_, next) = agent.turn().await;
    seen(end == TurnEnd::Interrupted && next == TurnEnd::Completed, format!("{what}, then {next:?}"))
}

async fn keeps_a_form() -> Seen {
    let mut stage = stage();
    stage.daemon_tools();
    stage.output(verdict());
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "Is the sky blue? Hand in whether it is, as `passed`.").await;
    let (events, end) = agent.turn().await;
    let taken = results(&events).iter().any(|(said, failed)| !failed && said.starts_with("taken"));
    seen(end == TurnEnd::Completed && taken, format!("{end:?}, handed in {:?}", results(&events)))
}

async fn calls_a_tool() -> Seen {
    let mut stage = stage();
    stage.settings.local_tools = vec!["write".into()];
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "Use the tool `write` to write the word yes into the file answer.txt.").await;
    let (_, end) = agent.turn().await;
    let there = stage.settings.dir.join("answer.txt").exists();
    seen(there, format!("{end:?}, the file {}", if there { "is there" } else { "is not there" }))
}

async fn knows_no_other_model() -> Seen {
    let mut stage = stage();
    stage.settings.call.model = "no-such-model".into();
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", "Say hello.").await;
    let (_, end) = agent.turn().await;
    seen(end == TurnEnd::ModelMissing, format!("{end:?}"))
}

async fn is_full_at_last() -> Seen {
    let stage = stage();
    let mut agent = stage.start("r-1").await;
    agent.prompt("p-1", &"many words ".repeat(200_000)).await;
    let (_, end) = agent.turn().await;
    seen(end == TurnEnd::ContextFull, format!("{end:?}"))
}

#[tokio::test]
#[ignore = "run by `cargo xtask live model`"]
async fn live() {
    let mut missed = Vec::new();
    let mut say = |name: &'static str, must: bool, seen: Seen| {
        let (mark, what) = match &seen {
            Ok(what) => ("ok  ", what),
            Err(what) if must => ("FAIL", what),
            Err(what) => ("no  ", what),
        };
        println!("{mark}  {name}: {what}");
        if must && seen.is_err() {
            missed.push(name);
        }
    };
    say("its models are listed", true, models().await);
    say("an answer streams and is counted", true, streams().await);
    say("a conversation goes on", true, goes_on().await);
    say("an interrupt cuts an answer off", true, is_interrupted().await);
    // What follows is up to the model, or to how strict its server is.
    say("a form is kept", false, keeps_a_form().await);
    say("a tool is called", false, calls_a_tool().await);
    say("a model that is not there is known by its error", false, knows_no_other_model().await);
    say("a conversation that is too long is known by its error", false, is_full_at_last().await);
    assert!(missed.is_empty(), "{missed:?}");
}
