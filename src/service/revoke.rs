//! The one door: everything that can take access away.
//!
//! Each act, in one transaction: move a generation or a status → ledger row → queue the purge.
//! It counts nothing and finds nothing, so its cost does not grow with what it ends. Repeating an
//! act is success without effect. The store announces the ledger row after the commit.

use crate::model::act::{Act, By, Entry, Subject};
use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId, UserId};
use crate::model::secret::{AccessToken, RefreshToken};
use crate::store::{self, Store, Tx};

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such thing")]
    NotFound,
}

pub type Result<T> = std::result::Result<T, Error>;

/// What an act ended; `None` where it had ended before.
pub type Receipt = Option<ReceiptId>;

fn record(tx: &Tx<'_>, by: &By, entry: &Entry) -> store::Result<()> {
    let sequence = tx.insert_ledger(entry, by)?;
    tx.insert_purge(sequence, by.at)
}

/// Closes a family: one device loses its access. For use inside the transaction that proved why.
///
/// # Errors
/// When the store fails.
pub fn close_family(tx: &Tx<'_>, family: &FamilyId, act: Act, by: &By) -> store::Result<Receipt> {
    let Some(closed) = tx.close_family(family)? else { return Ok(None) };
    let receipt = ReceiptId::generate(by.at);
    let entry = Entry {
        receipt: receipt.clone(),
        act,
        subject: Subject::Family(family.clone()),
        grant: Some(closed.grant),
        client: Some(closed.client),
        user: Some(closed.user),
    };
    record(tx, by, &entry)?;
    Ok(Some(receipt))
}

/// A user signs one device of an app out.
///
/// # Errors
/// `NotFound` unless the device is the user's, under that grant.
pub async fn device(
    store: &Store,
    owner: UserId,
    grant: GrantId,
    family: FamilyId,
    by: By,
) -> Result<Receipt> {
    store
        .write(move |tx| {
            if !tx.family_is_of(&family, &grant, &owner)? {
                return Err(Error::NotFound);
            }
            Ok(close_family(tx, &family, Act::DeviceSignedOut, &by)?)
        })
        .await
}

fn record_ended(tx: &Tx<'_>, ended: Vec<store::grants::EndedGrant>, by: &By) -> store::Result<Receipt> {
    if ended.is_empty() {
        return Ok(None);
    }
    let receipt = ReceiptId::generate(by.at);
    for grant in ended {
        let entry = Entry {
            receipt: receipt.clone(),
            act: Act::AppRevoked,
            subject: Subject::Grant(grant.id.clone()),
            grant: Some(grant.id),
            client: Some(grant.client),
            user: Some(grant.user),
        };
        record(tx, by, &entry)?;
    }
    Ok(Some(receipt))
}

/// A user revokes apps: the grants end, and with them every device.
///
/// # Errors
/// `NotFound` if one of them is not the user's; then none ends.
pub async fn grants(store: &Store, owner: UserId, grants: Vec<GrantId>, by: By) -> Result<Receipt> {
    store
        .write(move |tx| {
            let mut ended = Vec::with_capacity(grants.len());
            for grant in &grants {
                if !tx.grant_is_of(grant, &owner)? {
                    return Err(Error::NotFound);
                }
                ended.extend(tx.end_grant(grant, &owner, by.at)?);
            }
            Ok(record_ended(tx, ended, &by)?)
        })
        .await
}

/// A user revokes all apps that can reach the account now.
///
/// # Errors
/// When the store fails.
pub async fn all_grants(store: &Store, owner: UserId, by: By) -> Result<Receipt> {
    store
        .write(move |tx| {
            let ended = tx.end_all_grants(&owner, by.at)?;
            Ok(record_ended(tx, ended, &by)?)
        })
        .await
}

/// An operator ends a grant, whosever it is.
///
/// # Errors
/// `NotFound` for an unknown one.
pub async fn any_grant(store: &Store, grant: GrantId, by: By) -> Result<Receipt> {
    store
        .write(move |tx| {
            if !tx.grant_exists(&grant)? {
                return Err(Error::NotFound);
            }
            let ended = tx.end_any_grant(&grant, by.at)?;
            Ok(record_ended(tx, ended.into_iter().collect(), &by)?)
        })
        .await
}

/// All user tokens of a client die, and the tokens that it got for itself; the client goes on.
///
/// # Errors
/// `NotFound` for an unknown client.
pub async fn client_tokens(store: &Store, client: ClientId, by: By) -> Result<Receipt> {
    store
        .write(move |tx| {
            let generation = tx.move_client_generation(&client)?.ok_or(Error::NotFound)?;
            let receipt = ReceiptId::generate(by.at);
            let entry = Entry {
                receipt: receipt.clone(),
                act: Act::UserTokensRevoked,
                subject: Subject::Client { id: client.clone(), generation },
                grant: None,
                client: Some(client),
                user: None,
            };
            record(tx, &by, &entry)?;
            Ok(Some(receipt))
        })
        .await
}

/// All that was ever given for a user dies, sessions included; the account goes on.
///
/// # Errors
/// `NotFound` for an unknown user.
pub async fn user(store: &Store, user: UserId, by: By) -> Result<Receipt> {
    store
        .write(move |tx| {
            let generation = tx.move_user_generation(&user)?.ok_or(Error::NotFound)?;
            let receipt = ReceiptId::generate(by.at);
            let entry = Entry {
                receipt: receipt.clone(),
                act: Act::UserRevoked,
                subject: Subject::User { id: user.clone(), generation },
                grant: None,
                client: None,
                user: Some(user),
            };
            record(tx, &by, &entry)?;
            Ok(Some(receipt))
        })
        .await
}

/// A token as RFC 7009 requests carry one; its prefix tells its type, whatever the hint says.
pub enum Token {
    Access(AccessToken),
    Refresh(RefreshToken),
}

impl Token {
    pub fn parse(text: &str) -> Option<Self> {
        AccessToken::parse(text).map(Self::Access).or_else(|| RefreshToken::parse(text).map(Self::Refresh))
    }
}

/// What became of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    Revoked(ReceiptId),
    /// Unknown, expired or revoked before: nothing to do (RFC 7009 §2.2).
    Nothing,
    /// It is another client's, and lives on (RFC 7009 §2.1).
    NotYours,
}

/// A token is revoked, by its client or, where `client` is `None`, by whoever shows it.
///
/// An access token's row goes; with a refresh token its family closes, access tokens included
/// (RFC 7009 §2.1).
///
/// # Errors
/// When the store fails: the caller must then assume that the token still works.
pub async fn token(
    store: &Store,
    token: Token,
    client: Option<ClientId>,
    by: By,
) -> store::Result<TokenRevocation> {
    store
        .write(move |tx| match &token {
            Token::Access(token) => access_token(tx, token, client, &by),
            Token::Refresh(token) => {
                let Some((owner, family)) = tx.refresh_token_owner(&token.digest())? else {
                    return Ok(TokenRevocation::Nothing);
                };
                if client.is_some_and(|client| client != owner) {
                    return Ok(TokenRevocation::NotYours);
                }
                Ok(close_family(tx, &family, Act::RefreshTokenRevoked, &by)?
                    .map_or(TokenRevocation::Nothing, TokenRevocation::Revoked))
            }
        })
        .await
}

fn access_token(
    tx: &Tx<'_>,
    token: &AccessToken,
    client: Option<ClientId>,
    by: &By,
) -> store::Result<TokenRevocation> {
    let digest = token.digest();
    let Some(owner) = tx.access_token_owner(&digest)? else { return Ok(TokenRevocation::Nothing) };
    if client.is_some_and(|client| client != owner) {
        return Ok(TokenRevocation::NotYours);
    }
    let Some((grant, user)) = tx.delete_access_token(&digest, &owner)? else {
        return Ok(TokenRevocation::Nothing);
    };
    let receipt = ReceiptId::generate(by.at);
    let entry = Entry {
        receipt: receipt.clone(),
        act: Act::AccessTokenRevoked,
        subject: Subject::Token(digest.token_id()),
        grant,
        client: Some(owner),
        user,
    };
    let sequence = tx.insert_ledger(&entry, by)?;
    tx.insert_finished_purge(sequence, 1, by.at)?;
    Ok(TokenRevocation::Revoked(receipt))
}
