//! The store by itself: group commit, the rule in SQL, purge, the schema.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod cached_tokens;
#[allow(dead_code, reason = "each suite that has it uses some of it")]
#[path = "../engine"]
mod engine {
    pub mod connection;
    pub mod database;
    #[path = "../postgres"]
    pub mod postgres {
        pub mod cluster;
    }
}
mod group_commit;
mod live;
mod purge;
mod refresh;
mod schema;
mod texts;
mod threads;
mod tokens;
mod world;
