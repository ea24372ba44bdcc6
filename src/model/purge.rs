//! Purges: the removal of rows that a revocation made dead.

use crate::clock::Timestamp;
use crate::model::names::names;

names! {
    /// What a purge removes, in this order.
    PurgeStep {
        /// Families, each after all that is found through it.
        Families = "families",
        /// Tokens that a client got for itself.
        ClientTokens = "client_tokens",
        Sessions = "sessions",
        Done = "done",
    }
}

/// How far the purge of a ledger row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// The act left nothing to remove.
    Nothing,
    Running {
        step: PurgeStep,
    },
    Finished {
        at: Timestamp,
    },
}

impl Purge {
    pub const fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Finished { at } => Some(*at),
            Self::Nothing | Self::Running { .. } => None,
        }
    }
}
