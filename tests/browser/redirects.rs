//! An app whose callback redirects on to another origin: the person arrives there whatever was answered, and gets back.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{Html, Redirect};
use axum::routing::get;
use thirtyfour::prelude::*;
use tokio::net::TcpListener;

use crate::harness::World;
use crate::journey_user::APPROVE;
use crate::page::{self, Control, Hand, PATIENCE};

const DENY: Control<'static> = Control::Css("button[name=decision][value=deny]");

/// More pages than one journey leaves in the history.
const MOST_STEPS_BACK: usize = 6;

/// An app on `127.0.0.1`, which sends the person on from its callback to `localhost`, another site to a browser.
struct App {
    base: String,
    /// Where its callback redirects to.
    landing: String,
    /// The `Referer` headers of all requests to the app and to its landing page.
    referrers: Arc<Mutex<Vec<String>>>,
}

impl App {
    async fn start() -> Result<Self> {
        let referrers = Arc::<Mutex<Vec<String>>>::default();
        let heard = referrers.clone();
        let hear = move |headers: HeaderMap| {
            let values = headers.get_all(header::REFERER).iter();
            let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            heard.lock().expect("nobody panicked with it").extend(texts);
        };
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let landing = format!("http://localhost:{}/landed", other.local_addr()?.port());
        let hear_landing = hear.clone();
        let landed = async move |headers: HeaderMap| {
            hear_landing(headers);
            Html("<h1>Landed</h1>")
        };
        let landed = Router::new().route("/landed", get(landed));
        tokio::spawn(async move { axum::serve(other, landed).await });

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let to = landing.clone();
        let callback = async move |headers: HeaderMap, uri: Uri| {
            hear(headers);
            Redirect::to(&format!("{to}?{}", uri.query().unwrap_or_default()))
        };
        let router = Router::new()
            .route("/start", get(async || Html("<h1>Start</h1>")))
            .route("/callback", get(callback));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { base, landing, referrers })
    }

    /// Registers it, and makes the address of its authorization request.
    fn register(&self, world: &World) -> Result<String> {
        let owner = &world.person("developer")?.username;
        let callback = format!("{}/callback", self.base);
        let registered = world.command(&[
            "client",
            "add",
            "--owner",
            owner,
            "--name",
            "Wanderer",
            "--redirect-uri",
            &callback,
        ])?;
        let client_id = registered["client_id"].as_str().context("a client_id")?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", &callback)
            .append_pair("state", "xyz")
            .append_pair("code_challenge", &"a".repeat(43))
            .append_pair("code_challenge_method", "S256")
            .finish();
        Ok(format!("{}/oauth/authorize?{query}", world.demo.issuer))
    }

    /// Waits until the person has arrived behind the callback, with this in the address.
    async fn is_arrived_at(&self, driver: &WebDriver, part: &str) -> Result<()> {
        page::wait("the page behind the callback", PATIENCE, async || {
            let url = driver.current_url().await?;
            Ok((url.as_str().starts_with(&self.landing) && url.as_str().contains(part)).then_some(()))
        })
        .await
    }

    /// Goes back until the app's start page shows.
    async fn gets_back_to_start(&self, driver: &WebDriver) -> Result<()> {
        for _ in 0..MOST_STEPS_BACK {
            driver.back().await?;
            if driver.current_url().await?.path() == "/start" {
                return Ok(());
            }
        }
        anyhow::bail!("the browser's Back never leads to the app's start page")
    }

    fn no_referrer_was_sent(&self) -> Result<()> {
        let referrers = self.referrers.lock().expect("nobody panicked with it");
        ensure!(referrers.is_empty(), "{referrers:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_callback_may_redirect_to_another_origin() -> Result<()> {
    World::walk("redirects", async |world| walk(world, Hand::Mouse).await).await
}

#[tokio::test]
async fn javascript_is_not_needed_to_go_on_to_the_app() -> Result<()> {
    World::walk("redirects-no-javascript", async |world| {
        page::switch_scripts_off(&world.driver).await?;
        walk(world, Hand::Mouse).await
    })
    .await
}

/// Deny, allow, and sign in where consent stands.
async fn walk(world: &World, hand: Hand) -> Result<()> {
    let driver = &world.driver;
    let app = App::start().await?;
    let request = app.register(world)?;
    let person = world.person("user")?;
    let start = async || -> Result<()> {
        driver.goto(&format!("{}/start", app.base)).await?;
        driver.goto(&request).await?;
        Ok(())
    };

    start().await?;
    page::sign_in(driver, hand, &person.username, &person.password).await.context("signing in")?;
    page::press(driver, hand, DENY).await.context("denying")?;
    app.is_arrived_at(driver, "error=access_denied").await.context("after Deny")?;
    driver.back().await?;
    page::find(driver, APPROVE).await.context("back on the consent page")?;
    page::press(driver, hand, APPROVE).await.context("allowing")?;
    app.is_arrived_at(driver, "code=").await.context("after Allow")?;
    app.gets_back_to_start(driver).await.context("after Allow")?;

    driver.goto(&format!("{}/account", world.demo.issuer)).await?;
    driver.delete_all_cookies().await?;
    start().await?;
    page::sign_in(driver, hand, &person.username, &person.password).await.context("signing in again")?;
    app.is_arrived_at(driver, "code=").await.context("after signing in under a standing consent")?;
    app.gets_back_to_start(driver).await.context("after signing in")?;
    app.no_referrer_was_sent()
}
