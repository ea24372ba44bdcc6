//! What is dead, in memory. The structure is the one that guards use (`guard/src/dead.rs`): the server checks tokens as
//! a guard does.
//!
//! Every check of a token ([`Store::is_dead_here`], [`Tx::is_dead`]) depends on three invariants:
//! 1. What a transaction revoked is in here after its commit and before anybody is told of it.
//! 2. An entry stays until its purge has deleted every row that it covers, *and* for the longest life of an access
//!    token after that. So whatever is cached of a token (its facts, its signature) expires before the entry is
//!    forgotten. (After a start nothing is cached: then an entry without rows stays for that long after its revocation.)
//! 3. A token's facts never change. So a cached token and a JWT are live if they are not expired and not covered. An
//!    opaque token that is not cached needs its row as well.
//!
//! A look-up of a token first finds its facts, then asks whether this set is current ([`Store::current`]), then whether
//! the facts are covered, never in another order.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use rescind_guard::dead::{Dead, HashedSubject, HashedTokenIds, IdHasher, TokenIds};
use rescind_guard::wire::Subject;

use crate::clock::Timestamp;
use crate::model::act::{LONGEST_ACCESS_TOKEN_LIFE, SubjectKind};
use crate::model::id::{FamilyId, GrantId, UserId};
use crate::model::stamp::Stamp;

use crate::store::access_tokens::AccessTokenFacts;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Error, Result, Store, Tx, feed};

const SERVER: &str = "SELECT generation FROM server WHERE id = 1";
const NEWEST: &str = "SELECT at FROM ledger ORDER BY sequence DESC LIMIT 1";
const UNPURGED: &str = "SELECT l.sequence, l.at, l.subject_kind, l.subject_id, l.generation, l.audiences \
    FROM purges AS p JOIN ledger AS l ON l.sequence = p.ledger_sequence WHERE p.finished_at IS NULL";

pub(in crate::store) struct DeadSet {
    id_hasher: IdHasher,
    dead: RwLock<Dead>,
    /// Changes since a reading of the database began whose result will replace the set.
    meanwhile: Mutex<Option<Vec<Change>>>,
    /// Purges that are not finished.
    unpurged: AtomicUsize,
    /// Rows that had expired by this time (milliseconds) may be deleted. So a cached token of such a row does not
    /// become live again when the clock is set back.
    expired_through: AtomicI64,
    /// When the set was first swept: by the monotonic clock and by the system clock.
    swept_first: OnceLock<(Instant, Timestamp)>,
}

/// What a transaction did to the set.
#[derive(Clone)]
pub(in crate::store) enum Change {
    /// The purge will delete its rows.
    Revoked(HashedSubject),
    /// Its rows, if it had any, were deleted with the revocation.
    RevokedAndPurged(HashedSubject, Timestamp),
    Purged(HashedSubject, Timestamp),
    /// Another server revoked it, or this one.
    Heard(HashedSubject, SubjectKind, Timestamp),
}

/// The second after which an entry no longer matters if it was revoked without a purge, or its purge ended, at `at`.
fn forgotten_after(at: Timestamp) -> u32 {
    u32::try_from(at.plus(LONGEST_ACCESS_TOKEN_LIFE).seconds() + 1).unwrap_or(Dead::FOREVER)
}

/// All that a token depends on: its stamp, its grant's generation and its own id.
fn token_ids<'a>(stamp: &'a Stamp, grant_generation: Option<i64>, token: Option<&'a str>) -> TokenIds<'a> {
    let Stamp { family, grant, client, user, generations } = stamp;
    TokenIds {
        server_generation: generations.server.unsigned_abs(),
        token,
        client: (client.as_str(), generations.client.unsigned_abs()),
        user: user.as_ref().map(UserId::as_str).zip(generations.user.map(i64::unsigned_abs)),
        grant: grant.as_ref().map(|grant| (GrantId::as_str(grant), grant_generation.map(i64::unsigned_abs))),
        family: family.as_ref().map(FamilyId::as_str),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads from the ledger what may still cover an unexpired token, and what is not purged yet. Also how many purges are
/// unfinished.
fn read(connection: Connection<'_>, id_hasher: &IdHasher) -> Result<(Dead, usize)> {
    let generation: i64 = connection.only(SERVER, params![], |row| row.get(0))?;
    let mut dead = Dead::new(generation.unsigned_abs());
    let mut insert = |row: &Row<'_>, until: fn(Timestamp) -> u32| -> Result<()> {
        let row = feed::feed_row(row)?;
        dead.insert(id_hasher.hash_subject(&row.subject), until(row.at));
        Ok(())
    };
    // The ledger's newest row says what is recent, not the clock: a wrong clock at the start makes nothing live
    // again.
    if let Some(newest) = connection.one(NEWEST, params![], |row| row.get::<Timestamp>(0))? {
        let since = newest.minus(LONGEST_ACCESS_TOKEN_LIFE);
        connection.each(feed::SINCE, params![since], |row| insert(row, forgotten_after))?;
    }
    let mut count = 0;
    connection.each(UNPURGED, params![], |row| {
        count += 1;
        insert(row, |_| Dead::FOREVER)
    })?;
    Ok((dead, count))
}

impl DeadSet {
    /// Reads from the ledger what may still cover an unexpired token, and what is not purged yet.
    pub(in crate::store) fn load(connection: Connection<'_>) -> Result<Self> {
        let id_hasher = IdHasher::new().map_err(|_| Error::Unavailable("no randomness".to_owned()))?;
        let (dead, unpurged) = read(connection, &id_hasher)?;
        Ok(Self {
            id_hasher,
            dead: RwLock::new(dead),
            meanwhile: Mutex::default(),
            unpurged: AtomicUsize::new(unpurged),
            expired_through: AtomicI64::new(i64::MIN),
            swept_first: OnceLock::new(),
        })
    }

    /// Reads the set again, so that it forgets what other servers have purged. The connection has to see one state of the
    /// database, from its first statement on.
    pub(in crate::store) fn read_again(&self, connection: Connection<'_>) -> Result<()> {
        *lock(&self.meanwhile) = Some(Vec::new());
        let (dead, unpurged) = match read(connection, &self.id_hasher) {
            Ok(read) => read,
            Err(error) => {
                *lock(&self.meanwhile) = None;
                return Err(error);
            }
        };
        let mut held = self.dead.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = std::mem::replace(&mut *held, dead);
        self.unpurged.store(unpurged, Ordering::SeqCst);
        for change in lock(&self.meanwhile).take().unwrap_or_default() {
            self.enter(&mut held, change);
        }
        drop(held);
        // To drop many entries takes long, so this is done without the lock.
        drop(replaced);
        Ok(())
    }

    pub(in crate::store) fn hash_subject(&self, subject: &Subject) -> HashedSubject {
        self.id_hasher.hash_subject(subject)
    }

    pub(in crate::store) fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut dead = self.dead.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock of the set: a change is either in what is read or in here.
        if let Some(meanwhile) = lock(&self.meanwhile).as_mut() {
            meanwhile.extend(changes.iter().cloned());
        }
        for change in changes {
            self.enter(&mut dead, change);
        }
    }

    fn enter(&self, dead: &mut Dead, change: Change) {
        match change {
            Change::Revoked(subject) => {
                dead.insert(subject, Dead::FOREVER);
                self.unpurged.fetch_add(1, Ordering::SeqCst);
            }
            Change::RevokedAndPurged(subject, at) | Change::Heard(subject, SubjectKind::Token, at) => {
                dead.insert(subject, forgotten_after(at));
            }
            Change::Heard(subject, ..) => dead.insert(subject, Dead::FOREVER),
            Change::Purged(subject, at) => {
                dead.keep_until(subject, forgotten_after(at));
                // Another server may have revoked it, and then it was not counted here.
                let one_less = |unpurged: usize| Some(unpurged.saturating_sub(1));
                let _ = self.unpurged.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            }
        }
    }

    pub(in crate::store) fn server_generation(&self) -> i64 {
        self.dead.read().unwrap_or_else(PoisonError::into_inner).server_generation().cast_signed()
    }

    pub(in crate::store) fn expired(&self, through: Timestamp) {
        self.expired_through.fetch_max(through.millis(), Ordering::SeqCst);
    }

    fn hash_ids(&self, stamp: &Stamp, grant_generation: Option<i64>, token: Option<&str>) -> HashedTokenIds {
        self.id_hasher.hash_ids(&token_ids(stamp, grant_generation, token))
    }

    fn covers(&self, ids: &HashedTokenIds) -> bool {
        self.dead.read().unwrap_or_else(PoisonError::into_inner).covering(ids).is_some()
    }

    /// Whether a purge is running or queued.
    pub(in crate::store) fn is_purging(&self) -> bool {
        self.unpurged.load(Ordering::SeqCst) > 0
    }
}

impl Store {
    /// Whether the token was revoked, or anything that it depends on. The caller has read its facts already.
    ///
    /// # Errors
    /// When the database has to be asked and does not answer.
    pub async fn is_dead(&self, token: &AccessTokenFacts) -> Result<bool> {
        self.current().await?;
        Ok(self.is_dead_here(token))
    }

    /// The same for callers that have asked the database since they read the facts.
    pub fn is_dead_here(&self, token: &AccessTokenFacts) -> bool {
        let dead = &self.published.dead;
        dead.covers(&dead.hash_ids(&token.stamp, token.grant_generation, Some(&token.id)))
    }

    /// `now`, or the latest time through which expired rows were deleted, if that is later: the clock was set back since.
    /// For opaque tokens: a JWT has no row that could have been deleted.
    pub(in crate::store) fn no_earlier_than_deletions(&self, now: Timestamp) -> Timestamp {
        now.max(Timestamp::from_millis(self.published.dead.expired_through.load(Ordering::SeqCst)))
    }

    /// Forgets some of the entries that no longer matter. Nothing is forgotten early if the clock is set forward, since
    /// it may be set back again.
    pub fn sweep_dead(&self, now: Timestamp) {
        let dead = &self.published.dead;
        let (started, then) = *dead.swept_first.get_or_init(|| (Instant::now(), now));
        let now = now.min(then.plus(started.elapsed()));
        let mut dead = dead.dead.write().unwrap_or_else(PoisonError::into_inner);
        dead.sweep(u64::try_from(now.seconds()).unwrap_or_default());
    }
}

impl Tx<'_> {
    /// Whether anything in the stamp of a row was revoked. This includes earlier revocations in this transaction,
    /// because requests that share a commit run one after another.
    pub(in crate::store) fn is_dead(&self, stamp: &Stamp, grant_generation: Option<i64>) -> bool {
        let ids = self.dead.hash_ids(stamp, grant_generation, None);
        let is_revoked = |change: &Change| match change {
            Change::Revoked(subject) | Change::RevokedAndPurged(subject, _) => ids.is_revoked_by(*subject),
            Change::Purged(..) | Change::Heard(..) => false,
        };
        self.dead.covers(&ids) || self.effects.borrow().dead.iter().any(is_revoked)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::id::ClientId;
    use crate::model::stamp::Generations;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn stamp() -> Stamp {
        Stamp {
            family: Some(FamilyId::generate(NOW)),
            grant: Some(GrantId::generate(NOW)),
            client: ClientId::generate(NOW),
            user: Some(UserId::generate(NOW)),
            generations: Generations { server: 1, client: 4, user: Some(7) },
        }
    }

    fn empty() -> DeadSet {
        DeadSet {
            id_hasher: IdHasher::new().unwrap(),
            dead: RwLock::new(Dead::new(1)),
            meanwhile: Mutex::default(),
            unpurged: AtomicUsize::new(0),
            expired_through: AtomicI64::new(i64::MIN),
            swept_first: OnceLock::new(),
        }
    }

    fn covers(dead: &DeadSet, stamp: &Stamp) -> bool {
        dead.covers(&dead.hash_ids(stamp, Some(1), Some("tok_1")))
    }

    fn client(stamp: &Stamp, generation: u64) -> Subject {
        Subject::Client { id: stamp.client.to_string(), generation }
    }

    #[test]
    fn a_token_is_dead_if_anything_it_depends_on_is_revoked() {
        let stamp = stamp();
        let text = |id: &dyn std::fmt::Display| id.to_string();
        let [family, grant, user] = [
            text(stamp.family.as_ref().unwrap()),
            text(stamp.grant.as_ref().unwrap()),
            text(stamp.user.as_ref().unwrap()),
        ];
        for (subject, is_covered) in [
            (Subject::Token { id: "tok_1".to_owned() }, true),
            (Subject::Family { id: family.clone() }, true),
            (Subject::Grant { id: grant.clone(), generation: None }, true),
            (Subject::Grant { id: grant.clone(), generation: Some(2) }, true),
            (client(&stamp, 5), true),
            (Subject::User { id: user.clone(), generation: 8 }, true),
            (Subject::Server { generation: 2 }, true),
            (Subject::Token { id: "tok_2".to_owned() }, false),
            // The same id means another thing in each kind.
            (Subject::Family { id: grant.clone() }, false),
            (Subject::Grant { id: grant, generation: Some(1) }, false),
            (client(&stamp, 4), false),
            (Subject::User { id: user, generation: 7 }, false),
        ] {
            let dead = empty();
            dead.apply(vec![Change::RevokedAndPurged(dead.hash_subject(&subject), NOW)]);
            assert_eq!(covers(&dead, &stamp), is_covered, "{subject:?}");
        }
    }

    #[test]
    fn an_entry_outlives_its_purge_by_the_longest_life_of_a_token() {
        let (dead, stamp) = (empty(), stamp());
        let [fifth, sixth] = [5, 6].map(|generation| dead.hash_subject(&client(&stamp, generation)));
        let sweep = |at: Timestamp| {
            let mut dead = dead.dead.write().unwrap();
            (0..8).for_each(|_| dead.sweep(at.seconds().unsigned_abs()));
        };
        let much_later = NOW.plus(LONGEST_ACCESS_TOKEN_LIFE * 10);
        dead.apply(vec![Change::Revoked(fifth), Change::Revoked(sixth)]);
        // The purge of an earlier revocation of the same client says nothing about the later one.
        dead.apply(vec![Change::Purged(fifth, NOW)]);
        sweep(much_later);
        assert!(covers(&dead, &stamp) && dead.is_purging());
        dead.apply(vec![Change::Purged(sixth, much_later)]);
        assert!(!dead.is_purging());
        sweep(much_later.plus(LONGEST_ACCESS_TOKEN_LIFE));
        assert!(covers(&dead, &stamp));
        sweep(much_later.plus(LONGEST_ACCESS_TOKEN_LIFE + Duration::from_secs(2)));
        assert!(!covers(&dead, &stamp));
    }
}
