-- The few projects that say by what their sessions are confined: the schedule asks for them each time.
CREATE INDEX projects_that_confine ON projects (id) WHERE body ->> '$.permissions.sandbox' IS NOT NULL;
