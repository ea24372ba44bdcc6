//! The revocation feed's server side (`docs/feed.md`): snapshot, stream, acknowledgements.

pub mod ack;
pub mod snapshot;
pub mod stream;
