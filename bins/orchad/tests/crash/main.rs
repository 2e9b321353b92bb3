//! The daemon is killed at any instant while the objective of a demo runs, again and again, and converges each time:
//! promises 3 and 14.
//!
//! Real processes, real git, a real database; only the daemon is killed, never an agent. The agents follow a script, or
//! are real programs whose model does. `ORCHA_CRASH_KILLS` says how often, `ORCHA_CRASH_STORY` in which of the scripted
//! demos (both if it is not said), `ORCHA_CRASH_SEED` from which seed the instants are drawn, `ORCHA_CRASH_REPORT` in which file the summary
//! shall stand. What is measured is printed; only a release build fails by the clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod leftovers;
mod restarts;
mod round;
mod story;
mod verdict;
mod witness;

use orcha_scripted_model::isolation::{Place, isolated, skip, usable};
use orcha_scripted_model::programs;
use orchad::demo::daemon::last_words;
use rand::SeedableRng;
use rand::rngs::StdRng;
use restarts::Restarts;
use round::Round;
use story::Story;
use verdict::Checked;

/// How often the daemon is killed when nothing else is said.
const KILLS: u64 = 100;
/// The same with real agents.
const REAL_KILLS: u64 = 20;
/// How long half of all restarts may take in a release build, in milliseconds.
const SLOW: f64 = 300.0;
/// How many lines of the daemon's log are shown after a failure.
const SHOWN: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn promises_3_and_14_killed_at_any_instant_the_daemon_converges() {
    scripted(Story::Manager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_3_and_14_killed_at_any_instant_a_workflow_does_no_step_twice() {
    scripted(Story::Pipeline).await;
}

async fn scripted(story: Story) {
    let only = std::env::var("ORCHA_CRASH_STORY").ok();
    let only = only.map(|it| Story::named(&it).unwrap_or_else(|| panic!("ORCHA_CRASH_STORY={it}: there is none")));
    if only.is_none_or(|it| it == story) {
        let restarts = kill_and_check(story, number("ORCHA_CRASH_KILLS").unwrap_or(KILLS)).await;
        assert!(cfg!(debug_assertions) || restarts.percentile(50) <= SLOW, "restarts are slow: {restarts}");
    }
}

/// The same with Codex as the manager, and Gemini CLI and opencode as workers.
#[test]
#[ignore = "takes minutes; run by `cargo xtask live demo --kills 20`"]
fn killed_at_any_instant_the_daemon_converges_with_real_agents() {
    let test = "killed_at_any_instant_the_daemon_converges_with_real_agents";
    let missing = ["codex", "gemini", "opencode"].iter().find_map(|name| usable(programs::named(name).unwrap()).err());
    if let Some(reason) = missing {
        return skip(test, &reason).unwrap();
    }
    match isolated(test).unwrap() {
        Place::Here => {
            let kills = number("ORCHA_CRASH_REAL_KILLS").unwrap_or(REAL_KILLS);
            tokio::runtime::Runtime::new().unwrap().block_on(kill_and_check(Story::Real, kills));
        }
        Place::There(status) => assert!(status.success(), "{status}; see above"),
        Place::Nowhere(reason) => skip(test, reason).unwrap(),
    }
}

/// Plays rounds until the daemon was killed so often, and checks each.
async fn kill_and_check(story: Story, kills: u64) -> Restarts {
    let seed = number("ORCHA_CRASH_SEED").unwrap_or_else(rand::random);
    eprintln!("crash: {story:?}, {kills} kills, seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut done, mut rounds) = (0, 0);
    let mut restarts = Restarts::default();
    let mut checked = Checked::default();
    while done < kills {
        rounds += 1;
        let mut round = Round::prepare(story).unwrap();
        let outcome = round.play(&mut chance, (kills - done).min(story.kills_of_one()), &mut restarts).await;
        let here = match outcome {
            Ok(here) => here,
            Err(fault) => {
                let (log, folder, left) = round.keep().await;
                panic!(
                    "seed {seed}, round {rounds}, after {} kills of this round and {done} before: {fault:#}\n\
                     ended by force: {left:#?}\neverything is kept in {}\nthe last lines of {}:\n{}",
                    round.kills,
                    folder.display(),
                    log.display(),
                    last_words(&log, SHOWN)
                )
            }
        };
        done += round.kills;
        checked += here;
        eprintln!("crash: round {rounds}: {} kills, {done} of {kills}; {here}; restart {restarts}", round.kills);
    }
    let summary = serde_json::json!({
        "story": format!("{story:?}").to_lowercase(), "seed": seed, "kills": done, "rounds": rounds, "restart_ms": restarts.report(), "checked": checked.report(),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    });
    eprintln!("crash: {summary}");
    if let Some(file) = std::env::var_os("ORCHA_CRASH_REPORT") {
        std::fs::write(file, summary.to_string()).unwrap();
    }
    restarts
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|fault| panic!("{name}={text}: {fault}")))
}
