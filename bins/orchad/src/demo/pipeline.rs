//! The demo of the pipeline: a request, six roles, a check that is red at first, a repair, and a merged pull request.
//!
//! Implementers are agents that follow a script. Every other role is a model behind an API of its own, asked over HTTP by
//! the agent that real models are asked by; the server of these models is ours, on loopback, and says what `roles.json`
//! says. What is checked, judged, repaired, counted and delivered is the daemon's own work.

use super::WISH;
use super::sample::Sample;
use crate::config;
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use orcha_client::Client;
use orcha_client::live::{Outcome, Output, follow};
use orcha_client::text::{amount, dollars};
use orcha_scripted_model::{Options, Scenario, ScriptedModel};
use orcha_wire::workflow::Delivery;
use orcha_wire::{
    CreateWorkflow, IdRef, ListRuns, Persona, PersonaChoice, Proposal, ProposalStatus, PullRequestStatus, StreamEvents,
    Workflow, WorkflowStatus,
};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// What the models say.
const SCENARIO: &str = include_str!("roles.json");

/// Which model plays which role, and in whose language it is asked.
const CAST: [(Persona, &str, &str); 6] = [
    (Persona::Director, "openai", "demo-small"),
    (Persona::ProjectManager, "anthropic", "demo-large"),
    (Persona::Architect, "compatible", "demo-large"),
    (Persona::Qa, "ollama", "demo-local"),
    (Persona::Finalizer, "anthropic", "demo-small"),
    (Persona::Refiner, "openai", "demo-large"),
];

/// How long the proposal may take to be there once the workflow has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the server of the models, which ends with what is returned, and writes the settings file of the sample's
/// daemon: where each provider is, and what a million tokens cost.
pub fn start_models(sample: &Sample) -> Result<ScriptedModel> {
    let model = ScriptedModel::start(Scenario::parse(SCENARIO)?, Options::default())?;
    fs::create_dir_all(&sample.data)?;
    fs::write(sample.data.join(config::FILE), settings(model.url()))?;
    Ok(model)
}

/// The providers that the program comes with, at another address; and one more, whose server speaks as many do.
fn settings(url: &str) -> String {
    format!(
        "[providers.openai]\nbase_url = \"{url}/v1\"\n\n[providers.anthropic]\nbase_url = \"{url}\"\n\n\
         [providers.ollama]\nbase_url = \"{url}\"\n\n\
         [providers.compatible]\napi = \"openai-chat\"\nbase_url = \"{url}/v1\"\n\n\
         [prices.demo-large]\ninput = 3.0\noutput = 15.0\ncache_read = 0.3\n\n\
         [prices.demo-small]\ninput = 0.25\noutput = 2.0\ncache_read = 0.025\n\n\
         # It runs on a machine of one's own.\n[prices.demo-local]\ninput = 0.0\noutput = 0.0\ncache_read = 0.0\n"
    )
}

/// The demo's request. A named program plays the Implementers; the other roles are played by models.
pub fn request_for(program: &Path, sample: &Sample) -> Result<CreateWorkflow> {
    let agent = [&program.display().to_string(), "scripted-agent", "--script", &sample.script.display().to_string()];
    let scripted = PersonaChoice {
        provider: Some("claude".to_owned()),
        program: Some(agent.map(str::to_owned).to_vec()),
        model: None,
        effort: None,
    };
    let model = |provider: &str, model: &str| PersonaChoice {
        provider: Some(provider.to_owned()),
        program: None,
        model: Some(model.to_owned()),
        effort: None,
    };
    let played = CAST.iter().map(|(persona, provider, name)| (*persona, model(provider, name)));
    Ok(CreateWorkflow {
        request: WISH.to_owned(),
        repo: Some(sample.origin.display().to_string().parse()?),
        personas: played.chain([(Persona::Implementer, scripted)]).collect(),
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
    let answered = proposal
        .as_ref()
        .map(|it| format!("`orcha proposals approve {}`; nothing is tried before a person says so", it.id.short()));
    let health = client.runs(&ListRuns::default()).await?.items;
    let commits = sample.commits()?;
    if output == Output::Json {
        let mut summary = serde_json::to_value(&outcome)?;
        summary["workflow"] = serde_json::to_value(&workflow)?;
        summary["proposal"] = serde_json::to_value(&proposal)?;
        summary["runs"] = serde_json::to_value(&health)?;
        summary["commits"] = serde_json::to_value(&commits)?;
        summary["answered_for_you"] = serde_json::to_value(&answered)?;
        writeln!(out, "{summary}")?;
    } else {
        if let Some(it) = &answered {
            writeln!(out, "\nThe demo answers for you: {it}")?;
        }
        outcome.write(output, &mut out)?;
        who(client, &outcome, &mut out).await?;
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

/// Waits until the Refiner's proposal is there, and lets it be tried in the place of a person, who is told so.
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

/// Who played each part, and what that took.
async fn who(client: &Client, outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nwho did it, and what it took:")?;
    for row in &outcome.sessions {
        let it = client.session(row.id).await?;
        let by = it.model.map_or_else(|| "a script".to_owned(), |model| format!("{model}, by {}", it.agent));
        let used = &it.used;
        let tokens = used.input + used.output + used.cache_read + used.cache_write;
        let (role, calls, money) = (it.role.as_str(), used.model_calls, dollars(used.micro_usd));
        writeln!(out, "  {role:<16} {by:<26} asked {calls}x, {:>6} tokens, {money}", amount(tokens))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_script_of_the_models_is_one_and_every_model_has_a_price() {
        Scenario::parse(SCENARIO).unwrap();
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(config::FILE), settings("http://127.0.0.1:1")).unwrap();
        let keys = [("OPENAI_API_KEY".to_owned(), "secret".to_owned())];
        let providers = Config::load(None, data.path()).unwrap().providers(&keys).unwrap();
        for (persona, provider, model) in CAST {
            let it = providers.get(provider).unwrap();
            assert!(it.price(model).is_some(), "{persona}: {model}");
            // Keys of the person who runs it are not given to another address.
            assert_eq!(it.key(), Ok(None), "{provider}");
        }
    }
}
