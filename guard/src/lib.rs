//! Validates access tokens of a Rescind server at a resource server, and refuses revoked ones within milliseconds.
//!
//! A [`Guard`] checks JWT access tokens (RFC 9068) by itself, and follows the server's revocation feed, so that a token
//! stops working within milliseconds of its revocation. It asks the server about opaque tokens (RFC 7662), and caches
//! the answers until the feed says otherwise. While the guard is not sure that it knows the newest revocations, it
//! refuses everything ([`Refusal::Stale`]), or asks the server about each token if it is set so ([`WhenStale`]).
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use rescind_guard::{Claims, Guard, Settings};
//!
//! async fn photos(Extension(claims): Extension<Claims>) -> String {
//!     format!("The photos of {}", claims.sub)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // The id and the secret that `rescind resource-server add` printed.
//!     let (id, secret) = (std::env::var("GUARD_ID")?, std::env::var("GUARD_SECRET")?);
//!     let guard = Guard::start(Settings::new("https://id.example", id, secret, "https://photos.example"))?;
//!
//!     let app = Router::new()
//!         .route("/photos", get(photos))
//!         .layer(guard.layer().require_scope("photos.read"));
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app).await?;
//!     guard.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//! - A token is accepted only while every revocation older than `max_staleness` is in force here. That time is a part
//!   of the registration at the server. It is measured on a clock that nobody can set, and starts when the question was
//!   *sent*.
//! - [`Guard::verify`] does no I/O and holds no lock across the check.
//! - Once a receipt says that this guard confirmed a revocation, every thread uses it.
//! - [`Guard::watch`] says when a long answer has to be closed.
//!
//! # Where things are
//! `token` reads JWTs, and `keys` checks signatures. `dead` is the set of what is dead (the server uses the same code),
//! and `state` knows whether that is new enough. `feed` and `ack` are the two tasks that talk to the server through
//! `http_client`. [`wire`] has the types of the protocol.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

mod ack;
mod answer_cache;
mod claims;
mod clock;
#[doc(hidden)]
pub mod dead;
mod feed;
#[cfg(test)]
mod fuzz;
mod guard;
mod http_client;
mod introspect;
mod json;
mod keys;
mod last_used;
mod layer;
mod opaque;
mod refusal;
mod report;
mod settings;
mod shared;
mod sse;
mod state;
mod token;
pub mod wire;

pub use claims::{Claims, Stamp, UserStamp};
pub use clock::Clock;
pub use guard::{Ended, Guard};
pub use layer::{GuardLayer, Guarded};
pub use refusal::{Refusal, Revoked};
pub use report::{Counters, State};
pub use settings::{OpaqueTokens, Settings, SettingsError, Timing, WhenStale};
