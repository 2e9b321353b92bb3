//! Commands that only look: lists, single things, transcripts, the journal.

use super::{Noun, find, run};
use crate::cli::{Events, Logs, Ls, Messages, What};
use crate::say::{Say, aside};
use crate::tables;
use anyhow::{Result, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use orcha_client::{Client, ClientError, Page, text};
use orcha_wire::*;
use std::process::ExitCode;

/// Reads pages until there are enough rows or no more. The rest is told by the second value.
pub(super) async fn collect<T, F>(limit: usize, mut page: F) -> Result<(Vec<T>, bool), ClientError>
where
    F: AsyncFnMut(Option<String>, u32) -> Result<Page<T>, ClientError>,
{
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let size = u32::try_from(wanted - rows.len()).unwrap_or(MAX_LIMIT).min(MAX_LIMIT);
        let part = page(after, size).await?;
        let empty = part.items.is_empty();
        rows.extend(part.items);
        after = part.next;
        if after.is_none() || empty {
            return Ok((rows, false));
        }
        if rows.len() >= wanted {
            return Ok((rows, true));
        }
    }
}

/// Reads the rows in each of some states, or all rows at once if no state is named.
async fn by_state<T, S: Copy, F>(limit: usize, states: &[S], mut page: F) -> Result<(Vec<T>, bool), ClientError>
where
    F: AsyncFnMut(Option<S>, Option<String>, u32) -> Result<Page<T>, ClientError>,
{
    if states.is_empty() {
        return collect(limit, async |after, size| page(None, after, size).await).await;
    }
    let (mut rows, mut more) = (Vec::new(), false);
    for state in states {
        let (part, rest) = collect(limit, async |after, size| page(Some(*state), after, size).await).await?;
        rows.extend(part);
        more |= rest;
    }
    Ok((rows, more))
}

pub(super) fn note_more(more: bool) {
    if more {
        aside("there is more; name a higher --limit, or 0 for everything");
    }
}

/// Sorts by key, newest first, and keeps as many as were asked for.
fn newest<T, K: Ord>(rows: &mut Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> bool {
    rows.sort_by_key(|it| std::cmp::Reverse(key(it)));
    let too_many = limit > 0 && rows.len() > limit;
    if too_many {
        rows.truncate(limit);
    }
    too_many
}

pub async fn list(client: &Client, say: Say, options: &Ls) -> Result<()> {
    let (limit, all, objective_id) = (options.limit, options.all, options.objective.clone());
    match options.what {
        What::Objectives => {
            let live: Vec<_> = ObjectiveStatus::ALL.iter().copied().filter(|it| !it.is_over()).collect();
            let states = if all { &[][..] } else { &live };
            let (mut rows, mut more) = by_state(limit, states, async |state, after, size| {
                client.objectives(&ListObjectives { state, after, limit: Some(size) }).await
            })
            .await?;
            more |= newest(&mut rows, limit, |it| it.updated_at);
            say.answer(&rows, |rows, out| tables::objectives(rows, out))?;
            note_more(more);
        }
        What::Sessions => {
            let live: Vec<_> = SessionStatus::ALL.iter().copied().filter(|it| !it.is_over()).collect();
            let states = if all { &[][..] } else { &live };
            let (mut rows, mut more) = by_state(limit, states, async |state, after, size| {
                let objective_id = objective_id.clone();
                client.sessions(&ListSessions { objective_id, state, after, limit: Some(size) }).await
            })
            .await?;
            more |= newest(&mut rows, limit, |it| it.updated_at);
            say.answer(&rows, |rows, out| tables::sessions(rows, out))?;
            note_more(more);
        }
        What::Questions if all && objective_id.is_none() => {
            bail!(
                "answered questions are listed for one objective: name it by --objective ID; `orcha ls --all` shows ids"
            );
        }
        What::Questions => {
            let states = if all { QuestionStatus::ALL } else { &[QuestionStatus::Open] };
            let (rows, more) = by_state(limit, states, async |state, after, size| {
                let objective_id = objective_id.clone();
                client.questions(&ListQuestions { objective_id, state, after, limit: Some(size) }).await
            })
            .await?;
            say.answer(&rows, |rows, out| tables::questions(rows, out))?;
            note_more(more);
        }
        What::Prs => pull_requests(client, say, limit, all, objective_id).await?,
        What::Targets => say.answer(&client.targets().await?, |rows, out| tables::targets(rows, out))?,
        What::Projects => say.answer(&client.projects().await?, |rows, out| tables::projects(rows, out))?,
        What::Workspaces => workspaces(client, say, limit, all, objective_id).await?,
    }
    Ok(())
}

pub async fn pull_requests(client: &Client, say: Say, limit: usize, all: bool, of: Option<IdRef>) -> Result<()> {
    use PullRequestStatus::{Draft, Open, Opening};
    let states = if all { &[][..] } else { &[Opening, Draft, Open] };
    let (mut rows, mut more) = by_state(limit, states, async |state, after, size| {
        let objective_id = of.clone();
        client.pull_requests(&ListPullRequests { objective_id, state, after, limit: Some(size) }).await
    })
    .await?;
    more |= newest(&mut rows, limit, |it| it.created_at);
    say.answer(&rows, |rows, out| tables::pull_requests(rows, out))?;
    note_more(more);
    Ok(())
}

pub async fn workspaces(client: &Client, say: Say, limit: usize, all: bool, of: Option<IdRef>) -> Result<()> {
    let (mut rows, more) = collect(limit, async |after, size| {
        let objective_id = of.clone();
        client.workspaces(&ListWorkspaces { objective_id, after, limit: Some(size) }).await
    })
    .await?;
    rows.retain(|it: &Workspace| all || it.status != WorkspaceStatus::Archived);
    say.answer(&rows, |rows, out| tables::workspaces(rows, out))?;
    note_more(more);
    Ok(())
}

pub async fn messages(client: &Client, say: Say, options: Messages) -> Result<()> {
    let of = match options.id {
        Some(id) => Some(find(client, id).await?),
        None => None,
    };
    let (objective_id, session_id) = match of {
        None => (None, None),
        Some((Noun::Objective, id)) => (Some(id), None),
        Some((Noun::Session, id)) => (None, Some(id)),
        Some((_, id)) => bail!("messages go to sessions; {id} is neither a session nor an objective"),
    };
    let (rows, more) = collect(options.limit, async |after, size| {
        let (objective_id, session_id) = (objective_id.clone(), session_id.clone());
        client.steering(&ListSteering { objective_id, session_id, after, limit: Some(size) }).await
    })
    .await?;
    say.answer(&rows, |rows, out| tables::messages(rows, out))?;
    note_more(more);
    Ok(())
}

pub async fn show(client: &Client, say: Say, id: IdRef) -> Result<()> {
    let (noun, id) = find(client, id).await?;
    match noun {
        Noun::Objective => say.answer(&client.objective(id).await?, tables::objective_detail),
        Noun::Session => say.answer(&client.session(id).await?, tables::session),
        Noun::PullRequest => say.answer(&client.pull_request(id).await?, tables::pull_request_detail),
        Noun::Question => say.answer(&client.question(id).await?, tables::question),
        Noun::Workspace => say.answer(&client.workspace(id).await?, tables::workspace_detail),
        Noun::Target => say.answer(&client.target(id).await?, tables::target),
        Noun::Project => {
            let projects = client.projects().await?;
            match projects.into_iter().find(|it| it.id.to_string() == id.as_str()) {
                Some(project) => say.answer(&project, tables::project),
                None => bail!("project {id} was deleted just now"),
            }
        }
        Noun::Other => say.answer(&client.why(id).await?, tables::why),
    }
}

pub async fn logs(client: &Client, say: Say, options: Logs) -> Result<ExitCode> {
    let (noun, id) = find(client, options.id).await?;
    match noun {
        Noun::Session => transcript(client, say, id, options.follow, options.tail).await?,
        Noun::Objective if options.follow => return run::follow(client, say, id.as_str().parse()?).await,
        Noun::Objective => {
            let limit = options.tail.unwrap_or(DEFAULT_LIMIT);
            events(client, say, Events { follow: false, after: None, objective: Some(id), limit }).await?;
        }
        _ => bail!("logs are kept of sessions and objectives; `orcha show {id}` shows this"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands over each item of a stream, and says when the daemon goes away and comes back.
async fn each<T>(
    client: &Client,
    mut items: BoxStream<'static, Result<T, ClientError>>,
    mut item: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut link = client.link();
    loop {
        tokio::select! {
            next = items.next() => match next.transpose()? {
                Some(next) => item(next)?,
                None => return Ok(()),
            },
            // The client outlives this loop, and with it the sender.
            Ok(()) = link.changed() => aside(&text::link(*link.borrow_and_update(), client.url())),
        }
    }
}

pub async fn transcript(client: &Client, say: Say, id: IdRef, follow: bool, tail: Option<u32>) -> Result<()> {
    let mut last = 0;
    let mut query = ListMessages { tail, limit: tail.or(Some(DEFAULT_MESSAGES)), ..ListMessages::default() };
    loop {
        let page = client.transcript(id.clone(), &query).await?;
        for it in &page.items {
            say.item(it, tables::entry)?;
            last = it.seq;
        }
        if tail.is_some() || page.next.is_none() || page.items.is_empty() {
            break;
        }
        query.after = Some(last);
    }
    if follow {
        let entries = client.follow_transcript(id, last);
        each(client, entries, |entry| say.item(&entry, tables::entry)).await?;
    }
    Ok(())
}

pub async fn events(client: &Client, say: Say, options: Events) -> Result<()> {
    let objective_id = options.objective;
    let mut query = ListEvents {
        after: options.after,
        limit: Some(options.limit.clamp(1, MAX_LIMIT)),
        objective_id: objective_id.clone(),
        ..ListEvents::default()
    };
    let mut last = options.after.unwrap_or(0);
    let mut room = options.limit;
    while room > 0 {
        let page = client.events(&query).await?;
        for it in &page.items {
            say.item(it, tables::event)?;
            last = it.id;
        }
        room = room.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        // Without a place to begin it is the newest page, and there is nothing after it.
        if options.after.is_none() || page.next.is_none() || page.items.is_empty() {
            break;
        }
        query.after = Some(last);
        query.limit = Some(room.clamp(1, MAX_LIMIT));
    }
    if options.follow {
        let events = client.follow_events(StreamEvents { after: Some(last), objective_id });
        each(client, events, |event| say.item(&event, tables::event)).await?;
    }
    Ok(())
}
