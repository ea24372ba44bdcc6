//! The store by itself: group commit, the rule in SQL, purge, the schema.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod group_commit;
mod live;
mod purge;
mod recent_tokens;
mod refresh;
mod schema;
mod texts;
mod threads;
mod tokens;
mod world;
