//! The demo of the pipeline: a request, six roles, a check that is red at first, a repair, and a merged pull request.
//!
//! Every role is an agent that follows a script; what is checked, judged, repaired and delivered is the daemon's own work.

use super::WISH;
use super::sample::Sample;
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use orcha_client::Client;
use orcha_client::live::{Output, follow};
use orcha_client::text::{amount, dollars};
use orcha_wire::workflow::Delivery;
use orcha_wire::{
    CreateWorkflow, IdRef, ListRuns, Persona, PersonaChoice, Proposal, ProposalStatus, PullRequestStatus, StreamEvents,
    Workflow, WorkflowStatus,
};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long the proposal may take to be there once the workflow has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's request with a named program as every role.
pub fn request_for(program: &Path, sample: &Sample) -> Result<CreateWorkflow> {
    let agent = [&program.display().to_string(), "scripted-agent", "--script", &sample.script.display().to_string()];
    let choice = PersonaChoice {
        provider: Some("claude".to_owned()),
        program: Some(agent.map(str::to_owned).to_vec()),
        model: None,
    };
    Ok(CreateWorkflow {
        request: WISH.to_owned(),
        repo: Some(sample.origin.display().to_string().parse()?),
        personas: Persona::ALL.iter().map(|it| (*it, choice.clone())).collect(),
        delivery: Some(Delivery { action: "pull_request".to_owned(), merge: true, config: None }),
        ..CreateWorkflow::default()
    })
}

/// Makes the workflow, shows it until its end, and sums it up. Tells whether all went as it should.
pub async fn show(client: &Client, sample: &Sample, output: Output) -> Result<bool> {
    let myself = std::env::current_exe().context("the program does not know its own path")?;
    let id = client.create_workflow(&request_for(&myself, sample)?).await?.row.id;
    let mut out = anstream::stdout();
    let outcome = follow(client, id, output, &mut out).await?;
    let workflow = client.workflow(id).await?;
    let proposal = on_trial(client, &workflow).await?;
    let health = client.runs(&ListRuns::default()).await?.items;
    let commits = sample.commits()?;
    if output == Output::Json {
        let mut summary = serde_json::to_value(&outcome)?;
        summary["workflow"] = serde_json::to_value(&workflow)?;
        summary["proposal"] = serde_json::to_value(&proposal)?;
        summary["runs"] = serde_json::to_value(&health)?;
        summary["commits"] = serde_json::to_value(&commits)?;
        writeln!(out, "{summary}")?;
    } else {
        outcome.write(output, &mut out)?;
        write(&workflow, proposal.as_ref(), &mut out)?;
        writeln!(out, "\nmain of the origin:")?;
        for line in commits {
            writeln!(out, "  {line}")?;
        }
    }
    if workflow.row.status != WorkflowStatus::Completed {
        return Ok(false);
    }
    let runs = &workflow.execution.validation_runs;
    let verdicts: Vec<bool> = runs.iter().map(|it| it.passed).collect();
    ensure!(verdicts == [false, true], "the checks said {verdicts:?}, not red and then green");
    let merged = outcome.pull_requests.iter().filter(|it| it.status == PullRequestStatus::Merged).count();
    ensure!(merged == 1, "{merged} pull requests were merged instead of one");
    ensure!(proposal.is_some_and(|it| it.status == ProposalStatus::OnTrial), "no proposal is on trial");
    ensure!(health.iter().any(|it| it.workflow_id == id && it.health_score.is_some()), "its health was not kept");
    Ok(true)
}

/// Waits until the Refiner's proposal is there, and lets it be tried as a person does.
async fn on_trial(client: &Client, workflow: &Workflow) -> Result<Option<Proposal>> {
    if workflow.row.status != WorkflowStatus::Completed {
        return Ok(None);
    }
    let query = StreamEvents { after: Some(0), ..StreamEvents::default() };
    let mut events = client.follow_events(query);
    let made = async {
        while let Some(event) = events.next().await {
            let event = event?;
            if event.kind == "proposal_made" {
                let id =
                    event.data.get("proposal_id").and_then(|it| it.as_str()).context("a proposal without an id")?;
                return anyhow::Ok(Some(id.parse::<IdRef>()?));
            }
        }
        Ok(None)
    };
    let made = tokio::time::timeout(PATIENCE, made).await.context("the Refiner's proposal did not come")??;
    match made {
        Some(id) => Ok(Some(client.approve_proposal(id).await?)),
        None => Ok(None),
    }
}

/// What a person wants to know of it: receipts, repairs, proposals, what it cost, how it went.
fn write(it: &Workflow, proposal: Option<&Proposal>, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nreceipts, each from a clean checkout of one commit:")?;
    for run in &it.execution.validation_runs {
        let commit = run.commit_sha.as_ref().map(|it| it.short()).unwrap_or_default();
        for step in &run.steps {
            let how = if step.passed { "green" } else { "red" };
            let code = step.exit_code.map_or_else(|| "ended".to_owned(), |it| format!("exit {it}"));
            let (what, ms) = (&step.tool, step.duration_ms);
            writeln!(out, "  {:<16} {commit}  {how:<6} {what}  ({code}, {ms} ms)", run.phase)?;
        }
    }
    writeln!(out, "repairs: {} of {}", it.execution.qa_cycle, it.execution.max_qa_retries)?;
    let proposals = it.finalization.iter().flat_map(|it| &it.refiner_improvements);
    for one in proposals {
        let said = |key: &str| one.get(key).and_then(|it| it.as_str()).unwrap_or_default();
        writeln!(out, "the Refiner proposes for {}: {}", said("component_name"), said("proposed_fix"))?;
    }
    if let Some(it) = proposal {
        let (id, name) = (it.id.short(), &it.name);
        writeln!(out, "proposal {id} about the {name} is {}: new runs are split between old and new", it.status)?;
    }
    let used = &it.used;
    let tokens = used.input + used.output + used.cache_read + used.cache_write;
    let health = it.health_score.map_or_else(|| "none".to_owned(), |it| format!("{it} of 100"));
    writeln!(out, "used: {} tokens, {}; health score: {health}", amount(tokens), dollars(used.micro_usd))?;
    Ok(())
}
