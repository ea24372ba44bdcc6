//! What the store keeps in memory. `docs/architecture.md` has a table of it, which says when each thing is forgotten.

pub(super) mod access_tokens;
pub(super) mod dead;
pub(super) mod effects;
pub mod versioned;
