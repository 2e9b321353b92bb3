//! `orcha workflow`: the pipeline from the request to the delivery, and what a person does about it.

use super::fetch;
use super::look::{collect, note_more};
use super::run::{self, repository};
use super::{files, text_of};
use crate::cli::{Workflow, WorkflowRun, limits_by};
use crate::say::{Say, aside};
use crate::tables;
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use orcha_base::Effort;
use orcha_client::{Client, Page};
use orcha_wire::workflow::{Check, Delivery};
use orcha_wire::*;
use std::collections::BTreeMap;
use std::process::ExitCode;

pub async fn go(client: &Client, say: Say, command: Workflow) -> Result<ExitCode> {
    let moved = match command {
        Workflow::Run(options) => return make(client, say, *options).await,
        Workflow::Ls { status, limit } => {
            let (rows, more) = collect(limit, async |after, size| {
                let query = ListWorkflows { limit: Some(size.min(100)), after, status, ..ListWorkflows::default() };
                let WorkflowList { workflows: items, next, .. } = client.workflows(&query).await?;
                Ok(Page { items, next })
            })
            .await?;
            say.answer(&rows, |rows, out| tables::workflows(rows, out))?;
            note_more(more);
            return Ok(ExitCode::SUCCESS);
        }
        Workflow::Show { id } => {
            say.answer(&client.workflow(id).await?, tables::workflow)?;
            return Ok(ExitCode::SUCCESS);
        }
        Workflow::Events { id, follow } => {
            events(client, say, id, follow).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Workflow::Fetch { id, out, force } => {
            let fetched = fetch::fetch(client, id, out, force).await?;
            say.answer(&fetched, |it, out| {
                writeln!(out, "{}: {} bytes, sha256 {}", it.file.display(), it.bytes, it.sha256)
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        Workflow::Watch { id } => {
            let id = client.workflow(id).await?.row.id;
            return watch(client, say, id).await;
        }
        Workflow::Templates => {
            let all = client.templates().await?.templates;
            say.answer(&all, |rows, out| tables::templates(rows, out))?;
            return Ok(ExitCode::SUCCESS);
        }
        Workflow::Pause { id } => client.pause_workflow(id).await?,
        Workflow::Resume { id } => client.resume_workflow(id).await?,
        Workflow::Cancel { id, reason } => client.cancel_workflow(id, &Cancel { reason }).await?,
        Workflow::Retry { id, from, reason } => client.retry_workflow(id, &RetryWorkflow { from, reason }).await?,
        Workflow::Skip { id, task, reason } => client.skip_task(id, &SkipTask { task, reason }).await?,
        Workflow::AddTask { id, title, description, specialty } => {
            let description = description.as_deref().map_or_else(|| Ok(title.clone()), text_of)?;
            client.add_task(id, &AddTask { title, description, specialty }).await?
        }
        Workflow::Clone { id } => client.clone_workflow(id).await?,
        Workflow::Approve { id, reject } => {
            client.approve_workflow(id, &Approve { approve: reject.is_none(), reason: reject }).await?
        }
        Workflow::Edit { id, step, document } => {
            let document = serde_json::from_str(&text_of(&document)?)
                .with_context(|| format!("the document of `{step}` must be a JSON object"))?;
            client.edit_workflow(id, &EditDocument { step, document }).await?
        }
    };
    say.answer(&moved, |it, out| {
        writeln!(out, "{} {}, at {}", it.id.short(), orcha_client::text::toned(it.status.as_str(), 0), it.step)
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn make(client: &Client, say: Say, options: WorkflowRun) -> Result<ExitCode> {
    let mut personas = BTreeMap::new();
    for it in options.persona {
        let (persona, choice) = it;
        if personas.insert(persona, choice).is_some() {
            bail!("--persona names the {persona} twice");
        }
    }
    let delivery = match (options.delivery, options.merge) {
        (None, false) => None,
        (action, merge) => {
            let config = options.delivery_config.as_deref().map(text_of).transpose()?;
            let config = config.map(|it| serde_json::from_str(&it)).transpose();
            let config = config.context("the configuration of the delivery must be a JSON object")?;
            Some(Delivery { action: action.unwrap_or_else(|| "pull_request".to_owned()), config, merge })
        }
    };
    let approvals = Approvals { plan: options.approve_plan, delivery: options.approve_delivery };
    let wish = CreateWorkflow {
        request: text_of(&options.request)?,
        title: options.title,
        mode: options.mode,
        provider: options.agent,
        model: options.model,
        effort: options.effort,
        personas,
        repo: options.repo.as_deref().map(repository).transpose()?,
        project_id: options.project,
        base_branch: options.base,
        delivery,
        checks: options.check,
        without_checks: options.without_checks,
        max_qa_retries: options.max_repairs,
        approvals: (approvals != Approvals::default()).then_some(approvals),
        skip_refiner: options.no_refiner,
        template_id: options.template,
        priority: options.priority,
        limits: limits_by(&options.limit, options.deadline).map_err(anyhow::Error::msg)?,
        attachments: files::read(&options.attach)?,
    };
    let made = client.create_workflow(&wish).await?;
    let id = made.row.id;
    if options.detach {
        say.answer(&made, |made, out| {
            tables::workflow(made, out)?;
            writeln!(out, "\nfollow it with: orcha workflow watch {}", id.short())
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    watch(client, say, id).await
}

/// Follows a workflow to its end, and sums it up: for programs its events, and in the end the workflow.
async fn watch(client: &Client, say: Say, id: orcha_base::ObjectiveId) -> Result<ExitCode> {
    let code = if say.json {
        events(client, say, id.into(), true).await?;
        ExitCode::SUCCESS
    } else {
        run::follow(client, say, id).await?
    };
    let workflow = client.workflow(id).await?;
    if !say.json {
        aside("");
    }
    say.item(&workflow, tables::workflow)?;
    match workflow.row.status {
        WorkflowStatus::Failed | WorkflowStatus::Cancelled => Ok(ExitCode::FAILURE),
        // Whoever was interrupted learns so by the code.
        _ => Ok(code),
    }
}

async fn events(client: &Client, say: Say, id: IdRef, follow: bool) -> Result<()> {
    if !follow {
        let mut query = ListWorkflowEvents::default();
        loop {
            let page = client.workflow_events(id.clone(), &query).await?;
            for it in &page.events {
                say.item(it, tables::workflow_event)?;
            }
            query.after = page.next;
            if query.after.is_none() || page.events.is_empty() {
                return Ok(());
            }
        }
    }
    let mut events = client.follow_workflow(id);
    while let Some(event) = events.next().await {
        say.item(&event?, tables::workflow_event)?;
    }
    Ok(())
}

/// Reads `ROLE=[KIND][:MODEL][@EFFORT]`. What follows the last `@` of a model and is no effort belongs to its name.
pub fn persona(text: &str) -> Result<(Persona, PersonaChoice), String> {
    let (role, agent) =
        text.split_once('=').ok_or("a role is written ROLE=KIND, with :MODEL and @EFFORT if need be")?;
    let role = role.parse::<Persona>().map_err(|it| it.to_string())?;
    let (agent, effort) = match agent.rsplit_once('@').map(|(agent, word)| (agent, word.parse::<Effort>())) {
        Some((agent, Ok(effort))) => (agent, Some(effort)),
        Some((agent, Err(fault))) if !agent.contains(':') => return Err(fault.to_string()),
        Some((_, Err(_))) | None => (agent, None),
    };
    let (kind, model) = agent.split_once(':').unwrap_or((agent, ""));
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok((role, PersonaChoice { provider: said(kind), program: None, model: said(model), effort }))
}

/// Reads `NAME=PROGRAM ARGUMENTS…`; no shell takes part, so there is nothing to quote.
pub fn check(text: &str) -> Result<Check, String> {
    let (name, command) = text.split_once('=').ok_or("a check is written NAME=PROGRAM ARGUMENTS")?;
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if name.trim().is_empty() || command.is_empty() {
        return Err("a check needs a name and a program".to_owned());
    }
    Ok(Check { name: name.trim().to_owned(), command })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> PersonaChoice {
        PersonaChoice { provider: None, program: None, model: None, effort: None }
    }

    #[test]
    fn roles_and_checks_are_read() {
        let (role, choice) = persona("qa=openai:gpt-5").unwrap();
        assert_eq!(
            (role, choice.provider.as_deref(), choice.model.as_deref()),
            (Persona::Qa, Some("openai"), Some("gpt-5"))
        );
        assert_eq!(persona("qa=claude").unwrap().1, PersonaChoice { provider: Some("claude".into()), ..none() });
        let high = PersonaChoice { effort: Some(Effort::High), ..none() };
        assert_eq!(persona("qa=@high").unwrap().1, high);
        let mine = PersonaChoice { provider: Some("openai".into()), model: Some("gpt-5".into()), ..high.clone() };
        assert_eq!(persona("qa=openai:gpt-5@high").unwrap().1, mine);
        let dated = PersonaChoice { model: Some("sonnet@20250514".into()), ..high };
        assert_eq!(persona("qa=:sonnet@20250514@high").unwrap().1, dated);
        assert_eq!(persona("qa=:sonnet@20250514").unwrap().1, PersonaChoice { effort: None, ..dated });
        assert!(persona("qa=codex@turbo").unwrap_err().contains("xhigh"));
        assert!(persona("chef=claude").unwrap_err().contains("project_manager"));
        assert!(persona("qa").is_err());
        assert_eq!(check("test=cargo test --all").unwrap().command, ["cargo", "test", "--all"]);
        assert!(check("test").is_err() && check("test=").is_err() && check("=x").is_err());
    }
}
