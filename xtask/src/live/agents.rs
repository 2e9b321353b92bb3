//! `cargo xtask live agents`: installs the real agent programs, and holds each kind of agent against the list of cases
//! that every agent must be able to do.
//!
//! The cases are in `bins/orchad/tests/conformance`; what a kind cannot do is declared there. A program that cannot be
//! had is told, and its kinds are skipped aloud.

use crate::agent_programs::{self, Standing};
use crate::shell;
use anyhow::{Context, Result, bail};
use orcha_scripted_model::programs;
use std::process::ExitCode;

/// The options of `live agents`.
#[derive(clap::Args)]
pub struct Args {
    /// Which kinds, or all kinds of which programs; else every one.
    names: Vec<String>,
    /// Only the case of this name, for instance `quota, then recovery`.
    #[arg(long)]
    case: Option<String>,
}

/// The kinds of agents, with the program of each.
const KINDS: [(&str, &str); 11] = [
    ("codex", "codex"),
    ("codex-exec", "codex"),
    ("gemini", "gemini"),
    ("gemini-headless", "gemini"),
    ("opencode", "opencode"),
    ("opencode-run", "opencode"),
    ("qwen", "qwen"),
    ("qwen-headless", "qwen"),
    ("codex-acp", "codex-acp"),
    ("claude", "claude"),
    ("claude-agent-acp", "claude-agent-acp"),
];

/// Installs what is wanted, and runs the cases.
pub fn run(args: &Args) -> Result<ExitCode> {
    let known = |name: &String| KINDS.iter().any(|(kind, program)| kind == name || program == name);
    if let Some(unknown) = args.names.iter().find(|name| !known(name)) {
        bail!("`{unknown}` is no known kind; known are {}", KINDS.map(|(kind, _)| kind).join(", "));
    }
    let wanted = |(kind, program): &&(&str, &str)| {
        args.names.is_empty() || args.names.iter().any(|name| name == kind || name == program)
    };
    let wanted: Vec<_> = KINDS.iter().filter(wanted).collect();
    let cache = agent_programs::cache()?;
    let mut prepared: Vec<&str> = Vec::new();
    for (_, name) in &wanted {
        if prepared.contains(name) {
            continue;
        }
        prepared.push(name);
        let program = programs::named(name).with_context(|| format!("`{name}` is no known program"))?;
        match agent_programs::prepare(program, &cache)? {
            Standing::Ready(_) => eprintln!("xtask: {} is there", program.spec()),
            Standing::Absent(reason) => eprintln!("xtask: NO {}: {reason}", program.spec()),
        }
    }
    let mut test = shell::cargo(&["test", "--locked", "-p", "orchad", "--test", "conformance", "--"]);
    test.args(["--exact", "--include-ignored", "--nocapture", "--test-threads=2", "scripted"]);
    test.args(wanted.iter().map(|(kind, _)| kind.replace('-', "_")));
    test.env("ORCHA_CONFORMANCE_ALL", "1");
    if let Some(case) = &args.case {
        test.env("ORCHA_CONFORMANCE_CASE", case);
    }
    shell::run(&mut test)?;
    Ok(ExitCode::SUCCESS)
}
