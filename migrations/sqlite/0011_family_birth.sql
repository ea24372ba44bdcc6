-- The keys of tokens and codes begin with the birth of their family: its rows stand together, and are found through it
-- without an index. Keys of the earlier form would not be found so, and what is not found is not purged; so what has them
-- goes: apps ask for tokens anew.
DELETE FROM access_tokens;
DELETE FROM refresh_tokens;
DELETE FROM authorization_codes;
DROP INDEX access_tokens_by_client;
DROP INDEX refresh_tokens_by_client;
DROP INDEX authorization_codes_by_client;

-- Tokens of client_credentials have no family.
CREATE INDEX access_tokens_of_clients ON access_tokens (client_id, client_generation) WHERE family_id IS NULL;

-- A purge goes family by family.
UPDATE purges SET step = 'families' WHERE finished_at IS NULL AND step <> 'sessions';
