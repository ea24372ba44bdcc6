-- The keys of tokens begin with their birth: rows that are written together stand together. Keys of the earlier form
-- could not be found any more, so what has them goes: apps ask for tokens anew.
DELETE FROM access_tokens;
DELETE FROM refresh_tokens;

-- What its grant's generation was; NULL without a grant.
ALTER TABLE access_tokens ADD COLUMN grant_generation INTEGER;

-- The sealed successor moves to the successor's own row, which is new anyway; `sealed` stands only while the
-- predecessor, which names it by `successor_digest`, may be handed this token again.
DROP INDEX refresh_tokens_sealed;
ALTER TABLE refresh_tokens DROP COLUMN predecessor_digest;
ALTER TABLE refresh_tokens DROP COLUMN sealed_successor;
ALTER TABLE refresh_tokens ADD COLUMN successor_digest BLOB;
ALTER TABLE refresh_tokens ADD COLUMN sealed BLOB;
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (created_at) WHERE sealed IS NOT NULL;

-- A user's history is about apps, devices and accounts; apps that revoke single tokens of theirs are in the app's.
DROP INDEX ledger_by_user;
CREATE INDEX ledger_by_user ON ledger (user_id, sequence) WHERE subject_kind <> 'token';
