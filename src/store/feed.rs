//! The ledger as the feed reads it: its rows are the outbox, in the order in which they were committed.

use std::collections::HashMap;

use rescind_guard::wire::Subject;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::model::key::AcceptedKeys;
use crate::model::resource_server::Audiences;

use super::{BUSY, Error, Result, Store, signing_keys};

const TIP: &str = "SELECT s.incarnation, s.generation, s.keys_version, coalesce((SELECT max(l.sequence) FROM ledger AS l), 0) \
    FROM server AS s WHERE s.id = 1";
const AFTER: &str = "SELECT sequence, at, subject_kind, subject_id, generation, audiences FROM ledger \
    WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
const NEXT_AT: &str = "SELECT at FROM ledger WHERE sequence > ?1 ORDER BY sequence LIMIT 1";
/// The newest row for each set of audiences; there are few sets, and the index is skipped through.
const HEADS: &str = "WITH RECURSIVE sets (audiences) AS (SELECT min(l.audiences) FROM ledger AS l UNION ALL \
    SELECT (SELECT min(l.audiences) FROM ledger AS l WHERE l.audiences > sets.audiences) FROM sets \
    WHERE sets.audiences IS NOT NULL) \
    SELECT sets.audiences, (SELECT max(l.sequence) FROM ledger AS l WHERE l.audiences = sets.audiences) FROM sets \
    WHERE sets.audiences IS NOT NULL UNION ALL \
    SELECT NULL, coalesce((SELECT max(l.sequence) FROM ledger AS l WHERE l.audiences IS NULL), 0)";
const SINCE: &str =
    "SELECT sequence, at, subject_kind, subject_id, generation, audiences FROM ledger WHERE at > ?1";

/// What `store::plans` looks at.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[TIP, AFTER, NEXT_AT, HEADS, SINCE];

/// Where the ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    pub incarnation: u64,
    pub server_generation: u64,
    pub keys_version: u64,
    /// Of the newest row of all.
    pub sequence: i64,
}

/// A ledger row as an entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    pub sequence: i64,
    pub at: Timestamp,
    pub subject: Subject,
    pub audiences: Audiences,
}

/// The newest sequence of each resource server's stream.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    everyone: i64,
    by_audience: HashMap<String, i64>,
}

impl Heads {
    pub fn of(&self, audience: &str) -> i64 {
        self.by_audience.get(audience).map_or(self.everyone, |head| self.everyone.max(*head))
    }

    pub fn note(&mut self, audiences: &Audiences, sequence: i64) {
        match audiences {
            Audiences::Everyone => self.everyone = self.everyone.max(sequence),
            Audiences::Only(names) => {
                for name in names {
                    let head = self.by_audience.entry(name.clone()).or_default();
                    *head = sequence.max(*head);
                }
            }
        }
    }
}

/// All that holds for one audience, from one read.
#[derive(Debug)]
pub struct FeedSnapshot {
    pub tip: Tip,
    /// The newest sequence of the audience's stream.
    pub through: i64,
    pub keys: AcceptedKeys,
    /// Each with the time of its newest row.
    pub entries: Vec<(Subject, Timestamp)>,
}

/// A number that is never below zero.
fn counter(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

fn tip(row: &Row<'_>) -> rusqlite::Result<Tip> {
    Ok(Tip {
        incarnation: counter(row, 0)?,
        server_generation: counter(row, 1)?,
        keys_version: counter(row, 2)?,
        sequence: row.get(3)?,
    })
}

pub(super) fn feed_row(row: &Row<'_>) -> rusqlite::Result<FeedRow> {
    let (kind, id): (String, String) = (row.get(2)?, row.get(3)?);
    let generation = row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs);
    let current = generation.unwrap_or_default();
    let subject = match kind.as_str() {
        "token" => Subject::Token { id },
        "family" => Subject::Family { id },
        "grant" => Subject::Grant { id, generation },
        "client" => Subject::Client { id, generation: current },
        "user" => Subject::User { id, generation: current },
        _ => Subject::Server { generation: current },
    };
    let audiences = Audiences::from_column(row.get::<_, Option<String>>(5)?.as_deref());
    Ok(FeedRow { sequence: row.get(0)?, at: row.get(1)?, subject, audiences })
}

fn heads(connection: &Connection) -> rusqlite::Result<Heads> {
    let mut heads = Heads::default();
    let mut statement = connection.prepare_cached(HEADS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let audiences = Audiences::from_column(row.get::<_, Option<String>>(0)?.as_deref());
        heads.note(&audiences, row.get(1)?);
    }
    Ok(heads)
}

/// Keeps the strongest of all entries for one thing, for as long as the newest of them.
#[derive(Default)]
struct Merged(HashMap<(&'static str, String), (Subject, Timestamp)>);

impl Merged {
    fn add(&mut self, subject: Subject, at: Timestamp) {
        let key = match &subject {
            Subject::Token { id } => ("token", id.clone()),
            Subject::Family { id } => ("family", id.clone()),
            Subject::Grant { id, .. } => ("grant", id.clone()),
            Subject::Client { id, .. } => ("client", id.clone()),
            Subject::User { id, .. } => ("user", id.clone()),
            Subject::Server { .. } => ("server", String::new()),
        };
        let held = self.0.entry(key).or_insert_with(|| (subject.clone(), at));
        held.1 = at.max(held.1);
        let is_stronger = match (strength(&held.0), strength(&subject)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(held), Some(new)) => new > held,
        };
        if is_stronger {
            held.0 = subject;
        }
    }
}

/// The generation below which tokens are refused; `None` refuses all.
const fn strength(subject: &Subject) -> Option<u64> {
    match subject {
        Subject::Token { .. } | Subject::Family { .. } => None,
        Subject::Grant { generation, .. } => *generation,
        Subject::Client { generation, .. }
        | Subject::User { generation, .. }
        | Subject::Server { generation } => Some(*generation),
    }
}

fn snapshot(connection: &Connection, audience: &str, since: Timestamp) -> rusqlite::Result<FeedSnapshot> {
    let tip = connection.prepare(TIP)?.query_row([], tip)?;
    let through = heads(connection)?.of(audience);
    let mut merged = Merged::default();
    let mut statement = connection.prepare(SINCE)?;
    let mut rows = statement.query([since])?;
    while let Some(row) = rows.next()? {
        let row = feed_row(row)?;
        if row.audiences.concern(audience) {
            merged.add(row.subject, row.at);
        }
    }
    let keys = signing_keys::accepted(connection)?;
    Ok(FeedSnapshot { tip, through, keys, entries: merged.0.into_values().collect() })
}

impl Store {
    pub fn feed_tip(&self) -> Result<Tip> {
        self.lookup(|c| c.prepare_cached(TIP)?.query_row([], tip))
    }

    /// At most `rows` rows after a sequence, oldest first.
    pub fn feed_after(&self, sequence: i64, rows: i64) -> Result<Vec<FeedRow>> {
        self.lookup(|c| c.prepare_cached(AFTER)?.query_map(params![sequence, rows], feed_row)?.collect())
    }

    /// When the first row after a sequence was written.
    pub fn feed_next_at(&self, sequence: i64) -> Result<Option<Timestamp>> {
        self.lookup(|c| c.prepare_cached(NEXT_AT)?.query_row([sequence], |row| row.get(0)).optional())
    }

    /// Where each stream and the ledger stand, from one read.
    pub fn feed_heads(&self) -> Result<(Tip, Heads)> {
        self.lookup(|c| {
            let read = c.unchecked_transaction()?;
            let found = (read.prepare_cached(TIP)?.query_row([], tip)?, heads(&read)?);
            read.commit()?;
            Ok(found)
        })
    }

    /// What holds for `audience`, of rows written after `since`; on a connection of its own, since it
    /// may be long.
    pub async fn feed_snapshot(&self, audience: String, since: Timestamp) -> Result<FeedSnapshot> {
        let path = self.path.clone();
        let read = move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&*path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; BEGIN")?;
            snapshot(&connection, &audience, since)
        };
        let read = tokio::task::spawn_blocking(read).await;
        Ok(read.map_err(|error| Error::Unavailable(error.to_string()))??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(subjects: &[Subject]) -> (Subject, Timestamp) {
        let mut merged = Merged::default();
        for (place, subject) in (0..).zip(subjects) {
            merged.add(subject.clone(), Timestamp::from_millis(place));
        }
        assert_eq!(merged.0.len(), 1);
        merged.0.into_values().next().unwrap()
    }

    #[test]
    fn the_strongest_entry_holds_for_as_long_as_the_newest() {
        let client = |generation| Subject::Client { id: "cli_1".to_owned(), generation };
        assert_eq!(merged(&[client(3), client(5), client(4)]), (client(5), Timestamp::from_millis(2)));
        let grant = |generation| Subject::Grant { id: "grt_1".to_owned(), generation };
        assert_eq!(merged(&[grant(Some(2)), grant(None), grant(Some(9))]).0, grant(None));
    }

    #[test]
    fn everyone_s_rows_are_in_every_stream() {
        let mut heads = Heads::default();
        let only = |text| Audiences::from_column(Some(text));
        heads.note(&only("a b"), 3);
        heads.note(&Audiences::Everyone, 4);
        heads.note(&only("b"), 5);
        heads.note(&only(""), 6);
        assert_eq!((heads.of("a"), heads.of("b"), heads.of("c")), (4, 5, 4));
    }
}
