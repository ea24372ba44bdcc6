//! The `drill` table: the canary's client, and how the last drill went.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::canary::{Drill, Outcome, Times};
use crate::model::id::ClientId;

use super::sql::{Row, params};
use super::{Result, Store, Tx};

const CLIENT: &str = "SELECT client_id FROM drill WHERE id = 1";
const SET_CLIENT: &str = "INSERT INTO drill (id, client_id) VALUES (1, ?1) \
    ON CONFLICT (id) DO UPDATE SET client_id = excluded.client_id";
const END: &str =
    "UPDATE drill SET at = ?1, outcome = ?2, rounds = ?3, p50_us = ?4, p99_us = ?5, max_us = ?6 WHERE id = 1";
const LAST: &str =
    "SELECT at, outcome, rounds, p50_us, p99_us, max_us FROM drill WHERE id = 1 AND at IS NOT NULL";

fn drill(row: &Row<'_>) -> Result<Drill> {
    let took =
        |column| -> Result<Duration> { Ok(Duration::from_micros(row.get::<i64>(column)?.unsigned_abs())) };
    let rounds = row.get(2)?;
    let outcome = match &*row.get::<String>(1)? {
        "passed" => Outcome::Passed(Times { rounds, p50: took(3)?, p99: took(4)?, max: took(5)? }),
        _ => Outcome::Failed { rounds },
    };
    Ok(Drill { at: row.get(0)?, outcome })
}

impl Store {
    /// The result of the last drill, if there was one.
    pub async fn last_drill(&self) -> Result<Option<Drill>> {
        self.one(LAST, params![], drill).await
    }
}

impl Tx<'_> {
    pub fn canary_client(&self) -> Result<Option<ClientId>> {
        self.one(CLIENT, params![], |row| row.get(0))
    }

    pub fn set_canary_client(&self, client: &ClientId) -> Result<()> {
        self.run(SET_CLIENT, params![client])?;
        Ok(())
    }

    /// `false` if no drill ever began.
    pub fn end_drill(&self, outcome: Outcome, now: Timestamp) -> Result<bool> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (word, rounds, times) = match outcome {
            Outcome::Passed(times) => ("passed", times.rounds, Some(times)),
            Outcome::Failed { rounds } => ("failed", rounds, None),
        };
        let rows = self.run(
            END,
            params![
                now,
                word,
                rounds,
                times.map(|times| micros(times.p50)),
                times.map(|times| micros(times.p99)),
                times.map(|times| micros(times.max)),
            ],
        )?;
        Ok(rows == 1)
    }
}
