//! Short commands on this machine: fed, read, bounded, and gone when they are over.

#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod world;

use orcha_base::Retry;
use orcha_exec::{Command, CommandError, ExitStatus, Host};
use std::time::Duration;
use world::*;

fn sh(world: &World, script: &str) -> Command {
    let path = "/usr/local/bin:/usr/bin:/bin";
    Command::new("sh", world.root.path()).arg("-c").arg(script).env("PATH", path)
}

#[tokio::test]
async fn output_status_and_environment_are_exactly_as_given() {
    let world = World::plain();
    let output = world.host.run(&sh(&world, "env; pwd; echo err >&2; exit 3").env("A", "b c")).await.unwrap();
    assert_eq!(output.status, ExitStatus::Code(3));
    let mut lines: Vec<_> = String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect();
    // The shell adds these itself.
    lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_=") && !line.starts_with("SHLVL="));
    lines[..2].sort();
    let here = std::fs::canonicalize(world.root.path()).unwrap();
    assert_eq!(lines, ["A=b c", "PATH=/usr/local/bin:/usr/bin:/bin", here.to_str().unwrap()]);
    assert_eq!(output.complaint(), "err");
    let killed = world.host.run(&sh(&world, "kill -9 $$")).await.unwrap();
    assert_eq!(killed.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn much_input_and_much_output_do_not_block_each_other() {
    let world = World::plain();
    let mut command = sh(&world, "tee /dev/stderr");
    command.stdin = vec![b'x'; 3 << 20];
    let output = soon(world.host.run(&command)).await.unwrap();
    assert!(!output.truncated);
    assert_eq!((output.stdout.len(), output.stderr.len()), (3 << 20, 3 << 20));
    command.keep = 10;
    let output = soon(world.host.run(&command)).await.unwrap();
    assert!(output.truncated);
    assert_eq!((output.stdout.as_slice(), output.stderr.len()), (&b"xxxxxxxxxx"[..], 10));
    let deaf = Command { args: vec!["-c".into(), "exit 2".into()], ..command };
    assert_eq!(soon(world.host.run(&deaf)).await.unwrap().status, ExitStatus::Code(2));
}

#[tokio::test]
async fn a_missing_program_is_told_from_a_failing_one_and_from_a_missing_folder() {
    let world = World::plain();
    let error = world.host.run(&Command::new("no-such-program", world.root.path())).await.unwrap_err();
    assert!(
        matches!(&error, CommandError::Spawn { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{error:?}"
    );
    std::fs::write(world.root.path().join("plain"), "text").unwrap();
    let plain = Command::new("plain", world.root.path()).env("PATH", world.root.path().to_str().unwrap());
    let error = world.host.run(&plain).await.unwrap_err();
    assert!(
        matches!(&error, CommandError::Spawn { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{error:?}"
    );
    let gone = Command::new("true", world.root.path().join("gone")).env("PATH", "/usr/bin:/bin");
    let error = world.host.run(&gone).await.unwrap_err();
    assert!(matches!(&error, CommandError::NoFolder { dir, .. } if dir.ends_with("gone")), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
}

/// Starts children of the same group, says their ids, and waits.
const FAMILY: &str = "sleep 1000 & echo $! > pids; sh -c 'sleep 1001 & echo $! >> pids; wait' & echo $! >> pids; \
                      echo $$ >> pids; mv pids family; wait";

fn family(world: &World) -> Vec<i32> {
    let text = std::fs::read_to_string(world.root.path().join("family")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_timeout_kills_the_group() {
    let world = World::plain();
    let mut command = sh(&world, FAMILY);
    command.timeout = Duration::from_millis(500);
    let error = soon(world.host.run(&command)).await.unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }), "{error:?}");
    for pid in family(&world) {
        eventually("the whole group is gone", || !alive(pid)).await;
    }
    assert_eq!(zombies(), 0);
}

#[tokio::test]
async fn giving_up_kills_the_group() {
    let world = World::plain();
    let command = sh(&world, FAMILY);
    let host = world.host.clone();
    let task = tokio::spawn(async move { host.run(&command).await });
    eventually("the family is there", || world.root.path().join("family").exists()).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for pid in family(&world) {
        eventually("the whole group is gone", || !alive(pid)).await;
    }
    eventually("the leader is reaped", || zombies() == 0).await;
}

#[tokio::test]
async fn a_child_that_holds_the_pipe_does_not_hold_the_answer() {
    let world = World::plain();
    let output = soon(world.host.run(&sh(&world, "sleep 1000 & setsid sleep 2 & echo done"))).await.unwrap();
    assert_eq!((output.status, output.text().as_str()), (ExitStatus::Code(0), "done"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commands_leave_no_zombie() {
    let world = World::plain();
    let began = std::time::Instant::now();
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let (host, command) = (world.host.clone(), Command::new("/bin/true", world.root.path()));
            tokio::spawn(async move {
                for _ in (worker..1000).step_by(16) {
                    assert!(host.run(&command).await.unwrap().status.success());
                }
            })
        })
        .collect();
    for worker in workers {
        soon(worker).await.unwrap();
    }
    eprintln!("1000 commands in {:?}", began.elapsed());
    assert_eq!(zombies(), 0);
}

#[tokio::test]
async fn nothing_of_a_whole_command_is_left_and_its_end_is_kept() {
    let world = World::plain();
    // One that left its group and its parent, and one that is only in the background.
    let script = "setsid sh -c 'echo $$ >away; exec sleep 300' & sleep 300 & echo $! >near; \
                  while ! test -s away; do :; done; seq 1 20000; exit 4";
    let mut command = sh(&world, script);
    command.keep = 100;
    let ended = soon(orcha_exec::run_whole(&command, 50)).await.unwrap();
    assert!(ended.in_time);
    let output = ended.output;
    assert_eq!(output.status, ExitStatus::Code(4));
    let text = output.text();
    assert!(output.truncated && text.starts_with("1\n2\n") && text.ends_with("19999\n20000"), "{text}");
    assert!(text.contains("bytes left out"), "{text}");
    for name in ["away", "near"] {
        let pid = std::fs::read_to_string(world.root.path().join(name)).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{name} is alive: {stat}");
    }
}

#[tokio::test]
async fn a_whole_command_that_ran_out_of_time_is_told_with_what_it_printed() {
    let world = World::plain();
    let mut command = sh(&world, "echo begun; setsid sleep 300 & wait");
    command.timeout = Duration::from_millis(300);
    let ended = soon(orcha_exec::run_whole(&command, 50)).await.unwrap();
    assert!(!ended.in_time);
    assert_eq!((ended.output.text().as_str(), ended.output.status), ("begun", ExitStatus::Signal(9)));
}
