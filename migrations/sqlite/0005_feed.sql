-- What resource servers are told, and what they confirm.

-- Where this history of the database began, in milliseconds since 1970; only a restored backup begins another.
ALTER TABLE server ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 0;
UPDATE server SET incarnation = CAST(unixepoch('subsec') * 1000 AS INTEGER);

-- Every audience that the grant ever allowed anything at, separated by spaces; NULL is unknown and stands for all.
ALTER TABLE grants ADD COLUMN audiences TEXT;

-- A ledger row is an entry of the feed for these audiences: NULL stands for all, '' for none.
ALTER TABLE ledger ADD COLUMN audiences TEXT;
CREATE INDEX ledger_by_audiences ON ledger (audiences);
CREATE INDEX ledger_by_time ON ledger (at);

-- Seconds for which a guard may go on without an answer; whether one is expected there at all; when the first one answered.
ALTER TABLE resource_servers ADD COLUMN max_staleness INTEGER NOT NULL DEFAULT 10 CHECK (max_staleness BETWEEN 1 AND 300);
ALTER TABLE resource_servers ADD COLUMN guard TEXT NOT NULL DEFAULT 'expected' CHECK (guard IN ('expected', 'none'));
ALTER TABLE resource_servers ADD COLUMN guard_seen_at INTEGER;

-- Guards that may still accept what they have not confirmed, written ahead of time: they are known after a restart.
CREATE TABLE guard_instances (
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    instance           TEXT NOT NULL,
    through            INTEGER NOT NULL,
    leased_until       INTEGER NOT NULL,
    PRIMARY KEY (resource_server_id, instance)
) STRICT, WITHOUT ROWID;
CREATE INDEX guard_instances_by_lease ON guard_instances (leased_until);

-- How a resource server learned of a ledger row, once that is settled. open_until: where guards stayed silent, or none runs.
CREATE TABLE confirmations (
    ledger_sequence    INTEGER NOT NULL REFERENCES ledger (sequence),
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    guard              TEXT NOT NULL CHECK (guard IN ('running', 'none')),
    instances          INTEGER NOT NULL,
    confirmed          INTEGER NOT NULL,
    last_ms            INTEGER,
    open_until         INTEGER,
    PRIMARY KEY (ledger_sequence, resource_server_id)
) STRICT, WITHOUT ROWID;
