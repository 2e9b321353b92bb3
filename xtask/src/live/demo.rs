//! `cargo xtask live demo`: the demo with Codex as the manager and Gemini CLI and opencode as workers, in a namespace
//! without a network; and with `--kills`, the same while the daemon is killed again and again.
//!
//! It installs the programs and starts `orchad demo --agents real`, or the crash test over it; it checks nothing itself.

use crate::agent_programs::{self, Standing};
use crate::shell;
use anyhow::{Context, Result, bail};
use orcha_scripted_model::{isolation, programs};
use std::process::ExitCode;

/// The options of `live demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Kill the daemon so often meanwhile, and check what came of it.
    #[arg(long)]
    kills: Option<u64>,
    /// From where the instants are drawn; a failure prints its own.
    #[arg(long, requires = "kills")]
    seed: Option<u64>,
}

/// Who plays.
const PROGRAMS: [&str; 3] = ["codex", "gemini", "opencode"];

/// Installs what is wanted, and plays.
pub fn run(args: &Args) -> Result<ExitCode> {
    let cache = agent_programs::cache()?;
    for name in PROGRAMS {
        let program = programs::named(name).with_context(|| format!("`{name}` is no known program"))?;
        if let Standing::Absent(reason) = agent_programs::prepare(program, &cache)? {
            bail!("the demo needs {}: {reason}", program.spec());
        }
    }
    if let Some(kills) = args.kills {
        let test = "killed_at_any_instant_the_daemon_converges_with_real_agents";
        let mut test = shell::cargo(&["test", "--locked", "-p", "orchad", "--test", "crash", "--", "--exact", test]);
        test.args(["--include-ignored", "--nocapture"]).env("ORCHA_CRASH_REAL_KILLS", kills.to_string());
        if let Some(seed) = args.seed {
            test.env("ORCHA_CRASH_SEED", seed.to_string());
        }
        shell::run(&mut test)?;
        return Ok(ExitCode::SUCCESS);
    }
    shell::run(&mut shell::cargo(&["build", "--locked", "-p", "orchad"]))?;
    let metadata =
        cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo did not say where it builds")?;
    let orchad = metadata.target_directory.as_std_path().join("debug").join("orchad");
    let words = isolation::namespace().context("no namespace without a network can be had here")?;
    let mut demo = shell::program(&words[0]);
    demo.args(&words[1..]).arg(orchad).args(["demo", "--agents", "real"]);
    shell::run(&mut demo)?;
    Ok(ExitCode::SUCCESS)
}
