//! What each command does: one or a few calls, then the answer.

mod act;
mod attach;
mod doctor;
mod fetch;
mod files;
mod look;
mod mcp;
mod place;
mod refine;
mod run;
pub mod workflow;

pub use doctor::Report as DoctorReport;

use crate::cli::{Cli, Command, limits};
use crate::connect;
use crate::say::Say;
use crate::tables;
use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use orcha_client::Client;
use orcha_wire::{Code, EditObjective, IdRef};
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// Runs a command, and returns the code to exit with.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    let say = Say { json: cli.json };
    match &cli.command {
        Command::Completions { shell } => return completions(*shell),
        Command::Man { dir } => return man(dir.as_deref()),
        Command::Doctor => return doctor::all(&cli.connection, say).await,
        _ => {}
    }
    let client = connect::client(&cli.connection)?;
    match cli.command {
        Command::Run(options) => return run::run(&client, say, options).await,
        Command::Workflow(command) => return workflow::go(&client, say, command).await,
        Command::Ls(options) => look::list(&client, say, &options).await?,
        Command::Show { id } => look::show(&client, say, id).await?,
        Command::Messages(options) => look::messages(&client, say, options).await?,
        Command::Attachments { id, name, save } => files::show(&client, say, id, name, save).await?,
        Command::Logs(options) => return look::logs(&client, say, options).await,
        Command::Events(options) => look::events(&client, say, options).await?,
        Command::Why { id } => say.answer(&client.why(id).await?, tables::why)?,
        Command::Steer { id, text, interrupt } => act::steer(&client, say, id, &text, interrupt).await?,
        Command::Attach { id, view } => return attach::attach(&client, say, id, view).await,
        Command::Release { id } => attach::release(&client, say, id).await?,
        Command::Answer { id, text } => act::answer(&client, say, id, &text).await?,
        Command::Cancel { id, reason } => act::cancel(&client, say, id, reason).await?,
        Command::Retry { id } => act::go(&client, say, id, act::Verb::Retry).await?,
        Command::Pause { id } => act::go(&client, say, id, act::Verb::Pause).await?,
        Command::Resume { id } => act::go(&client, say, id, act::Verb::Resume).await?,
        Command::Edit { id, title, priority, limit } => {
            if title.is_none() && priority.is_none() && limit.is_empty() {
                bail!("nothing to change; name --title, --priority or --limit");
            }
            let limits = limits(&limit).map_err(anyhow::Error::msg)?;
            let edit = EditObjective { title, priority, limits };
            say.answer(&client.edit_objective(id, &edit).await?, tables::objective)?;
        }
        Command::Pr(command) => act::pull_request(&client, say, command).await?,
        Command::Providers { models: Some(provider) } => {
            say.answer(&client.models(&provider).await?, tables::models)?;
        }
        Command::Providers { models: None } => {
            say.answer(&client.providers().await?, |rows, out| tables::providers(rows, out))?
        }
        Command::Customization(command) => refine::customization(&client, say, command).await?,
        Command::Mcp(command) => mcp::go(&client, say, command).await?,
        Command::Proposals(command) => refine::proposals(&client, say, command).await?,
        Command::Runs { limit } => refine::runs(&client, say, limit).await?,
        Command::Target(command) => return place::target(&client, say, command).await,
        Command::Project(command) => place::project(&client, say, command).await?,
        Command::Token(command) => place::token(&client, say, command).await?,
        Command::Workspace(command) => place::workspace(&client, say, command).await?,
        Command::Health => say.answer(&client.health().await?, tables::health)?,
        Command::Login => say.answer(&client.login_link().await?, |link, out| writeln!(out, "{}", link.url))?,
        Command::Shutdown => say.answer(&client.shutdown().await?, tables::health)?,
        Command::Completions { .. } | Command::Man { .. } | Command::Doctor => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "orcha", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

fn man(dir: Option<&Path>) -> Result<ExitCode> {
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
            clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("cannot write the pages into {}", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            std::io::stdout().write_all(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noun {
    Objective,
    Session,
    PullRequest,
    Question,
    Workspace,
    Target,
    Project,
    /// Something that has no page of its own.
    Other,
}

/// Finds out what an id names, and its full form.
async fn find(client: &Client, id: IdRef) -> Result<(Noun, IdRef)> {
    let missing = match client.why(id.clone()).await {
        Ok(why) => {
            let noun = match why.noun.as_str() {
                "objective" => Noun::Objective,
                "session" => Noun::Session,
                "pull_request" => Noun::PullRequest,
                "question" => Noun::Question,
                "workspace" => Noun::Workspace,
                "target" => Noun::Target,
                _ => Noun::Other,
            };
            return Ok((noun, why.id.parse().unwrap_or(id)));
        }
        Err(error) => error,
    };
    // A project has no life, and so nobody can ask it why.
    if missing.problem().and_then(|it| it.known()) == Some(Code::NotFound) {
        let projects = client.projects().await?;
        if let Some(it) = projects.iter().find(|it| it.id.to_string() == id.as_str() || it.id.short() == id.as_str()) {
            return Ok((Noun::Project, it.id.into()));
        }
    }
    Err(missing.into())
}

/// The longest text that the daemon takes.
const LONGEST: u64 = 256 * 1024;

/// Reads a text argument: itself, `@FILE`, or `-` for the standard input.
fn text_of(argument: &str) -> Result<String> {
    if argument == "-" {
        return whole(std::io::stdin(), "the standard input");
    }
    match argument.strip_prefix('@') {
        Some(name) => {
            let file = std::fs::File::open(name).with_context(|| format!("cannot read {name}"))?;
            whole(file, name)
        }
        None => Ok(argument.to_owned()),
    }
}

/// Reads a text to its end, unless that is too far away.
fn whole(from: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > LONGEST {
        bail!("{name} holds more than 256 KiB; name a file of the repository in a shorter text instead");
    }
    String::from_utf8(bytes).with_context(|| format!("{name} is not a text in UTF-8"))
}
