//! `cargo xtask live demo`: the demo with Codex as the manager and Gemini CLI and opencode as workers, in a namespace
//! without a network.
//!
//! It installs the programs and starts `orchad demo --agents real`; it checks nothing itself.

use crate::agent_programs::{self, Standing};
use crate::shell;
use anyhow::{Context, Result, bail};
use orcha_scripted_model::{isolation, programs};
use std::process::ExitCode;

/// The options of `live demo`.
#[derive(clap::Args)]
pub struct Args {}

/// Who plays.
const PROGRAMS: [&str; 3] = ["codex", "gemini", "opencode"];

/// Installs what is wanted, and plays.
pub fn run(_args: &Args) -> Result<ExitCode> {
    let cache = agent_programs::cache()?;
    for name in PROGRAMS {
        let program = programs::named(name).with_context(|| format!("`{name}` is no known program"))?;
        if let Standing::Absent(reason) = agent_programs::prepare(program, &cache)? {
            bail!("the demo needs {}: {reason}", program.spec());
        }
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
