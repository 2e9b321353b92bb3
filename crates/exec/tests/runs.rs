//! Runs on this machine: started once, read and fed without loss, over a restart of the daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

mod world;

use orcha_exec::{ExitStatus, Host, Isolation, LocalHost, RunError, RunLabel, RunState, Seen, Sent, Stream};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use world::*;

#[tokio::test]
async fn a_run_starts_speaks_and_ends() {
    for world in worlds() {
        let spec = world.script("a-1", "echo out; echo err >&2; exit 7");
        let started = world.host.start(&spec).await.unwrap();
        assert!(started.fresh);
        let expected = if world.settings.cgroup_parent.is_some() { Isolation::Cgroup } else { Isolation::Subreaper };
        assert_eq!(started.isolation, expected);
        assert_eq!(exit(&world.host, &spec.label).await, ExitStatus::Code(7));
        assert_eq!(all(&world.host, &spec.label, Stream::Output).await, b"out\n");
        assert_eq!(all(&world.host, &spec.label, Stream::Error).await, b"err\n");
        let again = world.host.start(&spec).await.unwrap();
        assert!(!again.fresh, "over is not absent");
        world.host.forget(&spec.label).await.unwrap();
        assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Absent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_starts_of_one_label_are_one_process() {
    for world in worlds() {
        let spec = world.script("a-1", "echo $$; read x");
        // Two daemons that do not know of each other, at once.
        let hosts = [world.host.clone(), world.restarted()];
        let starts: Vec<_> = (0..20)
            .map(|n| {
                let (host, spec) = (hosts[n % 2].clone(), spec.clone());
                tokio::spawn(async move { host.start(&spec).await.unwrap() })
            })
            .collect();
        let mut started = Vec::new();
        for start in starts {
            started.push(soon(start).await.unwrap());
        }
        assert_eq!(started.iter().filter(|it| it.fresh).count(), 1);
        assert!(started.iter().all(|it| it.pid == started[0].pid));
        let said = output_with(&world.host, &spec.label, "\n").await;
        assert_eq!(said, format!("{}\n", started[0].pid));
        assert_eq!(marked(&world.mark(&spec.label)), [started[0].pid]);
        world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_start_that_died_before_its_keeper_is_finished_once() {
    let world = World::plain();
    let mut silent = world.settings.clone();
    // A keeper that does nothing leaves what a daemon leaves that died just before it spawned one.
    silent.keeper = vec!["/bin/false".into()];
    let spec = world.script("a-1", "echo once; read x");
    let error = LocalHost::new(silent).unwrap().start(&spec).await.unwrap_err();
    assert!(matches!(error, RunError::Spawn { .. }), "{error:?}");
    assert!(world.dir(&spec.label).join("spec.json").exists());
    assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Absent);
    assert!(world.host.start(&spec).await.unwrap().fresh);
    assert_eq!(output_with(&world.host, &spec.label, "\n").await, "once\n");
    world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
}

#[test]
fn what_a_dead_daemon_was_removing_goes_with_the_next_one_and_what_it_was_making_may_become_a_run() {
    let world = World::plain();
    let runs = world.dir(&RunLabel::new("a-1").unwrap()).parent().unwrap().to_owned();
    for name in [".old-a-1-0", ".new-b-1-0"] {
        std::fs::create_dir_all(runs.join(name)).unwrap();
        std::fs::write(runs.join(name).join("mcp.json"), "secret").unwrap();
    }
    world.restarted();
    let left: Vec<_> = std::fs::read_dir(&runs).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [".new-b-1-0"]);
}

#[tokio::test]
async fn stopping_a_start_that_never_got_a_keeper_removes_it() {
    let world = World::plain();
    let mut silent = world.settings.clone();
    silent.keeper = vec!["/bin/false".into()];
    let spec = world.script("a-1", "read x");
    LocalHost::new(silent).unwrap().start(&spec).await.unwrap_err();
    let stopped = world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
    assert_eq!((stopped.exit, stopped.strays), (None, 0));
    assert!(!world.dir(&spec.label).exists());
}

#[tokio::test]
async fn a_second_keeper_ends_what_the_first_started_before_it_could_say_so() {
    for world in worlds() {
        let spec = world.script("a-1", "echo $$ >> pids; read x; exec sleep 1000");
        world.host.start(&spec).await.unwrap();
        eventually("the process wrote its id", || world.root.path().join("pids").exists()).await;
        // As if the keeper had died between the spawn and the record.
        let dir = world.dir(&spec.label);
        let keeper = keeper_pid(&dir);
        kill(keeper);
        eventually("the keeper is gone", || !alive(keeper)).await;
        std::fs::remove_file(dir.join("process")).unwrap();
        let again = world.restarted().start(&spec).await.unwrap();
        assert!(again.fresh);
        assert_eq!(marked(&world.mark(&spec.label)), [again.pid]);
        world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
    }
}

#[tokio::test]
async fn records_torn_by_a_power_cut_are_none() {
    let world = World::plain();
    let mut silent = world.settings.clone();
    silent.keeper = vec!["/bin/false".into()];
    let spec = world.script("a-1", "echo once");
    for (file, torn) in [("process", ""), ("process", "\0\0\0"), ("failed", "{\"program\":"), ("spec.json", "")] {
        LocalHost::new(silent.clone()).unwrap().start(&spec).await.unwrap_err();
        std::fs::write(world.dir(&spec.label).join(file), torn).unwrap();
        assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Absent, "{file} {torn:?}");
        assert!(world.restarted().start(&spec).await.unwrap().fresh, "{file} {torn:?}");
        assert_eq!(exit(&world.host, &spec.label).await, ExitStatus::Code(0));
        assert_eq!(text(&world.host, &spec.label).await, "once\n");
        world.host.forget(&spec.label).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_program_is_said_so_and_blocks_nothing() {
    for world in worlds() {
        let mut spec = world.script("a-1", "echo fine");
        spec.program = "no-such-program".into();
        let error = world.host.start(&spec).await.unwrap_err();
        assert!(matches!(&error, RunError::Spawn { program, .. } if program == "no-such-program"), "{error:?}");
        assert_eq!(world.host.look(&spec.label).await.unwrap(), RunState::Absent);
        spec.program = "sh".into();
        spec.dir = world.root.path().join("gone");
        assert!(matches!(world.host.start(&spec).await.unwrap_err(), RunError::Spawn { .. }));
        spec.dir = world.root.path().to_owned();
        assert!(world.host.start(&spec).await.unwrap().fresh);
        assert_eq!(exit(&world.host, &spec.label).await, ExitStatus::Code(0));
    }
}

#[tokio::test]
async fn files_are_private_and_the_directory_is_known_to_the_process() {
    let world = World::plain();
    let mut spec = world.script("a-1", "cat \"$CONFIG\"; cat \"$0\"");
    spec.args.push("{run_dir}/mcp.json".into());
    spec.env.push(("CONFIG".into(), "{run_dir}/mcp.json".into()));
    spec.files = vec![("mcp.json".into(), "secret\n".into())];
    world.host.start(&spec).await.unwrap();
    exit(&world.host, &spec.label).await;
    assert_eq!(text(&world.host, &spec.label).await, "secret\nsecret\n");
    let dir = world.dir(&spec.label);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&world.root.path().join(".orcha")), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    for name in ["exit", "../up", ".hidden", "a/b", ""] {
        let mut spec = world.script("b-1", "true");
        spec.files = vec![(name.into(), String::new())];
        assert!(matches!(world.host.start(&spec).await.unwrap_err(), RunError::Refused { .. }), "{name:?}");
    }
}

#[tokio::test]
async fn input_arrives_once_and_in_order() {
    for world in worlds() {
        let mut spec = world.script("a-1", "while read -r x; do printf 'got %s\\n' \"$x\"; done; echo end");
        spec.input = vec![line("1", "one"), line("1", "one again")];
        world.host.start(&spec).await.unwrap();
        let send = async |host: &LocalHost, lines: &[_]| host.send(&spec.label, lines).await.unwrap();
        assert_eq!(send(&world.host, &[line("1", "one")]).await, Sent::AlreadyThere);
        assert_eq!(send(&world.host, &[line("2", "two"), line("3", "thr\u{e9}e \\n")]).await, Sent::Appended);
        let restarted = world.restarted();
        assert_eq!(send(&restarted, &[line("2", "two"), line("4", "four")]).await, Sent::Appended);
        // And the first, whose memory is old by now.
        assert_eq!(send(&world.host, &[line("4", "four")]).await, Sent::AlreadyThere);
        assert_eq!(send(&world.host, &[line("5", "five")]).await, Sent::Appended);
        world.host.close_input(&spec.label).await.unwrap();
        restarted.close_input(&spec.label).await.unwrap();
        assert_eq!(exit(&restarted, &spec.label).await, ExitStatus::Code(0));
        let said = "got one\ngot two\ngot thr\u{e9}e \\n\ngot four\ngot five\nend\n";
        assert_eq!(text(&restarted, &spec.label).await, said);
        let late = world.host.send(&spec.label, &[line("6", "late")]).await.unwrap_err();
        assert!(matches!(late, RunError::Over { .. }), "{late:?}");
        assert_eq!(send(&world.host, &[line("5", "five")]).await, Sent::AlreadyThere);
        let broken = world.host.send(&spec.label, &[line("7", "a\nb")]).await.unwrap_err();
        assert!(matches!(broken, RunError::Refused { .. }), "{broken:?}");
    }
}

#[tokio::test]
async fn a_torn_record_is_cut_off_and_sent_whole() {
    let world = World::plain();
    let spec = world.script("a-1", "while read -r x; do echo \"got $x\"; done");
    world.host.start(&spec).await.unwrap();
    world.host.send(&spec.label, &[line("1", "one")]).await.unwrap();
    output_with(&world.host, &spec.label, "got one").await;
    // What a daemon leaves that is killed in the middle of a write.
    let input = world.dir(&spec.label).join("input");
    let mut log = std::fs::OpenOptions::new().append(true).open(input).unwrap();
    log.write_all(b"[{\"key\":\"2\",\"text\":\"tw").unwrap();
    let restarted = world.restarted();
    let sent = restarted.send(&spec.label, &[line("2", "two")]).await.unwrap();
    assert_eq!(sent, Sent::Appended);
    restarted.close_input(&spec.label).await.unwrap();
    exit(&restarted, &spec.label).await;
    assert_eq!(text(&restarted, &spec.label).await, "got one\ngot two\n");
}

#[tokio::test]
async fn more_input_than_a_pipe_holds_is_forwarded_as_the_process_reads() {
    let world = World::plain();
    let spec = world.script("a-1", "read go; cat | wc -c");
    world.host.start(&spec).await.unwrap();
    let big = "x".repeat(300_000);
    for n in 0..10 {
        world.host.send(&spec.label, &[line(&n.to_string(), if n == 0 { "go" } else { &big })]).await.unwrap();
    }
    world.host.close_input(&spec.label).await.unwrap();
    exit(&world.host, &spec.label).await;
    assert_eq!(text(&world.host, &spec.label).await.trim(), (9 * 300_001).to_string());
}

#[tokio::test]
async fn a_process_that_closes_its_input_lives_on() {
    let world = World::plain();
    let spec = world.script("a-1", "exec 0<&-; echo closed; sleep 0.2; echo still here");
    world.host.start(&spec).await.unwrap();
    output_with(&world.host, &spec.label, "closed").await;
    world.host.send(&spec.label, &[line("1", "into the void")]).await.unwrap();
    assert_eq!(exit(&world.host, &spec.label).await, ExitStatus::Code(0));
    assert_eq!(text(&world.host, &spec.label).await, "closed\nstill here\n");
}

#[tokio::test]
async fn a_restarted_daemon_reads_on_where_the_last_stopped() {
    for world in worlds() {
        let spec = world.script("a-1", "n=0; while [ $n -lt 2000 ]; do echo line $n; n=$((n+1)); done; exit 3");
        world.host.start(&spec).await.unwrap();
        let mut bytes = Vec::new();
        let mut host = world.host.clone();
        soon(async {
            loop {
                let chunk = host.read(&spec.label, Stream::Output, bytes.len() as u64, 1000).await.unwrap();
                assert_eq!(chunk.from, bytes.len() as u64);
                if chunk.bytes.is_empty() {
                    if matches!(host.look(&spec.label).await.unwrap(), RunState::Ended(_)) {
                        break;
                    }
                    let seen = Seen { output: bytes.len() as u64, error: 0 };
                    host.changed(&spec.label, seen).await.unwrap();
                }
                bytes.extend(chunk.bytes);
                host = world.restarted();
            }
        })
        .await;
        let expected: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(exit(&world.restarted(), &spec.label).await, ExitStatus::Code(3));
    }
}

/// The daemon of the test below: starts a run, says so, and waits to be killed.
#[tokio::test]
#[ignore = "a part of `a_run_survives_the_death_of_its_daemon`, not a test"]
async fn daemon_that_will_be_killed() {
    let root = std::env::var("DAEMON_ROOT").unwrap();
    let root = std::path::Path::new(&root);
    let isolation = if std::env::var_os("DAEMON_CGROUP").is_some() { Isolation::Cgroup } else { Isolation::Subreaper };
    let host = LocalHost::new(settings(root, isolation).unwrap()).unwrap();
    host.start(&script_in(root, "a-1", SURVIVOR)).await.unwrap();
    std::fs::write(root.join("started"), "").unwrap();
    std::future::pending::<()>().await;
}

const SURVIVOR: &str = "echo before; while read -r x; do echo \"got $x\"; done; exit 5";

#[tokio::test]
async fn a_run_survives_the_death_of_its_daemon() {
    for world in worlds() {
        let mut daemon = std::process::Command::new(std::env::current_exe().unwrap());
        daemon.args(["--exact", "daemon_that_will_be_killed", "--ignored", "--nocapture"]);
        daemon.env("DAEMON_ROOT", world.root.path()).stdout(std::process::Stdio::null());
        if world.settings.cgroup_parent.is_some() {
            daemon.env("DAEMON_CGROUP", "1");
        }
        let mut daemon = daemon.spawn().unwrap();
        eventually("the daemon started the run", || world.root.path().join("started").exists()).await;
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let label = RunLabel::new("a-1").unwrap();
        let reports = world.host.runs().await.unwrap();
        assert_eq!(reports.len(), 1);
        assert!(matches!(reports[0].state, RunState::Running(_)), "{reports:?}");
        world.host.send(&label, &[line("1", "after")]).await.unwrap();
        world.host.close_input(&label).await.unwrap();
        assert_eq!(exit(&world.host, &label).await, ExitStatus::Code(5));
        assert_eq!(text(&world.host, &label).await, "before\ngot after\n");
    }
}

#[tokio::test]
async fn a_line_of_100_mb_is_cut_and_costs_no_memory() {
    let world = World::plain();
    let script = "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo next; read x";
    let mut spec = world.script("a-1", script);
    spec.line_cap = 1 << 20;
    world.host.start(&spec).await.unwrap();
    let said = output_with(&world.host, &spec.label, "next\n").await;
    let (cut, next) = said.split_once('\n').unwrap();
    assert_eq!(cut.len(), (1 << 20) + orcha_exec::keeper::CUT_MARK.len());
    assert!(cut.ends_with(orcha_exec::keeper::CUT_MARK));
    assert_eq!(next, "next\n");
    let peak = peak_kib(keeper_pid(&world.dir(&spec.label)));
    eprintln!("peak memory of the keeper: {peak} KiB");
    assert!(peak < 16 << 10, "{peak} KiB");
    world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
}

fn peak_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_flood_is_held_back_until_it_is_stored() {
    let world = World::plain();
    let mut spec = world.script("a-1", "yes | head -c 20000000; echo done");
    spec.backlog_cap = 1 << 20;
    world.host.start(&spec).await.unwrap();
    let output = world.dir(&spec.label).join("output");
    let length = || std::fs::metadata(&output).map_or(0, |facts| facts.len());
    eventually("the cap is reached", || length() > spec.backlog_cap).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(length() <= spec.backlog_cap + (64 << 10), "{}", length());
    // Now somebody stores it, and everything comes.
    let mut stored = 0;
    soon(async {
        while !matches!(world.host.look(&spec.label).await.unwrap(), RunState::Ended(_)) || stored < length() {
            let chunk = world.host.read(&spec.label, Stream::Output, stored, 256 << 10).await.unwrap();
            stored += chunk.bytes.len() as u64;
            world.host.consumed(&spec.label, stored).await.unwrap();
            if chunk.bytes.is_empty() {
                world.host.changed(&spec.label, Seen { output: stored, error: 0 }).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(stored, 20_000_005);
}

#[tokio::test]
async fn a_flood_that_nobody_stores_can_be_stopped() {
    for world in worlds() {
        let mut spec = world.script("a-1", "yes");
        spec.backlog_cap = 1 << 20;
        world.host.start(&spec).await.unwrap();
        let stopped = soon(world.host.stop(&spec.label, grace(10, 5000))).await.unwrap();
        assert_eq!(stopped.exit, Some(ExitStatus::Signal(15)));
    }
}

#[tokio::test]
async fn standard_error_ends_at_its_cap() {
    let world = World::plain();
    let mut spec = world.script("a-1", "yes | head -c 5000000 >&2; echo done");
    spec.backlog_cap = 1 << 20;
    world.host.start(&spec).await.unwrap();
    exit(&world.host, &spec.label).await;
    let kept = all(&world.host, &spec.label, Stream::Error).await.len();
    assert!(((1 << 20)..(1 << 20) + 100).contains(&kept), "{kept}");
    assert_eq!(text(&world.host, &spec.label).await, "done\n");
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_untouched() {
    let world = World::plain();
    let spec = world.script("a-1", "printf '\\377\\000\\303 a\\r\\n\\360\\237'");
    world.host.start(&spec).await.unwrap();
    exit(&world.host, &spec.label).await;
    assert_eq!(all(&world.host, &spec.label, Stream::Output).await, b"\xff\x00\xc3 a\r\n\xf0\x9f");
}

#[tokio::test]
async fn waiting_is_cancelled_and_begun_again_without_loss() {
    let world = World::plain();
    let spec = world.script("a-1", "while read -r x; do echo \"$x\"; done");
    world.host.start(&spec).await.unwrap();
    let mut seen = Seen::default();
    for n in 0..50 {
        let early = tokio::time::timeout(Duration::ZERO, world.host.changed(&spec.label, seen)).await;
        assert!(early.is_err(), "nothing is new before line {n}");
        world.host.send(&spec.label, &[line(&n.to_string(), "x")]).await.unwrap();
        while seen.output < (n + 1) * 2 {
            soon(world.host.changed(&spec.label, seen)).await.unwrap();
            seen.output = text(&world.host, &spec.label).await.len() as u64;
        }
    }
    world.host.stop(&spec.label, grace(0, 0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seventy_runs_are_watched_at_once() {
    let world = World::plain();
    let began = Instant::now();
    let mut labels = Vec::new();
    for n in 0..70 {
        let spec = world.script(&format!("a-{n}"), "read x; echo \"$x\"; read y");
        world.host.start(&spec).await.unwrap();
        labels.push(spec.label);
    }
    eprintln!("70 starts in a row: {:?} each", began.elapsed() / 70);
    let waits: Vec<_> = labels
        .iter()
        .map(|label| {
            let (host, label) = (world.host.clone(), label.clone());
            tokio::spawn(async move { output_with(&host, &label, "\n").await })
        })
        .collect();
    for label in &labels {
        world.host.send(label, &[line("1", label.as_str())]).await.unwrap();
    }
    for (wait, label) in waits.into_iter().zip(&labels) {
        assert_eq!(wait.await.unwrap(), format!("{label}\n"));
    }
    let stops = labels.iter().map(|label| {
        let (host, label) = (world.host.clone(), label.clone());
        tokio::spawn(async move { host.stop(&label, grace(0, 0)).await.unwrap() })
    });
    for stop in stops.collect::<Vec<_>>() {
        soon(stop).await.unwrap();
    }
    eventually("every keeper is reaped", || zombies() == 0).await;
}

/// The part of the test below that runs where `DAEMON_ROOT` is a tiny disk of its own.
#[tokio::test]
#[ignore = "a part of `a_full_disk_holds_the_process_back_and_loses_nothing`, not a test"]
async fn on_a_tiny_disk() {
    let root = std::env::var("DAEMON_ROOT").unwrap();
    let root = std::path::Path::new(&root);
    let host = LocalHost::new(settings(root, Isolation::Subreaper).unwrap()).unwrap();
    let ballast = root.join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let idle = script_in(root, "b-1", "exec sleep 1000");
    host.start(&idle).await.unwrap();
    let spec = script_in(root, "a-1", "seq 400000; exit 3");
    host.start(&spec).await.unwrap();
    let output = run_dir(root, &spec.label).join("output");
    let length = || std::fs::metadata(&output).map_or(0, |facts| facts.len());
    // Four mebibytes less the ballast: the 2.7 MB of output do not fit.
    let full = || rustix::fs::statvfs(root).unwrap().f_bavail == 0;
    eventually("the disk is full", full).await;
    let held = length();
    // Stopping another one needs no space.
    soon(host.stop(&idle.label, grace(0, 0))).await.unwrap();
    assert_eq!(marked(&mark(&run_dir(root, &idle.label))), [0; 0]);
    assert!(matches!(host.look(&spec.label).await.unwrap(), RunState::Running(_)));
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(exit(&host, &spec.label).await, ExitStatus::Code(3));
    let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(held < expected.len() as u64);
    assert!(text(&host, &spec.label).await == expected, "lost or doubled after {held} bytes");
}

#[test]
fn a_full_disk_holds_the_process_back_and_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    // Namespaces of its own: disk and processes are gone with the test, however that ends.
    let apart = ["--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let able = std::process::Command::new("unshare").args(apart).arg("true").status().is_ok_and(|it| it.success());
    if !able {
        eprintln!("SKIPPED: this machine lets us make no namespaces");
        return;
    }
    let script = "mount -t tmpfs -o size=4m orcha \"$DAEMON_ROOT\" || exit 77; \"$0\" \"$@\"";
    let mut inner = std::process::Command::new("unshare");
    inner.args(apart).args(["sh", "-c", script]).arg(std::env::current_exe().unwrap());
    inner.args(["--exact", "on_a_tiny_disk", "--ignored", "--nocapture"]).env("DAEMON_ROOT", root.path());
    let output = inner.output().unwrap();
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: no tmpfs may be mounted here");
    } else {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
