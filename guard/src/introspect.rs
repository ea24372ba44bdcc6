//! Introspection (RFC 7662) for what only the server can read, and its answers, kept while the feed says nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::claims::{Claims, Stamp, UserStamp};
use crate::clock::Boot;
use crate::dead::Marks;
use crate::guard::Shared;
use crate::http_client::Failure;
use crate::refusal::Refusal;
use crate::report::count;

/// An opaque access token: prefix, 43 characters of randomness, 6 of CRC-32.
pub const PREFIX: &str = "rsc_at_";
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Entries are kept for longer than that, so an answer never outlives the entry that ends it.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether an opaque token's checksum fits, so that a typo is refused without asking anybody.
pub fn is_well_formed(token: &str) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if token.len() != PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS
        || !token.starts_with(PREFIX)
        || !token.as_bytes()[PREFIX.len()..].iter().all(u8::is_ascii_alphanumeric)
    {
        return false;
    }
    let (body, checksum) = token.split_at(token.len() - CHECKSUM_CHARS);
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    checksum.bytes().rev().all(|digit| {
        let expected = DIGITS[rest % 62];
        rest /= 62;
        digit == expected
    })
}

/// What was answered about tokens, by their SHA-256. No token is kept.
pub struct Cache {
    kept: Mutex<Kept>,
    most: usize,
}

/// Two halves: when the young one is full it becomes the old one, whose answers go.
#[derive(Default)]
struct Kept {
    young: HashMap<[u8; 32], Known>,
    old: HashMap<[u8; 32], Known>,
}

#[derive(Clone)]
struct Known {
    claims: Claims,
    marks: Marks,
    until: Boot,
}

impl Cache {
    pub fn new(most: usize) -> Self {
        Self { kept: Mutex::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn get(&self, digest: &[u8; 32]) -> Option<Known> {
        let kept = self.lock();
        kept.young.get(digest).or_else(|| kept.old.get(digest)).cloned()
    }

    fn remove(&self, digest: &[u8; 32]) {
        let mut kept = self.lock();
        kept.young.remove(digest);
        kept.old.remove(digest);
    }

    fn put(&self, digest: [u8; 32], known: Known) {
        if self.most == 0 {
            return;
        }
        let mut kept = self.lock();
        if kept.young.len() >= self.most.div_ceil(2) {
            kept.old = std::mem::take(&mut kept.young);
        }
        kept.young.insert(digest, known);
    }
}

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
pub async fn opaque(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    let digest = digest(token);
    if shared.settings.cached_answers > 0
        && let Some(known) = cached(shared, &digest)
    {
        count(&shared.counts.cache_hits);
        shared.note_seen(&known.claims, &known.marks);
        return Ok(known.claims);
    }
    let mut before = shared.state.progress().changes;
    let mut claims = ask(shared, token).await?;
    let mut marks = shared.state.prints().of_claims(&claims);
    // What was revoked while the answer was on its way is in force here, whatever the answer says.
    if shared.state.covering(&marks.of_answer()).is_some() {
        before = shared.state.progress().changes;
        claims = ask(shared, token).await?;
        marks = shared.state.prints().of_claims(&claims);
        if let Some(revoked) = shared.state.covering(&marks.of_answer()) {
            return Err(Refusal::Revoked(revoked));
        }
    }
    let left = u64::try_from(claims.exp - shared.state.clock().wall()).unwrap_or(0);
    let until = shared.state.clock().boot().plus(Duration::from_secs(left).min(LONGEST));
    let can_be_ended = claims.jti.is_some() && shared.state.covering(&marks).is_none();
    if can_be_ended && shared.state.is_fresh() {
        shared.cache.put(digest, Known { claims: claims.clone(), marks, until });
        // Looked at after it was put, so that no entry comes in between unseen.
        if shared.state.progress().changes != before {
            shared.cache.remove(&digest);
        }
    }
    Ok(claims)
}

/// Accepts or refuses any token while the guard can't decide by itself.
///
/// Entries may come in all the while: what was revoked while the answer was on its way is in force here, whatever the
/// answer says.
pub async fn stale(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    let claims = ask(shared, token).await?;
    let marks = shared.state.prints().of_claims(&claims);
    match shared.state.covering(&marks.of_answer()) {
        Some(revoked) => Err(Refusal::Revoked(revoked)),
        None => Ok(claims),
    }
}

/// An earlier answer, if the guard knows that the server would repeat it.
fn cached(shared: &Shared, digest: &[u8; 32]) -> Option<Known> {
    let known = shared.cache.get(digest)?;
    if !shared.state.is_fresh() {
        return None;
    }
    let clock = shared.state.clock();
    let is_over = clock.boot() >= known.until || clock.wall() >= known.claims.exp;
    if is_over || shared.state.covering(&known.marks).is_some() {
        shared.cache.remove(digest);
        return None;
    }
    Some(known)
}

/// Asks the server. The token holds nothing that a form would have to escape.
async fn ask(shared: &Shared, token: &str) -> Result<Claims, Refusal> {
    // Whoever was shut down accepts nothing any more: the server no longer waits for its word.
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
    shared.trouble(format!("introspection: {failure}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_seen_without_asking() {
        // As the server's own test has it: prefix, 43 zeros, checksum.
        let body = format!("{PREFIX}{}", "0".repeat(RANDOM_CHARS));
        let mut rest = crc32fast::hash(body.as_bytes());
        let mut checksum = [b'0'; CHECKSUM_CHARS];
        for place in checksum.iter_mut().rev() {
            *place = match rest % 62 {
                digit @ 0..10 => b'0' + digit as u8,
                digit @ 10..36 => b'A' + (digit - 10) as u8,
                digit => b'a' + (digit - 36) as u8,
            };
            rest /= 62;
        }
        let token = format!("{body}{}", str::from_utf8(&checksum).unwrap());
        assert!(is_well_formed(&token));
        for place in 0..token.len() {
            let mut typo = token.clone().into_bytes();
            typo[place] = if typo[place] == b'7' { b'8' } else { b'7' };
            assert!(!is_well_formed(str::from_utf8(&typo).unwrap()), "at {place}");
        }
        assert!(!is_well_formed(&token[1..]));
        assert!(!is_well_formed("rsc_at_é"));
    }

    #[test]
    fn a_full_cache_forgets_the_oldest_half() {
        let cache = Cache::new(4);
        let claims = Claims {
            sub: "u".to_owned(),
            client_id: "c".to_owned(),
            scope: String::new(),
            jti: None,
            iat: 0,
            exp: 1,
            stamp: Stamp { server_generation: 1, client_generation: 1, user: None },
            kid: None,
        };
        let marks = crate::dead::Prints::new().unwrap().of_claims(&claims);
        for number in 0..6 {
            cache.put([number; 32], Known { claims: claims.clone(), marks, until: Boot::NEVER });
        }
        let kept = (0..6).filter(|number| cache.get(&[*number; 32]).is_some()).collect::<Vec<_>>();
        assert_eq!(kept, [2, 3, 4, 5]);
    }
}
