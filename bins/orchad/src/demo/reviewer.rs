//! The person of the demo: reads the pull requests, remarks on one, and merges when everything is as it should be.
//!
//! It knows no more than the API says. It may start anew at any time: what is done is not done twice.

use anyhow::{Result, bail};
use futures::StreamExt;
use orcha_base::ObjectiveId;
use orcha_client::{Client, ClientError};
use orcha_wire::{CommentPr, IdRef, ListPullRequests, MergePr, PullRequestStatus, StreamEvents};
use std::time::Duration;

/// How many pull requests the demo's objective leads to.
pub const PULL_REQUESTS: usize = 3;
/// The pull request that gets a remark.
const REMARKED: &str = "Write the manual";
/// The remark.
const REMARK: &str = "Please mention --bye in the manual, too.";
/// After how many refusals the person gives up.
const REFUSALS: u32 = 50;
/// For how long nobody may answer.
const PATIENCE: u32 = 600;

/// Reviews and merges until the objective has ended.
pub async fn review(client: Client, objective: ObjectiveId) -> Result<()> {
    let id = IdRef::from(objective);
    let mut events = client.follow_events(StreamEvents { after: Some(0), objective_id: Some(id.clone()) });
    let mut worked_off = false;
    let mut refusals = 0;
    while let Some(event) = events.next().await {
        let event = event?;
        match event.kind.as_str() {
            "objective_done" | "objective_failed" | "objective_canceled" => return Ok(()),
            "feedback_handled" => worked_off = true,
            "pr_published" | "pr_updated" | "pr_observed" | "pr_merged" | "pr_update_refused" => {}
            _ => continue,
        }
        if let Some(refusal) = look_patiently(&client, &id, worked_off).await? {
            refusals += 1;
            if refusals > REFUSALS {
                bail!("refused {refusals} times; the last: {refusal}");
            }
        }
    }
    bail!("the stream of events ended")
}

/// Looks, and looks again while nobody answers; returns a refusal, after which things are looked at again with the
/// next event.
async fn look_patiently(client: &Client, objective: &IdRef, worked_off: bool) -> Result<Option<String>> {
    for _ in 0..PATIENCE {
        match look(client, objective, worked_off).await {
            Ok(()) => return Ok(None),
            Err(fault) if fault.may_pass() => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(ClientError::Refused(problem)) => return Ok(Some(problem.to_string())),
            Err(fault) => return Err(fault.into()),
        }
    }
    bail!("the daemon did not come back")
}

/// Looks at all pull requests and does what is to be done now.
async fn look(client: &Client, objective: &IdRef, worked_off: bool) -> Result<(), ClientError> {
    let query = ListPullRequests { objective_id: Some(objective.clone()), ..ListPullRequests::default() };
    let mut prs = client.pull_requests(&query).await?.items;
    prs.retain(|it| it.number > 0);
    if prs.len() < PULL_REQUESTS {
        return Ok(());
    }
    prs.sort_by_key(|it| it.number);
    if worked_off {
        for pr in prs.iter().filter(|it| it.status == PullRequestStatus::Open) {
            client.merge_pull_request(IdRef::from(pr.id), &MergePr::default()).await?;
        }
        return Ok(());
    }
    let Some(remarked) = prs.iter().find(|it| it.title.contains(REMARKED)) else { return Ok(()) };
    let detail = client.pull_request(IdRef::from(remarked.id)).await?;
    if !detail.comments.iter().any(|it| it.body.contains(REMARK)) {
        let comment = CommentPr { body: REMARK.to_owned(), path: None, line: None };
        client.comment_pull_request(IdRef::from(remarked.id), &comment).await?;
    }
    Ok(())
}
