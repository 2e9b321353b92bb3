//! `orcha-bench`: measures the daemon beside the least that a program could do by hand, and prints both.
//!
//! No figure ends a run: aims are shown, met or not, and what cannot be measured here is named. For its own
//! test it can also play the daemon, the keeper and the agent, as `orchad` does.

mod agents;
mod daemon;
mod figure;
mod fill;
mod finished;
mod floor;
mod footprint;
mod http;
mod lists;
mod processor;
mod roles;
mod scale;
mod stage;
mod stream;
mod sweep;
mod table;
mod wheel;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use figure::{Figure, Machine, Report, SCHEMA, Skipped};
use orcha_base::Timestamp;
use scale::{Scale, Size};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// Measures orcha beside the least that a program could do by hand.
#[derive(Debug, Parser)]
#[command(name = "orcha-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Less than a minute: fewer and shorter rounds; aims that need all the rows are not judged.
    #[arg(long)]
    quick: bool,
    /// How much is measured.
    #[arg(long, value_enum, conflicts_with = "quick", hide = true)]
    scale: Option<Scale>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure only these groups.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// The daemon's program; by default the one beside this program, or else this program itself.
    #[arg(long, value_name = "PROGRAM")]
    orchad: Option<PathBuf>,
    /// Where data folders are made, by default beside this program; the disk below it is what is measured.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one load with nothing beside it, for a profiler.
    #[command(hide = true)]
    Profile {
        /// `pipelines`, `workflows`, `decisions` or `transcripts`.
        what: String,
        /// How long.
        #[arg(default_value_t = 10.0)]
        seconds: f64,
    },
    /// Serve events as the floor of the stream does.
    #[command(hide = true)]
    SseFloor,
    /// Serve as the daemon does.
    #[command(hide = true)]
    Serve(orchad::serve::Options),
}

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Decisions, pipelines, workflows and transcripts in this process.
    Wheel,
    /// Agents as real processes.
    Agents,
    /// The event stream.
    Stream,
    /// Lists over a large folder, memory, and cold starts.
    Lists,
    /// Memory and start with many finished workflows.
    Finished,
    /// Memory of running sessions, and how they are taken up after the daemon was killed.
    Footprint,
}

impl Group {
    const ALL: [Self; 6] = [Self::Wheel, Self::Agents, Self::Stream, Self::Lists, Self::Finished, Self::Footprint];

    const fn name(self) -> &'static str {
        match self {
            Self::Wheel => "wheel",
            Self::Agents => "agents",
            Self::Stream => "stream",
            Self::Lists => "lists",
            Self::Finished => "finished",
            Self::Footprint => "footprint",
        }
    }
}

fn main() -> ExitCode {
    // As in `orchad`: these two are started often and must be small and quick.
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("keeper") => {
            return match args.next() {
                Some(run_dir) => orcha_exec::keeper::main(Path::new(&run_dir)),
                None => ExitCode::from(2),
            };
        }
        Some("scripted-agent") => {
            return orcha_scripted_agent::main(args.map(|arg| arg.to_string_lossy().into_owned()).collect());
        }
        Some(_) | None => {}
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Serve(options)) => orchad::serve::main(options),
        command => measure(command, &cli.options).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|fault| {
        eprintln!("orcha-bench: {fault:#}");
        ExitCode::FAILURE
    })
}

fn measure(command: Option<Command>, options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Some(Command::SseFloor) => runtime.block_on(stream::serve_floor()),
        Some(Command::Profile { what, seconds }) => {
            let folder = sweep::folder(&place(options)?)?;
            println!("{}", runtime.block_on(wheel::profile(folder.path(), &what, seconds))?);
            Ok(())
        }
        Some(Command::Serve(_)) | None => {
            let folder = sweep::folder(&place(options)?)?;
            let report = runtime.block_on(report(folder.path(), options))?;
            if options.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                println!("{}", table::show(&report));
            }
            Ok(())
        }
    }
}

/// Finds where data folders are made.
fn place(options: &Options) -> Result<PathBuf> {
    if let Some(dir) = &options.dir {
        return std::path::absolute(dir).context("the folder for data folders");
    }
    let myself = std::env::current_exe().context("this program does not know its own path")?;
    Ok(myself.parent().unwrap_or(Path::new("/")).to_owned())
}

async fn report(root: &Path, options: &Options) -> Result<Report> {
    let scale = if options.quick { Scale::Quick } else { options.scale.unwrap_or(Scale::Full) };
    let size = scale.size();
    let program = program(options)?;
    let started_at = Timestamp::from(SystemTime::now()).to_string();
    let begin = Instant::now();
    let (mut figures, mut skipped) = (Vec::new(), Vec::new());
    let wanted = Group::ALL.into_iter().filter(|it| options.only.is_empty() || options.only.contains(it));
    for group in wanted {
        let since = Instant::now();
        match one(group, root, &program, &size).await {
            Ok(more) => {
                eprintln!("bench: {} took {:.1} s", group.name(), since.elapsed().as_secs_f64());
                figures.extend(more);
            }
            Err(fault) => {
                eprintln!("bench: {} could not be measured: {fault:#}", group.name());
                skipped.push(Skipped { name: group.name().into(), reason: format!("{fault:#}") });
            }
        }
    }
    Ok(Report {
        schema: SCHEMA.into(),
        scale: scale.name().into(),
        started_at,
        seconds: begin.elapsed().as_secs_f64(),
        machine: Machine {
            cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            optimised: !cfg!(debug_assertions),
        },
        figures,
        skipped,
    })
}

async fn one(group: Group, root: &Path, program: &Path, size: &Size) -> Result<Vec<Figure>> {
    match group {
        Group::Wheel => wheel::run(root, size).await,
        Group::Agents => agents::run(root, program, size).await,
        Group::Stream => stream::run(root, program, size).await,
        Group::Lists => lists::run(root, program, size).await,
        Group::Finished => finished::run(root, program, size).await,
        Group::Footprint => footprint::run(root, program, size).await,
    }
}

/// Finds the daemon's program.
fn program(options: &Options) -> Result<PathBuf> {
    if let Some(named) = &options.orchad {
        return std::path::absolute(named).context("the daemon's program");
    }
    let myself = std::env::current_exe().context("this program does not know its own path")?;
    let beside = myself.with_file_name("orchad");
    Ok(if beside.is_file() { beside } else { myself })
}
