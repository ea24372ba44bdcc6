//! The one rule that decides whether a credential is live.

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId};

/// What a credential was minted under. It never changes; the world around it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub family: Option<FamilyId>,
    pub grant: Option<GrantId>,
    pub client: ClientId,
    pub user: Option<UserId>,
    pub generations: Generations,
}

/// Counters that only grow. Moving one makes all that was minted under it dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generations {
    pub server: i64,
    pub client: i64,
    /// `None` where no user is involved (client_credentials).
    pub user: Option<i64>,
}

/// Whether something that a stamp names may still be acted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// Closed, ended, suspended, disabled, deleted, or no longer there.
    Shut,
}

/// What is true now of the things that a stamp names; `None` where it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub family: Option<Standing>,
    pub grant: Option<Standing>,
    pub client: Standing,
    pub user: Option<Standing>,
    pub generations: Generations,
}

/// Whether a credential is live.
///
/// Its twin in SQL is `store::live`, for authorization codes; a test holds the two together. Opaque access tokens and
/// refresh tokens, whose rows go once they are dead, are held against `store::revoked` instead.
pub fn is_live(stamped: Generations, now: Now, expires_at: Timestamp, at: Timestamp) -> bool {
    at < expires_at
        && now.client == Standing::Open
        && [now.family, now.grant, now.user].into_iter().flatten().all(|standing| standing == Standing::Open)
        && stamped == now.generations
}
