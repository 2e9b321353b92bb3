//! The rule that the page of guarantees is true: each test that it names is there, and each numbered test stands on it.
//!
//! Whether a test holds what its row says, a person has to judge.

use super::{File, Finding, Source};
use std::collections::BTreeSet;

/// The page.
const PAGE: &str = "docs/GUARANTEES.md";

/// Finds rows without a test, tests that there are not, and numbered tests that the page does not name.
pub fn check(files: &[File], sources: &[Source]) -> Vec<Finding> {
    let Some(page) = files.iter().find(|it| it.path == PAGE) else { return Vec::new() };
    let there: BTreeSet<&str> = sources.iter().flat_map(Source::tests).map(|(_, name)| name).collect();
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let mut findings = Vec::new();
    for (n, line) in page.text.lines().enumerate() {
        let Some((row, tests)) = row(line) else { continue };
        let mut say = |what: String| {
            findings.push(Finding { rule: "guarantees", place: format!("{PAGE}:{}", n + 1), what });
        };
        let tests: Vec<&str> = tests.collect();
        if tests.is_empty() {
            say("names no test".into());
        }
        for test in tests {
            named.insert(test);
            if !there.contains(test) {
                say(format!("names `{test}`, which is no test"));
            }
            if let (Ok(row), Some(own)) = (row.parse::<u32>(), number(test))
                && row != own
            {
                say(format!("names `{test}`, which is of guarantee {own}"));
            }
        }
    }
    for source in sources {
        let missing = source.tests().filter(|(_, name)| number(name).is_some() && !named.contains(name));
        findings.extend(missing.map(|(line, name)| Finding {
            rule: "guarantees",
            place: format!("{}:{line}", source.path),
            what: format!("`{name}` is not on {PAGE}"),
        }));
    }
    findings
}

/// Takes a row of a table apart: its first cell, and the tests that its last one names.
fn row(line: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let (first, last) = (*cells.first()?, *cells.last()?);
    let is_head = last == "tests" || last.starts_with("---");
    let is_test =
        |it: &&str| it.contains('_') && it.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (!is_head).then(|| (first, last.split('`').skip(1).step_by(2).filter(is_test)))
}

/// Returns the number of the guarantee that a test's name begins with, as in `c06_`.
fn number(test: &str) -> Option<u32> {
    let (digits, _) = test.strip_prefix('c')?.split_once('_')?;
    (digits.len() == 2).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str, code: &str) -> Vec<String> {
        let files = [File { path: PAGE.into(), text: page.into() }];
        check(&files, &[Source::read("crates/a/src/a.rs", code)]).iter().map(ToString::to_string).collect()
    }

    const CODE: &str = "//! x\n#[test]\nfn c01_it() {}\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn p2_so() {}\nfn c03_no() {}\n";

    #[test]
    fn a_page_that_is_true_says_nothing() {
        let page = "| n | guarantee | tests |\n|---|---|---|\n| 1 | It `is_so`. | `c01_it` `p2_so` and more |\n";
        assert!(found(page, CODE).is_empty(), "{:?}", found(page, CODE));
    }

    #[test]
    fn a_test_that_is_gone_a_row_without_one_and_a_wrong_number_are_named() {
        let page = "| 1 | a | `c03_no` |\n| 2 | b | none |\n| 3 | c | `c01_it` |\n";
        assert_eq!(
            found(page, CODE),
            [
                "guarantees: docs/GUARANTEES.md:1: names `c03_no`, which is no test",
                "guarantees: docs/GUARANTEES.md:1: names `c03_no`, which is of guarantee 3",
                "guarantees: docs/GUARANTEES.md:2: names no test",
                "guarantees: docs/GUARANTEES.md:3: names `c01_it`, which is of guarantee 1",
            ]
        );
    }

    #[test]
    fn a_numbered_test_that_the_page_does_not_name_is_found() {
        assert_eq!(
            found("| 2 | b | `p2_so` |\n", CODE),
            ["guarantees: crates/a/src/a.rs:3: `c01_it` is not on docs/GUARANTEES.md"]
        );
    }
}
