//! What people do on pages, and operators with commands.

use crate::model::by::By;
use crate::model::id::UserId;

use super::{Error, Lookup, Result, Store, Tx};

/// The accounts that an act locks before it is checked, in the order of their ids. On a page, the actor's is always one
/// of them: another server that takes the actor's right away waits for the act, or the act for it, and is refused.
#[derive(Clone, Debug)]
pub enum Locks {
    /// Only the actor's.
    Actor,
    /// The actor's, after the row `server`.
    Server,
    /// The actor's, and that of somebody whom the act concerns.
    User(UserId),
    /// These two, and those of all admins.
    AdminsAnd(UserId),
}

impl Store {
    /// Runs `work` as an act of `by`, and checks in the same transaction that the person may still do it.
    ///
    /// A person's session and role are looked up when the head of a request arrives; its body may follow much later. So
    /// they are checked again here, for every act on a page.
    ///
    /// # Errors
    /// [`Error::Denied`] when the session has ended or the role is too low; else as [`Store::write`].
    pub async fn act<T, E>(
        &self,
        by: By,
        work: impl Fn(&Tx<'_>, &By) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.act_with(by, Locks::Actor, work).await
    }

    /// The same for an act that needs more `locks`. It may not lock `server` or accounts later.
    ///
    /// # Errors
    /// As [`Store::act`].
    pub async fn act_with<T, E>(
        &self,
        by: By,
        locks: Locks,
        work: impl Fn(&Tx<'_>, &By) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.act_after(None, by, locks, work).await
    }

    /// The same for work that begins with a look-up, as [`Store::write_after`].
    ///
    /// # Errors
    /// As [`Store::act`].
    pub async fn act_after<T, E>(
        &self,
        first_lookup: Option<Lookup>,
        by: By,
        locks: Locks,
        work: impl Fn(&Tx<'_>, &By) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_after(first_lookup, move |tx| {
            lock(tx, &locks, &by)?;
            tx.check(&by)?;
            work(tx, &by)
        })
        .await
    }
}

fn lock(tx: &Tx<'_>, locks: &Locks, by: &By) -> Result<()> {
    let actor = by.page_session.as_ref().map(|session| &session.user);
    if matches!(locks, Locks::Server) {
        tx.lock_server()?;
    }
    match locks {
        Locks::Actor | Locks::Server => actor.map_or(Ok(()), |actor| tx.lock_user(actor)),
        Locks::User(user) => tx.lock_users(user, actor.unwrap_or(user)),
        Locks::AdminsAnd(user) => tx.lock_admins_and(user, actor.unwrap_or(user)),
    }
}
