-- How many tasks of a key go on, and which of those that have ended came first; what a budget refused first.
-- works with: 20
CREATE INDEX tasks_by_state ON tasks (key_id, organisation, state, id);
-- In the budget's unit: the most that the refused request could come to; 0 for other warnings.
ALTER TABLE budget_warnings ADD COLUMN asked_amount INTEGER NOT NULL DEFAULT 0;
