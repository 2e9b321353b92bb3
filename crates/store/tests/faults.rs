//! What goes wrong outside: two daemons, newer schemas, a full disk, a lost file, a killed process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use orcha_base::ObjectiveId;
use orcha_model::objective::State;
use orcha_store::{Commit, CommitError, EventFilter, Health, OpenError, Page, Row, Span, Store, StoreOptions, Which};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::*;

/// The helper half of a test: what this program does when it is started by one of its own tests.
const PART: &str = "ORCHA_STORE_TEST_PART";
const FOLDER: &str = "ORCHA_STORE_TEST_FOLDER";

fn helper(part: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_helper", "--nocapture", "--test-threads=1"]).env(PART, part).env(FOLDER, folder);
    command
}

/// Not a test by itself: see [`helper`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_helper() {
    let (Ok(part), Ok(folder)) = (std::env::var(PART), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match part.as_str() {
        "commit_forever" => commit_forever(&folder).await,
        "fill_a_real_disk" => fill_a_real_disk(&folder).await,
        "open_read_only" => open_read_only(&folder).await,
        other => panic!("unknown part {other}"),
    }
}

#[test]
fn a_lock_that_a_dead_daemon_leaves_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(folder.path().join("lock")).unwrap();
    held.lock().unwrap();
    let (opening, opens) = std::sync::mpsc::channel();
    let data = folder.path().to_owned();
    let opened = std::thread::spawn(move || {
        opening.send(()).unwrap();
        Store::open(&data, StoreOptions::default()).map(drop)
    });
    opens.recv().unwrap();
    // Only now it goes, as with a child that runs its own program at last.
    drop(held);
    opened.join().unwrap().unwrap();
}

#[test]
fn c03_one_daemon_per_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = open(&data);
    match Store::open(&data, StoreOptions::default()) {
        Err(OpenError::Locked { folder }) => assert_eq!(folder, data),
        other => panic!("{other:?}"),
    }
    for (path, mode) in [("", 0o700), ("lock", 0o600), ("orcha.db", 0o600), ("orcha.db-wal", 0o600)] {
        let found = std::fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}: {found:o}");
    }
    drop(first);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    store.close().await;
    let conn = rusqlite::Connection::open(folder.path().join("orcha.db")).unwrap();
    let history = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    conn.execute(history, []).unwrap();
    match Store::open(folder.path(), StoreOptions::default()) {
        Err(error @ OpenError::NewerSchema { found: 99, .. }) => {
            assert!(error.to_string().contains("use the newer release"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    conn.execute("DELETE FROM refinery_schema_history WHERE version = 99", []).unwrap();
    drop(conn);
    assert!(open(folder.path()).objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap().is_some());
}

#[test]
fn the_first_migration_is_never_edited() {
    // A database of an earlier release carries this checksum: a change of schema is a new file.
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let conn = rusqlite::Connection::open(store.folder().join("orcha.db")).unwrap();
    let query = "SELECT name, checksum FROM refinery_schema_history WHERE version = 1";
    let (name, checksum): (String, String) = conn.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((name.as_str(), checksum.as_str()), ("the_first_tables", "16301672627794061548"));
}

#[tokio::test]
async fn a_full_database_says_so_reads_on_and_recovers_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { max_pages: Some(200), ..StoreOptions::default() };
    let store = Store::open(folder.path(), options).unwrap();
    let mut health = store.health();
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    let mut stored = Vec::new();
    let refused = loop {
        let order = order(1, stored.len() as u64, 1, 1900);
        let key = order.key;
        match store.commit(Commit { orders: vec![order], ..Commit::at(at(1)) }).await {
            Ok(_) => stored.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, CommitError::StorageFull), "{refused:?}");
    assert_eq!(*health.borrow_and_update(), Health::StorageFull);
    assert_eq!(store.orders_after(0, 1000).await.unwrap().len(), stored.len(), "reads go on");

    // Work that makes room is stored at once, and everything is well again.
    store.commit(Commit { done: stored, ..Commit::at(at(2)) }).await.unwrap();
    assert_eq!(*health.borrow_and_update(), Health::Ok);
    let committed = store.commit(Commit { orders: vec![order(1, 1, 2, 1900)], ..Commit::at(at(3)) }).await.unwrap();
    assert_eq!(committed.orders.end - committed.orders.start, 1);
    store.close().await;
    assert_whole(folder.path());
}

#[test]
fn a_full_disk_says_so_reads_on_and_recovers_by_itself() {
    on_a_small_disk("fill_a_real_disk", "RECOVERED");
}

/// Runs a helper on a private mount that ends with the process: a small disk that nobody else sees.
fn on_a_small_disk(part: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let inner = helper(part, folder.path());
    let mut script = Command::new("unshare");
    script.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        script.arg("--map-root-user");
    }
    script.args(["sh", "-c", r#"mount -t tmpfs -o size=6m tmpfs "$1" || exit 77; shift; exec "$@""#, "sh"]);
    script.arg(folder.path()).arg(inner.get_program()).args(inner.get_args());
    for (key, value) in inner.get_envs() {
        script.env(key, value.unwrap());
    }
    match script.output() {
        Ok(output) if output.status.code() == Some(77) || cannot_unshare(&output) => {
            eprintln!("SKIPPED: no small disk can be mounted here: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
            assert!(text.contains(expected), "{text}");
        }
        Err(error) => eprintln!("SKIPPED: `unshare` does not start: {error}"),
    }
}

fn cannot_unshare(output: &std::process::Output) -> bool {
    output.stdout.is_empty() && output.status.code() == Some(1)
}

async fn fill_a_real_disk(folder: &Path) {
    let store = open(&folder.join("data"));
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    // Somebody else takes the rest of the disk.
    let ballast = folder.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);

    let mut health = store.health();
    let mut stored = 0_u64;
    let refused = loop {
        let lines = (0..50).map(|_| line(1, 1, &"x".repeat(1000))).collect();
        match store.commit(Commit { journal: lines, ..Commit::at(at(1)) }).await {
            Ok(_) => stored += 50,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, CommitError::StorageFull), "{refused:?}");
    assert_eq!(*health.borrow_and_update(), Health::StorageFull);
    let seen = store.events(&viewer(), EventFilter::All, Span::Latest, 1).await.unwrap();
    assert_eq!(seen.last().map_or(0, |it| it.seq), i64::try_from(stored).unwrap(), "reads go on");

    // Nobody commits anything: the store finds out by itself.
    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    tokio::time::timeout(Duration::from_secs(10), health.wait_for(|it| *it == Health::Ok)).await.unwrap().unwrap();
    let took = freed.elapsed();
    let committed = store.commit(Commit { journal: vec![line(1, 1, "back")], ..Commit::at(at(2)) }).await.unwrap();
    assert_eq!(committed.journal.start, i64::try_from(stored).unwrap() + 1, "no gap");
    store.close().await;
    assert_whole(&folder.join("data"));
    println!("RECOVERED after {took:?}, {stored} lines before");
}

#[test]
fn a_disk_that_became_read_only_is_refused_by_name() {
    on_a_small_disk("open_read_only", "REFUSED");
}

async fn open_read_only(folder: &Path) {
    let data = folder.join("data");
    let store = open(&data);
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    store.close().await;
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(folder).status().unwrap();
        assert!(done.success());
    };
    remount("remount,ro");
    match Store::open(&data, StoreOptions::default()) {
        Err(error @ OpenError::Folder { .. }) => println!("REFUSED {error}"),
        other => panic!("{other:?}"),
    }
    remount("remount,rw");
    assert!(open(&data).objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("another file", |it| *it = b"these are the notes of somebody\n".repeat(400)),
        ("its first page", |it| it[..100].fill(0x5a)),
        ("its schema", |it| it[100..4096].fill(0xff)),
        ("cut short", |it| it.truncate(4096 * 2 + 17)),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
        store.close().await;
        let path = folder.path().join("orcha.db");
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let opened = Store::open(folder.path(), StoreOptions::default());
        match opened {
            Err(error @ OpenError::Database { .. }) => {
                eprintln!("{what}: {error}: {:?}", std::error::Error::source(&error))
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: somebody wrote to it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_whoever_else_writes_to_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    let stranger = rusqlite::Connection::open(folder.path().join("orcha.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let patient = tokio::spawn({
        let store = store.clone();
        async move { store.commit(Commit { journal: vec![line(1, 1, "later")], ..Commit::at(at(1)) }).await }
    });
    // Longer than any single wait of the database.
    let mut patient = patient;
    assert!(tokio::time::timeout(Duration::from_secs(7), &mut patient).await.is_err(), "it gave up");
    assert!(store.objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap().is_some(), "reads go on");
    stranger.execute_batch("ROLLBACK").unwrap();
    assert_eq!(patient.await.unwrap().unwrap().journal.start, 1);
    // Nobody waits for ever to be let go.
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = tokio::spawn({
        let store = store.clone();
        async move { store.commit(Commit { journal: vec![line(1, 1, "never")], ..Commit::at(at(1)) }).await }
    });
    tokio::time::timeout(Duration::from_secs(20), store.close()).await.unwrap();
    assert!(refused.await.unwrap().is_err());
}

/// Promise 3: what was acknowledged survives a power cut at any instant, and nothing else is made up.
#[tokio::test]
async fn promise_3_a_log_torn_anywhere_behind_an_acknowledged_commit_loses_only_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut current = objective(1);
    store.commit(rows([Row::Objective(current.clone())])).await.unwrap();
    // How long the log was when each commit was acknowledged: all of that had been synced.
    let log = folder.path().join("orcha.db-wal");
    let mut lengths = Vec::new();
    for n in 0..12_usize {
        current.revision = current.revision.next();
        current.summary = Some("x".repeat(n * 700));
        let journal = vec![line(1, 1, "step")];
        let changes = vec![changed(Row::Objective(current.clone()))];
        store.commit(Commit { changes, journal, ..Commit::at(at(1)) }).await.unwrap();
        lengths.push(std::fs::metadata(&log).unwrap().len());
    }
    let (database, log) = (std::fs::read(folder.path().join("orcha.db")).unwrap(), std::fs::read(&log).unwrap());
    assert!(lengths.windows(2).all(|pair| pair[0] < pair[1]), "the log was cut meanwhile");
    store.close().await;

    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..40 {
        let acknowledged = usize::try_from(random(lengths.len() as u64 - 1)).unwrap();
        let (from, to) = (lengths[acknowledged], lengths[acknowledged + 1]);
        let mut torn = log.clone();
        match round % 3 {
            // A beginning of the next commit, of none of its sectors, or with one of them lost.
            0 => torn.truncate(usize::try_from(from + random(to - from)).unwrap()),
            1 => torn.truncate(usize::try_from(from).unwrap()),
            _ => {
                torn.truncate(usize::try_from(to).unwrap());
                let sector = usize::try_from(from + random(to - from)).unwrap() / 512 * 512;
                let sector = sector.max(usize::try_from(from).unwrap());
                let end = torn.len().min(sector + 512);
                torn[sector..end].fill(0);
            }
        }
        let after = tempfile::tempdir().unwrap();
        std::fs::write(after.path().join("orcha.db"), &database).unwrap();
        std::fs::write(after.path().join("orcha.db-wal"), &torn).unwrap();
        let store = open(after.path());
        let events = store.events(&viewer(), EventFilter::All, Span::Latest, 500).await.unwrap();
        let last = usize::try_from(events.last().map_or(0, |it| it.seq)).unwrap();
        assert!(last == acknowledged + 1 || (round % 3 == 2 && last == acknowledged + 2), "round {round}: {last}");
        let found = store.objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap().unwrap();
        assert_eq!(usize::try_from(found.revision.0).unwrap(), last + 1, "round {round}: row and journal are one");
        store.close().await;
        assert_whole(after.path());
    }
}

/// The log is brought home while readers never rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_while_it_is_read_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    store.events(&viewer(), EventFilter::All, Span::Latest, 500).await.unwrap();
                }
            })
        })
        .collect();
    let log = folder.path().join("orcha.db-wal");
    let mut longest = 0;
    let mut written = 0_u64;
    while written < 160 << 20 {
        let lines = (0..400).map(|_| line(1, 1, &"x".repeat(4000))).collect();
        store.commit(Commit { journal: lines, ..Commit::at(at(1)) }).await.unwrap();
        written += 400 * 4000;
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    eprintln!("{} MiB written, the log was {} MiB at most", written >> 20, longest >> 20);
    assert!(longest < 96 << 20, "{longest}");
    store.close().await;
}

#[tokio::test]
async fn a_database_that_was_taken_away_takes_no_more_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(rows([Row::Objective(objective(1))])).await.unwrap();
    std::fs::rename(folder.path().join("orcha.db"), folder.path().join("elsewhere")).unwrap();
    let lost = store.commit(rows([Row::Objective(objective(2))])).await;
    assert!(matches!(lost, Err(CommitError::Broken(_))), "{lost:?}");
    assert_eq!(*store.health().borrow(), Health::Broken);
    // Even when the file is back: what happened meanwhile is not known.
    std::fs::rename(folder.path().join("elsewhere"), folder.path().join("orcha.db")).unwrap();
    assert!(matches!(store.commit(rows([Row::Objective(objective(3))])).await, Err(CommitError::Broken(_))));
    store.close().await;
    let store = open(folder.path());
    let found = store.objectives(&viewer(), Which::All, Page::first(9)).await.unwrap();
    assert_eq!(found.items.len(), 1);
}

/// Promise 3: a crash at any instant loses no acknowledged write.
#[tokio::test]
async fn promise_3_no_kill_loses_an_acknowledged_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_u64;
    let mut slowest = Duration::ZERO;
    // Numbers without a pattern, the same in each run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..30 {
        let mut child =
            helper("commit_forever", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wanted = 1 + (seed >> 33) % 150;
        let mut seen = 0;
        for text in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(n) = text.unwrap().strip_prefix("stored ") {
                acknowledged = acknowledged.max(n.parse().unwrap());
                seen += 1;
                if seen == wanted {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(seen >= wanted, "round {round}: the helper ended by itself after {seen} commits");

        let opening = Instant::now();
        let store = open(folder.path());
        slowest = slowest.max(opening.elapsed());
        let events = store.events(&viewer(), EventFilter::All, Span::Latest, 500).await.unwrap();
        let last = events.last().unwrap().seq;
        assert!(last >= i64::try_from(acknowledged).unwrap(), "round {round}: {last} of {acknowledged}");
        let numbers: Vec<i64> = events.iter().map(|it| it.seq).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "round {round}: a gap");
        // Row, journal and order of one commit are all there, or none of them.
        let objective = store.objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap().unwrap();
        assert_eq!(i64::try_from(objective.revision.0).unwrap(), last + 1, "round {round}");
        let orders = store.orders_after(0, 10).await.unwrap();
        assert_eq!(orders.len(), 1, "round {round}");
        assert_eq!(orders[0].key.revision, objective.revision, "round {round}");
        store.close().await;
        assert_whole(folder.path());
    }
    eprintln!("30 kills, {acknowledged} acknowledged commits, slowest start {slowest:?}");
}

async fn commit_forever(folder: &Path) {
    let store = open(folder);
    let mut current = match store.objective(&viewer(), ObjectiveId::fixed(1)).await.unwrap() {
        Some(found) => found,
        None => {
            let first = objective(1);
            let commit = Commit { orders: vec![order(1, 1, 1, 0)], ..rows([Row::Objective(first.clone())]) };
            store.commit(commit).await.unwrap();
            first
        }
    };
    loop {
        let done = vec![order(1, 1, current.revision.0, 0).key];
        current.revision = current.revision.next();
        current.state = State::Active;
        current.summary = Some("x".repeat(usize::try_from(current.revision.0 % 4000).unwrap()));
        let commit = Commit {
            changes: vec![changed(Row::Objective(current.clone()))],
            journal: vec![line(1, 1, "step")],
            orders: vec![order(1, 1, current.revision.0, 0)],
            done,
            ..Commit::at(at(1))
        };
        let committed = store.commit(commit).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "stored {}", committed.journal.start).unwrap();
        out.flush().unwrap();
    }
}

fn assert_whole(data: &Path) {
    let conn = rusqlite::Connection::open(data.join("orcha.db")).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut orphans = conn.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!orphans.exists([]).unwrap());
}
