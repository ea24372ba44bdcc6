//! Signing keys: created, published before they sign, rotated, withdrawn.
//!
//! One key signs at a time: the newest whose `active_from` has come. Everything else follows from the times in its row.
//! So a rotation is one transaction, and nothing has to be done when the new key begins to sign.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::clock::{Clock, Timestamp};
use crate::jwt::key::{PrivateKey, SealedKey};
use crate::jwt::key_file::{self, KeyFile};
use crate::jwt::statement;
use crate::jwt::token::Reader;
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::id::KeyId;
use crate::model::key::{Algorithm, Retirement, SigningKey, Use};
use crate::model::resource_server::AudienceSet;
use crate::model::scope::Scope;
use crate::model::secret::SuccessorSecret;
use crate::service::audit;
use crate::store::access_tokens::AccessTokenFacts;
use crate::store::acts::Locks;
use crate::store::held::Held;
use crate::store::memory::versioned::Versioned;
use crate::store::signing_keys::KeyRow;
use crate::store::{self, Store, Tx};

/// How long a key is published before it signs. Guards learn of it within a second, caches of the JWKS within a minute.
const LEAD: Duration = Duration::from_secs(60);
/// How long a retired key is accepted: the longest life of a JWT, and slack for clocks.
const ACCEPTED_AFTER: Duration = Duration::from_secs(3600 + 300);
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What an operator decides about keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySettings {
    pub algorithm: Algorithm,
    pub rotation: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    KeyFile(#[from] key_file::Error),
    #[error("there is no such key")]
    NotFound,
    #[error("there is no key that signs")]
    NoKey,
}

pub type Result<T> = std::result::Result<T, Error>;

/// Keys that sign now or later.
#[derive(Default)]
pub struct Signing(Vec<(SigningKey, Arc<PrivateKey>)>);

impl std::fmt::Debug for Signing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Signing(..)")
    }
}

impl Signing {
    /// The key that signs at `now`.
    ///
    /// # Errors
    /// `NoKey` if there is no key that may sign.
    pub fn at(&self, now: Timestamp) -> Result<&PrivateKey> {
        let newest = self.0.iter().rev().find(|(key, _)| key.state(now) == Use::Signing);
        // If the clock was set back, the next key signs early. Otherwise none would sign.
        let next = || self.0.iter().find(|(key, _)| key.state(now) == Use::Published);
        newest.or_else(next).map(|(_, key)| &**key).ok_or(Error::NoKey)
    }
}

/// The keys of this server. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    file: Arc<std::path::Path>,
    settings: KeySettings,
    keys_version: Arc<Versioned<u64>>,
    signing: Arc<Versioned<Signing>>,
    reader: Arc<Versioned<Reader>>,
    successors: Arc<OnceLock<SuccessorSecret>>,
}

impl Keys {
    pub fn new(file: PathBuf, settings: KeySettings) -> Self {
        Self {
            file: file.into(),
            settings,
            keys_version: Arc::default(),
            signing: Arc::default(),
            reader: Arc::default(),
            successors: Arc::default(),
        }
    }

    /// For an empty database, creates the key file and the first key, which signs at once because nobody holds a token
    /// yet. Otherwise checks that all keys can be opened.
    ///
    /// # Errors
    /// When the key file is missing or is another one.
    pub async fn prepare(&self, store: &Store, now: Timestamp) -> Result<()> {
        if store.usable_keys().await?.is_empty() {
            self.rotate(store, By::schedule(now)).await?;
        }
        self.successors()?;
        self.signing(store).await.map(drop)
    }

    /// The keys that may sign. The private parts stay open in memory until the keys change.
    ///
    /// # Errors
    /// When a key can't be read or opened.
    pub async fn signing(&self, store: &Store) -> Result<Arc<Signing>> {
        self.signing_of(store, &store.current_held().await?).await
    }

    /// # Errors
    /// As [`Keys::signing`].
    pub async fn signing_of(&self, store: &Store, held: &Held<'_>) -> Result<Arc<Signing>> {
        let make = async || {
            let rows = store.usable_keys().await?;
            if rows.is_empty() {
                return Ok(Signing(Vec::new()));
            }
            let file = KeyFile::open(&self.file)?;
            let open = |row: KeyRow| -> Result<_> {
                let sealed =
                    SealedKey { public: row.key.public.clone(), sealed: row.sealed.unwrap_or_default() };
                Ok((row.key, Arc::new(sealed.unseal(&file)?)))
            };
            Ok(Signing(rows.into_iter().map(open).collect::<Result<_>>()?))
        };
        self.signing.get(self.keys_version_of(store, held).await?, make).await
    }

    /// The secret that successors of refresh tokens are derived with. The key file is read once; another file is used
    /// only after a restart.
    ///
    /// # Errors
    /// When the key file is missing or can't be used.
    pub fn successors(&self) -> Result<SuccessorSecret> {
        if let Some(known) = self.successors.get() {
            return Ok(known.clone());
        }
        let read = KeyFile::open(&self.file)?.successors;
        Ok(self.successors.get_or_init(|| read).clone())
    }

    /// A reader of tokens that accepted keys have signed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reader(&self, store: &Store) -> store::Result<Arc<Reader>> {
        self.reader_of(store, &store.current_held().await?).await
    }

    /// # Errors
    /// As [`Keys::reader`].
    pub async fn reader_of(&self, store: &Store, held: &Held<'_>) -> store::Result<Arc<Reader>> {
        let make = async || {
            let signing = self.signing_of(store, held).await.unwrap_or_else(|error| {
                // Signatures can be checked without private parts, only more slowly.
                tracing::warn!(error = %error, "keys.private_parts_missing");
                Arc::default()
            });
            let own: Vec<_> = signing.0.iter().map(|(_, key)| key.clone()).collect();
            Ok(Reader::new(&store.accepted_keys().await?.keys, &own))
        };
        self.reader.get(self.keys_version_of(store, held).await?, make).await
    }

    /// The version of the keys. Keys are opened again only when it has moved, and not whenever the store's version has:
    /// an edited app must not make the server read its key file and check all signatures again.
    async fn keys_version_of(&self, store: &Store, held: &Held<'_>) -> store::Result<u64> {
        let read = async || Ok::<_, store::Error>(store.read_keys_version().await?.cast_unsigned());
        self.keys_version.get(held.version(), read).await.map(|keys_version| *keys_version)
    }

    /// Signs a statement of this server with the key that signs now.
    ///
    /// # Errors
    /// `NoKey`, or when a key can't be read or opened.
    pub async fn sign_statement(
        &self,
        store: &Store,
        typ: &str,
        payload: &Value,
        now: Timestamp,
    ) -> Result<String> {
        statement::sign(typ, payload, self.signing(store).await?.at(now)?).ok_or(Error::NoKey)
    }

    /// A JWT that was signed here for `issuer` and has not expired. It may have been revoked, or memory may be behind: that
    /// is asked last, of [`Store::is_dead_here`] and `held`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn jwt(
        &self,
        store: &Store,
        held: &Held<'_>,
        text: &str,
        issuer: &str,
        now: Timestamp,
    ) -> store::Result<Option<AccessTokenFacts>> {
        // A server with a new issuer does not answer for tokens of its old one. Guards refuse these tokens too.
        let reader = self.reader_of(store, held).await?;
        let claims = reader.read(text).filter(|claims| claims.iss == issuer);
        let facts = claims.and_then(|claims| {
            Some(AccessTokenFacts {
                stamp: claims.stamp()?,
                scope: Scope::stored(&claims.scope),
                grant_generation: claims.grant_generation,
                created_at: claims.issued_at(),
                expires_at: claims.expires_at(),
                id: claims.jti,
                audiences: AudienceSet::stored(claims.aud),
            })
        });
        Ok(facts.filter(|facts| now < facts.expires_at))
    }

    /// Publishes a new key, which signs a minute later. The current key is accepted until all that it signed has
    /// expired. If a published key does not sign yet, returns that one and publishes none.
    ///
    /// # Errors
    /// When the key file is missing or is another one.
    pub async fn rotate(&self, store: &Store, by: By) -> Result<KeyId> {
        let file = if self.signing(store).await?.0.is_empty() {
            KeyFile::open_or_make(&self.file)?
        } else {
            KeyFile::open(&self.file)?
        };
        let key = SealedKey::generate(self.settings.algorithm, &file, by.at)?;
        let (id, made) = store.act_with(by, Locks::Server, move |tx, by| rotate_in(tx, &key, by)).await?;
        if made {
            tracing::info!(key.id = %id, "key.published");
        }
        Ok(id)
    }

    /// Withdraws a key that somebody else may have: nothing that it signed is accepted any more. If the key signs now
    /// or was to sign, a new one is published in the same transaction and signs at once.
    ///
    /// `false` if it was withdrawn already.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn withdraw(&self, store: &Store, id: KeyId, by: By) -> Result<bool> {
        // Keys can be withdrawn even if the key file is lost: the next key is sealed under a new file.
        let file = KeyFile::open_or_make(&self.file)?;
        let successor = SealedKey::generate(self.settings.algorithm, &file, by.at)?;
        let withdrawn = id.clone();
        let withdraw = move |tx: &Tx<'_>, by: &By| withdraw_in(tx, &withdrawn, &successor, by);
        let is_new = store.act_with(by, Locks::Server, withdraw).await?;
        if is_new {
            tracing::warn!(key.id = %id, "key.withdrawn");
        }
        Ok(is_new)
    }

    /// Withdraws all keys and publishes a new one, which signs at once. So nothing that a copy of this database has
    /// signed, or could sign, is accepted any more.
    ///
    /// # Errors
    /// When the store fails, or the key file.
    pub async fn replace_all(&self, store: &Store, now: Timestamp) -> Result<()> {
        let file = KeyFile::open_or_make(&self.file)?;
        let successor = SealedKey::generate(self.settings.algorithm, &file, now)?;
        let rows = store.signing_keys().await?;
        store
            .write(move |tx| {
                for row in &rows {
                    tx.withdraw_signing_key(&row.key.public.id, now)?;
                }
                Ok(succeed(tx, &successor, now, now)?)
            })
            .await
    }

    /// Does what is due: rotates, and deletes what is no longer needed.
    ///
    /// # Errors
    /// When the store fails, or the key file can't be used.
    pub async fn keep(&self, store: &Store, now: Timestamp) -> Result<()> {
        let rows = store.signing_keys().await?;
        if rows.iter().any(|row| is_outdated(row, now)) {
            store.write(move |tx| tx.sweep_signing_keys(now)).await?;
        }
        let lasting = rows.iter().filter(|row| row.sealed.is_some() && row.key.retirement.is_none());
        let newest = lasting.max_by_key(|row| row.key.active_from);
        let is_due = newest.is_none_or(|row| {
            row.key.public.algorithm != self.settings.algorithm
                || now.since(row.key.active_from) + LEAD >= self.settings.rotation
        });
        if is_due {
            self.rotate(store, By::schedule(now)).await?;
        }
        Ok(())
    }

    /// Calls [`Self::keep`] every ten seconds as long as the server runs.
    pub async fn run(self, store: Store, clock: Clock) {
        loop {
            if let Err(error) = self.keep(&store, clock.now()).await {
                tracing::warn!(error = %error, "keys.failed");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn is_outdated(row: &KeyRow, now: Timestamp) -> bool {
    row.key.retirement.is_some_and(|retirement| {
        row.sealed.is_some() && retirement.at <= now
            || row.key.withdrawn_at.is_none() && retirement.expires_at <= now
    })
}

fn rotate_in(tx: &Tx<'_>, key: &SealedKey, by: &By) -> Result<(KeyId, bool)> {
    let now = by.at;
    let usable = tx.usable_keys()?;
    if let Some(waiting) = usable.iter().find(|row| row.key.state(now) == Use::Published) {
        return Ok((waiting.key.public.id.clone(), false));
    }
    let active_from = if usable.is_empty() { now } else { now.plus(LEAD) };
    succeed(tx, key, now, active_from)?;
    audit::record(tx, Event::KeyPublished, Object::Key(key.public.id.clone()), None, by)?;
    Ok((key.public.id.clone(), true))
}

/// From `active_from` on, only `key` signs.
fn succeed(tx: &Tx<'_>, key: &SealedKey, now: Timestamp, active_from: Timestamp) -> store::Result<()> {
    tx.insert_signing_key(&key.public, &key.sealed, now, active_from)?;
    let retirement = Retirement { at: active_from, expires_at: active_from.plus(ACCEPTED_AFTER) };
    tx.retire_other_keys(&key.public.id, retirement)
}

fn withdraw_in(tx: &Tx<'_>, id: &KeyId, successor: &SealedKey, by: &By) -> Result<bool> {
    let now = by.at;
    let state = tx.signing_key(id)?.ok_or(Error::NotFound)?.key.state(now);
    if !tx.withdraw_signing_key(id, now)? {
        return Ok(false);
    }
    audit::record(tx, Event::KeyWithdrawn, Object::Key(id.clone()), None, by)?;
    if matches!(state, Use::Published | Use::Signing) {
        succeed(tx, successor, now, now)?;
        audit::record(tx, Event::KeyPublished, Object::Key(successor.public.id.clone()), None, by)?;
    }
    Ok(true)
}
