-- How many tasks of a key go on, and which of those that have ended came first.
-- works with: 20
CREATE INDEX tasks_by_state ON tasks (key_id, organisation, state, id);
