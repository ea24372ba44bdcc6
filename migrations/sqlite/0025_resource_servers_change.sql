-- Resource servers change: they are edited, get new secrets and are deleted. Deleted rows stay: receipts and histories name
-- them, and neither an audience nor the name of a scope is ever given out again, so that nothing old works for something new.

ALTER TABLE resource_servers ADD COLUMN deleted_at INTEGER;
-- Counts the changes of name and scopes: a form changes only what it showed.
ALTER TABLE resource_servers ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

ALTER TABLE scopes ADD COLUMN deleted_at INTEGER;
-- When its words changed last: who consented before is asked again.
ALTER TABLE scopes ADD COLUMN described_at INTEGER NOT NULL DEFAULT 0;

-- Secrets that were rotated and still work. The newest one stands in resource_servers.
CREATE TABLE earlier_resource_server_secrets (
    digest             BLOB PRIMARY KEY,
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    expires_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX earlier_resource_server_secrets_by_server ON earlier_resource_server_secrets (resource_server_id);
