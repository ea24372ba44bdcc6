//! Every URL in one table, grouped by caller.

mod host;
mod observe;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower_http::cors::{AllowHeaders, Any, CorsLayer, ExposeHeaders};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::app::App;
use crate::config::Transport;
use crate::metrics::Requests;
use crate::model::user::Role;
use crate::oauth::error::Error as OauthError;
use crate::web::error::{self, Error};
use crate::web::page::content_security_policy;
use crate::web::session::{self, identify, require_role};
use crate::{feed, oauth, web};

/// Response headers that scripts of other origins may read.
const EXPOSED: &str = "retry-after, www-authenticate, x-request-id";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Larger bodies are refused. `feed::ack` reads its body with its own limit.
const LARGEST_BODY: usize = 64 * 1024;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Pages for everybody.
    Public,
    /// Pages for everybody who is signed in.
    SignedIn,
    /// Pages for developers and admins.
    Developer,
    /// Pages for admins.
    Admin,
    /// Protocol endpoints for apps, which may run in browsers.
    Client,
    /// Protocol endpoints for resource servers.
    ResourceServer,
    /// Static files, health and metrics.
    Anybody,
}

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub caller: Caller,
    pub path: &'static str,
    pub method: &'static str,
}

macro_rules! routes {
    ($($caller:ident { $($path:literal: $($method:ident($handler:path))+;)* })+) => {
        /// The whole table, for metrics, refusals and tests.
        pub const TABLE: &[Route] = &[$($($(
            Route { caller: Caller::$caller, path: $path, method: stringify!($method) },
        )+)*)+];

        fn group(caller: Caller) -> Router<App> {
            let router = Router::new();
            match caller {
                $(Caller::$caller => router$(.route($path, MethodRouter::new()$(.$method($handler))+))*,)+
            }
        }
    };
}

routes! {
    Public {
        "/": get(web::sign_in::landing);
        "/login": get(web::sign_in::sign_in_page) post(web::sign_in::sign_in);
        "/logout": get(web::sign_in::sign_out_page) post(web::sign_in::sign_out);
        "/register": get(web::account::register_page) post(web::account::register);
        "/oauth/authorize": get(web::consent::ask) post(web::consent::decide);
    }
    SignedIn {
        "/authorizations": get(web::authorizations::list);
        "/authorizations/revoke":
            get(web::authorizations::revoke_several_page) post(web::authorizations::revoke_several);
        "/authorizations/client/{client_id}": get(web::authorizations::of_client);
        "/authorizations/{grant_id}": get(web::authorizations::detail);
        "/authorizations/{grant_id}/revoke":
            get(web::authorizations::revoke_one_page) post(web::authorizations::revoke_one);
        "/authorizations/{grant_id}/devices/{family_id}/revoke":
            get(web::authorizations::device_page) post(web::authorizations::sign_device_out);
        "/authorizations/{grant_id}/unblock": get(web::authorizations::to_grant) post(web::authorizations::unblock);
        "/account": get(web::account::account);
        "/account/password": get(web::account::to_account) post(web::account::change_password);
        "/account/sessions/{session_id}/end": get(web::account::to_account) post(web::account::end_session);
        "/account/taken-over": get(web::account::taken_over_page) post(web::account::taken_over);
        "/account/delete": get(web::account::delete_page) post(web::account::delete);
        "/account/export": get(web::account_export::export);
        "/receipts/{receipt_id}": get(web::receipt::receipt);
        "/receipts/{receipt_id}/jws": get(web::receipt::signed);
    }
    Developer {
        "/apps": get(web::developer::list);
        "/apps/new": get(web::app_form::new_page) post(web::app_form::register);
        "/apps/{client_id}": get(web::developer::detail) post(web::app_form::edit);
        "/apps/{client_id}/edit": get(web::app_form::edit_page);
        "/apps/{client_id}/revoke-tokens":
            get(web::app_acts::revoke_tokens_page) post(web::app_acts::revoke_tokens);
        "/apps/{client_id}/rotate-secret":
            get(web::app_acts::rotate_secret_page) post(web::app_acts::rotate_secret);
        "/apps/{client_id}/secret": get(web::app_acts::secret_page);
        "/apps/{client_id}/delete": get(web::app_acts::delete_page) post(web::app_acts::delete);
    }
    Admin {
        "/admin": get(web::admin_apps::index);
        "/admin/apps": get(web::admin_apps::list);
        "/admin/apps/{client_id}": get(web::admin_apps::detail);
        "/admin/apps/{client_id}/suspend": get(web::admin_apps::suspend_page) post(web::admin_apps::suspend);
        "/admin/apps/{client_id}/ban": get(web::admin_apps::ban_page) post(web::admin_apps::ban);
        "/admin/apps/{client_id}/reinstate":
            get(web::admin_apps::reinstate_page) post(web::admin_apps::reinstate);
        "/admin/apps/{client_id}/owner":
            get(web::hand_over::owner_page) post(web::hand_over::set_owner);
        "/admin/users": get(web::admin_users::list);
        "/admin/users/{user_id}": get(web::admin_users::detail);
        "/admin/users/{user_id}/disable":
            get(web::admin_users::disable_page) post(web::admin_users::disable);
        "/admin/users/{user_id}/enable": get(web::admin_users::enable_page) post(web::admin_users::enable);
        "/admin/users/{user_id}/revoke": get(web::admin_users::revoke_page) post(web::admin_users::revoke);
        "/admin/users/{user_id}/role": get(web::admin_users::role_page) post(web::admin_users::set_role);
        "/admin/ledger": get(web::ledger::list);
        "/admin/audit": get(web::ledger::audit);
        "/admin/resource-servers": get(web::resource_servers::list);
        "/admin/resource-servers/new":
            get(web::resource_servers::new_page) post(web::resource_servers::register);
        "/admin/resource-servers/{resource_server_id}/secret": get(web::resource_servers::secret_page);
        "/admin/resource-servers/{resource_server_id}/edit":
            get(web::resource_server_acts::edit_page) post(web::resource_server_acts::edit);
        "/admin/resource-servers/{resource_server_id}/rotate-secret":
            get(web::resource_server_acts::rotate_secret_page) post(web::resource_server_acts::rotate_secret);
        "/admin/resource-servers/{resource_server_id}/delete":
            get(web::resource_server_acts::delete_page) post(web::resource_server_acts::delete);
        "/admin/resource-servers/{resource_server_id}": get(web::guards::detail) post(web::guards::change);
    }
    Client {
        "/oauth/token": post(oauth::token::token);
        "/oauth/revoke": post(oauth::revoke::revoke);
        "/.well-known/oauth-authorization-server": get(oauth::metadata::metadata);
        "/oauth/jwks": get(oauth::jwks::jwks);
    }
    ResourceServer {
        "/oauth/introspect": post(oauth::introspect::introspect);
        "/revocations/snapshot": get(feed::snapshot::snapshot);
        "/revocations/feed": get(feed::stream::stream);
        "/revocations/ack": post(feed::ack::acknowledge);
    }
    Anybody {
        "/static/{name}": get(web::assets::asset);
        "/healthz": get(healthy);
        "/readyz": get(ready);
        "/metrics": get(web::metrics::metrics);
    }
}

/// The whole server. Of several `.layer` calls the last is the outermost; of several layers in a tuple, the first.
pub fn router(app: App) -> Router {
    app.metrics.requests.get_or_init(|| Requests::new(TABLE.iter().map(|route| route.path)));
    let pages = group(Caller::Public)
        .merge(for_role(Caller::SignedIn, Role::User))
        .merge(for_role(Caller::Developer, Role::Developer))
        .merge(for_role(Caller::Admin, Role::Admin))
        .method_not_allowed_fallback(async || {
            error::page(StatusCode::METHOD_NOT_ALLOWED, "error-method", None)
        })
        .layer(from_fn_with_state(app.clone(), identify))
        .layer(session::layer(&app))
        .layer(MapRequestLayer::new(session::own_cookie(app.config.issuer.transport())))
        .layer(CsrfLayer::new().with_rejection_response(|_: ProtectionError| {
            error::page(StatusCode::FORBIDDEN, "error-cross-site", None)
        }))
        .layer(map_response(uncached));
    let protocol = group(Caller::Client).layer(cors()).merge(group(Caller::ResourceServer));
    pages
        .merge(protocol)
        .merge(group(Caller::Anybody))
        .fallback(async || Error::NotFound)
        // One tuple, because the router boxes everything below for each `.layer` call.
        .layer((
            MapResponseLayer::new(secure(app.config.issuer.transport())),
            observe::Observe::new(app.metrics.clone()),
            host::RequireHost,
            DefaultBodyLimit::max(LARGEST_BODY),
        ))
        .with_state(app)
}

fn for_role(caller: Caller, role: Role) -> Router<App> {
    group(caller).layer(from_fn_with_state(role, require_role))
}

/// A refusal by a layer, in the form that callers of this path expect: JSON for programs, a page for people.
fn refuse(path: Option<&str>, error: OauthError, page: impl FnOnce() -> Response) -> Response {
    let route = TABLE.iter().find(|route| Some(route.path) == path);
    match route.map(|route| route.caller) {
        // These layers are outside of the CORS layer, and scripts need its headers to read the answer.
        Some(Caller::Client) => {
            let open = [
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
                (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED)),
            ];
            (open, error).into_response()
        }
        Some(Caller::ResourceServer) => error.into_response(),
        _ => page(),
    }
}

/// The route's path in the table.
fn matched_path(request: &Request) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Browser apps call these endpoints with codes, tokens and secrets, never with cookies (RFC 9700 §2.6).
///
/// So no header that a library sends (tracing, DPoP, MCP) can do harm, and all are allowed. `*` would not be enough: it
/// does not include `Authorization`.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list(EXPOSED.split(", ").map(HeaderName::from_static)))
        .max_age(std::time::Duration::from_secs(3600))
}

/// Adds security headers to every answer that does not have them.
fn secure(transport: Transport) -> impl Fn(Response) -> Response + Clone {
    move |mut response| {
        let is_unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.reserve(8);
        let mut default = |name, value| {
            headers.entry(name).or_insert(value);
        };
        default(header::CONTENT_SECURITY_POLICY, content_security_policy(None));
        default(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        default(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // Not `no-referrer`, because then browsers send `Origin: null` with our own forms.
        default(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        if is_unavailable {
            default(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if transport == Transport::Https {
            default(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        response
    }
}

/// Pages show which apps and people may do what, so no cache may keep them.
async fn uncached(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn healthy() -> &'static str {
    "ok\n"
}

/// Ready means that the database answers, and that its path still leads to the opened file: otherwise nothing can be
/// written. The lock file must be in place too, or another process could take the database's name.
async fn ready(State(app): State<App>) -> Response {
    // A database may answer and still not be believed: then every request that needs it is refused.
    let answers = async {
        app.store.current().await?;
        app.store.has_admin().await
    };
    let why = match answers.await {
        Ok(_) if !app.store.is_in_place() => "the database file was replaced or removed\n",
        Ok(_) if !app.store.is_lock_in_place() => "the lock file was replaced or removed\n",
        Ok(_) => return "ok\n".into_response(),
        Err(_) => "the database does not answer\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], why).into_response()
}
