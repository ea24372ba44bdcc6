//! Clients in lists, and what a revocation would end: counted when a page is shown, stored nowhere.

use crate::clock::Timestamp;
use crate::model::client::{AppName, ClientKind, ClientStatus, ClientStatusKind};
use crate::model::id::{ClientId, UserId};
use crate::model::text::folded;
use crate::model::user::Username;

use super::sql::{from_row, params, readable};
use super::{Result, Store};

/// Open grants, open families and access tokens of the client `c` under its current generation. Expired ones count as
/// long as they have a row.
macro_rules! numbers {
    () => {
        concat!(
            "(SELECT count(*) FROM grants AS g WHERE g.client_id = c.id AND g.status = 'open' ",
            "AND g.client_generation = c.generation AND c.status = 'active') AS users, ",
            "(SELECT count(*) FROM families AS f WHERE f.client_id = c.id ",
            "AND f.client_generation = c.generation AND f.status = 'open' AND c.status = 'active') AS devices, ",
            "(SELECT count(*) FROM families AS f JOIN /*postgres LATERAL (SELECT 1 FROM*/ tokens AS t ",
            "/*sqlite*/ON/*end*/ /*postgres WHERE*/ ",
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576 ",
            "AND t.family_id = substr(f.id, 5) /*postgres OFFSET 0) AS t ON true*/",
            " WHERE f.client_id = c.id AND f.client_generation = c.generation AND c.status = 'active') ",
            "+ (SELECT count(*) FROM tokens AS t WHERE t.client_id = substr(c.id, 5) AND t.family_id IS NULL ",
            "AND t.client_generation = c.generation AND c.status = 'active') AS tokens"
        )
    };
}

macro_rules! list {
    ($rest:expr) => {
        concat!(
            "SELECT c.id, c.name, c.publisher, c.kind, c.status AS client_status, ",
            "c.status_reason AS client_status_reason, c.status_at AS client_status_at, c.created_at, ",
            "o.username AS owner, ",
            numbers!(),
            " FROM clients AS c JOIN users AS o ON o.id = c.owner_id ",
            "LEFT JOIN client_texts AS t ON t.client_id = c.id WHERE ",
            $rest
        )
    };
}

/// ?1: a whole id, an owner's name, or empty; ?2: a status or empty; ?3: rows to skip; ?4: part of a name, folded.
macro_rules! search {
    ($order:literal) => {
        list!(concat!(
            "(?1 = '' OR c.id = ?1 OR o.username = lower(?1) OR ?4 <> '' AND (instr(t.folded_name, ?4) > 0 ",
            "OR instr(t.folded_publisher, ?4) > 0)) AND (?2 = '' OR c.status = ?2) ORDER BY ",
            $order,
            ", c.id DESC LIMIT 51 OFFSET ?3"
        ))
    };
}

const NUMBERS: &str = concat!("SELECT ", numbers!(), " FROM clients AS c WHERE c.id = ?1");
const ONE: &str = list!("c.id = ?1");
const OF_OWNER: &str = list!("c.owner_id = ?1 AND c.status <> 'deleted' ORDER BY c.id DESC LIMIT 500");
const BY_USERS: &str = search!("users DESC");
const BY_TOKENS: &str = search!("tokens DESC");
const BY_AGE: &str = search!("c.created_at DESC");
const BY_NAME: &str = search!("t.folded_name NULLS FIRST");
const BY_STATUS: &str = search!("c.status");

/// What a revocation of a client's tokens would end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub users: i64,
    pub devices: i64,
    pub tokens: i64,
}

from_row! { Numbers: users, devices, tokens }

/// A client in a list, with its numbers.
#[derive(Clone, Debug)]
pub struct ClientRow {
    pub id: ClientId,
    pub name: AppName,
    pub publisher: String,
    pub kind: ClientKind,
    pub status: ClientStatus,
    pub created_at: Timestamp,
    pub owner: Username,
    pub numbers: Numbers,
}

from_row! { ClientRow: id, name, publisher, kind, created_at, owner; status, numbers }

/// How an admin's list of apps is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrder {
    Users,
    Tokens,
    Age,
    Name,
    Status,
}

impl ClientOrder {
    pub const ALL: [Self; 5] = [Self::Users, Self::Tokens, Self::Age, Self::Name, Self::Status];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Tokens => "tokens",
            Self::Age => "age",
            Self::Name => "name",
            Self::Status => "status",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

/// What an admin looks for among apps.
#[derive(Clone, Debug)]
pub struct ClientSearch {
    /// Part of a name or publisher, an owner's name, or an id; empty for all.
    pub text: String,
    /// `None` for all.
    pub status: Option<ClientStatusKind>,
    pub order: ClientOrder,
    /// Pages of fifty, from 0.
    pub page: u32,
}

/// Rows of one page.
pub const PAGE_ROWS: u32 = 50;

/// At most one page of rows, and whether there are more after it.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    pub has_more: bool,
}

impl<T> Rows<T> {
    /// The query must ask for one row more than a page holds. `None` is a row that can't be read.
    pub(super) fn of_page(mut rows: Vec<Option<T>>) -> Self {
        let shown = rows.len().min(PAGE_ROWS as usize);
        let has_more = rows.len() > shown;
        rows.truncate(shown);
        Self { rows: rows.into_iter().flatten().collect(), has_more }
    }
}

impl Store {
    /// Counts what a revocation would end. This takes longer the more there is to count.
    pub async fn client_numbers(&self, id: &ClientId) -> Result<Numbers> {
        Ok(self.row(NUMBERS, params![id]).await?.unwrap_or_default())
    }

    /// A developer's apps, newest first, without deleted ones.
    pub async fn clients_of(&self, owner: &UserId) -> Result<Vec<ClientRow>> {
        self.rows(OF_OWNER, params![owner]).await
    }

    pub async fn client_row(&self, id: &ClientId) -> Result<Option<ClientRow>> {
        self.row(ONE, params![id]).await
    }

    pub async fn search_clients(&self, search: &ClientSearch) -> Result<Rows<ClientRow>> {
        let statement = match search.order {
            ClientOrder::Users => BY_USERS,
            ClientOrder::Tokens => BY_TOKENS,
            ClientOrder::Age => BY_AGE,
            ClientOrder::Name => BY_NAME,
            ClientOrder::Status => BY_STATUS,
        };
        let status = search.status.map_or("", ClientStatusKind::as_str);
        let skipped = i64::from(search.page) * i64::from(PAGE_ROWS);
        let folded = folded(&search.text);
        let values = params![search.text, status, skipped, folded];
        Ok(Rows::of_page(self.rows_read(statement, values, readable).await?))
    }
}
