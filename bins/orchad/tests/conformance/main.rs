//! What every agent must be able to do, whichever program it is: one list of cases, run over the agent that follows a
//! script, and over real programs against the scripted model.
//!
//! Each real program stands in a namespace of its own: it reaches nothing but its loopback, and all its processes end
//! with it. Nothing is installed here (`cargo xtask agents` does that); a program that is not there is skipped, aloud.
//! What a program cannot do stands in [`exceptions::EXCEPTIONS`], with the reason. `cargo xtask live agents` runs all of
//! it; a plain test run leaves out the kinds that are marked.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise, also in its helpers")]

mod cases;
mod exceptions;
mod stage;

use cases::Case;
use exceptions::{Exception, exception};
use futures::StreamExt;
use orcha_scripted_model::isolation::{self, Place};
use orcha_scripted_model::programs;
use stage::Player;
use std::time::{Duration, Instant};

/// How many cases are played at once.
const AT_ONCE: usize = 2;

/// How long a plain test run begins further cases of one kind: the rest is left to `cargo xtask live agents`, aloud.
const BUDGET: Duration = Duration::from_secs(100);

macro_rules! conformance {
    ($($(#[$mark:meta])* $test:ident: $kind:literal of $program:literal,)*) => { $(
        $(#[$mark])*
        #[test]
        fn $test() {
            real($kind, $program, stringify!($test));
        }
    )* };
}

conformance! {
    codex: "codex" of "codex",
    gemini: "gemini" of "gemini",
    opencode: "opencode" of "opencode",
    #[ignore = "run by `cargo xtask live agents`"]
    codex_exec: "codex-exec" of "codex",
    #[ignore = "run by `cargo xtask live agents`"]
    gemini_headless: "gemini-headless" of "gemini",
    #[ignore = "run by `cargo xtask live agents`"]
    opencode_run: "opencode-run" of "opencode",
    #[ignore = "run by `cargo xtask live agents`"]
    qwen: "qwen" of "qwen",
    #[ignore = "run by `cargo xtask live agents`"]
    qwen_headless: "qwen-headless" of "qwen",
    #[ignore = "run by `cargo xtask live agents`"]
    codex_acp: "codex-acp" of "codex-acp",
    #[ignore = "run by `cargo xtask live agents`"]
    claude: "claude" of "claude",
    #[ignore = "run by `cargo xtask live agents`"]
    claude_agent_acp: "claude-agent-acp" of "claude-agent-acp",
}

#[test]
fn scripted() {
    run(&Player::Scripted);
}

#[test]
fn every_exception_is_of_a_kind_and_a_case_that_exist() {
    let agents = orcha_agent::Agents::new(Vec::new()).unwrap();
    for Exception { kind, why, .. } in exceptions::EXCEPTIONS {
        assert!(agents.dialect(kind).is_some(), "{kind}");
        assert!(!why.is_empty(), "{kind} has an exception without a reason");
    }
}

fn real(kind: &'static str, program: &str, test: &str) {
    let program = programs::named(program).unwrap();
    let name = format!("conformance {test}");
    match isolation::usable(program) {
        Err(reason) => isolation::skip(&name, &reason).unwrap(),
        Ok(command) => match isolation::isolated(test).unwrap() {
            Place::Here => run(&Player::Real { kind, program, command }),
            Place::There(status) => assert!(status.success(), "{status}; see above"),
            Place::Nowhere(reason) => isolation::skip(&name, reason).unwrap(),
        },
    }
}

/// Runs every case, some at a time, says what came of each, and fails when one did.
fn run(player: &Player) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let only = std::env::var("ORCHA_CONFORMANCE_CASE").ok();
    let cases: Vec<Case> =
        Case::ALL.into_iter().filter(|it| only.as_ref().is_none_or(|only| it.name() == only)).collect();
    let names = || Case::ALL.map(Case::name).join(", ");
    assert!(!cases.is_empty(), "there is no case `{}`; there are: {}", only.unwrap_or_default(), names());
    let (all, first) = (std::env::var_os("ORCHA_CONFORMANCE_ALL").is_some(), Instant::now());
    let played = futures::stream::iter(cases).map(|case| async move {
        let (name, began) = (player.name(), Instant::now());
        if let Some(why) = exception(name, case) {
            eprintln!("{name}: {}: CANNOT: {why}", case.name());
            return true;
        }
        if !all && first.elapsed() > BUDGET {
            let reason = format!("{} s are spent; `cargo xtask live agents` runs it", BUDGET.as_secs());
            isolation::skip(&format!("conformance {name}: {}", case.name()), &reason).unwrap();
            return true;
        }
        let outcome = cases::play(player, case, all).await;
        let took = began.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => eprintln!("{name}: {}: {took:.1} s", case.name()),
            Err(fault) => {
                eprintln!("{name}: {}: FAILED after {took:.1} s: {}: {fault}", case.name(), fault.root_cause())
            }
        }
        outcome.is_ok()
    });
    let outcomes: Vec<bool> = runtime.block_on(played.buffer_unordered(AT_ONCE).collect());
    let failed = outcomes.iter().filter(|good| !**good).count();
    assert_eq!(failed, 0, "cases of {} failed; see above", player.name());
}
