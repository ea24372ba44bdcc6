-- Several servers share the leases of guards: each has to know when a lease began, and what was acknowledged when.
ALTER TABLE guard_instances ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE guard_instances ADD COLUMN keys_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE guard_instances ADD COLUMN acknowledged_at BIGINT NOT NULL DEFAULT 0;
-- The acknowledgement that moved `through`.
ALTER TABLE guard_instances ADD COLUMN confirmed_at BIGINT NOT NULL DEFAULT 0;
