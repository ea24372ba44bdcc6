//! Issuing tokens: code → tokens, refresh token → tokens, client credentials → token.
//!
//! A new token copies its stamp from what was exchanged, and never takes the current generations. So if something was
//! revoked in between, the new token is dead from the start, and no lock is needed.
//!
//! A JWT has no row. The transaction returns its claims, and it is signed after the commit, outside the writer's
//! thread.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::fail;
use crate::jwt::claims::{Claims, NewClaims};
use crate::jwt::token::Jwt;
use crate::model::act::Act;
use crate::model::id::FamilyId;
use crate::model::scope::Scope;
use crate::model::secret::{AccessToken, AuthorizationCode, RefreshToken};
use crate::model::stamp::Stamp;
pub use crate::service::issue_context::{AccessTokenKind, IssueContext, Lives};
use crate::service::revoke;
use crate::store::access_tokens::Allowance;
use crate::store::authorization_codes::{Exchanged, Redemption};
use crate::store::refresh_tokens::{Repetition, shown_refresh_token};
use crate::store::{self, Store, Tx};

/// An access token that was just made.
#[derive(Debug)]
pub enum Access {
    Opaque(AccessToken),
    Jwt(Jwt),
}

impl Access {
    pub fn expose(&self) -> &str {
        match self {
            Self::Opaque(token) => token.expose(),
            Self::Jwt(token) => token.expose(),
        }
    }
}

/// A token answer (RFC 6749 §5.1).
#[derive(Debug)]
pub struct Issued {
    pub access_token: Access,
    pub expires_in: Duration,
    pub scope: Scope,
    pub refresh_token: Option<RefreshToken>,
}

/// The transaction's result: a token answer before a JWT is signed.
struct Minted {
    access: Unsigned,
    scope: Scope,
    refresh_token: Option<RefreshToken>,
}

enum Unsigned {
    Opaque(AccessToken),
    Jwt(Box<Claims>),
}

impl Minted {
    fn sign(self, context: &IssueContext) -> Result<Issued> {
        let access_token = match (self.access, &context.kind) {
            (Unsigned::Opaque(token), _) => Access::Opaque(token),
            (Unsigned::Jwt(claims), AccessTokenKind::Jwt { signing, .. }) => {
                let jwt = signing.at(context.now).ok().and_then(|key| Jwt::sign(&claims, key));
                Access::Jwt(jwt.ok_or(Error::Unsigned)?)
            }
            (Unsigned::Jwt(_), AccessTokenKind::Opaque) => return Err(Error::Unsigned),
        };
        let Self { scope, refresh_token, .. } = self;
        Ok(Issued { access_token, expires_in: context.life(), scope, refresh_token })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Unknown, expired, used, revoked, another client's, or bound to something else.
    #[error("the code or refresh token is not valid")]
    InvalidGrant,
    /// The request has a verifier, but the code was requested without a challenge (RFC 9700 §2.1.1).
    #[error("code_verifier without code_challenge")]
    UnexpectedVerifier,
    /// More than was granted (RFC 6749 §6), or nothing is left of it.
    #[error("the scope exceeds what was granted")]
    InvalidScope,
    /// A resource for which nothing was granted (RFC 8707 §2.2).
    #[error("the resource is none of those granted")]
    InvalidTarget,
    /// A JWT is for one resource server, and the request does not say for which (RFC 9068 §3).
    #[error("the scope spans several resource servers")]
    SeveralAudiences,
    /// More scopes than a JWT has room for.
    #[error("the scope is too long for a JWT")]
    LongScope,
    /// The client may no longer act.
    #[error("the client may not act")]
    ClientShut,
    /// The system gives no randomness, or there is no key that signs.
    #[error("the token could not be signed")]
    Unsigned,
}

pub type Result<T> = std::result::Result<T, Error>;

/// Whether a code exchange issues a refresh token too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshing {
    Yes,
    No,
}

/// The life of the longest-lived token that an exchange issues.
fn longest(context: &IssueContext, refreshing: Refreshing) -> Duration {
    match refreshing {
        Refreshing::Yes => context.life().max(context.lives.refresh_token),
        Refreshing::No => context.life(),
    }
}

/// The part of `scope` that an access token gets: what is still registered, for the resource servers that the request
/// names.
///
/// # Errors
/// `InvalidTarget`; `InvalidScope` if nothing is left.
fn narrowed(context: &IssueContext, scope: &Scope) -> Result<Scope> {
    let audiences = context.scopes.audiences(scope);
    if !context.resources.iter().all(|resource| audiences.contains(resource)) {
        return Err(Error::InvalidTarget);
    }
    let scope = context.scopes.narrowed(scope, &context.resources);
    if scope.is_empty() { Err(Error::InvalidScope) } else { Ok(scope) }
}

/// A code as a token request shows it.
#[derive(Debug)]
pub struct CodeRequest {
    pub code: AuthorizationCode,
    pub redirect_uri: Option<String>,
    /// S256 of the request's `code_verifier`.
    pub code_challenge: Option<String>,
    pub refreshing: Refreshing,
}

/// Redeems an authorization code (RFC 6749 §4.1.3).
///
/// # Errors
/// `InvalidGrant`. A replay with everything else right also closes the code's family. A replay that anybody could send
/// closes nothing (OAuth 2.1 §4.1.3).
pub async fn redeem(store: &Store, request: CodeRequest, context: IssueContext) -> Result<Issued> {
    let after = context.clone();
    let redemption = Redemption {
        code: request.code.digest(),
        client: context.client.clone(),
        redirect_uri: request.redirect_uri,
        code_challenge: request.code_challenge,
    };
    store
        .write(move |tx| {
            if let Some(exchanged) = tx.use_authorization_code(&redemption, context.now)? {
                fail::point("issue.after_code_used");
                return first_tokens(tx, exchanged, request.refreshing, &context).map(Some);
            }
            let asked_with_challenge = tx.code_has_challenge(&redemption.code, &context.client)?;
            if asked_with_challenge == Some(false) && redemption.code_challenge.is_some() {
                return Err(Error::UnexpectedVerifier);
            }
            if let Some(family) = tx.replayed_code_family(&redemption, context.now)? {
                let by = context.by();
                revoke::close_family(tx, &family, Act::CodeReplayed, &by)?;
            }
            Ok(None)
        })
        .await?
        .ok_or(Error::InvalidGrant)?
        .sign(&after)
}

fn first_tokens(
    tx: &Tx<'_>,
    mut exchanged: Exchanged,
    refreshing: Refreshing,
    context: &IssueContext,
) -> Result<Minted> {
    exchanged.kept_until = prolong(tx, &exchanged, context, longest(context, refreshing))?;
    let mut minted = access_token(tx, &exchanged, &exchanged.scope, context)?;
    fail::point("issue.after_access_token");
    if refreshing == Refreshing::Yes {
        let token = RefreshToken::generate(born(&exchanged.stamp, context));
        insert_refresh_token(tx, &token, &exchanged, context)?;
        fail::point("issue.after_refresh_token");
        minted.refresh_token = Some(token);
    }
    Ok(minted)
}

/// A refresh token as a token request shows it.
#[derive(Debug)]
pub struct RefreshRequest {
    pub token: RefreshToken,
    /// `None` means all that was granted.
    pub scope: Option<Scope>,
}

/// Refreshes (RFC 6749 §6), with rotation every time.
///
/// Within the grace, while nobody has refreshed with the successor, the predecessor gets the *same* successor again. So
/// lost answers and parallel refreshes do no harm.
///
/// # Errors
/// `InvalidGrant`. Any other second use of a token by its own client also closes the family.
pub async fn refresh(store: &Store, request: RefreshRequest, context: IssueContext) -> Result<Issued> {
    let after = context.clone();
    let lookup = shown_refresh_token(&request.token.digest());
    let minted = store.write_after(Some(lookup), move |tx| refresh_in(tx, &request, &context)).await?;
    minted.ok_or(Error::InvalidGrant)?.sign(&after)
}

fn refresh_in(tx: &Tx<'_>, request: &RefreshRequest, context: &IssueContext) -> Result<Option<Minted>> {
    let RefreshRequest { token, .. } = request;
    let grace = context.lives.refresh_grace;
    if let Some(mut current) = tx.current_refresh_token(&token.digest(), &context.client, context.now)? {
        // First, so that a refusal has written nothing.
        let minted = refreshed(tx, &current.exchanged, request, context)?;
        if !tx.supersede_refresh_token(&current, context.now)? {
            return Err(Error::InvalidGrant);
        }
        fail::point("refresh.after_superseded");
        let exchanged = &mut current.exchanged;
        let successor = tx.derive_successor(token, &context.successors, grace, context.now)?;
        exchanged.kept_until = prolong(tx, exchanged, context, longest(context, Refreshing::Yes))?;
        insert_refresh_token(tx, &successor, exchanged, context)?;
        fail::point("refresh.after_successor");
        return Ok(Some(Minted { refresh_token: Some(successor), ..minted }));
    }
    match tx.repeated_refresh_token(token, &context.client, &context.successors, grace, context.now)? {
        Some(Repetition::Repeatable(exchanged, successor)) => {
            let minted = refreshed(tx, &exchanged, request, context)?;
            prolong(tx, &exchanged, context, context.life())?;
            return Ok(Some(Minted { refresh_token: Some(successor), ..minted }));
        }
        Some(Repetition::Reuse(family)) => {
            let by = context.by();
            revoke::close_family(tx, &family, Act::RefreshTokenReused, &by)?;
        }
        Some(Repetition::Unknown) | None => {}
    }
    Ok(None)
}

/// The access token that a refresh issues.
fn refreshed(
    tx: &Tx<'_>,
    exchanged: &Exchanged,
    request: &RefreshRequest,
    context: &IssueContext,
) -> Result<Minted> {
    let scope = request.scope.as_ref().unwrap_or(&exchanged.scope);
    if !scope.is_subset(&exchanged.scope) {
        return Err(Error::InvalidScope);
    }
    access_token(tx, exchanged, scope, context)
}

/// The birth of the family, by which its tokens are found.
fn born(stamp: &Stamp, context: &IssueContext) -> Timestamp {
    stamp.family.as_ref().map_or(context.now, FamilyId::born)
}

fn access_token(tx: &Tx<'_>, exchanged: &Exchanged, scope: &Scope, context: &IssueContext) -> Result<Minted> {
    let scope = narrowed(context, scope)?;
    let stamp = &exchanged.stamp;
    match &context.kind {
        AccessTokenKind::Opaque => {
            let token = AccessToken::generate(born(stamp, context));
            let audiences = context.scopes.audiences(&scope);
            let expires_at = context.now.plus(context.life());
            let allows = Allowance { scope: &scope, audiences: &audiences, expires_at };
            tx.insert_access_token(&token.digest(), exchanged, &allows, context.now)?;
            Ok(Minted { access: Unsigned::Opaque(token), scope, refresh_token: None })
        }
        AccessTokenKind::Jwt { issuer, .. } => {
            // Scope and generation come from one row, so they belong together.
            let grant = stamp.grant.as_ref().ok_or(Error::InvalidGrant)?;
            let (generation, granted) = tx.grant_terms(grant)?.ok_or(Error::InvalidGrant)?;
            claims(issuer, stamp, Some(generation), scope.intersection(&granted), context)
        }
    }
}

fn claims(
    issuer: &str,
    stamp: &Stamp,
    grant_generation: Option<i64>,
    scope: Scope,
    context: &IssueContext,
) -> Result<Minted> {
    let audiences = context.scopes.audiences(&scope);
    let audience = audiences.single().ok_or(Error::SeveralAudiences)?;
    // A longer scope could not be read back.
    if scope.as_str().len() > Claims::LONGEST_SCOPE {
        return Err(Error::LongScope);
    }
    let allows = NewClaims { issuer, audience, scope: &scope, stamp, grant_generation };
    let claims = Claims::new(allows, context.now, context.life());
    Ok(Minted { access: Unsigned::Jwt(Box::new(claims)), scope, refresh_token: None })
}

fn insert_refresh_token(
    tx: &Tx<'_>,
    token: &RefreshToken,
    exchanged: &Exchanged,
    context: &IssueContext,
) -> Result<()> {
    let expires_at = context.now.plus(context.lives.refresh_token);
    Ok(tx.insert_refresh_token(&token.digest(), exchanged, expires_at)?)
}

/// Keeps the family as long as the new token lives, because a family without a row can't be closed. Returns a time
/// until which the family is kept at least.
///
/// It is kept longer by a 32nd of the life, so that not every refresh has to write it.
fn prolong(tx: &Tx<'_>, exchanged: &Exchanged, context: &IssueContext, life: Duration) -> Result<Timestamp> {
    let until = context.now.plus(life);
    match &exchanged.stamp.family {
        Some(family) if exchanged.kept_until < until => {
            Ok(tx.prolong_family(family, until, until.plus(life / 32))?)
        }
        _ => Ok(exchanged.kept_until),
    }
}

/// A token for the client itself (RFC 6749 §4.4). If it is a JWT, nothing is written.
///
/// # Errors
/// `ClientShut` if the client may no longer act.
pub async fn for_client(store: &Store, scope: Scope, context: IssueContext) -> Result<Issued> {
    let scope = narrowed(&context, &scope)?;
    if let AccessTokenKind::Jwt { issuer, .. } = &context.kind {
        let generations =
            store.client_generations(&context.client, context.now).await?.ok_or(Error::ClientShut)?;
        let stamp =
            Stamp { family: None, grant: None, client: context.client.clone(), user: None, generations };
        return claims(issuer, &stamp, None, scope, &context)?.sign(&context);
    }
    let after = context.clone();
    store
        .write(move |tx| {
            let token = AccessToken::generate(context.now);
            let audiences = context.scopes.audiences(&scope);
            let expires_at = context.now.plus(context.life());
            let allows = Allowance { scope: &scope, audiences: &audiences, expires_at };
            if !tx.insert_client_access_token(&token.digest(), &context.client, &allows, context.now)? {
                return Err(Error::ClientShut);
            }
            fail::point("issue.after_client_token");
            Ok(Minted { access: Unsigned::Opaque(token), scope: scope.clone(), refresh_token: None })
        })
        .await?
        .sign(&after)
}
