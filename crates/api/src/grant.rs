//! What a credential opens, and what a request picks of it by its headers. Pure: nothing here reads a credential.
//!
//! A header never opens anything. The daemon's own token opens every tenant; a named one opens its tenant, and of that
//! its scopes.

use crate::auth::{Asker, OPERATOR};
use crate::problem::ApiError;
use http::{HeaderMap, HeaderName};
use orcha_base::{ScopeId, TenantId, TokenId};
use orcha_orch::Actor;
use orcha_store::{ApiToken, Viewer};
use orcha_wire::{Code, SCOPE_HEADER, TENANT_HEADER};

/// Whose credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Whoever reads the daemon's own token.
    Operator,
    /// Who was given a named token.
    Token(TokenId),
}

/// What a credential opens.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    holder: Holder,
    name: String,
    /// The only tenant; none: every one.
    tenant: Option<TenantId>,
    /// The only scopes, the usual one first; none: every one.
    scopes: Vec<ScopeId>,
}

impl Grant {
    pub fn operator() -> Self {
        Self { holder: Holder::Operator, name: OPERATOR.to_owned(), tenant: None, scopes: Vec::new() }
    }

    pub fn of(token: ApiToken) -> Self {
        Self { holder: Holder::Token(token.id), name: token.name, tenant: Some(token.tenant), scopes: token.scopes }
    }

    /// Returns on whose behalf a request is made. Its headers pick within what the credential opens.
    pub fn asker(self, headers: &HeaderMap) -> Result<Asker, ApiError> {
        let tenant = match (picked(headers, TENANT_HEADER, is_name)?, self.tenant) {
            (None, tenant) => tenant.unwrap_or_default(),
            (Some(name), None) => TenantId::new(name),
            (Some(name), Some(tenant)) if name == tenant.as_str() => tenant,
            (Some(_), Some(_)) => return Err(closed(TENANT_HEADER, "is not the tenant of your token")),
        };
        let scope = match picked(headers, SCOPE_HEADER, is_scope)? {
            None => self.scopes.first().cloned(),
            Some(name) if self.scopes.is_empty() || self.scopes.iter().any(|it| it.as_str() == name) => {
                Some(ScopeId::new(name))
            }
            Some(_) => return Err(closed(SCOPE_HEADER, "is no scope of your token")),
        };
        let actor = Actor { tenant: tenant.clone(), scope: scope.clone().unwrap_or_default() };
        Ok(Asker { name: self.name, viewer: Viewer { tenant, scope }, actor, holder: self.holder })
    }
}

fn closed(header: &'static str, rule: &str) -> ApiError {
    ApiError::new(Code::Forbidden, format!("`{header}` {rule}")).at(header)
}

/// Reads a header that may be given once.
fn picked<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    fits: impl Fn(&str) -> bool,
) -> Result<Option<&'a str>, ApiError> {
    let mut given = headers.get_all(HeaderName::from_static(name)).iter();
    let Some(value) = given.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if given.next().is_none() && fits(text) => Ok(Some(text)),
        _ => Err(ApiError::invalid(name, NAME_RULE)),
    }
}

/// What the name of a tenant, a scope or a token looks like.
pub(crate) const NAME_RULE: &str = "must be given once, as 1 to 64 lower-case letters, digits, `-`, `_` or `.`, beginning with a letter or a digit; a \
     scope may be several of these with `/` between them";

/// Tells whether a text may be the name of a tenant, a scope or a token.
pub fn is_name(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    (1..=64).contains(&text.len())
        && text.bytes().all(|it| plain(it) || b"-_.".contains(&it))
        && text.bytes().next().is_some_and(plain)
}

/// Tells whether a text may be the name of a scope: names, each below the one before, such as `org/acme/team/web`.
pub fn is_scope(text: &str) -> bool {
    text.split('/').all(is_name) && text.split('/').count() <= orcha_model::text::DEEPEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use orcha_base::Timestamp;
    use proptest::prelude::*;

    fn token(tenant: &str, scopes: &[&str]) -> Grant {
        Grant::of(ApiToken {
            id: TokenId::fixed(1),
            name: "ci".into(),
            tenant: TenantId::new(tenant),
            scopes: scopes.iter().map(|it| ScopeId::new(*it)).collect(),
            created_at: Timestamp::EPOCH,
        })
    }

    fn headers(tenant: Option<&str>, scope: Option<&str>) -> HeaderMap {
        let given = [(TENANT_HEADER, tenant), (SCOPE_HEADER, scope)];
        let given = given.into_iter().filter_map(|(name, it)| Some((HeaderName::from_static(name), it?)));
        given.map(|(name, it)| (name, it.parse().unwrap())).collect()
    }

    fn seen(grant: Grant, tenant: Option<&str>, scope: Option<&str>) -> String {
        match grant.asker(&headers(tenant, scope)) {
            Ok(it) => {
                assert_eq!(it.actor.tenant, it.viewer.tenant);
                assert!(it.viewer.scope.as_ref().is_none_or(|scope| *scope == it.actor.scope));
                let scope = it.viewer.scope.map_or("*".to_owned(), |it| it.to_string());
                format!("{}/{scope} as {}/{}", it.viewer.tenant, it.actor.tenant, it.actor.scope)
            }
            Err(refused) => format!("{} {:?}", refused.problem().status, refused.problem().field),
        }
    }

    #[test]
    fn headers_pick_within_the_credential_and_open_nothing() {
        let operator = Grant::operator;
        assert_eq!(seen(operator(), None, None), "default/* as default/global");
        assert_eq!(seen(operator(), Some("acme"), None), "acme/* as acme/global");
        assert_eq!(seen(operator(), Some("acme"), Some("web")), "acme/web as acme/web");
        let whole = || token("acme", &[]);
        assert_eq!(seen(whole(), None, None), "acme/* as acme/global");
        assert_eq!(seen(whole(), Some("acme"), Some("web")), "acme/web as acme/web");
        assert_eq!(seen(whole(), Some("globex"), None), "403 Some(\"x-tenant-id\")");
        let narrow = || token("acme", &["web", "ops"]);
        assert_eq!(seen(narrow(), None, None), "acme/web as acme/web");
        assert_eq!(seen(narrow(), None, Some("ops")), "acme/ops as acme/ops");
        assert_eq!(seen(narrow(), None, Some("global")), "403 Some(\"x-scope-id\")");
        assert_eq!(seen(narrow(), Some("Acme"), None), "422 Some(\"x-tenant-id\")");
        assert_eq!(seen(operator(), Some("acme"), Some("org/web")), "acme/org/web as acme/org/web");
        assert_eq!(seen(operator(), None, Some("org//web")), "422 Some(\"x-scope-id\")");
        assert_eq!(seen(operator(), None, Some("a/b/c/d/e/f/g")), "422 Some(\"x-scope-id\")");
        assert_eq!(seen(operator(), Some("org/web"), None), "422 Some(\"x-tenant-id\")");
        assert_eq!(seen(narrow(), None, Some("")), "422 Some(\"x-scope-id\")");
    }

    proptest! {
        #[test]
        fn no_header_leads_out_of_a_token(
            tenant in proptest::option::of("[a-z.]{1,4}"),
            scope in proptest::option::of("[a-z.]{1,4}"),
            scopes in proptest::collection::vec("[a-c]", 0..3),
        ) {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let given = headers(tenant.as_deref(), scope.as_deref());
            if let Ok(it) = token("a", &scopes).asker(&given) {
                prop_assert_eq!(it.viewer.tenant.as_str(), "a");
                prop_assert_eq!(it.actor.tenant.as_str(), "a");
                let within = |it: &ScopeId| scopes.is_empty() || scopes.contains(&it.as_str());
                prop_assert!(it.viewer.scope.as_ref().map_or(scopes.is_empty(), within));
                prop_assert!(within(&it.actor.scope));
            }
        }
    }
}
