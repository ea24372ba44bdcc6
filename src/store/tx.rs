//! A write transaction, on either database.

use std::cell::RefCell;
use std::ops::Deref;

use super::memory::dead::DeadSet;
use super::memory::effects::{Effects, Published};
use super::sql::Connection;
use super::successor_keys::SuccessorKey;

/// One write transaction. The tables' writes are its methods.
///
/// The work of a request may run twice. All that the first run did has been undone then.
pub struct Tx<'c> {
    connection: Connection<'c>,
    /// As of the last commit.
    pub(super) dead: &'c DeadSet,
    /// What is published if this is committed.
    pub(super) effects: RefCell<Effects>,
    /// All ledger rows up to this one were committed before the transaction began.
    pub(super) began_after: i64,
    /// One that was committed before.
    pub(super) known_successor_key: Option<SuccessorKey>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: Connection<'c>, published: &'c Published, began_after: i64) -> Self {
        Self {
            connection,
            dead: &published.dead,
            effects: RefCell::default(),
            began_after,
            known_successor_key: published.successor_key(),
        }
    }

    pub(super) const fn connection(&self) -> Connection<'c> {
        self.connection
    }

    pub(super) fn into_effects(self) -> Effects {
        self.effects.into_inner()
    }

    /// Must be called when a client, a resource server, a scope or a signing key changes: caches of these are read
    /// again after the commit.
    pub(super) fn version_moves(&self) {
        self.effects.borrow_mut().moves_version = true;
    }
}

/// A transaction is a connection that also keeps what is to be published.
impl<'c> Deref for Tx<'c> {
    type Target = Connection<'c>;

    fn deref(&self) -> &Connection<'c> {
        &self.connection
    }
}
