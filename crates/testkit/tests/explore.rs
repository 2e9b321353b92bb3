//! Every reachable state of one session with its workspace, pull request and outbox, under crash, duplicate and
//! reorder; and random walks over several sessions.
//!
//! A failure prints the shortest way to it. `ORCHA_SEED` repeats one random walk.

use orcha_base::SessionId;
use orcha_model::Role;
use orcha_model::session::State;
use orcha_plan::World;
use orcha_testkit::explore::{Budget, Explored, explore, one_session, walk};
use orcha_testkit::make;

/// Explores everything that a budget of troubles allows.
fn all_of(what: &str, budget: Budget) {
    const MOST: usize = 60_000;
    let seen = up_to(MOST, what, budget);
    assert!(seen.complete, "{what}: there are more than {MOST} states; explore fewer troubles at once");
}

/// Explores the nearest states that a budget allows, up to a number of them.
fn up_to(most: usize, what: &str, budget: Budget) -> Explored {
    visit(one_session(), most, what, budget)
}

fn visit(world: World, most: usize, what: &str, budget: Budget) -> Explored {
    let started = std::time::Instant::now();
    match explore(world, budget, most) {
        Ok(seen) => {
            let Explored { states, steps, depth, complete } = seen;
            let all = if complete { "all of them" } else { "THE NEAREST ONLY" };
            println!("{what}: {states} states ({all}), {steps} steps, {depth} deep, in {:?}", started.elapsed());
            seen
        }
        Err(broken) => panic!("{what}: {broken}"),
    }
}

fn none() -> Budget {
    Budget::default()
}

#[test]
fn a_session_starts_runs_and_ends_whatever_is_lost_or_late() {
    let troubles = Budget { crashes: 1, delays: 1, failures: 1, mischief: 1, reports: 1, cancels: 1, ..none() };
    all_of("late", troubles);
}

#[test]
fn a_session_starts_runs_and_ends_whatever_is_doubled() {
    all_of("doubled", Budget { crashes: 2, echoes: 1, mischief: 1, cancels: 1, ..none() });
}

#[test]
fn time_and_faults_wear_a_session_out_but_never_lose_it() {
    all_of("time", Budget { mischief: 2, ticks: 1, ..none() });
}

#[test]
fn a_paused_session_goes_on_where_it_was() {
    all_of("pauses", Budget { crashes: 1, delays: 1, pauses: 1, full: 1, ..none() });
}

#[test]
fn words_reach_the_agent_once() {
    all_of("words", Budget { crashes: 1, steers: 1, interrupts: 1, mischief: 1, ..none() });
    all_of("doubled words", Budget { echoes: 1, steers: 1, interrupts: 1, ..none() });
    all_of("words and pauses", Budget { steers: 1, pauses: 1, mischief: 1, ..none() });
}

#[test]
fn a_person_at_the_keyboard_and_a_still_screen_lose_nothing() {
    all_of("screens", Budget { crashes: 1, screens: 2, reports: 1, cancels: 1, ..none() });
    all_of("screens and words", Budget { screens: 2, steers: 1, interrupts: 1, ..none() });
    all_of("doubled screens", Budget { echoes: 1, screens: 2, mischief: 1, ..none() });
}

#[test]
fn answers_reach_the_agent_that_asked() {
    all_of("questions", Budget { crashes: 1, asks: 1, mischief: 1, ..none() });
    all_of("doubled answers", Budget { echoes: 1, asks: 1, cancels: 1, ..none() });
}

#[test]
fn work_becomes_one_pull_request_and_its_folder_goes_last() {
    all_of("publish", Budget { crashes: 1, delays: 1, failures: 1, publishes: 2, ..none() });
    all_of("reclaim", Budget { crashes: 1, publishes: 1, updates: 1, ticks: 1, ..none() });
}

/// Two workers, of which the second goes on with the work of the first, and nobody who steers.
fn pair() -> World {
    let mut world = one_session();
    let mut second = make::session(2, Role::Implementer);
    second.depends_on = vec![SessionId::fixed(1)];
    second.state = State::Queued { released: false };
    world.sessions.insert(second.id, second);
    world
}

#[test]
fn a_successor_goes_on_from_what_was_kept_whatever_is_lost_late_or_doubled() {
    for (what, budget) in [
        ("successor, lost", Budget { crashes: 1, ..none() }),
        ("successor, late", Budget { delays: 1, ..none() }),
        ("successor, doubled", Budget { echoes: 1, ..none() }),
    ] {
        let seen = visit(pair(), 60_000, what, budget);
        assert!(seen.complete, "{what}: explore fewer troubles at once");
    }
}

#[test]
fn a_push_to_a_closed_pull_request_waits_for_the_user_whatever_is_lost_or_doubled() {
    all_of("closed, lost", Budget { crashes: 1, publishes: 1, updates: 1, closes: 1, ..none() });
    all_of("closed, late", Budget { delays: 1, publishes: 1, updates: 1, closes: 1, ..none() });
    all_of("closed twice, failing", Budget { failures: 1, publishes: 1, updates: 1, closes: 2, ..none() });
    all_of("closed, doubled", Budget { echoes: 1, publishes: 1, updates: 1, closes: 1, ..none() });
}

/// Far more at once than a test run has time for: minutes each, by
/// `cargo test --release -p orcha-testkit --test explore -- --ignored --nocapture`.
mod far_more_at_once {
    use super::*;

    const MOST: usize = 700_000;
    const ALL: Budget = Budget {
        crashes: 1,
        echoes: 1,
        delays: 1,
        failures: 1,
        mischief: 1,
        reports: 1,
        asks: 0,
        screens: 0,
        ticks: 1,
        full: 0,
        cancels: 1,
        pauses: 0,
        steers: 0,
        interrupts: 0,
        publishes: 0,
        updates: 0,
        closes: 0,
    };

    #[test]
    #[ignore = "takes minutes"]
    fn life_and_death() {
        up_to(MOST, "life and death", ALL);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn pauses() {
        up_to(MOST, "pauses", Budget { pauses: 1, full: 1, failures: 0, reports: 0, echoes: 0, ..ALL });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn words() {
        let words = Budget { crashes: 1, mischief: 1, ticks: 1, steers: 1, interrupts: 1, pauses: 1, ..none() };
        up_to(MOST, "words", words);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn questions() {
        up_to(MOST, "questions", Budget { crashes: 1, echoes: 1, mischief: 1, asks: 1, pauses: 1, ..none() });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn pull_requests() {
        let work = Budget { crashes: 1, delays: 1, failures: 1, publishes: 2, updates: 1, ticks: 1, ..none() };
        up_to(MOST, "pull requests", work);
    }
}

/// A manager with two workers, of which the second goes on with the work of the first.
fn team() -> World {
    let mut world = one_session();
    let mut manager = make::session(9, Role::Manager);
    manager.state = State::Queued { released: true };
    world.objective.managers.escalated = false;
    world.objective.managers.made = 1;
    let mut first = make::session(1, Role::Implementer);
    first.parent = Some(manager.id);
    let mut second = make::session(2, Role::Implementer);
    second.parent = Some(manager.id);
    second.depends_on = vec![SessionId::fixed(1)];
    second.state = State::Queued { released: false };
    for it in [manager, first, second] {
        world.sessions.insert(it.id, it);
    }
    world
}

#[test]
fn random_walks_over_a_team_come_to_an_end() {
    let troubles = Budget {
        crashes: 4,
        echoes: 4,
        delays: 3,
        failures: 1,
        mischief: 4,
        reports: 2,
        asks: 2,
        screens: 2,
        ticks: 6,
        full: 2,
        cancels: 1,
        pauses: 2,
        steers: 2,
        interrupts: 2,
        publishes: 2,
        updates: 1,
        closes: 1,
    };
    let one = std::env::var("ORCHA_SEED").ok().and_then(|it| it.parse::<u64>().ok());
    let seeds = one.map_or(0..WALKS, |seed| seed..seed + 1);
    println!("random walks with the seeds {seeds:?}");
    for seed in seeds {
        if let Err(broken) = walk(team(), troubles, seed, 150) {
            panic!("ORCHA_SEED={seed}: {broken}");
        }
    }
}

const WALKS: u64 = 150;
