//! People and resource servers in admins' lists.

use crate::clock::Timestamp;
use crate::model::id::{ResourceServerId, UserId};
use crate::model::text::folded;
use crate::model::user::{Role, UserStatus, UserStatusKind, Username};

use super::client_lists::{PAGE_ROWS, Rows};
use super::sql::{from_row, params, readable};
use super::{Result, Store};

macro_rules! list {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.role, u.status AS user_status, u.status_at AS user_status_at, u.created_at, u.generation, ",
            "(SELECT count(*) FROM grants AS g WHERE g.user_id = u.id AND g.status = 'open') AS apps, ",
            "(SELECT count(*) FROM clients AS c WHERE c.owner_id = u.id AND c.status <> 'deleted') AS own_apps ",
            "FROM users AS u LEFT JOIN user_texts AS t ON t.user_id = u.id WHERE ",
            $rest
        )
    };
}

/// Leaves out the account that owns the drill's app: it is not a person.
const SEARCH: &str = list!(
    "(?1 = '' OR u.id = ?1 OR ?5 <> '' AND instr(t.folded, ?5) > 0) \
    AND (?2 = '' OR u.status = ?2) AND (?3 = '' OR u.role = ?3) \
    AND u.id NOT IN (SELECT c.owner_id FROM drill AS d JOIN clients AS c ON c.id = d.client_id) ORDER BY u.username LIMIT 51 OFFSET ?4"
);
const ONE: &str = list!("u.id = ?1");
const RESOURCE_SERVERS: &str = "SELECT r.id, r.name, r.audience, r.created_at FROM resource_servers AS r \
    WHERE r.deleted_at IS NULL ORDER BY r.name LIMIT 1000";

/// A person in a list.
#[derive(Clone, Debug)]
pub struct UserRow {
    pub id: UserId,
    pub username: Username,
    pub email: Option<String>,
    pub role: Role,
    pub status: UserStatus,
    pub created_at: Timestamp,
    pub generation: i64,
    /// Open grants.
    pub apps: i64,
    /// Apps that the person publishes.
    pub own_apps: i64,
}

from_row! { UserRow: id, username, email, role, created_at, generation, apps, own_apps; status }

/// What an admin looks for among people. An empty text and `None` mean all.
#[derive(Clone, Debug, Default)]
pub struct UserSearch {
    /// Part of a name or address, or an id.
    pub text: String,
    pub status: Option<UserStatusKind>,
    pub role: Option<Role>,
    /// Pages of fifty, from 0.
    pub page: u32,
}

/// A resource server in a list.
#[derive(Clone, Debug)]
pub struct ResourceServerRow {
    pub id: ResourceServerId,
    pub name: String,
    pub audience: String,
    pub created_at: Timestamp,
}

from_row! { ResourceServerRow: id, name, audience, created_at }

impl Store {
    pub async fn search_users(&self, search: &UserSearch) -> Result<Rows<UserRow>> {
        let status = search.status.map_or("", UserStatusKind::as_str);
        let role = search.role.map_or("", Role::as_str);
        let skipped = i64::from(search.page) * i64::from(PAGE_ROWS);
        let folded = folded(&search.text);
        let values = params![search.text, status, role, skipped, folded];
        Ok(Rows::of_page(self.rows_read(SEARCH, values, readable).await?))
    }

    pub async fn user_row(&self, id: &UserId) -> Result<Option<UserRow>> {
        self.row(ONE, params![id]).await
    }

    pub async fn resource_server_rows(&self) -> Result<Vec<ResourceServerRow>> {
        self.rows(RESOURCE_SERVERS, params![]).await
    }
}
