-- What names and domains are compared by. The program makes these rows, since it has the tables of Unicode: with each
-- app and person that it writes, and when it starts for those that have none yet.
CREATE TABLE client_texts (
    client_id        TEXT PRIMARY KEY REFERENCES clients (id),
    folded_name      TEXT NOT NULL,
    folded_publisher TEXT NOT NULL,
    skeleton         TEXT NOT NULL,
    folded_skeleton  TEXT NOT NULL,
    -- Separated by spaces, with one at both ends.
    domains          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_texts_by_skeleton ON client_texts (skeleton);
CREATE INDEX client_texts_by_folded_skeleton ON client_texts (folded_skeleton);

-- The address of a person is in it, so it is deleted with the account.
CREATE TABLE user_texts (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    folded  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The dot of the root says nothing: these are the same hosts without it.
UPDATE OR IGNORE banned_domains SET domain = rtrim(domain, '.') WHERE domain LIKE '%.';
DELETE FROM banned_domains WHERE domain LIKE '%.';
