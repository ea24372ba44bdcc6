//! The sample world of `rescind demo`: a photo-printing site and the API it reads, both strangers to the server.

pub mod connection;
pub mod journal;
pub mod remote;
pub mod sample_api;
pub mod sample_app;
pub mod settings;
pub mod visitors;
pub mod world;
