//! Attempts to sign in, counted at this server and, where several share a database, by all of them together.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::model::secret::Digest;
use crate::service::sign_in_limit::{Attempt, Key, Purpose, SignInLimit, TooMany, USUAL, household, place};
use crate::store::postgres::sign_in_budgets::SharedBudget;
use crate::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("there were too many attempts")]
    TooMany(TooMany),
}

/// Others know only a digest of who tries, and from where.
fn key(kind: &str, whose: &str) -> String {
    let digest = Digest::of(format!("{kind} {whose}").as_bytes());
    digest.as_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place_key(place: &str) -> String {
    key("usual", place)
}

fn shared(attempt: &Attempt) -> Vec<SharedBudget> {
    let budget = |counted: &Key| SharedBudget {
        key: key(&format!("{:?}", counted.kind), &counted.whose),
        budget: counted.kind.budget(),
    };
    attempt.budgets.iter().map(budget).collect()
}

/// Counts an attempt, before its password is checked. Memory is asked first: a flood of attempts costs the database
/// nothing.
///
/// # Errors
/// `TooMany`. Then the attempt does not count.
pub async fn begin(
    limit: &SignInLimit,
    store: &Store,
    purpose: Purpose<'_>,
    address: IpAddr,
    now: Timestamp,
) -> Result<Attempt, Error> {
    if !store.is_shared() {
        return limit.begin(purpose, address, false, now).map_err(Error::TooMany);
    }
    let is_usual = match purpose {
        Purpose::SignIn(name) => {
            store.is_sign_in_noted(&place_key(&place(name, household(address))), now).await?
        }
        Purpose::NoAccount | Purpose::Confirm(_) => false,
    };
    let attempt = limit.begin(purpose, address, is_usual, now).map_err(Error::TooMany)?;
    let budgets = shared(&attempt);
    let wait = store.write(move |tx| tx.take_attempt(&budgets, now)).await;
    if !matches!(&wait, Ok(wait) if wait.is_zero()) {
        limit.give_back(&attempt, now);
    }
    match wait? {
        wait if wait.is_zero() => Ok(attempt),
        wait => Err(Error::TooMany(TooMany(wait))),
    }
}

/// Gives the attempt back, because its password was right, and remembers the address.
pub async fn succeeded(limit: &SignInLimit, store: &Store, attempt: Attempt, now: Timestamp) {
    limit.succeeded(&attempt, now);
    if !store.is_shared() {
        return;
    }
    let (budgets, place) = (shared(&attempt), attempt.place.as_deref().map(place_key));
    let noted = store.write(move |tx| {
        tx.give_attempt_back(&budgets, now)?;
        place.iter().try_for_each(|place| tx.note_sign_in(place, now.plus(USUAL)))
    });
    // The person is signed in, whatever becomes of the count.
    let noted: Result<(), store::Error> = noted.await;
    if let Err(error) = noted {
        tracing::warn!(error = %error, "sign_in.not_counted");
    }
}
