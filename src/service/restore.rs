//! Turns a backup into the server's database, so that nothing that was taken away comes back with it.

use crate::clock::Timestamp;
use crate::model::act::Act;
use crate::model::by::By;
use crate::model::client::ClientStatus;
use crate::model::id::{ClientId, GrantId, ReceiptId, UserId};
use crate::model::user::{Role, UserStatus, Username};
use crate::service::keys::{self, Keys};
use crate::service::ledger_file::{Exported, Unfit};
use crate::service::revoke;
use crate::store::purges::DeletedRows;
use crate::store::revocations::Target;
use crate::store::sqlite::copies::ExportedRow;
use crate::store::{self, Store, Tx};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Keys(#[from] keys::Error),
    #[error("--ledger: {0}")]
    Ledger(#[from] Unfit),
    /// To skip this row could bring something back.
    #[error("the ledger's row {sequence} can't be read: {what}")]
    Row { sequence: i64, what: String },
}

/// What is known of the time after the backup.
pub enum Since {
    /// An exported ledger: the acts after the backup are done again.
    Ledger(Exported),
    /// Nothing is known: all apps are suspended with this reason, until an admin reinstates them.
    Unknown { reason: String },
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    pub receipt: ReceiptId,
    /// The number of ledger rows that were done again.
    pub replayed: usize,
    pub suspended: usize,
    /// Accounts that were taken over after the backup: their earlier passwords no longer work.
    pub locked: Vec<Username>,
    pub voided: DeletedRows,
}

/// Ends all that must not come back, in a copy that nobody serves yet: every credential, every signing key, and what
/// was taken away after the backup.
///
/// # Errors
/// When the ledger does not continue the backup, a row of it can't be read, or the store or the key file fails. Then
/// the copy must not be used.
pub async fn restore(store: &Store, keys: &Keys, since: Since, now: Timestamp) -> Result<Restored, Error> {
    if let Since::Ledger(ledger) = &since {
        ledger.continues(store).await?;
    }
    keys.replace_all(store, now).await?;
    let by = By::operator(now);
    while store.is_shared() && store.write(|tx| tx.void_some()).await?.rows() > 0 {
        // Where servers wait for each other, one statement for all of it would take too long.
    }
    store
        .write(move |tx| {
            let (mut replayed, mut suspended, mut locked) = (0, 0, Vec::new());
            match &since {
                Since::Ledger(ledger) => {
                    for row in &ledger.rows {
                        if !tx.ledger_has(row)? {
                            locked.extend(replay(tx, row)?);
                            replayed += 1;
                        }
                    }
                }
                Since::Unknown { reason } => {
                    for client in tx.active_clients()? {
                        revoke::suspend_in(tx, &client, &by.clone().because(reason.clone()))?;
                        suspended += 1;
                    }
                }
            }
            let (receipt, voided) = revoke::everything_in(tx, &by)?;
            Ok(Restored { receipt, replayed, suspended, locked, voided })
        })
        .await
}

fn ban_client(tx: &Tx<'_>, id: &ClientId, at: Timestamp, reason: String) -> store::Result<Option<i64>> {
    if let Some(banned) = tx.client(id)? {
        tx.ban_domains_of(&banned, at)?;
    }
    tx.delete_client_secrets(id)?;
    tx.end_silently(Target::Client(id, &ClientStatus::Banned { at, reason }), at)
}

/// Removes the password of an account that was taken over. The new password is not in the ledger, and others may know
/// the earlier one.
fn lock_account(tx: &Tx<'_>, id: &UserId) -> store::Result<Option<Username>> {
    let Some(account) = tx.user(id)? else { return Ok(None) };
    tx.set_password(&account.username, "")?;
    Ok(Some(account.username))
}

/// Does again what a row of the ledger says. Returns the user whose password was removed, if any.
///
/// What the backup does not have was created after it, and is lost. Then only the row is added.
fn replay(tx: &Tx<'_>, row: &ExportedRow) -> Result<Option<Username>, Error> {
    let wrong = |what: &str| Error::Row { sequence: row.sequence, what: what.to_owned() };
    let act = Act::parse(&row.act).ok_or_else(|| wrong("the act is unknown to this version"))?;
    let client = || ClientId::parse(&row.subject_id).ok_or_else(|| wrong("the client's id"));
    let user = || UserId::parse(&row.subject_id).ok_or_else(|| wrong("the user's id"));
    let reason = || row.reason.clone().unwrap_or_default();
    let at = Timestamp::from_millis(row.at);
    let shut = |client: &ClientId, status: &ClientStatus| tx.end_silently(Target::Client(client, status), at);
    let mut locked = None;
    let generation = match act {
        // Every token, code and device is dead under the new generation of a restored server.
        Act::AccessTokenRevoked
        | Act::RefreshTokenRevoked
        | Act::RefreshTokenReused
        | Act::CodeReplayed
        | Act::DeviceSignedOut
        | Act::CanaryRevoked
        | Act::DatabaseRestored => None,
        Act::AppRevoked => {
            let grant = GrantId::parse(&row.subject_id).ok_or_else(|| wrong("the grant's id"))?;
            tx.end_silently(Target::Grant(&grant), at)?
        }
        Act::UserTokensRevoked => tx.end_silently(Target::TokensOfClient(&client()?, None), at)?,
        Act::ClientSuspended => shut(&client()?, &ClientStatus::Suspended { at, reason: reason() })?,
        Act::ClientBanned => ban_client(tx, &client()?, at, reason())?,
        Act::ClientDeleted => {
            let id = client()?;
            tx.delete_client_secrets(&id)?;
            shut(&id, &ClientStatus::Deleted { at })?
        }
        Act::ClientReinstated => match row.actor_id.as_deref().and_then(UserId::parse) {
            Some(admin) => tx.reinstate_client(&client()?, &admin, at)?,
            None => None,
        },
        Act::UserRevoked => tx.end_silently(Target::TokensOfUser(&user()?, None), at)?,
        Act::AccountTakenOver => {
            let id = user()?;
            locked = lock_account(tx, &id)?;
            tx.end_silently(Target::TokensOfUser(&id, None), at)?
        }
        Act::UserDisabled => tx.end_silently(Target::User(&user()?, &UserStatus::Disabled { at }), at)?,
        Act::UserEnabled => tx.enable_user(&user()?, at)?,
        Act::UserDeleted => {
            let id = user()?;
            let generation = tx.end_silently(Target::User(&id, &UserStatus::Deleted { at }), at)?;
            tx.erase_user(&id)?;
            generation
        }
        Act::RoleChanged => {
            let role = row.detail.clone().unwrap_or_else(reason);
            let role = Role::parse(&role).ok_or_else(|| wrong("the role"))?;
            tx.set_role(&user()?, role)?
        }
    };
    tx.insert_exported(row, generation.or(row.generation))?;
    Ok(locked)
}
