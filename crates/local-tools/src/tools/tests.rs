//! The tools as a model uses them, on a folder of their own with something secret beside it.

use super::*;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

struct World {
    temp: tempfile::TempDir,
    tools: LocalTools,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("work");
    fs::create_dir_all(root.join("src")).unwrap();
    fs::create_dir_all(root.join(".git/hooks")).unwrap();
    fs::create_dir_all(root.join("target")).unwrap();
    fs::write(temp.path().join("secret"), "canary\n").unwrap();
    fs::create_dir(temp.path().join("work_evil")).unwrap();
    fs::write(temp.path().join("work_evil/file"), "canary\n").unwrap();
    fs::write(root.join("readme"), "one\ntwo\nthree\n").unwrap();
    fs::write(root.join("src/lib.rs"), "fn a() {}\nfn b() {}\n").unwrap();
    fs::write(root.join(".gitignore"), "target/\n*.log\n").unwrap();
    fs::write(root.join("target/out"), "fn built() {}\n").unwrap();
    fs::write(root.join("noise.log"), "fn log() {}\n").unwrap();
    fs::write(root.join("data.bin"), b"a\0fn b").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("src", root.join("inner")).unwrap();
    symlink(".git", root.join("gitlink")).unwrap();
    World { tools: tools(&root, &NAMES), temp }
}

fn tools(root: &Path, names: &[&str]) -> LocalTools {
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    LocalTools::new(root, &names, Limits::default()).unwrap()
}

impl World {
    async fn call(&self, name: &str, args: Value) -> ToolOutcome {
        self.tools.call(name, args, &CancellationToken::new()).await
    }

    async fn fine(&self, name: &str, args: Value) -> String {
        let outcome = self.call(name, args).await;
        assert!(!outcome.is_error, "{}", outcome.text);
        outcome.text
    }

    async fn refused(&self, name: &str, args: Value) -> String {
        let outcome = self.call(name, args.clone()).await;
        assert!(outcome.is_error, "{name} {args}: {}", outcome.text);
        assert!(!outcome.text.contains("canary"), "{name} {args}: {}", outcome.text);
        outcome.text
    }

    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.temp.path().join("work").join(path)).unwrap()
    }
}

#[tokio::test]
async fn c11_nothing_outside_is_read_or_written_whatever_the_path_looks_like() {
    let world = world();
    let secret = world.temp.path().join("secret");
    let beside = world.temp.path().join("work_evil/file");
    for path in [
        "../secret",
        "src/../../secret",
        "link",
        "etc/passwd",
        "inner/../../secret",
        "/etc/passwd",
        secret.to_str().unwrap(),
        beside.to_str().unwrap(),
        "/proc/self/environ",
        "",
        "a\0b",
    ] {
        world.refused("read", json!({"path": path})).await;
        world.refused("write", json!({"path": path, "content": "x"})).await;
        world.refused("edit", json!({"path": path, "old": "canary", "new": "x"})).await;
    }
    for path in ["..", "etc", "/", "link"] {
        world.refused("list", json!({"path": path})).await;
        world.refused("search", json!({"path": path, "pattern": "canary"})).await;
        world.refused("run", json!({"command": "true", "dir": path})).await;
    }
    world.refused("write", json!({"path": "etc/new", "content": "x"})).await;
    let diff = "--- a/../secret\n+++ b/../secret\n@@ -1 +1 @@\n-canary\n+x\n";
    world.refused("patch", json!({"diff": diff})).await;
    assert_eq!(fs::read_to_string(secret).unwrap(), "canary\n");
    assert_eq!(fs::read_to_string(beside).unwrap(), "canary\n");
}

#[tokio::test]
async fn what_belongs_to_git_is_not_written_even_through_a_link() {
    let world = world();
    for path in [".git/hooks/pre-commit", ".GIT/config", "gitlink/hooks/pre-commit", "src/.git/x", "gitlink/new/x"] {
        world.refused("write", json!({"path": path, "content": "x"})).await;
    }
    assert!(fs::read_dir(world.temp.path().join("work/.git/hooks")).unwrap().next().is_none());
}

#[tokio::test]
async fn files_are_read_by_lines_and_say_where_more_is() {
    let world = world();
    assert_eq!(world.fine("read", json!({"path": "readme"})).await, "one\ntwo\nthree\n");
    assert_eq!(world.fine("read", json!({"path": "inner/lib.rs", "from": 2})).await, "fn b() {}\n");
    let absolute = world.temp.path().join("work/readme").canonicalize().unwrap();
    assert_eq!(
        world.fine("read", json!({"path": absolute, "lines": 1})).await,
        "one\n[there is more: continue with from = 2]"
    );
    assert_eq!(world.fine("read", json!({"path": "readme", "from": 9})).await, "[`readme` has 3 lines]");
    assert!(world.refused("read", json!({"path": "data.bin"})).await.contains("binary (6 bytes)"));
    fs::write(world.temp.path().join("work/latin"), b"caf\xe9\n").unwrap();
    assert!(world.fine("read", json!({"path": "latin"})).await.contains("not UTF-8"));
    assert!(world.refused("edit", json!({"path": "latin", "old": "caf", "new": "x"})).await.contains("not UTF-8"));
    let long = "x".repeat(200_000);
    fs::write(world.temp.path().join("work/long"), format!("{long}\nend\n")).unwrap();
    let outcome = world.call("read", json!({"path": "long"})).await;
    assert!(outcome.truncated && outcome.text.len() < 70_000 && outcome.text.contains("from = 2"));
    assert_eq!(world.fine("read", json!({"path": "long", "from": 2})).await, "end\n");
    assert!(world.refused("read", json!({"path": "src"})).await.contains("a folder"));
}

#[tokio::test]
async fn a_pipe_and_a_device_hold_nobody_up() {
    let world = world();
    let fifo = world.temp.path().join("work/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(world.refused("read", json!({"path": "fifo"})).await.contains("a pipe"));
    assert!(world.refused("write", json!({"path": "fifo", "content": "x"})).await.contains("a pipe"));
    assert!(!world.fine("search", json!({"pattern": "fn"})).await.contains("fifo"));
}

#[tokio::test]
async fn lists_and_searches_mind_ignore_files_and_follow_no_link() {
    let world = world();
    let listed = world.fine("list", json!({"depth": 3})).await;
    let lines: Vec<&str> = listed.lines().collect();
    let expected = [
        ".gitignore",
        "data.bin",
        "etc (link)",
        "gitlink (link)",
        "inner (link)",
        "link (link)",
        "readme",
        "src/",
        "src/lib.rs",
    ];
    assert_eq!(lines, expected);
    assert!(world.fine("list", json!({"ignored": true})).await.contains("target/"));
    assert_eq!(world.fine("list", json!({"depth": 5, "glob": "**/*.rs"})).await, "src/lib.rs");
    assert_eq!(
        world.fine("search", json!({"pattern": "fn [ab]"})).await,
        "src/lib.rs:1: fn a() {}\nsrc/lib.rs:2: fn b() {}"
    );
    assert_eq!(
        world.fine("search", json!({"pattern": "FN B()", "literal": true, "ignore_case": true})).await,
        "src/lib.rs:2: fn b() {}"
    );
    assert_eq!(world.fine("search", json!({"pattern": "two", "path": "readme"})).await, "readme:2: two");
    assert_eq!(world.fine("search", json!({"pattern": "two", "glob": "*.rs"})).await, "[nothing was found]");
    assert!(world.refused("search", json!({"pattern": "("})).await.starts_with("pattern: "));
}

#[tokio::test]
async fn files_are_written_whole_and_keep_their_mode() {
    let world = world();
    assert_eq!(world.fine("write", json!({"path": "a/b/c", "content": "x\n"})).await, "made a/b/c (2 bytes)");
    let script = world.temp.path().join("work/run.sh");
    fs::write(&script, "old").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    world.fine("write", json!({"path": "run.sh", "content": "new"})).await;
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    world.fine("edit", json!({"path": "readme", "old": "two", "new": "2"})).await;
    assert_eq!(world.file("readme"), "one\n2\nthree\n");
    assert!(
        world
            .refused("edit", json!({"path": "src/lib.rs", "old": "fn", "new": "f"}))
            .await
            .contains("2 times, at lines 1, 2")
    );
    let left: Vec<_> =
        fs::read_dir(world.temp.path().join("work")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|it| it.to_string_lossy().starts_with(".orcha-")), "{left:?}");
}

#[tokio::test]
async fn a_diff_changes_all_of_its_files_or_none() {
    let world = world();
    let half = "--- a/readme\n+++ b/readme\n@@ -1 +1 @@\n-one\n+1\n--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1 @@\n-absent\n+x\n";
    world.refused("patch", json!({"diff": half})).await;
    assert_eq!(world.file("readme"), "one\ntwo\nthree\n");
    let whole = "--- a/readme\n+++ b/readme\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n--- /dev/null\n+++ b/new/file\n@@ -0,0 +1 @@\n+hello\n--- a/src/lib.rs\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-fn a() {}\n-fn b() {}\n";
    let said = world.fine("patch", json!({"diff": whole})).await;
    assert_eq!(said, "changed readme (+1 -1)\nmade new/file (+1 -0)\ndeleted src/lib.rs (+0 -2)");
    assert_eq!((world.file("readme"), world.file("new/file")), ("1\ntwo\nthree\n".into(), "hello\n".into()));
    assert!(!world.temp.path().join("work/src/lib.rs").exists());
}

#[tokio::test]
async fn a_diff_that_fails_while_it_is_written_is_taken_back() {
    let world = world();
    // The second file makes a file of what the third one needs as a folder.
    let diff = "--- a/readme\n+++ b/readme\n@@ -1 +1 @@\n-one\n+1\n--- /dev/null\n+++ b/d\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/d/e\n@@ -0,0 +1 @@\n+y\n";
    let said = world.refused("patch", json!({"diff": diff})).await;
    assert_eq!(said, "`d` is not a folder");
    assert_eq!(world.file("readme"), "one\ntwo\nthree\n");
    assert!(!world.temp.path().join("work/d").exists());
}

#[tokio::test]
async fn a_diff_moves_no_file_over_another_one() {
    let world = world();
    let diff = "--- a/readme\n+++ b/src/lib.rs\n@@ -1 +1 @@\n-one\n+1\n";
    let said = world.refused("patch", json!({"diff": diff})).await;
    assert!(said.contains("`src/lib.rs` exists already"), "{said}");
    assert_eq!(world.file("src/lib.rs"), "fn a() {}\nfn b() {}\n");
}

#[tokio::test]
async fn a_command_has_a_closed_environment_and_an_end() {
    let world = world();
    let text = world.fine("run", json!({"command": "env; pwd"})).await;
    assert!(text.starts_with("[exit code 0, "), "{text}");
    assert!(!text.contains("CARGO") && !text.contains("HOME="), "{text}");
    let text = world.refused("run", json!({"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"]})).await;
    assert!(text.contains("[exit code 3") && text.contains("out\n[standard error]\nerr\n"), "{text}");
    let text = world.refused("run", json!({"command": "echo begun; setsid sleep 300 & wait", "timeout_s": 1})).await;
    assert!(text.contains("[ended after 1 s") && text.contains("begun"), "{text}");
    assert!(world.refused("run", json!({"argv": ["no-such-program"]})).await.contains("did not start"));
    assert!(world.refused("run", json!({})).await.contains("either `command` or `argv`"));
    let outcome = world.call("run", json!({"command": "seq 1 100000"})).await;
    assert!(outcome.truncated && outcome.text.len() < 40_000 && outcome.text.contains("100000"));
}

#[tokio::test]
async fn a_cancelled_command_is_gone() {
    let world = world();
    let cancel = CancellationToken::new();
    let fifo = world.temp.path().join("work/up");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let tools = world.tools.clone();
    let token = cancel.clone();
    let call =
        tokio::spawn(async move { tools.call("run", json!({"command": "echo $$ >up; exec sleep 300"}), &token).await });
    // Opening waits for the command to open the other end.
    let pid = tokio::task::spawn_blocking(move || fs::read_to_string(fifo).unwrap()).await.unwrap();
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    cancel.cancel();
    let outcome = call.await.unwrap();
    assert!(outcome.is_error && outcome.text.contains("stopped"));
    let over = tokio::task::spawn_blocking(move || {
        let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 }))
    });
    assert_eq!(over.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn c12_only_public_pages_are_fetched() {
    let world = world();
    for url in ["http://127.0.0.1:1/", "http://localhost/", "http://169.254.169.254/", "file:///etc/passwd", "x"] {
        world.refused("fetch", json!({"url": url})).await;
    }
}

#[tokio::test]
async fn c12_tools_that_were_not_named_do_not_exist() {
    let world = world();
    let root = world.temp.path().join("work");
    let reader = tools(&root, &["read", "list"]);
    assert_eq!(reader.definitions().iter().map(|it| it.name).collect::<Vec<_>>(), ["read", "list"]);
    let outcome = reader.call("write", json!({"path": "x", "content": "x"}), &CancellationToken::new()).await;
    assert!(outcome.is_error && outcome.text.contains("there are read, list"), "{}", outcome.text);
    assert!(!root.join("x").exists());
    let made = LocalTools::new(&root, &["shell".to_owned()], Limits::default());
    assert!(matches!(made, Err(SetupError::Tool { .. })));
    assert!(matches!(LocalTools::new(&root.join("absent"), &[], Limits::default()), Err(SetupError::Root { .. })));
}

#[tokio::test]
async fn arguments_are_read_strictly_and_schemas_are_complete() {
    let world = world();
    assert!(world.refused("read", json!({"file": "readme"})).await.contains("unknown field `file`"));
    assert!(world.refused("read", json!({})).await.contains("missing field `path`"));
    assert!(!world.fine("list", Value::Null).await.is_empty());
    for it in world.tools.definitions() {
        assert_eq!(it.schema["type"], "object", "{}", it.name);
        assert_eq!(it.schema["additionalProperties"], false, "{}", it.name);
        assert!(it.schema["required"].is_array(), "{}", it.name);
        assert!(it.schema.get("$schema").is_none() && it.schema.get("title").is_none());
        for (name, property) in it.schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{} {name}", it.name);
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_while_it_is_used_leads_nowhere() {
    let world = world();
    let root = world.temp.path().join("work");
    let outside = world.temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "canary\n").unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/file"), "fine\n").unwrap();
    symlink(&outside, root.join("lure")).unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (over, root) = (Arc::clone(&over), root.clone());
        move || {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    root.join("folder"),
                    rustix::fs::CWD,
                    root.join("lure"),
                    flags,
                )
                .unwrap();
            }
        }
    });
    for n in 0..300 {
        let read = world.call("read", json!({"path": "folder/file"})).await;
        assert!(!read.text.contains("canary"), "{}", read.text);
        world.call("write", json!({"path": format!("folder/new-{n}"), "content": "x"})).await;
        let found = world.call("search", json!({"pattern": "canary"})).await;
        assert!(!found.text.contains("folder/file:"), "{}", found.text);
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    swapping.join().unwrap();
    let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
}
