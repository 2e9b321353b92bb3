//! A confined process changes its own and nothing else, and sees nothing of what is hidden; tried with real processes.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod world;

use orcha_base::{Confinement, SandboxLevel};
use orcha_exec::{ExitStatus, Host, RunSpec, Sandbox};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use world::World;

/// Tries everything that it should and should not be able to do, and says what worked.
const TRIES: &str = r#"
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: yes"; else echo "$name: no"; fi; }
try commit sh -c 'echo two > b.txt && git add -A && git -c user.name=x -c user.email=x@example.invalid commit -q -m two'
try temp sh -c 'echo x > "$TMPDIR/x"'
try state sh -c 'echo x > "$HOME/.state/x"'
try null sh -c 'echo x > /dev/null'
try read-rest cat /etc/hostname
try borrow cat "$DATA/work/mirror/object"
try token cat "$DATA/token"
try list ls "$DATA"
try other cat "$DATA/work/checkouts/other/secret"
try change-other sh -c 'echo x > "$DATA/work/checkouts/other/new"'
try change-outside sh -c 'echo x > "$HOME/outside"'
try change-tmp sh -c 'echo x > "$OUTSIDE/x"'
try link sh -c 'ln -s "$DATA/token" l && cat l'
try dotdot cat ../../../token
try evidence sh -c 'echo x > "$RUN/exit"'
try made sh -c 'echo x > "$HOME/.made/x"'
try key cat "$HOME/.ssh/id"
try new-key sh -c 'echo x > "$HOME/.ssh/authorized_keys"'
try kill kill -0 "$STRANGER"
"#;

const EXPECTED: &str = "\
commit: yes
temp: yes
state: yes
null: yes
read-rest: yes
borrow: yes
token: no
list: LIST
other: no
change-other: no
change-outside: no
change-tmp: no
link: no
dotdot: no
evidence: no
made: yes
key: no
new-key: KEY
kill: no
";

fn git(dir: &Path, args: &[&str]) {
    let done = Command::new("git").args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap();
    assert!(done.success(), "{args:?}");
}

/// A checkout in a data folder with a token and somebody else's checkout, and a run that tries its limits.
fn stage(world: &World, level: SandboxLevel) -> RunSpec {
    let root = world.root.path().canonicalize().unwrap();
    let (data, home) = (root.join("data"), root.join("home"));
    let (mine, other) = (data.join("work/checkouts/mine"), data.join("work/checkouts/other"));
    for folder in
        [&mine, &other, &data.join("work/mirror"), &home.join(".state"), &home.join(".ssh"), &root.join("elsewhere")]
    {
        fs::create_dir_all(folder).unwrap();
    }
    for file in [data.join("token"), other.join("secret"), data.join("work/mirror/object"), home.join(".ssh/id")] {
        fs::write(file, "secret").unwrap();
    }
    git(&mine, &["init", "-q"]);
    let mut spec = world.script("confined-1", TRIES);
    spec.dir = mine;
    let run = world.dir(&spec.label);
    let env = [
        ("HOME", home.display().to_string()),
        ("DATA", data.display().to_string()),
        ("RUN", run.display().to_string()),
        ("OUTSIDE", root.join("elsewhere").display().to_string()),
        ("STRANGER", std::process::id().to_string()),
    ];
    spec.env.extend(env.map(|(key, value)| (key.to_owned(), value)));
    spec.sandbox = Sandbox {
        level,
        strict: true,
        write: vec![home.join(".state"), home.join(".not-there")],
        make: vec![home.join(".made")],
        read: vec![data.join("work/mirror")],
        hide: vec![data, root.join(".orcha"), home.join(".ssh"), home.join(".netrc")],
        ..Sandbox::default()
    };
    spec
}

async fn tried(world: &World, spec: &RunSpec) -> (String, Confinement) {
    let started = world.host.start(spec).await.unwrap();
    assert_eq!(world::exit(&world.host, &spec.label).await, ExitStatus::Code(0));
    (world::text(&world.host, &spec.label).await, started.confinement.unwrap())
}

/// Tells whether this machine has a level; a test that must do without it says so.
async fn has(world: &World, level: SandboxLevel, test: &str) -> bool {
    let offers = world.host.sandboxes().await;
    match &offers.iter().find(|it| it.level == level).unwrap().there {
        Ok(_) => true,
        Err(why) => {
            eprintln!("SKIPPED {test}: {level}: {why}");
            if let Some(log) = std::env::var_os("ORCHA_SKIP_LOG") {
                let mut log = fs::File::options().append(true).create(true).open(log).unwrap();
                writeln!(log, "{test}: {level}: {why}").unwrap();
            }
            false
        }
    }
}

#[tokio::test]
async fn landlock_lets_a_process_commit_and_nothing_else() {
    let world = World::plain();
    if !has(&world, SandboxLevel::Landlock, "landlock_lets_a_process_commit_and_nothing_else").await {
        return;
    }
    let spec = stage(&world, SandboxLevel::Landlock);
    let (said, by) = tried(&world, &spec).await;
    assert_eq!((by.level, by.read_only), (SandboxLevel::Landlock, false), "{by}");
    // Signals are scoped by newer kernels only, and the words say so.
    let said = if by.detail.contains("signals") { said } else { said.replace("kill: yes", "kill: no") };
    assert_eq!(said, EXPECTED.replace("LIST", "no").replace("KEY", "no"));
}

#[tokio::test]
async fn bubblewrap_lets_a_process_commit_and_nothing_else() {
    let world = World::plain();
    if !has(&world, SandboxLevel::Bubblewrap, "bubblewrap_lets_a_process_commit_and_nothing_else").await {
        return;
    }
    let spec = stage(&world, SandboxLevel::Bubblewrap);
    let (said, by) = tried(&world, &spec).await;
    assert_eq!((by.level, by.read_only), (SandboxLevel::Bubblewrap, false), "{by}");
    // What is hidden is an empty folder there, and what is written into it is nobody's.
    assert_eq!(said, EXPECTED.replace("LIST", "yes").replace("KEY", "yes"));
    assert!(!world.root.path().join("home/.ssh/authorized_keys").exists());
}

#[tokio::test]
async fn whoever_only_looks_cannot_change_its_own_checkout() {
    for level in [SandboxLevel::Landlock, SandboxLevel::Bubblewrap] {
        let world = World::plain();
        if !has(&world, level, "whoever_only_looks_cannot_change_its_own_checkout").await {
            continue;
        }
        let mut spec = stage(&world, level);
        fs::write(spec.dir.join("a.txt"), "as it was").unwrap();
        git(&spec.dir, &["add", "-A"]);
        git(&spec.dir, &["-c", "user.name=x", "-c", "user.email=x@example.invalid", "commit", "-q", "-m", "one"]);
        spec.sandbox.read_only = true;
        spec.args = vec!["-c".into(), LOOKS.into()];
        let (said, by) = tried(&world, &spec).await;
        assert!(by.read_only, "{by}");
        assert_eq!(said, "read: yes\nlog: yes\nstatus: yes\ntemp: yes\nchange: no\nmake: no\ncommit: no\n", "{level}");
        assert_eq!(fs::read_to_string(spec.dir.join("a.txt")).unwrap(), "as it was");
    }
}

const LOOKS: &str = r#"
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: yes"; else echo "$name: no"; fi; }
try read cat a.txt
try log git log --format=%s
try status git status
try temp sh -c 'echo x > "$TMPDIR/x"'
try change sh -c 'echo x > a.txt'
try make sh -c 'echo x > b.txt'
try commit git -c user.name=x -c user.email=x@example.invalid commit -q --allow-empty -m two
"#;

#[tokio::test]
async fn strict_starts_nothing_without_a_sandbox_and_otherwise_it_is_said() {
    let world = World::plain();
    let mut spec = stage(&world, SandboxLevel::Bubblewrap);
    // No program is found but those that are named in full.
    spec.env.retain(|(key, _)| key != "PATH");
    spec.env.push(("PATH".into(), world.root.path().display().to_string()));
    spec.program = "/bin/sh".into();
    spec.args = vec!["-c".into(), "echo open".into()];
    let refused = world.host.start(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("there is no `bwrap` in PATH; `orcha doctor`"), "{refused}");
    spec.sandbox.strict = false;
    let (said, by) = tried(&world, &spec).await;
    assert_eq!(said, "open\n");
    let detail = "there is no `bwrap` in PATH".to_owned();
    assert_eq!(by, Confinement { level: SandboxLevel::None, read_only: false, detail });
}

#[tokio::test]
async fn strict_and_no_level_contradict_each_other() {
    let world = World::plain();
    let spec = stage(&world, SandboxLevel::None);
    let refused = world.host.start(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("its level is `none`"), "{refused}");
}

#[tokio::test]
async fn what_would_open_the_hidden_is_refused() {
    let world = World::plain();
    let mut spec = stage(&world, SandboxLevel::Landlock);
    spec.sandbox.write.push(world.root.path().to_owned());
    let refused = world.host.start(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("must stay hidden"), "{refused}");
}

#[tokio::test]
async fn a_confined_run_is_ended_with_all_that_it_started_and_found_again_with_its_confinement() {
    for level in [SandboxLevel::Landlock, SandboxLevel::Bubblewrap] {
        let world = World::plain();
        if !has(&world, level, "a_confined_run_is_ended_with_all_that_it_started").await {
            continue;
        }
        let mut spec = stage(&world, level);
        spec.args = vec!["-c".into(), "setsid sleep 1000 & sleep 1000 & echo up; wait".into()];
        let started = world.host.start(&spec).await.unwrap();
        world::output_with(&world.host, &spec.label, "up\n").await;
        let mark = world.mark(&spec.label);
        let again = world.restarted();
        let found = again.start(&spec).await.unwrap();
        assert_eq!((found.fresh, found.confinement), (false, started.confinement));
        again.stop(&spec.label, world::grace(0, 20_000)).await.unwrap();
        assert_eq!(world::marked(&mark), Vec::<i32>::new());
    }
}
