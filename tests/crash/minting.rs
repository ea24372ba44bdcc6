//! Killed while it gives something: a code is used with tokens or not at all, nobody is signed out by a refresh.

use std::collections::VecDeque;

use serde_json::Value;

use crate::killing::{COMMIT, Caller, CrashSite};
use crate::visitor::World;

/// Codes, codes that were used, access tokens, refresh tokens.
type Counts = [i64; 4];

fn counts(place: &CrashSite) -> Counts {
    [
        "SELECT count(*) FROM authorization_codes",
        "SELECT count(*) FROM authorization_codes WHERE used_at IS NOT NULL",
        "SELECT count(*) FROM tokens WHERE place / 1048576 % 2 = 0",
        "SELECT count(*) FROM tokens WHERE place / 1048576 % 2 = 1",
    ]
    .map(|sql| place.number(sql))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mint {
    Consent,
    Redeem,
    Refresh,
    ForClient,
}

impl Mint {
    const ALL: [Self; 4] = [Self::Consent, Self::Redeem, Self::Refresh, Self::ForClient];

    const fn points(self) -> &'static [&'static str] {
        match self {
            Self::Consent => &["authorize.after_family", COMMIT[0], COMMIT[1]],
            Self::Redeem => &[
                "issue.after_code_used",
                "issue.after_access_token",
                "issue.after_refresh_token",
                COMMIT[0],
                COMMIT[1],
            ],
            Self::Refresh => &["refresh.after_superseded", "refresh.after_successor", COMMIT[0], COMMIT[1]],
            Self::ForClient => &["issue.after_client_token", COMMIT[0], COMMIT[1]],
        }
    }

    /// What the whole of it adds.
    const fn adds(self) -> Counts {
        match self {
            Self::Consent => [1, 0, 0, 0],
            Self::Redeem => [0, 1, 1, 1],
            Self::Refresh => [0, 0, 1, 1],
            Self::ForClient => [0, 0, 1, 0],
        }
    }
}

#[tokio::test]
async fn a_crash_leaves_every_exchange_whole_or_untouched() {
    let place = CrashSite::new();
    let world = World::register(&place);
    let mut server = place.serve_mortal();
    let cookie = world.at(&server).sign_in().await;
    let mut revoked = world.at(&server).authorize(&cookie).await;
    let rounds = Mint::ALL.into_iter().flat_map(|mint| mint.points().iter().map(move |point| (mint, *point)));
    let mut rounds: VecDeque<_> = rounds.collect();
    let mut strays = 0;
    while let Some((mint, point)) = rounds.pop_front() {
        let what = format!("{mint:?} at {point}");
        let visitor = world.at(&server);
        assert_eq!(visitor.revoke_token(&revoked.refresh).await.status(), 200, "{what}");
        let tokens = visitor.authorize(&cookie).await;
        let code = visitor.code(&cookie).await;
        place.is_purged();
        let before = counts(&place);

        let caller = Caller::new(&world, &server);
        let request = match mint {
            Mint::Consent => caller.gets(&cookie, &visitor.authorize_path()),
            Mint::Redeem => caller.redeems(&code),
            Mint::Refresh => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
                caller.as_client("/oauth/token", &form)
            }
            Mint::ForClient => caller.as_client("/oauth/token", &[("grant_type", "client_credentials")]),
        };
        place.arms(point);
        assert!(request.send().await.is_err(), "{what} was answered");
        server = place.serve_again(server, point);

        let after = counts(&place);
        let added: Counts = std::array::from_fn(|i| after[i] - before[i]);
        let is_whole = added != [0; 4];
        assert!(!is_whole || (added == mint.adds() && point == COMMIT[1]), "{what}: {added:?}");
        if !is_whole && point == COMMIT[1] {
            // The purge's own commit came first: once more.
            strays += 1;
            assert!(strays <= 3, "{strays} commits were somebody else's");
            rounds.push_back((mint, point));
        }
        place.is_sound(&what);
        let visitor = world.at(&server);
        assert!(!visitor.is_active(&revoked.access).await, "{what}: an answered revocation is lost");
        assert!(visitor.is_active(&tokens.access).await, "{what}");

        // Whoever had no answer asks again.
        let redeemed = visitor.redeem(&code).await.status();
        assert_eq!(redeemed, if mint == Mint::Redeem && is_whole { 400 } else { 200 }, "{what}, repeated");
        let refreshed = visitor.refresh(&tokens.refresh).await;
        assert_eq!(refreshed.status(), 200, "{what}, repeated: a lost answer signs nobody out");
        let refreshed: Value = refreshed.json().await.unwrap();
        let next = visitor.refresh(refreshed["refresh_token"].as_str().unwrap()).await;
        assert_eq!(next.status(), 200, "{what}: the successor goes on");
        assert_eq!(visitor.client_token().await.status(), 200, "{what}, repeated");
        revoked = visitor.authorize(&cookie).await;
    }
}
