-- The whole schema on PostgreSQL 15. It equals what the SQLite migrations up to this number arrive at: the same tables, columns,
-- indexes and triggers (docs/schema.sql), and besides them what several servers on one database need.
-- Times are milliseconds since 1970, digests SHA-256, scopes and audiences words with a space between. Texts are compared byte by
-- byte, as in SQLite. An index says its last column where SQLite adds the key by itself.

-- Where `part` begins in `whole`, from 1 on, or 0: SQLite's function of this name.
CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CAST(strpos(whole, part) AS BIGINT);

-- Refuses what a trigger is called for, with the trigger's words.
CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;

-- People

-- Accounts. `generation` moves when everything of a person is revoked; `password_version` with the password.
CREATE TABLE users (
    id               TEXT COLLATE "C" PRIMARY KEY,
    username         TEXT COLLATE "C" NOT NULL UNIQUE,
    email            TEXT COLLATE "C",
    role             TEXT COLLATE "C" NOT NULL CHECK (role IN ('user', 'developer', 'admin')),
    status           TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'disabled', 'deleted')),
    status_at        BIGINT NOT NULL,
    generation       BIGINT NOT NULL,
    password_hash    TEXT COLLATE "C" NOT NULL,
    password_version BIGINT NOT NULL,
    created_at       BIGINT NOT NULL
);
CREATE INDEX users_by_role ON users (role, status);

-- Browsers that are signed in. `digest` is that of the cookie.
CREATE TABLE sessions (
    digest            BYTEA PRIMARY KEY,
    id                TEXT COLLATE "C" NOT NULL UNIQUE,
    user_id           TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    server_generation BIGINT NOT NULL,
    user_generation   BIGINT NOT NULL,
    password_version  BIGINT NOT NULL,
    device            TEXT COLLATE "C" NOT NULL,
    data              TEXT COLLATE "C" NOT NULL,
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Names as search compares them.
CREATE TABLE user_texts (
    user_id TEXT COLLATE "C" PRIMARY KEY REFERENCES users (id),
    folded  TEXT COLLATE "C" NOT NULL
);

-- Apps

-- Registered apps. `version` counts changes of the registration, `generation` revocations of all tokens.
CREATE TABLE clients (
    id            TEXT COLLATE "C" PRIMARY KEY,
    owner_id      TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    name          TEXT COLLATE "C" NOT NULL,
    publisher     TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL CHECK (kind IN ('confidential', 'public')),
    status        TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'suspended', 'banned', 'deleted')),
    status_at     BIGINT NOT NULL,
    status_reason TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    token_format  TEXT COLLATE "C" NOT NULL CHECK (token_format IN ('opaque', 'jwt')),
    grant_types   TEXT COLLATE "C" NOT NULL,
    scope         TEXT COLLATE "C",
    redirect_uris TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    version       BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX clients_by_owner ON clients (owner_id);
CREATE INDEX clients_by_status ON clients (status, created_at);

-- Two are valid while a rotation overlaps.
CREATE TABLE client_secrets (
    id         TEXT COLLATE "C" PRIMARY KEY,
    client_id  TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    digest     BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX client_secrets_by_client ON client_secrets (client_id);
CREATE INDEX client_secrets_by_expiry ON client_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- What a registration said before a change.
CREATE TABLE client_changes (
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    at        BIGINT NOT NULL,
    field     TEXT COLLATE "C" NOT NULL CHECK (field IN ('name', 'publisher', 'redirect_uris')),
    earlier   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (client_id, at, field)
);

-- Names as search and the look-alike check compare them.
CREATE TABLE client_texts (
    client_id        TEXT COLLATE "C" PRIMARY KEY REFERENCES clients (id),
    folded_name      TEXT COLLATE "C" NOT NULL,
    folded_publisher TEXT COLLATE "C" NOT NULL,
    skeleton         TEXT COLLATE "C" NOT NULL,
    folded_skeleton  TEXT COLLATE "C" NOT NULL,
    -- Separated by spaces, with one at both ends.
    domains          TEXT COLLATE "C" NOT NULL
);
CREATE INDEX client_texts_by_folded_skeleton ON client_texts (folded_skeleton);
CREATE INDEX client_texts_by_skeleton ON client_texts (skeleton);

-- When an app got JWTs, which an API may still accept.
CREATE TABLE jwt_spells (
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    began_at  BIGINT NOT NULL,
    left_at   BIGINT,
    PRIMARY KEY (client_id, began_at)
);
CREATE INDEX jwt_spells_by_end ON jwt_spells (left_at, began_at);

-- Hosts of banned apps.
CREATE TABLE banned_domains (
    domain    TEXT COLLATE "C" PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    at        BIGINT NOT NULL
);

-- Apps that a person does not let ask again.
CREATE TABLE blocks (
    user_id   TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    at        BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

-- Authorizations and credentials

-- A person's standing authorization of one app. At most one is open for each pair.
CREATE TABLE grants (
    id                  TEXT COLLATE "C" PRIMARY KEY,
    user_id             TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    client_id           TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    scope               TEXT COLLATE "C" NOT NULL,
    status              TEXT COLLATE "C" NOT NULL CHECK (status IN ('open', 'ended')),
    ended_at            BIGINT,
    generation          BIGINT NOT NULL,
    server_generation   BIGINT NOT NULL,
    client_generation   BIGINT NOT NULL,
    user_generation     BIGINT NOT NULL,
    first_authorized_at BIGINT NOT NULL,
    authorized_at       BIGINT NOT NULL,
    last_used_at        BIGINT,
    audiences           TEXT COLLATE "C"
);
CREATE INDEX grants_by_client ON grants (client_id, status);
CREATE INDEX grants_by_user ON grants (user_id, client_id);
CREATE UNIQUE INDEX one_open_grant ON grants (user_id, client_id) WHERE status = 'open';

-- What one authorization gave: one sign-in of the app.
CREATE TABLE families (
    id                TEXT COLLATE "C" PRIMARY KEY,
    grant_id          TEXT COLLATE "C" NOT NULL,
    client_id         TEXT COLLATE "C" NOT NULL,
    user_id           TEXT COLLATE "C" NOT NULL,
    server_generation BIGINT NOT NULL,
    client_generation BIGINT NOT NULL,
    user_generation   BIGINT NOT NULL,
    status            TEXT COLLATE "C" NOT NULL CHECK (status IN ('open', 'closed')),
    device            TEXT COLLATE "C" NOT NULL,
    created_at        BIGINT NOT NULL,
    last_used_at      BIGINT,
    expires_at        BIGINT NOT NULL
);
CREATE INDEX families_by_client ON families (client_id, client_generation);
CREATE INDEX families_by_expiry ON families (expires_at);
CREATE INDEX families_by_grant ON families (grant_id);
CREATE INDEX families_by_user ON families (user_id);

-- Codes; a used one stays until it expires, to prove a replay.
CREATE TABLE authorization_codes (
    digest            BYTEA PRIMARY KEY,
    family_id         TEXT COLLATE "C" NOT NULL,
    grant_id          TEXT COLLATE "C" NOT NULL,
    client_id         TEXT COLLATE "C" NOT NULL,
    user_id           TEXT COLLATE "C" NOT NULL,
    server_generation BIGINT NOT NULL,
    client_generation BIGINT NOT NULL,
    user_generation   BIGINT NOT NULL,
    scope             TEXT COLLATE "C" NOT NULL,
    redirect_uri      TEXT COLLATE "C",
    code_challenge    TEXT COLLATE "C",
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    used_at           BIGINT
);
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);

-- Access and refresh tokens, by place: the time of the family's birth, the kind, some of the digest. Ids stand
-- without the letters of their kind.
CREATE TABLE tokens (
    place             BIGINT PRIMARY KEY,
    digest            BYTEA NOT NULL,
    family_id         TEXT COLLATE "C",
    grant_id          TEXT COLLATE "C",
    client_id         TEXT COLLATE "C" NOT NULL,
    user_id           TEXT COLLATE "C",
    server_generation BIGINT NOT NULL,
    client_generation BIGINT NOT NULL,
    user_generation   BIGINT,
    grant_generation  BIGINT,
    scope             TEXT COLLATE "C",
    audience          TEXT COLLATE "C",
    kept_until        BIGINT,
    created_at        BIGINT,
    expires_at        BIGINT NOT NULL,
    superseded_at     BIGINT
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE INDEX tokens_of_clients ON tokens (client_id, client_generation) WHERE family_id IS NULL;

-- JWTs that were revoked one by one, until no guard accepts them.
CREATE TABLE revoked_tokens (
    id         TEXT COLLATE "C" PRIMARY KEY,
    client_id  TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_client ON revoked_tokens (client_id, expires_at);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

-- Salts for successors of refresh tokens.
CREATE TABLE successor_keys (
    id      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    salt    BYTEA NOT NULL,
    made_at BIGINT NOT NULL
);

-- Resource servers

-- APIs. A deleted one keeps its row, so that its audience is never given out again.
CREATE TABLE resource_servers (
    id            TEXT COLLATE "C" PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    audience      TEXT COLLATE "C" NOT NULL UNIQUE,
    secret_digest BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    max_staleness BIGINT NOT NULL DEFAULT 10 CHECK (max_staleness BETWEEN 1 AND 300),
    guard         TEXT COLLATE "C" NOT NULL DEFAULT 'expected' CHECK (guard IN ('expected', 'none')),
    guard_seen_at BIGINT,
    deleted_at    BIGINT,
    version       BIGINT NOT NULL DEFAULT 1
);

-- Secrets that still work while a rotation overlaps.
CREATE TABLE earlier_resource_server_secrets (
    digest             BYTEA PRIMARY KEY,
    resource_server_id TEXT COLLATE "C" NOT NULL REFERENCES resource_servers (id),
    expires_at         BIGINT NOT NULL
);
CREATE INDEX earlier_resource_server_secrets_by_server ON earlier_resource_server_secrets (resource_server_id);

-- What an app may ask for at an API.
CREATE TABLE scopes (
    name               TEXT COLLATE "C" PRIMARY KEY,
    resource_server_id TEXT COLLATE "C" NOT NULL REFERENCES resource_servers (id),
    description        TEXT COLLATE "C" NOT NULL,
    deleted_at         BIGINT,
    described_at       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX scopes_by_resource_server ON scopes (resource_server_id);

-- Guards that run, and what they have confirmed.
CREATE TABLE guard_instances (
    resource_server_id TEXT COLLATE "C" NOT NULL REFERENCES resource_servers (id),
    instance           TEXT COLLATE "C" NOT NULL,
    through            BIGINT NOT NULL,
    leased_until       BIGINT NOT NULL,
    PRIMARY KEY (resource_server_id, instance)
);
CREATE INDEX guard_instances_by_lease ON guard_instances (leased_until);

-- What was taken away

-- Every revocation, in the order of commits; also the outbox of the feed. Rows never change.
-- `head` numbers them.
CREATE TABLE ledger (
    sequence     BIGINT PRIMARY KEY,
    receipt_id   TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    act          TEXT COLLATE "C" NOT NULL,
    actor_kind   TEXT COLLATE "C" NOT NULL,
    actor_id     TEXT COLLATE "C",
    origin       TEXT COLLATE "C" NOT NULL CHECK (origin IN ('page', 'command', 'protocol')),
    subject_kind TEXT COLLATE "C" NOT NULL CHECK (subject_kind IN ('token', 'family', 'grant', 'client', 'user', 'server')),
    subject_id   TEXT COLLATE "C" NOT NULL,
    grant_id     TEXT COLLATE "C",
    client_id    TEXT COLLATE "C",
    user_id      TEXT COLLATE "C",
    generation   BIGINT,
    audiences    TEXT COLLATE "C"
);
CREATE INDEX ledger_by_audiences ON ledger (audiences, sequence);
CREATE INDEX ledger_for_everyone ON ledger (sequence) WHERE audiences IS NULL;
CREATE INDEX ledger_by_client ON ledger (client_id, sequence) WHERE subject_kind = 'client';
CREATE INDEX ledger_by_grant ON ledger (grant_id, sequence);
CREATE INDEX ledger_by_receipt ON ledger (receipt_id);
CREATE INDEX ledger_by_time ON ledger (at);
CREATE INDEX ledger_by_user ON ledger (user_id, sequence) WHERE subject_kind <> 'token';
CREATE TRIGGER ledger_rows_never_change BEFORE UPDATE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse('ledger rows never change');
CREATE TRIGGER ledger_rows_never_leave BEFORE DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse('ledger rows never leave');

-- What a ledger row still has to delete, and what it has deleted. A dead row may still appear until the transactions are
-- over that began before the revocation was committed: they are all below `waits_for`, which the purge's first slice sets.
CREATE TABLE purges (
    ledger_sequence     BIGINT PRIMARY KEY REFERENCES ledger (sequence),
    step                TEXT COLLATE "C" NOT NULL,
    access_tokens       BIGINT NOT NULL,
    refresh_tokens      BIGINT NOT NULL,
    authorization_codes BIGINT NOT NULL,
    families            BIGINT NOT NULL,
    sessions            BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    finished_at         BIGINT,
    waits_for           xid8
);
CREATE INDEX purges_in_turn ON purges (updated_at, ledger_sequence) WHERE finished_at IS NULL;

-- Every act that gives power, or changes who has it. Rows never change.
CREATE TABLE audit (
    sequence    BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    receipt_id  TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    act         TEXT COLLATE "C" NOT NULL,
    actor_kind  TEXT COLLATE "C" NOT NULL,
    actor_id    TEXT COLLATE "C",
    origin      TEXT COLLATE "C" NOT NULL CHECK (origin IN ('page', 'command', 'protocol', 'schedule')),
    object_kind TEXT COLLATE "C" NOT NULL CHECK (object_kind IN ('user', 'session', 'client', 'grant', 'key', 'resource_server')),
    object_id   TEXT COLLATE "C" NOT NULL,
    grant_id    TEXT COLLATE "C",
    client_id   TEXT COLLATE "C",
    user_id     TEXT COLLATE "C"
);
CREATE INDEX audit_by_client ON audit (client_id, sequence) WHERE object_kind = 'client';
CREATE INDEX audit_by_grant ON audit (grant_id, sequence) WHERE grant_id IS NOT NULL;
CREATE INDEX audit_by_object ON audit (object_id, sequence) WHERE object_kind IN ('key', 'resource_server');
CREATE INDEX audit_by_user ON audit (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE TRIGGER audit_rows_never_change BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse('audit rows never change');
CREATE TRIGGER audit_rows_never_leave BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse('audit rows never leave');

-- Reasons, details and addresses, apart from ledger and audit so that they can be erased.
CREATE TABLE receipt_notes (
    receipt_id TEXT COLLATE "C" PRIMARY KEY,
    reason     TEXT COLLATE "C",
    detail     TEXT COLLATE "C",
    address    TEXT COLLATE "C",
    actor_id   TEXT COLLATE "C"
);
CREATE INDEX receipt_notes_by_actor ON receipt_notes (actor_id) WHERE address IS NOT NULL;

-- Which resource servers had confirmed a revocation when that was settled.
CREATE TABLE confirmations (
    ledger_sequence    BIGINT NOT NULL REFERENCES ledger (sequence),
    resource_server_id TEXT COLLATE "C" NOT NULL REFERENCES resource_servers (id),
    guard              TEXT COLLATE "C" NOT NULL CHECK (guard IN ('running', 'none')),
    instances          BIGINT NOT NULL,
    confirmed          BIGINT NOT NULL,
    last_ms            BIGINT,
    open_until         BIGINT,
    PRIMARY KEY (ledger_sequence, resource_server_id)
);

-- The server

-- One row: the generation of everything, the version of the keys, the history that the feed tells.
CREATE TABLE server (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    generation   BIGINT NOT NULL,
    keys_version BIGINT NOT NULL DEFAULT 0,
    incarnation  BIGINT NOT NULL DEFAULT 0,
    is_copy      BIGINT NOT NULL DEFAULT 0
);
INSERT INTO server (id, generation, incarnation) VALUES (1, 1, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT));

-- One row: the sequence of the newest ledger row, the version of clients, resource servers, scopes and keys, and PostgreSQL's
-- timeline. Whoever writes to the ledger moves it last and holds it until the commit, so that sequences are in the order of
-- commits. The free space keeps all its versions in one page.
CREATE TABLE head (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    config   BIGINT NOT NULL,
    timeline BIGINT NOT NULL,
    -- Whose database it is; NULL before the first server.
    issuer   TEXT COLLATE "C"
) WITH (fillfactor = 10);
INSERT INTO head (id, sequence, config, timeline) VALUES (1, 0, 1, 0);

-- Private keys are sealed with the key file.
CREATE TABLE signing_keys (
    kid          TEXT COLLATE "C" PRIMARY KEY,
    algorithm    TEXT COLLATE "C" NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key   BYTEA NOT NULL,
    sealed_key   BYTEA,
    published_at BIGINT NOT NULL,
    active_from  BIGINT NOT NULL,
    retired_at   BIGINT,
    expires_at   BIGINT,
    withdrawn_at BIGINT
);

-- One row: how the last drill went.
CREATE TABLE drill (
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    at        BIGINT,
    outcome   TEXT COLLATE "C" CHECK (outcome IN ('passed', 'failed')),
    rounds    BIGINT,
    p50_us    BIGINT,
    p99_us    BIGINT,
    max_us    BIGINT
);
