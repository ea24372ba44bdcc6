-- What an app's registration said before it was changed; users see it at their next consent.
CREATE TABLE client_changes (
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL,
    field     TEXT NOT NULL CHECK (field IN ('name', 'publisher', 'redirect_uris')),
    earlier   TEXT NOT NULL,
    PRIMARY KEY (client_id, at, field)
) STRICT, WITHOUT ROWID;

-- Hosts and schemes that banned apps sent people to: refused at registration.
CREATE TABLE banned_domains (
    domain    TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Apps that may not ask a user again until the user lifts it.
CREATE TABLE blocks (
    user_id   TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT, WITHOUT ROWID;

-- What somebody wrote about an act. It may be personal, so it stands beside the ledger and can be erased.
CREATE TABLE receipt_notes (
    receipt_id TEXT PRIMARY KEY,
    reason     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_by_actor ON ledger (actor_id, sequence);
CREATE INDEX clients_by_status ON clients (status, created_at);
CREATE INDEX users_by_role ON users (role, status);
