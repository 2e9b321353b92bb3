//! What becomes of work: it is kept before anybody goes on from it, it becomes a pull request, and nothing is pushed to
//! one that has ended. Promises 1 and 6, by the real wheel.

use crate::stage::{Stage, repo, workspace_label};
use orcha_agent::{Say, TurnEnd};
use orcha_base::{BranchName, ObjectiveId, PullRequestId, SessionId, Sha};
use orcha_exec::ExitStatus;
use orcha_forge::{Forge, Merge, Method, PrNumber};
use orcha_model::guard::Limits;
use orcha_model::objective::{self, Strategy};
use orcha_model::pull_request::{Input, State};
use orcha_model::session::RepoChoice;
use orcha_model::{PullRequest, Role, session};
use orcha_orch::{Actor, NewObjective, PublishRequest, Settings, UpdateRequest};
use orcha_plan::{NewSession, Stimulus};
use orcha_workspace::WorkspaceError;
use std::time::Duration;
use tokio::sync::watch;

/// Agents that end their turn when they are told to by the test, and a switch for that.
async fn patient() -> (Stage, watch::Sender<bool>) {
    let (go, wait) = watch::channel(false);
    let settings = Settings { watch_every: Duration::from_secs(1_000_000), ..Settings::default() };
    let stage = Stage::open(settings, move |mut agent| {
        let mut wait = wait.clone();
        async move {
            agent.ready();
            while let Some(say) = agent.hear().await {
                if let Say::Prompt { .. } = say {
                    wait.wait_for(|go| *go).await.unwrap();
                    agent.end_turn(TurnEnd::Completed);
                }
            }
            ExitStatus::Code(0)
        }
    })
    .await;
    (stage, go)
}

/// An objective on the repository, with sessions and nobody who steers.
async fn direct(stage: &Stage, sessions: Vec<(NewSession, Vec<usize>)>) -> (ObjectiveId, Vec<SessionId>) {
    let wish = NewObjective {
        strategy: Strategy::Direct,
        sessions,
        repo: Some(RepoChoice { url: repo(), base: None }),
        limits: Some(Limits { wall_clock_secs: 0, stall_secs: 0, ..Limits::default() }),
        ..NewObjective::new("Do it.")
    };
    let (objective, made) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
    (objective.id, made)
}

/// The agent of a session changes a file and commits; the code host will know the commit once it is pushed.
async fn works(stage: &Stage, objective: ObjectiveId, session: SessionId, path: &str) -> (BranchName, Sha) {
    stage.until_state(objective, session, "running").await;
    let workspace = stage.workspace(objective, session).await;
    let label = workspace_label(&workspace);
    stage.checkouts.write(&label, path, Some("new"));
    let sha = stage.checkouts.commit(&label, "feat: new");
    let branch = workspace.branch.unwrap();
    stage.forge.push(&repo(), &branch, &sha);
    (branch, sha)
}

/// Waits for the one pull request of an objective.
async fn the_pull_request(stage: &Stage, objective: ObjectiveId, state: &'static str) -> PullRequest {
    let look = move |it: &&PullRequest| it.state.name() == state;
    stage.until(objective, move |world| world.pull_requests.values().find(look).cloned()).await
}

async fn hear_of(stage: &Stage, objective: ObjectiveId, id: PullRequestId, input: Input) {
    stage.orch.submit(objective, Stimulus::PullRequest(id, input)).await.unwrap();
}

#[tokio::test]
async fn finished_work_that_nobody_steers_becomes_a_pull_request_and_is_done_once_it_is_merged() {
    let (stage, go) = patient().await;
    let (objective, made) =
        direct(&stage, vec![(NewSession::new(Role::Implementer, "Add it", "Do it."), vec![])]).await;
    let (branch, sha) = works(&stage, objective, made[0], "new.txt").await;
    go.send_replace(true);
    let pr = the_pull_request(&stage, objective, "open").await;
    assert_eq!((pr.number, &pr.head, pr.title.as_str()), (Some(1), &Some(sha.clone()), "Add it"));
    assert_eq!(stage.checkouts.origin_branch(&repo(), &branch), Some(sha.clone()));
    hear_of(&stage, objective, pr.id, Input::Merged { sha }).await;
    let summary = stage
        .until(objective, |world| {
            (world.objective.state == objective::State::Succeeded).then(|| world.objective.summary.clone())
        })
        .await;
    assert_eq!(summary.as_deref(), Some("1 session succeeded; pull request #1 was merged"));
    stage.close().await;
}

#[tokio::test]
async fn work_that_changed_nothing_says_so_and_opens_no_pull_request() {
    let (stage, go) = patient().await;
    go.send_replace(true);
    let (objective, _) = direct(&stage, vec![(NewSession::new(Role::Implementer, "Add it", "Do it."), vec![])]).await;
    let summary = stage
        .until(objective, |world| {
            (world.objective.state == objective::State::Succeeded).then(|| world.objective.summary.clone())
        })
        .await;
    assert!(summary.as_ref().is_some_and(|it| it.contains("nothing to publish")), "{summary:?}");
    stage.close().await;
}

#[tokio::test]
async fn promise_1_neither_a_successor_nor_a_publication_overtakes_the_snapshot() {
    let (stage, go) = patient().await;
    let second = NewSession::new(Role::Researcher, "Look", "Look at it.");
    let sessions = vec![(NewSession::new(Role::Implementer, "Add it", "Do it."), vec![]), (second, vec![0])];
    let (objective, made) = direct(&stage, sessions).await;
    let (branch, sha) = works(&stage, objective, made[0], "new.txt").await;
    // The first try of the snapshot fails in passing; the next one is due when the clock moves.
    let complaint = String::from("disk is slow");
    stage.checkouts.fail_next(WorkspaceError::ToolFailed { step: "snapshot", status: ExitStatus::Code(1), complaint });
    go.send_replace(true);
    let first = stage.until_state(objective, made[0], "succeeded").await;
    assert_eq!(first.stopping, Some(first.attempt));
    let request =
        PublishRequest { session: made[0], title: "Add it".into(), body: String::new(), commit_message: None };
    let orch = stage.orch.clone();
    let published = tokio::spawn(async move { orch.publish(objective, request).await });
    the_pull_request(&stage, objective, "opening").await;
    let waits = stage.until(objective, {
        let next = made[1];
        move |world| world.sessions.get(&next).map(|it| it.state.clone())
    });
    assert_eq!(waits.await, session::State::Queued { released: false });
    assert_eq!(stage.checkouts.origin_branch(&repo(), &branch), None, "published before it was kept");
    let kept = made[0];
    stage.pass_until(objective, move |world| world.sessions[&kept].stopping.is_none().then_some(())).await;
    assert_eq!(published.await.unwrap().unwrap().head, Some(sha.clone()));
    let next = stage.until_state(objective, made[1], "succeeded").await;
    assert_eq!(next.pin, Some(stage.workspace(objective, made[0]).await.target));
    assert_eq!(stage.checkouts.files(&workspace_label(&stage.workspace(objective, made[1]).await))["new.txt"], "new");
    let pr = the_pull_request(&stage, objective, "open").await;
    hear_of(&stage, objective, pr.id, Input::Merged { sha }).await;
    stage.close().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_taken_holds_nobody_up_for_ever() {
    let (stage, go) = patient().await;
    let second = NewSession::new(Role::Researcher, "Look", "Look at it.");
    let sessions = vec![(NewSession::new(Role::Researcher, "Find", "Find it."), vec![]), (second, vec![0])];
    let (objective, made) = direct(&stage, sessions).await;
    stage.until_state(objective, made[0], "running").await;
    stage.checkouts.fail_next(WorkspaceError::Foreign {
        workspace: workspace_label(&stage.workspace(objective, made[0]).await),
        what: "its folder is a link".into(),
    });
    go.send_replace(true);
    stage.until_state(objective, made[1], "succeeded").await;
    stage.close().await;
}

/// A pull request of a session that works on, with one more commit that was not pushed yet.
async fn with_more_work(stage: &Stage) -> (ObjectiveId, SessionId, PullRequest, Sha) {
    let wish = NewObjective {
        repo: Some(RepoChoice { url: repo(), base: None }),
        limits: Some(Limits { wall_clock_secs: 0, stall_secs: 0, no_progress: 0, ..Limits::default() }),
        ..NewObjective::new("Do it.")
    };
    let (objective, _) = stage.orch.create_objective(&Actor::default(), wish).await.unwrap();
    let objective = objective.id;
    let session =
        stage.orch.new_session(objective, NewSession::new(Role::Implementer, "Add it", "Do it.")).await.unwrap();
    works(stage, objective, session, "new.txt").await;
    stage.go.as_ref().unwrap().send_replace(true);
    stage.until_state(objective, session, "succeeded").await;
    stage.until(objective, move |world| world.sessions[&session].stopping.is_none().then_some(())).await;
    let request = PublishRequest { session, title: "Add it".into(), body: String::new(), commit_message: None };
    let pr = stage.orch.publish(objective, request).await.unwrap();
    let label = workspace_label(&stage.workspace(objective, session).await);
    stage.checkouts.write(&label, "more.txt", Some("more"));
    let more = stage.checkouts.commit(&label, "feat: more");
    (objective, session, pr, more)
}

fn push(pr: &PullRequest, session: SessionId) -> UpdateRequest {
    UpdateRequest {
        pull_request: pr.id,
        session: Some(session),
        title: None,
        body: None,
        commit_message: None,
        force: false,
        force_reason: None,
    }
}

#[tokio::test]
async fn promise_6_what_was_closed_behind_our_back_is_not_pushed_to_before_the_user_said_so() {
    let (mut stage, go) = patient().await;
    stage.go = Some(go);
    let (objective, session, pr, more) = with_more_work(&stage).await;
    stage.forge.close(&repo(), PrNumber(1), stage.orch.now()).await.unwrap();
    let said = stage.orch.update_pull_request(objective, push(&pr, session)).await.unwrap_err().to_string();
    assert!(said.contains("The user is asked whether it is reopened"), "{said}");
    assert_eq!(stage.checkouts.origin_branch(&repo(), &pr.branch), pr.head);
    // The push that waits is in the store, and so is the question.
    stage.restart().await;
    // The code host will know the commit once it is pushed.
    stage.forge.push(&repo(), &pr.branch, &more);
    stage.answer(objective, "reopen").await;
    let pushed = more.clone();
    stage
        .until(objective, move |world| world.pull_requests[&pr.id].head.as_ref().filter(|it| **it == pushed).cloned())
        .await;
    assert_eq!(stage.checkouts.origin_branch(&repo(), &pr.branch), Some(more));
    stage.close().await;
}

#[tokio::test]
async fn promise_6_what_was_merged_behind_our_back_is_never_pushed_to() {
    let (mut stage, go) = patient().await;
    stage.go = Some(go);
    let (objective, session, pr, more) = with_more_work(&stage).await;
    let merge = Merge {
        method: Method::Merge,
        expected_head: pr.head.clone().unwrap(),
        identity: stage.settings.identity.clone(),
        message: "Add it (#1)".into(),
        at: stage.orch.now(),
    };
    stage.forge.merge(&repo(), PrNumber(1), &merge).await.unwrap();
    let said = stage.orch.update_pull_request(objective, push(&pr, session)).await.unwrap_err().to_string();
    assert!(said.contains("a merged pull request is never pushed to"), "{said}");
    assert_eq!(stage.checkouts.origin_branch(&repo(), &pr.branch), pr.head);
    let merged = the_pull_request(&stage, objective, "merged").await;
    assert!(matches!(merged.state, State::Merged { .. }));
    // What was not pushed is still where it was made.
    let label = workspace_label(&stage.workspace(objective, session).await);
    assert_eq!(stage.checkouts.files(&label)["more.txt"], "more");
    assert_ne!(Some(more), merged.head);
    stage.close().await;
}

#[tokio::test]
async fn promise_6_publishing_what_was_closed_asks_and_a_new_one_takes_another_branch() {
    let (mut stage, go) = patient().await;
    stage.go = Some(go);
    let (objective, session, pr, more) = with_more_work(&stage).await;
    stage.forge.close(&repo(), PrNumber(1), stage.orch.now()).await.unwrap();
    stage.orch.refresh_pull_request(&pr).await.unwrap();
    let request = PublishRequest { session, title: "Add it again".into(), body: String::new(), commit_message: None };
    let said = stage.orch.publish(objective, request).await.unwrap_err().to_string();
    assert!(said.contains("The user is asked"), "{said}");
    let beside: BranchName = format!("{}-2", pr.branch).parse().unwrap();
    stage.forge.push(&repo(), &beside, &more);
    stage.answer(objective, "open a new one").await;
    let new = the_pull_request(&stage, objective, "open").await;
    assert_eq!((new.branch, new.head, new.title.as_str()), (beside.clone(), Some(more.clone()), "Add it again"));
    assert_eq!(stage.checkouts.origin_branch(&repo(), &beside), Some(more));
    assert_eq!(stage.checkouts.origin_branch(&repo(), &pr.branch), pr.head);
    stage.close().await;
}
