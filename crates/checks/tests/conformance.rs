//! What every implementation of `Checker` promises, over real processes and over the fake; then what only real
//! processes can show.
#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]

use async_trait::async_trait;
use orcha_checks::fake::{Ends, FakeChecker};
use orcha_checks::{
    Asked, Checker, Checks, ChecksError, Kind, Order, Outcome, Plan, Report, Settings, Source, Verdict,
};
use orcha_exec::{ExitStatus, LocalHost, LocalSettings};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PASSES: &str = "echo fine; test -d /";
const FAILS: &str = "echo 'test a::b ... FAILED'; test -f /no/such/file";
const MISSING: &str = "no-such-program --version";
const COUNTED: &str = "echo x >>count; test -d /";

#[async_trait]
trait Scene: Send + Sync {
    fn checker(&self) -> &dyn Checker;
    fn dir(&self) -> PathBuf;
    /// How often the counted command was really run.
    fn count(&self) -> usize;
}

struct Real {
    temp: tempfile::TempDir,
    checks: Checks,
}

impl Real {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("project")).unwrap();
        let checks = open(temp.path());
        Self { temp, checks }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The checks as a daemon has them that has just started.
fn open(root: &Path) -> Checks {
    let test = std::env::current_exe().unwrap();
    let keeper = test.ancestors().nth(2).unwrap().join("examples").join("checks-keeper");
    let keeper = vec![keeper.to_str().unwrap().to_owned()];
    let settings = LocalSettings { cgroup_parent: None, ..LocalSettings::detect(root.join("root"), keeper) };
    std::fs::create_dir_all(root.join("root")).unwrap();
    let host = Arc::new(LocalHost::new(settings).unwrap());
    Checks::new(host, Settings { path: std::env::var("PATH").unwrap(), env: Vec::new() })
}

#[async_trait]
impl Scene for Real {
    fn checker(&self) -> &dyn Checker {
        &self.checks
    }
    fn dir(&self) -> PathBuf {
        self.temp.path().join("project")
    }
    fn count(&self) -> usize {
        std::fs::read_to_string(self.dir().join("count")).map_or(0, |text| text.lines().count())
    }
}

struct Fake(FakeChecker);

impl Fake {
    fn new() -> Self {
        let fake = FakeChecker::new();
        fake.fails(FAILS, &["a::b"]);
        let ends = Ends { outcome: Outcome::Infrastructure, output: String::new(), failing: Vec::new() };
        fake.ends(MISSING, ends);
        Self(fake)
    }
}

#[async_trait]
impl Scene for Fake {
    fn checker(&self) -> &dyn Checker {
        &self.0
    }
    fn dir(&self) -> PathBuf {
        PathBuf::from("/fake")
    }
    fn count(&self) -> usize {
        self.0.ran().iter().filter(|it| *it == COUNTED).count()
    }
}

macro_rules! suite {
    ($($case:ident)*) => {
        mod real {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&Real::new()).await; })*
        }
        mod fake {
            use super::*;
            $(#[tokio::test] async fn $case() { super::$case(&Fake::new()).await; })*
        }
    };
}

suite! {
    what_is_asked_for_is_run_in_order_and_has_receipts
    nothing_to_check_is_said_and_is_no_pass
    a_red_check_is_red_and_names_its_tests
    a_missing_program_is_the_machine_and_ends_the_round
    what_needs_a_build_is_not_run_without_it
    a_round_is_run_once_until_it_is_ended
    a_bad_key_and_a_bad_wish_are_refused
}

fn asked(value: serde_json::Value) -> Vec<Asked> {
    serde_json::from_value(value).unwrap()
}

async fn round(it: &dyn Scene, key: &str, value: serde_json::Value) -> Report {
    let plan = it.checker().plan(&it.dir(), None, &asked(value)).await.unwrap();
    it.checker().run(&Order { key: key.to_owned(), dir: it.dir(), plan }).await.unwrap()
}

fn outcomes(report: &Report) -> Vec<(&str, Outcome)> {
    report.receipts.iter().map(|it| (it.name.as_str(), it.outcome)).collect()
}

async fn what_is_asked_for_is_run_in_order_and_has_receipts(it: &dyn Scene) {
    let wish = json!([
        {"name": "test", "command": PASSES},
        {"name": "build", "kind": "build", "command": ["sh", "-c", "exec test -d /"]},
    ]);
    let report = round(it, "one", wish).await;
    assert_eq!(outcomes(&report), [("build", Outcome::Passed), ("test", Outcome::Passed)]);
    assert_eq!((report.verdict, &report.source), (Verdict::Passed, &Source::Asked));
    let test = &report.receipts[1];
    assert_eq!((test.command.as_str(), test.exit, test.kind), (PASSES, Some(ExitStatus::Code(0)), Kind::Test));
    assert_eq!(test.output_sha256.len(), 64);
    it.checker().end("one").await.unwrap();
}

async fn nothing_to_check_is_said_and_is_no_pass(it: &dyn Scene) {
    let plan = it.checker().plan(&it.dir(), None, &[]).await.unwrap();
    assert_eq!((plan.checks.len(), &plan.source), (0, &Source::Detected(Vec::new())));
    let report = it.checker().run(&Order { key: "none".into(), dir: it.dir(), plan }).await.unwrap();
    assert_eq!((report.receipts.len(), report.verdict), (0, Verdict::Nothing));
}

async fn a_red_check_is_red_and_names_its_tests(it: &dyn Scene) {
    let report = round(it, "red", json!([{"name": "a", "command": FAILS}, {"name": "b", "command": PASSES}])).await;
    assert_eq!(outcomes(&report), [("a", Outcome::Failed), ("b", Outcome::Passed)]);
    assert_eq!((report.verdict, report.failing_set()), (Verdict::Failed, vec!["a: a::b".to_owned()]));
    it.checker().end("red").await.unwrap();
}

async fn a_missing_program_is_the_machine_and_ends_the_round(it: &dyn Scene) {
    let report = round(it, "gone", json!([{"name": "a", "command": MISSING}, {"name": "b", "command": PASSES}])).await;
    assert_eq!(outcomes(&report), [("a", Outcome::Infrastructure), ("b", Outcome::NotRun)]);
    assert_eq!((report.verdict, report.failing_set().len()), (Verdict::Infrastructure, 0));
    it.checker().end("gone").await.unwrap();
}

async fn what_needs_a_build_is_not_run_without_it(it: &dyn Scene) {
    let wish = json!([{"name": "b", "kind": "build", "command": FAILS}, {"name": "t", "command": PASSES}]);
    let report = round(it, "build", wish).await;
    assert_eq!(outcomes(&report), [("b", Outcome::Failed), ("t", Outcome::NotRun)]);
    assert_eq!(report.verdict, Verdict::Failed);
    it.checker().end("build").await.unwrap();
}

async fn a_round_is_run_once_until_it_is_ended(it: &dyn Scene) {
    let wish = json!([{"name": "c", "command": COUNTED}]);
    round(it, "once", wish.clone()).await;
    let again = round(it, "once", wish.clone()).await;
    assert_eq!((again.verdict, it.count()), (Verdict::Passed, 1));
    round(it, "once-2", wish.clone()).await;
    assert_eq!(it.count(), 2);
    it.checker().end("once").await.unwrap();
    it.checker().end("once").await.unwrap();
    round(it, "once", wish).await;
    assert_eq!(it.count(), 3);
    it.checker().end("once").await.unwrap();
    it.checker().end("once-2").await.unwrap();
}

async fn a_bad_key_and_a_bad_wish_are_refused(it: &dyn Scene) {
    let plan = Plan { checks: Vec::new(), hollow: Vec::new(), source: Source::Asked };
    for key in ["", "a/b", "a b", &"x".repeat(61)] {
        let order = Order { key: key.to_owned(), dir: it.dir(), plan: plan.clone() };
        assert!(matches!(it.checker().run(&order).await, Err(ChecksError::Key { .. })), "{key}");
    }
    let hollow = asked(json!([{"name": "test", "command": "exit 0"}]));
    assert!(matches!(it.checker().plan(&it.dir(), None, &hollow).await, Err(ChecksError::Config(_))));
}

#[tokio::test]
async fn a_check_that_hangs_is_ended_with_everything_it_started() {
    let it = Real::new();
    let command = "setsid sleep 300 & echo $! >away; echo begun; sleep 300";
    let report = round(&it, "hang", json!([{"name": "a", "command": command, "timeout_s": 1}])).await;
    let receipt = &report.receipts[0];
    assert_eq!((receipt.outcome, receipt.output_tail.as_str()), (Outcome::TimedOut, "begun\n"));
    assert_eq!(report.failing_set(), ["a: timed out"]);
    let pid = std::fs::read_to_string(it.dir().join("away")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    it.checks.end("hang").await.unwrap();
}

#[tokio::test]
async fn a_restarted_daemon_waits_for_the_round_that_is_under_way() {
    let it = Real::new();
    let wish = asked(json!([{"name": "a", "command": "echo x >>count; cat up; echo done; test -d /"}]));
    let fifo = it.dir().join("up");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let plan = it.checks.plan(&it.dir(), None, &wish).await.unwrap();
    let order = Order { key: "far".into(), dir: it.dir(), plan };
    let first = tokio::spawn({
        let (checks, order) = (it.checks.clone(), order.clone());
        async move { checks.run(&order).await }
    });
    // Opening waits until the check has opened the other end: it is under way.
    let end = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(fifo).unwrap());
    let end = end.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = tokio::spawn({
        let (checks, order) = (open(it.temp.path()), order.clone());
        async move { checks.run(&order).await }
    });
    drop(end);
    let report = second.await.unwrap().unwrap();
    assert_eq!((report.verdict, report.receipts[0].output_tail.as_str(), it.count()), (Verdict::Passed, "done\n", 1));
    it.checks.end("far").await.unwrap();
}

#[tokio::test]
async fn output_is_bounded_hashed_and_without_colours_and_the_environment_is_closed() {
    let it = Real::new();
    let command = "env; seq 1 200000; printf '\\033[31mred\\033[0m\\n'; cat";
    let report = round(&it, "much", json!([{"name": "a", "command": command, "env": {"MINE": "yes"}}])).await;
    let receipt = &report.receipts[0];
    assert_eq!(receipt.outcome, Outcome::Passed, "{receipt:?}");
    assert!(receipt.output_tail.len() <= 32 << 10 && receipt.output_tail.ends_with("200000\nred\n"));
    assert!(receipt.output_bytes > 1_000_000);
    it.checks.end("much").await.unwrap();
    let report = round(&it, "env", json!([{"name": "a", "command": "env", "env": {"MINE": "yes"}}])).await;
    let said = &report.receipts[0].output_tail;
    assert!(said.contains("MINE=yes\n") && said.contains("CI=1\n"));
    assert!(!said.contains("CARGO_MANIFEST_DIR") && !said.contains("\nHOME="), "{said}");
    it.checks.end("env").await.unwrap();
}

#[tokio::test]
async fn the_list_of_the_base_counts_and_a_change_does_not_choose_its_judge() {
    let it = Real::new();
    let base = it.temp.path().join("base");
    std::fs::create_dir_all(base.join(".orcha")).unwrap();
    std::fs::write(base.join(".orcha/checks.toml"), "[[check]]\nname = \"t\"\ncommand = \"sh test.sh\"\n").unwrap();
    it.write(".orcha/checks.toml", "[[check]]\nname = \"t\"\ncommand = \"test -d /\"\n");
    let plan = it.checks.plan(&it.dir(), Some(&base), &[]).await.unwrap();
    assert_eq!((plan.checks[0].command.to_string().as_str(), plan.source), ("sh test.sh", Source::Configured));
    let plan = it.checks.plan(&it.dir(), None, &[]).await.unwrap();
    assert_eq!(plan.checks[0].command.to_string(), "test -d /");
    it.write(".orcha/checks.toml", "[[check]]\nname = \"t\"\n");
    assert!(matches!(it.checks.plan(&it.dir(), None, &[]).await, Err(ChecksError::Config(_))));
    // A list that is a link is none of the project's.
    std::fs::remove_file(it.dir().join(".orcha/checks.toml")).unwrap();
    std::os::unix::fs::symlink(base.join(".orcha/checks.toml"), it.dir().join(".orcha/checks.toml")).unwrap();
    assert!(it.checks.plan(&it.dir(), None, &[]).await.unwrap().checks.is_empty());
}

#[tokio::test]
async fn a_folder_is_named_from_the_root() {
    let it = Real::new();
    let plan = it.checks.plan(&it.dir(), None, &[]).await.unwrap();
    for dir in ["project", "-delete", ""] {
        let dir = PathBuf::from(dir);
        assert!(matches!(it.checks.plan(&dir, None, &[]).await, Err(ChecksError::Dir { .. })));
        let order = Order { key: "k".into(), dir, plan: plan.clone() };
        assert!(matches!(it.checks.run(&order).await, Err(ChecksError::Dir { .. })));
    }
}

#[tokio::test]
async fn a_real_project_fails_with_the_name_of_its_test_and_then_passes() {
    let it = Real::new();
    it.write("Makefile", "test:\n\tsh check.sh\n");
    it.write("check.sh", "echo 'not ok 1 - adds'; exit 1\n");
    let plan = it.checks.plan(&it.dir(), None, &[]).await.unwrap();
    assert_eq!(plan.source, Source::Detected(vec!["make".to_owned()]));
    let order = |key: &str| Order { key: key.to_owned(), dir: it.dir(), plan: plan.clone() };
    let report = it.checks.run(&order("r1")).await.unwrap();
    assert_eq!((report.verdict, report.failing_set()), (Verdict::Failed, vec!["make test: adds".to_owned()]));
    it.write("check.sh", "echo 'ok 1 - adds'\n");
    assert_eq!(it.checks.run(&order("r2")).await.unwrap().verdict, Verdict::Passed);
    it.write("Makefile", "test:\n\t@echo ok\n");
    let plan = it.checks.plan(&it.dir(), None, &[]).await.unwrap();
    let report = it.checks.run(&Order { key: "r3".into(), dir: it.dir(), plan }).await.unwrap();
    assert_eq!((report.verdict, report.hollow[0].name.as_str()), (Verdict::Failed, "make test"));
    for key in ["r1", "r2", "r3"] {
        it.checks.end(key).await.unwrap();
    }
}
