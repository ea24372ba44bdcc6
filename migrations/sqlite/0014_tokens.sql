-- Successors of refresh tokens are derived from keys that leave once nothing can be repeated with them, so that no row holds a
-- seal. Who refreshed in the last seconds before this can't be given the same successor again: until the window is over the
-- predecessor is refused, and closes no family.
CREATE TABLE successor_keys (
    id      INTEGER PRIMARY KEY,
    key     BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;

-- Access tokens and refresh tokens in one table, by the birth of their family: the 42 bits of its milliseconds, then 21 of the
-- digest. What a refresh reads and writes stands in one page. A row says all that a refresh has to know: its grant's generation,
-- and until when its family is kept at the least.
CREATE TABLE tokens (
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

-- A token without its family or grant is dead. Of two that would take the same place, which hardly ever happens, one goes: its
-- app asks anew.
CREATE VIEW earlier_tokens AS
SELECT f.created_at AS born, t.digest, 'access' AS kind, t.family_id, t.grant_id, t.client_id, t.user_id, t.server_generation,
    t.client_generation, t.user_generation, t.grant_generation, t.scope, t.audience, NULL AS kept_until, t.created_at, t.expires_at,
    NULL AS superseded_at
FROM access_tokens AS t JOIN families AS f ON f.id = t.family_id
UNION ALL
SELECT t.created_at, t.digest, 'access', NULL, NULL, t.client_id, NULL, t.server_generation, t.client_generation, NULL, NULL,
    t.scope, t.audience, NULL, t.created_at, t.expires_at, NULL
FROM access_tokens AS t WHERE t.family_id IS NULL
UNION ALL
SELECT f.created_at, t.digest, 'refresh', t.family_id, t.grant_id, t.client_id, t.user_id, t.server_generation,
    t.client_generation, t.user_generation, g.generation, t.scope, NULL, f.expires_at, t.created_at, t.expires_at, t.superseded_at
FROM refresh_tokens AS t JOIN families AS f ON f.id = t.family_id JOIN grants AS g ON g.id = t.grant_id;

WITH places AS (
    SELECT (instr('123456789ABCDEF', substr(hex(digest), 13, 1)) * 1048576
        + instr('123456789ABCDEF', substr(hex(digest), 14, 1)) * 65536
        + instr('123456789ABCDEF', substr(hex(digest), 15, 1)) * 4096
        + instr('123456789ABCDEF', substr(hex(digest), 16, 1)) * 256
        + instr('123456789ABCDEF', substr(hex(digest), 17, 1)) * 16
        + instr('123456789ABCDEF', substr(hex(digest), 18, 1))) / 8 AS chance, *
    FROM earlier_tokens
)
INSERT OR IGNORE INTO tokens
SELECT born * 2097152 + min(chance, 2097144), digest, kind, family_id, grant_id, client_id, user_id, server_generation,
    client_generation, user_generation, grant_generation, scope, audience, kept_until, created_at, expires_at, superseded_at
FROM places ORDER BY 1;

DROP VIEW earlier_tokens;
DROP TABLE access_tokens;
DROP TABLE refresh_tokens;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
-- Tokens of client_credentials have no family.
CREATE INDEX tokens_of_clients ON tokens (client_id, client_generation) WHERE family_id IS NULL;
