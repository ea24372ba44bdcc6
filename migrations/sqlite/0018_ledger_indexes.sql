-- Nobody looks for acts by who did them; and of a client's acts only those are looked for that concern it as a whole, which stood
-- among all of its users'.
DROP INDEX ledger_by_actor;
DROP INDEX ledger_by_client;
CREATE INDEX ledger_by_client ON ledger (client_id, sequence) WHERE subject_kind = 'client';
