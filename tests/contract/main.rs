//! The revocation contract: a model of sets beside the store, races, and who ends which credential.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod chance;
mod consent;
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
mod estate;
mod guarded;
mod history;
mod matrix;
mod model;
mod races;
mod world;
