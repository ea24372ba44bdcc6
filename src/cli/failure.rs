//! Why a command did nothing, and the exit code that says so.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::service::{keys, register};
use crate::store;

/// Travels over the local socket as it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub exit: u8,
    pub message: String,
}

impl Failure {
    /// 1: refused or failed.
    pub const fn refused(message: String) -> Self {
        Self { exit: 1, message }
    }

    /// 2: the command or a setting is wrong.
    pub const fn usage(message: String) -> Self {
        Self { exit: 2, message }
    }

    /// 2: an argument is not what it has to be.
    pub fn argument(name: &str, expected: &str) -> Self {
        Self::usage(format!("{name} has to be {expected}"))
    }

    /// 3: there is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self { exit: 3, message: format!("there is no such {what}") }
    }

    /// Why `what` was not added.
    pub fn not_added(what: &str, error: register::Error) -> Self {
        match error {
            register::Error::Store(store::Error::Exists) => Self::refused(format!("{what} exists already")),
            error => error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::refused(format!("{error:#}"))
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unusable(why) => Self::usage(why),
            error => Self::refused(error.to_string()),
        }
    }
}

impl From<keys::Error> for Failure {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::NotFound => Self::not_found("key"),
            keys::Error::KeyFile(error) => Self::usage(error.to_string()),
            error => Self::refused(error.to_string()),
        }
    }
}

impl From<register::Error> for Failure {
    fn from(error: register::Error) -> Self {
        Self::refused(error.to_string())
    }
}
