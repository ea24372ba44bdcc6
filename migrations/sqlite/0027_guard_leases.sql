-- Several servers share the leases of guards: each has to know when a lease began, and what was acknowledged when.
ALTER TABLE guard_instances ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guard_instances ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guard_instances ADD COLUMN acknowledged_at INTEGER NOT NULL DEFAULT 0;
-- The acknowledgement that moved `through`.
ALTER TABLE guard_instances ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0;
-- Leases were written with an end that is 20 seconds later than the real one.
UPDATE guard_instances SET acknowledged_at = leased_until - 20000, confirmed_at = leased_until - 20000;
