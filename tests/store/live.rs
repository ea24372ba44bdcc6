//! `model::stamp::is_live` and its twin in SQL, over every state that a credential can be in.

use rescind::clock::Timestamp;
use rescind::model::id::{ClientId, FamilyId, GrantId, UserId};
use rescind::model::secret::{Digest, RefreshToken, SealedSuccessor};
use rescind::model::stamp::is_live;
use rescind::store::authorization_codes::Redemption;
use rusqlite::{Connection, Transaction, params};

use crate::world::{NOW, World, after};

/// The current generation of everything; stamps have one below, this and one above.
const CURRENT: i64 = 5;
const GENERATIONS: [i64; 3] = [CURRENT - 1, CURRENT, CURRENT + 1];
const CLIENT_STATUSES: [&str; 4] = ["active", "suspended", "banned", "deleted"];
const USER_STATUSES: [&str; 3] = ["active", "disabled", "deleted"];
/// A client, user, grant or family that is there, is there no more, or lets nothing live.
type Thing<Id> = (Id, bool);

struct Case {
    kind: Digest,
    digest: [Digest; 4],
    client: ClientId,
    live: bool,
    name: String,
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn clients(tx: &Transaction<'_>, owner: &UserId) -> Vec<Thing<ClientId>> {
    let mut clients: Vec<_> = CLIENT_STATUSES
        .map(|status| {
            let id = ClientId::generate(NOW);
            tx.execute(
                "INSERT INTO clients SELECT ?1, ?2, 'App', 'Us', 'confidential', ?3, 0, '', ?4, 'opaque', \
                 'authorization_code', NULL, '', 0, NULL",
                params![id, owner, status, CURRENT],
            )
            .unwrap();
            (id, status == "active")
        })
        .into();
    clients.push((ClientId::generate(NOW), false));
    clients
}

fn users(tx: &Transaction<'_>) -> Vec<Thing<UserId>> {
    let mut users: Vec<_> = USER_STATUSES
        .map(|status| {
            let id = UserId::generate(NOW);
            tx.execute(
                "INSERT INTO users SELECT ?1, ?2, NULL, 'user', ?2, 0, ?3, '', 1, 0",
                params![id, status, CURRENT],
            )
            .unwrap();
            (id, status == "active")
        })
        .into();
    users.push((UserId::generate(NOW), false));
    users
}

fn grants(tx: &Transaction<'_>, client: &ClientId, user: &UserId) -> Vec<Thing<GrantId>> {
    let mut grants: Vec<_> = ["open", "ended"]
        .map(|status| {
            let id = GrantId::generate(NOW);
            tx.execute(
                "INSERT INTO grants SELECT ?1, ?2, ?3, 'a', ?4, NULL, 1, 1, 1, 1, 0, 0, NULL, NULL",
                params![id, user, client, status],
            )
            .unwrap();
            (id, status == "open")
        })
        .into();
    grants.push((GrantId::generate(NOW), false));
    grants
}

fn families(tx: &Transaction<'_>, grant: &GrantId) -> Vec<Thing<FamilyId>> {
    let mut families: Vec<_> = ["open", "closed"]
        .map(|status| {
            let id = FamilyId::generate(NOW);
            tx.execute(
                "INSERT INTO families SELECT ?1, ?2, 'c', 'u', 1, 1, 1, ?3, '', 0, NULL, 0",
                params![id, grant, status],
            )
            .unwrap();
            (id, status == "open")
        })
        .into();
    families.push((FamilyId::generate(NOW), false));
    families
}

fn sealed() -> Vec<u8> {
    let (successor, predecessor) = (RefreshToken::generate(), RefreshToken::generate());
    SealedSuccessor::seal(&successor, &predecessor).as_bytes().to_vec()
}

/// Four credentials of one stamp: a code, a refresh token, one that was just superseded, an access token.
#[allow(clippy::too_many_arguments, reason = "a stamp has as many parts")]
fn credentials(
    tx: &Transaction<'_>,
    (family, family_open): &Thing<FamilyId>,
    (grant, grant_open): &Thing<GrantId>,
    (client, client_open): &Thing<ClientId>,
    (user, user_open): &Thing<UserId>,
    generations: [i64; 3],
    expires_at: Timestamp,
) -> Case {
    let name = format!("{family} {grant} {client} {user} {generations:?} {}", expires_at.millis());
    let digests = ["code", "refresh", "superseded", "access"].map(|kind| digest(&format!("{kind} {name}")));
    let [server, of_client, of_user] = generations;
    let stamp = "?2, ?3, ?4, ?5, ?6, ?7, ?8, 'a'";
    for (digest, statement) in digests.iter().zip([
        format!("INSERT INTO authorization_codes SELECT ?1, {stamp}, NULL, NULL, 0, ?9, NULL"),
        format!("INSERT INTO refresh_tokens SELECT ?1, {stamp}, NULL, 0, ?9, NULL, NULL"),
        format!("INSERT INTO refresh_tokens SELECT ?1, {stamp}, NULL, 0, ?9, ?10, ?11"),
        format!("INSERT INTO access_tokens SELECT ?1, {stamp}, 'urn:a', 0, ?9"),
    ]) {
        let mut statement = tx.prepare_cached(&statement).unwrap();
        let all = params![
            digest,
            family,
            grant,
            client,
            user,
            server,
            of_client,
            of_user,
            expires_at,
            NOW,
            sealed()
        ];
        let count = statement.parameter_count();
        statement.execute(&all[..count]).unwrap();
    }
    let open = *family_open && *grant_open && *client_open && *user_open;
    let live = open && generations == [CURRENT; 3] && NOW < expires_at;
    Case { kind: digest(&name), digest: digests, client: client.clone(), live, name }
}

fn matrix(connection: &mut Connection, owner: &UserId) -> Vec<Case> {
    let mut cases = Vec::new();
    // Rows that are gone are part of the matrix.
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let tx = connection.transaction().unwrap();
    tx.execute("UPDATE server SET generation = ?1", [CURRENT]).unwrap();
    let users = users(&tx);
    for client in clients(&tx, owner) {
        for user in &users {
            for grant in grants(&tx, &client.0, &user.0) {
                for family in families(&tx, &grant.0) {
                    // At its expiry a credential is expired.
                    for expires_at in [NOW, after(60)] {
                        for place in 0..27 {
                            let generations =
                                [place / 9, place / 3 % 3, place % 3].map(|i: usize| GENERATIONS[i]);
                            cases.push(credentials(
                                &tx,
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
    tx.commit().unwrap();
    cases
}

#[tokio::test]
async fn a_credential_is_live_by_the_rule_exactly_where_it_is_live_by_its_twin_in_sql() {
    let world = World::new().await;
    let owner = world.user("owner").await;
    let cases = matrix(&mut world.beside(), &owner);
    assert_eq!(cases.iter().filter(|case| case.live).count(), 1);
    assert!(cases.len() > 9000);
    for case in &cases {
        let facts = world.store.access_token(&case.digest[3]).unwrap().unwrap();
        let live = is_live(facts.stamp.generations, facts.now, facts.expires_at, NOW);
        assert_eq!(live, case.live, "introspection of {}", case.name);
    }
    world
        .store
        .write(move |tx| {
            for case in &cases {
                let [code, refresh, superseded, _] = case.digest;
                let with = Redemption {
                    code,
                    client: case.client.clone(),
                    redirect_uri: None,
                    code_challenge: None,
                };
                let sealed = SealedSuccessor::from_bytes(case.kind.as_bytes().to_vec());
                let used = tx.use_authorization_code(&with, NOW)?.is_some();
                let refreshed = tx.supersede_refresh_token(&refresh, &case.client, &sealed, NOW)?.is_some();
                let since = Timestamp::from_millis(NOW.millis() - 1);
                let repeated = tx.repeatable_refresh_token(&superseded, &case.client, since, NOW)?.is_some();
                assert_eq!([used, refreshed, repeated], [case.live; 3], "exchange of {}", case.name);
            }
            Ok::<_, rescind::store::Error>(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_s_own_token_is_live_while_the_client_is() {
    let world = World::new().await;
    let owner = world.user("owner").await;
    let mut connection = world.beside();
    let tx = connection.transaction().unwrap();
    tx.execute("UPDATE server SET generation = ?1", [CURRENT]).unwrap();
    let mut cases = Vec::new();
    for (client, open) in clients(&tx, &owner) {
        for server in GENERATIONS {
            for of_client in GENERATIONS {
                for expires_at in [NOW, after(60)] {
                    let token = digest(&format!("{client} {server} {of_client} {}", expires_at.millis()));
                    tx.execute(
                        "INSERT INTO access_tokens SELECT ?1, NULL, NULL, ?2, NULL, ?3, ?4, NULL, 'a', 'b', 0, ?5",
                        params![token, client, server, of_client, expires_at],
                    )
                    .unwrap();
                    let live = open && server == CURRENT && of_client == CURRENT && NOW < expires_at;
                    cases.push((token, live));
                }
            }
        }
    }
    tx.commit().unwrap();
    assert_eq!(cases.iter().filter(|(_, live)| *live).count(), 1);
    for (token, live) in cases {
        let facts = world.store.access_token(&token).unwrap().unwrap();
        assert_eq!(is_live(facts.stamp.generations, facts.now, facts.expires_at, NOW), live);
    }
}
