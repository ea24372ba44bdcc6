//! Credentials that two servers exchange or end at the same time.

use std::collections::HashSet;
use std::time::Duration;

use rescind::model::by::By;
use rescind::model::secret::AccessToken;
use rescind::model::user::Role;
use rescind::service::authorize;
use rescind::service::revoke::{self, Asking, Authority, Token, TokenRevocation};
use rescind::store;

use super::world::{NOW, World, at_once, by_user};

#[tokio::test(flavor = "multi_thread")]
async fn two_refreshes_of_one_token_give_the_same_successor() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    let code = one.consent(&client, &user, &one.session("alice").await).await;
    let mut refresh = one.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
    for round in 0..120 {
        let [mine, yours] = [&one, &other].map(|node| {
            let (node, client, text) = (node.clone(), client.clone(), refresh.expose().to_owned());
            async move {
                let token = rescind::model::secret::RefreshToken::parse(&text).unwrap();
                node.refresh(&client, &token).await
            }
        });
        let (mine, yours) = at_once(mine, yours).await;
        let successors = [mine, yours].map(|issued| issued.map(|issued| issued.refresh_token.unwrap()));
        let [Ok(mine), Ok(yours)] = successors else { panic!("{round}: {successors:?}") };
        assert_eq!(mine.expose(), yours.expose(), "{round}");
        let living = "SELECT count(*) FROM tokens WHERE superseded_at IS NULL AND scope IS NOT NULL \
            AND place & 1048576 <> 0";
        if round % 10 == 9 {
            assert_eq!(world.number(living), 1, "{round}");
        }
        refresh = mine;
    }
    assert_eq!(world.number("SELECT count(*) FROM families WHERE status = 'closed'"), 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_redeemed_once() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    let session = one.session("alice").await;
    for round in 0..60 {
        let code = one.consent(&client, &user, &session).await;
        let [mine, yours] = [&one, &other].map(|node| {
            let (node, client, text) = (node.clone(), client.clone(), code.expose().to_owned());
            async move {
                let code = rescind::model::secret::AuthorizationCode::parse(&text).unwrap();
                node.redeem(&client, &code).await
            }
        });
        let (mine, yours) = at_once(mine, yours).await;
        let invalid = |result: &rescind::service::issue::Result<_>| {
            matches!(result, Err(rescind::service::issue::Error::InvalidGrant))
        };
        assert!(
            mine.is_ok() && invalid(&yours) || invalid(&mine) && yours.is_ok(),
            "{round}: {mine:?} {yours:?}"
        );
        // The second use is a replay, and closes what the first one opened.
        let open = "SELECT count(*) FROM families WHERE status = 'open'";
        assert_eq!(world.number(open), 0, "{round}");
    }
    world.close().await;
}

/// The consent renews the grant before it ends, or the user is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_consent_meets_the_end_of_its_grant() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    let session = one.session("alice").await;
    let mut orders = [0; 2];
    for round in 0..75 {
        one.consent(&client, &user, &session).await;
        let seen = one.look(&client, &user).await;
        let grant = one.store.open_grant(&client, &user).await.unwrap().unwrap().id;
        let now = NOW.plus(Duration::from_secs(round + 1));
        let consent = {
            let (node, client, session) = (one.clone(), client.clone(), session.clone());
            async move { node.approve(&client, seen, &session, now).await }
        };
        let end = {
            let (store, user, grant) = (other.store.clone(), user.clone(), grant.clone());
            async move {
                match round % 3 {
                    0 => {
                        revoke::grants(&store, user.clone(), vec![grant], Asking::Allowed, by_user(&user))
                            .await
                    }
                    1 => revoke::all_grants(&store, user.clone(), by_user(&user)).await,
                    _ => revoke::any_grant(&store, grant, By::operator(NOW)).await,
                }
            }
        };
        let (consented, ended) = at_once(consent, end).await;
        assert!(ended.unwrap().is_some(), "{round}");
        assert!(one.store.open_grant(&client, &user).await.unwrap().is_none(), "{round}");
        let renewed_at = format!("SELECT authorized_at FROM grants WHERE id = '{grant}'");
        match consented {
            Ok(code) => {
                orders[0] += 1;
                assert_eq!(world.number(&renewed_at), now.millis(), "{round}: the consent was not stored");
                one.redeem(&client, &code).await.unwrap_err();
            }
            Err(authorize::Error::Ask) => orders[1] += 1,
            Err(error) => panic!("{round}: {error}"),
        }
    }
    assert!(orders.iter().all(|rounds| *rounds > 0), "{orders:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_first_consents_share_one_grant() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let session = one.session("alice").await;
    for round in 0..60 {
        let client = one.client(&user, "app.example").await;
        let seen = one.look(&client, &user).await;
        let [mine, yours] = [&one, &other].map(|node| {
            let (node, client, session, seen) = (node.clone(), client.clone(), session.clone(), seen.clone());
            async move { node.approve(&client, seen, &session, NOW).await }
        });
        let (mine, yours) = at_once(mine, yours).await;
        for consented in [mine, yours] {
            assert!(one.redeem(&client, &consented.unwrap()).await.is_ok(), "{round}");
        }
    }
    world.close().await;
}

/// Both servers have the token in memory when it is revoked. The control is a server that would answer from its memory
/// alone: it would be wrong nearly every time.
#[tokio::test(flavor = "multi_thread")]
async fn no_server_accepts_what_another_has_revoked() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    let mut behind = 0;
    for round in 0..200 {
        let token = one.own_token(&client).await;
        assert!(one.accepts(&token).await && other.accepts(&token).await, "{round}");
        let (revoker, asked) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let revoked = if round % 4 < 2 {
            let token = Token::Access(AccessToken::parse(token.expose()).unwrap());
            revoke::token(&revoker.store, token, Some(client.clone()), By::operator(NOW)).await.map(drop)
        } else {
            let all = revoke::client_tokens(
                &revoker.store,
                client.clone(),
                Authority::Provider,
                None,
                By::operator(NOW),
            );
            all.await.map(drop)
        };
        revoked.unwrap();
        let heard = *asked.store.ledger_head().borrow();
        assert!(!asked.accepts(&token).await, "{round}: asked of the other server");
        assert!(!revoker.accepts(&token).await, "{round}: asked of the same server");
        if heard < *asked.store.ledger_head().borrow() {
            behind += 1;
        }
    }
    assert!(behind > 100, "only {behind} times the other server had not heard of it");
    world.close().await;
}

/// One server revokes, the other mints from what is revoked; the purge runs all the while.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_minted_beside_its_revocation_is_purged() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    let session = one.session("alice").await;
    let mut minted = HashSet::new();
    for round in 0..40 {
        let code = one.consent(&client, &user, &session).await;
        let refresh = one.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
        let mint = {
            let (node, client) = (one.clone(), client.clone());
            async move { (node.own_token(&client).await, node.refresh(&client, &refresh).await.is_ok()) }
        };
        let revoked = {
            let (store, client) = (other.store.clone(), client.clone());
            async move {
                let by = By::operator(NOW);
                revoke::client_tokens(&store, client, Authority::Provider, None, by).await.unwrap();
                store.write(|tx| tx.purge_dead_slice(100, NOW)).await
            }
        };
        let ((_, refreshed), purged) = at_once(mint, revoked).await;
        purged.unwrap();
        minted.insert(refreshed);
        // Until nothing is left to purge; the first look may come too early to be sure of it.
        while world.number("SELECT count(*) FROM purges WHERE finished_at IS NULL") > 0 {
            let purge = other.store.write(|tx| tx.purge_dead_slice(100, NOW));
            purge.await.unwrap_or_else(|error: store::Error| panic!("{round}: {error}"));
        }
        let dead = "SELECT count(*) FROM tokens AS t JOIN clients AS c ON substr(c.id, 5) = t.client_id \
            WHERE t.client_generation < c.generation";
        assert_eq!(world.number(dead), 0, "{round}: dead tokens stay");
    }
    assert_eq!(minted.len(), 2, "both orders have happened");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_once() {
    let (world, [one, other]) = World::with().await;
    let user = one.user("alice", Role::Developer).await;
    let client = one.client(&user, "app.example").await;
    for round in 1..=60 {
        let token = match round % 2 {
            0 => one.own_token(&client).await.expose().to_owned(),
            _ => one.own_jwt(&client).await,
        };
        let [mine, yours] = [&one, &other].map(|node| {
            let (node, client, token) = (node.clone(), client.clone(), token.clone());
            async move { node.revoke(&client, &token).await }
        });
        let both = at_once(mine, yours).await;
        let nothing = |revocation| matches!(revocation, &TokenRevocation::Nothing);
        assert!(nothing(&both.0) != nothing(&both.1), "{round}: {both:?}");
        assert_eq!(world.number("SELECT count(*) FROM ledger"), round, "{round}");
    }
    world.close().await;
}

/// Requests that share a commit lock rows in any order, so two servers may wait for each other. Then each request gets a
/// commit of its own.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_share_commits_succeed_on_both_servers() {
    let (world, [one, other]) = World::with().await;
    let alice = one.user("alice", Role::Developer).await;
    let bob = one.user("bob", Role::Developer).await;
    let client = one.client(&alice, "app.example").await;
    let sessions = [one.session("alice").await, one.session("bob").await];
    for round in 0..40 {
        let seen = [one.look(&client, &alice).await, one.look(&client, &bob).await];
        let [mine, yours] = [(&one, [0, 1]), (&other, [1, 0])].map(|(node, order)| {
            let (node, client, seen, sessions) =
                (node.clone(), client.clone(), seen.clone(), sessions.clone());
            async move {
                let approve =
                    |person: usize| node.approve(&client, seen[person].clone(), &sessions[person], NOW);
                tokio::join!(approve(order[0]), approve(order[1]))
            }
        });
        let (mine, yours) = at_once(mine, yours).await;
        for code in [mine.0, mine.1, yours.0, yours.1] {
            assert!(one.redeem(&client, &code.unwrap()).await.is_ok(), "{round}");
        }
    }
    world.close().await;
}
