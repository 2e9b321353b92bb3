//! Commands about the places where work happens, and who may go there: targets, projects, workspaces, tokens.

use super::{doctor, look, run::repository, text_of};
use crate::cli::{Project, Target, Token, Workspace};
use crate::say::{Say, aside};
use crate::tables;
use anyhow::{Context, Result, bail};
use orcha_client::Client;
use orcha_wire::*;
use std::process::ExitCode;

pub async fn target(client: &Client, say: Say, command: Target) -> Result<ExitCode> {
    let target = match command {
        // Its exit code says more than that it was done.
        Target::Doctor { id } => return doctor::target(client, say, id).await,
        Target::List => {
            say.answer(&client.targets().await?, |rows, out| tables::targets(rows, out))?;
            return Ok(ExitCode::SUCCESS);
        }
        Target::Add { name, work_root, label, capacity } => {
            let work_root = match work_root {
                Some(path) => {
                    let path = std::path::absolute(&path).context("cannot tell the absolute path of the folder")?;
                    Some(path.to_str().context("the path of the folder is not UTF-8")?.to_owned())
                }
                None => None,
            };
            let create = CreateTarget { name, kind: None, work_root, labels: label, capacity_sessions: capacity };
            say.answer(&client.create_target(&create).await?, tables::target_report)?;
            return Ok(ExitCode::SUCCESS);
        }
        Target::Check { id } => {
            say.answer(&client.check_target(id).await?, tables::target_report)?;
            return Ok(ExitCode::SUCCESS);
        }
        Target::Show { id } => client.target(id).await?,
        Target::Edit { id, name, label, no_labels, capacity } => {
            let labels = (no_labels || !label.is_empty()).then_some(label);
            let edit = EditTarget { name, labels, capacity_sessions: capacity };
            if edit == EditTarget::default() {
                bail!("nothing to change; name --name, --label, --no-labels or --capacity");
            }
            client.edit_target(id, &edit).await?
        }
        Target::Drain { id } => client.drain_target(id).await?,
        Target::Enable { id } => client.enable_target(id).await?,
        Target::Disable { id } => client.disable_target(id).await?,
    };
    say.answer(&target, tables::target)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn token(client: &Client, say: Say, command: Token) -> Result<()> {
    match command {
        Token::List => say.answer(&client.tokens().await?, |rows, out| tables::tokens(rows, out)),
        Token::Add { name, tenant, scope } => {
            let made = client.create_token(&CreateToken { name, tenant, scopes: scope }).await?;
            // The token alone on the standard output: `orcha token add … > file`.
            say.answer(&made, |it, out| writeln!(out, "{}", it.token))?;
            if !say.json {
                aside("this token is not kept anywhere; put it into a file, and name that by --token-file");
            }
            Ok(())
        }
        Token::Rm { id } => {
            let deleted = client.revoke_token(id).await?;
            say.answer(&deleted, |it, out| writeln!(out, "{}", it.status))
        }
    }
}

fn rules(argument: &str) -> Result<PermissionRules> {
    serde_json::from_str(&text_of(argument)?).context("the permissions are not understood")
}

pub async fn project(client: &Client, say: Say, command: Project) -> Result<()> {
    let project = match command {
        Project::List => return say.answer(&client.projects().await?, |rows, out| tables::projects(rows, out)),
        Project::Add { repo, name, base, permissions } => {
            let permissions = permissions.as_deref().map(rules).transpose()?;
            let create = CreateProject { name, repo: repository(&repo)?, base_branch: base, permissions };
            client.create_project(&create).await?
        }
        Project::Edit { id, name, repo, base, permissions } => {
            let permissions = permissions.as_deref().map(rules).transpose()?;
            let edit = EditProject { name, repo, base_branch: base, permissions };
            if edit == EditProject::default() {
                bail!("nothing to change; name --name, --repo, --base or --permissions");
            }
            client.edit_project(id, &edit).await?
        }
        Project::Rm { id } => {
            let deleted = client.delete_project(id).await?;
            return say.answer(&deleted, |it, out| writeln!(out, "{}", it.status));
        }
    };
    say.answer(&project, tables::project)
}

pub async fn workspace(client: &Client, say: Say, command: Workspace) -> Result<()> {
    match command {
        Workspace::List { all, objective } => look::workspaces(client, say, 0, all, objective).await,
        Workspace::Show { id } => say.answer(&client.workspace(id).await?, tables::workspace_detail),
        Workspace::Restore { id, snapshot } => {
            let restored = client.restore_workspace(id, &RestoreWorkspace { snapshot }).await?;
            say.answer(&restored, tables::restored)
        }
        Workspace::Reclaim { id } => say.answer(&client.reclaim_workspace(id).await?, tables::reclaimed),
    }
}
