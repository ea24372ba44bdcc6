//! People who act on a page of one server, while another one takes from them the right to.

use rescind::model::by::By;
use rescind::model::id::UserId;
use rescind::model::user::{Role, Username};
use rescind::service::revoke::{self, Apps};
use rescind::service::{account, hand_over, moderate};
use rescind::store::{Denial, Error};

use super::world::{NOW, Node, Session, World, at_once};

/// Somebody with a role, who is signed in.
#[derive(Clone)]
struct Person {
    id: UserId,
    name: String,
    role: Role,
    session: Session,
}

impl Person {
    async fn new(node: &Node, name: String, role: Role) -> Self {
        let id = node.user(&name, role).await;
        let session = node.session(&name).await;
        Self { id, name, role, session }
    }

    fn by(&self) -> By {
        self.session.by_as(self.role, &self.id, NOW)
    }
}

/// How an admin takes another one's rights.
#[derive(Clone, Copy, Debug)]
enum Way {
    Disabled,
    Demoted,
    SignedOut,
}

const WAYS: [Way; 3] = [Way::Disabled, Way::Demoted, Way::SignedOut];

/// `false` if whoever does it was refused.
async fn take(node: Node, way: Way, from: UserId, by: By) -> bool {
    let denied = match way {
        Way::Disabled => match revoke::disable_user(&node.store, from, Apps::Keep, by).await {
            Err(revoke::Error::Store(error)) => error,
            taken => return taken.unwrap().is_some(),
        },
        Way::SignedOut => match revoke::user(&node.store, from, None, by).await {
            Err(revoke::Error::Store(error)) => error,
            taken => return taken.unwrap().is_some(),
        },
        Way::Demoted => match moderate::set_role(&node.store, from, Role::User, by).await {
            Err(moderate::Error::Store(error)) => error,
            taken => {
                taken.unwrap();
                return true;
            }
        },
    };
    assert!(matches!(denied, Error::Denied(Denial::SignedOut | Denial::RoleLowered)), "{denied:?}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_do_not_end_each_other() {
    let (world, [one, other]) = World::with().await;
    one.user("third", Role::Admin).await;
    for round in 0..90 {
        let first = Person::new(&one, format!("a{round}"), Role::Admin).await;
        let second = Person::new(&one, format!("b{round}"), Role::Admin).await;
        let (way, also) = (WAYS[round % 3], WAYS[round / 3 % 3]);
        let (did, also_did) = at_once(
            take(one.clone(), way, second.id.clone(), first.by()),
            take(other.clone(), also, first.id.clone(), second.by()),
        )
        .await;
        assert_ne!(did, also_did, "{round}: {way:?} {also:?}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_browsers_of_a_person_do_not_sign_each_other_out() {
    let (world, [one, other]) = World::with().await;
    let person = Person::new(&one, "alice".to_owned(), Role::User).await;
    for round in 0..60 {
        let browsers = [one.session("alice").await, one.session("alice").await];
        let [mine, yours] = [(&one, 0), (&other, 1)].map(|(node, own)| {
            let (node, id) = (node.clone(), person.id.clone());
            let (by, ended) = (browsers[own].by(&id, NOW), browsers[1 - own].0.clone());
            async move { account::end_session(&node.store, ended, id, by).await.ok() }
        });
        let ended = at_once(mine, yours).await;
        assert!(matches!(ended, (Some(true), None) | (None, Some(true))), "{round}: {ended:?}");
    }
    world.close().await;
}

/// The ledger is in the order of commits: what an admin did stands before the end of their rights.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_after_their_right_was_taken() {
    let (world, [one, other]) = World::with().await;
    one.user("other", Role::Admin).await;
    let owner = one.user("dev", Role::Developer).await;
    let mut orders = [0; 2];
    for round in 0..90 {
        let admin = Person::new(&one, format!("a{round}"), Role::Admin).await;
        let client = one.client(&owner, &format!("host{round}.example")).await;
        let act = {
            let (store, client, by) = (one.store.clone(), client.clone(), admin.by());
            async move {
                let reason = "Spam".to_owned();
                match round % 2 {
                    0 => revoke::suspend_client(&store, client, reason, by).await,
                    _ => revoke::ban_client(&store, client, reason, by).await,
                }
            }
        };
        let end = take(other.clone(), WAYS[round % 3], admin.id.clone(), By::operator(NOW));
        let (acted, ended) = at_once(act, end).await;
        assert!(ended, "{round}");
        let sequence = |subject: &str| {
            world.number(&format!(
                "SELECT coalesce(max(sequence), 0) FROM ledger WHERE subject_id = '{subject}'"
            ))
        };
        let (act, end) = (sequence(client.as_str()), sequence(admin.id.as_str()));
        match acted {
            Ok(_) => {
                orders[0] += 1;
                assert!(act < end, "{round}: {act} {end}");
            }
            Err(revoke::Error::Store(Error::Denied(_))) => {
                orders[1] += 1;
                assert_eq!(act, 0, "{round}");
            }
            Err(error) => panic!("{round}: {error}"),
        }
    }
    assert!(orders.iter().all(|rounds| *rounds > 0), "{orders:?}");
    world.close().await;
}

/// Both accounts are locked in one order: neither waits for the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_developers_give_each_other_an_app() {
    let (world, [one, other]) = World::with().await;
    let people = [
        Person::new(&one, "ada".to_owned(), Role::Developer).await,
        Person::new(&one, "ben".to_owned(), Role::Developer).await,
    ];
    for round in 0..30 {
        let mut gifts = Vec::new();
        for (own, node) in [(0, &one), (1, &other)] {
            let client = node.client(&people[own].id, &format!("host{round}.example")).await;
            let to = Username::parse(&people[1 - own].name).unwrap();
            let (node, by) = (node.clone(), people[own].by());
            gifts.push(async move { hand_over::client(&node.store, client, to, by).await });
        }
        let (second, first) = (gifts.pop().unwrap(), gifts.pop().unwrap());
        let (mine, yours) = at_once(first, second).await;
        assert!(mine.is_ok() && yours.is_ok(), "{round}: {mine:?} {yours:?}");
    }
    world.close().await;
}
