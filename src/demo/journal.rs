//! What the sample app can say about its own access: the state, the photos, and the last calls with their answers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Calls kept per connection; the page shows them all.
const CALLS_KEPT: usize = 20;
const CLOCK: StaticFormatDescription = format_description!("[hour]:[minute]:[second]");

/// The pictures that the templates can draw.
pub const SCENES: [&str; 8] =
    ["lake", "mountains", "harbour", "meadow", "city", "forest", "beach", "balloon"];

/// The current time, for the sample app's journal.
pub fn now() -> OffsetDateTime {
    crate::clock::Clock::System.now().utc()
}

/// One entry of the API's answer to `GET /photos`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Photo {
    pub id: String,
    pub title: String,
    /// One of [`SCENES`].
    pub scene: String,
    /// A day, `YYYY-MM-DD`.
    pub taken: String,
}

/// Whether the app can reach the photos, as its last call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    SignedOut,
    /// Connected, and the first call is under way.
    Checking,
    Connected,
    /// No usable answer: says nothing about the permission.
    Trouble,
    Refused,
}

impl State {
    /// The state in the words of the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::SignedOut => "Not connected",
            Self::Checking => "Connecting",
            Self::Connected => "Connected",
            Self::Trouble => "No answer",
            Self::Refused => "Access refused",
        }
    }

    /// The name that the style sheet and `/status` use.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Trouble => "trouble",
            Self::Refused => "refused",
        }
    }
}

/// One HTTP exchange, without anything secret in it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// RFC 3339, UTC.
    pub at: String,
    /// The time of day, UTC.
    pub time: String,
    pub request: &'static str,
    /// Absent when nobody answered.
    pub status: Option<u16>,
    pub answer: String,
    pub elapsed_ms: i64,
}

impl Call {
    /// The call that began at `began` and ends now.
    pub fn ended(began: OffsetDateTime, request: &'static str, status: Option<u16>, answer: String) -> Self {
        let elapsed_ms = i64::try_from((now() - began).whole_milliseconds()).unwrap_or(0);
        Self {
            at: began.format(&Rfc3339).unwrap_or_default(),
            time: began.format(CLOCK).unwrap_or_default(),
            request,
            status,
            answer,
            elapsed_ms: elapsed_ms.max(0),
        }
    }

    /// Whether the answer was what the app hoped for.
    pub fn went_well(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }
}

/// All that the page and `/status` show.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    pub state: State,
    pub label: &'static str,
    pub detail: String,
    /// When the state began, RFC 3339.
    pub since: String,
    /// False once the app has given up asking.
    pub calling: bool,
    pub photos: Vec<Photo>,
    /// Newest first.
    pub calls: VecDeque<Call>,
    /// What the last refresh by hand brought.
    pub refresh: Option<Call>,
}

impl Snapshot {
    /// A visitor who has connected nothing.
    pub fn signed_out() -> Self {
        Self::new(State::SignedOut, "No photos are connected.")
    }

    /// A connection whose first call is under way.
    pub fn checking() -> Self {
        Self::new(State::Checking, "Asking for your photos.")
    }

    fn new(state: State, detail: &str) -> Self {
        Self {
            state,
            label: state.label(),
            detail: detail.to_owned(),
            since: now().format(&Rfc3339).unwrap_or_default(),
            calling: true,
            photos: Vec::new(),
            calls: VecDeque::new(),
            refresh: None,
        }
    }

    /// Notes a call; the oldest makes room.
    pub fn note(&mut self, call: Call) {
        self.calls.push_front(call);
        self.calls.truncate(CALLS_KEPT);
    }

    /// Moves to a state; its beginning is kept while it lasts.
    pub fn enter(&mut self, state: State, detail: String) {
        if self.state != state {
            self.since = now().format(&Rfc3339).unwrap_or_default();
        }
        // Photos that may no longer be read are not shown either.
        if state == State::Refused {
            self.photos.clear();
        }
        self.state = state;
        self.label = state.label();
        self.detail = detail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_a_bounded_ring_newest_first() {
        let mut snapshot = Snapshot::checking();
        for number in 0..50 {
            snapshot.note(Call::ended(now(), "GET /photos", Some(200), number.to_string()));
        }
        assert_eq!(snapshot.calls.len(), CALLS_KEPT);
        assert_eq!(snapshot.calls[0].answer, "49");
    }

    #[test]
    fn refused_access_takes_the_photos_off_the_page() {
        let mut snapshot = Snapshot::checking();
        snapshot.photos.push(Photo {
            id: "p1".into(),
            title: "Low tide".into(),
            scene: "beach".into(),
            taken: "2025-07-01".into(),
        });
        snapshot.enter(State::Trouble, String::new());
        assert_eq!(snapshot.photos.len(), 1);
        snapshot.enter(State::Refused, String::new());
        assert!(snapshot.photos.is_empty());
    }
}
