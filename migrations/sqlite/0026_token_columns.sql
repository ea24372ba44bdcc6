-- Columns of tokens are named like those of other tables. `user` and `grant` are words of SQL: elsewhere than in SQLite an unquoted
-- `user` is not a column but who is connected.
ALTER TABLE tokens RENAME COLUMN family TO family_id;
ALTER TABLE tokens RENAME COLUMN "grant" TO grant_id;
ALTER TABLE tokens RENAME COLUMN client TO client_id;
ALTER TABLE tokens RENAME COLUMN user TO user_id;
