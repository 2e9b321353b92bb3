//! Questions of the wheel: what one objective's world looks like, who wants a place, what is still to do.

use super::{bodies, body, opt_id};
use crate::conn::{Columns, DbError, Value, json, parse, row, rows};
use crate::encode::OrderBody;
use crate::{ReadError, Store};
use orcha_base::{Attempt, CheckRunId, ObjectiveId, ScopeId, SessionId, TargetId, TenantId, Timestamp};
use orcha_model::objective::Strategy;
use orcha_model::{
    Attachment, CheckRun, Effect, EffectKey, Feedback, HandIn, Message, Objective, Project, Provider, PullRequest,
    Question, Role, Session, Target, Task, Text, Workflow, Workspace,
};

/// One objective and everything that belongs to it and is not over and done with.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The objective.
    pub objective: Objective,
    /// All its sessions, oldest first.
    pub sessions: Vec<Session>,
    /// All its workspaces, oldest first.
    pub workspaces: Vec<Workspace>,
    /// All its pull requests, oldest first.
    pub pull_requests: Vec<PullRequest>,
    /// Feedback that is new or routed, and all of it on live pull requests, oldest first.
    pub feedback: Vec<Feedback>,
    /// Questions that are open or answered, oldest first.
    pub questions: Vec<Question>,
    /// Messages that still have to be heard, oldest first.
    pub messages: Vec<Message>,
    /// The workflow, if the objective has one.
    pub workflow: Option<Workflow>,
    /// All its tasks, oldest first.
    pub tasks: Vec<Task>,
    /// All runs of its checks, oldest first.
    pub check_runs: Vec<CheckRun>,
    /// All its hand-ins, oldest first.
    pub hand_ins: Vec<HandIn>,
    /// The texts that its workflow goes by.
    pub texts: Vec<Text>,
    /// The files that came with it, in their order.
    pub attachments: Vec<Attachment>,
}

/// Something that is still to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderRow {
    /// Its number: orders of one lane are done in this order.
    pub seq: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective on whose behalf.
    pub objective: Option<ObjectiveId>,
    /// Its key.
    pub key: EffectKey,
    /// What to do.
    pub effect: Effect,
    /// Not before; the beginning of time for at once.
    pub not_before: Timestamp,
    /// How often it was tried in vain.
    pub tries: u32,
    /// What went wrong the last time, for people.
    pub detail: Option<String>,
    /// When it was ordered.
    pub created_at: Timestamp,
}

/// What the schedule looks at, all of it at one instant: sessions that want a place, and the places.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Those that want it now: higher priority first, then older first.
    pub sessions: Vec<Session>,
    /// When the next one that waits for its time wants it.
    pub wakes_at: Option<Timestamp>,
    /// The targets of all tenants by name; none when nobody wants a place.
    pub targets: Vec<Target>,
    /// How many counted sessions are on each target; one without any is not named, and none when nobody wants a place.
    pub taken: Vec<(TargetId, u32)>,
}

/// Who presents a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialOwner {
    /// Whose session.
    pub tenant: TenantId,
    /// Where in the tenant it belongs.
    pub scope: ScopeId,
    /// The objective.
    pub objective: ObjectiveId,
    /// The session.
    pub session: SessionId,
    /// The attempt.
    pub attempt: Attempt,
    /// What the session is for.
    pub role: Role,
}

pub(super) const OBJECTIVE: &str = "SELECT body FROM objectives WHERE id = ?1";
const SESSIONS: &str = "SELECT body FROM sessions WHERE objective_id = ?1";
const WORKSPACES: &str = "SELECT body FROM workspaces WHERE objective_id = ?1 ORDER BY created_at, id";
const PULL_REQUESTS: &str = "SELECT body FROM pull_requests WHERE objective_id = ?1 ORDER BY created_at, id";
const FEEDBACK: &str = "SELECT body FROM feedback \
    WHERE objective_id = ?1 AND (state IN ('new', 'routed') \
    OR pull_request_id IN (SELECT id FROM pull_requests WHERE objective_id = ?1 AND live = 1))";
const QUESTIONS: &str = "SELECT body FROM questions \
    WHERE objective_id = ?1 AND state IN ('open', 'answered') ORDER BY created_at, id";
const MESSAGES: &str = "SELECT body FROM messages \
    WHERE objective_id = ?1 AND state IN ('queued', 'sent') ORDER BY created_at, id";
const WORKFLOW: &str = "SELECT body FROM workflows WHERE objective_id = ?1";
const TASKS: &str = "SELECT body FROM tasks WHERE objective_id = ?1 ORDER BY created_at, id";
const CHECK_RUN: &str = "SELECT body FROM check_runs WHERE id = ?1";
const CHECK_RUNS: &str = "SELECT body FROM check_runs WHERE objective_id = ?1 ORDER BY created_at, id";
const HAND_INS: &str = "SELECT body FROM hand_ins WHERE objective_id = ?1 ORDER BY created_at, id";
const CURSOR: &str = "SELECT at FROM cursors WHERE session_id = ?1 AND attempt = ?2";
const LIVE: &str = "SELECT id FROM objectives WHERE over = 0 \
    UNION ALL SELECT objective_id FROM sessions WHERE over = 0 \
    UNION ALL SELECT objective_id FROM outbox WHERE objective_id IS NOT NULL";
const CANDIDATES: &str = "SELECT body FROM sessions WHERE wants_place = 1 AND not_before <= ?1 \
    ORDER BY priority DESC, created_at, id LIMIT ?2";
const NEXT_CANDIDATE: &str = "SELECT min(not_before) FROM sessions WHERE wants_place = 1 AND not_before > ?1";
const TAKEN: &str = "SELECT target_id, count(*) FROM sessions WHERE holds = 1 AND counts = 1 GROUP BY target_id";
const TARGETS: &str = "SELECT body FROM targets ORDER BY tenant, name";
const HEARD: &str = "SELECT body FROM messages WHERE session_id = ?1 AND state = 'acknowledged' \
    ORDER BY created_at DESC, id DESC LIMIT ?2";
const CONFINING: &str = "SELECT body FROM projects WHERE body ->> '$.permissions.sandbox' IS NOT NULL";
const EVERY_OBJECTIVE: &str = "SELECT body FROM objectives";
const PROVIDERS: &str = "SELECT body FROM providers ORDER BY name";
const WATCHED: &str =
    "SELECT body FROM pull_requests WHERE live = 1 AND synced_at <= ?1 ORDER BY synced_at, id LIMIT ?2";
const HOLDER: &str = "SELECT t.session_id, t.attempt, s.objective_id, s.role, s.tenant, s.scope FROM credentials t \
    JOIN sessions s ON s.id = t.session_id AND s.attempt = t.attempt AND s.over = 0 WHERE t.hash = ?1";

macro_rules! order_columns {
    () => {
        "SELECT o.seq, o.tenant, o.scope, o.objective_id, o.body, o.not_before, o.tries, o.detail, o.created_at \
         FROM outbox o "
    };
}
const PENDING: &str = concat!(order_columns!(), "WHERE o.seq > ?1 ORDER BY o.seq LIMIT ?2");
const PENDING_OF: &str = concat!(order_columns!(), "WHERE o.objective_id = ?1 ORDER BY o.seq");

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[
    OBJECTIVE,
    SESSIONS,
    WORKSPACES,
    PULL_REQUESTS,
    FEEDBACK,
    QUESTIONS,
    MESSAGES,
    WORKFLOW,
    TASKS,
    CHECK_RUNS,
    HAND_INS,
    CURSOR,
    LIVE,
    CANDIDATES,
    CONFINING,
    NEXT_CANDIDATE,
    TAKEN,
    WATCHED,
    HEARD,
    HOLDER,
    PENDING,
    PENDING_OF,
];

fn order(row: &dyn Columns) -> Result<OrderRow, DbError> {
    let body: OrderBody<EffectKey, Effect> = json("order", row.text(4)?)?;
    Ok(OrderRow {
        seq: row.int(0)?,
        tenant: TenantId::new(row.text(1)?),
        scope: ScopeId::new(row.text(2)?),
        objective: opt_id("objective id", row, 3)?,
        key: body.key,
        effect: body.effect,
        not_before: Timestamp::from_micros(row.int(5)?),
        tries: u32::try_from(row.int(6)?).unwrap_or(u32::MAX),
        detail: row.opt_text(7)?.map(ToOwned::to_owned),
        created_at: Timestamp::from_micros(row.int(8)?),
    })
}

fn instant(row: &dyn Columns) -> Result<Option<Timestamp>, DbError> {
    Ok(row.opt_int(0)?.map(Timestamp::from_micros))
}

fn attempt(number: i64) -> Attempt {
    Attempt(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Store {
    /// Returns an objective and what belongs to it, all of one instant.
    pub async fn load_world(&self, objective: ObjectiveId) -> Result<Option<Loaded>, ReadError> {
        self.read(move |conn| {
            let id = objective.to_string();
            let of = [Value::Text(&id)];
            let Some(objective) = body(conn, "objective", OBJECTIVE, &of)? else {
                return Ok(None);
            };
            let mut sessions: Vec<Session> = bodies(conn, "session", SESSIONS, &of)?;
            sessions.sort_by_key(|it| (it.created_at, it.id));
            let mut feedback: Vec<Feedback> = bodies(conn, "feedback", FEEDBACK, &of)?;
            feedback.sort_by_key(|it| (it.created_at, it.id));
            let workflow = match &objective {
                Objective { strategy: Strategy::Pipeline, .. } => body(conn, "workflow", WORKFLOW, &of)?,
                _ => None,
            };
            let of_pipeline = workflow.is_some();
            let mut texts = Vec::new();
            for it in workflow.iter().flat_map(|it: &Workflow| &it.texts) {
                texts.extend(body::<Text>(
                    conn,
                    "text",
                    super::texts::TEXT_OF_RUN,
                    &[Value::Text(&it.text.to_string())],
                )?);
            }
            Ok(Some(Loaded {
                tasks: if of_pipeline { bodies(conn, "task", TASKS, &of)? } else { Vec::new() },
                check_runs: if of_pipeline { bodies(conn, "run of checks", CHECK_RUNS, &of)? } else { Vec::new() },
                hand_ins: if of_pipeline { bodies(conn, "hand-in", HAND_INS, &of)? } else { Vec::new() },
                texts,
                attachments: bodies(conn, "attachment", super::attachments::OF_OBJECTIVE, &of)?,
                workflow,
                objective,
                sessions,
                workspaces: bodies(conn, "workspace", WORKSPACES, &of)?,
                pull_requests: bodies(conn, "pull request", PULL_REQUESTS, &of)?,
                feedback,
                questions: bodies(conn, "question", QUESTIONS, &of)?,
                messages: bodies(conn, "message", MESSAGES, &of)?,
            }))
        })
        .await
    }

    /// Returns the objectives that are not over, whose sessions are not, or for which something is to be done.
    pub async fn live_objectives(&self) -> Result<Vec<ObjectiveId>, ReadError> {
        self.read(|conn| {
            let mut found: Vec<ObjectiveId> = rows(conn, LIVE, &[], |row| parse("objective id", row.text(0)?))?;
            found.sort_unstable();
            found.dedup();
            Ok(found)
        })
        .await
    }

    /// Returns the sessions that want a place now, when the next one will, and the places that there are.
    pub async fn candidates(&self, now: Timestamp, limit: u32) -> Result<Candidates, ReadError> {
        self.read(move |conn| {
            let now = Value::Int(now.as_micros());
            let mut found = Candidates {
                sessions: bodies(conn, "session", CANDIDATES, &[now, Value::Int(i64::from(limit))])?,
                wakes_at: row(conn, NEXT_CANDIDATE, &[now], instant)?.flatten(),
                targets: Vec::new(),
                taken: Vec::new(),
            };
            if !found.sessions.is_empty() {
                found.targets = bodies(conn, "target", TARGETS, &[])?;
                found.taken = rows(conn, TAKEN, &[], |row| {
                    Ok((parse("target id", row.text(0)?)?, u32::try_from(row.int(1)?).unwrap_or(u32::MAX)))
                })?;
            }
            Ok(found)
        })
        .await
    }

    /// Returns the targets of all tenants by name.
    pub async fn all_targets(&self) -> Result<Vec<Target>, ReadError> {
        self.read(|conn| bodies(conn, "target", TARGETS, &[])).await
    }

    /// Returns all objectives of all tenants: at boot, when a cap lies over several of them.
    pub async fn every_objective(&self) -> Result<Vec<Objective>, ReadError> {
        self.read(|conn| bodies(conn, "objective", EVERY_OBJECTIVE, &[])).await
    }

    /// Returns the projects of all tenants that say by what their sessions are confined.
    pub async fn confining_projects(&self) -> Result<Vec<Project>, ReadError> {
        self.read(|conn| bodies(conn, "project", CONFINING, &[])).await
    }

    /// Returns what a session was told and took up, the last so many, oldest first.
    pub async fn heard_messages(&self, session: SessionId, limit: u32) -> Result<Vec<String>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Text(&session.to_string()), Value::Int(i64::from(limit))];
            let mut heard: Vec<Message> = bodies(conn, "message", HEARD, &values)?;
            heard.reverse();
            Ok(heard.into_iter().map(|it| it.text).collect())
        })
        .await
    }

    /// Returns all providers by name.
    pub async fn providers(&self) -> Result<Vec<Provider>, ReadError> {
        self.read(|conn| bodies(conn, "provider", PROVIDERS, &[])).await
    }

    /// Returns live pull requests that were last looked at before an instant, the longest waiting first.
    pub async fn watched_pull_requests(&self, before: Timestamp, limit: u32) -> Result<Vec<PullRequest>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Int(before.as_micros()), Value::Int(i64::from(limit))];
            bodies(conn, "pull request", WATCHED, &values)
        })
        .await
    }

    /// Returns orders with numbers above one, in order: at boot, page by page from 0.
    pub async fn orders_after(&self, seq: i64, limit: u32) -> Result<Vec<OrderRow>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Int(seq), Value::Int(i64::from(limit))];
            rows(conn, PENDING, &values, order)
        })
        .await
    }

    /// Returns what is still to be done for an objective, oldest first: for "why does it wait?".
    pub async fn orders_of(&self, objective: ObjectiveId) -> Result<Vec<OrderRow>, ReadError> {
        self.read(move |conn| rows(conn, PENDING_OF, &[Value::Text(&objective.to_string())], order)).await
    }

    /// Returns a run of checks.
    pub async fn check_run(&self, id: CheckRunId) -> Result<Option<CheckRun>, ReadError> {
        self.read(move |conn| body(conn, "run of checks", CHECK_RUN, &[Value::Text(&id.to_string())])).await
    }

    /// Returns how far the output of an attempt was taken in.
    pub async fn cursor(&self, session: SessionId, attempt: Attempt) -> Result<Option<serde_json::Value>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Text(&session.to_string()), Value::Int(i64::from(attempt.0))];
            row(conn, CURSOR, &values, |row| json("cursor", row.text(0)?))
        })
        .await
    }

    /// Returns whose credential has this hash, while its session lives and its attempt is the newest.
    pub async fn credential_owner(&self, hash: [u8; 32]) -> Result<Option<CredentialOwner>, ReadError> {
        self.read(move |conn| {
            row(conn, HOLDER, &[Value::Blob(&hash)], |row| {
                Ok(CredentialOwner {
                    session: parse("session id", row.text(0)?)?,
                    attempt: attempt(row.int(1)?),
                    objective: parse("objective id", row.text(2)?)?,
                    role: parse("role", row.text(3)?)?,
                    tenant: TenantId::new(row.text(4)?),
                    scope: ScopeId::new(row.text(5)?),
                })
            })
        })
        .await
    }
}
