-- The app that `rescind drill` revokes, and how the last drill went: microseconds from a revocation's answer to the refusal
-- of its token; none of a drill that failed.
CREATE TABLE drill (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    client_id TEXT NOT NULL REFERENCES clients (id),
    at        INTEGER,
    outcome   TEXT CHECK (outcome IN ('passed', 'failed')),
    rounds    INTEGER,
    p50_us    INTEGER,
    p99_us    INTEGER,
    max_us    INTEGER
) STRICT;
