//! An app: a registered client with a PKCE verifier of its own.

use axum::http::header;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rescind::model::id::random62;
use sha2::{Digest as _, Sha256};

use super::World;
use super::answer::Answer;
use super::fields::{FORM, Fields};

pub struct Client {
    pub world: World,
    pub id: String,
    pub secret: Option<String>,
    pub redirect_uri: String,
    pub verifier: String,
}

/// What a token answer carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub scope: String,
}

impl Tokens {
    #[track_caller]
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), scope: text("scope") }
    }
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The value of a Basic header.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

impl Client {
    pub fn new(world: World, id: &str, secret: Option<String>, redirect_uri: String) -> Self {
        Self { world, id: id.to_owned(), secret, redirect_uri, verifier: random62(64) }
    }

    /// An authorization request as it should be.
    pub fn request(&self) -> Fields {
        Fields::new(&[
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", "read write"),
            ("state", "st/4te ü&="),
            ("code_challenge", &challenge(&self.verifier)),
            ("code_challenge_method", "S256"),
        ])
    }

    /// The code in a redirect, once `state` and `iss` are what they should be.
    #[track_caller]
    pub fn accepts(&self, answer: &Answer) -> String {
        assert!(answer.location().starts_with(&self.redirect_uri), "{}", answer.location());
        assert_eq!(answer.param("state").as_deref(), Some("st/4te ü&="));
        assert_eq!(answer.param("iss").as_deref(), Some(self.world.issuer()));
        assert_eq!(answer.param("error"), None, "{}", answer.location());
        answer.param("code").unwrap()
    }

    /// A form to a protocol endpoint, with this client's proof: Basic, or the bare `client_id` of a public client.
    pub async fn posts(&self, path: &str, fields: &Fields) -> Answer {
        let Some(secret) = &self.secret else {
            return self.world.posts(path, &fields.clone().and("client_id", &self.id)).await;
        };
        self.posts_as(&basic(&self.id, secret), path, fields).await
    }

    pub async fn posts_as(&self, authorization: &str, path: &str, fields: &Fields) -> Answer {
        let request = self.world.request("POST", path).header(header::CONTENT_TYPE, FORM);
        let request = request.header(header::AUTHORIZATION, authorization);
        self.world.sends(request.body(fields.encode().into()).unwrap()).await
    }

    /// A token request with a code, as it should be.
    pub fn code_request(&self, code: &str) -> Fields {
        Fields::new(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &self.verifier),
        ])
    }

    pub async fn asks_tokens(&self, fields: &Fields) -> Answer {
        self.posts("/oauth/token", fields).await
    }

    pub async fn presents_code(&self, code: &str) -> Answer {
        self.asks_tokens(&self.code_request(code)).await
    }

    pub async fn redeems(&self, code: &str) -> Tokens {
        Tokens::read(&self.presents_code(code).await)
    }

    pub fn refresh_request(&self, token: &str) -> Fields {
        Fields::new(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    pub async fn presents_refresh(&self, token: &str) -> Answer {
        self.asks_tokens(&self.refresh_request(token)).await
    }

    pub async fn refreshes(&self, tokens: &Tokens) -> Tokens {
        Tokens::read(&self.presents_refresh(&tokens.refresh).await)
    }

    /// Whether a refresh token still works; it has been used then.
    pub async fn can_refresh(&self, tokens: &Tokens) -> bool {
        let answer = self.presents_refresh(&tokens.refresh).await;
        if answer.status == 200 {
            return true;
        }
        answer.refuses(400, "invalid_grant");
        false
    }

    /// RFC 7009.
    pub async fn revokes(&self, token: &str) -> Answer {
        self.posts("/oauth/revoke", &Fields::new(&[("token", token)])).await
    }
}
