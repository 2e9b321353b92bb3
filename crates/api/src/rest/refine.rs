//! Texts that steer roles, proposals to change them, and how finished runs went.
//!
//! What agents are told is the operator's: only the operator writes. Everybody else sees what their own scope goes by.

use crate::auth::Asker;
use crate::input::{Id, Json, Nothing, OptionalJson, Query};
use crate::list::{Wanted, answer};
use crate::problem::ApiError;
use crate::shared::Api;
use crate::translate;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use orcha_model::finished::{self, Side};
use orcha_model::proposal::{self, Figures, Tally};
use orcha_model::text::{self, Author, Kind, Surface, front_matter};
use orcha_model::{Role, Text};
use orcha_orch::Actor;
use orcha_store::{Cursor, Page};
use orcha_wire::refine::*;
use orcha_wire::{Code, DEFAULT_LIMIT, Persona};

pub(crate) async fn list(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListCustomizations>,
) -> Result<Response, ApiError> {
    let surface = match (query.kind, &query.name) {
        (Some(kind), Some(name)) => Some(surface(kind, name)?),
        (None, None) => None,
        (Some(_), None) => return Err(ApiError::invalid("kind", "is given together with `name`")),
        (None, Some(_)) => return Err(ApiError::invalid("name", "is given together with `kind`")),
    };
    let in_use = !query.all.unwrap_or(false);
    let store = api.orch.store();
    let page = Wanted::new(query.after, query.limit)?
        .pages(
            |page| store.texts(&asker.viewer, surface.as_ref(), in_use, page),
            |_| true,
            |it| Cursor { at: it.created_at, id: it.id.to_string() },
        )
        .await?;
    Ok(answer(page, |it| shown(&it, false)))
}

pub(crate) async fn show(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<Customization>, ApiError> {
    Ok(Answer(shown(&api.text(&asker, &id).await?, true)))
}

pub(crate) async fn resolve(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ResolveCustomizations>,
) -> Result<Answer<ResolvedCustomizations>, ApiError> {
    let about = query.about.unwrap_or_default();
    if about.len() > 4096 {
        return Err(ApiError::invalid("about", "must have at most 4096 bytes"));
    }
    let chosen = api.orch.texts_for(&asker.actor).await?;
    Ok(Answer(ResolvedCustomizations {
        scope: asker.actor.scope.to_string(),
        chain: text::chain(&asker.actor.scope).iter().map(ToString::to_string).collect(),
        told: query.role.map(|it| orcha_plan::texts::said(&chosen.texts, role(it), &about)),
        policy: translate::policy(&chosen.policy),
        customizations: chosen.texts.iter().map(|it| shown(it, true)).collect(),
    }))
}

pub(crate) async fn of_scope(State(api): State<Api>, asker: Asker) -> Result<Answer<ScopeCustomizations>, ApiError> {
    let chosen = api.orch.texts_for(&asker.actor).await?;
    let of = |kind: Kind| {
        let texts = chosen.texts.iter().filter(|it| it.surface.kind == kind);
        let source = |it: &Text| CustomizationSource {
            name: it.surface.name.clone(),
            source: it.scope.to_string(),
            path: orcha_wire::routes::GET_CUSTOMIZATION.at(&it.id.into()),
            version: it.version,
        };
        texts.map(source).collect()
    };
    Ok(Answer(ScopeCustomizations {
        scope_id: asker.actor.scope.to_string(),
        skills: of(Kind::Skill),
        agents: of(Kind::RoleOverlay),
        prompts: of(Kind::PromptOverlay),
        policy: translate::policy(&chosen.policy),
    }))
}

pub(crate) async fn set(
    State(api): State<Api>,
    asker: Asker,
    Json(body): Json<SetCustomization>,
) -> Result<Answer<Customization>, ApiError> {
    asker.operates()?;
    deep_enough(&asker.actor)?;
    if body.kind == CustomizationKind::ToolServer {
        return Err(ApiError::invalid("kind", "what a tool server says is approved of by `/api/mcp-servers/{id}/pin`"));
    }
    let surface = surface(body.kind, &body.name)?;
    Ok(Answer(shown(&api.orch.set_text(&asker.actor, &asker.name, surface, body.body).await?, true)))
}

pub(crate) async fn revert(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Customization>, ApiError> {
    asker.operates()?;
    let to = api.text(&asker, &id).await?;
    Ok(Answer(shown(&api.orch.revert_text(&asker.name, to).await?, true)))
}

pub(crate) async fn retire(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
) -> Result<Answer<Customization>, ApiError> {
    asker.operates()?;
    let text = api.text(&asker, &id).await?;
    Ok(Answer(shown(&api.orch.retire_text(&asker.name, &text.tenant, text.id).await?, true)))
}

pub(crate) async fn proposals(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListProposals>,
) -> Result<Response, ApiError> {
    let state = query.status.map(ProposalStatus::as_str);
    let store = api.orch.store();
    let page = Wanted::new(query.after, query.limit)?
        .pages(
            |page| store.proposals(&asker.viewer, state, page),
            |_| true,
            |it| Cursor { at: it.created_at, id: it.id.to_string() },
        )
        .await?;
    Ok(answer(page, |it| in_brief(&it)))
}

pub(crate) async fn proposal(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<Proposal>, ApiError> {
    let it = api.proposal(&asker, &id).await?;
    whole(&api, &it).await
}

pub(crate) async fn approve(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Proposal>, ApiError> {
    asker.operates()?;
    let it = api.proposal(&asker, &id).await?;
    whole(&api, &api.orch.approve_proposal(&it.tenant, it.id).await?).await
}

pub(crate) async fn decline(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Json(body): Json<WhyNot>,
) -> Result<Answer<Proposal>, ApiError> {
    asker.operates()?;
    let it = api.proposal(&asker, &id).await?;
    whole(&api, &api.orch.decline_proposal(&it.tenant, it.id, body.reason).await?).await
}

pub(crate) async fn revert_proposal(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    Json(body): Json<WhyNot>,
) -> Result<Answer<Proposal>, ApiError> {
    asker.operates()?;
    let it = api.proposal(&asker, &id).await?;
    whole(&api, &api.orch.revert_proposal(&it.tenant, it.id, body.reason).await?).await
}

pub(crate) async fn search(
    State(api): State<Api>,
    asker: Asker,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<Searched>, ApiError> {
    asker.operates()?;
    api.orch.search_runs().await?;
    let found = api.orch.store().proposals(&asker.viewer, Some("proposed"), Page::first(DEFAULT_LIMIT)).await?;
    Ok(Answer(Searched { proposals: found.items.iter().map(in_brief).collect() }))
}

pub(crate) async fn runs(
    State(api): State<Api>,
    asker: Asker,
    Query(query): Query<ListRuns>,
) -> Result<Response, ApiError> {
    let store = api.orch.store();
    let page = Wanted::new(query.after, query.limit)?
        .pages(|page| store.runs(&asker.viewer, page), |_| true, |it| Cursor { at: it.ended_at, id: it.id.to_string() })
        .await?;
    Ok(answer(page, |it| run(&it)))
}

async fn whole(api: &Api, it: &proposal::Proposal) -> Result<Answer<Proposal>, ApiError> {
    let runs = api.orch.store().runs_of_proposal(it.id).await?;
    let (old, new) = (orcha_orch::tally(&runs, Side::Old), orcha_orch::tally(&runs, Side::New));
    Ok(Answer(told(it, Some(Figures { old, new, p: None }))))
}

/// A scope that is deeper than others may be heard of would never be read whole.
fn deep_enough(actor: &Actor) -> Result<(), ApiError> {
    if text::chain(&actor.scope).last() == Some(&actor.scope) {
        return Ok(());
    }
    Err(ApiError::new(Code::Invalid, "the scope is made of too many names").at(orcha_wire::SCOPE_HEADER))
}

fn surface(kind: CustomizationKind, name: &str) -> Result<Surface, ApiError> {
    let kind = match kind {
        CustomizationKind::RoleOverlay => Kind::RoleOverlay,
        CustomizationKind::PromptOverlay => Kind::PromptOverlay,
        CustomizationKind::Skill => Kind::Skill,
        CustomizationKind::Policy => Kind::Policy,
        CustomizationKind::ToolServer => Kind::ToolServer,
    };
    Surface::new(kind, name).map_err(|wrong| orcha_model::Refusal::from(wrong).into())
}

const fn kind(it: Kind) -> CustomizationKind {
    match it {
        Kind::RoleOverlay => CustomizationKind::RoleOverlay,
        Kind::PromptOverlay => CustomizationKind::PromptOverlay,
        Kind::Skill => CustomizationKind::Skill,
        Kind::Policy => CustomizationKind::Policy,
        Kind::ToolServer => CustomizationKind::ToolServer,
    }
}

const fn role(it: Persona) -> Role {
    match it {
        Persona::Director => Role::Director,
        Persona::ProjectManager => Role::ProjectManager,
        Persona::Architect => Role::Architect,
        Persona::Implementer => Role::Implementer,
        Persona::Qa => Role::Qa,
        Persona::Finalizer => Role::Finalizer,
        Persona::Refiner => Role::Refiner,
    }
}

fn shown(it: &Text, whole: bool) -> Customization {
    let author = match &it.author {
        Author::Person { name } => name.clone(),
        Author::Proposal { .. } => "proposal".to_owned(),
    };
    let front = (it.surface.kind == Kind::Skill).then(|| front_matter(&it.body)).flatten();
    Customization {
        id: it.id,
        scope: it.scope.to_string(),
        kind: kind(it.surface.kind),
        name: it.surface.name.clone(),
        version: it.version,
        status: match it.state {
            text::State::Trial => CustomizationStatus::Trial,
            text::State::Active => CustomizationStatus::Active,
            text::State::Retired => CustomizationStatus::Retired,
        },
        author,
        proposal_id: it.proposal(),
        bytes: it.body.len() as u64,
        description: front.map(|it| it.description.to_owned()),
        body: whole.then(|| it.body.clone()),
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

/// A proposal as lists show it.
fn in_brief(it: &proposal::Proposal) -> Proposal {
    Proposal { body: None, ..told(it, None) }
}

/// A proposal with the figures that it was settled by, or with those that its trial has until now.
fn told(it: &proposal::Proposal, until_now: Option<Figures>) -> Proposal {
    use proposal::State as At;
    let (status, reason, figures) = match &it.state {
        At::Proposed => (ProposalStatus::Proposed, None, None),
        At::OnTrial { .. } => (ProposalStatus::OnTrial, None, until_now),
        At::Adopted { figures, .. } => (ProposalStatus::Adopted, None, Some(figures.clone())),
        At::Declined { reason, figures } => (ProposalStatus::Declined, Some(reason.clone()), figures.clone()),
        At::Reverted { reason, figures } => (ProposalStatus::Reverted, Some(reason.clone()), Some(figures.clone())),
    };
    let side = |it: &Tally| TrialSide {
        runs: it.runs,
        completed: it.completed,
        score: f64::from(it.score) / 1000.0,
        micro_usd: it.micro_usd,
    };
    Proposal {
        id: it.id,
        scope: it.scope.to_string(),
        status,
        reason,
        kind: kind(it.surface.kind),
        name: it.surface.name.clone(),
        change: it.change.to_string(),
        priority: it.priority.to_string(),
        source: it.source.to_string(),
        problem: it.problem.clone(),
        proposed_fix: it.proposed_fix.clone(),
        body: it.body.clone(),
        seen: it.seen,
        evidence: it.evidence.clone(),
        trial: figures.map(|figures| ProposalTrial {
            customization_id: it.state.trial().map(|it| it.text),
            old: side(&figures.old),
            new: side(&figures.new),
            p: figures.p,
        }),
        created_at: it.created_at,
        updated_at: it.updated_at,
    }
}

fn run(it: &finished::Run) -> Run {
    let trouble =
        |it: &finished::Trouble| RunTrouble { role: it.role.clone(), class: it.class.clone(), what: it.what.clone() };
    Run {
        workflow_id: it.id,
        scope: it.scope.to_string(),
        title: it.title.clone(),
        end: it.end.to_string(),
        score: it.score(),
        health_score: it.health,
        repairs: it.repairs,
        tokens: it.tokens,
        micro_usd: it.micro_usd,
        troubles: it.troubles.iter().map(trouble).collect(),
        customizations: it.texts.iter().map(|(surface, version)| (surface.to_string(), *version)).collect(),
        trials: it.tried.iter().map(|(proposal, side)| (proposal.to_string(), side.to_string())).collect(),
        ended_at: it.ended_at,
    }
}
