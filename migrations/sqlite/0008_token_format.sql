-- When a client last stopped getting JWTs: those that it holds work on until they expire.
ALTER TABLE clients ADD COLUMN left_jwt_at INTEGER;
CREATE INDEX clients_by_token_format ON clients (token_format, left_jwt_at);
