-- The next purge is the one that has waited longest: found without sorting all that wait.
CREATE INDEX purges_in_turn ON purges (updated_at, ledger_sequence) WHERE finished_at IS NULL;
DROP INDEX purges_unfinished;
-- Most secrets never expire; the sweep reads those alone that will.
CREATE INDEX client_secrets_by_expiry ON client_secrets (expires_at) WHERE expires_at IS NOT NULL;
