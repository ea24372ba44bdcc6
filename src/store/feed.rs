//! The ledger as the feed reads it. Its rows are the outbox, in the order in which they were committed.

use std::collections::HashMap;

use rescind_guard::dead::{Dead, HashedSubject, IdHasher};
use rescind_guard::wire::Subject;

use crate::clock::Timestamp;
use crate::model::act::SubjectKind;
use crate::model::key::AcceptedKeys;
use crate::model::resource_server::Audiences;

use super::sql::{Connection, Row, params};
use super::{Error, Result, Store, signing_keys};

const TIP: &str = "SELECT s.incarnation, s.generation, s.keys_version, coalesce((SELECT max(l.sequence) FROM ledger AS l), 0) \
    FROM server AS s WHERE s.id = 1";
const AFTER: &str = "SELECT sequence, at, subject_kind, subject_id, generation, audiences FROM ledger \
    WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
/// Uses the index of audiences, so that rows with other sets of audiences are never read. PostgreSQL
/// needs another form of the same: it finds no NULL by `IS ?1`, and uses no other index for the order of pairs.
pub(super) const OF_SET: &str = "SELECT sequence, at, subject_kind, subject_id, generation, audiences FROM ledger \
    /*sqlite*/INDEXED BY ledger_by_audiences WHERE audiences IS ?1 AND sequence > ?2 AND sequence <= ?3/*end*/ \
    /*postgres WHERE sequence = ANY (ARRAY (SELECT sequence FROM ledger WHERE (audiences, sequence) > (?1, ?2) \
    AND (audiences, sequence) <= (?1, ?3) ORDER BY audiences, sequence LIMIT ?4) || ARRAY (SELECT sequence FROM ledger \
    WHERE ?1 IS NULL AND audiences IS NULL AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence LIMIT ?4))*/ \
    ORDER BY sequence LIMIT ?4";
/// The newest row for each set of audiences. There are few sets, so the query jumps from one to the next in the index.
const HEADS: &str = "WITH RECURSIVE sets (audiences) AS (SELECT min(l.audiences) FROM ledger AS l UNION ALL \
    SELECT (SELECT min(l.audiences) FROM ledger AS l WHERE l.audiences > sets.audiences) FROM sets \
    WHERE sets.audiences IS NOT NULL) \
    SELECT sets.audiences, (SELECT l.sequence FROM ledger AS l WHERE l.audiences <= sets.audiences \
    ORDER BY l.audiences DESC, l.sequence DESC LIMIT 1) FROM sets \
    WHERE sets.audiences IS NOT NULL UNION ALL \
    SELECT NULL, coalesce((SELECT max(l.sequence) FROM ledger AS l WHERE l.audiences IS NULL), 0)";
pub(super) const SINCE: &str =
    "SELECT sequence, at, subject_kind, subject_id, generation, audiences FROM ledger WHERE at > ?1";

/// The current state of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    pub incarnation: u64,
    pub server_generation: u64,
    pub keys_version: u64,
    /// The sequence of the newest row.
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

/// The newest sequence of each resource server's stream, and of each set of audiences.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    everyone: i64,
    by_audience: HashMap<String, i64>,
    /// Without `everyone`. There are few sets, because users of one app allow it the same few things.
    by_set: HashMap<Audiences, i64>,
}

impl Heads {
    pub fn of(&self, audience: &str) -> i64 {
        self.by_audience.get(audience).map_or(self.everyone, |head| self.everyone.max(*head))
    }

    pub fn note(&mut self, audiences: &Audiences, sequence: i64) {
        match audiences {
            Audiences::Everyone => self.everyone = self.everyone.max(sequence),
            Audiences::Only(set) => {
                for name in set.names() {
                    let head = self.by_audience.entry(name.to_owned()).or_default();
                    *head = sequence.max(*head);
                }
                let head = self.by_set.entry(audiences.clone()).or_default();
                *head = sequence.max(*head);
            }
        }
    }

    /// The sets of audiences that have rows for `audience` after `sequence`.
    pub fn sets_after(&self, audience: &str, sequence: i64) -> Vec<Audiences> {
        let of_audience = self.by_set.iter().filter(|(set, _)| set.concern(audience));
        let all = of_audience.map(|(set, head)| (set, *head)).chain([(&Audiences::Everyone, self.everyone)]);
        all.filter(|(_, head)| *head > sequence).map(|(set, _)| set.clone()).collect()
    }
}

/// A part of a stream that is to be read: the rows of these sets of audiences, after the sequence `after` and up to
/// `until`.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub sets: Vec<Audiences>,
    pub after: i64,
    pub until: i64,
}

/// The first rows of a stretch, set by set: at most a share of them for each set.
struct FirstRows {
    share: usize,
    until: i64,
    found: Vec<FeedRow>,
}

impl FirstRows {
    fn new(stretch: &Stretch, rows: usize) -> Self {
        let share = (rows / stretch.sets.len().max(1)).max(1);
        Self { share, until: stretch.until, found: Vec::new() }
    }

    fn share(&self) -> i64 {
        i64::try_from(self.share).unwrap_or(i64::MAX)
    }

    fn add(&mut self, of_set: Vec<FeedRow>) {
        // If this set used up its share, it may have more rows after the last one.
        if let Some(last) = of_set.get(self.share - 1) {
            self.until = self.until.min(last.sequence);
        }
        self.found.extend(of_set);
    }

    /// The rows in order, and the sequence up to which no row is missing.
    fn in_order(mut self) -> (Vec<FeedRow>, i64) {
        self.found.retain(|row| row.sequence <= self.until);
        self.found.sort_unstable_by_key(|row| row.sequence);
        (self.found, self.until)
    }
}

/// All that is revoked for one audience, from one read.
#[derive(Debug)]
pub struct FeedSnapshot {
    pub tip: Tip,
    /// The newest sequence of the audience's stream.
    pub through: i64,
    pub keys: AcceptedKeys,
    /// Each with the time of its newest row.
    pub entries: Vec<(Subject, Timestamp)>,
}

/// A number that is never negative.
fn counter(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

fn tip(row: &Row<'_>) -> Result<Tip> {
    Ok(Tip {
        incarnation: counter(row, 0)?,
        server_generation: counter(row, 1)?,
        keys_version: counter(row, 2)?,
        sequence: row.get(3)?,
    })
}

/// What was revoked, from the ledger's columns.
pub(super) fn subject(kind: SubjectKind, id: String, generation: Option<i64>) -> Subject {
    let generation = generation.map(i64::unsigned_abs);
    let current = generation.unwrap_or_default();
    match kind {
        SubjectKind::Token => Subject::Token { id },
        SubjectKind::Family => Subject::Family { id },
        SubjectKind::Grant => Subject::Grant { id, generation },
        SubjectKind::Client => Subject::Client { id, generation: current },
        SubjectKind::User => Subject::User { id, generation: current },
        // The remaining kinds occur only in the audit.
        _ => Subject::Server { generation: current },
    }
}

pub(super) fn feed_row(row: &Row<'_>) -> Result<FeedRow> {
    let subject = subject(row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(FeedRow { sequence: row.get(0)?, at: row.get(1)?, subject, audiences: row.get(5)? })
}

fn heads(connection: Connection<'_>) -> Result<Heads> {
    let mut heads = Heads::default();
    connection.each(HEADS, params![], |row| {
        heads.note(&row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    Ok(heads)
}

/// For each thing only the strongest row, with the time of the newest one rounded up to a second. Rows about the server
/// stay as they are.
fn merged(rows: Vec<FeedRow>) -> Result<Vec<(Subject, Timestamp)>> {
    let id_hasher = IdHasher::new().map_err(|_| Error::Unavailable("no randomness".to_owned()))?;
    let second_after = |at: Timestamp| u32::try_from(at.seconds() + 1).unwrap_or(Dead::FOREVER);
    let mut strongest = Dead::new(0);
    for row in &rows {
        strongest.insert(id_hasher.hash_subject(&row.subject), second_after(row.at));
    }
    let mut entry = |row: FeedRow| match id_hasher.hash_subject(&row.subject) {
        HashedSubject::Server(_) => Some((row.subject, row.at)),
        subject => {
            let newest = strongest.take(subject)?;
            Some((row.subject, Timestamp::from_millis(i64::from(newest) * 1000)))
        }
    };
    Ok(rows.into_iter().filter_map(&mut entry).collect())
}

fn snapshot(connection: Connection<'_>, audience: &str, since: Timestamp) -> Result<FeedSnapshot> {
    let tip = connection.only(TIP, params![], tip)?;
    let through = heads(connection)?.of(audience);
    let mut concern = Vec::new();
    connection.each(SINCE, params![since], |row| {
        let row = feed_row(row)?;
        if row.audiences.concern(audience) {
            concern.push(row);
        }
        Ok(())
    })?;
    let keys = signing_keys::read_accepted(connection)?;
    Ok(FeedSnapshot { tip, through, keys, entries: merged(concern)? })
}

impl Store {
    pub async fn feed_tip(&self) -> Result<Tip> {
        self.only(TIP, params![], tip).await
    }

    /// At most `rows` rows after a sequence, oldest first.
    pub async fn feed_after(&self, sequence: i64, rows: i64) -> Result<Vec<FeedRow>> {
        self.all(AFTER, params![sequence, rows], feed_row).await
    }

    /// The first rows of a stretch, oldest first, and the sequence up to which no row is missing. Reads at most `rows`,
    /// or one row for each set if there are more sets than that.
    pub async fn feed_stretch(&self, stretch: &Stretch, rows: usize) -> Result<(Vec<FeedRow>, i64)> {
        let mut first = FirstRows::new(stretch, rows);
        for set in &stretch.sets {
            let share = first.share();
            first.add(self.all(OF_SET, params![set, stretch.after, stretch.until, share], feed_row).await?);
        }
        Ok(first.in_order())
    }

    /// The current state of the ledger and of each stream, from one read.
    pub async fn feed_heads(&self) -> Result<(Tip, Heads)> {
        let read =
            |connection: Connection<'_>| Ok((connection.only(TIP, params![], tip)?, heads(connection)?));
        self.one_state(read).await
    }

    /// What rows after `since` revoke for `audience`.
    pub async fn feed_snapshot(&self, audience: String, since: Timestamp) -> Result<FeedSnapshot> {
        self.one_state(move |connection| snapshot(connection, &audience, since)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_entry_is_kept_as_long_as_the_newest() {
        let merged = |subjects: &[Subject]| {
            let row = |(second, subject): (i64, &Subject)| FeedRow {
                sequence: second,
                at: Timestamp::from_millis(second * 1000),
                subject: subject.clone(),
                audiences: Audiences::Everyone,
            };
            merged((0..).zip(subjects).map(row).collect()).unwrap()
        };
        let client = |generation| Subject::Client { id: "cli_1".to_owned(), generation };
        // Seconds are rounded up.
        assert_eq!(merged(&[client(3), client(5), client(4)]), [(client(5), Timestamp::from_millis(3_000))]);
        let grant = |generation| Subject::Grant { id: "grt_1".to_owned(), generation };
        let family = Subject::Family { id: "grt_1".to_owned() };
        let both = merged(&[grant(Some(2)), grant(None), family.clone(), grant(Some(9))]);
        assert_eq!(both.into_iter().map(|(subject, _)| subject).collect::<Vec<_>>(), [grant(None), family]);
    }

    #[test]
    fn a_stretch_is_read_in_order_and_in_parts_without_holes() {
        let ledger = rusqlite::Connection::open_in_memory().unwrap();
        ledger
            .execute_batch(
                "CREATE TABLE ledger (sequence INTEGER PRIMARY KEY, at INTEGER, subject_kind TEXT, subject_id TEXT, \
                 generation INTEGER, audiences TEXT); CREATE INDEX ledger_by_audiences ON ledger (audiences)",
            )
            .unwrap();
        let mut heads = Heads::default();
        let mut expected = Vec::new();
        // Rows of each set, in runs of different lengths.
        for sequence in 1..=400 {
            let set =
                [Some("a"), None, Some("a b"), Some("b"), Some(""), Some("c a")][sequence * sequence / 7 % 6];
            let audiences = Audiences::from_column(set);
            let sequence = sequence.cast_signed() as i64;
            ledger
                .execute("INSERT INTO ledger VALUES (?1, 0, 'server', 'server', 1, ?2)", (sequence, set))
                .unwrap();
            heads.note(&audiences, sequence);
            if audiences.concern("a") {
                expected.push(sequence);
            }
        }
        for rows in [1, 2, 7, 256, 1_000] {
            let (mut read, mut after) = (Vec::new(), 0);
            while after < 400 {
                let stretch = Stretch { sets: heads.sets_after("a", after), after, until: 400 };
                let mut first = FirstRows::new(&stretch, rows);
                for set in &stretch.sets {
                    let share = first.share();
                    let limits = params![set, stretch.after, stretch.until, share];
                    first.add(Connection::Sqlite(&ledger).all(OF_SET, limits, feed_row).unwrap());
                }
                let (part, until) = first.in_order();
                assert!(part.len() <= rows.max(stretch.sets.len()) && until > after);
                read.extend(part.iter().map(|row| row.sequence));
                after = until;
            }
            assert_eq!(read, expected, "{rows} at a time");
        }
        assert!(heads.sets_after("a", 400).is_empty());
    }

    #[test]
    fn rows_for_everyone_are_in_every_stream() {
        let mut heads = Heads::default();
        let only = |text| Audiences::from_column(Some(text));
        heads.note(&only("a b"), 3);
        heads.note(&Audiences::Everyone, 4);
        heads.note(&only("b"), 5);
        heads.note(&only(""), 6);
        assert_eq!((heads.of("a"), heads.of("b"), heads.of("c")), (4, 5, 4));
    }
}
