//! Texts that steer roles, proposals to change them, and finished runs.

use super::lists::Order::NewestFirst;
use super::lists::{newest_first, scope};
use super::{bodies, body};
use crate::conn::{Value, json, parse, row, rows};
use crate::{Page, Paged, ReadError, Store, Viewer};
use orcha_base::{HandInId, ProposalId, ScopeId, TenantId, TextId, Timestamp};
use orcha_model::finished::{Run, Side};
use orcha_model::text::{MOST_OF_A_SCOPE, Surface};
use orcha_model::{HandIn, Proposal, Text};
use std::collections::BTreeSet;

/// How many versions of one text are read: the newest.
const VERSIONS: i64 = 500;
/// How many runs of one trial are read.
const RUNS_OF_A_TRIAL: i64 = 1000;

const IN_USE: &str = "SELECT body FROM texts \
    WHERE tenant = ?1 AND scope = ?2 AND state IN ('trial', 'active') ORDER BY surface LIMIT ?3";
pub(super) const TEXT_OF_RUN: &str = "SELECT body FROM texts WHERE id = ?1";
const TEXT: &str = "SELECT body FROM texts WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND id = ?3";
const TEXTS: &str = newest_first!("body", "texts WHERE (CAST(?6 AS TEXT) IS NULL OR surface = ?6) AND", "created_at");
const TEXTS_IN_USE: &str = newest_first!(
    "body",
    "texts WHERE (CAST(?6 AS TEXT) IS NULL OR surface = ?6) AND state IN ('trial', 'active') AND",
    "created_at"
);
const ALL_VERSIONS: &str =
    "SELECT body FROM texts WHERE tenant = ?1 AND scope = ?2 AND surface = ?3 ORDER BY version DESC LIMIT ?4";
const PROPOSAL: &str =
    "SELECT body FROM proposals WHERE tenant = ?1 AND (CAST(?2 AS TEXT) IS NULL OR scope = ?2) AND id = ?3";
const PROPOSALS: &str =
    newest_first!("body", "proposals WHERE (CAST(?6 AS TEXT) IS NULL OR state = ?6) AND", "created_at");
const OPEN_PROPOSALS: &str = "SELECT body FROM proposals \
    WHERE tenant = ?1 AND scope = ?2 AND state IN ('proposed', 'on_trial') ORDER BY cause LIMIT 200";
/// The index holds what is open and nothing else.
const ON_TRIAL: &str = "SELECT body FROM proposals INDEXED BY proposals_open \
    WHERE state IN ('proposed', 'on_trial') AND state = 'on_trial' LIMIT 10000";
const OF_CAUSE: &str = "SELECT body FROM proposals WHERE tenant = ?1 AND scope = ?2 AND cause = ?3 \
    ORDER BY created_at DESC LIMIT 50";
const NOT_TAKEN_IN: &str = "SELECT body FROM finished_runs WHERE taken_in = 0 ORDER BY created_at, id LIMIT ?1";
const RUNS: &str = newest_first!("body", "finished_runs WHERE", "created_at");
const RUNS_OF_SCOPE: &str = "SELECT body FROM finished_runs WHERE tenant = ?1 AND scope = ?2 \
    ORDER BY created_at DESC, id DESC LIMIT ?3";
const TRIED: &str = "SELECT t.side, r.body FROM tried t JOIN finished_runs r ON r.id = t.run_id \
    WHERE t.proposal_id = ?1 ORDER BY t.created_at, t.run_id LIMIT ?2";
const SCOPES_SINCE: &str =
    "SELECT tenant, scope FROM finished_runs WHERE created_at > ?1 ORDER BY created_at DESC LIMIT 10000";
const ROUND: &str = "SELECT at FROM rounds WHERE name = ?1";
const HAND_IN: &str = "SELECT body FROM hand_ins WHERE id = ?1";

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[
    IN_USE,
    TEXT_OF_RUN,
    TEXT,
    TEXTS,
    TEXTS_IN_USE,
    ALL_VERSIONS,
    PROPOSAL,
    PROPOSALS,
    OPEN_PROPOSALS,
    ON_TRIAL,
    OF_CAUSE,
    NOT_TAKEN_IN,
    RUNS,
    RUNS_OF_SCOPE,
    TRIED,
    SCOPES_SINCE,
    ROUND,
    HAND_IN,
];

impl Store {
    /// Returns the texts of some scopes that are in use or tried.
    pub async fn texts_in_use(&self, tenant: &TenantId, scopes: Vec<ScopeId>) -> Result<Vec<Text>, ReadError> {
        let tenant = tenant.clone();
        let most = i64::try_from(MOST_OF_A_SCOPE).unwrap_or(i64::MAX).saturating_mul(2);
        self.read(move |conn| {
            let mut found = Vec::new();
            for scope in scopes {
                let values = [Value::Text(tenant.as_str()), Value::Text(scope.as_str()), Value::Int(most)];
                found.extend(bodies::<Text>(conn, "text", IN_USE, &values)?);
            }
            Ok(found)
        })
        .await
    }

    /// Returns versions of texts, newest first: of one text or all, those in use or all.
    pub async fn texts(
        &self,
        viewer: &Viewer,
        surface: Option<&Surface>,
        in_use: bool,
        page: Page,
    ) -> Result<Paged<Text>, ReadError> {
        let sql = if in_use { TEXTS_IN_USE } else { TEXTS };
        let more = vec![surface.map(ToString::to_string)];
        self.by_age(viewer, sql, NewestFirst, page, more, |it: &Text| (it.created_at, it.id.to_string())).await
    }

    /// Returns one version of a text.
    pub async fn text(&self, viewer: &Viewer, id: TextId) -> Result<Option<Text>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(&id.to_string())];
            body(conn, "text", TEXT, &values)
        })
        .await
    }

    /// Returns the versions of a text in one scope, the newest first.
    pub async fn versions(
        &self,
        tenant: &TenantId,
        scope: &ScopeId,
        surface: &Surface,
    ) -> Result<Vec<Text>, ReadError> {
        let (tenant, scope, surface) = (tenant.clone(), scope.clone(), surface.to_string());
        self.read(move |conn| {
            let values = [
                Value::Text(tenant.as_str()),
                Value::Text(scope.as_str()),
                Value::Text(&surface),
                Value::Int(VERSIONS),
            ];
            bodies(conn, "text", ALL_VERSIONS, &values)
        })
        .await
    }

    /// Returns a proposal.
    pub async fn proposal(&self, viewer: &Viewer, id: ProposalId) -> Result<Option<Proposal>, ReadError> {
        let viewer = viewer.clone();
        self.read(move |conn| {
            let values = [Value::Text(viewer.tenant.as_str()), scope(&viewer), Value::Text(&id.to_string())];
            body(conn, "proposal", PROPOSAL, &values)
        })
        .await
    }

    /// Returns proposals, newest first: those in the state of this name, or all.
    pub async fn proposals(
        &self,
        viewer: &Viewer,
        state: Option<&str>,
        page: Page,
    ) -> Result<Paged<Proposal>, ReadError> {
        let key = |it: &Proposal| (it.created_at, it.id.to_string());
        self.by_age(viewer, PROPOSALS, NewestFirst, page, vec![state.map(ToOwned::to_owned)], key).await
    }

    /// Returns the open proposals of one scope.
    pub async fn open_proposals(&self, tenant: &TenantId, scope: &ScopeId) -> Result<Vec<Proposal>, ReadError> {
        let (tenant, scope) = (tenant.clone(), scope.clone());
        self.read(move |conn| {
            let values = [Value::Text(tenant.as_str()), Value::Text(scope.as_str())];
            bodies(conn, "proposal", OPEN_PROPOSALS, &values)
        })
        .await
    }

    /// Returns what is on trial, of all tenants.
    pub async fn proposals_on_trial(&self) -> Result<Vec<Proposal>, ReadError> {
        self.read(|conn| bodies(conn, "proposal", ON_TRIAL, &[])).await
    }

    /// Returns the newest proposals of one scope with a cause, whatever became of them.
    pub async fn proposals_of_cause(
        &self,
        tenant: &TenantId,
        scope: &ScopeId,
        cause: &str,
    ) -> Result<Vec<Proposal>, ReadError> {
        let (tenant, scope, cause) = (tenant.clone(), scope.clone(), cause.to_owned());
        self.read(move |conn| {
            let values = [Value::Text(tenant.as_str()), Value::Text(scope.as_str()), Value::Text(&cause)];
            bodies(conn, "proposal", OF_CAUSE, &values)
        })
        .await
    }

    /// Returns finished runs that were not taken in yet, in the order in which they ended.
    pub async fn runs_not_taken_in(&self, limit: u32) -> Result<Vec<Run>, ReadError> {
        self.read(move |conn| bodies(conn, "finished run", NOT_TAKEN_IN, &[Value::Int(limit.into())])).await
    }

    /// Returns finished runs, the newest first.
    pub async fn runs(&self, viewer: &Viewer, page: Page) -> Result<Paged<Run>, ReadError> {
        let key = |it: &Run| (it.ended_at, it.id.to_string());
        self.by_age(viewer, RUNS, NewestFirst, page, Vec::new(), key).await
    }

    /// Returns the finished runs of exactly one scope, the newest first.
    pub async fn runs_of_scope(&self, tenant: &TenantId, scope: &ScopeId, limit: u32) -> Result<Vec<Run>, ReadError> {
        let (tenant, scope) = (tenant.clone(), scope.clone());
        self.read(move |conn| {
            let values = [Value::Text(tenant.as_str()), Value::Text(scope.as_str()), Value::Int(limit.into())];
            bodies(conn, "finished run", RUNS_OF_SCOPE, &values)
        })
        .await
    }

    /// Returns the finished runs that tell something about a proposal, in the order in which they ended.
    pub async fn runs_of_proposal(&self, proposal: ProposalId) -> Result<Vec<(Side, Run)>, ReadError> {
        self.read(move |conn| {
            let values = [Value::Text(&proposal.to_string()), Value::Int(RUNS_OF_A_TRIAL)];
            rows(conn, TRIED, &values, |row| Ok((parse("side", row.text(0)?)?, json("finished run", row.text(1)?)?)))
        })
        .await
    }

    /// Returns the scopes in which a run has ended since an instant.
    pub async fn scopes_with_runs_since(&self, since: Timestamp) -> Result<Vec<(TenantId, ScopeId)>, ReadError> {
        self.read(move |conn| {
            let found: Vec<(TenantId, ScopeId)> = rows(conn, SCOPES_SINCE, &[Value::Int(since.as_micros())], |row| {
                Ok((TenantId::new(row.text(0)?), ScopeId::new(row.text(1)?)))
            })?;
            Ok(found.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
        })
        .await
    }

    /// Returns when something that is done once in a while was done the last time.
    pub async fn round(&self, name: &'static str) -> Result<Option<Timestamp>, ReadError> {
        self.read(move |conn| row(conn, ROUND, &[Value::Text(name)], |row| Ok(Timestamp::from_micros(row.int(0)?))))
            .await
    }

    /// Returns a hand-in.
    pub async fn hand_in(&self, id: HandInId) -> Result<Option<HandIn>, ReadError> {
        self.read(move |conn| body(conn, "hand-in", HAND_IN, &[Value::Text(&id.to_string())])).await
    }
}
