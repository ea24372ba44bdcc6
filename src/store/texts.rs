//! The `client_texts` and `user_texts` tables: forms of names and domains that searches and the look-alike check
//! compare.

use crate::model::client::{Client, RedirectUri, RedirectUris};
use crate::model::id::{ClientId, UserId};
use crate::model::text::{folded, skeletons};

use super::sql::{Connection, from_row, params};
use super::{Result, Store, Tx};

const WRITE_CLIENT: &str = "INSERT INTO client_texts (client_id, folded_name, folded_publisher, skeleton, \
    folded_skeleton, domains) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (client_id) DO UPDATE SET \
    folded_name = excluded.folded_name, folded_publisher = excluded.folded_publisher, skeleton = excluded.skeleton, \
    folded_skeleton = excluded.folded_skeleton, domains = excluded.domains";
const WRITE_USER: &str = "INSERT INTO user_texts (user_id, folded) VALUES (?1, ?2) \
    ON CONFLICT (user_id) DO UPDATE SET folded = excluded.folded";
const ERASE_USER: &str = "DELETE FROM user_texts WHERE user_id = ?1";
const CLIENTS_WITHOUT: &str = "SELECT id, name, publisher, redirect_uris FROM clients AS c \
    WHERE NOT EXISTS (SELECT 1 FROM client_texts AS t WHERE t.client_id = c.id)";
const USERS_WITHOUT: &str = "SELECT id, username, email FROM users AS u \
    WHERE NOT EXISTS (SELECT 1 FROM user_texts AS t WHERE t.user_id = u.id)";
/// Another owner's app whose name looks the same but is not the same.
const LOOKS_LIKE: &str = "SELECT 1 FROM client_texts AS t JOIN clients AS c ON c.id = t.client_id \
    WHERE (t.skeleton = ?1 OR t.folded_skeleton = ?2) AND t.folded_name <> ?3 AND c.owner_id <> ?4 \
    AND c.status IN ('active', 'suspended') LIMIT 1";
/// ?1: an app to leave out; ?2: a domain, which includes its subdomains.
const WITH_DOMAIN: &str = "SELECT c.id, c.name FROM client_texts AS t JOIN clients AS c ON c.id = t.client_id \
    WHERE c.id <> ?1 AND c.status IN ('active', 'suspended') AND (instr(t.domains, ' ' || ?2 || ' ') > 0 \
    OR instr(t.domains, '.' || ?2 || ' ') > 0) ORDER BY c.id LIMIT 20";

/// Another app that sends people to the same domain.
#[derive(Clone, Debug)]
pub struct Neighbour {
    pub id: ClientId,
    pub name: crate::model::client::AppName,
}

from_row! { Neighbour: id, name }

fn write_client(
    connection: Connection<'_>,
    id: &str,
    name: &str,
    publisher: &str,
    uris: &[RedirectUri],
) -> Result<()> {
    let [skeleton, folded_skeleton] = skeletons(name);
    let domains: String = uris.iter().map(|uri| format!(" {}", uri.domain())).collect();
    connection.run(
        WRITE_CLIENT,
        params![id, folded(name), folded(publisher), skeleton, folded_skeleton, domains + " ",],
    )?;
    Ok(())
}

fn write_user(connection: Connection<'_>, id: &str, username: &str, email: Option<&str>) -> Result<()> {
    let text = format!("{}\n{}", folded(username), folded(email.unwrap_or_default()));
    connection.run(WRITE_USER, params![id, &text])?;
    Ok(())
}

/// Writes the rows that clients and users of earlier versions lack.
pub(super) fn complete(connection: &mut rusqlite::Connection) -> Result<()> {
    let tx = connection.transaction()?;
    let rows = Connection::Sqlite(&tx);
    rows.each(CLIENTS_WITHOUT, params![], |row| {
        let uris = RedirectUris::stored(&row.lossy(3)?);
        write_client(rows, &row.lossy(0)?, &row.lossy(1)?, &row.lossy(2)?, &uris)
    })?;
    rows.each(USERS_WITHOUT, params![], |row| {
        write_user(rows, &row.lossy(0)?, &row.lossy(1)?, Some(&row.lossy(2)?))
    })?;
    Ok(tx.commit()?)
}

impl Store {
    /// Apps other than `id` that send people to `domain` or to a subdomain.
    pub async fn clients_with_domain(&self, domain: &str, id: &ClientId) -> Result<Vec<Neighbour>> {
        self.rows(WITH_DOMAIN, params![id, domain]).await
    }
}

impl Tx<'_> {
    /// Whether another owner's app has a name that looks like `client`'s but is not the same.
    ///
    /// The same name is allowed: nobody owns a word, pages show publisher and domain beside it, and a search finds
    /// both. A look-alike is meant to be mistaken for the other.
    pub fn looks_like_another(&self, client: &Client) -> Result<bool> {
        let name = client.name.as_str();
        let [skeleton, folded_skeleton] = skeletons(name);
        self.any(LOOKS_LIKE, params![skeleton, folded_skeleton, folded(name), client.owner])
    }

    pub(super) fn write_client_texts(&self, client: &Client) -> Result<()> {
        let Client { id, name, publisher, redirect_uris, .. } = client;
        write_client(self.connection(), id.as_str(), name.as_str(), publisher, redirect_uris)
    }

    pub(super) fn write_user_texts(&self, id: &UserId, username: &str, email: Option<&str>) -> Result<()> {
        write_user(self.connection(), id.as_str(), username, email)
    }

    pub(super) fn erase_user_texts(&self, id: &UserId) -> Result<()> {
        self.run(ERASE_USER, params![id])?;
        Ok(())
    }
}
