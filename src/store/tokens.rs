//! The `tokens` table: opaque access tokens and refresh tokens, in the order of their families' births.
//!
//! A token's place is an integer made of its family's birth, its kind and some of its digest. So the rows that a
//! device's refresh reads and writes are next to each other. And the table has few inner pages, because they hold only
//! places.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::resource_server::AudienceSet;
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::stamp::{Generations, Stamp};

use super::authorization_codes::Exchanged;
use super::sql::{FromColumn, Row, ToColumn, Value, params};
use super::{Error, Result, Tx};

/// Places for the tokens of one kind, of families born at one millisecond.
const PLACES: i64 = 1 << 20;
/// A token whose place is taken gets one of the next. It is looked for in this many places.
pub const NEIGHBOURS: i64 = 8;
/// From the year 2109 on, milliseconds and places together no longer fit into an i64.
const LAST_BIRTH: i64 = (1 << 42) - 2;

const INSERT: &str = "INSERT INTO tokens (place, digest, family_id, grant_id, client_id, user_id, server_generation, \
    client_generation, user_generation, grant_generation, scope, audience, kept_until, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT (place) DO NOTHING";
const IS_TAKEN: &str = "SELECT 1 FROM tokens WHERE place = ?1";

/// Access tokens have the lower half of a birth's places, refresh tokens the upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Access,
    Refresh,
}

/// The places for tokens of one kind, of families born at `born`.
pub(super) fn places(born: Timestamp, kind: Kind) -> Range<i64> {
    let first = (2 * born.millis().clamp(0, LAST_BIRTH) + kind as i64) * PLACES;
    first..first + PLACES
}

/// The first place that is tried for a token.
pub fn first_place(token: &Digest, kind: Kind) -> i64 {
    let bytes = token.as_bytes();
    let chance = i64::from(u32::from_be_bytes([0, bytes[6], bytes[7], bytes[8]]) >> 4);
    // The last places stay free for neighbours, so that no token is beyond the places of its birth.
    places(token.born(), kind).start + chance.min(PLACES - NEIGHBOURS)
}

/// 128 bits of the digest. The bits before them decide the place.
pub fn stored_digest(token: &Digest) -> &[u8] {
    &token.as_bytes()[8..24]
}

/// An id as a row has it: without the prefix of its kind.
pub(super) struct Unprefixed<T>(pub T);

impl<T: Id> ToColumn for Unprefixed<&T> {
    fn to_column(&self) -> Value<'_> {
        self.0.unprefixed().into()
    }
}

impl<T: Id> FromColumn for Unprefixed<T> {
    fn from_column(value: &Value<'_>) -> Option<Self> {
        T::from_unprefixed(value.text()?).map(Self)
    }
}

pub(super) fn optional_id<T: Id>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    Ok(row.get::<Option<Unprefixed<T>>>(column)?.map(|Unprefixed(id)| id))
}

/// From the first columns: family, grant, client, user, and the generations of server, client and user.
pub(super) fn stamp(row: &Row<'_>) -> Result<Stamp> {
    let Unprefixed(client) = row.get(2)?;
    Ok(Stamp {
        family: optional_id(row, 0)?,
        grant: optional_id(row, 1)?,
        client,
        user: optional_id(row, 3)?,
        generations: Generations { server: row.get(4)?, client: row.get(5)?, user: row.get(6)? },
    })
}

/// The columns in which an access token and a refresh token differ.
pub(super) struct TokenColumns<'a> {
    pub(super) scope: &'a Scope,
    pub(super) audiences: Option<&'a AudienceSet>,
    pub(super) kept_until: Option<Timestamp>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) expires_at: Timestamp,
}

impl Tx<'_> {
    /// Inserts a token of a family, with the stamp of what it was exchanged for.
    pub(super) fn insert_token(
        &self,
        token: &Digest,
        kind: Kind,
        of: &Exchanged,
        columns: &TokenColumns<'_>,
    ) -> Result<()> {
        let Exchanged { stamp, grant_generation, .. } = of;
        let TokenColumns { scope, audiences, kept_until, created_at, expires_at } = columns;
        let place = first_place(token, kind);
        self.insert_in_place(
            INSERT,
            params![
                place,
                stored_digest(token),
                stamp.family.as_ref().map(Unprefixed),
                stamp.grant.as_ref().map(Unprefixed),
                Unprefixed(&stamp.client),
                stamp.user.as_ref().map(Unprefixed),
                stamp.generations.server,
                stamp.generations.client,
                stamp.generations.user,
                grant_generation,
                scope,
                audiences,
                kept_until,
                created_at,
                expires_at,
            ],
        )?;
        Ok(())
    }

    /// Inserts a row whose first value is its place: the one that is given, or if that is taken, one of the next.
    /// `false` if the statement inserts nothing although the place is free.
    pub(super) fn insert_in_place(&self, statement: &'static str, values: &[Value<'_>]) -> Result<bool> {
        if self.defer(statement, values) {
            return Ok(true);
        }
        let [Value::Integer(first), rest @ ..] = values else {
            return Err(Error::Unavailable("a token has no place".to_owned()));
        };
        let first = *first;
        let mut values = [&[Value::from(first)], rest].concat();
        let mut insert = |place: i64| {
            values[0] = place.into();
            self.run(statement, &values)
        };
        for place in first..first + NEIGHBOURS {
            if insert(place)? == 1 {
                return Ok(true);
            }
            if !self.any(IS_TAKEN, params![place])? {
                // On PostgreSQL, what was there may have been deleted since.
                return Ok(insert(place)? == 1);
            }
        }
        Err(Error::Unavailable("no place is free for a token".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BORN: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn digest(chance: [u8; 3]) -> Digest {
        let mut bytes = [0; 32];
        bytes[..6].copy_from_slice(&Digest::beginning(BORN));
        bytes[6..9].copy_from_slice(&chance);
        Digest::from_bytes(bytes)
    }

    #[test]
    fn a_token_and_its_neighbours_get_places_of_its_kind_and_birth() {
        let next = places(BORN.plus(Duration::from_millis(1)), Kind::Access);
        let (access, refresh) = (places(BORN, Kind::Access), places(BORN, Kind::Refresh));
        assert_eq!((access.end, refresh.end), (refresh.start, next.start));
        for (kind, places) in [(Kind::Access, access), (Kind::Refresh, refresh)] {
            assert_eq!(first_place(&digest([0; 3]), kind), places.start);
            assert_eq!(first_place(&digest([0, 0, 16]), kind), places.start + 1);
            assert_eq!(first_place(&digest([255; 3]), kind) + NEIGHBOURS, places.end);
        }
    }

    #[test]
    fn statements_use_the_same_ranges_of_places() {
        for source in [include_str!("access_tokens.rs"), include_str!("refresh_tokens.rs")] {
            let flat = source.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            let ends: Vec<_> = flat.split("place < ?1 + ").skip(1).map(|rest| &rest[..2]).collect();
            assert!(ends.len() >= 2 && ends.iter().all(|end| *end == format!("{NEIGHBOURS} ")), "{ends:?}");
        }
        let database = rusqlite::Connection::open_in_memory().unwrap();
        let tables =
            "CREATE TABLE families (id, created_at, grant_id); CREATE TABLE tokens (place, family_id);";
        database.execute_batch(tables).unwrap();
        database.execute("INSERT INTO families VALUES ('fam_x', ?1, 'grt_1')", [BORN.millis()]).unwrap();
        let [access, refresh, ..] = super::super::purge_statements::OF_GRANT.counts;
        for (kind, count) in [(Kind::Access, access), (Kind::Refresh, refresh)] {
            let Range { start, end } = places(BORN, kind);
            for (place, expected) in [(start - 1, 0), (start, 1), (end - 1, 1), (end, 0)] {
                database.execute("DELETE FROM tokens", []).unwrap();
                database.execute("INSERT INTO tokens VALUES (?1, 'x')", [place]).unwrap();
                let found: i64 = database.query_row(count, ("grt_1", 0, 10), |row| row.get(0)).unwrap();
                assert_eq!(found, expected, "{kind:?} {place}");
            }
        }
    }

    #[test]
    fn impossible_birth_times_have_valid_places_too() {
        for millis in [i64::MIN, -1, LAST_BIRTH + 1, i64::MAX] {
            let places = places(Timestamp::from_millis(millis), Kind::Refresh);
            assert!((0..=places.end).contains(&places.start));
        }
    }
}
