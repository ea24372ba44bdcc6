//! The issuer whose database it is. Servers of two issuers on one database would each refuse the other's tokens.

use crate::store::sql::params;
use crate::store::{Engine, Error, Result, Store};

const CLAIM: &str = "UPDATE head SET issuer = coalesce(issuer, ?1) WHERE id = 1 RETURNING issuer";

impl Store {
    /// Makes the database this issuer's, if it is nobody's yet.
    ///
    /// # Errors
    /// [`Error::Unusable`] if it is another one's.
    pub async fn belong_to(&self, issuer: &str) -> Result<()> {
        let Engine::Postgres(_) = self.engine else { return Ok(()) };
        let owner: String = self.only(CLAIM, params![issuer], |row| row.get(0)).await?;
        if owner == issuer {
            return Ok(());
        }
        Err(Error::Unusable(format!(
            "the database belongs to the issuer {owner}, and RESCIND_ISSUER is {issuer}; to rename it for all servers, \
             stop them and run: UPDATE head SET issuer = NULL"
        )))
    }
}
