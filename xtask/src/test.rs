//! `cargo xtask test`: every test of the workspace, and one line of totals at the end.
//!
//! It decides nothing about a test: a test that misses a program announces that itself, by a line
//! `name: reason` in the file that `ORCHA_SKIP_LOG` names, and passes. It is then counted as
//! skipped here, not as passed.

mod totals;

use crate::programs::{self, Missing};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use totals::Totals;

/// The options of `test`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Install nothing; only say what is missing.
    #[arg(long)]
    no_install: bool,
    /// Arguments for the test runner, for instance a part of a test's name; without doctests then.
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Prepares, builds and runs the tests.
pub fn run(args: &Args) -> Result<ExitCode> {
    programs::prepare(if args.no_install { Missing::Report } else { Missing::Install })?;

    let skip_log = shell::root().join("target").join(format!("skipped-tests-{}.log", std::process::id()));
    std::fs::write(&skip_log, "").with_context(|| format!("could not write {}", skip_log.display()))?;

    // One build for all, because tests start the programs of other packages than their own.
    let kinds = ["--lib", "--bins", "--tests", "--examples"];
    shell::run(shell::cargo(&["build", "--workspace", "--all-features", "--locked"]).args(kinds))?;

    let (mut totals, mut all_well) = tests(args, &skip_log)?;
    if args.runner.is_empty() {
        let (doctests, well) = doctests(&skip_log)?;
        totals = totals + doctests;
        all_well &= well;
    } else {
        eprintln!("xtask: doctests are left out, because the runner was given arguments");
    }

    let announced =
        std::fs::read_to_string(&skip_log).with_context(|| format!("could not read {}", skip_log.display()))?;
    std::fs::remove_file(&skip_log).with_context(|| format!("could not remove {}", skip_log.display()))?;
    let announced: BTreeSet<&str> = announced.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &announced {
        eprintln!("xtask: SKIPPED {line}");
    }
    totals = totals.with_announced_skips(announced.len() as u64);
    if !all_well && totals.failed == 0 {
        eprintln!("xtask: no test failed, but the runner did; see above");
    }
    println!("{totals}");
    Ok(if all_well && totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs unit and integration tests, by nextest where it is installed.
fn tests(args: &Args, skip_log: &Path) -> Result<(Totals, bool)> {
    let has_nextest = shell::ask(&mut shell::cargo(&["nextest", "--version"])).is_some();
    let scope = ["--workspace", "--all-features", "--locked", "--no-fail-fast"];
    if has_nextest {
        let color = if std::io::stderr().is_terminal() { "always" } else { "never" };
        let mut command = shell::cargo(&["nextest", "run"]);
        command.args(scope).args(["--color", color]).args(&args.runner);
        return watched(&mut command, Watched::Errors, skip_log, totals::of_nextest);
    }
    eprintln!("xtask: cargo-nextest is not installed; `cargo test` serves, more slowly");
    let mut command = shell::cargo(&["test"]);
    command.args(scope).args(["--lib", "--bins", "--tests", "--examples"]).args(&args.runner);
    watched(&mut command, Watched::Output, skip_log, totals::of_libtest)
}

fn doctests(skip_log: &Path) -> Result<(Totals, bool)> {
    let mut command = shell::cargo(&["test", "--doc", "--workspace", "--all-features", "--locked", "--no-fail-fast"]);
    watched(&mut command, Watched::Output, skip_log, totals::of_libtest)
}

/// The stream on which a runner prints its totals.
enum Watched {
    Output,
    Errors,
}

/// Runs a test runner, shows all it prints as it comes, and reads its totals.
fn watched(
    command: &mut Command,
    watched: Watched,
    skip_log: &Path,
    read: fn(&str) -> Option<Totals>,
) -> Result<(Totals, bool)> {
    command.env("ORCHA_SKIP_LOG", skip_log).stdin(Stdio::null());
    match watched {
        Watched::Output => command.stdout(Stdio::piped()),
        Watched::Errors => command.stderr(Stdio::piped()),
    };
    let line = shell::announce(command);
    let mut child = command.spawn().with_context(|| format!("could not start `{line}`"))?;
    let (totals, status): (Totals, ExitStatus) = {
        let stream: Option<Box<dyn Read>> = match watched {
            Watched::Output => child.stdout.take().map(|it| Box::new(it) as _),
            Watched::Errors => child.stderr.take().map(|it| Box::new(it) as _),
        };
        let totals = tee(BufReader::new(stream.context("the runner has no stream")?), read)?;
        (totals, child.wait().with_context(|| format!("could not wait for `{line}`"))?)
    };
    if !status.success() && totals == Totals::default() {
        bail!("`{line}` failed before it ran a test: {status}");
    }
    Ok((totals, status.success()))
}

/// Copies lines to our error stream and adds up the totals among them.
fn tee(mut stream: impl BufRead, read: fn(&str) -> Option<Totals>) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut errors = std::io::stderr().lock();
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line)? > 0 {
        errors.write_all(&line)?;
        if let Some(found) = read(&totals::without_colors(&String::from_utf8_lossy(&line))) {
            totals = totals + found;
        }
        line.clear();
    }
    Ok(totals)
}
