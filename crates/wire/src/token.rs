//! Named tokens: credentials that open one tenant, and of it all scopes or some. The operator gives and revokes them.

use orcha_base::{Timestamp, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named token. The token itself was told once, to whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// Its name, unique.
    pub name: String,
    /// The tenant that it opens.
    pub tenant: String,
    /// The scopes of the tenant that it opens, the usual one first; none: all of them.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Makes a named token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Its name: lower-case letters, digits, `-`, `_` and `.`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9][a-z0-9._-]*$"))]
    pub name: String,
    /// The tenant that it opens.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9][a-z0-9._-]*$"))]
    pub tenant: String,
    /// The scopes of the tenant that it opens, the usual one first; none: all of them.
    #[schemars(length(max = 50))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// The answer to a new token: the only place where the token itself ever stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// What it opens.
    #[serde(flatten)]
    pub opens: ApiToken,
    /// The token, for `authorization: Bearer …`. It is not kept, and cannot be shown again.
    pub token: String,
}
