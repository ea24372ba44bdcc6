//! The one call that takes access away.
//!
//! [`Tx::revoke`] ends something in its table (a status, a generation, or a token's row), writes the ledger row, queues
//! the purge, and adds an entry to what is dead, which counts from the commit on. The statements that end something are
//! private to the store, so no verb can do one of these steps and forget another. ([`Tx::end_silently`] is the exception;
//! `tests/architecture.rs` says who may call it.) How each credential is checked:
//! - Authorization codes: against the statuses and generations in the tables (`authorization_codes`).
//! - Access tokens, JWTs included, and refresh tokens: against what is dead (`memory::dead`). It is read from the
//!   ledger and from unfinished purges when the server starts.
//!
//! The purge deletes the rows later.

use crate::clock::Timestamp;
use crate::fail;
use crate::model::act::{Act, Entry, Subject};
use crate::model::by::By;
use crate::model::canary;
use crate::model::client::ClientStatus;
use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId, UserId};
use crate::model::resource_server::{AudienceSet, Audiences};
use crate::model::secret::Digest;
use crate::model::user::UserStatus;

use super::access_tokens::OwnedToken;
use super::ledger::Leaves;
use super::memory::dead::Change;
use super::purges::DeletedRows;
use super::{Result, Tx, feed};

/// What is to end.
pub enum Target<'a> {
    Family(&'a FamilyId),
    Grant(&'a GrantId),
    /// All that a client was given so far. If a generation is given, only while it is the client's.
    TokensOfClient(&'a ClientId, Option<i64>),
    /// All that a client was given so far. The client gets this status.
    Client(&'a ClientId, &'a ClientStatus),
    /// All that was given for a user so far. If a generation is given, only while it is the user's.
    TokensOfUser(&'a UserId, Option<i64>),
    /// All that was given for a user so far. The account gets this status.
    User(&'a UserId, &'a UserStatus),
    AccessToken(&'a Digest, OwnedToken),
    /// A JWT: its `jti`, and when it expires.
    Jwt(&'a str, Timestamp, OwnedToken),
}

/// What ended.
struct Ended {
    subject: Subject,
    grant: Option<GrantId>,
    client: Option<ClientId>,
    user: Option<UserId>,
    /// Only for a single token, which leaves nothing to purge: where it was accepted, and how many rows were deleted.
    token: Option<(Audiences, i64)>,
}

impl Ended {
    const fn of(subject: Subject) -> Self {
        Self { subject, grant: None, client: None, user: None, token: None }
    }

    fn token(id: String, of: OwnedToken, rows: i64) -> Self {
        let OwnedToken { client, grant, user, audiences } = of;
        let token = Some((Audiences::Only(audiences), rows));
        Self { subject: Subject::Token(id), grant, client: Some(client), user, token }
    }
}

impl Tx<'_> {
    /// Takes access away, and makes sure that everybody is told after the commit. `false` if there was nothing to take.
    pub fn revoke(&self, target: Target<'_>, act: Act, receipt: &ReceiptId, by: &By) -> Result<bool> {
        self.waits_for_earlier_acts();
        let Some(Ended { subject, grant, client, user, token }) = self.end(target, by.at)? else {
            return Ok(false);
        };
        let (audiences, rows) = match token {
            Some((audiences, rows)) => (audiences, Some(rows)),
            None if act == Act::CanaryRevoked => {
                (Audiences::Only(AudienceSet::stored(canary::AUDIENCE)), None)
            }
            None => (self.audiences_of(&subject, grant.as_ref())?, None),
        };
        let entry = Entry { receipt: receipt.clone(), act, subject, grant, client, user };
        let leaves = rows.map_or(Leaves::DeadRows, |access_tokens| {
            Leaves::Deleted(DeletedRows { access_tokens, ..DeletedRows::default() })
        });
        fail::point("revoke.before_ledger");
        self.insert_ledger(&entry, &audiences, leaves, by)?;
        fail::point("revoke.after_purge_queued");
        self.dies(&entry.subject, rows.is_some(), by.at);
        Ok(true)
    }

    /// The same for everything that was ever minted, in this history of the database and in any other. For a copy that
    /// nobody serves yet, so the rows are deleted at once.
    pub fn revoke_everything(&self, receipt: &ReceiptId, by: &By) -> Result<DeletedRows> {
        let generation = self.begin_history(by.at)?;
        let deleted = self.void_all()?;
        let subject = Subject::Server { generation };
        let act = Act::DatabaseRestored;
        let entry = Entry { receipt: receipt.clone(), act, subject, grant: None, client: None, user: None };
        self.insert_ledger(&entry, &Audiences::Everyone, Leaves::Deleted(deleted), by)?;
        self.dies(&entry.subject, true, by.at);
        Ok(deleted)
    }

    /// To be called where a missing row means that there is nothing to do. An earlier act may have deleted it whose
    /// commit is not durable yet; this one is answered only when that is.
    pub fn waits_for_earlier_acts(&self) {
        self.effects.borrow_mut().has_acted = true;
    }

    /// Ends something without a ledger row. For an account that never had anything, and for a copy of the database that
    /// nobody serves yet and that gets the row from an exported ledger. Returns the new generation, if there is one.
    pub fn end_silently(&self, target: Target<'_>, at: Timestamp) -> Result<Option<i64>> {
        Ok(self.end(target, at)?.and_then(|ended| ended.subject.generation()))
    }

    fn end(&self, target: Target<'_>, at: Timestamp) -> Result<Option<Ended>> {
        let client = |id: &ClientId, generation| Ended {
            client: Some(id.clone()),
            ..Ended::of(Subject::Client { id: id.clone(), generation })
        };
        let user = |id: &UserId, generation| Ended {
            user: Some(id.clone()),
            ..Ended::of(Subject::User { id: id.clone(), generation })
        };
        Ok(match target {
            Target::Family(id) => self.close_family(id)?.map(|closed| Ended {
                grant: Some(closed.grant),
                client: Some(closed.client),
                user: Some(closed.user),
                ..Ended::of(Subject::Family(id.clone()))
            }),
            Target::Grant(id) => self.end_grant(id, at)?.map(|(client, user)| Ended {
                grant: Some(id.clone()),
                client: Some(client),
                user: Some(user),
                ..Ended::of(Subject::Grant(id.clone()))
            }),
            Target::TokensOfClient(id, seen) => {
                self.move_client_generation(id, seen)?.map(|generation| client(id, generation))
            }
            Target::Client(id, status) => {
                self.shut_client(id, status)?.map(|generation| client(id, generation))
            }
            Target::TokensOfUser(id, seen) => {
                self.move_user_generation(id, seen)?.map(|generation| user(id, generation))
            }
            Target::User(id, status) => self.shut_user(id, status)?.map(|generation| user(id, generation)),
            Target::AccessToken(token, of) => {
                self.delete_access_token(token)?.then(|| Ended::token(token.token_id(), of, 1))
            }
            Target::Jwt(id, expires_at, of) => {
                let is_new = self.insert_revoked_token(id, &of.client, expires_at)?;
                is_new.then(|| Ended::token(id.to_owned(), of, 0))
            }
        })
    }

    /// The resource servers that may accept tokens of a subject: all audiences that its grant ever had. Everyone for a
    /// client or a user, and if the grant is unknown.
    fn audiences_of(&self, subject: &Subject, grant: Option<&GrantId>) -> Result<Audiences> {
        match (subject, grant) {
            (Subject::Family(_) | Subject::Grant(_), Some(grant)) => self.grant_audiences(grant),
            _ => Ok(Audiences::Everyone),
        }
    }

    fn dies(&self, subject: &Subject, is_whole: bool, at: Timestamp) {
        let subject = feed::subject(subject.kind(), subject.id().to_owned(), subject.generation());
        let subject = self.dead.hash_subject(&subject);
        let change = if is_whole { Change::RevokedAndPurged(subject, at) } else { Change::Revoked(subject) };
        self.effects.borrow_mut().dead.push(change);
    }
}
