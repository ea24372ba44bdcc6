-- 1 in what `rescind backup` writes: nobody serves a copy before `rescind restore` has ended what it would bring back.
ALTER TABLE server ADD COLUMN is_copy INTEGER NOT NULL DEFAULT 0;
