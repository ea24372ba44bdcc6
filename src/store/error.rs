//! What goes wrong in the store.

/// Why the store did not do what it was asked. Absence is an `Option`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is locked, full, read-only, damaged or shutting down. Nothing was changed.
    #[error("the database did not answer: {0}")]
    Unavailable(String),
    /// A row says something that this version does not understand.
    #[error("a row can't be read: {0}")]
    Unreadable(String),
    /// Something with this name exists already.
    #[error("it exists already")]
    Exists,
    /// The file is a backup: what was revoked after it was made would work again.
    #[error(
        "{0} is a copy that rescind backup made, and nobody serves it as it is: rescind restore {0} ends what it \
         would bring back"
    )]
    Copy(String),
    /// This database can't be used as it is.
    #[error("{0}")]
    Unusable(String),
    /// The person who acts on a page may no longer do so. Nothing was changed.
    #[error("{0}")]
    Denied(Denial),
}

/// What has changed about a person since their request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The session ended, or the account's status, its password or a generation has changed since it began.
    #[error("the session has ended")]
    SignedOut,
    /// The role is lower than the page asks for.
    #[error("the role does not allow it any more")]
    RoleLowered,
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error().map(|e| e.extended_code) {
            Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                Self::Exists
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl Error {
    /// For what has to be reached at the start.
    pub(super) fn unreachable(error: Self) -> Self {
        match error {
            Self::Unavailable(why) => Self::Unusable(format!("the database can't be used: {why}")),
            error => error,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
