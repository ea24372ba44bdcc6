//! The store by itself: group commit, the rule in SQL, purge, the schema.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod cached_tokens;
mod group_commit;
mod live;
mod purge;
mod refresh;
mod schema;
mod texts;
mod threads;
mod tokens;
mod world;
