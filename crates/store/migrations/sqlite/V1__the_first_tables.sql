-- The first tables. A noun with a life is a row with its key columns and, in `body`, the whole noun as JSON.
-- The columns are derived from the body at each write; the body is what is read back.
-- Instants are microseconds since 1970; `over`, `holds`, `counts` and `wants_place` are 0 or 1.

CREATE TABLE objectives (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    over       INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    title      TEXT NOT NULL,
    repo       TEXT,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX objectives_by_change ON objectives (tenant, updated_at, id);
CREATE INDEX objectives_live ON objectives (tenant, updated_at, id) WHERE over = 0;

CREATE TABLE sessions (
    id              TEXT PRIMARY KEY NOT NULL,
    tenant          TEXT NOT NULL,
    scope           TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    objective_id    TEXT NOT NULL REFERENCES objectives (id),
    parent_id       TEXT,
    role            TEXT NOT NULL,
    counts          INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    state           TEXT NOT NULL,
    over            INTEGER NOT NULL,
    -- The schedule looks at it, and not before `not_before`; 0 is at once.
    wants_place     INTEGER NOT NULL,
    not_before      INTEGER NOT NULL,
    -- From placement to the end of the process, and where.
    holds           INTEGER NOT NULL,
    target_id       TEXT,
    workspace_id    TEXT,
    pull_request_id TEXT,
    attempt         INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    agent           TEXT NOT NULL,
    title           TEXT NOT NULL,
    activity        TEXT,
    tokens          INTEGER NOT NULL,
    started_at      INTEGER,
    completed_at    INTEGER,
    updated_at      INTEGER NOT NULL,
    body            TEXT NOT NULL
);
CREATE INDEX sessions_by_change ON sessions (tenant, updated_at, id);
CREATE INDEX sessions_of_objective ON sessions (objective_id, updated_at, id);
CREATE INDEX sessions_live ON sessions (tenant, objective_id) WHERE over = 0;
CREATE INDEX sessions_that_want_a_place ON sessions (priority DESC, created_at, id, not_before) WHERE wants_place = 1;
CREATE INDEX sessions_that_wake ON sessions (not_before) WHERE wants_place = 1;
CREATE INDEX sessions_that_hold_a_place ON sessions (target_id, counts, id) WHERE holds = 1;
CREATE INDEX sessions_that_write ON sessions (workspace_id) WHERE holds = 1 AND workspace_id IS NOT NULL;
CREATE INDEX sessions_that_follow_up ON sessions (pull_request_id) WHERE holds = 1 AND pull_request_id IS NOT NULL;

CREATE TABLE workspaces (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    session_id   TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    target_id    TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX workspaces_by_age ON workspaces (tenant, created_at, id);
CREATE INDEX workspaces_of_objective ON workspaces (objective_id, created_at, id);

CREATE TABLE pull_requests (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    repo         TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    live         INTEGER NOT NULL,
    number       INTEGER,
    synced_at    INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE UNIQUE INDEX pull_requests_by_number ON pull_requests (tenant, repo, number) WHERE number IS NOT NULL;
CREATE INDEX pull_requests_by_age ON pull_requests (tenant, created_at, id);
CREATE INDEX pull_requests_of_objective ON pull_requests (objective_id, created_at, id);
CREATE INDEX pull_requests_live ON pull_requests (synced_at, id) WHERE live = 1;

CREATE TABLE feedback (
    id              TEXT PRIMARY KEY NOT NULL,
    tenant          TEXT NOT NULL,
    scope           TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    objective_id    TEXT NOT NULL REFERENCES objectives (id),
    pull_request_id TEXT NOT NULL REFERENCES pull_requests (id),
    external        TEXT NOT NULL,
    revision        INTEGER NOT NULL,
    state           TEXT NOT NULL,
    updated_at      INTEGER NOT NULL,
    body            TEXT NOT NULL
);
CREATE UNIQUE INDEX feedback_once ON feedback (pull_request_id, external);
CREATE INDEX feedback_of_pull_request ON feedback (pull_request_id, created_at, id);
CREATE INDEX feedback_to_do ON feedback (objective_id, created_at, id) WHERE state IN ('new', 'routed');

CREATE TABLE questions (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    session_id   TEXT,
    cause        TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE UNIQUE INDEX questions_once ON questions (objective_id, cause) WHERE state = 'open';
CREATE INDEX questions_open ON questions (tenant, priority DESC, created_at, id) WHERE state = 'open';
CREATE INDEX questions_to_do ON questions (objective_id, created_at, id) WHERE state IN ('open', 'answered');
CREATE INDEX questions_of_objective ON questions (objective_id, created_at, id);

CREATE TABLE messages (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    session_id   TEXT NOT NULL REFERENCES sessions (id),
    cause        TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE UNIQUE INDEX messages_once ON messages (session_id, cause);
CREATE INDEX messages_of_session ON messages (session_id, created_at, id);
CREATE INDEX messages_to_do ON messages (objective_id, created_at, id) WHERE state IN ('queued', 'sent');

CREATE TABLE targets (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    name       TEXT NOT NULL,
    capacity   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE UNIQUE INDEX targets_by_name ON targets (tenant, name);

-- Plain tables: nothing here has a life of its own.

CREATE TABLE projects (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    repo       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE UNIQUE INDEX projects_by_repo ON projects (tenant, repo);

CREATE TABLE artifacts (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    body         TEXT NOT NULL
);
CREATE INDEX artifacts_of_objective ON artifacts (objective_id, created_at, id);

CREATE TABLE journal (
    seq          INTEGER PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT,
    session_id   TEXT,
    kind         TEXT NOT NULL,
    summary      TEXT NOT NULL,
    data         TEXT NOT NULL
);
CREATE INDEX journal_of_tenant ON journal (tenant, seq);
CREATE INDEX journal_of_objective ON journal (objective_id, seq) WHERE objective_id IS NOT NULL;

CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT,
    effect_key   TEXT NOT NULL,
    not_before   INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    detail       TEXT,
    body         TEXT NOT NULL
);
CREATE UNIQUE INDEX outbox_by_key ON outbox (effect_key);
CREATE INDEX outbox_of_objective ON outbox (objective_id, seq) WHERE objective_id IS NOT NULL;

CREATE TABLE transcript (
    session_id TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    source     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    content    TEXT NOT NULL,
    metadata   TEXT,
    PRIMARY KEY (session_id, seq)
);

-- How far the output of one attempt was taken in: moved together with the transcript.
CREATE TABLE cursors (
    session_id TEXT NOT NULL REFERENCES sessions (id),
    attempt    INTEGER NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    at         TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (session_id, attempt)
);

-- Only the hash of a credential is known here.
CREATE TABLE credentials (
    hash       BLOB PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    attempt    INTEGER NOT NULL
);
CREATE UNIQUE INDEX credentials_by_attempt ON credentials (session_id, attempt);

-- What a client was answered, so that the same request twice is once.
CREATE TABLE receipts (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX receipts_by_age ON receipts (created_at);

-- Is written to find out whether there is room again.
CREATE TABLE probes (
    id   INTEGER PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
);
