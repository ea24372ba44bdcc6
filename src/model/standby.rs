//! How a PostgreSQL primary is believed.

/// Whether a primary counts that has no synchronous standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// It counts. For a single PostgreSQL server, and for services that keep a replaced primary away in another way.
    Any,
    /// It does not count: a standby may have taken its place.
    Required,
}
