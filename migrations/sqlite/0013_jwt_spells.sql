-- When each client got JWTs, so that a receipt says the same whenever it is read. Those of a drill's app work at no service, so
-- that it has no spells.
CREATE TABLE jwt_spells (
    client_id TEXT NOT NULL REFERENCES clients (id),
    began_at  INTEGER NOT NULL,
    left_at   INTEGER,
    PRIMARY KEY (client_id, began_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX jwt_spells_by_end ON jwt_spells (left_at, began_at);

INSERT INTO jwt_spells (client_id, began_at, left_at)
SELECT id, created_at, CASE
    WHEN token_format <> 'jwt' THEN left_jwt_at
    WHEN status IN ('banned', 'deleted') THEN status_at
END
FROM clients
WHERE (token_format = 'jwt' OR left_jwt_at IS NOT NULL)
    AND owner_id NOT IN (SELECT c.owner_id FROM drill AS d JOIN clients AS c ON c.id = d.client_id);

DROP INDEX clients_by_token_format;
ALTER TABLE clients DROP COLUMN left_jwt_at;
