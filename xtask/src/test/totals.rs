//! Reads how many tests passed, failed and were skipped from what a test runner prints.
//!
//! It knows the summary lines of nextest and of libtest, and no other part of their output.

use std::fmt;
use std::ops::Add;

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ended well.
    pub passed: u64,
    /// Ended badly, ran out of time, or did not start.
    pub failed: u64,
    /// Did not run, or announced that they could not.
    pub skipped: u64,
}

impl Totals {
    /// Moves tests that announced a skip from the passed to the skipped ones.
    pub fn with_announced_skips(self, n_announced: u64) -> Self {
        let n_moved = n_announced.min(self.passed);
        Self { passed: self.passed - n_moved, skipped: self.skipped + n_moved, ..self }
    }
}

impl Add for Totals {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Reads nextest's `Summary [ 1.2s] 9 tests run: 7 passed (1 slow), 2 failed, 1 skipped`.
pub fn of_nextest(line: &str) -> Option<Totals> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_, counts) = rest.split_once(" run:")?;
    Some(counted(&without_parentheses(counts), ','))
}

/// Reads libtest's `test result: ok. 7 passed; 2 failed; 1 ignored; 0 measured; …`.
pub fn of_libtest(line: &str) -> Option<Totals> {
    let (_, counts) = line.trim().strip_prefix("test result:")?.split_once(". ")?;
    // `filtered out` is what the caller asked for, not a test that could not run.
    Some(counted(counts, ';'))
}

/// Removes the sequences that colour a terminal.
pub fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A control sequence ends with its first letter.
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

fn counted(counts: &str, separator: char) -> Totals {
    let mut totals = Totals::default();
    for count in counts.split(separator) {
        let Some((number, what)) = count.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match what.trim() {
            "passed" => totals.passed += number,
            "failed" | "timed out" | "exec failed" => totals.failed += number,
            "skipped" | "ignored" => totals.skipped += number,
            // For instance `measured`, `filtered out; finished in …`.
            _ => {}
        }
    }
    totals
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let keep = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: u64, failed: u64, skipped: u64) -> Option<Totals> {
        Some(Totals { passed, failed, skipped })
    }

    #[test]
    fn summaries_of_nextest_are_read() {
        let read = |line| of_nextest(&without_colors(line));
        assert_eq!(read("     Summary [   0.123s] 5 tests run: 5 passed, 0 skipped"), totals(5, 0, 0));
        assert_eq!(read("     Summary [  12.123s] 1 test run: 1 passed, 3 skipped\n"), totals(1, 0, 3));
        assert_eq!(
            read(
                "Summary [ 1s] 9 tests run: 5 passed (1 slow, 2 flaky), 2 failed (1 due to being leaky), 1 timed out, 1 exec failed, 4 skipped"
            ),
            totals(5, 4, 4)
        );
        assert_eq!(read("Summary [ 1s] 3/9 tests run: 2 passed, 1 failed, 0 skipped"), totals(2, 1, 0));
        assert_eq!(
            read(
                "\u{1b}[31;1m     Summary\u{1b}[0m [   0.006s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m1\u{1b}[0m \u{1b}[31;1mfailed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m"
            ),
            totals(1, 1, 0)
        );
        assert_eq!(read("        PASS [   0.005s] xtask test::totals::tests::a_summary"), None);
    }

    #[test]
    fn results_of_libtest_are_read() {
        let line = "test result: ok. 7 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.50s\n";
        assert_eq!(of_libtest(line), totals(7, 2, 1));
        assert_eq!(of_libtest("test result: FAILED. 0 passed; 1 failed; 0 ignored"), totals(0, 1, 0));
        assert_eq!(of_libtest("test ids::tests::an_id_is_read ... ok"), None);
    }

    #[test]
    fn an_announced_skip_is_not_a_pass() {
        let seen = Totals { passed: 5, failed: 1, skipped: 2 };
        assert_eq!(seen.with_announced_skips(2), Totals { passed: 3, failed: 1, skipped: 4 });
    }

    #[test]
    fn the_line_of_totals_has_its_one_form() {
        assert_eq!(Totals { passed: 5, failed: 1, skipped: 2 }.to_string(), "5 passed, 1 failed, 2 skipped");
    }
}
