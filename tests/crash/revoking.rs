//! Killed while it revokes: what was answered holds, what was not is whole or absent.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;

use crate::engine::database::is_postgres;
use crate::killing::{COMMIT, Caller, CrashSite};
use crate::program::Server;
use crate::visitor::{Tokens, World};

const POINTS: [&str; 5] =
    ["revoke.before_ledger", "revoke.after_ledger", "revoke.after_purge_queued", COMMIT[0], COMMIT[1]];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    AccessToken,
    RefreshToken,
    Device,
    App,
    Client,
    User,
}

/// Whom an act hits.
struct Victim {
    cookie: String,
    tokens: Tokens,
    grant: String,
    family: String,
}

impl Act {
    /// The command that does it, if one does.
    fn command(self, world: &World) -> Option<[&str; 3]> {
        match self {
            Self::Client => Some(["revoke", "client", &world.client.0]),
            Self::User => Some(["revoke", "user", "alice"]),
            _ => None,
        }
    }

    /// Whether the act was answered with success.
    async fn on(self, victim: &Victim, place: &CrashSite, world: &World, server: &Server) -> bool {
        let caller = Caller::new(world, server);
        let Victim { cookie, tokens, grant, family } = victim;
        let request = match self {
            Self::AccessToken => caller.as_client("/oauth/revoke", &[("token", &tokens.access)]),
            Self::RefreshToken => caller.as_client("/oauth/revoke", &[("token", &tokens.refresh)]),
            Self::Device => {
                caller.submits(cookie, &format!("/authorizations/{grant}/devices/{family}/revoke"))
            }
            Self::App => caller.submits(cookie, &format!("/authorizations/{grant}/revoke")),
            Self::Client | Self::User => return place.run(&self.command(world).unwrap()).exit == 0,
        };
        request.send().await.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 303))
    }
}

/// Kills whoever does each act at each point; how many revocations were whole afterwards.
async fn kill_in(acts: [Act; 3]) {
    let place = CrashSite::new();
    let world = World::register(&place);
    let mut server = place.serve_mortal();
    let mut cookie = world.at(&server).sign_in().await;
    let (mut whole, mut strays) = (0, 0);
    let mut rounds: VecDeque<_> = acts.into_iter().flat_map(|act| POINTS.map(|point| (act, point))).collect();
    while let Some((act, point)) = rounds.pop_front() {
        let what = format!("{act:?} at {point}");
        let visitor = world.at(&server);
        if visitor.page(&cookie, "/authorizations").await.status() != 200 {
            cookie = visitor.sign_in().await;
        }
        let answered = visitor.authorize(&cookie).await;
        assert_eq!(visitor.revoke_token(&answered.refresh).await.status(), 200, "{what}");
        let bystander = visitor.authorize(&cookie).await;
        let tokens = visitor.authorize(&cookie).await;
        let facts = visitor.introspect(&tokens.access).await;
        let text = |name: &str| facts[name].as_str().unwrap().to_owned();
        let mut victim =
            Victim { cookie: cookie.clone(), tokens, grant: text("grant_id"), family: text("family_id") };
        place.is_purged();
        let acts_before = place.number("SELECT count(*) FROM ledger");

        match act.command(&world) {
            // It works on the database by itself: it dies, and the server goes on.
            Some(command) if is_postgres() => {
                assert_eq!(place.dies_at(point, &command).signal(), Some(9), "{what}");
            }
            _ => {
                place.arms(point);
                assert!(!act.on(&victim, &place, &world, &server).await, "{what} was answered");
                server = place.serve_again(server, point);
            }
        }

        let visitor = world.at(&server);
        assert!(!visitor.is_active(&answered.access).await, "{what}: an answered revocation is lost");
        assert_eq!(visitor.refresh(&answered.refresh).await.status(), 400, "{what}");
        let acts = place.number("SELECT count(*) FROM ledger") - acts_before;
        assert!((0..=1).contains(&acts), "{what}: {acts} rows");
        assert!(acts == 0 || point == COMMIT[1], "{what}: it was not committed yet");
        assert_eq!(visitor.is_active(&victim.tokens.access).await, acts == 0, "{what} is half done");
        if acts == 0 {
            let again = visitor.refresh(&victim.tokens.refresh).await;
            assert_eq!(again.status(), 200, "{what} is half done");
            let again: serde_json::Value = again.json().await.unwrap();
            let text = |name: &str| again[name].as_str().unwrap().to_owned();
            victim.tokens = Tokens { access: text("access_token"), refresh: text("refresh_token") };
        }
        whole += acts;
        if acts == 0 && point == COMMIT[1] {
            // The purge's own commit came first: once more.
            strays += 1;
            rounds.push_back((act, point));
        }
        place.is_sound(&what);

        // Whoever had no answer asks again, and then it is done. The session went with the account; of a
        // device that was signed out nothing may be left.
        let is_over = matches!(act, Act::User | Act::Device) && acts == 1;
        assert!(act.on(&victim, &place, &world, &server).await || is_over, "{what}, repeated");
        assert!(!visitor.is_active(&victim.tokens.access).await, "{what}, repeated");
        let refreshed = visitor.refresh(&victim.tokens.refresh).await.status();
        assert_eq!(refreshed, if act == Act::AccessToken { 200 } else { 400 }, "{what}, repeated");
        let spares_others = matches!(act, Act::AccessToken | Act::RefreshToken | Act::Device);
        assert_eq!(visitor.is_active(&bystander.access).await, spares_others, "{what}, repeated");
    }
    assert_eq!(whole, 3, "each act once, unanswered but committed");
    assert!(strays <= 3, "{strays} commits were somebody else's");
    place.is_purged();
    place.is_sound("at the end");
}

#[tokio::test]
async fn a_crash_leaves_revoked_tokens_and_devices_whole_or_untouched() {
    kill_in([Act::AccessToken, Act::RefreshToken, Act::Device]).await;
}

#[tokio::test]
async fn a_crash_leaves_revoked_apps_and_accounts_whole_or_untouched() {
    kill_in([Act::App, Act::Client, Act::User]).await;
}
