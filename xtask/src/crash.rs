//! `cargo xtask crash`: kills the daemon in release builds, again and again, and says what came of it.
//!
//! It kills nothing itself; see `bins/orchad/tests/crash`, which does the same a hundred times in each test run.

use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

/// What half of all restarts must not exceed, in milliseconds.
const AIM: f64 = 300.0;

/// The options of `crash`.
#[derive(clap::Args)]
pub struct Args {
    /// How often the daemon is killed.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Which demo is played meanwhile.
    #[arg(long, default_value = "manager", value_parser = ["manager", "pipeline"])]
    story: String,
    /// From where the instants are drawn; a failure prints its own.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the summary as one JSON document.
    #[arg(long)]
    json: bool,
}

/// Builds the test in release, runs it with so many kills, and prints its summary.
pub fn run(args: &Args) -> Result<ExitCode> {
    let report = shell::root().join("target").join(format!("crash-{}.json", std::process::id()));
    let mut test = shell::cargo(&["test", "--release", "--locked", "-p", "orchad", "--test", "crash"]);
    test.args(["--", "--nocapture"]).env("ORCHA_CRASH_KILLS", args.kills.to_string());
    test.env("ORCHA_CRASH_STORY", &args.story);
    test.env("ORCHA_CRASH_REPORT", &report).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(seed) = args.seed {
        test.env("ORCHA_CRASH_SEED", seed.to_string());
    }
    let began = Instant::now();
    shell::run(&mut test)?;
    let text = std::fs::read_to_string(&report).with_context(|| format!("{} could not be read", report.display()))?;
    std::fs::remove_file(&report).with_context(|| format!("{} could not be removed", report.display()))?;
    if args.json {
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let summary: Value = serde_json::from_str(&text).context("the summary is not one")?;
    let (restart, checked) = (&summary["restart_ms"], &summary["checked"]);
    let Some(p50) = restart["p50"].as_f64() else { bail!("the summary has no restarts: {text}") };
    println!(
        "{}: {} kills in {} rounds, seed {}, {:.0} s with the build",
        args.story,
        summary["kills"],
        summary["rounds"],
        summary["seed"],
        began.elapsed().as_secs_f64()
    );
    println!(
        "converged each time: {} runs, {} transcript lines, {} commits, {} events, none lost, none twice",
        checked["runs"], checked["transcript_lines"], checked["commits"], checked["events"]
    );
    println!(
        "from the start of the process to its first answer, {} times: p50 {p50} ms, p90 {} ms, max {} ms; the aim of \
         p50 ≤ {AIM} ms is {}",
        restart["restarts"],
        restart["p90"],
        restart["max"],
        if p50 <= AIM { "met" } else { "missed" }
    );
    Ok(ExitCode::SUCCESS)
}
