//! `orchad demo`: the whole way on a sample repository, with real processes, real checkouts and real git.
//!
//! A daemon of its own is started as a user would start it; agents are processes that follow a script, or programs whose
//! model follows one; a person is played by `reviewer`. Everything is shown by the same view that `orcha run` has.

pub mod daemon;
pub mod pipeline;
pub mod real;
pub mod reviewer;
pub mod sample;

use crate::signals;
use anyhow::{Context, Result, bail};
use clap::Args;
use daemon::Daemon;
use orcha_base::{Redacted, RepoUrl};
use orcha_client::Client;
use orcha_client::live::{Outcome, Output, follow};
use orcha_wire::CreateObjective;
use sample::Sample;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// What the demo's objective asks for.
const WISH: &str = "Teach the greeter to say goodbye: a farewell, an option for it on the command line, and a manual.";

/// How the demo is shown.
#[derive(Debug, Args)]
pub struct Options {
    /// Keep serving afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// What runs it: a manager that steers three implementers, or the pipeline of roles with its repair loop.
    #[arg(long, value_enum, default_value_t = Strategy::Manager)]
    strategy: Strategy,
    /// Who plays the agents. Real ones must be installed; their model is on this machine and follows a script.
    #[arg(long, value_enum, default_value_t = Agents::Scripted)]
    agents: Agents,
    /// Print every event as a JSON line, and the summary as the last one.
    #[arg(long)]
    json: bool,
}

/// What runs the demo's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Strategy {
    /// A manager.
    Manager,
    /// A fixed row of roles.
    Pipeline,
}

/// Who plays the demo's agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Agents {
    /// A program that follows a script; in the pipeline our own agent as well, whose models follow one.
    Scripted,
    /// Codex as the manager, Gemini CLI and opencode as workers.
    Real,
}

/// Runs the demo.
pub fn main(options: Options) -> Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")?;
    runtime.block_on(run(&options))
}

/// Plays the demo. However it ends, nothing that it started goes on.
async fn run(options: &Options) -> Result<ExitCode> {
    let folder =
        tempfile::Builder::new().prefix("orcha-demo-").tempdir().context("no temporary folder could be made")?;
    let mut sample = match options.strategy {
        Strategy::Manager => Sample::make(folder.path())?,
        Strategy::Pipeline => Sample::make_for_pipeline(folder.path())?,
    };
    // Held to the end.
    let model = match (options.agents, options.strategy) {
        (Agents::Scripted, Strategy::Manager) => None,
        (Agents::Scripted, Strategy::Pipeline) => Some(pipeline::start_models(&sample)?),
        (Agents::Real, Strategy::Manager) => Some(real::Cast::prepare(&mut sample, &[])?.model),
        (Agents::Real, Strategy::Pipeline) => bail!("the pipeline's demo has no script for the model of real agents"),
    };
    let cut_off = signals::first_of(&signals::ALL)?;
    let played = tokio::select! {
        played = play(options, &sample) => played,
        signal = cut_off => Ok(ExitCode::from(signals::exit_code(signal))),
    };
    let ended = daemon::end_runs(&sample).await;
    drop(model);
    match played {
        Ok(code) => ended.map(|()| code),
        Err(fault) => {
            let kept = folder.keep();
            Err(fault.context(format!("the demo did not come to its end; everything is kept in {}", kept.display())))
        }
    }
}

async fn play(options: &Options, sample: &Sample) -> Result<ExitCode> {
    let output = if options.json { Output::Json } else { Output::for_people() };
    let people = !options.json;
    let began = Instant::now();
    let mut daemon = Daemon::start(sample).await?;
    let client = Client::new(&daemon.url, Redacted::new(Daemon::token(sample)?))?;
    if people {
        println!("The daemon serves in {} ms, on {}", began.elapsed().as_millis(), daemon.url);
        println!("  page   {}", client.login_link().await?.url);
        println!("  API    {}/api   (token in {})", daemon.url, sample.data.join("token").display());
        println!("  origin {}", sample.origin.display());
        println!();
    }
    let succeeded = match options.strategy {
        Strategy::Manager => {
            let wish = match options.agents {
                Agents::Scripted => objective(sample)?,
                Agents::Real => real::objective(sample)?,
            };
            let outcome = show(&client, &wish, output).await?;
            summarise(&outcome, sample, output)?;
            outcome.succeeded()
        }
        Strategy::Pipeline => pipeline::show(&client, sample, output).await?,
    };
    if options.keep {
        if people {
            println!("\nServing on; stop with Ctrl-C. A link for the browser: {}", client.login_link().await?.url);
        }
        daemon.wait().await?;
    }
    daemon.stop().await?;
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the objective, plays the person, and shows everything until the end.
async fn show(client: &Client, wish: &CreateObjective, output: Output) -> Result<Outcome> {
    let objective = client.create_objective(wish).await?.objective.id;
    let person = tokio::spawn(reviewer::review(client.clone(), objective));
    let mut out = anstream::stdout();
    let outcome = follow(client, objective, output, &mut out).await?;
    person.await??;
    if outcome.succeeded() && outcome.pull_requests.len() != reviewer::PULL_REQUESTS {
        bail!("{} pull requests were opened instead of {}", outcome.pull_requests.len(), reviewer::PULL_REQUESTS);
    }
    Ok(outcome)
}

/// The demo's objective on a sample.
pub fn objective(sample: &Sample) -> Result<CreateObjective> {
    let myself = std::env::current_exe().context("the program does not know its own path")?;
    objective_for(&myself, sample)
}

/// The demo's objective with a named program as the agents.
pub fn objective_for(program: &std::path::Path, sample: &Sample) -> Result<CreateObjective> {
    let agent = [&program.display().to_string(), "scripted-agent", "--script", &sample.script.display().to_string()];
    Ok(CreateObjective {
        title: Some("Teach the greeter to say goodbye".into()),
        prompt: WISH.into(),
        agent: Some("claude".into()),
        agent_program: Some(agent.map(str::to_owned).to_vec()),
        model: None,
        effort: None,
        fallback: None,
        project_id: None,
        repo: Some(sample.origin.display().to_string().parse::<RepoUrl>()?),
        base_branch: None,
        priority: None,
        limits: None,
        strategy: None,
        attachments: Vec::new(),
    })
}

fn summarise(outcome: &Outcome, sample: &Sample, output: Output) -> Result<()> {
    let mut out = anstream::stdout();
    let commits = sample.commits()?;
    match output {
        Output::Json => {
            let mut summary = serde_json::to_value(outcome)?;
            summary["commits"] = serde_json::to_value(&commits)?;
            writeln!(out, "{summary}")?;
        }
        Output::Live | Output::Plain => {
            outcome.write(output, &mut out)?;
            writeln!(out, "\nmain of the origin:")?;
            for line in commits {
                writeln!(out, "  {line}")?;
            }
        }
    }
    Ok(())
}
