//! The daemon. It reads the environment, wires the rooms together and serves; it decides nothing.
//!
//! The same program is also the keeper of each run, the bridge to a terminal, the agent over a model's API and, for demos and
//! tests, an agent and a tool server that follow a script.

use clap::{Parser, Subcommand};
use orchad::{config, demo, models, serve};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The orcha daemon: who is working on what, what do they need, what changed, and where is it running.
#[derive(Debug, Parser)]
#[command(name = "orchad", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve objectives until stopped. Agents outlive the daemon; a new one takes them up again.
    Serve(serve::Options),
    /// Show the whole way on a sample repository: an objective becomes three merged pull requests.
    Demo(demo::Options),
    /// Print every setting of the settings file with its usual value, ready to be edited.
    Config,
    /// List the models that each provider has, asked of the provider itself, with what they can do.
    Models(models::Options),
    /// Keep the terminal of one run: started by its keeper, not by people.
    #[command(hide = true)]
    Terminal {
        /// What to do, as a file in the directory of the run.
        orders: PathBuf,
    },
    /// Keep one run: started by the daemon, not by people.
    #[command(hide = true)]
    Keeper {
        /// The directory of the run.
        run_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    // Before anything else: these are started often and must be small and quick.
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("keeper") => {
            return match args.next() {
                Some(run_dir) => orcha_exec::keeper::main(PathBuf::from(run_dir).as_path()),
                None => ExitCode::from(2),
            };
        }
        Some("terminal") => {
            return match args.next() {
                Some(orders) => terminal(Path::new(&orders)),
                None => ExitCode::from(2),
            };
        }
        Some("scripted-agent") => {
            let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
            return orcha_scripted_agent::main(args);
        }
        Some("scripted-tools") => {
            let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
            return orcha_scripted_model::tool_server::main(&args);
        }
        Some("llm-agent") => {
            let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
            return orcha_llm_agent::main(args);
        }
        Some(_) | None => {}
    }
    let outcome = match Cli::parse().command {
        Command::Serve(options) => serve::main(options),
        Command::Demo(options) => demo::main(options),
        Command::Config => print_config(),
        Command::Models(options) => models::main(&options),
        Command::Terminal { orders } => return terminal(&orders),
        Command::Keeper { run_dir } => return orcha_exec::keeper::main(&run_dir),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("orchad: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps the terminal of one run until it is over.
fn terminal(orders: &Path) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            eprintln!("the bridge to the terminal could not be started: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(orcha_agent::terminal::serve(orders));
    // A thread may still wait for input that does not come.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn print_config() -> anyhow::Result<ExitCode> {
    use std::io::Write;
    write!(std::io::stdout(), "{}", config::Config::default().to_toml()?)?;
    Ok(ExitCode::SUCCESS)
}
