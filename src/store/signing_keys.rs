//! The `signing_keys` table, and the version of its keys.

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::model::id::KeyId;
use crate::model::key::{AcceptedKeys, PublicKey, Retirement, SigningKey};

use super::sql::{Connection, Row, params};
use super::{Result, Store, Tx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT kid, algorithm, public_key, published_at, active_from, retired_at, expires_at, ",
            "withdrawn_at, sealed_key FROM signing_keys ",
            $rest
        )
    };
}

/// Withdrawn keys stay as a record. The limit shows the newest.
const ALL: &str = select!("ORDER BY published_at DESC, kid DESC LIMIT 1000");
const ONE: &str = select!("WHERE kid = ?1");
/// One statement, so that the version belongs to these keys.
const ACCEPTED: &str = "SELECT s.keys_version, k.kid, k.algorithm, k.public_key FROM server AS s \
    LEFT JOIN signing_keys AS k ON k.withdrawn_at IS NULL WHERE s.id = 1 ORDER BY k.published_at, k.kid LIMIT 1000";
const USABLE: &str =
    select!("WHERE withdrawn_at IS NULL AND sealed_key IS NOT NULL ORDER BY active_from, kid LIMIT 1000");
const INSERT: &str = "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_key, published_at, active_from) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const RETIRE: &str = "UPDATE signing_keys SET retired_at = ?2, expires_at = ?3 \
    WHERE kid <> ?1 AND withdrawn_at IS NULL AND (retired_at IS NULL OR retired_at > ?2)";
const WITHDRAW: &str = "UPDATE signing_keys SET withdrawn_at = ?2, sealed_key = NULL \
    WHERE kid = ?1 AND withdrawn_at IS NULL";
const FORGET_PRIVATE: &str =
    "UPDATE signing_keys SET sealed_key = NULL WHERE retired_at <= ?1 AND sealed_key IS NOT NULL";
const DELETE_EXPIRED: &str = "DELETE FROM signing_keys WHERE expires_at <= ?1 AND withdrawn_at IS NULL";
const MOVE_VERSION: &str =
    "UPDATE server SET keys_version = keys_version + 1 WHERE id = 1 RETURNING keys_version";
pub(super) const VERSION: &str = "SELECT keys_version FROM server WHERE id = 1";

/// A row of the table. It has the sealed private part while the key may sign.
#[derive(Clone, Debug)]
pub struct KeyRow {
    pub key: SigningKey,
    pub sealed: Option<Vec<u8>>,
}

fn row(row: &Row<'_>) -> Result<KeyRow> {
    let (retired_at, expires_at): (Option<Timestamp>, Option<Timestamp>) = (row.get(5)?, row.get(6)?);
    Ok(KeyRow {
        key: SigningKey {
            public: PublicKey { id: row.get(0)?, algorithm: row.get(1)?, bytes: row.get(2)? },
            published_at: row.get(3)?,
            active_from: row.get(4)?,
            retirement: retired_at.zip(expires_at).map(|(at, expires_at)| Retirement { at, expires_at }),
            withdrawn_at: row.get(7)?,
        },
        sealed: row.get(8)?,
    })
}

/// The version of the keys, and one of them, if there is one.
type AcceptedRow = (i64, Option<PublicKey>);

fn accepted_row(row: &Row<'_>) -> Result<AcceptedRow> {
    let id: Option<KeyId> = row.get(1)?;
    let key = id.map(|id| Result::Ok(PublicKey { id, algorithm: row.get(2)?, bytes: row.get(3)? }));
    Ok((row.get(0)?, key.transpose()?))
}

fn accepted(rows: Vec<AcceptedRow>) -> AcceptedKeys {
    let version = rows.first().map_or(0, |(version, _)| *version);
    AcceptedKeys { version, keys: rows.into_iter().filter_map(|(_, key)| key).collect() }
}

/// For callers that read the keys and other things from one state of the database.
pub(super) fn read_accepted(connection: Connection<'_>) -> Result<AcceptedKeys> {
    connection.all(ACCEPTED, params![], accepted_row).map(accepted)
}

impl Store {
    /// All keys whose tokens are accepted, including those that will sign soon.
    pub async fn accepted_keys(&self) -> Result<AcceptedKeys> {
        self.all(ACCEPTED, params![], accepted_row).await.map(accepted)
    }

    /// All keys, newest first, withdrawn ones included.
    pub async fn signing_keys(&self) -> Result<Vec<KeyRow>> {
        self.all(ALL, params![], row).await
    }

    /// Keys that sign now or later, in the order in which they begin to.
    pub async fn usable_keys(&self) -> Result<Vec<KeyRow>> {
        self.all(USABLE, params![], row).await
    }

    /// The version of the accepted keys, for guards. It moves after each commit that changed them, before the caller is
    /// answered.
    pub fn keys_version(&self) -> watch::Receiver<i64> {
        self.published.keys_version.subscribe()
    }

    /// The same, as it is now.
    ///
    /// # Errors
    /// When the database has to be asked and does not answer.
    pub async fn keys_version_now(&self) -> Result<i64> {
        self.current().await?;
        Ok(*self.published.keys_version.borrow())
    }

    /// The same, read from the database.
    pub async fn read_keys_version(&self) -> Result<i64> {
        self.only(VERSION, params![], |row| row.get(0)).await
    }
}

impl Tx<'_> {
    /// Keys that sign now or later, in the order in which they begin to.
    pub fn usable_keys(&self) -> Result<Vec<KeyRow>> {
        self.all(USABLE, params![], row)
    }

    /// Publishes a key that signs from `active_from` on.
    pub fn insert_signing_key(
        &self,
        key: &PublicKey,
        sealed: &[u8],
        now: Timestamp,
        active_from: Timestamp,
    ) -> Result<()> {
        self.run(INSERT, params![key.id, key.algorithm, key.bytes, sealed, now, active_from])?;
        self.move_keys_version()
    }

    /// Retires all keys but `successor`: they stop signing at the retirement's time.
    pub fn retire_other_keys(&self, successor: &KeyId, retirement: Retirement) -> Result<()> {
        let Retirement { at, expires_at } = retirement;
        self.run(RETIRE, params![successor, at, expires_at])?;
        self.move_keys_version()
    }

    pub fn signing_key(&self, id: &KeyId) -> Result<Option<KeyRow>> {
        self.one(ONE, params![id], row)
    }

    /// Nothing that the key signed is accepted after this. `false` if it is withdrawn already.
    pub fn withdraw_signing_key(&self, id: &KeyId, now: Timestamp) -> Result<bool> {
        let withdrawn = self.run(WITHDRAW, params![id, now])? == 1;
        if withdrawn {
            self.move_keys_version()?;
        }
        Ok(withdrawn)
    }

    /// Deletes private parts that no longer sign, and keys whose last token has expired. Returns whether a key was
    /// deleted.
    pub fn sweep_signing_keys(&self, now: Timestamp) -> Result<bool> {
        self.run(FORGET_PRIVATE, params![now])?;
        let left = self.run(DELETE_EXPIRED, params![now])? > 0;
        if left {
            self.move_keys_version()?;
        }
        Ok(left)
    }

    fn move_keys_version(&self) -> Result<()> {
        let version = self.only(MOVE_VERSION, params![], |row| row.get(0))?;
        self.effects.borrow_mut().keys_version = Some(version);
        self.version_moves();
        Ok(())
    }
}
