-- Workflows and what belongs to them. As everywhere, the body is the noun and the columns are derived from it.

CREATE TABLE workflows (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE UNIQUE INDEX workflows_of_objective ON workflows (objective_id);
CREATE INDEX workflows_by_age ON workflows (tenant, created_at, id);

CREATE TABLE tasks (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX tasks_of_objective ON tasks (objective_id, created_at, id);

CREATE TABLE check_runs (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX check_runs_of_objective ON check_runs (objective_id, created_at, id);

-- A document never changes; a newer one takes its place.
CREATE TABLE hand_ins (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    objective_id TEXT NOT NULL REFERENCES objectives (id),
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX hand_ins_of_objective ON hand_ins (objective_id, created_at, id);
