//! The six roles of a workflow as functions: each hands in the least document that its step takes, and says no more.
//!
//! They hand in as a tool does for an agent: the session is looked up first, and every document is judged.

use anyhow::{Context, Result, bail};
use orcha_agent::TurnEnd;
use orcha_agent::fake::{FakeAgent, FakeRunner};
use orcha_base::{Attempt, SessionId, TenantId};
use orcha_exec::ExitStatus;
use orcha_model::Role;
use orcha_orch::Orch;
use orcha_store::{CredentialOwner, Viewer};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Where roles hand in what they have: the wheel, while it runs.
#[derive(Debug, Default)]
pub struct Roles {
    wheel: Mutex<Option<Orch>>,
}

impl Roles {
    /// Hands in to this wheel from now on.
    pub fn go_to(&self, wheel: &Orch) {
        *self.wheel.lock().unwrap_or_else(PoisonError::into_inner) = Some(wheel.clone());
    }

    /// Lets the wheel go.
    pub fn go_home(&self) {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn wheel(&self) -> Result<Orch> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner).clone().context("there is no wheel")
    }

    async fn hand_in(&self, agent: &FakeAgent) -> Result<()> {
        let (orch, launch) = (self.wheel()?, agent.launch());
        let (session, attempt) = launch.label.as_str().rsplit_once('-').context("a run without an attempt")?;
        let (session, attempt): (SessionId, u32) = (session.parse()?, attempt.parse()?);
        let viewer = Viewer::of(TenantId::default());
        let row = orch.store().session(&viewer, session).await?.context("a session that is not there")?;
        let owner = CredentialOwner {
            tenant: row.tenant,
            scope: row.scope,
            objective: row.objective,
            session,
            attempt: Attempt(attempt),
            role: row.role,
        };
        orch.hand_in(&owner, document(row.role)?).await?;
        Ok(())
    }
}

/// Agents that hand in the document of their role in each turn.
pub fn playing(roles: Arc<Roles>) -> FakeRunner {
    FakeRunner::new(move |mut agent| {
        let roles = Arc::clone(&roles);
        async move {
            agent.ready();
            while agent.hear().await.is_some() {
                // A turn that hands in nothing fails, and with it the round: nothing is measured by mistake.
                match roles.hand_in(&agent).await {
                    Ok(()) => agent.end_turn(TurnEnd::Completed),
                    Err(fault) => agent.end_turn(TurnEnd::Failed { detail: format!("{fault:#}") }),
                }
            }
            ExitStatus::Code(0)
        }
    })
}

/// Returns the least that a role may hand in: a text of three words, planned, written and judged.
fn document(role: Role) -> Result<Value> {
    Ok(match role {
        Role::Director => json!({
            "mode": "content", "title": "Three words", "delivery": "answer", "rationale": "a text", "summary": "a text",
            "questions": [],
        }),
        Role::ProjectManager => json!({
            "constitution": {"vision": "It is read.", "goals": ["short"], "acceptance_criteria": ["three words"]},
            "requirements": {"functional": [{"title": "It has three words", "priority": "must"}]},
            "summary": "chartered",
        }),
        Role::Architect => json!({
            "design": {"overview": "One file."},
            "tasks": [{"title": "Write it", "description": "Write three words.", "depends_on": []}],
            "summary": "planned",
        }),
        Role::Implementer => {
            json!({"summary": "written", "artifacts": [{"path": "text.md", "content": "Nothing, but durably."}]})
        }
        Role::Qa => json!({"passed": true, "blocking_issues": [], "summary": "good"}),
        Role::Finalizer => json!({"title": "Three words", "body": "They are written.", "summary": "written"}),
        other => bail!("a {other} has no place in this workflow"),
    })
}
