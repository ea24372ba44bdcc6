-- Counts the changes of a registration: what a consent page showed is granted only while this has not moved.
ALTER TABLE clients ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
