//! The authorization request (RFC 6749 §4.1.1) and the redirects that answer it.
//!
//! The page between the two is `web::consent`.

use crate::app::App;
use crate::model::client::{Client, GrantType, RedirectUri};
use crate::model::id::ClientId;
use crate::model::params::{Fault, Params};
use crate::model::scope::Scope;
use crate::oauth::error::{Code, Error};
use crate::oauth::resource::resources;
use crate::oauth::token::permitted_scope;
use crate::store;

/// A request that may be shown to a user.
#[derive(Debug)]
pub struct Request {
    pub client: Client,
    pub answers: Answers,
    pub scope: Scope,
    /// As the request named it; the token request has to repeat it then (RFC 6749 §4.1.3).
    pub named_redirect: Option<String>,
    /// S256 (RFC 7636 §4.3).
    pub code_challenge: String,
}

/// Where answers go, and the `state` that they repeat.
#[derive(Clone, Debug)]
pub struct Answers {
    pub redirect: RedirectUri,
    issuer: String,
    state: Option<String>,
}

/// Why a request can't be shown.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody knows where to send an answer, so the person reads it: a message key.
    Page(&'static str),
    /// The client reads it.
    Redirect(String),
    Store(store::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Answers {
    /// The address that carries a code to the client.
    pub fn code(&self, code: &str) -> String {
        self.with(&[("code", code)])
    }

    /// The address that carries an error to the client (RFC 6749 §4.1.2.1).
    pub fn error(&self, error: &Error) -> String {
        self.with(&[("error", error.code.as_str()), ("error_description", &error.description)])
    }

    /// Success and errors alike name the issuer (RFC 9207 §2).
    fn with(&self, members: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(members);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        let redirect = self.redirect.as_str();
        let joint = if redirect.contains('?') { '&' } else { '?' };
        format!("{redirect}{joint}{}", query.finish())
    }
}

/// Reads and checks a request: first who asks and where answers go, then all else.
///
/// # Errors
/// See [`Refusal`].
pub async fn read(app: &App, raw: &str) -> Result<Request, Refusal> {
    let (params, repeated) = match Params::parse_single(raw.as_bytes()) {
        Ok(params) => (params, None),
        Err(Fault::Encoding) => return Err(Refusal::Page("authorize-error-encoding")),
        Err(Fault::TooMany) => return Err(Refusal::Page("authorize-error-parameters")),
        Err(Fault::Repeated(name)) if ["client_id", "redirect_uri"].contains(&name.as_str()) => {
            return Err(Refusal::Page("authorize-error-repeated"));
        }
        Err(repeated) => {
            let params =
                Params::parse(raw.as_bytes()).map_err(|_| Refusal::Page("authorize-error-encoding"))?;
            (params, Some(repeated))
        }
    };
    let named = match params.get("client_id").and_then(ClientId::parse) {
        Some(id) => app.store.client(&id).await?,
        None => None,
    };
    let client =
        named.filter(|client| client.status.is_active()).ok_or(Refusal::Page("authorize-error-client"))?;
    let answers = Answers {
        redirect: redirect(&params, &client).ok_or(Refusal::Page("authorize-error-redirect"))?,
        issuer: app.config.issuer.as_str().to_owned(),
        // A repeated state counts as none: nobody can tell which value is the client's.
        state: params.get("state").filter(|_| params.all("state").count() == 1).map(str::to_owned),
    };
    // The app may have been registered before another one was banned for this host.
    if app.store.is_banned(&answers.redirect).await? {
        return Err(Refusal::Page("authorize-error-banned"));
    }
    let checked = match repeated {
        Some(fault) => Err(Error::from(fault)),
        None => check(app, &params, &client).await?,
    };
    match checked {
        Ok((scope, code_challenge)) => Ok(Request {
            client,
            answers,
            scope,
            named_redirect: params.get("redirect_uri").map(str::to_owned),
            code_challenge,
        }),
        Err(error) => Err(Refusal::Redirect(answers.error(&error))),
    }
}

/// The registered address that the request names, or the only one there is (RFC 6749 §3.1.2.3).
fn redirect(params: &Params, client: &Client) -> Option<RedirectUri> {
    match params.get("redirect_uri") {
        Some(named) => {
            let named = RedirectUri::stored(named);
            client.redirect_uris.iter().any(|registered| registered.allows(&named)).then_some(named)
        }
        None => match &*client.redirect_uris {
            [only] => Some(only.clone()),
            _ => None,
        },
    }
}

type Checked = Result<(Scope, String), Error>;

async fn check(app: &App, params: &Params, client: &Client) -> Result<Checked, store::Error> {
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Ok(Err(Error::new(Code::UnsupportedResponseType, "response_type has to be code"))),
        None => return Ok(Err(Error::invalid_request("response_type is missing"))),
    }
    if !client.grant_types.allow(GrantType::AuthorizationCode) {
        let description = "the client is not registered for authorization_code";
        return Ok(Err(Error::new(Code::UnauthorizedClient, description)));
    }
    let code_challenge = match challenge(params) {
        Ok(challenge) => challenge,
        Err(error) => return Ok(Err(error)),
    };
    let asked = match params.get("scope").map(Scope::parse) {
        Some(None) => return Ok(Err(Error::new(Code::InvalidScope, "scope: not readable"))),
        Some(asked) => asked,
        None => None,
    };
    let scopes = app.store.scopes().await?;
    let narrowed = || {
        let resources = resources(params, &scopes)?;
        let scope = scopes.narrowed(&permitted_scope(asked, client, &scopes)?, &resources);
        if scope.is_empty() {
            return Err(Error::new(Code::InvalidScope, "scope: nothing of it is for this resource"));
        }
        Ok((scope, code_challenge))
    };
    Ok(narrowed())
}

/// PKCE is required of every client (RFC 9700 §2.1.1), and S256 is the only method.
fn challenge(params: &Params) -> Result<String, Error> {
    let challenge = params
        .get("code_challenge")
        .ok_or_else(|| Error::invalid_request("code_challenge is missing (PKCE)"))?;
    // An absent method means plain (RFC 7636 §4.3).
    if params.get("code_challenge_method") != Some("S256") {
        return Err(Error::invalid_request("code_challenge_method has to be S256"));
    }
    let is_digest = challenge.len() == 43
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_digest {
        return Err(Error::invalid_request("code_challenge: 43 characters of base64url"));
    }
    Ok(challenge.to_owned())
}
