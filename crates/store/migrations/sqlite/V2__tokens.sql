-- Tokens of the API with a name. Only the hash of a token is known here.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL
);
CREATE UNIQUE INDEX tokens_by_name ON tokens (name);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
