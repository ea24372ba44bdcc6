-- A token's place says its kind too, so that each kind of a family is a range of its own: the 42 bits of its family's birth, one
-- of the kind, 20 of the digest. Access tokens are counted and removed without a look at the refresh tokens beside them.
CREATE TABLE tokens_apart (
    place             INTEGER PRIMARY KEY,
    digest            BLOB NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
    family_id         TEXT,
    grant_id          TEXT,
    client_id         TEXT NOT NULL,
    user_id           TEXT,
    server_generation INTEGER NOT NULL,
    client_generation INTEGER NOT NULL,
    user_generation   INTEGER,
    grant_generation  INTEGER,
    scope             TEXT NOT NULL,
    audience          TEXT,
    kept_until        INTEGER,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    superseded_at     INTEGER
) STRICT;

-- Those with the same place stand side by side. Where three meet at two places, which hardly ever happens, one goes, rather one
-- that was superseded.
WITH placed AS (
    SELECT (place / 2097152 * 2 + (kind = 'refresh')) * 1048576 + min(
        (instr('123456789ABCDEF', substr(hex(digest), 13, 1)) * 1048576
        + instr('123456789ABCDEF', substr(hex(digest), 14, 1)) * 65536
        + instr('123456789ABCDEF', substr(hex(digest), 15, 1)) * 4096
        + instr('123456789ABCDEF', substr(hex(digest), 16, 1)) * 256
        + instr('123456789ABCDEF', substr(hex(digest), 17, 1)) * 16
        + instr('123456789ABCDEF', substr(hex(digest), 18, 1))) / 16, 1048568) AS first, *
    FROM tokens
), side_by_side AS (
    SELECT first + row_number() OVER (PARTITION BY first ORDER BY superseded_at IS NOT NULL, expires_at DESC) - 1 AS here, *
    FROM placed
)
INSERT INTO tokens_apart
SELECT here, digest, kind, family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation,
    grant_generation, scope, audience, kept_until, created_at, expires_at, superseded_at
FROM side_by_side WHERE true ORDER BY here, superseded_at IS NOT NULL
ON CONFLICT (place) DO NOTHING;

DROP TABLE tokens;
ALTER TABLE tokens_apart RENAME TO tokens;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
-- Tokens of client_credentials have no family.
CREATE INDEX tokens_of_clients ON tokens (client_id, client_generation) WHERE family_id IS NULL;
