//! The revocation contract: a model of sets beside the store, races, and who ends which credential.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod chance;
mod consent;
mod estate;
mod guarded;
mod history;
mod matrix;
mod model;
mod races;
mod world;
