//! `cargo xtask ci`: what must hold before a change lands.
//!
//! Gates run one after the other, the cheap ones first; the first that fails ends the run. The
//! tests come last, so that their line of totals is the last line.

use crate::{deny, shell, test, tidy};
use anyhow::Result;
use std::process::ExitCode;
use std::time::Instant;

/// The options of `ci`.
#[derive(clap::Args)]
pub struct Args {
    /// Run fmt, tidy, deny and clippy, but not the tests.
    #[arg(long)]
    gates_only: bool,
}

/// Runs the gates and then the tests.
pub fn run(args: &Args) -> Result<ExitCode> {
    gate("fmt", || shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])))?;
    gate("tidy", tidy::check)?;
    gate("deny", deny::check)?;
    gate("clippy", clippy)?;
    if args.gates_only { Ok(ExitCode::SUCCESS) } else { test::run(&test::Args::default()) }
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
    shell::run(&mut shell::cargo(&args))
}

fn gate(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    let result = check();
    let verdict = if result.is_ok() { "passed" } else { "FAILED" };
    eprintln!("xtask: gate {name} {verdict} in {:.1} s", begin.elapsed().as_secs_f64());
    result
}
