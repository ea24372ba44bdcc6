-- Keys that sign JWT access tokens. The private part is sealed under the key file, with the kid as associated data, and
-- goes once the key signs no more. Published, then signing from active_from on, then retired; a withdrawn key is refused
-- everywhere and stays as a record.
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

-- Grows with every change of the accepted keys.
ALTER TABLE server ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;

-- JWT access tokens that were revoked one by one; a row stays until its token has expired anyway.
CREATE TABLE revoked_tokens (
    id         TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_by_client ON revoked_tokens (client_id, expires_at);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
