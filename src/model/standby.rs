//! How a PostgreSQL primary is believed.

/// What is known of the standby that may become the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// Nothing. It may lack what was done last, so a standby that became the primary is not believed until everything was
    /// ended.
    Any,
    /// It has all that was answered.
    Synchronous,
    /// The same, and a primary that has no such standby is not believed: it may have become the primary.
    Required,
}
