//! Commands about what roles are told, and about what orcha learns from its runs: customizations, proposals, runs.

use super::look::{collect, note_more};
use super::text_of;
use crate::cli::{Customization, Proposals};
use crate::say::Say;
use crate::tables;
use anyhow::{Result, bail};
use orcha_client::{Client, ClientError};
use orcha_wire::{
    CustomizationKind, ListCustomizations, ListProposals, ListRuns, ResolveCustomizations, SetCustomization, WhyNot,
};

pub async fn customization(client: &Client, say: Say, command: Customization) -> Result<()> {
    let written = match command {
        Customization::Show { role, about } => {
            let query = ResolveCustomizations { role, about };
            return say.answer(&client.resolve_customizations(&query).await?, tables::resolved);
        }
        Customization::Ls { all, limit } => {
            let query = ListCustomizations { all: Some(all), ..ListCustomizations::default() };
            let (rows, more) = texts(client, limit, query).await?;
            say.answer(&rows, |rows, out| tables::customizations(rows, out))?;
            note_more(more);
            return Ok(());
        }
        Customization::Set { kind, name, file } => {
            let body = text_of(&if file == "-" { file } else { format!("@{file}") })?;
            client.set_customization(&SetCustomization { kind, name, body }).await?
        }
        Customization::Diff { kind, name, old, new } => {
            let all = versions(client, kind, &name).await?;
            let of = |wanted: u32| find(&all, &name, wanted);
            let (old, new) = (client.customization(of(old)?).await?, client.customization(of(new)?).await?);
            return say.answer(&(old, new), |(old, new), out| tables::difference(old, new, out));
        }
        Customization::Revert { kind, name, number } => {
            let all = versions(client, kind, &name).await?;
            client.revert_customization(find(&all, &name, number)?).await?
        }
        Customization::Rm { kind, name } => {
            let query =
                ListCustomizations { kind: Some(kind), name: Some(name.clone()), ..ListCustomizations::default() };
            match texts(client, 2, query).await?.0.as_slice() {
                [one] => client.retire_customization(one.id).await?,
                [] => bail!("no {kind} `{name}` is in use"),
                _ => bail!("{kind} `{name}` is in use in several scopes; name one with --scope"),
            }
        }
    };
    say.answer(&written, tables::customization)
}

async fn versions(client: &Client, kind: CustomizationKind, name: &str) -> Result<Vec<orcha_wire::Customization>> {
    let query = ListCustomizations {
        kind: Some(kind),
        name: Some(name.to_owned()),
        all: Some(true),
        ..ListCustomizations::default()
    };
    Ok(texts(client, 0, query).await?.0)
}

/// Reads as many texts as are wanted, and whether there are more.
async fn texts(
    client: &Client,
    limit: usize,
    query: ListCustomizations,
) -> Result<(Vec<orcha_wire::Customization>, bool), ClientError> {
    collect(limit, async |after, size| {
        client.customizations(&ListCustomizations { after, limit: Some(size), ..query.clone() }).await
    })
    .await
}

/// Finds the version with a number. The versions of several scopes are told apart by the scope alone.
fn find(all: &[orcha_wire::Customization], name: &str, version: u32) -> Result<orcha_base::TextId> {
    let mut fitting = all.iter().filter(|it| it.version == version);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => bail!("`{name}` has no version {version}"),
        (Some(_), Some(_)) => bail!("`{name}` has a version {version} in several scopes; name one with --scope"),
    }
}

pub async fn proposals(client: &Client, say: Say, command: Proposals) -> Result<()> {
    let moved = match command {
        Proposals::Ls { status, limit } => {
            let (rows, more) = collect(limit, async |after, size| {
                client.proposals(&ListProposals { status, after, limit: Some(size) }).await
            })
            .await?;
            say.answer(&rows, |rows, out| tables::proposals(rows, out))?;
            note_more(more);
            return Ok(());
        }
        Proposals::Show { id } => client.proposal(id).await?,
        Proposals::Approve { id } => client.approve_proposal(id).await?,
        Proposals::Decline { id, reason } => client.decline_proposal(id, &WhyNot { reason }).await?,
        Proposals::Revert { id, reason } => client.revert_proposal(id, &WhyNot { reason }).await?,
        Proposals::Search => {
            let found = client.search_runs().await?.proposals;
            return say.answer(&found, |rows, out| tables::proposals(rows, out));
        }
    };
    say.answer(&moved, tables::proposal)
}

pub async fn runs(client: &Client, say: Say, limit: usize) -> Result<()> {
    let page = async |after, size| client.runs(&ListRuns { after, limit: Some(size) }).await;
    let (rows, more) = collect(limit, page).await?;
    say.answer(&rows, |rows, out| tables::runs(rows, out))?;
    note_more(more);
    Ok(())
}
