//! Revocations against whatever mints, on several threads, with the real store.
//!
//! Every pair is run until both orders have happened often enough; nobody arranges an order inside the
//! server, the two requests are only started a little apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rescind::model::by::{Actor, By};
use rescind::model::client::TokenFormat;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::secret::{AuthorizationCode, Digest, RefreshToken};
use rescind::model::user::Role;
use rescind::service::authorize::{self, Basis, ConsentState};
use rescind::service::issue;
use rescind::service::revoke::{self, Asking, Authority};
use rescind::store::users::Credentials;
use tokio::task::JoinSet;

use crate::chance::{Chance, setting};
use crate::engine::database::is_postgres;
use crate::world::{Held, NOW, Session, World, copy_refresh, scope};

/// Rounds of each pair.
const ROUNDS: usize = 500;
/// Rounds at a time, each with a user and a client of its own; they share commits, as requests do.
const TOGETHER: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    Family,
    Grant,
    ClientTokens,
    /// The client may not act any more.
    Suspension,
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mint {
    Redeem,
    Refresh,
    Consent,
    ClientCredentials,
    SignIn,
}

impl Mint {
    const ALL: [Self; 5] =
        [Self::Redeem, Self::Refresh, Self::Consent, Self::ClientCredentials, Self::SignIn];
}

/// What a pair that ran to its end may leave alive of what the mint gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// What was minted after the revocation, and nothing from before.
    AfterIt,
    /// The revocation has nothing to do with it.
    Everything,
}

fn left(revocation: Revocation, mint: Mint) -> Left {
    match (revocation, mint) {
        (Revocation::ClientTokens, Mint::ClientCredentials) => Left::AfterIt,
        (Revocation::Suspension, Mint::ClientCredentials) | (Revocation::User, Mint::SignIn) => Left::Nothing,
        (_, Mint::ClientCredentials | Mint::SignIn) | (Revocation::Family, Mint::Consent) => Left::Everything,
        _ => Left::Nothing,
    }
}

/// One user with one client, a signed-in browser, one device whose code nobody has redeemed and one with tokens.
struct Round {
    world: World,
    user: UserId,
    client: ClientId,
    session: Session,
    checked: Credentials,
    grant: GrantId,
    code: AuthorizationCode,
    code_family: FamilyId,
    refresh: RefreshToken,
    token_family: FamilyId,
    seen: ConsentState,
    generation: i64,
}

/// What a mint gave; empty where it was refused.
#[derive(Default)]
struct Minted {
    access: Option<Held>,
    refresh: Option<RefreshToken>,
    code: Option<AuthorizationCode>,
    session: Option<Session>,
}

/// Which request the server did first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Revocation,
    Mint,
}

impl Round {
    async fn new(world: &World, owner: &UserId, name: &str, format: TokenFormat) -> Self {
        let user = world.user(name, Role::User).await;
        let (client, _) = world.client(owner, &format!("{name}.example"), format).await;
        let session = world.session(name).await;
        let redeemed = world.consent(&client, &user, &session).await;
        let issued = world.redeem(&client, &redeemed, NOW).await.unwrap();
        let code = world.consent(&client, &user, &session).await;
        let beside = world.beside();
        let (token_family, grant) = world.family_of(&beside, &redeemed).unwrap();
        let (code_family, _) = world.family_of(&beside, &code).unwrap();
        let seen = authorize::look(&world.store, &client, &user).await.unwrap().unwrap();
        Self {
            checked: world.credentials(name).await.unwrap(),
            generation: seen.generations.client,
            world: world.clone(),
            refresh: issued.refresh_token.unwrap(),
            user,
            client,
            session,
            grant,
            code,
            code_family,
            token_family,
            seen,
        }
    }

    async fn revoke(&self, revocation: Revocation, mint: Mint) {
        let store = &self.world.store;
        let done = match revocation {
            Revocation::Family => {
                let family = if mint == Mint::Redeem { &self.code_family } else { &self.token_family };
                let by = By { actor: Actor::User(self.user.clone()), ..By::operator(NOW) };
                revoke::device(store, self.user.clone(), self.grant.clone(), family.clone(), by).await
            }
            Revocation::Grant => {
                let (user, grants) = (self.user.clone(), vec![self.grant.clone()]);
                let by = By { actor: Actor::User(self.user.clone()), ..By::operator(NOW) };
                revoke::grants(store, user, grants, Asking::Allowed, by).await
            }
            Revocation::ClientTokens => {
                let by = By::operator(NOW);
                revoke::client_tokens(store, self.client.clone(), Authority::Provider, None, by).await
            }
            Revocation::Suspension => {
                revoke::suspend_client(store, self.client.clone(), "Spam".to_owned(), By::operator(NOW)).await
            }
            Revocation::User => revoke::user(store, self.user.clone(), None, By::operator(NOW)).await,
        };
        assert!(done.unwrap().is_some(), "{revocation:?} had something to revoke");
    }

    async fn mint(&self, mint: Mint) -> Minted {
        let mut minted = Minted::default();
        match mint {
            Mint::Redeem | Mint::Refresh => {
                let issued = match mint {
                    Mint::Redeem => self.world.redeem(&self.client, &self.code, NOW).await,
                    _ => self.world.refresh(&self.client, &self.refresh, NOW).await,
                };
                match issued {
                    Ok(issued) => {
                        minted.access = Some(Held::new(&issued.access_token));
                        minted.refresh = issued.refresh_token;
                    }
                    Err(error) => assert!(matches!(error, issue::Error::InvalidGrant), "{error}"),
                }
            }
            Mint::Consent => {
                let basis = Basis::Approved(self.seen.clone());
                let (client, user) = (&self.client, &self.user);
                match self.world.authorize(client, user, &self.session, scope("a"), basis, NOW).await {
                    Ok(code) => minted.code = Some(code),
                    Err(error) => {
                        use authorize::Error::{Ask, Shut, Store};
                        let has_ended = matches!(error, Store(rescind::store::Error::Denied(_)));
                        assert!(has_ended || matches!(error, Ask | Shut), "{error}");
                    }
                }
            }
            Mint::ClientCredentials => {
                let terms = self.world.terms(&self.client, NOW).await;
                match issue::for_client(&self.world.store, scope("a"), terms).await {
                    Ok(issued) => minted.access = Some(Held::new(&issued.access_token)),
                    Err(error) => assert!(matches!(error, issue::Error::ClientShut), "{error}"),
                }
            }
            Mint::SignIn => minted.session = self.world.begin_session(self.checked.clone(), NOW).await,
        }
        minted
    }

    /// Which of what was given is alive: `None` where nothing was given.
    async fn is_alive(&self, minted: &Minted) -> Option<bool> {
        let code: Vec<(ClientId, Digest)> =
            minted.code.iter().map(|code| (self.client.clone(), code.digest())).collect();
        let refresh: Vec<(ClientId, RefreshToken)> =
            minted.refresh.iter().map(|token| (self.client.clone(), copy_refresh(token))).collect();
        let mut alive: Vec<bool> = Vec::new();
        if let Some(token) = &minted.access {
            alive.push(self.world.accepts(token, NOW).await);
        }
        if !(code.is_empty() && refresh.is_empty()) {
            let tried = self.world.exchangeable(code, refresh, NOW).await;
            alive.extend(tried.codes.into_iter().chain(tried.current));
        }
        let store = &self.world.store;
        if let Some(session) = &minted.session {
            alive.push(store.session(&session.digest, NOW).await.unwrap().is_some());
        }
        let first = alive.first().copied();
        assert!(alive.iter().all(|one| Some(*one) == first), "half of what was minted together is alive");
        first
    }

    async fn run(
        self,
        revocation: Revocation,
        mint: Mint,
        latest: [usize; 2],
        chance: &mut Chance,
        answers: &AtomicU64,
    ) -> First {
        let round = std::sync::Arc::new(self);
        let mut nudges = [0, 0];
        let late = chance.below(2);
        nudges[late] = chance.below(latest[late]);
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let (revoking, minting) = (round.clone(), round.clone());
        let (gate, other_gate) = (barrier.clone(), barrier);
        let revoked = tokio::spawn(async move {
            gate.wait().await;
            nudge(nudges[0]).await;
            revoking.revoke(revocation, mint).await;
        });
        let minted = tokio::spawn(async move {
            other_gate.wait().await;
            nudge(nudges[1]).await;
            minting.mint(mint).await
        });
        let order = |answered: &mut u64| *answered = answers.fetch_add(1, Ordering::SeqCst);
        let (mut revoked_at, mut minted_at) = (0, 0);
        let ((), minted) = tokio::join!(
            async {
                revoked.await.unwrap();
                order(&mut revoked_at);
            },
            async {
                let minted = minted.await.unwrap();
                order(&mut minted_at);
                minted
            }
        );
        let by_answers = if revoked_at < minted_at { First::Revocation } else { First::Mint };
        let alive = round.is_alive(&minted).await;
        match left(revocation, mint) {
            Left::Nothing => {
                assert_ne!(alive, Some(true), "{mint:?} lives on after {revocation:?}");
                if alive.is_none() { First::Revocation } else { First::Mint }
            }
            Left::AfterIt => {
                let token = minted.access.expect("the client may act all the time");
                let first = if round.world.client_generation_of(&token).await == round.generation {
                    First::Mint
                } else {
                    First::Revocation
                };
                assert_eq!(alive, Some(first == First::Revocation), "{mint:?} beside {revocation:?}");
                first
            }
            Left::Everything => {
                assert_eq!(alive, Some(true), "{revocation:?} does not cover {mint:?}");
                by_answers
            }
        }
    }
}

/// The longest of those waits, in turns of a loop.
const LONGEST: usize = 200_000;

/// A moment, so that now the one and now the other comes first.
async fn nudge(spins: usize) {
    for spin in 0..spins {
        std::hint::spin_loop();
        if spin % 500 == 499 {
            tokio::task::yield_now().await;
        }
    }
}

async fn race(revocation: Revocation, mint: Mint) {
    let rounds = setting("RESCIND_RACE_ROUNDS").map_or(ROUNDS, |rounds| usize::try_from(rounds).unwrap());
    let world = World::new().await;
    world.api(&["a"]).await;
    let owner = world.user("owner", Role::Developer).await;
    let answers = std::sync::Arc::new(AtomicU64::new(0));
    let mut chance = Chance::new(Chance::seed());
    let mut first = [0_usize; 2];
    // How long a revocation waits at most before it sets out, and a mint.
    let mut latest = [if is_postgres() { 50_000 } else { 3_000 }; 2];
    for batch in 0..rounds.div_ceil(TOGETHER) {
        let mut made = JoinSet::new();
        for place in 0..TOGETHER {
            let (world, owner) = (world.clone(), owner.clone());
            // Both formats race side by side.
            let format = TokenFormat::ALL[place % 2];
            made.spawn(async move { Round::new(&world, &owner, &format!("u{batch}-{place}"), format).await });
        }
        let mut running = JoinSet::new();
        for round in made.join_all().await {
            let (mut chance, answers) = (Chance::new(chance.number()), answers.clone());
            running.spawn(async move { round.run(revocation, mint, latest, &mut chance, &answers).await });
        }
        let mints = running.join_all().await.iter().filter(|first| **first == First::Mint).count();
        first[0] += TOGETHER - mints;
        first[1] += mints;
        // What needs fewer round trips to the database, or no commit, has to wait longer to come second.
        for (side, count) in [TOGETHER - mints, mints].into_iter().enumerate() {
            if 3 * count > 2 * TOGETHER {
                latest[side] = LONGEST.min(4 * latest[side]);
            }
        }
    }
    let [revocations, mints] = first;
    let share = 100 * revocations / (revocations + mints);
    println!(
        "{revocation:?} against {mint:?}: {} rounds, the revocation came first in {share} %",
        first[0] + first[1]
    );
    assert!((20..=80).contains(&share), "{revocation:?} against {mint:?}: one order is too rare: {first:?}");
}

async fn against_every_mint(revocation: Revocation) {
    for mint in Mint::ALL {
        race(revocation, mint).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_survives_closing_a_family_while_tokens_are_issued() {
    against_every_mint(Revocation::Family).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_survives_revoking_a_grant_while_tokens_are_issued() {
    against_every_mint(Revocation::Grant).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_survives_revoking_a_client_s_tokens_while_tokens_are_issued() {
    against_every_mint(Revocation::ClientTokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_survives_suspending_a_client_while_tokens_are_issued() {
    against_every_mint(Revocation::Suspension).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_survives_revoking_a_user_while_tokens_are_issued() {
    against_every_mint(Revocation::User).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_parallel_refreshes_of_one_token_leave_one_live_refresh_token_and_an_open_family() {
    let world = World::new().await;
    world.api(&["a"]).await;
    let owner = world.user("owner", Role::Developer).await;
    let round = std::sync::Arc::new(Round::new(&world, &owner, "alice", TokenFormat::Opaque).await);
    let mut refreshing = JoinSet::new();
    for _ in 0..50 {
        let round = round.clone();
        refreshing.spawn(async move { round.world.refresh(&round.client, &round.refresh, NOW).await });
    }
    let issued: Vec<_> = refreshing.join_all().await.into_iter().map(Result::unwrap).collect();
    let successor = issued[0].refresh_token.as_ref().unwrap();
    for one in &issued {
        assert_eq!(one.refresh_token.as_ref().unwrap().expose(), successor.expose());
        assert!(world.accepts(&Held::new(&one.access_token), NOW).await, "nobody is signed out");
    }
    let beside = world.beside();
    let rows: i64 = beside.value("SELECT count(*) FROM tokens WHERE place / 1048576 % 2 = 1", &[]);
    assert_eq!(rows, 2, "the token and its one successor");
    let all = [&round.refresh, successor].map(|token| (round.client.clone(), copy_refresh(token))).into();
    let tried = world.exchangeable(Vec::new(), all, NOW).await;
    assert_eq!(tried.current.iter().filter(|is_live| **is_live).count(), 1);
    let status = "SELECT status FROM families WHERE id = ?1";
    let status: String = beside.value(status, &[round.token_family.to_string().into()]);
    assert_eq!(status, "open");
    let after_grace = NOW.plus(Duration::from_secs(11));
    world.refresh(&round.client, successor, after_grace).await.unwrap();
}
