//! One executor per effect. Each is small, may run twice, and answers with facts; none decides anything.

mod check;
mod deliver_result;
mod launch;
mod prepare;
mod pull_request;
mod stop;
mod tidy_up;

pub(crate) use check::RunningChecks;
pub(crate) use deliver_result::delivery_of;

use crate::orch::Shared;
use orcha_agent::Runner;
use orcha_base::{Attempt, ObjectiveId, Retry, SessionId, TargetId, Timestamp, WorkspaceId};
use orcha_exec::RunLabel;
use orcha_model::{Artifact, Effect, check as check_run, message, pull_request as pr, session, workflow, workspace};
use orcha_plan::{OfWorkflow, Stimulus};
use orcha_workspace::Label;
use std::error::Error;
use std::sync::Arc;

/// What executing an effect came to.
#[derive(Debug)]
pub(crate) enum Executed {
    /// It is done; this is what the mind must hear.
    Facts(Facts),
    /// Something that passes by itself stood in the way.
    Again { detail: String },
    /// It would do harm now; it is tried again at that instant, however often.
    NotBefore { until: Timestamp, detail: String },
    /// It will not work, however often it is tried.
    Failed { detail: String },
}

/// What the mind must hear, and what was left behind.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub stimuli: Vec<Stimulus>,
    pub artifacts: Vec<Artifact>,
}

impl Facts {
    fn none() -> Executed {
        Executed::Facts(Self::default())
    }

    fn of(stimuli: impl IntoIterator<Item = Stimulus>) -> Executed {
        Executed::Facts(Self { stimuli: stimuli.into_iter().collect(), artifacts: Vec::new() })
    }
}

/// Executes an effect.
pub(crate) async fn execute(shared: &Arc<Shared>, objective: ObjectiveId, effect: &Effect) -> Executed {
    let executed = match effect {
        Effect::Prepare(it) => prepare::run(shared, objective, it).await,
        Effect::Launch(it) => launch::run(shared, objective, it).await,
        Effect::Stop(it) => stop::run(shared, objective, it).await,
        Effect::Deliver(it) => launch::deliver(shared, objective, it).await,
        Effect::Interrupt { session, attempt, target, on_behalf_of } => {
            launch::interrupt(shared, objective, *session, *attempt, *target, *on_behalf_of).await
        }
        Effect::Permit(it) => launch::permit(shared, objective, it).await,
        Effect::Publish(it) => pull_request::publish(shared, objective, it).await,
        Effect::UpdatePr(it) => pull_request::update(shared, it).await,
        Effect::Comment { pull_request, repo, number, key, body } => {
            pull_request::comment(shared, *pull_request, repo, *number, key, body).await
        }
        Effect::Merge { pull_request, repo, number, method, expected_head } => {
            pull_request::merge(shared, *pull_request, repo, *number, *method, expected_head).await
        }
        Effect::Close { pull_request, repo, number } => pull_request::close(shared, *pull_request, repo, *number).await,
        Effect::Reopen { pull_request, repo, number } => {
            pull_request::reopen(shared, *pull_request, repo, *number).await
        }
        Effect::Reclaim { workspace, target, repo, .. } => {
            tidy_up::reclaim(shared, *workspace, *target, repo.is_some()).await
        }
        Effect::Check(it) => check::run(shared, objective, it).await,
        Effect::StopCheck { run, .. } => Ok(check::stop(shared, *run)),
        Effect::DeliverResult(it) => deliver_result::run(shared, objective, it).await,
        Effect::Restore { workspace, target, snapshot, .. } => {
            tidy_up::restore(shared, *workspace, *target, snapshot).await
        }
    };
    executed.unwrap_or_else(|not_done| not_done)
}

/// What the mind must hear when an effect failed for good.
pub(crate) fn failed(effect: &Effect, detail: String) -> Facts {
    let on_pr = |id, input| vec![Stimulus::PullRequest(id, input)];
    let stimuli = match effect {
        Effect::Prepare(it) => vec![
            Stimulus::Workspace(it.workspace, workspace::Input::PrepareFailed { reason: detail.clone() }),
            Stimulus::Session(it.session, session::Input::PrepareFailed { attempt: it.attempt, detail }),
        ],
        Effect::Launch(it) => {
            vec![Stimulus::Session(it.session, session::Input::LaunchFailed { attempt: it.attempt, detail })]
        }
        Effect::Stop(it) => {
            vec![Stimulus::Session(it.session, session::Input::StopFailed { attempt: it.attempt, detail })]
        }
        Effect::Check(it) => {
            vec![Stimulus::Workflow(Box::new(OfWorkflow::CheckRun(it.run, check_run::Input::Faulted { detail })))]
        }
        Effect::DeliverResult(it) => {
            let input = workflow::Input::DeliveryFaulted { order: it.order, detail, lasting: false };
            vec![Stimulus::Workflow(Box::new(OfWorkflow::It(input)))]
        }
        // Its run is over, and with it whoever waited.
        Effect::StopCheck { .. } | Effect::Interrupt { .. } | Effect::Permit(_) => Vec::new(),
        Effect::Deliver(it) => vec![Stimulus::Message(it.message, message::Input::Lost { attempt: it.attempt })],
        Effect::Publish(it) => on_pr(it.pull_request, pr::Input::NotOpened { reason: detail }),
        Effect::UpdatePr(it) => on_pr(it.pull_request, pr::Input::Refused { reason: detail }),
        Effect::Comment { pull_request, .. }
        | Effect::Merge { pull_request, .. }
        | Effect::Close { pull_request, .. }
        | Effect::Reopen { pull_request, .. } => on_pr(*pull_request, pr::Input::Refused { reason: detail }),
        Effect::Reclaim { workspace, .. } => {
            vec![Stimulus::Workspace(*workspace, workspace::Input::Kept { reason: detail })]
        }
        Effect::Restore { workspace, .. } => {
            vec![Stimulus::Workspace(
                *workspace,
                workspace::Input::Kept { reason: format!("the snapshot could not be restored: {detail}") },
            )]
        }
    };
    Facts { stimuli, artifacts: Vec::new() }
}

/// What follows from an effect whose outcome is stored: reading what was started, forgetting what is over.
pub(crate) async fn afterwards(shared: &Arc<Shared>, objective: ObjectiveId, effect: &Effect) {
    match effect {
        Effect::Launch(it) => {
            shared.ingests.ensure(shared, objective, it.session, it.attempt, it.target, &it.agent.kind)
        }
        Effect::Stop(it) => stop::forget(shared, objective, it).await,
        Effect::Check(it) => check::forget(shared, it).await,
        Effect::DeliverResult(it) => deliver_result::forget(shared, it).await,
        Effect::Publish(_)
        | Effect::UpdatePr(_)
        | Effect::Comment { .. }
        | Effect::Merge { .. }
        | Effect::Close { .. }
        | Effect::Reopen { .. } => shared.watch.nudge(),
        Effect::Prepare(_)
        | Effect::Deliver(_)
        | Effect::Interrupt { .. }
        | Effect::Permit(_)
        | Effect::Reclaim { .. }
        | Effect::StopCheck { .. }
        | Effect::Restore { .. } => {}
    }
}

/// Returns the name of a run.
pub(crate) fn run_label(session: SessionId, attempt: Attempt) -> Result<RunLabel, Executed> {
    RunLabel::new(&format!("{session}-{attempt}")).map_err(|fault| fatal(&fault))
}

fn workspace_label(workspace: WorkspaceId) -> Result<Label, Executed> {
    Label::new(&workspace.to_string()).map_err(|fault| fatal(&fault))
}

/// Returns the runner of a session's agent.
async fn runner_of(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    session: SessionId,
    target: TargetId,
) -> Result<Arc<dyn Runner>, Executed> {
    agent_of(shared, objective, session, target).await.map(|(_, runner)| runner)
}

/// Returns the kind of a session's agent, and its runner.
async fn agent_of(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    session: SessionId,
    target: TargetId,
) -> Result<(String, Arc<dyn Runner>), Executed> {
    let kind = shared.view(objective, move |world| world.sessions.get(&session).map(|it| it.agent.kind.clone())).await;
    match kind {
        Ok(Some(kind)) => runner(shared, target, &kind).map(|it| (kind, it)),
        Ok(None) => Err(Executed::Failed { detail: "the session is gone".into() }),
        Err(fault) => Err(Executed::Again { detail: chain(&fault) }),
    }
}

fn runner(shared: &Shared, target: TargetId, kind: &str) -> Result<Arc<dyn Runner>, Executed> {
    shared
        .hands
        .runner(target, kind)
        .ok_or_else(|| Executed::Failed { detail: format!("the target has no agent of kind `{kind}`") })
}

/// Sorts a fault by what it says of a second try.
fn sorted(fault: &(dyn Error + 'static), retry: Retry) -> Executed {
    match retry {
        Retry::Later => Executed::Again { detail: chain(fault) },
        Retry::AskHuman | Retry::Never => fatal(fault),
    }
}

fn fatal(fault: &dyn Error) -> Executed {
    Executed::Failed { detail: chain(fault) }
}

/// Writes a fault with all its causes, for people.
pub(crate) fn chain(fault: &dyn Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}
