//! What the store keeps in memory, and when that is wrong no longer: `docs/architecture.md` has the table.

pub(super) mod access_tokens;
pub(super) mod dead;
pub(super) mod effects;
pub mod kept;
