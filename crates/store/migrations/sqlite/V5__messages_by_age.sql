-- Messages of a whole tenant, and of an objective whatever became of them.
CREATE INDEX messages_by_age ON messages (tenant, created_at, id);
CREATE INDEX messages_of_objective ON messages (objective_id, created_at, id);
