//! How the model's types are stored in columns, for both drivers: one conversion per type.
//!
//! Input is parsed strictly, rows are read leniently: what an earlier version accepted stays readable.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteRow, SqliteTypeInfo, SqliteValueRef};
use sqlx::{FromRow, Row as _};

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

/// Types that are stored in one column. First: the type that the column is read as, the method that reads it, and the
/// type that is written. Then, for each type, how it is read and written.
macro_rules! columns {
    ($read_as:ty, $get:ident, $write_as:ty; $($type:ty: $read:expr, $write:expr;)+) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let write: fn(&Self) -> $write_as = $write;
                Ok(ToSqlOutput::from(write(self)))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let read: fn($read_as) -> Option<Self> = $read;
                read(value.$get()?).ok_or(FromSqlError::InvalidType)
            }
        }

        impl sqlx::Type<Sqlite> for $type {
            fn type_info() -> SqliteTypeInfo {
                <$read_as as sqlx::Type<Sqlite>>::type_info()
            }
        }

        impl<'r> sqlx::Decode<'r, Sqlite> for $type {
            fn decode(value: SqliteValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let read: fn($read_as) -> Option<Self> = $read;
                read(<$read_as as sqlx::Decode<Sqlite>>::decode(value)?)
                    .ok_or_else(|| concat!("not a ", stringify!($type)).into())
            }
        }

        impl sqlx::Encode<'_, Sqlite> for $type {
            fn encode_by_ref(
                &self,
                out: &mut SqliteArgumentsBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                let write: fn(&Self) -> $write_as = $write;
                sqlx::Encode::<Sqlite>::encode(write(self).to_owned(), out)
            }
        }
    )+};
}

columns! { &str, as_str, &str;
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

columns! { &str, as_str, String;
    RedirectUris: |text| Some(Self::stored(text)), |uris| uris.to_column();
    GrantTypes: |text| Some(Self::stored(text)), |types| types.to_string();
}

columns! { i64, as_i64, i64;
    Timestamp: |millis| Some(Self::from_millis(millis)), |at| at.millis();
}

columns! { &[u8], as_blob, &[u8];
    Digest: |bytes| <[u8; 32]>::try_from(bytes).ok().map(Self::from_bytes), |digest| digest.as_bytes();
}

impl ToSql for Audiences {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.to_column().map_or(ValueRef::Null, ValueRef::from)))
    }
}

/// NULL means everyone.
impl FromSql for Audiences {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str_or_null().map(Self::from_column)
    }
}

/// From the columns `client_status`, `client_status_at` and `client_status_reason`.
impl FromRow<'_, SqliteRow> for ClientStatus {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let name = row.try_get("client_status")?;
        Ok(Self::stored(name, row.try_get("client_status_at")?, row.try_get("client_status_reason")?))
    }
}

/// From the columns `user_status` and `user_status_at`.
impl FromRow<'_, SqliteRow> for UserStatus {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self::stored(row.try_get("user_status")?, row.try_get("user_status_at")?))
    }
}

/// From the columns `grant_status` and `ended_at`.
impl FromRow<'_, SqliteRow> for GrantStatus {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        match row.try_get("grant_status")? {
            "open" => Ok(Self::Open),
            _ => Ok(Self::Ended { at: row.try_get("ended_at")? }),
        }
    }
}

/// From the columns `step` and `finished_at`. Both are NULL if there is no purge.
impl FromRow<'_, SqliteRow> for Purge {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(match (row.try_get("step")?, row.try_get("finished_at")?) {
            (None, _) => Self::Nothing,
            (Some(_), Some(at)) => Self::Finished { at },
            (Some(step), None) => Self::Running { step },
        })
    }
}

/// From the columns `actor_kind` and `actor_id`.
impl FromRow<'_, SqliteRow> for Actor {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let (kind, id): (&str, Option<&str>) = (row.try_get("actor_kind")?, row.try_get("actor_id")?);
        let unknown = || sqlx::Error::Decode(format!("not an actor: {kind} {id:?}").into());
        Self::parse(kind, id).ok_or_else(unknown)
    }
}
