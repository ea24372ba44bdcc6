//! How the model's types are stored in columns: one conversion per type.
//!
//! Input is parsed strictly, rows are read leniently: what an earlier version accepted stays readable.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::model::act::{Act, SubjectKind};
use crate::model::audit::Event;
use crate::model::by::{Actor, Origin};
use crate::model::client::{AppName, ClientField, ClientKind, ClientStatus, GrantTypes, TokenFormat};
use crate::model::confirmation::Guarded;
use crate::model::grant::GrantStatus;
use crate::model::id::{
    ClientId, ClientSecretId, FamilyId, GrantId, KeyId, ReceiptId, ResourceServerId, SessionId, UserId,
};
use crate::model::key::Algorithm;
use crate::model::purge::{Purge, PurgeStep};
use crate::model::redirect_uri::RedirectUris;
use crate::model::resource_server::{AudienceSet, Audiences, Guard};
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::user::{Role, UserStatus, Username};

use super::sql::{FromColumn, FromRow, Row, ToColumn, Value};
use super::{Error, Result};

/// Types that are stored in one column. First: how the column is read and written. Then, for each type, how it is made
/// of what was read, and what is written.
macro_rules! columns {
    ($read:ident: $read_as:ty, $write_as:ty; $($type:ty: $from:expr, $to:expr;)+) => {$(
        impl ToColumn for $type {
            fn to_column(&self) -> Value<'_> {
                let to: fn(&Self) -> $write_as = $to;
                to(self).into()
            }
        }

        impl FromColumn for $type {
            fn from_column(value: &Value<'_>) -> Option<Self> {
                let from: fn($read_as) -> Option<Self> = $from;
                from(value.$read()?)
            }
        }
    )+};
}

columns! { text: &str, &str;
    String: |text| Some(text.to_owned()), String::as_str;
    UserId: Self::parse, |id| id.as_str();
    ClientId: Self::parse, |id| id.as_str();
    ClientSecretId: Self::parse, |id| id.as_str();
    GrantId: Self::parse, |id| id.as_str();
    FamilyId: Self::parse, |id| id.as_str();
    ResourceServerId: Self::parse, |id| id.as_str();
    SessionId: Self::parse, |id| id.as_str();
    ReceiptId: Self::parse, |id| id.as_str();
    KeyId: Self::parse, |id| id.as_str();
    Algorithm: Self::parse, |algorithm| algorithm.as_str();
    Act: Self::parse, |act| act.as_str();
    Event: Self::parse, |event| event.as_str();
    Origin: Self::parse, |origin| origin.as_str();
    SubjectKind: Self::parse, |kind| kind.as_str();
    ClientField: Self::parse, |field| field.as_str();
    PurgeStep: |text| Some(Self::parse(text).unwrap_or(Self::Done)), |step| step.as_str();
    Guard: |text| Some(Self::parse(text).unwrap_or(Self::Expected)), |guard| guard.as_str();
    Guarded: |text| Some(Self::parse(text).unwrap_or(Self::None)), |guarded| guarded.as_str();
    Username: |text| Some(Self::stored(text)), |name| name.as_str();
    Role: |text| Some(Self::stored(text)), |role| role.as_str();
    AppName: |text| Some(Self::stored(text)), |name| name.as_str();
    ClientKind: |text| Some(Self::stored(text)), |kind| kind.as_str();
    TokenFormat: |text| Some(Self::stored(text)), |format| format.as_str();
    Scope: |text| Some(Self::stored(text)), |scope| scope.as_str();
    AudienceSet: |text| Some(Self::stored(text)), |set| set.as_str();
}

columns! { text: &str, String;
    RedirectUris: |text| Some(Self::stored(text)), |uris| uris.to_column();
    GrantTypes: |text| Some(Self::stored(text)), |types| types.to_string();
}

columns! { integer: i64, i64;
    i64: Some, |number| *number;
    u32: |number| Self::try_from(number).ok(), |number| i64::from(*number);
    bool: |number| Some(number != 0), |is_so| i64::from(*is_so);
    Timestamp: |millis| Some(Self::from_millis(millis)), |at| at.millis();
}

columns! { blob: &[u8], &[u8];
    Vec<u8>: |bytes| Some(bytes.to_vec()), Vec::as_slice;
    [u8; 32]: |bytes| Self::try_from(bytes).ok(), |bytes| bytes;
    Digest: |bytes| <[u8; 32]>::try_from(bytes).ok().map(Self::from_bytes), |digest| digest.as_bytes();
}

impl ToColumn for str {
    fn to_column(&self) -> Value<'_> {
        self.into()
    }
}

impl ToColumn for Arc<str> {
    fn to_column(&self) -> Value<'_> {
        (**self).into()
    }
}

impl FromColumn for Arc<str> {
    fn from_column(value: &Value<'_>) -> Option<Self> {
        value.text().map(Self::from)
    }
}

impl ToColumn for [u8] {
    fn to_column(&self) -> Value<'_> {
        self.into()
    }
}

impl<T: ToColumn + ?Sized> ToColumn for &T {
    fn to_column(&self) -> Value<'_> {
        (**self).to_column()
    }
}

impl<T: ToColumn> ToColumn for Option<T> {
    fn to_column(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::to_column)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_column(value).map(Some),
        }
    }
}

/// NULL means everyone.
impl ToColumn for Audiences {
    fn to_column(&self) -> Value<'_> {
        Self::to_column(self).map_or(Value::Null, Value::from)
    }
}

impl FromColumn for Audiences {
    fn from_column(value: &Value<'_>) -> Option<Self> {
        Option::<String>::from_column(value).map(|text| Self::from_column(text.as_deref()))
    }
}

/// From the columns `client_status`, `client_status_at` and `client_status_reason`.
impl FromRow for ClientStatus {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let name: String = row.get("client_status")?;
        Ok(Self::stored(&name, row.get("client_status_at")?, row.get("client_status_reason")?))
    }
}

/// From the columns `user_status` and `user_status_at`.
impl FromRow for UserStatus {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self::stored(&row.get::<String>("user_status")?, row.get("user_status_at")?))
    }
}

/// From the columns `grant_status` and `ended_at`.
impl FromRow for GrantStatus {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        match &*row.get::<String>("grant_status")? {
            "open" => Ok(Self::Open),
            _ => Ok(Self::Ended { at: row.get("ended_at")? }),
        }
    }
}

/// From the columns `step` and `finished_at`. Both are NULL if there is no purge.
impl FromRow for Purge {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(match (row.get("step")?, row.get("finished_at")?) {
            (None, _) => Self::Nothing,
            (Some(_), Some(at)) => Self::Finished { at },
            (Some(step), None) => Self::Running { step },
        })
    }
}

/// From the columns `actor_kind` and `actor_id`.
impl FromRow for Actor {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let (kind, id): (String, Option<String>) = (row.get("actor_kind")?, row.get("actor_id")?);
        let unknown = || Error::Unreadable(format!("not an actor: {kind} {id:?}"));
        Self::parse(&kind, id.as_deref()).ok_or_else(unknown)
    }
}
