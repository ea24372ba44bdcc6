//! Who acts, where from and when, and in which session.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::model::id::{ClientId, SessionId, UserId};
use crate::model::names::names;
use crate::model::user::Role;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    User(UserId),
    /// Acting on one of their own apps.
    Developer(UserId),
    /// Acting for the provider.
    Admin(UserId),
    Client(ClientId),
    /// Somebody who is not signed in, and has no account yet.
    Visitor,
    /// Anybody who may run commands on the server's machine.
    Operator,
    /// The server itself, when something is due.
    Server,
}

impl Actor {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Developer(_) => "developer",
            Self::Admin(_) => "admin",
            Self::Client(_) => "client",
            Self::Visitor => "visitor",
            Self::Operator => "operator",
            Self::Server => "server",
        }
    }

    pub fn id(&self) -> Option<&str> {
        match self {
            Self::User(id) | Self::Developer(id) | Self::Admin(id) => Some(id.as_str()),
            Self::Client(id) => Some(id.as_str()),
            Self::Visitor | Self::Operator | Self::Server => None,
        }
    }

    /// As a row holds it.
    pub fn parse(kind: &str, id: Option<&str>) -> Option<Self> {
        let user = || id.and_then(UserId::parse);
        match kind {
            "user" => user().map(Self::User),
            "developer" => user().map(Self::Developer),
            "admin" => user().map(Self::Admin),
            "client" => id.and_then(ClientId::parse).map(Self::Client),
            "visitor" => Some(Self::Visitor),
            "operator" => Some(Self::Operator),
            "server" => Some(Self::Server),
            _ => None,
        }
    }
}

names! {
    /// Where it was done.
    Origin {
        Page = "page",
        Command = "command",
        Protocol = "protocol",
        Schedule = "schedule",
    }
}

/// The session of a person who acts on a page, and the role that the page asks for.
///
/// Both were looked up when the head of the request arrived. The body may follow much later, so the
/// transaction of the act checks them again: [`crate::store::Store::act`].
#[derive(Clone, Debug)]
pub struct PageSession {
    pub user: UserId,
    pub session: SessionId,
    pub role: Role,
}

/// Who acts, where from, when and why.
#[derive(Clone, Debug)]
pub struct By {
    pub actor: Actor,
    pub origin: Origin,
    pub at: Timestamp,
    /// Where the request came from; `None` for commands.
    pub address: Option<IpAddr>,
    /// The reason that somebody gave who decides for others.
    pub reason: Option<String>,
    /// Every act on a page has one: [`By::on_page`].
    pub page_session: Option<PageSession>,
}

impl By {
    const fn new(actor: Actor, origin: Origin, at: Timestamp) -> Self {
        Self { actor, origin, at, address: None, reason: None, page_session: None }
    }

    /// A signed-in person, in the role that the page asks for.
    pub fn on_page(session: PageSession, address: IpAddr, at: Timestamp) -> Self {
        let user = session.user.clone();
        let actor = match session.role {
            Role::User => Actor::User(user),
            Role::Developer => Actor::Developer(user),
            Role::Admin => Actor::Admin(user),
        };
        Self { address: Some(address), page_session: Some(session), ..Self::new(actor, Origin::Page, at) }
    }

    /// A person who has just proven who they are, and has no session yet.
    pub fn at_sign_in(user: UserId, address: IpAddr, at: Timestamp) -> Self {
        Self { address: Some(address), ..Self::new(Actor::User(user), Origin::Page, at) }
    }

    /// Somebody who creates an account for themselves.
    pub fn visitor(address: IpAddr, at: Timestamp) -> Self {
        Self { address: Some(address), ..Self::new(Actor::Visitor, Origin::Page, at) }
    }

    pub fn client_by_protocol(client: &ClientId, at: Timestamp) -> Self {
        Self::new(Actor::Client(client.clone()), Origin::Protocol, at)
    }

    pub const fn operator(at: Timestamp) -> Self {
        Self::new(Actor::Operator, Origin::Command, at)
    }

    pub const fn schedule(at: Timestamp) -> Self {
        Self::new(Actor::Server, Origin::Schedule, at)
    }

    #[must_use]
    pub fn because(self, reason: String) -> Self {
        Self { reason: Some(reason), ..self }
    }

    #[must_use]
    pub fn from_address(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }
}
