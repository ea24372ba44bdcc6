//! Refresh tokens, in the `tokens` table.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use crate::clock::Timestamp;
use crate::model::id::{ClientId, FamilyId};
use crate::model::secret::{Digest, RefreshToken, SuccessorSecret};

use super::authorization_codes::Exchanged;
use super::tokens::{Kind, is_token, place};
use super::{Result, Tx};

const INSERT: &str = "INSERT INTO tokens (place, digest, kind, family_id, grant_id, client_id, user_id, server_generation, \
    client_generation, user_generation, grant_generation, scope, kept_until, created_at, expires_at) \
    VALUES (?1, ?2, 'refresh', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (place) DO NOTHING";
const SHOWN: &str = concat!(
    "SELECT family_id, grant_id, client_id, user_id, server_generation, client_generation, user_generation, scope, ",
    "grant_generation, kept_until, expires_at, superseded_at, place FROM tokens WHERE ",
    is_token!()
);
const SUPERSEDE: &str = "UPDATE tokens SET superseded_at = ?2 WHERE place = ?1 AND superseded_at IS NULL";
const IS_CURRENT: &str = concat!("SELECT superseded_at IS NULL FROM tokens WHERE ", is_token!());
const OWNER: &str = concat!("SELECT client_id, family_id FROM tokens WHERE ", is_token!());

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SHOWN, SUPERSEDE, IS_CURRENT, OWNER];

/// A refresh token that its own client shows.
struct Shown {
    exchanged: Exchanged,
    superseded_at: Option<Timestamp>,
    place: i64,
    is_live: bool,
}

/// What it means that a client shows its superseded token again.
pub enum Repetition {
    /// An answer was lost, or two requests ran side by side: the client gets this successor again.
    Repeatable(Exchanged, RefreshToken),
    /// The window is over, or somebody has refreshed with the successor.
    Reuse(FamilyId),
    /// Within the window, no key is left that gives a successor which is there. It proves nothing.
    Unknown,
}

impl Tx<'_> {
    pub fn insert_refresh_token(
        &self,
        token: &Digest,
        of: &Exchanged,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        let Exchanged { stamp, scope, grant_generation, kept_until } = of;
        let mut insert = self.connection.prepare_cached(INSERT)?;
        self.insert_in_place(token, Kind::Refresh, |place| {
            insert.execute(params![
                place,
                token,
                stamp.family,
                stamp.grant,
                stamp.client,
                stamp.user,
                stamp.generations.server,
                stamp.generations.client,
                stamp.generations.user,
                grant_generation,
                scope,
                kept_until,
                now,
                expires_at,
            ])
        })?;
        Ok(())
    }

    fn shown_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Shown>> {
        let shown = self.connection.prepare_cached(SHOWN)?.query_row(
            params![place(token, Kind::Refresh), token],
            |row| {
                let exchanged = Exchanged::from_row(row)?;
                let is_live = now < row.get(10)? && !self.is_revoked(&exchanged.stamp);
                Ok(Shown { exchanged, superseded_at: row.get(11)?, place: row.get(12)?, is_live })
            },
        );
        Ok(shown.optional()?.filter(|shown| shown.exchanged.stamp.client == *client))
    }

    /// Rotates a refresh token away. `None` unless it is its client's, live, and not yet superseded.
    pub fn supersede_refresh_token(
        &self,
        token: &Digest,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Exchanged>> {
        let Some(shown) = self.shown_refresh_token(token, client, now)?.filter(|shown| shown.is_live) else {
            return Ok(None);
        };
        let rows = self.connection.prepare_cached(SUPERSEDE)?.execute(params![shown.place, now])?;
        Ok((rows == 1).then_some(shown.exchanged))
    }

    /// What a superseded token means that is shown again, by `client` and within `grace` or later. `None` unless it is
    /// superseded and its client's.
    pub fn repeated_refresh_token(
        &self,
        token: &RefreshToken,
        client: &ClientId,
        secret: &SuccessorSecret,
        grace: Duration,
        now: Timestamp,
    ) -> Result<Option<Repetition>> {
        let Some(Shown { exchanged, superseded_at: Some(at), is_live, .. }) =
            self.shown_refresh_token(&token.digest(), client, now)?
        else {
            return Ok(None);
        };
        if !is_live || grace.is_zero() || at <= now.minus(grace) {
            return Ok(exchanged.stamp.family.map(Repetition::Reuse));
        }
        for successor in self.possible_successors(token, secret)? {
            let mut is_current = self.connection.prepare_cached(IS_CURRENT)?;
            let digest = successor.digest();
            match is_current
                .query_row(params![place(&digest, Kind::Refresh), digest], |row| row.get(0))
                .optional()?
            {
                Some(true) => return Ok(Some(Repetition::Repeatable(exchanged, successor))),
                // From then on the predecessor is proof of reuse.
                Some(false) => return Ok(exchanged.stamp.family.map(Repetition::Reuse)),
                None => {}
            }
        }
        Ok(Some(Repetition::Unknown))
    }

    pub fn refresh_token_owner(&self, token: &Digest) -> Result<Option<(ClientId, FamilyId)>> {
        Ok(self
            .connection
            .prepare_cached(OWNER)?
            .query_row(params![place(token, Kind::Refresh), token], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }
}
