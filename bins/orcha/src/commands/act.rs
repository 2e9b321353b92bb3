//! Commands that change something: verbs over objectives and sessions, answers, and pull requests.

use super::{Noun, find, look, text_of};
use crate::cli::Pr;
use crate::say::{Say, aside};
use crate::tables;
use anyhow::{Result, bail};
use orcha_client::Client;
use orcha_wire::*;

/// What an objective and a session can be told alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Retry,
    Pause,
    Resume,
}

pub async fn go(client: &Client, say: Say, id: IdRef, verb: Verb) -> Result<()> {
    match find(client, id).await? {
        (Noun::Objective, id) => {
            let objective = match verb {
                Verb::Retry => client.retry_objective(id).await?,
                Verb::Pause => client.pause_objective(id).await?,
                Verb::Resume => client.resume_objective(id).await?,
            };
            say.answer(&objective, tables::objective)?;
            if verb == Verb::Retry && !say.json {
                aside(&format!("\nfollow it with: orcha logs -f {}", objective.id.short()));
            }
            Ok(())
        }
        (Noun::Session, id) => {
            let session = match verb {
                Verb::Retry => client.retry_session(id).await?,
                Verb::Pause => client.pause_session(id).await?,
                Verb::Resume => client.resume_session(id).await?,
            };
            say.answer(&session, tables::session)
        }
        (_, id) => bail!("only an objective or a session can be told that; `orcha show {id}` shows what this is"),
    }
}

pub async fn cancel(client: &Client, say: Say, id: IdRef, reason: Option<String>) -> Result<()> {
    let cancel = Cancel { reason };
    match find(client, id).await? {
        (Noun::Objective, id) => say.answer(&client.cancel_objective(id, &cancel).await?, tables::objective),
        (Noun::Session, id) => say.answer(&client.cancel_session(id, &cancel).await?, tables::session),
        (Noun::PullRequest, id) => bail!("a pull request is closed, not canceled: orcha pr close {id}"),
        (_, id) => bail!("only an objective or a session can be canceled; `orcha show {id}` shows what this is"),
    }
}

pub async fn steer(client: &Client, say: Say, id: IdRef, text: &str, interrupt: bool) -> Result<()> {
    let steer = Steer { message: text_of(text)?, interrupt };
    let steered = match find(client, id).await? {
        (Noun::Objective, id) => client.steer_objective(id, &steer).await?,
        (Noun::Session, id) => client.steer_session(id, &steer).await?,
        (Noun::PullRequest, id) => client.steer_pull_request(id, &steer).await?,
        (Noun::Question, id) => bail!("a question is answered: orcha answer {id} TEXT"),
        (_, id) => bail!("nobody listens there; `orcha show {id}` shows what this is"),
    };
    say.answer(&steered, tables::steered)
}

pub async fn answer(client: &Client, say: Say, id: IdRef, text: &str) -> Result<()> {
    let answer = Answer { answer: text_of(text)? };
    say.answer(&client.answer(id, &answer).await?, tables::question)
}

pub async fn pull_request(client: &Client, say: Say, command: Pr) -> Result<()> {
    let pr = match command {
        Pr::List { all, objective } => return look::pull_requests(client, say, 0, all, objective).await,
        Pr::Show { id } => return say.answer(&client.pull_request(id).await?, tables::pull_request_detail),
        Pr::Comment { id, body, path, line } => {
            client.comment_pull_request(id, &CommentPr { body: text_of(&body)?, path, line }).await?
        }
        Pr::Review { id, verdict, body } => {
            client.review_pull_request(id, &ReviewPr { verdict, body: text_of(&body)? }).await?
        }
        Pr::Check { id, name, state, link } => {
            client.check_pull_request(id, &CheckPr { name, state, url: link }).await?
        }
        Pr::Merge { id, method } => client.merge_pull_request(id, &MergePr { method }).await?,
        Pr::Close { id, reason } => client.close_pull_request(id, &ClosePr { reason }).await?,
        Pr::Reopen { id } => client.reopen_pull_request(id).await?,
        Pr::Refresh { id } => client.refresh_pull_request(id).await?,
    };
    say.answer(&pr, tables::pull_request)
}
