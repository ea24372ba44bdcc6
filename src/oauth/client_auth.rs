//! Who calls a protocol endpoint: a client by Basic, post or none (RFC 6749 §2.3), a resource server by Basic, at
//! introspection by post too.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::client::ClientKind;
use crate::model::id::{ClientId, ResourceServerId};
use crate::model::params::{Params, decode};
use crate::model::resource_server::ResourceServer;
use crate::model::secret::{ClientSecret, Digest, ResourceServerSecret};
use crate::oauth::error::{Code, Error};
use crate::store;
use crate::store::clients::ClientAndSecrets;
use crate::store::held::Held;

/// The pair in an `Authorization: Basic` header.
pub struct Basic {
    pub id: String,
    pub secret: String,
}

impl Basic {
    /// `None` without an `Authorization` header.
    ///
    /// Both parts are form-encoded before they are joined (RFC 6749 §2.3.1).
    ///
    /// # Errors
    /// When the header is there and is not a readable Basic one.
    fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let mut read = || {
            let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
            if !scheme.eq_ignore_ascii_case("basic") || values.next().is_some() {
                return None;
            }
            let pair = BASE64_STANDARD.decode(encoded.trim()).ok()?;
            let colon = pair.iter().position(|&byte| byte == b':')?;
            let id = decode(&pair[..colon]).ok().filter(|id| !id.is_empty())?;
            Some(Self { id, secret: decode(&pair[colon + 1..]).ok()? })
        };
        let unreadable =
            || Error::invalid_client("the Authorization header is not a readable Basic one").challenged();
        read().map(Some).ok_or_else(unreadable)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Basic {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Error> {
        Self::from_headers(&parts.headers)
    }
}

/// What a request shows of who sent it.
struct PresentedCredentials<'a> {
    id: &'a str,
    secret: Option<&'a str>,
    way: Way,
}

/// Where the credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Header,
    Body,
}

impl<'a> PresentedCredentials<'a> {
    /// # Errors
    /// `invalid_request` for two ways at once, or for two ids; `invalid_client` for no way.
    fn read(basic: Option<&'a Basic>, form: &'a Params) -> Result<Self, Error> {
        let (id, secret) = (form.get("client_id"), form.get("client_secret"));
        match basic {
            Some(_) if secret.is_some() => Err(Error::invalid_request(
                "client_secret: the request uses two ways of client authentication",
            )),
            Some(basic) if id.is_some_and(|id| id != basic.id) => {
                Err(Error::invalid_request("client_id differs from the Authorization header"))
            }
            // An empty secret is none (RFC 6749 §2.3.1), so public clients may name themselves like this.
            Some(Basic { id, secret }) => {
                Ok(Self { id, secret: Some(secret.as_str()).filter(|it| !it.is_empty()), way: Way::Header })
            }
            None => {
                let id = id.ok_or_else(|| {
                    Error::invalid_client("client_id is missing, and there is no Authorization header")
                })?;
                Ok(Self { id, secret, way: Way::Body })
            }
        }
    }
}

/// The client that sent this request.
///
/// # Errors
/// `invalid_request` for two ways at once; `invalid_client` for everything that does not prove it,
/// an inactive client included.
pub async fn authenticate(
    held: &Held<'_>,
    basic: Option<Basic>,
    form: &Params,
    now: Timestamp,
) -> Result<Arc<ClientAndSecrets>, Error> {
    let shown = PresentedCredentials::read(basic.as_ref(), form)?;
    prove(held, shown.id, shown.secret, now).await.map_err(|error| match (shown.way, error.code) {
        (Way::Header, Code::InvalidClient) => error.challenged(),
        _ => error,
    })
}

async fn prove(
    held: &Held<'_>,
    id: &str,
    secret: Option<&str>,
    now: Timestamp,
) -> Result<Arc<ClientAndSecrets>, Error> {
    let unknown = || Error::invalid_client("unknown client, wrong secret, or a client that may not act");
    let id = ClientId::parse(id).ok_or_else(unknown)?;
    let client = held.client_and_secrets(&id, now).await?.ok_or_else(unknown)?;
    if !client.status.is_active() {
        return Err(unknown());
    }
    match (client.kind, secret) {
        (ClientKind::Public, None) => Ok(client),
        (ClientKind::Public, Some(_)) | (ClientKind::Confidential, None) => Err(unknown()),
        (ClientKind::Confidential, Some(secret)) => {
            let shown = ClientSecret::parse(secret).ok_or_else(unknown)?.digest();
            // Every one is compared, so that the time does not tell which one matched.
            let matches = client.secrets(now).filter(|digest| digest.matches(&shown)).count();
            if matches == 0 { Err(unknown()) } else { Ok(client) }
        }
    }
}

/// The resource server that sent this form. A client's credentials open nothing here. Whether `held` was current is asked
/// by the caller, also after an error.
///
/// # Errors
/// `invalid_request` for two ways at once; `invalid_client` for everything that does not prove it.
pub async fn authenticate_resource_server(
    held: &Held<'_>,
    basic: Option<&Basic>,
    form: &Params,
    now: Timestamp,
) -> Result<ResourceServer, Error> {
    let shown = PresentedCredentials::read(basic, form).map_err(|error| match error.code {
        Code::InvalidClient => not_a_resource_server(),
        _ => error,
    })?;
    prove_resource_server(held, shown.id, shown.secret.unwrap_or_default(), now)
        .await
        .map(|proven| proven.server)
}

/// 401, whichever way was used (RFC 7662 §2.3).
fn not_a_resource_server() -> Error {
    Error::invalid_client("resource servers authenticate with their id and secret").challenged()
}

async fn prove_resource_server(
    held: &Held<'_>,
    id: &str,
    secret: &str,
    now: Timestamp,
) -> Result<ProvenServer, Error> {
    let id = ResourceServerId::parse(id).ok_or_else(not_a_resource_server)?;
    let secret = ResourceServerSecret::parse(secret).ok_or_else(not_a_resource_server)?.digest();
    let server = held.resource_server(&id).await?.filter(|server| server.accepts(&secret, now));
    server.map(|server| ProvenServer { server, secret }).ok_or_else(not_a_resource_server)
}

/// A resource server that asks, and the secret that it has shown. A client's credentials open nothing there.
pub struct ProvenServer {
    server: ResourceServer,
    secret: Digest,
}

/// What has become of the credentials that a request began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Valid,
    /// The secret was rotated.
    Outdated,
    /// The resource server was deleted.
    Deleted,
}

impl ProvenServer {
    /// What holds of the credentials now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn proof(&self, app: &App, now: Timestamp) -> store::Result<Proof> {
        let known = app.store.resource_server(&self.server.id).await?;
        Ok(match known {
            None => Proof::Deleted,
            Some(server) if server.accepts(&self.secret, now) => Proof::Valid,
            Some(_) => Proof::Outdated,
        })
    }

    /// The resource server, once the request's body has been read: that may take long, and its secret may have been
    /// rotated meanwhile.
    ///
    /// # Errors
    /// `invalid_client`.
    pub async fn confirmed(self, app: &App, now: Timestamp) -> Result<ResourceServer, Error> {
        match self.proof(app, now).await? {
            Proof::Valid => Ok(self.server),
            Proof::Outdated | Proof::Deleted => Err(not_a_resource_server()),
        }
    }

    /// For requests without a body.
    pub const fn server(&self) -> &ResourceServer {
        &self.server
    }
}

/// By Basic: these requests have no form to hold anything else.
impl FromRequestParts<App> for ProvenServer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let basic = Basic::from_headers(&parts.headers)?.ok_or_else(not_a_resource_server)?;
        let held = app.store.current_held().await?;
        prove_resource_server(&held, &basic.id, &basic.secret, app.clock.now()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(value: &str) -> Result<Option<Basic>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        Basic::from_headers(&headers)
    }

    #[test]
    fn both_parts_are_form_encoded() {
        let value = format!("bAsIc {}", BASE64_STANDARD.encode("a%3Ab+c:d%26e&f=g"));
        let basic = basic(&value).unwrap().unwrap();
        assert_eq!((basic.id.as_str(), basic.secret.as_str()), ("a:b c", "d&e&f=g"));
    }

    #[test]
    fn unreadable_headers_are_refused() {
        for value in ["Bearer x", "Basic", "Basic !", "Basic YQ=="] {
            assert!(basic(value).is_err(), "{value}");
        }
    }
}
