//! Every form, with its body held back until whoever sends it may do so no more.

use rescind::model::by::By;
use rescind::model::user::Role;
use rescind::routes::{Caller, Route, TABLE};
use rescind::service::moderate;
use tokio::sync::oneshot;

use crate::http::harness::browser::Browser;
use crate::requests::{Stage, variants};
use crate::sqlite;

/// What takes the power to act away while the body is on its way.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Session,
    AllSessions,
    PasswordChanged,
    UserRevoked,
    UserDisabled,
    RoleLowered,
}

/// Anybody may send these, signed in or not; signing out of a session that has ended is no act.
const NOBODY_S_ACTS: [&str; 3] = ["/login", "/register", "/logout"];

fn forms() -> impl Iterator<Item = &'static Route> {
    use Caller::{Admin, Developer, Public, SignedIn};
    let pages = TABLE.iter().filter(|route| matches!(route.caller, Public | SignedIn | Developer | Admin));
    pages.filter(|route| route.method == "post" && !NOBODY_S_ACTS.contains(&route.path))
}

impl Ending {
    async fn comes(self, stage: &Stage, person: &Browser) {
        let world = &stage.world;
        match self {
            Self::Session => {
                world.forces(&format!("DELETE FROM sessions WHERE user_id = '{}'", person.id));
            }
            Self::AllSessions => world.forces("UPDATE server SET generation = generation + 1"),
            Self::PasswordChanged => world.changes_password_of(person, "a password of somebody else").await,
            Self::UserRevoked => world.ends_everything_of(person).await,
            Self::UserDisabled => world.disables(person).await,
            Self::RoleLowered => {
                let by = By::operator(world.app.clock.now());
                moderate::set_role(&world.app.store, person.id.clone(), Role::User, by).await.unwrap();
            }
        }
    }
}

async fn nothing_is_done_after(ending: Ending) {
    let _alone = sqlite::alone().await;
    let mut tried = 0;
    for (route, variant) in forms().flat_map(|route| (0..variants(route)).map(move |i| (route, i))) {
        let is_for_users = matches!(route.caller, Caller::Public | Caller::SignedIn);
        if is_for_users && matches!(ending, Ending::RoleLowered) {
            continue;
        }
        let stage = Stage::new().await;
        // So that the admin who acts is not the last one.
        stage.world.with_role("eve", Role::Admin).await;
        let request = stage.request(route, variant).await;
        let (waiting, waits) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let answer = stage.holds_back(&request, waiting, released);
        let meanwhile = async {
            waits.await.unwrap();
            ending.comes(&stage, stage.person(&request)).await;
            let before = stage.world.contents();
            release.send(()).unwrap();
            before
        };
        let (answer, before) = tokio::join!(answer, meanwhile);
        let what = format!("{} ({variant}) after {ending:?}: {}", route.path, answer.status);
        assert_eq!(stage.world.contents(), before, "{what}");
        let to_sign_in = answer.header("location").is_some_and(|to| to.starts_with("/login?next="));
        // A page that asks for the password finds it wrong first.
        assert!(to_sign_in || [403, 422].contains(&answer.status.as_u16()), "{what}");
        stage.world.ends().await;
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_its_session_ended() {
    nothing_is_done_after(Ending::Session).await;
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_all_sessions_ended() {
    nothing_is_done_after(Ending::AllSessions).await;
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_the_password_was_changed() {
    nothing_is_done_after(Ending::PasswordChanged).await;
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_the_user_was_revoked() {
    nothing_is_done_after(Ending::UserRevoked).await;
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_the_user_was_disabled() {
    nothing_is_done_after(Ending::UserDisabled).await;
}

#[tokio::test]
async fn a_held_back_form_does_nothing_after_the_role_was_lowered() {
    nothing_is_done_after(Ending::RoleLowered).await;
}

/// The same requests do act when nothing comes in between: otherwise the tests above would show nothing.
#[tokio::test]
async fn the_same_forms_succeed_when_nothing_happens_in_between() {
    let _alone = sqlite::alone().await;
    for (route, variant) in forms().flat_map(|route| (0..variants(route)).map(move |i| (route, i))) {
        let stage = Stage::new().await;
        stage.world.with_role("eve", Role::Admin).await;
        let request = stage.request(route, variant).await;
        let before = stage.world.contents();
        let answer = stage.sends(&request).await;
        assert_eq!(answer.status, 303, "{}: {}", route.path, answer.body);
        assert_ne!(stage.world.contents(), before, "{}", route.path);
        stage.world.ends().await;
    }
}
