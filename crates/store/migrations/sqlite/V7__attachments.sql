-- Files that came with requests. Their bytes are kept once for each tenant, by their hash.
CREATE TABLE attachments (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    body         TEXT NOT NULL
);
CREATE INDEX attachments_of_objective ON attachments (objective_id, id);
CREATE INDEX attachments_by_age ON attachments (tenant, created_at, id);

CREATE TABLE attached_bytes (
    tenant     TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (tenant, sha256)
);
