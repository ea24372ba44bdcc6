//! How a request went while the database failed, and whether that is as it should be.

use std::collections::{BTreeMap, BTreeSet};

use rescind::routes::{Caller, Route, TABLE};
use serde_json::Value;

use crate::http::harness::answer::Answer;

/// The rows of every table, as text.
pub type Contents = BTreeMap<String, Vec<String>>;

/// How many rows came and went, by table; a changed row did both.
pub type Change = BTreeMap<String, (usize, usize)>;

pub fn change(before: &Contents, after: &Contents) -> Change {
    let count = |table: &String| {
        let [before, after] = [before, after].map(|all| all[table].iter().collect::<BTreeSet<_>>());
        (after.difference(&before).count(), before.difference(&after).count())
    };
    let changes = before.keys().map(|table| (table.clone(), count(table)));
    changes.filter(|(_, change)| *change != (0, 0)).collect()
}

/// An answer and what went with it.
pub struct Outcome {
    pub answer: Answer,
    pub change: Change,
}

impl Outcome {
    /// Where a redirect leads, without what differs from one time to the next.
    fn leads_to(&self) -> Option<&str> {
        Some(self.answer.header("location")?.split(['?', '_']).next().unwrap())
    }

    /// What introspection says.
    fn active(&self) -> Option<bool> {
        serde_json::from_str::<Value>(&self.answer.body).ok()?["active"].as_bool()
    }

    /// What is wrong with this, where `undisturbed` is how the request goes without a fault.
    pub fn flaw(&self, undisturbed: &Self) -> Option<String> {
        let status = self.answer.status.as_u16();
        let is_same =
            (self.answer.status, self.leads_to()) == (undisturbed.answer.status, undisturbed.leads_to());
        let is_whole = self.change == undisturbed.change;
        let is_untouched = self.change.is_empty();
        let acts = |change: &Change| {
            let acts = change.iter().filter(|(table, _)| *table != "sessions");
            acts.map(|(table, change)| (table.clone(), *change)).collect::<Change>()
        };
        // What was done to an account stands; then to begin a session is a favour, and the sign-in page is next.
        let is_whole =
            is_whole || (!acts(&self.change).is_empty() && acts(&self.change) == acts(&undisturbed.change));
        if is_same && self.active() != undisturbed.active() {
            return Some(format!("{} instead of {}", self.answer.body, undisturbed.answer.body));
        }
        if is_same {
            return (!is_whole).then(|| format!("{status} although only this was done: {:?}", self.change));
        }
        match status {
            503 if self.answer.header("retry-after").is_none() => Some("503 without Retry-After".to_owned()),
            503 if is_untouched || is_whole => None,
            400..500 if is_untouched => None,
            _ => Some(format!("{status} → {:?}, and this was done: {:?}", self.leads_to(), self.change)),
        }
    }
}

/// The routes of these callers.
pub fn routes_of(callers: &[Caller]) -> impl Iterator<Item = &'static Route> {
    TABLE.iter().filter(|route| callers.contains(&route.caller))
}

/// Those who are no people.
pub const PROTOCOL: [Caller; 3] = [Caller::Client, Caller::ResourceServer, Caller::Anybody];
