-- Times are milliseconds since 1970 (UTC); digests are SHA-256; ids are kind-prefixed text.
-- Generations only grow. A credential copies them when it is minted and is dead once they differ.

CREATE TABLE server (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO server (id, generation) VALUES (1, 1);

CREATE TABLE users (
    id               TEXT PRIMARY KEY,
    username         TEXT NOT NULL UNIQUE,
    email            TEXT,
    role             TEXT NOT NULL CHECK (role IN ('user', 'developer', 'admin')),
    status           TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'deleted')),
    status_at        INTEGER NOT NULL,
    generation       INTEGER NOT NULL,
    password_hash    TEXT NOT NULL,
    password_version INTEGER NOT NULL,
    created_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The key is the digest of the cookie's value; the id is what the account page shows.
CREATE TABLE sessions (
    digest            BLOB PRIMARY KEY,
    id                TEXT NOT NULL UNIQUE,
    user_id           TEXT NOT NULL REFERENCES users (id),
    server_generation INTEGER NOT NULL,
    user_generation   INTEGER NOT NULL,
    password_version  INTEGER NOT NULL,
    device            TEXT NOT NULL,
    data              TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE resource_servers (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    audience      TEXT NOT NULL UNIQUE,
    secret_digest BLOB NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE scopes (
    name               TEXT PRIMARY KEY,
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    description        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX scopes_by_resource_server ON scopes (resource_server_id);

CREATE TABLE clients (
    id            TEXT PRIMARY KEY,
    owner_id      TEXT NOT NULL REFERENCES users (id),
    name          TEXT NOT NULL,
    publisher     TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('confidential', 'public')),
    status        TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'banned', 'deleted')),
    status_at     INTEGER NOT NULL,
    status_reason TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    token_format  TEXT NOT NULL CHECK (token_format IN ('opaque', 'jwt')),
    grant_types   TEXT NOT NULL,
    scope         TEXT,
    redirect_uris TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX clients_by_owner ON clients (owner_id);

CREATE TABLE client_secrets (
    id         TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL REFERENCES clients (id),
    digest     BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secrets_by_client ON client_secrets (client_id);

-- The generations are those of the last consent.
CREATE TABLE grants (
    id                  TEXT PRIMARY KEY,
    user_id             TEXT NOT NULL REFERENCES users (id),
    client_id           TEXT NOT NULL REFERENCES clients (id),
    scope               TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('open', 'ended')),
    ended_at            INTEGER,
    generation          INTEGER NOT NULL,
    server_generation   INTEGER NOT NULL,
    client_generation   INTEGER NOT NULL,
    user_generation     INTEGER NOT NULL,
    first_authorized_at INTEGER NOT NULL,
    authorized_at       INTEGER NOT NULL,
    last_used_at        INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_grant ON grants (user_id, client_id) WHERE status = 'open';
CREATE INDEX grants_by_user ON grants (user_id, client_id);
CREATE INDEX grants_by_client ON grants (client_id, status);

CREATE TABLE families (
    id                TEXT PRIMARY KEY,
    grant_id          TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    device            TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    last_used_at      INTEGER,
    expires_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX families_by_grant ON families (grant_id);
CREATE INDEX families_by_client ON families (client_id, client_generation);
CREATE INDEX families_by_user ON families (user_id);
CREATE INDEX families_by_expiry ON families (expires_at);

CREATE TABLE authorization_codes (
    digest            BLOB PRIMARY KEY,
    family_id         TEXT NOT NULL,
    grant_id          TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER NOT NULL,
    scope             TEXT NOT NULL,
    redirect_uri      TEXT,
    code_challenge    TEXT,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    used_at           INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_codes_by_client ON authorization_codes (client_id, client_generation, family_id);
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);

-- sealed_successor stands only while the successor may be handed out again.
CREATE TABLE refresh_tokens (
    digest             BLOB PRIMARY KEY,
    family_id          TEXT NOT NULL,
    grant_id           TEXT NOT NULL,
    client_id          TEXT NOT NULL,
    user_id            TEXT NOT NULL,
    server_generation  INTEGER NOT NULL,
    client_generation  INTEGER NOT NULL,
    user_generation    INTEGER NOT NULL,
    scope              TEXT NOT NULL,
    predecessor_digest BLOB,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    superseded_at      INTEGER,
    sealed_successor   BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_client ON refresh_tokens (client_id, client_generation, family_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (superseded_at) WHERE sealed_successor IS NOT NULL;

-- Tokens of client_credentials name no family, grant or user.
CREATE TABLE access_tokens (
    digest            BLOB PRIMARY KEY,
    family_id         TEXT,
    grant_id          TEXT,
    client_id         TEXT NOT NULL,
    user_id           TEXT,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER,
    scope             TEXT NOT NULL,
    audience          TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_client ON access_tokens (client_id, client_generation, family_id);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- One row for each thing that lost its power, in the order in which it did. Rows of one act share a receipt.
CREATE TABLE ledger (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    receipt_id   TEXT NOT NULL,
    at           INTEGER NOT NULL,
    act          TEXT NOT NULL,
    actor_kind   TEXT NOT NULL,
    actor_id     TEXT,
    origin       TEXT NOT NULL CHECK (origin IN ('page', 'command', 'protocol')),
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('token', 'family', 'grant', 'client', 'user', 'server')),
    subject_id   TEXT NOT NULL,
    grant_id     TEXT,
    client_id    TEXT,
    user_id      TEXT,
    generation   INTEGER
) STRICT;
CREATE INDEX ledger_by_receipt ON ledger (receipt_id);
CREATE INDEX ledger_by_grant ON ledger (grant_id, sequence);
CREATE INDEX ledger_by_client ON ledger (client_id, sequence);
CREATE INDEX ledger_by_user ON ledger (user_id, sequence);
CREATE TRIGGER ledger_rows_never_change BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger rows never change'); END;
CREATE TRIGGER ledger_rows_never_leave BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger rows never leave'); END;

-- Progress of removing what a ledger row made dead.
CREATE TABLE purges (
    ledger_sequence     INTEGER PRIMARY KEY REFERENCES ledger (sequence),
    step                TEXT NOT NULL,
    access_tokens       INTEGER NOT NULL,
    refresh_tokens      INTEGER NOT NULL,
    authorization_codes INTEGER NOT NULL,
    families            INTEGER NOT NULL,
    sessions            INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    finished_at         INTEGER
) STRICT;
CREATE INDEX purges_unfinished ON purges (ledger_sequence) WHERE finished_at IS NULL;
