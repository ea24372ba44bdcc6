//! Sessions of signed-in browsers, and who looks at a page.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tower_sessions::cookie::SameSite;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error as StoreError, Result as StoreResult};
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

use crate::app::App;
use crate::app::address::Address;
use crate::clock::{Clock, Timestamp};
use crate::config::Transport;
use crate::model::by::{By, PageSession};
use crate::model::id::{SessionId, UserId};
use crate::model::secret::Digest;
use crate::model::user::Role;
use crate::service::sign_in;
use crate::store::Store;
use crate::store::sessions::NewSession;
use crate::store::users::{Credentials, User};
use crate::web::error::{Error, SignedOut};
use crate::web::once::Brought;
use crate::web::page::{Page, Person, Section};

/// The one key that sessions hold: what the browser signed in with.
const SIGN_IN: &str = "sign_in";

/// The key under which a loaded session finds its own public id.
const SESSION_ID: &str = "session_id";

/// What a session is stamped with when it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SignIn {
    user: String,
    password_version: i64,
    user_generation: i64,
    server_generation: i64,
    device: String,
    /// Where a sign-in came from; `None` for a session that begins after the account was changed.
    #[serde(default)]
    address: Option<IpAddr>,
}

/// Sessions in the `sessions` table, under the digest of their id.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    clock: Clock,
    life: Duration,
}

impl Sessions {
    /// By our clock; the library takes the date in a record from the system's clock.
    fn expiry(&self) -> Timestamp {
        self.clock.now().plus(self.life)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Sessions")
    }
}

fn digest(id: Id) -> Digest {
    Digest::of(&id.0.to_le_bytes())
}

fn backend(error: impl std::fmt::Display) -> StoreError {
    StoreError::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> StoreResult<()> {
        let now = self.clock.now();
        let mark = record.data.get(SIGN_IN).cloned().ok_or_else(|| backend("nobody signed in"))?;
        let mark: SignIn = serde_json::from_value(mark).map_err(backend)?;
        let checked = Credentials {
            user: UserId::parse(&mark.user).ok_or_else(|| backend("no user id"))?,
            password_hash: String::new(),
            password_version: mark.password_version,
            user_generation: mark.user_generation,
            server_generation: mark.server_generation,
        };
        let new = NewSession {
            digest: digest(record.id),
            id: SessionId::generate(now),
            device: mark.device,
            data: serde_json::to_string(&record.data).map_err(backend)?,
            expires_at: self.expiry(),
        };
        let begun = match mark.address {
            Some(address) => {
                let by = By::at_sign_in(checked.user.clone(), address, now);
                sign_in::begin_session(&self.store, new, checked, by).await
            }
            None => sign_in::continue_session(&self.store, new, checked, now).await,
        }
        .map_err(backend)?;
        // The account was changed while the password was being checked.
        if begun { Ok(()) } else { Err(StoreError::Decode("the account has changed".to_owned())) }
    }

    /// Does nothing: `create` has written all that a session holds. The layer calls this right after `create`.
    /// A second write could fail although the sign-in is committed, and the layer would answer that with a 500
    /// without a page.
    async fn save(&self, _: &Record) -> StoreResult<()> {
        Ok(())
    }

    async fn load(&self, id: &Id) -> StoreResult<Option<Record>> {
        let row = self.store.session(&digest(*id), self.clock.now()).await.map_err(backend)?;
        row.map(|row| {
            let mut data: HashMap<String, serde_json::Value> =
                serde_json::from_str(&row.data).map_err(backend)?;
            data.insert(SESSION_ID.to_owned(), row.id.as_str().into());
            Ok(Record {
                id: *id,
                data,
                expiry_date: OffsetDateTime::from_unix_timestamp(row.expires_at.seconds())
                    .map_err(backend)?,
            })
        })
        .transpose()
    }

    async fn delete(&self, id: &Id) -> StoreResult<()> {
        sign_in::forget_session(&self.store, digest(*id)).await.map_err(backend)
    }
}

/// The layer that reads and sets the session cookie.
pub fn layer(app: &App) -> SessionManagerLayer<Sessions> {
    let life = i64::try_from(app.config.session_life.as_secs()).unwrap_or(i64::MAX);
    let transport = app.config.issuer.transport();
    let sessions =
        Sessions { store: app.store.clone(), clock: app.clock.clone(), life: app.config.session_life };
    SessionManagerLayer::new(sessions)
        .with_name(cookie_name(transport))
        .with_secure(transport == Transport::Https)
        .with_http_only(true)
        // Strict would show a signed-in user who comes from an app as signed out.
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(time::Duration::seconds(life)))
}

/// The name of the session cookie.
const fn cookie_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Https => "__Host-rescind",
        Transport::Http => "rescind",
    }
}

/// Keeps only two of a request's cookies: the one that names a session, and the one that carries a new secret.
///
/// Others belong to other applications on this host. If one of them has a byte that is not UTF-8, the library drops
/// the whole header, and our cookie with it.
pub fn own_cookie<B>(
    transport: Transport,
) -> impl Fn(axum::http::Request<B>) -> axum::http::Request<B> + Clone {
    let name = cookie_name(transport).as_bytes();
    move |mut request| {
        let headers = request.headers_mut();
        let values = headers.get_all(header::COOKIE).iter();
        let (mut session, mut secret) = (None, None);
        for pair in values.flat_map(|value| value.as_bytes().split(|&byte| byte == b';')) {
            let pair = pair.trim_ascii();
            session = session.or_else(|| session_of(pair, name));
            secret = secret.or_else(|| Brought::read(pair));
        }
        headers.remove(header::COOKIE);
        if let Some(session) = session {
            headers.insert(header::COOKIE, session);
        }
        if let Some(secret) = secret {
            request.extensions_mut().insert(secret);
        }
        request
    }
}

/// `pair` if it is a cookie of this name that can name a session.
fn session_of(pair: &[u8], name: &[u8]) -> Option<HeaderValue> {
    let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
    std::str::from_utf8(value).ok()?.parse::<Id>().ok()?;
    HeaderValue::from_bytes(pair).ok()
}

/// Begins a session in this browser, in place of any earlier one: a sign-in from `address`, or, without an address, after
/// the account was changed. `false` when the account has changed since `checked` was read.
///
/// # Errors
/// When the store fails.
pub async fn begin(
    session: &Session,
    checked: &Credentials,
    browser: String,
    address: Option<IpAddr>,
) -> Result<bool, Error> {
    if session.id().is_some() {
        session.cycle_id().await?;
    }
    let mark = SignIn {
        user: checked.user.as_str().to_owned(),
        password_version: checked.password_version,
        user_generation: checked.user_generation,
        server_generation: checked.server_generation,
        device: browser,
        address,
    };
    session.insert(SIGN_IN, mark).await?;
    match session.save().await {
        Ok(()) => Ok(true),
        Err(tower_sessions::session::Error::Store(StoreError::Decode(_))) => {
            session.clear().await;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user: User,
    /// The session's own id, as the account page lists it.
    pub session: SessionId,
    /// The role that the page asks for.
    acts_as: Role,
    address: IpAddr,
}

impl SignedIn {
    pub fn page(&self, section: Section, now: Timestamp) -> Page {
        Page::new(Some(Person::of(&self.user)), section, now)
    }

    /// This person, acting on this page. The transaction of the act checks again whether they still may.
    pub fn by(&self, now: Timestamp) -> By {
        let (user, session) = (self.user.id.clone(), self.session.clone());
        By::on_page(PageSession { user, session, role: self.acts_as }, self.address, now)
    }
}

/// The person who looks at a page, signed in or not.
#[derive(Clone, Debug)]
pub struct Viewer(pub Option<SignedIn>);

impl Viewer {
    pub fn page(&self, now: Timestamp) -> Page {
        match &self.0 {
            Some(signed_in) => signed_in.page(Section::None, now),
            None => Page::new(None, Section::None, now),
        }
    }
}

/// Middleware of all pages: finds out who looks.
pub async fn identify(
    State(app): State<App>,
    session: Session,
    Address(address): Address,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let mark: Option<SignIn> = session.get(SIGN_IN).await?;
    let id: Option<String> = session.get(SESSION_ID).await?;
    let id = id.as_deref().and_then(SessionId::parse);
    let viewer = match mark.zip(id).and_then(|(mark, id)| Some((UserId::parse(&mark.user)?, id))) {
        Some((user, session)) => {
            let signed_in = |user| SignedIn { user, session, acts_as: Role::User, address };
            app.store.user(&user).await?.map(signed_in)
        }
        None => None,
    };
    request.extensions_mut().insert(Viewer(viewer));
    Ok(next.run(request).await)
}

/// Middleware of pages for people with a role: others sign in first and then go on, or are refused.
pub async fn require_role(State(role): State<Role>, mut request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let viewer = request.extensions_mut().get_mut::<Viewer>().and_then(|viewer| viewer.0.as_mut());
    let Some(signed_in) = viewer else { return to_sign_in(&method, &uri) };
    if signed_in.user.role < role {
        return Error::Forbidden.into_response();
    }
    signed_in.acts_as = role;
    let response = next.run(request).await;
    // The session ended while the request was under way.
    if response.extensions().get::<SignedOut>().is_some() { to_sign_in(&method, &uri) } else { response }
}

/// To the sign-in page and back; after a POST, back to the page that shows what the act does.
pub fn to_sign_in(method: &Method, uri: &Uri) -> Response {
    let back = if method == Method::GET {
        uri.path_and_query().map_or("/", |path| path.as_str())
    } else {
        uri.path()
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", back).finish();
    Redirect::to(&format!("/login?{query}")).into_response()
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Internal)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Viewer>().and_then(|viewer| viewer.0.clone()).ok_or(Error::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cookie header that is left of these.
    fn left_of(lines: &[&[u8]]) -> Option<String> {
        let mut request = axum::http::Request::new(());
        for line in lines {
            request.headers_mut().append(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        let request = own_cookie(Transport::Http)(request);
        let left: Vec<_> = request.headers().get_all(header::COOKIE).iter().collect();
        assert!(left.len() <= 1);
        left.first().map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_of_other_applications_never_hide_ours() {
        let own = format!("rescind={}", Id(7));
        let line = |before: &[u8], after: &[u8]| [before, own.as_bytes(), after].concat();
        for lines in [
            vec![line(b"", b"")],
            vec![line(b"a=\xff; ", b"")],
            vec![line(b"", b"; a=\xff")],
            vec![b"\xff".to_vec(), line(b"", b"")],
            vec![line(b"", b""), b"a=\xff".to_vec()],
            vec![line(b"rescind=other; xrescind=1; rescind; ;;=; ", b";rescindx=2")],
            vec![line(b"a=\"x;", b"\"")]
                .into_iter()
                .map(|mut line| {
                    line.pop();
                    line
                })
                .collect(),
        ] {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            assert_eq!(left_of(&lines).as_ref(), Some(&own), "{lines:?}");
        }
        assert_eq!(left_of(&[b"rescind=\xff"]), None);
        assert_eq!(left_of(&[b"a=b"]), None);
    }
}
