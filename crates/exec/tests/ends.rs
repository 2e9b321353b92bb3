//! How runs end on this machine: with every descendant, and without hitting a stranger.

#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod world;

use orcha_exec::{ExitStatus, Host, RunError, RunState, Seen};
use std::process::Stdio;
use std::time::{Duration, Instant};
use world::*;

/// Leaves the group in every way that a program has, and waits.
const WANDERERS: &str = "
    setsid sleep 1000 &
    (setsid sh -c 'sleep 1000 & sleep 1001 & wait' &) &
    sh -c 'trap \"\" TERM HUP INT; setsid sh -c \"trap \\\"\\\" TERM; sleep 1002 & wait; sleep 1003\" & wait' &
    sleep 1004 &
    sleep 0.1
    echo spread";

fn programs_or_skip() -> bool {
    let there = std::path::Path::new("/usr/bin/setsid").exists();
    if !there {
        eprintln!("SKIPPED: there is no setsid on this machine");
    }
    there
}

#[tokio::test]
async fn a_gentle_end_is_by_closing_the_input() {
    for world in worlds() {
        let spec = world.script("a-1", "cat; echo bye; exit 4");
        world.host.start(&spec).await.unwrap();
        let stopped = soon(world.host.stop(&spec.label, grace(20_000, 20_000))).await.unwrap();
        assert_eq!((stopped.exit, stopped.strays), (Some(ExitStatus::Code(4)), 0));
        assert_eq!(text(&world.host, &spec.label).await, "bye\n");
        let again = world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
        assert_eq!(again, stopped, "twice is once");
    }
}

#[tokio::test]
async fn a_process_that_ignores_its_input_gets_term() {
    for world in worlds() {
        let spec = world.script("a-1", "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.02; done");
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "up").await;
        let stopped = soon(world.host.stop(&spec.label, grace(20, 20_000))).await.unwrap();
        assert_eq!(stopped.exit, Some(ExitStatus::Code(9)));
        assert_eq!(text(&world.host, &spec.label).await, "up\nterm\n");
    }
}

#[tokio::test]
async fn a_process_that_ignores_term_is_killed() {
    for world in worlds() {
        let spec = world.script("a-1", "trap '' TERM; echo up; while :; do sleep 0.02; done");
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "up").await;
        let stopped = soon(world.host.stop(&spec.label, grace(10, 50))).await.unwrap();
        assert_eq!(stopped.exit, Some(ExitStatus::Signal(9)));
        assert!(marked(&world.mark(&spec.label)).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stop_may_be_more_urgent() {
    let world = World::plain();
    let spec = world.script("a-1", "trap '' TERM; echo up; while :; do sleep 0.02; done");
    world.host.start(&spec).await.unwrap();
    output_with(&world.host, &spec.label, "up").await;
    let (host, label) = (world.host.clone(), spec.label.clone());
    let patient = tokio::spawn(async move { host.stop(&label, grace(600_000, 600_000)).await.unwrap() });
    let dir = world.dir(&spec.label);
    eventually("the first stop is asked for", || dir.join("stop").exists()).await;
    let urgent = soon(world.host.stop(&spec.label, grace(0, 0))).await.unwrap();
    assert_eq!(urgent.exit, Some(ExitStatus::Signal(9)));
    assert_eq!(soon(patient).await.unwrap(), urgent);
}

#[tokio::test]
async fn nothing_survives_a_stop() {
    if !programs_or_skip() {
        return;
    }
    for world in worlds() {
        let spec = world.script("a-1", &format!("{WANDERERS}; cat; sleep 1005"));
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "spread").await;
        let mark = world.mark(&spec.label);
        assert!(marked(&mark).len() >= 9, "{:?}", marked(&mark));
        let stopped = soon(world.host.stop(&spec.label, grace(0, 20))).await.unwrap();
        assert!(stopped.strays >= 4, "{stopped:?}");
        assert_eq!(marked(&mark), [0; 0]);
        let record = json(&world.dir(&spec.label).join("process"));
        if let Some(cgroup) = record["cgroup"].as_str() {
            assert!(!std::path::Path::new(cgroup).exists());
        }
    }
}

/// Tells how many live processes have this word in their command line.
fn running(word: &str) -> usize {
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|it| it == word.as_bytes())
    };
    pids().filter(|pid| alive(*pid)).filter(has).count()
}

#[tokio::test]
async fn a_cleared_environment_and_a_new_session_hide_nobody() {
    if !programs_or_skip() {
        return;
    }
    for (n, world) in worlds().into_iter().enumerate() {
        // A name that nobody else's sleep has.
        let word = format!("1000.{}{n}", std::process::id());
        let script = format!(
            "env -i setsid sleep {word} & (env -i setsid sh -c 'sleep {word} & exec sleep {word}' &) &
             (setsid env -i sh -c '(sleep {word} &) ; exit' &) & env -i sleep {word} &
             sleep 0.2; echo spread; cat; exec sleep {word}"
        );
        let spec = world.script("a-1", &script);
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "spread").await;
        eventually("all are there", || running(&word) == 5).await;
        soon(world.host.stop(&spec.label, grace(0, 20))).await.unwrap();
        assert_eq!(running(&word), 0);
    }
}

#[tokio::test]
async fn a_halted_process_can_still_end_in_good_order() {
    for world in worlds() {
        let spec =
            world.script("a-1", "trap 'echo term; exit 9' TERM; echo up; kill -STOP $$; while :; do sleep 0.02; done");
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "up").await;
        let stopped = soon(world.host.stop(&spec.label, grace(20, 60_000))).await.unwrap();
        assert_eq!(stopped.exit, Some(ExitStatus::Code(9)));
    }
}

#[tokio::test]
async fn a_run_whose_directory_was_deleted_ends() {
    for world in worlds() {
        let spec = world.script("a-1", "echo up; while :; do sleep 0.05; echo more; done");
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "up").await;
        let (mark, keeper) = (world.mark(&spec.label), keeper_pid(&world.dir(&spec.label)));
        // Until the run notices, it may make a file anew behind whoever deletes them.
        let dir = world.dir(&spec.label);
        eventually("the directory is gone", || std::fs::remove_dir_all(&dir).is_ok() || !dir.exists()).await;
        eventually("keeper and process are gone", || marked(&mark).is_empty() && !alive(keeper)).await;
        assert_eq!(world.restarted().look(&spec.label).await.unwrap(), RunState::Absent);
    }
}

#[tokio::test]
async fn a_run_that_died_with_its_keeper_is_lost_and_no_success() {
    for world in worlds() {
        let spec = world.script("a-1", "echo up; exec sleep 1000");
        let started = world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "up").await;
        let keeper = keeper_pid(&world.dir(&spec.label));
        // Halted first, or it would see the other go and write that down.
        let keeper = rustix::process::Pid::from_raw(keeper).unwrap();
        rustix::process::kill_process(keeper, rustix::process::Signal::STOP).unwrap();
        kill(started.pid);
        rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
        assert_eq!(over(&world.restarted(), &spec.label).await, RunState::Lost);
        assert_eq!(soon(world.host.stop(&spec.label, grace(0, 0))).await.unwrap().exit, None);
        assert_eq!(text(&world.host, &spec.label).await, "up\n");
    }
}

#[tokio::test]
async fn when_memory_ends_the_process_goes_before_its_keeper_and_it_leaves_no_core() {
    let world = World::plain();
    let spec = world.script("a-1", "sleep 0.1; sh -c 'cat /proc/self/oom_score_adj; ulimit -c'; exec sleep 1000");
    let started = world.host.start(&spec).await.unwrap();
    let said = output_with(&world.host, &spec.label, "300\n0\n").await;
    assert_eq!(said, "300\n0\n");
    let score = |pid: i32| {
        std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse::<i32>().unwrap()
    };
    assert!(score(started.pid) > score(keeper_pid(&world.dir(&spec.label))));
    soon(world.host.stop(&spec.label, grace(0, 0))).await.unwrap();
}

#[tokio::test]
async fn nothing_survives_the_natural_end_and_the_pipes_do_not_hold_it_up() {
    if !programs_or_skip() {
        return;
    }
    for world in worlds() {
        let spec = world.script("a-1", &format!("{WANDERERS}; exit 6"));
        world.host.start(&spec).await.unwrap();
        assert_eq!(exit(&world.host, &spec.label).await, ExitStatus::Code(6));
        assert_eq!(marked(&world.mark(&spec.label)), [0; 0]);
        assert_eq!(text(&world.host, &spec.label).await, "spread\n");
    }
}

#[tokio::test]
async fn a_process_that_closed_its_streams_is_still_running() {
    let world = World::plain();
    let spec = world.script("a-1", "echo up; exec >&- 2>&- <&-; exec sleep 1000");
    world.host.start(&spec).await.unwrap();
    output_with(&world.host, &spec.label, "up").await;
    let pid = match world.host.look(&spec.label).await.unwrap() {
        RunState::Running(started) => started.pid,
        other => panic!("{other:?}"),
    };
    let comm = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    eventually("the streams are closed", || comm() == "sleep\n").await;
    assert!(matches!(world.host.look(&spec.label).await.unwrap(), RunState::Running(_)));
    assert!(matches!(world.host.forget(&spec.label).await, Err(RunError::Alive { .. })));
    soon(world.host.stop(&spec.label, grace(0, 0))).await.unwrap();
}

#[tokio::test]
async fn a_fork_bomb_ends() {
    for world in worlds() {
        // Tame enough not to hurt the machine: each generation lives for a moment.
        let bomb = "b() { sleep 0.03; b & b & sleep 0.1; }; b & sleep 0.1; echo lit; sleep 1000";
        let spec = world.script("a-1", bomb);
        world.host.start(&spec).await.unwrap();
        output_with(&world.host, &spec.label, "lit").await;
        let began = Instant::now();
        soon(world.host.stop(&spec.label, grace(0, 0))).await.unwrap();
        assert_eq!(marked(&world.mark(&spec.label)), [0; 0]);
        eprintln!("the bomb was out after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_killed_keeper_is_noticed_and_its_orphans_are_ended() {
    if !programs_or_skip() {
        return;
    }
    for world in worlds() {
        let spec = world.script("a-1", &format!("{WANDERERS}; exec sleep 1005"));
        world.host.start(&spec).await.unwrap();
        let said = output_with(&world.host, &spec.label, "spread").await;
        let keeper = keeper_pid(&world.dir(&spec.label));
        let seen = Seen { output: said.len() as u64, error: 0 };
        let (host, label) = (world.host.clone(), spec.label.clone());
        let waiting = tokio::spawn(async move { host.changed(&label, seen).await });
        tokio::task::yield_now().await;
        kill(keeper);
        soon(waiting).await.unwrap().unwrap();
        assert_eq!(over(&world.host, &spec.label).await, RunState::Lost);
        let mark = world.mark(&spec.label);
        assert!(marked(&mark).len() >= 5, "they live on without it");
        let stopped = soon(world.restarted().stop(&spec.label, grace(0, 10))).await.unwrap();
        assert_eq!(stopped.exit, None);
        assert!(stopped.strays >= 4, "{stopped:?}");
        assert_eq!(marked(&mark), [0; 0]);
        assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Lost);
        world.host.forget(&spec.label).await.unwrap();
        assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Absent);
        eventually("the killed keeper is reaped", || zombies() == 0).await;
    }
}

#[tokio::test]
async fn a_stranger_with_the_same_pid_is_not_signalled() {
    for world in worlds() {
        let spec = world.script("a-1", "exec sleep 1000");
        world.host.start(&spec).await.unwrap();
        let dir = world.dir(&spec.label);
        let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        // The record of a run whose pids have come round: another process has both numbers today.
        let mut record = json(&dir.join("process"));
        let real = record.clone();
        for who in ["keeper", "child"] {
            record[who]["pid"] = stranger.id().into();
            // Of a second before: the kernel counts in hundredths, and pids take seconds to come round.
            record[who]["start"] = (real[who]["start"].as_u64().unwrap() - 100).into();
        }
        std::fs::write(dir.join("process"), record.to_string()).unwrap();
        let host = world.restarted();
        assert_eq!(host.look(&spec.label).await.unwrap(), RunState::Lost);
        soon(host.stop(&spec.label, grace(0, 10))).await.unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was hit");
        assert_eq!(marked(&world.mark(&spec.label)), [0; 0], "its own were found by mark or cgroup");
        std::fs::write(dir.join("process"), real.to_string()).unwrap();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

#[tokio::test]
async fn after_another_boot_a_run_is_lost_and_nobody_is_killed() {
    for world in worlds() {
        let spec = world.script("a-1", "exec sleep 1000");
        let started = world.host.start(&spec).await.unwrap();
        let path = world.dir(&spec.label).join("process");
        let real = json(&path);
        let mut record = real.clone();
        record["boot"] = "00000000-0000-0000-0000-000000000000".into();
        std::fs::write(&path, record.to_string()).unwrap();
        let host = world.restarted();
        assert_eq!(host.look(&spec.label).await.unwrap(), RunState::Lost);
        soon(host.changed(&spec.label, Seen::default())).await.unwrap();
        let stopped = soon(host.stop(&spec.label, grace(0, 10))).await.unwrap();
        assert_eq!((stopped.exit, stopped.strays), (None, 0));
        assert!(alive(started.pid), "these numbers meant somebody else");
        std::fs::write(&path, real.to_string()).unwrap();
        soon(host.stop(&spec.label, grace(0, 0))).await.unwrap();
    }
}

#[tokio::test]
async fn a_hanging_keeper_is_replaced_by_the_host() {
    let world = World::plain();
    let spec = world.script("a-1", "exec sleep 1000");
    world.host.start(&spec).await.unwrap();
    let keeper = rustix::process::Pid::from_raw(keeper_pid(&world.dir(&spec.label))).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::STOP).unwrap();
    let mut host = world.settings.clone();
    host.stop_slack = Duration::from_millis(50);
    let host = orcha_exec::LocalHost::new(host).unwrap();
    let stopped = soon(host.stop(&spec.label, grace(0, 0))).await.unwrap();
    assert_eq!(stopped.exit, None);
    assert_eq!(marked(&world.mark(&spec.label)), [0; 0]);
}

#[tokio::test]
async fn a_start_takes_milliseconds() {
    for world in worlds() {
        let mut took = Vec::new();
        let mut ended = Vec::new();
        for n in 0..30 {
            let spec = world.script(&format!("a-{n}"), "exit 0");
            let began = Instant::now();
            world.host.start(&spec).await.unwrap();
            took.push(began.elapsed());
            exit(&world.host, &spec.label).await;
            ended.push(began.elapsed());
        }
        took.sort();
        ended.sort();
        let cgroup = world.settings.cgroup_parent.is_some();
        eprintln!("cgroup {cgroup}: start p50 {:?}, slowest {:?}; to status p50 {:?}", took[15], took[29], ended[15]);
    }
}

#[tokio::test]
async fn a_stranger_that_merely_waits_costs_the_keeper_nothing() {
    let world = World::plain();
    let spec = world.script("a-1", "exec sleep 1000");
    world.host.start(&spec).await.unwrap();
    let keeper = keeper_pid(&world.dir(&spec.label));
    let wchan = || std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    eventually("the keeper sleeps", || wchan().contains(") S ")).await;
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
        status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:")).unwrap().trim().to_owned()
    };
    let before = switches();
    std::process::Command::new("sleep").arg("0.3").stdin(Stdio::null()).status().unwrap();
    assert_eq!(before, switches(), "an idle run wakes nobody");
    world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
}
