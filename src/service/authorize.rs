//! Consent: a user authorizes a client, and the client gets a code.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::fail;
use crate::model::audit::{Event, Object};
use crate::model::by::By;
use crate::model::client::RedirectUri;
use crate::model::id::{ClientId, FamilyId, GrantId, UserId};
use crate::model::resource_server::Audiences;
use crate::model::scope::Scope;
use crate::model::secret::AuthorizationCode;
use crate::model::stamp::{Generations, Stamp};
use crate::service::audit;
use crate::store::grants::{Consented, OpenGrant};
use crate::store::resource_servers::Scopes;
use crate::store::{self, Store, Tx};

/// What the user is asked to authorize.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub client: ClientId,
    pub user: UserId,
    pub scope: Scope,
    /// Where the answer is sent.
    pub answers_to: RedirectUri,
    /// As the request had it. A code is bound to it (RFC 6749 §4.1.3).
    pub redirect_uri: Option<String>,
    /// S256 (RFC 7636 §4.2).
    pub code_challenge: Option<String>,
    /// A description of the browser that its user will recognise.
    pub device: String,
}

/// What the consent page was made from.
///
/// An approval counts only while all of it is unchanged. So if something is revoked while the page is open,
/// the user sees that before anything is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentState {
    /// The user that the page was made for. Somebody else may have signed in since.
    pub user: UserId,
    pub generations: Generations,
    /// The registration's version.
    pub version: i64,
    /// The grant of this user and client that ended last. If it differs, a grant has ended since.
    pub ended: Option<GrantId>,
}

impl ConsentState {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let user = UserId::parse(parts.next()?)?;
        let mut number = || parts.next()?.parse().ok();
        let generations = Generations { server: number()?, client: number()?, user: Some(number()?) };
        let version = number()?;
        let ended = match parts.next()? {
            "-" => None,
            id => Some(GrantId::parse(id)?),
        };
        parts.next().is_none().then_some(Self { user, generations, version, ended })
    }
}

impl std::fmt::Display for ConsentState {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Generations { server, client, user } = self.generations;
        let ended = self.ended.as_ref().map_or("-", GrantId::as_str);
        let user = user.unwrap_or_default();
        write!(out, "{}.{server}.{client}.{user}.{}.{ended}", self.user, self.version)
    }
}

/// Why a code may be issued.
#[derive(Clone, Debug)]
pub enum Basis {
    /// The user has just approved, on a page that showed this.
    Approved(ConsentState),
    /// The user approved earlier, and nothing has changed since.
    EarlierConsent,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client or the user may no longer act, the user has blocked the client, or the redirect address is banned.
    #[error("the client may not ask this user")]
    Shut,
    /// The user has to see the consent page (again) before a code is issued.
    #[error("the user has to be asked")]
    Ask,
}

/// The current state, for the consent page. `None` if the client or the user may not act.
///
/// # Errors
/// When the store fails.
pub async fn look(store: &Store, client: &ClientId, user: &UserId) -> store::Result<Option<ConsentState>> {
    let Some(generations) = store.generations(client, user).await? else { return Ok(None) };
    let Some(version) = store.client(client).await?.map(|client| client.version) else { return Ok(None) };
    let ended = store.last_ended_grant(client, user).await?;
    Ok(Some(ConsentState { user: user.clone(), generations, version, ended }))
}

/// Whether a standing consent covers `scope` now.
///
/// # Errors
/// When the store fails.
pub async fn stands(store: &Store, client: &ClientId, user: &UserId, scope: &Scope) -> store::Result<bool> {
    let (Some(now), Some(grant)) =
        (store.generations(client, user).await?, store.open_grant(client, user).await?)
    else {
        return Ok(false);
    };
    let is_unchanged = store.client_changes(client, grant.authorized_at).await?.is_empty()
        && !store.scopes().await?.has_new_words(scope, grant.authorized_at);
    Ok(grant.generations == now && scope.is_subset(&grant.scope) && is_unchanged)
}

/// Issues a code for a new family of the user's grant. Opens or renews the grant if the user has just approved.
///
/// Generations are read here, in the transaction that checks the statuses. All that is issued for the code copies them.
///
/// # Errors
/// `Ask` if the basis no longer holds; `Shut`.
pub async fn authorize(
    store: &Store,
    authorization: Authorization,
    basis: Basis,
    life: Duration,
    by: By,
) -> Result<AuthorizationCode, Error> {
    let scopes = store.scopes().await?;
    store
        .act(by, move |tx, by| {
            let now = by.at;
            let generations =
                tx.generations(&authorization.client, &authorization.user)?.ok_or(Error::Shut)?;
            let is_blocked = tx.is_blocked(&authorization.user, &authorization.client)?;
            // The host may have been banned while the page was open.
            if is_blocked || tx.is_banned(&authorization.answers_to)? {
                return Err(Error::Shut);
            }
            let grant = consented_grant(tx, &authorization, &basis, generations, &scopes, by)?;
            let family = FamilyId::generate(now);
            let code = AuthorizationCode::generate(family.born());
            let stamp = Stamp {
                family: Some(family),
                grant: Some(grant),
                client: authorization.client.clone(),
                user: Some(authorization.user.clone()),
                generations,
            };
            insert_code(tx, &code, &authorization, &stamp, life, now)?;
            Ok(code)
        })
        .await
}

fn consented_grant(
    tx: &Tx<'_>,
    authorization: &Authorization,
    basis: &Basis,
    generations: Generations,
    scopes: &Scopes,
    by: &By,
) -> Result<GrantId, Error> {
    let now = by.at;
    let Authorization { client, user, scope, .. } = authorization;
    let open = tx.open_grant(client, user)?;
    match basis {
        Basis::EarlierConsent => {
            let grant = open.ok_or(Error::Ask)?;
            // When the user agreed, the app had another name or address, or its scopes had other descriptions.
            let has_changed = tx.client_has_changed(client, grant.authorized_at)?
                || scopes.has_new_words(scope, grant.authorized_at);
            if grant.generations != generations || !scope.is_subset(&grant.scope) || has_changed {
                return Err(Error::Ask);
            }
            Ok(grant.id)
        }
        Basis::Approved(seen) => {
            let version = tx.client(client)?.ok_or(Error::Shut)?.version;
            let ended = tx.last_ended_grant(client, user)?;
            if *seen != (ConsentState { user: user.clone(), generations, version, ended }) {
                return Err(Error::Ask);
            }
            let audiences = Audiences::Only(scopes.audiences(scope));
            let grant = match open {
                Some(grant) => renew(tx, grant, scope, &audiences, generations, now)?,
                None => {
                    let id = GrantId::generate(now);
                    let consented = Consented { scope, audiences: &audiences, generations };
                    if !tx.insert_grant(&id, user, client, &consented, now)? {
                        return Err(Error::Ask);
                    }
                    id
                }
            };
            let object = Object::Grant { id: grant.clone(), client: client.clone(), user: user.clone() };
            audit::record(tx, Event::ConsentGiven, object, Some(scope.to_string()), by)?;
            Ok(grant)
        }
    }
}

/// Adds to an open grant what the user has just agreed to.
fn renew(
    tx: &Tx<'_>,
    grant: OpenGrant,
    scope: &Scope,
    audiences: &Audiences,
    generations: Generations,
    now: Timestamp,
) -> Result<GrantId, Error> {
    // What an outdated consent allowed was revoked with it, so only the scope of a current one is kept.
    let scope = if grant.generations == generations { scope.union(&grant.scope) } else { scope.clone() };
    // Audiences only grow, because somebody may still hold tokens of an outdated consent.
    let audiences = grant.audiences.union(audiences);
    let consented = Consented { scope: &scope, audiences: &audiences, generations };
    if tx.renew_grant(&grant.id, &consented, now)? { Ok(grant.id) } else { Err(Error::Ask) }
}

fn insert_code(
    tx: &Tx<'_>,
    code: &AuthorizationCode,
    authorization: &Authorization,
    stamp: &Stamp,
    life: Duration,
    now: Timestamp,
) -> store::Result<()> {
    let expires_at = now.plus(life);
    tx.insert_family(stamp, &authorization.device, expires_at)?;
    fail::point("authorize.after_family");
    tx.insert_authorization_code(
        &store::authorization_codes::NewCode {
            digest: code.digest(),
            stamp: stamp.clone(),
            scope: authorization.scope.clone(),
            redirect_uri: authorization.redirect_uri.clone(),
            code_challenge: authorization.code_challenge.clone(),
            expires_at,
        },
        now,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_state_survives_its_form_field() {
        let generations = Generations { server: 1, client: 22, user: Some(3) };
        let user = UserId::generate(Timestamp::from_millis(4));
        for ended in [None, Some(GrantId::generate(Timestamp::from_millis(5)))] {
            let seen = ConsentState { user: user.clone(), generations, version: 7, ended };
            assert_eq!(ConsentState::parse(&seen.to_string()), Some(seen));
        }
        for text in ["", "1.2.3.4", "1.2.3.4.", "1.2.x.4.-", "1.2.3.4.-.4", "1.2.3.4.usr_1"] {
            let text = format!("{user}.{text}");
            assert_eq!(ConsentState::parse(&text), None, "{text:?}");
        }
    }
}
