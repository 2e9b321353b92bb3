//! Starts agents and speaks to them.

use super::{Executed, Facts, agent_of, chain, run_label, runner, runner_of, sorted};
use crate::confine::{self, Confined, OfProjects};
use crate::hands::TargetHands;
use crate::orch::Shared;
use crate::providers;
use crate::tool_servers::Lent;
use data_encoding::BASE64URL_NOPAD;
use orcha_agent::{Begun, Launch, LaunchError, Mcp, Output, Say};
use orcha_base::{Attempt, MessageId, ObjectiveId, Redacted, SessionId, TargetId};
use orcha_exec::{RunState, Sandbox};
use orcha_model::Tool;
use orcha_model::effect::{self, Deliver, Permit};
use orcha_model::session::{Input, Waiting};
use orcha_plan::{Stimulus, World};
use orcha_store::{Commit, CommitError, Credential};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Starts the agent for one attempt, or finds it running.
pub(super) async fn run(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    it: &effect::Launch,
) -> Result<Executed, Executed> {
    let label = run_label(it.session, it.attempt)?;
    let runner = runner(shared, it.target, &it.agent.kind)?;
    let hands = shared
        .hands
        .target(it.target)
        .ok_or_else(|| Executed::Again { detail: "the target is not connected".into() })?;
    let alive = runner.alive(&label).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    let mut withheld = Vec::new();
    let confinement = if alive {
        match hands.host.look(&label).await.map_err(|fault| sorted(&fault, fault.retry()))? {
            RunState::Running(started) => started.confinement,
            RunState::Absent | RunState::Ended(_) | RunState::Lost => None,
        }
    } else {
        // Looked at once more at the last moment: it may have been parked while the checkout was made.
        if let Some(wait) = providers::shut(shared, &it.agent.kind, it.session) {
            return Ok(Facts::of([wait]));
        }
        // A run that is over is found by the launch as well, and never started a second time.
        let mcp = match &shared.settings.mcp_url {
            Some(url) => Some(mcp(shared, objective, it, url.clone()).await?),
            None => None,
        };
        let mut env =
            vec![("ORCHA_SESSION".into(), it.session.to_string()), ("ORCHA_ROLE".into(), it.role.name().into())];
        let session = it.session;
        let seen = shared.view(objective, move |world| {
            let it = world.sessions.get(&session);
            let of = (world.objective.tenant.clone(), world.objective.scope.clone());
            (it.and_then(|it| it.pull_request), it.and_then(|it| it.opened_at), of)
        });
        let (follows, opened, (tenant, scope)) =
            seen.await.map_err(|fault| Executed::Again { detail: chain(&fault) })?;
        if let Some(pull_request) = follows {
            env.push(("ORCHA_PULL_REQUEST".into(), pull_request.to_string()));
        }
        let sandbox = match sandbox(shared, objective, it, &hands).await? {
            Ok(sandbox) => sandbox,
            Err(lack) => return Ok(Facts::of([lack])),
        };
        // Agents with tools of their own know their own servers.
        let lent = match shared.hands.models().is_some_and(|them| them.kinds().contains(&it.agent.kind)) {
            true => shared.lent(&tenant, &scope, it.role).await,
            false => Ok(Lent::default()),
        };
        let lent = lent.map_err(|fault| Executed::Again { detail: chain(&fault) })?;
        withheld = lent.withheld;
        let launch = Launch {
            label,
            dir: PathBuf::from(&it.dir),
            program: it.agent.program.clone(),
            model: it.agent.model.clone(),
            effort: it.agent.effort,
            resume: it.resume.clone(),
            begun: opened.map(|opened| Begun { opened, now: shared.clock.now() }),
            conversation: it.conversation.clone(),
            mcp,
            permissions: shared.settings.permissions,
            sandbox,
            rules: String::new(),
            opening: it
                .opening
                .as_ref()
                .map(|opening| Say::Prompt { key: opening.key.clone(), text: opening.text.clone() }),
            env,
            servers: lent.servers,
            local_tools: it.role.traits().local_tools.iter().map(ToString::to_string).collect(),
            output: it
                .part
                .as_ref()
                .and_then(|it| it.phase.contract())
                .map(|it| Output { tool: Tool::HandIn.to_string(), schema: it.schema() }),
        };
        let started = runner.launch(&launch).await.map_err(|fault| match fault {
            LaunchError::NotYet { until, .. } => Executed::NotBefore { until, detail: chain(&fault) },
            LaunchError::Run(_) | LaunchError::Unsupported { .. } => sorted(&fault, fault.retry()),
        })?;
        started.confinement
    };
    let started = Input::Started { attempt: it.attempt, spoken_to: it.opening.is_some() };
    let confined = confinement.map(|confinement| Input::Confined { attempt: it.attempt, confinement });
    let withheld = withheld.into_iter().map(|(server, why)| Input::ToolsWithheld { attempt: it.attempt, server, why });
    let facts = [started].into_iter().chain(confined).chain(withheld);
    Ok(Facts::of(facts.map(|input| Stimulus::Session(it.session, input))))
}

/// How long a session waits whose target lost its sandboxes between the placement and the launch.
const UNCONFINED: Duration = Duration::from_secs(60);

/// Says how the agent is confined; or what it waits for, where it must be and cannot. The machine is looked at once more
/// at the last moment.
async fn sandbox(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    it: &effect::Launch,
    hands: &TargetHands,
) -> Result<Result<Sandbox, Stimulus>, Executed> {
    let again = |detail| Executed::Again { detail };
    let projects = OfProjects::read(shared).await.map_err(|fault| again(chain(&fault)))?;
    let session = it.session;
    let look = move |world: &World| {
        let it = world.sessions.get(&session)?;
        let works_on = it.repo.as_ref().or(world.objective.repo.as_ref()).map(|it| it.url.clone());
        let checkout = it.workspace.and_then(|id| world.workspaces.get(&id)).and_then(|it| it.repo.clone());
        Some((it.tenant.clone(), works_on, checkout))
    };
    let seen = shared.view(objective, look).await.map_err(|fault| again(chain(&fault)))?;
    let (tenant, works_on, repo) = seen.ok_or_else(|| Executed::Failed { detail: "the session is gone".into() })?;
    let confine = projects.confine(shared, &tenant, it.role, works_on.as_ref());
    let level = match confine::level(&*hands.host, confine).await {
        Ok(level) => level,
        Err(detail) => {
            let until = Some(shared.clock.now() + UNCONFINED);
            let why = Waiting::NoTarget { detail };
            return Ok(Err(Stimulus::Session(it.session, Input::Held { why, until })));
        }
    };
    let who = Confined { session: it.session, attempt: it.attempt, role: it.role, repo: repo.as_ref() };
    let sandbox = confine::sandbox(shared, hands, who, level, confine.strict).await.map_err(again)?;
    Ok(Ok(sandbox))
}

/// Makes the credential of an attempt. Only its hash is stored. It is the same however often this is executed: the
/// run of a launch that was cut off may be there already, with the credential in its files.
async fn mcp(shared: &Arc<Shared>, objective: ObjectiveId, it: &effect::Launch, url: String) -> Result<Mcp, Executed> {
    let token = token(shared.settings.secret.expose(), it.session, it.attempt);
    let (tenant, scope) = shared
        .view(objective, |world| (world.objective.tenant.clone(), world.objective.scope.clone()))
        .await
        .map_err(|fault| Executed::Again { detail: chain(&fault) })?;
    let credential = Credential {
        hash: Sha256::digest(token.as_bytes()).into(),
        tenant,
        scope,
        session: it.session,
        attempt: it.attempt,
    };
    let mut commit = Commit::at(shared.clock.now());
    commit.credentials.push(credential);
    match shared.store(commit).await {
        Ok(_) => {}
        Err(fault @ (CommitError::StorageFull | CommitError::Closed)) => {
            return Err(Executed::Again { detail: chain(&fault) });
        }
        Err(fault) => return Err(Executed::Failed { detail: chain(&fault) }),
    }
    let tools = it.role.tools(it.part.is_some()).iter().map(ToString::to_string).collect();
    Ok(Mcp { name: "orcha".into(), url, token: Redacted::new(token), tools })
}

/// Derives the credential of an attempt: 256 bits that tell nothing of the secret, nor of another attempt's.
fn token(secret: &str, session: SessionId, attempt: Attempt) -> String {
    let inner = Sha256::digest(format!("orcha credential\0{secret}\0{session}\0{attempt}").as_bytes());
    // Twice, so that nobody can go on where a known digest ends.
    let outer = Sha256::new().chain_update(secret.as_bytes()).chain_update(inner).finalize();
    BASE64URL_NOPAD.encode(&outer)
}

/// Says a message, once.
pub(super) async fn deliver(shared: &Arc<Shared>, objective: ObjectiveId, it: &Deliver) -> Result<Executed, Executed> {
    let label = run_label(it.session, it.attempt)?;
    let (kind, runner) = agent_of(shared, objective, it.session, it.target).await?;
    if let Some(wait) = providers::shut(shared, &kind, it.session) {
        return Ok(Facts::of([wait]));
    }
    let say = Say::Prompt { key: it.message.to_string(), text: it.text.clone() };
    runner.say(&label, &say).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    Ok(Facts::none())
}

/// Answers a request of an agent, once.
pub(super) async fn permit(shared: &Arc<Shared>, objective: ObjectiveId, it: &Permit) -> Result<Executed, Executed> {
    let label = run_label(it.session, it.attempt)?;
    let runner = runner_of(shared, objective, it.session, it.target).await?;
    let say = Say::Permission {
        request: it.request.clone(),
        input: it.input.clone(),
        allow: it.allow,
        reason: it.reason.clone(),
    };
    runner.say(&label, &say).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    Ok(Facts::none())
}

/// Cuts a turn off, once.
pub(super) async fn interrupt(
    shared: &Arc<Shared>,
    objective: ObjectiveId,
    session: SessionId,
    attempt: Attempt,
    target: TargetId,
    on_behalf_of: MessageId,
) -> Result<Executed, Executed> {
    let label = run_label(session, attempt)?;
    let runner = runner_of(shared, objective, session, target).await?;
    let say = Say::Interrupt { key: interrupt_key(on_behalf_of) };
    runner.say(&label, &say).await.map_err(|fault| sorted(&fault, fault.retry()))?;
    Ok(Facts::none())
}

/// The key of an interrupt is a UUID too, and another one than that of the message it makes room for.
fn interrupt_key(message: MessageId) -> String {
    let (high, low) = message.uuid().as_u64_pair();
    uuid::Uuid::from_u64_pair(high ^ 0x1, low).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_that_is_made_again_hands_out_the_same_credential_and_every_other_one_another() {
        let [one, two] = [1, 2].map(|n| SessionId::from_uuid(uuid::Uuid::from_u128(n)));
        let first = token("secret", one, Attempt(1));
        assert_eq!(first, token("secret", one, Attempt(1)));
        assert_eq!(first.len(), 43);
        for other in
            [token("other", one, Attempt(1)), token("secret", two, Attempt(1)), token("secret", one, Attempt(2))]
        {
            assert_ne!(first, other);
        }
    }
}
