//! Which codes are live, over every state that one can be in; and that memory knows of tokens what the tables say.

use rescind::clock::{Clock, Timestamp};
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::secret::{AccessToken, Digest, RefreshToken};
use rescind::service::issue::{self, Access, Issued};
use rescind::service::revoke::{self, Authority, Token};
use rescind::store::Error;
use rescind::store::authorization_codes::Redemption;
use rusqlite::types::Value;

use crate::engine::connection::Connection;
use crate::engine::database::catch_up;
use crate::world::{LIVES, NOW, World, after, operator};

/// The current generation of everything; stamps have one below, this and one above.
const CURRENT: i64 = 5;
const GENERATIONS: [i64; 3] = [CURRENT - 1, CURRENT, CURRENT + 1];
const CLIENT_STATUSES: [&str; 4] = ["active", "suspended", "banned", "deleted"];
const USER_STATUSES: [&str; 3] = ["active", "disabled", "deleted"];
/// A client, user, grant or family that is there, is there no more, or lets nothing live.
type Thing<Id> = (Id, bool);

struct Case {
    digest: Digest,
    client: ClientId,
    live: bool,
    name: String,
}

fn text(text: impl ToString) -> Value {
    text.to_string().into()
}

fn clients(database: &Connection, owner: &UserId) -> Vec<Thing<ClientId>> {
    let mut clients: Vec<_> = CLIENT_STATUSES
        .map(|status| {
            let id = ClientId::generate(NOW);
            database.run(
                "INSERT INTO clients SELECT ?1, ?2, 'App', 'Us', 'confidential', ?3, 0, '', ?4, 'opaque', \
                 'authorization_code', NULL, '', 0, 1",
                &[text(&id), text(owner), text(status), CURRENT.into()],
            );
            (id, status == "active")
        })
        .into();
    clients.push((ClientId::generate(NOW), false));
    clients
}

fn users(database: &Connection) -> Vec<Thing<UserId>> {
    let mut users: Vec<_> = USER_STATUSES
        .map(|status| {
            let id = UserId::generate(NOW);
            database.run(
                "INSERT INTO users SELECT ?1, ?2, NULL, 'user', ?2, 0, ?3, '', 1, 0",
                &[text(&id), text(status), CURRENT.into()],
            );
            (id, status == "active")
        })
        .into();
    users.push((UserId::generate(NOW), false));
    users
}

fn grants(database: &Connection, client: &ClientId, user: &UserId) -> Vec<Thing<GrantId>> {
    let mut grants: Vec<_> = ["open", "ended"]
        .map(|status| {
            let id = GrantId::generate(NOW);
            database.run(
                "INSERT INTO grants SELECT ?1, ?2, ?3, 'a', ?4, NULL, 1, 1, 1, 1, 0, 0, NULL, NULL",
                &[text(&id), text(user), text(client), text(status)],
            );
            (id, status == "open")
        })
        .into();
    grants.push((GrantId::generate(NOW), false));
    grants
}

fn families(database: &Connection, grant: &GrantId) -> Vec<Thing<FamilyId>> {
    let mut families: Vec<_> = ["open", "closed"]
        .map(|status| {
            let id = FamilyId::generate(NOW);
            database.run(
                "INSERT INTO families SELECT ?1, ?2, 'c', 'u', 1, 1, 1, ?3, '', 0, NULL, 0",
                &[text(&id), text(grant), text(status)],
            );
            (id, status == "open")
        })
        .into();
    families.push((FamilyId::generate(NOW), false));
    families
}

/// A code with this stamp.
#[allow(clippy::too_many_arguments, reason = "a stamp has as many parts")]
fn code(
    database: &Connection,
    (family, family_open): &Thing<FamilyId>,
    (grant, grant_open): &Thing<GrantId>,
    (client, client_open): &Thing<ClientId>,
    (user, user_open): &Thing<UserId>,
    generations: [i64; 3],
    expires_at: Timestamp,
) -> Case {
    let name = format!("{family} {grant} {client} {user} {generations:?} {}", expires_at.millis());
    let digest = Digest::of(name.as_bytes());
    let [server, of_client, of_user] = generations;
    let insert =
        "INSERT INTO authorization_codes SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'a', NULL, NULL, 0, ?9, NULL";
    let row = [
        digest.as_bytes().to_vec().into(),
        text(family),
        text(grant),
        text(client),
        text(user),
        server.into(),
        of_client.into(),
        of_user.into(),
        expires_at.millis().into(),
    ];
    database.run(insert, &row);
    let open = *family_open && *grant_open && *client_open && *user_open;
    let live = open && generations == [CURRENT; 3] && NOW < expires_at;
    Case { digest, client: client.clone(), live, name }
}

fn matrix(database: &Connection, owner: &UserId) -> Vec<Case> {
    let mut cases = Vec::new();
    // Rows that are gone are part of the matrix.
    database.ignore_references();
    database.batch("BEGIN");
    database.run("UPDATE server SET generation = ?1", &[CURRENT.into()]);
    let users = users(database);
    for client in clients(database, owner) {
        for user in &users {
            for grant in grants(database, &client.0, &user.0) {
                for family in families(database, &grant.0) {
                    // At its expiry a credential is expired.
                    for expires_at in [NOW, after(60)] {
                        for place in 0..27 {
                            let generations =
                                [place / 9, place / 3 % 3, place % 3].map(|i: usize| GENERATIONS[i]);
                            cases.push(code(
                                database,
                                &family,
                                &grant,
                                &client,
                                user,
                                generations,
                                expires_at,
                            ));
                        }
                    }
                }
            }
        }
    }
    database.batch("COMMIT");
    cases
}

#[tokio::test]
async fn a_code_is_live_only_if_its_family_and_grant_are_open_and_its_generations_current() {
    let world = World::new().await;
    let owner = world.user("owner").await;
    let cases = matrix(&world.beside(), &owner);
    assert_eq!(cases.iter().filter(|case| case.live).count(), 1);
    assert!(cases.len() > 9000);
    world
        .store
        .write(move |tx| {
            for case in &cases {
                let with = Redemption {
                    code: case.digest,
                    client: case.client.clone(),
                    redirect_uri: None,
                    code_challenge: None,
                };
                let used = tx.use_authorization_code(&with, NOW)?.is_some();
                assert_eq!(used, case.live, "exchange of {}", case.name);
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
}

pub fn digest_of(token: &Access) -> Digest {
    AccessToken::parse(token.expose()).unwrap().digest()
}

/// Takes what was tried past the transaction that is undone.
struct Tried(Result<bool, Error>);

impl From<Error> for Tried {
    fn from(error: Error) -> Self {
        Self(Err(error))
    }
}

/// Whether a refresh token of that client could be exchanged.
async fn refreshes(world: &World, client: &ClientId, token: Digest, at: Timestamp) -> bool {
    let client = client.clone();
    let tried = world.store.write(move |tx| {
        let exchanged = match tx.current_refresh_token(&token, &client, at)? {
            Some(current) => tx.supersede_refresh_token(&current, at)?,
            None => false,
        };
        Err::<(), _>(Tried(Ok(exchanged)))
    });
    tried.await.unwrap_err().0.unwrap()
}

/// What a client was given, by name, and whether it is live: right after an act, after a restart, and once purged.
async fn lives_through(world: World, given: &[(&str, &ClientId, Issued, bool)]) {
    let check = async |world: &World, when: &str| {
        for (name, client, issued, live) in given {
            let found = world.store.live_access_token(&digest_of(&issued.access_token), NOW).await.unwrap();
            assert_eq!(found.is_some(), *live, "{name} access token {when}");
            if let Some(token) = &issued.refresh_token {
                assert_eq!(
                    refreshes(world, client, token.digest(), NOW).await,
                    *live,
                    "{name} refresh token {when}"
                );
            }
        }
    };
    check(&world, "after the act").await;
    let world = world.reopened().await;
    check(&world, "after a restart before the purge").await;
    catch_up(&world.store, &Clock::fixed(NOW), LIVES.refresh_grace).await.unwrap();
    check(&world, "after the purge").await;
    check(&world.reopened().await, "after a restart and the purge").await;
}

#[tokio::test]
async fn tokens_of_a_closed_family_and_of_an_ended_grant_are_dead_before_and_after_their_purge() {
    let world = World::new().await;
    let [ana, ben] = [world.user("ana").await, world.user("ben").await];
    let client = world.client(&ana).await;
    let one = world.device(&client, &ana, NOW).await;
    let other = world.device(&client, &ana, NOW).await;
    let bens = world.device(&client, &ben, NOW).await;
    let shown = RefreshToken::parse(one.refresh_token.as_ref().unwrap().expose()).unwrap();
    revoke::token(&world.store, Token::Refresh(shown), Some(client.clone()), operator()).await.unwrap();
    revoke::all_grants(&world.store, ben, operator()).await.unwrap();
    let tokens = [
        ("the closed family's", &client, one, false),
        ("the other device's", &client, other, true),
        ("the ended grant's", &client, bens, false),
    ];
    lives_through(world, &tokens).await;
}

#[tokio::test]
async fn tokens_of_an_earlier_generation_are_dead_and_later_ones_live() {
    let world = World::new().await;
    let [ana, ben] = [world.user("ana").await, world.user("ben").await];
    let [client, other] = [world.client(&ana).await, world.client(&ana).await];
    let of = async |client, user| -> Issued { world.device(client, user, NOW).await };
    let (before, elsewhere, bens) = (of(&client, &ana).await, of(&other, &ana).await, of(&other, &ben).await);
    let terms = world.terms(&client, NOW).await;
    let own = issue::for_client(&world.store, crate::world::scope(), terms).await.unwrap();
    for _ in 0..2 {
        let provider = Authority::Provider;
        revoke::client_tokens(&world.store, client.clone(), provider, None, operator()).await.unwrap();
    }
    revoke::user(&world.store, ben.clone(), None, operator()).await.unwrap();
    let (after, bens_later) = (of(&client, &ana).await, of(&other, &ben).await);
    let tokens = [
        ("the client's before", &client, before, false),
        ("its own", &client, own, false),
        ("the client's after", &client, after, true),
        ("the same user's elsewhere", &other, elsewhere, true),
        ("the other user's before", &other, bens, false),
        ("the other user's after", &other, bens_later, true),
    ];
    lives_through(world, &tokens).await;
}

#[tokio::test]
async fn tokens_of_an_earlier_server_generation_and_expired_ones_are_dead() {
    let world = World::new().await;
    let ana = world.user("ana").await;
    let client = world.client(&ana).await;
    let device = world.device(&client, &ana, NOW).await;
    let (token, refresh) = (digest_of(&device.access_token), device.refresh_token.unwrap().digest());
    assert!(world.store.live_access_token(&token, after(3599)).await.unwrap().is_some());
    assert!(world.store.live_access_token(&token, after(3600)).await.unwrap().is_none());
    let life = LIVES.refresh_token.as_secs();
    assert!(refreshes(&world, &client, refresh, after(life - 1)).await);
    assert!(!refreshes(&world, &client, refresh, after(life)).await);
    world.beside().run("UPDATE server SET generation = generation + 1", &[]);
    let world = world.reopened().await;
    assert!(world.store.live_access_token(&token, NOW).await.unwrap().is_none());
    assert!(!refreshes(&world, &client, refresh, NOW).await);
}
