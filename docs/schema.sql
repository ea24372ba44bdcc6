-- The schema that the migrations in migrations/sqlite/ arrive at; a test compares the two.
-- Times are milliseconds since 1970, digests SHA-256, scopes and audiences words with a space between.

-- People

-- Accounts. `generation` moves when everything of a person is revoked; `password_version` with the password.
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
CREATE INDEX users_by_role ON users (role, status);

-- Browsers that are signed in. `digest` is that of the cookie.
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
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Names as search compares them.
CREATE TABLE user_texts (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    folded  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Apps

-- Registered apps. `version` counts changes of the registration, `generation` revocations of all tokens.
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
    created_at    INTEGER NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX clients_by_owner ON clients (owner_id);
CREATE INDEX clients_by_status ON clients (status, created_at);

-- Two are valid while a rotation overlaps.
CREATE TABLE client_secrets (
    id         TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL REFERENCES clients (id),
    digest     BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX client_secrets_by_client ON client_secrets (client_id);
CREATE INDEX client_secrets_by_expiry ON client_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- What a registration said before a change.
CREATE TABLE client_changes (
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL,
    field     TEXT NOT NULL CHECK (field IN ('name', 'publisher', 'redirect_uris')),
    earlier   TEXT NOT NULL,
    PRIMARY KEY (client_id, at, field)
) STRICT, WITHOUT ROWID;

-- Names as search and the look-alike check compare them.
CREATE TABLE client_texts (
    client_id        TEXT PRIMARY KEY REFERENCES clients (id),
    folded_name      TEXT NOT NULL,
    folded_publisher TEXT NOT NULL,
    skeleton         TEXT NOT NULL,
    folded_skeleton  TEXT NOT NULL,
    -- Separated by spaces, with one at both ends.
    domains          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_texts_by_folded_skeleton ON client_texts (folded_skeleton);
CREATE INDEX client_texts_by_skeleton ON client_texts (skeleton);

-- When an app got JWTs, which an API may still accept.
CREATE TABLE jwt_spells (
    client_id TEXT NOT NULL REFERENCES clients (id),
    began_at  INTEGER NOT NULL,
    left_at   INTEGER,
    PRIMARY KEY (client_id, began_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX jwt_spells_by_end ON jwt_spells (left_at, began_at);

-- Hosts of banned apps.
CREATE TABLE banned_domains (
    domain    TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Apps that a person does not let ask again.
CREATE TABLE blocks (
    user_id   TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT, WITHOUT ROWID;

-- Authorizations and credentials

-- A person's standing authorization of one app. At most one is open for each pair.
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
    last_used_at        INTEGER,
    audiences           TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_client ON grants (client_id, status);
CREATE INDEX grants_by_user ON grants (user_id, client_id);
CREATE UNIQUE INDEX one_open_grant ON grants (user_id, client_id) WHERE status = 'open';

-- What one authorization gave: one sign-in of the app.
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
CREATE INDEX families_by_client ON families (client_id, client_generation);
CREATE INDEX families_by_expiry ON families (expires_at);
CREATE INDEX families_by_grant ON families (grant_id);
CREATE INDEX families_by_user ON families (user_id);

-- Codes; a used one stays until it expires, to prove a replay.
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
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);

-- Access and refresh tokens, by place: the time of the family's birth, the kind, some of the digest. Ids stand
-- without the letters of their kind.
CREATE TABLE tokens (
    place             INTEGER PRIMARY KEY,
    digest            BLOB NOT NULL,
    family_id         TEXT,
    grant_id          TEXT,
    client_id         TEXT NOT NULL,
    user_id           TEXT,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER,
    grant_generation  INTEGER,
    scope             TEXT,
    audience          TEXT,
    kept_until        INTEGER,
    created_at        INTEGER,
    expires_at        INTEGER NOT NULL,
    superseded_at     INTEGER
) STRICT;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE INDEX tokens_of_clients ON tokens (client_id, client_generation) WHERE family_id IS NULL;

-- JWTs that were revoked one by one, until no guard accepts them.
CREATE TABLE revoked_tokens (
    id         TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_by_client ON revoked_tokens (client_id, expires_at);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

-- Salts for successors of refresh tokens.
CREATE TABLE successor_keys (
    id      INTEGER PRIMARY KEY,
    salt    BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;

-- What was taken away

-- Every revocation, in the order of commits; also the outbox of the feed. Rows never change.
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
    generation   INTEGER,
    audiences    TEXT
) STRICT;
CREATE INDEX ledger_by_audiences ON ledger (audiences);
CREATE INDEX ledger_by_client ON ledger (client_id, sequence) WHERE subject_kind = 'client';
CREATE INDEX ledger_by_grant ON ledger (grant_id, sequence);
CREATE INDEX ledger_by_receipt ON ledger (receipt_id);
CREATE INDEX ledger_by_time ON ledger (at);
CREATE INDEX ledger_by_user ON ledger (user_id, sequence) WHERE subject_kind <> 'token';
CREATE TRIGGER ledger_rows_never_change BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger rows never change'); END;
CREATE TRIGGER ledger_rows_never_leave BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger rows never leave'); END;

-- What a ledger row still has to delete, and what it has deleted.
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
CREATE INDEX purges_in_turn ON purges (updated_at, ledger_sequence) WHERE finished_at IS NULL;

-- Every act that gives power, or changes who has it. Rows never change.
CREATE TABLE audit (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    receipt_id  TEXT NOT NULL,
    at          INTEGER NOT NULL,
    act         TEXT NOT NULL,
    actor_kind  TEXT NOT NULL,
    actor_id    TEXT,
    origin      TEXT NOT NULL CHECK (origin IN ('page', 'command', 'protocol', 'schedule')),
    object_kind TEXT NOT NULL CHECK (object_kind IN ('user', 'session', 'client', 'grant', 'key', 'resource_server')),
    object_id   TEXT NOT NULL,
    grant_id    TEXT,
    client_id   TEXT,
    user_id     TEXT
) STRICT;
CREATE INDEX audit_by_client ON audit (client_id, sequence) WHERE object_kind = 'client';
CREATE INDEX audit_by_grant ON audit (grant_id, sequence) WHERE grant_id IS NOT NULL;
CREATE INDEX audit_by_object ON audit (object_id, sequence) WHERE object_kind IN ('key', 'resource_server');
CREATE INDEX audit_by_user ON audit (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE TRIGGER audit_rows_never_change BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows never change'); END;
CREATE TRIGGER audit_rows_never_leave BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows never leave'); END;

-- Reasons, details and addresses, apart from ledger and audit so that they can be erased.
CREATE TABLE receipt_notes (
    receipt_id TEXT PRIMARY KEY,
    reason     TEXT,
    detail     TEXT,
    address    TEXT,
    actor_id   TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_notes_by_actor ON receipt_notes (actor_id) WHERE address IS NOT NULL;

-- Which resource servers had confirmed a revocation when that was settled.
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

-- Resource servers

-- APIs. A deleted one keeps its row, so that its audience is never given out again.
CREATE TABLE resource_servers (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    audience      TEXT NOT NULL UNIQUE,
    secret_digest BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    max_staleness INTEGER NOT NULL DEFAULT 10 CHECK (max_staleness BETWEEN 1 AND 300),
    guard         TEXT NOT NULL DEFAULT 'expected' CHECK (guard IN ('expected', 'none')),
    guard_seen_at INTEGER,
    deleted_at    INTEGER,
    version       INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;

-- Secrets that still work while a rotation overlaps.
CREATE TABLE earlier_resource_server_secrets (
    digest             BLOB PRIMARY KEY,
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    expires_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX earlier_resource_server_secrets_by_server ON earlier_resource_server_secrets (resource_server_id);

-- What an app may ask for at an API.
CREATE TABLE scopes (
    name               TEXT PRIMARY KEY,
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    description        TEXT NOT NULL,
    deleted_at         INTEGER,
    described_at       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX scopes_by_resource_server ON scopes (resource_server_id);

-- Guards that run, and what they have confirmed.
CREATE TABLE guard_instances (
    resource_server_id TEXT NOT NULL REFERENCES resource_servers (id),
    instance           TEXT NOT NULL,
    through            INTEGER NOT NULL,
    leased_until       INTEGER NOT NULL,
    since INTEGER NOT NULL DEFAULT 0,
    keys_version INTEGER NOT NULL DEFAULT 0,
    acknowledged_at INTEGER NOT NULL DEFAULT 0,
    confirmed_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (resource_server_id, instance)
) STRICT, WITHOUT ROWID;
CREATE INDEX guard_instances_by_lease ON guard_instances (leased_until);

-- The server

-- One row: the generation of everything, the version of the keys, the history that the feed tells.
CREATE TABLE server (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    keys_version INTEGER NOT NULL DEFAULT 0,
    incarnation INTEGER NOT NULL DEFAULT 0,
    is_copy    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Private keys are sealed with the key file.
CREATE TABLE signing_keys (
    kid          TEXT PRIMARY KEY,
    algorithm    TEXT NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key   BLOB NOT NULL,
    sealed_key   BLOB,
    published_at INTEGER NOT NULL,
    active_from  INTEGER NOT NULL,
    retired_at   INTEGER,
    expires_at   INTEGER,
    withdrawn_at INTEGER
) STRICT, WITHOUT ROWID;

-- One row: how the last drill went.
CREATE TABLE drill (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER,
    outcome   TEXT CHECK (outcome IN ('passed', 'failed')),
    rounds    INTEGER,
    p50_us    INTEGER,
    p99_us    INTEGER,
    max_us    INTEGER
) STRICT;
