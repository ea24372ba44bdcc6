-- Every act that gives power, or changes who has it, and ends no credential: sign-ins, consents, secrets, registrations,
-- settings. What ends credentials stands in the ledger, which is also the feed's outbox.
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
CREATE INDEX audit_by_user ON audit (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_client ON audit (client_id, sequence) WHERE object_kind = 'client';
CREATE INDEX audit_by_grant ON audit (grant_id, sequence) WHERE grant_id IS NOT NULL;
CREATE INDEX audit_by_object ON audit (object_id, sequence) WHERE object_kind IN ('key', 'resource_server');
CREATE TRIGGER audit_rows_never_change BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows never change'); END;
CREATE TRIGGER audit_rows_never_leave BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows never leave'); END;

-- What was written about an act of the ledger or the audit, and the address that it came from. It may be personal, so it
-- stands beside them and can be erased. `detail` says what an act changed: the new role, the edited fields.
CREATE TABLE receipt_notes_next (
    receipt_id TEXT PRIMARY KEY,
    reason     TEXT,
    detail     TEXT,
    address    TEXT,
    actor_id   TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO receipt_notes_next (receipt_id, reason) SELECT receipt_id, reason FROM receipt_notes;
DROP TABLE receipt_notes;
ALTER TABLE receipt_notes_next RENAME TO receipt_notes;
CREATE INDEX receipt_notes_by_actor ON receipt_notes (actor_id) WHERE address IS NOT NULL;
