-- The accounts that kinds of agents spend: there is one for each kind, whoever's session spends it.
CREATE TABLE providers (
    name       TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
