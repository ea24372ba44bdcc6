//! The pages in the states that journeys do not pass: empty, many, refused, after each act.

use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::Connection;
use thirtyfour::prelude::*;

use crate::harness::{Person, World};
use crate::journey_user::{APPROVE, arrive};
use crate::page::{self, Control, Hand};

/// S256 of a verifier that nobody needs: these codes are never redeemed.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const APPS: [(&str, &str); 4] = [
    ("Tide Notes", "https://tidenotes.example/callback"),
    ("Kalenderbrücke für gemeinsame Haushaltskalender", "https://kalender.example/callback"),
    ("Step Log", "https://steplog.example/callback"),
    ("QuickQuiz", "https://quickquiz.example/callback"),
];

#[tokio::test]
async fn every_page_passes_its_checks_in_every_state() -> Result<()> {
    World::walk("gallery", async |world| {
        let gallery = Gallery { world };
        gallery.signed_out().await.context("signed out")?;
        let apps = gallery.connects_apps().await.context("connecting apps")?;
        gallery.suspends(&apps[3]).await.context("suspending")?;
        gallery.many(&apps).await.context("many apps")?;
        gallery.account().await.context("the account")?;
        gallery.ends().await.context("ending everything")
    })
    .await
}

struct Gallery<'w> {
    world: &'w World,
}

impl Gallery<'_> {
    async fn look(&self, path: &str, name: &str) -> Result<()> {
        self.goes(path).await?;
        page::inspect(&self.world.driver, name).await.with_context(|| name.to_owned())
    }

    async fn goes(&self, path: &str) -> Result<()> {
        Ok(self.world.driver.goto(&format!("{}{path}", self.world.demo.issuer)).await?)
    }

    async fn presses(&self, control: Control<'_>) -> Result<()> {
        page::press(&self.world.driver, Hand::Mouse, control).await
    }

    async fn fills(&self, field: &str, text: &str) -> Result<()> {
        let field = format!("[name={field}]");
        page::fill_in(&self.world.driver, Hand::Mouse, Control::Css(&field), text).await
    }

    async fn signs_in(&self, person: &Person) -> Result<()> {
        self.goes("/login").await?;
        page::sign_in(&self.world.driver, Hand::Mouse, &person.username, &person.password).await?;
        arrive(self.world, "/authorizations").await
    }

    async fn signs_out(&self) -> Result<()> {
        self.goes("/logout").await?;
        self.presses(Control::Submit("/logout")).await?;
        arrive(self.world, "/").await
    }

    async fn signed_out(&self) -> Result<()> {
        self.look("/", "landing").await?;
        self.look("/login", "login-plain").await?;
        page::sign_in(&self.world.driver, Hand::Mouse, "alice", "not her password").await?;
        page::find(&self.world.driver, Control::Css("[role=alert]")).await?;
        page::inspect(&self.world.driver, "login-refused").await?;
        self.look("/register", "register").await?;
        self.fills("username", "Not a name").await?;
        self.fills("password", "short").await?;
        self.presses(Control::Submit("/register")).await?;
        page::find(&self.world.driver, Control::Css("[role=alert]")).await?;
        page::inspect(&self.world.driver, "register-refused").await?;
        self.look("/oauth/authorize?client_id=nobody", "authorize-refused").await?;
        self.look("/nowhere", "not-found").await
    }

    /// Registers the apps and lets Alice authorize each; their client ids.
    async fn connects_apps(&self) -> Result<Vec<String>> {
        let alice = self.world.person("user")?;
        self.signs_in(alice).await?;
        self.look("/authorizations", "authorizations-empty").await?;
        let mut ids = Vec::new();
        for (name, redirect) in APPS {
            let add =
                ["client", "add", "--public", "--owner", "dana", "--name", name, "--redirect-uri", redirect];
            let made = self.world.command(&add)?;
            let id = made["client_id"].as_str().context("a client_id")?.to_owned();
            let authorize = format!(
                "/oauth/authorize?response_type=code&client_id={id}&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256"
            );
            self.goes(&authorize).await?;
            page::find(&self.world.driver, APPROVE).await?;
            if ids.len() == 1 {
                page::inspect(&self.world.driver, "consent-long-name").await?;
            }
            // The app's address leads nowhere here: what counts is that the form was sent.
            let approve = self.world.driver.query(By::Css("button[value=approve]")).first().await?;
            let _ = approve.click().await;
            self.granted(ids.len() + 1).await?;
            ids.push(id);
        }
        Ok(ids)
    }

    async fn granted(&self, count: usize) -> Result<()> {
        page::wait("the grant", Duration::from_secs(10), async || {
            let database = Connection::open(self.world.database())?;
            let open: i64 = database.query_row("SELECT count(*) FROM grants", [], |row| row.get(0))?;
            Ok((open == i64::try_from(count)?).then_some(()))
        })
        .await
    }

    async fn suspends(&self, client: &str) -> Result<()> {
        self.signs_out().await?;
        self.look("/admin/apps", "login-continue").await?;
        self.signs_in(self.world.person("admin")?).await?;
        self.look("/admin/apps", "admin-apps-many").await?;
        self.goes(&format!("/admin/apps/{client}/suspend")).await?;
        self.fills("reason", "It sold e-mail addresses to advertisers.").await?;
        self.presses(Control::Submit(&format!("/admin/apps/{client}/suspend"))).await?;
        page::find(&self.world.driver, Control::Css("#purge")).await?;
        self.signs_out().await
    }

    async fn many(&self, apps: &[String]) -> Result<()> {
        let database = Connection::open(self.world.database())?;
        database.busy_timeout(Duration::from_secs(5))?;
        let long_ago = "UPDATE grants SET authorized_at = authorized_at - 12182400000, \
                        first_authorized_at = first_authorized_at - 12182400000 WHERE client_id = ?1";
        database.execute(long_ago, [&apps[2]])?;
        let grant = |client: &str| -> Result<String> {
            Ok(database
                .query_row("SELECT id FROM grants WHERE client_id = ?1", [client], |row| row.get(0))?)
        };
        let grants = apps.iter().map(|client| grant(client)).collect::<Result<Vec<_>>>()?;
        self.signs_in(self.world.person("user")?).await?;
        self.look("/admin/apps", "forbidden").await?;
        self.look("/authorizations", "authorizations-many").await?;
        self.look(&format!("/authorizations/{}", grants[3]), "authorization-suspended").await?;
        let two = format!("grant_id={}&grant_id={}", grants[0], grants[2]);
        self.look(&format!("/authorizations/revoke?{two}"), "revoke-several").await?;
        self.look("/authorizations/revoke?all=1", "revoke-all").await?;
        let device: String =
            database
                .query_row("SELECT id FROM families WHERE grant_id = ?1", [&grants[0]], |row| row.get(0))?;
        self.look(&format!("/authorizations/{}/devices/{device}/revoke", grants[0]), "revoke-device").await?;
        self.goes(&format!("/authorizations/{}/revoke", grants[1])).await?;
        self.presses(Control::Css("[name=block]")).await?;
        self.presses(Control::Submit(&format!("/authorizations/{}/revoke", grants[1]))).await?;
        arrive(self.world, "/authorizations").await?;
        self.look(&format!("/authorizations/{}", grants[1]), "authorization-blocked").await?;
        self.look("/authorizations/client/cli_00000000000000000000", "authorization-none").await
    }

    async fn account(&self) -> Result<()> {
        self.look("/account", "account").await?;
        self.fills("current_password", "not her password").await?;
        self.fills("new_password", "short").await?;
        self.presses(Control::Submit("/account/password")).await?;
        page::find(&self.world.driver, Control::Css("[role=alert]")).await?;
        page::inspect(&self.world.driver, "account-refused").await?;
        self.look("/account/taken-over", "account-taken-over").await?;
        self.look("/account/delete", "account-delete").await?;
        self.look("/logout", "sign-out").await
    }

    async fn ends(&self) -> Result<()> {
        self.goes("/authorizations/revoke?all=1").await?;
        self.presses(Control::Submit("/authorizations/revoke")).await?;
        arrive(self.world, "/authorizations").await?;
        page::inspect(&self.world.driver, "authorizations-ended").await?;
        self.look("/authorizations?ended=1", "authorizations-history").await?;
        self.presses(Control::Css("main .rows a")).await?;
        page::find(&self.world.driver, Control::Css("h1")).await?;
        page::inspect(&self.world.driver, "authorization-ended").await?;
        self.presses(Control::Css(".history a, main a[href^='/receipts/']")).await?;
        page::find(&self.world.driver, Control::Css("#purge:not([data-live])")).await?;
        page::inspect(&self.world.driver, "receipt-several").await
    }
}
