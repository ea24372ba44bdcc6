//! A person with a browser that keeps cookies and sends what browsers send.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::header;
use rescind::model::id::UserId;

use super::answer::Answer;
use super::client::{Client, Tokens};
use super::fields::{FORM, Fields};
use super::{PASSWORD, World};

pub struct Browser {
    pub world: World,
    pub name: String,
    pub id: UserId,
    pub cookies: Mutex<BTreeMap<String, String>>,
}

/// Which page sent a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    OurOwn,
    /// A browser says so itself (Fetch Metadata).
    CrossSite,
    /// Another host of the same domain is another site to us.
    SameSite,
    /// An older browser names the page's origin and nothing else.
    ForeignOrigin,
    /// What a sandboxed page or a redirect across origins names.
    NullOrigin,
}

impl From {
    pub const OTHERS: [Self; 4] = [Self::CrossSite, Self::SameSite, Self::ForeignOrigin, Self::NullOrigin];
}

impl Browser {
    pub fn new(world: World, name: &str, id: UserId) -> Self {
        Self { world, name: name.to_owned(), id, cookies: Mutex::default() }
    }

    /// Another browser of the same person, signed out.
    pub fn elsewhere(&self) -> Self {
        Self::new(self.world.clone(), &self.name, self.id.clone())
    }

    /// The session cookie's value.
    pub fn session(&self) -> Option<String> {
        self.cookies.lock().unwrap().values().next().cloned()
    }

    /// A browser with exactly this session cookie, as a thief or a fixated victim has it.
    pub fn with_session(&self, value: &str) -> Self {
        let browser = self.elsewhere();
        browser.cookies.lock().unwrap().insert("rescind".to_owned(), value.to_owned());
        browser
    }

    async fn sends(&self, mut request: axum::http::request::Builder, body: Body) -> Answer {
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let request = request.header(header::USER_AGENT, agent);
        let answer = self.world.sends(request.body(body).unwrap()).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let (pair, attributes) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub async fn gets(&self, path: &str) -> Answer {
        self.sends(self.world.request("GET", path).header("sec-fetch-site", "none"), Body::empty()).await
    }

    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub async fn heads(&self, path: &str) -> Answer {
        self.sends(self.world.request("HEAD", path).header("sec-fetch-site", "none"), Body::empty()).await
    }

    pub async fn posts(&self, path: &str, fields: &Fields) -> Answer {
        self.posts_from(From::OurOwn, path, fields).await
    }

    /// A form of our own whose body may come late.
    #[allow(dead_code, reason = "for tests/faults")]
    pub async fn posts_body(&self, path: &str, body: Body) -> Answer {
        let request = self.world.request("POST", path).header(header::CONTENT_TYPE, FORM);
        let request =
            request.header(header::ORIGIN, self.world.issuer()).header("sec-fetch-site", "same-origin");
        self.sends(request, body).await
    }

    /// Sends a form as a browser of today does, which then goes to the page that comes back.
    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub async fn submits(&self, path: &str, fields: &Fields) -> Answer {
        let request = self.world.request("POST", path).header(header::CONTENT_TYPE, FORM);
        let request =
            request.header(header::ORIGIN, self.world.issuer()).header("sec-fetch-site", "same-origin");
        let request =
            request.header("sec-fetch-mode", "navigate").header(header::ACCEPT, "text/html,*/*;q=0.8");
        self.sends(request, fields.encode().into()).await
    }

    /// Fetches a page with this header beside those of every request.
    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub async fn asks(&self, method: &str, path: &str, name: &str, value: &str) -> Answer {
        let request = self.world.request(method, path).header("sec-fetch-site", "none").header(name, value);
        self.sends(request, Body::empty()).await
    }

    pub async fn posts_from(&self, from: From, path: &str, fields: &Fields) -> Answer {
        let request = self.world.request("POST", path).header(header::CONTENT_TYPE, FORM);
        let request = match from {
            From::OurOwn => return self.posts_body(path, fields.encode().into()).await,
            From::CrossSite => {
                request.header(header::ORIGIN, "https://evil.example").header("sec-fetch-site", "cross-site")
            }
            From::SameSite => {
                request.header(header::ORIGIN, "http://127.0.0.1:9999").header("sec-fetch-site", "same-site")
            }
            From::ForeignOrigin => request.header(header::ORIGIN, "https://evil.example"),
            From::NullOrigin => request.header(header::ORIGIN, "null"),
        };
        self.sends(request, fields.encode().into()).await
    }

    /// Sends a form that makes a secret, and goes on to the page that shows it.
    #[allow(dead_code, reason = "tests/faults has no use for it")]
    pub async fn makes_secret(&self, path: &str, fields: &Fields) -> Answer {
        let answer = self.posts(path, fields).await;
        self.gets(answer.location()).await.page(200).shows("Copy the secret now")
    }

    // Signing in and out

    pub async fn signs_in(&self) {
        self.types(PASSWORD, "").await.leads_to("/authorizations");
    }

    /// Sends the sign-in form with this password, to go on to `next`.
    pub async fn types(&self, password: &str, next: &str) -> Answer {
        let fields = Fields::new(&[("username", &self.name), ("password", password), ("next", next)]);
        self.posts("/login", &fields).await
    }

    pub async fn is_signed_in(&self) -> bool {
        self.gets("/authorizations").await.status == 200
    }

    // Authorizing apps

    /// Opens an authorization request.
    pub async fn opens(&self, request: &Fields) -> Answer {
        self.gets(&format!("/oauth/authorize?{}", request.encode())).await
    }

    /// The consent page of an authorization request.
    pub async fn is_asked(&self, request: &Fields) -> ConsentPage {
        ConsentPage::read(self.opens(request).await.page(200))
    }

    /// Answers a consent page.
    pub async fn answers(&self, page: &ConsentPage, decision: &str) -> Answer {
        self.posts(&page.action, &page.form(decision)).await
    }

    /// Allows what the app asks for, on the consent page or earlier; the code that the app gets.
    pub async fn authorizes(&self, app: &Client) -> String {
        self.authorizes_request(app, &app.request()).await
    }

    pub async fn authorizes_request(&self, app: &Client, request: &Fields) -> String {
        let mut answer = self.opens(request).await;
        if answer.status == 200 {
            answer = self.answers(&ConsentPage::read(answer), "approve").await;
        }
        app.accepts(&answer)
    }

    /// Allows the app, which redeems its code.
    pub async fn connects(&self, app: &Client) -> Tokens {
        app.redeems(&self.authorizes(app).await).await
    }

    // Looking at apps and ending their access

    /// The id of the open grant that the app has.
    pub async fn grant_of(&self, app: &Client) -> String {
        let answer = self.gets(&format!("/authorizations/client/{}", app.id)).await;
        answer.location().strip_prefix("/authorizations/").unwrap().to_owned()
    }

    pub async fn revokes(&self, app: &Client) -> Answer {
        let grant = self.grant_of(app).await;
        self.posts(&format!("/authorizations/{grant}/revoke"), &Fields::default()).await
    }
}

/// A consent page as it stands in a browser.
#[derive(Debug)]
pub struct ConsentPage {
    pub answer: Answer,
    pub action: String,
    pub seen: String,
}

impl ConsentPage {
    pub fn read(answer: Answer) -> Self {
        let action = answer.attribute("<form method=\"post\"", "action");
        let seen = answer.attribute("name=\"seen\"", "value");
        Self { answer, action, seen }
    }

    pub fn form(&self, decision: &str) -> Fields {
        Fields::new(&[("seen", &self.seen), ("decision", decision)])
    }
}
