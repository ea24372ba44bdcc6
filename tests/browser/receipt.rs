//! A receipt where a guard takes its time: what waits turns to confirmed while somebody looks on.

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::World;
use crate::journey_user::arrive;
use crate::page::{self, Control, Hand, PATIENCE};

const AUDIENCE: &str = "https://slow.example";
const REASON: Control<'static> = Control::Css("textarea[name=reason]");
const WAITING: Control<'static> = Control::Css("#told[data-live] .badge.silent");
const CONFIRMED: Control<'static> = Control::Css("#told:not([data-live]) .badge.confirmed");

/// One instance of a guard, which confirms when it is told to.
struct SlowGuard {
    client: reqwest::Client,
    address: String,
    id: String,
    secret: String,
    incarnation: i64,
}

impl SlowGuard {
    fn registered(world: &World) -> Result<Self> {
        let add = ["resource-server", "add", "Slow", "--audience", AUDIENCE, "--scope", "slow=Wait"];
        let made = world.command(&[&add[..], &["--max-staleness", "60"]].concat())?;
        let field = |name: &str| made[name].as_str().map(str::to_owned).context("the new resource server");
        let database = Connection::open(world.database())?;
        Ok(Self {
            client: reqwest::Client::new(),
            address: format!("{}/revocations/ack", world.demo.issuer),
            id: field("id")?,
            secret: field("secret")?,
            incarnation: database.query_row("SELECT incarnation FROM server", [], |row| row.get(0))?,
        })
    }

    /// Tells the server that all up to `through` is applied; how far there is something to apply.
    async fn acknowledges(&self, through: u64) -> Result<u64> {
        let ack = json!({ "instance": "guard-slow-0123456", "incarnation": self.incarnation, "through": through,
            "keys_version": 0 });
        let request = self.client.post(&self.address).basic_auth(&self.id, Some(&self.secret)).json(&ack);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        answer["through"].as_u64().context("how far there is something to apply")
    }
}

#[tokio::test]
async fn a_receipt_turns_from_waiting_to_confirmed_without_a_reload() -> Result<()> {
    World::walk("receipt", async |world| {
        let driver = &world.driver;
        let max = world.person("admin")?;
        driver.goto(&format!("{}/login?next=%2Fadmin%2Fapps", world.demo.issuer)).await?;
        page::sign_in(driver, Hand::Mouse, &max.username, &max.password).await?;
        arrive(world, "/admin/apps").await?;
        let app = "return [...document.querySelectorAll('tbody th a')][0].pathname;";
        let app: String = driver.execute(app, Vec::new()).await?.convert()?;
        let suspend = format!("{app}/suspend");
        driver.goto(&format!("{}{suspend}", world.demo.issuer)).await?;
        page::fill_in(driver, Hand::Mouse, REASON, "Its servers were broken into.").await?;

        let guard = SlowGuard::registered(world)?;
        let before = guard.acknowledges(0).await?;
        guard.acknowledges(before).await?;
        page::press(driver, Hand::Mouse, Control::Submit(&suspend)).await?;
        page::wait("the receipt", PATIENCE, async || {
            Ok(page::path(driver).await?.starts_with("/receipts/").then_some(()))
        })
        .await?;
        page::find(driver, WAITING).await.context("the slow guard's line")?;
        driver.execute("window.isTheSamePage = true;", Vec::new()).await?;

        let tip = guard.acknowledges(before).await?;
        ensure!(tip > before, "the suspension is nothing to apply: {tip}");
        guard.acknowledges(tip).await?;
        page::find(driver, CONFIRMED).await.context("once it has confirmed")?;
        let waits = "return document.querySelectorAll('#told .badge.silent').length;";
        ensure!(driver.execute(waits, Vec::new()).await?.convert::<u64>()? == 0, "something still waits");
        let same = driver.execute("return window.isTheSamePage === true;", Vec::new()).await?;
        ensure!(same.convert::<bool>()?, "the page was loaded again");
        page::inspect(driver, "receipt-confirmed").await
    })
    .await
}
