//! Who may act on a client.

use crate::model::id::{ClientId, UserId};
use crate::store::{self, Tx};

/// Who may act on a client.
#[derive(Clone, Debug)]
pub enum Authority {
    /// Only its own developer.
    Owner(UserId),
    /// An admin or operator, on any client.
    Provider,
}

impl Authority {
    /// `false` also if there is no such client. An admin's role is checked by [`store::Store::act`].
    pub(super) fn may_act(&self, tx: &Tx<'_>, client: &ClientId) -> store::Result<bool> {
        match self {
            Self::Owner(owner) => tx.client_is_of(client, owner),
            Self::Provider => tx.client_exists(client),
        }
    }
}
