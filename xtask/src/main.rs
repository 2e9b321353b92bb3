//! The project's own commands: `cargo xtask <command>`.
//!
//! Each command is one module with an `Args` struct and a `run` function. Nothing of the
//! product lives here, and nothing of the product depends on it.

mod agent_programs;
mod bench;
mod ci;
mod crash;
mod deny;
mod live;
mod programs;
mod shell;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks the rules that the compiler does not: floors, pure crates, file headers, SQL, tasks, paths.
    Tidy(tidy::Args),
    /// Runs every test; installs what they need where it can, and ends with one line of totals.
    Test(test::Args),
    /// Measures the daemon beside the least that a program could do by hand, in release builds.
    Bench(bench::Args),
    /// Installs the real agent programs that tests run against the scripted model.
    Agents(agent_programs::Args),
    /// Kills the daemon in release builds at random instants, and checks that it converges each time.
    Crash(crash::Args),
    /// Walks the README's tour on a real daemon with real processes, command by command; `live agents` holds real agent
    /// programs against what every agent must be able to do, and `live demo` lets them play the demo.
    Live(live::Args),
    /// Runs the gates (fmt, tidy, deny, clippy), then the tests; `.ci/run` does the same in two calls.
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Tidy(args) => tidy::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Agents(args) => agent_programs::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Live(args) => live::run(&args),
        Command::Ci(args) => ci::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
