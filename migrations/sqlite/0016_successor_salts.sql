-- Keys of successors are derived from these salts under the key file, so that no copy of the database gives a successor. Who
-- refreshed in the last seconds before this can't be given the same successor again: until the window is over the predecessor is
-- refused, and closes no family.
DROP TABLE successor_keys;
CREATE TABLE successor_keys (
    id      INTEGER PRIMARY KEY,
    salt    BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;
