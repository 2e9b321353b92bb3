//! What the output of known tools says: which tests failed, how many were run, and whether the machine failed. Pure.
//!
//! The one table of tools' texts. No pass is ever read from a text: that takes an exit code.

use crate::plan::Kind;
use crate::report::Tests;
use regex::Regex;
use std::sync::LazyLock;

/// More names do not help anybody.
const MOST: usize = 100;

/// A line that is longer names no test.
const LINE: usize = 400;

/// Lines that name a test that failed: cargo, go, pytest, unittest, jest and vitest, TAP, maven, gradle.
static FAILING: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"^test (\S+)(?: - should panic)? \.\.\. FAILED$",
        r"^\s*--- FAIL: (\S+)",
        r"^(?:FAILED|ERROR) (\S+::[^\s]+|\S+\.py)(?: - .*)?$",
        r"^(?:FAIL|ERROR): (\w+ \([\w.]+\))$",
        r"^\s*● (.+ › .+)$",
        r"^\s*(?:FAIL|×) +(\S+ > .+?)(?: \d+ms)?$",
        r"^not ok \d+ -? ?(.+?)(?: # .*)?$",
        r"^\[ERROR\] +(\w[\w.$]*\.\w+)(?::\d+)?[ »:].*$",
        r"^([\w.$]+ > .+) FAILED$",
        r"^\s+FAIL \[[^]]*\] (?:\([^)]*\) )?(\S+ \S+)$",
    ]
    .iter()
    .filter_map(|it| Regex::new(it).ok())
    .collect()
});

/// Lines that count tests, each with its groups for passed, failed and skipped.
static COUNTS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed; (?P<skipped>\d+) ignored",
        r"^=* ?(?:(?P<failed>\d+) failed,? ?)?(?:(?P<passed>\d+) passed,? ?)?(?:(?P<skipped>\d+) skipped)?.* in [\d.]+s",
        r"^Tests: +(?:(?P<failed>\d+) failed, )?(?:(?P<skipped>\d+) skipped, )?(?:(?P<passed>\d+) passed, )?\d+ total",
        r"^\s+Tests +(?:(?P<failed>\d+) failed \| )?(?P<passed>\d+) passed",
        r"Tests run: (?P<run>\d+), Failures: (?P<failed>\d+), Errors: (?P<errors>\d+), Skipped: (?P<skipped>\d+)$",
        r"^Ran (?P<run>\d+) tests? in ",
        r"^(?:FAILED|OK) \((?:failures=(?P<of_failed>\d+))?(?:, )?(?:errors=(?P<of_errors>\d+))?(?:, )?(?:skipped=(?P<of_skipped>\d+))?",
        r"^# pass (?P<passed>\d+)$",
        r"^# fail (?P<failed>\d+)$",
    ]
    .iter()
    .filter_map(|it| Regex::new(it).ok())
    .collect()
});

/// What the machine says when it is at its end.
const MACHINE: &[(&str, &str)] = &[
    ("No space left on device", "no space is left"),
    ("ENOSPC", "no space is left"),
    ("Disk quota exceeded", "no space is left"),
    ("Cannot allocate memory", "no memory is left"),
    ("ENOMEM", "no memory is left"),
    ("Too many open files", "too many files are open"),
];

/// What tools say when a registry is away; believed while things are installed or built.
const NETWORK: &[&str] = &[
    "Could not resolve host",
    "Couldn't resolve host",
    "Temporary failure in name resolution",
    "EAI_AGAIN",
    "ENOTFOUND",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "ECONNRESET",
    "spurious network error",
    "failed to download from",
    "dial tcp",
    "Could not transfer artifact",
    "Network is unreachable",
    "Connection timed out",
];

/// Removes colours and other signs for terminals.
pub(crate) fn plain(text: &str) -> String {
    static SIGNS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r").ok());
    SIGNS.as_ref().map_or_else(|| text.to_owned(), |signs| signs.replace_all(text, "").into_owned())
}

/// Names the tests that failed, each once, in order.
pub(crate) fn failing(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| line.len() <= LINE) {
        let line = line.trim_end();
        let name = FAILING.iter().find_map(|it| it.captures(line)?.get(1));
        if let Some(name) = name.map(|it| it.as_str().trim().to_owned())
            && !found.contains(&name)
        {
            found.push(name);
            if found.len() == MOST {
                break;
            }
        }
    }
    found
}

/// Adds up the tests that were run, if the output says so.
pub(crate) fn tests(text: &str) -> Option<Tests> {
    let mut sum: Option<Tests> = None;
    for line in text.lines().filter(|line| line.len() <= LINE) {
        let line = line.trim_end();
        // A pattern whose numbers are all optional may match a line that has none.
        let counting = |it: &Regex| it.captures(line).filter(|found| found.iter().skip(1).flatten().next().is_some());
        let Some(found) = COUNTS.iter().find_map(counting) else { continue };
        let group = |name| found.name(name).and_then(|it| it.as_str().parse::<u32>().ok());
        // The line before has counted these among all that were run.
        let of = ["of_failed", "of_errors", "of_skipped"].map(|name| group(name).unwrap_or(0));
        if of.iter().any(|n| *n > 0)
            && let Some(sum) = &mut sum
        {
            let [failed, errors, skipped] = of;
            sum.failed = sum.failed.saturating_add(failed).saturating_add(errors);
            sum.skipped = sum.skipped.saturating_add(skipped);
            sum.passed = sum.passed.saturating_sub(failed).saturating_sub(errors).saturating_sub(skipped);
            continue;
        }
        let groups = ["passed", "failed", "skipped", "run"].map(group);
        let [passed, failed, skipped, run] = groups;
        let failed = failed.unwrap_or(0).saturating_add(group("errors").unwrap_or(0));
        let skipped = skipped.unwrap_or(0);
        let passed = passed.or(run.map(|run| run.saturating_sub(failed).saturating_sub(skipped))).unwrap_or(0);
        let before = sum.unwrap_or_default();
        sum = Some(Tests {
            passed: before.passed.saturating_add(passed),
            failed: before.failed.saturating_add(failed),
            skipped: before.skipped.saturating_add(skipped),
        });
    }
    sum
}

/// Says how the machine failed, if it was the machine.
pub(crate) fn machine(kind: Kind, text: &str, any_test_failed: bool) -> Option<String> {
    if let Some((_, what)) = MACHINE.iter().find(|(sign, _)| text.contains(sign)) {
        return Some((*what).to_owned());
    }
    let brings_in = matches!(kind, Kind::Install | Kind::Build) && !any_test_failed;
    let sign = NETWORK.iter().find(|sign| brings_in && text.contains(*sign))?;
    Some(format!("a registry could not be reached ({sign})"))
}

#[cfg(test)]
mod tests_of_reading {
    use super::*;

    #[test]
    fn failing_tests_are_named_for_each_tool() {
        let text = "\
test a::b ... ok
test a::c ... FAILED
    --- FAIL: TestX/case (0.00s)
FAILED tests/test_a.py::test_y - assert 1 == 2
FAIL: test_z (test_m.Case)
  ● suite › does it
 FAIL  src/a.test.ts > adds 12ms
not ok 3 - parses # time=1
[ERROR]   FooTest.bar:12 expected: <1>
com.x.FooTest > baz() FAILED
        FAIL [   0.012s] (1/8) orcha-x some::test
test a::c ... FAILED";
        assert_eq!(
            failing(text),
            [
                "a::c",
                "TestX/case",
                "tests/test_a.py::test_y",
                "test_z (test_m.Case)",
                "suite › does it",
                "src/a.test.ts > adds",
                "parses",
                "FooTest.bar",
                "com.x.FooTest > baz()",
                "orcha-x some::test",
            ]
        );
        assert!(failing("all fine\nFAILED to read").is_empty());
    }

    #[test]
    fn tests_are_counted() {
        let counts = |passed, failed, skipped| Some(Tests { passed, failed, skipped });
        let cargo = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\ntest result: FAILED. 2 passed; 1 failed; 0 ignored";
        assert_eq!(tests(cargo), counts(5, 1, 1));
        assert_eq!(tests("===== 1 failed, 2 passed, 3 skipped in 0.12s ====="), counts(2, 1, 3));
        assert_eq!(tests("Tests:       1 failed, 4 passed, 5 total"), counts(4, 1, 0));
        assert_eq!(tests("Tests run: 4, Failures: 1, Errors: 1, Skipped: 0"), counts(2, 2, 0));
        assert_eq!(tests("Ran 7 tests in 0.001s"), counts(7, 0, 0));
        assert_eq!(tests("Ran 0 tests in 0.000s"), counts(0, 0, 0));
        assert_eq!(tests("Ran 7 tests in 0.001s\n\nFAILED (failures=1, errors=2)"), counts(4, 3, 0));
        assert_eq!(tests("Ran 7 tests in 0.001s\n\nOK (skipped=1)"), counts(6, 0, 1));
        assert_eq!(tests("# pass 3\n# fail 1"), counts(3, 1, 0));
        assert_eq!(tests("built in 0.3s"), None);
        assert_eq!(tests("nothing"), None);
    }

    #[test]
    fn a_missing_registry_is_the_machine_but_not_while_tests_run() {
        let text = "npm ERR! code EAI_AGAIN";
        assert!(machine(Kind::Install, text, false).is_some());
        assert_eq!(machine(Kind::Test, text, false), None);
        assert_eq!(machine(Kind::Test, "write: No space left on device", true).as_deref(), Some("no space is left"));
        assert_eq!(machine(Kind::Build, "error[E0308]: mismatched types", false), None);
    }

    #[test]
    fn signs_for_terminals_are_removed() {
        assert_eq!(plain("\x1b[31mred\x1b[0m\r\n"), "red\n");
    }
}
