//! What a credential was minted under. It is live while nothing of that was revoked: `store::memory::dead` and, for codes,
//! `store::authorization_codes` check it.

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

/// Counters that only grow. Raising one revokes everything that was issued under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generations {
    pub server: i64,
    pub client: i64,
    /// `None` where no user is involved (client_credentials).
    pub user: Option<i64>,
}
