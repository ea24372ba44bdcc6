-- Successors of refresh tokens are derived from keys that leave once nothing can be repeated with them, so that no row holds a
-- seal. Who refreshed in the last seconds before this can't be given the same successor again: until the window is over the
-- predecessor is refused, and closes no family.
CREATE TABLE successor_keys (
    id      INTEGER PRIMARY KEY,
    key     BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;

-- A row says all that a refresh has to know: its grant's generation, and until when its family is kept at the least.
CREATE TABLE refresh_tokens_now (
    digest            BLOB PRIMARY KEY,
    family_id         TEXT NOT NULL,
    grant_id          TEXT NOT NULL,
    client_id         TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER NOT NULL,
    grant_generation  INTEGER NOT NULL,
    scope             TEXT NOT NULL,
    kept_until        INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    superseded_at     INTEGER
) STRICT, WITHOUT ROWID;
-- Without its family or grant a token is dead.
INSERT INTO refresh_tokens_now
SELECT t.digest, t.family_id, t.grant_id, t.client_id, t.user_id, t.server_generation, t.client_generation, t.user_generation,
    g.generation, t.scope, f.expires_at, t.created_at, t.expires_at, t.superseded_at
FROM refresh_tokens AS t JOIN families AS f ON f.id = t.family_id JOIN grants AS g ON g.id = t.grant_id
ORDER BY t.digest;
DROP TABLE refresh_tokens;
ALTER TABLE refresh_tokens_now RENAME TO refresh_tokens;
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
