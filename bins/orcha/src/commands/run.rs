//! `orcha run`: make an objective and follow it; and following one that is there.

use super::{files, text_of};
use crate::cli::{Run, limits_by};
use crate::say::{Say, aside};
use crate::tables;
use anyhow::{Context, Result, bail};
use orcha_base::{BranchName, ObjectiveId, RepoUrl};
use orcha_client::Client;
use orcha_client::live::{self, Output};
use orcha_wire::CreateObjective;
use std::path::Path;
use std::process::ExitCode;

/// What a shell reports for a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Reads who may take over; `none` is an empty list, and nothing said leaves it to the daemon.
fn fallback(kinds: Vec<String>) -> Option<Vec<String>> {
    (!kinds.is_empty()).then(|| kinds.into_iter().filter(|it| it != "none").collect())
}

pub async fn run(client: &Client, say: Say, options: Run) -> Result<ExitCode> {
    let prompt = match &options.prompt {
        Some(prompt) => text_of(prompt)?,
        None => options.title.clone(),
    };
    let program = options.agent_program.map(|program| [program].into_iter().chain(options.agent_arg).collect());
    let repo = options.repo.as_deref().map(repository).transpose()?;
    if let Some(note) = repo.as_ref().and_then(|it| checked_out(Path::new(it.as_str()), options.base.as_ref())) {
        aside(&note);
    }
    let wish = CreateObjective {
        title: Some(options.title),
        prompt,
        agent: options.agent,
        agent_program: program,
        model: options.model,
        effort: options.effort,
        fallback: fallback(options.fallback),
        project_id: options.project,
        repo,
        base_branch: options.base,
        priority: options.priority,
        limits: limits_by(&options.limit, options.deadline).map_err(anyhow::Error::msg)?,
        strategy: options.strategy,
        attachments: files::read(&options.attach)?,
    };
    let made = client.create_objective(&wish).await?;
    let id = made.objective.id;
    if options.detach {
        say.answer(&made, |made, out| {
            tables::objective(&made.objective, out)?;
            writeln!(out, "\nfollow it with: orcha logs -f {}", id.short())
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    follow(client, say, id).await
}

/// Follows an objective to its end.
pub async fn follow(client: &Client, say: Say, id: ObjectiveId) -> Result<ExitCode> {
    let output = if say.json { Output::Json } else { Output::for_people() };
    let mut out = anstream::stdout();
    let outcome = tokio::select! {
        outcome = live::follow(client, id, output, &mut out) => outcome?,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.context("cannot listen for an interrupt")?;
            let id = id.short();
            aside(&format!("\nthe objective goes on; follow it with `orcha logs -f {id}`, end it with `orcha cancel {id}`"));
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    outcome.write(output, &mut out)?;
    Ok(if outcome.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what will stand in the way of a merge: the base branch is checked out in a work tree.
fn checked_out(root: &Path, base: Option<&BranchName>) -> Option<String> {
    let head = std::fs::read_to_string(root.join(".git/HEAD")).ok()?;
    let branch = head.trim().strip_prefix("ref: refs/heads/")?;
    let in_the_way = base.is_none_or(|base| base.as_str() == branch);
    let root = root.display();
    in_the_way.then(|| {
        format!(
            "note: `{branch}` is checked out in {root}, so nothing can be merged into it there; \
             give --repo a bare origin, or `git -C {root} switch --detach` before you merge"
        )
    })
}

/// Returns the address of a repository: a folder of this machine by its absolute path, anything else as it is.
pub fn repository(given: &str) -> Result<RepoUrl> {
    let path = Path::new(given);
    if !path.exists() {
        let looks_like_a_path = !given.contains("://") && !given.contains('@');
        if looks_like_a_path {
            bail!("there is no folder {given}; name a git repository, or an address such as https://host/path.git");
        }
        return Ok(given.parse()?);
    }
    let path = path.canonicalize().with_context(|| format!("cannot look at {given}"))?;
    let is_repository =
        |it: &Path| it.join(".git").exists() || (it.join("HEAD").is_file() && it.join("objects").is_dir());
    let Some(root) = path.ancestors().find(|it| is_repository(it)) else {
        bail!("{} is not in a git repository; `git init` makes one", path.display());
    };
    let text = root.to_str().with_context(|| format!("the path {} is not UTF-8", root.display()))?;
    Ok(text.parse()?)
}
