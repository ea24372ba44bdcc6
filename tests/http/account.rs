//! `/account`: a password that is being changed while the account is taken back.

use std::net::IpAddr;

use rescind::model::by::{Actor, By, PageSession};
use rescind::model::id::SessionId;
use rescind::model::password::Password;
use rescind::model::user::{Role, Username};
use rescind::service::account::{self, AppAccess};
use rescind::service::revoke;
use rescind::store::{self, Denial};

use crate::harness::browser::Browser;
use crate::harness::fields::Fields;
use crate::harness::{PASSWORD, World};

const THIEF_S: &str = "a password of the thief";

/// What takes the account back.
#[derive(Clone, Copy, Debug)]
enum Rescue {
    TakenOver,
    PasswordSet,
    Revoked,
    Disabled,
    PasswordChanged,
}

impl Rescue {
    const ALL: [Self; 5] =
        [Self::TakenOver, Self::PasswordSet, Self::Revoked, Self::Disabled, Self::PasswordChanged];

    async fn comes(self, world: &World, alice: &Browser) {
        let passwords =
            Fields::new(&[("current_password", PASSWORD), ("new_password", "a password of the owner")]);
        match self {
            Self::TakenOver => drop(alice.posts("/account/taken-over", &passwords).await.is(303)),
            Self::PasswordChanged => drop(alice.posts("/account/password", &passwords).await.is(303)),
            Self::PasswordSet => world.changes_password_of(alice, "a password of the operator").await,
            Self::Revoked => world.ends_everything_of(alice).await,
            Self::Disabled => world.disables(alice).await,
        }
    }
}

/// Alice, a thief who knows her password and has a session of her account, and what the thief's act stands on.
async fn stolen() -> (World, Browser, Browser, By) {
    let world = World::new().await;
    let alice = world.signed_in("alice").await;
    let own: String = world.value("SELECT id FROM sessions");
    let thief = alice.elsewhere();
    thief.signs_in().await;
    let session: String = world.value(&format!("SELECT id FROM sessions WHERE id <> '{own}'"));
    let session = SessionId::parse(&session).unwrap();
    let standing = PageSession { user: alice.id.clone(), session, role: Role::User };
    let by = By::on_page(standing, IpAddr::from([203, 0, 113, 9]), world.app.clock.now());
    (world, alice, thief, by)
}

#[tokio::test]
async fn a_password_change_in_progress_fails_once_the_account_is_taken_back() {
    for rescue in Rescue::ALL {
        let (world, alice, thief, by) = stolen().await;
        let store = &world.app.store;
        // The thief's request has checked the password, and is hashing the next one.
        let checked = store.credentials(&Username::parse("alice").unwrap()).await.unwrap().unwrap();
        let hash = Password::typed(THIEF_S.to_owned()).hash().unwrap();
        rescue.comes(&world, &alice).await;
        let before = world.contents();
        // Its session has ended; and without that, the account is no longer the one that was checked.
        let without_session = By { actor: Actor::User(alice.id.clone()), ..By::operator(by.at) };
        for by in [by, without_session] {
            let changed =
                account::change_password(store, checked.clone(), hash.clone(), AppAccess::Keep, by.clone());
            let refused = changed.await.err().unwrap();
            assert!(matches!(refused, store::Error::Denied(Denial::SignedOut)), "{rescue:?}: {refused}");
            let taken = revoke::taken_over_account(store, checked.clone(), hash.clone(), by).await;
            let refused = taken.err().unwrap();
            let is_denied = matches!(refused, revoke::Error::Store(store::Error::Denied(Denial::SignedOut)));
            assert!(is_denied, "{rescue:?}: {refused}");
        }
        assert_eq!(world.contents(), before, "{rescue:?}");
        assert!(!thief.is_signed_in().await);
        thief.types(THIEF_S, "").await.page(401);
    }
}

#[tokio::test]
async fn a_password_change_ends_every_other_session() {
    let (world, alice, thief, _) = stolen().await;
    Rescue::PasswordChanged.comes(&world, &alice).await;
    assert!(alice.is_signed_in().await);
    assert!(!thief.is_signed_in().await);
    assert_eq!(world.value::<i64>("SELECT count(*) FROM sessions"), 1);
}

#[tokio::test]
async fn a_form_that_was_sent_while_signed_out_leads_to_its_page_after_signing_in() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    for path in ["/account/password", "/account/sessions/ses_00000000000000000000/end"] {
        alice.posts(path, &Fields::default()).await.asks_to_sign_in(path);
    }
    alice.signs_in().await;
    for path in ["/account/password", "/account/sessions/ses_00000000000000000000/end"] {
        alice.gets(path).await.leads_to("/account");
    }
}
