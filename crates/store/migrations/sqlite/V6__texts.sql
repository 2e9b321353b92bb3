-- Texts that steer roles, proposals to change them, and what is known of finished runs. As everywhere, the body is the
-- noun and the columns are derived from it.

-- A version never changes its words and is never deleted.
CREATE TABLE texts (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    surface    TEXT NOT NULL,
    version    INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE UNIQUE INDEX texts_by_version ON texts (tenant, scope, surface, version);
CREATE INDEX texts_by_age ON texts (tenant, created_at, id);
CREATE INDEX texts_in_use ON texts (tenant, scope, surface) WHERE state IN ('trial', 'active');

CREATE TABLE proposals (
    id         TEXT PRIMARY KEY NOT NULL,
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    cause      TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
-- While one with a cause is open, there is no second one.
CREATE UNIQUE INDEX proposals_open ON proposals (tenant, scope, cause) WHERE state IN ('proposed', 'on_trial');
CREATE INDEX proposals_by_cause ON proposals (tenant, scope, cause, created_at);
CREATE INDEX proposals_by_age ON proposals (tenant, created_at, id);

-- Written with the end of its workflow; taken in when what follows from it is stored.
CREATE TABLE finished_runs (
    id         TEXT PRIMARY KEY NOT NULL REFERENCES objectives (id),
    tenant     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    taken_in   INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX finished_runs_by_age ON finished_runs (tenant, created_at, id);
CREATE INDEX finished_runs_of_scope ON finished_runs (tenant, scope, created_at, id);
CREATE INDEX finished_runs_by_time ON finished_runs (created_at, tenant, scope);
CREATE INDEX finished_runs_not_taken_in ON finished_runs (created_at, id) WHERE taken_in = 0;

-- Which finished runs tell something about a proposal.
CREATE TABLE tried (
    proposal_id TEXT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES finished_runs (id),
    tenant      TEXT NOT NULL,
    scope       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    side        TEXT NOT NULL,
    PRIMARY KEY (proposal_id, run_id)
);
CREATE INDEX tried_by_age ON tried (proposal_id, created_at, run_id);

-- When something that is done once in a while was done the last time.
CREATE TABLE rounds (
    name TEXT PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
);
