//! The daemon is killed at any instant while the demo's objective runs, again and again, and converges each time:
//! promises 3 and 14.
//!
//! Real processes, real git, a real database; only the daemon is killed, never an agent. `ORCHA_CRASH_KILLS` says how
//! often, `ORCHA_CRASH_SEED` from which seed the instants are drawn, `ORCHA_CRASH_REPORT` in which file the summary
//! shall stand. What is measured is printed; only a release build fails by the clock, and with much slack.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod leftovers;
mod restarts;
mod round;
mod verdict;
mod witness;

use orchad::demo::daemon::last_words;
use rand::SeedableRng;
use rand::rngs::StdRng;
use restarts::Restarts;
use round::Round;
use verdict::Checked;

/// How often the daemon is killed when nothing else is said.
const KILLS: u64 = 100;
/// How many kills hit one objective at the most: then it is let go on, so that it ends.
const PER_ROUND: u64 = 12;
/// How long half of all restarts may take in a release build, in milliseconds: three times what we aim at.
const SLOW: f64 = 900.0;
/// How many lines of the daemon's log are shown after a failure.
const SHOWN: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn promises_3_and_14_killed_at_any_instant_the_daemon_converges() {
    let kills = number("ORCHA_CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("ORCHA_CRASH_SEED").unwrap_or_else(rand::random);
    eprintln!("crash: {kills} kills, seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut done, mut rounds) = (0, 0);
    let mut restarts = Restarts::default();
    let mut checked = Checked::default();
    while done < kills {
        rounds += 1;
        let mut round = Round::prepare().unwrap();
        let outcome = round.play(&mut chance, (kills - done).min(PER_ROUND), &mut restarts).await;
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
        "seed": seed, "kills": done, "rounds": rounds, "restart_ms": restarts.report(), "checked": checked.report(),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    });
    eprintln!("crash: {summary}");
    if let Some(file) = std::env::var_os("ORCHA_CRASH_REPORT") {
        std::fs::write(file, summary.to_string()).unwrap();
    }
    assert!(cfg!(debug_assertions) || restarts.percentile(50) <= SLOW, "restarts are slow: {restarts}");
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|fault| panic!("{name}={text}: {fault}")))
}
