//! Tokens of the API: whose rows each opens. What a token itself is stands nowhere.

use crate::conn::{Columns, DbError, Value, json, parse, row, rows};
use crate::{ApiToken, ReadError, Store};
use orcha_base::{TenantId, Timestamp, TokenId};

const TOKENS: &str = "SELECT id, tenant, scopes, created_at, name FROM tokens ORDER BY name";
const BY_HASH: &str = "SELECT id, tenant, scopes, created_at, name FROM tokens WHERE hash = ?1";
const BY_ID: &str = "SELECT id, tenant, scopes, created_at, name FROM tokens WHERE id = ?1";

#[cfg(test)]
pub(super) const PLANNED: &[&str] = &[TOKENS, BY_HASH, BY_ID];

impl Store {
    /// Returns the tokens of all tenants by name.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, ReadError> {
        self.read(|conn| rows(conn, TOKENS, &[], token)).await
    }

    /// Returns the token with a hash.
    pub async fn token_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiToken>, ReadError> {
        self.read(move |conn| row(conn, BY_HASH, &[Value::Blob(&hash)], token)).await
    }

    /// Returns a token by its id.
    pub async fn token(&self, id: TokenId) -> Result<Option<ApiToken>, ReadError> {
        self.read(move |conn| row(conn, BY_ID, &[Value::Text(&id.to_string())], token)).await
    }
}

fn token(row: &dyn Columns) -> Result<ApiToken, DbError> {
    Ok(ApiToken {
        id: parse("token id", row.text(0)?)?,
        tenant: TenantId::new(row.text(1)?),
        scopes: json("scopes of a token", row.text(2)?)?,
        created_at: Timestamp::from_micros(row.int(3)?),
        name: row.text(4)?.to_owned(),
    })
}
