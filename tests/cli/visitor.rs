//! A client, a resource server and a browser that speak to a server over HTTP.

use reqwest::header::{COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use url::Url;

use crate::program::{Place, Server};

pub const PASSWORD: &str = "correct horse battery";
pub const REDIRECT: &str = "https://app.example/cb";
/// The example of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Who is registered: a user, a client with all grant types, and a resource server.
#[derive(Clone)]
pub struct World {
    pub client: (String, String),
    pub resource_server: (String, String),
}

impl World {
    pub fn register(place: &Place) -> Self {
        Self::register_for(place, "opaque")
    }

    /// With a client whose access tokens have this format.
    pub fn register_for(place: &Place, format: &str) -> Self {
        Self::register_with(place, format, &["read=See"])
    }

    /// With these scopes.
    pub fn register_with(place: &Place, format: &str, scopes: &[&str]) -> Self {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        place
            .run_with(&["user", "add", "alice", "--password-stdin", "--json"], &format!("{PASSWORD}\n"))
            .json();
        let mut arguments = vec!["resource-server", "add", "Photos", "--audience", "urn:photos", "--json"];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let made = place.run(&arguments).json();
        let resource_server = (text(&made, "id"), text(&made, "secret"));
        let mut arguments = vec![
            "client",
            "add",
            "--owner",
            "alice",
            "--name",
            "Prints",
            "--redirect-uri",
            REDIRECT,
            "--token-format",
            format,
            "--json",
        ];
        for grant_type in ["authorization_code", "refresh_token", "client_credentials"] {
            arguments.extend(["--grant-type", grant_type]);
        }
        let made = place.run(&arguments).json();
        Self { client: (text(&made, "client_id"), text(&made, "client_secret")), resource_server }
    }

    /// Tokens for the client, one after the other, until nobody answers any more.
    pub async fn takes_tokens_from(&self, address: &str) -> Vec<String> {
        let http = reqwest::Client::new();
        let mut tokens = Vec::new();
        loop {
            let request = http.post(format!("http://{address}/oauth/token"));
            let request = request.basic_auth(&self.client.0, Some(&self.client.1));
            let answer = match request.form(&[("grant_type", "client_credentials")]).send().await {
                Ok(answer) if answer.status() == 200 => answer,
                Ok(answer) => panic!("{}", answer.status()),
                Err(_) => return tokens,
            };
            let Ok(issued) = answer.json::<Value>().await else { return tokens };
            tokens.push(issued["access_token"].as_str().unwrap().to_owned());
        }
    }

    pub fn at(&self, server: &Server) -> Visitor<'_> {
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Visitor { world: self, http, base: format!("http://{}", server.address) }
    }
}

pub struct Visitor<'w> {
    world: &'w World,
    http: reqwest::Client,
    base: String,
}

/// What a device holds after an authorization.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

pub fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

/// An answer that says that nothing was changed, and when to try again.
pub async fn assert_unavailable(what: &str, response: Response) {
    if what == "consent" && response.status() == 409 {
        // The page showed something else than the database holds by now: asked again, nothing given.
        return;
    }
    assert_eq!(response.status(), 503, "{what}");
    assert!(response.headers().contains_key(RETRY_AFTER), "{what} has no Retry-After");
    let is_protocol = ["/token", "/revoke_token"].iter().any(|path| what.starts_with(path));
    let body = response.text().await.unwrap();
    if is_protocol {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], "temporarily_unavailable", "{what}");
    } else {
        assert!(body.contains("<html"), "{what} is no page: {body}");
    }
}

impl Visitor<'_> {
    fn post(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).form(form)
    }

    pub async fn token(&self, form: &[(&str, &str)]) -> Response {
        let (id, secret) = &self.world.client;
        self.post("/oauth/token", form).basic_auth(id, Some(secret)).send().await.unwrap()
    }

    pub async fn refresh(&self, token: &str) -> Response {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn client_token(&self) -> Response {
        self.token(&[("grant_type", "client_credentials")]).await
    }

    pub async fn revoke_token(&self, token: &str) -> Response {
        let (id, secret) = &self.world.client;
        self.post("/oauth/revoke", &[("token", token)]).basic_auth(id, Some(secret)).send().await.unwrap()
    }

    pub async fn introspect(&self, token: &str) -> Value {
        let (id, secret) = &self.world.resource_server;
        let request = self.post("/oauth/introspect", &[("token", token)]).basic_auth(id, Some(secret));
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await != json!({ "active": false })
    }

    pub async fn sign_in_answer(&self, password: &str) -> Response {
        self.post("/login", &[("username", "alice"), ("password", password)]).send().await.unwrap()
    }

    /// The session's cookie.
    pub async fn sign_in(&self) -> String {
        let answer = self.sign_in_answer(PASSWORD).await;
        assert_eq!(answer.status(), 303);
        answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    pub async fn page(&self, cookie: &str, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.base)).header(COOKIE, cookie).send().await.unwrap()
    }

    pub async fn submit(&self, cookie: &str, path: &str, form: &[(&str, &str)]) -> Response {
        self.post(path, form).header(COOKIE, cookie).send().await.unwrap()
    }

    pub fn authorize_path(&self) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.world.client.0)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", REDIRECT)
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256")
            .finish();
        format!("/oauth/authorize?{query}")
    }

    /// The user approves; the address that carries the code, or a refusal.
    pub async fn approve(&self, cookie: &str) -> Response {
        let asked = self.page(cookie, &self.authorize_path()).await;
        if asked.status() == 303 || asked.status() == 503 {
            return asked;
        }
        let page = asked.text().await.unwrap();
        let seen = page.split("name=\"seen\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        self.submit(cookie, &self.authorize_path(), &[("decision", "approve"), ("seen", seen)]).await
    }

    pub async fn code(&self, cookie: &str) -> String {
        let location = Url::parse(&location(&self.approve(cookie).await)).unwrap();
        location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    pub async fn redeem(&self, code: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.token(&form).await
    }

    /// One more device of alice's.
    pub async fn authorize(&self, cookie: &str) -> Tokens {
        let code = self.code(cookie).await;
        let issued: Value = self.redeem(&code).await.json().await.unwrap();
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token") }
    }
}
