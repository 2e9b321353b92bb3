//! `cargo xtask bench`: builds the daemon and the benchmarks in release, and runs them.
//!
//! Nothing is measured here; see `crates/bench` and `docs/benchmarks.md`.

use crate::shell;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// The options of `bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Less than a minute: fewer and shorter rounds; aims that need all the rows are not judged.
    #[arg(long)]
    quick: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// Further options of `orcha-bench`, for instance `--only wheel` or `--dir DIR`.
    #[arg(last = true)]
    more: Vec<String>,
}

/// Builds and measures; how the figures turn out does not change the exit code.
pub fn run(args: &Args) -> Result<ExitCode> {
    shell::run(&mut shell::cargo(&["build", "--release", "--locked", "-p", "orcha-bench", "-p", "orchad"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), Into::into);
    let release = shell::root().join(target).join("release");
    let mut bench = shell::program(release.join("orcha-bench"));
    // Data folders are made beside it: the target folder lies on a real disk more often than the one for temporary
    // files does.
    bench.arg("--orchad").arg(release.join("orchad"));
    if args.quick {
        bench.arg("--quick");
    }
    if args.json {
        bench.arg("--json");
    }
    bench.args(&args.more);
    let line = shell::announce(&bench);
    let status = bench.status().with_context(|| format!("could not start `{line}`"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
