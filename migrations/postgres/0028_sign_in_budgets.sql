-- Failed sign-ins of all servers together. SQLite has one server, which counts them in memory. Not logged: a count need not
-- survive what memory does not, and nobody waits for the disk or a standby because of one.
-- `whole_at` says when a budget is full again; for an address where somebody has signed in, until when that counts.
-- `key` is a digest of what is counted.
CREATE UNLOGGED TABLE sign_in_budgets (
    key      TEXT COLLATE "C" PRIMARY KEY,
    whole_at BIGINT NOT NULL
);
CREATE INDEX sign_in_budgets_by_time ON sign_in_budgets (whole_at);
