//! How the model's types stand in columns, for both drivers.

use std::borrow::Cow;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};

use crate::clock::Timestamp;
use crate::model::client::{AppName, ClientKind, GrantTypes, TokenFormat};
use crate::model::id::{
    ClientId, ClientSecretId, FamilyId, GrantId, KeyId, ReceiptId, ResourceServerId, SessionId, UserId,
};
use crate::model::key::Algorithm;
use crate::model::scope::Scope;
use crate::model::secret::Digest;
use crate::model::user::{Role, Username};

macro_rules! text_column {
    ($($type:ty: $parse:expr, $text:expr;)+) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let text: fn(&Self) -> Cow<'_, str> = $text;
                Ok(match text(self) {
                    Cow::Borrowed(text) => ToSqlOutput::from(text),
                    Cow::Owned(text) => ToSqlOutput::from(text),
                })
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
            }
        }

        impl sqlx::Type<Sqlite> for $type {
            fn type_info() -> SqliteTypeInfo {
                <str as sqlx::Type<Sqlite>>::type_info()
            }
        }

        impl<'r> sqlx::Decode<'r, Sqlite> for $type {
            fn decode(value: SqliteValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(<&str as sqlx::Decode<Sqlite>>::decode(value)?)
                    .ok_or_else(|| concat!("not a ", stringify!($type)).into())
            }
        }

        impl sqlx::Encode<'_, Sqlite> for $type {
            fn encode_by_ref(
                &self,
                out: &mut SqliteArgumentsBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                let text: fn(&Self) -> Cow<'_, str> = $text;
                sqlx::Encode::<Sqlite>::encode(text(self).into_owned(), out)
            }
        }
    )+};
}

// Input is parsed strictly, rows are read leniently: what an earlier version accepted stays readable.
text_column! {
    UserId: Self::parse, |id| id.as_str().into();
    ClientId: Self::parse, |id| id.as_str().into();
    ClientSecretId: Self::parse, |id| id.as_str().into();
    GrantId: Self::parse, |id| id.as_str().into();
    FamilyId: Self::parse, |id| id.as_str().into();
    ResourceServerId: Self::parse, |id| id.as_str().into();
    SessionId: Self::parse, |id| id.as_str().into();
    ReceiptId: Self::parse, |id| id.as_str().into();
    KeyId: Self::parse, |id| id.as_str().into();
    Algorithm: Self::parse, |algorithm| algorithm.as_str().into();
    Username: |text| Some(Self::stored(text)), |name| name.as_str().into();
    Role: |text| Some(Self::stored(text)), |role| role.as_str().into();
    AppName: |text| Some(Self::stored(text)), |name| name.as_str().into();
    ClientKind: |text| Some(Self::stored(text)), |kind| kind.as_str().into();
    TokenFormat: |text| Some(Self::stored(text)), |format| format.as_str().into();
    GrantTypes: |text| Some(Self::stored(text)), |types| types.to_string().into();
    Scope: |text| Some(Self::stored(text)), |scope| scope.as_str().into();
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.millis()))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_millis)
    }
}

impl sqlx::Type<Sqlite> for Timestamp {
    fn type_info() -> SqliteTypeInfo {
        <i64 as sqlx::Type<Sqlite>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Sqlite> for Timestamp {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        <i64 as sqlx::Decode<Sqlite>>::decode(value).map(Self::from_millis)
    }
}

impl sqlx::Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(
        &self,
        out: &mut SqliteArgumentsBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        sqlx::Encode::<Sqlite>::encode(self.millis(), out)
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.as_bytes()[..]))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::try_from(value.as_blob()?).map(Self::from_bytes).map_err(|_| FromSqlError::InvalidType)
    }
}
