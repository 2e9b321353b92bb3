//! Named tokens: the operator gives and revokes them. What one opens is said in `grant`.

use crate::auth::{self, Asker, OPERATOR};
use crate::find::only;
use crate::grant::{NAME_RULE, is_name, is_scope};
use crate::input::{Id, Json};
use crate::list::array;
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use orcha_base::{ScopeId, TenantId, TokenId};
use orcha_store::{ApiToken, Commit, CommitError, Unique};
use orcha_wire::{Code, CreateToken, CreatedToken, Deleted};
use tracing::info;
use uuid::Uuid;

/// How many scopes a token names at most.
const SCOPES: usize = 50;

pub(crate) async fn list(State(api): State<Api>, asker: Asker) -> Result<Response, ApiError> {
    asker.operates()?;
    let all = api.orch.store().tokens().await?;
    Ok(array(all.into_iter().map(shown).collect(), None))
}

pub(crate) async fn create(
    State(api): State<Api>,
    asker: Asker,
    Json(body): Json<CreateToken>,
) -> Result<(StatusCode, Answer<CreatedToken>), ApiError> {
    asker.operates()?;
    for (field, names) in [
        ("name", std::slice::from_ref(&body.name)),
        ("tenant", std::slice::from_ref(&body.tenant)),
        ("scopes", &body.scopes),
    ] {
        let fits = if field == "scopes" { is_scope } else { is_name };
        if !names.iter().all(|it| fits(it)) {
            return Err(ApiError::invalid(field, NAME_RULE));
        }
    }
    if body.name == OPERATOR {
        return Err(ApiError::invalid("name", "must not be that of the operator"));
    }
    if body.scopes.len() > SCOPES {
        return Err(ApiError::invalid("scopes", &format!("must be at most {SCOPES}")));
    }
    let token = ApiToken {
        id: TokenId::from_uuid(Uuid::now_v7()),
        name: body.name,
        tenant: TenantId::new(body.tenant),
        scopes: body.scopes.into_iter().map(ScopeId::new).collect(),
        created_at: api.orch.now(),
    };
    let (secret, hash) = auth::new_token();
    let mut commit = Commit::at(token.created_at);
    commit.tokens.push((token.clone(), hash));
    api.orch.store().commit(commit).await.map_err(|fault| match fault {
        CommitError::Duplicate { what: Unique::TokenName } => {
            ApiError::new(Code::Conflict, format!("there is a token named `{}` already", token.name)).at("name")
        }
        other => other.into(),
    })?;
    info!(token.name = %token.name, tenant = %token.tenant, "token {} opens tenant {}", token.name, token.tenant);
    Ok((StatusCode::CREATED, Answer(CreatedToken { opens: shown(token), token: secret })))
}

pub(crate) async fn revoke(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<Deleted>, ApiError> {
    asker.operates()?;
    let all = api.orch.store().tokens().await?;
    let token = only(all, &id, TokenId::NOUN, |it| it.id.to_string())?;
    let mut commit = Commit::at(api.orch.now());
    commit.revoked_tokens.push(token.id);
    api.orch.store().commit(commit).await?;
    // Without open streams there is nobody to tell.
    drop(api.revoked.send(token.id));
    info!(token.name = %token.name, "token {} is revoked", token.name);
    Ok(Answer(Deleted::default()))
}

fn shown(it: ApiToken) -> orcha_wire::ApiToken {
    orcha_wire::ApiToken {
        id: it.id,
        name: it.name,
        tenant: it.tenant.to_string(),
        scopes: it.scopes.iter().map(ToString::to_string).collect(),
        created_at: it.created_at,
    }
}
