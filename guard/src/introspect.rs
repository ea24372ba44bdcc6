//! Introspection (RFC 7662), for tokens that only the server can read.

use std::time::Duration;

use serde::Deserialize;

use crate::answer_cache;
use crate::claims::{Claims, Stamp, UserStamp};
use crate::http_client::Failure;
use crate::refusal::Refusal;
use crate::report::count;
use crate::shared::Shared;

/// How long an answer is cached at most. Entries are kept longer, so an answer never outlives the entry that ends it.
const MAX_AGE: Duration = Duration::from_secs(3600);

fn digest(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

/// What the server says about a token. Unknown members are ignored.
#[derive(Deserialize)]
struct Answer {
    active: bool,
    iss: Option<String>,
    aud: Option<String>,
    token_type: Option<String>,
    sub: Option<String>,
    client_id: Option<String>,
    scope: Option<String>,
    jti: Option<String>,
    iat: Option<i64>,
    exp: Option<i64>,
    cnf: Option<serde::de::IgnoredAny>,
    server_generation: Option<u64>,
    client_generation: Option<u64>,
    user_generation: Option<u64>,
    grant_id: Option<String>,
    grant_generation: Option<u64>,
    family_id: Option<String>,
}

/// Accepts or refuses a well-formed opaque token.
pub async fn check_opaque(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    let digest = digest(token);
    if shared.settings.cached_answers > 0
        && let Some(answer) = cached_answer(shared, &digest)
    {
        count(&shared.counts.cache_hits);
        shared.note_use(&answer.claims, &answer.ids);
        return Ok(answer.claims);
    }
    let mut before = shared.state.progress().changes;
    let mut claims = ask(shared, token).await?;
    let mut ids = shared.state.id_hasher().hash_ids_of(&claims);
    // What was revoked while the answer was on its way counts here, whatever the answer says.
    if shared.state.covering(&ids.with_current_grant()).is_some() {
        before = shared.state.progress().changes;
        claims = ask(shared, token).await?;
        ids = shared.state.id_hasher().hash_ids_of(&claims);
        if let Some(revoked) = shared.state.covering(&ids.with_current_grant()) {
            return Err(Refusal::Revoked(revoked));
        }
    }
    let left = u64::try_from(claims.exp - shared.state.clock().wall()).unwrap_or(0);
    let until = shared.state.clock().boot().plus(Duration::from_secs(left).min(MAX_AGE));
    let can_be_ended = claims.jti.is_some() && shared.state.covering(&ids).is_none();
    if can_be_ended && shared.state.is_fresh() {
        shared.cache.put(digest, answer_cache::Answer { claims: claims.clone(), ids, until });
        // Checked after the answer was cached, so that no entry in between is missed.
        if shared.state.progress().changes != before {
            shared.cache.remove(&digest);
        }
    }
    Ok(claims)
}

/// Accepts or refuses any token while the guard can't decide by itself.
///
/// Entries may still come in: what was revoked while the answer was on its way counts here, whatever the answer says.
pub async fn check_while_stale(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    let claims = ask(shared, token).await?;
    let ids = shared.state.id_hasher().hash_ids_of(&claims);
    match shared.state.covering(&ids.with_current_grant()) {
        Some(revoked) => Err(Refusal::Revoked(revoked)),
        None => Ok(claims),
    }
}

/// A cached answer, if the guard knows that the server would give it again.
fn cached_answer(shared: &Shared, digest: &[u8; 32]) -> Option<answer_cache::Answer> {
    let answer = shared.cache.get(digest)?;
    if !shared.state.is_fresh() {
        return None;
    }
    let clock = shared.state.clock();
    let is_over = clock.boot() >= answer.until || clock.wall() >= answer.claims.exp;
    if is_over || shared.state.covering(&answer.ids).is_some() {
        shared.cache.remove(digest);
        return None;
    }
    Some(answer)
}

/// Asks the server. The token must not contain anything that a form has to escape.
async fn ask(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    // A guard that was shut down accepts nothing, because the server no longer waits for its acknowledgements.
    if shared.state.is_closed() {
        return Err(Refusal::Stale);
    }
    count(&shared.counts.introspections);
    let answer =
        shared.http.introspect::<Answer>(token).await.map_err(|failure| unreachable(shared, &failure))?;
    if shared.state.is_closed() {
        return Err(Refusal::Stale);
    }
    if !answer.active {
        return Err(Refusal::Inactive);
    }
    if answer.cnf.is_some()
        || answer.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
    {
        return Err(Refusal::SenderConstrained);
    }
    if answer.iss.as_ref().is_some_and(|issuer| *issuer != shared.settings.issuer) {
        return Err(Refusal::Issuer);
    }
    if answer.aud.as_ref().is_some_and(|audience| *audience != shared.settings.audience) {
        return Err(Refusal::Audience);
    }
    let claims = claims(answer).ok_or_else(|| {
        unreachable(shared, &Failure::Unreadable("an active token without its stamp".to_owned()))
    })?;
    let leeway = i64::try_from(shared.settings.leeway.as_secs()).unwrap_or(0);
    if shared.state.clock().wall() >= claims.exp.saturating_add(leeway) {
        return Err(Refusal::Expired);
    }
    Ok(claims)
}

fn unreachable(shared: &Shared, failure: &Failure) -> Refusal {
    shared.note_trouble(format!("introspection: {failure}"));
    Refusal::Unreachable
}

fn claims(answer: Answer) -> Option<Claims> {
    let user = match (answer.user_generation, answer.grant_id, answer.family_id) {
        (None, None, None) => None,
        (Some(user_generation), Some(grant_id), Some(family_id)) => Some(UserStamp {
            user_generation,
            grant_id,
            family_id,
            grant_generation: answer.grant_generation,
        }),
        _ => return None,
    };
    Some(Claims {
        sub: answer.sub?,
        client_id: answer.client_id?,
        scope: answer.scope.unwrap_or_default(),
        jti: answer.jti,
        iat: answer.iat?,
        exp: answer.exp?,
        stamp: Stamp {
            server_generation: answer.server_generation?,
            client_generation: answer.client_generation?,
            user,
        },
        kid: None,
    })
}
